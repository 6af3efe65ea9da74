"""Downloads of key sets: what the other end can cost, by its bytes, its time, its redirects and its number of keys."""

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from roomd.auth.download import LARGEST_DOCUMENT, PIECE, download
from roomd.auth.jwks import MOST_KEYS, FetchedKeys
from roomd.protocol.errors import UNAVAILABLE, Refused

EC = ec.generate_private_key(ec.SECP256R1())
ENDLESS = 800 << 20
"""The bytes of the largest answer."""
SOCKET_BUFFERS = 16 << 20
"""The bytes that can be on their way when the reader stops: more than the kernel's largest buffers."""


class Server:
    """An HTTP server on loopback that answers each path in its own way, and counts the bytes of endless answers."""

    def __init__(self) -> None:
        self.sent = 0
        self.documents: dict[str, bytes] = {}
        self.locations: dict[str, str] = {}
        self.drips: dict[str, bytes] = {}
        """What begins an answer that goes on byte by byte until the client has gone."""
        self._stop = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path in server.drips:
                    self.drip(server.drips[self.path])
                    return
                location = server.locations.get(self.path)
                self.send_response(200 if location is None else 302)
                if location is not None:
                    self.send_header("Location", location)
                if self.path in server.documents:
                    self.send_header("Content-Length", str(len(server.documents[self.path])))
                    self.end_headers()
                    self.wfile.write(server.documents[self.path])
                    return
                self.send_header("Content-Length", str(ENDLESS))
                self.end_headers()
                try:
                    for _ in range(ENDLESS // PIECE):
                        server.sent += self.wfile.write(bytes(PIECE))
                except ConnectionError:
                    self.close_connection = True

            def drip(self, head: bytes) -> None:
                self.close_connection = True
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(head)
                    while not server._stop.wait(0.02):
                        self.wfile.write(b"x")

            def log_message(self, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop, after the answers that are under way."""
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    yield made
    made.close()


def test_a_large_document_is_not_read(server: Server) -> None:
    """Of 800 MB no more is read than a document may have."""
    with pytest.raises(ValueError, match="it has more than 1048576 bytes"):
        download(f"{server.url}/endless", 10)
    server.documents["/largest"] = bytes(LARGEST_DOCUMENT)
    assert len(download(f"{server.url}/largest", 10)) == LARGEST_DOCUMENT
    server.close()
    assert server.sent <= LARGEST_DOCUMENT + SOCKET_BUFFERS


def test_the_body_of_a_redirect_is_not_read(server: Server) -> None:
    """A redirect is followed without its 800 MB, and only to a scheme that is as safe."""
    server.documents["/keys"] = b"{}"
    server.locations |= {"/moved": "/keys", "/away": "ftp://127.0.0.1/keys", "/round": "/round"}
    assert download(f"{server.url}/moved", 10) == b"{}"
    with pytest.raises(ValueError, match="redirects to a scheme that is less safe"):
        download(f"{server.url}/away", 10)
    with pytest.raises(OSError, match="infinite loop"):
        download(f"{server.url}/round", 10)
    server.close()
    assert server.sent <= 20 * SOCKET_BUFFERS


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 200 OK\r\nX-Long:"])
def test_the_time_counts_as_a_whole(server: Server, head: bytes) -> None:
    """Bytes that go on coming do not make a download longer, whether of the document or of its header."""
    server.drips["/slow"] = head
    with pytest.raises(TimeoutError, match=r"it takes more than 0\.3 seconds"):
        download(f"{server.url}/slow", 0.3)


def test_the_time_of_redirects_counts_too(server: Server) -> None:
    """A redirect does not begin the time anew."""
    server.drips["/slow"] = b"HTTP/1.1 200 OK\r\nX-Long:"
    server.locations["/moved"] = "/slow"
    with pytest.raises(TimeoutError, match=r"it takes more than 0\.3 seconds"):
        download(f"{server.url}/moved", 0.3)


@pytest.mark.parametrize("count", [MOST_KEYS, MOST_KEYS + 1])
async def test_the_number_of_keys_is_bounded(server: Server, caplog: pytest.LogCaptureFixture, count: int) -> None:
    """A set with more keys is refused as a whole, since each one could be tried for a token."""
    public: dict[str, Any] = ECAlgorithm.to_jwk(EC.public_key(), as_dict=True)
    server.documents["/keys"] = json.dumps({"keys": [{**public, "kid": str(n)} for n in range(count)]}).encode()
    source = FetchedKeys(f"{server.url}/keys")
    token = jwt.encode({"sub": "alice"}, EC, "ES256", {"kid": "7"})
    if count <= MOST_KEYS:
        assert len(await source.keys_for(token)) == count
        return
    with pytest.raises(Refused) as caught:
        await source.keys_for(token)
    assert caught.value.kind == UNAVAILABLE
    [record] = caplog.records
    assert "it has more than 100 keys" in str(record.args)
