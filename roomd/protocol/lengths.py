"""The longest texts that name people and rooms (docs/protocol.md, sections 2 and 7).

They are apart from the rules of `text.py`, which need the package `regex`: a client needs the lengths alone.
"""

LONGEST_USER_ID = 128
"""The characters that a user id may have."""
LONGEST_EXTERNAL_ID = 128
"""The characters that the id may have that an application gives a room."""
LONGEST_DISPLAY_NAME = 100
"""The characters that a user's name may have."""
