"""The OpenAPI document (`roomd.protocol.openapi`) is valid, and a generator makes a client of it that works."""

import copy
import json
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from roomd.protocol import requests
from roomd.protocol.codec import decode_body
from roomd.protocol.log_events import AnyLogEvent
from roomd.protocol.openapi import EVENTS, PREFIX, document
from roomd.protocol.requests import BY_HTTP, tag_of
from tests.support.daemon import Daemon
from tests.support.node import CHECKOUT
from tests.support.schemas import Json, references

DOCUMENT = document()


def errors(found: Json) -> Iterator[str]:
    """Find what is wrong with a document, by the kept validator."""
    return (error.message for error in OpenAPIV31SpecValidator(found).iter_errors())


def test_document_is_openapi() -> None:
    """The document is valid under the official schema of its version, and it is JSON."""
    made = document()
    assert made == DOCUMENT
    assert list(errors(json.loads(json.dumps(made)))) == []


BREAKS: dict[str, Callable[[Json], Any]] = {
    "no title": lambda broken: broken["info"].pop("title"),
    "no responses": lambda broken: broken["paths"]["/api/v1/get-room"]["post"].update(responses=[]),
    "a scheme of no type": lambda broken: broken["components"]["securitySchemes"]["bearer"].pop("type"),
    "a schema that is none": lambda broken: broken["components"]["schemas"]["Room"].update(type="room"),
}


@pytest.mark.parametrize("damage", BREAKS.values(), ids=BREAKS)
def test_the_validator_finds_errors(damage: Callable[[Json], Any]) -> None:
    """An invalid document is not valid."""
    broken = copy.deepcopy(DOCUMENT)
    damage(broken)
    assert any(errors(broken))


def resolved(value: Any) -> Any:
    """Return what a reference points to; any other value as it is."""
    while isinstance(value, dict) and "$ref" in value:
        found: Any = DOCUMENT
        for key in value["$ref"].removeprefix("#/").split("/"):
            found = found[key]
        value = found
    return value


def test_every_request_without_a_socket_has_its_operation() -> None:
    """Each has a path with its type, its own replies, every error, and a body."""
    assert list(DOCUMENT["paths"]) == [*(PREFIX + tag_of(request) for request in BY_HTTP), EVENTS]
    for request in BY_HTTP:
        operation = DOCUMENT["paths"][PREFIX + tag_of(request)]["post"]
        names = [ref.rsplit("/")[-1] for ref in references(operation["responses"]["200"])]
        assert names == [reply.__name__ for reply in request.answers]
        assert {"400", "401", "403", "404", "413", "415", "429", "503"} <= operation["responses"].keys()
        assert operation["summary"]
    assert all(resolved({"$ref": ref}) for ref in references(DOCUMENT))


def test_the_event_log_has_its_operation() -> None:
    """Its parameters, a part of the log with every kind of event, and every error."""
    operation = DOCUMENT["paths"][EVENTS]["get"]
    assert [one["name"] for one in operation["parameters"]] == ["after", "limit", "wait", "room"]
    page = resolved(operation["responses"]["200"]["content"]["application/json"]["schema"])
    assert page["required"] == ["events", "next"]
    assert resolved(page["properties"]["events"]["items"])["discriminator"]["mapping"].keys() == {
        kind.__struct_config__.tag for kind in AnyLogEvent.__args__
    }
    assert {"400", "401", "403", "404", "410", "429", "503"} <= operation["responses"].keys()


def test_examples_are_read() -> None:
    """The example of each body is valid under its schema, and the daemon reads it."""
    for request in BY_HTTP:
        content = DOCUMENT["paths"][PREFIX + tag_of(request)]["post"]["requestBody"]["content"]["application/json"]
        schema = {"components": DOCUMENT["components"], **content["schema"]}
        assert [error.message for error in Draft202012Validator(schema).iter_errors(content["example"])] == []
        assert type(decode_body(request, json.dumps(content["example"]).encode())) is request


def test_the_room_is_named() -> None:
    """By HTTP no request is about the room of a seat: `code` is required, and `type` and `id` are no keys."""
    schemas = DOCUMENT["components"]["schemas"]
    for request in BY_HTTP:
        assert not {"type", "id"} & schemas[request.__name__]["properties"].keys()
        if issubclass(request, requests.HostRequest):
            assert "code" in schemas[request.__name__]["required"]
    assert "required" not in schemas["ListRooms"]


def test_everything_has_a_name() -> None:
    """Objects and enumerations are schemas of their own, so that no generator makes up a name."""
    for schema in DOCUMENT["components"]["schemas"].values():
        for inner in schema.get("properties", {}).values():
            assert "enum" not in inner
            assert "properties" not in inner


GENERATOR = CHECKOUT / ".venv-generators" / "bin" / "openapi-python-client"
"""It needs an older Typer than roomd, so it has an environment of its own."""
PROGRAM = """
import sys

from roomd_api import AuthenticatedClient
from roomd_api.api.events import list_events
from roomd_api.api.rooms import create_room, end_room, list_bans, list_rooms
from roomd_api.models import BansReply, CreateRoom, EndRoom, ErrorReply, EventsPage, ListBans, ListRooms
from roomd_api.models import RoomReply, RoomsReply

url, token = sys.argv[1:]
with AuthenticatedClient(base_url=url, token=token) as client:
    created = create_room.sync(client=client, body=CreateRoom(name="Weekly", max_participants=5))
    assert isinstance(created, RoomReply), created
    assert (created.room.name, created.room.max_participants, created.room.host_id) == ("Weekly", 5, "alice")
    listed = list_rooms.sync(client=client, body=ListRooms(is_active=True))
    assert isinstance(listed, RoomsReply), listed
    assert created.room.code in [room.code for room in listed.rooms]
    page = list_events.sync(client=client, room=[created.room.code], after="latest", limit=10, wait=0)
    assert isinstance(page, EventsPage), page
    assert page.events == []
    page = list_events.sync(client=client, room=[created.room.code])
    assert [event.type_ for event in page.events] == ["room-created"], page
    bans = list_bans.sync(client=client, body=ListBans(code=created.room.code))
    assert isinstance(bans, BansReply), bans
    refused = end_room.sync_detailed(client=client, body=EndRoom(code="aaa-bbb-ccc"))
    assert refused.status_code == 404
    assert isinstance(refused.parsed, ErrorReply)
    assert refused.parsed.code.value == "room_not_found"
    print(created.room.code)
"""


@pytest.mark.nightly
@pytest.mark.skipif(not GENERATOR.exists(), reason="needs openapi-python-client: `make coverage` installs it there")
def test_a_generated_client(daemon: Daemon, tmp_path: Path) -> None:
    """openapi-python-client makes a client of the document that the daemon serves, and it creates a room."""
    url = daemon.url.replace("ws://", "http://").removesuffix("/ws")
    with urllib.request.urlopen(f"{url}/openapi.json") as served:
        (tmp_path / "openapi.json").write_bytes(served.read())
    generate = [str(GENERATOR), "generate", "--meta", "none"]
    generate += ["--path", str(tmp_path / "openapi.json"), "--output-path", str(tmp_path / "roomd_api")]
    environ = {"PATH": f"{GENERATOR.parent}:/usr/bin:/bin"}
    made = subprocess.run(generate, env=environ, capture_output=True, text=True, timeout=120, check=True)
    assert "Warning" not in made.stdout + made.stderr
    command = [str(GENERATOR.with_name("python")), "-c", PROGRAM, url, daemon.token("alice")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.stdout.count("-") == 2
