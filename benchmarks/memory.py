"""How much memory does the machine take? Measured in a process that does nothing else; a part of benchmarks/kernel.py.

    python -m benchmarks.memory 1000000 50000000        # resting orders; commands; prints JSON

Two questions: what does a resting order cost, and does anything grow with history?
"""

import argparse
import json
from typing import Any

import numpy as np

from benchmarks.measure import MEGABYTE, resident_bytes
from benchmarks.workloads import Flow, Outcome, mixed
from exchange import Exchange
from matching.codes import ALL, CommandKind, OrderType, Side, TimeInForce
from matching.records import COMMAND

BATCH = 4_096
ROWS = 1_000_000  # of the flow that is repeated
EMPTY = Outcome(0, 0, 0, 0, 0)


def resting(orders: int) -> dict[str, Any]:
    """RAM of so many resting orders, all of one side at a hundred prices, in an engine with room for exactly these."""
    rows = np.zeros(BATCH, COMMAND)
    rows["kind"], rows["side"] = CommandKind.ENTER, Side.BUY
    rows["order_type"], rows["time_in_force"] = OrderType.LIMIT, TimeInForce.GTC
    rows["quantity"], rows["price"], rows["time"] = 1, 30_000 + np.arange(BATCH) % 100, 1
    _enter(_engine(BATCH), rows)  # memory of the first call does not belong to the orders
    exchange = _engine(orders + BATCH)
    rounds = -(-orders // BATCH)
    before = resident_bytes()
    for _ in range(rounds):
        _enter(exchange, rows)
    if exchange.book.state[0].orders != rounds * BATCH:
        raise ValueError(f"{exchange.book.state[0].orders} orders rest, {rounds * BATCH} were entered")
    return {"orders": rounds * BATCH, "bytes_per_order": (resident_bytes() - before) / (rounds * BATCH)}


def _engine(orders: int) -> Exchange:
    return Flow("resting orders", np.zeros(0, COMMAND), 0, EMPTY, live=orders // 2).exchange()


def _enter(exchange: Exchange, rows: np.ndarray) -> None:
    rows["sequence"] = exchange.sequence + 1 + np.arange(len(rows))
    exchange.apply(rows)


def growth(flow: Flow, commands: int) -> dict[str, Any]:
    """RAM after a tenth of so many commands, and after all of them: the flow repeated, with the book emptied in between."""
    exchange = flow.exchange()
    rows = np.concatenate([flow.commands, np.zeros(1, COMMAND)])
    rows["kind"][-1], rows["instrument"][-1], rows["account"][-1] = CommandKind.MASS_CANCEL, ALL, ALL
    rows["time"][-1] = rows["time"][-2]
    named = np.flatnonzero(rows["order_id"])
    rows["sequence"] = np.arange(1, len(rows) + 1)
    rounds = -(-commands // len(rows))
    early = 0
    for number in range(rounds):
        for at in range(0, len(rows), BATCH):
            exchange.apply(rows[at : at + BATCH])
        if number == rounds // 10:
            early = resident_bytes()
        rows["sequence"] += len(rows)
        rows["time"] += len(rows) * 1000
        rows["order_id"][named] += len(rows)
    late = resident_bytes()
    if exchange.book.state[0].orders:
        raise ValueError(f"{exchange.book.state[0].orders} orders rest after everything was canceled")
    return {
        "commands": rounds * len(rows),
        "early_megabytes": early / MEGABYTE,
        "late_megabytes": late / MEGABYTE,
        "grown_megabytes": (late - early) / MEGABYTE,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("orders", type=int, help="resting orders")
    parser.add_argument("commands", type=int, help="commands over which memory may not grow")
    given = parser.parse_args()
    flow = mixed(min(ROWS, given.commands))
    print(json.dumps({"resting": resting(given.orders), "growth": growth(flow, given.commands)}))
