"""What all simulated members have in common: a member looks at one instrument at a time and answers with commands.

A member keeps no list of its orders. It finds them in the book that it is shown, so it continues after a restart of the
hub. Its commands depend only on its seed and on what it has been shown; it reads no clock.

    rows = member.act(now_ns, view)           # COMMAND rows without sequence and time; possibly none

The functions below write the rows. Every one carries SMP_CANCEL_RESTING, so that no member trades with itself, and
where orders open or close (RULEBOOK 10) they close open positions first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from matching.codes import CommandKind, Flag, OrderType, Side, TimeInForce
from matching.records import COMMAND

_SMP = int(Flag.SMP_CANCEL_RESTING)
_OPEN_QUANTITY = int(Flag.OPEN_QUANTITY)
_OPEN, _CLOSE, _CLOSE_TODAY = int(Flag.OPEN), int(Flag.CLOSE), int(Flag.CLOSE_TODAY)

EVERY_MONTH = 1 << 30  # Member.months
Command = tuple[Any, ...]  # the fields of a COMMAND row, in their order


@dataclass(slots=True)
class Closable:
    """Lots that orders of each side may still close, where long and short are kept apart; what `use` returns is used up."""

    before: dict[int, int] = field(default_factory=dict)  # not opened today
    today: dict[int, int] = field(default_factory=dict)  # opened today

    def use(self, side: int, quantity: int) -> tuple[int, int]:
        """(offset flag, lots) of an order for `quantity` lots: fewer where there is less to close."""
        for flag, lots in ((_CLOSE, self.before), (_CLOSE_TODAY, self.today)):
            if lots.get(side, 0) > 0:
                quantity = min(quantity, lots[side])
                lots[side] -= quantity
                return flag, quantity
        return _OPEN, quantity


@dataclass(frozen=True, slots=True)
class View:
    """One instrument as a member sees it. Prices in ticks, quantities in lots."""

    instrument: int  # index
    rank: int  # 0: the nearest delivery month of its product, 1: the next ...
    fair: int  # its fair value, ticks
    last: int  # price of the last trade
    lowest: int  # no order may be priced lower now (band and collar)
    highest: int
    largest: int  # lots of an order at most
    orders: np.ndarray  # machine.RESTING: bids then asks, best price first, oldest first
    position: int  # of the member's account
    auction: bool = False  # a call auction: orders are collected, LIMIT ones that rest, and nothing trades yet
    parked: int = 0  # orders of all accounts that wait for their trigger
    limit: int = 1 << 40  # lots that the account may hold, long or short, with all its open orders
    long: int = 0  # lots held that count for it; where long and short are not kept apart, the position,
    short: int = 0  # and the same with the other sign
    closable: Closable | None = None  # None: orders neither open nor close

    def own(self, account: int, side: int) -> np.ndarray:
        """The account's resting orders of a side, best price first."""
        return self.orders[(self.orders["account"] == account) & (self.orders["side"] == side)]

    def best(self, side: int, leaving_out: int) -> int | None:
        """The best price that any other account bids (BUY) or asks (SELL)."""
        prices = self.orders["price"][(self.orders["account"] != leaving_out) & (self.orders["side"] == side)]
        return int(prices[0]) if len(prices) else None

    def allows(self, price: int) -> bool:
        return self.lowest <= price <= self.highest

    def nearest(self, price: int) -> int:
        """The allowed price that is closest."""
        return min(max(price, self.lowest), self.highest)


class Member(Protocol):
    """A simulated member."""

    @property
    def account(self) -> int:
        """Index of its account."""

    @property
    def instruments(self) -> Sequence[int]:
        """Indices of the instruments that it trades."""

    @property
    def months(self) -> int:
        """How many delivery months of each product, from the nearest on."""

    @property
    def interval_ns(self) -> int:
        """Time from one look at an instrument to the next look, at the next instrument."""

    def act(self, now_ns: int, view: View) -> np.ndarray:
        """COMMAND rows, not stamped."""


def enter(
    view: View,
    account: int,
    side: int,
    price: int,
    quantity: int,
    time_in_force: int = TimeInForce.DAY,
    display_quantity: int = 0,
) -> Command:
    """A new LIMIT order; with a display quantity below its own an iceberg."""
    offset, quantity = _offset(view, side, min(quantity, view.largest))
    return (
        0,
        0,
        0,
        price,
        0,
        quantity,
        display_quantity if display_quantity < quantity else 0,
        0,
        b"",
        view.instrument,
        account,
        0,
        0,
        CommandKind.ENTER,
        side,
        OrderType.LIMIT,
        time_in_force,
        _SMP | offset,
        0,
    )


def take(view: View, account: int, side: int, price: int, quantity: int) -> Command:
    """A LIMIT order that trades at once or not at all."""
    return enter(view, account, side, price, quantity, TimeInForce.IOC)


def stop(view: View, account: int, side: int, trigger_price: int, quantity: int, price: int | None = None) -> Command:
    """A stop order: triggered by a trade at the trigger price. It becomes a market order, or with a price a limit order."""
    offset, quantity = _offset(view, side, min(quantity, view.largest))
    return (
        0,
        0,
        0,
        0 if price is None else price,
        trigger_price,
        quantity,
        0,
        0,
        b"",
        view.instrument,
        account,
        0,
        0,
        CommandKind.ENTER,
        side,
        OrderType.STOP if price is None else OrderType.STOP_LIMIT,
        TimeInForce.DAY,
        _SMP | offset,
        0,
    )


def _offset(view: View, side: int, quantity: int) -> tuple[int, int]:
    return (0, quantity) if view.closable is None else view.closable.use(side, quantity)


def amend(view: View, order: np.record, price: int, open_quantity: int) -> Command:
    """Move a resting order to a price, with `open_quantity` lots open there."""
    return (
        0,
        0,
        int(order["order_id"]),
        price,
        0,
        min(open_quantity, view.largest),
        0,
        0,
        b"",
        view.instrument,
        int(order["account"]),
        0,
        0,
        CommandKind.AMEND,
        int(order["side"]),
        OrderType.LIMIT,
        TimeInForce.DAY,
        _SMP | _OPEN_QUANTITY,
        0,
    )


def replace(view: View, order: np.record, price: int, open_quantity: int) -> list[Command]:
    """Amend a resting order or, once part of it has filled, put a new one in its place.

    What has filled counts towards the largest order (RULEBOOK 5.8), so an order cannot be topped up for ever. Where
    orders open or close a new one is put in its place too: there may be less to close now.
    """
    if order["leaves_quantity"] == order["quantity"] and view.closable is None:
        return [amend(view, order, price, open_quantity)]
    return [cancel(view, order), enter(view, int(order["account"]), int(order["side"]), price, open_quantity)]


def cancel(view: View, order: np.record) -> Command:
    """Withdraw a resting order."""
    return (
        0,
        0,
        int(order["order_id"]),
        0,
        0,
        0,
        0,
        0,
        b"",
        view.instrument,
        int(order["account"]),
        0,
        0,
        CommandKind.CANCEL,
        int(order["side"]),
        0,
        0,
        0,
        0,
    )


def rows(commands: Sequence[Command]) -> np.ndarray:
    """COMMAND[n] of the commands."""
    return np.array(commands, COMMAND)


def other_side(side: int) -> int:
    return int(Side.SELL) if side == Side.BUY else int(Side.BUY)
