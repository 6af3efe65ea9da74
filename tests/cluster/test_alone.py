"""A daemon that is alone does not pay for what a cluster needs."""

import subprocess
import sys

ALONE = """
import sys
import roomd.cli.app, roomd.daemon, roomd.storage.opening, roomd.testing
print([name for name in sys.modules if name.startswith(("roomd.cluster", "roomd.node", "nats", "asyncpg"))])
"""


def test_nothing_of_a_cluster_is_imported() -> None:
    """Neither the package, nor the library of the bus."""
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
