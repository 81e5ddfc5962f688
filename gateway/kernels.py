"""Kernels, made ready before the sockets open: read from the cache, or compiled by the very first start.

Each part runs its kernels once, on an exchange that is thrown away. The first start has two processes compile the parts
beside each other, one on each core. The serving process only ever reads machine code from the cache, and so stays small.
"""

import contextlib
import gc
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from multiprocessing.process import BaseProcess

import numpy as np

from exchange.commands import Command, Stamper, enter
from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.projections.surveillance import Surveillance
from gateway.binary.rows import warm_up as binary_endpoint
from matching.codes import Side, TimeInForce
from matching.jit import is_cached, seal
from risk.limits import Account

_PRICE, _LOTS = 50, 1
_INSTRUMENT = Instrument(symbol="NONE", tick_size=Decimal(1), lot_size=Decimal(1), price_floor=0, price_ceiling=100)
_ORDERS = 1 << 10  # capacity of an exchange that is thrown away
_SAY_AFTER = 1.0  # seconds that a step may take in silence
_SAY_EVERY = 5.0  # seconds, from then on

Say = Callable[[str], None]


def _new_hub() -> Projections:
    """An exchange that is thrown away, with its projections."""
    accounts = [Account(name="nobody")]
    surveillance = Surveillance((_INSTRUMENT,), accounts, [])
    return Projections(
        Exchange((_INSTRUMENT,), accounts, max_orders=_ORDERS),
        Blotter(_ORDERS),
        MarketData((_INSTRUMENT,)),
        surveillance,
    )


class _Parts:
    """The parts of the machine that have kernels. Which instruments there are makes no difference to what is compiled."""

    def __init__(self) -> None:
        self._hub = _new_hub()
        self._stamper = Stamper()

    def _apply(self, *commands: Command) -> tuple[np.ndarray, np.ndarray]:
        rows = self._stamper.stamp(*commands)
        return rows, self._hub.exchange.apply(rows)

    def fast_path(self) -> None:
        self._batch = self._apply(
            enter(0, Side.BUY, _PRICE, _LOTS),
            enter(0, Side.SELL, _PRICE, _LOTS),
            enter(0, Side.BUY, _PRICE, _LOTS, time_in_force=TimeInForce.IOC),
        )

    def general_path(self) -> None:
        self._hub.exchange.load_lanes("general")

    def operators(self) -> None:
        self._hub.exchange.load_lanes("operators")

    def queries(self) -> None:
        exchange = self._hub.exchange
        exchange.depth(_INSTRUMENT.symbol)
        exchange.indicative(_INSTRUMENT.symbol)
        exchange.orders(_INSTRUMENT.symbol)
        exchange.order(1)

    def blotter(self) -> None:
        blotter = self._hub.blotter
        blotter.record(*self._batch)
        blotter.order(1)
        blotter.order_of(0, b"none")
        blotter.orders(0)
        blotter.trades(0)

    def market_data(self) -> None:
        market_data = self._hub.market_data
        market_data.check(0, True)
        market_data.record(self._batch[1])
        market_data.book(0)
        market_data.checksum(0)

    def surveillance(self) -> None:
        self._hub.surveillance.record(*self._batch)
        _new_hub().restore(self._hub.state())

    def binary_endpoint(self) -> None:
        binary_endpoint()


# Which process compiles what. The general path and the operators' path share most of their steps.
_SHARES = (
    ("fast_path", "queries", "blotter", "market_data", "surveillance", "binary_endpoint"),
    ("general_path", "operators"),
)


def make_ready(say: Say) -> None:
    """Load every kernel, compile what no cache holds, and forbid compilation from then on."""
    if not is_cached():
        say("first start: compiling the kernels, which takes up to half a minute and happens once")
        with progress("compiling", say):
            workers = _compile()
            for worker in workers:
                worker.join()
    with progress("loading the kernels", say):
        for share in _SHARES:
            _run(share)
    seal()


def _compile() -> list[BaseProcess]:
    """Processes that fill the cache, one a share."""
    context = multiprocessing.get_context("spawn")
    workers: list[BaseProcess] = [context.Process(target=_work, args=(share,)) for share in _SHARES]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # else Ctrl-C while they start would show their traceback
    for worker in workers:
        worker.start()
    signal.signal(signal.SIGINT, before)
    return workers


def _work(share: tuple[str, ...]) -> None:
    """What a process compiles. It ends with Ctrl-C, as the process does that started it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()  # a compiler makes much that lives; collecting it again and again takes a fifth of the time
    _run(share)


def _run(share: tuple[str, ...]) -> None:
    parts = _Parts()
    for part in share:
        getattr(parts, part)()


@contextlib.contextmanager
def progress(text: str, say: Say) -> Iterator[None]:
    """Do something that may take long: after a second say what it is, and every few seconds that it goes on."""
    done = threading.Event()
    started = time.monotonic()

    def report() -> None:
        pause = _SAY_AFTER
        while not done.wait(pause):
            say(f"{text} ... {time.monotonic() - started:.0f} s")
            pause = _SAY_EVERY

    reporter = threading.Thread(target=report, daemon=True)
    reporter.start()
    try:
        yield
    finally:
        done.set()
        reporter.join()
