"""The health checks: `/healthz` says that the daemon is alive, `/readyz` whether new clients should come to it."""

import asyncio
from typing import Any

import pytest

from roomd import __version__
from tests.support.port import json_at, opened, run


def test_readiness() -> None:
    """`/readyz` is 503 with the reasons while new clients should not come; `/healthz` says that it is alive."""

    def unready(*reasons: str) -> tuple[int, dict[str, Any]]:
        return 503, {"status": "unavailable", "reasons": list(reasons), "version": __version__}

    async def scene() -> None:
        async with opened(connections=2) as port:
            ready = (200, {"status": "ready", "version": __version__})
            assert await json_at(port, "/readyz") == ready
            await port.connect()  # a stranger gives way
            await port.member()
            assert await json_at(port, "/readyz") == ready
            await port.member()
            assert await json_at(port, "/readyz") == unready("at the connection limit")
            assert (await json_at(port, "/healthz"))[0] == 200
            port.store.failing = port.store.nearly_full = True
            storage = ["the last commit failed", "storage is nearly full"]
            assert await json_at(port, "/readyz") == unready("at the connection limit", *storage)
            for writer in port.writers:
                writer.transport.abort()
            await port.until(lambda: not port.listener.connections)
            assert await json_at(port, "/readyz") == unready(*storage)
            port.store.failing = port.store.nearly_full = False
            assert await json_at(port, "/readyz") == ready
            await port.member()  # who does not answer its close
            reader, late = await port.connect(b"GET /readyz HTTP/1.1\r\n")
            await port.until(lambda: bool(port.listener._http_connections))
            stopping = asyncio.create_task(port.listener.close())
            await port.until(lambda: port.listener._is_stopping)
            late.write(b"\r\n")
            assert b'"reasons":["stopping"]' in await reader.read()
            for writer in port.writers:
                writer.transport.abort()
            await stopping

    run(scene())


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_request_at_the_limit(path: str) -> None:
    """A health check is answered where users have all connections."""

    async def scene() -> None:
        async with opened(connections=1) as port:
            await port.member()
            assert (await json_at(port, path))[1]["version"] == __version__

    run(scene())
