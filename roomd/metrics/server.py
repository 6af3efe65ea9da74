"""`metrics.listen`: the metrics by HTTP at an address of their own, so that no proxy shows them to everybody."""

import logging

from roomd.admin.server import Operation, OperationServer
from roomd.config import ListenAddress
from roomd.gateway.sockets import OpenSockets
from roomd.metrics.exporter import Exporter

log = logging.getLogger("roomd.metrics.server")

ANYBODY = 0o666
"""The mode of a Unix socket: as a port of this machine alone, it is for all of its users."""


def metrics_operations(exporter: Exporter) -> dict[str, Operation]:
    """Return the operation that answers with the metrics. The admin interface has it too."""
    return {"GET /metrics": lambda _: exporter.answer()}


class MetricsServer:
    """Serve the metrics at an address."""

    def __init__(self, exporter: Exporter) -> None:
        self._exporter = exporter
        self._operations = OperationServer(metrics_operations(exporter))
        self._sockets = OpenSockets(self._operations.protocol, section="metrics", flags="")

    async def open(self, address: ListenAddress | None) -> None:
        """Start to listen; without an address do nothing.

        Raises `AddressUnavailable`.
        """
        if address is None:
            return
        self._exporter.load()  # now, and not while clients wait
        await self._sockets.open([address], ANYBODY)
        for opened in self._sockets.addresses:
            log.info("metrics listening", {"address": str(opened)})

    def close(self) -> None:
        """Stop listening, and end every connection. Closing twice is fine."""
        self._sockets.close()
        self._operations.end()
