"""Who must go when too many bytes are held."""

from hypothesis import given
from hypothesis import strategies as st

from roomd.limits.memory import Held, greediest


def test_strangers_go_first() -> None:
    """The largest of the strangers, then the next; members only when no stranger is left who has too much."""
    clients = [("member", Held(350, is_member=True)), ("small", Held(200, is_member=False))]
    clients += [("large", Held(300, is_member=False)), ("reader", Held(400, is_member=True))]
    clients.append(("tiny", Held(10, is_member=False)))
    assert greediest(clients, 1260) == []
    assert greediest(clients, 1259) == ["large"]
    assert greediest(clients, 900) == ["large", "small"]
    assert greediest(clients, 700) == ["large", "small", "reader"]
    assert greediest([], 0) == []


def test_who_holds_little_stays() -> None:
    """Strangers with a few bytes do not go before a member that holds nearly everything."""
    clients = [(f"stranger {number}", Held(1_000, is_member=False)) for number in range(100)]
    clients.append(("reader", Held(2_000_000, is_member=True)))
    assert greediest(clients, 1_000_000) == ["reader"]


@given(st.lists(st.builds(Held, st.integers(1, 100), st.booleans())), st.integers(0, 2000))
def test_the_rest_fits(sizes: list[Held], budget: int) -> None:
    """Those who stay are within the budget, and nobody goes who need not."""
    clients = list(enumerate(sizes))
    gone = greediest(clients, budget)
    left = sum(held.size for number, held in clients if number not in gone)
    assert left <= budget
    assert not gone or left + sizes[gone[-1]].size > budget
