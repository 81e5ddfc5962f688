"""How long does a whole trading day take? Machine and risk in one process, no journal, no sockets.

    python -m benchmarks.day                          # a minute; writes benchmarks/results/day.json
    python -m benchmarks.day --rows 100000            # another size; stores nothing

The seeded mix of `workloads.mixed` over sixteen instruments becomes a day: BEGIN_DAY, a call auction that trades what has
been collected, continuous trading with breaks, the close, SETTLE of every instrument, END_DAY. Before the day is timed, it must
conserve lots and money: positions sum to zero, and the equity of all accounts plus the hub's fees is what was paid in. The
time includes every command.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from benchmarks.kernel import BATCH, MILLION
from benchmarks.measure import alternate, machine, machine_line, store, summary, table
from benchmarks.workloads import mixed
from exchange import Account, Exchange, Instrument
from matching.codes import ALL, CommandKind, EventKind, Phase, SettlementRule
from matching.records import COMMAND

INSTRUMENTS, ACCOUNTS, LIVE, BAND, REPEATS = 16, 100, 32_000, 1 << 16, 7
EQUITY = 1 << 50  # fen
DATE = 2026_12_01
AUCTION = 0.02  # share of the day's orders that the opening auction collects
BREAKS = (0.35, 0.6, 0.8)  # of the day, where trading pauses


def operator(kind: CommandKind, **fields: Any) -> np.ndarray:
    """One COMMAND row of the operator, not stamped."""
    row = np.zeros(1, COMMAND)
    row["kind"] = kind
    for name, value in fields.items():
        row[name] = value
    return row


def phase(code: Phase) -> np.ndarray:
    return operator(CommandKind.PHASE, instrument=ALL, order_type=code)


def day(rows: int) -> np.ndarray:
    """COMMAND rows of a day with so many rows of members: stamped, and each order named by its sequence in the day."""
    orders = mixed(rows, instruments=INSTRUMENTS, live=LIVE).commands
    cuts = [int(share * len(orders)) for share in (AUCTION, *BREAKS, 1)]
    parts = [
        operator(CommandKind.BEGIN_DAY, quantity=DATE),
        phase(Phase.CALL_AUCTION),
        orders[: cuts[0]],
        phase(Phase.AUCTION_MATCH),
        phase(Phase.CONTINUOUS),
    ]
    for first, last in zip(cuts, cuts[1:], strict=False):
        parts += [orders[first:last], phase(Phase.BREAK), phase(Phase.CONTINUOUS)]
    parts += [phase(Phase.CLOSING), phase(Phase.SETTLEMENT)]
    parts += [
        operator(CommandKind.SETTLE, instrument=number, order_type=SettlementRule.DAY_VWAP)
        for number in range(INSTRUMENTS)
    ]
    parts += [operator(CommandKind.END_DAY), phase(Phase.CLOSED)]
    commands = np.concatenate(parts)
    now = np.zeros(len(orders) + 1, np.int64)  # sequence in the day of a row of the flow
    now[1:] = np.flatnonzero(commands["sequence"] != 0) + 1
    commands["order_id"] = now[commands["order_id"]]
    commands["sequence"] = np.arange(1, len(commands) + 1)
    commands["time"] = np.maximum.accumulate(commands["time"])
    return commands


def fresh_exchange() -> Exchange:
    """A new market: daily limits as wide as the ladder, margin and fees by value."""
    terms = [
        Instrument(
            symbol=f"I{number}",
            tick_size=Decimal("0.1"),
            lot_size=Decimal(100),
            price_floor=1,
            price_ceiling=BAND,
            margin=50_000,
            margin_rate=1_000,
            fee_per_lot=200,
            fee_rate=50,
            max_position=1 << 36,
            phase=Phase.CLOSED,
        )
        for number in range(INSTRUMENTS)
    ]
    accounts = [
        Account(name=f"A{number}", equity=EQUITY, max_long=1 << 36, max_short=1 << 36) for number in range(ACCOUNTS)
    ]
    return Exchange(terms, accounts, max_orders=4 * LIVE)


def run(commands: np.ndarray) -> float:
    """CPU seconds for a day on a fresh market."""
    exchange = fresh_exchange()
    start = time.thread_time()
    for first in range(0, len(commands), BATCH):
        exchange.apply(commands[first : first + BATCH])
    return time.thread_time() - start


def settle_seconds(commands: np.ndarray) -> float:
    """CPU seconds of the close alone, from CLOSING on."""
    closing = int(np.flatnonzero(commands["kind"] == CommandKind.SETTLE)[0]) - 2
    exchange = fresh_exchange()
    for first in range(0, closing, BATCH):
        exchange.apply(commands[first : min(first + BATCH, closing)])
    start = time.thread_time()
    exchange.apply(commands[closing:])
    return time.thread_time() - start


def prove(commands: np.ndarray) -> dict[str, int]:
    """The totals of the day. Errors: ValueError if lots or money are not conserved, or an instrument was not settled."""
    exchange = fresh_exchange()
    kinds: Counter[int] = Counter()
    for first in range(0, len(commands), BATCH):
        kinds.update(exchange.apply(commands[first : first + BATCH])["kind"].tolist())
    ledger = exchange.ledger
    positions = ledger.exposures["position"].reshape(ACCOUNTS, INSTRUMENTS).sum(axis=0)
    money = int(ledger.accounts["equity"].sum()) + int(ledger.hub[0]["fees"])
    if positions.any() or money != ACCOUNTS * EQUITY:
        raise ValueError(
            f"the day does not conserve: positions {positions.tolist()}, money {money}, paid in {ACCOUNTS * EQUITY}"
        )
    if kinds[EventKind.SETTLED] != INSTRUMENTS or kinds[EventKind.AUCTION] != INSTRUMENTS:
        raise ValueError(
            f"{kinds[EventKind.SETTLED]} instruments settled, {kinds[EventKind.AUCTION]} auctions; "
            f"{INSTRUMENTS} of each expected"
        )
    return {
        "commands": len(commands),
        "trades": kinds[EventKind.TRADED],
        "rejected": kinds[EventKind.REJECTED],
        "canceled": kinds[EventKind.CANCELED],
        "fees": int(ledger.hub[0]["fees"]),
    }


def measure_day(rows: int, repeats: int) -> dict[str, Any]:
    """Prove a day, then time it."""
    commands = day(rows)
    outcome = prove(commands)
    seconds = alternate({"day": lambda: run(commands), "close": lambda: settle_seconds(commands)}, repeats)
    return {
        **outcome,
        "seconds": {name: summary(runs) for name, runs in seconds.items()},
        "million_per_second": summary(len(commands) / each / MILLION for each in seconds["day"]),
    }


def report(result: dict[str, Any]) -> str:
    """The table of a result."""
    seconds = result["seconds"]
    rows = [
        [
            f"a day of {result['commands']:,} commands, {result['trades']:,} trades",
            f"{seconds['day']:.3f}",
            f"{result['million_per_second']:.1f}",
        ],
        [f"its close: {INSTRUMENTS} instruments, {ACCOUNTS} accounts", f"{seconds['close']:.4f}", ""],
    ]
    return "\n".join(
        [machine_line(result["machine"]), "", table(("", "CPU seconds", "million commands a second"), rows)]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=MILLION, help="the members' commands (1,000,000)")
    given = parser.parse_args(arguments)
    result = {"machine": machine(), **measure_day(given.rows, REPEATS)}
    print(report(result))
    if given.rows == MILLION:
        print("\nstored:", store("day", result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
