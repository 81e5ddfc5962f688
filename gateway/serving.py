"""A running hub: it is put together, started, served and stopped here. This is `qiee serve` without its arguments.

Start: catalogue and accounts, kernels (compiled by the very first start), journal and snapshot, then the sockets.
Stop (SIGINT, SIGTERM): simulated members stop, connections are warned and closed, queued commands are processed, a
snapshot is written, the journal is closed. A journal that fails stops the hub at once, with exit code 4.
"""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import uvloop

from exchange.catalogue import CATALOGUE, load_catalogue, read_catalogue
from exchange.catalogue.schedule import Schedule
from exchange.engine.machine import Exchange
from exchange.instruments import Instrument, InstrumentError
from exchange.journal import snapshot
from exchange.journal.journal import Journal, JournalError, Space
from exchange.journal.recovery import Recovery, prune, recover
from exchange.participants.scenario import Scenario, demo_accounts, demo_market_makers, demo_members
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.projections.surveillance import Surveillance
from exchange.runner import Runner
from gateway.auth import Auth
from gateway.config import (
    OPERATOR,
    ConfigurationError,
    Settings,
    StoredKey,
    configuration_hash,
    credentials,
    read_keys,
    write_keys,
)
from gateway.day import TradingDay
from gateway.hub import Hub
from gateway.kernels import make_ready, progress
from gateway.market.feed import Feed
from gateway.wire.app import create_app
from gateway.wire.server import Server, ServerError, serve
from risk.limits import Account

DEMO_KEYS = [
    *(
        StoredKey(client_id=name, client_secret=f"{name}-secret", account=name)
        for name in ("demo", "refinery", "trader")
    ),
    StoredKey(client_id=OPERATOR, client_secret=f"{OPERATOR}-secret", account=OPERATOR, scope="operator"),
]
_MEMBERS_EVERY = 0.1  # seconds
_QUOTES_WITHIN = 2.0  # seconds that the greeting waits for quotes
_SPACE_EVERY = 1.0


def say(text: str) -> None:
    """Print a line for the operator, if anyone still reads the output."""
    with contextlib.suppress(BrokenPipeError):
        print(text, flush=True)


def new_projections(instruments: tuple[Instrument, ...], accounts: list[Account], max_orders: int) -> Projections:
    """A new exchange with its projections."""
    return Projections(
        Exchange(instruments, accounts, max_orders=max_orders),
        Blotter(max_orders),
        MarketData(instruments),
        Surveillance(instruments, accounts, demo_market_makers(accounts)),
    )


@dataclass
class _Running:
    """The parts of a running hub that are needed to stop it."""

    settings: Settings
    recovery: Recovery
    runner: Runner
    server: Server
    hub: Hub
    scenario: Scenario | None
    failure: BaseException | None = None
    snapshot_at: int = 0


def run(settings: Settings) -> int:
    """Serve until a signal. Returns the exit code. Errors that a user or operator can cause are one line on stderr."""
    try:
        return uvloop.run(_serve(settings))
    except (ConfigurationError, InstrumentError, JournalError, ServerError) as error:
        print(f"qiee: {error}", file=sys.stderr)
        return error.exit_code


def _keys_of(settings: Settings) -> list[StoredKey]:
    keys = read_keys(settings.data)
    if not keys:
        keys = DEMO_KEYS
        write_keys(settings.data, keys)
    return keys


def _market(settings: Settings) -> tuple[tuple[Instrument, ...], Schedule | None]:
    """The listed instruments, and their schedule; None: all of them trade all the time."""
    path = settings.catalogue or CATALOGUE
    if settings.day == "off":
        return load_catalogue(path, settings.profile), None
    catalogue = read_catalogue(path, settings.profile)
    return catalogue.instruments, Schedule(catalogue)


def before_any_command(settings: Settings) -> tuple[Callable[[], Exchange], bytes]:
    """A function that makes the exchange of a hub with these settings, before any command; and its configuration hash.

    Errors    InstrumentError
    """
    instruments, accounts, max_orders = _market(settings)[0], demo_accounts(), settings.max_orders
    return (
        lambda: Exchange(instruments, accounts, max_orders=max_orders),
        configuration_hash(instruments, accounts, max_orders),
    )


async def _serve(settings: Settings) -> int:
    started = time.monotonic()
    # Ctrl-C ends the process at once until the sockets are open: Python itself would wait for the compiler to finish.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    instruments, schedule = _market(settings)
    accounts = demo_accounts()
    keys = _keys_of(settings)
    auth = Auth(credentials(keys, accounts))
    make_ready(say)
    with progress("reading the journal", say):
        recovery = recover(
            str(settings.data),
            lambda: new_projections(instruments, accounts, settings.max_orders),
            configuration_hash(instruments, accounts, settings.max_orders),
            settings.durable,
        )
    projections: Projections = recovery.exchange
    try:
        runner = Runner(projections.exchange, recovery.journal, time.time_ns)
        feed = Feed(instruments, projections.market_data, projections.exchange)
        day = None
        if schedule is not None and settings.day != "off":
            day = TradingDay.resume(settings.day, schedule, projections.exchange, time.time_ns, settings.day_minutes)
            runner.listeners.append(day.heard)
        hub = Hub(projections, runner, feed, auth, time.time_ns, day=day)
        server = serve(create_app(hub), settings.host, settings.port)
        scenario = (
            Scenario(projections.exchange, demo_members(projections.exchange, settings.seed), settings.seed)
            if settings.members
            else None
        )
        running = _Running(settings, recovery, runner, server, hub, scenario, snapshot_at=recovery.journal.sequence)
        stop = asyncio.Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        await server.start()
        await _until_stopped(running, stop, lambda: _greet(running, keys, time.monotonic() - started))
    finally:
        recovery.journal.close()
    if running.failure is not None:
        raise running.failure
    say("stopped; every order is where it was at the next start")
    return 0


def _greet(running: _Running, keys: list[StoredKey], seconds: float) -> None:
    """Where to connect, with which key, and an order to paste."""
    recovery, server = running.recovery, running.server
    exchange: Exchange = recovery.exchange.exchange
    if recovery.recovered.torn_path:
        say(f"an unfinished end of {recovery.recovered.torn_bytes} bytes was set aside: {recovery.recovered.torn_path}")
    if not running.settings.durable:
        say("VOLATILE: nothing is synced to disk; a power cut loses acknowledged orders")
    at = f"{server.host}:{server.port}"
    instrument = exchange.instruments[0]
    price = exchange.last_price(instrument.symbol) * instrument.tick_size
    say(f"""
QIEE Hub is ready after {seconds:.1f} s: {len(exchange.instruments)} instruments, {
        exchange.sequence
    } commands in the journal
  orders and market data   ws://{at}/ws/api/v2   (JSON-RPC 2.0; the same methods at http://{at}/api/v2/)
  machines                 ws://{at}/ws/bin/v1   (rows of COMMAND in, rows of EVENT out)
  methods                  docs/PROTOCOL.md, http://{at}/docs
  keys                     {
        "  ".join(f"{key.client_id} / {key.client_secret}" for key in keys if key in DEMO_KEYS) or "qiee keys list"
    }""")
    if running.hub.day is not None:
        day = running.hub.day.describe()
        say(
            f"""  trading day              {day["day"].replace("_", " ")}, {day["profile"]} profile, {day["date"]}"""
            + ("; operator/next_step goes on" if day["day"] == "by_hand" else "")
        )
        say("Ctrl-C stops the hub\n")
    if keys[0] in DEMO_KEYS and running.hub.day is None:
        say(
            f"""your first order, in another terminal:
  curl -s -u {keys[0].client_id}:{keys[0].client_secret} 'http://{at}/api/v2/private/buy?instrument_name={instrument.symbol}"""
            f"""&amount={instrument.lot_size}&price={price}{"&offset=open" if instrument.offset else ""}'
Ctrl-C stops the hub
"""
        )


async def _until_stopped(running: _Running, stop: asyncio.Event, greet: Callable[[], None]) -> None:
    """Run until a signal comes or the runner fails. Then stop everything in order."""
    engine = asyncio.create_task(running.runner.run())
    engine.add_done_callback(lambda _: stop.set())
    tasks = [asyncio.create_task(_watch(running, stop), name="the watch over disk and snapshots")]
    if running.scenario is not None:
        tasks.append(asyncio.create_task(_act(running.scenario, running.hub), name="the simulated members"))
    if running.hub.day is not None and running.hub.day.mode != "by_hand":
        tasks.append(asyncio.create_task(running.hub.day.run(running.runner, say), name="the trading day"))
    for task in tasks:
        task.add_done_callback(_say_if_failed)
    await _until_quoted(running, stop)
    if not stop.is_set():
        greet()
    await stop.wait()
    say("\nstopping")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    running.hub.condition.set_stopping()
    await asyncio.sleep(0)  # the warning leaves before the connections are closed
    await running.server.stop()
    await running.runner.stop()
    try:
        await engine
        await asyncio.to_thread(_write_snapshot, running)
    except BaseException as error:  # raised again when the journal is closed
        running.failure = error


def _say_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        say(f"{task.get_name()} ended: {type(error).__name__}: {error}; the hub goes on")


async def _act(scenario: Scenario, hub: Hub) -> None:
    """Let the simulated members act until canceled. They enter nothing while the disk is nearly full, like all members."""
    while True:
        if not hub.condition.disk_low:
            for rows in scenario.step(time.time_ns()):
                hub.runner.submit(rows, scenario.heard)
        await asyncio.sleep(_MEMBERS_EVERY)


async def _until_quoted(running: _Running, stop: asyncio.Event) -> None:
    """Wait for the members' first quotes in the instrument of the greeting, so that the order that it shows can trade.

    With a trading day the instrument may be closed: do not wait.
    """
    exchange: Exchange = running.hub.exchange
    symbol = exchange.instruments[0].symbol
    until = time.monotonic() + _QUOTES_WITHIN
    while (
        running.scenario is not None
        and running.hub.day is None
        and not stop.is_set()
        and time.monotonic() < until
        and not all(len(side) for side in exchange.depth(symbol, 1))
    ):
        await asyncio.sleep(_MEMBERS_EVERY / 10)


async def _watch(running: _Running, stop: asyncio.Event) -> None:
    """Watch the room on the disk, and take a snapshot every so many commands."""
    reported = Space.PLENTY
    journal: Journal = running.recovery.journal
    while True:
        await asyncio.sleep(_SPACE_EVERY)
        level, free = journal.space()
        running.hub.condition.set_disk_low(level >= Space.CANCEL_ONLY)
        if level != reported:
            say(f"disk: {free >> 20} MiB free, {level.name.lower().replace('_', ' ')}")
            reported = level
        if level >= Space.HALTED:
            stop.set()
        if journal.sequence - running.snapshot_at >= running.settings.snapshot_every:
            await _snapshot(running)


async def _snapshot(running: _Running) -> None:
    """Copy the state between two batches. Write it while the hub goes on."""
    hub: Projections = running.recovery.exchange
    while hub.blotter.event_id != hub.exchange.event_id:  # the engine is ahead of what is durable and published
        await asyncio.sleep(0.001)
    state, sequence, chain, digest = _state(running)
    running.snapshot_at = sequence
    await asyncio.to_thread(snapshot.write, str(running.settings.data), state, sequence, chain, digest)
    await asyncio.to_thread(prune, running.recovery.journal, segments=running.settings.prune)


def _state(running: _Running) -> tuple[dict[str, np.ndarray], int, int, str]:
    journal, exchange = running.recovery.journal, running.recovery.exchange
    return exchange.state(), journal.sequence, journal.chain, exchange.digest()


def _write_snapshot(running: _Running) -> None:
    """The last snapshot, when the runner has ended."""
    if running.recovery.journal.sequence > running.recovery.snapshot_sequence:
        snapshot.write(str(running.settings.data), *_state(running))
        prune(running.recovery.journal, segments=running.settings.prune)
