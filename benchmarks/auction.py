"""How long does a call auction of 100,000 orders take? Machine and risk in one process, no journal, no sockets.

    python -m benchmarks.auction                      # under a minute; writes benchmarks/results/auction.json
    python -m benchmarks.auction --orders 10000       # another size; stores nothing

One instrument collects a seeded book, of which seven orders in ten trade, and goes to AUCTION_MATCH. The timed command
finds the price, trades, emits an event for every trade and turns held lots into positions. Each run has a new book.
Before anything is timed, the auction must give what `expected` computes by sorting and adding up columns, without a book.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from benchmarks.measure import alternate, machine, machine_line, store, summary, table
from exchange import Account, Exchange, Instrument
from matching.codes import CommandKind, EventKind, OrderType, Phase, Side, TimeInForce
from matching.invariants import check_book
from matching.records import COMMAND

ORDERS, ACCOUNTS, SEED, REPEATS = 100_000, 100, 7, 7
BAND, MIDDLE, SPREAD, OVERLAP = 1 << 14, 1 << 13, 250, 150  # ticks
START = 1_795_000_000_000_000_000
BATCH = 4_096
SYMBOL = "SC2701"


class Auction(NamedTuple):
    """The result of an auction."""

    price: int  # ticks
    volume: int  # lots
    surplus: int  # lots bid minus lots offered that are left at the price
    trades: np.ndarray  # int64 (n, 3): buy, sell, lots


def collected(orders: int, seed: int = SEED) -> np.ndarray:
    """COMMAND rows that fill the book: bids around OVERLAP above the middle, offers as far below."""
    rng = np.random.default_rng(seed)
    rows = np.zeros(orders, COMMAND)
    rows["sequence"] = np.arange(1, orders + 1)
    rows["time"] = START + 1_000 * rows["sequence"]
    rows["kind"], rows["order_type"], rows["time_in_force"] = CommandKind.ENTER, OrderType.LIMIT, TimeInForce.DAY
    rows["side"] = rng.integers(Side.BUY, Side.SELL, orders, endpoint=True)
    centre = MIDDLE + np.where(rows["side"] == Side.BUY, OVERLAP, -OVERLAP)
    rows["price"] = np.clip(np.rint(rng.normal(centre, SPREAD)), 1, BAND)
    rows["quantity"] = rng.integers(1, 100, orders, endpoint=True)
    rows["account"] = rng.integers(0, ACCOUNTS, orders)
    return rows


def expected(rows: np.ndarray, reference: int) -> Auction:
    """RULEBOOK 8.4 to 8.6 for an instrument whose one step is the reference, by sorting and cumulative sums."""
    buys, sells = rows[rows["side"] == Side.BUY], rows[rows["side"] == Side.SELL]
    buys = buys[np.lexsort((buys["sequence"], -buys["price"]))]
    sells = sells[np.lexsort((sells["sequence"], sells["price"]))]
    ticks = np.arange(1, BAND + 1)
    bought = np.bincount(buys["price"], buys["quantity"], BAND + 2).astype(np.int64)
    sold = np.bincount(sells["price"], sells["quantity"], BAND + 2).astype(np.int64)
    demand, supply = bought[::-1].cumsum()[::-1], sold.cumsum()
    volume = int(np.minimum(demand, supply)[ticks].max())
    best = ticks[
        (np.minimum(demand, supply)[ticks] == volume) & (demand[ticks + 1] <= volume) & (supply[ticks - 1] <= volume)
    ]
    price = int(best[np.abs(best - reference).argmin()])
    ends = [side["quantity"].cumsum() for side in (buys, sells)]
    cuts = np.unique(np.concatenate([*ends, [volume]]))
    cuts = cuts[cuts <= volume]
    pairs = [side["sequence"][np.searchsorted(end, cuts)] for side, end in zip((buys, sells), ends, strict=True)]
    return Auction(
        price, volume, int(demand[price] - supply[price]), np.column_stack([*pairs, np.diff(cuts, prepend=0)])
    )


def filled(rows: np.ndarray, risk: bool) -> Exchange:
    """An Exchange whose instrument has collected the rows in a call auction."""
    terms = Instrument(
        symbol=SYMBOL,
        tick_size=Decimal("0.1"),
        lot_size=Decimal(100),
        price_floor=1,
        price_ceiling=BAND,
        margin=50_000,
        phase=Phase.CALL_AUCTION,
    )
    exchange = Exchange(
        [terms],
        [Account(name=f"A{number}", equity=1 << 60) for number in range(ACCOUNTS)],
        risk=risk,
        max_orders=len(rows),
    )
    for at in range(0, len(rows), BATCH):
        exchange.apply(rows[at : at + BATCH])
    return exchange


def uncross(exchange: Exchange) -> tuple[float, np.ndarray]:
    """(CPU seconds, events) of the PHASE command that ends the collection."""
    row = np.zeros(1, COMMAND)
    row["sequence"], row["time"] = exchange.sequence + 1, exchange.time + 1
    row["kind"], row["order_type"] = CommandKind.PHASE, Phase.AUCTION_MATCH
    start = time.thread_time()
    events = exchange.apply(row)
    return time.thread_time() - start, events


def prove(rows: np.ndarray) -> Auction:
    """Errors: ValueError if the auction, with risk or without, is not what `expected` says."""
    auction = expected(rows, (1 + BAND) // 2)
    for risk in (True, False):
        exchange = filled(rows, risk)
        if exchange.indicative(SYMBOL) != auction[:3]:
            raise ValueError(f"risk {risk}: indicative {exchange.indicative(SYMBOL)}, expected {auction[:3]}")
        _, events = uncross(exchange)
        trades = events[events["kind"] == EventKind.TRADED]
        told = events[-2]
        if (
            (told["price"], told["quantity"], told["resting_leaves_quantity"]) != auction[:3]
            or np.any(trades["price"] != auction.price)
            or not np.array_equal(
                np.column_stack([trades[name] for name in ("order_id", "resting_order_id", "quantity")]), auction.trades
            )
        ):
            raise ValueError(
                f"risk {risk}: the auction is {told}, expected {auction[:3]} in {len(auction.trades)} trades"
            )
        check_book(exchange.book)
    return auction


def indicative_seconds(exchange: Exchange, calls: int = 100) -> float:
    """CPU seconds of one call."""
    start = time.thread_time()
    for _ in range(calls):
        exchange.indicative(SYMBOL)
    return (time.thread_time() - start) / calls


def measure_auction(orders: int, repeats: int) -> dict[str, Any]:
    """Milliseconds of the uncross, with risk and without; microseconds of an indicative price."""
    rows = collected(orders)
    auction = prove(rows)
    programs: dict[str, Callable[[], float]] = {
        "risk": lambda: uncross(filled(rows, True))[0],
        "matching alone": lambda: uncross(filled(rows, False))[0],
        "indicative": lambda: indicative_seconds(filled(rows, False)),
    }
    seconds = alternate(programs, repeats)
    return {
        "orders": orders,
        "trades": len(auction.trades),
        "lots": auction.volume,
        "milliseconds": {name: summary(1e3 * each for each in seconds[name]) for name in ("risk", "matching alone")},
        "indicative_microseconds": summary(1e6 * each for each in seconds["indicative"]),
    }


def report(result: dict[str, Any]) -> str:
    """The table of a result."""
    figures = [
        ["uncross, risk and events, ms", f"{result['milliseconds']['risk']:.1f}"],
        ["uncross, risk=False, ms", f"{result['milliseconds']['matching alone']:.1f}"],
        ["indicative price, us", f"{result['indicative_microseconds']:.1f}"],
    ]
    return "\n".join(
        [
            machine_line(result["machine"]),
            "",
            table((f"{result['orders']:,} orders, {result['trades']:,} trades", "median (range)"), figures),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=int, default=ORDERS, help=f"orders collected (default {ORDERS:,})")
    given = parser.parse_args(arguments)
    if not 1 <= given.orders <= 1 << 24:
        parser.error(f"--orders: {given.orders} given, 1 to {1 << 24} allowed")
    result = {"machine": machine(), "seed": SEED, "repeats": REPEATS, **measure_auction(given.orders, REPEATS)}
    print(report(result))
    if given.orders == ORDERS:
        print("\nstored:", store("auction", result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
