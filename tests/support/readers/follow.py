"""A reader that asks for the log: python -m tests.support.readers.follow KIND PORT TOKEN RECORD

It goes on until it is killed, over ends of the daemon, and from the position in its record when it is started again.
"""

import contextlib
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
from websockets.exceptions import WebSocketException

from roomd.cli.access import Access
from roomd.cli.log_reader import LogPage, LogReader
from roomd.client import Unreachable
from tests.support.processes import PATIENCE
from tests.support.readers.record import Record

AGAIN = 0.05
"""Seconds until a reader connects again."""
WAIT = 5
"""Seconds for which a long poll waits."""

Parts = Iterator[Sequence[bytes]]
"""Events as JSON, some at a time."""


def long_poll(port: int, token: str, after: str | None) -> Parts:
    """Read as `roomd events --follow` does. Raises `Unreachable` when there is no daemon at first."""
    with contextlib.closing(LogReader(Access(f"ws://127.0.0.1:{port}/ws", token), [], is_patient=True)) as reader:
        while True:
            page = reader.read(after, WAIT)
            after = page.next
            yield [bytes(event) for event in page.events]


def stream(port: int, token: str, after: str | None) -> Parts:
    """Read Server-Sent Events as a browser does: an event counts when its empty line has come."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "text/event-stream"}
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", "/api/v1/events", headers={**headers, **({"Last-Event-ID": after} if after else {})})
        response = connection.getresponse()
        if response.status >= 500:
            raise OSError(response.status)
        assert response.status == 200, response.read()
        fields: dict[str, str] = {}
        while (line := response.readline().decode()).endswith("\n"):
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                event = json.loads(fields["data"])
                assert (event["position"], event["type"]) == (fields["id"], fields["event"])
                yield [fields["data"].encode()]
                fields = {}


def watch(port: int, token: str, after: str | None) -> Parts:
    """Read on a WebSocket."""
    from websockets.sync.client import connect  # the other readers, which are started often, do without

    headers = {"Authorization": f"Bearer {token}"}
    with connect(f"ws://127.0.0.1:{port}/ws", additional_headers=headers, proxy=None, close_timeout=0) as socket:
        socket.send(json.dumps({"type": "watch", "id": 1, **({"after": after} if after else {})}))
        reply = json.loads(socket.recv())
        assert reply["type"] == "watching", reply
        for text in socket:
            yield [bytes(event) for event in msgspec.json.decode(text, type=LogPage).events]


KINDS: dict[str, Callable[[int, str, str | None], Parts]] = {
    "long-poll": long_poll,
    "stream": stream,
    "watch": watch,
}


def main() -> None:
    """Keep a record."""
    kind, port, token, path = sys.argv[1:]
    with Record(Path(path)) as record:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, WebSocketException, Unreachable):
                for events in KINDS[kind](int(port), token, record.position):
                    record.add(events)
            time.sleep(AGAIN)


if __name__ == "__main__":
    main()
