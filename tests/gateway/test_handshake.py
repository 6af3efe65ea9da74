"""The opening handshake: one library object answers many, and none sees what another did wrong."""

from typing import Any

import pytest
from websockets.datastructures import Headers, MultipleValuesError

from roomd.gateway.handshake import Handshake, find_token
from roomd.gateway.http.request import Fields, Request

GOOD = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(*more: tuple[str, str], **changes: str | None) -> Request:
    """Make a handshake with some header fields changed, left out, or there once `more`."""
    fields: dict[str, Any] = {**GOOD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    given = [*((name, value) for name, value in fields.items() if value is not None), *more]
    return Request("GET", "/ws", Fields((name.encode(), value.encode()) for name, value in given), "HTTP/1.1")


BAD: dict[str, tuple[Request, int]] = {
    "no key": (request(Sec_WebSocket_Key=None), 400),
    "two keys": (request(("sec-websocket-key", GOOD["Sec-WebSocket-Key"])), 400),
    "two versions": (request(("sec-websocket-version", "13")), 400),
    "two origins": (request(("origin", "https://meet.example"), Origin="https://meet.example"), 400),
    "two upgrades": (request(("upgrade", "websocket")), 426),
    "another version": (request(Sec_WebSocket_Version="12"), 400),
    "no upgrade": (request(Connection="close"), 426),
    "another page": (request(Origin="https://other.example"), 403),
    "a body": (request(Content_Length="5"), 400),
    "chunks": (request(Transfer_Encoding="chunked"), 400),
}


@pytest.mark.parametrize(("bad", "status"), BAD.values(), ids=BAD.keys())
def test_handshakes_know_nothing_of_each_other(bad: Request, status: int) -> None:
    """Whatever came before, a good handshake gets 101 with its own key, and a bad one its own status."""
    handshake = Handshake(["https://meet.example"])
    for _ in range(2):
        assert handshake.answer(bad).status_code == status
        for origin in (None, "https://meet.example"):
            answer = handshake.answer(request(Origin=origin))
            assert answer.status_code == 101
            assert answer.headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            assert answer.headers.get_all("Server") == []


def test_the_library_reads_the_fields_as_they_are() -> None:
    """They are a mapping like that of the library, as far as it reads it."""
    fields = Fields([(b"A", b"1"), (b"b", b"2"), (b"a", b"3")])
    copied = Headers([("a", "1"), ("a", "3"), ("b", "2")])
    assert [list(fields), len(fields)] == [list(copied), len(copied)]
    for name in ("A", "b", "c"):
        assert [fields.get_all(name), name in fields] == [copied.get_all(name), name in copied]
    assert [fields["B"], fields.get("c")] == ["2", None]
    with pytest.raises(MultipleValuesError):
        fields["a"]


def test_a_refused_origin_is_logged_within_the_limit(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can cause the line at any rate, so it is one of the logger that is limited."""
    caplog.set_level("INFO")
    Handshake(["https://meet.example"]).answer(request(Origin="https://other.example"))
    assert [(record.name, record.message, record.args) for record in caplog.records] == [
        ("roomd.gateway.limited", "refused", {"code": "origin"})
    ]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("roomd.v1", ["roomd.v1"]), ("chat, roomd.v1", ["roomd.v1"]), ("chat", []), (None, [])],
)
def test_the_subprotocol(offered: str | None, chosen: list[str]) -> None:
    """roomd.v1 is chosen where it is offered, and need not be."""
    answer = Handshake([]).answer(request(Sec_WebSocket_Protocol=offered))
    assert (answer.status_code, answer.headers.get_all("Sec-WebSocket-Protocol")) == (101, chosen)


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ([], None),
        ([("Authorization", "Bearer abc")], "abc"),
        ([("authorization", "bearer  abc ")], "abc"),
        ([("Authorization", "Basic abc")], ""),
        ([("Authorization", "Bearer")], ""),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], ""),
        ([("Sec-WebSocket-Protocol", "roomd.v1, bearer.abc")], "abc"),
        ([("Sec-WebSocket-Protocol", "roomd.v1"), ("Sec-WebSocket-Protocol", "bearer.abc")], "abc"),
        ([("Sec-WebSocket-Protocol", "roomd.v1")], None),
        ([("Authorization", "Bearer abc"), ("Sec-WebSocket-Protocol", "bearer.xyz")], "abc"),
    ],
)
def test_where_a_token_is(fields: list[tuple[str, str]], token: str | None) -> None:
    """A token comes in `Authorization` or among the subprotocols; what is no bearer token is a bad one."""
    assert find_token(Fields((name.encode(), value.encode()) for name, value in fields)) == token
