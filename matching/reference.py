"""The rulebook, executable: ReferenceBook does what docs/RULEBOOK.md says, in the plainest Python there is.

This is the oracle that the fast engine is compared with, row by row and byte by byte. It is written from the rulebook
alone, so that a mistake has to be made twice, by two authors, to stay hidden. It is not fast, and it knows nothing of
positions and money: it is the exchange with risk switched off. Of section 5 it keeps what needs no account: phase
(5.3), order known (5.4), band (5.6). KILL_SWITCH, CASH and the limits other than SELF_MATCH and GROUP give their event
and change nothing.

    book = ReferenceBook(instruments, accounts=4, max_orders=1000)
    events = book.apply(commands)              # COMMAND[n] -> EVENT[m]
    book.resting(0)                            # orders of instrument 0: bids then asks, best first, oldest first

A side of the book is a SortedDict from price to a queue. Bids are kept under minus their price, so that on both sides
the first key is the best one. A queue is a dict from order id to Order: dicts remember the order of arrival.
"""
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from matching.codes import ALL, CommandKind, EventKind, Flag, Limit, OrderType, Phase, Reason, Scope, SelfMatch, Side, TimeInForce
from matching.records import COMMAND, EVENT, MAX_QUANTITY


class Command(NamedTuple):
    """A COMMAND row as Python values."""

    sequence: int
    time: int
    order_id: int
    price: int
    trigger_price: int
    quantity: int
    display_quantity: int
    minimum_quantity: int
    client_order_id: bytes
    instrument: int
    account: int
    expire_date: int
    counterparty: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    flags: int
    session: int


class Event(NamedTuple):
    """An EVENT row as Python values. A field that has no meaning for the event is 0."""

    event_id: int
    sequence: int
    time: int
    order_id: int = 0
    price: int = 0
    quantity: int = 0
    leaves_quantity: int = 0
    trade_id: int = 0
    resting_order_id: int = 0
    resting_leaves_quantity: int = 0
    resting_price: int = 0
    client_order_id: bytes = b""
    instrument: int = 0
    account: int = 0
    resting_account: int = 0
    kind: int = 0
    side: int = 0
    reason: int = 0
    flags: int = 0


assert Command._fields == COMMAND.names and Event._fields == EVENT.names


@dataclass(slots=True)
class Order:
    """An order of the book, or on its way into it."""

    order_id: int
    instrument: int
    account: int
    side: int
    price: int
    quantity: int            # total, what has filled included
    leaves_quantity: int     # still open
    time_in_force: int
    client_order_id: bytes

    @property
    def key(self) -> int:
        """Where its price stands in a side of the book; smaller is better."""
        return -self.price if self.side == Side.BUY else self.price

    def reaches(self, price: int) -> bool:
        """Whether the order may trade at this price (2.1)."""
        return price <= self.price if self.side == Side.BUY else price >= self.price


@dataclass(slots=True)
class Market:
    """An instrument: its terms and the two sides of its book."""

    terms: Any
    protection: int                            # ticks (2.2)
    last_price: int                            # 3.2: before the first trade the reference price
    bids: SortedDict
    asks: SortedDict
    phase: int = Phase.CONTINUOUS
    collar: int = 0                            # ticks (5.7); belongs to risk, so that here nothing sets it

    def same_side(self, side: int) -> SortedDict:
        return self.bids if side == Side.BUY else self.asks

    def other_side(self, side: int) -> SortedDict:
        return self.asks if side == Side.BUY else self.bids

    def best_opposite(self, side: int) -> Order | None:
        """3.1: the oldest order at the best price of the other side."""
        levels = self.other_side(side)
        return next(iter(levels.peekitem(0)[1].values())) if levels else None


@dataclass(slots=True)
class Member:
    """An account as matching sees it."""

    group: object            # equal for accounts of one group
    self_match: int          # SelfMatch where the order names none


Refusal = tuple[Reason, int, int]              # 1.2: the reason, the value that broke the rule, the bound

MODE_OF_FLAG = {0: None,
                int(Flag.SMP_CANCEL_INCOMING): SelfMatch.CANCEL_INCOMING,
                int(Flag.SMP_CANCEL_RESTING): SelfMatch.CANCEL_RESTING,
                int(Flag.SMP_CANCEL_BOTH): SelfMatch.CANCEL_BOTH}
MODE_FLAGS = sum(MODE_OF_FLAG)
KNOWN_FLAGS = sum(int(flag) for flag in Flag)
POST_ONLY, OPEN_QUANTITY = int(Flag.POST_ONLY), int(Flag.OPEN_QUANTITY)
KINDS, SIDES, ORDER_TYPES, TIMES_IN_FORCE = set(CommandKind), set(Side), set(OrderType), set(TimeInForce)
# 1.5 (109): what a LIMIT command may set. Ends are there for int64: products of these stay countable.
FAR, LARGEST_SUM = 1 << 40, 1 << 61                # lots, ticks, orders; fen
LIMIT_RANGE: dict[int, tuple[int, int]] = {
    **dict.fromkeys(Limit, (0, FAR)), Limit.MAX_ORDER_NOTIONAL: (0, LARGEST_SUM),
    Limit.MESSAGES_PER_SECOND: (0, 1_000_000_000),
    Limit.MESSAGE_BURST: (1, 1 << 20), Limit.ENABLED: (0, 1), Limit.SELF_MATCH: (0, max(SelfMatch)),
    Limit.GROUP: (0, (1 << 31) - 1), Limit.INSTRUMENT_MAX_ORDER_QUANTITY: (1, FAR),
    Limit.INSTRUMENT_MARGIN: (0, 1 << 56)}


def out_of_range(value: int, lowest: int, highest: int) -> Refusal | None:
    """1.5 (109): the bound is the end of the range that was passed."""
    if lowest <= value <= highest:
        return None
    return Reason.INVALID_VALUE, value, lowest if value < lowest else highest


class ReferenceBook:
    """Books of several instruments under the rulebook, risk off.

    instruments   objects with price_floor, price_ceiling, reference_price, price_rule ("resting" or "median"),
                  protection: ticks, as exchange.Instrument has them
    accounts      objects with group (or None), self_match and, if there are firms, firm; or a number: that many,
                  each its own group
    max_orders    resting orders there is room for (2.8)
    """

    def __init__(self, instruments: Sequence[Any], accounts: Sequence[Any] | int, max_orders: int) -> None:
        self.markets = [Market(terms, terms.protection, terms.reference_price, SortedDict(), SortedDict())
                        for terms in instruments]
        if isinstance(accounts, int):
            self.members = [Member(("own", index), SelfMatch.NONE) for index in range(accounts)]
            self.last_firm = 0
        else:                                  # 4.1: without groups each account is its own
            self.members = [Member(("own", index) if account.group is None else account.group, account.self_match)
                            for index, account in enumerate(accounts)]
            self.last_firm = max(getattr(account, "firm", 0) for account in accounts)
        self.max_orders = max_orders
        self.orders: dict[int, Order] = {}     # the resting orders by id
        self.events: list[Event] = []
        self.event_id = 0
        self.trade_id = 0

    def apply(self, commands: np.ndarray) -> np.ndarray:
        """COMMAND[n], stamped -> EVENT[m] (1.1, 1.2)."""
        self.events = []
        for row in commands.tolist():
            self.step(Command._make(row))
        events = np.zeros(len(self.events), EVENT)
        events[:] = self.events
        return events

    def step(self, command: Command) -> None:
        """One command: refuse it and change nothing, or carry it out (1.2)."""
        refusal = self.refusal(command)
        if refusal:
            self.reject(command, *refusal)
        else:
            self.execute(command)

    def resting(self, instrument: int) -> Iterator[Order]:
        """Resting orders of an instrument: bids before asks, best price first, oldest first (2.3)."""
        market = self.markets[instrument]
        for levels in (market.bids, market.asks):
            for queue in levels.values():
                yield from queue.values()

    # What must hold before anything happens

    def refusal(self, command: Command) -> Refusal | None:
        """The first broken rule, in the order of codes.Reason (1.3)."""
        return (self.row_makes_no_sense(command)
                or self.phase_forbids(command)
                or self.order_is_unknown(command)
                or self.price_is_outside_band(command)
                or self.book_is_full(command)
                or self.post_only_would_trade(command))

    def row_makes_no_sense(self, command: Command) -> Refusal | None:
        """1.5"""
        kind = command.kind
        if kind not in KINDS:
            return Reason.UNKNOWN_KIND, kind, 0
        if kind >= CommandKind.PHASE:
            return self.operator_row_makes_no_sense(command)
        everyone = kind == CommandKind.MASS_CANCEL
        unknown = None if everyone and command.instrument == ALL else self.instrument_is_unknown(command)
        unknown = unknown or (None if everyone and command.account == ALL else self.account_is_unknown(command))
        if unknown:
            return unknown
        if kind == CommandKind.ENTER and command.side not in SIDES or everyone and command.side not in {0, *SIDES}:
            return Reason.INVALID_SIDE, command.side, 0
        if kind == CommandKind.ENTER and command.order_type not in ORDER_TYPES:
            return Reason.INVALID_ORDER_TYPE, command.order_type, 0
        if kind == CommandKind.ENTER and command.time_in_force not in TIMES_IN_FORCE:
            return Reason.INVALID_TIME_IN_FORCE, command.time_in_force, 0
        if kind in (CommandKind.ENTER, CommandKind.AMEND):
            if not self.flags_make_sense(command):
                return Reason.INVALID_FLAGS, command.flags, 0
            if command.quantity <= 0:
                return Reason.INVALID_QUANTITY, command.quantity, 1
            if command.quantity > MAX_QUANTITY:
                return Reason.INVALID_QUANTITY, command.quantity, MAX_QUANTITY
        return None

    def flags_make_sense(self, command: Command) -> bool:
        """1.5 (107)"""
        if command.flags & ~KNOWN_FLAGS or command.flags & MODE_FLAGS not in MODE_OF_FLAG:
            return False
        if command.kind == CommandKind.ENTER and command.flags & POST_ONLY:
            return (command.order_type == OrderType.LIMIT
                    and command.time_in_force in (TimeInForce.DAY, TimeInForce.GTC))
        return True

    def operator_row_makes_no_sense(self, command: Command) -> Refusal | None:
        """1.5 for operator commands: the code is known, so is the index it calls for, the value is in range."""
        kind, code, value = command.kind, command.order_type, command.quantity
        if kind == CommandKind.PHASE:
            unknown = None if command.instrument == ALL else self.instrument_is_unknown(command)
            return unknown or out_of_range(code, 0, max(Phase))
        if kind == CommandKind.KILL_SWITCH:
            unknown = (self.instrument_is_unknown(command) if code == Scope.INSTRUMENT
                       else self.account_is_unknown(command) if code == Scope.ACCOUNT
                       else self.firm_is_unknown(command) if code == Scope.FIRM else None)
            return out_of_range(code, 0, max(Scope)) or unknown or out_of_range(value, 0, 1)
        if kind == CommandKind.LIMIT:
            if code not in LIMIT_RANGE:
                return Reason.INVALID_VALUE, code, max(LIMIT_RANGE)
            unknown = self.account_is_unknown(command) if code < 32 else self.instrument_is_unknown(command)
            return unknown or out_of_range(value, *LIMIT_RANGE[code])
        if kind == CommandKind.CASH:
            return self.account_is_unknown(command) or out_of_range(value, -LARGEST_SUM, LARGEST_SUM)
        return None                            # END_DAY names nothing (2.3)

    def instrument_is_unknown(self, command: Command) -> Refusal | None:
        last = len(self.markets) - 1
        return None if 0 <= command.instrument <= last else (Reason.UNKNOWN_INSTRUMENT, command.instrument, last)

    def account_is_unknown(self, command: Command) -> Refusal | None:
        last = len(self.members) - 1
        return None if 0 <= command.account <= last else (Reason.UNKNOWN_ACCOUNT, command.account, last)

    def firm_is_unknown(self, command: Command) -> Refusal | None:
        """The account field of a KILL_SWITCH for a firm is the firm's number."""
        return None if 0 <= command.account <= self.last_firm else (
            Reason.UNKNOWN_ACCOUNT, command.account, self.last_firm)

    def phase_forbids(self, command: Command) -> Refusal | None:
        """5.3"""
        if command.kind not in (CommandKind.ENTER, CommandKind.AMEND, CommandKind.CANCEL):
            return None
        phase = self.markets[command.instrument].phase
        if phase == Phase.CLOSED:
            return Reason.INSTRUMENT_CLOSED, phase, 0
        if phase == Phase.HALTED and command.kind != CommandKind.CANCEL:
            return Reason.INSTRUMENT_HALTED, phase, 0
        return None

    def order_is_unknown(self, command: Command) -> Refusal | None:
        """5.4"""
        if command.kind in (CommandKind.AMEND, CommandKind.CANCEL):
            order = self.orders.get(command.order_id)
            if order is None or (order.instrument, order.account) != (command.instrument, command.account):
                return Reason.UNKNOWN_ORDER, command.order_id, 0
        return None

    def price_is_outside_band(self, command: Command) -> Refusal | None:
        """5.6; the price of a market order is the hub's (2.2)"""
        limit_order = command.kind == CommandKind.ENTER and command.order_type == OrderType.LIMIT
        if limit_order or command.kind == CommandKind.AMEND:
            terms = self.markets[command.instrument].terms
            if command.price < terms.price_floor:
                return Reason.PRICE_BELOW_BAND, command.price, terms.price_floor
            if command.price > terms.price_ceiling:
                return Reason.PRICE_ABOVE_BAND, command.price, terms.price_ceiling
        return None

    def book_is_full(self, command: Command) -> Refusal | None:
        """2.8"""
        if command.kind == CommandKind.ENTER and len(self.orders) >= self.max_orders:
            return Reason.BOOK_FULL, len(self.orders), self.max_orders
        return None

    def post_only_would_trade(self, command: Command) -> Refusal | None:
        """2.6 and 6.4"""
        if command.kind not in (CommandKind.ENTER, CommandKind.AMEND) or not command.flags & POST_ONLY:
            return None
        side = command.side
        if command.kind == CommandKind.AMEND:
            order = self.orders[command.order_id]
            side = order.side                                     # 1.5: the side of the order is the book's
            if self.new_open_quantity(command, order) <= 0:       # 6.1: it will be canceled, not trade
                return None
        best = self.markets[command.instrument].best_opposite(side)
        if best and (best.price <= command.price if side == Side.BUY else best.price >= command.price):
            return Reason.POST_ONLY_WOULD_TRADE, command.price, best.price
        return None

    # What happens

    def execute(self, command: Command) -> None:
        """Carry out a command that breaks no rule (1.6)."""
        kind = command.kind
        if kind == CommandKind.ENTER:
            self.enter(command)
        elif kind == CommandKind.CANCEL:
            self.cancel(command, self.orders[command.order_id], Reason.NONE)
        elif kind == CommandKind.AMEND:
            self.amend(command)
        elif kind == CommandKind.MASS_CANCEL:
            self.mass_cancel(command)
        elif kind == CommandKind.END_DAY:
            self.end_day(command)
        elif kind == CommandKind.PHASE:
            self.set_phase(command)
        else:
            self.set_limit(command)

    def enter(self, command: Command) -> None:
        """2.1 to 2.5: accepted, then traded, then the remainder as the time in force says."""
        order = Order(command.sequence, command.instrument, command.account, command.side, self.limit_price(command),
                      command.quantity, command.quantity, command.time_in_force, command.client_order_id)
        self.emit_order(EventKind.ACCEPTED, command, order, quantity=order.quantity, flags=command.flags)
        mode = self.self_match_mode(command)
        if order.time_in_force == TimeInForce.FOK and self.available(order, mode) < order.quantity:
            return self.cancel_incoming(command, order, Reason.FOK_NOT_FILLED)             # 2.5
        self.match(command, order, mode)
        if order.leaves_quantity > 0:
            if order.time_in_force == TimeInForce.IOC:
                return self.cancel_incoming(command, order, Reason.IOC_REMAINDER)          # 2.4
            self.rest(order)                                                               # 2.1
        return None

    def limit_price(self, command: Command) -> int:
        """2.1, 2.2: the order's limit; for a market order the one the hub gives it."""
        if command.order_type == OrderType.LIMIT:
            return command.price
        market = self.markets[command.instrument]
        terms, best = market.terms, market.best_opposite(command.side)
        lowest, highest = terms.price_floor, terms.price_ceiling
        if market.collar:
            lowest = max(lowest, market.last_price - market.collar)
            highest = min(highest, market.last_price + market.collar)
        if best is None or market.protection == 0:
            return highest if command.side == Side.BUY else lowest
        price = best.price + (market.protection if command.side == Side.BUY else -market.protection)
        return min(max(price, lowest), highest)

    def self_match_mode(self, command: Command) -> int:
        """4.2: the flag of the command, or else the default of the account."""
        mode = MODE_OF_FLAG[command.flags & MODE_FLAGS]
        return self.members[command.account].self_match if mode is None else mode

    def is_self_match(self, one: Order, other: Order) -> bool:
        """4.1"""
        return self.members[one.account].group == self.members[other.account].group

    def available(self, order: Order, mode: int) -> int:
        """2.5, 4.3: lots that a fill-or-kill order could trade."""
        total = 0
        for queue in self.markets[order.instrument].other_side(order.side).values():
            for resting in queue.values():
                if not order.reaches(resting.price):
                    return total
                if mode == SelfMatch.NONE or not self.is_self_match(order, resting):
                    total += resting.leaves_quantity
                elif mode != SelfMatch.CANCEL_RESTING:
                    return total
        return total

    def match(self, command: Command, order: Order, mode: int) -> None:
        """3.1: meet the best opposite price first, at one price the oldest first; 4.2 where it meets its own group."""
        market = self.markets[order.instrument]
        while order.leaves_quantity > 0:
            resting = market.best_opposite(order.side)
            if resting is None or not order.reaches(resting.price):
                return
            if mode == SelfMatch.NONE or not self.is_self_match(order, resting):
                self.trade(command, market, order, resting)
                continue
            if mode in (SelfMatch.CANCEL_RESTING, SelfMatch.CANCEL_BOTH):
                self.cancel(command, resting, Reason.SELF_MATCH_RESTING)
            if mode in (SelfMatch.CANCEL_INCOMING, SelfMatch.CANCEL_BOTH):
                self.cancel_incoming(command, order, Reason.SELF_MATCH_INCOMING)

    def trade(self, command: Command, market: Market, order: Order, resting: Order) -> None:
        """3.2, 3.3: one trade, at the price the instrument's rule makes."""
        price = resting.price
        if market.terms.price_rule == "median":
            price = sorted((order.price, resting.price, market.last_price))[1]
        quantity = min(order.leaves_quantity, resting.leaves_quantity)
        order.leaves_quantity -= quantity
        resting.leaves_quantity -= quantity
        if resting.leaves_quantity == 0:
            self.remove(resting)
        market.last_price = price
        self.trade_id += 1
        self.emit_order(EventKind.TRADED, command, order, price=price, quantity=quantity, trade_id=self.trade_id,
                        resting_order_id=resting.order_id, resting_account=resting.account,
                        resting_leaves_quantity=resting.leaves_quantity, resting_price=resting.price)

    def rest(self, order: Order) -> None:
        """3.4: behind all orders at its price."""
        levels = self.markets[order.instrument].same_side(order.side)
        levels.setdefault(order.key, {})[order.order_id] = order
        self.orders[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take an order out of the book."""
        levels = self.markets[order.instrument].same_side(order.side)
        del levels[order.key][order.order_id]
        if not levels[order.key]:
            del levels[order.key]
        del self.orders[order.order_id]

    def cancel(self, command: Command, order: Order, reason: Reason) -> None:
        """Cancel a resting order."""
        self.remove(order)
        self.cancel_incoming(command, order, reason)

    def cancel_incoming(self, command: Command, order: Order, reason: Reason) -> None:
        """Cancel what is open of an order that is not in the book."""
        open_quantity, order.leaves_quantity = order.leaves_quantity, 0
        self.emit_order(EventKind.CANCELED, command, order, quantity=open_quantity, reason=reason)

    def new_open_quantity(self, command: Command, order: Order) -> int:
        """6.1: what an AMEND leaves open; zero or less: as much as it asks for has filled."""
        if command.flags & OPEN_QUANTITY:
            return command.quantity
        return command.quantity - (order.quantity - order.leaves_quantity)

    def amend(self, command: Command) -> None:
        """Section 6"""
        order = self.orders[command.order_id]
        open_quantity = self.new_open_quantity(command, order)
        if open_quantity <= 0:
            return self.cancel(command, order, Reason.AMENDED_TO_FILLED)                   # 6.1
        old_price, old_open_quantity = order.price, order.leaves_quantity
        keeps_place = command.price == old_price and open_quantity <= old_open_quantity    # 6.2
        if not keeps_place:
            self.remove(order)
        order.price = command.price
        order.quantity += open_quantity - old_open_quantity
        order.leaves_quantity = open_quantity
        self.emit_order(EventKind.AMENDED, command, order, quantity=order.quantity, flags=command.flags,
                        resting_leaves_quantity=old_open_quantity, resting_price=old_price)
        if not keeps_place:                                                                # 6.3
            self.match(command, order, self.self_match_mode(command))
            if order.leaves_quantity > 0:
                self.rest(order)
        return None

    def mass_cancel(self, command: Command) -> None:
        """1.6: the orders of an account, an instrument, a side, or of all, in the order of 2.3."""
        instruments = range(len(self.markets)) if command.instrument == ALL else (command.instrument,)
        orders = [order for instrument in instruments for order in self.resting(instrument)
                  if command.account in (ALL, order.account) and command.side in (0, order.side)]
        for order in orders:
            self.cancel(command, order, Reason.MASS_CANCEL)
        self.emit(EventKind.MASS_CANCELED, command, instrument=command.instrument, account=command.account,
                  side=command.side, quantity=len(orders))

    def end_day(self, command: Command) -> None:
        """2.3: DAY orders expire, GTC orders stay."""
        orders = [order for instrument in range(len(self.markets)) for order in self.resting(instrument)
                  if order.time_in_force == TimeInForce.DAY]
        for order in orders:
            self.cancel(command, order, Reason.DAY_ENDED)
        self.emit(EventKind.DAY_ENDED, command, instrument=command.instrument, account=command.account,
                  side=command.side, quantity=len(orders))

    def set_phase(self, command: Command) -> None:
        """7.1"""
        for market in self.markets if command.instrument == ALL else (self.markets[command.instrument],):
            market.phase = command.order_type
        self.emit(EventKind.PHASE, command, instrument=command.instrument, quantity=command.order_type)

    def set_limit(self, command: Command) -> None:
        """LIMIT of matching (4.1, 4.2). Other limits, KILL_SWITCH and CASH mean nothing here but their event (1.6)."""
        if command.kind == CommandKind.LIMIT and command.order_type == Limit.SELF_MATCH:
            self.members[command.account].self_match = command.quantity
        if command.kind == CommandKind.LIMIT and command.order_type == Limit.GROUP:
            self.members[command.account].group = command.quantity
        self.emit(EventKind(command.kind), command, instrument=command.instrument, account=command.account,
                  side=command.order_type, quantity=command.quantity)

    # What is told

    def reject(self, command: Command, reason: Reason, value: int, bound: int, first_order_id: int = 0) -> None:
        """1.2: the one event of a refused command, with the value that broke the rule and the bound.

        first_order_id   of a repeated client order id (5.10): the order that had it first
        """
        order_id = command.order_id if command.kind in (CommandKind.CANCEL, CommandKind.AMEND) else 0
        self.emit(EventKind.REJECTED, command, reason=reason, order_id=order_id, price=command.price,
                  quantity=command.quantity, side=command.side, flags=command.flags, instrument=command.instrument,
                  account=command.account, client_order_id=command.client_order_id, resting_leaves_quantity=value,
                  resting_price=bound, resting_order_id=first_order_id)

    def emit_order(self, kind: EventKind, command: Command, order: Order, **fields: Any) -> None:
        """An event about an order: it carries the order's own names and what stays open."""
        fields.setdefault("price", order.price)
        self.emit(kind, command, order_id=order.order_id, leaves_quantity=order.leaves_quantity,
                  client_order_id=order.client_order_id, instrument=order.instrument, account=order.account,
                  side=order.side, **fields)

    def emit(self, kind: EventKind, command: Command, **fields: Any) -> None:
        """1.7: number the event and keep it."""
        self.event_id += 1
        self.events.append(Event(self.event_id, command.sequence, command.time, kind=kind, **fields))
