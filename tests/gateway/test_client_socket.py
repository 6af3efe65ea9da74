"""One WebSocket without a network: how bytes become messages, what waits, and how it ends."""

import asyncio
import random

import msgspec
import pytest

from roomd.config import LimitsConfig
from roomd.gateway.fragments import FRAGMENT_LIMIT, FRAGMENTS_A_REQUEST
from roomd.gateway.framing import SHORT
from roomd.gateway.websocket import FRAMES_A_TURN, PARSE_LIMIT, WAITING_LIMIT
from tests.support.sockets import Recorder, client_frame, turns

PING, PONG, CLOSE = 0x9, 0xA, 0x8
GOODBYE = client_frame(b"\x03\xe8", CLOSE)


def a_conversation(chance: random.Random) -> tuple[bytes, list[str], list[bytes]]:
    """Make up what a client sends: the bytes, its messages, and the payloads of its pings."""
    sent, messages, pings = b"", [], []

    def maybe_ping() -> bytes:
        if chance.random() < 0.7:
            return b""
        pings.append(chance.randbytes(chance.choice([0, 1, 125])))
        return client_frame(pings[-1], PING)

    for _ in range(chance.randint(1, 8)):
        text = "".join(chance.choices('a{}" é€😀\x00', k=chance.choice([0, 1, 40, 124, 125, 126, 900, 5_000])))
        payload = text.encode()
        form = chance.choice([None, None, 16, 64]) if len(payload) < 65_536 else 64
        if chance.random() < 0.5:
            sent += client_frame(payload, size=form)
        else:
            cuts = sorted(chance.choices(range(len(payload) + 1), k=chance.randint(1, 5)))
            parts = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
            for i, part in enumerate(parts):
                sent += client_frame(part, 0 if i else 1, fin=i == len(parts) - 1, size=form) + maybe_ping()
        messages.append(text)
        sent += maybe_ping()
    return sent, messages, pings


@pytest.mark.parametrize("seed", range(40))
async def test_however_the_bytes_come(seed: int) -> None:
    """Any segmentation of any valid frames, lengths in longer form than needed included, gives the same messages."""
    chance = random.Random(seed)
    sent, messages, pings = a_conversation(chance)
    client = Recorder()
    cuts = sorted(chance.choices(range(len(sent) + 1), k=chance.choice([0, 3, 50])))
    client.receive(*(sent[a:b] for a, b in zip([0, *cuts], [*cuts, len(sent)], strict=True)))
    while not client.transport.is_reading:
        await turns()
    await turns()
    client.transport.frames()
    assert (client.messages, client.transport.pongs) == (messages, pings)
    assert (client.ends, client.transport.close_code) == ([], None)
    assert client.counted.bytes == len(sent)
    client.receive(client_frame(b"next"))
    assert client.messages[-1] == "next", "the socket knows that it is between two frames"


async def test_byte_by_byte() -> None:
    """A frame may come in the smallest pieces, and is looked at when it is whole."""
    client = Recorder()
    sent = client_frame(b"one") + client_frame(b"x" * 300) + client_frame(b"", PING) + client_frame(b"y" * 70_000)[:14]
    client.receive(*(sent[i : i + 1] for i in range(len(sent))))
    assert client.messages == ["one", "x" * 300]
    client.transport.frames()
    assert client.transport.close_code == 1009, "the head of the last one was enough"


async def test_a_message_waits_for_the_one_before_it() -> None:
    """While a request is under way the next wait, bounded, with reading paused; control frames are answered at once."""
    client = Recorder()
    first = client.gate = asyncio.get_running_loop().create_future()
    numbers = [str(number) for number in range(WAITING_LIMIT + 5)]
    client.receive(client_frame(b"0"))
    client.receive(client_frame(b"1"), client_frame(b"hello", PING))
    client.transport.frames()
    assert client.transport.pongs == [b"hello"]
    for number in numbers[2:]:
        client.receive(client_frame(number.encode()))
    assert client.messages == ["0"]
    assert not client.transport.is_reading
    client.gate = second = asyncio.get_running_loop().create_future()
    first.set_result(None)
    assert client.messages == ["0"], "what finishes a request serves no other"
    await turns()
    assert client.messages == ["0", "1"]
    client.gate = None
    second.set_result(None)
    await turns()
    assert client.messages == numbers
    assert client.transport.is_reading


@pytest.mark.parametrize("end", ["goodbye", "eof", "lost", "violation"])
async def test_what_was_sent_before_the_end_is_served(end: str) -> None:
    """Messages that wait are served though the client has ended the conversation; then its end is told, once."""
    client = Recorder()
    gate = client.gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"0"), client_frame(b"1"), client_frame(b"2"))
    client.gate = None
    match end:
        case "goodbye":
            client.receive(GOODBYE + client_frame(b"after the end"))
        case "eof":
            client.transport.hang_up()
        case "lost":
            client.transport.lose()
        case _:
            client.receive(client_frame(b"", 0xB))
    await turns()
    assert None not in client.ends
    gate.set_result(None)
    await turns()
    assert client.messages == ["0", "1", "2"]
    client.transport.lose()
    assert [code for code in client.ends if code is None] == [None]
    assert [code for code in client.ends if code is not None] == [{"goodbye": 1000, "violation": 1002}.get(end, 1006)]
    assert not client.socket.is_open


async def test_the_end_is_told_after_the_last_answer() -> None:
    """A message that is still running has its effect before the end of the client has."""
    client = Recorder()
    client.gate = gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"0"), GOODBYE)
    client.transport.lose()
    await turns()
    assert None not in client.ends
    gate.set_result(None)
    await turns()
    assert client.ends.count(None) == 1


@pytest.mark.parametrize("end", [b"", GOODBYE])
async def test_nothing_is_served_behind_what_is_not_utf8(end: bytes) -> None:
    """RFC 6455, section 7.1.7: also where it had waited, and though the client had ended the conversation."""
    client = Recorder()
    gate = client.gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"0"), client_frame(b"\xff"), client_frame(b"2"), end)
    gate.set_result(None)
    await turns()
    assert (client.messages, client.ends) == (["0"], [None])


async def test_our_close_drops_what_waits() -> None:
    """After our close frame only the client's counts; behind that, the end of the stream is written."""
    client = Recorder()
    client.gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"0"), client_frame(b"1"), client_frame(b"half")[:7])
    client.socket.close(4409, "moved")
    client.socket.close(4408, "once only")
    client.gate.set_result(None)
    client.receive(client_frame(b"half")[7:], client_frame(b"{", fin=False), client_frame(b"late", 2))
    await turns()
    assert client.messages == ["0"]
    client.transport.frames()
    assert (client.transport.close_code, client.transport.has_ended) == (4409, False)
    client.receive(client_frame(b"\x11\x39", CLOSE), client_frame(b"later"))
    assert client.transport.has_ended
    assert (client.messages, client.ends) == (["0"], []), "who closes is told nothing"
    client.transport.hang_up()
    assert client.ends == [4409]


async def test_our_close_while_reading_is_paused() -> None:
    """The client's close frame is looked for though messages that waited had reading paused."""
    client = Recorder()
    client.gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"x") * (WAITING_LIMIT + 9))
    assert not client.transport.is_reading
    client.socket.close(4408, "")
    client.receive(client_frame(b"\x11\x38", CLOSE))
    await turns()
    assert client.transport.has_ended
    assert client.messages == ["x"]


async def test_a_flood_is_parsed_in_slices() -> None:
    """However much one client sends at once, the others get their turn in between."""
    for message, slice_ in ((b"", FRAMES_A_TURN), (b"x" * 1_000, PARSE_LIMIT // 1_000 + 1)):
        client = Recorder()
        client.receive(client_frame(message) * (3 * slice_))
        served = [len(client.messages)]
        while not client.transport.is_reading:
            await asyncio.sleep(0)
            served.append(len(client.messages))
        assert served[0] == slice_
        assert len(served) > 2
        assert served[-1] == 3 * slice_


async def test_fragments_join_in_one_buffer() -> None:
    """The limit holds for the message, not for its fragments, and from the head of the one that goes past it."""
    client = Recorder(limit=1000)
    client.receive(client_frame(b"x" * 600, fin=False), client_frame(b"y" * 400, 0))
    assert client.messages == ["x" * 600 + "y" * 400]
    client.receive(client_frame(b"x" * 600, fin=False), client_frame(b"y" * 401, 0, fin=False)[:8])
    client.transport.frames()
    assert client.transport.close_code == 1009
    assert client.ends == [None]


async def test_a_character_cut_by_fragments() -> None:
    """RFC 6455, section 5.6: a fragment need not be UTF-8, the message must."""
    client = Recorder()
    euro = "€".encode()
    client.receive(client_frame(euro[:1], fin=False), client_frame(euro[1:], 0))
    assert client.messages == ["€"]
    client.receive(client_frame(euro[:1], fin=False), client_frame(euro[1:2], 0))
    client.transport.frames()
    assert client.transport.close_code == 1007


async def test_a_flood_of_empty_fragments() -> None:
    """Fragments count against the limit on requests, and a message has so many at most."""
    client = Recorder()
    client.receive(client_frame(b"", fin=False))
    for _ in range(FRAGMENT_LIMIT - 1):
        client.receive(client_frame(b"", 0, fin=False))
    assert client.overheads == FRAGMENT_LIMIT // FRAGMENTS_A_REQUEST
    assert client.counted.frames == FRAGMENT_LIMIT
    client.transport.frames()
    assert client.transport.close_code is None
    client.receive(client_frame(b"", 0))
    client.transport.frames()
    assert client.transport.close_code == 1009
    assert client.messages == []


async def test_control_frames_are_counted() -> None:
    """Pings and pongs cost what requests cost."""
    client = Recorder()
    client.receive(client_frame(b"", PING), client_frame(b"x", PONG), client_frame(b"", PING))
    client.transport.frames()
    assert (client.overheads, client.transport.pongs) == (2 + 1, [b"", b""])


async def test_binary_messages() -> None:
    """A binary message is told in its place, and never decoded."""
    client = Recorder()
    client.receive(client_frame(b"one"), client_frame(b"\xff", 2), client_frame(b"\xff", 2, fin=False))
    client.receive(client_frame(b"", 0), client_frame(b"two"))
    assert client.messages == ["one", None, None, "two"]


async def test_silence_is_counted_in_ticks() -> None:
    """A silent client is pinged, then dropped; any byte ends the silence, and nobody who is not read is silent."""
    client = Recorder()
    for _ in range(8):
        client.socket.tick(8)
    client.transport.frames()
    assert client.transport.pings == 0
    client.socket.tick(8)
    client.receive(client_frame(b"", PONG)[:1])
    for _ in range(16):
        client.socket.tick(8)
    client.transport.frames()
    assert client.transport.pings == 2
    assert not client.transport.is_aborted
    client.socket.tick(8)
    assert client.transport.is_aborted

    held = Recorder()
    held.gate = asyncio.get_running_loop().create_future()
    held.receive(client_frame(b"x") * (WAITING_LIMIT + 9))
    for _ in range(100):
        held.socket.tick(8)
    held.transport.frames()
    assert (held.transport.pings, held.transport.is_aborted) == (0, False)


async def test_what_is_held() -> None:
    """Unfinished frames and messages count, messages that wait for the one under way, and what is not sent."""
    client = Recorder()
    client.gate = asyncio.get_running_loop().create_future()
    client.receive(client_frame(b"x" * 500), client_frame(b"x" * 2_000), client_frame(b"", 2), client_frame(b"x" * 100))
    assert client.socket.held() == 2_100
    client.receive(client_frame(b"x" * 70, fin=False))
    client.transport.unread = 10_000
    assert client.socket.held() == 12_240
    client.receive(client_frame(b"")[:-1])
    assert client.socket.held() == 12_245


async def test_a_closing_client_that_is_not_read_is_aborted() -> None:
    """Who asks for more after a close and does not read is cut off, but not from within a write."""
    client = Recorder()
    client.socket.close(4408, "too slow")
    client.transport.fill(1)
    assert client.socket.is_full
    client.socket.hold_until_drained()
    assert not client.transport.is_aborted
    await turns()
    assert client.transport.is_aborted


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([client_frame(b"{", fin=False), client_frame(b"{}")], 1002),
        ([client_frame(b"{", fin=False), client_frame(b"", 2)], 1002),
        ([client_frame(b"}", 0)], 1002),
        ([client_frame(b"x" * 126, PING)], 1002),
        ([client_frame(b"", PING, fin=False)], 1002),
        ([b"\x91" + client_frame(b"")[1:]], 1002),
        ([b"\x81\x02{}"], 1002),
        ([client_frame(b"\x03", CLOSE)], 1002),
        ([client_frame(b"\x03\xe8\xff", CLOSE)], 1007),
        ([client_frame(b"{", fin=False), GOODBYE], 1002),
        ([client_frame(b"\xff")], 1007),
        ([client_frame(b"\xff" * 2000)], 1007),
        ([client_frame(b"", CLOSE)], 1005),
    ],
)
@pytest.mark.parametrize("first", [b"", client_frame(b"first"), client_frame(b"", PONG)], ids=["alone", "text", "pong"])
async def test_what_ends_a_conversation(frames: list[bytes], code: int, first: bytes) -> None:
    """What breaks RFC 6455 is answered with its close code at once, however the bytes come, and is the end."""
    sent = first + b"".join(frames)
    for pieces in ([sent], [sent[i : i + 1] for i in range(len(sent))], [first, *frames]):
        client = Recorder()
        client.receive(*pieces, client_frame(b"later"))
        client.transport.frames()
        assert (client.transport.close_code, client.transport.has_ended) == (code, True)
        assert client.messages == (["first"] if first == client_frame(b"first") else [])
        assert client.ends == [None]
        assert not client.socket.is_open


def test_a_short_frame_is_within_every_limit() -> None:
    """A short text is decoded without a look at the limit, so no configuration may set a smaller one."""
    assert msgspec.convert({"frame": SHORT}, LimitsConfig).frame == SHORT
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"frame": SHORT - 1}, LimitsConfig)
