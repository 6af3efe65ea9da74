"""Who must go when too many bytes are held."""

from hypothesis import given
from hypothesis import strategies as st

from roomd.limits.memory import Held, greediest


def test_strangers_go_first() -> None:
    """The largest of those who have not joined, then the next; members only when no stranger is left."""
    clients = [("member", Held(90, has_joined=True)), ("small", Held(10, has_joined=False))]
    clients += [("large", Held(50, has_joined=False)), ("reader", Held(95, has_joined=True))]
    assert greediest(clients, 245) == []
    assert greediest(clients, 244) == ["large"]
    assert greediest(clients, 194) == ["large", "small"]
    assert greediest(clients, 184) == ["large", "small", "reader"]
    assert greediest([], 0) == []


@given(st.lists(st.builds(Held, st.integers(1, 100), st.booleans())), st.integers(0, 2000))
def test_the_rest_fits(sizes: list[Held], budget: int) -> None:
    """Those who stay are within the budget, and nobody goes who need not."""
    clients = list(enumerate(sizes))
    gone = greediest(clients, budget)
    left = sum(held.size for number, held in clients if number not in gone)
    assert left <= budget
    assert not gone or left + sizes[gone[-1]].size > budget
