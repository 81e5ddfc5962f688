"""A whole hub behind real sockets: exchange, journal in a folder, runner, application and guarded server, in a thread.

with running(tmp_path) as hub:
    with BinaryClient(hub.url, "alice", "alice-secret") as client: ...
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvloop

from exchange import Exchange
from exchange.journal.journal import Journal
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.runner import Runner
from gateway.auth import Auth
from gateway.binary.rows import warm_up
from gateway.hub import Hub
from gateway.market.feed import Feed
from gateway.wire.app import create_app
from gateway.wire.bounds import Bounds
from gateway.wire.server import Server, serve
from matching import Side
from tests.build import account, enter, instrument, rows
from tests.gateway.floor import KEYS


@dataclass
class Running:
    """A running hub. `inside` runs a function on the hub's own thread."""

    url: str
    hub: Hub
    server: Server
    loop: asyncio.AbstractEventLoop
    to_stop: asyncio.Event

    def inside(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(5)

    def eventually(self, condition: Callable[[], bool], seconds: float = 5) -> None:
        """Wait until a condition on the hub holds."""
        end = time.monotonic() + seconds
        while not self.inside(condition):
            assert time.monotonic() < end, "it never happened"
            time.sleep(0.01)


@contextlib.contextmanager
def running(folder: os.PathLike[str], bounds: Bounds | None = None) -> Iterator[Running]:
    """Start a hub with the keys of floor.py, yield it, and stop it."""
    started: list[Running | BaseException] = []
    ready = threading.Event()
    thread = threading.Thread(target=_run, args=(os.fspath(folder), bounds or Bounds(), started, ready), daemon=True)
    thread.start()
    assert ready.wait(300)
    hub = started[0]
    if isinstance(hub, BaseException):
        raise hub
    try:
        yield hub
    finally:
        hub.loop.call_soon_threadsafe(hub.to_stop.set)
        thread.join(10)
        assert not thread.is_alive()


def _run(folder: str, bounds: Bounds, started: list[Any], ready: threading.Event) -> None:
    async def main() -> None:
        exchange = Exchange(
            [instrument(), instrument("FU2701")],
            [account("alice"), account("bob"), account("carol")],
            max_orders=1 << 16,
        )
        journal, _ = Journal.open(folder)
        runner = Runner(exchange, journal, time.time_ns)
        _compile()
        market = MarketData(exchange.instruments)
        feed = Feed(exchange.instruments, market, exchange)
        hub = Hub(Projections(exchange, Blotter(1 << 16), market), runner, feed, Auth(KEYS), time.time_ns)
        server = serve(create_app(hub), "127.0.0.1", 0, bounds)
        await server.start()
        it = Running(f"ws://127.0.0.1:{server.port}", hub, server, asyncio.get_running_loop(), asyncio.Event())
        loop = asyncio.create_task(runner.run())
        started.append(it)
        ready.set()
        await it.to_stop.wait()
        await server.stop()
        await runner.stop()
        await loop
        journal.close()

    try:
        uvloop.run(main())
    except BaseException as error:
        started.append(error)
        ready.set()
        raise


def _compile() -> None:
    """Run the kernels once, so that no test measures the compiler."""
    exchange = Exchange([instrument()], [account()], max_orders=16)
    commands = rows(enter(0, Side.SELL, 100, 2), enter(0, Side.BUY, 100, 1))
    events = exchange.apply(commands)
    exchange.orders("SC2701")
    Blotter(16).record(commands, events)
    MarketData(exchange.instruments).record(events)
    warm_up()
