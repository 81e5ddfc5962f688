"""How fast is the whole hub over its sockets? A client in this process, the hub in another, a journal on the disk.

    python -m benchmarks.gateway                 # about four minutes; writes benchmarks/results/gateway.json
    python -m benchmarks.gateway --quick
    python -m benchmarks.gateway --profile DIR   # also: where the hub's time goes, function by function

An order counts when its answer has been read. The hub sends the answer only after fdatasync; a second line shows the same
with fsync off. JSON: `private/buy`, `sell` and `cancel` of a mixed flow (workloads.mixed), each order with a client order id.
A closed loop with 1 and 64 in flight measures the round trip. An open loop at rising rates measures the sustained rate: the
highest one with p99 below ten times that of the lowest rate. Binary: frames of 256 rows of the whole mix, one connection.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hub import KEY, LOT, SECRET, SYMBOL
from benchmarks.load import BINARY, TEXT, Reader, Times, Wire, closed_loop, frame, open_loop, percentiles, schedule
from benchmarks.measure import ForeignLoad, Summary, machine, machine_line, store, summary, table
from benchmarks.workloads import BUY, Flow, mixed
from matching.codes import ALL, CommandKind, EventKind, TimeInForce
from matching.records import COMMAND, EVENT

LOG_ON = json.dumps(
    {
        "id": 0,
        "method": "public/auth",
        "params": {"grant_type": "client_credentials", "client_id": KEY, "client_secret": SECRET},
    }
).encode()
BINARY_LOG_ON = json.dumps(
    {"method": "auth", "client_id": KEY, "client_secret": SECRET, "cancel_on_disconnect": False}
).encode()
RATES = (1_000, 2_000, 5_000, 7_500, 10_000, 12_500, 15_000, 17_500, 20_000, 25_000, 30_000, 40_000, 60_000)
ROW_RATES = (50_000, 100_000, 200_000, 300_000, 400_000, 500_000, 750_000, 1_000_000)
KNEE = 10  # sustained: p99 below so many times that of the lowest rate
ROWS = 256  # in a binary frame
SATURATED = 1_024  # JSON commands in flight
FRAMES_IN_FLIGHT = 96  # binary
_ID_AT = len(b'{"jsonrpc":"2.0","id":')  # in every answer
_AT = ("p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    repeats: int
    round_trips: int  # a run, at 1 in flight
    pipelined: int  # a run, at 64 and more
    rung_seconds: float  # of each rate of the ladders
    rows: int  # a binary run
    orders: int  # JSON commands of all runs together
    live: int = 8_000  # orders that rest meanwhile
    settled: int = 4_096  # commands after which an order may be named; more than are in flight

    def flow(self) -> Flow:
        """What JSON clients send. It has no amendments, because JSON's edit takes the total quantity."""
        return mixed(self.orders, live=self.live, accounts=1, amended=0.0, settled=self.settled)


FULL = Plan(repeats=5, round_trips=2_000, pipelined=20_000, rung_seconds=2.0, rows=512_000, orders=1_000_000)
QUICK = Plan(repeats=3, round_trips=500, pipelined=4_000, rung_seconds=0.5, rows=102_400, orders=200_000)


class HubProcess:
    """A hub in a process of its own; see benchmarks/hub.py."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port: int = self._line()["port"]

    def used(self) -> dict[str, Any]:
        """What the hub has used since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):  # other lines report compiling, on the first start
                return json.loads(line)
        raise RuntimeError(f"the hub ended with exit code {self._process.wait(10)}")


@contextlib.contextmanager
def hub(data: Path, *options: str) -> Iterator[HubProcess]:
    """Start a hub on a new folder under `data`, and stop it."""
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-", dir=data) as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.hub", folder, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield HubProcess(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


Start = Callable[[], contextlib.AbstractContextManager[HubProcess]]
Paced = Callable[[float, int], Times]  # a run at so many commands a second, with a seed


# JSON ---------------------------------------------------------------------------------------------


class JsonOrders:
    """The flow as JSON-RPC requests, one frame per command, and how much of it has been sent.

    It is the only client of its hub. So it knows the sequences of its commands, and with them the ids of its orders.
    """

    def __init__(self, flow: Flow) -> None:
        fields = ("kind", "side", "time_in_force", "order_id", "price", "quantity")
        self._rows = list(zip(*(flow.commands[field].tolist() for field in fields), strict=True))
        self._next = 0

    def take(self, count: int) -> tuple[list[bytes], Reader]:
        """The next frames, and a function that reads their answers."""
        first, self._next = self._next, self._next + count
        if self._next > len(self._rows):
            raise ValueError(f"the flow has {len(self._rows)} commands, {self._next} are wanted")
        frames = [frame(TEXT, _request(number, *self._rows[number])) for number in range(first, self._next)]

        def read(answer: memoryview) -> tuple[int, bool]:
            head = bytes(answer[:160])
            return int(head[_ID_AT : head.index(b",", _ID_AT)]) - first + 1, b'"error"' in head

        return frames, read


def _request(number: int, kind: int, side: int, time_in_force: int, order_id: int, price: int, quantity: int) -> bytes:
    if kind == CommandKind.CANCEL:
        return b'{"jsonrpc":"2.0","id":%d,"method":"private/cancel","params":{"order_id":"%d"}}' % (number, order_id)
    lasts = b',"time_in_force":"immediate_or_cancel"' if time_in_force == TimeInForce.IOC else b""
    return (
        b'{"jsonrpc":"2.0","id":%d,"method":"private/%s","params":{"instrument_name":"%s","amount":%d,"price":%d.%d,'
        b'"client_order_id":"b-%d"%s}}'
        % (
            number,
            b"buy" if side == BUY else b"sell",
            SYMBOL.encode(),
            quantity * LOT,
            price // 10,
            price % 10,
            number,
            lasts,
        )
    )


def json_wire(port: int) -> Wire:
    wire = Wire(port, "/ws/api/v2")
    answer = wire.ask(LOG_ON)
    if b'"access_token"' not in answer:
        raise ConnectionError(f"cannot log on: {answer!r}")
    return wire


def json_client(running: HubProcess, plan: Plan) -> tuple[Wire, JsonOrders]:
    """A connection that has logged on and filled the book."""
    flow = plan.flow()
    wire, orders = json_wire(running.port), JsonOrders(flow)
    _closed(wire, orders, flow.warm, 64)
    return wire, orders


def measure_json(start: Start, plan: Plan) -> dict[str, Any]:
    """Round trips, then the ladder of rates."""
    result: dict[str, Any] = {}
    with start() as running:
        wire, orders = json_client(running, plan)
        for in_flight, count in ((1, plan.round_trips), (64, plan.pipelined), (SATURATED, plan.pipelined)):
            result[f"{in_flight} in flight"] = _runs(
                running,
                lambda: _closed(wire, orders, count, in_flight),  # noqa: B023
                plan.repeats,
                corrected=True,
            )
        wire.close()

    @contextlib.contextmanager
    def paced() -> Iterator[tuple[HubProcess, Paced]]:
        with start() as running:
            wire, orders = json_client(running, plan)
            yield running, lambda rate, seed: _open(wire, orders, rate, plan.rung_seconds, seed)
            wire.close()

    result["ladder"] = _ladder(paced, RATES, plan)
    return result


def _closed(wire: Wire, orders: JsonOrders, count: int, in_flight: int) -> Times:
    frames, read = orders.take(count)
    return closed_loop(wire, frames, in_flight, read)


def _open(wire: Wire, orders: JsonOrders, rate: float, seconds: float, seed: int) -> Times:
    count = int(rate * seconds)
    frames, read = orders.take(count)
    return open_loop(wire, frames, schedule(count, rate, seed), read, patience=30.0)


# Binary -------------------------------------------------------------------------------------------


class Rows:
    """The flow as binary frames, repeated. The last row of a round cancels what is left, and the next round has later ids."""

    def __init__(self, flow: Flow) -> None:
        commands = flow.commands[: len(flow.commands) // ROWS * ROWS].copy()
        commands[-1] = np.zeros(1, COMMAND)[0]
        commands["kind"][-1], commands["instrument"][-1], commands["account"][-1] = CommandKind.MASS_CANCEL, ALL, ALL
        self._commands = commands
        self._named = commands["order_id"] != 0
        self._done = 0

    def take(self) -> tuple[list[bytes], Reader]:
        """The frames of one round, and a function that reads their answers."""
        commands, first = self._commands, self._done
        self._done += len(commands)
        raw = commands.view(np.uint8).reshape(-1, ROWS * COMMAND.itemsize)
        frames = [frame(BINARY, row.tobytes()) for row in raw]
        commands["order_id"][self._named] += len(commands)  # for the next round

        def read(answer: memoryview) -> tuple[int, bool]:
            events = np.frombuffer(answer, EVENT)
            refused = bool((events["kind"] == EventKind.REJECTED).any())
            return (int(events["sequence"][-1]) - first) // ROWS, refused

        return frames, read


def binary_wire(port: int) -> Wire:
    wire = Wire(port, "/ws/bin/v1")
    answer = wire.ask(BINARY_LOG_ON)
    if b'"result"' not in answer:
        raise ConnectionError(f"cannot log on: {answer!r}")
    return wire


def measure_binary(start: Start, plan: Plan) -> dict[str, Any]:
    """The highest throughput, then the ladder of rates."""
    flow = mixed(plan.rows, accounts=1)

    def saturated(wire: Wire, rows: Rows) -> Times:
        frames, read = rows.take()
        return closed_loop(wire, frames, FRAMES_IN_FLIGHT, read)

    def open_at(wire: Wire, rows: Rows, rate: float, seed: int) -> Times:
        frames, read = rows.take()
        count = min(len(frames), int(rate * plan.rung_seconds) // ROWS)
        rest = frames[count:]
        times = open_loop(wire, frames[:count], schedule(count, rate / ROWS, seed), read, patience=30.0)
        if rest:  # the round must be complete, because the next one begins with an empty book
            closed_loop(wire, rest, FRAMES_IN_FLIGHT, lambda answer: (read(answer)[0] - count, False))
        return times

    with start() as running:
        wire, rows = binary_wire(running.port), Rows(flow)
        saturated(wire, rows)  # warm
        result: dict[str, Any] = {
            f"{FRAMES_IN_FLIGHT} frames in flight": _runs(
                running, lambda: saturated(wire, rows), plan.repeats, rows=ROWS
            )
        }
        wire.close()

    @contextlib.contextmanager
    def paced() -> Iterator[tuple[HubProcess, Paced]]:
        with start() as running:
            wire, rows = binary_wire(running.port), Rows(flow)
            saturated(wire, rows)
            yield running, lambda rate, seed: open_at(wire, rows, rate, seed)
            wire.close()

    result["ladder"] = _ladder(paced, ROW_RATES, plan, rows=ROWS)
    return result


# Runs ---------------------------------------------------------------------------------------------


def _runs(
    running: HubProcess, run: Callable[[], Times], repeats: int, rows: int = 1, corrected: bool = False
) -> dict[str, Any]:
    """Median and spread of rate and latency over some runs, and who used the CPU meanwhile."""
    running.used()
    foreign, cpu = ForeignLoad(), time.process_time()
    times = [run() for _ in range(repeats)]
    used = running.used()
    others = foreign.cores(used["cpu_seconds"] + time.process_time() - cpu)
    at = [percentiles(each.latency, int(np.median(each.latency)) if corrected else 0) for each in times]
    late = percentiles(np.concatenate([each.lateness for each in times]))
    if used["refused"].keys() - {"connections_open", "connections_accepted"}:
        raise RuntimeError(f"the hub's guard refused something: {used['refused']}")
    return {
        "rate": summary([each.rate * rows for each in times]),
        "milliseconds": {name: summary([each[name] for each in at]) for name in _AT},
        "kept_up": statistics.median(each.due_seconds / each.seconds for each in times),
        "client_cores": summary([each.client for each in times]),
        "hub_cores": used["cpu_seconds"] / used["seconds"],
        "foreign_cores": others,
        "client_late_milliseconds": late,
        "errors": sum(each.errors for each in times),
    }


def _ladder(
    paced: Callable[[], contextlib.AbstractContextManager[tuple[HubProcess, Paced]]],
    rates: Sequence[int],
    plan: Plan,
    rows: int = 1,
) -> dict[str, Any]:
    """Raise the rate until the knee. Then run the highest sustained rate `repeats` times, or a lower one if that fails.

    A hub that was driven beyond its knee is not used again.
    """
    rungs: list[dict[str, Any]] = []
    with paced() as (running, run):
        for rate in rates:
            rungs.append({"offered": rate, **_runs(running, lambda: run(rate, rate), 1, rows)})  # noqa: B023
            if not _sustained(rungs[-1], rungs[0]):
                break
    reached = [rung["offered"] for rung in rungs if _sustained(rung, rungs[0])]
    while reached:
        rate = reached.pop()
        seeds = iter(range(plan.repeats))
        with paced() as (running, run):
            best = {"offered": rate, **_runs(running, lambda: run(rate, next(seeds)), plan.repeats, rows)}  # noqa: B023
        if _sustained(best, rungs[0]):
            return {"rungs": rungs, "sustained": best}
    return {"rungs": rungs, "sustained": None}


def _sustained(rung: dict[str, Any], lowest: dict[str, Any]) -> bool:
    """No refusals, no backlog at the end, and below the knee."""
    return (
        not rung["errors"]
        and rung["kept_up"] > 0.97
        and rung["milliseconds"]["p99"].median <= KNEE * lowest["milliseconds"]["p99"].median
    )


# Where the time goes ------------------------------------------------------------------------------


def measure_steps(data: Path, plan: Plan) -> dict[str, Any]:
    """Nanoseconds of the hub's thread per command in each step, JSON at 64 and saturated, binary saturated."""
    result = {}
    with hub(data, "--steps") as running:
        wire, orders = json_client(running, plan)
        for in_flight in (1, 64, SATURATED):
            running.used()
            _closed(wire, orders, plan.pipelined if in_flight > 1 else plan.round_trips, in_flight)
            result[f"JSON, {in_flight} in flight"] = _per_command(running.used())
        wire.close()
    with hub(data, "--steps") as running:
        wire, rows = binary_wire(running.port), Rows(mixed(plan.rows, accounts=1))
        for _ in range(2):
            frames, read = rows.take()
            running.used()
            closed_loop(wire, frames, FRAMES_IN_FLIGHT, read)
            result["binary, saturated"] = _per_command(running.used())
        wire.close()
    return result


def _per_command(used: dict[str, Any]) -> dict[str, Any]:
    commands = used["commands"]
    steps = {name: total / commands for name, (total, _) in used["steps"].items()}
    told = sum(time for name, time in steps.items() if not name.startswith("fdatasync"))
    steps["event loop, ASGI, the rest"] = max(0.0, used["cpu_seconds"] * 1e9 / commands - told)
    batches = used["steps"]["machine"][1]
    return {
        "commands": commands,
        "batches": batches,
        "rows_a_batch": commands / batches,
        "nanoseconds_per_command": steps,
        "fdatasync_milliseconds": _each(used["steps"], "fdatasync (its own thread)") / 1e6,
        "busy": used["cpu_seconds"] / used["seconds"],
    }


def _each(steps: dict[str, list[int]], name: str) -> float:
    total, calls = steps.get(name, (0, 1))
    return total / calls


def profile(data: Path, folder: Path, plan: Plan) -> list[Path]:
    """Run JSON and binary once each against a hub under cProfile. Returns the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "profile-json.txt", folder / "profile-binary.txt"]
    with hub(data, "--profile", str(paths[0])) as running:
        wire, orders = json_client(running, plan)
        _closed(wire, orders, plan.pipelined, 64)
        wire.close()
    with hub(data, "--profile", str(paths[1])) as running:
        wire, rows = binary_wire(running.port), Rows(mixed(plan.rows, accounts=1))
        for _ in range(3):
            frames, read = rows.take()
            closed_loop(wire, frames, FRAMES_IN_FLIGHT, read)
        wire.close()
    return paths


def disk(data: Path) -> Summary:
    """Milliseconds that one write of a row and its fdatasync take in this folder, without a hub."""
    data.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=data) as file:
        taken = []
        for _ in range(300):
            start = time.perf_counter_ns()
            os.write(file.fileno(), bytes(COMMAND.itemsize))
            os.fdatasync(file.fileno())
            taken.append((time.perf_counter_ns() - start) / 1e6)
    return Summary(statistics.median(taken), min(taken), max(taken), len(taken))


# Report -------------------------------------------------------------------------------------------


def report(result: dict[str, Any]) -> str:
    """The tables of a result."""
    lines = [
        machine_line(result["machine"]),
        f"write and fdatasync of one row on this disk: {result['disk_milliseconds']:.2f} ms",
    ]
    measured = {name: runs for name, runs in result.items() if "fsync" in name}
    rows = [
        _row(f"{kind}, {name}", runs)
        for kind, all_runs in measured.items()
        for name, runs in all_runs.items()
        if name != "ladder"
    ]
    lines += ["\nclosed loop", _table(rows)]
    rows = []
    for kind, all_runs in measured.items():
        rows += [_row(f"{kind}, offered {rung['offered']:,}/s", rung) for rung in all_runs["ladder"]["rungs"]]
        best = all_runs["ladder"]["sustained"]
        rows.append(
            _row(f"{kind}, SUSTAINED {best['offered']:,}/s", best)
            if best
            else [f"{kind}: nothing sustained", *[""] * 10]
        )
    lines += ["\nopen loop, latency from the intended time", _table(rows)]
    for name, steps in result["steps"].items():
        each = sorted(steps["nanoseconds_per_command"].items(), key=lambda item: -item[1])
        lines += [
            f"\nwhere the hub's time goes: {name}; {steps['rows_a_batch']:.1f} rows a batch, hub busy {steps['busy']:.0%}, "
            f"fdatasync {steps['fdatasync_milliseconds']:.2f} ms a batch",
            table(("step", "us per command"), [(step, f"{time / 1000:.3f}") for step, time in each]),
        ]
    return "\n".join(lines)


def _row(name: str, runs: dict[str, Any]) -> list[str]:
    at = runs["milliseconds"]
    return [
        name,
        f"{runs['rate']:,.0f}",
        *(f"{at[percentile].median:.2f}" for percentile in _AT),
        f"{at['p50'].low:.2f}-{at['p50'].high:.2f}",
        f"{runs['client_late_milliseconds']['p99.9']:.2f}",
        f"{runs['hub_cores']:.2f}/{runs['client_cores'].median:.2f}/{runs['foreign_cores']:.2f}",
        str(runs["errors"]),
    ]


def _table(rows: Sequence[Sequence[str]]) -> str:
    return table(
        (
            "",
            "a second",
            *(f"{name} ms" for name in _AT),
            "p50 spread",
            "client late p99.9",
            "cores hub/client/others",
            "errors",
        ),
        rows,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a short run that stores nothing")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder on the disk to be measured")
    parser.add_argument(
        "--profile", type=Path, help="also run the hub under cProfile and write its functions into this folder"
    )
    parser.add_argument("--only", choices=("json", "binary", "steps"), help="leave the rest out and store nothing")
    given = parser.parse_args(arguments)
    plan = QUICK if given.quick else FULL
    result: dict[str, Any] = {"machine": machine(), "disk_milliseconds": disk(given.data), "quick": given.quick}
    result["steps"] = measure_steps(given.data, plan) if given.only in (None, "steps") else {}
    for kind, measure in (("JSON", measure_json), ("binary", measure_binary)):
        for sync, options in (("on", []), ("off", ["--volatile"])):
            if given.only in (None, kind.lower()):
                result[f"{kind}, fsync {sync}"] = measure(partial(hub, given.data, *options), plan)
    print(report(result))
    if given.profile:
        print("profiles:", *profile(given.data, given.profile, plan))
    if given.only is None and not given.quick:
        print("\nstored:", store("gateway", result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
