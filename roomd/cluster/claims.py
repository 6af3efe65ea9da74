"""Ids of a node: claims that say which run of which node has drawn them (rule 11)."""

import itertools

from roomd.system.ids import Ids


class NodeIds(Ids):
    """Generates ids. A claim is `generation << 32 | counter`, so that no two nodes draw the same one."""

    def __init__(self, code_groups: int) -> None:
        super().__init__(code_groups)
        self.generation = 0
        """The generation of this node; set before the first claim is drawn."""
        self._counter = itertools.count(1)

    def new_claim(self) -> int:
        """Return the next claim of this run."""
        return self.of_run(next(self._counter))

    def of_run(self, number: int) -> int:
        """Return a number that this run counts, such as that of a connection, so that no two nodes have the same."""
        return self.generation << 32 | number
