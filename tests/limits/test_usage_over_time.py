"""No sequence of steps gains anything."""

from hypothesis import given
from hypothesis import strategies as st

from roomd.limits.ledger import Use
from roomd.limits.ledgers import Ledgers
from roomd.limits.usage import Usage
from tests.support.debts import CODE, HOME, LIMITED, debt

STEPS = ["send", "reconnect", "leave", "join", "resume on another connection"]


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(STEPS)), max_size=50))
def test_reconnects_and_new_seats_gain_nothing(steps: list[tuple[float, str]]) -> None:
    """A guest who comes back as another participant may have no more stored than one that stays.

    Nor does one whose seat two connections have, of which the first moves to another seat.
    """
    ledgers = Ledgers(LIMITED)
    usage, others = Usage(ledgers, HOME), []
    now, stored, participant = 0.0, 0.0, "p"
    usage.has_seat(CODE, None, participant, now)
    for number, (pause, step) in enumerate(steps):
        now += pause
        if step == "send":
            stored += 40 if usage.payer.take(Use.STORED, 40, now) == 0 else 0
        elif step == "resume on another connection":
            others.append(usage)
            usage = Usage(ledgers, HOME)
            usage.has_seat(CODE, None, participant, now, is_return=True)
        else:
            if step == "reconnect":
                usage.close(now)
                usage = Usage(ledgers, HOME)
            participant = f"p{number}"
            usage.has_seat(CODE, None, participant, now)
        assert stored <= 100 + now + 1e-6
    for one in (usage, *others):
        one.close(now)


VISITS = st.lists(st.tuples(st.floats(0, 3), st.integers(0, 30), st.booleans(), st.booleans()), max_size=30)


@given(VISITS)
def test_a_join_makes_only_itself_free(visits: list[tuple[float, int, bool, bool]]) -> None:
    """Strangers who ask for much, join and come again are served what one would be, and a request for each join."""
    ledgers = Ledgers(LIMITED)
    now, served, joins = 0.0, 0, 0
    for number, (pause, requests, joins_then, is_reserved) in enumerate(visits):
        now += pause
        usage = Usage(ledgers, HOME)
        verdicts = [usage.request(now) for _ in range(requests)]
        usage.malformed(300, now)
        verdicts.append(usage.request(now, is_reserved=is_reserved))
        served += sum(not verdict.retry_after for verdict in verdicts)
        if joins_then:
            usage.has_seat(CODE, None, f"p{number}", now)
            joins += 1
        usage.close(now)
        assert served <= 10 + now + 1 + joins + 1e-6
        left = debt(ledgers.strangers, Use.REQUESTS, now)
        assert left >= served - 2 * joins - now - sum(visit[3] for visit in visits) - 1e-6, "the pool forgets nothing"
