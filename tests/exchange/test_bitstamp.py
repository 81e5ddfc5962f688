"""The reader of Bitstamp's order feed: the files, then each rule of the reconstruction on the smallest capture."""

import gzip
import sys
from pathlib import Path

import numpy as np
import pytest

from exchange.replay.formats import CaptureError, Flow, bitstamp
from exchange.replay.formats.bitstamp import Capture, read_capture, sample_folder
from matching.codes import CommandKind, Flag, OrderType, TimeInForce
from tests.build import fields
from tests.exchange.recorded import (
    ASK,
    BID,
    END,
    PRICE,
    START,
    capture,
    changed,
    closed,
    created,
    deleted,
    flow,
    id_of,
    rebuilt,
)

pytestmark = pytest.mark.compiled

ENTER, CANCEL = int(CommandKind.ENTER), int(CommandKind.CANCEL)
LIMIT, MARKET = int(OrderType.LIMIT), int(OrderType.MARKET)
GTC, IOC = int(TimeInForce.GTC), int(TimeInForce.IOC)
POST_ONLY = int(Flag.POST_ONLY)
ANY_PRICE = 999_999_999
OPENING = created(1, 0, BID, PRICE - 5, 7)  # one order, so that a capture has an opening book


# The files ----------------------------------------------------------------------------------------


def test_the_sample_has_314057_order_rows_and_284_trades() -> None:
    assert len(capture().orders) == 314_057
    assert len(capture().trades) == 284


def test_the_package_that_brings_the_sample_is_not_imported() -> None:
    capture()
    assert "ob_analytics" not in sys.modules


def test_a_missing_package_is_named_with_the_way_to_install_it() -> None:
    with pytest.raises(CaptureError, match=r"not installed: pip install '\.\[replay\]'.*--no-deps no-such-package"):
        sample_folder("no-such-package")


ORDERS = """id,timestamp,exchange_timestamp,price,volume,action,direction
11,1070,1000,78318.0,7.18e-06,created,bid
12,1070,1000,78319.0,1.5,created,ask
"""
TRADES = """trade_id,timestamp,exchange_timestamp,price,amount,buy_order_id,sell_order_id,side
6,1090,1002,78318.0,1e-08,11,13,sell
5,1090,1001,78319.0,0.5,14,12,buy
"""


def folder(tmp_path: Path, orders: str = ORDERS, trades: str = TRADES) -> Path:
    (tmp_path / "orders.csv").write_text(orders)
    (tmp_path / "trades.csv").write_text(trades)
    return tmp_path


def test_prices_and_volumes_become_ticks_and_lots_exactly(tmp_path: Path) -> None:
    assert fields(read_capture(folder(tmp_path)).orders, "order_id", "price", "quantity", "side") == [
        (11, 78_318, 718, BID),
        (12, 78_319, 150_000_000, ASK),
    ]


def test_the_taker_is_the_buyer_of_a_buy_and_the_seller_of_a_sell_and_trades_are_in_the_order_of_their_ids(
    tmp_path: Path,
) -> None:
    assert fields(read_capture(folder(tmp_path)).trades, "trade_id", "time", "taker_order_id", "maker_order_id") == [
        (5, 1001_000_000, 14, 12),
        (6, 1002_000_000, 13, 11),
    ]


def test_a_packed_file_of_orders_is_preferred(tmp_path: Path) -> None:
    (folder(tmp_path) / "orders.csv.gz").write_bytes(gzip.compress(ORDERS.replace("\n11,", "\n21,").encode()))
    assert read_capture(tmp_path).orders["order_id"].tolist() == [21, 12]


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("78319.0", "78319.5", r"orders.csv line 3: price is 78319.5, must be a multiple of the tick size 1"),
        ("7.18e-06", "7.18e-09", r"orders.csv line 2: amount is 7.18e-09, must be a multiple of the lot size 1E-8"),
        ("1.5,", "nan,", r"orders.csv line 3: amount is nan, must be a finite number"),
        ("12,1070", "12.5,1070", r"orders.csv line 3: id is 12.5, must be a whole number"),
        ("12,1070", f"{1 << 64},1070", r"orders.csv line 3: id is 18446744073709551616, must be a whole number"),
        ("created,ask", "born,ask", r"orders.csv line 3: action is born, must be created or changed or deleted"),
        (",ask", "", r"orders.csv line 3: direction is missing"),
        ("volume", "size", r"orders.csv line 1: column volume is not there, only id, timestamp"),
    ],
)
def test_a_bad_field_is_named_with_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        read_capture(folder(tmp_path, orders=ORDERS.replace(old, new)))


def test_a_file_that_is_missing_empty_or_cut_off_cannot_be_read(tmp_path: Path) -> None:
    folder(tmp_path)
    (tmp_path / "trades.csv").write_text("")
    with pytest.raises(CaptureError, match="trades.csv: cannot be read"):
        read_capture(tmp_path)
    (tmp_path / "trades.csv").unlink()
    with pytest.raises(CaptureError, match="trades.csv: cannot be read"):
        read_capture(tmp_path)
    (tmp_path / "orders.csv.gz").write_bytes(gzip.compress(ORDERS.encode())[:-9])
    with pytest.raises(CaptureError, match="orders.csv.gz: cannot be read"):
        read_capture(tmp_path)


# Each rule ----------------------------------------------------------------------------------------


def entered(flow: Flow, order: int) -> np.record:
    """The ENTER of a venue's order."""
    which = (flow.venue_ids == order) & (flow.commands["kind"] == ENTER)
    assert which.sum() == 1
    return flow.commands[which][0]


def sent(flow: Flow) -> list[tuple[int, int]]:
    """(kind, venue's id) of each command."""
    return list(zip(flow.commands["kind"].tolist(), flow.venue_ids.tolist(), strict=True))


def test_rule_1_an_order_enters_with_price_volume_and_time_of_its_creation_whatever_price_is_shown_later() -> None:
    order = entered(rebuilt(OPENING, created(2, 10, ASK, PRICE, 5), deleted(2, 20, ASK, PRICE + 3, 5)), 2)
    assert (order.price, order.quantity, order.side, order.time) == (PRICE, 5, ASK, (START + 10) * 1_000_000)
    assert (order.order_type, order.time_in_force, order.client_order_id) == (LIMIT, GTC, b"2")


def test_rule_2_a_fill_is_no_command() -> None:
    flow = rebuilt(
        OPENING,
        created(2, 10, ASK, PRICE - 5, 5),
        changed(1, 10, BID, PRICE - 5, 2),
        deleted(2, 10, ASK, PRICE - 5, 0),
        closed(1, BID, PRICE - 5, 2),
    )
    assert sent(flow) == [(ENTER, 1), (ENTER, 2)]


def test_rule_3_a_deletion_with_volume_left_is_a_cancel_of_the_order_that_the_engine_knows() -> None:
    flow = rebuilt(
        OPENING, created(2, 10, ASK, PRICE, 5), deleted(1, 15, BID, PRICE - 5, 7), deleted(2, 20, ASK, PRICE, 5)
    )
    assert sent(flow) == [(ENTER, 1), (ENTER, 2), (CANCEL, 1), (CANCEL, 2)]
    assert flow.commands["sequence"].tolist() == [1, 2, 3, 4]
    assert flow.commands["order_id"].tolist() == [0, 0, 1, 2]
    assert flow.venue_ids[flow.commands["order_id"][2:] - 1].tolist() == [1, 2]


def test_rule_4_an_order_deleted_untouched_was_post_only_and_one_that_filled_was_not() -> None:
    flow = rebuilt(
        OPENING,
        created(2, 10, ASK, PRICE - 5, 5),
        changed(1, 10, BID, PRICE - 5, 4),
        changed(2, 10, ASK, PRICE - 5, 2),
        deleted(2, 11, ASK, PRICE - 5, 2),
        created(3, 20, ASK, PRICE, 5),
        deleted(3, 25, ASK, PRICE, 5),
        closed(1, BID, PRICE - 5, 4),
    )
    assert [entered(flow, order)["flags"] for order in (1, 2, 3)] == [0, 0, POST_ONLY]


def test_rule_4_what_the_venue_showed_and_deleted_in_one_ms_it_refused_most_likely() -> None:
    flow = rebuilt(
        OPENING,
        created(2, 10, ASK, PRICE, 5),
        deleted(2, 10, ASK, PRICE, 5),
        created(3, 20, ASK, PRICE, 5),
        deleted(3, 21, ASK, PRICE, 5),
        closed(1, BID, PRICE - 5, 7),
    )
    assert flow.refused.tolist() == [2]
    assert sent(flow)[1:3] == [(ENTER, 2), (CANCEL, 2)]


@pytest.mark.parametrize("side, price", [(BID, ANY_PRICE), (ASK, 0)])
def test_rule_5_an_order_at_any_price_is_a_market_order(side: int, price: int) -> None:
    flow = rebuilt(
        OPENING, created(2, 10, side, price, 5), changed(2, 10, side, PRICE, 3), deleted(2, 10, side, PRICE, 3)
    )
    order = entered(flow, 2)
    assert (order.order_type, order.time_in_force, order["flags"]) == (MARKET, IOC, 0)
    assert (order.price, order.quantity) == (0, 5)
    assert sent(flow) == [(ENTER, 1), (ENTER, 2)]


def test_rule_5_the_opening_book_holds_no_market_orders() -> None:
    order = entered(rebuilt(created(1, 0, BID, ANY_PRICE, 5), created(2, 10, BID, PRICE, 1)), 1)
    assert (order.order_type, order.price) == (LIMIT, ANY_PRICE)


def test_rule_5_an_order_for_an_amount_of_money_has_the_quantity_that_the_other_side_lost_within_it() -> None:
    flow = rebuilt(
        created(1, 0, ASK, PRICE, 7),
        created(2, 0, ASK, PRICE, 4),
        created(3, 0, BID, PRICE - 1, 4),
        created(4, 10, BID, ANY_PRICE, 0),
        deleted(1, 10, ASK, PRICE, 0),
        changed(4, 10, BID, PRICE, 1),
        changed(2, 10, ASK, PRICE, 3),
        deleted(4, 10, BID, PRICE, 1),
        changed(2, 20, ASK, PRICE, 1),
    )
    order = entered(flow, 4)
    assert (order.order_type, order.time_in_force, order.quantity, order["flags"]) == (MARKET, IOC, 7 + 1, 0)


def test_rule_5_an_order_for_an_amount_of_money_without_a_trade_is_left_out() -> None:
    flow = rebuilt(OPENING, created(2, 10, BID, ANY_PRICE, 0), deleted(2, 10, BID, ANY_PRICE, 0))
    assert sent(flow) == [(ENTER, 1)]
    assert [(order.venue_id, order.cause[:36]) for order in flow.left_out] == [
        (2, "a market order for an amount of mone")
    ]


def test_rule_6_an_opening_order_that_outlives_the_capture_behind_the_trades_is_left_out() -> None:
    traded = (created(9, 10, BID, PRICE, 2), changed(3, 10, ASK, PRICE, 8), deleted(9, 10, BID, PRICE, 0))
    flow = rebuilt(
        created(1, 0, BID, PRICE + 1, 5),
        created(2, 0, ASK, PRICE - 1, 5),
        created(3, 0, ASK, PRICE, 10),
        created(4, 0, BID, PRICE - 1, 5),
        created(5, 0, ASK, PRICE + 1, 5),
        created(6, 0, ASK, PRICE - 1, 5),
        *traded,
        created(7, 20, ASK, PRICE - 1, 5),
        deleted(6, 30, ASK, PRICE - 1, 5),
        closed(1, BID, PRICE + 1, 5),
        closed(2, ASK, PRICE - 1, 5),
        closed(3, ASK, PRICE, 8),
        closed(4, BID, PRICE - 1, 5),
        closed(5, ASK, PRICE + 1, 5),
        closed(7, ASK, PRICE - 1, 5),
    )
    assert [order.venue_id for order in flow.left_out] == [1, 2]
    assert [order for kind, order in sent(flow) if kind == ENTER] == [3, 4, 5, 6, 9, 7]
    assert flow.resting["order_id"].tolist() == [3, 4, 5, 7]


def test_rule_6_the_opening_book_keeps_its_order() -> None:
    assert sent(rebuilt(created(8, 0, BID, PRICE, 1), created(3, 0, BID, PRICE, 1), created(5, 1, BID, PRICE, 1))) == [
        (ENTER, 8),
        (ENTER, 3),
        (ENTER, 5),
    ]


def test_rule_7_the_collectors_own_deletions_are_no_cancels_but_the_venues_last_book() -> None:
    flow = rebuilt(
        OPENING,
        created(2, 10, ASK, PRICE, 5),
        created(3, END, ASK, PRICE + 1, 4),
        deleted(3, END, ASK, PRICE + 1, 4),
        closed(2, ASK, PRICE + 9, 5),
        closed(1, BID, PRICE - 5, 3),
    )
    assert sent(flow) == [(ENTER, 1), (ENTER, 2), (ENTER, 3), (CANCEL, 3)]
    assert fields(flow.resting, "order_id", "price", "leaves_quantity", "side") == [
        (1, PRICE - 5, 3, BID),
        (2, PRICE, 5, ASK),
    ]


def test_rule_8_an_order_never_announced_enters_when_its_id_says() -> None:
    late, early = id_of(12), id_of(-50)
    flow = rebuilt(
        OPENING,
        created(2, 12, ASK, PRICE, 5),
        created(3, 13, ASK, PRICE, 5),
        deleted(late, 20, BID, PRICE - 7, 4),
        changed(early, 21, BID, PRICE - 8, 6),
    )
    assert sent(flow) == [(ENTER, 1), (ENTER, early), (ENTER, 2), (ENTER, late), (ENTER, 3), (CANCEL, late)]
    order = entered(flow, late)
    assert (order.price, order.quantity, order.time) == (PRICE - 7, 4, (START + 12) * 1_000_000)
    assert entered(flow, early).time == START * 1_000_000


def test_rule_8_an_order_filled_when_first_seen_is_left_out() -> None:
    flow = rebuilt(OPENING, deleted(id_of(5), 20, BID, PRICE - 7, 0))
    assert sent(flow) == [(ENTER, 1)]
    assert [order.cause for order in flow.left_out] == ["nothing left of it when first seen: its quantity is unknown"]


def test_rows_of_one_ms_keep_the_order_of_the_file() -> None:
    flow = rebuilt(
        OPENING,
        created(4, 10, ASK, PRICE, 5),
        deleted(1, 10, BID, PRICE - 5, 7),
        created(2, 10, ASK, PRICE, 5),
        deleted(4, 10, ASK, PRICE, 5),
    )
    assert sent(flow) == [(ENTER, 1), (ENTER, 4), (CANCEL, 1), (ENTER, 2), (CANCEL, 4)]


def test_rows_that_go_back_in_time_are_refused() -> None:
    with pytest.raises(CaptureError, match=f"line 4: exchange_timestamp is {START + 9}, must not be before"):
        rebuilt(OPENING, created(2, 10, ASK, PRICE, 5), created(3, 9, ASK, PRICE, 5))


def test_an_order_that_grows_is_refused() -> None:
    with pytest.raises(CaptureError, match="line 3: the volume of order 1 grows by 2 lots"):
        rebuilt(OPENING, changed(1, 10, BID, PRICE, 9))


def test_an_empty_capture_is_an_empty_flow() -> None:
    flow = rebuilt()
    assert (len(flow.commands), len(flow.resting), len(flow.refused), flow.left_out) == (0, 0, 0, ())


# The sample ---------------------------------------------------------------------------------------


def test_the_sample_becomes_156900_orders_and_150080_cancels() -> None:
    commands = flow().commands
    assert np.bincount(commands["kind"]).tolist() == [0, 156_900, 150_080]
    assert commands["sequence"].tolist() == list(range(1, 306_981))
    assert (np.diff(commands["time"]) >= 0).all()
    assert np.count_nonzero(commands["flags"] == POST_ONLY) == 156_504
    assert np.count_nonzero(commands["order_type"] == MARKET) == 7


def test_the_sample_has_two_stale_orders_and_nothing_else_is_left_out() -> None:
    assert [order.venue_id for order in flow().left_out] == [2_002_347_642_003_458, 2_002_347_646_152_704]
    assert len(flow().resting) == 6_518 - 2


def test_the_venues_trades_are_not_used_to_rebuild_the_orders() -> None:
    blind = bitstamp.reconstruct(Capture(capture().orders, capture().trades[:0]))
    assert blind.commands.tobytes() == flow().commands.tobytes()


def test_every_cancel_of_the_sample_means_an_order_that_was_sent_before() -> None:
    commands, cancels = flow().commands, np.flatnonzero(flow().commands["kind"] == CANCEL)
    meant = commands["order_id"][cancels] - 1
    assert (meant < cancels).all() and (commands["kind"][meant] == ENTER).all()
    assert (flow().venue_ids[meant] == flow().venue_ids[cancels]).all()
