"""ICE servers: what a browser is told, and what a real coturn makes of it."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomd.config import ConfigError, IceConfig, load
from roomd.ice import Ice, ice_servers, open_ice, time_left
from tests.support.needs import needs
from tests.support.processes import PATIENCE, child, end, free_port, spawn

SECRET = "north-by-north-west!"
STUN = ("stun:stun.example", "stun:stun2.example:3478")
TURN = ("turn:turn.example:3478?transport=udp", "turns:turn.example:5349")


def test_the_credentials_are_what_the_scheme_says() -> None:
    """The username is `<expiry>:<participant>`, the credential its HMAC-SHA1 in base64.

    The same by hand: printf %s 1772534200:01a2b3 | openssl dgst -sha1 -hmac 'north-by-north-west!' -binary | base64
    """
    ice = Ice(stun=STUN, turn=TURN, secret=SECRET.encode(), ttl=3600)
    assert msgspec.to_builtins(ice_servers(ice, "01a2b3", 1_772_530_600.0, 1_772_530_600.0)) == [
        {"urls": list(STUN)},
        {"urls": list(TURN), "username": "1772534200:01a2b3", "credential": "85Z9oxDOUbcwZmfr57nHw9a2zu0="},
    ]


def test_without_servers_there_are_none() -> None:
    """None are configured by default, and STUN alone needs no credentials."""
    assert ice_servers(open_ice(load().ice), "p", 0.0, 0.0) == []
    assert msgspec.to_builtins(ice_servers(Ice(stun=STUN), "p", 0.0, 0.0)) == [{"urls": list(STUN)}]


def test_credentials_are_each_participants_own_and_last_the_whole_ttl() -> None:
    """No two participants have the same, and a fraction of a second takes nothing from the time they are good for."""
    ice = Ice(turn=TURN, secret=SECRET.encode(), ttl=60)
    [one], [other] = (ice_servers(ice, name, 1000.001, 1000.001) for name in ("one", "other"))
    assert (one.username, other.username) == ("1061:one", "1061:other")
    assert one.credential != other.credential


def asked(ice: Ice, joined: float, ages: list[float]) -> list[tuple[str | None, int]]:
    """Ask for the servers so many seconds after the join; return the user names and the seconds that are left."""
    found = []
    for age in ages:
        [server] = ice_servers(ice, "p", joined, joined + age)
        found.append((server.username, time_left(ice, joined, joined + age)))
    return found


def test_one_set_for_each_participant_while_it_is_good() -> None:
    """Who asks again gets the same until half of the time is over, also from a daemon that was started again."""
    ice = Ice(turn=TURN, secret=SECRET.encode(), ttl=600)
    first, second = ("1601:p", "1901:p")
    assert asked(ice, 1000.5, [0.0, 0.5, 299.5]) == [(first, 600), (first, 600), (first, 301)]
    assert asked(ice, 1000.5, [300.0, 599.5]) == [(second, 600), (second, 301)]
    assert asked(ice, 1000.5, [-500.5]) == [("1001:p", 501)], "the clock was set back"
    assert time_left(Ice(stun=STUN, ttl=600), 1000.0, 1000.0) == 600


def test_how_long_credentials_last() -> None:
    """An hour at first, twice as long after twice as long, the configured time at most. Half of it may be over."""
    ice = Ice(turn=TURN, secret=SECRET.encode(), ttl=21_600)
    hours = {0: 1.0, 1: 1.0, 2: 2.0, 3: 2.0, 4: 4.0, 6: 4.0, 8: 4.0, 9: 6.0, 12: 6.0, 24: 6.0}
    left = [time for _, time in asked(ice, 1000.0, [3600.0 * hour for hour in hours])]
    assert left == [3600 * most for most in hours.values()]


@given(st.floats(1e9, 2e9), st.lists(st.floats(0, 1e6), min_size=2), st.integers(60, 86_400))
def test_the_sets_of_a_participant(joined: float, ages: list[float], ttl: int) -> None:
    """At least half of a time is left, and at most all of it; the set never ends before one that was given earlier."""
    ice = Ice(turn=TURN, secret=SECRET.encode(), ttl=ttl)
    found = asked(ice, joined, sorted(ages))
    for age, (_, left) in zip(sorted(ages), found, strict=True):
        assert min(1800, ttl / 2) - 1 <= left <= min(ttl, max(3600, age)) + 1
    ends = [int(str(username).removesuffix(":p")) for username, _ in found]
    assert ends == sorted(ends)


def test_the_secret_comes_from_the_configuration_or_a_file(tmp_path: Path) -> None:
    """Both give the same; the file may end with a newline."""
    file = tmp_path / "turn.secret"
    file.touch(mode=0o600)
    file.write_text(f"{SECRET}\n")
    direct = open_ice(IceConfig(stun=STUN, turn=TURN, turn_secret=SECRET, turn_ttl=60))
    assert direct == Ice(STUN, TURN, SECRET.encode(), 60)
    assert open_ice(IceConfig(stun=STUN, turn=TURN, turn_secret_file=str(file), turn_ttl=60)) == direct


BAD_FILES: dict[str, tuple[str, int, str]] = {
    "open to others": (SECRET, 0o640, "others can read it (mode 0640); run `chmod 600 "),
    "too short": ("north-by-north-west", 0o600, "must be at least 20 bytes; `openssl rand -hex 32` makes one"),
}


@pytest.mark.parametrize(("content", "mode", "message"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_secret_files(tmp_path: Path, content: str, mode: int, message: str) -> None:
    """A secret that must not be used stops the start with the key, the file and what to do."""
    file = tmp_path / "turn.secret"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        open_ice(IceConfig(turn=TURN, turn_secret_file=str(file)))
    assert str(caught.value).startswith(f"ice.turn_secret_file: {file}: {message}")


def test_a_secret_file_that_is_not_there(tmp_path: Path) -> None:
    """Nothing is made in its place: the TURN server would not know it."""
    with pytest.raises(ConfigError, match="none: cannot be read: No such file or directory"):
        open_ice(IceConfig(turn=TURN, turn_secret_file=str(tmp_path / "none")))
    assert not list(tmp_path.iterdir())


class Coturn:
    """A TURN server on loopback that knows nothing but the secret, and coturn's own client for it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.log = folder / "turnserver.log"
        self._process = spawn(
            [
                "turnserver", "-n", "--use-auth-secret", f"--static-auth-secret={SECRET}", "--realm=roomd.test",
                "--listening-ip=127.0.0.1", f"--listening-port={self.port}", "--relay-ip=127.0.0.1",
                "--allow-loopback-peers", "--no-tls", "--no-dtls", "--no-cli", "--simple-log",
                f"--log-file={self.log}", f"--pidfile={folder / 'turnserver.pid'}", f"--userdb={folder / 'turndb'}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            self._wait_answer()
        except BaseException:
            self.close()
            raise

    def _wait_answer(self) -> None:
        """Ask as any STUN client would (RFC 8489, section 6: a binding request) until there is an answer."""
        deadline = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(0.2)
            while True:
                client.sendto(b"\x00\x01\x00\x00\x21\x12\xa4\x42" + os.urandom(12), ("127.0.0.1", self.port))
                with contextlib.suppress(TimeoutError):
                    assert client.recv(2048).startswith(b"\x01\x01"), "not the answer to a binding request"
                    return
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "coturn does not answer"

    async def allocate(self, username: str, credential: str) -> tuple[int, str]:
        """Ask for a relayed address by coturn's client; return its exit code and what it said.

        It is ended (-15) as soon as it is connected: it would wait up to six seconds before it sends anything.
        """
        command = [
            "turnutils_uclient", "-v", "-X", "-c", "-e", "127.0.0.1", "-p", str(self.port),
            "-u", username, "-w", credential, "127.0.0.1",
        ]  # fmt: skip
        said = ""
        async with asyncio.timeout(PATIENCE), child(*command, stdout=asyncio.subprocess.PIPE) as client:
            assert client.stdout is not None
            async for line in client.stdout:
                said += line.decode()
                if "Total connect time" in said:
                    client.terminate()
                    break
            return await client.wait(), said

    def close(self) -> None:
        """Stop the server."""
        end(self._process)


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    """One TURN server for all tests."""
    server = Coturn(tmp_path_factory.mktemp("coturn"))
    yield server
    server.close()


def credentials(secret: str, made: float) -> tuple[str, str]:
    """Mint credentials as roomd would have at the time `made`, good for a minute."""
    config = IceConfig(turn=("turn:127.0.0.1",), turn_secret=secret, turn_ttl=60)
    [server] = ice_servers(open_ice(config), "01a2b3", made, made)
    assert server.username is not None
    assert server.credential is not None
    return server.username, server.credential


@needs("turnserver", "coturn")
async def test_coturn_relays_for_minted_credentials(coturn: Coturn) -> None:
    """A real TURN server gives an address, and way through it, to whoever has credentials that are still good."""
    code, said = await coturn.allocate(*credentials(SECRET, time.time()))
    assert code == -signal.SIGTERM, said
    steps = [
        r"Received relay addr: 127\.0\.0\.1:\d+",
        "refresh response received: ",
        "cb response received: ",
        "success",
    ]
    assert re.search(".*".join(steps), said, re.DOTALL), said
    assert "ERROR" not in said


# coturn counts in whole seconds, and takes credentials until the end of the last one
REFUSED: dict[str, tuple[str, float]] = {
    "expired": (SECRET, -62.0),
    "made with another secret": (SECRET[::-1], 0.0),
}


@needs("turnserver", "coturn")
@pytest.mark.parametrize(("secret", "age"), REFUSED.values(), ids=REFUSED.keys())
async def test_coturn_refuses(coturn: Coturn, secret: str, age: float) -> None:
    """Credentials whose time is over, or that roomd did not make, get no address."""
    username, credential = credentials(secret, time.time() + age)
    code, said = await coturn.allocate(username, credential)
    assert code == 255, said
    assert "ERROR: Cannot complete Allocation" in said
    assert "relay addr" not in said
    assert f"Cannot find credentials of user <{username}>" in coturn.log.read_text()


@needs("turnserver", "coturn")
async def test_coturn_refuses_a_later_expiry(coturn: Coturn) -> None:
    """Nobody can make their own credentials last longer: the expiry is what the credential vouches for."""
    username, credential = credentials(SECRET, time.time())
    expiry, participant = username.split(":")
    code, said = await coturn.allocate(f"{int(expiry) + 3600}:{participant}", credential)
    assert code == 255, said
    assert "ERROR: Cannot complete Allocation" in said
