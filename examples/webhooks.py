"""Keep an attendance table from roomd's webhooks: pip install standardwebhooks; python webhooks.py PORT SECRET-FILE"""

import sqlite3
import sys
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

DATABASE = "attendance.db"
SCHEMA = """
CREATE TABLE IF NOT EXISTS attendance (
    participant_id TEXT PRIMARY KEY, room TEXT, who TEXT, joined_at TEXT, left_at TEXT, reason TEXT
);
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY);
"""
KEEP = """
INSERT INTO attendance VALUES (:id, :room, :who, :joinedAt, :leftAt, :reason)
ON CONFLICT DO UPDATE SET left_at = coalesce(excluded.left_at, left_at), reason = coalesce(excluded.reason, reason)
"""


def keep(db: sqlite3.Connection, event: dict[str, Any]) -> None:
    """Store what an event says together with its id: both or none, so what comes again changes nothing."""
    with db:
        is_new = db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (event["id"],)).rowcount
        if is_new and event["type"] in ("participant-joined", "participant-left"):
            who = event["participant"]
            name = who["userId"] or f"{who['displayName']} (guest)"
            db.execute(KEEP, {**who, "who": name, "room": event["room"]["code"], "reason": event.get("reason")})


class Receiver(BaseHTTPRequestHandler):
    """Stores each event, and answers then."""

    protocol_version = "HTTP/1.1"  # roomd keeps the connection
    webhook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            event = self.webhook.verify(body, dict(self.headers))
        except (WebhookVerificationError, ValueError):  # altered, forged, or more than five minutes old
            return self.answer(400)
        with closing(sqlite3.connect(DATABASE)) as db:
            keep(db, event)
        return self.answer(204)

    def answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    Receiver.webhook = Webhook(Path(sys.argv[2]).read_text().strip())
    with closing(sqlite3.connect(DATABASE)) as db:
        db.executescript(SCHEMA)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
