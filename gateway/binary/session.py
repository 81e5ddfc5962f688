"""The binary endpoint, /ws/bin/v1: COMMAND rows in, EVENT rows out, in the journal's own layout (matching/records.py).

It is for members who send orders by the hundred thousand. A frame of rows is checked and stamped in one compiled pass
(rows.py) and submitted; no Python object is made for a row. The book decides about orders and answers with EVENT rows.
BinarySession is sans-I/O, AccountFeed hands each session its events, serve_binary connects them with a websocket.

How a session goes
  1. The client sends one text frame {"method":"auth","client_id":...,"client_secret":...}, optionally with
     "cancel_on_disconnect":true. The answer is a text frame {"result":{...}}: its account, the instruments by index,
     both layouts, and the hub's last sequence. If it is refused: {"error":{...}} and close code 1008.
  2. The client sends binary frames of 1 to 4,096 COMMAND rows. The hub writes sequence, time, account and session into
     every row, whatever was there. A frame that is not whole rows is closed with 1003, one that is too long with 1009. A
     row that no trader may send (rows.CHECKS) refuses its whole frame: a text frame {"error":{...}} names row, field,
     value and bound, nothing of the frame is submitted, and the session goes on. While the disk is nearly full, a frame
     with anything but cancels is refused in the same way.
  3. The hub sends binary frames of EVENT rows: all events of the account, also those that its other sessions or other
     members cause, each once, in the order of event_id. Of a trade, the other side's account and client_order_id are
     hidden, and if the other side was the incoming one, also its leaves_quantity and flags: account -1, leaves -1, the
     rest empty.
  4. {"method":"logout"} closes with 1000. If the client asked for it in step 1, any other end of the connection cancels
     all open orders of the account, unless the hub itself is stopping (1001, 1012): then orders stay, as they do over a
     restart.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from exchange.engine.machine import Exchange
from gateway.auth import Credential, LogOn
from gateway.binary.rows import Check, Dealer, stamp
from gateway.hub import CLOSE_GOING_AWAY, CLOSED_BY_HUB, Condition, Hub, disk_is_low
from gateway.text.refusals import Refused, invalid
from matching.codes import ALL, CommandKind
from matching.records import COMMAND, EVENT

MAX_ROWS = 4_096  # in one frame, either way
_NEEDS_DISK = np.isin(np.arange(256), [CommandKind.ENTER, CommandKind.AMEND, CommandKind.TAKE])


@dataclass(frozen=True)
class BinaryLimits:
    """How much one session may have under way."""

    rows_in_flight: int = 32_768  # submitted and not answered, or answered and not sent; with more, reading stops
    rows_queued: int = 524_288  # EVENT rows for a client that does not read; with more, the connection is cut


class Send(NamedTuple):
    """Send a text frame (str) or a binary frame (bytes)."""

    data: str | bytes


class Submit(NamedTuple):
    """Give COMMAND rows to the runner."""

    commands: np.ndarray


class Close(NamedTuple):
    """Close the websocket."""

    code: int
    reason: str


Action = Send | Submit | Close


class _LogOn(msgspec.Struct, forbid_unknown_fields=True, tag_field="method", tag="auth"):
    client_id: str
    client_secret: str
    cancel_on_disconnect: bool = False


class _LogOut(msgspec.Struct, forbid_unknown_fields=True, tag_field="method", tag="logout"):
    pass


_DECODER = msgspec.json.Decoder(_LogOn | _LogOut)


class BinarySession:
    """The conversation of one connection, without the connection.

    number     of the connection; stamped into COMMAND.session
    log_on     (client_id, client_secret) -> Credential. Errors: Refused
    describe   Credential -> the body of the answer to a log-on
    condition  of the hub: while the disk is nearly full, only cancels are accepted
    """

    def __init__(
        self,
        number: int,
        log_on: Callable[[str, str], Credential],
        describe: Callable[[Credential], dict[str, Any]],
        limits: BinaryLimits = BinaryLimits(),
        condition: Condition | None = None,
    ) -> None:
        self.number = number
        self.limits = limits
        self._condition = condition or Condition()
        self.credential: Credential | None = None
        self.rows_in_flight = 0  # submitted, not answered
        self.rows_queued = 0  # EVENT rows handed out by `events` and not yet `sent`
        self._log_on = log_on
        self._describe = describe
        self._cancel_on_disconnect = False

    @property
    def may_read(self) -> bool:
        """Whether another frame of the client may be read."""
        return self.rows_in_flight + self.rows_queued <= self.limits.rows_in_flight

    @property
    def overrun(self) -> bool:
        """Whether the client is so far behind that its connection must be cut."""
        return self.rows_queued > self.limits.rows_queued

    def receive(self, message: str | bytes) -> list[Action]:
        """Take a frame of the client, and return what to do."""
        if isinstance(message, str):
            return self._receive_text(message)
        if self.credential is None:
            return [Close(1008, "authenticate first")]
        if not message or len(message) % COMMAND.itemsize:
            return [Close(1003, f"{len(message)} bytes are not whole rows of {COMMAND.itemsize}")]
        if len(message) > MAX_ROWS * COMMAND.itemsize:
            return [Close(1009, f"more than {MAX_ROWS} rows in a frame")]
        if not self.credential.may("trade:read_write"):
            return [
                _error(
                    Refused(
                        13021,
                        "forbidden",
                        "this key may not trade; it needs the scope trade:read_write",
                        field="scope",
                        value=self.credential.scope,
                    )
                )
            ]
        rows = np.frombuffer(bytearray(message), COMMAND)  # a copy, to be stamped
        if self._condition.disk_low and _NEEDS_DISK[rows["kind"]].any():
            row = int(_NEEDS_DISK[rows["kind"]].argmax())
            return [_error(disk_is_low(f"row {row}: ", row=row, field="kind", value=int(rows["kind"][row])))]
        wrong = stamp(rows, self.credential.account, self.number)
        if wrong is not None:
            return [_error(_refusal(rows, *wrong))]
        self.rows_in_flight += len(rows)
        return [Submit(rows)]

    def _receive_text(self, message: str) -> list[Action]:
        try:
            request = _DECODER.decode(message)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            refusal = _error(Refused(-32600, "Invalid Request", f"neither auth nor logout: {error}"))
            return [refusal] if self.credential else [refusal, Close(1008, "authenticate first")]
        if isinstance(request, _LogOut):
            self._cancel_on_disconnect = False
            return [Close(1000, "logged out")]
        if self.credential is not None:
            return [_error(Refused(-32600, "Invalid Request", "this session is logged on already"))]
        return self._authenticate(request)

    def _authenticate(self, request: _LogOn) -> list[Action]:
        try:
            credential = self._log_on(request.client_id, request.client_secret)
            if not credential.may("trade:read"):
                raise Refused(
                    13021,
                    "forbidden",
                    "this key may not see trades; it needs the scope trade:read",
                    field="scope",
                    value=credential.scope,
                )
        except Refused as refused:
            return [_error(refused), Close(1008, refused.message)]
        self.credential = credential
        self._cancel_on_disconnect = request.cancel_on_disconnect and credential.may("trade:read_write")
        body = self._describe(credential) | {
            "session": self.number,
            "max_rows": MAX_ROWS,
            "cancel_on_disconnect": self._cancel_on_disconnect,
        }
        return [_text({"result": body})]

    def answered(self, rows: int) -> None:
        """So many of the submitted rows are durable."""
        self.rows_in_flight -= rows

    def events(self, events: np.ndarray) -> list[bytes]:
        """The binary frames for EVENT rows of this account. Call `sent` for each when the transport has it."""
        self.rows_queued += len(events)
        return [events[at : at + MAX_ROWS].tobytes() for at in range(0, len(events), MAX_ROWS)]

    def sent(self, frame: str | bytes) -> None:
        """A frame has left."""
        if isinstance(frame, bytes):
            self.rows_queued -= len(frame) // EVENT.itemsize

    def disconnected(self, code: int) -> list[Action]:
        """The connection has ended with this close code. Returns what is still to do: cancel on disconnect."""
        if not self._cancel_on_disconnect or code in CLOSED_BY_HUB:
            return []
        assert self.credential is not None
        self._cancel_on_disconnect = False
        self.rows_in_flight += 1
        rows = np.zeros(1, COMMAND)
        rows["kind"], rows["instrument"], rows["account"] = CommandKind.MASS_CANCEL, ALL, self.credential.account
        rows["session"] = self.number
        return [Submit(rows)]


def _refusal(rows: np.ndarray, row: int, check: Check) -> Refused:
    """The refusal of a row that no trader may send."""
    value = rows[check.field][row]
    shown = value.decode("latin-1") if isinstance(value, bytes) else int(value)
    return invalid(
        check.field,
        f"row {row}: {check.field} is {shown!r}, must be {check.bound}",
        value=shown,
        bound=check.bound,
        reason="invalid_row",
        row=row,
    )


def _text(message: dict[str, Any]) -> Send:
    return Send(msgspec.json.encode(message).decode())


def _error(refused: Refused) -> Send:
    return _text({"error": {"code": refused.code, "message": refused.message, "data": refused.data}})


def describe(exchange: Exchange, credential: Credential) -> dict[str, Any]:
    """What a client needs to make rows. Layouts are NumPy dtype descriptions: [name, type] in order, without padding."""
    return {
        "account": credential.account,
        "sequence": exchange.sequence,
        "command": COMMAND.descr,
        "event": EVENT.descr,
        "instruments": [
            {
                "index": index,
                "symbol": instrument.symbol,
                "tick_size": str(instrument.tick_size),
                "lot_size": str(instrument.lot_size),
                "price_floor": instrument.price_floor,
                "price_ceiling": instrument.price_ceiling,
                "currency": instrument.currency,
                "unit": instrument.unit,
            }
            for index, instrument in enumerate(exchange.instruments)
        ],
    }


# Events of each account ---------------------------------------------------------------------------


class AccountFeed:
    """A listener of the runner that hands each session the events of its account."""

    def __init__(self, accounts: int) -> None:
        self._dealer = Dealer(accounts)
        self._watchers: dict[int, list[Callable[[np.ndarray], None]]] = {}

    @classmethod
    def of(cls, hub: Hub) -> "AccountFeed":
        """The feed that listens to this hub's runner. The first session makes it."""
        for listener in hub.runner.listeners:
            if isinstance(listener, cls):
                return listener
        feed = cls(len(hub.exchange.accounts))
        hub.runner.listeners.append(feed)
        return feed

    def watch(self, account: int, deliver: Callable[[np.ndarray], None]) -> None:
        """Call `deliver(EVENT rows)` for each durable batch that has events of this account. The rows are valid during the
        call only."""
        self._watchers.setdefault(account, []).append(deliver)
        self._dealer.watch(account)

    def unwatch(self, account: int, deliver: Callable[[np.ndarray], None]) -> None:
        """Undo `watch`."""
        watchers = self._watchers[account]
        watchers.remove(deliver)
        if not watchers:
            del self._watchers[account]
            self._dealer.unwatch(account)

    def __call__(self, commands: np.ndarray, events: np.ndarray) -> None:
        if self._watchers:
            for account, rows in self._dealer.deal(events):
                for deliver in self._watchers[account]:
                    deliver(rows)


# The socket ---------------------------------------------------------------------------------------


class Connection(Protocol):
    """The connection of a session, as the protocol guard keeps it (wire/guard.py)."""

    number: int
    address: str

    def require_authentication(self) -> None: ...
    def authenticate(self, key: str, binary: bool = False) -> bool: ...
    def cut(self, name: str) -> None: ...


async def serve_binary(
    websocket: WebSocket, connection: Connection, hub: Hub, limits: BinaryLimits = BinaryLimits()
) -> None:
    """Serve /ws/bin/v1 on a websocket until it ends."""
    await websocket.accept()
    await _Conversation(websocket, connection, hub, limits).run()


class _Conversation:
    """A session and its websocket: a loop that reads, a task that sends, and a queue between them."""

    def __init__(self, websocket: WebSocket, connection: Connection, hub: Hub, limits: BinaryLimits) -> None:
        self.websocket = websocket
        self.hub = hub
        self.feed = AccountFeed.of(hub)
        self.connection = connection
        self.session = BinarySession(
            self.connection.number,
            self._log_on,
            lambda credential: describe(hub.exchange, credential),
            limits,
            hub.condition,
        )
        self.queue: deque[Send | Close] = deque()
        self.to_send = asyncio.Event()
        self.may_read = asyncio.Event()
        self.ended = False  # nothing more can be sent

    def _log_on(self, client_id: str, client_secret: str) -> Credential:
        request = LogOn("client_credentials", client_id, client_secret)
        credential = self.hub.auth.log_on(request, self.hub.clock(), self.connection.address).credential
        if not self.connection.authenticate(client_id, binary=True):
            raise Refused(10028, "too_many_requests", "this key has all the connections it may have")
        self.feed.watch(credential.account, self._deliver)
        return credential

    async def run(self) -> None:
        """Serve until the websocket ends. Then cancel on disconnect, if asked for."""
        self.connection.require_authentication()
        sender = asyncio.create_task(self._send_all())
        code = CLOSE_GOING_AWAY  # only a server that stops cancels this task
        try:
            code = await self._read_all()
        finally:
            sender.cancel()
            if self.session.credential is not None:
                self.feed.unwatch(self.session.credential.account, self._deliver)
            for action in self.session.disconnected(code):
                self._do(action)

    async def _read_all(self) -> int:
        """Returns the close code."""
        while True:
            message = await self.websocket.receive()
            if message["type"] == "websocket.disconnect":
                return message.get("code") or 1006
            data = message.get("bytes")
            for action in self.session.receive(message["text"] if data is None else data):
                self._do(action)
            while not self.session.may_read and not self.ended:
                self.may_read.clear()
                await self.may_read.wait()

    def _do(self, action: Action) -> None:
        if isinstance(action, Submit):
            try:
                self.hub.runner.submit(action.commands, self._answered)
            except RuntimeError:  # the hub is stopping
                self.session.answered(len(action.commands))
                self._do(_error(Refused(10040, "retry", "the hub is stopping; nothing of this frame was done")))
                self._do(Close(1001, "the hub is stopping"))
        else:
            self.queue.append(action)
            self.to_send.set()

    def _answered(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The runner's reply. The events come through the feed, in the order of all events of the account."""
        self.session.answered(len(commands))
        self.may_read.set()

    def _deliver(self, events: np.ndarray) -> None:
        """The feed has events of this account."""
        self.queue.extend(Send(frame) for frame in self.session.events(events))
        self.to_send.set()
        if self.session.overrun:
            self.connection.cut("write_buffer")

    async def _send_all(self) -> None:
        try:
            while True:
                while self.queue:
                    await self._send(self.queue.popleft())
                self.to_send.clear()
                await self.to_send.wait()
        except (WebSocketDisconnect, RuntimeError):
            self.ended = True  # the websocket is closed: what was queued is lost, and the reading loop gets the code
            self.queue.clear()
            self.may_read.set()

    async def _send(self, action: Send | Close) -> None:
        if isinstance(action, Close):
            await self.websocket.close(action.code, action.reason)
        elif isinstance(action.data, bytes):
            await self.websocket.send_bytes(action.data)
            self.session.sent(action.data)
            self.may_read.set()
        else:
            await self.websocket.send_text(action.data)
