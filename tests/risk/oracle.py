"""Sections 5 and 9.6 to 12 of the rulebook in plain Python, on top of the reference book: the exchange with risk on.

    oracle = RiskOracle(instruments, accounts, max_orders=100, max_client_order_ids=50)
    events = oracle.apply(commands)            # COMMAND[n] -> EVENT[m], as Exchange(..., risk=True)

The oracle holds and releases nothing. Each time it needs the worst case of an account, it computes it from open orders and
positions (5.14). The engine's running figures must equal that.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from exchange import Account, Instrument
from matching.codes import (
    LIMIT_TYPES,
    RESTING_OFFSET,
    STOP_TYPES,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.records import EVENT, Command, Event
from matching.reference import WIDER, Market, Order, ReferenceBook, Refusal

SECOND, MILLISECOND = 1_000_000_000, 1_000_000
LARGEST_EQUITY = 1 << 61  # fen (7.4)
LARGEST_MARGIN = 1 << 56  # fen an account can need in one instrument (7.3)
MAINTENANCE = 8_000  # 1/10,000 of the initial margin (11.6)
OPEN, CLOSE, CLOSE_TODAY = int(Flag.OPEN), int(Flag.CLOSE), int(Flag.CLOSE_TODAY)
OFFSET = OPEN | CLOSE | CLOSE_TODAY
ENTERS = (CommandKind.ENTER, CommandKind.TAKE)  # a new order, or a TAKE, whose order trades at once (13.1)
BEAR_OFFSETS = {EventKind.TRADED, EventKind.CANCELED, EventKind.AMENDED, EventKind.TRIGGERED}
ACCOUNT_FIELD = {
    Limit.MAX_ORDER_QUANTITY: "max_order_quantity",
    Limit.MAX_ORDER_NOTIONAL: "max_order_notional",
    Limit.MAX_LONG: "max_long",
    Limit.MAX_SHORT: "max_short",
    Limit.MAX_OPEN_ORDERS: "max_open_orders",
    Limit.MESSAGES_PER_SECOND: "messages_per_second",
    Limit.MESSAGE_BURST: "message_burst",
    Limit.ENABLED: "enabled",
    Limit.PROTECTION_LOTS: "protection_lots",
    Limit.PROTECTION_INTERVAL: "protection_interval",
}
INSTRUMENT_FIELD = {
    Limit.INSTRUMENT_MAX_ORDER_QUANTITY: "max_order_quantity",
    Limit.INSTRUMENT_MAX_POSITION: "max_position",
    Limit.INSTRUMENT_MARGIN: "margin",
    Limit.INSTRUMENT_MARGIN_RATE: "margin_rate",
    Limit.INSTRUMENT_FEE_PER_LOT: "fee_per_lot",
    Limit.INSTRUMENT_FEE_RATE: "fee_rate",
    Limit.INSTRUMENT_OPENING_CAP: "opening_cap",
}
MARKET_FIELD = {
    Limit.INSTRUMENT_COLLAR: "collar",
    Limit.INSTRUMENT_PROTECTION: "protection",
    Limit.INSTRUMENT_DAILY_LIMIT: "daily_limit",
    Limit.INSTRUMENT_VELOCITY: "velocity",
}


@dataclass
class Lots:
    """Long or short of an account, where they are kept apart (10.2)."""

    older: int = 0
    today: int = 0

    @property
    def all(self) -> int:
        return self.older + self.today

    def take(self, lots: int, today_first: bool) -> int:
        """Close so many lots, of their own kind first. Returns how many were closed."""
        taken = 0
        for kind in ("today", "older") if today_first else ("older", "today"):
            part = min(lots - taken, getattr(self, kind))
            setattr(self, kind, getattr(self, kind) - part)
            taken += part
        return taken


@dataclass
class Held:
    """What an account has in an instrument."""

    position: int = 0  # lots, net
    cost: int = 0  # ticks x lots
    long: Lots = field(default_factory=Lots)
    short: Lots = field(default_factory=Lots)
    opened: int = 0  # lots since the day began (10.4)
    volume: int = 0  # lots traded since the last SETTLE
    turnover: int = 0  # ticks x lots traded since then
    value: int = 0  # |ticks| x lots traded since then

    def side(self, side: int) -> Lots:
        return self.long if side == Side.BUY else self.short


class ClearedBook(ReferenceBook):
    """The reference book, with the oracle for operator commands that need accounts."""

    def __init__(self, oracle: "RiskOracle", *arguments: Any) -> None:
        super().__init__(*arguments)
        self.oracle = oracle

    def settlement_price(self, command: Command, market: Market) -> int:
        price = self.oracle.settlement_price(command, market)
        if price is None:
            return super().settlement_price(command, market)
        return min(max(price, market.floor), market.ceiling)

    def emit(self, kind: EventKind, command: Command, **fields: Any) -> None:
        """Events of clearing come before the event that closes the command."""
        if kind == EventKind.SETTLED:
            fields["quantity"] = self.oracle.traded(fields["instrument"])[0]
            self.oracle.settle(command, self.markets[fields["instrument"]], fields["price"])
        elif kind == EventKind.EXPIRED:
            self.oracle.expire(command, fields["instrument"])
        elif kind == EventKind.DAY_ENDED:
            self.oracle.call_margins(command)
        super().emit(kind, command, **fields)

    def liquidate(self, command: Command) -> None:
        """11.7: a MARKET IOC order of the hub, at the edge of the band"""
        market = self.markets[command.instrument]
        self.cancel_all(
            command,
            (order for order in self.all_orders(command.instrument) if order.account == command.account),
            Reason.LIQUIDATION,
        )
        side, lots, flags = self.oracle.to_close(command.account, command.instrument)
        closed = 0
        if lots:
            limit = market.ceiling if side == Side.BUY else market.floor
            order = Order(
                command.sequence,
                command.instrument,
                command.account,
                side,
                limit,
                lots,
                lots,
                TimeInForce.IOC,
                b"",
                flags,
                OrderType.MARKET,
            )
            self.oracle.offsets[order.order_id] = flags
            self.emit_order(EventKind.ACCEPTED, command, order, quantity=lots, flags=flags)
            mode = self.members[command.account].self_match
            self.trade_and_rest(command, order, mode and SelfMatch.CANCEL_RESTING)
            closed = sum(
                event.quantity
                for event in self.events
                if event.kind == EventKind.TRADED and event.order_id == order.order_id
            )
        self.emit(
            EventKind.LIQUIDATED, command, instrument=command.instrument, account=command.account, quantity=closed
        )
        self.trigger_what_is_reached(command, market)


class RiskOracle:
    """The rulebook with risk on. Arguments as those of Exchange."""

    def __init__(
        self, instruments: Sequence[Instrument], accounts: Sequence[Account], max_orders: int, max_client_order_ids: int
    ) -> None:
        self.book = ClearedBook(self, instruments, accounts, max_orders)
        self.terms = [
            SimpleNamespace(**asdict(terms), fen_per_tick=terms.fen_per_tick, killed=False) for terms in instruments
        ]
        self.legs = [self.legs_of(terms) for terms in instruments]
        self.accounts = [
            SimpleNamespace(
                **asdict(account), killed=False, next_message=0, called=False, counted=0, counted_from=0, tripped=False
            )
            for account in accounts
        ]
        for market, terms in zip(self.book.markets, self.terms, strict=True):
            market.collar = terms.collar
        self.held: dict[tuple[int, int], Held] = defaultdict(Held)  # (account, instrument) ->
        self.settlements = [terms.reference_price for terms in instruments]
        self.settled: set[int] = set()  # instruments, since the day began
        self.windows: dict[int, tuple[int, int]] = {}  # instrument -> traded before its window
        self.offsets: dict[int, int] = {}  # order id -> offset flags
        self.client_orders: dict[tuple[int, bytes], int] = {}  # (account, client order id) -> order id
        self.max_client_order_ids = max_client_order_ids
        self.killed_firms: set[int] = set()
        self.hub_killed = False

    def apply(self, commands: np.ndarray) -> np.ndarray:
        emitted: list[Event] = []
        for row in commands.tolist():
            self.book.events = []
            self.step(Command._make(row))
            emitted += map(self.with_offsets, self.book.events)
        events = np.zeros(len(emitted), EVENT)
        events[:] = emitted
        return events

    def with_offsets(self, event: Event) -> Event:
        """Events of an order carry its offset flags, those of a trade both orders' (codes.RESTING_OFFSET)."""
        flags = event.flags
        if event.kind in BEAR_OFFSETS:
            flags |= self.offsets.get(event.order_id, 0) | self.offsets.get(event.resting_order_id, 0) << RESTING_OFFSET
        return event._replace(flags=flags)

    def step(self, command: Command) -> None:
        """1.2, 1.3: the first broken rule in the order of codes.Reason refuses the command."""
        refusal = self.book.row_makes_no_sense(command)
        if refusal is None or refusal[0] > Reason.INVALID_OFFSET:
            of_book = refusal or self.book.refusal(command)
            refusals = [self.offset_makes_no_sense(command), of_book]
            if refusal is None:
                refusals.append(next(self.risk_refusals(command), None))
            broken_rules = [broken for broken in refusals if broken is not None]
            if command.kind == CommandKind.TAKE and refusal is None:
                # 1.3: lots that depend on the offer are checked once it is known
                of_offer = (Reason.INVALID_QUANTITY, Reason.QUANTITY_BELOW_MINIMUM)

                def precedence(broken: Refusal) -> Reason:
                    return Reason.IRREVOCABLE if broken is of_book and broken[0] in of_offer else broken[0]

                refusal = min(broken_rules, default=None, key=precedence)
            else:
                refusal = min(broken_rules, default=None)
            self.count_message(command, refusal)
        if refusal is None:
            self.execute(command)
        else:
            first = refusal[1] if refusal[0] == Reason.DUPLICATE_CLIENT_ORDER_ID else 0
            self.book.reject(command, *refusal, first_order_id=first)

    def execute(self, command: Command) -> None:
        if command.kind in ENTERS:
            self.offsets[command.sequence] = command.flags & OFFSET
        elif command.kind == CommandKind.LIQUIDATE:
            self.net_off(command.account, command.instrument)
        elif command.kind == CommandKind.WINDOW:
            self.open_windows(command)
        self.book.execute(command)
        for event in list(self.book.events):
            if event.kind == EventKind.TRADED:
                self.trade(event.account, event.instrument, event.side, event.quantity, event.price, event.order_id)
                self.trade(
                    event.resting_account,
                    event.instrument,
                    3 - event.side,
                    event.quantity,
                    event.price,
                    event.resting_order_id,
                )
                self.count_resting(event.resting_account, event.time, event.quantity)
        self.cancel_tripped(command)
        if command.kind in ENTERS and self.must_be_unique(command):
            self.client_orders[command.account, command.client_order_id] = command.sequence
        elif command.kind == CommandKind.END_DAY:
            self.end_day()
        elif command.kind == CommandKind.BEGIN_DAY:
            self.settled.clear()
        elif command.kind == CommandKind.LIST:
            self.settlements[command.instrument] = command.price
            self.terms[command.instrument].margin = self.margin_after(
                self.book.markets[command.instrument], command.price
            )
        elif command.kind == CommandKind.KILL_SWITCH:
            self.kill(command)
        elif command.kind == CommandKind.LIMIT:
            self.set_limit(command)
        elif command.kind == CommandKind.CASH:
            self.accounts[command.account].equity += command.quantity  # 7.4
            self.cure(command.account)

    # How trades change positions

    def legs_of(self, terms: Instrument) -> list[tuple[int, bool]]:
        """12: the instruments whose positions an order changes, and whether on its own side."""
        symbols = [outright.symbol for outright in self.terms]
        legs = [symbols.index(symbol) for symbol in terms.legs] or [symbols.index(terms.symbol)]
        return list(zip(legs, (True, False), strict=False))

    def parts(self, instrument: int, side: int) -> list[tuple[int, int]]:
        """(position's instrument, side) of an order of this side."""
        return [(leg, side if same else 3 - side) for leg, same in self.legs[instrument]]

    def trade(self, account: int, instrument: int, side: int, lots: int, price: int, order_id: int) -> None:
        """10.2, 12.1, 12.2: positions and their cost."""
        traded = self.held[account, instrument]
        traded.volume += lots
        traded.turnover += lots * price
        traded.value += lots * abs(price)
        prices = [price]
        if self.terms[instrument].at_settlement:
            signed = lots if side == Side.BUY else -lots
            traded.position += signed  # of the instrument itself: lots without a price yet
            traded.cost += signed * price
            prices = [0]
        elif len(self.terms[instrument].legs) == 2:
            near = self.settlements[self.legs[instrument][0][0]]
            prices = [near, near - price]
        for (leg, leg_side), leg_price in zip(self.parts(instrument, side), prices, strict=True):
            self.move(account, leg, leg_side, lots, self.offsets.get(order_id, 0))
            self.held[account, leg].cost += leg_price * (lots if leg_side == Side.BUY else -lots)

    def move(self, account: int, leg: int, side: int, lots: int, offset: int) -> None:
        held = self.held[account, leg]
        held.position += lots if side == Side.BUY else -lots
        if self.terms[leg].offset:
            if offset & (CLOSE | CLOSE_TODAY):
                lots -= held.side(3 - side).take(lots, offset == CLOSE_TODAY)
            else:
                held.opened += lots
            held.side(side).today += lots

    def net_off(self, account: int, instrument: int) -> None:
        """10.8"""
        held = self.held[account, instrument]
        both = min(held.long.all, held.short.all)
        held.long.take(both, False)
        held.short.take(both, False)

    def to_close(self, account: int, instrument: int) -> tuple[int, int, int]:
        """10.8, 11.7: (side, lots, flags) of the order that closes a position. Instruments with legs have none (12.3)"""
        position = 0 if self.terms[instrument].legs else self.held[account, instrument].position
        return Side.SELL if position > 0 else Side.BUY, abs(position), CLOSE * self.terms[instrument].offset

    # Clearing

    def traded(self, instrument: int) -> tuple[int, int]:
        """11.2: (lots, ticks x lots) since the last SETTLE"""
        rows = [held for (_, number), held in self.held.items() if number == instrument]
        return sum(held.volume for held in rows) // 2, sum(held.turnover for held in rows) // 2

    def open_windows(self, command: Command) -> None:
        for instrument in range(len(self.terms)):
            if command.instrument in (-1, instrument):
                self.windows[instrument] = self.traded(instrument)

    def settlement_price(self, command: Command, market: Market) -> int | None:
        """11.2, after a trade; an instrument with legs takes the legs' price"""
        if command.order_type == SettlementRule.GIVEN:
            return None
        legs = [leg for leg, _ in self.legs[market.number]] if self.terms[market.number].legs else []
        if self.terms[market.number].at_settlement:
            return 0
        if legs:
            return self.settlements[legs[0]] - (self.settlements[legs[1]] if len(legs) == 2 else 0)
        volume, turnover = self.traded(market.number)
        before = self.windows.get(market.number, (0, 0))
        if command.order_type == SettlementRule.WINDOW_VWAP and volume > before[0]:
            volume, turnover = volume - before[0], turnover - before[1]
        return (2 * turnover + volume) // (2 * volume) if volume else None

    def margin_after(self, market: Market, price: int) -> int:
        """11.5, 9.4: fen per lot"""
        terms, rate = self.terms[market.number], self.terms[market.number].margin_rate
        if rate == 0:
            return terms.margin
        days = abs(market.locked_days)
        if days and market.daily_limit:
            rate = max(rate, market.daily_limit + WIDER[min(days, len(WIDER) - 1)] + 200)
        return -(-abs(price) * terms.fen_per_tick * rate // 10_000)

    def price_lots(self, instrument: int, leg: int) -> None:
        """12.1: lots at settlement cost the leg's settlement price and the ticks off it."""
        for account in range(len(self.accounts)):
            own = self.held[account, instrument]
            self.held[account, leg].cost += own.position * self.settlements[leg] + own.cost
            own.position = own.cost = 0

    def settle(self, command: Command, market: Market, price: int) -> None:
        """11.3 to 11.5"""
        number, terms = market.number, self.terms[market.number]
        self.settlements[number] = price
        self.settled.add(number)
        self.windows.pop(number, None)
        margin = self.margin_after(market, price)
        self.price_lots_of(number)
        for account in range(len(self.accounts)):
            held = self.held[account, number]
            if held.volume or not terms.legs and (held.position or held.cost):
                self.balance(command, account, number, margin)
        if terms.at_settlement and self.legs[number][0][0] in self.settled:
            self.price_lots(number, self.legs[number][0][0])
        terms.margin = margin

    def price_lots_of(self, leg: int) -> None:
        for instrument, terms in enumerate(self.terms):
            if terms.at_settlement and self.legs[instrument][0][0] == leg:
                self.price_lots(instrument, leg)

    def result(self, account: int, instrument: int) -> int:
        """11.3: fen"""
        held, terms = self.held[account, instrument], self.terms[instrument]
        if terms.legs:
            return 0
        return (held.position * self.settlements[instrument] - held.cost) * terms.fen_per_tick

    def balance(self, command: Command, account: int, instrument: int, margin: int) -> None:
        """11.3, 11.4"""
        held, terms = self.held[account, instrument], self.terms[instrument]
        result, fees = self.result(account, instrument), 0
        if terms.fen_per_tick:
            fees = held.volume * terms.fee_per_lot + held.value * terms.fen_per_tick * terms.fee_rate // 1_000_000
        self.book.emit(
            EventKind.BALANCE,
            command,
            instrument=instrument,
            account=account,
            price=self.settlements[instrument],
            quantity=result,
            leaves_quantity=fees,
            resting_leaves_quantity=0 if terms.legs else held.position,
            resting_order_id=held.volume,
            resting_price=self.margin_lots(account, instrument) * margin,
        )
        self.accounts[account].equity += result - fees
        if not terms.legs:
            held.cost = held.position * self.settlements[instrument]
        held.volume = held.turnover = held.value = 0

    def expire(self, command: Command, instrument: int) -> None:
        """11.8"""
        terms = self.terms[instrument]
        self.price_lots_of(instrument)
        if terms.at_settlement:
            self.price_lots(instrument, self.legs[instrument][0][0])
        for account in range(len(self.accounts)):
            if self.held[account, instrument].volume or self.result(account, instrument):
                self.balance(command, account, instrument, terms.margin)
        if terms.physical and not terms.legs:
            self.deliver(command, instrument)
        for account in range(len(self.accounts)):
            self.held[account, instrument] = Held(opened=self.held[account, instrument].opened)

    def deliver(self, command: Command, instrument: int) -> None:
        """11.8: longs and shorts are matched in account order."""
        due = {account: self.held[account, instrument].position for account in range(len(self.accounts))}
        while any(lots > 0 for lots in due.values()):
            buyer = next(account for account, lots in due.items() if lots > 0)
            seller = next(account for account, lots in due.items() if lots < 0)
            lots = min(due[buyer], -due[seller])
            self.book.emit(
                EventKind.DELIVERY,
                command,
                instrument=instrument,
                account=buyer,
                resting_account=seller,
                price=self.settlements[instrument],
                quantity=lots,
            )
            due[buyer] -= lots
            due[seller] += lots

    def margin_lots(self, account: int, instrument: int) -> int:
        """10.5, 11.6: lots of a position, without its orders"""
        held = self.held[account, instrument]
        if self.terms[instrument].legs:
            return 0
        return max(held.long.all, held.short.all) if self.terms[instrument].offset else abs(held.position)

    def initial_margin(self, account: int) -> int:
        return sum(self.margin_lots(account, number) * terms.margin for number, terms in enumerate(self.terms))

    def cure(self, number: int) -> None:
        """11.6"""
        account = self.accounts[number]
        account.called = account.called and account.equity < self.initial_margin(number)

    def call_margins(self, command: Command) -> None:
        """11.6"""
        for number, account in enumerate(self.accounts):
            margin = self.initial_margin(number)
            self.cure(number)
            account.called = account.called or account.equity < -(-margin * MAINTENANCE // 10_000)
            if account.called:
                self.book.emit(EventKind.MARGIN_CALL, command, account=number, quantity=margin - account.equity)

    def end_day(self) -> None:
        """5.10, 10.6"""
        self.client_orders.clear()
        for held in self.held.values():
            held.opened = 0
            for lots in (held.long, held.short):
                lots.older, lots.today = lots.all, 0

    # Market-maker protection

    def count_resting(self, number: int, time: int, lots: int) -> None:
        """9.6: the first lots, and the first after the interval is over, begin a new count; the lots that trip end it."""
        account = self.accounts[number]
        if not account.protection_lots or account.tripped:
            return
        if account.counted == 0 or time - account.counted_from > account.protection_interval * MILLISECOND:
            account.counted_from, account.counted = time, 0
        account.counted += lots
        account.tripped = account.counted >= account.protection_lots

    def cancel_tripped(self, command: Command) -> None:
        """9.6: a tripped account keeps no order. Only an account that this command has tripped can have any."""
        for number, account in enumerate(self.accounts):
            if account.tripped:
                self.book.cancel_all(
                    command,
                    [
                        order
                        for instrument in range(len(self.terms))
                        for order in self.book.all_orders(instrument)
                        if order.account == number
                    ],
                    Reason.PROTECTION,
                )
        self.book.unlock(command)

    # Exposure of an account

    def open_orders(self, account: int) -> list[Order]:
        return [order for order in self.book.orders.values() if order.account == account]

    def open_lots(self, account: int, instrument: int) -> list[tuple[int, int, int]]:
        """(side, lots, offset flags) of the open orders that would change a position"""
        return [
            (side, order.leaves_quantity, self.offsets.get(order.order_id, 0))
            for order in self.open_orders(account)
            for leg, side in self.parts(order.instrument, order.side)
            if leg == instrument
        ]

    def exposure(self, account: int, instrument: int) -> tuple[int, int, int]:
        """(position, open buys, open sells) in lots"""
        lots = self.open_lots(account, instrument)
        return (
            self.held[account, instrument].position,
            sum(lot for side, lot, _ in lots if side == Side.BUY),
            sum(lot for side, lot, _ in lots if side == Side.SELL),
        )

    def opening(self, account: int, instrument: int, side: int) -> int:
        """10.4, 10.5: lots that open orders would open on a side"""
        return sum(lots for one, lots, offset in self.open_lots(account, instrument) if one == side and offset == OPEN)

    def reach(self, account: int, instrument: int, side: int, growth: int, offset: int) -> int:
        """5.12, 10.5: lots of the position on a side if all orders filled; closing orders add nothing"""
        if self.terms[instrument].offset:
            if offset != OPEN:
                return 0
            return self.held[account, instrument].side(side).all + self.opening(account, instrument, side) + growth
        position, buys, sells = self.exposure(account, instrument)
        return position + buys + growth if side == Side.BUY else sells + growth - position

    def worst_case(self, account: int, instrument: int) -> int:
        """5.13, 10.5: lots of the larger side if all buys, or all sells, filled."""
        if self.terms[instrument].legs:
            return 0
        reaches = [self.reach(account, instrument, side, 0, OPEN) for side in Side]
        return max(reaches) if self.terms[instrument].offset else max(map(abs, reaches))

    def worst_with(self, account: int, instrument: int, side: int, growth: int, offset: int) -> int:
        """The worst case with `growth` more open lots."""
        reach = self.reach(account, instrument, side, growth, offset)
        return max(self.worst_case(account, instrument), reach if self.terms[instrument].offset else abs(reach))

    def margin_used(self, account: int) -> int:
        """5.13: fen"""
        return sum(self.worst_case(account, instrument) * terms.margin for instrument, terms in enumerate(self.terms))

    # What an order must pass

    def offset_makes_no_sense(self, command: Command) -> Refusal | None:
        """10.1"""
        offset = command.flags & OFFSET
        if command.kind in ENTERS and self.terms[command.instrument].offset:
            lasts = command.kind == CommandKind.ENTER and command.time_in_force in (TimeInForce.GTC, TimeInForce.GTD)
            sensible = offset in (OPEN, CLOSE) or offset == CLOSE_TODAY and not lasts
        else:
            sensible = command.kind not in (*ENTERS, CommandKind.AMEND) or offset == 0
        return None if sensible else (Reason.INVALID_OFFSET, command.flags, 0)

    def risk_refusals(self, command: Command) -> Iterator[Refusal]:
        """The broken rules that belong to risk, in order."""
        if command.kind in (*ENTERS, CommandKind.AMEND):
            yield from self.standing(command)
            account = self.accounts[command.account]
            if account.tripped:  # 9.6
                yield Reason.PROTECTION_TRIPPED, account.counted, account.protection_lots
            if self.book.order_is_unknown(command) is None or command.kind == CommandKind.ENTER:
                yield from self.order_by_itself(command)
                yield from self.message_rate(command)
                if command.kind in ENTERS:
                    yield from self.client_order_id(command)
                    yield from self.open_order_count(command)
                yield from self.at_stake(command)
        elif command.kind == CommandKind.LIMIT and command.order_type == Limit.INSTRUMENT_MARGIN:
            held = max(self.worst_case(account, command.instrument) for account in range(len(self.accounts)))
            bound = LARGEST_MARGIN // max(1, held)  # 7.3
            if command.quantity > bound:
                yield Reason.INVALID_VALUE, command.quantity, bound
        elif command.kind == CommandKind.CASH:
            equity = self.accounts[command.account].equity + command.quantity  # 7.4
            if command.quantity < 0 and equity < 0:
                yield Reason.INVALID_VALUE, equity, 0
            if command.quantity >= 0 and equity > LARGEST_EQUITY:
                yield Reason.INVALID_VALUE, equity, LARGEST_EQUITY
        elif command.kind == CommandKind.SETTLE:
            phase = self.book.markets[command.instrument].phase
            if phase in (Phase.UNLISTED, Phase.EXPIRED):
                unlisted = phase == Phase.UNLISTED
                yield Reason.INSTRUMENT_UNLISTED if unlisted else Reason.INSTRUMENT_EXPIRED, phase, 0
            market = self.book.markets[command.instrument]
            if command.order_type == SettlementRule.GIVEN and not market.floor <= command.price <= market.ceiling:
                below = command.price < market.floor  # 11.2
                yield (
                    Reason.PRICE_BELOW_BAND if below else Reason.PRICE_ABOVE_BAND,
                    command.price,
                    market.floor if below else market.ceiling,
                )
        elif command.kind == CommandKind.EXPIRE:  # 11.8
            needed = {command.instrument}
            if self.terms[command.instrument].at_settlement:
                needed.add(self.legs[command.instrument][0][0])
            if not needed <= self.settled:
                yield Reason.INVALID_VALUE, 0, 1

    def standing(self, command: Command) -> Iterator[Refusal]:
        """5.1, 5.2"""
        account = self.accounts[command.account]
        for broken, reason in (
            (self.hub_killed, Reason.HUB_KILLED),
            (self.terms[command.instrument].killed, Reason.INSTRUMENT_KILLED),
            (account.firm in self.killed_firms, Reason.FIRM_KILLED),
            (account.killed, Reason.ACCOUNT_KILLED),
            (not account.enabled, Reason.ACCOUNT_DISABLED),
        ):
            if broken:
                yield reason, 0, 0

    def quantities(self, command: Command) -> tuple[int, int, int]:
        """(total, open, growth) in lots that a command asks for; 5.15 for an AMEND"""
        if command.kind in ENTERS:
            return command.quantity, command.quantity, command.quantity
        order = self.book.orders[command.order_id]
        open_quantity = self.book.new_open_quantity(command, order)
        filled = order.quantity - order.leaves_quantity
        return filled + open_quantity, max(open_quantity, 0), open_quantity - order.leaves_quantity

    def order_by_itself(self, command: Command) -> Iterator[Refusal]:
        """5.5, 5.7, 5.8; 2.9 for orders that wait for a trigger"""
        terms, account = self.terms[command.instrument], self.accounts[command.account]
        total, open_quantity, _ = self.quantities(command)
        order_type, takes = self.book.type_after(command), command.kind == CommandKind.TAKE
        waits = order_type in STOP_TYPES
        price = self.book.orders[command.order_id].price if takes else self.book.limit_price(command)
        if order_type in LIMIT_TYPES:
            price = command.price
        chosen = [price] if order_type in LIMIT_TYPES else []
        for one in [*chosen, *([command.trigger_price] if waits else [])]:
            if one % terms.price_increment:
                yield Reason.PRICE_OFF_TICK, one, terms.price_increment
        if total < terms.minimum_quantity:
            yield Reason.QUANTITY_BELOW_MINIMUM, total, terms.minimum_quantity
        if total % terms.quantity_increment:
            yield Reason.QUANTITY_OFF_LOT, total, terms.quantity_increment
        collar = self.book.markets[command.instrument].collar
        if collar and not waits and not takes:
            last = self.book.markets[command.instrument].last_price
            if abs(price - last) > collar:
                yield Reason.PRICE_OUTSIDE_COLLAR, price, last + (collar if price > last else -collar)
        largest = min(account.max_order_quantity, terms.max_order_quantity)
        if total > largest:
            yield Reason.MAX_ORDER_QUANTITY, total, largest
        market = self.book.markets[command.instrument]
        value_price = (
            min(max(command.trigger_price, market.floor), market.ceiling) if order_type == OrderType.STOP else price
        )
        notional = abs(value_price) * open_quantity * terms.fen_per_tick
        if notional > account.max_order_notional:
            yield Reason.MAX_ORDER_NOTIONAL, notional, account.max_order_notional

    def message_rate(self, command: Command) -> Iterator[Refusal]:
        """5.9: next_message is the theoretical arrival time of the generic cell rate algorithm."""
        account = self.accounts[command.account]
        if account.messages_per_second:
            interval = SECOND // account.messages_per_second
            earliest = account.next_message - (account.message_burst - 1) * interval
            if command.time < earliest:
                yield Reason.MESSAGE_RATE, command.time, earliest

    def count_message(self, command: Command, refusal: Refusal | None) -> None:
        """5.9: a message that passes this rule counts, even if a later rule refuses it."""
        if command.kind in (*ENTERS, CommandKind.AMEND) and (refusal is None or refusal[0] > Reason.MESSAGE_RATE):
            account = self.accounts[command.account]
            if account.messages_per_second:
                account.next_message = max(account.next_message, command.time) + SECOND // account.messages_per_second

    def must_be_unique(self, command: Command) -> bool:
        return command.client_order_id != b"" and not command.flags & int(Flag.LABEL)

    def client_order_id(self, command: Command) -> Iterator[Refusal]:
        """5.10"""
        if self.must_be_unique(command):
            first = self.client_orders.get((command.account, command.client_order_id))
            if first is not None:
                yield Reason.DUPLICATE_CLIENT_ORDER_ID, first, 0
            if len(self.client_orders) >= self.max_client_order_ids:
                yield Reason.CLIENT_ORDER_ID_CAPACITY, len(self.client_orders), self.max_client_order_ids

    def open_order_count(self, command: Command) -> Iterator[Refusal]:
        """5.11"""
        count, bound = len(self.open_orders(command.account)), self.accounts[command.account].max_open_orders
        if count >= bound:
            yield Reason.MAX_OPEN_ORDERS, count + 1, bound

    def at_stake(self, command: Command) -> Iterator[Refusal]:
        """2.7, 5.12, 5.13, 11.6, 10.3 and 10.4, of every leg (12.4)"""
        number, account = command.account, self.accounts[command.account]
        growth = self.quantities(command)[2]
        entered = command.kind in ENTERS
        side = command.side if command.kind == CommandKind.ENTER else self.book.orders[command.order_id].side
        side = 3 - side if command.kind == CommandKind.TAKE else side
        offset = command.flags & OFFSET if entered else self.offsets.get(command.order_id, 0)
        if growth <= 0:
            return
        parts = self.parts(command.instrument, side)
        broken = [
            refusal
            for leg, leg_side in parts
            for refusal in self.reach_refusals(command, leg, leg_side, growth, offset)
        ]
        yield from sorted(broken, key=lambda refusal: refusal[0])  # stable: the near leg comes first
        worst = {
            leg: (self.worst_case(number, leg), self.worst_with(number, leg, leg_side, growth, offset))
            for leg, leg_side in parts
        }
        enlarged = [(after, before) for before, after in worst.values() if after > before]
        margin = self.margin_used(number) + sum(
            (after - before) * self.terms[leg].margin for leg, (before, after) in worst.items()
        )
        if enlarged and margin > account.equity:  # 7.3: orders that reduce pass
            yield Reason.CREDIT, margin, account.equity
        if enlarged and account.called:
            yield Reason.MARGIN_CALLED, *enlarged[0]
        closing = [
            refusal
            for leg, leg_side in parts
            for refusal in self.offset_refusals(number, leg, leg_side, growth, offset)
        ]
        yield from sorted(closing, key=lambda refusal: refusal[0])

    def reach_refusals(self, command: Command, leg: int, side: int, growth: int, offset: int) -> Iterator[Refusal]:
        """2.7, 5.12, 10.5, 10.7"""
        account, terms = self.accounts[command.account], self.terms[leg]
        reach = self.reach(command.account, leg, side, growth, offset)
        if command.flags & int(Flag.REDUCE_ONLY) and reach > 0:
            yield Reason.REDUCE_ONLY_WOULD_INCREASE, reach, 0
        countable = LARGEST_MARGIN // max(1, terms.margin)
        bound = min(account.max_long if side == Side.BUY else account.max_short, terms.max_position, countable)
        if reach > bound:
            yield Reason.MAX_LONG if side == Side.BUY else Reason.MAX_SHORT, reach, bound

    def offset_refusals(self, account: int, leg: int, side: int, growth: int, offset: int) -> Iterator[Refusal]:
        """10.3, 10.4"""
        if not self.terms[leg].offset:
            return
        held = self.held[account, leg]
        if offset == OPEN:
            cap = self.terms[leg].opening_cap
            opened = held.opened + self.opening(account, leg, Side.BUY) + self.opening(account, leg, Side.SELL) + growth
            if cap and opened > cap:
                yield Reason.OPENING_CAP, opened, cap
            return
        of_kind = held.side(3 - side).today if offset == CLOSE_TODAY else held.side(3 - side).older
        closing = sum(lots for one, lots, other in self.open_lots(account, leg) if one == side and other == offset)
        if growth > of_kind - closing:
            yield Reason.CLOSE_EXCEEDS_POSITION, growth, max(of_kind - closing, 0)

    # Operators

    def kill(self, command: Command) -> None:
        """7.2"""
        on = bool(command.quantity)
        if command.order_type == Scope.HUB:
            self.hub_killed = on
        elif command.order_type == Scope.FIRM:
            (self.killed_firms.add if on else self.killed_firms.discard)(command.account)
        elif command.order_type == Scope.ACCOUNT:
            self.accounts[command.account].killed = on
        else:
            self.terms[command.instrument].killed = on

    def set_limit(self, command: Command) -> None:
        """7.3"""
        limit, value = Limit(command.order_type), command.quantity
        if limit in ACCOUNT_FIELD:
            setattr(self.accounts[command.account], ACCOUNT_FIELD[limit], value)
        elif limit in INSTRUMENT_FIELD:
            setattr(self.terms[command.instrument], INSTRUMENT_FIELD[limit], value)
        elif limit in MARKET_FIELD:
            setattr(self.book.markets[command.instrument], MARKET_FIELD[limit], value)
        elif limit == Limit.INSTRUMENT_VELOCITY_WINDOW:
            self.book.markets[command.instrument].velocity_window = value * MILLISECOND
        elif limit == Limit.PROTECTION_RESET:  # 9.6
            account = self.accounts[command.account]
            account.counted, account.tripped = 0, False
        if limit in {Limit.INSTRUMENT_VELOCITY, Limit.INSTRUMENT_VELOCITY_WINDOW}:  # 9.3
            self.book.markets[command.instrument].slices.clear()
