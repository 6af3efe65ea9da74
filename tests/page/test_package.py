"""The page as it is installed: the built wheel holds it, and a daemon started from the wheel serves it."""

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from urllib.parse import urljoin
from urllib.request import Request, urlopen

import pytest

from tests.support.daemon import Daemon
from tests.support.processes import PATIENCE

CHECKOUT = Path(__file__).parents[2]
IMPORT = re.compile(r'^(?:import|export)\b[^;]*?"(\.{1,2}/[^"]+)"', re.MULTILINE)


def build(project: Path, folder: Path, *targets: str) -> None:
    """Build distributions of the project in a folder; `targets` are hatchling's."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    for target in targets:
        command += ["--target", target]
    subprocess.run(command, cwd=project, check=True, capture_output=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build(CHECKOUT, folder, "sdist")
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(folder / "source", filter="data")
    build(folder / "source" / source.name.removesuffix(".tar.gz"), folder, "wheel")
    return folder


def names_in(wheel: Path) -> list[str]:
    """Return the names of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(archive.namelist())


def page_of(names: list[str], root: str) -> set[str]:
    """Return the files of the page below `root`, the folder that holds the package."""
    folder = PurePosixPath(root, "roomd", "page")
    return {
        str(PurePosixPath(name).relative_to(folder)) for name in names if PurePosixPath(name).is_relative_to(folder)
    }


def test_the_page_is_in_what_is_built(built: Path) -> None:
    """Wheel and source distribution hold each file of the page and of the client, and the schema, as files."""
    page = CHECKOUT / "roomd" / "page"
    client = {f"client/{file.name}" for file in (CHECKOUT / "clients" / "js" / "src").iterdir()}
    expected = {file.name for file in page.iterdir() if file.is_file()} | client
    (wheel,), (source,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        assert archive.read("roomd/storage/schema.sql") == (CHECKOUT / "schema.sql").read_bytes()
        unit = (CHECKOUT / "systemd/roomd.service").read_bytes()
        assert archive.read("roomd/systemd/roomd.service") == unit
    assert [name for name in names if name.endswith(".data/data/share/doc/roomd/docs/how-to/systemd.md")]
    assert page_of(names, "") == expected
    assert not [name for name in names if not name.startswith(("roomd/", "roomd-"))]
    with tarfile.open(source) as archive:
        root = source.name.removesuffix(".tar.gz")
        assert page_of(archive.getnames(), root) == expected
        # to which the package has links
        assert {f"{root}/schema.sql", f"{root}/systemd/roomd.service"} <= set(archive.getnames())
        assert not [name for name in archive.getnames() if "node_modules" in name]


def test_a_checkout_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    """`pip install .` installs the same files as the wheel that `python -m build` makes of the source distribution."""
    build(CHECKOUT, tmp_path, "wheel")
    (wheel,), (other,) = built.glob("*.whl"), tmp_path.glob("*.whl")
    assert names_in(wheel) == names_in(other)


@pytest.fixture
def installed(make_daemon: Callable[..., Daemon], built: Path, tmp_path: Path) -> Daemon:
    """A daemon that runs from the files of the wheel, not from the checkout."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    # A safe path leaves the working directory out, which holds the checkout.
    return make_daemon(PYTHONPATH=str(tmp_path / "installed"), PYTHONSAFEPATH="1", ROOMD_SERVER_DEMO="true")


def get(daemon: Daemon, path: str) -> str:
    """Fetch a file from the daemon, as a browser does; fails unless it is there."""
    request = Request(f"http://127.0.0.1:{daemon.port}{path}", headers={"Accept": "text/html, */*"})
    with urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 200
        text: str = response.read().decode()
        return text


def test_every_module_of_the_page_is_served(installed: Daemon) -> None:
    """Whatever can be reached by import from the page is served, from the installed package."""
    page = get(installed, "/")
    waiting = [urljoin("/", path) for path in re.findall(r'(?:href|src)="([^#"][^"]*)"', page)]
    reached: dict[str, str] = {}
    while waiting:
        path = waiting.pop()
        if path not in reached:
            reached[path] = get(installed, path)
            waiting += [urljoin(path, name) for name in IMPORT.findall(reached[path])]
    assert {"/page.js", "/page.css", "/icon.svg", "/client/roomd.js", "/client/session.js"} <= reached.keys()
    assert len(reached) > 25
