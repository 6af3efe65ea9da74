"""Build the Debian package of roomd: `make deb`, or `python -m debian.build --directory dist`.

The package is for the Debian on which it is built, and has roomd with everything that it depends on, in the versions of
requirements.txt, in a virtual environment in /usr/lib/roomd. Installing it needs neither a compiler nor a network.
"""

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from email import message_from_string
from email.utils import format_datetime
from pathlib import Path

from docs.man import manual
from roomd import __version__
from roomd.cli.units import enabled, units
from roomd.config import default_config

CHECKOUT = Path(__file__).parents[1]
PYTHON = "/usr/bin/python3"
"""Debian's interpreter, which the package uses."""
PROGRAM = "/usr/bin/roomd"
HOME = "/usr/lib/roomd"
"""The virtual environment of the package."""
MAINTAINER = "roomd developers <roomd@packages.invalid>"

COMPRESSION = {"xz": ["-Zxz"], "gzip": ["-Zgzip", "-z1"]}
"""The options of dpkg-deb for each: 20 seconds for 12 MB, or one for 19 MB."""
COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/roomd",
    "zsh": "usr/share/zsh/vendor-completions/_roomd",
    "fish": "usr/share/fish/vendor_completions.d/roomd.fish",
}
"""Where each shell looks for the completion of commands."""
_COMPLETION = "import sys; from roomd.__main__ import main; sys.argv = ['roomd']; main()"
"""The command line under its name. With _ROOMD_COMPLETE it prints the completion for a shell (a rule of Click)."""

CONTROL = """\
Package: roomd
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: libc6 (>= 2.28), init-system-helpers (>= 1.54), python{python}
Recommends: systemd
Section: net
Priority: optional
Description: daemon for meeting rooms over WebSocket
 roomd decides who is in a room and tells everybody in it at once. One process,
 one SQLite file and one port serve it; clients in any language speak JSON over
 WebSocket. A meeting page for browsers is included.
 .
 The package has its own copy of the Python modules that roomd depends on.
"""


class BuildError(Exception):
    """The package cannot be built here. The text says why, and what to do."""


def main() -> None:
    """Build the package and print where it is."""
    parser = argparse.ArgumentParser(prog="python -m debian.build", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--directory", type=Path, default=CHECKOUT / "dist", help="where the package goes")
    parser.add_argument("--compression", default="xz", choices=COMPRESSION, help="xz is smaller, gzip is quick")
    chosen = parser.parse_args()
    try:
        print(build(chosen.directory, chosen.compression))
    except BuildError as error:
        sys.exit(f"make deb: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make deb: {' '.join(map(str, error.cmd))}: exit code {error.returncode}\n{error.stderr}")


def build(directory: Path, compression: str) -> Path:
    """Build the package in `directory`, and return its file. Raises `BuildError`."""
    python, architecture = _python_version(), _run("dpkg", "--print-architecture")
    date = _date()
    os.environ["SOURCE_DATE_EPOCH"] = str(int(date.timestamp()))  # of all times in the package
    file = directory.resolve() / f"roomd_{debian_version(__version__)}_{architecture}.deb"
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        root.mkdir(mode=0o755)
        _environment(root, python)
        _system_files(root)
        _documents(root, date)
        control = CONTROL.format(
            version=debian_version(__version__),
            architecture=architecture,
            maintainer=MAINTAINER,
            size=sum(path.lstat().st_size for path in root.rglob("*")) // 1024,
            python=python,
        )
        _control_files(root, control)
        for path in root.rglob("*"):
            os.utime(path, (date.timestamp(),) * 2, follow_symlinks=False)
        _run("dpkg-deb", "--root-owner-group", *COMPRESSION[compression], "--build", root, file)
    return file


def debian_version(version: str) -> str:
    """Return the version of the package, in which a release candidate comes before its release (deb-version(7))."""
    return re.sub(r"\.?(a|b|rc|dev)(\d)", r"~\1\2", version) + "-1"


def _run(*command: str | Path, cwd: Path | None = None, **environ: str) -> str:
    """Run a command, and return what it prints. Raises `subprocess.CalledProcessError` when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env={**os.environ, **environ})
    return done.stdout.strip()


def _python_version() -> str:
    """Return the version of Debian's Python, like 3.11."""
    missing = [program for program in ("dpkg-deb", "dpkg") if shutil.which(program) is None]
    if missing or not Path(PYTHON).exists():
        raise BuildError("is for Debian 12 or newer, on which it needs: sudo apt-get install dpkg python3")
    version = _run(PYTHON, "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    if tuple(map(int, version.split("."))) < (3, 11):
        raise BuildError(f"is for Debian 12 or newer: {PYTHON} is {version}, and roomd needs 3.11")
    return version


def _date() -> datetime:
    """Return when the sources changed last: $SOURCE_DATE_EPOCH, or the time of the last commit, or of the changelog."""
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        return datetime.fromtimestamp(int(epoch), UTC)
    try:
        return datetime.fromtimestamp(int(_run("git", "-C", CHECKOUT, "log", "-1", "--format=%ct")), UTC)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return datetime.fromtimestamp(int((CHECKOUT / "CHANGELOG.md").stat().st_mtime), UTC)


def _environment(root: Path, python: str) -> None:
    """Make the virtual environment: the project's wheel and what it depends on, compiled for Debian's Python."""
    home = root / HOME[1:]
    site = home / f"lib/python{python}/site-packages"
    site.mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python").symlink_to(f"../../../bin/python{python}")
    (home / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {python}\n")
    pip = (sys.executable, "-m", "pip", "--python", PYTHON, "--disable-pip-version-check", "--quiet")
    with tempfile.TemporaryDirectory() as wheels:
        locked = ("--require-hashes", "--requirement", CHECKOUT / "requirements.txt")
        _run(*pip, "download", "--only-binary", ":all:", *locked, "--dest", wheels)
        _run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", wheels, cwd=CHECKOUT)
        # Of what is locked, this takes what roomd depends on, and leaves out what only builds it.
        found = ("--no-index", "--find-links", wheels)
        _run(*pip, "install", "--no-compile", "--root-user-action", "ignore", "--target", site, *found, "roomd")
    shutil.rmtree(site / "bin")
    for name in ("direct_url.json", "INSTALLER", "RECORD", "REQUESTED"):
        for file in site.glob(f"*.dist-info/{name}"):
            file.unlink()
    # The service cannot write bytecode, and neither can other users.
    _run(PYTHON, "-m", "compileall", "-q", "-j0", "--invalidation-mode=unchecked-hash", "-s", root, "-p", "/", site)


def _write(root: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Write a file of the package, and the folders above it."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(text.encode(), mtime=0) if path.endswith(".gz") else text.encode())
    file.chmod(mode)


def _system_files(root: Path) -> None:
    """Write the program, the units, the configuration and the completions."""
    _write(root, PROGRAM[1:], f"#!{HOME}/bin/python -I\nfrom roomd.__main__ import main\n\nmain()\n", 0o755)
    for name, text in units(PROGRAM).items():
        _write(root, f"lib/systemd/system/{name}", text)
    _write(root, "etc/roomd/roomd.toml", default_config())
    for shell, path in COMPLETIONS.items():
        script = _run(sys.executable, "-c", _COMPLETION, _ROOMD_COMPLETE=f"source_{shell}")
        _write(root, path, f"{script}\n")


def _documents(root: Path, date: datetime) -> None:
    """Write the manual page, the documents, the licences and the changelogs."""
    _write(root, "usr/share/man/man1/roomd.1.gz", manual(f"{date:%Y-%m-%d}"))
    documents = "usr/share/doc/roomd"
    for file in [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]:
        _write(root, f"{documents}/{file.relative_to(CHECKOUT)}", file.read_text(encoding="utf-8"))
    _write(root, f"{documents}/changelog.gz", (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8"))
    version = debian_version(__version__)
    entry = f"roomd ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n"
    _write(root, f"{documents}/changelog.Debian.gz", f"{entry} -- {MAINTAINER}  {format_datetime(date)}\n")
    _write(root, f"{documents}/copyright", _copyright(root))
    _write(root, "usr/share/lintian/overrides/roomd", (CHECKOUT / "debian/lintian-overrides").read_text())


def _copyright(root: Path) -> str:
    """Return the licence of roomd, and those of the modules that the package has copies of."""
    text = f"{(CHECKOUT / 'LICENSE').read_text()}\nThe package has copies of:\n"
    for file in sorted((root / HOME[1:]).rglob("*.dist-info/METADATA")):
        about = message_from_string(file.read_text(encoding="utf-8"))
        if about["Name"] != "roomd":
            terms = about["License-Expression"] or about["License"] or _classified(about.get_all("Classifier", []))
            text += f"\n{about['Name']} {about['Version']}: {terms}\n  /{file.parent.relative_to(root)}\n"
    return f"{text}\nThe text of Apache-2.0 is in /usr/share/common-licenses/Apache-2.0.\n"


def _classified(classifiers: list[str]) -> str:
    """Return the licence that the classifiers of a distribution name."""
    return ", ".join(one.rpartition(" :: ")[2] for one in classifiers if one.startswith("License :: "))


def _control_files(root: Path, control: str) -> None:
    """Write what dpkg reads: the maintainer scripts with the names of the units, conffiles, and sums of all files."""
    sums = "".join(
        f"{hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()}  {file.relative_to(root)}\n"
        for file in sorted(root.rglob("*"))
        if file.is_file() and not file.is_symlink() and not file.is_relative_to(root / "etc")
    )
    _write(root, "DEBIAN/control", control)
    _write(root, "DEBIAN/conffiles", "/etc/roomd/roomd.toml\n")
    _write(root, "DEBIAN/md5sums", sums)
    texts = units(PROGRAM)
    lists = {
        "@ENABLED@": enabled(texts),
        "@SOCKETS@": [name for name in texts if name.endswith(".socket")],
        "@UNITS@": texts,
    }
    for name in ("postinst", "prerm", "postrm"):
        script = (CHECKOUT / "debian" / name).read_text(encoding="utf-8")
        for mark, names in lists.items():
            script = script.replace(mark, " ".join(names))
        _write(root, f"DEBIAN/{name}", script, 0o755)


if __name__ == "__main__":
    main()
