"""Random commands for small, crowded books: made to meet every rule of the rulebook often.

A Flow is a configuration and its commands, both from one seed. It is not a model of a market: bands are a few ticks
wide so that queues collide, the pool of orders is so small that it fills, and a share of the rows is broken on purpose.

    flow = random_flow(seed=7, count=5000)
    events = reference(flow).apply(flow.commands)

With `risk=True` instruments and accounts have limits close enough to be met, client order ids repeat, and operators
turn switches and limits; without it none of this is drawn.

The sequence of every row is known in advance, and an order's id is the sequence of its ENTER (RULEBOOK 1.4), so rows
that cancel and amend can name orders entered a little earlier without asking any engine what lives.
"""
from dataclasses import dataclass

import numpy as np

from exchange import Exchange, Instrument
from matching.codes import ALL, CommandKind, Flag, Limit, OrderType, Phase, Scope, SelfMatch, Side, TimeInForce
from matching.records import COMMAND
from matching.reference import ReferenceBook
from risk.limits import Account
from tests.build import account, instrument
from tests.risk.oracle import RiskOracle

KIND_SHARE = {CommandKind.ENTER: 0.64, CommandKind.CANCEL: 0.09, CommandKind.AMEND: 0.22,
              CommandKind.MASS_CANCEL: 0.01, CommandKind.PHASE: 0.004, CommandKind.KILL_SWITCH: 0.01,
              CommandKind.LIMIT: 0.015, CommandKind.CASH: 0.008, CommandKind.END_DAY: 0.003}
TIME_IN_FORCE_SHARE = {TimeInForce.DAY: 0.35, TimeInForce.GTC: 0.35, TimeInForce.IOC: 0.15, TimeInForce.FOK: 0.15}
MODE_FLAGS = (Flag.SMP_CANCEL_INCOMING, Flag.SMP_CANCEL_RESTING, Flag.SMP_CANCEL_BOTH)
LIMITS = (*Limit, *(Limit.SELF_MATCH, Limit.GROUP) * 8)
WRONG = {                                      # field: values that no row of any kind should carry
    "kind": (0, 5, 15, 21, 255),
    "instrument": (-2, -1, 9, 2**31 - 1, -2**31),
    "account": (-2, -1, 9, 2**31 - 1, -2**31),
    "side": (0, 3, 255),
    "order_type": (0, 3, 37, 255),
    "time_in_force": (2, 5, 255),
    "flags": (128, 2**31, 2**32 - 1, 8 + 16, 16 + 32, 8 + 16 + 32, 1, 33),
    "quantity": (0, -1, -2**62),
    "price": (-2**62, 2**62, -1000, 1000),
    "order_id": (0, -1, 2**62, -2**63),
}
PHASE_LASTS = 12                               # rows until trading is continuous again
SWITCH_LASTS = 5                               # rows until a kill switch is off again
FAR = 1 << 40
NEAR_AND_FAR = {                               # values that LIMIT commands set when risk is on
    Limit.MAX_ORDER_QUANTITY: (0, 8, FAR), Limit.MAX_ORDER_NOTIONAL: (300, FAR), Limit.MAX_LONG: (5, 40, FAR),
    Limit.MAX_SHORT: (5, 40, FAR), Limit.MAX_OPEN_ORDERS: (2, 10, FAR), Limit.MESSAGES_PER_SECOND: (0, 3, 500),
    Limit.MESSAGE_BURST: (0, 1, 4), Limit.ENABLED: (0, 1, 1, 1), Limit.INSTRUMENT_MAX_ORDER_QUANTITY: (10, FAR),
    Limit.INSTRUMENT_MAX_POSITION: (30, FAR), Limit.INSTRUMENT_COLLAR: (0, 3, FAR),
    Limit.INSTRUMENT_MARGIN: (0, 5, 20, 1 << 55), Limit.INSTRUMENT_PROTECTION: (0, 2, FAR), Limit.GROUP: (0, FAR)}


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
    """The flow of a seed; a longer one begins differently."""
    rng = np.random.default_rng(seed)
    instruments = tuple(_instrument(rng, number, risk) for number in range(rng.integers(2, 5)))
    accounts = tuple(_account(rng, number, risk) for number in range(rng.integers(3, 7)))
    max_orders = int(rng.choice((4, 40, 200, 1000, 1000)))
    commands = _commands(rng, instruments, accounts, count)
    if risk:
        _risk(rng, commands)
    return Flow(seed, instruments, accounts, max_orders, commands, risk, int(rng.choice((60, 1 << 10))))


def reference(flow: Flow) -> ReferenceBook | RiskOracle:
    """The plain implementation of the flow's rules."""
    if flow.risk:
        return RiskOracle(flow.instruments, flow.accounts, flow.max_orders, flow.max_client_order_ids)
    return ReferenceBook(flow.instruments, flow.accounts, flow.max_orders)


def engine(flow: Flow) -> Exchange:
    return Exchange(flow.instruments, flow.accounts, risk=flow.risk, max_orders=flow.max_orders,
                    max_client_order_ids=flow.max_client_order_ids)


def _instrument(rng: np.random.Generator, number: int, risk: bool) -> Instrument:
    width = int(rng.integers(4, 40))
    floor = int(rng.integers(-60, 60))
    return instrument(f"I{number}", floor=floor, ceiling=floor + width,
                      reference_price=floor + int(rng.integers(0, width + 1)),
                      price_rule=str(rng.choice(("resting", "median"))), protection=int(rng.choice((0, 1, 3, 50))),
                      **(_instrument_limits(rng) if risk else {}))


def _instrument_limits(rng: np.random.Generator) -> dict[str, int]:
    return {"price_increment": int(rng.choice((1, 1, 1, 2))), "minimum_quantity": int(rng.choice((1, 1, 2))),
            "quantity_increment": int(rng.choice((1, 1, 1, 2))), "collar": int(rng.choice((0, 0, 4, 12))),
            "margin": int(rng.choice((0, 1, 10))), "max_order_quantity": int(rng.choice((FAR, 25))),
            "max_position": int(rng.choice((FAR, 60)))}


def _account(rng: np.random.Generator, number: int, risk: bool) -> Account:
    group = None if rng.random() < 0.4 else int(rng.integers(0, 3))
    return account(f"A{number}", group=group, self_match=SelfMatch(int(rng.integers(0, 4))),
                   **(_account_limits(rng) if risk else {}))


def _account_limits(rng: np.random.Generator) -> dict[str, int]:
    """Each limit is near for some accounts and far for others, so that none hides those that come after it."""
    near_or_far = {"equity": (300, 1500), "max_order_quantity": (6, 20), "max_order_notional": (100, 600),
                   "max_long": (20, 60), "max_short": (20, 60), "max_open_orders": (3, 12)}
    limits = {name: int(rng.integers(*near)) for name, near in near_or_far.items() if rng.random() < 0.4}
    return {**limits, "firm": int(rng.integers(0, 3)), "messages_per_second": int(rng.choice((0, 0, 300, 700))),
            "message_burst": int(rng.integers(1, 6))}


def _commands(rng: np.random.Generator, instruments: tuple, accounts: tuple, count: int) -> np.ndarray:
    commands = np.zeros(count, COMMAND)
    commands["sequence"] = np.arange(1, count + 1)
    commands["time"] = 1_800_000_000_000_000_000 + np.cumsum(rng.integers(0, 1_000_000, count))
    commands["kind"] = rng.choice([int(kind) for kind in KIND_SHARE], count,
                                  p=np.array(list(KIND_SHARE.values())) / sum(KIND_SHARE.values()))
    commands["instrument"] = rng.integers(0, len(instruments), count)
    commands["account"] = rng.integers(0, len(accounts), count)
    commands["side"] = rng.integers(1, 3, count)
    commands["order_type"] = np.where(rng.random(count) < 0.12, int(OrderType.MARKET), int(OrderType.LIMIT))
    commands["time_in_force"] = rng.choice([int(time) for time in TIME_IN_FORCE_SHARE], count,
                                           p=list(TIME_IN_FORCE_SHARE.values()))
    commands["quantity"] = rng.integers(1, rng.choice((3, 8, 30)), count)
    commands["client_order_id"] = _client_order_ids(rng, count)
    for field in ("trigger_price", "display_quantity", "session"):         # no rule reads these
        commands[field] = rng.integers(0, 2, count) * rng.integers(1, 1000, count)
    _flags(rng, commands)
    _prices(rng, commands, instruments)
    _orders_meant(rng, commands, len(instruments), len(accounts))
    _operators(rng, commands)
    _break_some(rng, commands)
    return commands


def _client_order_ids(rng: np.random.Generator, count: int) -> np.ndarray:
    letters = rng.integers(ord("a"), ord("z") + 1, (count, 20)).astype(np.uint8)
    letters[np.arange(20) >= rng.integers(0, 21, count)[:, None]] = 0
    return letters.view("S20")[:, 0]


def _flags(rng: np.random.Generator, commands: np.ndarray) -> None:
    count = len(commands)
    is_resting = ((commands["time_in_force"] <= TimeInForce.GTC) & (commands["order_type"] == OrderType.LIMIT)
                  | (commands["kind"] == CommandKind.AMEND))
    flags = (rng.random(count) < 0.2) & is_resting * int(Flag.POST_ONLY)
    flags = flags + (rng.random(count) < 0.03) * int(Flag.REDUCE_ONLY) + (rng.random(count) < 0.05) * int(Flag.LABEL)
    flags += (rng.random(count) < np.where(commands["kind"] == CommandKind.AMEND, 0.5, 0.02)) * int(Flag.OPEN_QUANTITY)
    flags += rng.choice([0, *map(int, MODE_FLAGS)], count, p=(0.7, 0.1, 0.1, 0.1))
    commands["flags"] = flags


def _prices(rng: np.random.Generator, commands: np.ndarray, instruments: tuple) -> None:
    """Around a middle that wanders through the band, bids a little below and offers a little above it."""
    count = len(commands)
    floor = np.array([terms.price_floor for terms in instruments])[commands["instrument"]]
    ceiling = np.array([terms.price_ceiling for terms in instruments])[commands["instrument"]]
    width = ceiling - floor
    middle = floor + width * (0.5 + 0.5 * np.sin(np.arange(count) / 300))
    apart = rng.choice((-0.05, 0.0, 0.05, 0.1)) * width * np.where(commands["side"] == Side.BUY, -1, 1)
    price = np.rint(middle + apart + rng.normal(0, rng.choice((0.08, 0.2)), count) * width).astype(np.int64)
    outside = rng.random(count) < 0.03
    commands["price"] = np.where(outside, price, np.clip(price, floor, ceiling))


def _orders_meant(rng: np.random.Generator, commands: np.ndarray, instruments: int, accounts: int) -> None:
    """Rows that cancel or amend name an order entered shortly before, mostly as its owner."""
    count = len(commands)
    entered = np.flatnonzero((commands["kind"] == CommandKind.ENTER) & (commands["time_in_force"] <= TimeInForce.GTC))
    before = np.searchsorted(entered, np.arange(count))                    # such rows before each row
    back = rng.geometric(rng.choice((0.3, 0.1, 0.03)), count)
    meant = entered[np.maximum(before - back, 0)] if len(entered) else np.zeros(count, np.int64)
    names_order = np.isin(commands["kind"], (CommandKind.CANCEL, CommandKind.AMEND)) & (before > 0)
    commands["order_id"] = np.where(names_order, commands["sequence"][meant], rng.integers(0, 2, count) * 5)
    owner = names_order & (rng.random(count) < 0.97)
    for field in ("instrument", "account"):
        commands[field] = np.where(owner, commands[field][meant], commands[field])
    same_price = owner & (rng.random(count) < 0.6)
    commands["price"] = np.where(same_price, commands["price"][meant], commands["price"])


def _operators(rng: np.random.Generator, commands: np.ndarray) -> None:
    """The fields that operator commands and MASS_CANCEL read in their own way."""
    kind, count = commands["kind"], len(commands)
    everywhere = rng.random(count) < 0.4
    anyone = rng.random(count) < 0.2
    mass = kind == CommandKind.MASS_CANCEL
    commands["instrument"][everywhere & (mass | (kind == CommandKind.PHASE))] = ALL
    commands["account"][anyone & mass] = ALL
    commands["side"][mass] = rng.integers(0, 3, mass.sum())
    for command_kind, codes in ((CommandKind.PHASE, Phase), (CommandKind.KILL_SWITCH, Scope),
                                (CommandKind.LIMIT, LIMITS)):
        rows = kind == command_kind
        commands["order_type"][rows] = rng.choice([int(code) for code in codes], rows.sum())
    reopened = np.flatnonzero(kind == CommandKind.PHASE) + PHASE_LASTS
    reopened = reopened[reopened < count]
    for field, value in (("kind", CommandKind.PHASE), ("order_type", Phase.CONTINUOUS), ("instrument", ALL)):
        commands[field][reopened] = int(value)
    small = (kind == CommandKind.KILL_SWITCH) | (kind == CommandKind.LIMIT)
    commands["quantity"][small] = rng.integers(-1, 5, small.sum())
    cash = kind == CommandKind.CASH
    commands["quantity"][cash] = rng.integers(-1000, 1000, cash.sum())


def _risk(rng: np.random.Generator, commands: np.ndarray) -> None:
    """What only risk reads: client order ids that repeat, switches that are soon turned off, limits near and far."""
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
    """Put a wrong value into one field of about one row in twenty-five."""
    fields = list(WRONG)
    for row in np.flatnonzero(rng.random(len(commands)) < 0.04):
        field = fields[rng.integers(len(fields))]
        commands[field][row] = WRONG[field][rng.integers(len(WRONG[field]))]
