"""Bitstamp's public order feed (`live_orders`, `live_trades`), as the collector of the package ob-analytics writes it.

    capture = read_capture(sample_folder())       # half an hour of BTC/USD: 314,057 order rows, 284 trades
    flow = reconstruct(capture)                   # what the members sent

orders.csv (or .csv.gz) has one row a message: id, timestamp and exchange_timestamp in ms, price, volume, action,
direction. trades.csv has the venue's own trades. The feed shows effects; the members' orders are recovered so:

 1  `created` is an order coming in, before it trades: its price is its limit, its volume all of it. A later row may
    show another price (of the trade, or of the order that replaced it); the order's own stays that of `created`.
 2  A volume that falls is a fill, reported for the taker and for the maker. No command follows: the engine finds it.
 3  `deleted` with volume left is a CANCEL. With none left the order was filled, and nobody sent anything.
 4  An order deleted with its volume untouched never took liquidity. It is entered POST_ONLY: where the venue refused it
    for that (it shows and deletes such an order in the same ms) the engine must refuse it too. The feed does not distinguish
    such a `deleted` from a member's, so it is a CANCEL as well, of an order that the engine does not know.
 5  After the opening book an ask at price 0 and a bid at 999,999,999 is a market order, entered as MARKET, IOC. With
    volume 0 it is one for an amount of money: its quantity is what the other side lost between its first and its last
    row. If nobody lost anything it is left out.
 6  The first rows, all of one exchange time, are the opening book, oldest order first at each price. An order of it
    that outlives the recording at a price behind prices that traded since was gone before the feed began: left out.
 7  The last rows, received when they happened, are the collector's own: it closes what is still open. No commands;
    they are the venue's book at the end.
 8  An order that is only ever changed or deleted came between the opening book and the first message. It enters
    at the time that its id carries. If nothing is left of it when first seen, its quantity is unknown: left out.

Rows are in the order of exchange_timestamp, and that order is kept: it is the venue's own within a ms too.

All of it goes through one account that may trade with itself: the feed does not say whose orders they are, and
members of a venue do not prevent each other's trades. Limits are far away and risk stays on: every command pays for
its checks. A lot is the venue's smallest volume, 1E-8 BTC, and a tick its price step, 1 USD: every price of the
capture is a whole dollar. The band, 1,000 to 263,143 USD, is as wide as a ladder may be and begins where the orders of
1 and 2 dollars for 160,000 BTC are left below, which no limit of the risk engine would let pass.
"""

import csv
import gzip
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, partial
from importlib import metadata
from pathlib import Path

import numpy as np

from exchange.instruments import Instrument
from exchange.replay.formats import OPEN_ORDER, TAPE, CaptureError, Flow, LeftOut
from exchange.units import UnitError, amount_to_lots, price_to_ticks
from matching.codes import CommandKind, Flag, OrderType, Side, TimeInForce
from matching.records import COMMAND
from risk.limits import Account

INSTRUMENT = Instrument(
    symbol="BTC_USD",
    tick_size=Decimal(1),
    lot_size=Decimal("1E-8"),
    price_floor=1_000,
    price_ceiling=263_143,
    reference_price=78_320,
    margin=1,
    unit="BTC",
    currency="USD",
    product="bitcoin",
    name="Bitcoin, as at Bitstamp",
)
ACCOUNT = Account(name="everybody")

PACKAGE = "ob-analytics"
CREATED, CHANGED, DELETED = 1, 2, 3

# One message of the order feed.
ORDER_ROW = np.dtype(
    (
        np.record,
        [
            ("order_id", "<i8"),
            ("received", "<i8"),
            ("time", "<i8"),  # ms since the epoch: at the collector, at the venue
            ("price", "<i8"),
            ("quantity", "<i8"),  # ticks; lots still open
            ("action", "u1"),
            ("side", "u1"),
        ],
    )
)

_ACTIONS = {"created": CREATED, "changed": CHANGED, "deleted": DELETED}
_TAKER_BUYS = {"buy": True, "sell": False}
_SIDES = {"bid": int(Side.BUY), "ask": int(Side.SELL)}
_NS_PER_MS = 1_000_000
_MARKET_BID = 999_999_999  # USD, how the feed writes "at any price"; for an ask it writes 0
_ID_EPOCH, _ID_SHIFT = 1_288_834_974_657, 12  # an id carries the ms since this epoch above its low 12 bits


@dataclass(frozen=True)
class Capture:
    """A recording in integers: ORDER_ROW[n] in the order of the file, and the venue's TAPE[m]."""

    orders: np.ndarray
    trades: np.ndarray


@dataclass(frozen=True)
class Column:
    """A column of a CSV file: its name, how a text becomes an integer, and what the text must be."""

    name: str
    convert: Callable[[str], int]
    must_be: str = "a whole number"


def sample_folder(package: str = PACKAGE) -> Path:
    """Where the installed package keeps its sample capture. The package itself is not imported.

    Errors    CaptureError if it is not installed
    """
    try:
        folder = Path(str(metadata.distribution(package).locate_file("ob_analytics/_sample_data")))
    except metadata.PackageNotFoundError:
        raise CaptureError(
            "the recorded order flow is not installed: pip install '.[replay]', "
            f"or without what it does not need here: pip install --no-deps {package}"
        ) from None
    if not (folder / "trades.csv").exists():
        raise CaptureError(f"the installed {package} brings no sample capture: {folder} is not there")
    return folder


def load() -> Flow:
    """The flow of the sample capture. Errors: CaptureError."""
    return reconstruct(read_capture(sample_folder()))


# Reading ------------------------------------------------------------------------------------------


def read_capture(folder: Path, instrument: Instrument = INSTRUMENT) -> Capture:
    """Read orders.csv.gz (or orders.csv) and trades.csv. Prices and volumes become ticks and lots exactly.

    Errors    CaptureError naming file, line, field and value
    """
    price = Column("price", cache(partial(price_to_ticks, instrument)))
    volume = Column("volume", cache(partial(amount_to_lots, instrument)))
    packed = folder / "orders.csv.gz"
    orders = _read(
        packed if packed.exists() else folder / "orders.csv",
        ORDER_ROW,
        {
            "order_id": Column("id", int),
            "received": Column("timestamp", int),
            "time": Column("exchange_timestamp", int),
            "price": price,
            "quantity": volume,
            "action": Column("action", _ACTIONS.__getitem__, " or ".join(_ACTIONS)),
            "side": Column("direction", _SIDES.__getitem__, " or ".join(_SIDES)),
        },
    )
    trades = _read(
        folder / "trades.csv",
        np.dtype([*TAPE.descr, ("buys", "?")]),
        {
            "trade_id": Column("trade_id", int),
            "time": Column("exchange_timestamp", int),
            "taker_order_id": Column("buy_order_id", int),
            "maker_order_id": Column("sell_order_id", int),
            "price": price,
            "quantity": Column("amount", volume.convert),
            "buys": Column("side", _TAKER_BUYS.__getitem__, " or ".join(_TAKER_BUYS)),
        },
    )
    tape = np.zeros(len(trades), TAPE)
    for field in TAPE.fields or ():
        tape[field] = trades[field]
    tape["time"] *= _NS_PER_MS
    sells = ~trades["buys"]  # `side` is the taker's
    tape["taker_order_id"][sells] = trades["maker_order_id"][sells]
    tape["maker_order_id"][sells] = trades["taker_order_id"][sells]
    return Capture(orders, tape[np.argsort(tape["trade_id"], kind="stable")])


def _read(path: Path, dtype: np.dtype, columns: dict[str, Column]) -> np.ndarray:
    """A CSV file with a heading as an array. `columns`: where each field of dtype comes from."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="ascii", newline="") as file:
            heading, *lines = csv.reader(file)
    except (OSError, EOFError, ValueError, csv.Error, zlib.error) as error:
        raise CaptureError(f"{path.name}: cannot be read: {error}") from None
    rows = np.zeros(len(lines), dtype)
    for field, column in columns.items():
        if column.name not in heading:
            raise CaptureError(f"{path.name} line 1: column {column.name} is not there, only {', '.join(heading)}")
        number = heading.index(column.name)
        try:
            rows[field] = [column.convert(line[number]) for line in lines]
        except (ValueError, LookupError, OverflowError):
            raise _named(path, lines, number, column) from None
    return rows


def _named(path: Path, lines: Sequence[list[str]], number: int, column: Column) -> CaptureError:
    """The error for the first line whose column does not convert to an int64."""
    for line_number, line in enumerate(lines, 2):
        where = f"{path.name} line {line_number}:"
        if number >= len(line):
            return CaptureError(f"{where} {column.name} is missing")
        try:
            np.int64(column.convert(line[number]))
        except (ValueError, LookupError, OverflowError) as error:
            if isinstance(error, UnitError):
                return CaptureError(f"{where} {error}")
            return CaptureError(f"{where} {column.name} is {line[number]}, must be {column.must_be}")
    return CaptureError(f"{path.name}: column {column.name} does not convert")


# Reconstruction -----------------------------------------------------------------------------------


def reconstruct(capture: Capture, instrument: Instrument = INSTRUMENT) -> Flow:
    """The commands that the members of the venue sent, by the rules above. The numbers in the comments are theirs.

    Errors    CaptureError if the rows go back in time or an order grows
    """
    rows = capture.orders
    _check_order(rows)
    opening, closing = _opening_end(rows), _closing_start(rows)
    ids, order, first, last, fills = _lives(rows)
    entry, end = rows[first], rows[last]
    announced = entry["action"] == CREATED
    any_price = np.where(entry["side"] == Side.BUY, int(_MARKET_BID / instrument.tick_size), 0)
    market = announced & (first >= opening) & (entry["price"] == any_price)  # 5
    by_value = market & (entry["quantity"] == 0)
    untouched = (end["action"] == DELETED) & (end["quantity"] == entry["quantity"]) & ~market
    survives = last >= closing
    quantity = entry["quantity"].copy()
    for number in np.flatnonzero(by_value):
        life = slice(first[number], last[number] + 1)
        quantity[number] = fills[life][rows["side"][life] != entry["side"][number]].sum()
    _check_growth(rows, ids, order, fills, by_value)

    stale = (first < opening) & survives & untouched & _behind(rows, entry, fills)  # 6
    causes = (
        (stale, "open from the first to the last row at a price that trades passed: gone before the feed began"),
        (by_value & (quantity == 0), "a market order for an amount of money that met nobody: its quantity is unknown"),
        (~by_value & (quantity == 0), "nothing left of it when first seen: its quantity is unknown"),
    )
    left_out = np.any([which for which, _ in causes], axis=0)

    # Where each ENTER stands among the rows: at its own row; if it was never announced, before the first row later
    # than its id says (8). Rows have odd places, so that there is one before each.
    arrival = np.where(announced, entry["time"], (ids >> _ID_SHIFT) + _ID_EPOCH)
    arrival = np.clip(arrival, rows["time"][0] if len(rows) else 0, entry["time"])
    before = np.clip(np.searchsorted(rows["time"], arrival, "right"), np.minimum(opening, first), first)
    place = np.where(announced, 2 * first + 1, 2 * before)

    entering = np.flatnonzero(~left_out)
    enters = np.zeros(len(entering), COMMAND)
    enters["kind"] = CommandKind.ENTER
    enters["client_order_id"] = ids[entering].astype(f"S{COMMAND['client_order_id'].itemsize}")
    enters["side"], enters["quantity"] = entry["side"][entering], quantity[entering]
    enters["price"] = np.where(market, 0, entry["price"])[entering]
    enters["order_type"] = np.where(market, OrderType.MARKET, OrderType.LIMIT)[entering]
    enters["time_in_force"] = np.where(market, TimeInForce.IOC, TimeInForce.GTC)[entering]
    enters["flags"] = np.where(untouched, Flag.POST_ONLY, 0)[entering]  # 4
    enters["time"] = arrival[entering] * _NS_PER_MS

    deleted = (rows["action"] == DELETED) & (rows["quantity"] > 0) & ~market[order] & ~left_out[order]
    deleted[closing:] = False  # 7
    withdrawn = np.flatnonzero(deleted)  # 3
    cancels = np.zeros(len(withdrawn), COMMAND)
    cancels["kind"] = CommandKind.CANCEL
    cancels["time"] = rows["time"][withdrawn] * _NS_PER_MS

    about = np.concatenate([entering, order[withdrawn]])
    commands = np.concatenate([enters, cancels])
    sent = np.lexsort((commands["time"], np.concatenate([place[entering], 2 * withdrawn + 1])))
    commands, about = commands[sent], about[sent]
    commands["sequence"] = np.arange(1, len(commands) + 1)
    engine_id = np.zeros(len(ids), np.int64)
    entered = commands["kind"] == CommandKind.ENTER
    engine_id[about[entered]] = commands["sequence"][entered]
    commands["order_id"] = np.where(entered, 0, engine_id[about])

    at_once = untouched & announced & (end["time"] == entry["time"]) & (last == first + 1)
    return Flow(
        instruments=(instrument,),
        accounts=(ACCOUNT,),
        commands=commands,
        venue_ids=ids[about],
        tape=capture.trades,
        resting=_open_orders(ids, entry, end, survives & ~left_out),
        refused=ids[at_once],
        left_out=tuple(LeftOut(int(ids[number]), cause) for which, cause in causes for number in np.flatnonzero(which)),
    )


def _lives(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Rows by order: ids; the index in ids of each row; first and last row of each order; the fill of each row."""
    ids, order = np.unique(rows["order_id"], return_inverse=True)
    grouped = np.argsort(order, kind="stable")  # all rows of an order together, as they came
    starts = np.searchsorted(order[grouped], np.arange(len(ids) + 1))
    first, last = grouped[starts[:-1]], grouped[starts[1:] - 1]
    fills = np.zeros(len(rows), np.int64)
    fills[grouped[1:]] = -np.diff(rows["quantity"][grouped])
    fills[first] = 0
    return ids, order, first, last, fills


def _opening_end(rows: np.ndarray) -> int:
    """How many rows at the beginning are the opening book."""
    other = (rows["time"] != rows["time"][0]) | (rows["action"] != CREATED) if len(rows) else np.empty(0, bool)
    return int(other.argmax()) if other.any() else len(rows)


def _closing_start(rows: np.ndarray) -> int:
    """Row from which on the collector closes what is open: deletes received in the ms in which they happened."""
    if not len(rows):
        return 0
    own = (rows["action"] == DELETED) & (rows["received"] == rows["time"]) & (rows["time"] == rows["time"][-1])
    return int(len(rows) - np.argmin(own[::-1])) if not own.all() else 0


def _behind(rows: np.ndarray, entry: np.ndarray, fills: np.ndarray) -> np.ndarray:
    """Which orders stand at a price that trades have passed. The price of a row with a fill is that of the trade."""
    traded = rows["price"][fills > 0]
    if not len(traded):
        return np.zeros(len(entry), bool)
    return np.where(entry["side"] == Side.BUY, entry["price"] > traded.min(), entry["price"] < traded.max())


def _open_orders(ids: np.ndarray, entry: np.ndarray, end: np.ndarray, which: np.ndarray) -> np.ndarray:
    resting = np.zeros(int(which.sum()), OPEN_ORDER)
    resting["order_id"], resting["price"], resting["side"] = ids[which], entry["price"][which], entry["side"][which]
    resting["leaves_quantity"] = end["quantity"][which]
    return resting


def _check_order(rows: np.ndarray) -> None:
    back = np.flatnonzero(np.diff(rows["time"]) < 0)
    if len(back):
        raise CaptureError(
            f"orders line {back[0] + 3}: exchange_timestamp is {rows['time'][back[0] + 1]}, "
            f"must not be before {rows['time'][back[0]]} of the line above"
        )


def _check_growth(
    rows: np.ndarray, ids: np.ndarray, order: np.ndarray, fills: np.ndarray, by_value: np.ndarray
) -> None:
    grown = np.flatnonzero((fills < 0) & ~by_value[order])
    if len(grown):
        raise CaptureError(
            f"orders line {grown[0] + 2}: the volume of order {ids[order[grown[0]]]} grows by "
            f"{-fills[grown[0]]} lots; this venue's orders only shrink"
        )
