"""Webhooks are signed as the libraries of Standard Webhooks check it: Python's and JavaScript's."""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from roomd.eventlog.webhooks.signing import sign
from tests.support.needs import needs
from tests.support.node import MODULES, node
from tests.support.receiver import OTHER_SIGNING, SIGNING

ID = "01985c3f8a2b4c5d6e7f8091"
BODY = '{"id":"01985c3f8a2b4c5d6e7f8091","type":"room-created","room":{"name":"Zoë 🎉"}}'.encode()
needs_library = pytest.mark.skipif(
    not (MODULES / "standardwebhooks").exists(), reason="needs clients/js/node_modules: `make lint`"
)


def raw(secret: str) -> bytes:
    """Return the bytes of a secret."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def signed(*secrets: str, age: float = 0.0) -> dict[str, str]:
    """Return the headers of a webhook that was signed so many seconds ago."""
    return sign(ID, int(time.time() - age), BODY, [raw(secret) for secret in secrets])


def forged() -> dict[str, tuple[dict[str, str], bytes]]:
    """Return the headers and bodies that must be refused."""
    return {
        "another body": (signed(SIGNING), BODY.replace(b"created", b"deleted")),
        "another id": ({**signed(SIGNING), "webhook-id": "01985c3f8a2b4c5d6e7f8092"}, BODY),
        "another time": ({**signed(SIGNING), "webhook-timestamp": str(int(time.time()) + 1)}, BODY),
        "another secret": (signed(OTHER_SIGNING), BODY),
        "no signature": ({**signed(SIGNING), "webhook-signature": ""}, BODY),
        "replayed later": (signed(SIGNING, age=301), BODY),
        "from the future": (signed(SIGNING, age=-600), BODY),
    }


def genuine() -> dict[str, dict[str, str]]:
    """Return the headers that must be taken."""
    return {
        "one secret": signed(SIGNING),
        "two secrets": signed(OTHER_SIGNING, SIGNING),
        "two secrets, the other way": signed(SIGNING, OTHER_SIGNING),
        "some minutes ago": signed(SIGNING, age=200),
    }


def test_the_headers() -> None:
    """The id of the event, the time of the attempt, and a signature for each secret."""
    headers = sign(ID, 1_772_534_100, BODY, [raw(SIGNING), raw(OTHER_SIGNING)])
    assert headers["webhook-id"] == ID
    assert headers["webhook-timestamp"] == "1772534100"
    assert re.fullmatch(r"v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=", headers["webhook-signature"])


@pytest.mark.parametrize("case", genuine())
def test_python_takes_it(case: str) -> None:
    assert Webhook(SIGNING).verify(BODY, genuine()[case]) == json.loads(BODY)


@pytest.mark.parametrize("case", forged())
def test_python_refuses_it(case: str) -> None:
    """Altered, forged and replayed ones."""
    headers, body = forged()[case]
    with pytest.raises(WebhookVerificationError):
        Webhook(SIGNING).verify(body, headers)


CHECK = """
import {Webhook} from "standardwebhooks";
import {readFileSync} from "node:fs";
const {secret, cases} = JSON.parse(readFileSync(process.argv[1], "utf8"));
const taken = cases.map(({headers, body}) => {
    try { new Webhook(secret).verify(body, headers); return true; } catch { return false; }
});
console.log(JSON.stringify(taken));
"""


@needs("node", "nodejs")
@needs_library
def test_javascript_agrees(tmp_path: Path) -> None:
    """The npm package takes the same ones, and refuses the same ones."""
    cases: list[dict[str, Any]] = [{"headers": headers, "body": BODY.decode()} for headers in genuine().values()]
    cases += [{"headers": headers, "body": body.decode()} for headers, body in forged().values()]
    file = tmp_path / "cases.json"
    file.write_text(json.dumps({"secret": SIGNING, "cases": cases}))
    taken = json.loads(node("--input-type=module", "-e", CHECK, str(file)))
    assert taken == [True] * len(genuine()) + [False] * len(forged())
