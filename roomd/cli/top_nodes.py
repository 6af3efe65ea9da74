"""`roomd top` of a cluster: what the nodes do together, and a line for each."""

import heapq
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter

import msgspec

from roomd.protocol.admin import Activity, Distribution

BUSIEST = 50
"""The rooms of all nodes that are kept."""
_SUMS = (
    "rooms", "members", "held", "waiting", "connections", "strangers", "limit", "requests", "joins", "resumes",
    "refusals", "received", "sent", "memory", "slow",
)  # fmt: skip
"""The figures of a node that are added up."""

Pair = tuple[Activity, Activity]
"""Two looks at the same run of a node, the earlier one first."""


def pairs(before: Activity, after: Activity) -> dict[str, Pair]:
    """Return the two looks at each node that has answered the second time, by name.

    For a node without an earlier look at the same run, both are the second one, so that it has no rates.
    """
    earlier = {node.name: node.activity for node in before.nodes}
    found = {}
    for node in after.nodes:
        if (now := node.activity) is not None:
            then = earlier.get(node.name)
            is_same = then is not None and (then.pid, then.uptime <= now.uptime) == (now.pid, True)
            found[node.name] = then if then is not None and is_same else now, now
    return found


def together(before: Activity, after: Activity) -> Pair:
    """Return two looks at what all nodes did together, as far as they have answered."""
    found = pairs(before, after).values()
    if not found:
        return before, after
    return _sum(before, [then for then, _ in found]), _sum(after, [now for _, now in found])


def rows(before: Activity, after: Activity, size: Callable[[float], str]) -> list[Sequence[str]]:
    """Return a line for each node. `size` writes a number of bytes."""
    found = pairs(before, after)
    lines: list[Sequence[str]] = []
    for node in after.nodes:
        if node.name not in found:
            lines.append((node.name, node.state, *("-" * 5)))
            continue
        then, now = found[node.name]
        seconds = now.uptime - then.uptime
        rate = (now.requests - then.requests) / seconds if seconds > 0 else 0.0
        figures = (str(now.rooms), str(now.members), str(now.connections), f"{rate:.1f}", size(now.memory))
        lines.append((node.name, node.state, *figures))
    return lines


def _sum(base: Activity, parts: Sequence[Activity]) -> Activity:
    sums = {name: sum(map(attrgetter(name), parts)) for name in _SUMS}
    busiest = heapq.nlargest(BUSIEST, (one for part in parts for one in part.busiest), key=_activity)
    slowest = sorted((one for part in parts for one in part.slowest), key=attrgetter("unsent"), reverse=True)
    return msgspec.structs.replace(
        base,
        **sums,
        commits=_added(part.commits for part in parts),
        lag=_added(part.lag for part in parts),
        busiest=busiest,
        slowest=slowest,
    )


_activity = attrgetter("rate", "members")


def _added(parts: Iterable[Distribution]) -> Distribution:
    some = list(parts)
    counts = [sum(column) for column in zip(*(one.counts for one in some), strict=True)]
    return Distribution(bounds=some[0].bounds, counts=counts, total=sum(one.total for one in some))
