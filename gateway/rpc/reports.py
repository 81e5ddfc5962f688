"""Orders and trades as their owners see them: the state of an order at a given command, its JSON, and the private
channels user.orders and user.trades.

The blotter knows every open order and the latest finished ones, as of the last durable batch. An answer must show the
order as its own command left it, though later commands of the same batch may have changed it already: so a batch is
published before the blotter records it, and `Batch.order` applies the batch's events to what the blotter says, up to
that command.

    reports = Reports(Orders(exchange, blotter))
    reports.expect(answerer, tickets, commands, events)      # a submission came back, durable
    reports.publish(commands, events, now)                   # the whole batch: answers first, then private notifications

Instruments are indices, prices ticks, quantities lots, times ns.
"""

from copy import copy
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
from msgspec import Struct

from exchange.engine.machine import Exchange
from exchange.projections.blotter import ENTRY, Blotter, OrderState
from gateway.text.messages import (
    DIRECTION,
    OFFSETS,
    Scale,
    commands_of,
    date_text,
    encode,
    event_at,
    events_of,
    layout,
    notification,
    plain,
)
from matching.codes import CommandKind, EventKind, Flag, OrderType, Reason, TimeInForce
from matching.records import Command, Event

_EXPIRED = frozenset(
    int(reason)
    for reason in (
        Reason.DAY_ENDED,
        Reason.DATE_REACHED,
        Reason.SESSION_ENDED,
        Reason.AUCTION_ENDED,
        Reason.INSTRUMENT_EXPIRY,
    )
)
_LABEL, _PARKED = int(Flag.LABEL), int(Flag.PARKED)
_OFFSETS = sum(OFFSETS.values())
# Events that change an order. Those of an auction come with them.
_TOLD = np.isin(
    np.arange(256), [EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELED, EventKind.AMENDED, EventKind.TRIGGERED]
)
_TOUCHES_FUNDS = np.isin(np.arange(256), [EventKind.BALANCE, EventKind.CASH, EventKind.MARGIN_CALL])

ORDER_TYPE: dict[int, str] = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop_market",
    OrderType.STOP_LIMIT: "stop_limit",
}
TIME_IN_FORCE = {
    int(TimeInForce.DAY): "good_til_day",
    int(TimeInForce.GTC): "good_til_cancelled",
    int(TimeInForce.OPENING): "at_the_opening",
    int(TimeInForce.IOC): "immediate_or_cancel",
    int(TimeInForce.FOK): "fill_or_kill",
    int(TimeInForce.GTD): "good_til_date",
    int(TimeInForce.SESSION): "good_for_session",
}
_REASON = {int(reason): reason.name.lower() for reason in Reason}
_JSON = {True: "true", False: "false"}
_EXEC_TYPES: dict[int, str] = {
    EventKind.ACCEPTED: "new",
    EventKind.TRADED: "trade",
    EventKind.CANCELED: "canceled",
    EventKind.AMENDED: "replaced",
    EventKind.TRIGGERED: "triggered",
}
_REMEMBERED = 4096  # orders found, and events of a batch up to which it pays to say which of them it changed


class Order(Struct, gc=False):
    """One order at one moment."""

    order_id: int
    account: int
    instrument: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    price: int
    quantity: int  # total
    leaves: int  # open
    filled: int
    notional: int  # sum of trade price x quantity
    reason: int  # why it was canceled
    client_order_id: bytes
    created: int
    updated: int
    sequence: int  # of the command that changed it last
    exec_type: str
    trigger_price: int = 0
    display_quantity: int = 0  # shown at a time; 0: all
    minimum_quantity: int = 0
    linked_order_id: int = 0
    expire_date: int = 0
    parked: bool = False  # waits for its trigger
    triggered: bool = False
    replaced: bool = False

    @property
    def open(self) -> bool:
        return self.leaves > 0

    @property
    def state(self) -> str:
        """order_state, as clients read it."""
        if self.leaves > 0:
            return "untriggered" if self.parked else "open"
        return "filled" if self.filled >= self.quantity else "cancelled"

    def is_of(self, kind: str) -> bool:
        """Whether it is open and of a type as Deribit groups them; no `market` order is open."""
        if kind in ("all", "trigger_all", "stop_all"):
            return self.parked or (kind == "all" and self.open)
        return self.open and (kind == ORDER_TYPE[self.order_type] if self.parked else kind == "limit")

    def apply(self, event: Event) -> None:
        """Bring the order up to one of its events."""
        kind = event.kind
        if kind == EventKind.TRADED:
            self.filled += event.quantity
            self.notional += event.quantity * event.price
            mine = event.order_id == self.order_id
            self.leaves = event.leaves_quantity if mine else event.resting_leaves_quantity
            self.exec_type = _EXEC_TYPES[kind]
        elif kind == EventKind.CANCELED:
            self.leaves = 0
            self.reason = event.reason
            self.exec_type = "expired" if event.reason in _EXPIRED else _EXEC_TYPES[kind]
        elif kind == EventKind.AMENDED:
            self.price, self.quantity, self.leaves = event.price, event.quantity, event.leaves_quantity
            self.exec_type, self.replaced = _EXEC_TYPES[kind], True
            if event.flags & _PARKED:
                self.trigger_price = event.resting_price
        elif kind == EventKind.TRIGGERED:
            self.price, self.leaves = event.price, event.leaves_quantity
            self.parked, self.triggered, self.exec_type = False, True, _EXEC_TYPES[kind]
        else:
            return
        self.sequence, self.updated = event.sequence, event.time


def entered(command: Command, accepted: Event) -> Order:
    """The order that an ACCEPTED event began. TAKE and LIQUIDATE give orders too, whose terms are in RULEBOOK 13.1 and 11.7."""
    order = Order(
        accepted.order_id,
        accepted.account,
        accepted.instrument,
        accepted.side,
        command.order_type,
        command.time_in_force,
        command.flags,
        accepted.price,
        accepted.quantity,
        accepted.leaves_quantity,
        0,
        0,
        0,
        accepted.client_order_id.rstrip(b"\0"),
        accepted.time,
        accepted.time,
        accepted.sequence,
        _EXEC_TYPES[EventKind.ACCEPTED],
    )
    if command.kind == CommandKind.ENTER:
        order.trigger_price, order.display_quantity = command.trigger_price, command.display_quantity
        order.minimum_quantity, order.linked_order_id = command.minimum_quantity, command.order_id
        order.expire_date, order.parked = command.expire_date, accepted.flags & _PARKED != 0
    else:
        order.flags = accepted.flags
        order.order_type, order.time_in_force = (
            (OrderType.LIMIT, TimeInForce.FOK)
            if command.kind == CommandKind.TAKE
            else (OrderType.MARKET, TimeInForce.IOC)
        )
    return order


_ENTRY = layout(ENTRY)


def _of_entry(row: bytes) -> Order:
    """An ENTRY of the blotter; its flags are the entering command's."""
    (
        order_id,
        price,
        trigger_price,
        quantity,
        leaves,
        filled,
        display_quantity,
        minimum_quantity,
        notional,
        created,
        updated,
        linked_order_id,
        client,
        instrument,
        account,
        expire_date,
        sequence,
        flags,
        reason,
        side,
        order_type,
        time_in_force,
        state,
        changed_by,
        amended,
        triggered,
    ) = _ENTRY.unpack(row)
    exec_type = "expired" if changed_by == EventKind.CANCELED and reason in _EXPIRED else _EXEC_TYPES[changed_by]
    return Order(
        order_id,
        account,
        instrument,
        side,
        order_type,
        time_in_force,
        flags,
        price,
        quantity,
        leaves,
        filled,
        notional,
        reason,
        client.rstrip(b"\0"),
        created,
        updated,
        sequence,
        exec_type,
        trigger_price,
        display_quantity,
        minimum_quantity,
        linked_order_id,
        expire_date,
        state == OrderState.UNTRIGGERED,
        triggered != 0,
        amended != 0,
    )


class Orders:
    """The orders that the hub still knows, by id, owner or name, as of the last durable batch; and their JSON."""

    def __init__(self, exchange: Exchange, blotter: Blotter) -> None:
        self.exchange = exchange
        self.blotter = blotter
        self.scales = [Scale(instrument) for instrument in exchange.instruments]
        limits = exchange.ledger.limits  # columns of the engine's own memory: reading one cell is cheap
        self._fees = limits["fee_per_lot"], limits["fee_rate"], limits["fen_per_tick"]
        # Who cancels looks an order up twice, when asked and when answering, and the blotter's way is the longer one.
        self._found: dict[int, Order] = {}

    def find(self, order_id: int) -> Order | None:
        """Yours to change. None: never accepted, or finished too long ago."""
        order = self._found.get(order_id)
        if order is None:
            entry = self.blotter.order(order_id)
            if entry is None:
                return None
            order = _of_entry(entry.tobytes())
            if order.linked_order_id:  # what becomes of the other changes this one, and no event names both
                return order
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[order_id] = order
        return copy(order)

    def changed(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The blotter has recorded these: what was found of their orders is out of date."""
        if len(events) > _REMEMBERED:
            self._found.clear()
        elif self._found:
            for order_id in (
                commands["order_id"].tolist() + events["order_id"].tolist() + events["resting_order_id"].tolist()
            ):
                self._found.pop(order_id, None)

    def open_ids(self, account: int) -> set[int]:
        """Ids of an account's open orders."""
        return set(self.blotter.open_orders(account)["order_id"].tolist())

    def open_of(self, account: int, instruments: frozenset[int], name: str | None = None) -> list[Order]:
        """Open orders of an account in these instruments, with this label or client order id, newest first."""
        return self._chosen(self.blotter.open_orders(account), instruments, name)

    def all_of(self, account: int, instruments: frozenset[int], name: str | None = None) -> list[Order]:
        """Open orders and finished ones, newest first."""
        return self._chosen(self.blotter.orders(account), instruments, name)

    def _chosen(self, entries: np.ndarray, instruments: frozenset[int], name: str | None) -> list[Order]:
        if name is not None:
            entries = entries[entries["client_order_id"] == name.encode()]
        if len(instruments) < len(self.scales):
            entries = entries[np.isin(entries["instrument"], list(instruments))]
        return [_of_entry(entry.tobytes()) for entry in entries]

    # JSON -----------------------------------------------------------------------------------------

    def text(self, order: Order, dup: bool = False) -> str:
        """Order as JSON."""
        scale = self.scales[order.instrument]
        name = encode(order.client_order_id.decode("latin-1")) if order.client_order_id else '""'
        client = "" if order.flags & _LABEL or not order.client_order_id else f'"client_order_id":{name},'
        reason = _REASON[order.reason]
        state = order.state
        canceled = "" if state != "cancelled" else reason if order.reason else "user_request"
        flags = order.flags
        more = (
            self._special(order, scale)
            if (
                order.order_type > OrderType.LIMIT
                or order.display_quantity
                or order.minimum_quantity
                or order.linked_order_id
                or order.expire_date
                or flags & _OFFSETS
            )
            else ""
        )
        price = '"market_price"' if order.order_type == OrderType.STOP and not order.price else scale.price(order.price)
        repeated = ',"dup":true' if dup else ""
        return (
            f'{{"order_id":"{order.order_id}","instrument_name":"{scale.instrument.symbol}",'
            f'"direction":"{DIRECTION[order.side]}","order_type":"{ORDER_TYPE[order.order_type]}",'
            f'"order_state":"{state}","price":{price},"amount":{scale.amount(order.quantity)},'
            f'"filled_amount":{scale.amount(order.filled)},"average_price":{scale.average(order.notional, order.filled)},'
            f'"time_in_force":"{TIME_IN_FORCE[order.time_in_force]}","post_only":{_JSON[flags & 1 != 0]},'
            f'"reduce_only":{_JSON[flags & 2 != 0]},"label":{name},{client}'
            f'"creation_timestamp":{order.created // 1_000_000},"last_update_timestamp":{order.updated // 1_000_000},'
            f'"seq":{order.sequence},"exec_type":"{order.exec_type}","reason":"{reason}",'
            f'"cancel_reason":"{canceled}","replaced":{_JSON[order.replaced]},"api":true,'
            f'"web":false,"contracts":{order.quantity}{more}{repeated}}}'
        )

    def _special(self, order: Order, scale: Scale) -> str:
        """What only some orders have."""
        more = ""
        if order.order_type > OrderType.LIMIT:
            trigger = scale.price(order.trigger_price)
            more += f',"trigger":"last_price","trigger_price":{trigger},"stop_price":{trigger}'
            more += f',"triggered":{_JSON[order.triggered]}'
        if order.display_quantity:
            shown = scale.amount(order.display_quantity)
            more += f',"display_amount":{shown},"refresh_amount":{shown}'
        if order.minimum_quantity:
            more += f',"minimum_amount":{scale.amount(order.minimum_quantity)}'
        if order.linked_order_id:
            more += f',"linked_order_id":"{order.linked_order_id}"'
        if order.expire_date:
            more += f',"expire_date":"{date_text(order.expire_date)}"'
        for name, flag in OFFSETS.items():
            if order.flags & flag:
                more += f',"offset":"{name}"'
        return more

    def trade_text(self, order: Order, event: Event, taker: bool, trade_sequence: int) -> str:
        """Trade as JSON, from the side of one of its orders, which is as the trade left it."""
        scale = self.scales[event.instrument]
        name = encode(order.client_order_id.decode("latin-1")) if order.client_order_id else '""'
        client = "" if order.flags & _LABEL or not order.client_order_id else f'"client_order_id":{name},'
        return (
            f'{{"trade_id":"{event.trade_id}","trade_seq":{trade_sequence},"instrument_name":"{scale.instrument.symbol}",'
            f'"order_id":"{order.order_id}","order_type":"{ORDER_TYPE[order.order_type]}",'
            f'"direction":"{DIRECTION[order.side]}","state":"{order.state}",'
            f'"price":{scale.price(event.price)},"amount":{scale.amount(event.quantity)},'
            f'"liquidity":"{"T" if taker else "M"}","fee":{self.fee(event)},"fee_currency":"{scale.instrument.currency}",'
            f'"timestamp":{event.time // 1_000_000},"label":{name},{client}"seq":{event.sequence},'
            f'"self_trade":{_JSON[event.account == event.resting_account]},"contracts":{event.quantity},"api":true}}'
        )

    def fee(self, event: Event) -> str:
        """What a trade costs either side at the present rates, in currency; charged when the instrument settles."""
        per_lot, rate, fen_per_tick = (int(column[event.instrument]) for column in self._fees)
        if not per_lot and not rate:
            return "0"
        millionths = event.quantity * (per_lot * 1_000_000 + rate * abs(event.price) * fen_per_tick)
        return plain(Decimal(millionths).scaleb(-8))


class Batch:
    """The rows of one durable batch, before the blotter has recorded them."""

    def __init__(self, orders: Orders, commands: np.ndarray, events: np.ndarray, now: int) -> None:
        self.orders = orders
        self.commands = commands
        self.events = events
        self.now = now
        self.first = int(commands["sequence"][0]) if len(commands) else 0
        self._ids, self._makers = events["order_id"].copy(), events["resting_order_id"].copy()  # contiguous
        self._trade_sequences: dict[int, int] | None = None

    def order(self, order_id: int, sequence: int) -> Order | None:
        """The order as the command `sequence` left it; None if it was never accepted or is forgotten."""
        order = self.orders.find(order_id) if order_id < self.first else None
        for row in ((self._ids == order_id) | (self._makers == order_id)).nonzero()[0].tolist():
            event = event_at(self.events, row)
            if event.sequence > sequence:
                break
            if event.kind == EventKind.REJECTED:
                continue
            if event.kind == EventKind.ACCEPTED:
                order = self.entered(event)
            elif order is not None:
                order.apply(event)
        return order

    def named(self, account: int, client_order_id: bytes, sequence: int) -> Order | None:
        """The newest order of the account with this client order id, as of the command `sequence`."""
        mine = (
            (self.events["kind"] == EventKind.ACCEPTED)
            & (self.events["account"] == account)
            & (self.events["client_order_id"] == client_order_id)
            & (self.events["sequence"] < sequence)
        )
        if mine.any():
            return self.order(int(self._ids[mine][-1]), sequence)
        entry = self.orders.blotter.order_of(account, client_order_id)
        return None if entry is None else self.order(int(entry["order_id"]), sequence)

    def offer_taken_by(self, order_id: int) -> int:
        """Id of the offer that the order of a TAKE traded with; 0: it is not one, or forgotten."""
        here = self._makers[(self._ids == order_id) & (self.events["kind"] == EventKind.TRADED)]
        known = here if len(here) else self.orders.blotter.trades(order_id=order_id, count=1)["resting_order_id"]
        return int(known[0]) if len(known) else 0

    def trade_sequence(self, trade: Event) -> int:
        """The number of a trade of this batch among all of its instrument."""
        if self._trade_sequences is None:
            self._trade_sequences = {}
            rows = np.flatnonzero(self.events["kind"] == EventKind.TRADED)
            traded: dict[int, int] = {}
            for event_id, instrument in zip(
                self.events["event_id"][rows].tolist(), self.events["instrument"][rows].tolist(), strict=True
            ):
                before = traded.get(instrument) or self.orders.blotter.traded(instrument)
                self._trade_sequences[event_id] = traded[instrument] = before + 1
        return self._trade_sequences[trade.event_id]

    def entered(self, accepted: Event) -> Order:
        """The order that an ACCEPTED event of this batch began."""
        row = accepted.sequence - self.first
        return entered(next(commands_of(self.commands[row : row + 1])), accepted)


class Answerer(Protocol):
    """A session, as far as reports know it."""

    account: int
    channels: dict[str, "Channel"]

    def answer(self, tickets: list[Any], commands: np.ndarray, events: np.ndarray, batch: Batch) -> None: ...
    def notify(self, message: bytes) -> None: ...
    def portfolio(self) -> str: ...


class Channel(Struct, frozen=True):
    """A private channel, of these instruments."""

    kind: str  # orders, trades, portfolio
    instruments: frozenset[int]


class Reports:
    """Answers and private notifications of each durable batch, in this order."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._expected: list[tuple[Answerer, list[Any], np.ndarray, np.ndarray]] = []
        self._watchers: dict[int, set[Answerer]] = {}
        self._watched = np.zeros(len(orders.exchange.accounts), bool)

    def expect(self, answerer: Answerer, tickets: list[Any], commands: np.ndarray, events: np.ndarray) -> None:
        """A submission has become durable; it is answered when its batch is published, which follows at once."""
        self._expected.append((answerer, tickets, commands, events))

    def watch(self, answerer: Answerer) -> None:
        """Call after the answerer's channels have changed."""
        watchers = self._watchers.setdefault(answerer.account, set())
        (watchers.add if answerer.channels else watchers.discard)(answerer)
        self._watched[answerer.account] = bool(watchers)

    def forget(self, answerer: Answerer) -> None:
        """The session is over."""
        if answerer.account in self._watchers:
            self._watchers[answerer.account].discard(answerer)
            self._watched[answerer.account] = bool(self._watchers[answerer.account])

    def publish(self, commands: np.ndarray, events: np.ndarray, now: int) -> None:
        """Answer what was expected of this batch, then tell the watchers. Call before the blotter records the batch."""
        batch = Batch(self.orders, commands, events, now)
        expected, self._expected = self._expected, []
        for answerer, tickets, own_commands, own_events in expected:
            answerer.answer(tickets, own_commands, own_events, batch)
        if self._watched.any():
            self._tell(batch)

    def _tell(self, batch: Batch) -> None:
        """One notification an order and command, one of all trades of a command, in the order of commands."""
        events = batch.events
        kind = events["kind"]
        # only of these is `account` surely one: others carry ALL, a firm, or what a refused row carried
        seen = np.flatnonzero(_TOLD[kind])
        traded = kind[seen] == EventKind.TRADED
        wanted = seen[
            self._watched[events["account"][seen]] | (traded & self._watched[events["resting_account"][seen]])
        ]
        states: dict[int, Order] = {}
        paid = events["account"][_TOUCHES_FUNDS[kind]]
        moved = set(paid[self._watched[paid]].tolist())
        told: list[tuple[Order, Event | None, bool]] = []
        sequence = 0
        for event in events_of(events[wanted]):
            if event.sequence != sequence:
                self._send(batch, told)
                told, sequence = [], event.sequence
            for order_id, account, maker in (
                (event.order_id, event.account, False),
                (event.resting_order_id, event.resting_account, True),
            ):
                if (maker and event.kind != EventKind.TRADED) or not self._watched[account]:
                    continue
                order = states.get(order_id)
                if order is None:
                    order = batch.entered(event) if event.kind == EventKind.ACCEPTED else self.orders.find(order_id)
                    assert order is not None, f"order {order_id} changes, but the blotter does not know it"
                    states[order_id] = order
                order.apply(event)
                moved.add(account)
                told.append((order, event if event.kind == EventKind.TRADED else None, not maker))
        self._send(batch, told)
        for account in moved:
            self._tell_portfolio(account)

    def _tell_portfolio(self, account: int) -> None:
        """Funds and margin after the batch, once."""
        for watcher in list(self._watchers.get(account, ())):
            for name, channel in watcher.channels.items():
                if channel.kind == "portfolio":
                    watcher.notify(notification(name, watcher.portfolio()))

    def _send(self, batch: Batch, told: list[tuple[Order, Event | None, bool]]) -> None:
        """The changes of one command, to every watcher of their accounts."""
        orders = {order.order_id: order for order, _, _ in told}
        texts: dict[int, str] = {}
        for account in {order.account for order in orders.values()}:
            mine = [order for order in orders.values() if order.account == account]
            trades = [
                (order, event, taker) for order, event, taker in told if event is not None and order.account == account
            ]
            for watcher in list(self._watchers.get(account, ())):
                for name, channel in watcher.channels.items():
                    if channel.kind == "portfolio":
                        continue
                    if channel.kind == "trades":
                        chosen = [
                            self.orders.trade_text(*trade, batch.trade_sequence(trade[1]))
                            for trade in trades
                            if trade[1].instrument in channel.instruments
                        ]
                        if chosen:
                            watcher.notify(notification(name, f"[{','.join(chosen)}]"))
                        continue
                    for order in mine:
                        if order.instrument in channel.instruments:
                            text = texts.get(order.order_id) or texts.setdefault(
                                order.order_id, self.orders.text(order)
                            )
                            watcher.notify(notification(name, text))
