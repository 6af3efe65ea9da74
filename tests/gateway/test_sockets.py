"""Unix sockets to listen on: their rights, and what is done with the file that is there already."""

import asyncio
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from roomd.config import ListenAddress, TcpAddress, UnixAddress
from roomd.gateway.sockets import AddressUnavailable, OpenSockets

Listening = list[socket.socket]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "http.sock"


@pytest.fixture
def others() -> Iterator[Listening]:
    """Sockets of other programs."""
    opened: Listening = []
    yield opened
    for one in opened:
        one.close()


def listen(others: Listening, path: Path, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Listen as another program does."""
    other = socket.socket(socket.AF_UNIX, kind)
    others.append(other)
    other.bind(str(path))
    if kind == socket.SOCK_STREAM:
        other.listen(0)
    return other


async def opened(*addresses: ListenAddress, mode: int = 0o666) -> OpenSockets:
    sockets = OpenSockets(asyncio.Protocol)
    await sockets.open(addresses, mode)
    return sockets


async def refusal(path: Path) -> str:
    """Return why the path cannot be listened on."""
    with pytest.raises(AddressUnavailable) as caught:
        await opened(UnixAddress(str(path)))
    start = f"server.listen: cannot listen on unix:{path}: "
    assert str(caught.value).startswith(start)
    return str(caught.value).removeprefix(start)


async def is_served(path: Path) -> bool:
    _, writer = await asyncio.open_unix_connection(path)
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.parametrize("mode", [0o666, 0o660])
async def test_rights(path: Path, mode: int) -> None:
    """The socket has the rights of the setting, whatever the umask is, and goes when the daemon stops."""
    before = os.umask(0o077)
    try:
        sockets = await opened(UnixAddress(str(path)), mode=mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == mode
    assert await is_served(path)
    sockets.close()
    sockets.close()
    assert not path.exists()


async def test_beside_tcp(path: Path) -> None:
    """Several addresses are listened on, and each is named with its real port."""
    sockets = await opened(TcpAddress("127.0.0.1", 0), UnixAddress(str(path)), TcpAddress("127.0.0.1", 0))
    first, unix, second = sockets.addresses
    assert unix == UnixAddress(str(path))
    for tcp in (first, second):
        assert isinstance(tcp, TcpAddress)
        _, writer = await asyncio.open_connection(*tcp)
        writer.close()
    assert len({first, second}) == 2
    sockets.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_every_address() -> None:
    """`[::]` is listened on for IPv6 and IPv4, on one port, and both are named."""
    sockets = await opened(TcpAddress("::", 0))
    first, second = sockets.addresses
    assert isinstance(first, TcpAddress)
    assert (first.host, second) == ("::", TcpAddress("0.0.0.0", first.port))
    for host in ("::1", "127.0.0.1"):
        _, writer = await asyncio.open_connection(host, first.port)
        writer.close()
    sockets.close()


async def test_a_socket_that_is_left_over(path: Path, others: Listening) -> None:
    """The file of a daemon that was killed is replaced."""
    listen(others, path).close()
    assert path.is_socket()
    sockets = await opened(UnixAddress(str(path)))
    assert await is_served(path)
    sockets.close()


async def test_a_socket_in_use(path: Path, others: Listening) -> None:
    """That of a running daemon is left alone, also when so many wait there that one more cannot."""
    listen(others, path)
    message = "another process listens there; stop it, or choose another path"
    assert await refusal(path) == message
    waiting = []
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        waiting.append(client)
        if client.connect_ex(str(path)):
            break
    assert await refusal(path) == message
    assert path.is_socket()
    for client in waiting:
        client.close()


async def test_a_socket_of_another_kind(path: Path, others: Listening) -> None:
    """What cannot be asked whether it is in use is left alone."""
    listen(others, path, socket.SOCK_DGRAM)
    assert "remove the file, or choose another path" in await refusal(path)
    assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "pipe"])
async def test_what_is_no_socket_is_never_removed(path: Path, kind: str) -> None:
    """A file of another kind stays, and the message says what to do."""
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(path.parent / "nowhere")
        case _:
            os.mkfifo(path)
    before = path.lstat()
    assert await refusal(path) == "the file is no socket; remove it, or choose another path"
    assert os.path.samestat(before, path.lstat())


async def test_a_folder_that_is_not_there(path: Path) -> None:
    """The message names the path and the reason."""
    assert await refusal(path / "deeper") == "No such file or directory"


async def test_another_daemon_starts_at_the_same_time(path: Path) -> None:
    """Between its look at the file and its listening nobody else may take the file for one that is left over."""
    lock = path.with_name(f"{path.name}.lock")
    with lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(AddressUnavailable, match="another process opens it at this moment; try again"):
            await opened(UnixAddress(str(path)))
        assert lock.exists()
    (await opened(UnixAddress(str(path)))).close()
    assert not lock.exists()


async def test_another_daemon_has_just_started(path: Path) -> None:
    """The lock of one that has removed its file is no lock: yet another one may have a new file."""
    lock = path.with_name(f"{path.name}.lock")

    def removed(*_: object) -> None:
        lock.unlink()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", removed)
        with pytest.raises(AddressUnavailable, match="another process opens it at this moment"):
            await opened(UnixAddress(str(path)))


async def test_a_backup_beside_it(path: Path) -> None:
    """A backup that is written into the folder for long, and locks it, does not keep a daemon from starting."""
    folder = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    (await opened(UnixAddress(str(path)))).close()
    os.close(folder)


async def test_a_socket_that_was_replaced(path: Path, others: Listening) -> None:
    """Only the own file is removed at the end."""
    sockets = await opened(UnixAddress(str(path)))
    path.unlink()
    listen(others, path)
    sockets.close()
    assert path.is_socket()


async def test_all_or_none(path: Path) -> None:
    """When one address cannot be used, the others are given up too."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(AddressUnavailable, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            await opened(UnixAddress(str(path)), TcpAddress("127.0.0.1", port))
    assert not path.exists()


async def test_inherited_sockets_stay(path: Path, others: Listening) -> None:
    """The file of a socket that somebody else opened is not removed, and who connects later waits there."""
    other = listen(others, path)
    sockets = OpenSockets(asyncio.Protocol)
    await sockets.adopt([other.dup()])
    assert sockets.addresses == [UnixAddress(str(path))]
    assert await is_served(path)
    sockets.close()
    await asyncio.sleep(0)
    assert path.is_socket()
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(str(path))
    waiting.close()
