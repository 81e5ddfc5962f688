"""Seeded order flows as COMMAND rows, each with its expected outcome.

    flow = mixed(1_000_000, seed=7)                   # a Flow, made once and kept in the temporary folder
    exchange = flow.exchange()
    events = [exchange.apply(batch).copy() for batch in flow.batches(4096)]
    assert flow.outcome == outcome_of(np.concatenate(events), exchange)

A flow begins with rows that only fill the book (`warm`), so that a market in its steady state is timed. While the flow is
made, `PlainBook` finds its outcome: price-time priority in plain Python, which shares no line with the engine. So a
benchmark proves the engine correct on the same input that it then times.

    mixed        about 54 % limit orders, 36 % cancels, 6 % amendments, 4 % market orders
    deep_level   20,000 orders at one price; trades at its head, cancels and amendments everywhere in it
    sweep        the price runs a quarter of the band up and back, repeatedly
    recorded     a flow from a file; its docstring has the format
"""

import contextlib
import gc
import hashlib
import heapq
import json
import os
import pathlib
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from exchange import Account, Exchange, Instrument
from matching.codes import CommandKind, EventKind, Flag, OrderType, Side, TimeInForce
from matching.records import COMMAND

BUY, SELL = int(Side.BUY), int(Side.SELL)
BAND = 1 << 16  # levels of an instrument
START = 1_795_000_000_000_000_000
_MICROSECOND = 1_000
_ENTER, _CANCEL, _AMEND = int(CommandKind.ENTER), int(CommandKind.CANCEL), int(CommandKind.AMEND)
_GTC, _IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
_CHECKSUM_BITS = (1 << 64) - 1


@dataclass(frozen=True)
class Outcome:
    """The totals of a whole flow."""

    trades: int
    volume: int  # lots
    notional: int  # sum of price x quantity, ticks x lots
    orders: int  # orders that rest at the end
    checksum: int  # of every trade: both accounts, price, quantity, number (checksum_of)


@dataclass(frozen=True)
class Flow:
    """Commands, stamped from sequence 1, and the market that they are for."""

    name: str
    commands: np.ndarray  # COMMAND[n]
    warm: int  # rows at the beginning that fill the book
    outcome: Outcome
    instruments: int = 1
    band: int = BAND  # levels of each instrument, from price 1
    accounts: int = 100
    live: int = 4_000  # about how many orders rest in the steady state
    recorded: bool = False  # from a file: its checksum is that of recorded_outcome

    def exchange(self, risk: bool = True) -> Exchange:
        """An Exchange for this flow. With risk, every limit is set and checked, and none is reached."""
        terms = [
            Instrument(
                symbol=f"I{number}",
                tick_size=Decimal("0.1"),
                lot_size=Decimal(100),
                price_floor=1,
                price_ceiling=self.band,
                margin=50_000,
                max_position=1 << 36,
            )
            for number in range(self.instruments)
        ]
        accounts = [
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
            for number in range(self.accounts)
        ]
        return Exchange(terms, accounts, risk=risk, max_orders=max(1 << 16, 2 * self.live))

    def batches(self, rows: int, first: int = 0, last: int | None = None) -> Iterator[np.ndarray]:
        """The commands from row `first` on, so many at a time."""
        last = len(self.commands) if last is None else last
        for at in range(first, last, rows):
            yield self.commands[at : min(at + rows, last)]

    def with_client_order_ids(self) -> "Flow":
        """The same flow with a different client order id on every order that is entered."""
        commands = self.commands.copy()
        entered = np.flatnonzero(commands["kind"] == _ENTER)
        commands["client_order_id"][entered] = np.char.add(b"c-", entered.astype("S10"))
        return replace(self, name=f"{self.name}, client order ids", commands=commands)


def outcome_of(events: np.ndarray, exchange: Exchange) -> Outcome:
    """The outcome of a flow on an Exchange. Errors: ValueError if it refused a command, because then it did other work."""
    refused = events[events["kind"] == EventKind.REJECTED]
    if len(refused):
        raise ValueError(f"the engine refused {len(refused)} commands, the first is {refused[0]}")
    trades = events[events["kind"] == EventKind.TRADED]
    return Outcome(
        len(trades),
        int(trades["quantity"].sum()),
        int((trades["price"] * trades["quantity"]).sum()),
        int(exchange.book.state[0].orders),
        checksum_of(trades["resting_order_id"], trades["order_id"], trades["price"], trades["quantity"]),
    )


def checksum_of(maker: np.ndarray, taker: np.ndarray, price: np.ndarray, quantity: np.ndarray) -> int:
    """The sum over all trades of trade number times a sum of its fields, modulo 2**64."""
    number = np.arange(1, len(maker) + 1, dtype=np.uint64)
    value = (31 * maker + 17 * taker + 7 * price + quantity).astype(np.uint64)
    return int((number * value).sum(dtype=np.uint64))


# The oracle ---------------------------------------------------------------------------------------


class PlainBook:
    """Price-time priority for one instrument. An order is [id, side, price, leaves quantity, account].

    A canceled order stays in its queue with no lots left, and is dropped when it comes to the front. A price stays in the heap of
    its side, and is dropped when it comes to the front with an empty queue.
    """

    def __init__(self, tape: "Tape") -> None:
        self.orders: dict[int, list[int]] = {}
        self._tape = tape
        self._queues: dict[int, dict[int, deque[list[int]]]] = {BUY: {}, SELL: {}}
        self._prices: dict[int, list[int]] = {BUY: [], SELL: []}  # heaps; bids as negative prices

    def enter(self, order_id: int, side: int, price: int, quantity: int, account: int, rests: bool = True) -> int:
        """Match, then rest what is left, or drop it. Returns the lots that rest."""
        left = self._match(order_id, side, price, quantity)
        if left and rests:
            order = [order_id, side, price, left, account]
            self.orders[order_id] = order
            queue = self._queues[side].get(price)
            if queue is None:
                self._queues[side][price] = deque((order,))
                heapq.heappush(self._prices[side], -price if side == BUY else price)
            else:
                queue.append(order)
            return left
        return 0

    def cancel(self, order_id: int) -> list[int]:
        order = self.orders.pop(order_id)
        order[3] = 0
        return order

    def amend(self, order_id: int, price: int, quantity: int) -> int:
        """Leave the queue and enter again with a new open quantity. Returns the lots that rest."""
        _, side, _, _, account = self.cancel(order_id)
        return self.enter(order_id, side, price, quantity, account)

    def reduce(self, order_id: int, quantity: int) -> None:
        """A smaller open quantity; the order keeps its place."""
        self.orders[order_id][3] = quantity

    def best(self, side: int) -> int:
        """Best price of a side; 0: there is none."""
        front = self._front(side)
        return front[0][2] if front else 0

    def _front(self, side: int) -> deque[list[int]] | None:
        """The queue at the best price, with a live order at its front."""
        prices, queues = self._prices[side], self._queues[side]
        while prices:
            price = -prices[0] if side == BUY else prices[0]
            queue = queues[price]
            while queue and not queue[0][3]:
                queue.popleft()
            if queue:
                return queue
            del queues[price]
            heapq.heappop(prices)
        return None

    def _match(self, order_id: int, side: int, price: int, quantity: int) -> int:
        against = SELL if side == BUY else BUY
        while quantity:
            queue = self._front(against)
            if queue is None:
                break
            order = queue[0]
            if (order[2] > price) if side == BUY else (order[2] < price):
                break
            traded = min(quantity, order[3])
            quantity -= traded
            order[3] -= traded
            self._tape.trade(order[0], order_id, order[2], traded)
            if not order[3]:
                queue.popleft()
                del self.orders[order[0]]
        return quantity


class Tape:
    """The trades of all books, added up."""

    def __init__(self) -> None:
        self.trades = self.volume = self.notional = self.checksum = 0

    def trade(self, maker: int, taker: int, price: int, quantity: int) -> None:
        self.trades += 1
        self.volume += quantity
        self.notional += price * quantity
        self.checksum += self.trades * (31 * maker + 17 * taker + 7 * price + quantity)

    def outcome(self, orders: int) -> Outcome:
        return Outcome(self.trades, self.volume, self.notional, orders, self.checksum & _CHECKSUM_BITS)


class _Market:
    """Books, the rows written so far, and the live orders to choose from."""

    def __init__(self, instruments: int, band: int) -> None:
        self.tape = Tape()
        self.books = [PlainBook(self.tape) for _ in range(instruments)]
        self.band = band
        self._rows: list[tuple[int, ...]] = []
        self._entered: list[list[int]] = [[] for _ in range(instruments)]  # ids, some of them no longer live

    @property
    def next_id(self) -> int:
        return len(self._rows) + 1

    def enter(self, instrument: int, side: int, price: int, quantity: int, account: int, rests: bool = True) -> None:
        order_id = self.next_id
        if self.books[instrument].enter(order_id, side, price, quantity, account, rests):
            self._entered[instrument].append(order_id)
        self._rows.append((_ENTER, instrument, account, side, _GTC if rests else _IOC, 0, price, quantity))

    def cancel(self, instrument: int, order_id: int) -> None:
        order = self.books[instrument].cancel(order_id)
        self._rows.append((_CANCEL, instrument, order[4], order[1], _GTC, order_id, 0, 0))

    def amend(self, instrument: int, order_id: int, price: int, quantity: int) -> None:
        """Change the open quantity; less of it at the same price keeps the place."""
        book = self.books[instrument]
        _, side, old, left, account = book.orders[order_id]
        if price == old and quantity <= left:
            book.reduce(order_id, quantity)
        elif book.amend(order_id, price, quantity):
            self._entered[instrument].append(order_id)
        self._rows.append((_AMEND, instrument, account, side, _GTC, order_id, price, quantity))

    def pick(self, instrument: int, share: float, settled: int = 0) -> int:
        """A live order that was entered at least `settled` rows ago: share 0 is about the youngest, 1 about the oldest.

        Errors    LookupError: there is none, or none was found soon
        """
        entered, orders = self._entered[instrument], self.books[instrument].orders
        latest = self.next_id - settled
        for _ in range(200):
            if not orders:
                break
            at = len(entered) - 1 - int(share * len(entered))
            order_id = entered[at]
            if order_id not in orders:
                last = entered.pop()  # the youngest takes the place of one that is gone
                if at < len(entered):
                    entered[at] = last
            elif order_id < latest:
                return order_id
            else:
                share = (share + 1) / 2 if share < 0.9 else share / 2
        raise LookupError(f"instrument {instrument} has no order that old")

    def flow(self, name: str, warm: int, **terms: Any) -> Flow:
        commands = np.zeros(len(self._rows), COMMAND)
        columns = np.array(self._rows, np.int64).T
        names = ("kind", "instrument", "account", "side", "time_in_force", "order_id", "price", "quantity")
        for field, column in zip(names, columns, strict=True):
            commands[field] = column
        commands["sequence"] = np.arange(1, len(commands) + 1)
        commands["time"] = START + commands["sequence"] * _MICROSECOND
        commands["order_type"] = np.where(commands["kind"] == _ENTER, int(OrderType.LIMIT), 0)
        commands["flags"] = np.where(commands["kind"] == _AMEND, int(Flag.OPEN_QUANTITY), 0)
        resting = sum(len(book.orders) for book in self.books)
        return Flow(
            name, commands, warm, self.tape.outcome(resting), instruments=len(self.books), band=self.band, **terms
        )


# Flows --------------------------------------------------------------------------------------------


def mixed(
    rows: int,
    seed: int = 7,
    instruments: int = 1,
    live: int = 4_000,
    accounts: int = 100,
    band: int = BAND,
    amended: float = 0.06,
    settled: int = 0,
) -> Flow:
    """The friendly mix: orders around a price that wanders, most canceled young.

    rows         commands after the `live` rows that fill the book
    live         about how many orders rest, over all instruments
    amended      share of amendments (AMEND with OPEN_QUANTITY to another price: loses its place, may trade)
    settled      only orders that were entered at least so many rows ago are canceled and amended. Clients that name an order by
                 its future id need this, because they must not name it before the hub has answered
    """
    name = f"mixed, {instruments} {'instrument' if instruments == 1 else 'instruments'}, {live:,} live"
    return _kept(
        f"mixed-{rows}-{seed}-{instruments}-{live}-{accounts}-{band}-{amended}-{settled}",
        lambda: _wander(
            name,
            rows,
            seed,
            instruments,
            live,
            accounts,
            band,
            amended,
            settled,
            band // 2,
            np.random.default_rng(seed + 1).choice([-1, 0, 1], rows, p=[0.01, 0.98, 0.01]),
        ),
    )


def sweep(rows: int, seed: int = 7, swings: int = 4, live: int = 4_000, accounts: int = 100) -> Flow:
    """The mixed flow around a price that runs a quarter of the band up and back, `swings` times."""
    phase = np.arange(rows + 1) * (2 * swings) / rows % 2
    centre = (BAND * (0.375 + 0.25 * np.where(phase < 1, phase, 2 - phase))).astype(np.int64)
    return _kept(
        f"sweep-{rows}-{seed}-{swings}-{live}-{accounts}",
        lambda: _wander(
            f"sweep, {swings} times a quarter of the band and back",
            rows,
            seed,
            1,
            live,
            accounts,
            BAND,
            0.06,
            0,
            int(centre[0]),
            np.diff(centre),
        ),
    )


def _wander(
    name: str,
    rows: int,
    seed: int,
    instruments: int,
    live: int,
    accounts: int,
    band: int,
    amended: float,
    settled: int,
    start: int,
    steps: np.ndarray,
) -> Flow:
    """Orders around a centre of each instrument, most near it and some far, on both sides; 3 % are priced to trade.

    start, steps   ticks: every centre at first, and how far each row moves the centre of its instrument
    """
    rng = np.random.default_rng(seed)
    total = live + rows
    width = min(max(8, live // instruments // 500), band // 32)  # mean distance from the centre, ticks
    near = rng.geometric(1 / width, total)
    far = rng.geometric(1 / min(12 * width, band // 8), total)
    place = rng.random(total)
    distance = np.where(place < 0.1, far, near).tolist()
    crosses = (place > 0.97).tolist()
    share, age = rng.random(total).tolist(), (rng.random(total) ** 3).tolist()
    sides = rng.integers(BUY, SELL + 1, total).tolist()
    account = rng.integers(0, accounts, total).tolist()
    number = rng.integers(0, instruments, total).tolist()
    quantity = np.minimum(rng.geometric(0.03, total), 500).tolist()
    moves = [*np.zeros(live, np.int64).tolist(), *steps.tolist()]
    centre = [start] * instruments
    market = _Market(instruments, band)
    wanted = max(1, live // instruments)
    for at in range(total):
        i, side = number[at], sides[at]
        centre[i] += moves[at]
        book = market.books[i]
        resting = len(book.orders)
        kind = share[at]
        order_id = 0
        entering = 0.54 + 0.5 * (wanted - resting) / wanted
        if at >= live and entering <= kind < 0.96:
            with contextlib.suppress(LookupError):
                order_id = market.pick(i, age[at], settled)
        if at >= live and kind >= 0.96:
            market.enter(i, side, band if side == BUY else 1, quantity[at], account[at], rests=False)
        elif not order_id:
            price = centre[i] - distance[at] if side == BUY else centre[i] + distance[at]
            if crosses[at] and at >= live:
                price = book.best(BUY + SELL - side) or price
            market.enter(i, side, min(max(price, 2), band - 1), quantity[at], account[at])
        elif kind < 0.96 - amended:
            market.cancel(i, order_id)
        else:
            _, own, old, _, _ = book.orders[order_id]
            price = centre[i] - distance[at] if own == BUY else centre[i] + distance[at]
            price = min(max(price, 2), band - 1)
            market.amend(i, order_id, price + (price == old), quantity[at])
    return market.flow(name, live, accounts=accounts, live=live)


def deep_level(rows: int, seed: int = 7, depth: int = 20_000, accounts: int = 100) -> Flow:
    """About `depth` sell orders at one price all the time: new ones behind, trades in front, cancels and amendments anywhere."""
    return _kept(f"deep-{rows}-{seed}-{depth}-{accounts}", lambda: _deep_level(rows, seed, depth, accounts))


def _deep_level(rows: int, seed: int, depth: int, accounts: int) -> Flow:
    rng = np.random.default_rng(seed)
    total = depth + rows
    share, age = rng.random(total).tolist(), rng.random(total).tolist()
    account = rng.integers(0, accounts, total).tolist()
    quantity = rng.integers(1, 100, total).tolist()
    market = _Market(1, BAND)
    book, price = market.books[0], BAND // 2
    for at in range(total):
        if at < depth or len(book.orders) < depth:
            market.enter(0, SELL, price, quantity[at], account[at])
        elif share[at] < 0.5:
            market.cancel(0, market.pick(0, age[at]))
        elif share[at] < 0.7:
            order_id = market.pick(0, age[at])
            left = book.orders[order_id][3]
            if left > 1:  # less keeps its place, more goes behind the others
                market.amend(0, order_id, price, left - 1 if share[at] < 0.6 else left + 1)
            else:
                market.cancel(0, order_id)
        else:
            market.enter(0, BUY, price, quantity[at], account[at], rests=False)
    return market.flow(f"one level, {depth:,} orders", depth, accounts=accounts, live=depth)


def recorded(path: pathlib.Path) -> Flow:
    """A flow from a file: rows of op, side, symbol, account, order_id, price, qty, and NAME.json beside it with "oracle".

    op 0 a limit order, 1 a cancel, 2 a replacement of price and open quantity that loses its place, 3 a market order
    (here: a limit at the edge of the band that does not rest). side 0 is buy. Order ids count 1, 2, 3 ... in the order
    of entry. The oracle's entry for the whole flow has trades, volume, notional, live and checksum.
    Errors    ValueError naming what the file lacks
    """
    rows = np.load(path)
    described = path.with_suffix(".json")
    try:
        expected = json.loads(described.read_text())["oracle"][str(len(rows))]
    except (OSError, KeyError) as error:
        raise ValueError(f"{described}: no oracle for {len(rows)} rows: {error!r}") from None
    kind = rows["op"]
    entered = np.flatnonzero((kind == 0) | (kind == 3))
    if not np.array_equal(rows["order_id"][entered], np.arange(1, len(entered) + 1)):
        raise ValueError(f"{path}: order ids do not count 1, 2, 3 ... in the order of entry")
    commands = np.zeros(len(rows), COMMAND)
    commands["sequence"] = np.arange(1, len(rows) + 1)
    commands["time"] = START + commands["sequence"] * _MICROSECOND
    commands["kind"] = np.choose(kind, (_ENTER, _CANCEL, _AMEND, _ENTER))
    commands["order_type"] = np.where(commands["kind"] == _ENTER, int(OrderType.LIMIT), 0)
    commands["time_in_force"] = np.where(kind == 3, _IOC, _GTC)
    commands["flags"] = np.where(kind == 2, int(Flag.OPEN_QUANTITY), 0)
    commands["side"] = rows["side"] + BUY
    commands["order_id"] = np.where(commands["kind"] == _ENTER, 0, entered[rows["order_id"] - 1] + 1)
    commands["price"] = np.where(kind == 3, np.where(rows["side"] == 0, BAND - 1, 1), rows["price"])
    for field, column in (("instrument", "symbol"), ("account", "account"), ("quantity", "qty")):
        commands[field] = rows[column]
    outcome = Outcome(
        expected["trades"], expected["volume"], expected["notional"], expected["live"], expected["checksum"]
    )
    return Flow(
        path.stem,
        commands,
        0,
        outcome,
        int(rows["symbol"].max()) + 1,
        BAND - 1,
        int(rows["account"].max()) + 1,
        max(4_000, 2 * expected["live"]),
        recorded=True,
    )


def recorded_outcome(flow: Flow, events: np.ndarray, exchange: Exchange) -> Outcome:
    """outcome_of, with the checksum as a recorded flow counts it: a chain over its own order ids, modulo 2**61."""
    outcome = outcome_of(events, exchange)
    number = np.cumsum(flow.commands["kind"] == _ENTER)  # of the order that a sequence entered
    trades = events[events["kind"] == EventKind.TRADED]
    makers, takers = number[trades["resting_order_id"] - 1], number[trades["order_id"] - 1]
    checksum = 0
    for maker, taker, price, quantity in zip(
        makers.tolist(), takers.tolist(), trades["price"].tolist(), trades["quantity"].tolist(), strict=True
    ):
        checksum = (checksum * 1_000_003 + maker * 31 + taker * 17 + price * 7 + quantity) & ((1 << 61) - 1)
    return replace(outcome, checksum=checksum)


# Kept flows ---------------------------------------------------------------------------------------


def _kept(name: str, make: Callable[[], Flow]) -> Flow:
    """Read the flow of this name from the temporary folder, or make it and put it there. The name has a digest of this source."""
    digest = hashlib.blake2b(pathlib.Path(__file__).read_bytes(), digest_size=6).hexdigest()
    folder = pathlib.Path(tempfile.gettempdir()) / f"qiee-flows-{os.getuid()}"
    path = folder / f"{name}-{digest}.npz"
    try:
        with np.load(path) as kept:
            terms = json.loads(str(kept["terms"]))
            return Flow(commands=kept["commands"].view(COMMAND), **terms | {"outcome": Outcome(**terms["outcome"])})
    except (OSError, ValueError, KeyError):
        pass
    gc.disable()  # millions of small lists without cycles: garbage collection would take half of the time
    try:
        flow = make()
    finally:
        gc.enable()
    terms = asdict(replace(flow, commands=np.empty(0)))
    del terms["commands"]
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        half = path.with_name(f"{os.getpid()}-{path.name}")
        np.savez(half, commands=flow.commands.view(np.uint8), terms=json.dumps(terms))
        half.replace(path)
    except OSError:
        pass  # no space to keep it, so the next run makes it again
    return flow
