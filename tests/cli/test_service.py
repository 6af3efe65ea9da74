"""`roomd install-service`: what it would write where, and when it refuses. tests/systemd runs what it installs."""

from pathlib import Path

import pytest

from roomd.cli import service
from roomd.cli.units import WRITTEN_FOR, enabled, units
from roomd.config import ConfigError, default_config, load
from tests.support.commands import MISUSED, roomd

CHECKOUT = Path(__file__).parents[2]
PROGRAM = Path("/srv/roomd/bin/roomd")


def installed(root: Path) -> list[str]:
    """Install below a folder, and return what was said of each file."""
    steps = service.plan(root, PROGRAM)
    for step in steps:
        service.carry_out(step)
    return [step.describe().replace(str(root), "") for step in steps]


def test_each_unit_is_part_of_the_package() -> None:
    """The package has a link to each file of systemd/: ln -s ../../systemd/NAME roomd/systemd/."""
    names = {file.name for file in (CHECKOUT / "systemd").iterdir()}
    assert {file.name for file in (CHECKOUT / "roomd/systemd").iterdir()} == names == set(units(WRITTEN_FOR))
    for name, text in units(WRITTEN_FOR).items():
        assert text == (CHECKOUT / "systemd" / name).read_text(encoding="utf-8")


def test_a_unit_starts_the_program_that_is_installed() -> None:
    """No path of another program is left."""
    for text in units(str(PROGRAM)).values():
        assert "/opt/roomd" not in "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    assert f"\nExecStart={PROGRAM} serve " in units(str(PROGRAM))["roomd.service"]


def test_what_is_enabled_at_once() -> None:
    """Sockets come before services; timers, and services that something else starts, are left out."""
    install = "[Install]\nWantedBy=x"
    texts = {"a.service": install, "a.socket": install, "b.service": "", "b.timer": install}
    assert enabled(texts) == ["a.socket", "a.service"]


def test_a_first_installation(tmp_path: Path) -> None:
    """The units and a configuration are there, which roomd accepts."""
    said = installed(tmp_path)
    assert "write   /etc/systemd/system/roomd.service" in said
    assert said[-1] == "write   /etc/roomd/roomd.toml"
    assert (tmp_path / "etc/roomd/roomd.toml").read_text(encoding="utf-8") == default_config()
    load(tmp_path / "etc/roomd/roomd.toml")
    for name, text in units(str(PROGRAM)).items():
        file = tmp_path / "etc/systemd/system" / name
        assert (file.read_text(encoding="utf-8"), file.stat().st_mode & 0o777) == (text, 0o644)


def test_a_second_installation(tmp_path: Path) -> None:
    """It changes nothing; a unit that differs is replaced and kept, and a configuration stays as it is."""
    installed(tmp_path)
    assert {line.split()[0] for line in installed(tmp_path)} == {"keep"}
    unit, config = tmp_path / "etc/systemd/system/roomd.service", tmp_path / "etc/roomd/roomd.toml"
    unit.write_bytes(b"[Unit]\n# \xff is no UTF-8\n")
    config.write_text("[rooms]\n")
    said = installed(tmp_path)
    assert "replace /etc/systemd/system/roomd.service, and keep roomd.service.old" in said
    assert said[-1] == "keep    /etc/roomd/roomd.toml"
    assert unit.with_name("roomd.service.old").read_bytes() == b"[Unit]\n# \xff is no UTF-8\n"
    assert (unit.read_text(), config.read_text()) == (units(str(PROGRAM))["roomd.service"], "[rooms]\n")
    assert not list(tmp_path.rglob("*.new"))


def test_a_masked_unit_stays_masked(tmp_path: Path) -> None:
    """Somebody decided that it must not run."""
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / "etc/systemd/system/roomd.service").symlink_to("/dev/null")
    with pytest.raises(ConfigError, match=r"is a link, as of a masked unit: .* `systemctl unmask roomd\.service`"):
        service.plan(tmp_path, PROGRAM)


@pytest.mark.parametrize("folder", ["my apps", "100%", "$HOME", 'a"b', "a\\b", "a;b"])
def test_a_program_that_a_unit_cannot_name(folder: str) -> None:
    """systemd would take a part of the path for something else."""
    with pytest.raises(ConfigError, match="a unit of systemd cannot have such a path; install roomd elsewhere"):
        service.check_program(Path("/opt", folder, "bin/roomd"))


@pytest.mark.parametrize("folder", service.HIDDEN)
def test_a_program_that_a_service_does_not_see(folder: str) -> None:
    """The reason is said before a start fails with 203."""
    with pytest.raises(ConfigError, match=rf"^{folder}/x/bin/roomd: a service sees no files in {folder}; install "):
        service.check_program(Path(folder, "x/bin/roomd"))


def test_a_program_that_the_service_s_user_may_not_read(tmp_path: Path) -> None:
    """Each folder on the way, and the file."""
    folder = tmp_path / "closed"
    folder.mkdir()
    file = folder / "roomd"
    file.touch(0o600)
    folder.chmod(0o700)
    assert list(service.closed_to_others(file))[-2:] == [folder, file]
    folder.chmod(0o711)
    file.chmod(0o644)
    assert folder not in list(service.closed_to_others(file))


def test_the_debian_package_needs_none() -> None:
    """It has its units."""
    with pytest.raises(ConfigError, match="the Debian package has installed the service"):
        service.check_program(service.PACKAGED)


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run changes nothing, and says the same of each file as the installation, which says what comes next."""
    service.install(PROGRAM, tmp_path, dry_run=True, user=1)
    dry = capsys.readouterr().out
    assert dry.endswith("\n\nNothing was changed.\n")
    assert not list(tmp_path.iterdir())
    service.install(PROGRAM, tmp_path, dry_run=False, user=1)
    done = capsys.readouterr().out
    assert done.partition("\n\n")[0] == dry.partition("\n\n")[0]
    assert f"  systemctl daemon-reload && systemctl enable --now {' '.join(enabled(units('')))}\n" in done


def test_only_root_installs() -> None:
    """The message has the command to run."""
    with pytest.raises(ConfigError, match=f"only root can install a service: sudo {PROGRAM} install-service "):
        service.install(PROGRAM, Path("/"), dry_run=False, user=1)


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    """The folder of the units is a file, or the root is missing."""
    assert roomd("install-service", "--root", tmp_path / "none").exit_code == MISUSED
    (tmp_path / "etc").write_text("")
    with pytest.raises(ConfigError, match="cannot be written: Not a directory"):
        service.install(PROGRAM, tmp_path, dry_run=False, user=0)
    (tmp_path / "etc").unlink()
    (tmp_path / "etc/systemd/system/roomd.service").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"roomd\.service: cannot be read: Is a directory"):
        service.install(PROGRAM, tmp_path, dry_run=False, user=0)
