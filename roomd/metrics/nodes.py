"""The metrics of a node of a cluster. A daemon that is alone does not have them."""

from collections.abc import Callable

from roomd.engine.peers import NodeFigures
from roomd.metrics.families import Families, Family, Figures, Snapshot


def _of_node(read: Callable[[NodeFigures], float]) -> Callable[[Snapshot], Figures]:
    """Return how a figure of this node is read; a daemon that is alone has none."""

    def figures(snapshot: Snapshot) -> Figures:
        peers = snapshot.sources.peers
        return {(): read(peers.figures())} if peers is not None else {}

    return figures


NODE_FAMILIES: Families = (
    Family("roomd_cluster_nodes", "gauge", "The nodes whose leases last, as far as this one knows, itself included.",
           _of_node(lambda node: node.nodes)),
    Family("roomd_cluster_rooms_owned", "gauge", "The rooms that this node has in memory, as their owner.",
           _of_node(lambda node: node.owned)),
    Family("roomd_cluster_drained", "gauge", "1 while this node gives its rooms to others: `roomd cluster drain`.",
           _of_node(lambda node: node.is_drained)),
    Family("roomd_cluster_lease_age_seconds", "gauge",
           "The seconds since the lease of this node was renewed. It is over after 3.",
           _of_node(lambda node: node.lease_age)),
    Family("roomd_cluster_forwarded_seconds", "histogram",
           "The seconds until a command for a room of another node was answered, with the search for that node.",
           lambda snapshot: snapshot.counters.forwarded),
    Family("roomd_cluster_bus_seconds", "histogram",
           "The seconds until the bus has answered; it is asked with each beat, once a second.",
           lambda snapshot: snapshot.counters.bus),
    Family("roomd_cluster_resyncs_total", "counter",
           "How often news of a room were missed, so that clients of this node were sent its state.",
           lambda snapshot: {(): snapshot.counters.resyncs}),
    Family("roomd_cluster_fenced_total", "counter",
           "The appends that were refused, because another node had the room; nothing of them was stored.",
           lambda snapshot: {(): snapshot.counters.fenced}),
    Family("roomd_cluster_messages_lost_total", "counter",
           "The messages for other nodes that were not sent, because the bus was away or too many waited.",
           _of_node(lambda node: node.lost)),
)  # fmt: skip
"""Every metric of a node, in the order of the output."""
