"""Connections to PostgreSQL, and what goes wrong with them. Only this module uses asyncpg, which has no types."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec

from roomd.config.databases import server_urls

CONNECT_TIMEOUT = 5.0
"""The seconds that an attempt to connect may take."""
CLOSE_TIMEOUT = 2.0
"""The seconds that an orderly end of a connection may take."""
READ_TIMEOUT = 30.0
"""The seconds that a statement may take which only reads, or writes what can be written again."""
LONGEST_IDLE = 3.0
"""The seconds that a transaction may wait for its next statement. Then the server ends the session: the process may be
frozen or cut off, and others need what it has locked."""
MOST_READERS = 4
"""The connections that read at the same time."""

SETTINGS = {
    "application_name": "roomd",
    "jit": "off",  # it takes longer than any statement of roomd
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
"""Settings of each session. With them the server notices within half a minute that this machine is gone."""

Row = tuple[Any, ...]
"""A row: its values in the order of the columns."""

ESCAPE = "\x1b"
"""The character that stands for itself and for U+0000, with another one behind it."""

OTHER = "other"
REASONS = {
    "08": "unreachable",
    "57": "unreachable",
    "23": "constraint",
    "25": "readonly",
    "28": "denied",
    "3D": "cannot_open",
    "53": "full",
    "55": "busy",
    "40": "busy",
    "XX": "corrupt",
}
"""The names of failures, by the class of the SQLSTATE (PostgreSQL, appendix A)."""
_READ_ONLY = "25006"
"""The SQLSTATE of a statement that would write, on a standby."""
_LASTING = ("22", "42")
"""The classes of errors that trying again does not remove: the schema is not that of this roomd."""
# An InternalClientError is what asyncpg raises for a statement on a connection that the server has just ended.
_LOST = (OSError, asyncpg.InternalClientError)
_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, ssl.SSLError, asyncio.TimeoutError, *_LOST)


class DatabaseError(Exception):
    """PostgreSQL could not do what it was asked, or did not answer."""

    def __init__(self, error: BaseException, *, is_lost: bool) -> None:
        super().__init__(str(error) or type(error).__name__)
        state = getattr(error, "sqlstate", None) or ""
        self.reason = "unreachable" if is_lost else REASONS.get(state[:2], OTHER)
        if isinstance(error, ssl.SSLCertVerificationError):
            self.args = (f"the certificate of the server is not accepted: {error.verify_message}",)
            self.reason = "untrusted"
        """A short name of why."""
        self.is_lost = is_lost
        """Whether the connection is lost: what a commit that was running did is not known."""
        self.is_constraint = state.startswith("23")
        """Whether a constraint of the schema is broken."""
        self.is_undone = state.startswith("40")
        """Whether the server has rolled the transaction back in favour of another one, as in a deadlock."""
        self.is_lasting = state[:2] in _LASTING
        """Whether trying again does not help."""


class Connection:
    """A connection. Every method raises `DatabaseError`.

    One to a server that refuses to write is ended: it was a standby that answered at the address of the primary, and
    that address may be another server's by now.

    PostgreSQL stores no U+0000. In every text that goes in it is escaped, and unescaped when it comes back.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def is_closed(self) -> bool:
        """Whether it is closed, or lost."""
        return bool(self._connection.is_closed())

    @property
    def pid(self) -> int:
        """The process id of the server's end."""
        return int(self._connection.get_server_pid())

    async def fetch(self, sql: str, *values: object) -> list[Row]:
        """Run a statement and return its rows. `values` are those of $1, $2 and so on."""
        with self._translated():
            rows = await self._connection.fetch(sql, *map(_escaped, values))
        return [_unescaped(row) for row in rows]

    async def execute(self, sql: str, *values: object) -> int:
        """Run a statement and return the number of rows that it changed."""
        with self._translated():
            status: str = await self._connection.execute(sql, *map(_escaped, values))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def script(self, sql: str) -> None:
        """Run some statements without values, in one transaction."""
        with self._translated():
            await self._connection.execute(sql)

    async def copy_in(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Add many rows to a table."""
        with self._translated():
            await self._connection.copy_records_to_table(table, columns=list(columns), records=map(_escaped, rows))

    async def parts(self, sql: str, size: int, *values: object) -> AsyncIterator[list[Row]]:
        """Run a statement and return its rows, so many at a time. The caller has a transaction."""
        with self._translated():
            cursor = await self._connection.cursor(sql, *map(_escaped, values))
            while rows := await cursor.fetch(size):
                yield [_unescaped(row) for row in rows]

    @contextlib.asynccontextmanager
    async def transaction(self, *, is_snapshot: bool = False) -> AsyncIterator[None]:
        """Run the block in a transaction, which is rolled back when it raises.

        If it `is_snapshot`, the block only reads, and all that it reads is of one moment.
        """
        options = {"isolation": "repeatable_read", "readonly": True} if is_snapshot else {}
        transaction = self._connection.transaction(**options)
        with self._translated():
            await transaction.start()
        try:
            yield
        except BaseException:
            with contextlib.suppress(DatabaseError), self._translated():
                await transaction.rollback()
            raise
        with self._translated():
            await transaction.commit()

    def terminate(self) -> None:
        """End the connection at once."""
        self._connection.terminate()

    async def close(self) -> None:
        """End the connection in order, or else at once."""
        try:
            await self._connection.close(timeout=CLOSE_TIMEOUT)
        except _FAILURES:
            self._connection.terminate()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as exc:
            is_lost = self.is_closed or isinstance(exc, _LOST)
            if getattr(exc, "sqlstate", None) == _READ_ONLY:
                self.terminate()
            raise DatabaseError(exc, is_lost=is_lost) from exc


async def connect(
    url: str, *, is_durable: bool = True, longest: float | None = None, longest_idle: float = 0.0
) -> Connection:
    """Connect. Unless `is_durable`, a commit is answered before it is on the disk of the server.

    Of several servers that the URL names, all are asked at the same time, as one whose machine is gone does not answer,
    and the first is taken that accepts writes: the primary. `longest` is the time in seconds that each statement may
    take; None for no limit; `longest_idle` that in which a transaction needs its next statement, 0 for no limit. Raises
    `DatabaseError`, and `ValueError` for a wrong URL.
    """
    settings = {**SETTINGS, "idle_in_transaction_session_timeout": f"{round(longest_idle * 1000)}"}
    if not is_durable:
        settings["synchronous_commit"] = "off"
    urls = server_urls(url)
    wanted = {"target_session_attrs": "read-write"} if len(urls) > 1 else {}
    options = {"timeout": CONNECT_TIMEOUT, "command_timeout": longest, "server_settings": settings, **wanted}
    attempts = [asyncio.ensure_future(asyncpg.connect(one, **options)) for one in urls]
    try:
        return Connection(await _first(attempts))
    except asyncpg.ClientConfigurationError as exc:
        raise ValueError(str(exc)) from None
    except _FAILURES as exc:
        raise DatabaseError(exc, is_lost=not hasattr(exc, "sqlstate")) from exc


async def _first(attempts: Sequence["asyncio.Future[Any]"]) -> Any:
    """Return what the first attempt that succeeds has opened, and end the others. Raises the first failure."""
    waiting, first = set(attempts), None
    try:
        while waiting and first is None:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            first = next((one for one in done if one.exception() is None), None)
    finally:  # nothing is awaited from here on: who is cancelled then would lose what was opened
        for one in attempts:
            if one is not first:
                one.cancel()
                one.add_done_callback(_end)
    if first is not None:
        return first.result()
    failures = [failure for one in attempts if (failure := one.exception()) is not None]
    raise min(failures, key=lambda one: isinstance(one, asyncpg.TargetServerAttributeNotMatched))


def _end(attempt: "asyncio.Future[Any]") -> None:
    """End what an attempt has opened after all."""
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().terminate()


class Readers:
    """Connections that read, and write what needs no fence. They are opened as they are needed.

    There are at most `MOST_READERS`. `longest` is the time in seconds that each statement may take.
    """

    def __init__(self, url: str, *, is_durable: bool = True, longest: float = READ_TIMEOUT) -> None:
        self.url = url
        """Where the server is."""
        self._is_durable = is_durable
        self._longest = longest
        self._idle: list[Connection] = []
        self._is_closed = False
        self._free = asyncio.Semaphore(MOST_READERS)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Have a connection for the block alone. Raises `DatabaseError`."""
        async with self._free:
            connection = await self._opened()
            try:
                yield connection
            except DatabaseError as exc:
                if exc.is_lost or connection.is_closed:  # also when its time is over
                    connection.terminate()
                    self._drop_idle()
                raise
            except BaseException:
                connection.terminate()  # cancelled in the middle of a statement
                raise
            finally:
                if self._is_closed:
                    connection.terminate()
                elif not connection.is_closed:
                    self._idle.append(connection)

    async def close(self) -> None:
        """Close the connections; one that is in use when it is free."""
        self._is_closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    def _drop_idle(self) -> None:
        """End the connections that nobody uses: after the loss of one, they may lead to a machine that is gone."""
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.terminate()

    async def _opened(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed:
                return connection
        return await connect(self.url, is_durable=self._is_durable, longest=self._longest, longest_idle=LONGEST_IDLE)


_encoder = msgspec.json.Encoder()
_SUSPECTS = ("\\u0000", "\\u001b")
"""How JSON has what is escaped; a text that looks like it is no mistake."""


def rows_as_json(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Return rows as a value for `json_to_recordset`: an array of objects with these names, and texts escaped.

    PostgreSQL takes NULL for what an object does not have. An array for each column (`unnest`) costs more: asyncpg
    looks at each of its values by two calls of Python.
    """
    objects = [{name: value for name, value in zip(columns, row, strict=True) if value is not None} for row in rows]
    text = _encoder.encode(objects).decode()
    if any(suspect in text for suspect in _SUSPECTS):
        objects = [{name: _escaped(value) for name, value in one.items()} for one in objects]
        text = _encoder.encode(objects).decode()
    return text


def _escaped(value: object) -> object:
    """Return a text, or an array with texts, without U+0000."""
    if isinstance(value, str):
        return _escaped_text(value)
    if isinstance(value, list | tuple):
        whole = "".join([one for one in value if isinstance(one, str)])
        if "\0" in whole or ESCAPE in whole:
            return [_escaped_text(one) if isinstance(one, str) else one for one in value]
    return value


def _escaped_text(text: str) -> str:
    if "\0" in text or ESCAPE in text:
        return text.replace(ESCAPE, f"{ESCAPE}1").replace("\0", f"{ESCAPE}0")
    return text


def _unescaped(row: Iterable[Any]) -> Row:
    return tuple(
        [
            one.replace(f"{ESCAPE}0", "\0").replace(f"{ESCAPE}1", ESCAPE)
            if isinstance(one, str) and ESCAPE in one
            else one
            for one in row
        ]
    )
