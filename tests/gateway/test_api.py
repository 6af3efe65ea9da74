"""The server API: who is served, what is answered, and what it is charged to (docs/protocol.md, section 10)."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from roomd.auth.tokens import Key
from roomd.protocol.requests import BY_HTTP, REQUESTS, tag_of
from tests.support.api import Answer, ApiStage, request
from tests.support.fakes import FakeKeys


@pytest.fixture
async def stage() -> ApiStage:
    return await ApiStage().open()


async def test_a_reply_is_the_frame_without_an_id(stage: ApiStage) -> None:
    """The response is what the socket answers; 200, JSON, and the connection is kept."""
    client = stage.connect()
    answer = await client.post("get-room", code=stage.code)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    assert "Connection" not in answer.headers
    assert answer.frame["type"] == "room"
    assert answer.frame["room"]["code"] == stage.code
    assert answer.frame["admission"]["allowed"] is True
    assert "id" not in answer.frame
    assert client.is_kept
    created = await client.post("create-room", name="Weekly")
    assert created.frame["room"]["hostId"] == "alice"
    listed = await client.post("list-rooms")
    assert {room["code"] for room in listed.frame["rooms"]} == {stage.code, created.frame["room"]["code"]}


async def test_a_list_of_rooms_with_much_metadata_has_more_pages(stage: ApiStage) -> None:
    """A page has about 256 KiB at most; with the cursors of all, each room is listed once."""
    client = stage.connect()
    made = [stage.code]
    for number in range(100):
        answer = await client.post("create-room", name=f"Room {number}", metadata={"note": "x" * 4000})
        made.append(answer.frame["room"]["code"])
    listed: list[str] = []
    cursor, pages = None, 0
    while not pages or cursor is not None:
        answer = await client.post("list-rooms", limit=200, **({"cursor": cursor} if cursor is not None else {}))
        assert len(answer.body) < 260 * 1024
        listed += [room["code"] for room in answer.frame["rooms"]]
        cursor, pages = answer.frame["nextCursor"], pages + 1
    assert listed == made[::-1]
    assert pages == 2


async def test_a_request_that_needs_no_reply_is_answered_with_ok(stage: ApiStage) -> None:
    """Every request by HTTP has its response, whatever the socket does without an `id`."""
    unban = await stage.connect().post("admit-all", code=stage.code)
    assert (unban.status, unban.frame) == (200, {"type": "ok"})


REFUSED: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "no room": ("get-room", {"code": "aaa-bbb-ccc"}, 404, "room_not_found"),
    "a key is missing": ("get-room", {}, 400, "bad_frame"),
    "a wrong type": ("get-room", {"code": 5}, 400, "bad_frame"),
    "another type": ("get-room", {"type": "end-room", "code": "aaa-bbb-ccc"}, 400, "bad_frame"),
    "nested too deep": ("get-room", {"code": json.loads("[" * 600 + "]" * 600)}, 400, "bad_frame"),
    "wrong settings": ("create-room", {"maxParticipants": 1}, 400, "invalid_settings"),
    "which room": ("list-bans", {}, 400, "bad_frame"),
}


@pytest.mark.parametrize(("kind", "fields", "status", "code"), REFUSED.values(), ids=REFUSED)
async def test_refusals(stage: ApiStage, kind: str, fields: dict[str, Any], status: int, code: str) -> None:
    """A refusal is the `error` frame, its `statusCode` the status, and the connection is kept."""
    client = stage.connect()
    answer = await client.post(kind, **fields)
    assert (answer.status, answer.frame["statusCode"], answer.frame["code"]) == (status, status, code)
    assert client.is_kept
    if kind == "list-bans":
        assert answer.frame["message"] == "Malformed frame: name the room with `code`"


async def test_rights_are_those_of_the_socket(stage: ApiStage) -> None:
    """Another user may not end the room, and an admin may."""
    client = stage.connect()
    assert (await client.post("end-room", stage.token("bob"), code=stage.code)).frame["code"] == "not_host"
    ended = await client.post("end-room", stage.token("root", admin=True), code=stage.code)
    assert ended.frame["room"]["isActive"] is False
    assert client.is_kept, "one connection may bring requests of many users"


BAD_TOKENS = {
    "none": (None, "unauthenticated", 'Bearer realm="roomd"'),
    "nonsense": ("x", "invalid_token", 'Bearer realm="roomd", error="invalid_token"'),
    "expired": ("expired", "token_expired", 'Bearer realm="roomd", error="invalid_token"'),
}


@pytest.mark.parametrize(("token", "code", "challenge"), BAD_TOKENS.values(), ids=BAD_TOKENS)
async def test_without_a_good_token(stage: ApiStage, token: str | None, code: str, challenge: str) -> None:
    """401 says how to authenticate, and ends the connection: only a user's is kept."""
    client = stage.connect()
    if token == "expired":
        token = stage.token(ttl=-60)
    (answer,) = await client.send(request("get-room", token, b'{"code":"aaa-bbb-ccc"}'))
    assert (answer.status, answer.frame["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"] == challenge
    assert answer.headers["Connection"] == "close"
    assert not client.is_kept


async def test_a_token_that_expires_on_a_kept_connection(stage: ApiStage) -> None:
    """It is verified for each request, so it is refused when it has expired."""
    client, token = stage.connect(), stage.token(ttl=100)
    assert (await client.post("get-room", token, code=stage.code)).status == 200
    stage.clock.advance(111)
    answer = await client.post("get-room", token, code=stage.code)
    assert (answer.status, answer.frame["code"]) == (401, "token_expired")


class OtherKeys(FakeKeys):
    """Keys that verify none of the tokens."""

    async def keys_for(self, token: str) -> Sequence[Key]:
        return [Key(b"another secret, of more than 32 bytes!!", "HS256")]


async def test_a_key_that_a_reload_has_removed(stage: ApiStage) -> None:
    """A token is verified again with the new keys, on a connection that is kept too."""
    client, token = stage.connect(), stage.token()
    assert (await client.post("get-room", token, code=stage.code)).status == 200
    stage.services.keys = OtherKeys()
    assert (await client.post("get-room", token, code=stage.code)).frame["code"] == "invalid_token"


HEADERS: dict[str, tuple[bytes, int, str]] = {
    "a form": (b"Content-Type: application/x-www-form-urlencoded\r\n", 415, "application/json"),
    "no type": (b"", 415, "application/json"),
    "two types": (b"Content-Type: application/json\r\nContent-Type: text/plain\r\n", 415, "application/json"),
    "a charset": (b"Content-Type: Application/JSON; charset=utf-8\r\n", 200, ""),
    "an expectation": (b"Content-Type: application/json\r\nExpect: a miracle\r\n", 417, "100-continue"),
}


@pytest.mark.parametrize(("lines", "status", "says"), HEADERS.values(), ids=HEADERS)
async def test_what_a_body_is(stage: ApiStage, lines: bytes, status: int, says: str) -> None:
    """Only JSON is served, and the response says what to send."""
    body = json.dumps({"code": stage.code}).encode()
    head = b"POST /api/v1/get-room HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\n" % stage.token().encode()
    (answer,) = await stage.connect().send(b"%b%bContent-Length: %d\r\n\r\n%b" % (head, lines, len(body), body))
    assert answer.status == status
    assert says in answer.body.decode()


async def test_no_body_is_an_empty_object(stage: ApiStage) -> None:
    """`curl -X POST` without a body serves where no key is required."""
    head = f"POST /api/v1/list-rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stage.token()}\r\n\r\n"
    (answer,) = await stage.connect().send(head.encode())
    assert [room["code"] for room in answer.frame["rooms"]] == [stage.code]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS"])
async def test_other_methods(stage: ApiStage, method: str) -> None:
    """405 says which method is served."""
    client = stage.connect()
    client.transport.receive(f"{method} /api/v1/get-room HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    await stage.idle()
    written = client.transport.written()
    assert written.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: POST\r\n" in written


async def test_types_that_are_not_served(stage: ApiStage) -> None:
    """What needs a seat is not served by HTTP, and the error says so."""
    for kind in REQUESTS:
        if kind.needs_socket:
            (answer,) = await stage.connect().send(request(tag_of(kind), stage.token()))
            assert (answer.status, answer.frame["code"]) == (400, "unknown_type")
            assert "WebSocket" in answer.frame["message"]
    (answer,) = await stage.connect().send(request("nonsense", stage.token()))
    assert "/openapi.json" in answer.frame["message"]


async def test_every_other_type_is_served(stage: ApiStage) -> None:
    """Each request that needs no socket gets a reply of its own or an error, and never an internal one."""
    client = stage.connect()
    for kind in BY_HTTP:
        fields = {"code": stage.code, "participantId": "x", "userId": "bob", "text": "Hello", "externalId": None}
        names = {field.encode_name for field in msgspec.structs.fields(kind)}
        answer = await client.post(tag_of(kind), **{key: value for key, value in fields.items() if key in names})
        assert answer.status < 500, (kind, answer)
        assert answer.frame["type"] in {tag_of(reply) for reply in kind.answers} | {"error"}
        if kind.__name__ in ("EndRoom", "DeleteRoom"):
            stage.code = (await client.post("create-room")).frame["room"]["code"]


# Limits.


async def test_a_user_has_one_account_by_every_way() -> None:
    """Requests by HTTP are charged to the user, on whatever connection they come: 429 says when to try again."""
    stage = await ApiStage(request_rate=1.0, request_burst=1.0).open()
    asked = request("get-room", stage.token(), json.dumps({"code": stage.code}).encode())
    answers: list[Answer] = []
    while not answers or answers[-1].status == 200:
        answers += await stage.connect().send(asked)
        assert len(answers) < 50
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= answers[-1].frame["retryAfter"]
    (other,) = await stage.connect().send(request("get-room", stage.token("bob"), b'{"code":"aaa-bbb-ccc"}'))
    assert other.status == 404, "another user at the same address is not limited"


async def test_guesses_are_charged_to_the_address(stage: ApiStage) -> None:
    """Bad tokens use up the failures of the address, as they do on the socket: then 429 comes, before any 401."""
    stage = await ApiStage(failure_rate=0.1, failure_burst=20.0).open()
    statuses = []
    for _ in range(10):
        (answer,) = await stage.connect().send(request("get-room", "nonsense"))
        statuses.append(answer.status)
    assert statuses[0] == 401
    assert statuses[-1] == 429


async def test_who_is_slowed_is_served_later() -> None:
    """A user over the rate waits for the response, and nothing else of the connection is read meanwhile."""
    stage = await ApiStage(request_rate=20.0, request_burst=1.0).open()
    client = stage.connect()
    asked = request("get-room", stage.token(), json.dumps({"code": stage.code}).encode())
    while await client.send(asked):
        assert client.transport.is_reading
    assert not client.transport.is_reading
    await asyncio.wait_for(client.transport.reading.wait(), 60)
    (late,) = await client.send()
    assert late.status == 200


async def test_a_drain_and_a_stop(stage: ApiStage) -> None:
    """While the daemon is drained no room is created, and what is asked of others goes on."""
    stage.hub.is_draining = True
    client = stage.connect()
    answer = await client.post("create-room")
    assert (answer.status, answer.frame["code"]) == (503, "restarting")
    assert answer.headers["Retry-After"] == "2"
    assert (await client.post("get-room", code=stage.code)).status == 200


async def test_storage_that_fails(stage: ApiStage) -> None:
    """503, and the connection is kept."""
    stage.store.failing = True
    client = stage.connect()
    answer = await client.post("create-room")
    assert (answer.status, answer.frame["code"]) == (503, "unavailable")
    assert client.is_kept


async def test_a_client_that_goes(stage: ApiStage) -> None:
    """A request whose client is gone is carried out, nothing is logged, and nothing of it is left."""
    stage.store.hold()
    client = stage.connect()
    client.transport.receive(request("create-room", stage.token()))
    await asyncio.wait_for(stage.store.reached.wait(), 60)
    client.transport.lose()
    stage.store.let_go()
    await stage.idle()
    assert len(stage.store.rooms) == 2
    assert stage.listener.strangers == 0


# Pages of other origins.


async def test_pages_of_other_origins() -> None:
    """Only a page of an origin that the configuration names may ask, by a preflight, and read the response."""
    stage = await ApiStage(origins=("https://app.example",)).open()
    ask = b"OPTIONS /api/v1/get-room HTTP/1.1\r\nHost: x\r\nOrigin: %b\r\nAccess-Control-Request-Method: POST\r\n\r\n"
    (allowed,) = await stage.connect().send(ask % b"https://app.example")
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"]) == (204, "https://app.example")
    assert allowed.headers["Access-Control-Allow-Headers"] == "Authorization, Content-Type, Last-Event-ID"
    (other,) = await stage.connect().send(ask % b"https://evil.example")
    assert other.status == 405
    assert not [name for name in other.headers if name.startswith("Access-Control")]
    body = json.dumps({"code": stage.code}).encode()
    (read,) = await stage.connect().send(request("get-room", stage.token(), body, Origin="https://app.example"))
    assert read.headers["Access-Control-Allow-Origin"] == "https://app.example"
    (hidden,) = await stage.connect().send(request("get-room", stage.token(), body, Origin="https://evil.example"))
    assert hidden.status == 200
    assert "Access-Control-Allow-Origin" not in hidden.headers


async def test_no_page_of_another_origin_by_default(stage: ApiStage) -> None:
    """Without `server.allowed_origins` no response names an origin."""
    body = json.dumps({"code": stage.code}).encode()
    (answer,) = await stage.connect().send(request("get-room", stage.token(), body, Origin="https://app.example"))
    assert not [name for name in answer.headers if name.startswith("Access-Control")]
