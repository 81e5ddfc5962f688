"""On real stock days of the Shanghai Stock Exchange the engine makes the trades that the exchange made.

The data belongs to the exchange and is not part of this project. QIEE_SSE_DATA names a folder with SHorders.zip and
SHtrans.zip (tests/exchange/shanghai.py describes them):

    QIEE_SSE_DATA=/where/it/is python -m pytest tests/exchange/test_shanghai_days.py

Without the data, a day made by hand tests the reader.
"""

import os
import pathlib
import zipfile
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from matching import EventKind, Phase, Reason
from matching.jit import INTERPRETED
from tests.exchange.shanghai import FILES, Day, read_days

FOLDER = pathlib.Path(os.environ.get("QIEE_SSE_DATA", ""))
needs_data = pytest.mark.skipif(
    not all((FOLDER / name).is_file() for name in FILES),
    reason=f"no Shanghai days: QIEE_SSE_DATA names no folder with {' and '.join(FILES)}",
)
needs_compiled = pytest.mark.skipif(INTERPRETED, reason="a real day takes minutes with the JIT off")

ORDERS = """\
MDDate,MDTime,OrderType,OrderPrice,OrderQty,OrderBSFlag,ApplSeqNum,OrderNO,SecurityID
2030.01.02,09:15:00.100,2,10.03,500,1,1,11,600000.SH
2030.01.02,09:15:00.200,2,9.99,300,1,2,12,600000.SH
2030.01.02,09:19:59.990,10,9.99,300,1,3,12,600000.SH
2030.01.02,09:21:00.000,2,10.000000000000001,500,2,4,13,600000.SH
2030.01.02,09:30:01.000,2,10.05,200,2,6,14,600000.SH
2030.01.02,09:30:02.000,2,10.06,400,2,7,15,600000.SH
2030.01.02,09:30:03.000,2,10.06,100,1,10,16,600000.SH
2030.01.02,14:56:59.000,10,10.06,100,1,12,16,600000.SH
2030.01.02,14:58:00.000,2,10.07,700,1,13,18,600000.SH
2030.01.02,14:59:00.000,2,10.07,900,2,14,19,600000.SH
"""
TRADES = """\
MDDate,MDTime,TradeBuyNo,TradeSellNo,TradeBSFlag,TradePrice,TradeQty,ApplSeqNum,SecurityID
2030.01.02,09:25:00.000,11,13,0,10.02,500,5,600000.SH
2030.01.02,09:30:03.000,16,14,1,10.05,200,8,600000.SH
2030.01.02,09:30:03.000,16,15,1,10.06,400,9,600000.SH
2030.01.02,15:00:00.500,18,19,0,10.07,700,15,600000.SH
"""


def pack(folder: pathlib.Path, orders: str = ORDERS, trades: str = TRADES) -> pathlib.Path:
    for name, content in zip(FILES, (orders, trades), strict=True):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(name.replace("zip", "csv"), content)
    return folder


def replay(day: Day) -> tuple[Exchange, np.ndarray]:
    """(exchange, events) of a day; none of its commands is refused."""
    exchange = Exchange([day.instrument()], 2)
    events = np.array(exchange.apply(day.commands))
    refused = events[events["kind"] == EventKind.REJECTED]
    assert len(refused) == 0, (day.symbol, refused[0]["time"], Reason(refused[0]["reason"]))
    return exchange, events


def check(day: Day) -> Any:
    """Every trade, auction, cancel and remaining order of a day is that of the exchange."""
    exchange, events = replay(day)
    assert day.trades_of(events) == day.trades
    auctions = events[events["kind"] == EventKind.AUCTION]
    assert auctions[["price", "quantity"]].tolist() == day.auctions
    assert day.cancels_of(events) == day.cancels
    assert day.left_of(exchange.orders(day.symbol)) == day.left
    assert exchange.phase(day.symbol) == Phase.CLOSED


def test_a_day_made_up_by_hand_is_read_and_replayed(tmp_path: pathlib.Path) -> None:
    """The opening auction trades at 10.00 to 10.03: the middle is 10.015, which rounds to 10.02. Order 16 takes two offers
    and leaves 100 shares at 10.06, which are canceled."""
    (day,) = read_days(pack(tmp_path))
    check(day)
    assert day.auctions == [(1002, 500), (1007, 700)] and day.continuous == 2
    assert day.cancels == [(12, 300), (16, 100)] and day.left == {19: 200}


@pytest.mark.parametrize("time", ["09:20:00.000", "14:57:00.000"])
def test_a_cancel_in_the_phase_of_entry_only_would_be_refused(tmp_path: pathlib.Path, time: str) -> None:
    late = ORDERS.replace("09:19:59.990", time) if time < "12" else ORDERS.replace("14:56:59.000", time)
    (day,) = read_days(pack(tmp_path, late))
    with pytest.raises(AssertionError, match="ENTRY_ONLY"):
        replay(day)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("09:21:00.000,2,", "09:21:00.000,3,", "ApplSeqNum 4: OrderType is 3"),
        ("10.07,900,2", "10.07,900,7", "ApplSeqNum 14: OrderBSFlag is 7"),
        ("10.07,700,1", "10.075,700,1", "price 10.075 is no multiple of 0.01"),
    ],
)
def test_a_record_that_makes_no_sense_is_named(tmp_path: pathlib.Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_days(pack(tmp_path, ORDERS.replace(old, new)))


@needs_data
@needs_compiled
def test_every_trade_and_every_auction_price_of_real_shanghai_days_is_the_exchanges() -> None:
    days = read_days(FOLDER)
    assert days
    for day in days:
        check(day)
    assert sum(day.continuous for day in days) > 0
    assert sum(lots > 0 for day in days for _, lots in day.auctions) > 0
