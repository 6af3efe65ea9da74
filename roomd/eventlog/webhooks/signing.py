"""Signatures as Standard Webhooks 1.0.0 says (github.com/standard-webhooks/standard-webhooks)."""

import base64
import hmac
from collections.abc import Sequence


def sign(event_id: str, timestamp: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """Return the headers of a webhook. Each secret gives a signature; during a rotation there are two.

    `timestamp` is that of the attempt, in seconds since the epoch.
    """
    signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
    digests = (hmac.digest(secret, signed, "sha256") for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }
