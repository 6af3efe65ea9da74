"""A backend that signs tokens with RS256 and serves its public keys: pip install "pyjwt[crypto]"; python backend.py"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from jwt.algorithms import RSAAlgorithm

ISSUER, AUDIENCE = "https://app.example", "roomd"


FETCHED_AFTER = 600
"""Seconds after which roomd has a new key for certain: it fetches the set again after 5 minutes."""


class Keys:
    """Private keys in a folder, one file each, named by the time. The public parts of all are in the set."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        if not self.files():
            self.rotate()

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.pem"))

    def rotate(self) -> None:
        """Create a key. Delete the file of the old one when every token that it signed is over."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        file = self.folder / f"{time.time_ns()}.pem"
        file.touch(mode=0o600)
        file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def signing(self) -> Path:
        """Return the newest key that roomd has fetched."""
        files, latest = self.files(), time.time_ns() - FETCHED_AFTER * 1_000_000_000
        fetched = [file for file in files if int(file.stem) < latest]
        return fetched[-1] if fetched else files[0]

    def sign(self, user: str, name: str | None = None, ttl: int = 3600, **grants: Any) -> str:
        """Return a token. `grants` are those of docs/protocol.md, section 2: room, host, admin, metadata …"""
        file = self.signing()
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": user, "exp": int(time.time()) + ttl, "roomd": grants}
        if name is not None:
            claims["name"] = name
        return jwt.encode(claims, file.read_bytes(), algorithm="RS256", headers={"kid": file.stem})

    def public(self) -> dict[str, Any]:
        """Return the public keys as a JSON Web Key Set (RFC 7517)."""
        keys = []
        for file in self.files():
            key = load_pem_private_key(file.read_bytes(), None)
            assert isinstance(key, rsa.RSAPrivateKey)
            jwk = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
            keys.append({**jwk, "kid": file.stem, "alg": "RS256", "use": "sig"})
        return {"keys": keys}


class Backend(BaseHTTPRequestHandler):
    """GET /jwks.json is for roomd. POST /token?room=CODE gives the token to a page of yours."""

    keys: Keys

    def do_GET(self) -> None:
        if self.path == "/jwks.json":
            self.reply(200, self.keys.public())
        else:
            self.reply(404, {})

    def do_POST(self) -> None:
        user = self.headers.get("X-User")  # in your backend: whoever your session says
        path, _, room = self.path.partition("?room=")
        if path != "/token" or not user:
            self.reply(404 if user else 401, {})
        else:
            self.reply(200, {"token": self.keys.sign(user, user.title(), ttl=600, room=room)})

    def reply(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    Backend.keys = Keys(Path("keys"))
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Backend).serve_forever()
