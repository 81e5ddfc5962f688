"""A random flow with the orders and phases of a trading day, for projections that are compared with the engine.

    flow = day_flow(seed=3, count=700)

It is tests/matching/flow.py's crowded flow, dressed: some orders become icebergs or stops, name a minimum, a date or an
order that they cancel, and the instruments go through call auctions, breaks and days.
"""
from dataclasses import replace

import numpy as np

from matching.codes import ALL, CommandKind, OrderType, Phase, Side, TimeInForce
from tests.matching.flow import Flow, random_flow

FIRST_DATE = 20261105
# From CONTINUOUS on; each round ends with continuous trading again.
ROUNDS = ((Phase.CALL_AUCTION, Phase.CONTINUOUS), (Phase.CALL_AUCTION, Phase.AUCTION_MATCH, Phase.CONTINUOUS),
          (Phase.BREAK, Phase.CALL_AUCTION, Phase.CONTINUOUS), (Phase.HALTED, Phase.CONTINUOUS))


def day_flow(seed: int, count: int) -> Flow:
    """The flow of a seed."""
    flow = random_flow(seed, count)
    rng = np.random.default_rng((seed, 1))
    commands = flow.commands
    for field in ("trigger_price", "display_quantity", "minimum_quantity", "expire_date", "counterparty"):
        commands[field] = 0
    entered = commands["kind"] == CommandKind.ENTER
    commands["order_id"][entered] = 0
    rests = entered & (commands["time_in_force"] <= TimeInForce.GTC) & (commands["order_type"] == OrderType.LIMIT)
    _dress(rng, commands, rests, flow)
    _pair(rng, commands, rests)
    _schedule(rng, commands, len(flow.instruments))
    velocities = rng.choice((0, 0, 2, 5), len(flow.instruments)).tolist()
    return replace(flow, max_orders=2048, instruments=tuple(
        replace(terms, velocity=velocity, velocity_window=velocity and 100)
        for terms, velocity in zip(flow.instruments, velocities, strict=True)))


def _dress(rng: np.random.Generator, commands: np.ndarray, rests: np.ndarray, flow: Flow) -> None:
    """Icebergs, stops, dates, sessions and minimum quantities."""
    count = len(commands)
    draw = rng.random(count)
    stops = rests & (draw < 0.25)
    beyond = rng.integers(-1, 6, count)
    near = commands["price"] + np.where(commands["side"] == Side.BUY, beyond, -beyond)
    floor = np.array([terms.price_floor for terms in flow.instruments])[commands["instrument"] % len(flow.instruments)]
    ceiling = np.array([terms.price_ceiling for terms in flow.instruments])[commands["instrument"] % len(flow.instruments)]
    commands["trigger_price"][stops] = np.clip(near, floor, ceiling)[stops]
    commands["order_type"][stops] = np.where(draw < 0.12, int(OrderType.STOP), int(OrderType.STOP_LIMIT))[stops]
    commands["flags"][stops] &= ~1 & 0xFFFFFFFF
    icebergs = rests & (rng.random(count) < 0.3) & (commands["order_type"] != OrderType.STOP)
    commands["display_quantity"][icebergs] = (1 + rng.integers(0, 1 << 20, count) % np.maximum(commands["quantity"], 1))[icebergs]
    dated = rests & (rng.random(count) < 0.1)
    commands["time_in_force"][dated] = TimeInForce.GTD
    commands["expire_date"][dated] = FIRST_DATE + rng.integers(0, 4, count)[dated]
    passing = rests & ~dated & (rng.random(count) < 0.1)
    commands["time_in_force"][passing] = TimeInForce.SESSION
    least = (commands["kind"] == CommandKind.ENTER) & (commands["time_in_force"] == TimeInForce.IOC) & (rng.random(count) < 0.4)
    commands["minimum_quantity"][least] = (1 + rng.integers(0, 9, count) % np.maximum(commands["quantity"], 1))[least]
    again = (commands["kind"] == CommandKind.AMEND) & (rng.random(count) < 0.3)
    commands["trigger_price"][again] = np.clip(near, floor, ceiling)[again]


def _pair(rng: np.random.Generator, commands: np.ndarray, rests: np.ndarray) -> None:
    """Orders that name an earlier one of the same account, instrument and side."""
    last: dict[tuple[int, int, int], int] = {}
    for row in np.flatnonzero(rests):
        key = tuple(int(commands[name][row]) for name in ("account", "instrument", "side"))
        if key in last and rng.random() < 0.2:
            commands["order_id"][row] = last[key]
        last[key] = int(commands["sequence"][row])


def _schedule(rng: np.random.Generator, commands: np.ndarray, instruments: int) -> None:
    """Rounds of phases, ten rows a phase, in place of other commands; now and then a day ends and another begins."""
    for field in ("kind", "instrument", "account", "side", "order_type", "quantity"):
        commands[field][commands["kind"] == CommandKind.PHASE] = {"kind": CommandKind.MASS_CANCEL}.get(field, 0)
    date = FIRST_DATE
    _put(commands, 0, CommandKind.BEGIN_DAY, ALL, 0, date)
    for begin in range(40, len(commands) - 50, 60):
        instrument = int(rng.choice((ALL, *range(instruments))))
        for step, phase in enumerate(ROUNDS[rng.integers(len(ROUNDS))]):
            _put(commands, begin + 10 * step, CommandKind.PHASE, instrument, phase, 0)
            if phase == Phase.CALL_AUCTION and rng.random() < 0.7:
                _opening(rng, commands, slice(begin + 10 * step + 1, begin + 10 * step + 10))
        if rng.random() < 0.2:
            date += 1
            _put(commands, begin + 45, CommandKind.END_DAY, ALL, 0, 0)
            _put(commands, begin + 46, CommandKind.BEGIN_DAY, ALL, 0, date)


def _put(commands: np.ndarray, row: int, kind: CommandKind, instrument: int, code: int, quantity: int) -> None:
    for field in ("price", "trigger_price", "display_quantity", "minimum_quantity", "expire_date", "order_id", "side", "flags",
                  "account", "time_in_force"):
        commands[field][row] = 0
    commands["kind"][row], commands["instrument"][row] = kind, instrument
    commands["order_type"][row], commands["quantity"][row] = code, quantity


def _opening(rng: np.random.Generator, commands: np.ndarray, rows: slice) -> None:
    """In an auction, some orders for it alone."""
    part = commands[rows]
    plain = (part["kind"] == CommandKind.ENTER) & (part["order_type"] == OrderType.LIMIT) & (part["minimum_quantity"] == 0)
    part["flags"][plain] &= ~1 & 0xFFFFFFFF
    chosen = plain & (rng.random(len(part)) < 0.4)
    part["time_in_force"][chosen] = TimeInForce.OPENING
    part["expire_date"][chosen] = 0
