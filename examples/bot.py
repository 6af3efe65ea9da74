"""A bot that sits in a room and answers: pip install roomd-client; python bot.py WS-URL CODE"""

import asyncio
import sys
from pathlib import Path

from roomd.client import Joined, Meeting, Refused, Said, SeatFile, Unreachable, join


def answer(meeting: Meeting, text: str) -> str | None:
    """Return what the bot says to a message; None for nothing."""
    match text.strip().lower().split():
        case ["!who"]:
            return ", ".join(sorted(one.display_name for one in meeting.participants.values()))
        case ["!hands"]:
            return ", ".join(one.display_name for one in meeting.hands) or "No hand is up"
        case ["!help"]:
            return "!who, !hands"
        case _:
            return None


async def main(url: str, code: str) -> str:
    """Sit in the room until the meeting is over, and return why it is."""
    # With the file the bot takes the same seat again when it is restarted.
    async with join(url, code, "Bot", seat=SeatFile(Path("bot.seat"))) as meeting:
        async for event in meeting:
            try:
                match event:
                    case Joined(participant):
                        await meeting.say("Welcome. !help lists what I know.", participant.id)
                    case Said(message) if meeting.me is not None and message.participant_id != meeting.me.id:
                        if text := answer(meeting, message.text):
                            await meeting.say(text, message.participant_id if message.to else None)
            except (Refused, Unreachable) as error:  # too many messages, or the other one has left
                print(error, file=sys.stderr)
    return meeting.over.message if meeting.over is not None else ""


if __name__ == "__main__":
    print(asyncio.run(main(*sys.argv[1:])))
