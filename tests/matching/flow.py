"""Random commands for small, crowded books, so that every rule of the rulebook applies often.

A Flow is a configuration and its commands, both from one seed. It is not a model of a market: bands are a few ticks
wide so that orders meet, the pool of orders is so small that it fills, and a share of the rows is invalid on purpose.

    flow = random_flow(seed=7, count=5000)
    events = reference(flow).apply(flow.commands)

With `risk=True` instruments and accounts have limits that are reached, client order ids repeat, and operators use kill
switches and change limits. Without it none of this happens.

The sequence of every row is known in advance, and an order's id is the sequence of its ENTER (RULEBOOK 1.4), so rows
that cancel and amend can name orders entered a little earlier, without an engine.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from exchange import Exchange, Instrument
from matching.codes import (
    ALL,
    AUCTION_PHASES,
    STOP_TYPES,
    AuctionStep,
    CommandKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.records import COMMAND
from matching.reference import ReferenceBook
from risk.limits import Account
from tests.build import account, instrument
from tests.risk.oracle import RiskOracle

KIND_SHARE = {
    CommandKind.ENTER: 0.64,
    CommandKind.CANCEL: 0.08,
    CommandKind.AMEND: 0.21,
    CommandKind.MASS_CANCEL: 0.008,
    CommandKind.TAKE: 0.003,
    CommandKind.PHASE: 0.004,
    CommandKind.KILL_SWITCH: 0.01,
    CommandKind.LIMIT: 0.015,
    CommandKind.CASH: 0.008,
    CommandKind.END_DAY: 0.003,
    CommandKind.BEGIN_DAY: 0.003,
    CommandKind.LIST: 0.002,
    CommandKind.SETTLE: 0.006,
    CommandKind.WINDOW: 0.002,
}
TIME_IN_FORCE_SHARE = {
    TimeInForce.DAY: 0.29,
    TimeInForce.GTC: 0.29,
    TimeInForce.IOC: 0.15,
    TimeInForce.FOK: 0.12,
    TimeInForce.GTD: 0.06,
    TimeInForce.SESSION: 0.06,
    TimeInForce.OPENING: 0.03,
}
RESTS = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD, TimeInForce.SESSION)
STOPS = sorted(STOP_TYPES)
MODE_FLAGS = (Flag.SMP_CANCEL_INCOMING, Flag.SMP_CANCEL_RESTING, Flag.SMP_CANCEL_BOTH)
LIMITS = (*Limit, *(Limit.SELF_MATCH, Limit.GROUP) * 8)
WRONG = {  # field: values that are invalid in rows of every kind
    "kind": (0, 6, 15, max(CommandKind) + 1, 255),
    "instrument": (-2, -1, 9, 2**31 - 1, -(2**31)),
    "account": (-2, -1, 9, 2**31 - 1, -(2**31)),
    "side": (0, 3, 255),
    "order_type": (0, max(OrderType) + 1, 37, 255),
    "time_in_force": (5, 11, 255),
    "flags": (1024, 2048, 2**31, 2**32 - 1, 8 + 16, 16 + 32, 8 + 16 + 32, 1, 33),
    "quantity": (0, -1, -(2**62)),
    "price": (-(2**62), 2**62, -1000, 1000),
    "trigger_price": (-(2**62), 2**62, 1, -1000, 1000),
    "display_quantity": (-(2**62), -1, 1, 2**62),
    "minimum_quantity": (-(2**62), -1, 1, 2**62),
    "expire_date": (-(2**31), -1, 1, 2**31 - 1),
    "counterparty": (-(2**31), 1, 2**31 - 1),
    "order_id": (0, -1, 2**62, -(2**63)),
}
FIRST_DAY = 20270100  # one more with every BEGIN_DAY
EPISODES = (  # phases in order, and rows until the next
    ((Phase.CALL_AUCTION, 25), (Phase.AUCTION_MATCH, 4), (Phase.CONTINUOUS, 0)),
    ((Phase.CALL_AUCTION, 25), (Phase.CONTINUOUS, 0)),
    ((Phase.CALL_AUCTION, 15), (Phase.HALTED, 4), (Phase.CONTINUOUS, 0)),
    ((Phase.BREAK, 8), (Phase.CALL_AUCTION, 15), (Phase.AUCTION_MATCH, 2), (Phase.CONTINUOUS, 0)),
    ((Phase.CLOSING, 8), (Phase.SETTLEMENT, 6), (Phase.CLOSED, 4), (Phase.CALL_AUCTION, 15), (Phase.CONTINUOUS, 0)),
    ((Phase.HALTED, 6), (Phase.BREAK, 4), (Phase.CONTINUOUS, 0)),
    ((Phase.CLOSED, 6), (Phase.CONTINUOUS, 0)),
    ((Phase.CALL_AUCTION, 15), (Phase.AUCTION_ENTRY_ONLY, 15), (Phase.AUCTION_MATCH, 4), (Phase.CONTINUOUS, 0)),
    ((Phase.AUCTION_ENTRY_ONLY, 20), (Phase.CONTINUOUS, 0)),
    ((Phase.AUCTION_ENTRY_ONLY, 10), (Phase.HALTED, 4), (Phase.AUCTION_ENTRY_ONLY, 8), (Phase.AUCTION_MATCH, 2)),
)
COUNTDOWN = 180_000_000_000  # ns
AVALANCHE = 116  # stop orders that one trade triggers
PHASE_LASTS = 12  # rows in a random phase until trading is continuous again
SWITCH_LASTS = 5  # rows until a kill switch is off again
FAR = 1 << 40
NEAR_AND_FAR = {  # values that LIMIT commands set when risk is on
    Limit.MAX_ORDER_QUANTITY: (0, 8, FAR),
    Limit.MAX_ORDER_NOTIONAL: (300, FAR),
    Limit.MAX_LONG: (5, 40, FAR),
    Limit.MAX_SHORT: (5, 40, FAR),
    Limit.MAX_OPEN_ORDERS: (2, 10, FAR),
    Limit.MESSAGES_PER_SECOND: (0, 3, 500),
    Limit.MESSAGE_BURST: (0, 1, 4),
    Limit.ENABLED: (0, 1, 1, 1),
    Limit.INSTRUMENT_MAX_ORDER_QUANTITY: (10, FAR),
    Limit.INSTRUMENT_MAX_POSITION: (30, FAR),
    Limit.INSTRUMENT_COLLAR: (0, 3, FAR),
    Limit.INSTRUMENT_MARGIN: (0, 5, 20, 1 << 55),
    Limit.INSTRUMENT_PROTECTION: (0, 2, FAR),
    Limit.GROUP: (0, FAR),
}


@dataclass(frozen=True)
class Flow:
    """Instruments, accounts and stamped commands, all from one seed."""

    seed: int
    instruments: tuple[Instrument, ...]
    accounts: tuple[Account, ...]
    max_orders: int
    commands: np.ndarray
    risk: bool = False
    max_client_order_ids: int = 1 << 10


def random_flow(seed: int, count: int, risk: bool = False) -> Flow:
    """The flow of a seed. A flow of another length begins differently."""
    rng = np.random.default_rng(seed)
    instruments = tuple(_instrument(rng, number, risk) for number in range(rng.integers(2, 5)))
    accounts = tuple(_account(rng, number, risk) for number in range(rng.integers(3, 7)))
    max_orders = int(rng.choice((4, 40, 200, 1000, 1000)))
    commands = _commands(rng, instruments, accounts, count, max_orders)
    if risk:
        _risk(rng, commands)
    return Flow(seed, instruments, accounts, max_orders, commands, risk, int(rng.choice((60, 1 << 10))))


def reference(flow: Flow) -> ReferenceBook | RiskOracle:
    """The plain implementation of the flow's rules."""
    if flow.risk:
        return RiskOracle(flow.instruments, flow.accounts, flow.max_orders, flow.max_client_order_ids)
    return ReferenceBook(flow.instruments, flow.accounts, flow.max_orders)


def engine(flow: Flow) -> Exchange:
    return Exchange(
        flow.instruments,
        flow.accounts,
        risk=flow.risk,
        max_orders=flow.max_orders,
        max_client_order_ids=flow.max_client_order_ids,
    )


def _instrument(rng: np.random.Generator, number: int, risk: bool) -> Instrument:
    width = int(rng.integers(4, 40))
    floor = int(rng.integers(-60, 60))
    return instrument(
        f"I{number}",
        floor=floor,
        ceiling=floor + width,
        reference_price=floor + int(rng.integers(0, width + 1)),
        price_rule=str(rng.choice(("resting", "median"))),
        protection=int(rng.choice((0, 1, 3, 50))),
        **_protection(rng, floor, width),
        auction=AuctionStep(int(rng.integers(0, 16))),
        mechanism=Mechanism(int(rng.integers(1, 4))) if number and rng.random() < 0.25 else Mechanism.ORDER_BOOK,
        phase=Phase.UNLISTED if number and rng.random() < 0.3 else Phase.CONTINUOUS,
        **(_instrument_limits(rng) if risk else {}),
    )


def _protection(rng: np.random.Generator, floor: int, width: int) -> dict[str, int]:
    """Daily limits of half the ladder or more, and circuit breakers that a few orders trigger."""
    limited, fast = rng.random() < 0.3, rng.random() < 0.3
    farthest = max(abs(floor), abs(floor + width), 1)
    return {
        "daily_limit": int(10_000 * width * rng.uniform(0.4, 1.5) / farthest) if limited else 0,
        "velocity": int(rng.integers(1, max(width // 3, 2))) if fast else 0,
        "velocity_window": int(rng.choice((1, 5, 50, 400))),
    }


def _instrument_limits(rng: np.random.Generator) -> dict[str, int]:
    return {
        "price_increment": int(rng.choice((1, 1, 1, 2))),
        "minimum_quantity": int(rng.choice((1, 1, 2))),
        "quantity_increment": int(rng.choice((1, 1, 1, 2))),
        "collar": int(rng.choice((0, 0, 4, 12))),
        "margin": int(rng.choice((0, 1, 10))),
        "max_order_quantity": int(rng.choice((FAR, 25))),
        "max_position": int(rng.choice((FAR, 60))),
    }


def _account(rng: np.random.Generator, number: int, risk: bool) -> Account:
    group = None if rng.random() < 0.4 else int(rng.integers(0, 3))
    return account(
        f"A{number}",
        group=group,
        self_match=SelfMatch(int(rng.integers(0, 4))),
        **(_account_limits(rng) if risk else {}),
    )


def _account_limits(rng: np.random.Generator) -> dict[str, int]:
    """Each limit is low for some accounts and high for others, so that no rule hides those that come after it."""
    near_or_far = {
        "equity": (300, 1500),
        "max_order_quantity": (6, 20),
        "max_order_notional": (100, 600),
        "max_long": (20, 60),
        "max_short": (20, 60),
        "max_open_orders": (3, 12),
    }
    limits = {name: int(rng.integers(*near)) for name, near in near_or_far.items() if rng.random() < 0.4}
    return {
        **limits,
        "firm": int(rng.integers(0, 3)),
        "messages_per_second": int(rng.choice((0, 0, 300, 700))),
        "message_burst": int(rng.integers(1, 6)),
    }


def _commands(
    rng: np.random.Generator, instruments: tuple[Any, ...], accounts: tuple[Any, ...], count: int, max_orders: int
) -> np.ndarray:
    commands = np.zeros(count, COMMAND)
    commands["sequence"] = np.arange(1, count + 1)
    commands["time"] = 1_800_000_000_000_000_000 + np.cumsum(rng.integers(0, 1_000_000, count))
    commands["kind"] = rng.choice(
        [int(kind) for kind in KIND_SHARE], count, p=np.array(list(KIND_SHARE.values())) / sum(KIND_SHARE.values())
    )
    commands["instrument"] = rng.integers(0, len(instruments), count)
    commands["account"] = rng.integers(0, len(accounts), count)
    commands["side"] = rng.integers(1, 3, count)
    stops = float(rng.choice((0, 0.05, 0.15, 0.4)))
    others = len(OrderType) - len(STOPS) - 1  # neither stops nor market orders
    share = {kind: stops / len(STOPS) if kind in STOPS else 0.88 / others * (1 - stops) for kind in OrderType}
    share[OrderType.MARKET] = 0.12 * (1 - stops)
    commands["order_type"] = rng.choice([int(kind) for kind in share], count, p=list(share.values()))
    commands["time_in_force"] = rng.choice(
        [int(time) for time in TIME_IN_FORCE_SHARE], count, p=list(TIME_IN_FORCE_SHARE.values())
    )
    stop_that_ends = (
        np.isin(commands["order_type"], STOPS) & ~np.isin(commands["time_in_force"], RESTS) & (rng.random(count) < 0.95)
    )
    commands["time_in_force"][stop_that_ends] = TimeInForce.DAY
    commands["quantity"] = rng.integers(1, rng.choice((3, 8, 30)), count)
    commands["client_order_id"] = _client_order_ids(rng, count)
    commands["session"] = rng.integers(0, 2, count) * rng.integers(1, 1000, count)  # no rule reads it
    _links(rng, commands)
    _flags(rng, commands)
    _prices(rng, commands, instruments)
    _conditions(rng, commands)
    _orders_meant(rng, commands, len(instruments), len(accounts))
    _operators(rng, commands)
    for _ in range(count // 120):
        _episode(rng, commands, len(instruments))
    for _ in range(count // 300):
        _lock(rng, commands, len(instruments))
    if max_orders >= 200:
        _avalanche(rng, commands, instruments, accounts)
    for number, terms in enumerate(instruments):
        if terms.mechanism in (Mechanism.LISTING, Mechanism.NEGOTIATED):
            _offers(rng, commands, number, terms, len(accounts))
        elif terms.mechanism == Mechanism.ONE_SIDED:
            idle = (commands["instrument"] == number) & (commands["kind"] < CommandKind.PHASE)
            commands["instrument"][idle & (rng.random(count) < 0.8)] = 0  # it accepts orders only in its auctions
            for _ in range(count // 80):
                _one_sided(rng, commands, number, terms)
        if terms.phase == Phase.UNLISTED:
            _list(rng, commands, number, terms)
        if rng.random() < 0.5:
            _say(commands, count - rng.integers(1, count // 12, 1), CommandKind.EXPIRE, 0, number)
    _break_some(rng, commands)
    return commands


def _client_order_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    letters = rng.integers(ord("a"), ord("z") + 1, (count, 20)).astype(np.uint8)
    letters[np.arange(20) >= rng.integers(0, 21, count)[:, None]] = 0
    return letters.view("S20")[:, 0]


def _rests(commands: np.ndarray) -> np.ndarray:
    return np.isin(commands["time_in_force"], RESTS) & (commands["order_type"] != OrderType.MARKET)


def _earlier(rng: np.random.Generator, commands: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row an earlier one that enters an order which rests, and whether there is one."""
    count = len(commands)
    entered = np.flatnonzero((commands["kind"] == CommandKind.ENTER) & _rests(commands))
    before = np.searchsorted(entered, np.arange(count))  # such rows before each row
    back = rng.geometric(rng.choice((0.3, 0.1, 0.03)), count)
    meant = entered[np.maximum(before - back, 0)] if len(entered) else np.zeros(count, np.int64)
    return meant, before > 0


def _links(rng: np.random.Generator, commands: np.ndarray) -> None:
    """Some orders name an earlier one as their OCO, mostly of the same account, instrument and side."""
    count = len(commands)
    meant, exists = _earlier(rng, commands)
    may_link = exists & (commands["kind"] == CommandKind.ENTER) & (_rests(commands) | (rng.random(count) < 0.03))
    links = may_link & (rng.random(count) < rng.choice((0, 0.05, 0.25)))
    for row in np.flatnonzero(links):  # one by one, because a link may name a linked order
        commands["order_id"][row] = commands["sequence"][meant[row]]
        for field in ("instrument", "account", "side"):
            if rng.random() < 0.98:
                commands[field][row] = commands[field][meant[row]]


def _flags(rng: np.random.Generator, commands: np.ndarray) -> None:
    count = len(commands)
    is_resting = np.isin(commands["time_in_force"], RESTS) & (commands["order_type"] == OrderType.LIMIT) | (
        commands["kind"] == CommandKind.AMEND
    )
    flags = (rng.random(count) < 0.2) & is_resting * int(Flag.POST_ONLY)
    flags = flags + (rng.random(count) < 0.03) * int(Flag.REDUCE_ONLY) + (rng.random(count) < 0.05) * int(Flag.LABEL)
    flags += (rng.random(count) < np.where(commands["kind"] == CommandKind.AMEND, 0.5, 0.02)) * int(Flag.OPEN_QUANTITY)
    flags += rng.choice([0, *map(int, MODE_FLAGS)], count, p=(0.7, 0.1, 0.1, 0.1))
    commands["flags"] = flags


def _prices(rng: np.random.Generator, commands: np.ndarray, instruments: tuple[Any, ...]) -> None:
    """Prices around a middle that moves through the band, bids a little below and offers a little above it."""
    count = len(commands)
    floor = np.array([terms.price_floor for terms in instruments])[commands["instrument"]]
    ceiling = np.array([terms.price_ceiling for terms in instruments])[commands["instrument"]]
    width = ceiling - floor
    middle = floor + width * (0.5 + 0.5 * np.sin(np.arange(count) / 300))
    apart = rng.choice((-0.05, 0.0, 0.05, 0.1)) * width * np.where(commands["side"] == Side.BUY, -1, 1)
    price = np.rint(middle + apart + rng.normal(0, rng.choice((0.08, 0.2)), count) * width).astype(np.int64)
    outside = rng.random(count) < 0.03
    commands["price"] = np.where(outside, price, np.clip(price, floor, ceiling))
    # stop orders wait on the far side of the middle
    trigger = middle + np.where(commands["side"] == Side.BUY, 1, -1) * np.abs(rng.normal(0, 0.15, count)) * width
    trigger = np.where(outside, trigger, np.clip(trigger, floor, ceiling))
    commands["trigger_price"] = np.where(np.isin(commands["order_type"], STOPS), np.rint(trigger).astype(np.int64), 0)


def _conditions(rng: np.random.Generator, commands: np.ndarray) -> None:
    """Icebergs, minimum quantities and dates, for orders that may have them."""
    count = len(commands)
    is_enter = commands["kind"] == CommandKind.ENTER
    may_hide = is_enter & _rests(commands) & (commands["order_type"] != OrderType.STOP)
    hides = may_hide & (rng.random(count) < rng.choice((0, 0.1, 0.5)))
    commands["quantity"][hides & (rng.random(count) < 0.1)] = rng.integers(100, 400)
    commands["display_quantity"][hides] = rng.integers(1, np.maximum(commands["quantity"] // 2, 2))[hides]
    has_minimum = is_enter & (commands["time_in_force"] == TimeInForce.IOC) & (rng.random(count) < 0.3)
    commands["minimum_quantity"][has_minimum] = rng.integers(0, commands["quantity"] + 1)[has_minimum]
    day = FIRST_DAY + np.cumsum(commands["kind"] == CommandKind.BEGIN_DAY)
    dated = is_enter & (commands["time_in_force"] == TimeInForce.GTD)
    commands["expire_date"][dated] = np.maximum(day + rng.integers(-1, 5, count), 0)[dated]
    begins = commands["kind"] == CommandKind.BEGIN_DAY
    commands["quantity"][begins] = day[begins]


def _orders_meant(rng: np.random.Generator, commands: np.ndarray, instruments: int, accounts: int) -> None:
    """Rows that cancel, amend or take name an order entered shortly before, mostly by its owner."""
    count = len(commands)
    meant, exists = _earlier(rng, commands)
    about_one = np.isin(commands["kind"], (CommandKind.CANCEL, CommandKind.AMEND, CommandKind.TAKE))
    names_order = about_one & exists
    noise = ~names_order & (commands["kind"] != CommandKind.ENTER)
    commands["order_id"] = np.where(
        names_order, commands["sequence"][meant], np.where(noise, rng.integers(0, 2, count) * 5, commands["order_id"])
    )
    owner = names_order & (rng.random(count) < 0.97)
    for field in ("instrument", "account"):
        commands[field] = np.where(owner, commands[field][meant], commands[field])
    same_price = owner & (rng.random(count) < 0.6)
    commands["price"] = np.where(same_price, commands["price"][meant], commands["price"])
    # an AMEND of a stop carries a trigger: the order's own, or another on the same side
    was_stop = np.isin(commands["order_type"][meant], STOPS)
    amends = owner & (commands["kind"] == CommandKind.AMEND)
    same_trigger = was_stop & (rng.random(count) < 0.6)
    moved = commands["trigger_price"][meant] + rng.integers(-2, 3, count)
    trigger = np.where(same_trigger, commands["trigger_price"][meant], np.where(was_stop, moved, 0))
    commands["trigger_price"] = np.where(amends, trigger, commands["trigger_price"])


def _operators(rng: np.random.Generator, commands: np.ndarray) -> None:
    """The fields that have another meaning in operator commands and MASS_CANCEL."""
    kind, count = commands["kind"], len(commands)
    everywhere = rng.random(count) < 0.4
    anyone = rng.random(count) < 0.2
    mass = kind == CommandKind.MASS_CANCEL
    commands["instrument"][everywhere & (mass | np.isin(kind, (CommandKind.PHASE, CommandKind.WINDOW)))] = ALL
    commands["account"][anyone & mass] = ALL
    commands["side"][mass] = rng.integers(0, 3, mass.sum())
    for command_kind, codes in (
        (CommandKind.PHASE, Phase),
        (CommandKind.KILL_SWITCH, Scope),
        (CommandKind.LIMIT, LIMITS),
        (CommandKind.SETTLE, (SettlementRule.GIVEN,)),
    ):
        rows = kind == command_kind
        commands["order_type"][rows] = rng.choice([int(code) for code in codes], rows.sum())
    reopened = np.concatenate(
        (np.flatnonzero(kind == CommandKind.PHASE) + PHASE_LASTS, np.flatnonzero(rng.random(count) < 0.01))
    )
    _say(commands, reopened, CommandKind.PHASE, Phase.CONTINUOUS)
    _say(
        commands, reopened[rng.random(len(reopened)) < 0.5] - 1, CommandKind.PHASE, Phase.CLOSED
    )  # from whatever phase it was in
    small = (kind == CommandKind.KILL_SWITCH) | (kind == CommandKind.LIMIT)
    commands["quantity"][small] = rng.integers(-1, 5, small.sum())
    cash = kind == CommandKind.CASH
    commands["quantity"][cash] = rng.integers(-1000, 1000, cash.sum())


def _say(commands: np.ndarray, rows: np.ndarray, kind: CommandKind, code: int, instrument: int = ALL) -> None:
    """Turn rows into operator commands, if there are such rows."""
    rows = rows[(rows >= 0) & (rows < len(commands))]
    for field, value in (("kind", kind), ("order_type", code), ("instrument", instrument)):
        commands[field][rows] = int(value)


def _episode(rng: np.random.Generator, commands: np.ndarray, instruments: int) -> None:
    """Lead one instrument, or all, through some phases. In an auction, orders are of a kind that it accepts."""
    row = int(rng.integers(0, len(commands)))
    instrument = int(rng.integers(-1, instruments))
    for phase, lasts in EPISODES[rng.integers(len(EPISODES))]:
        _say(commands, np.array([row]), CommandKind.PHASE, phase, instrument)
        inside = commands[row + 1 : row + 1 + lasts]
        if phase in AUCTION_PHASES:
            enters = inside["kind"] == CommandKind.ENTER
            calm = enters & (rng.random(len(inside)) < 0.8)
            for field in ("flags", "minimum_quantity", "trigger_price", "order_id"):
                inside[field][calm] = 0
            inside["order_type"][calm] = OrderType.LIMIT
            at_once = calm & ~np.isin(inside["time_in_force"], RESTS)
            inside["time_in_force"][at_once] = TimeInForce.OPENING
            inside["display_quantity"][at_once] = 0
            inside["instrument"][calm & (instrument >= 0) & (rng.random(len(inside)) < 0.7)] = instrument
        row += lasts + 1


def _waiting(rng: np.random.Generator, rows: np.ndarray) -> None:
    """Turn rows into orders of the kind that offers and bids are."""
    rows["kind"], rows["order_type"] = CommandKind.ENTER, OrderType.LIMIT
    for field in (
        "trigger_price",
        "display_quantity",
        "minimum_quantity",
        "expire_date",
        "counterparty",
        "order_id",
        "flags",
    ):
        rows[field] = 0
    rows["time_in_force"] = rng.choice(
        (int(TimeInForce.DAY), int(TimeInForce.GTC), int(TimeInForce.SESSION)), len(rows)
    )


def _offers(rng: np.random.Generator, commands: np.ndarray, number: int, terms: Instrument, accounts: int) -> None:
    """Offers are posted, and others take them, mostly accounts that may."""
    offers: list[np.void] = []
    of_traders = (CommandKind.ENTER, CommandKind.CANCEL, CommandKind.AMEND)
    for at in np.flatnonzero((commands["instrument"] == number) & np.isin(commands["kind"], of_traders)):
        row, chance = commands[at : at + 1], rng.random()
        if chance < 0.5 and row["kind"] == CommandKind.ENTER:
            _waiting(rng, row)
            row["price"] = np.clip(row["price"], terms.price_floor, terms.price_ceiling)
            if terms.mechanism == Mechanism.LISTING:
                row["minimum_quantity"] = rng.integers(0, max(row["quantity"][0], 0) + 1)
            else:
                row["counterparty"] = (row["account"] + rng.integers(1, accounts)) % accounts
            offers.append(commands[at])
        elif chance < 0.9 and offers:
            offer = offers[-min(int(rng.geometric(0.4)), len(offers))]
            row["kind"], row["order_id"], row["flags"] = CommandKind.TAKE, offer["sequence"], 0
            row["account"] = rng.integers(0, accounts)
            row["quantity"] = rng.integers(1, max(offer["quantity"], 1) + 2)
            if terms.mechanism == Mechanism.NEGOTIATED and rng.random() < 0.8:
                row["account"], row["quantity"] = offer["counterparty"], offer["quantity"]


def _one_sided(rng: np.random.Generator, commands: np.ndarray, number: int, terms: Instrument) -> None:
    """An auction of one offer: bids that cover it, a countdown, bids that come too late, and one of the ways it ends."""
    length = 24
    if len(commands) < 2 * length:
        return
    start = int(rng.integers(0, len(commands) - length))
    block = commands[start : start + length]
    bids = block[2:-1]
    usual = rng.random(len(bids)) < 0.85
    sell = bool(rng.integers(0, 2))
    low, high = terms.price_floor, terms.price_ceiling
    calm = block[1:-1][np.concatenate(((True,), usual))]
    _waiting(rng, calm)
    calm["instrument"] = number
    calm["side"] = Side.BUY if sell else Side.SELL
    calm["price"] = rng.integers(low, high + 1, len(calm))
    calm["quantity"] = rng.integers(1, 6, len(calm))
    block[1:-1][np.concatenate(((True,), usual))] = calm
    offer = block[1:2]
    offer["side"] = Side.SELL if sell else Side.BUY
    offer["price"] = low + (high - low) // 4 if sell else high - (high - low) // 4
    offer["quantity"] = rng.integers(3, 15)
    _say(block, np.array([0]), CommandKind.PHASE, AUCTION_PHASES[int(rng.random() < 0.3)], number)
    at = 2 + int(rng.integers(4, len(bids) - 4))
    chance = rng.random()
    if chance < 0.35:
        commands["time"][start + at :] += COUNTDOWN  # bids after this come too late
    elif chance < 0.75:
        offer["time_in_force"] = TimeInForce.DAY  # the offer expires, bids stay
        bids["time_in_force"][bids["kind"] == CommandKind.ENTER] = TimeInForce.GTC
        _say(block, np.array([at]), CommandKind.END_DAY, 0)
    recent = rng.integers(1, 6, len(bids))
    cancels = np.flatnonzero(rng.random(len(bids)) < 0.2)
    bids["kind"][cancels] = CommandKind.CANCEL
    for bid in cancels:
        named = block[max(1, 2 + bid - recent[bid])]
        bids["order_id"][bid], bids["instrument"][bid], bids["account"][bid] = (
            named["sequence"],
            number,
            named["account"],
        )
    ends = (Phase.AUCTION_MATCH, Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.CLOSED, Phase.HALTED)
    _say(block, np.array([length - 1]), CommandKind.PHASE, ends[rng.integers(len(ends))], number)


def _list(rng: np.random.Generator, commands: np.ndarray, number: int, terms: Instrument) -> None:
    """List an instrument early, and open it."""
    row = int(rng.integers(0, len(commands) // 8))
    _say(commands, np.array([row]), CommandKind.LIST, 0, number)
    _say(commands, np.array([row + 1]), CommandKind.PHASE, Phase.CONTINUOUS, number)
    commands["price"][row] = rng.integers(terms.price_floor, terms.price_ceiling + 1)


def _lock(rng: np.random.Generator, commands: np.ndarray, instruments: int) -> None:
    """Leave one order alone at the daily limit, and declare the instrument limit-locked."""
    row, instrument = int(rng.integers(0, len(commands))), int(rng.integers(0, instruments))
    _say(commands, np.array([row, row + 3]), CommandKind.PHASE, Phase.CONTINUOUS, instrument)
    _say(commands, np.array([row + 1]), CommandKind.MASS_CANCEL, 0, instrument)
    _say(commands, np.array([row + 2]), CommandKind.ENTER, OrderType.MARKET, instrument)
    _say(commands, np.array([row + 3]), CommandKind.PHASE, Phase.LIMIT_LOCKED, instrument)
    commands["account"][row + 1 : row + 2] = ALL
    commands["side"][row + 1 : row + 2] = 0
    order = commands[row + 2 : row + 3]
    for field in ("trigger_price", "display_quantity", "minimum_quantity", "expire_date", "order_id", "flags"):
        order[field] = 0
    order["time_in_force"] = TimeInForce.GTC
    if rng.random() < 0.5:
        _say(commands, np.array([row + 3 + int(rng.integers(1, 6))]), CommandKind.PHASE, Phase.CLOSED, instrument)


def _avalanche(
    rng: np.random.Generator, commands: np.ndarray, instruments: tuple[Any, ...], accounts: tuple[Any, ...]
) -> None:
    """More stop orders than one command may trigger, all reached by one trade at the ceiling."""
    plain = [
        number
        for number, terms in enumerate(instruments)
        if terms.phase == Phase.CONTINUOUS and not (terms.velocity or terms.daily_limit or terms.mechanism)
    ]
    buyers = [number for number, terms in enumerate(accounts) if terms.self_match == SelfMatch.NONE]
    rows = AVALANCHE + 6
    if not plain or not buyers or len(commands) < 2 * rows:
        return
    number = int(rng.choice(plain))
    terms = instruments[number]
    start = int(rng.integers(0, len(commands) - rows))
    block = commands[start : start + rows]
    for field in (
        "trigger_price",
        "display_quantity",
        "minimum_quantity",
        "expire_date",
        "counterparty",
        "order_id",
        "flags",
    ):
        block[field] = 0
    block["kind"], block["instrument"], block["order_type"] = CommandKind.ENTER, number, OrderType.LIMIT
    block["time_in_force"], block["quantity"] = TimeInForce.DAY, 1
    _say(block, np.array([0]), CommandKind.PHASE, Phase.CONTINUOUS, number)
    _say(block, np.array([1]), CommandKind.MASS_CANCEL, 0, ALL)  # room for them all
    block["account"][1], block["side"][1] = ALL, 0
    for first, price in ((2, terms.price_floor), (rows - 2, terms.price_ceiling)):  # trades that set the last price
        block["price"][first : first + 2] = price
        block["side"][first : first + 2] = Side.SELL, Side.BUY
        block["account"][first + 1] = rng.choice(buyers)
    stops = block[4 : rows - 2]
    stops["order_type"], stops["side"] = OrderType.STOP_LIMIT, Side.BUY
    stops["trigger_price"] = rng.integers(terms.price_floor + 1, terms.price_ceiling + 1, len(stops))
    stops["price"] = rng.integers(terms.price_floor, terms.price_ceiling, len(stops))


def _risk(rng: np.random.Generator, commands: np.ndarray) -> None:
    """What only risk reads: repeated client order ids, kill switches that are soon off again, limits low and high."""
    count, kind = len(commands), commands["kind"].copy()
    repeated = rng.random(count) < 0.3
    commands["client_order_id"][repeated] = rng.choice([b"a", b"b", b"c", b""], repeated.sum())
    commands["flags"][(rng.random(count) < 0.5) & (kind == CommandKind.ENTER)] |= int(Flag.LABEL)
    switched = np.flatnonzero((kind == CommandKind.KILL_SWITCH) & (rng.random(count) < 0.95))
    switched = switched[switched + SWITCH_LASTS < count]
    commands["quantity"][switched] = 1
    for field in ("kind", "order_type", "instrument", "account"):
        commands[field][switched + SWITCH_LASTS] = commands[field][switched]
    commands["quantity"][switched + SWITCH_LASTS] = 0
    limits = np.flatnonzero(kind == CommandKind.LIMIT)
    for row in limits[rng.random(len(limits)) < 0.7]:
        limit = list(NEAR_AND_FAR)[rng.integers(len(NEAR_AND_FAR))]
        commands["order_type"][row] = int(limit)
        commands["quantity"][row] = rng.choice(NEAR_AND_FAR[limit])


def _break_some(rng: np.random.Generator, commands: np.ndarray) -> None:
    """Put an invalid value into one field of about one row in twenty-five."""
    fields = list(WRONG)
    for row in np.flatnonzero(rng.random(len(commands)) < 0.04):
        field = fields[rng.integers(len(fields))]
        commands[field][row] = WRONG[field][rng.integers(len(WRONG[field]))]
