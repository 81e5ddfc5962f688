"""A whole hub as a process of its own, for clients with real sockets: journal with fsync, runner, gateway, no members.

python -m tests.gateway.served FOLDER        # prints `port N`, serves until it is terminated
"""

import asyncio
import signal
import sys
import time

import uvloop

from exchange import Account, Exchange
from exchange.catalogue import load_catalogue
from exchange.journal.journal import Journal
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.runner import Runner
from gateway.auth import Auth, Credential
from gateway.hub import Hub, Limits
from gateway.kernels import make_ready
from gateway.market.feed import Feed
from gateway.wire.app import create_app
from gateway.wire.bounds import Bounds
from gateway.wire.server import serve
from matching.codes import ALL

NAMES = ("alice", "bob", "carol", "dave")


async def main(folder: str) -> None:
    instruments = load_catalogue()
    accounts = [Account(name=name, equity=10**13) for name in NAMES]
    make_ready(lambda text: None)  # from here on nothing may be compiled
    journal, _ = Journal.open(folder)
    exchange = Exchange(instruments, accounts, max_orders=1 << 14)
    market = MarketData(instruments)
    runner = Runner(exchange, journal, time.time_ns)
    keys = [
        *(Credential(name, f"{name}-secret", account) for account, name in enumerate(NAMES)),
        Credential("operator", "operator-secret", ALL, "operator"),
    ]
    hub = Hub(
        Projections(exchange, Blotter(1 << 14), market),
        runner,
        Feed(instruments, market, exchange),
        Auth(keys),
        time.time_ns,
        "served",
        Limits(heartbeat_seconds=1, public_per_second=1000, public_burst=1000),
    )
    server = serve(create_app(hub), "127.0.0.1", 0, Bounds(connects_per_second=1000))
    await server.start()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    running = asyncio.create_task(runner.run())
    print(f"port {server.port}", flush=True)
    await stopped.wait()
    await server.stop()
    await runner.stop()
    await running
    journal.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
