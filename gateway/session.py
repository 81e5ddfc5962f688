"""One client's session, without sockets: frames in; answers, command rows and closing out, through a Peer.

Theory of operation. A session is in one State and moves by TRANSITIONS, nothing else. A frame is one request. A question
is answered at once. An order becomes one or more COMMAND rows and a Ticket: both go to the peer, which submits them to the
runner; when they are durable, Reports hands ticket, rows and events to `answer`, before any notification of the same batch
is written. Notifications (user.orders, user.trades) come through `notify`, public ones straight from the Feed to the peer.
Time is an argument; `tick` must be called about once a second for the heartbeat. When the connection is gone, by whatever
cause, the owner calls `lost`: cancel on disconnect happens there, and for orders still under way in their `answer`.

The HTTP side makes a session for one request with a peer that keeps the answer.

    session = Session(hub, desk, peer, number=7, address="127.0.0.1")
    session.receive(frame, now)                  # -> peer.send(bytes), peer.submit(rows, ticket), peer.close(code, reason)
"""
from collections.abc import Callable
from enum import Enum
from itertools import islice
from typing import Any, Protocol

import numpy as np
from msgspec import UNSET, Struct

from gateway import questions, requests, terms
from gateway.auth import Credential
from gateway.feed import ChannelError
from gateway.hub import Hub
from gateway.messages import (
    REASONS,
    Command,
    Event,
    Refused,
    Scale,
    command_row,
    commands_of,
    decode,
    encode,
    error,
    events_of,
    id_text,
    invalid,
    notification,
    refused_by_rule,
    result,
)
from gateway.reports import Batch, Channel, Order, Orders, Reports, entered
from gateway.requests import METHODS, order_number
from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Reason, Side, TimeInForce

_SECOND = 1_000_000_000
_ACCEPTED, _REJECTED, _TRADED = int(EventKind.ACCEPTED), int(EventKind.REJECTED), int(EventKind.TRADED)
_KILL_SWITCH = int(EventKind.KILL_SWITCH)
_CANCELED, _MASS_CANCELED = int(EventKind.CANCELED), int(EventKind.MASS_CANCELED)
_DUPLICATE = int(Reason.DUPLICATE_CLIENT_ORDER_ID)
_LARGEST = 1 << 62
_TYPE = {"limit": int(OrderType.LIMIT), "market": int(OrderType.MARKET), UNSET: int(OrderType.LIMIT)}
_TIME_IN_FORCE = {"good_til_cancelled": int(TimeInForce.GTC), "good_til_day": int(TimeInForce.DAY),
                  "immediate_or_cancel": int(TimeInForce.IOC), "fill_or_kill": int(TimeInForce.FOK)}
_SELF_MATCH = {"cancel_incoming": int(Flag.SMP_CANCEL_INCOMING), "cancel_resting": int(Flag.SMP_CANCEL_RESTING),
               "cancel_both": int(Flag.SMP_CANCEL_BOTH), UNSET: 0}
_BUY, _SELL = int(Side.BUY), int(Side.SELL)
_POST_ONLY, _REDUCE_ONLY, _LABEL = int(Flag.POST_ONLY), int(Flag.REDUCE_ONLY), int(Flag.LABEL)
_GTC, _IOC, _MARKET = int(TimeInForce.GTC), int(TimeInForce.IOC), int(OrderType.MARKET)
_ENTER, _CANCEL, _AMEND = int(CommandKind.ENTER), int(CommandKind.CANCEL), int(CommandKind.AMEND)
_MASS_CANCEL = int(CommandKind.MASS_CANCEL)


class State(Enum):
    """Where a session is in its life."""

    CONNECTED = "connected"              # public methods
    AUTHENTICATED = "authenticated"      # public and private methods
    CLOSING = "closing"                  # we have said goodbye; nothing more is read
    LOST = "lost"                        # the connection is gone


# What moves a session on. What is not in the table cannot happen.
TRANSITIONS: dict[tuple[State, str], State] = {
    (State.CONNECTED, "logged_on"): State.AUTHENTICATED,
    (State.AUTHENTICATED, "logged_on"): State.AUTHENTICATED,
    (State.CONNECTED, "close"): State.CLOSING,
    (State.AUTHENTICATED, "close"): State.CLOSING,
    (State.CONNECTED, "lost"): State.LOST,
    (State.AUTHENTICATED, "lost"): State.LOST,
    (State.CLOSING, "lost"): State.LOST,
}


class Bucket:
    """A token bucket in whole nanoseconds: `burst` at once, `per_second` after that."""

    __slots__ = ("per_second", "_interval", "_room", "_arrival")

    def __init__(self, per_second: int, burst: int) -> None:
        self.per_second = per_second
        self._interval = _SECOND // per_second
        self._room = self._interval * burst
        self._arrival = 0

    def take(self, now: int) -> None:
        """One request. Errors: Refused 10028 with retry_after_ms, limit and remaining; then nothing is taken."""
        arrival = max(self._arrival, now) + self._interval
        if arrival - now > self._room:
            wait = arrival - now - self._room
            raise Refused(10028, "too_many_requests", f"more than {self.per_second} requests a second",
                          retry_after_ms=-(-wait // 1_000_000), limit=self.per_second, remaining=0)
        self._arrival = arrival


class Peer(Protocol):
    """The other side of a session: a connection, an HTTP request, or a list in a test. Also a Subscriber of the feed."""

    @property
    def queued(self) -> int: ...
    def send(self, message: bytes) -> None: ...
    def submit(self, rows: bytes, ticket: "Ticket") -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Ticket(Struct, gc=False):
    """What is needed to answer when the rows come back. `id` None: nobody waits."""

    answer: Callable[["Session", "Ticket", list[Command], list[Event], Batch], str]
    id: str | None
    received: int                # ns
    rows: int = 1
    order_id: int = 0


class Desk:
    """What all sessions of a hub share: orders, reports, the buckets of keys and addresses, and what a batch sets off."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.orders = Orders(hub.exchange, hub.blotter)
        self.reports = Reports(self.orders)
        self.everything = frozenset(range(len(hub.exchange.instruments)))
        self.platform: set[Session] = set()              # subscribed to platform_state
        self._durable = hub.exchange.sequence            # last command published
        self._waiting: list[Callable[[], None]] = []
        self._buckets: dict[str, Bucket] = {}

    @property
    def behind(self) -> bool:
        """Whether the engine knows more than is durable."""
        return self._hub.exchange.sequence != self._durable

    def wait(self, question: Callable[[], None]) -> None:
        """Ask again when the batch under way has been published."""
        self._waiting.append(question)

    def publish(self, commands: np.ndarray, events: np.ndarray) -> None:
        """One durable batch, as the runner's listener: answers and private notifications, then the blotter and the
        questions that waited for it, then market data and the public channels."""
        now = self._hub.clock()
        self.reports.publish(commands, events, now)
        self._hub.blotter.record(commands, events)
        self._durable = int(commands["sequence"][-1])
        waiting, self._waiting = self._waiting, []
        for question in waiting:
            question()
        self._hub.feed.publish(events, now)
        if self.platform and (events["kind"] == _KILL_SWITCH).any():
            self.tell_platform()

    def tell_platform(self, maintenance: bool = False) -> None:
        """A message to all who subscribed to platform_state."""
        for session in list(self.platform):
            session.peer.send(platform_state(self._hub, maintenance))

    def bucket_of_key(self, client_id: str) -> Bucket:
        return self._bucket("key " + client_id, self._hub.limits.requests_per_second, self._hub.limits.request_burst)

    def bucket_of_address(self, address: str) -> Bucket:
        if len(self._buckets) > 65_536:
            self._buckets.clear()
        return self._bucket("address " + address, self._hub.limits.public_per_second, self._hub.limits.public_burst)

    def _bucket(self, name: str, per_second: int, burst: int) -> Bucket:
        return self._buckets.get(name) or self._buckets.setdefault(name, Bucket(per_second, burst))


class Session:
    """See the module. `admit(client_id)` may refuse a log-on because the key has all its connections."""

    def __init__(self, hub: Hub, desk: Desk, peer: Peer, *, number: int, address: str, websocket: bool = True,
                 bucket: Bucket | None = None, admit: Callable[[str], bool] = lambda client_id: True) -> None:
        self.hub = hub
        self.desk = desk
        self.orders = desk.orders
        self.peer = peer
        self.number = number
        self.address = address
        self.websocket = websocket
        self.admit = admit
        self.state = State.CONNECTED
        self.credential: Credential | None = None
        self.account = ALL
        self.bucket = bucket or Bucket(hub.limits.public_per_second, hub.limits.public_burst)
        self.channels: dict[str, Channel] = {}           # private ones
        self.public_channels: set[str] = set()
        self.pending = 0                                 # commands under way
        self.bad_requests = 0                            # in a row
        self.cancel_on_disconnect: str | None = None     # "connection", "account"
        self.entered: set[int] = set()                   # open orders of this connection, and some that have finished
        self._entered_limit = 1024
        self.heartbeat = 0                               # ns between two; 0: off
        self._heard = self._beat = 0
        self._asked = False                              # a test_request waits for a sign of life

    # Frames in ------------------------------------------------------------------------------------------------------------

    def receive(self, frame: bytes | str, now: int) -> None:
        """Take one request."""
        if self.state is State.CLOSING or self.state is State.LOST:
            return
        self._heard = now
        self._asked = False
        self._serve(frame, now)

    def _serve(self, frame: bytes | str, now: int, again: bool = False) -> None:
        """`again`: the request has waited for the engine's last batch to become durable."""
        request_id = "null"
        try:
            request = decode(frame)
            request_id = id_text(request.id)
            self.bad_requests = 0
            if not again:
                self.bucket.take(now)
            method = METHODS.get(request.method)
            if method is None:
                raise Refused(-32601, "Method not found", f"method: {request.method} does not exist", field="method",
                              value=request.method)
            if method.scope or method.websocket_only:
                self._permit(method)
            if method.engine and self.desk.behind:
                self.desk.wait(lambda: self._serve(frame, now, again=True))
                return
            read = method.reader.read(request, frame)
            body = HANDLERS[request.method](self, read, request_id, now)
        except Refused as refused:
            self.peer.send(error(request_id, refused, now, self.hub.clock()))
            if refused.code in (-32700, -32600):
                self.bad_requests += 1
                if self.bad_requests >= self.hub.limits.bad_requests:
                    self._close(1008, "too many bad requests")
            return
        if body is not None:
            self.peer.send(result(request_id, body, now, self.hub.clock()))
            self._after(request.method, read, now)

    def _permit(self, method: requests.Method) -> None:
        if method.scope:
            if self.credential is None:
                raise Refused(13009, "unauthorized", "log on first with public/auth")
            if not self.credential.may(method.scope):
                raise Refused(13021, "forbidden", f"the key lacks the scope {method.scope}", field="scope",
                              value=self.credential.scope, bound=method.scope)
        if method.websocket_only and not self.websocket:
            raise Refused(10030, "must_be_websocket_request", "this method needs a websocket", field="method")

    def _after(self, name: str, read: Any, now: int) -> None:
        """What follows an answer: the first messages of channels, the end of the connection."""
        if name in ("public/subscribe", "private/subscribe"):
            self._begin(read.channels, now)
        elif name == "private/logout":
            self.cancel_on_disconnect = None
            self._close(1000, "logged out")

    def _move(self, what: str) -> None:
        self.state = TRANSITIONS[self.state, what]

    def _close(self, code: int, reason: str) -> None:
        self._move("close")
        self.peer.close(code, reason)

    # Time -----------------------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """Heartbeats, as far as they are due."""
        if not self.heartbeat or self.state not in (State.CONNECTED, State.AUTHENTICATED):
            return
        if now - self._beat < self.heartbeat:
            return
        if self._asked:
            self._close(4001, "heartbeat missed")
            return
        self._asked = now - self._heard >= self.heartbeat
        self._beat = now
        kind = "test_request" if self._asked else "heartbeat"
        self.peer.send(f'{{"jsonrpc":"2.0","method":"heartbeat","params":{{"type":"{kind}"}}}}'.encode())

    def lost(self, now: int, cancel: bool = True) -> None:
        """The connection is gone: cancel on disconnect (unless it is the hub that stops), and nobody to tell.

        Further calls do nothing.
        """
        if self.state is State.LOST:
            return
        self._move("lost")
        if not cancel:
            self.cancel_on_disconnect = None
        self.desk.reports.forget(self)
        self.desk.platform.discard(self)
        self.hub.feed.drop(self.peer)
        if self.cancel_on_disconnect == "account":
            self._submit(self._row(_MASS_CANCEL, instrument=ALL), Ticket(_nothing, None, now))
        elif self.cancel_on_disconnect == "connection":
            self._cancel_orders([order for number in sorted(self.entered)
                                 if (order := self.orders.find(number)) is not None and order.open], now)

    def _cancel_orders(self, orders: list[Order], now: int) -> None:
        if orders:
            rows = b"".join(self._row(_CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders)
            self._submit(rows, Ticket(_nothing, None, now, len(orders)))

    # Commands out, answers in ---------------------------------------------------------------------------------------------

    def _row(self, kind: int, **fields: Any) -> bytes:
        return command_row(kind, self.account, self.number, **fields)

    def _submit(self, rows: bytes, ticket: Ticket) -> None:
        if self.pending >= self.hub.limits.pending and ticket.id is not None:
            raise Refused(10047, "matching_engine_queue_full", "too many commands of this connection wait for their answer",
                          value=self.pending, bound=self.hub.limits.pending)
        self.pending += ticket.rows
        self.peer.submit(rows, ticket)

    def answer(self, tickets: list[Ticket], commands: np.ndarray, events: np.ndarray, batch: Batch) -> None:
        """Commands of this session are durable: answer them in order."""
        rows, told = commands_of(commands), list(events_of(events))
        at = 0
        for ticket in tickets:
            own = list(islice(rows, ticket.rows))
            end = at
            while end < len(told) and told[end].sequence <= own[-1].sequence:
                end += 1
            self.pending -= ticket.rows
            try:
                message = result(ticket.id or "", ticket.answer(self, ticket, own, told[at:end], batch),
                                 ticket.received, batch.now)
            except Refused as refused:
                message = error(ticket.id or "", refused, ticket.received, batch.now)
            at = end
            if ticket.id is not None and self.state is not State.LOST:
                self.peer.send(message)

    def failed(self, tickets: list[Ticket], now: int) -> None:
        """The hub stopped before these commands were durable: what became of them is not known."""
        refused = Refused(10040, "retry", "the hub is stopping; ask for the order's state before sending it again")
        for ticket in tickets:
            self.pending -= ticket.rows
            if ticket.id is not None and self.state is not State.LOST:
                self.peer.send(error(ticket.id, refused, ticket.received, now))

    def portfolio(self) -> str:
        """Summary of the account, for user.portfolio."""
        exchange = self.hub.exchange
        return encode(terms.summary(exchange, self.account, exchange.instruments[0].currency, self.orders.scales))

    def notify(self, message: bytes) -> None:
        """A private notification."""
        if self.state is State.AUTHENTICATED:
            self.peer.send(message)

    # Orders ---------------------------------------------------------------------------------------------------------------

    def _buy(self, read: requests.Enter, request_id: str, now: int) -> None:
        self._enter(read, _BUY, request_id, now)

    def _sell(self, read: requests.Enter, request_id: str, now: int) -> None:
        self._enter(read, _SELL, request_id, now)

    def _enter(self, read: requests.Enter, side: int, request_id: str, now: int) -> None:
        index = self.instrument(read.instrument_name)
        scale = self.orders.scales[index]
        market = read.type == "market"
        if market is (read.price is not UNSET):
            raise invalid("price", "price: a market order has none" if market else "price is missing",
                          reason="invalid_value" if market else "value_required")
        time_in_force = (_TIME_IN_FORCE[read.time_in_force] if read.time_in_force is not UNSET
                         else _IOC if market else _GTC)
        name, flags = _name_and_flag(read.client_order_id, read.label)
        if read.post_only is True:
            flags |= _POST_ONLY
        if read.reduce_only is True:
            flags |= _REDUCE_ONLY
        _refuse_repricing(read.reject_post_only)
        self._submit(self._row(
            _ENTER, instrument=index, price=0 if market else _bounded(scale.ticks(read.price), "price"),  # type: ignore[arg-type]
            quantity=_bounded(scale.lots(read.amount), "amount"), client_order_id=name, side=side,
            order_type=_TYPE[read.type], time_in_force=time_in_force, flags=flags | _SELF_MATCH[read.self_match]),
            Ticket(_entry_answer, request_id, now))

    def _answer_entry(self, command: Command, events: list[Event], batch: Batch) -> str:
        first = events[0]
        if first.kind == _REJECTED:
            if first.reason == _DUPLICATE:
                return self._answer_repeat(command, first, batch)
            raise refused_by_rule(first, self.orders.scales[command.instrument])
        order = entered(command, first)
        body = self._changed(order, events)
        if order.leaves > 0:
            self._remember(order, batch.now)
        return body

    def _answer_repeat(self, command: Command, rejected: Event, batch: Batch) -> str:
        """RULEBOOK 5.10 for clients: the same order again is answered with the first one, another is refused."""
        order = batch.order(rejected.resting_order_id, rejected.sequence)
        if order is None or not (
                order.instrument == command.instrument and order.side == command.side
                and order.quantity == command.quantity and order.order_type == command.order_type
                and order.time_in_force == command.time_in_force
                and (order.price == command.price or command.order_type == _MARKET)):
            raise refused_by_rule(rejected, self.orders.scales[command.instrument])
        return f'{{"order":{self.orders.text(order, dup=True)},"trades":[]}}'

    def _changed(self, order: Order, events: list[Event]) -> str:
        """The answer of buy, sell and edit: bring the order up to its events, list its trades."""
        trades = []
        for event in events:
            if event.order_id == order.order_id:
                order.apply(event)
                if event.kind == _TRADED:
                    trades.append(event)
        text = self.orders.text(order)
        if not trades:
            return f'{{"order":{text},"trades":[]}}'
        return f'{{"order":{text},"trades":[{",".join(self.orders.trade_text(order, event, True) for event in trades)}]}}'

    def _remember(self, order: Order, now: int) -> None:
        """For cancel on disconnect."""
        if self.state is State.LOST:
            if self.cancel_on_disconnect == "connection":
                self._cancel_orders([order], now)
            return
        if not self.websocket:
            return
        self.entered.add(order.order_id)
        if len(self.entered) > self._entered_limit:
            self.entered &= self.orders.open_ids(self.account) | {order.order_id}
            self._entered_limit = max(1024, 2 * len(self.entered))

    def _edit(self, read: requests.Edit, request_id: str, now: int) -> None:
        self._amend(self._own_open(order_number(read.order_id)), read, request_id, now)

    def _edit_by_label(self, read: requests.EditByLabel, request_id: str, now: int) -> None:
        index = self.instrument(read.instrument_name)
        found = self.orders.open_of(self.account, frozenset({index}), read.label)
        if len(found) != 1:
            raise Refused(10004, "order_not_found", f"{len(found)} open orders have the label {read.label}, must be one",
                          field="label", value=read.label, reason="unknown_order", fix=REASONS[Reason.UNKNOWN_ORDER].fix)
        self._amend(found[0], read, request_id, now)

    def _amend(self, order: Order, read: requests.Edit | requests.EditByLabel, request_id: str, now: int) -> None:
        if read.amount is UNSET and read.price is UNSET:
            raise invalid("amount", "amount or price must be given", reason="value_required")
        _refuse_repricing(read.reject_post_only)
        scale = self.orders.scales[order.instrument]
        price = order.price if read.price is UNSET else _bounded(scale.ticks(read.price), "price")
        quantity = order.quantity if read.amount is UNSET else _bounded(scale.lots(read.amount), "amount")
        self._submit(self._row(
            _AMEND, instrument=order.instrument, order_id=order.order_id, price=price, quantity=quantity, side=order.side,
            flags=_POST_ONLY if read.post_only is True else 0),
            Ticket(_edit_answer, request_id, now, 1, order.order_id))

    def _answer_edit(self, ticket: Ticket, events: list[Event], batch: Batch) -> str:
        first = events[0]
        if first.kind == _REJECTED:
            raise refused_by_rule(first, self._scale_of(ticket.order_id))
        order = batch.order(ticket.order_id, first.sequence - 1)
        assert order is not None, f"order {ticket.order_id} was amended, but the blotter does not know it"
        return self._changed(order, events)

    def _cancel(self, read: requests.Cancel, request_id: str, now: int) -> None:
        order = self._own_open(order_number(read.order_id))
        self._submit(self._row(_CANCEL, instrument=order.instrument, order_id=order.order_id),
                     Ticket(_cancel_answer, request_id, now, 1, order.order_id))

    def _answer_cancel(self, ticket: Ticket, events: list[Event], batch: Batch) -> str:
        first = events[0]
        if first.kind == _REJECTED:
            raise refused_by_rule(first, self._scale_of(ticket.order_id))
        order = batch.order(ticket.order_id, first.sequence)
        assert order is not None, f"order {ticket.order_id} was canceled, but the blotter does not know it"
        return self.orders.text(order)

    def _cancel_by_label(self, read: requests.ByLabel, request_id: str, now: int) -> str | None:
        chosen = terms.chosen(self.hub.exchange, read.currency)
        orders = self.orders.open_of(self.account, chosen, read.label)
        if not orders:
            return "0"
        rows = b"".join(self._row(_CANCEL, instrument=order.instrument, order_id=order.order_id) for order in orders)
        self._submit(rows, Ticket(_count_answer, request_id, now, len(orders)))
        return None

    def _cancel_all(self, read: Any, request_id: str, now: int) -> None:
        self._submit(self._row(_MASS_CANCEL, instrument=ALL), Ticket(_count_answer, request_id, now))

    def _cancel_all_by_instrument(self, read: requests.ByInstrument, request_id: str, now: int) -> str | None:
        return self._mass_cancel(frozenset({self.instrument(read.instrument_name)}), read.type, request_id, now)

    def _cancel_all_by_currency(self, read: requests.ByCurrency, request_id: str, now: int) -> str | None:
        return self._mass_cancel(terms.chosen(self.hub.exchange, read.currency, read.kind), read.type, request_id, now)

    def _mass_cancel(self, instruments: frozenset[int], kind: str, request_id: str, now: int) -> str | None:
        if kind == "market" or not instruments:          # market orders never rest
            return "0"
        chosen = [ALL] if instruments == self.desk.everything else sorted(instruments)
        self._submit(b"".join(self._row(_MASS_CANCEL, instrument=index) for index in chosen),
                     Ticket(_count_answer, request_id, now, len(chosen)))
        return None

    def _own_open(self, number: int) -> Order:
        """The order that a cancel or edit means. Errors: Refused as the engine would, with what became of it."""
        order = self.orders.find(number)
        if order is not None and order.account == self.account and order.open:
            return order
        told = REASONS[Reason.UNKNOWN_ORDER]
        what = told.text.format(value=number) if order is None or order.account != self.account else (
            f"order {number} is {order.state}")
        raise Refused(told.code, told.message, what, field="order_id", value=str(number), reason="unknown_order",
                      fix=told.fix)

    def _scale_of(self, order_id: int) -> Scale | None:
        order = self.orders.find(order_id)
        return None if order is None else self.orders.scales[order.instrument]

    def instrument(self, name: str) -> int:
        try:
            return self.hub.exchange.index(name)
        except KeyError:
            told = REASONS[Reason.UNKNOWN_INSTRUMENT]
            raise Refused(told.code, told.message, told.text.format(value=name), field=told.field, value=name,
                          reason="unknown_instrument", fix=told.fix) from None

    # Connection -----------------------------------------------------------------------------------------------------------

    def _auth(self, read: requests.Auth, request_id: str, now: int) -> str:
        grant = self.hub.auth.log_on(read, now, self.address)
        if not self.admit(grant.credential.client_id):
            raise Refused(10047, "too_many_connections", "the key has all the connections that it may have")
        if self.websocket:
            self.log_on(grant.credential)
        body = {"access_token": grant.access_token, "refresh_token": grant.refresh_token, "expires_in": grant.expires_in,
                "token_type": "bearer", "scope": grant.credential.scope, "enabled_features": []}
        return encode(body | ({"state": read.state} if read.state else {}))

    def log_on(self, credential: Credential) -> None:
        """The client has proved to own this key; for HTTP by its header. Private channels do not outlive a new key."""
        if credential.account != self.account:
            self.desk.reports.forget(self)
            self.channels.clear()
            self.entered.clear()
            self.cancel_on_disconnect = None
        self.credential = credential
        self.account = credential.account
        self.bucket = self.desk.bucket_of_key(credential.client_id)
        self._move("logged_on")

    def _logout(self, read: requests.Logout, request_id: str, now: int) -> str:
        return '"ok"'

    def _set_heartbeat(self, read: requests.SetHeartbeat, request_id: str, now: int) -> str:
        shortest = self.hub.limits.heartbeat_seconds
        if read.interval < shortest:
            raise invalid("interval", f"interval: {read.interval} s is too short", value=read.interval, bound=shortest)
        self.heartbeat, self._beat, self._heard = read.interval * _SECOND, now, now
        return '"ok"'

    def _disable_heartbeat(self, read: Any, request_id: str, now: int) -> str:
        self.heartbeat, self._asked = 0, False
        return '"ok"'

    def _enable_cancel(self, read: requests.Scope, request_id: str, now: int) -> str:
        self.cancel_on_disconnect = read.scope
        return '"ok"'

    def _disable_cancel(self, read: Any, request_id: str, now: int) -> str:
        self.cancel_on_disconnect = None
        return '"ok"'

    def _get_cancel(self, read: Any, request_id: str, now: int) -> str:
        return encode({"scope": self.cancel_on_disconnect or "connection", "enabled": self.cancel_on_disconnect is not None})

    # Channels -------------------------------------------------------------------------------------------------------------

    def _subscribe(self, read: requests.Subscribe, request_id: str, now: int) -> str:
        """Check all channels first: one that does not exist refuses the request."""
        private = {name: channel for name in read.channels if (channel := self._private(name)) is not None}
        if private and self.credential is None:
            raise Refused(13009, "unauthorized", "user channels need public/auth first", field="channels",
                          value=next(iter(private)))
        if private and not self.credential.may("trade:read"):  # type: ignore[union-attr]
            raise Refused(13021, "forbidden", "the key lacks the scope trade:read", field="scope", bound="trade:read")
        for name in read.channels:
            if name not in private and name != "platform_state":
                _check_public(self.hub, name)
        if len(self.channels.keys() | self.public_channels | set(read.channels)) > self.hub.limits.channels:
            raise Refused(11052, "subscribe_error_unsubscribed", "too many channels on one connection", field="channels",
                          bound=self.hub.limits.channels)
        if private:
            self.channels |= private
            self.desk.reports.watch(self)
        return encode(read.channels)

    def _begin(self, names: list[str], now: int) -> None:
        """After the answer: what is there already, then what comes."""
        for name in names:
            if name == "platform_state":
                self.desk.platform.add(self)
                self.peer.send(platform_state(self.hub))
            elif name in self.channels:
                if self.channels[name].kind == "portfolio":
                    self.notify(notification(name, self.portfolio()))
            elif name not in self.public_channels:
                self.public_channels.add(name)
                self.hub.feed.subscribe(self.peer, name, now)

    def _unsubscribe(self, read: requests.Subscribe, request_id: str, now: int) -> str:
        return encode([name for name in read.channels if self._leave(name)])

    def _unsubscribe_all(self, read: Any, request_id: str, now: int) -> str:
        for name in [*self.channels, *self.public_channels, "platform_state"]:
            self._leave(name)
        return '"ok"'

    def _leave(self, name: str) -> bool:
        if name in self.public_channels:
            self.public_channels.discard(name)
            self.hub.feed.unsubscribe(self.peer, name)
            return True
        if name in self.channels:
            del self.channels[name]
            self.desk.reports.watch(self)
            return True
        subscribed = self in self.desk.platform
        self.desk.platform.discard(self)
        return name == "platform_state" and subscribed

    def _private(self, name: str) -> Channel | None:
        """user.{orders|trades}.{instrument}.raw or .{kind}.{currency}.raw, user.portfolio.{currency}.

        None: not a private channel. Errors: Refused 11045
        """
        parts = name.split(".")
        if parts[0] != "user":
            return None
        try:
            if len(parts) == 3 and parts[1] == "portfolio":
                return Channel("portfolio", terms.chosen(self.hub.exchange, parts[2]))
            if len(parts) not in (4, 5) or parts[1] not in ("orders", "trades") or parts[-1] not in ("raw", "100ms"):
                raise KeyError(name)
            chosen = (frozenset({self.hub.exchange.index(parts[2])}) if len(parts) == 4
                      else terms.chosen(self.hub.exchange, parts[3], parts[2]))
        except (KeyError, Refused):
            raise Refused(11045, "invalid_event", f"channels: {name[:128]} does not exist", field="channels",
                          value=name[:128]) from None
        return Channel(parts[1], chosen)


# A ticket is kept in arrays of millions; functions of the module, not bound methods, keep it small.

def _entry_answer(session: Session, ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return session._answer_entry(commands[0], events, batch)


def _edit_answer(session: Session, ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return session._answer_edit(ticket, events, batch)


def _cancel_answer(session: Session, ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return session._answer_cancel(ticket, events, batch)


def _count_answer(session: Session, ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    """Orders canceled: a mass cancel tells their number, single cancels are counted; those that came too late are not."""
    if events[0].kind == _REJECTED and len(commands) == 1 and commands[0].kind == _MASS_CANCEL:
        raise refused_by_rule(events[0], None)
    if commands[0].kind == _MASS_CANCEL:
        return str(sum(event.quantity for event in events if event.kind == _MASS_CANCELED))
    return str(sum(event.kind == _CANCELED for event in events))


def _nothing(session: Session, ticket: Ticket, commands: list[Command], events: list[Event], batch: Batch) -> str:
    return '""'


def _name_and_flag(client_order_id: Any, label: Any) -> tuple[bytes, int]:
    """The 20 bytes that name an order, and whether they are only a tag. Errors: Refused naming label."""
    if client_order_id is not UNSET:
        if label is not UNSET and label != client_order_id:
            raise invalid("label", f"label: {label} must be equal to client_order_id, which travels in its place",
                          value=label, bound=client_order_id)
        return client_order_id.encode(), 0
    return (b"", 0) if label is UNSET else (label.encode(), _LABEL)


def _check_public(hub: Hub, name: str) -> None:
    try:
        hub.feed.check(name)
    except ChannelError as error_:
        raise Refused(11045, "invalid_event", str(error_)[:200], field="channels", value=name) from None


def _refuse_repricing(reject_post_only: Any) -> None:
    if reject_post_only is False:
        raise invalid("reject_post_only", "reject_post_only: a post_only order that would trade is refused here, never "
                      "repriced", value=False, bound=True)


def _bounded(number: int, field: str) -> int:
    """Within the row's integer, far from its edge."""
    if not -_LARGEST < number < _LARGEST:
        raise invalid(field, f"{field} is too large")
    return number


def platform_state(hub: Hub, maintenance: bool = False) -> bytes:
    """The message of the channel platform_state."""
    return notification("platform_state", encode({"maintenance": True} if maintenance else {"locked": questions.locked(hub)}))


Handler = Callable[[Session, Any, str, int], str | None]
HANDLERS: dict[str, Handler] = {
    "public/auth": Session._auth, "public/get_time": questions.get_time, "public/test": questions.test,
    "public/hello": questions.hello, "public/status": questions.status, "public/get_currencies": questions.currencies,
    "public/get_instruments": questions.instruments, "public/get_instrument": questions.one_instrument,
    "public/get_order_book": questions.order_book, "public/ticker": questions.ticker,
    "public/get_last_trades_by_instrument": questions.last_trades,
    "public/get_last_trades_by_instrument_and_time": questions.last_trades,
    "public/set_heartbeat": Session._set_heartbeat, "public/disable_heartbeat": Session._disable_heartbeat,
    "public/subscribe": Session._subscribe, "public/unsubscribe": Session._unsubscribe,
    "public/unsubscribe_all": Session._unsubscribe_all,
    "private/buy": Session._buy, "private/sell": Session._sell, "private/edit": Session._edit,
    "private/edit_by_label": Session._edit_by_label, "private/cancel": Session._cancel,
    "private/cancel_by_label": Session._cancel_by_label, "private/cancel_all": Session._cancel_all,
    "private/cancel_all_by_instrument": Session._cancel_all_by_instrument,
    "private/cancel_all_by_currency": Session._cancel_all_by_currency,
    "private/cancel_all_by_kind_or_type": Session._cancel_all_by_currency,
    "private/get_open_orders": questions.open_orders,
    "private/get_open_orders_by_instrument": questions.open_orders_by_instrument,
    "private/get_open_orders_by_currency": questions.open_orders,
    "private/get_open_orders_by_label": questions.open_orders_by_label, "private/get_order_state": questions.order_state,
    "private/get_order_state_by_label": questions.order_state_by_label,
    "private/get_order_history_by_instrument": questions.history_by_instrument,
    "private/get_order_history_by_currency": questions.history_by_currency,
    "private/get_user_trades_by_instrument": questions.trades_by_instrument,
    "private/get_user_trades_by_instrument_and_time": questions.trades_by_instrument,
    "private/get_user_trades_by_currency": questions.trades_by_currency,
    "private/get_user_trades_by_currency_and_time": questions.trades_by_currency,
    "private/get_user_trades_by_order": questions.trades_by_order, "private/get_positions": questions.positions,
    "private/get_position": questions.position, "private/get_account_summary": questions.summary,
    "private/get_account_summaries": questions.summaries,
    "private/enable_cancel_on_disconnect": Session._enable_cancel,
    "private/disable_cancel_on_disconnect": Session._disable_cancel,
    "private/get_cancel_on_disconnect": Session._get_cancel, "private/subscribe": Session._subscribe,
    "private/unsubscribe": Session._unsubscribe, "private/unsubscribe_all": Session._unsubscribe_all,
    "private/logout": Session._logout,
}
