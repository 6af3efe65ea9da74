"""A receiver of webhooks, tested against a real roomd: `pip install roomd pytest standardwebhooks`, then `pytest`."""

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.request import Request, urlopen

import pytest
from standardwebhooks import Webhook

from roomd.testing import Daemon

SECRET = f"whsec_{base64.b64encode(bytes(32)).decode()}"


class Receiver(BaseHTTPRequestHandler):
    """Stands for your backend."""

    events: Queue[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.events.put(Webhook(SECRET).verify(body, dict(self.headers)))
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[int]:
    """Run the receiver, and give its port."""
    Receiver.events = Queue()
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def roomd_settings(receiver: int, tmp_path: Path) -> Mapping[str, Any]:
    """Have roomd send its webhooks there."""
    secret = tmp_path / "webhook.secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    endpoint = {"url": f"http://127.0.0.1:{receiver}/", "secret_files": [str(secret)], "private": True}
    return {"webhooks": {"endpoints": {"backend": endpoint}}}


def test_a_room_that_ends_by_itself(roomd: Daemon) -> None:
    """The backend is told of the end of a room, and why."""
    end = datetime.fromtimestamp(roomd.clock.wall(), UTC) + timedelta(minutes=2)
    headers = {"Authorization": f"Bearer {roomd.token('alice')}", "Content-Type": "application/json"}
    body = json.dumps({"expiresAt": end.isoformat()}).encode()
    urlopen(Request(f"{roomd.http_url}/api/v1/create-room", body, headers)).close()
    assert Receiver.events.get(timeout=10)["type"] == "room-created"
    roomd.clock.advance(120)
    ended = Receiver.events.get(timeout=10)
    assert (ended["type"], ended["reason"]) == ("room-ended", "expired")
