"""The rulebook, executable: ReferenceBook does what docs/RULEBOOK.md says, in plain Python.

This is the oracle that the fast engine is compared with, byte by byte. It is written from the rulebook alone and shares no
code with the engine, so a mistake must be made twice to go unnoticed. It is slow, and it has neither positions nor money: it
is the exchange with risk switched off.

Of section 5 it has what needs no account: phase (5.3), order known (5.4), band (5.6). KILL_SWITCH, CASH and all limits but
SELF_MATCH and GROUP emit their event and change nothing. SETTLE knows GIVEN prices and, for the other rules, a day without a
trade; it emits no BALANCE and a volume of 0. LIQUIDATE cancels orders and closes nothing. The oracle of risk
(tests/risk/oracle.py) adds offsets (10), market-maker protection (9.6), and the clearing (11) that needs volumes and positions.

Each function names the rules it implements. A number in a comment is a rule, a number in brackets a Reason.

    book = ReferenceBook(instruments, accounts=4, max_orders=1000)
    events = book.apply(commands)              # COMMAND[n] -> EVENT[m]
    book.resting(0)                            # orders of instrument 0: bids then asks, best first, oldest first
    book.parked(0)                             # those that wait for a trigger: buys then sells, first to trigger first

A side of the book is a SortedDict from price to a queue. The key of a bid is minus its price, so the first key is the best
one on both sides. A queue is a dict from order id to Order, which keeps the order of arrival. Parked orders are kept in the
same way by trigger price: the first key is triggered first.
"""

from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sortedcontainers import SortedDict

from matching.codes import (
    ALL,
    LIMIT_TYPES,
    STOP_TYPES,
    AuctionStep,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.records import (
    EVENT,
    ICEBERG_ROWS,
    MAX_QUANTITY,
    MOST_REFILLS,
    PARKED_ROWS,
    Command,
    Event,
)


@dataclass(slots=True, eq=False)
class Order:
    """An order: resting in the book, parked, or incoming."""

    order_id: int
    instrument: int
    account: int
    side: int
    price: int  # ticks; of a parked STOP: 0
    quantity: int  # lots in total, filled ones included
    leaves_quantity: int  # lots still open
    time_in_force: int
    client_order_id: bytes
    flags: int = 0  # of the command that entered it
    order_type: int = OrderType.LIMIT  # once it rests: LIMIT
    trigger_price: int = 0  # of a parked order
    parked: bool = False
    display_quantity: int = 0  # lots that an iceberg shows at a time; 0: not an iceberg
    shown: int = 0  # lots that a resting iceberg shows now
    expire_date: int = 0
    minimum_quantity: int = 0  # of a listed offer: fewest lots of one TAKE
    counterparty: int = 0  # of a negotiated offer: who may take it
    linked: int = 0  # id of the other order of an OCO pair (2.14); 0: none
    rows: int = 0  # share of the second allowance (2.8)

    @property
    def key(self) -> int:
        """Key of its price in a side of the book; smaller is better."""
        return -self.price if self.side == Side.BUY else self.price

    @property
    def trigger_key(self) -> int:
        """Key of its trigger among parked orders; smaller is triggered first (2.10)."""
        return self.trigger_price if self.side == Side.BUY else -self.trigger_price

    @property
    def is_iceberg(self) -> bool:
        return self.display_quantity > 0

    @property
    def open_to_view(self) -> int:
        """Lots that an incoming order can trade before this one moves to the back of its queue (2.11)."""
        return self.shown if self.is_iceberg else self.leaves_quantity

    def reaches(self, price: int) -> bool:
        """Does the limit of the order allow this price? (2.1)"""
        return price <= self.price if self.side == Side.BUY else price >= self.price


@dataclass(slots=True)
class Market:
    """An instrument: its terms, the two sides of its book, and its parked orders."""

    number: int
    terms: Any
    protection: int  # ticks (2.2)
    last_price: int  # 3.2: before the first trade the reference price
    previous_settlement: int  # 8.5: before the first SETTLE the reference price
    floor: int  # 5.6: the band
    ceiling: int
    daily_limit: int  # 9.1
    velocity: int  # ticks (9.3)
    velocity_window: int  # ns
    phase: int
    bids: SortedDict = field(default_factory=SortedDict)
    asks: SortedDict = field(default_factory=SortedDict)
    parked_buys: SortedDict = field(default_factory=SortedDict)
    parked_sells: SortedDict = field(default_factory=SortedDict)
    slices: dict[int, tuple[int, int]] = field(default_factory=dict)  # 9.3: slice of time -> (low, high)
    locked: int = 0  # Side whose orders stand at the daily limit while limit-locked (9.4)
    locked_days: int = 0  # in a row; negative at the floor
    settled: bool = False  # SETTLE has come since BEGIN_DAY (11.3)
    offer_id: int = 0  # 13.2: the order of a one-sided auction that others bid for
    deadline: int = 0  # ns, end of its countdown; 0: none has begun
    collar: int = 0  # ticks (5.7); a limit of risk, set by its oracle only

    def same_side(self, side: int) -> SortedDict:
        return self.bids if side == Side.BUY else self.asks

    def other_side(self, side: int) -> SortedDict:
        return self.asks if side == Side.BUY else self.bids

    def place_of(self, order: Order) -> tuple[SortedDict, int]:
        """The side or parked orders that hold an order, and the key of its queue."""
        if order.parked:
            return self.parked_buys if order.side == Side.BUY else self.parked_sells, order.trigger_key
        return self.same_side(order.side), order.key

    def best(self, side: int) -> Order | None:
        """The oldest order at the best price of a side."""
        return oldest_of_first(self.same_side(side))

    def best_opposite(self, side: int) -> Order | None:
        """3.1: the order that an incoming one of this side meets first."""
        return oldest_of_first(self.other_side(side))

    @property
    def mechanism(self) -> int:
        return self.terms.mechanism

    def is_crossed(self) -> bool:
        bid, ask = self.best(Side.BUY), self.best(Side.SELL)
        return bid is not None and ask is not None and bid.price >= ask.price

    def set_band(self, settlement: int, rate: int) -> None:
        """9.1: rate in 1/10,000; 0: the band is the whole ladder (5.6)."""
        self.floor, self.ceiling = self.terms.price_floor, self.terms.price_ceiling
        if rate:
            width = max(abs(settlement) * rate // 10_000, 1)
            self.floor, self.ceiling = max(settlement - width, self.floor), min(settlement + width, self.ceiling)

    # 9.3

    def slice_of(self, time: int) -> int:
        return time // max(self.velocity_window // 2, 1)

    def traded_range(self, time: int) -> tuple[int, int]:
        """Low and high of the trades of the present and the previous slice; without trades, the last price twice."""
        now = self.slice_of(time)
        ranges = [self.slices[number] for number in (now - 1, now) if number in self.slices]
        ranges = ranges or [(self.last_price, self.last_price)]
        return min(low for low, _ in ranges), max(high for _, high in ranges)

    def note_trade(self, time: int, price: int) -> None:
        self.last_price = price
        if self.velocity == 0:
            return
        now = self.slice_of(time)
        low, high = self.slices.get(now, (price, price))
        self.slices = {number: low_high for number, low_high in self.slices.items() if number >= now - 1}
        self.slices[now] = min(low, price), max(high, price)

    def trade_price(self, order: Order, resting: Order, last_price: int) -> int:
        """3.2"""
        if self.terms.price_rule == "median":
            return sorted((order.price, resting.price, last_price))[1]
        return resting.price


def oldest_of_first(queues: SortedDict) -> Order | None:
    return next(iter(queues.peekitem(0)[1].values())) if queues else None


@dataclass(slots=True)
class Member:
    """An account as matching sees it."""

    group: object  # equal for the accounts of a group
    self_match: int  # SelfMatch of orders that name none


Refusal = tuple[Reason, int, int]  # 1.2: the reason, the value that broke the rule, the bound

MODE_OF_FLAG = {
    0: None,
    int(Flag.SMP_CANCEL_INCOMING): SelfMatch.CANCEL_INCOMING,
    int(Flag.SMP_CANCEL_RESTING): SelfMatch.CANCEL_RESTING,
    int(Flag.SMP_CANCEL_BOTH): SelfMatch.CANCEL_BOTH,
}
MODE_FLAGS = sum(MODE_OF_FLAG)
POST_ONLY, OPEN_QUANTITY, PARKED = int(Flag.POST_ONLY), int(Flag.OPEN_QUANTITY), int(Flag.PARKED)
KNOWN_FLAGS = sum(int(flag) for flag in Flag) - PARKED
KINDS, SIDES, ORDER_TYPES, TIMES_IN_FORCE = set(CommandKind), set(Side), set(OrderType), set(TimeInForce)
RESTS = {TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.SESSION}  # 1.5 (106)
ABOUT_ONE_ORDER = {CommandKind.CANCEL, CommandKind.AMEND, CommandKind.TAKE}
MOST_TRIGGERED = 100  # by one command (2.10)
WIDER = (0, 300, 500)  # 9.4: 1/10,000 by days limit-locked in a row; later days as the last

# 8.1: why a phase refuses ENTER and AMEND
REFUSES_ENTRY = {
    Phase.CLOSED: Reason.INSTRUMENT_CLOSED,
    Phase.AUCTION_MATCH: Reason.AUCTION_MATCHING,
    Phase.BREAK: Reason.INSTRUMENT_BREAK,
    Phase.HALTED: Reason.INSTRUMENT_HALTED,
    Phase.CLOSING: Reason.INSTRUMENT_CLOSING,
    Phase.SETTLEMENT: Reason.INSTRUMENT_SETTLING,
    Phase.UNLISTED: Reason.INSTRUMENT_UNLISTED,
    Phase.EXPIRED: Reason.INSTRUMENT_EXPIRED,
}
CANCELS_PASS = {Phase.BREAK, Phase.HALTED, Phase.CLOSING}
COLLECTS = {Phase.CALL_AUCTION, Phase.AUCTION_ENTRY_ONLY}  # 8.3: orders rest and nothing matches
FOLLOWED_BY = {
    Phase.CLOSED: {*COLLECTS, Phase.CONTINUOUS, Phase.HALTED},
    Phase.CALL_AUCTION: {
        Phase.AUCTION_ENTRY_ONLY,
        Phase.AUCTION_MATCH,
        Phase.CONTINUOUS,
        Phase.HALTED,
        Phase.CLOSED,
    },
    Phase.AUCTION_ENTRY_ONLY: {
        Phase.CALL_AUCTION,
        Phase.AUCTION_MATCH,
        Phase.CONTINUOUS,
        Phase.HALTED,
        Phase.CLOSED,
    },
    Phase.AUCTION_MATCH: {Phase.CONTINUOUS, Phase.HALTED, Phase.BREAK, Phase.CLOSED},
    Phase.CONTINUOUS: {*COLLECTS, Phase.HALTED, Phase.BREAK, Phase.LIMIT_LOCKED, Phase.CLOSING, Phase.CLOSED},
    Phase.LIMIT_LOCKED: {*COLLECTS, Phase.CONTINUOUS, Phase.HALTED, Phase.BREAK, Phase.CLOSING, Phase.CLOSED},
    Phase.BREAK: {*COLLECTS, Phase.CONTINUOUS, Phase.HALTED, Phase.CLOSING, Phase.CLOSED},
    Phase.HALTED: {*COLLECTS, Phase.CONTINUOUS, Phase.BREAK, Phase.CLOSING, Phase.CLOSED},
    Phase.CLOSING: {Phase.SETTLEMENT, Phase.CLOSED},
    Phase.SETTLEMENT: {Phase.CLOSED},
    Phase.UNLISTED: set(),
    Phase.EXPIRED: set(),
}
ENDS_SESSION = {Phase.BREAK, Phase.CLOSING, Phase.CLOSED}  # 2.13
COUNTDOWN = 180_000_000_000  # ns (13.2)
TRADING = {Phase.CONTINUOUS, Phase.LIMIT_LOCKED}
AFTER_CLOSE = {Phase.CLOSING, Phase.CLOSED, Phase.SETTLEMENT}

# 1.5 (109): what a LIMIT command may set. The bounds keep products of these within int64.
FAR, LARGEST_SUM = 1 << 40, 1 << 61  # lots, ticks, orders; fen
DAY = 86_400_000  # ms
LIMIT_RANGE: dict[int, tuple[int, int]] = {
    **dict.fromkeys(Limit, (0, FAR)),
    Limit.MAX_ORDER_NOTIONAL: (0, LARGEST_SUM),
    Limit.MESSAGES_PER_SECOND: (0, 1_000_000_000),
    Limit.MESSAGE_BURST: (1, 1 << 20),
    Limit.ENABLED: (0, 1),
    Limit.SELF_MATCH: (0, max(SelfMatch)),
    Limit.GROUP: (0, (1 << 31) - 1),
    Limit.PROTECTION_INTERVAL: (0, DAY),
    Limit.INSTRUMENT_MAX_ORDER_QUANTITY: (1, FAR),
    Limit.INSTRUMENT_MARGIN: (0, 1 << 56),
    Limit.INSTRUMENT_DAILY_LIMIT: (0, 10_000),
    Limit.INSTRUMENT_MARGIN_RATE: (0, 10_000),
    Limit.INSTRUMENT_FEE_RATE: (0, 1_000_000),
    Limit.INSTRUMENT_VELOCITY_WINDOW: (0, DAY),
    Limit.INSTRUMENT_RESERVE: (-FAR, FAR),
}
LAST_DATE = 9999_12_31  # yyyymmdd


def out_of_range(value: int, lowest: int, highest: int) -> Refusal | None:
    """1.5 (109): outside of the range; the bound is the end that was passed."""
    if lowest <= value <= highest:
        return None
    return Reason.INVALID_VALUE, value, lowest if value < lowest else highest


def is_date(number: int) -> bool:
    """11.1: yyyymmdd, a day of the calendar"""
    year, month, day = number // 10_000, number // 100 % 100, number % 100
    return year >= 1 and 1 <= month <= 12 and 1 <= day <= monthrange(year, month)[1]


class ReferenceBook:
    """Books of several instruments under the rulebook, risk off.

    instruments   objects with the fields of exchange.Instrument that matching reads: price_floor, price_ceiling,
                  reference_price, price_rule ("resting" or "median"), protection (ticks), daily_limit, velocity,
                  velocity_window (ms), auction, mechanism, phase
    accounts      objects with group (or None), self_match and, if there are firms, firm; or how many, each its own group
    max_orders    capacity of resting and parked orders (2.8)
    """

    def __init__(self, instruments: Sequence[Any], accounts: Sequence[Any] | int, max_orders: int) -> None:
        self.markets = [self.new_market(number, terms) for number, terms in enumerate(instruments)]
        if isinstance(accounts, int):
            self.members = [Member(("own", index), SelfMatch.NONE) for index in range(accounts)]
            self.last_firm = 0
        else:  # 4.1: without groups each account is its own
            self.members = [
                Member(("own", index) if account.group is None else account.group, account.self_match)
                for index, account in enumerate(accounts)
            ]
            self.last_firm = max(getattr(account, "firm", 0) for account in accounts)
        self.max_orders = max_orders
        self.orders: dict[int, Order] = {}  # resting and parked orders by id
        self.events: list[Event] = []
        self.event_id = 0
        self.trade_id = 0
        self.trading_date = 0  # yyyymmdd; 0: no BEGIN_DAY yet

    @staticmethod
    def new_market(number: int, terms: Any) -> Market:
        market = Market(
            number,
            terms,
            terms.protection,
            terms.reference_price,
            terms.reference_price,
            terms.price_floor,
            terms.price_ceiling,
            terms.daily_limit,
            terms.velocity,
            terms.velocity_window * 1_000_000,
            terms.phase,
        )
        market.set_band(terms.reference_price, terms.daily_limit)
        return market

    def apply(self, commands: np.ndarray) -> np.ndarray:
        """COMMAND[n], stamped -> EVENT[m] (1.1, 1.2)."""
        self.events = []
        for row in commands.tolist():
            self.step(Command._make(row))
        events = np.zeros(len(self.events), EVENT)
        events[:] = self.events
        return events

    def step(self, command: Command) -> None:
        """Refuse one command and change nothing, or execute it (1.2)."""
        refusal = self.refusal(command)
        if refusal:
            self.reject(command, *refusal)
        else:
            self.execute(command)

    def resting(self, instrument: int) -> Iterator[Order]:
        """Resting orders of an instrument: bids before asks, best price first, oldest first (2.3)."""
        market = self.markets[instrument]
        yield from in_order(market.bids, market.asks)

    def parked(self, instrument: int) -> Iterator[Order]:
        """Parked orders of an instrument: buys before sells, first to be triggered first, oldest first (2.3)."""
        market = self.markets[instrument]
        yield from in_order(market.parked_buys, market.parked_sells)

    def all_orders(self, instrument: int) -> list[Order]:
        """2.3: bids, asks, parked buys, parked sells."""
        return [*self.resting(instrument), *self.parked(instrument)]

    # Refusals

    def refusal(self, command: Command) -> Refusal | None:
        """The first broken rule, in the order of codes.Reason (1.3)."""
        return (
            self.row_makes_no_sense(command)
            or self.phase_forbids(command)
            or self.order_is_unknown(command)
            or self.offer_forbids(command)
            or self.price_is_outside_band(command)
            or self.trigger_is_wrong(command)
            or self.bid_is_worse_than_offer(command)
            or self.book_is_full(command)
            or self.post_only_would_trade(command)
        )

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
        if kind == CommandKind.ENTER and (
            command.time_in_force not in TIMES_IN_FORCE
            or command.order_type in STOP_TYPES
            and command.time_in_force not in RESTS
        ):
            return Reason.INVALID_TIME_IN_FORCE, command.time_in_force, 0
        if kind in (CommandKind.ENTER, CommandKind.AMEND, CommandKind.TAKE) and not self.flags_make_sense(command):
            return Reason.INVALID_FLAGS, command.flags, 0
        if kind in (CommandKind.ENTER, CommandKind.AMEND, CommandKind.TAKE):
            if command.quantity <= 0:
                return Reason.INVALID_QUANTITY, command.quantity, 1
            if command.quantity > MAX_QUANTITY:
                return Reason.INVALID_QUANTITY, command.quantity, MAX_QUANTITY
        if kind == CommandKind.ENTER:
            return self.conditions_make_no_sense(command)
        if kind == CommandKind.AMEND:
            return self.amended_conditions_make_no_sense(command)
        return None

    def flags_make_sense(self, command: Command) -> bool:
        """1.5 (107)"""
        if command.flags & ~KNOWN_FLAGS or command.flags & MODE_FLAGS not in MODE_OF_FLAG:
            return False
        if command.kind == CommandKind.ENTER and command.flags & POST_ONLY:
            return command.order_type == OrderType.LIMIT and command.time_in_force in RESTS
        return True

    def conditions_make_no_sense(self, command: Command) -> Refusal | None:
        """1.5 (110 to 116): the fields of an ENTER that only some orders have (2.9 to 2.14)."""
        rests = command.time_in_force in RESTS
        mechanism = self.markets[command.instrument].mechanism
        if command.trigger_price and command.order_type not in STOP_TYPES:
            return Reason.INVALID_TRIGGER_PRICE, command.trigger_price, 0
        if command.display_quantity:  # 2.11
            if not rests or command.order_type not in LIMIT_TYPES:
                return Reason.INVALID_DISPLAY_QUANTITY, command.display_quantity, 0
            least = least_shown(command.quantity)
            if not least <= command.display_quantity <= command.quantity:  # 0 is allowed too
                return (
                    Reason.INVALID_DISPLAY_QUANTITY,
                    command.display_quantity,
                    0
                    if command.display_quantity < 0
                    else least
                    if command.display_quantity < least
                    else command.quantity,
                )
        may_have_minimum = command.time_in_force == TimeInForce.IOC or mechanism == Mechanism.LISTING
        largest = command.quantity if may_have_minimum else 0  # 2.12, 13.1
        if not 0 <= command.minimum_quantity <= largest:
            return (
                Reason.INVALID_MINIMUM_QUANTITY,
                command.minimum_quantity,
                0 if command.minimum_quantity < 0 else largest,
            )
        if command.time_in_force == TimeInForce.GTD:  # 2.13
            if command.expire_date < max(self.trading_date, 1):
                return Reason.INVALID_EXPIRE_DATE, command.expire_date, max(self.trading_date, 1)
        elif command.expire_date:
            return Reason.INVALID_EXPIRE_DATE, command.expire_date, 0
        if mechanism == Mechanism.NEGOTIATED:  # 13.3
            last = len(self.members) - 1
            if not 0 <= command.counterparty <= last or command.counterparty == command.account:
                return Reason.INVALID_COUNTERPARTY, command.counterparty, last
        elif command.counterparty:
            return Reason.INVALID_COUNTERPARTY, command.counterparty, 0
        if command.order_id and (not rests or command.order_type == OrderType.MARKET):  # 2.14
            return Reason.INVALID_LINK, command.order_id, 0
        return None

    def amended_conditions_make_no_sense(self, command: Command) -> Refusal | None:
        """2.9 (110) and 2.11 (111) of an AMEND, which depend on the order it names."""
        if self.order_is_unknown(command):
            return None
        order = self.orders[command.order_id]
        if command.trigger_price and not order.parked:
            return Reason.INVALID_TRIGGER_PRICE, command.trigger_price, 0
        total = order.quantity - order.leaves_quantity + self.new_open_quantity(command, order)
        if order.is_iceberg and order.display_quantity < least_shown(total):
            return Reason.INVALID_DISPLAY_QUANTITY, order.display_quantity, least_shown(total)
        return None

    def operator_row_makes_no_sense(self, command: Command) -> Refusal | None:
        """1.5 of operator commands: known code, known instrument or account, value in range."""
        kind, code, value = command.kind, command.order_type, command.quantity
        if kind in (CommandKind.PHASE, CommandKind.WINDOW):
            unknown = None if command.instrument == ALL else self.instrument_is_unknown(command)
            return unknown or (out_of_range(code, 0, max(Phase)) if kind == CommandKind.PHASE else None)
        if kind == CommandKind.KILL_SWITCH:
            unknown = (
                self.instrument_is_unknown(command)
                if code == Scope.INSTRUMENT
                else self.account_is_unknown(command)
                if code == Scope.ACCOUNT
                else self.firm_is_unknown(command)
                if code == Scope.FIRM
                else None
            )
            return out_of_range(code, 0, max(Scope)) or unknown or out_of_range(value, 0, 1)
        if kind == CommandKind.LIMIT:
            if code not in LIMIT_RANGE:
                return Reason.INVALID_VALUE, code, max(LIMIT_RANGE)
            unknown = self.account_is_unknown(command) if code < 32 else self.instrument_is_unknown(command)
            return unknown or out_of_range(value, *LIMIT_RANGE[code])
        if kind == CommandKind.CASH:
            return self.account_is_unknown(command) or out_of_range(value, -LARGEST_SUM, LARGEST_SUM)
        if kind == CommandKind.BEGIN_DAY:
            wrong = out_of_range(value, self.trading_date + 1, LAST_DATE)  # 11.1
            return wrong or (None if is_date(value) else (Reason.INVALID_VALUE, value, self.trading_date + 1))
        if kind == CommandKind.LIST:
            unknown = self.instrument_is_unknown(command)
            if unknown:
                return unknown
            terms = self.markets[command.instrument].terms
            return out_of_range(command.price, terms.price_floor, terms.price_ceiling)
        if kind == CommandKind.SETTLE:
            return self.instrument_is_unknown(command) or out_of_range(code, 0, max(SettlementRule))
        if kind == CommandKind.EXPIRE:
            return self.instrument_is_unknown(command)
        if kind == CommandKind.LIQUIDATE:
            return self.instrument_is_unknown(command) or self.account_is_unknown(command)
        return None  # END_DAY names nothing (2.3)

    def instrument_is_unknown(self, command: Command) -> Refusal | None:
        last = len(self.markets) - 1
        return None if 0 <= command.instrument <= last else (Reason.UNKNOWN_INSTRUMENT, command.instrument, last)

    def account_is_unknown(self, command: Command) -> Refusal | None:
        last = len(self.members) - 1
        return None if 0 <= command.account <= last else (Reason.UNKNOWN_ACCOUNT, command.account, last)

    def firm_is_unknown(self, command: Command) -> Refusal | None:
        """A KILL_SWITCH for a firm has the firm's number in its account field."""
        return (
            None
            if 0 <= command.account <= self.last_firm
            else (Reason.UNKNOWN_ACCOUNT, command.account, self.last_firm)
        )

    def phase_forbids(self, command: Command) -> Refusal | None:
        """5.3, 8.1, 8.9; of operator commands 8.2, 9.4, 11.3"""
        kind = command.kind
        if kind == CommandKind.PHASE and command.instrument != ALL:
            return self.phase_cannot_follow(self.markets[command.instrument], command.order_type)
        if kind == CommandKind.LIST:
            phase = self.markets[command.instrument].phase
            return None if phase == Phase.UNLISTED else (Reason.PHASE_TRANSITION, phase, Phase.CLOSED)
        if kind == CommandKind.EXPIRE:
            phase = self.markets[command.instrument].phase
            return (Reason.PHASE_TRANSITION, phase, Phase.EXPIRED) if phase in (Phase.UNLISTED, Phase.EXPIRED) else None
        if kind == CommandKind.SETTLE:  # 11.3
            phase = self.markets[command.instrument].phase
            return (REFUSES_ENTRY[Phase(phase)], phase, 0) if phase in (Phase.UNLISTED, Phase.EXPIRED) else None
        if kind not in (
            CommandKind.ENTER,
            CommandKind.AMEND,
            CommandKind.CANCEL,
            CommandKind.TAKE,
            CommandKind.LIQUIDATE,
        ):
            return None
        market = self.markets[command.instrument]
        phase = market.phase
        if phase in REFUSES_ENTRY and not (kind == CommandKind.CANCEL and phase in CANCELS_PASS):
            return REFUSES_ENTRY[Phase(phase)], phase, 0
        if phase in COLLECTS and not self.auction_takes(command):
            return Reason.NOT_IN_AUCTION, phase, 0
        if phase not in COLLECTS and kind == CommandKind.ENTER and command.time_in_force == TimeInForce.OPENING:
            return Reason.ONLY_IN_AUCTION, phase, 0
        wrong = self.mechanism_forbids(command, market)
        if wrong is None and phase == Phase.AUCTION_ENTRY_ONLY and kind in (CommandKind.AMEND, CommandKind.CANCEL):
            return Reason.ENTRY_ONLY, phase, 0  # 8.9
        return wrong

    def mechanism_forbids(self, command: Command, market: Market) -> Refusal | None:
        """5.3 (218) and 13.4"""
        kind, mechanism = command.kind, market.mechanism
        if mechanism == Mechanism.ORDER_BOOK:
            fits = kind != CommandKind.TAKE
        elif kind == CommandKind.ENTER:
            waits = command.order_type == OrderType.LIMIT and command.time_in_force in {*RESTS, TimeInForce.OPENING}
            fits = (
                waits
                and not command.flags & POST_ONLY
                and not command.display_quantity
                and not command.order_id
                and market.phase in (COLLECTS if mechanism == Mechanism.ONE_SIDED else {Phase.CONTINUOUS})
            )
        else:
            fits = kind == CommandKind.CANCEL or (
                kind == CommandKind.TAKE and mechanism != Mechanism.ONE_SIDED and market.phase == Phase.CONTINUOUS
            )
        return None if fits else (Reason.WRONG_MECHANISM, mechanism, 0)

    def phase_cannot_follow(self, market: Market, phase: int) -> Refusal | None:
        """8.1, 8.2; 9.4"""
        if phase == market.phase:
            return None
        if phase not in FOLLOWED_BY[Phase(market.phase)]:
            return Reason.PHASE_TRANSITION, market.phase, phase
        if phase == Phase.LIMIT_LOCKED and (self.side_locked(market) == 0 or market.mechanism != Mechanism.ORDER_BOOK):
            return Reason.NOT_LIMIT_LOCKED, market.phase, phase
        return None

    def auction_takes(self, command: Command) -> bool:
        """5.3 (214): LIMIT orders that rest or are OPENING, and stop orders; no POST_ONLY. 11.7: no LIQUIDATE."""
        if command.kind == CommandKind.LIQUIDATE:
            return False
        if command.kind in (CommandKind.ENTER, CommandKind.AMEND) and command.flags & POST_ONLY:
            return False
        return (
            command.kind != CommandKind.ENTER
            or command.order_type in STOP_TYPES
            or (command.order_type == OrderType.LIMIT and command.time_in_force in {*RESTS, TimeInForce.OPENING})
        )

    def order_is_unknown(self, command: Command) -> Refusal | None:
        """5.4; 2.14 of the order that an ENTER links with; 13.1 of the offer that a TAKE names"""
        linking = command.kind == CommandKind.ENTER and command.order_id != 0
        if command.kind in ABOUT_ONE_ORDER or linking:
            order = self.orders.get(command.order_id)
            if order is None or order.instrument != command.instrument:
                return Reason.UNKNOWN_ORDER, command.order_id, 0
            if order.account != command.account and command.kind != CommandKind.TAKE:
                return Reason.UNKNOWN_ORDER, command.order_id, 0
            if linking and order.side != command.side:
                return Reason.UNKNOWN_ORDER, command.order_id, 0
            if linking and order.linked:
                return Reason.ALREADY_LINKED, command.order_id, 0
        return None

    # Refusals of the spot side (13)

    def offer_forbids(self, command: Command) -> Refusal | None:
        """13 (303 to 307); 108 and 402 of a TAKE, which depend on the offer"""
        market = (
            self.markets[command.instrument]
            if command.kind in (CommandKind.ENTER, CommandKind.CANCEL, CommandKind.TAKE)
            else None
        )
        if market is None:
            return None
        if command.kind == CommandKind.TAKE:
            return self.offer_is_not_for(command, market)
        if market.mechanism != Mechanism.ONE_SIDED:
            return None
        if command.kind == CommandKind.CANCEL:
            bound = self.is_irrevocable(self.orders[command.order_id])
            return (Reason.IRREVOCABLE, command.order_id, market.offer_id) if bound else None
        return self.auction_has_no_place_for(command, market)

    def offer_is_not_for(self, command: Command, market: Market) -> Refusal | None:
        """13.1, 13.3"""
        offer = self.orders[command.order_id]
        negotiated = market.mechanism == Mechanism.NEGOTIATED
        if command.quantity > offer.leaves_quantity or negotiated and command.quantity != offer.leaves_quantity:
            return Reason.INVALID_QUANTITY, command.quantity, offer.leaves_quantity
        if negotiated and command.account != offer.counterparty:
            return Reason.NOT_COUNTERPARTY, command.account, offer.counterparty
        if self.members[command.account].group == self.members[offer.account].group:
            return Reason.NOT_COUNTERPARTY, command.account, offer.account
        least = min(offer.minimum_quantity, offer.leaves_quantity)
        return (Reason.QUANTITY_BELOW_MINIMUM, command.quantity, least) if command.quantity < least else None

    def auction_has_no_place_for(self, command: Command, market: Market) -> Refusal | None:
        """13.2: the first order is the offer, all others are bids."""
        if not any(self.resting(market.number)):
            return None
        offer = self.orders.get(market.offer_id)
        if offer is None:
            return Reason.NO_OFFER, market.offer_id, 0
        if command.side == offer.side:
            return Reason.OFFER_EXISTS, offer.order_id, 0
        if self.members[command.account].group == self.members[offer.account].group:
            return Reason.NOT_COUNTERPARTY, command.account, offer.account
        if market.deadline and command.time >= market.deadline:
            return Reason.AUCTION_OVER, command.time, market.deadline
        return None

    def is_irrevocable(self, order: Order) -> bool:
        """13.2: a bid, and the offer once there is a bid"""
        market = self.markets[order.instrument]
        if market.mechanism != Mechanism.ONE_SIDED:
            return False
        return order.order_id != market.offer_id or bool(market.other_side(order.side))

    def bid_is_worse_than_offer(self, command: Command) -> Refusal | None:
        """13.2 (412)"""
        if command.kind != CommandKind.ENTER or self.markets[command.instrument].mechanism != Mechanism.ONE_SIDED:
            return None
        offer = self.orders.get(self.markets[command.instrument].offer_id)
        if offer and not offer.reaches(command.price):
            return Reason.PRICE_BEYOND_RESERVE, command.price, offer.price
        return None

    def type_after(self, command: Command) -> int | None:
        """The type of the order after an ENTER or AMEND; None for another command."""
        if command.kind == CommandKind.ENTER:
            return command.order_type
        return self.orders[command.order_id].order_type if command.kind == CommandKind.AMEND else None

    def price_is_outside_band(self, command: Command) -> Refusal | None:
        """5.6 of orders with a limit of their own, which MARKET (2.2) and STOP (2.9) have not; 11.2 of a GIVEN price"""
        given = command.kind == CommandKind.SETTLE and command.order_type == SettlementRule.GIVEN
        if given or self.type_after(command) in LIMIT_TYPES:
            market = self.markets[command.instrument]
            if command.price < market.floor:
                return Reason.PRICE_BELOW_BAND, command.price, market.floor
            if command.price > market.ceiling:
                return Reason.PRICE_ABOVE_BAND, command.price, market.ceiling
        return None

    def trigger_is_wrong(self, command: Command) -> Refusal | None:
        """2.9 (409 to 411)"""
        if self.type_after(command) not in STOP_TYPES:
            return None
        market, trigger = self.markets[command.instrument], command.trigger_price
        side = command.side if command.kind == CommandKind.ENTER else self.orders[command.order_id].side
        if is_reached(side, trigger, market.last_price):
            return Reason.TRIGGER_REACHED, trigger, market.last_price
        if trigger < market.floor:
            return Reason.TRIGGER_BELOW_BAND, trigger, market.floor
        if trigger > market.ceiling:
            return Reason.TRIGGER_ABOVE_BAND, trigger, market.ceiling
        return None

    def book_is_full(self, command: Command) -> Refusal | None:
        """2.8"""
        if command.kind != CommandKind.ENTER:
            return None
        if len(self.orders) >= self.max_orders:
            return Reason.BOOK_FULL, len(self.orders), self.max_orders
        rows = rows_taken(command)
        allowance = self.max_orders + 1024
        if rows:
            taken = rows + sum(order.rows for order in self.orders.values())
            if taken > allowance:
                return Reason.BOOK_FULL, taken, allowance
        return None

    def post_only_would_trade(self, command: Command) -> Refusal | None:
        """2.6 and 6.4"""
        if command.kind not in (CommandKind.ENTER, CommandKind.AMEND) or not command.flags & POST_ONLY:
            return None
        side = command.side
        if command.kind == CommandKind.AMEND:
            order = self.orders[command.order_id]
            side = order.side  # 1.5: the side of the order is the book's
            if order.parked or self.new_open_quantity(command, order) <= 0:  # 6.1: it will be canceled
                return None
        best = self.markets[command.instrument].best_opposite(side)
        if best and (best.price <= command.price if side == Side.BUY else best.price >= command.price):
            return Reason.POST_ONLY_WOULD_TRADE, command.price, best.price
        return None

    # Execution

    def execute(self, command: Command) -> None:
        """Execute a command that breaks no rule (1.6)."""
        self.dispatch(command)
        self.unlock(command)

    def dispatch(self, command: Command) -> None:
        kind = command.kind
        if kind == CommandKind.ENTER:
            self.enter(command)
        elif kind == CommandKind.CANCEL:
            self.cancel(command, self.orders[command.order_id], Reason.NONE)
        elif kind == CommandKind.AMEND:
            self.amend(command)
        elif kind == CommandKind.TAKE:
            self.take(command)
        elif kind == CommandKind.MASS_CANCEL:
            self.mass_cancel(command)
        elif kind == CommandKind.END_DAY:
            self.end_day(command)
        elif kind == CommandKind.PHASE:
            self.set_phase(command)
        elif kind == CommandKind.BEGIN_DAY:
            self.trading_date = command.quantity
            for market in self.markets:
                market.settled = False
                if market.phase != Phase.LIMIT_LOCKED:
                    market.locked = 0  # 9.4: of the day before
            self.emit(EventKind.DAY_BEGUN, command, instrument=command.instrument, quantity=command.quantity)
        elif kind == CommandKind.LIST:
            self.list_instrument(command)
        elif kind == CommandKind.SETTLE:
            self.settle(command)
        elif kind == CommandKind.EXPIRE:
            self.expire(command)
        elif kind == CommandKind.LIQUIDATE:
            self.liquidate(command)
        elif kind == CommandKind.WINDOW:
            self.emit(EventKind.WINDOW, command, instrument=command.instrument)
        else:
            self.set_limit(command)

    # Orders of traders

    def enter(self, command: Command) -> None:
        """2: accept, trade, then treat the remainder by its time in force; park a stop order."""
        market = self.markets[command.instrument]
        order = Order(
            command.sequence,
            command.instrument,
            command.account,
            command.side,
            self.limit_price(command),
            command.quantity,
            command.quantity,
            command.time_in_force,
            command.client_order_id,
            command.flags,
            command.order_type,
            command.trigger_price,
            expire_date=command.expire_date,
            minimum_quantity=command.minimum_quantity,
            counterparty=command.counterparty,
            linked=command.order_id,
            rows=rows_taken(command),
        )
        if 0 < command.display_quantity < command.quantity:  # 2.11
            order.display_quantity = command.display_quantity
        order.parked = command.order_type in STOP_TYPES
        self.emit_order(
            EventKind.ACCEPTED,
            command,
            order,
            quantity=order.quantity,
            flags=command.flags,
            resting_price=order.trigger_price,
        )
        if market.mechanism == Mechanism.ONE_SIDED:
            return self.enter_one_sided(command, market, order)
        if order.parked or market.phase in COLLECTS or market.mechanism != Mechanism.ORDER_BOOK:  # 2.9, 8.3, 13.1
            return self.rest(command, order)
        mode = self.self_match_mode(order.flags, order.account)
        if order.time_in_force == TimeInForce.FOK and self.available(command, order, mode) < order.quantity:
            return self.cancel_incoming(command, order, Reason.FOK_NOT_FILLED)  # 2.5
        if command.minimum_quantity and self.available(command, order, mode) < command.minimum_quantity:
            return self.cancel_incoming(command, order, Reason.MINIMUM_NOT_AVAILABLE)  # 2.12
        self.trade_and_rest(command, order, mode)
        return self.trigger_what_is_reached(command, market)

    def limit_price(self, command: Command) -> int:
        """2.1: the limit of an order; 2.2: of a market order; 2.9: a STOP has none yet."""
        if command.order_type == OrderType.MARKET:
            market = self.markets[command.instrument]
            return self.market_price(market, command.side, market.collar)
        return 0 if command.order_type == OrderType.STOP else command.price

    def market_price(self, market: Market, side: int, collar: int) -> int:
        """2.2"""
        best = market.best_opposite(side)
        price = market.ceiling if side == Side.BUY else market.floor
        if best is not None and market.protection:
            price = best.price + (market.protection if side == Side.BUY else -market.protection)
        if collar:
            price = min(max(price, market.last_price - collar), market.last_price + collar)
        return min(max(price, market.floor), market.ceiling)  # collar and band apart: refused (406)

    def self_match_mode(self, flags: int, account: int) -> int:
        """4.2: the mode of the flag, else of the account."""
        mode = MODE_OF_FLAG[flags & MODE_FLAGS]
        return self.members[account].self_match if mode is None else mode

    def is_self_match(self, one: Order, other: Order) -> bool:
        """4.1"""
        return self.members[one.account].group == self.members[other.account].group

    def is_second_of_two(self, order: Order) -> bool:
        """2.14: the worse placed order of an OCO pair that rests; the other one trades first and cancels it."""
        other = self.orders.get(order.linked)
        if other is None or other.parked:
            return False
        queue = list(self.markets[order.instrument].same_side(order.side)[order.key])
        return (
            other.key < order.key
            or other.key == order.key
            and queue.index(other.order_id) < queue.index(order.order_id)
        )

    def available(self, command: Command, order: Order, mode: int) -> int:
        """2.5, 2.12, 4.3: lots that an order could trade at once if its quantity had no end."""
        market = self.markets[order.instrument]
        low, high = market.traded_range(command.time)
        last_price = market.last_price
        total = 0
        for queue in market.other_side(order.side).values():
            meets_own = mode not in (SelfMatch.NONE, SelfMatch.CANCEL_RESTING) and any(
                self.is_self_match(order, resting) for resting in queue.values()
            )
            for resting in queue.values():
                if not order.reaches(resting.price) or self.is_too_far(market, order.side, resting.price, low, high):
                    return total
                if mode != SelfMatch.NONE and self.is_self_match(order, resting):
                    if mode != SelfMatch.CANCEL_RESTING:
                        return total
                elif not self.is_second_of_two(resting):
                    # 4.3: the hidden lots of an iceberg queue behind the order of the own group, which ends matching
                    total += resting.open_to_view if meets_own else resting.leaves_quantity
                    last_price = market.trade_price(order, resting, last_price)
                    low, high = min(low, last_price), max(high, last_price)
        return total

    def is_too_far(self, market: Market, side: int, price: int, low: int, high: int) -> bool:
        """9.3: is this price beyond what an incoming order of this side may trade at now?"""
        if market.velocity == 0:
            return False
        return price > low + market.velocity if side == Side.BUY else price < high - market.velocity

    def match(self, command: Command, order: Order, mode: int) -> bool:
        """3.1: trade with the best opposite price first, the oldest order first; 4.2 at an order of the own group.

        Returns True if the circuit breaker stopped it with lots left that could trade (9.3).
        """
        market = self.markets[order.instrument]
        low, high = market.traded_range(command.time)
        while order.leaves_quantity > 0:
            resting = market.best_opposite(order.side)
            if resting is None or not order.reaches(resting.price):
                return False
            if self.is_too_far(market, order.side, resting.price, low, high):
                return True
            if mode == SelfMatch.NONE or not self.is_self_match(order, resting):
                self.trade(command, market, order, resting)
                low, high = min(low, market.last_price), max(high, market.last_price)
                continue
            if mode in (SelfMatch.CANCEL_RESTING, SelfMatch.CANCEL_BOTH):
                self.cancel(command, resting, Reason.SELF_MATCH_RESTING)
            if mode in (SelfMatch.CANCEL_INCOMING, SelfMatch.CANCEL_BOTH):
                self.cancel_incoming(command, order, Reason.SELF_MATCH_INCOMING)
        return False

    def trade(self, command: Command, market: Market, order: Order, resting: Order) -> None:
        """3.2, 3.3: one trade with a resting order; 2.11 if that is an iceberg."""
        price = market.trade_price(order, resting, market.last_price)
        quantity = min(order.leaves_quantity, resting.open_to_view)
        resting.shown -= quantity if resting.is_iceberg else 0
        self.emit_trade(command, market, order, resting, price, quantity)
        if resting.is_iceberg and resting.leaves_quantity > 0 and resting.shown == 0:
            self.remove(resting)
            self.append(resting)
            self.show(command, resting, min(resting.display_quantity, resting.leaves_quantity))

    def emit_trade(
        self, command: Command, market: Market, order: Order, resting: Order, price: int, quantity: int
    ) -> None:
        """3.3: fill both orders and emit TRADED; 2.14 of the resting order."""
        order.leaves_quantity -= quantity
        resting.leaves_quantity -= quantity
        if resting.leaves_quantity == 0:
            self.remove(resting)
        market.note_trade(command.time, price)
        self.trade_id += 1
        self.emit_order(
            EventKind.TRADED,
            command,
            order,
            price=price,
            quantity=quantity,
            trade_id=self.trade_id,
            resting_order_id=resting.order_id,
            resting_account=resting.account,
            resting_leaves_quantity=resting.leaves_quantity,
            resting_price=resting.price,
        )
        self.cancel_linked(command, resting)

    def trade_and_rest(self, command: Command, order: Order, mode: int) -> None:
        """Match an incoming order; 2.14 if it traded; rest or cancel what is left."""
        before = self.trade_id
        is_stopped = self.match(command, order, mode)
        if self.trade_id > before:
            self.cancel_linked(command, order)  # 2.14
        if order.leaves_quantity == 0:
            return
        assert order.time_in_force != TimeInForce.FOK  # 2.5: in full, or not at all
        immediate = order.time_in_force == TimeInForce.IOC
        if is_stopped and (immediate or order.order_type in (OrderType.MARKET, OrderType.STOP)):
            self.cancel_incoming(command, order, Reason.VELOCITY)  # 9.3
        elif immediate:
            self.cancel_incoming(command, order, Reason.IOC_REMAINDER)  # 2.4
        else:
            self.rest(command, order)  # 2.1
            if is_stopped:
                self.change_phase(command, self.markets[order.instrument], Phase.CALL_AUCTION, Reason.VELOCITY)

    def rest(self, command: Command, order: Order) -> None:
        """Queue an order behind all others at its price (3.4), or a parked one behind all with its trigger (2.9)."""
        self.append(order)
        if order.linked:
            self.orders[order.linked].linked = order.order_id  # 2.14
        if not order.parked:
            order.order_type = OrderType.LIMIT
            if order.is_iceberg:
                order.shown = order.leaves_quantity
                self.show(command, order, min(order.display_quantity, order.leaves_quantity))

    def append(self, order: Order) -> None:
        queues, key = self.markets[order.instrument].place_of(order)
        queues.setdefault(key, {})[order.order_id] = order
        self.orders[order.order_id] = order

    def remove(self, order: Order) -> None:
        """Take an order out of its queue."""
        queues, key = self.markets[order.instrument].place_of(order)
        del queues[key][order.order_id]
        if not queues[key]:
            del queues[key]
        del self.orders[order.order_id]

    def show(self, command: Command, order: Order, lots: int) -> None:
        """2.11: an iceberg shows so many lots now."""
        before, order.shown = order.shown, lots
        self.emit_order(EventKind.DISPLAYED, command, order, quantity=lots, resting_leaves_quantity=before)

    def reveal(self, command: Command, order: Order) -> None:
        """2.11: a resting iceberg shows all its lots, before it is canceled or amended."""
        if order.is_iceberg and not order.parked:
            self.show(command, order, order.leaves_quantity)

    def cancel(self, command: Command, order: Order, reason: Reason) -> None:
        """Cancel a resting or parked order."""
        self.reveal(command, order)
        self.remove(order)
        self.cancel_incoming(command, order, reason)

    def cancel_linked(self, command: Command, order: Order) -> None:
        """2.14: an order of an OCO pair has traded or was triggered; cancel the other."""
        other = self.orders.get(order.linked)
        order.linked = 0
        if other:
            other.linked = 0
            self.cancel(command, other, Reason.LINKED)

    def cancel_incoming(self, command: Command, order: Order, reason: Reason) -> None:
        """Cancel what is open of an order that is not in the book; the other order of its OCO pair stays (2.14)."""
        other = self.orders.get(order.linked)
        if other and other.linked == order.order_id:
            other.linked = 0
        open_quantity, order.leaves_quantity = order.leaves_quantity, 0
        self.emit_order(EventKind.CANCELED, command, order, quantity=open_quantity, reason=reason)

    def cancel_all(self, command: Command, orders: Iterable[Order], reason: Reason) -> int:
        """Cancel orders in turn. Returns how many."""
        orders = list(orders)
        for order in orders:
            self.cancel(command, order, reason)
        return len(orders)

    def new_open_quantity(self, command: Command, order: Order) -> int:
        """6.1: lots open after an AMEND; zero or less: the new total has filled already."""
        if command.flags & OPEN_QUANTITY:
            return command.quantity
        return command.quantity - (order.quantity - order.leaves_quantity)

    def amend(self, command: Command) -> None:
        """6; 2.9 of a parked order; 8.3 in a call auction"""
        order = self.orders[command.order_id]
        market = self.markets[order.instrument]
        open_quantity = self.new_open_quantity(command, order)
        if open_quantity <= 0:
            return self.cancel(command, order, Reason.AMENDED_TO_FILLED)  # 6.1
        old_price, old_trigger, old_open_quantity = order.price, order.trigger_price, order.leaves_quantity
        shown = order.shown
        self.reveal(command, order)  # 2.11
        stays_at = old_trigger == command.trigger_price if order.parked else old_price == command.price
        keeps_place = stays_at and open_quantity <= old_open_quantity  # 6.2
        if not keeps_place:
            self.remove(order)
        order.price = 0 if order.order_type == OrderType.STOP else command.price
        order.trigger_price = command.trigger_price
        order.quantity += open_quantity - old_open_quantity
        order.leaves_quantity = open_quantity
        self.emit_order(
            EventKind.AMENDED,
            command,
            order,
            quantity=order.quantity,
            flags=command.flags,
            resting_leaves_quantity=old_open_quantity,
            resting_price=order.trigger_price if order.parked else old_price,
        )
        if keeps_place:
            if order.is_iceberg and not order.parked:
                order.shown = open_quantity
                self.show(command, order, min(shown, open_quantity))
        elif order.parked or market.phase in COLLECTS:
            self.rest(command, order)
        else:  # 6.3
            self.trade_and_rest(command, order, self.self_match_mode(command.flags, order.account))
            self.trigger_what_is_reached(command, market)
        return None

    def mass_cancel(self, command: Command) -> None:
        """1.6: cancel the orders of an account, an instrument, a side, or of all, in the order of 2.3."""
        instruments = range(len(self.markets)) if command.instrument == ALL else (command.instrument,)
        canceled = self.cancel_all(
            command,
            (
                order
                for instrument in instruments
                for order in self.all_orders(instrument)
                if command.account in (ALL, order.account)
                and command.side in (0, order.side)
                and not self.is_irrevocable(order)
                and self.markets[instrument].phase != Phase.AUCTION_ENTRY_ONLY  # 8.9
            ),
            Reason.MASS_CANCEL,
        )
        self.emit(
            EventKind.MASS_CANCELED,
            command,
            instrument=command.instrument,
            account=command.account,
            side=command.side,
            quantity=canceled,
        )

    # Triggers

    def next_reached(self, market: Market) -> Order | None:
        """2.10: the parked order to trigger next: buys before sells, first trigger first, oldest first."""
        for queues in (market.parked_buys, market.parked_sells):
            order = oldest_of_first(queues)
            if order and is_reached(order.side, order.trigger_price, market.last_price):
                return order
        return None

    def trigger_what_is_reached(self, command: Command, market: Market) -> None:
        """2.10, at the end of a command that may have moved the last price."""
        triggered = 0
        while market.phase in TRADING and (order := self.next_reached(market)):
            if triggered == MOST_TRIGGERED:
                return self.change_phase(command, market, Phase.CALL_AUCTION, Reason.CASCADE)
            triggered += 1
            self.trigger(command, market, order)
        return None

    def trigger(self, command: Command, market: Market, order: Order) -> None:
        """2.10: a parked order becomes an incoming order."""
        self.remove(order)
        order.parked = False
        if order.order_type == OrderType.STOP:
            order.price = self.market_price(market, order.side, collar=0)
        self.emit_order(EventKind.TRIGGERED, command, order, quantity=order.leaves_quantity)
        self.cancel_linked(command, order)
        self.trade_and_rest(command, order, self.self_match_mode(order.flags, order.account))

    # Phases and auctions

    def set_phase(self, command: Command) -> None:
        """7.1, 8.2"""
        if command.instrument != ALL:
            return self.change_phase(command, self.markets[command.instrument], command.order_type)
        for market in self.markets:
            if self.phase_cannot_follow(market, command.order_type) is None:
                self.change_phase(command, market, command.order_type)
        return self.emit(EventKind.PHASE, command, instrument=ALL, quantity=command.order_type)

    def change_phase(self, command: Command, market: Market, phase: int, reason: Reason = Reason.NONE) -> None:
        """Set the phase of one instrument; its own changes nothing (8.1)."""
        if phase != market.phase:
            if phase in ENDS_SESSION:  # 8.7
                self.cancel_all(
                    command,
                    (order for order in self.all_orders(market.number) if order.time_in_force == TimeInForce.SESSION),
                    Reason.SESSION_ENDED,
                )
            trades = (
                phase == Phase.AUCTION_MATCH
                or phase == Phase.CONTINUOUS
                and (market.phase in COLLECTS or market.is_crossed())
            )  # 8.3
            if market.mechanism == Mechanism.ONE_SIDED:
                self.end_one_sided(command, market, phase, trades)
            elif market.mechanism != Mechanism.ORDER_BOOK:
                pass  # 13.1: nothing matches by itself
            elif trades:
                self.hold_auction(command, market)
            elif phase == Phase.CONTINUOUS:  # 2.13
                self.cancel_opening(command, market)
            if phase == Phase.LIMIT_LOCKED:
                market.locked = self.side_locked(market)
            elif phase not in AFTER_CLOSE:
                market.locked = 0  # 9.4: it does not close locked
            if phase == Phase.CONTINUOUS:
                market.slices.clear()  # 9.3
            market.phase = phase
        self.emit(EventKind.PHASE, command, instrument=market.number, quantity=phase, reason=reason)
        self.trigger_what_is_reached(command, market)

    def side_locked(self, market: Market) -> int:
        """9.4: the Side that has its best order at the daily limit and nobody opposite; 0: none."""
        bid, ask = market.best(Side.BUY), market.best(Side.SELL)
        if ask is None and bid is not None and bid.price == market.ceiling:
            return Side.BUY
        if bid is None and ask is not None and ask.price == market.floor:
            return Side.SELL
        return 0

    def unlock(self, command: Command) -> None:
        """9.4: an instrument that this command leaves no longer locked goes back to continuous trading."""
        for market in self.markets:
            if market.phase == Phase.LIMIT_LOCKED and self.side_locked(market) != market.locked:
                self.change_phase(command, market, Phase.CONTINUOUS, Reason.LIMIT_LOCK)

    def auction_curve(self, market: Market) -> list[tuple[int, int, int]]:
        """8.4: (price, D, S) of every tick of the band; of an OCO pair the better placed order counts (2.14)."""
        bids, asks = Counter[int](), Counter[int]()
        for order in self.resting(market.number):
            if not self.is_second_of_two(order):
                (bids if order.side == Side.BUY else asks)[order.price] += order.leaves_quantity
        return [
            (
                price,
                sum(lots for bid, lots in bids.items() if bid >= price),
                sum(lots for ask, lots in asks.items() if ask <= price),
            )
            for price in range(market.floor, market.ceiling + 1)
        ]

    def auction_price(self, market: Market) -> tuple[int, int] | None:
        """8.4, 8.5: (price, D - S at it); None: no bid reaches an offer."""
        if not market.is_crossed():
            return None
        curve = self.auction_curve(market)
        most = max(min(demand, supply) for _, demand, supply in curve)
        above, below = [demand for _, demand, _ in curve][1:] + [0], [0] + [supply for _, _, supply in curve][:-1]
        best = [
            (price, demand - supply)
            for (price, demand, supply), bids, asks in zip(curve, above, below, strict=True)
            if min(demand, supply) == most and max(bids, asks) <= most
        ]
        steps = market.terms.auction
        if steps & AuctionStep.IMBALANCE:
            least = min(abs(surplus) for _, surplus in best)
            best = [(price, surplus) for price, surplus in best if abs(surplus) == least]
        if steps & AuctionStep.REFERENCE:
            nearest = min(abs(price - market.previous_settlement) for price, _ in best)
            best = [(price, surplus) for price, surplus in best if abs(price - market.previous_settlement) == nearest]
        if steps & AuctionStep.MIDDLE:
            best = [best[len(best) // 2]]  # half a tick rounded up
        return best[0]

    def hold_auction(self, command: Command, market: Market) -> None:
        """8.6: trade at one price, cancel OPENING orders, emit AUCTION."""
        price, surplus = self.auction_price(market) or (0, 0)
        lots = self.uncross(command, market, price) if market.is_crossed() else 0
        self.cancel_opening(command, market)
        self.emit(
            EventKind.AUCTION,
            command,
            instrument=market.number,
            price=price,
            quantity=lots,
            resting_leaves_quantity=surplus,
        )

    def cancel_opening(self, command: Command, market: Market) -> None:
        """2.13: cancel OPENING orders."""
        self.cancel_all(
            command,
            (order for order in self.resting(market.number) if order.time_in_force == TimeInForce.OPENING),
            Reason.AUCTION_ENDED,
        )

    def uncross(self, command: Command, market: Market, price: int) -> int:
        """8.6: trade buys, best price first, oldest first, with sells in the same order, at one price. Returns the lots."""
        sell = None
        lots = 0
        while (buy := market.best(Side.BUY)) and buy.price >= price and self.best_sell(market, price):
            self.reveal(command, buy)
            self.emit_order(EventKind.UNCROSSED, command, buy, quantity=buy.leaves_quantity)
            while buy.leaves_quantity > 0 and (best := self.best_sell(market, price)):
                if best is not sell:
                    self.reveal(command, best)
                sell = best
                quantity = min(buy.leaves_quantity, sell.leaves_quantity)
                sell.shown -= quantity if sell.is_iceberg else 0
                buy.shown -= quantity if buy.is_iceberg else 0
                self.emit_trade(command, market, buy, sell, price, quantity)
                lots += quantity
            if buy.leaves_quantity == 0:
                self.remove(buy)
            self.cancel_linked(command, buy)
            self.show_again(command, buy)
        if sell:
            self.show_again(command, sell)
        assert not market.is_crossed()
        return lots

    def best_sell(self, market: Market, price: int) -> Order | None:
        """8.6: the next sell that may trade at this price."""
        sell = market.best(Side.SELL)
        return sell if sell and sell.price <= price else None

    def show_again(self, command: Command, order: Order) -> None:
        """8.6: what is left of an iceberg shows its display quantity again and keeps its place."""
        if order.is_iceberg and order.leaves_quantity > 0:
            self.show(command, order, min(order.display_quantity, order.leaves_quantity))

    # The spot side (13)

    def take(self, command: Command) -> None:
        """13.1, 13.3: trade with the offer that a TAKE names, at its price."""
        market, offer = self.markets[command.instrument], self.orders[command.order_id]
        side = Side.SELL if offer.side == Side.BUY else Side.BUY
        order = Order(
            command.sequence,
            command.instrument,
            command.account,
            side,
            offer.price,
            command.quantity,
            command.quantity,
            TimeInForce.FOK,
            command.client_order_id,
            command.flags,
        )
        self.emit_order(EventKind.ACCEPTED, command, order, quantity=order.quantity, flags=command.flags)
        self.emit_trade(command, market, order, offer, offer.price, command.quantity)

    def enter_one_sided(self, command: Command, market: Market, order: Order) -> None:
        """13.2: enter the offer, or a bid, which may start the countdown or start it anew."""
        if not any(self.resting(market.number)):
            market.offer_id, market.deadline = order.order_id, 0
            return self.rest(command, order)
        offer = self.orders[market.offer_id]
        before = self.worst_needed(market, offer)
        self.rest(command, order)
        now = self.worst_needed(market, offer)
        if now and (before is None or order.key < before.key):
            market.deadline = command.time + COUNTDOWN
            self.emit_order(EventKind.COUNTDOWN, command, offer, price=now.price, quantity=market.deadline)
        return None

    def worst_needed(self, market: Market, offer: Order) -> Order | None:
        """13.2: the worst of the best bids that together cover the offer; None: all bids do not cover it."""
        covered = 0
        for bid in in_order(market.other_side(offer.side)):
            covered += bid.leaves_quantity
            if covered >= offer.leaves_quantity:
                return bid
        return None

    def end_one_sided(self, command: Command, market: Market, phase: int, trades: bool) -> None:
        """13.2: a one-sided auction trades, is called off, or is kept by a halt."""
        if not trades and phase in {*COLLECTS, Phase.HALTED}:
            return
        bought = sum(order.leaves_quantity for order in in_order(market.bids))
        sold = sum(order.leaves_quantity for order in in_order(market.asks))
        price = lots = 0
        if trades and market.is_crossed():
            price, lots = self.uncross_one_sided(command, market, self.orders[market.offer_id])
        self.cancel_all(command, self.resting(market.number), Reason.AUCTION_ENDED)
        market.deadline = market.offer_id = 0
        if trades:
            self.emit(
                EventKind.AUCTION,
                command,
                instrument=market.number,
                price=price,
                quantity=lots,
                resting_leaves_quantity=bought - sold if lots else 0,
            )

    def uncross_one_sided(self, command: Command, market: Market, offer: Order) -> tuple[int, int]:
        """13.2: trade bids, best price first, oldest first, each at its own price. Returns (last price, lots)."""
        lots = price = 0
        if offer.side == Side.BUY:
            self.emit_order(EventKind.UNCROSSED, command, offer, quantity=offer.leaves_quantity)
        while offer.leaves_quantity > 0 and (bid := market.best_opposite(offer.side)):
            if offer.side == Side.SELL:
                self.emit_order(EventKind.UNCROSSED, command, bid, quantity=bid.leaves_quantity)
            buy, sell = (offer, bid) if offer.side == Side.BUY else (bid, offer)
            price, quantity = bid.price, min(offer.leaves_quantity, bid.leaves_quantity)
            lots += quantity
            self.emit_trade(command, market, buy, sell, price, quantity)
            if buy.leaves_quantity == 0:
                self.remove(buy)
        return price, lots

    # Days

    def end_day(self, command: Command) -> None:
        """2.3: DAY, SESSION and OPENING orders expire, and GTD orders whose date has come; GTC orders stay."""
        expired = 0
        for instrument in range(len(self.markets)):
            for order in self.all_orders(instrument):
                if order.time_in_force in (TimeInForce.DAY, TimeInForce.SESSION, TimeInForce.OPENING):
                    expired += self.cancel_all(command, [order], Reason.DAY_ENDED)
                elif order.time_in_force == TimeInForce.GTD and order.expire_date <= self.trading_date:
                    expired += self.cancel_all(command, [order], Reason.DATE_REACHED)
        self.emit(
            EventKind.DAY_ENDED,
            command,
            instrument=command.instrument,
            account=command.account,
            side=command.side,
            quantity=expired,
        )

    def list_instrument(self, command: Command) -> None:
        """8.1, 11.9: the reference price of a new instrument is its last price and previous settlement price."""
        market = self.markets[command.instrument]
        market.last_price = market.previous_settlement = command.price
        market.set_band(command.price, market.daily_limit)
        market.phase = Phase.CLOSED
        self.emit(EventKind.LISTED, command, instrument=command.instrument, price=command.price)

    def settlement_price(self, command: Command, market: Market) -> int:
        """11.2: GIVEN, or the rule of a day without a trade; held within the band"""
        price = command.price
        if command.order_type != SettlementRule.GIVEN:
            bid, ask = market.best(Side.BUY), market.best(Side.SELL)
            price = market.previous_settlement
            price = max(price, bid.price) if bid else price
            price = min(price, ask.price) if ask else price
        return min(max(price, market.floor), market.ceiling)

    def settle(self, command: Command) -> None:
        """9.1, 9.4, 11.5: settle at a price, which sets the band of the next day."""
        market = self.markets[command.instrument]
        price = self.settlement_price(command, market)
        market.previous_settlement = price
        direction = {0: 0, Side.BUY: 1, Side.SELL: -1}[market.locked]
        in_a_row = market.locked_days * direction > 0
        if not market.settled:  # 11.3: else it corrects the price
            market.locked_days = market.locked_days + direction if in_a_row else direction
        market.settled = True
        days = abs(market.locked_days)
        market.set_band(price, market.daily_limit and market.daily_limit + WIDER[min(days, len(WIDER) - 1)])
        self.cancel_all(
            command,
            (order for order in self.all_orders(market.number) if self.is_outside(market, order)),
            Reason.OUTSIDE_DAILY_LIMITS,
        )
        self.emit(
            EventKind.SETTLED,
            command,
            instrument=market.number,
            price=price,
            leaves_quantity=days,
            resting_leaves_quantity=market.floor,
            resting_price=market.ceiling,
        )

    def is_outside(self, market: Market, order: Order) -> bool:
        """9.1 (708): is the limit or the trigger of an order outside of the band?"""
        prices = [order.price] if order.order_type != OrderType.STOP else []
        prices += [order.trigger_price] if order.parked else []
        return not all(market.floor <= price <= market.ceiling for price in prices)

    def expire(self, command: Command) -> None:
        """11.8, without positions: cancel all orders and end the instrument."""
        market = self.markets[command.instrument]
        canceled = self.cancel_all(command, self.all_orders(market.number), Reason.INSTRUMENT_EXPIRY)
        market.phase = Phase.EXPIRED
        self.emit(EventKind.EXPIRED, command, instrument=market.number, quantity=canceled)

    def liquidate(self, command: Command) -> None:
        """11.7, without positions: cancel the orders of the account."""
        self.cancel_all(
            command,
            (order for order in self.all_orders(command.instrument) if order.account == command.account),
            Reason.LIQUIDATION,
        )
        self.emit(EventKind.LIQUIDATED, command, instrument=command.instrument, account=command.account)

    def set_limit(self, command: Command) -> None:
        """4.1, 4.2: limits of matching. Other limits, KILL_SWITCH and CASH only emit their event here (1.6)."""
        if command.kind == CommandKind.LIMIT and command.order_type == Limit.SELF_MATCH:
            self.members[command.account].self_match = command.quantity
        if command.kind == CommandKind.LIMIT and command.order_type == Limit.GROUP:
            self.members[command.account].group = command.quantity
        self.emit(
            EventKind(command.kind),
            command,
            instrument=command.instrument,
            account=command.account,
            side=command.order_type,
            quantity=command.quantity,
        )

    # Events

    def reject(self, command: Command, reason: Reason, value: int, bound: int, first_order_id: int = 0) -> None:
        """1.2: emit REJECTED, the one event of a refused command, with the value that broke the rule and the bound.

        first_order_id   5.10: the order that has the client order id already
        """
        order_id = command.order_id if command.kind in ABOUT_ONE_ORDER else 0
        self.emit(
            EventKind.REJECTED,
            command,
            reason=reason,
            order_id=order_id,
            price=command.price,
            quantity=command.quantity,
            side=command.side,
            flags=command.flags,
            instrument=command.instrument,
            account=command.account,
            client_order_id=command.client_order_id,
            resting_leaves_quantity=value,
            resting_price=bound,
            resting_order_id=first_order_id,
        )

    def emit_order(self, kind: EventKind, command: Command, order: Order, **fields: Any) -> None:
        """Emit an event of an order: its ids, its open lots, and the flag PARKED while it is parked (2.9)."""
        fields.setdefault("price", order.price)
        fields["flags"] = fields.get("flags", 0) | PARKED * order.parked
        self.emit(
            kind,
            command,
            order_id=order.order_id,
            leaves_quantity=order.leaves_quantity,
            client_order_id=order.client_order_id,
            instrument=order.instrument,
            account=order.account,
            side=order.side,
            **fields,
        )

    def emit(self, kind: EventKind, command: Command, **fields: Any) -> None:
        """1.7: number an event and add it to the output."""
        self.event_id += 1
        self.events.append(Event(self.event_id, command.sequence, command.time, kind=kind, **fields))


def in_order(*sides: SortedDict) -> Iterator[Order]:
    """Orders of the given sides in turn, queue by queue, oldest first."""
    for queues in sides:
        for queue in queues.values():
            yield from queue.values()


def is_reached(side: int, trigger: int, last_price: int) -> bool:
    """2.9: a trade at or through the trigger"""
    return last_price >= trigger if side == Side.BUY else last_price <= trigger


def least_shown(quantity: int) -> int:
    """2.11: the fewest lots that an iceberg of this quantity may show: a hundredth, rounded up."""
    return -(-quantity // MOST_REFILLS)


def rows_taken(command: Command) -> int:
    """2.8: what an ENTER takes of the second allowance."""
    iceberg = 0 < command.display_quantity < command.quantity
    return ICEBERG_ROWS * iceberg + PARKED_ROWS * (command.order_type in STOP_TYPES)
