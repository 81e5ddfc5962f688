"""Random commands for markets with offsets, legs, market-maker protection and settlement.

It is a flow of tests/matching/flow.py with risk on. Some instruments keep long and short apart; the last ones are a spread, a
TAS and a block of the first ones. Orders carry offset flags that are mostly right. Some accounts have market-maker protection.
Days are settled and ended. The flow has its own operator commands.
"""

import dataclasses
from typing import Any

import numpy as np

from exchange import Instrument
from matching.codes import (
    ALL,
    STOP_TYPES,
    CommandKind,
    Flag,
    Limit,
    OrderType,
    Phase,
    SettlementRule,
    Side,
    TimeInForce,
)
from tests.build import instrument
from tests.matching.flow import Flow, random_flow

OPEN, CLOSE, CLOSE_TODAY = int(Flag.OPEN), int(Flag.CLOSE), int(Flag.CLOSE_TODAY)
OFFSET = OPEN | CLOSE | CLOSE_TODAY
FAR = 1 << 40
LIMITS = {
    Limit.PROTECTION_RESET: (0,),
    Limit.PROTECTION_LOTS: (0, 20, 60),
    Limit.PROTECTION_INTERVAL: (0, 1, 50),
    Limit.INSTRUMENT_OPENING_CAP: (0, 40, 400),
    Limit.INSTRUMENT_MARGIN: (0, 0, 5, 60),
    Limit.INSTRUMENT_MAX_POSITION: (20, FAR),
    Limit.INSTRUMENT_FEE_PER_LOT: (0, 3),
    Limit.INSTRUMENT_FEE_RATE: (0, 999, 1_000_000),
    Limit.INSTRUMENT_MARGIN_RATE: (0, 700),
}
BREAKER_LIMITS = {Limit.INSTRUMENT_VELOCITY: (0, 1, 2, 4), Limit.INSTRUMENT_VELOCITY_WINDOW: (0, 1, 2, 50, 4000)}
OPERATORS = {CommandKind.LIMIT: 0.6, CommandKind.CASH: 0.15, CommandKind.LIQUIDATE: 0.1, CommandKind.END_DAY: 0.15}


def special_flow(seed: int, count: int, risk: bool = True) -> Flow:
    """The flow of a seed, always with risk on.

    Instruments: 0, 1 and 2 are outrights, then a spread of 0 and 1, TAS of 0 and a block of 1.
    """
    rng = np.random.default_rng((seed, 10))
    flow = random_flow(seed, count, risk=True)
    instruments = _instruments(rng)
    accounts = tuple(
        dataclasses.replace(  # limits that other flows reach are high here
            terms,
            protection_lots=int(rng.choice((0, 15))),
            protection_interval=int(rng.choice((0, 1, 20))),
            equity=int(rng.choice((400, 3_000, 20_000))),
            messages_per_second=0,
            max_open_orders=FAR,
            max_order_quantity=FAR,
            max_order_notional=1 << 61,
        )
        for terms in flow.accounts
    )
    commands = flow.commands.copy()
    number = rng.integers(0, len(instruments), len(commands))
    trader = commands["kind"] < CommandKind.MASS_CANCEL
    commands["kind"][~trader] = CommandKind.ENTER
    commands["order_type"][~trader] = OrderType.LIMIT
    commands["quantity"] = np.where(trader, commands["quantity"], rng.integers(1, 8, len(commands)))
    commands["side"] = np.where(trader, commands["side"], rng.integers(1, 3, len(commands)))
    commands["instrument"] = number
    commands["order_id"] = np.where(commands["kind"] == CommandKind.ENTER, 0, commands["order_id"])
    gone = np.isin(commands["kind"], (CommandKind.CANCEL, CommandKind.AMEND)) & (rng.random(len(commands)) < 0.5)
    commands["kind"][gone] = CommandKind.ENTER
    commands["order_id"][gone] = 0
    commands["client_order_id"] = b""
    _prices(rng, commands, instruments)
    _conditions(rng, commands)
    _same_order(commands)
    _flags(rng, commands, instruments)
    _operators(rng, commands, len(instruments), len(accounts))
    return Flow(seed, instruments, accounts, int(rng.choice((60, 500))), commands, True, 1 << 10)


def breaker_flow(seed: int, count: int) -> Flow:
    """The special flow of a seed in which LIMIT commands set the circuit breaker, and PHASE CONTINUOUS replaces CASH."""
    rng = np.random.default_rng((seed, 11))
    flow = special_flow(seed, count)
    for row in np.flatnonzero(flow.commands["kind"] == CommandKind.LIMIT):
        limit = rng.choice(list(BREAKER_LIMITS))
        _write(
            flow.commands[row],
            {
                "kind": CommandKind.LIMIT,
                "instrument": int(flow.commands["instrument"][row]),
                "order_type": limit,
                "quantity": rng.choice(BREAKER_LIMITS[limit]),
            },
        )
    for row in np.flatnonzero(flow.commands["kind"] == CommandKind.CASH):
        _write(flow.commands[row], {"kind": CommandKind.PHASE, "instrument": ALL, "order_type": Phase.CONTINUOUS})
    return flow


def _instruments(rng: np.random.Generator) -> tuple[Instrument, ...]:
    apart = bool(rng.integers(0, 2))
    terms = {
        "physical": True,
        "daily_limit": int(rng.choice((0, 500))),
        "fee_per_lot": int(rng.choice((0, 2))),
        "fee_rate": int(rng.choice((0, 250))),
        "margin_rate": int(rng.choice((0, 0, 1_500))),
    }
    outrights = [
        instrument(
            f"I{number}",
            margin=int(rng.choice((1, 10, 40))),
            price_rule=str(rng.choice(("resting", "median"))),
            max_position=int(rng.choice((60, FAR))),
            opening_cap=int(rng.choice((0, 40))),
            offset=apart if number < 2 else not apart,
            **terms,
        )
        for number in range(3)
    ]
    return (
        *outrights,
        instrument("SPREAD", floor=-10, ceiling=10, reference_price=0, legs=("I0", "I1"), offset=apart),
        instrument(
            "TAS", floor=-5, ceiling=5, reference_price=0, legs=("I0",), at_settlement=True, offset=apart, fee_per_lot=1
        ),
        instrument("BLOCK", legs=("I1",), offset=apart),
    )


def _prices(rng: np.random.Generator, commands: np.ndarray, instruments: tuple[Any, ...]) -> None:
    middle = np.array([terms.reference_price for terms in instruments])[commands["instrument"]]
    away = np.where(commands["side"] == Side.BUY, -1, 1) * rng.integers(-1, 3, len(commands))
    commands["price"] = middle + away


def _conditions(rng: np.random.Generator, commands: np.ndarray) -> None:
    """Some stop orders and some icebergs, which are held like any order."""
    for field in ("trigger_price", "display_quantity", "minimum_quantity", "expire_date", "counterparty"):
        commands[field] = 0
    commands["time_in_force"][commands["time_in_force"] == TimeInForce.OPENING] = TimeInForce.DAY
    commands["expire_date"][commands["time_in_force"] == TimeInForce.GTD] = 2026_01_03
    rests = (commands["kind"] == CommandKind.ENTER) & (commands["time_in_force"] <= TimeInForce.GTC)
    away = np.where(commands["side"] == Side.BUY, 1, -1) * rng.integers(0, 6, len(commands))
    waits = rests & (rng.random(len(commands)) < 0.06)
    commands["order_type"][waits] = rng.choice(sorted(STOP_TYPES), waits.sum())
    commands["trigger_price"][waits] = (commands["price"] + away)[waits]
    commands["flags"][waits] &= ~np.uint32(Flag.POST_ONLY)
    shows = rests & (commands["order_type"] == OrderType.LIMIT) & (rng.random(len(commands)) < 0.02)
    commands["display_quantity"][shows] = 1


def _same_order(commands: np.ndarray) -> None:
    """CANCEL and AMEND name the instrument, account and price of their order."""
    for row in np.flatnonzero(np.isin(commands["kind"], (CommandKind.CANCEL, CommandKind.AMEND))):
        meant = int(commands["order_id"][row]) - 1
        if 0 <= meant < row:
            for field in ("instrument", "account", "price", "trigger_price"):
                commands[field][row] = commands[field][meant]


def _flags(rng: np.random.Generator, commands: np.ndarray, instruments: tuple[Any, ...]) -> None:
    """Offset flags where the instrument has them; one in fifty is wrong."""
    count = len(commands)
    offset = rng.choice((OPEN, CLOSE, CLOSE_TODAY), count, p=(0.7, 0.15, 0.15))
    apart = np.array([terms.offset for terms in instruments])[commands["instrument"]] & (
        commands["kind"] == CommandKind.ENTER
    )
    commands["flags"] = commands["flags"] & ~np.uint32(OFFSET) & 0x7F | np.where(apart, offset, 0).astype(np.uint32)
    lasting = np.isin(commands["time_in_force"], (TimeInForce.GTC, TimeInForce.GTD)) & (
        commands["flags"] & CLOSE_TODAY != 0
    )
    commands["time_in_force"][lasting & (rng.random(count) < 0.9)] = TimeInForce.DAY
    wrong = (rng.random(count) < 0.02) & (commands["kind"] != CommandKind.CANCEL)
    commands["flags"][wrong] ^= rng.choice((OPEN, CLOSE, CLOSE_TODAY), wrong.sum()).astype(np.uint32)


def _operators(rng: np.random.Generator, commands: np.ndarray, instruments: int, accounts: int) -> None:
    """At intervals one of: a limit, cash, a liquidation, the end of a day with its settlements."""
    row, day = int(rng.integers(20, 60)), 0
    while row + instruments + 3 < len(commands):
        kind = rng.choice(list(OPERATORS), p=list(OPERATORS.values()))
        names = {"kind": kind, "account": rng.integers(0, accounts), "instrument": rng.integers(0, instruments)}
        if kind == CommandKind.LIMIT:
            often = (Limit.PROTECTION_RESET, Limit.INSTRUMENT_MARGIN)
            limit = often[rng.integers(2)] if rng.random() < 0.5 else list(LIMITS)[rng.integers(len(LIMITS))]
            names |= {"order_type": limit, "quantity": rng.choice(LIMITS[limit])}
        elif kind == CommandKind.CASH:
            names |= {"quantity": rng.integers(-2000, 3000)}
        if kind != CommandKind.END_DAY:
            _write(commands[row], names)
            row += int(rng.integers(5, 40))
            continue
        day += 1
        for number in rng.permutation(instruments):
            rule = rng.choice((SettlementRule.DAY_VWAP, SettlementRule.WINDOW_VWAP, SettlementRule.GIVEN))
            _write(
                commands[row],
                {"kind": CommandKind.SETTLE, "instrument": number, "order_type": rule, "price": commands["price"][row]},
            )
            row += 1
        _write(commands[row], {"kind": CommandKind.END_DAY})
        _write(commands[row + 1], {"kind": CommandKind.BEGIN_DAY, "quantity": 2026_01_01 + day})
        row += int(rng.integers(20, 120))
    if rng.random() < 0.5:
        _write(commands[-2], {"kind": CommandKind.SETTLE, "instrument": 0, "order_type": SettlementRule.DAY_VWAP})
        _write(commands[-1], {"kind": CommandKind.EXPIRE, "instrument": 0})


def _write(row: np.void, fields: dict[str, int]) -> None:
    """Replace a row with an operator command at the same time."""
    for name in row.dtype.names or ():
        if name not in ("sequence", "time"):
            row[name] = fields.get(name, b"" if name == "client_order_id" else 0)
