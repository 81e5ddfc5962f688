"""Section 5 of the rulebook in plain Python, on top of the reference book: the exchange with risk switched on.

    oracle = RiskOracle(instruments, accounts, max_orders=100, max_client_order_ids=50)
    events = oracle.apply(commands)            # COMMAND[n] -> EVENT[m], as Exchange(..., risk=True)

Nothing is held or released here: what an account could lose is computed from its open orders and positions each time
it is asked for (5.14), which is what the engine's running figures must equal.
"""
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np

from exchange import Account, Instrument
from matching.codes import CommandKind, EventKind, Flag, Limit, OrderType, Reason, Scope, Side
from matching.records import EVENT
from matching.reference import Command, Event, Order, ReferenceBook, Refusal

SECOND = 1_000_000_000
LARGEST_EQUITY = 1 << 61         # fen (7.4)
LARGEST_MARGIN = 1 << 56         # fen an account can need in one instrument (7.3)
ACCOUNT_FIELD = {Limit.MAX_ORDER_QUANTITY: "max_order_quantity", Limit.MAX_ORDER_NOTIONAL: "max_order_notional",
                 Limit.MAX_LONG: "max_long", Limit.MAX_SHORT: "max_short", Limit.MAX_OPEN_ORDERS: "max_open_orders",
                 Limit.MESSAGES_PER_SECOND: "messages_per_second", Limit.MESSAGE_BURST: "message_burst",
                 Limit.ENABLED: "enabled"}
INSTRUMENT_FIELD = {Limit.INSTRUMENT_MAX_ORDER_QUANTITY: "max_order_quantity",
                    Limit.INSTRUMENT_MAX_POSITION: "max_position", Limit.INSTRUMENT_MARGIN: "margin"}


class RiskOracle:
    """The rulebook with risk on. Arguments as those of Exchange."""

    def __init__(self, instruments: Sequence[Instrument], accounts: Sequence[Account], max_orders: int,
                 max_client_order_ids: int) -> None:
        self.book = ReferenceBook(instruments, accounts, max_orders)
        self.terms = [SimpleNamespace(**asdict(terms), fen_per_tick=terms.fen_per_tick, killed=False)
                      for terms in instruments]
        self.accounts = [SimpleNamespace(**asdict(account), killed=False, next_message=0) for account in accounts]
        for market, terms in zip(self.book.markets, self.terms, strict=True):
            market.collar = terms.collar
        self.positions: dict[tuple[int, int], int] = defaultdict(int)        # (account, instrument) -> lots
        self.client_orders: dict[tuple[int, bytes], int] = {}                # (account, client order id) -> order id
        self.max_client_order_ids = max_client_order_ids
        self.killed_firms: set[int] = set()
        self.hub_killed = False

    def apply(self, commands: np.ndarray) -> np.ndarray:
        told: list[Event] = []
        for row in commands.tolist():
            self.book.events = []
            self.step(Command._make(row))
            told += self.book.events
        events = np.zeros(len(told), EVENT)
        events[:] = told
        return events

    def step(self, command: Command) -> None:
        """1.2, 1.3: the first broken rule in the order of codes.Reason refuses the command."""
        refusal = self.book.row_makes_no_sense(command)
        if refusal is None:
            refusals = filter(None, (self.book.refusal(command), next(self.risk_refusals(command), None)))
            refusal = min(refusals, default=None)
            self.count_message(command, refusal)
        if refusal is None:
            self.execute(command)
        else:
            first = refusal[1] if refusal[0] == Reason.DUPLICATE_CLIENT_ORDER_ID else 0
            self.book.reject(command, *refusal, first_order_id=first)

    def execute(self, command: Command) -> None:
        self.book.execute(command)
        for event in self.book.events:
            if event.kind == EventKind.TRADED:
                bought = event.quantity if event.side == Side.BUY else -event.quantity
                self.positions[event.account, event.instrument] += bought
                self.positions[event.resting_account, event.instrument] -= bought
        if command.kind == CommandKind.ENTER and self.must_be_unique(command):
            self.client_orders[command.account, command.client_order_id] = command.sequence
        elif command.kind == CommandKind.END_DAY:
            self.client_orders.clear()                                                     # 5.10
        elif command.kind == CommandKind.KILL_SWITCH:
            self.kill(command)
        elif command.kind == CommandKind.LIMIT:
            self.set_limit(command)
        elif command.kind == CommandKind.CASH:
            self.accounts[command.account].equity += command.quantity                      # 7.4

    # What an account has at stake

    def open_orders(self, account: int) -> list[Order]:
        return [order for order in self.book.orders.values() if order.account == account]

    def exposure(self, account: int, instrument: int) -> tuple[int, int, int]:
        """(position, open buys, open sells) in lots"""
        orders = [order for order in self.open_orders(account) if order.instrument == instrument]
        return (self.positions[account, instrument],
                sum(order.leaves_quantity for order in orders if order.side == Side.BUY),
                sum(order.leaves_quantity for order in orders if order.side == Side.SELL))

    def worst_case(self, account: int, instrument: int, more_buys: int = 0, more_sells: int = 0) -> int:
        """5.13: lots of the larger side if all buys, or all sells, were to fill."""
        position, buys, sells = self.exposure(account, instrument)
        return max(abs(position + buys + more_buys), abs(position - sells - more_sells))

    def margin_used(self, account: int) -> int:
        """5.13: fen"""
        return sum(self.worst_case(account, instrument) * terms.margin for instrument, terms in enumerate(self.terms))

    # What an order must pass

    def risk_refusals(self, command: Command) -> Iterator[Refusal]:
        """The broken rules that belong to risk, in order."""
        if command.kind in (CommandKind.ENTER, CommandKind.AMEND):
            yield from self.standing(command)
            if self.book.order_is_unknown(command) is None:
                yield from self.order_by_itself(command)
                yield from self.message_rate(command)
                if command.kind == CommandKind.ENTER:
                    yield from self.client_order_id(command)
                    yield from self.open_order_count(command)
                yield from self.at_stake(command)
        elif command.kind == CommandKind.LIMIT and command.order_type == Limit.INSTRUMENT_MARGIN:
            held = max(self.worst_case(account, command.instrument) for account in range(len(self.accounts)))
            bound = LARGEST_MARGIN // max(1, held)                                         # 7.3
            if command.quantity > bound:
                yield Reason.INVALID_VALUE, command.quantity, bound
        elif command.kind == CommandKind.CASH:
            equity = self.accounts[command.account].equity + command.quantity
            if not 0 <= equity <= LARGEST_EQUITY:                                          # 7.4
                yield Reason.INVALID_VALUE, equity, 0 if equity < 0 else LARGEST_EQUITY

    def standing(self, command: Command) -> Iterator[Refusal]:
        """5.1, 5.2"""
        account = self.accounts[command.account]
        for broken, reason in ((self.hub_killed, Reason.HUB_KILLED),
                               (self.terms[command.instrument].killed, Reason.INSTRUMENT_KILLED),
                               (account.firm in self.killed_firms, Reason.FIRM_KILLED),
                               (account.killed, Reason.ACCOUNT_KILLED),
                               (not account.enabled, Reason.ACCOUNT_DISABLED)):
            if broken:
                yield reason, 0, 0

    def quantities(self, command: Command) -> tuple[int, int, int]:
        """(total, open, growth) in lots that a command asks for; 5.15 for an AMEND"""
        if command.kind == CommandKind.ENTER:
            return command.quantity, command.quantity, command.quantity
        order = self.book.orders[command.order_id]
        open_quantity = self.book.new_open_quantity(command, order)
        filled = order.quantity - order.leaves_quantity
        return filled + open_quantity, max(open_quantity, 0), open_quantity - order.leaves_quantity

    def order_by_itself(self, command: Command) -> Iterator[Refusal]:
        """5.5, 5.7, 5.8"""
        terms, account = self.terms[command.instrument], self.accounts[command.account]
        total, open_quantity, _ = self.quantities(command)
        chosen = command.kind == CommandKind.AMEND or command.order_type == OrderType.LIMIT
        price = command.price if chosen else self.book.limit_price(command)
        if chosen and price % terms.price_increment:
            yield Reason.PRICE_OFF_TICK, price, terms.price_increment
        if total < terms.minimum_quantity:
            yield Reason.QUANTITY_BELOW_MINIMUM, total, terms.minimum_quantity
        if total % terms.quantity_increment:
            yield Reason.QUANTITY_OFF_LOT, total, terms.quantity_increment
        if terms.collar:
            last = self.book.markets[command.instrument].last_price
            if abs(price - last) > terms.collar:
                yield Reason.PRICE_OUTSIDE_COLLAR, price, last + (terms.collar if price > last else -terms.collar)
        largest = min(account.max_order_quantity, terms.max_order_quantity)
        if total > largest:
            yield Reason.MAX_ORDER_QUANTITY, total, largest
        notional = abs(price) * open_quantity * terms.fen_per_tick
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
        """5.9: a message counts when it passes this rule, whatever comes after it."""
        if command.kind in (CommandKind.ENTER, CommandKind.AMEND) and (
                refusal is None or refusal[0] > Reason.MESSAGE_RATE):
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
        """2.7, 5.12, 5.13"""
        number, account = command.account, self.accounts[command.account]
        instrument, terms = command.instrument, self.terms[command.instrument]
        growth = self.quantities(command)[2]
        side = command.side if command.kind == CommandKind.ENTER else self.book.orders[command.order_id].side
        if growth <= 0:
            return
        position, buys, sells = self.exposure(number, instrument)
        is_buy = side == Side.BUY
        reach = position + buys + growth if is_buy else sells + growth - position
        if command.flags & int(Flag.REDUCE_ONLY) and reach > 0:
            yield Reason.REDUCE_ONLY_WOULD_INCREASE, reach, 0
        countable = LARGEST_MARGIN // max(1, terms.margin)
        bound = min(account.max_long if is_buy else account.max_short, terms.max_position, countable)
        if reach > bound:
            yield Reason.MAX_LONG if is_buy else Reason.MAX_SHORT, reach, bound
        before = self.worst_case(number, instrument)
        after = self.worst_case(number, instrument, growth if is_buy else 0, 0 if is_buy else growth)
        margin = self.margin_used(number) + (after - before) * terms.margin
        if after > before and margin > account.equity:                # 7.3: orders that reduce pass
            yield Reason.CREDIT, margin, account.equity

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
        elif limit == Limit.INSTRUMENT_COLLAR:
            self.terms[command.instrument].collar = self.book.markets[command.instrument].collar = value
        elif limit == Limit.INSTRUMENT_PROTECTION:
            self.book.markets[command.instrument].protection = value
