"""The owner's side of the wire: it serves what other nodes ask of the rooms here, and tells them what happens there.

Everything that a batch has for one edge is one `News`, in its order: answers first, then events, as the room told them
(rule 9). So an edge that has the state has missed nothing.

An item that comes twice is served once (rule 14):

the item                                            | what the owner does
----------------------------------------------------|-------------------------------------------------------------------
is of an edge that has no lease, as far as is known | nothing: the edge sends it again
is new                                              | serve it, and keep the answer
is known                                            | send the answer again, once there is one
has no answer here any more                         | say that it may have been served; the edge may know better

Answers are forgotten when the edge has confirmed them, and when its lease is over: its seats are held then (rule 11).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from roomd.cluster import registry, wire
from roomd.cluster.lease import Lease
from roomd.cluster.links import Links
from roomd.cluster.owned import OwnedRooms
from roomd.cluster.ports import Node
from roomd.cluster.remote_members import RemoteMember
from roomd.engine.askers import submit_until_stored
from roomd.engine.hub import Hub
from roomd.engine.moving import Moved
from roomd.engine.ports import Clock, SeatLost, StorageFailed
from roomd.protocol.errors import INTERNAL_ERROR, Refused
from roomd.rooms.commands import Attach, Drop, DropNodes, SeatCommand

log = logging.getLogger("roomd.cluster.owner")


DROPPED = SeatLost("dropped")


class _News:
    """What one room has for one edge in this turn of the event loop."""

    def __init__(self) -> None:
        self.told: list[wire.Told] = []
        self.frames: list[bytes] = []
        self.can_wait = True
        """Whether it is only what nobody has asked for."""
        self._indexes: dict[int, int] = {}  # of the frames, by `id`: they are kept while this is

    def index_of(self, frame: bytes) -> int:
        """Return the index of a frame. The same bytes for many members are sent once."""
        index = self._indexes.get(id(frame))
        if index is None:
            index = self._indexes[id(frame)] = len(self.frames)
            self.frames.append(frame)
        return index


class _GivenUp(NamedTuple):
    """A room that is not in memory any more."""

    code: str
    term: int
    edges: list[Node]
    """The edges that were told what happens there."""
    room_id: str | None
    """The id of the room, if this node may still be its owner in the database."""


class RoomOwner:
    """The rooms of this node, as other nodes use them. `hold` is the seconds for which seats are held."""

    def __init__(
        self, hub: Hub, rooms: OwnedRooms, lease: Lease, links: Links, clock: Clock, hold: Callable[[], float]
    ) -> None:
        self._hub = hub
        self._rooms = rooms
        self._lease = lease
        self._links = links
        self._clock = clock
        self._hold = hold
        self._news: dict[tuple[Node, str], _News] = {}
        self._chains: dict[str, dict[Node, int]] = {}  # the number of the last `News` of each room for each edge
        self._answers: dict[Node, dict[int, Callable[[], None] | None]] = {}
        # The last run of each edge, by its name, and the number up to which the answers to it are forgotten. Of an
        # earlier run, whose lease cannot be renewed, all are.
        self._forgotten: dict[str, tuple[int, int]] = {}
        self._adopted: set[str] = set()  # rooms with connected seats whose edges have not attached all of them
        self._giving_up: dict[str, list[_GivenUp]] = {}  # rooms that are being given up, with the list for each
        self.on_owned: Callable[[wire.Owned], None] = _ignore
        """Called with a room that has connected seats of this node, which are to attach."""

    # From the edges.

    def ask(self, edge: Node, item: wire.Ask) -> None:
        """Serve a command of another node."""
        if not self._is_new(edge, item.number):
            return
        try:
            command = registry.decode_command(item.command)
        except msgspec.DecodeError:  # of a newer node
            log.error("unknown command", {"node": edge.name})
            self.answer(edge, item.code, item.number, wire.Declined(item.number, _INTERNAL))
            return
        if isinstance(command, SeatCommand | Attach):
            self._hub.take_seat(item.code, command, self._member(edge, item, command))
        else:
            self._hub.submit(item.code, command, _RemoteAsker(self, edge, item.code, item.number))

    def relay(self, edge: Node, item: wire.Relay) -> None:
        """Relay an event of another node."""
        if not self._rooms.term(item.code):
            self._links.post(edge, wire.Elsewhere(item.number, False))
        elif self._is_new(edge, item.number):
            asker = _RemoteAsker(self, edge, item.code, item.number)
            self._hub.relay_frame(item.code, item.participant_id, item.frame, asker)

    def unsubscribe(self, edge: Node, item: wire.Unsubscribe) -> None:
        """Send a sitting nothing more."""
        member = self._hub.members_of(item.code).get(item.participant_id)
        if isinstance(member, RemoteMember) and member.is_of(edge, item.claim):
            self._hub.unsubscribe(item.code, item.participant_id, member)

    def confirmed(self, edge: Node, number: int) -> None:
        """Forget the answers that an edge has got. What it has sent again before they came is not served any more."""
        last = self._forgotten.get(edge.name, (0, 0))
        if (edge.generation, number) <= last:
            return
        self._forgotten[edge.name] = (edge.generation, number)
        if edge.generation > last[0]:
            for chain in self._chains.values():
                chain.pop(Node(edge.name, last[0]), None)
        answers = self._answers.get(edge)
        while answers and (first := next(iter(answers))) <= number:
            del answers[first]

    def _is_new(self, edge: Node, number: int) -> bool:
        """Return whether a number is to be served; do the rest of what stands in the table above."""
        if edge.generation not in self._lease.nodes:
            return False
        if (edge.generation, number) <= self._forgotten.get(edge.name, (0, 0)):
            self._links.post(edge, wire.Elsewhere(number, True))
            return False
        answers = self._answers.setdefault(edge, {})
        if number not in answers:
            answers[number] = None
            self._links.awaits(len(answers))
            return True
        again = answers[number]
        if again is not None:
            again()
        return False

    def _member(self, edge: Node, item: wire.Ask, command: SeatCommand | Attach) -> RemoteMember:
        """Return the member of a sitting: the one that the room has, if it attaches again."""
        if isinstance(command, Attach):
            known = self._hub.members_of(item.code).get(command.participant_id)
            if isinstance(known, RemoteMember) and known.is_of(edge, command.claim):
                known.ask(item.number)
                return known
        return RemoteMember(self, edge, item.code, command.claim, item.number)

    # To the edges.

    def tell(self, edge: Node, code: str, told: wire.Told) -> None:
        """Send an edge what a member or an asker of a room is told, with all that it is told in this turn."""
        news = self._news_for(edge, code)
        news.told.append(told)
        news.can_wait = False

    def tell_frame(self, edge: Node, code: str, make: Callable[[int], wire.Told], frame: bytes) -> None:
        """Do the same with a frame; `make` gets its index."""
        news = self._news_for(edge, code)
        news.told.append(make(news.index_of(frame)))
        news.can_wait = False

    def tell_events(self, edge: Node, code: str, claim: int, frames: bytes, *, are_last: bool) -> None:
        """Do the same with events. Those that follow for another member of the edge share them."""
        news = self._news_for(edge, code)
        index = news.index_of(frames)
        last = news.told[-1] if news.told else None
        if isinstance(last, wire.Events) and (last.frames, last.are_last) == (index, are_last):
            last.claims.append(claim)
        else:
            news.told.append(wire.Events([claim], index, are_last))

    def remember(self, edge: Node, number: int, again: Callable[[], None] | None) -> None:
        """Keep how an answer is sent again; None to serve the item anew if it comes again."""
        answers = self._answers.get(edge, {})
        if number in answers:
            if again is None:
                del answers[number]
            else:
                answers[number] = again

    def attach_again(self, member: RemoteMember, participant_id: str) -> None:
        """Send a member its seat again, with the state as it is now."""
        self._hub.take_seat(member.code, Attach(participant_id, member.claim), member)

    def answer(self, edge: Node, code: str, number: int, told: wire.Told) -> None:
        """Send an answer, and keep it until it is confirmed."""
        self.remember(edge, number, lambda: self.tell(edge, code, told))
        self.tell(edge, code, told)

    def elsewhere(self, edge: Node, number: int, moved: Moved) -> None:
        """Send that the room of an item is not here."""
        self.remember(edge, number, None)
        self._links.post(edge, wire.Elsewhere(number, moved.is_in_doubt))

    def _news_for(self, edge: Node, code: str) -> _News:
        news = self._news.get((edge, code))
        if news is None:
            if not self._news:
                asyncio.get_running_loop().call_soon(self._flush)
            news = self._news[edge, code] = _News()
        return news

    def _flush(self) -> None:
        waiting, self._news = self._news, {}
        for (edge, code), news in waiting.items():
            term = self._rooms.term(code)
            if not term:  # there is no such room: nobody is in it, and only answers are sent
                for told in news.told:
                    if isinstance(told, wire.Answered | wire.Declined):
                        self._links.post(edge, told)
                continue
            chain = self._chains.get(code)
            if chain is None:
                chain = self._chains[code] = {}
            number = chain[edge] = chain.get(edge, 0) + 1
            item = wire.News(code, term, number, self._hub.seats_in(code), news.told, news.frames)
            self._links.post(edge, item, can_wait=news.can_wait)

    # What happens to rooms and nodes.

    def loaded(self, code: str) -> None:
        """Note that a room was loaded in which somebody has a seat: those who are connected are to attach."""
        self._adopted.add(code)
        asyncio.get_running_loop().call_soon(self._call_in, code)
        term = self._rooms.term(code)
        claims = {seat.participant.id: seat.claim for seat in self._hub.unattached(code)}
        self._clock.call_later(self._hold(), lambda: self._drop_unattached(code, term, claims))

    def lost(self, code: str) -> None:
        """Tell the edges that this node does not have a room any more; of one that is being given up, later."""
        self._flush()  # what was told before
        self._adopted.discard(code)
        term = self._rooms.term(code)
        given_up = _GivenUp(code, term, list(self._chains.pop(code, {})), self._rooms.forget(code))
        if (others := self._giving_up.pop(code, None)) is not None:
            others.append(given_up)
        else:
            self._release(given_up)

    async def give_up(self, codes: Iterable[str]) -> None:
        """Finish the running batches of rooms, give the rooms up, and tell the edges (rule 15).

        It may be called again meanwhile, as when a lease is over while the node is drained. A room for which that was
        called twice is released by the first call.
        """
        given_up: list[_GivenUp] = []
        codes = list(codes)
        for code in codes:
            self._giving_up.setdefault(code, given_up)
        try:
            await asyncio.gather(*(self._hub.give_up(code) for code in codes))
            ids = [one.room_id for one in given_up if one.room_id is not None]
            if ids:
                await self._rooms.release(ids)
        except StorageFailed:
            log.warning("rooms not given up")  # the others wait for the end of the lease
        finally:
            for code in codes:
                if self._giving_up.get(code) is given_up:  # it was not in memory
                    del self._giving_up[code]
            for one in given_up:
                self._release(one)

    def _release(self, given_up: "_GivenUp") -> None:
        for edge in given_up.edges:
            self._links.post(edge, wire.Released(given_up.code, given_up.term))

    def unloaded(self, code: str) -> None:
        """Forget a room that is not in memory any more, because nobody is in it."""
        self._flush()  # what was told before
        self._adopted.discard(code)
        self._chains.pop(code, None)
        self._rooms.forget(code)

    def gone(self, node: Node) -> None:
        """Hold the seats of a node that is gone, and tell it so, in case that it is back later (rule 11)."""
        answers = self._answers.pop(node, {})
        self.confirmed(node, max(answers, default=0))
        is_waiting = any(again is None for again in answers.values())
        for code in self._hub.codes():
            is_there = any(_generation(seat.claim) == node.generation for seat in self._hub.places(code))
            if is_there or (is_waiting and self._hub.is_serving(code)):
                drop = DropNodes(frozenset((node.generation,)), are_gone=True)
                submit_until_stored(self._hub, self._clock, code, drop, partial(self._tell_dropped, code, node))

    def _tell_dropped(self, code: str, node: Node) -> None:
        for member in self._hub.members_of(code).values():
            if isinstance(member, RemoteMember) and member.edge == node:
                member.seat_lost(DROPPED)

    def beacon(self) -> None:
        """Send each edge the numbers of its last news, and have it attach what it has not (rule 9)."""
        rooms: dict[Node, dict[str, tuple[int, int]]] = {}
        for code, chain in self._chains.items():
            term = self._rooms.term(code)
            for edge, number in chain.items():
                if edge.generation in self._lease.nodes:
                    rooms.setdefault(edge, {})[code] = (term, number)
        for edge, known in rooms.items():
            self._links.post(edge, wire.Beacon(known), can_wait=True)
        for code in list(self._adopted):
            self._call_in(code)

    def _call_in(self, code: str) -> None:
        """Have the edges attach the connected seats of a room that this node has got."""
        term = self._rooms.term(code)
        unattached = self._hub.unattached(code)
        edges = {self._lease.nodes.get(_generation(seat.claim)) for seat in unattached}
        for edge in edges:
            if edge == self._lease.node:
                self.on_owned(wire.Owned(code, term))
            elif edge is not None:
                self._links.post(edge, wire.Owned(code, term))
        if not unattached:
            self._adopted.discard(code)

    def _drop_unattached(self, code: str, term: int, claims: Mapping[str, int | None]) -> None:
        """Give up the seats whose edges have not attached them for as long as a seat is held.

        `claims` are those that were loaded. A newer one is of a running batch, which attaches it when it is stored.
        """
        if self._rooms.term(code) == term:
            for seat in self._hub.unattached(code):
                if claims.get(seat.participant.id) != seat.claim:
                    continue
                drop = Drop(seat.participant.id, seat.claim or 0, self._hold())
                submit_until_stored(self._hub, self._clock, code, drop)


class _RemoteAsker:
    """The asker of a command, or of a relay, that another node has sent."""

    __slots__ = ("_code", "_edge", "_number", "_owner")

    def __init__(self, owner: RoomOwner, edge: Node, code: str, number: int) -> None:
        self._owner = owner
        self._edge = edge
        self._code = code
        self._number = number

    def answered(self, answer: object) -> None:
        """Send the answer."""
        told = wire.Answered(self._number, registry.encode_answer(answer))
        self._owner.answer(self._edge, self._code, self._number, told)

    def refused(self, refused: Refused) -> None:
        """Send the refusal, or that the room is not here."""
        if isinstance(refused, Moved):
            self._owner.elsewhere(self._edge, self._number, refused)
        else:
            told = wire.Declined(self._number, registry.refusal(refused))
            self._owner.answer(self._edge, self._code, self._number, told)


_INTERNAL = registry.refusal(Refused(INTERNAL_ERROR))


def _ignore(_: wire.Owned) -> None:
    """Do nothing."""


def _generation(claim: int | None) -> int:
    return (claim or 0) >> 32
