"""How fast is the machine? Matching and risk in one process, no journal, no sockets.

    python -m benchmarks.kernel                       # under four minutes; writes benchmarks/results/kernel.json
    python -m benchmarks.kernel --quick
    python -m benchmarks.kernel --flow FLOW.npy       # beside our own mix, a flow from a file (workloads.recorded)

Every flow first runs through the engine, with risk and without, and must give exactly what its oracle says. Only then is it
timed. Events are written in full, and the reader drops them before the next batch. "times the yardstick" is the median of
pairs: yardstick and engine alternate, on the same flow, within the same seconds. Seconds are CPU seconds of the one thread.
They equal wall time if no other process uses the core.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import alternate, machine, machine_line, ratios, store, summary, table
from benchmarks.workloads import Flow, deep_level, mixed, outcome_of, recorded, recorded_outcome, sweep
from benchmarks.yardstick import Yardstick

BATCH = 4_096
BATCHES = (1, 16, 256, 4_096)
SMALL_BATCHES = 64  # below it, fewer rows are timed
MILLION = 1_000_000


def prove(flow: Flow) -> None:
    """Errors: ValueError if the engine, with risk or without, gives another result than the flow's oracle."""
    for risk in (True, False):
        exchange = flow.exchange(risk)
        events = np.concatenate([exchange.apply(batch).copy() for batch in flow.batches(BATCH)])
        outcome = recorded_outcome(flow, events, exchange) if flow.recorded else outcome_of(events, exchange)
        if outcome != flow.outcome:
            raise ValueError(f"flow {flow.name}, risk {risk}: the engine gives {outcome}, the oracle {flow.outcome}")


def seconds_of(flow: Flow, risk: bool = True, batch: int = BATCH, rows: int | None = None) -> float:
    """CPU seconds for the rows after the warm ones, or for the first so many of them."""
    exchange = flow.exchange(risk)
    last = len(flow.commands) if rows is None else min(len(flow.commands), flow.warm + rows)
    batches = list(flow.batches(batch, flow.warm, last))
    for warm in flow.batches(BATCH, 0, flow.warm):
        exchange.apply(warm)
    apply = exchange.apply
    start = time.thread_time()
    for commands in batches:
        apply(commands)
    return time.thread_time() - start


def timed_rows(flow: Flow) -> int:
    return len(flow.commands) - flow.warm


def measure_ratio(flow: Flow, repeats: int) -> dict[str, Any]:
    """Against the yardstick, with risk and without."""
    yardstick = Yardstick(flow)
    trades = len(yardstick.trades())
    if trades != flow.outcome.trades:
        raise ValueError(f"flow {flow.name}: the yardstick gives {trades} trades, the oracle {flow.outcome.trades}")
    seconds = alternate(
        {
            "yardstick": yardstick.run,
            "risk": lambda: seconds_of(flow),
            "matching alone": lambda: seconds_of(flow, risk=False),
        },
        repeats,
    )
    rows = timed_rows(flow)
    return {
        "flow": flow.name,
        "rows": rows,
        "trades": flow.outcome.trades,
        "million_per_second": {name: summary(rows / each / MILLION for each in runs) for name, runs in seconds.items()},
        "times_yardstick": {name: ratios(runs, seconds["yardstick"]) for name, runs in seconds.items()},
    }


def measure_batches(flow: Flow, repeats: int) -> dict[str, Any]:
    """Nanoseconds per command at several sizes of a batch, risk on."""

    def program(batch: int) -> Callable[[], float]:
        rows = timed_rows(flow) // (10 if batch < SMALL_BATCHES else 1)
        return lambda: seconds_of(flow, batch=batch, rows=rows) / rows * 1e9

    seconds = alternate({str(batch): program(batch) for batch in BATCHES}, repeats)
    return {batch: summary(nanoseconds) for batch, nanoseconds in seconds.items()}


def measure_hard(flows: Sequence[Flow], repeats: int) -> list[dict[str, Any]]:
    """Rates on hard flows, risk on and off; against the yardstick where it supports the flow."""
    rows = []
    for flow in flows:
        prove(flow)
        programs: dict[str, Callable[[], float]] = {
            "risk": lambda: seconds_of(flow),  # noqa: B023
            "matching alone": lambda: seconds_of(flow, risk=False),  # noqa: B023
        }
        if flow.instruments == 1:
            programs["yardstick"] = Yardstick(flow).run
        seconds = alternate(programs, repeats)
        rows.append(
            {
                "flow": flow.name,
                "rows": timed_rows(flow),
                "trades": flow.outcome.trades,
                "live": flow.outcome.orders,
                "million_per_second": {
                    name: summary(timed_rows(flow) / each / MILLION for each in runs) for name, runs in seconds.items()
                },
            }
        )
    return rows


def measure_memory(orders: int, commands: int) -> dict[str, Any]:
    """benchmarks/memory.py in a process of its own."""
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", str(orders), str(commands)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(told.stdout)


# Report -------------------------------------------------------------------------------------------


def report(result: dict[str, Any]) -> str:
    """The tables of a result."""
    lines = [machine_line(result["machine"]), ""]
    rows = []
    for flow in result["ratios"]:
        for name in ("yardstick", "risk", "matching alone"):
            rows.append(
                [
                    f"{flow['flow']}: {_LABELS[name]}",
                    f"{flow['million_per_second'][name]:.1f}",
                    f"{flow['times_yardstick'][name]:.2f}",
                ]
            )
    lines += [f"batches of {BATCH}", table(("", "million commands a second", "times the yardstick"), rows), ""]
    rows = [[batch, f"{nanoseconds:,.0f}"] for batch, nanoseconds in result["batches"].items()]
    lines.append(table(("rows a batch, risk on", "ns a command"), rows))
    rows = []
    for flow in result["hard"]:
        rates = (flow["million_per_second"].get(name) for name in _LABELS)
        rows.append(
            [flow["flow"], f"{flow['rows']:,}", f"{flow['live']:,}", *(f"{rate:.1f}" if rate else "" for rate in rates)]
        )
    lines += ["", table(("hard cases, million a second", "commands", "orders left", *_LABELS.values()), rows)]
    resting, growth = result["memory"]["resting"], result["memory"]["growth"]
    lines.append(
        f"\nmemory: {resting['bytes_per_order']:.0f} bytes a resting order ({resting['orders']:,} orders); "
        f"{growth['grown_megabytes']:+.1f} MiB from a tenth to all of {growth['commands']:,} commands "
        f"({growth['late_megabytes']:.0f} MiB then)"
    )
    return "\n".join(lines)


_LABELS = {"yardstick": "yardstick", "risk": "risk and events", "matching alone": "risk=False"}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run on short flows, that stores nothing")
    parser.add_argument("--rows", type=int, help="commands of each flow (default 1,000,000; quick 100,000)")
    parser.add_argument("--flow", type=Path, help="a recorded flow to measure as well, its oracle beside it as .json")
    given = parser.parse_args(arguments)
    rows = given.rows or (100_000 if given.quick else MILLION)
    repeats, result = 3 if given.quick else 7, {"machine": machine(), "rows": rows, "repeats": 3 if given.quick else 7}
    friendly = [mixed(rows)]
    try:
        if given.flow is not None:
            friendly.insert(0, recorded(given.flow))
    except (OSError, ValueError) as error:
        print(f"--flow: {error}", file=sys.stderr)
        return 2
    for flow in friendly:
        prove(flow)
    result["ratios"] = [measure_ratio(flow, repeats) for flow in friendly]
    result["batches"] = measure_batches(friendly[-1], repeats)
    short, many = rows // 2, min(MILLION, 2 * rows)
    hard: list[Callable[[], Flow]] = [
        lambda: friendly[-1].with_client_order_ids(),
        lambda: mixed(short, live=100),
        lambda: mixed(short, live=100_000),
        lambda: mixed(short, live=many),
        lambda: mixed(short, instruments=16, live=32_000),
        lambda: mixed(short, instruments=1_000, live=100_000, band=4_096),
        lambda: deep_level(short),
        lambda: sweep(rows),
    ]
    result["hard"] = [row for make in hard for row in measure_hard([make()], min(5, repeats))]
    result["memory"] = measure_memory(many, 50 * rows)
    print(report(result))
    if not given.quick:
        print("\nstored:", store("kernel", result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
