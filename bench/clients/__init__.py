"""The clients of the measurements: the same for roomd and for what it is compared with.

They are compiled (picows) and must cost far less than the server does for them, so nothing here parses JSON while a
clock runs: the kind of a frame is read from a few of its bytes.
"""

from bench.clients.client import READ_BUFFER, Client
from bench.clients.crowd import Crowd
from bench.clients.dialect import GUEST, PERSON, Dialect, Kind, Presence, Roomd, presence_of

__all__ = ["GUEST", "PERSON", "READ_BUFFER", "Client", "Crowd", "Dialect", "Kind", "Presence", "Roomd", "presence_of"]
