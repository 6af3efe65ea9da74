"""How long things are kept. The other settings are in `sections.py`."""

from typing import Annotated

from msgspec import Meta

from roomd.config.ages import Age
from roomd.config.tables import Section


class RetentionConfig(Section, frozen=True):
    """What is deleted when it is old. By default all is kept. The event log has its own age: events.keep.

    An age is a number of seconds, or like 90m, 36h or 30d. What is too old is deleted within ten minutes, or a
    quarter of the shortest age.
    """

    messages: Annotated[Age | None, Meta(description="How long messages are kept. Not set: for ever.")] = None
    stays: Annotated[
        Age | None,
        Meta(description="How long the times, names and user ids of participants are kept after they left. Their "
             "messages stay. Not set: for ever."),
    ] = None  # fmt: skip
    rooms: Annotated[
        Age | None,
        Meta(description="How long a room is kept after it ended. Then it is deleted with all that belongs to it. Not "
             "set: for ever."),
    ] = None  # fmt: skip
