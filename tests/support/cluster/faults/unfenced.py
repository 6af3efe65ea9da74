"""A daemon whose appends are stored whatever the fence says: `python tests/support/cluster/faults/unfenced.py`.

Leases alone then say who has a room. The control run shows with it that the audit sees what the fence prevents.
"""

import os
import sys
from functools import partial

from roomd.config import load
from roomd.daemon import serve
from roomd.storage.postgresql import writing

FENCE = "AND owners.version = known.version AND owners.generation = $1"

if __name__ == "__main__":
    assert FENCE in writing._FENCED_ROOMS
    writing._FENCED_ROOMS = writing._FENCED_ROOMS.replace(FENCE, "AND owners.generation + $1 IS NOT NULL")
    sys.exit(serve(partial(load, environ=os.environ), demo=None))
