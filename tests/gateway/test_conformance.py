"""RFC 6455 by comparison: random client streams, randomly segmented, to our socket and to the library's server.

A failure prints its seed, and `TEST_ROOMD_FUZZ_SEED=<seed> pytest tests/gateway/test_conformance.py` plays it alone.
`TEST_ROOMD_FUZZ=<number>` sets how many examples there are.

What is written, what the handler gets, the end of the stream and the client's close code must be the same, byte for
byte and in the same order, reasons of close frames included. Where roomd differs by design:

    roomd refuses binary messages          every echo server here closes with 1003 in the same words
    after our own close frame, roomd       the library checks all of them and ends the stream at a fault, so it may
    looks at no data frame but its size    answer fewer of the pings behind that; `find_difference` allows for it
    a message has at most 4096 frames      so it has in the library's server, in other words, and not in its protocol;
                                           no script has so many, see test_client_socket.py
    a message may take its time            pings are answered at once and messages later, as by the library's server;
                                           `find_slow_difference` compares what does not depend on it
    long reads are looked at in slices     shows in nothing
"""

import asyncio
import os
import traceback
from collections import Counter

import pytest

from tests.support.echo import LibraryServer, Outcome, run_library, run_ours, run_ours_slowly
from tests.support.fuzz_frames import CLOSE, LIMITS, Script, make_script, shrink

EXAMPLES = int(os.environ.get("TEST_ROOMD_FUZZ", "500"))
"""Scripts that are played; `make nightly` plays 100,000."""
SEED = os.environ.get("TEST_ROOMD_FUZZ_SEED")
PARTS = 4
SERVER_SHARE = 20
"""One of so many scripts is played on the library's own server too, over the network."""
NAMES = (
    "text", "binary", "ping", "pong", "close", "reserved opcode", "control with reserved bits",
    "text with reserved bits", "continuation with reserved bits", "frame without a mask", "frame past the limit",
    "part past the limit", "part up to the limit", "length with its top bit", "text that is not UTF-8",
    "stray continuation", "message inside another", "long control frame", "fragmented control frame",
    "close of one byte", "close with a reason that is not UTF-8", "text that is not ended", "a part of",
    "bit flipped in", "noise",
)  # fmt: skip
"""Pieces that must be among the scripts."""


def seeds(part: int, step: int = 1) -> range:
    """Choose the seeds of one part of the examples."""
    return range(int(SEED), int(SEED) + 1) if SEED else range(part * step, EXAMPLES, PARTS * step)


def find_difference(ours: Outcome, script: Script) -> str | None:
    """Compare with the library's protocol; say what differs."""
    theirs, library = run_library(script)
    if library.failed_after_close:
        # After our own close frame nothing of data frames is looked at but their sizes; the library still checks them
        # and ends the stream at a fault, so it answers fewer of the pings behind it.
        count = len(theirs.frames)
        ours = Outcome(ours.frames[:count], ours.messages, True, theirs.close_code, ours.hung_up_on)
    if ours == theirs:
        return None
    return f"ours:   {_shorten(ours)}\ntheirs: {_shorten(theirs)}"


def find_slow_difference(ours: Outcome, script: Script) -> str | None:
    """Compare what may not depend on how long messages take; say what differs."""
    theirs, _ = run_library(script)
    pongs = theirs.pongs()
    if ours.messages == theirs.messages and ours.pongs()[: len(pongs)] == pongs:
        return None
    return f"ours, slow: {_shorten(ours)}\ntheirs: {_shorten(theirs)}"


def _shorten(outcome: Outcome) -> str:
    frames = [f"{opcode:x} {payload[:30]!r}({len(payload)})" for opcode, payload in outcome.frames]
    messages = [None if message is None else message[:20] for message in outcome.messages]
    return f"{frames} {messages=} {outcome.has_ended=} {outcome.close_code=} {outcome.hung_up_on=}"


class Player:
    """Plays scripts on a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()  # a `Runner` takes half a millisecond for every run
        self._troubles: list[str] = []
        self._loop.set_exception_handler(lambda _, context: self._troubles.append(repr(context)))

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.close()

    def play(self, script: Script) -> str | None:
        """Play a script on our socket; say what differs from the library, or is wrong by itself."""
        self._troubles.clear()
        try:
            difference = find_difference(self._loop.run_until_complete(run_ours(script)), script)
            if difference is None and script.seed % 3 == 0:
                difference = find_slow_difference(self._loop.run_until_complete(run_ours_slowly(script)), script)
        except Exception:  # noqa: BLE001 - whatever the socket raises is a difference
            return traceback.format_exc()
        return difference or "\n".join(self._troubles) or None


def test_the_scripts_are_varied() -> None:
    """The scripts reach every way in which a connection can end, and every kind of piece is among them."""
    names: Counter[str] = Counter()
    ends: Counter[int | None] = Counter()
    for seed in range(500):
        script = make_script(seed)
        outcome, library = run_library(script)
        names.update(piece.name.partition(",")[0].partition(":")[0] for piece in script.pieces)
        closes = [int.from_bytes(payload[:2]) for opcode, payload in outcome.frames if opcode == CLOSE]
        ends[closes[0] if closes else None] += 1
        ends[-1] += library.failed_after_close
    assert min(ends[code] for code in (None, -1, 0, 1002, 1003, 1007, 1009)) >= 5
    assert len(ends) > 12, "codes that the client chose"
    assert min(names[name] for name in NAMES) >= 5
    assert {f"close with {code}" for code in (1004, 1005, 1006, 1015)} <= names.keys()


@pytest.mark.parametrize("part", range(PARTS))
def test_as_the_library_does(part: int) -> None:
    """Messages, replies, pongs, close codes and the end are those of the library, whatever the client sends."""
    with Player() as player:
        for seed in seeds(part):
            script = make_script(seed)
            if player.play(script) is not None:
                script = shrink(script, lambda shorter: player.play(shorter) is not None)
                pytest.fail(f"TEST_ROOMD_FUZZ_SEED={seed}\n{player.play(script)}\n{script.describe()}", pytrace=False)


@pytest.mark.parametrize("part", range(PARTS))
async def test_the_library_does_as_its_server(part: int) -> None:
    """What our socket is compared with is what the library's own server does over the network."""
    async with LibraryServer().opened(*LIMITS) as server:
        for seed in seeds(part, SERVER_SHARE):
            script = make_script(seed)
            outcome = await server.run(script)
            assert outcome == run_library(script)[0], f"TEST_ROOMD_FUZZ_SEED={seed}\n{script.describe()}"
