"""One client's session, without sockets: frames in; answers, COMMAND rows and closing out, through a Peer.

A session is in one State and changes it by TRANSITIONS only. A frame is one request. Its method comes from the table that
the session is given (methods/table.py) and either answers at once or returns a Ticket with COMMAND rows, which goes to the
peer and from there to the runner. When the rows are durable, Reports hands tickets, rows and events to `answer`, before
any notification of the same batch is sent. Private notifications come through `notify`; public ones go straight from the
Feed to the peer.

Time is an argument. `tick` must be called about once a second for the heartbeat. When the connection has ended, for
whatever reason, its owner calls `lost`: cancel on disconnect happens there, and in the answers of orders that are still
under way.

An HTTP request is served by a session of its own, whose peer keeps the answer.

    session = Session(desk, peer, METHODS, number=7, address="127.0.0.1")
    session.receive(frame, now)                  # -> peer.send(bytes), peer.submit(rows, ticket), peer.close(code, reason)
"""

from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from gateway.auth import SCOPES, Credential, Grant
from gateway.rpc import account
from gateway.rpc.desk import Bucket, Desk
from gateway.rpc.order import Order
from gateway.rpc.reports import Batch, Channel
from gateway.rpc.ticket import Edit, Ticket
from gateway.text.answers import encode, error, id_of_refused, id_text, result
from gateway.text.reader import Reader, decode
from gateway.text.refusals import Refused
from gateway.text.rows import command_row, commands_of, events_of
from matching.codes import ALL, CommandKind

_GRANTS = 16  # of a connection that are revoked when it logs out
_ENTERED = 1024  # orders that a connection remembers before it forgets finished ones


class State(Enum):
    """Where a session is in its life."""

    CONNECTED = "connected"  # public methods only
    AUTHENTICATED = "authenticated"  # public and private methods
    CLOSING = "closing"  # the session has closed; nothing more is read
    LOST = "lost"  # the connection has ended


# (state, event) -> next state. Nothing else can happen.
TRANSITIONS: dict[tuple[State, str], State] = {
    (State.CONNECTED, "logged_on"): State.AUTHENTICATED,
    (State.AUTHENTICATED, "logged_on"): State.AUTHENTICATED,
    (State.CONNECTED, "close"): State.CLOSING,
    (State.AUTHENTICATED, "close"): State.CLOSING,
    (State.CONNECTED, "lost"): State.LOST,
    (State.AUTHENTICATED, "lost"): State.LOST,
    (State.CLOSING, "lost"): State.LOST,
}


class Peer(Protocol):
    """The other side of a session: a connection, an HTTP request, a list in a test. Also a Subscriber of the feed."""

    @property
    def queued(self) -> int: ...
    def send(self, message: bytes) -> None: ...
    def submit(self, rows: bytes, ticket: Ticket) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Method(NamedTuple):
    """One row of the method table."""

    reader: Reader  # of its parameters
    scope: str  # empty: public
    handler: Callable[[Any, Any, int], str | Ticket]  # (session, parameters, now ns) -> the result as JSON, or rows
    websocket_only: bool = False
    reads_engine: bool = False  # whose state may be ahead of what is durable: then the request waits for it
    after: Callable[[Any, Any, int], None] | None = None  # called when the answer has been sent


class Session:
    """See the module.

    methods    by name
    admit      called with the client_id of a log-on; False: the key has all its connections
    """

    def __init__(
        self,
        desk: Desk,
        peer: Peer,
        methods: Mapping[str, Method],
        *,
        number: int,
        address: str,
        websocket: bool = True,
        bucket: Bucket | None = None,
        admit: Callable[[str], bool] = lambda client_id: True,
    ) -> None:
        self.hub = desk.hub
        self.desk = desk
        self.peer = peer
        self.number = number
        self.address = address
        self.websocket = websocket
        self.admit = admit
        self.state = State.CONNECTED
        self.credential: Credential | None = None
        self.account = ALL
        self.grants: deque[Grant] = deque(maxlen=_GRANTS)
        self.channels: dict[str, Channel] = {}  # private ones
        self.public_channels: set[str] = set()
        self.edits: dict[int, Edit] = {}  # under way, by order id
        self.cancel_on_disconnect: str | None = None  # "connection", "account"
        self.entered: set[int] = set()  # open orders of this connection, and some finished ones
        self.bad_requests = 0  # in a row
        self.pending = 0  # commands under way
        self._methods = methods
        self._permitted: frozenset[str] = frozenset()  # scopes that need no further check
        self._bucket = bucket or Bucket(self.hub.limits.public_per_second, self.hub.limits.public_burst)
        self._max_pending = self.hub.limits.pending
        self._entered_limit = _ENTERED
        self._heartbeat = 0  # ns between two; 0: off
        self._last_heard = self._last_beat = 0  # ns
        self._test_requested = False  # and no frame has come since

    # Requests -------------------------------------------------------------------------------------

    def receive(self, frame: bytes | str, now: int) -> None:
        """Serve one request."""
        if self.state is State.CLOSING or self.state is State.LOST:
            return
        self._last_heard = now
        self._test_requested = False
        self._serve(frame, now)

    def _serve(self, frame: bytes | str, now: int, waited: bool = False) -> None:
        """`waited`: the request comes for the second time, having waited for the engine's last batch to be durable."""
        request, request_id = None, "null"
        try:
            request = decode(frame)
            request_id = id_text(request.id)
            self.bad_requests = 0
            if not waited:
                self._bucket.take(now)
            method = self._methods.get(request.method)
            if method is None:
                raise Refused(
                    -32601,
                    "Method not found",
                    f"method: {request.method} does not exist",
                    field="method",
                    value=request.method,
                )
            if method.scope not in self._permitted or method.websocket_only:
                self._permit(method)
            if method.reads_engine and self.desk.engine_is_ahead:
                self.desk.wait(lambda: self._serve(frame, now, waited=True))
                return
            params = method.reader.read(request, frame)
            outcome = method.handler(self, params, now)
            if isinstance(outcome, Ticket):
                if self.pending >= self._max_pending:
                    self.refuse_if_busy()
                outcome.id, outcome.received = request_id, now
                self._submit(outcome)
                return
        except Refused as refused:
            if request is None:
                request_id = id_of_refused(frame)
            self.peer.send(error(request_id, refused, now, self.hub.clock()))
            if refused.code in (-32700, -32600):
                self.bad_requests += 1
                if self.bad_requests >= self.hub.limits.bad_requests:
                    self.close(1008, "too many bad requests")
            return
        self.peer.send(result(request_id, outcome, now, self.hub.clock()))
        if method.after is not None:
            method.after(self, params, now)

    def _permit(self, method: Method) -> None:
        """Errors: Refused where the key or the connection may not call this method."""
        if method.scope:
            if self.credential is None:
                raise Refused(13009, "unauthorized", "log on first with public/auth")
            if not self.credential.may(method.scope):
                raise Refused(
                    13021,
                    "forbidden",
                    f"the key lacks the scope {method.scope}",
                    field="scope",
                    value=self.credential.scope,
                    bound=method.scope,
                )
        if method.websocket_only and not self.websocket:
            raise Refused(10030, "must_be_websocket_request", "this method needs a websocket", field="method")

    # The connection -------------------------------------------------------------------------------

    def log_on(self, credential: Credential) -> None:
        """The client has proved that it owns this key. Private channels end when it changes the account."""
        if credential.account != self.account:
            self.desk.reports.forget(self)
            self.channels.clear()
            self.entered.clear()
            self.cancel_on_disconnect = None
        self.credential = credential
        self._permitted = frozenset(scope for scope in SCOPES if credential.may(scope))
        self.account = credential.account
        self._bucket = self.desk.bucket_of_key(credential.client_id)
        self._enter_state("logged_on")

    def set_heartbeat(self, interval: int, now: int) -> None:
        """`interval` in ns; 0: off."""
        self._heartbeat = interval
        if interval:
            self._last_beat = self._last_heard = now
        else:
            self._test_requested = False

    def tick(self, now: int) -> None:
        """Send the heartbeat that is due. A client that let a test request go unanswered is closed."""
        if not self._heartbeat or self.state not in (State.CONNECTED, State.AUTHENTICATED):
            return
        if now - self._last_beat < self._heartbeat:
            return
        if self._test_requested:
            self.close(4001, "heartbeat missed")
            return
        self._test_requested = now - self._last_heard >= self._heartbeat
        self._last_beat = now
        kind = "test_request" if self._test_requested else "heartbeat"
        self.peer.send(f'{{"jsonrpc":"2.0","method":"heartbeat","params":{{"type":"{kind}"}}}}'.encode())

    def close(self, code: int, reason: str) -> None:
        self._enter_state("close")
        self.peer.close(code, reason)

    def lost(self, now: int, cancel: bool = True) -> None:
        """The connection has ended. cancel: whether cancel on disconnect acts; it does not when the hub itself stops.

        Further calls do nothing.
        """
        if self.state is State.LOST:
            return
        self._enter_state("lost")
        if not cancel:
            self.cancel_on_disconnect = None
        self.desk.reports.forget(self)
        self.desk.platform.pop(self.peer, None)
        self.hub.feed.drop(self.peer)
        self._cancel_on_disconnect(now)

    def _enter_state(self, event: str) -> None:
        self.state = TRANSITIONS[self.state, event]

    # Commands out, answers in ---------------------------------------------------------------------

    def refuse_if_busy(self) -> None:
        if self.pending >= self._max_pending:
            raise Refused(
                10047,
                "matching_engine_queue_full",
                "too many commands of this connection wait for their answer",
                value=self.pending,
                bound=self._max_pending,
            )

    def _submit(self, ticket: Ticket) -> None:
        self.pending += ticket.count
        self.peer.submit(ticket.rows, ticket)

    def answer(self, tickets: list[Ticket], stamped: np.ndarray, events: np.ndarray, batch: Batch) -> None:
        """Commands of this session are durable: answer them in order."""
        rows, emitted = commands_of(stamped), list(events_of(events))
        at, count = 0, len(emitted)
        for ticket in tickets:
            commands = [next(rows)] if ticket.count == 1 else list(islice(rows, ticket.count))
            last = commands[-1].sequence
            end = at
            while end < count and emitted[end].sequence <= last:
                end += 1
            self.pending -= ticket.count
            try:
                body = ticket.answer(commands, emitted[at:end], batch)
                message = result(ticket.id or "", body, ticket.received, batch.now)
            except Refused as refused:
                message = error(ticket.id or "", refused, ticket.received, batch.now)
            at = end
            if ticket.id is not None and self.state is not State.LOST:
                self.peer.send(message)

    def failed(self, tickets: list[Ticket], now: int) -> None:
        """The hub has stopped before these commands were durable. Whether they were done is not known."""
        refused = Refused(10040, "retry", "the hub is stopping; ask for the order's state before sending it again")
        for ticket in tickets:
            self.pending -= ticket.count
            if ticket.id is not None and self.state is not State.LOST:
                self.peer.send(error(ticket.id, refused, ticket.received, now))

    def notify(self, message: bytes) -> None:
        """Send a private notification."""
        if self.state is State.AUTHENTICATED:
            self.peer.send(message)

    def portfolio(self) -> str:
        """The data of user.portfolio."""
        return encode(account.summary(self.hub.exchange, self.account))

    # Cancel on disconnect -------------------------------------------------------------------------

    def note_resting(self, order: Order, now: int) -> None:
        """An order of this connection rests in the book. If the connection has ended since, cancel it."""
        if self.state is State.LOST:
            if self.cancel_on_disconnect == "connection":
                self._cancel_unanswered([order], now)
            return
        if not self.websocket:
            return
        self.entered.add(order.order_id)
        if len(self.entered) > self._entered_limit:
            self.entered &= self.desk.orders.open_ids(self.account) | {order.order_id}
            self._entered_limit = max(_ENTERED, 2 * len(self.entered))

    def _cancel_on_disconnect(self, now: int) -> None:
        """Cancel all orders of the account, or those entered on this connection."""
        if self.cancel_on_disconnect == "account":
            row = command_row(CommandKind.MASS_CANCEL, self.account, self.number, instrument=ALL)
            self._submit(Ticket(row, _no_answer, received=now))
        elif self.cancel_on_disconnect == "connection":
            found = [self.desk.orders.find(number) for number in sorted(self.entered)]
            self._cancel_unanswered([order for order in found if order is not None and order.open], now)

    def _cancel_unanswered(self, orders: list[Order], now: int) -> None:
        if orders:
            rows = b"".join(
                command_row(
                    CommandKind.CANCEL, self.account, self.number, instrument=order.instrument, order_id=order.order_id
                )
                for order in orders
            )
            self._submit(Ticket(rows, _no_answer, len(orders), received=now))


def _no_answer(commands: list[Any], events: list[Any], batch: Batch) -> str:
    return '""'
