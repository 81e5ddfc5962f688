"""Orders and trades as their owners see them: the state of one order, the orders that the hub still knows, their JSON.

    orders = Orders(exchange, blotter)
    order = orders.find(12)                      # None: never accepted, or finished too long ago
    orders.text(order)                           # '{"order_id":"12", ...}'

The blotter knows every open order and the latest finished ones, as of the last durable batch.

Instruments are indices, prices ticks, quantities lots, times ns.
"""

from copy import copy
from decimal import Decimal

import numpy as np
from msgspec import Struct

from exchange.engine.machine import Exchange
from exchange.projections.blotter import ENTRY, Blotter, OrderState
from gateway.text import codes as c
from gateway.text.answers import encode
from gateway.text.rows import layout
from gateway.text.scale import Scale, date_text, plain
from gateway.text.words import DIRECTION, OFFSET_FLAG, ORDER_TYPE, REASON, TIME_IN_FORCE
from matching.codes import OrderType, TimeInForce
from matching.records import Command, Event

_EXPIRY_REASONS = frozenset((c.DAY_ENDED_REASON, c.DATE_REACHED, c.SESSION_ENDED, c.AUCTION_ENDED, c.INSTRUMENT_EXPIRY))
_EXEC_TYPE = {
    c.ACCEPTED: "new",
    c.TRADED: "trade",
    c.CANCELED: "canceled",
    c.AMENDED: "replaced",
    c.TRIGGERED: "triggered",
}
_JSON = {True: "true", False: "false"}
_REMEMBERED = 4_096  # orders found


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
    notional: int  # sum of price x quantity over its trades
    reason: int  # of a cancel
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
    parked: bool = False  # a stop that is not triggered yet
    triggered: bool = False
    replaced: bool = False

    @property
    def open(self) -> bool:
        return self.leaves > 0

    @property
    def state(self) -> str:
        """The field order_state."""
        if self.leaves > 0:
            return "untriggered" if self.parked else "open"
        return "filled" if self.filled >= self.quantity else "cancelled"

    def is_of(self, kind: str) -> bool:
        """Whether it is open and in a group of order types as Deribit names them. No `market` order is ever open."""
        if kind in ("all", "trigger_all", "stop_all"):
            return self.parked or (kind == "all" and self.open)
        return self.open and (kind == ORDER_TYPE[self.order_type] if self.parked else kind == "limit")

    def apply(self, event: Event) -> None:
        """Update the order by one of its events. Other kinds of event change nothing."""
        kind = event.kind
        if kind == c.TRADED:
            self.filled += event.quantity
            self.notional += event.quantity * event.price
            incoming = event.order_id == self.order_id
            self.leaves = event.leaves_quantity if incoming else event.resting_leaves_quantity
            self.exec_type = _EXEC_TYPE[kind]
        elif kind == c.CANCELED:
            self.leaves = 0
            self.reason = event.reason
            self.exec_type = "expired" if event.reason in _EXPIRY_REASONS else _EXEC_TYPE[kind]
        elif kind == c.AMENDED:
            self.price, self.quantity, self.leaves = event.price, event.quantity, event.leaves_quantity
            self.exec_type, self.replaced = _EXEC_TYPE[kind], True
            if event.flags & c.PARKED:
                self.trigger_price = event.resting_price
        elif kind == c.TRIGGERED:
            self.price, self.leaves = event.price, event.leaves_quantity
            self.parked, self.triggered, self.exec_type = False, True, _EXEC_TYPE[kind]
        else:
            return
        self.sequence, self.updated = event.sequence, event.time


def entered(command: Command, accepted: Event) -> Order:
    """The order of an ACCEPTED event. TAKE and LIQUIDATE enter orders too; RULEBOOK 13.1 and 11.7 say of which type."""
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
        _EXEC_TYPE[c.ACCEPTED],
    )
    if command.kind == c.ENTER:
        order.trigger_price, order.display_quantity = command.trigger_price, command.display_quantity
        order.minimum_quantity, order.linked_order_id = command.minimum_quantity, command.order_id
        order.expire_date, order.parked = command.expire_date, accepted.flags & c.PARKED != 0
    else:
        order.flags = accepted.flags
        order.order_type, order.time_in_force = (
            (OrderType.LIMIT, TimeInForce.FOK) if command.kind == c.TAKE else (OrderType.MARKET, TimeInForce.IOC)
        )
    return order


_ENTRY = layout(ENTRY)


def _from_entry(row: bytes) -> Order:
    """The order of a blotter ENTRY. Its flags are those of the command that entered it."""
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
    exec_type = "expired" if changed_by == c.CANCELED and reason in _EXPIRY_REASONS else _EXEC_TYPE[changed_by]
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
    """The orders that the hub still knows as of the last durable batch, by id, owner or name; and their JSON."""

    def __init__(self, exchange: Exchange, blotter: Blotter) -> None:
        self.exchange = exchange
        self.blotter = blotter
        self.scales = [Scale(instrument) for instrument in exchange.instruments]
        # A cancel looks its order up twice, when it is requested and when it is answered. The blotter takes longer.
        self._found: dict[int, Order] = {}

    def find(self, order_id: int) -> Order | None:
        """A copy of the order, which the caller may change. None: never accepted, or finished too long ago."""
        order = self._found.get(order_id)
        if order is None:
            entry = self.blotter.order(order_id)
            if entry is None:
                return None
            order = _from_entry(entry.tobytes())
            if order.linked_order_id:  # its linked order changes it by events that do not name it
                return order
            if len(self._found) >= _REMEMBERED:
                self._found.clear()
            self._found[order_id] = order
        return copy(order)

    def changed(self, commands: np.ndarray, events: np.ndarray) -> None:
        """The blotter has recorded these rows: forget the orders that they may have changed."""
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
        """Open orders of an account in these instruments, newest first. name: only with this label or client order id."""
        return self._chosen(self.blotter.open_orders(account), instruments, name)

    def all_of(self, account: int, instruments: frozenset[int], name: str | None = None) -> list[Order]:
        """Open and finished orders likewise."""
        return self._chosen(self.blotter.orders(account), instruments, name)

    def _chosen(self, entries: np.ndarray, instruments: frozenset[int], name: str | None) -> list[Order]:
        if name is not None:
            entries = entries[entries["client_order_id"] == name.encode()]
        if len(instruments) < len(self.scales):
            entries = entries[np.isin(entries["instrument"], list(instruments))]
        return [_from_entry(entry.tobytes()) for entry in entries]

    # JSON -----------------------------------------------------------------------------------------

    def text(self, order: Order, dup: bool = False) -> str:
        """An order as JSON. `dup`: it answers a request that was sent before."""
        scale = self.scales[order.instrument]
        name = encode(order.client_order_id.decode("latin-1")) if order.client_order_id else '""'
        client = "" if order.flags & c.LABEL or not order.client_order_id else f'"client_order_id":{name},'
        reason = REASON[order.reason]
        state = order.state
        canceled = "" if state != "cancelled" else reason if order.reason else "user_request"
        flags = order.flags
        more = (
            self._special(order, scale)
            if (
                order.order_type > c.LIMIT
                or order.display_quantity
                or order.minimum_quantity
                or order.linked_order_id
                or order.expire_date
                or flags & c.OFFSET_FLAGS
            )
            else ""
        )
        price = '"market_price"' if order.order_type == c.STOP and not order.price else scale.price(order.price)
        repeated = ',"dup":true' if dup else ""
        return (
            f'{{"order_id":"{order.order_id}","instrument_name":"{scale.instrument.symbol}",'
            f'"direction":"{DIRECTION[order.side]}","order_type":"{ORDER_TYPE[order.order_type]}",'
            f'"order_state":"{state}","price":{price},"amount":{scale.amount(order.quantity)},'
            f'"filled_amount":{scale.amount(order.filled)},"average_price":{scale.average(order.notional, order.filled)},'
            f'"time_in_force":"{TIME_IN_FORCE[order.time_in_force]}","post_only":{_JSON[flags & c.POST_ONLY != 0]},'
            f'"reduce_only":{_JSON[flags & c.REDUCE_ONLY != 0]},"label":{name},{client}'
            f'"creation_timestamp":{order.created // 1_000_000},"last_update_timestamp":{order.updated // 1_000_000},'
            f'"seq":{order.sequence},"exec_type":"{order.exec_type}","reason":"{reason}",'
            f'"cancel_reason":"{canceled}","replaced":{_JSON[order.replaced]},"api":true,'
            f'"web":false,"contracts":{order.quantity}{more}{repeated}}}'
        )

    def _special(self, order: Order, scale: Scale) -> str:
        """Fields that only some orders have."""
        more = ""
        if order.order_type > c.LIMIT:
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
        for name, flag in OFFSET_FLAG.items():
            if order.flags & flag:
                more += f',"offset":"{name}"'
        return more

    def trade_text(self, order: Order, event: Event, taker: bool, trade_sequence: int) -> str:
        """A trade as JSON, for the owner of one of its orders. `order` is as the trade left it."""
        scale = self.scales[event.instrument]
        name = encode(order.client_order_id.decode("latin-1")) if order.client_order_id else '""'
        client = "" if order.flags & c.LABEL or not order.client_order_id else f'"client_order_id":{name},'
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
        """The fee of a trade for either side, in currency."""
        millionths = self.exchange.trade_fee(event.instrument, event.price, event.quantity)  # of a fen
        return plain(Decimal(millionths).scaleb(-8)) if millionths else "0"
