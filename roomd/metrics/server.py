"""`metrics.listen`: the metrics by HTTP at an address of their own, so that no proxy shows them to everybody."""

import os
import socket
from pathlib import Path

from roomd.admin.server import Operation, OperationServer
from roomd.config import MetricsAddress, is_every_address
from roomd.gateway.listener import AddressUnavailable
from roomd.metrics.exporter import Exporter
from roomd.system.unix_sockets import listen_on

METRICS = "GET /metrics"
"""The operation. The admin interface has it too."""
ANYBODY = 0o666
"""The mode of a Unix socket: as a port of this machine alone, it is for all of its users."""


def metrics_operations(exporter: Exporter) -> dict[str, Operation]:
    """Return the operation that answers with the metrics."""
    return {METRICS: lambda _: exporter.answer()}


async def open_metrics(exporter: Exporter, address: MetricsAddress | None) -> OperationServer:
    """Serve the metrics at an address; at none, return a server that is not open.

    Raises `AddressUnavailable`.
    """
    server = OperationServer(metrics_operations(exporter))
    if address is None:
        return server
    exporter.load()  # now, and not while clients wait
    try:
        await server.open(_listen(address), address if isinstance(address, Path) else None)
    except OSError as exc:
        where = f"unix:{address}" if isinstance(address, Path) else f"{address[0]}:{address[1]}"
        reason = exc.strerror if isinstance(address, Path) else os.strerror(exc.errno or 0)
        raise AddressUnavailable(
            f"metrics.listen: cannot listen on {where}: {reason}; choose another address"
        ) from None
    return server


def _listen(address: MetricsAddress) -> socket.socket:
    if isinstance(address, Path):
        return listen_on(address, ANYBODY)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    both = is_every_address(address[0]) and socket.has_dualstack_ipv6()
    return socket.create_server(address, family=family, dualstack_ipv6=both)
