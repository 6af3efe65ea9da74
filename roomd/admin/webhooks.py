"""What an operator can do with the endpoints of webhooks."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from roomd.admin.operations import asks
from roomd.admin.server import AdminError, Operation, takes
from roomd.engine.ports import StorageFailed
from roomd.eventlog.webhooks.service import NoSuchEndpoint, Webhooks
from roomd.protocol import admin
from roomd.protocol.errors import Refused

T = TypeVar("T")


def webhook_operations(webhooks: Webhooks) -> dict[str, Operation]:
    """Return the operations, by "METHOD /path"."""

    async def status() -> admin.WebhookList:
        return admin.WebhookList(webhooks=await _asked(webhooks.status()))

    async def test(order: admin.WebhookName) -> admin.WebhookTested:
        return await _asked(webhooks.test(order.name))

    return {
        "GET /webhooks": asks(status),
        "POST /webhooks/skip": takes(admin.WebhookMove, _done(lambda order: webhooks.skip(order.name, order.position))),
        "POST /webhooks/replay": takes(
            admin.WebhookMove, _done(lambda order: webhooks.replay(order.name, order.position))
        ),
        "POST /webhooks/enable": takes(admin.WebhookName, _done(lambda order: webhooks.enable(order.name))),
        "POST /webhooks/test": takes(admin.WebhookName, test),
    }


def _done(work: Callable[[T], Awaitable[None]]) -> Callable[[T], Awaitable[admin.Done]]:
    async def run(order: T) -> admin.Done:
        await _asked(work(order))
        return admin.Done()

    return run


async def _asked(work: Awaitable[T]) -> T:
    try:
        return await work
    except NoSuchEndpoint as exc:
        raise AdminError(str(exc)) from None
    except Refused as refused:
        oldest = f"; the oldest is {refused.oldest}" if refused.oldest else ""
        raise AdminError(f"{refused.kind.code}: {refused.message}{oldest}") from None
    except StorageFailed:
        raise AdminError("the database cannot be read or written; the daemon's log says why") from None
