"""The hub that benchmarks/gateway.py measures: a process of its own, with sockets, journal and nothing left out.

    python -m benchmarks.hub FOLDER [--volatile] [--steps] [--profile FILE]

It has the same parts as `qiee serve`, with one instrument of a wide band, accounts whose limits are set but never reached, and no
simulated members. It prints {"port": ...} when it is ready. It answers each line on its standard input with a line
about what it has used since the last one, and stops when the input ends.

--steps times the steps of an order (STEPS), each without the steps that it calls. That costs a fraction of a microsecond per
call, so rates are measured without it.
"""

import argparse
import asyncio
import cProfile
import io
import json
import pstats
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.workloads import BAND
from exchange import Account, Exchange, Instrument
from exchange.journal.journal import Journal
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.runner import Runner
from gateway.auth import Auth, Credential
from gateway.binary import session as binary
from gateway.hub import Hub, Limits
from gateway.kernels import make_ready
from gateway.market.feed import Feed
from gateway.rpc import reports, session
from gateway.wire import app, server, websocket

SYMBOL = "SC2701"
TICK = Decimal("0.1")
LOT = 100
KEY, SECRET = "bench", "bench-secret"
INSTRUMENT = Instrument(
    symbol=SYMBOL,
    tick_size=TICK,
    lot_size=Decimal(LOT),
    price_floor=1,
    price_ceiling=BAND,
    margin=50_000,
    max_position=1 << 36,
)
ACCOUNTS = [
    Account(
        name=f"A{number}",
        equity=1 << 60,
        max_order_quantity=1 << 30,
        max_order_notional=1 << 50,
        max_long=1 << 36,
        max_short=1 << 36,
        max_open_orders=1 << 30,
        messages_per_second=1_000_000_000,
        message_burst=1 << 20,
    )
    for number in range(4)
]
MAX_ORDERS = 1 << 17
LIMITS = Limits(requests_per_second=10_000_000, request_burst=10_000_000)

# The steps of an order, in order: the name of the step, and the calls that do it.
STEPS: tuple[tuple[str, Any, str], ...] = (
    ("socket and frames in", websocket.GuardedWebSocket, "data_received"),
    ("decode, check, row", session.Session, "receive"),
    ("decode, check, row", binary.BinarySession, "receive"),
    ("hand over", app.Connection, "_hand_over"),
    ("drain and stamp", Runner, "_drain"),
    ("journal write", Journal, "append"),
    ("machine", Exchange, "apply"),
    ("answers encoded", reports.Reports, "publish"),
    ("events dealt out", binary.AccountFeed, "__call__"),
    ("blotter", Blotter, "record"),
    ("market data and feed", Feed, "publish"),
    ("socket out", app.Connection, "write"),
    ("socket out", websocket.GuardedWebSocket, "send"),
)


@dataclass
class Clocks:
    """Nanoseconds and calls of each step, on the hub's thread."""

    total: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    _inside: list[int] = field(default_factory=list)  # time of the calls made within each call that is open

    def install(self) -> None:
        for step, owner, name in STEPS:
            setattr(owner, name, self._timed(step, getattr(owner, name)))
        Journal.sync = self._waited("fdatasync (its own thread)", Journal.sync)  # type: ignore[method-assign]

    def _add(self, step: str, nanoseconds: int) -> None:
        self.total[step] = self.total.get(step, 0) + nanoseconds
        self.calls[step] = self.calls.get(step, 0) + 1

    def _timed(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if asyncio.iscoroutinefunction(function):
            return self._timed_until_first_wait(step, function)

        def timed(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0)
            start = time.perf_counter_ns()
            try:
                return function(*args, **kwargs)
            finally:
                self._close(step, time.perf_counter_ns() - start)

        return timed

    def _timed_until_first_wait(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The time of a coroutine until it first waits. A send that need not wait does all of its work there."""

        async def timed(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0)
            start = time.perf_counter_ns()
            waiting = function(*args, **kwargs)
            try:
                waits_for = waiting.send(None)
            except StopIteration as done:
                return done.value
            finally:
                self._close(step, time.perf_counter_ns() - start)
            while True:
                await _Waiting(waits_for)
                try:
                    waits_for = waiting.send(None)
                except StopIteration as done:
                    return done.value

        return timed

    def _close(self, step: str, taken: int) -> None:
        self._add(step, taken - self._inside.pop())
        if self._inside:
            self._inside[-1] += taken

    def _waited(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any) -> Any:
            start = time.perf_counter_ns()
            try:
                return function(*args)
            finally:
                self._add(step, time.perf_counter_ns() - start)

        return timed


class _Waiting:
    """Passes on what a coroutine waits for."""

    def __init__(self, waits_for: Any) -> None:
        self._waits_for = waits_for

    def __await__(self) -> Any:
        yield self._waits_for


async def main(folder: Path, durable: bool, clocks: Clocks | None, profile: cProfile.Profile | None) -> None:
    make_ready(print)
    exchange = Exchange([INSTRUMENT], ACCOUNTS, max_orders=MAX_ORDERS)
    journal, _ = Journal.open(str(folder), durable=durable)
    runner = Runner(exchange, journal, time.time_ns)
    market = MarketData(exchange.instruments)
    hub = Hub(
        Projections(exchange, Blotter(MAX_ORDERS), market),
        runner,
        Feed(exchange.instruments, market, exchange),
        Auth([Credential(KEY, SECRET, 0)]),
        time.time_ns,
        "benchmark",
        LIMITS,
    )
    serving = server.serve(app.create_app(hub), "127.0.0.1", 0)
    await serving.start()
    engine = asyncio.create_task(runner.run())
    asked = asyncio.Queue[bool]()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_listen, args=(loop, asked), daemon=True).start()
    if profile is not None:
        profile.enable()
    _tell({"port": serving.port})
    started, used = time.perf_counter(), time.process_time()
    first = exchange.sequence
    while await asked.get():
        now, cpu = time.perf_counter(), time.process_time()
        _tell(
            {
                "seconds": now - started,
                "cpu_seconds": cpu - used,
                "commands": exchange.sequence - first,
                "refused": {name: count for name, count in serving.guard.metrics().items() if count},
                "steps": {}
                if clocks is None
                else {name: [clocks.total[name], clocks.calls[name]] for name in clocks.total},
            }
        )
        started, used, first = now, cpu, exchange.sequence
        if clocks is not None:
            clocks.total.clear()
            clocks.calls.clear()
    if profile is not None:
        profile.disable()
    await serving.stop()
    await runner.stop()
    await engine
    journal.close()


def _listen(loop: asyncio.AbstractEventLoop, asked: "asyncio.Queue[bool]") -> None:
    for _ in sys.stdin:
        loop.call_soon_threadsafe(asked.put_nowait, True)
    loop.call_soon_threadsafe(asked.put_nowait, False)


def _tell(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _costliest(profile: cProfile.Profile) -> str:
    """The 40 functions with the most time of their own."""
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(40)
    return text.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--volatile", action="store_true", help="no fsync")
    parser.add_argument("--steps", action="store_true", help="time the steps of an order")
    parser.add_argument("--profile", type=Path, help="run under cProfile, write the costliest functions here")
    given = parser.parse_args()
    steps = Clocks() if given.steps else None
    if steps is not None:
        steps.install()
    functions = cProfile.Profile() if given.profile else None
    uvloop.run(main(given.folder, not given.volatile, steps, functions))
    if functions is not None:
        given.profile.write_text(_costliest(functions))
