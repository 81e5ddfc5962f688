"""One client's session, without sockets: frames in; answers, command rows and closing out, through a Peer.

Its life is here: requests, log-on, channels, heartbeat, the end. What methods do is in commands.py (orders), questions.py and
operators.py.

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

from collections import deque
from collections.abc import Callable
from enum import Enum
from itertools import islice
from typing import Any, Protocol

import numpy as np

from gateway.auth import SCOPES, Credential, Grant
from gateway.hub import Hub
from gateway.market import describe as terms
from gateway.market.feed import ChannelError
from gateway.rpc import requests
from gateway.rpc.desk import Bucket, Desk, platform_state
from gateway.rpc.methods import operators
from gateway.rpc.methods import orders as commands
from gateway.rpc.methods import queries as questions
from gateway.rpc.methods.orders import Ticket
from gateway.rpc.reports import Batch, Channel, Order
from gateway.rpc.requests import METHODS
from gateway.text.messages import (
    Refused,
    command_row,
    commands_of,
    decode,
    encode,
    error,
    events_of,
    id_of_refused,
    id_text,
    invalid,
    notification,
    refusal,
    result,
)
from matching.codes import ALL, Reason

_SECOND = 1_000_000_000
_GRANTS = 16  # of a connection that are revoked when it logs out


class State(Enum):
    """Where a session is in its life."""

    CONNECTED = "connected"  # public methods
    AUTHENTICATED = "authenticated"  # public and private methods
    CLOSING = "closing"  # we have said goodbye; nothing more is read
    LOST = "lost"  # the connection is gone


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


class Peer(Protocol):
    """The other side of a session: a connection, an HTTP request, or a list in a test. Also a Subscriber of the feed."""

    @property
    def queued(self) -> int: ...
    def send(self, message: bytes) -> None: ...
    def submit(self, rows: bytes, ticket: Ticket) -> None: ...
    def close(self, code: int, reason: str) -> None: ...


class Session:
    """See the module. `admit(client_id)` may refuse a log-on because the key has all its connections."""

    def __init__(
        self,
        hub: Hub,
        desk: Desk,
        peer: Peer,
        *,
        number: int,
        address: str,
        websocket: bool = True,
        bucket: Bucket | None = None,
        admit: Callable[[str], bool] = lambda client_id: True,
    ) -> None:
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
        self._grants: deque[Grant] = deque(maxlen=_GRANTS)
        self._permitted: frozenset[str] = frozenset()  # scopes of its methods
        self.account = ALL
        self.bucket = bucket or Bucket(hub.limits.public_per_second, hub.limits.public_burst)
        self.channels: dict[str, Channel] = {}  # private ones
        self.public_channels: set[str] = set()
        self.pending = 0  # commands under way
        self.bad_requests = 0  # in a row
        self.cancel_on_disconnect: str | None = None  # "connection", "account"
        self.entered: set[int] = set()  # open orders of this connection, and some that have finished
        self._entered_limit = 1024
        self.amending: dict[
            int, tuple[int, int, int, int]
        ] = {}  # order id -> price, trigger, quantity, edits under way
        self.heartbeat = 0  # ns between two; 0: off
        self._heard = self._beat = 0
        self._asked = False  # a test_request waits for a sign of life

    # Frames in ------------------------------------------------------------------------------------

    def receive(self, frame: bytes | str, now: int) -> None:
        """Take one request."""
        if self.state is State.CLOSING or self.state is State.LOST:
            return
        self._heard = now
        self._asked = False
        self._serve(frame, now)

    def _serve(self, frame: bytes | str, now: int, again: bool = False) -> None:
        """`again`: the request has waited for the engine's last batch to become durable."""
        request, request_id = None, "null"
        try:
            request = decode(frame)
            request_id = id_text(request.id)
            self.bad_requests = 0
            if not again:
                self.bucket.take(now)
            method = METHODS.get(request.method)
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
            if method.engine and self.desk.behind:
                self.desk.wait(lambda: self._serve(frame, now, again=True))
                return
            read = method.reader.read(request, frame)
            body = HANDLERS[request.method](self, read, request_id, now)
        except Refused as refused:
            if request is None:
                request_id = id_of_refused(frame)
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

    def _after(self, name: str, read: Any, now: int) -> None:
        """What follows an answer: the first messages of channels, the end of the connection."""
        if name in ("public/subscribe", "private/subscribe"):
            self._begin(read.channels, now)
        elif name in ("private/logout", "operator/logout"):
            self.cancel_on_disconnect = None
            self._close(1000, "logged out")

    def _move(self, what: str) -> None:
        self.state = TRANSITIONS[self.state, what]

    def _close(self, code: int, reason: str) -> None:
        self._move("close")
        self.peer.close(code, reason)

    # Time -----------------------------------------------------------------------------------------

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
        commands.cancel_for_lost(self, now)

    # Commands out, answers in ---------------------------------------------------------------------

    def row(self, kind: int, **fields: Any) -> bytes:
        return command_row(kind, self.account, self.number, **fields)

    def submit(self, rows: bytes, ticket: Ticket) -> None:
        if self.pending >= self.hub.limits.pending and ticket.id is not None:
            raise Refused(
                10047,
                "matching_engine_queue_full",
                "too many commands of this connection wait for their answer",
                value=self.pending,
                bound=self.hub.limits.pending,
            )
        self.pending += ticket.rows
        self.peer.submit(rows, ticket)

    def answer(self, tickets: list[Ticket], stamped: np.ndarray, events: np.ndarray, batch: Batch) -> None:
        """Commands of this session are durable: answer them in order."""
        rows, told = commands_of(stamped), list(events_of(events))
        at, count = 0, len(told)
        for ticket in tickets:
            own = [next(rows)] if ticket.rows == 1 else list(islice(rows, ticket.rows))
            last = own[-1].sequence
            end = at
            while end < count and told[end].sequence <= last:
                end += 1
            self.pending -= ticket.rows
            try:
                message = result(
                    ticket.id or "", ticket.answer(self, ticket, own, told[at:end], batch), ticket.received, batch.now
                )
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

    def instrument(self, name: str) -> int:
        try:
            return self.hub.exchange.index(name)
        except KeyError:
            raise refusal(Reason.UNKNOWN_INSTRUMENT, value=name) from None

    def remember(self, order: Order, now: int) -> None:
        """For cancel on disconnect."""
        if self.state is State.LOST:
            if self.cancel_on_disconnect == "connection":
                commands.cancel_unasked(self, [order], now)
            return
        if not self.websocket:
            return
        self.entered.add(order.order_id)
        if len(self.entered) > self._entered_limit:
            self.entered &= self.orders.open_ids(self.account) | {order.order_id}
            self._entered_limit = max(1024, 2 * len(self.entered))

    # Connection -----------------------------------------------------------------------------------

    def _auth(self, read: requests.Auth, request_id: str, now: int) -> str:
        grant = self.hub.auth.log_on(read, now, self.address)
        if not self.admit(grant.credential.client_id):
            raise Refused(10047, "too_many_connections", "the key has all the connections that it may have")
        if self.websocket:
            self.log_on(grant.credential)
        self._grants.append(grant)
        body = {
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "expires_in": grant.expires_in,
            "token_type": "bearer",
            "scope": grant.credential.scope,
            "enabled_features": [],
        }
        return encode(body | ({"state": read.state} if read.state else {}))

    def log_on(self, credential: Credential) -> None:
        """The client has proved to own this key; for HTTP by its header. Private channels do not outlive a new key."""
        if credential.account != self.account:
            self.desk.reports.forget(self)
            self.channels.clear()
            self.entered.clear()
            self.cancel_on_disconnect = None
        self.credential = credential
        self._permitted = frozenset(scope for scope in SCOPES if credential.may(scope))
        self.account = credential.account
        self.bucket = self.desk.bucket_of_key(credential.client_id)
        self._move("logged_on")

    def _logout(self, read: requests.Logout, request_id: str, now: int) -> str:
        if read.invalidate_token:
            for grant in self._grants:
                self.hub.auth.revoke(grant)
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
        return encode(
            {"scope": self.cancel_on_disconnect or "connection", "enabled": self.cancel_on_disconnect is not None}
        )

    # Channels -------------------------------------------------------------------------------------

    def _subscribe(self, read: requests.Subscribe, request_id: str, now: int) -> str:
        """Check all channels first: one that does not exist refuses the request."""
        private = {name: channel for name in read.channels if (channel := self._private(name)) is not None}
        if private:
            if self.credential is None:
                raise Refused(
                    13009,
                    "unauthorized",
                    "user channels need public/auth first",
                    field="channels",
                    value=next(iter(private)),
                )
            if not self.credential.may("trade:read"):
                raise Refused(
                    13021, "forbidden", "the key lacks the scope trade:read", field="scope", bound="trade:read"
                )
        for name in read.channels:
            if name not in private and name != "platform_state":
                _check_public(self.hub, name)
        if len(self.channels.keys() | self.public_channels | set(read.channels)) > self.hub.limits.channels:
            raise Refused(
                11052,
                "subscribe_error_unsubscribed",
                "too many channels on one connection",
                field="channels",
                bound=self.hub.limits.channels,
            )
        if private:
            self.channels |= private
            self.desk.reports.watch(self)
        return encode(read.channels)

    def _begin(self, names: list[str], now: int) -> None:
        """After the answer: what is there already, then what comes."""
        for name in names:
            if name == "platform_state":
                self.desk.platform.add(self)
                self.peer.send(platform_state(self.hub, sorted(self.desk.everything)))
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
            if len(parts) == 5 and parts[2] not in requests.KINDS:
                raise KeyError(name)
            chosen = (
                frozenset({self.hub.exchange.index(parts[2])})
                if len(parts) == 4
                else terms.chosen(self.hub.exchange, parts[3], parts[2])
            )
        except (KeyError, Refused):
            raise Refused(
                11045, "invalid_event", f"channels: {name[:128]} does not exist", field="channels", value=name[:128]
            ) from None
        return Channel(parts[1], chosen)


def _check_public(hub: Hub, name: str) -> None:
    try:
        hub.feed.check(name)
    except ChannelError as error_:
        raise Refused(11045, "invalid_event", str(error_)[:200], field="channels", value=name) from None


Handler = Callable[[Session, Any, str, int], str | None]
HANDLERS: dict[str, Handler] = {
    "public/auth": Session._auth,
    "public/get_time": questions.get_time,
    "public/test": questions.test,
    "public/hello": questions.hello,
    "public/status": questions.status,
    "public/get_currencies": questions.currencies,
    "public/get_instruments": questions.instruments,
    "public/get_instrument": questions.one_instrument,
    "public/get_order_book": questions.order_book,
    "public/ticker": questions.ticker,
    "public/get_last_trades_by_instrument": questions.last_trades,
    "public/get_last_trades_by_instrument_and_time": questions.last_trades,
    "public/set_heartbeat": Session._set_heartbeat,
    "public/disable_heartbeat": Session._disable_heartbeat,
    "public/subscribe": Session._subscribe,
    "public/unsubscribe": Session._unsubscribe,
    "public/unsubscribe_all": Session._unsubscribe_all,
    "private/buy": commands.buy,
    "private/sell": commands.sell,
    "private/edit": commands.edit,
    "private/edit_by_label": commands.edit_by_label,
    "private/take": commands.take,
    "private/cancel": commands.cancel,
    "private/cancel_by_label": commands.cancel_by_label,
    "private/cancel_all": commands.cancel_all,
    "private/cancel_all_by_instrument": commands.cancel_all_by_instrument,
    "private/cancel_all_by_currency": commands.cancel_all_by_currency,
    "private/cancel_all_by_kind_or_type": commands.cancel_all_by_currency,
    "private/get_open_orders": questions.open_orders,
    "private/get_open_orders_by_instrument": questions.open_orders_by_instrument,
    "private/get_open_orders_by_currency": questions.open_orders,
    "private/get_open_orders_by_label": questions.open_orders_by_label,
    "private/get_order_state": questions.order_state,
    "private/get_order_state_by_label": questions.order_state_by_label,
    "private/get_order_history_by_instrument": questions.history_by_instrument,
    "private/get_order_history_by_currency": questions.history_by_currency,
    "private/get_user_trades_by_instrument": questions.trades_by_instrument,
    "private/get_user_trades_by_instrument_and_time": questions.trades_by_instrument,
    "private/get_user_trades_by_currency": questions.trades_by_currency,
    "private/get_user_trades_by_currency_and_time": questions.trades_by_currency,
    "private/get_user_trades_by_order": questions.trades_by_order,
    "private/get_positions": questions.positions,
    "private/get_position": questions.position,
    "private/get_account_summary": questions.summary,
    "private/get_account_summaries": questions.summaries,
    "private/enable_cancel_on_disconnect": Session._enable_cancel,
    "private/disable_cancel_on_disconnect": Session._disable_cancel,
    "private/get_cancel_on_disconnect": Session._get_cancel,
    "private/subscribe": Session._subscribe,
    "private/unsubscribe": Session._unsubscribe,
    "private/unsubscribe_all": Session._unsubscribe_all,
    "private/logout": Session._logout,
    "public/get_last_settlements_by_instrument": questions.settlements,
    "private/get_settlement_history_by_instrument": questions.own_settlements,
    "private/get_statement": questions.statement,
    "private/set_mmp_config": commands.set_protection,
    "private/get_offers": questions.offers,
    "private/get_mmp_config": questions.protection,
    "private/reset_mmp": commands.reset_protection,
    "operator/set_phase": operators.set_phase,
    "operator/halt": operators.halt,
    "operator/resume": operators.resume,
    "operator/kill_switch": operators.kill_switch,
    "operator/set_limit": operators.set_limit,
    "operator/cash": operators.cash,
    "operator/mass_cancel": operators.mass_cancel,
    "operator/begin_day": operators.begin_day,
    "operator/end_day": operators.end_day,
    "operator/list": operators.list_instrument,
    "operator/begin_window": operators.begin_window,
    "operator/settle": operators.settle,
    "operator/expire": operators.expire,
    "operator/liquidate": operators.liquidate,
    "operator/next_step": operators.next_step,
    "operator/get_schedule": operators.schedule,
    "operator/get_surveillance": operators.surveillance,
    "operator/get_accounts": operators.accounts,
    "operator/get_statement": questions.any_statement,
    "operator/logout": Session._logout,
}
