"""Shanghai stock days, as the exchange distributes them order by order (Level-2), turned into commands.

    for day in read_days(folder):                    # SHorders.zip and SHtrans.zip, a CSV file each
        exchange = Exchange([day.instrument()], 2)
        events = exchange.apply(day.commands)
        day.trades_of(events) == day.trades          # ((buy order, sell order, ticks, shares), ...)

Columns used. SHorders: MDDate, MDTime, SecurityID, OrderType (2 new order, 10 cancel), OrderPrice, OrderQty, OrderBSFlag
(1 buy, 2 sell), ApplSeqNum, OrderNO. SHtrans: MDDate, MDTime, SecurityID, TradeBuyNo, TradeSellNo, TradeBSFlag (1 the buy
came in, 2 the sell, 0 call auction), TradePrice, TradeQty, ApplSeqNum. ApplSeqNum numbers both files in one sequence.

An order that trades at once is published after its trades and with what is left of it, or not at all if nothing is. So an
incoming order is put together from the trades that name it and, if the next record is that order, from the remainder. The
limit of one that traded in full is not published; the price of its last trade stands for it, which trades the same.

One share is a lot, one fen a tick. The phases are those of the exchange's trading hours.
"""

import csv
import datetime
import io
import pathlib
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from exchange import AuctionStep, Instrument
from exchange.commands import Command
from matching import EventKind, Phase, Side
from matching.codes import CommandKind
from tests.build import cancel, enter, operator, rows

FILES = ("SHorders.zip", "SHtrans.zip")
PHASES = (
    ("09:15", Phase.CALL_AUCTION),
    ("09:20", Phase.AUCTION_ENTRY_ONLY),
    ("09:25", Phase.AUCTION_MATCH),
    ("09:30", Phase.CONTINUOUS),
    ("11:30", Phase.BREAK),
    ("13:00", Phase.CONTINUOUS),
    ("14:57", Phase.AUCTION_ENTRY_ONLY),
    ("15:00", Phase.AUCTION_MATCH),
    ("15:30", Phase.CLOSED),
)
BEIJING = datetime.timezone(datetime.timedelta(hours=8))
BUYER, SELLER = 0, 1  # accounts: who owns an order is not published
NEW_ORDER, CANCEL = 2, 10
SIDES = (Side.BUY, Side.SELL)
NO_SIDE = 0  # of a trade in a call auction


class Order(NamedTuple):
    """A record of SHorders."""

    sequence: int
    time: str  # HH:MM:SS.mmm in Beijing
    number: int
    kind: int  # NEW_ORDER or CANCEL
    side: int
    price: int
    quantity: int  # open when the record was published


class Trade(NamedTuple):
    """A record of SHtrans."""

    sequence: int
    time: str
    buy: int  # number of the order
    sell: int
    incoming: int  # Side of the order that came in, or NO_SIDE
    price: int
    quantity: int

    @property
    def incoming_order(self) -> int:
        return self.buy if self.incoming == Side.BUY else self.sell


Fill = tuple[int, int, int, int]  # buy order, sell order, ticks, shares


@dataclass(frozen=True)
class Day:
    """A stock on a day: what was entered, and what came of it."""

    symbol: str
    records: list[Order | Trade]
    commands: np.ndarray  # COMMAND[n], stamped
    numbers: dict[int, int]  # order id of the engine -> number of the order

    def instrument(self) -> Instrument:
        prices = self.commands["price"][self.commands["kind"] == CommandKind.ENTER]
        return Instrument(
            symbol=self.symbol,
            tick_size=Decimal("0.01"),
            lot_size=Decimal(1),
            price_floor=int(prices.min()),
            price_ceiling=int(prices.max()),
            auction=AuctionStep.IMBALANCE | AuctionStep.MIDDLE,
            phase=Phase.CLOSED,
        )

    # What the exchange published

    @property
    def trades(self) -> list[Fill]:
        return [(record.buy, record.sell, record.price, record.quantity) for record in self._trades()]

    @property
    def continuous(self) -> int:
        """How many of the trades are not of a call auction."""
        return sum(record.incoming != NO_SIDE for record in self._trades())

    @property
    def auctions(self) -> list[tuple[int, int]]:
        """(ticks, shares) of the opening and the closing auction; (0, 0): it did not trade."""
        found = []
        for begins, ends in (("09:25", "09:30"), ("15:00", "15:30")):
            trades = [trade for trade in self._trades() if trade.incoming == NO_SIDE and begins <= trade.time < ends]
            prices = {trade.price for trade in trades}
            assert len(prices) <= 1, (self.symbol, begins, prices)
            found.append((prices.pop() if prices else 0, sum(trade.quantity for trade in trades)))
        return found

    @property
    def cancels(self) -> list[tuple[int, int]]:
        """(order, shares that were open)"""
        return [(record.number, record.quantity) for record in self._orders() if record.kind == CANCEL]

    @property
    def left(self) -> dict[int, int]:
        """Shares open at the close by order, counted from the records alone."""
        left: dict[int, int] = {}
        for record in self.records:
            if isinstance(record, Order) and record.kind == NEW_ORDER:
                left[record.number] = record.quantity
            elif isinstance(record, Order):
                left[record.number] -= record.quantity
            else:
                for number in {record.buy, record.sell} - {record.incoming_order if record.incoming else 0}:
                    left[number] -= record.quantity
        return {number: quantity for number, quantity in left.items() if quantity}

    def _orders(self) -> Iterator[Order]:
        return (record for record in self.records if isinstance(record, Order))

    def _trades(self) -> Iterator[Trade]:
        return (record for record in self.records if isinstance(record, Trade))

    # The same as the engine has it

    def trades_of(self, events: np.ndarray) -> list[Fill]:
        traded = events[events["kind"] == EventKind.TRADED]
        is_buy = traded["side"] == Side.BUY
        buys = np.where(is_buy, traded["order_id"], traded["resting_order_id"])
        sells = np.where(is_buy, traded["resting_order_id"], traded["order_id"])
        return [
            (self.numbers[buy], self.numbers[sell], price, quantity)
            for buy, sell, price, quantity in zip(
                buys.tolist(), sells.tolist(), traded["price"].tolist(), traded["quantity"].tolist(), strict=True
            )
        ]

    def cancels_of(self, events: np.ndarray) -> list[tuple[int, int]]:
        canceled = events[events["kind"] == EventKind.CANCELED]
        return [(self.numbers[order], lots) for order, lots in canceled[["order_id", "quantity"]].tolist()]

    def left_of(self, orders: np.ndarray) -> dict[int, int]:
        return {self.numbers[order]: lots for order, lots in orders[["order_id", "leaves_quantity"]].tolist()}


def read_days(folder: pathlib.Path) -> list[Day]:
    """Every stock and day of a folder's two files, in the order of their names.

    Errors: FileNotFoundError; ValueError for a price off the tick or a record of a kind not named above.
    """
    records: dict[tuple[str, str], list[Order | Trade]] = defaultdict(list)
    for row in _table(folder / FILES[0]):
        order = Order(
            int(row["ApplSeqNum"]),
            row["MDTime"],
            int(row["OrderNO"]),
            _one_of(row, "OrderType", (NEW_ORDER, CANCEL)),
            _one_of(row, "OrderBSFlag", SIDES),
            _ticks(row["OrderPrice"]),
            int(row["OrderQty"]),
        )
        records[_code(row), row["MDDate"]].append(order)
    for row in _table(folder / FILES[1]):
        trade = Trade(
            int(row["ApplSeqNum"]),
            row["MDTime"],
            int(row["TradeBuyNo"]),
            int(row["TradeSellNo"]),
            _one_of(row, "TradeBSFlag", (NO_SIDE, *SIDES)),
            _ticks(row["TradePrice"]),
            int(row["TradeQty"]),
        )
        records[_code(row), row["MDDate"]].append(trade)
    return [_day(symbol, date, sorted(of_day)) for (symbol, date), of_day in sorted(records.items())]


def _table(path: pathlib.Path) -> Iterator[dict[str, str]]:
    with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as content:
        yield from csv.DictReader(io.TextIOWrapper(content, "utf-8-sig"))


def _code(row: dict[str, str]) -> str:
    """600000 of 600000.SH"""
    return row["SecurityID"].partition(".")[0]


def _one_of(row: dict[str, str], column: str, known: tuple[int, ...]) -> int:
    value = int(row[column])
    if value not in known:
        raise ValueError(f"ApplSeqNum {row['ApplSeqNum']}: {column} is {value}")
    return value


def _ticks(price: str) -> int:
    """Prices are written as binary fractions (14.169999999999999), so they are a millionth of a tick off at most."""
    ticks = round(float(price) * 100)
    if abs(float(price) * 100 - ticks) > 1e-6:
        raise ValueError(f"price {price} is no multiple of 0.01")
    return ticks


def _day(symbol: str, date: str, records: list[Order | Trade]) -> Day:
    commands: list[Command] = []
    times: list[str] = []
    ids: dict[int, int] = {}
    phases = list(PHASES)

    def send(command: Command, time: str) -> None:
        commands.append(command)
        times.append(time)

    def enter_phases(until: str) -> None:
        while phases and phases[0][0] <= until:
            begins, phase = phases.pop(0)
            send(operator(CommandKind.PHASE, phase, instrument=0), begins)

    at = 0
    while at < len(records):
        record = records[at]
        enter_phases(record.time)
        at += 1
        if isinstance(record, Order) and record.kind == CANCEL:
            send(cancel(BUYER if record.side == Side.BUY else SELLER, ids[record.number]), record.time)
        elif isinstance(record, Order):
            ids[record.number] = len(commands) + 1
            send(_entry(record.side, record.price, record.quantity), record.time)
        elif record.incoming != NO_SIDE:
            number, price, quantity = record.incoming_order, record.price, record.quantity
            while at < len(records) and _trades_on(records[at], record):
                price = records[at].price
                quantity += records[at].quantity
                at += 1
            rest = records[at] if at < len(records) else None
            if isinstance(rest, Order) and rest.kind == NEW_ORDER and rest.number == number:
                price = rest.price
                quantity += rest.quantity
                at += 1
            ids[number] = len(commands) + 1
            send(_entry(record.incoming, price, quantity), record.time)
    enter_phases("24:00")
    stamped = rows(*commands)
    midnight = datetime.datetime.strptime(date, "%Y.%m.%d").replace(tzinfo=BEIJING)
    stamped["time"] = [int(midnight.timestamp()) * 1_000_000_000 + _ns(time) for time in times]
    return Day(symbol, records, stamped, {order_id: number for number, order_id in ids.items()})


def _entry(side: int, price: int, quantity: int) -> Command:
    return enter(BUYER if side == Side.BUY else SELLER, side, price, quantity)


def _trades_on(record: Order | Trade, first: Trade) -> bool:
    """Is a record one more trade of the incoming order of `first`?"""
    return (
        isinstance(record, Trade)
        and record.incoming == first.incoming
        and record.incoming_order == first.incoming_order
    )


def _ns(time: str) -> int:
    """HH:MM or HH:MM:SS.mmm -> ns since midnight."""
    hours, minutes, seconds = (*time.split(":"), "0")[:3]
    return (int(hours) * 3600 + int(minutes) * 60) * 1_000_000_000 + round(float(seconds) * 1000) * 1_000_000
