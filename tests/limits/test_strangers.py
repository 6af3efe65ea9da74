"""Connections without a seat and without a token."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from roomd.limits.strangers import Strangers


def test_the_address_with_the_most_loses_its_oldest() -> None:
    """One address cannot keep others out."""
    strangers: Strangers[str, int] = Strangers(3)
    assert [strangers.add("greedy", client) for client in range(3)] == [None, None, None]
    assert strangers.add("honest", 10) == 0
    assert strangers.add("greedy", 3) == 1
    assert strangers.add("honest", 11) == 2
    assert len(strangers) == 3


def test_who_has_just_come_is_spared() -> None:
    """Behind a proxy many may have its address at once, until their requests are read: no honest one is lost then."""
    strangers: Strangers[str, tuple[str, int]] = Strangers(20)
    for number in range(20):
        strangers.add("attacker" if number < 10 else f"honest {number}", ("old", number))
    lost = [strangers.add("proxy", ("new", number)) for number in range(9)]
    assert lost == [("old", number) for number in range(9)], "though the proxy has more from the sixth on"
    for number in range(9, 12):
        strangers.add("proxy", ("new", number))
    assert strangers.add("proxy", ("new", 12)) == ("new", 2), "its request has not come since"


def test_a_connection_that_becomes_another() -> None:
    """It counts once, as the newest of the address that it is found to have, whether it was counted before or not."""
    strangers: Strangers[str, str] = Strangers(3)
    for connection in ("first", "second", "third"):
        assert strangers.add("a", connection) is None
    assert strangers.replace("first", "a", "socket") is None
    assert (len(strangers), strangers.add("a", "fourth")) == (3, "second")
    assert strangers.replace("third", "b", "elsewhere") is None
    assert (strangers.take(), len(strangers)) == ("socket", 2), "fourth and elsewhere stay"
    assert [strangers.replace("nobody", "b", "unknown"), strangers.replace("nobody", "c", "more")] == [
        None,
        "elsewhere",
    ]
    assert len(strangers) == 3


def test_who_joins_makes_space() -> None:
    """A client with a seat or a token is no stranger. Removing it twice is fine."""
    strangers: Strangers[str, int] = Strangers(1)
    strangers.add("a", 1)
    strangers.remove(1)
    strangers.remove(1)
    assert strangers.add("b", 2) is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=60), st.sampled_from("abcd"))
def test_the_newest_stays(steps: list[tuple[bool, str]], address: str) -> None:
    """Whoever came before, the newest is not the one that is taken while there is another."""
    strangers: Strangers[str, int] = Strangers(100)
    present: list[tuple[str, int]] = []
    for number, (comes, where) in enumerate(steps):
        if comes:
            present.append((where, number))
            strangers.add(where, number)
        elif mine := [entry for entry in present if entry[0] == where]:
            present.remove(mine[-1])
            strangers.remove(mine[-1][1])
    strangers.add(address, -1)
    assert (strangers.take() == -1) == (not present)


@settings(deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=60))
def test_the_limit_holds(limit: int, steps: list[tuple[bool, str]]) -> None:
    """There are never more than the limit, and who is closed is the oldest of an address with the most, of those whose
    oldest is not among the last that were added; where there is none, of all.
    """
    strangers: Strangers[str, int] = Strangers(limit)
    present: list[tuple[str, int]] = []
    added: list[int] = []
    for number, (comes, address) in enumerate(steps):
        if comes:
            present.append((address, number))
            added.append(number)
            closed = strangers.add(address, number)
            if len(present) > limit:
                counts = Counter(name for name, _ in present)
                firsts = {name: next(one for other, one in present if other == name) for name in counts}
                spared = added[len(added) - limit // 2 :]
                others = {name: counts[name] for name in counts if firsts[name] not in spared} or counts
                oldest = {firsts[name] for name in others if others[name] == max(others.values())}
                assert closed in oldest
                assert closed != number or len(oldest) == len(present) == 1
                present = [entry for entry in present if entry[1] != closed]
            else:
                assert closed is None
        elif mine := [entry for entry in present if entry[0] == address]:
            present.remove(mine[0])
            strangers.remove(mine[0][1])
        assert len(strangers) == len(present) <= limit
