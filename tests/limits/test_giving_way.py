"""Whose connection ends for that of another."""

from roomd.config import LimitsConfig
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage
from tests.support.debts import CODE, HOME


class Opened:
    """A connection that notes whether it had to give way."""

    def __init__(self) -> None:
        self.gave_way = False

    def give_way(self) -> None:
        """Note it."""
        self.gave_way = True


def begin(ledgers: Ledgers) -> tuple[Usage, Opened]:
    """Open a connection of a stranger."""
    usage, opened = Usage(ledgers, HOME), Opened()
    usage.begin(opened)
    return usage, opened


def test_strangers_have_half_of_the_connections() -> None:
    """One more costs the oldest; who has a seat, a token or no connection any more is none of them."""
    ledgers = Ledgers(LimitsConfig(connections=8))
    usages, connections = zip(*(begin(ledgers) for _ in range(4)), strict=True)
    usages[0].has_seat(CODE, None, "p1", 0)
    usages[1].has_token("bob", 0)
    usages[2].close(0)
    more = [begin(ledgers)[1] for _ in range(3)]
    assert not any(one.gave_way for one in (*connections, *more))
    half_open = Opened()
    ledgers.add_stranger(HOME, half_open)
    assert [one.gave_way for one in (*connections, *more, half_open)] == [False] * 3 + [True] + [False] * 4
    ledgers.remove_stranger(half_open)
    ledgers.remove_stranger(half_open)
    begin(ledgers)
    assert not more[0].gave_way


def test_a_stranger_again() -> None:
    """A connection counts once, and again when its client has left."""
    ledgers = Ledgers(LimitsConfig(connections=8))
    usage, opened = begin(ledgers)
    usage.begin(opened)
    usage.has_seat(CODE, None, "p1", 0)
    usage.begin(opened)
    usage.has_seat(CODE, None, "p1", 0)
    _, newest = begin(ledgers)
    assert not ledgers.make_way(newest)
    ledgers.remove_stranger(newest)
    usage.begin(opened)
    _, newest = begin(ledgers)
    assert ledgers.stranger_connections() == 2
    assert [ledgers.make_way(newest), opened.gave_way, newest.gave_way] == [True, True, False]
    assert ledgers.stranger_connections() == 1


def test_a_handshake_that_is_complete() -> None:
    """The connection counts in place of the half-open one, which gives way no more."""
    ledgers, half_open, opened = Ledgers(LimitsConfig(connections=8)), Opened(), Opened()
    ledgers.add_stranger(None, half_open)
    Usage(ledgers, HOME).begin(opened, half_open)
    _, newest = begin(ledgers)
    assert [ledgers.make_way(newest), opened.gave_way, half_open.gave_way] == [True, True, False]


def test_strangers_make_way() -> None:
    """For the newest the oldest of the address with the most goes, while there is another."""
    ledgers = Ledgers(LimitsConfig(connections=8))
    _, first = begin(ledgers)
    _, second = begin(ledgers)
    assert [ledgers.make_way(second), first.gave_way, second.gave_way] == [True, True, False]
    assert [ledgers.make_way(second), second.gave_way] == [False, False]
    ledgers.remove_stranger(second)  # its client has a token now
    assert not ledgers.make_way(second)
    _, only = begin(ledgers)
    assert [ledgers.make_way(second), only.gave_way] == [True, True]
