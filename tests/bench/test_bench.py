"""The measurements measure what they say: short runs of each work, and the report made of their figures."""

import json
import os
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bench import report
from bench.ceilings.frames import PAYLOAD, TEXT_SIZE
from bench.ceilings.rows import rows_per_second
from bench.clients import PERSON, Roomd
from bench.processes import Usage
from bench.rig import Figure, Rig, running
from bench.suite import WORK, Failure, Plan, Sample, Suite
from bench.work import asking, catchup, cold, crowd, cycle, growth, latency, memory, relay
from bench.work.storm import Event, check_view
from roomd.protocol import codec, events, objects, requests
from tests.support.daemon import SECRET

EVERYBODY = {"a", "b", "c"}
STATE = Event(4, True, frozenset("ab"), True)
CHANGE = Event(5, False, frozenset("c"), True)

SECONDS = 0.2
TINY = growth.History("rooms10", 100, 300)


def participant(name: str) -> objects.Participant:
    return objects.Participant(
        id=name, room_id="r", user_id=None, guest_name=name, is_active=True, is_host=False,
        joined_at="2026-03-03T10:36:00.000Z", left_at=None, display_name=name,
    )  # fmt: skip


def test_a_client_told_of_everybody_once_and_in_order_passes() -> None:
    check_view([STATE, CHANGE], EVERYBODY)


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([STATE], id="somebody missing"),
        pytest.param([CHANGE, STATE], id="the change before the state"),
        pytest.param([STATE, CHANGE._replace(seq=6)], id="an event missing"),
        pytest.param([STATE, CHANGE, CHANGE._replace(seq=6)], id="somebody twice"),
        pytest.param([STATE, STATE._replace(seq=5, joined=frozenset("c"))], id="two states"),
        pytest.param([STATE, CHANGE._replace(is_plain=False)], id="somebody left"),
        pytest.param([STATE, CHANGE._replace(joined=frozenset("d"))], id="a stranger"),
        pytest.param([], id="nothing"),
    ],
)
def test_any_other_view_is_refused(events: list[Event]) -> None:
    with pytest.raises(RuntimeError):
        check_view(events, EVERYBODY)


def test_events_are_read_as_roomd_writes_them() -> None:
    """The marker counts what the parser finds."""
    change = events.ParticipantsChanged(seq=5, joined=[participant("a"), participant("b")], updated=[], left=[])
    payload = codec.encode(change)
    assert payload.count(PERSON) == 2
    assert Event.parse(payload) == Event(5, False, frozenset("ab"), True)


def test_a_change_that_also_tells_of_leaving_is_not_plain() -> None:
    change = events.ParticipantsChanged(seq=5, joined=[], updated=[], left=[participant("a")])
    assert not Event.parse(codec.encode(change)).is_plain


def test_requests_are_roomd_s() -> None:
    words = Roomd()
    assert json.loads(words.join("abc-def-ghi", 7))["guestName"] == "Guest 0007"
    assert codec.decode(words.leave.decode()) == requests.LeaveRoom(id=2)
    assert codec.decode(words.say("Hello").decode()) == requests.SendMessage(text="Hello")


def test_the_ceiling_of_deliveries_writes_the_frame_that_roomd_writes() -> None:
    message = objects.Message(
        id="m" * 24, participant_id="p" * 24, display_name="Guest 0000", text="x" * TEXT_SIZE,
        sent_at="2026-03-03T10:36:00.000Z", to=None,
    )  # fmt: skip
    assert codec.encode(events.MessageEvent(message=message)) == PAYLOAD


@pytest.mark.parametrize(("share", "value"), [(0.01, 1.0), (0.5, 50.0), (0.501, 51.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_quantile_is_the_least_value_that_a_share_does_not_exceed(share: float, value: float) -> None:
    assert latency.quantile([float(number) for number in range(1, 101)], share) == value
    assert latency.quantile([7.0], share) == 7.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def rig(folder: Path) -> Iterator[Rig]:
    with running("roomd", os.sched_getaffinity(0), folder, SECRET) as rig:
        yield rig


Measure = Callable[[Rig], Awaitable[list[Figure]]]


@pytest.mark.parametrize(
    ("measure", "rows"),
    [
        pytest.param(lambda rig: cycle.small_rooms(rig, SECONDS), ["a"], id="a"),
        pytest.param(lambda rig: cycle.one_room(rig, SECONDS), ["b"], id="b"),
        pytest.param(lambda rig: crowd.measure(rig, 20, SECONDS), ["c20", "e20"], id="c and e"),
        pytest.param(lambda rig: crowd.measure(rig, 150, 0), ["c150"], id="c alone, with large states"),
        pytest.param(lambda rig: cold.measure(rig, SECONDS, 40), ["d"], id="d"),
        pytest.param(lambda rig: relay.measure(rig, SECONDS), ["f"], id="f"),
        pytest.param(lambda rig: latency.measure(rig, SECONDS, 1000), ["g50", "g99"], id="g"),
        pytest.param(lambda rig: asking.measure(rig, SECONDS), ["k-socket", "k-http", "k-ratio"], id="k"),
        pytest.param(lambda rig: memory.measure(rig, [50, 100]), ["h50", "h100"], id="h"),
    ],
)
async def test_work_is_done_and_left_behind_clean(rig: Rig, measure: Measure, rows: list[str]) -> None:
    """Whatever is measured gives its rows, and nobody sits anywhere afterwards."""
    figures = await measure(rig)
    assert [figure.row for figure in figures] == rows
    assert all(figure.value > 0 for figure in figures if figure.row[0] != "h")
    async with rig.crowd() as guests:
        await guests.open(1)
    assert _seats(rig.server.database) == 0


def _seats(database: Path) -> int:
    with closing(sqlite3.connect(database)) as db:
        (count,) = db.execute("SELECT count(*) FROM participants WHERE left_at IS NULL").fetchone()
    return int(count)


@pytest.mark.parametrize(
    ("name", "measure", "rows"),
    [
        ("echo", lambda rig: cycle.small_rooms(rig, SECONDS), ["a"]),
        ("echo", lambda rig: cold.measure(rig, SECONDS, 40), ["d"]),
        ("frames", lambda rig: crowd.measure(rig, 20, SECONDS), ["e20"]),
    ],
)
async def test_ceilings(folder: Path, name: str, measure: Measure, rows: list[str]) -> None:
    with running(name, os.sched_getaffinity(0), folder, SECRET) as rig:
        figures = await measure(rig)
    assert [(figure.row, figure.value > 0) for figure in figures] == [(row, True) for row in rows]


def test_the_ceiling_of_storage(tmp_path: Path) -> None:
    assert rows_per_second(tmp_path, 0.05) > 0


async def test_a_large_database_is_made_once_and_its_rooms_joined(tmp_path: Path) -> None:
    """Rooms with a history are there to be joined; a daemon that opens them finds nothing wrong."""
    database = growth.prepare(TINY, tmp_path)
    assert growth.prepare(TINY, tmp_path) == database
    with running("roomd", os.sched_getaffinity(0), tmp_path, SECRET, database=database) as rig:
        figures = await growth.measure(rig, TINY, SECONDS)
    assert [figure.row for figure in figures] == ["i-rooms10", "i-start-rooms10"]


async def test_each_reader_gets_every_event(tmp_path: Path) -> None:
    """A reader that is behind is done when it has all events that were there before the start."""
    catchup.prepare(tmp_path / "events.db", 3000)
    with running("roomd", os.sched_getaffinity(0), tmp_path, SECRET, database=tmp_path / "events.db") as rig:
        figures = await catchup.measure(rig, 3000)
    assert {figure.row for figure in figures} == {row for row in report.TITLES if row.startswith("j")}


def test_a_client_without_a_connection_fails_the_measurement(rig: Rig) -> None:
    """The suite reports a `RuntimeError`, and goes on with what comes next."""
    with pytest.raises(RuntimeError, match="was not made"):
        rig.client().leave()


@pytest.mark.nightly
def test_a_suite_keeps_what_came_of_a_round(tmp_path: Path) -> None:
    plan = Plan(("a",), ("roomd", "echo", "sqlite"), SECONDS, True)
    suite = Suite(plan, os.sched_getaffinity(0), tmp_path)
    suite.check_servers()
    suite.run_once()
    suite.run_round()
    assert [(sample.round, sample.row, sample.server) for sample in suite.samples] == [
        (1, "a", "roomd"), (1, "a", "echo"), (1, "a", "sqlite"),
    ]  # fmt: skip
    assert suite.failures == []


USAGE = Usage(1.0, 0.99, 0.9)
MACHINE = dict.fromkeys(("date", "processor", "cores", "system", "python", "websockets", "uvloop"), "x")
RESULTS = report.Results(
    {**MACHINE, "sync_ms": 0.2, "load": 0.1}, 2, 60.0, 1.5,
    [
        Sample(1, "a", "roomd", 500.0, USAGE), Sample(1, "a", "echo", 1000.0, USAGE), Sample(1, "a", "ws", 100.0, None),
        Sample(2, "a", "roomd", 300.0, USAGE), Sample(2, "a", "echo", 1000.0, USAGE), Sample(2, "a", "ws", 150.0, None),
        Sample(0, "h10000", "roomd", 15.0, None), Sample(0, "h10000", "colyseus", 20.0, None),
        Sample(1, "c1000", "roomd", 100.0, None), Sample(1, "c1000", "ws", 300.0, None),
        Sample(0, "i-empty", "roomd", 100.0, None), Sample(0, "i-rooms10", "roomd", 80.0, None),
        Sample(0, "i-start-empty", "roomd", 300.0, None), Sample(0, "i-start-rooms10", "roomd", 330.0, None),
    ],
    [Failure(1, "c1000", "colyseus", "not done within 30 s")],
)  # fmt: skip


def test_ratios_are_taken_within_a_round() -> None:
    found = {ratio.title: (ratio.spread, ratio.is_reached) for ratio in report.ratios(RESULTS)}
    assert found == {
        "(a) joins + leaves ÷ the bare echo's frames": (report.Spread(0.4, 0.3, 0.5), True),
        "(a) joins + leaves ÷ the best peer's": (report.Spread(3.5, 2.0, 5.0), False),
        "(c) the best peer's time for 1,000 ÷ roomd's": (report.Spread(3.0, 3.0, 3.0), False),
        "(h) KiB per client at 10,000": (report.Spread(15.0, 15.0, 15.0), True),
        "(h) the same ÷ the least of a peer": (report.Spread(0.75, 0.75, 0.75), True),
        "(i) cost of joining: the worst history ÷ empty": (report.Spread(1.25, 1.25, 1.25), False),
        "(i) time to start: the worst history ÷ empty": (report.Spread(1.1, 1.1, 1.1), True),
    }


def test_the_report_says_where_the_generator_may_be_the_limit_and_what_failed(tmp_path: Path) -> None:
    report.write(RESULTS, tmp_path)
    text = (tmp_path / "latest.md").read_text()
    assert "| roomd | 400 | (300 – 500) | 99% | 90% ⚠ |" in text
    assert "- c1000, colyseus: not done within 30 s\n" in text
    assert len(json.loads((tmp_path / "latest.json").read_text())["samples"]) == len(RESULTS.samples)


def test_every_row_has_a_title() -> None:
    assert {row[0] for row in report.TITLES} | {"h", "i"} == set(WORK)
    assert "19,900" in report.title("h19900")


@pytest.mark.nightly
def test_plots_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the dependency group bench")
    from bench import plots

    plots.draw(RESULTS, tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"work.png", "storm.png"}
