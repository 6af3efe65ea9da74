"""What was sent and received, a line a frame, with stable names for all that differs from run to run."""

import base64
import hmac
import json
import re
import unicodedata
from typing import Any

TURN_SECRET = "a secret for the TURN server of tests"

_RUN = re.compile(r"(.)\1{99,}", re.DOTALL)
_SECRET = re.compile(r"\b[0-9a-f]{32}\b")
_EPOCH = re.compile(r'"epoch":"([0-9a-f]{24})"')
_ID = re.compile(r"\b[0-9a-f]{24}\b")
_CODE = re.compile(r"\b[a-z]{3}-[a-z]{3}-[a-z]{3}\b")
_NEW_CODE = re.compile(r'"code":"([a-z]{3}-[a-z]{3}-[a-z]{3})"')
_RETRY = re.compile(r'"retryAfter":([0-9.]+)')
_CREDENTIAL = re.compile(r'"username":"(\d+):(\w+)","credential":"([^"]+)"')
_TTL = re.compile(r'"ttl":3[56]\d\d\b')  # an hour, less the time since the set began

_TIMES = ("joinedAt", "leftAt", "createdAt", "endedAt", "sentAt", "bannedAt", "expiresAt", "waitingSince")
_TIME = re.compile(rf'"({"|".join(_TIMES)})":"(\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z)"')
_LOGGED = re.compile(r'"at":"[^"]*"')
"""The time of a log event."""
_KEYS = ("id", "participantId", "userId")
"""What names the object that a time belongs to; the first that the object has."""

CONSTANT_RETRY = {"rate_limited": "1.0", "unavailable": "1.0", "restarting": "2.0"}
"""Values of `retryAfter` that do not come from a clock or from chance; they are kept."""


class Transcript:
    """A growing text.

    Ids, resume secrets, epochs and room codes are numbered in the order of their first appearance, so the same one has
    the same name wherever it stands. A time becomes `<time>`, and `<time 2>` where the same field of the same
    object had another value before. Every other byte stays.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._times: dict[tuple[Any, str], list[str]] = {}
        self._aliases: dict[str, str] = {}

    def __str__(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)

    def heading(self, text: str) -> None:
        """Begin a chapter."""
        self.lines += [*([""] if self.lines else []), f"# {text}", ""]

    def note(self, text: str) -> None:
        """Say what happens beside the frames."""
        self.lines.append(f"  ({self.clean(text)})")

    def sent(self, name: str, text: str) -> None:
        """Add what a client sends."""
        self.lines.append(f"{name} > {self.clean(text)}")

    def received(self, name: str, text: str) -> None:
        """Add what a client receives; ids in it that are new get their names."""
        self._learn(text)
        self.lines.append(f"{name} < {self.clean(self._without_times(text))}")

    def alias(self, text: str, name: str) -> str:
        """Write `name` wherever `text` would stand; returns `text`."""
        self._aliases[text] = name
        return text

    def clean(self, text: str) -> str:
        """Name what differs from run to run, and make one line of it."""
        for literal in sorted(self._aliases, key=len, reverse=True):
            text = text.replace(literal, self._aliases[literal])
        text = _TTL.sub('"ttl":<seconds>', _CREDENTIAL.sub(_checked_credential, text))
        for pattern in (_SECRET, _ID, _CODE):
            text = pattern.sub(lambda match: self._names.get(match[0], match[0]), text)
        text = _RETRY.sub(lambda match: _retry(text, match[1]), text)
        text = _RUN.sub(lambda match: f"<{match[1]} × {len(match[0])}>", text)
        return "".join(f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text)

    def _learn(self, text: str) -> None:
        for kind, pattern in (("epoch", _EPOCH), ("code", _NEW_CODE)):
            for found in pattern.findall(text):
                self._name(kind, found)
        for kind, pattern in (("secret", _SECRET), ("id", _ID)):
            for found in pattern.findall(text):
                self._name(kind, found)

    def _name(self, kind: str, text: str) -> None:
        if text not in self._names:
            self._counts[kind] = number = self._counts.get(kind, 0) + 1
            self._names[text] = f"<{kind} {number}>"

    def _without_times(self, text: str) -> str:
        """Replace the times of objects; they stand in the text in the order in which the parser finishes objects."""
        owners: list[tuple[Any, str]] = []

        def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            key = next((found[name] for name in _KEYS if name in found), None)
            owners.extend((key, name) for name in found if name in _TIMES and isinstance(found[name], str))
            return found

        try:
            json.loads(text, object_pairs_hook=collect)
        except ValueError:
            return text
        order = iter(owners)

        def version(match: re.Match[str]) -> str:
            owner, name = next(order)
            assert name == match[1], text
            values = self._times.setdefault((owner, name), [])
            if match[2] not in values:
                values.append(match[2])
            number = values.index(match[2]) + 1
            return f'"{name}":"<time>"' if number == 1 else f'"{name}":"<time {number}>"'

        return _LOGGED.sub('"at":"<time>"', _TIME.sub(version, text))


def _retry(text: str, value: str) -> str:
    constant = any(f'"code":"{code}"' in text and value == kept for code, kept in CONSTANT_RETRY.items())
    return f'"retryAfter":{value if constant else "<seconds>"}'


def _checked_credential(match: re.Match[str]) -> str:
    """Name a TURN credential that is what the TURN REST scheme says; leave another one as it is."""
    expected = base64.b64encode(hmac.digest(TURN_SECRET.encode(), f"{match[1]}:{match[2]}".encode(), "sha1")).decode()
    if match[3] != expected:
        return match[0]
    return f'"username":"<expiry>:{match[2]}","credential":"<credential>"'


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
