"""An endpoint of webhooks: python -m tests.support.readers.endpoint PORT HOW ODDS RECORD

It answers 2xx only after it has stored the event. HOW is how it serves some of the requests, in the words of
`tests.support.receiver`, and ODDS, from 0 to 1, how many; the others are served well.
"""

import asyncio
import random
import sys
from pathlib import Path

from tests.support.readers.record import Record
from tests.support.receiver import OK, Receiver

MOST = 100_000
"""So many requests are served so by one process; then all are served well."""


async def serve(port: int, record: Record, how: str, odds: float) -> None:
    """Take events for ever."""
    receiver = Receiver(given=lambda how, request: record.add([request.body], how))
    receiver.port = port
    receiver.plan.extend(random.choices([how, OK], [odds, 1 - odds], k=MOST))
    async with receiver:
        await asyncio.Event().wait()


def main() -> None:
    """Keep a record."""
    port, how, odds, path = sys.argv[1:]
    with Record(Path(path)) as record:
        asyncio.run(serve(int(port), record, how, float(odds)))


if __name__ == "__main__":
    main()
