"""Clearing (RULEBOOK 9.1, 9.4, 11) and its operator commands: situations, then whole random days.

The days at the end are computed a second time in the plainest way, from the TRADED events: with fractions for prices and
fees, and with the result of a day as exchanges define it, today's trades against the settlement price plus yesterday's
position times its change.
"""

from collections import defaultdict
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import Exchange
from exchange.instruments import Instrument
from matching.codes import CommandKind as Kind
from matching.codes import (
    EventKind,
    Flag,
    Limit,
    Mechanism,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.codes import SettlementRule as Rule
from matching.invariants import check_book
from risk.limits import Account
from tests.build import account, amend, enter, fields, instrument, operator, rows
from tests.effort import examples
from tests.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC = TimeInForce.GTC, TimeInForce.IOC


def venue(*instruments: Instrument, equity: int = 1_000_000, accounts: int | list[Account] = 4, **terms: Any) -> Venue:
    """The engine with risk; accounts A0 to A3 with so many fen each."""
    members = (
        [account(f"A{number}", equity=equity) for number in range(accounts)] if isinstance(accounts, int) else accounts
    )
    return Venue("engine", instruments or [instrument(**terms)], members, risk=True)


def settle(number: int = 0, rule: int = Rule.DAY_VWAP, price: int = 0) -> dict[str, Any]:
    return operator(Kind.SETTLE, rule, instrument=number, price=price)


def given_price(price: int, number: int = 0) -> dict[str, Any]:
    return settle(number, Rule.GIVEN, price)


def limit(which: int, value: int, number: int = 0) -> dict[str, Any]:
    return operator(Kind.LIMIT, which, instrument=number, account=number, quantity=value)


def begin(date: int = 2026_11_02) -> dict[str, Any]:
    return operator(Kind.BEGIN_DAY, quantity=date)


def end() -> dict[str, Any]:
    return operator(Kind.END_DAY)


def phase(which: int, number: int = 0) -> dict[str, Any]:
    return operator(Kind.PHASE, which, instrument=number)


def trade(
    price: int, quantity: int, buyer: int = 0, seller: int = 1, number: int = 0
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two commands that trade just that."""
    return (
        enter(seller, SELL, price, quantity, instrument=number),
        enter(buyer, BUY, price, quantity, instrument=number),
    )


def told(book: Venue, command: dict[str, Any], *kinds: EventKind) -> list[Any]:
    """The events of these kinds that a command emits, as tuples of fields."""
    shown = {
        EventKind.SETTLED: ("price", "quantity", "leaves_quantity", "resting_leaves_quantity", "resting_price"),
        EventKind.BALANCE: ("account", "price", "quantity", "leaves_quantity", "resting_leaves_quantity"),
        EventKind.CANCELED: ("order_id", "reason", "quantity"),
        EventKind.DELIVERY: ("account", "resting_account", "quantity", "price"),
        EventKind.MARGIN_CALL: ("account", "quantity"),
        EventKind.LIQUIDATED: ("instrument", "account", "quantity"),
        EventKind.TRADED: ("order_id", "resting_order_id", "price", "quantity"),
        EventKind.ACCEPTED: ("order_id", "price", "quantity"),
        EventKind.EXPIRED: ("instrument", "quantity"),
        EventKind.LISTED: ("instrument", "price"),
    }
    events = book.events(command)
    return [
        row
        for event in events
        if event["kind"] in kinds
        for row in fields(events[events["event_id"] == event["event_id"]], *shown[EventKind(event["kind"])])
    ]


def settlement(book: Venue, command: dict[str, Any]) -> int:
    """The settlement price that a SETTLE finds."""
    return told(book, command, EventKind.SETTLED)[0][0]


def equities(book: Venue) -> list[int]:
    return book.machine.ledger.accounts["equity"].tolist()


def band(book: Venue, number: int = 0) -> tuple[int, int]:
    row = book.machine.book.instruments[number]
    return int(row.floor), int(row.ceiling)


def margin(book: Venue, number: int = 0) -> int:
    return int(book.machine.ledger.limits[number].margin)


# The day


def test_begin_day_sets_the_date_and_starts_the_figures_of_accounts_anew() -> None:
    """11.1"""
    book = venue(fee_per_lot=2)
    book.do(begin(), *trade(100, 5), given_price(103), operator(Kind.CASH, account=0, quantity=7))
    row = book.machine.ledger.accounts[0]
    assert (row.opening_equity, row.result, row.fees, row.paid_in, row.equity) == (1_000_000, 15, 10, 7, 1_000_012)
    assert book.do(begin(2026_11_03)) == [("day_begun", 2026_11_03)]
    row = book.machine.ledger.accounts[0]
    assert (row.opening_equity, row.result, row.fees, row.paid_in, row.equity) == (1_000_012, 0, 0, 0, 1_000_012)
    assert book.machine.book.state[0].trading_date == 2026_11_03


@pytest.mark.parametrize(
    ("date", "bound"),
    [
        (0, 1),
        (-5, 1),
        (2026_02_29, 1),
        (2026_13_01, 1),
        (2026_00_10, 1),
        (2026_04_31, 1),
        (2026_11_00, 1),
        (1900_02_29, 1),
        (10000_01_01, 9999_12_31),
        (1 << 62, 9999_12_31),
    ],
)
def test_what_is_no_date_begins_no_day(date: int, bound: int) -> None:
    """11.1"""
    book = venue()
    before = book.memory()
    assert book.do(begin(date)) == [("rejected", "INVALID_VALUE", date, bound)]
    assert book.memory() == before


@pytest.mark.parametrize("date", [2028_02_29, 2000_02_29, 9999_12_31])
def test_leap_days_are_dates(date: int) -> None:
    """11.1"""
    assert venue().do(begin(date)) == [("day_begun", date)]


@pytest.mark.parametrize("date", [2026_11_02, 2026_11_01, 2025_12_31])
def test_a_day_does_not_begin_twice_nor_in_the_past(date: int) -> None:
    """11.1"""
    book = venue()
    book.do(begin(2026_11_02))
    assert book.do(begin(date)) == [("rejected", "INVALID_VALUE", date, 2026_11_03)]


def test_trades_after_settle_belong_to_the_next_settle_and_pay_their_fee() -> None:
    """11.1: also where BEGIN_DAY comes between"""
    book = venue(fee_per_lot=10)
    book.do(begin(), *trade(100, 1), settle(), *trade(104, 2), end(), begin(2026_11_03))
    assert told(book, settle(), EventKind.SETTLED)[0][:2] == (104, 2)
    assert book.machine.ledger.hub[0].fees == 2 * 10 + 4 * 10


# The settlement price


@pytest.mark.parametrize(
    ("commands", "price"),
    [
        ([], 100),  # no bid, no offer: the previous price
        ([enter(0, BUY, 102, 1)], 102),
        ([enter(0, BUY, 99, 1)], 100),  # moved to a better bid
        ([enter(0, SELL, 97, 1)], 97),
        ([enter(0, SELL, 101, 1)], 100),  # moved to a better offer
        ([enter(0, BUY, 104, 1), enter(1, SELL, 106, 1)], 104),
        ([*trade(100, 1), *trade(101, 2)], 101),  # 100 2/3
        ([*trade(100, 2), *trade(101, 1)], 100),  # 100 1/3
        ([*trade(100, 1), *trade(101, 1)], 101),  # half up
        ([*trade(105, 3), enter(0, BUY, 110, 1)], 105),  # after a trade the book does not matter
    ],
)
def test_the_price_of_a_day(commands: list[Any], price: int) -> None:
    """11.2: day VWAP, and without a trade the fallback"""
    book = venue()
    book.do(begin(), *commands)
    assert settlement(book, settle()) == price


def test_parked_orders_move_no_settlement_price() -> None:
    """11.2"""
    book = venue()
    book.do(enter(0, BUY, 108, 1, order_type=OrderType.STOP_LIMIT, trigger_price=107))
    assert settlement(book, settle()) == 100


@pytest.mark.parametrize(
    ("trades", "price"),
    [
        ([(-3, 1), (-4, 1)], -3),
        ([(-3, 1), (2, 1)], 0),
        ([(-3, 2), (2, 1)], -1),
        ([(-1, 1), (0, 1)], 0),
        ([(-5, 3)], -5),
    ],
)
def test_prices_below_zero_are_averaged_with_their_sign(trades: list[tuple[int, int]], price: int) -> None:
    """11.2: the nearest tick, half up"""
    book = venue(floor=-10, ceiling=10, reference_price=0)
    for paid, quantity in trades:
        book.do(*trade(paid, quantity))
    assert settlement(book, settle()) == price


def test_the_window_counts_what_trades_after_it_began() -> None:
    """11.2: WINDOW_VWAP"""
    book = venue()
    book.do(begin(), *trade(100, 10), operator(Kind.WINDOW, instrument=0), *trade(104, 1), *trade(107, 2))
    assert settlement(book, settle(rule=Rule.WINDOW_VWAP)) == 106


def test_a_window_without_trades_is_the_whole_day() -> None:
    """11.2"""
    book = venue()
    book.do(begin(), *trade(103, 10), operator(Kind.WINDOW, instrument=-1))
    assert settlement(book, settle(rule=Rule.WINDOW_VWAP)) == 103


def test_a_window_ends_with_the_day_that_it_was_opened_in() -> None:
    """11.2"""
    book = venue()
    book.do(
        begin(),
        *trade(100, 9),
        operator(Kind.WINDOW, instrument=0),
        *trade(104, 1),
        settle(),
        begin(2026_11_03),
        *trade(102, 1),
        *trade(104, 1),
    )
    assert settlement(book, settle(rule=Rule.WINDOW_VWAP)) == 103


def test_a_window_of_one_instrument_leaves_the_others_alone() -> None:
    """11.2"""
    book = venue(instrument(), instrument("B"))
    book.do(
        *trade(100, 1),
        *trade(100, 1, number=1),
        operator(Kind.WINDOW, instrument=1),
        *trade(104, 1),
        *trade(104, 1, number=1),
    )
    assert [settlement(book, settle(number, Rule.WINDOW_VWAP)) for number in (0, 1)] == [102, 104]


def test_a_given_price_is_taken_within_the_band() -> None:
    """11.2"""
    book = venue()
    book.do(*trade(100, 1))
    assert settlement(book, given_price(97)) == 97


def test_the_average_is_held_within_the_band() -> None:
    """11.2: a new day may have a narrower one"""
    book = venue()
    book.do(begin(), *trade(108, 5), limit(Limit.INSTRUMENT_DAILY_LIMIT, 100), given_price(100), begin(2026_11_03))
    assert band(book) == (99, 101)
    book.do(enter(0, BUY, 99, 1))
    assert settlement(book, settle()) == 100
    book.do(begin(2026_11_04), limit(Limit.INSTRUMENT_DAILY_LIMIT, 0))
    assert settlement(book, settle()) == 100
    assert band(book) == (90, 110)


def test_an_instrument_with_legs_takes_its_price_from_theirs() -> None:
    """11.2"""
    legs = instrument("N"), instrument("F")
    wide = {"floor": -50, "ceiling": 150, "reference_price": 0}
    book = venue(
        *legs,
        instrument("S", legs=("N", "F"), **wide),
        instrument("B", legs=("N",), **wide),
        instrument("T", legs=("N",), at_settlement=True, **wide),
    )
    book.do(begin(), given_price(104), given_price(97, 1))
    assert [settlement(book, settle(number)) for number in (2, 3, 4)] == [7, 104, 0]


# Marking to market


def test_positions_are_marked_and_every_account_gets_a_balance() -> None:
    """11.3, 11.5: what one account wins others lose, in account order"""
    book = venue(equity=10_000)
    book.do(begin(), *trade(100, 3, 0, 1), *trade(104, 2, 2, 0))
    assert told(book, given_price(102), EventKind.BALANCE) == [
        (0, 102, 10, 0, 1),
        (1, 102, -6, 0, -3),
        (2, 102, -4, 0, 2),
    ]
    assert equities(book) == [10_010, 9_994, 9_996, 10_000]


def test_the_next_day_counts_from_the_settlement_price() -> None:
    """11.3"""
    book = venue(equity=10_000)
    book.do(begin(), *trade(100, 3), given_price(102), end(), begin(2026_11_03))
    assert told(book, given_price(101), EventKind.BALANCE) == [(0, 101, -3, 0, 3), (1, 101, 3, 0, -3)]


def test_an_account_that_traded_and_holds_nothing_gets_a_balance_too() -> None:
    """11.5"""
    book = venue(fee_per_lot=1)
    book.do(*trade(100, 3, 0, 1), *trade(101, 3, 1, 0))
    assert told(book, settle(), EventKind.BALANCE) == [(0, 101, 3, 6, 0), (1, 101, -3, 6, 0)]
    assert told(book, settle(), EventKind.BALANCE) == []


def test_a_second_settle_corrects_the_price_and_charges_nothing_twice() -> None:
    """11.3"""
    book = venue(equity=10_000, fee_per_lot=5)
    book.do(begin(), *trade(100, 2), given_price(107))
    assert equities(book)[:2] == [10_004, 9_976]
    assert told(book, given_price(102), EventKind.BALANCE) == [(0, 102, -10, 0, 2), (1, 102, 10, 0, -2)]
    assert equities(book)[:2] == [9_994, 9_986]
    assert book.machine.ledger.hub[0].fees == 20


def test_losses_may_exceed_equity() -> None:
    """11.3: the margin call is for that"""
    book = venue(equity=10)
    book.do(*trade(100, 5), given_price(90))
    assert equities(book)[:2] == [-40, 60]


def test_where_a_tick_is_a_fraction_of_a_fen_no_money_moves() -> None:
    """11: the instrument carries no money"""
    book = venue(tick_size=instrument().tick_size / 100, fee_per_lot=5, fee_rate=1000)
    book.do(*trade(100, 5), given_price(90))
    assert equities(book) == [1_000_000] * 4
    assert book.machine.ledger.hub[0].fees == 0


def test_a_price_at_which_a_result_could_not_be_counted_is_refused() -> None:
    """11.3"""
    book = Venue("engine", [instrument(lot_size=1 << 40)], [account(equity=0), account(equity=0)], risk=True)
    book.do(*trade(100, 1 << 14), *trade(100, 1 << 14))
    before = book.memory()
    assert book.do(given_price(105)) == [("rejected", "INVALID_VALUE", 105, 100)]
    assert book.memory() == before


# Fees


@pytest.mark.parametrize(
    ("terms", "price", "lots", "fee"),
    [
        ({"fee_per_lot": 20_00}, 5_213, 3, 60_00),  # SC: 20 CNY a lot
        ({"fee_rate": 50}, 5_213, 3, 781),  # 0.05 per 1,000 of 156,390.00 CNY, rounded down
        ({"fee_rate": 1_000}, 5_213, 1, 5_213),  # CQPGX: 1 per mille
        ({"fee_rate": 1, "fee_per_lot": 1}, 5_213, 1, 6),
        ({"fee_rate": 1_000_000}, 5_213, 1, 5_213_000),
    ],
)
def test_fees_per_lot_and_on_value_are_rounded_down(terms: dict[str, Any], price: int, lots: int, fee: int) -> None:
    """11.4: a tick on a lot is worth 1,000 fen"""
    book = venue(
        instrument(floor=4_000, ceiling=7_000, reference_price=5_000, tick_size=instrument().tick_size * 1000, **terms),
        equity=10**10,
    )
    book.do(*trade(price, lots))
    assert [row[3] for row in told(book, settle(), EventKind.BALANCE)] == [fee, fee]
    assert book.machine.ledger.hub[0].fees == 2 * fee


def test_value_below_zero_pays_fees_like_value_above() -> None:
    """11.4: |price|"""
    book = venue(floor=-1000, ceiling=1000, reference_price=0, fee_rate=100_000)
    book.do(*trade(-500, 1), *trade(500, 1))
    assert [row[3] for row in told(book, settle(), EventKind.BALANCE)] == [100, 100]


def test_a_trade_with_oneself_pays_the_fees_of_both_sides() -> None:
    """11.4"""
    book = venue(fee_per_lot=7)
    book.do(*trade(100, 2, 0, 0))
    assert told(book, settle(), EventKind.BALANCE) == [(0, 100, 0, 28, 0)]


# Margin and band of the next day


def test_settle_sets_margin_from_the_rate_rounded_up() -> None:
    """11.5"""
    book = venue(margin=3, margin_rate=1_234)
    book.do(*trade(100, 5))
    assert margin(book) == 3
    book.do(given_price(101))
    assert margin(book) == 13  # 12.4634
    assert book.machine.ledger.accounts["margin_used"].tolist() == [65, 65, 0, 0]


def test_without_a_rate_the_margin_per_lot_stays() -> None:
    """11.5"""
    book = venue(margin=3)
    book.do(*trade(100, 5), given_price(101))
    assert margin(book) == 3


def test_balance_has_the_margin_that_the_position_needs() -> None:
    """11.5"""
    book = venue(margin_rate=1_000)
    book.do(*trade(100, 5))
    events = book.events(given_price(101))
    assert fields(events[:2], "resting_price", "resting_order_id") == [(55, 5), (55, 5)]


def test_a_margin_that_cannot_be_counted_refuses_settle() -> None:
    """11.3, 7.3"""
    book = Venue(
        "engine", [instrument(lot_size=1 << 40, margin_rate=0)], [account(equity=0), account(equity=0)], risk=True
    )
    book.do(*trade(100, 1 << 10), limit(Limit.INSTRUMENT_MARGIN_RATE, 10_000))
    before = book.memory()
    assert book.do(given_price(101)) == [("rejected", "INVALID_VALUE", 101 << 40, (1 << 56) // (1 << 10))]
    assert book.memory() == before


@pytest.mark.parametrize(
    ("rate", "price", "floor_and_ceiling"),
    [
        (400, 100, (96, 104)),
        (490, 103, (98, 108)),
        (1, 100, (99, 101)),
        (0, 100, (90, 110)),
        (5_000, 100, (90, 110)),
        (500, 109, (104, 110)),
    ],
)
def test_the_band_of_the_next_day(rate: int, price: int, floor_and_ceiling: tuple[int, int]) -> None:
    """9.1: rounded towards zero ticks, at least one, within the ladder"""
    book = venue(daily_limit=0)
    book.do(limit(Limit.INSTRUMENT_DAILY_LIMIT, rate))
    assert told(book, given_price(price), EventKind.SETTLED) == [(price, 0, 0, *floor_and_ceiling)]
    assert band(book) == floor_and_ceiling


def test_orders_outside_the_new_band_are_canceled_in_order() -> None:
    """9.1, 11.5: bids, asks, parked buys, parked sells; a STOP for its trigger, a STOP_LIMIT for trigger or price"""
    stop, stop_limit = {"order_type": OrderType.STOP}, {"order_type": OrderType.STOP_LIMIT}
    book = venue(margin=1)
    book.do(
        enter(0, BUY, 95, 1, time_in_force=GTC),
        enter(0, BUY, 90, 2),
        enter(0, BUY, 96, 9),
        enter(1, SELL, 105, 3),
        enter(1, SELL, 110, 4),
        enter(1, SELL, 104, 9),
        enter(2, BUY, 0, 5, trigger_price=106, **stop),
        enter(2, BUY, 106, 6, trigger_price=104, **stop_limit),
        enter(2, BUY, 104, 9, trigger_price=103, **stop_limit),
        enter(3, SELL, 0, 7, trigger_price=94, **stop),
        enter(3, SELL, 95, 8, trigger_price=96, **stop_limit),
        limit(Limit.INSTRUMENT_DAILY_LIMIT, 400),
    )
    assert told(book, given_price(100), EventKind.CANCELED) == [
        (1, Reason.OUTSIDE_DAILY_LIMITS, 1),
        (2, 708, 2),
        (4, 708, 3),
        (5, 708, 4),
        (8, 708, 6),
        (7, 708, 5),
        (11, 708, 8),
        (10, 708, 7),
    ]
    assert book.orders() == [(3, 96, 9), (6, 104, 9)]
    assert book.machine.ledger.accounts["margin_used"].tolist() == [9, 9, 9, 0]
    check_book(book.machine.book)


def locked_day(book: Venue, date: int, side: Side = BUY) -> tuple[Any, ...]:
    """A day that closes with only bids at the ceiling, or only offers at the floor. Returns the figures of SETTLED."""
    floor_, ceiling = band(book)
    book.do(
        begin(date),
        phase(Phase.CONTINUOUS),
        enter(0, side, ceiling if side == BUY else floor_, 1),
        phase(Phase.LIMIT_LOCKED),
        phase(Phase.CLOSING),
        phase(Phase.SETTLEMENT),
    )
    said = told(book, settle(), EventKind.SETTLED)[0]
    book.do(end(), phase(Phase.CLOSED))
    return said


def calm_day(book: Venue, date: int) -> tuple[Any, ...]:
    book.do(begin(date), phase(Phase.CONTINUOUS), phase(Phase.CLOSING), phase(Phase.SETTLEMENT))
    said = told(book, settle(), EventKind.SETTLED)[0]
    book.do(end(), phase(Phase.CLOSED))
    return said


def test_the_ladder_of_days_that_close_limit_locked() -> None:
    """9.4: D1 4 %, D2 7 %, D3 9 %; margin is the new limit plus 2 points; a day that is not locked ends the row"""
    book = venue(
        instrument(floor=100, ceiling=20_000, reference_price=10_000, daily_limit=400, margin_rate=500), equity=10**9
    )
    book.do(phase(Phase.CLOSED))
    assert band(book) == (9_600, 10_400)
    assert locked_day(book, 2026_11_02) == (10_400, 0, 1, 9_672, 11_128)  # 7 %
    assert margin(book) == 936  # 9 %
    assert locked_day(book, 2026_11_03) == (11_128, 0, 2, 10_127, 12_129)  # 9 %
    assert margin(book) == ceil(11_128 * Fraction(11, 100))
    assert locked_day(book, 2026_11_04) == (12_129, 0, 3, 11_038, 13_220)  # 9 %
    assert book.machine.book.instruments[0].locked_days == 3
    assert calm_day(book, 2026_11_05) == (12_129, 0, 0, 11_644, 12_614)  # 4 % again
    assert margin(book) == ceil(12_129 * Fraction(5, 100))


def test_a_locked_day_on_the_other_side_begins_the_row_again() -> None:
    """9.4: days in a row on that side"""
    book = venue(
        instrument(floor=100, ceiling=20_000, reference_price=10_000, daily_limit=400, margin_rate=500), equity=10**9
    )
    book.do(phase(Phase.CLOSED))
    locked_day(book, 2026_11_02)
    locked_day(book, 2026_11_03)
    assert locked_day(book, 2026_11_04, SELL)[2] == 1
    assert book.machine.book.instruments[0].locked_days == -1


def test_a_higher_margin_rate_is_kept_when_locked() -> None:
    """11.5"""
    book = venue(
        instrument(floor=100, ceiling=20_000, reference_price=10_000, daily_limit=400, margin_rate=2_000), equity=10**9
    )
    book.do(phase(Phase.CLOSED))
    locked_day(book, 2026_11_02)
    assert margin(book) == 2_080


def test_a_correction_does_not_count_the_day_twice() -> None:
    """11.3, 9.4"""
    book = venue(instrument(floor=100, ceiling=20_000, reference_price=10_000, daily_limit=400), equity=10**9)
    book.do(begin(), enter(0, BUY, 10_400, 1), phase(Phase.LIMIT_LOCKED), phase(Phase.CLOSING), phase(Phase.SETTLEMENT))
    assert told(book, settle(), EventKind.SETTLED)[0][2] == 1
    assert told(book, given_price(10_000), EventKind.SETTLED)[0] == (10_000, 0, 1, 9_300, 10_700)


def test_a_day_without_an_opening_is_not_locked() -> None:
    """9.4: an instrument that stayed closed since it was locked does not count again"""
    book = venue(instrument(floor=100, ceiling=20_000, reference_price=10_000, daily_limit=400), equity=10**9)
    book.do(phase(Phase.CLOSED))
    locked_day(book, 2026_11_02)
    book.do(begin(2026_11_03))
    assert told(book, settle(), EventKind.SETTLED)[0][2] == 0


# Margin calls


def called() -> Venue:
    """An account that has lost: long 5 at 100, margin 20 a lot, equity 100."""
    book = venue(accounts=[account("A", equity=100), account("B", equity=1_000), account("C", equity=1_000)], margin=20)
    book.do(begin(), *trade(100, 5))
    return book


@pytest.mark.parametrize(("price", "missing"), [(100, None), (96, None), (95, 25), (90, 50)])
def test_margin_is_called_below_the_maintenance_share(price: int, missing: int | None) -> None:
    """11.6: 80 % of 100; the amount missing is up to the whole initial margin"""
    book = called()
    book.do(given_price(price))
    assert told(book, end(), EventKind.MARGIN_CALL) == ([(0, missing)] if missing else [])
    assert book.machine.ledger.accounts[0].called == (missing is not None)


def test_a_called_account_may_only_reduce() -> None:
    """11.6 (509)"""
    book = called()
    book.do(given_price(92), end(), operator(Kind.CASH, account=0, quantity=1))
    assert book.do(enter(0, BUY, 92, 1))[0][:2] == ("rejected", "CREDIT")
    book.do(operator(Kind.CASH, account=2, quantity=1), limit(Limit.INSTRUMENT_MARGIN, 13))
    assert book.do(enter(0, BUY, 92, 1))[0] == ("rejected", "CREDIT", 78, 61)
    book.do(limit(Limit.INSTRUMENT_MARGIN, 1))
    assert book.do(enter(0, BUY, 92, 1)) == [("rejected", "MARGIN_CALLED", 6, 5)]
    assert book.do(enter(0, SELL, 92, 5))[0][0] == "accepted"
    order = book.machine.sequence
    assert book.do(amend(0, order, 93, 11)) == [("rejected", "MARGIN_CALLED", 6, 5)]
    assert book.do(amend(0, order, 93, 10))[0][0] == "amended"


def test_cash_ends_the_call_when_it_covers_the_initial_margin() -> None:
    """11.6"""
    book = called()
    book.do(given_price(90), end(), operator(Kind.CASH, account=0, quantity=49))
    assert book.machine.ledger.accounts[0].called == 1
    book.do(operator(Kind.CASH, account=0, quantity=1))
    assert book.machine.ledger.accounts[0].called == 0


def test_a_margin_call_lasts_until_an_end_of_day_finds_the_margin_covered() -> None:
    """11.6: maintenance is not enough to end it"""
    book = called()
    book.do(given_price(90), end(), begin(2026_11_03), given_price(99))
    assert told(book, end(), EventKind.MARGIN_CALL) == [(0, 5)]
    book.do(begin(2026_11_04), given_price(100))
    assert told(book, end(), EventKind.MARGIN_CALL) == []
    assert book.machine.ledger.accounts[0].called == 0


def test_open_orders_do_not_count_for_the_call() -> None:
    """11.6: initial margin of positions"""
    book = called()
    book.do(
        operator(Kind.CASH, account=0, quantity=200),
        enter(0, BUY, 99, 9, time_in_force=GTC),
        operator(Kind.CASH, account=0, quantity=-200),
    )
    assert told(book, end(), EventKind.MARGIN_CALL) == []


def test_an_account_in_debt_may_pay_in_less_than_its_debt() -> None:
    """7.4: nothing can be paid out"""
    book = venue(equity=10)
    book.do(*trade(100, 5), given_price(90))
    assert book.do(operator(Kind.CASH, account=0, quantity=15)) == [("cash", 0, 0, 0, 15)]
    assert equities(book)[0] == -25
    assert book.do(operator(Kind.CASH, account=0, quantity=-1)) == [("rejected", "INVALID_VALUE", -26, 0)]


# Liquidation


def test_liquidation_cancels_orders_and_closes_the_position_at_the_market() -> None:
    """11.7: no limit of section 5 stops it; the order has the id of the command"""
    poor = account("A", equity=100, max_order_quantity=5, max_open_orders=1)
    book = venue(accounts=[poor, account("B"), account("C")], margin=20)
    book.do(
        *trade(100, 5),
        enter(0, SELL, 108, 1),
        enter(2, BUY, 99, 2),
        enter(2, BUY, 95, 9),
        operator(Kind.KILL_SWITCH, Scope.ACCOUNT, account=0, quantity=1),
    )
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [
        ("canceled", 3, "LIQUIDATION", 1),
        ("accepted", 7, 90, 5),
        ("traded", 7, 4, 99, 2),
        ("traded", 7, 5, 95, 3),
        ("liquidated", 0, 0, 0, 5),
    ]
    assert book.machine.positions(0)["position"].tolist() == [0]
    row = book.machine.ledger.accounts[0]
    assert (row.open_orders, row.margin_used) == (0, 0)


def test_a_short_position_is_bought_back() -> None:
    """11.7"""
    book = venue()
    book.do(*trade(100, 5), enter(2, SELL, 103, 9))
    assert told(book, operator(Kind.LIQUIDATE, account=1), EventKind.ACCEPTED, EventKind.TRADED) == [
        (4, 110, 5),
        (4, 3, 103, 5),
    ]


def test_what_does_not_trade_of_a_liquidation_is_canceled() -> None:
    """11.7: MARKET IOC"""
    book = venue()
    book.do(*trade(100, 5), enter(2, BUY, 99, 2))
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [
        ("accepted", 4, 90, 5),
        ("traded", 4, 3, 99, 2),
        ("canceled", 4, "IOC_REMAINDER", 3),
        ("liquidated", 0, 0, 0, 2),
    ]
    assert book.machine.positions(0)["position"].tolist() == [3]
    row = book.machine.ledger.accounts[0]
    assert row.open_orders == 0


def test_liquidation_without_a_position_only_cancels() -> None:
    """11.7"""
    book = venue()
    book.do(
        enter(0, BUY, 99, 2), enter(0, BUY, 90, 2, order_type=OrderType.STOP, trigger_price=105), enter(1, BUY, 99, 1)
    )
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [
        ("canceled", 1, "LIQUIDATION", 2),
        ("canceled", 2, "LIQUIDATION", 2),
        ("liquidated", 0, 0, 0, 0),
    ]
    assert book.orders() == [(3, 99, 1)]


def test_self_match_prevention_does_not_stop_liquidation() -> None:
    """11.7: orders of the own group are canceled (704), and the liquidation goes on"""
    group: dict[str, Any] = {"group": 1, "self_match": SelfMatch.CANCEL_BOTH}
    book = venue(accounts=[account("A", **group), account("B"), account("C", **group)])
    book.do(*trade(100, 5), enter(2, BUY, 99, 2), enter(1, BUY, 98, 9))
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [
        ("accepted", 5, 90, 5),
        ("canceled", 3, "SELF_MATCH_RESTING", 2),
        ("traded", 5, 4, 98, 5),
        ("liquidated", 0, 0, 0, 5),
    ]


def test_liquidation_triggers_what_its_price_reaches() -> None:
    """11.7, 2.10"""
    book = venue()
    book.do(*trade(100, 5), enter(2, BUY, 95, 9), enter(3, SELL, 0, 1, order_type=OrderType.STOP, trigger_price=97))
    said = book.do(operator(Kind.LIQUIDATE, account=0))
    assert [event[0] for event in said] == ["accepted", "traded", "liquidated", "triggered", "traded"]
    assert book.machine.positions(3)["position"].tolist() == [-1]


def test_the_circuit_breaker_binds_liquidation() -> None:
    """11.7, 9.3 (801)"""
    book = venue(velocity=3, velocity_window=1000)
    book.do(*trade(100, 5), enter(2, BUY, 98, 1), enter(2, BUY, 95, 9))
    assert book.do(operator(Kind.LIQUIDATE, account=0))[1:] == [
        ("traded", 5, 3, 98, 1),
        ("canceled", 5, "VELOCITY", 4),
        ("liquidated", 0, 0, 0, 1),
    ]


def test_long_and_short_end_against_each_other_before_the_rest_is_closed() -> None:
    """11.7, 10.8"""
    book = venue(offset=True, margin=10)
    opening = {"flags": Flag.OPEN}
    book.do(
        *(order | opening for order in (*trade(100, 5, 0, 1), *trade(101, 3, 1, 0))), enter(2, BUY, 99, 9) | opening
    )
    assert told(book, operator(Kind.LIQUIDATE, account=0), EventKind.ACCEPTED, EventKind.TRADED) == [
        (6, 90, 2),
        (6, 5, 99, 2),
    ]
    gross = book.machine.ledger.gross[0]
    assert (gross.long, gross.short, book.machine.ledger.accounts[0].margin_used) == (0, 0, 0)


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (Phase.CLOSED, "INSTRUMENT_CLOSED"),
        (Phase.HALTED, "INSTRUMENT_HALTED"),
        (Phase.BREAK, "INSTRUMENT_BREAK"),
        (Phase.CLOSING, "INSTRUMENT_CLOSING"),
        (Phase.CALL_AUCTION, "NOT_IN_AUCTION"),
    ],
)
def test_liquidation_waits_for_the_market(which: Phase, reason: str) -> None:
    """11.7"""
    book = venue()
    book.do(*trade(100, 5), enter(0, BUY, 95, 1), phase(which))
    before = book.memory()
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [("rejected", reason, which, 0)]
    assert book.memory() == before


def test_only_an_order_book_can_liquidate() -> None:
    """11.7 (218)"""
    book = venue(mechanism=Mechanism.LISTING)
    assert book.do(operator(Kind.LIQUIDATE, account=0)) == [("rejected", "WRONG_MECHANISM", Mechanism.LISTING, 0)]


# Listing and expiry


def test_a_listed_instrument_is_closed_and_starts_from_its_reference_price() -> None:
    """11.9"""
    book = venue(phase=Phase.UNLISTED, daily_limit=500, margin_rate=1_000)
    assert book.do(enter(0, BUY, 100, 1))[0][1] == "INSTRUMENT_UNLISTED"
    assert told(book, operator(Kind.LIST, price=104), EventKind.LISTED) == [(0, 104)]
    row = book.machine.book.instruments[0]
    assert (row.phase, row.last_price, row.previous_settlement, *band(book)) == (Phase.CLOSED, 104, 104, 99, 109)
    assert margin(book) == 11  # 10.4
    assert settlement(book, settle()) == 104


def test_an_instrument_is_listed_once() -> None:
    """11.9 (216)"""
    book = venue(phase=Phase.UNLISTED)
    book.do(operator(Kind.LIST, price=100))
    assert book.do(operator(Kind.LIST, price=100)) == [("rejected", "PHASE_TRANSITION", Phase.CLOSED, Phase.CLOSED)]


@pytest.mark.parametrize(("price", "bound"), [(89, 90), (111, 110)])
def test_a_reference_price_off_the_ladder_is_refused(price: int, bound: int) -> None:
    """11.9 (109)"""
    book = venue(phase=Phase.UNLISTED)
    assert book.do(operator(Kind.LIST, price=price)) == [("rejected", "INVALID_VALUE", price, bound)]


def test_expiry_pairs_longs_with_shorts_in_account_order() -> None:
    """11.8: who receives how much from whom"""
    book = venue(physical=True, margin=5)
    book.do(
        begin(),
        *trade(100, 4, 0, 1),
        *trade(101, 3, 0, 2),
        *trade(99, 2, 3, 2),
        enter(0, BUY, 95, 1, time_in_force=GTC),
        given_price(100),
    )
    assert told(book, operator(Kind.EXPIRE), EventKind.CANCELED, EventKind.DELIVERY, EventKind.EXPIRED) == [
        (8, Reason.INSTRUMENT_EXPIRY, 1),
        (0, 1, 4, 100),
        (0, 2, 3, 100),
        (3, 2, 2, 100),
        (0, 1),
    ]
    assert book.machine.phase("SC2701") == Phase.EXPIRED
    ledger = book.machine.ledger
    for name in ("position", "open_buy", "open_sell", "cost", "worst", "volume"):
        assert not ledger.exposures[name].any()
    assert not ledger.accounts["margin_used"].any()
    assert book.do(enter(0, BUY, 100, 1))[0][1] == "INSTRUMENT_EXPIRED"


def test_a_cash_settled_instrument_expires_without_deliveries() -> None:
    """11.8"""
    book = venue()
    book.do(begin(), *trade(100, 4), given_price(102))
    assert told(book, operator(Kind.EXPIRE), EventKind.DELIVERY, EventKind.BALANCE) == []
    assert equities(book)[:2] == [1_000_008, 999_992]


def test_what_is_traded_between_settle_and_expire_is_marked_too() -> None:
    """11.8"""
    book = venue(fee_per_lot=1)
    book.do(begin(), given_price(102), *trade(100, 4))
    assert told(book, operator(Kind.EXPIRE), EventKind.BALANCE) == [(0, 102, 8, 4, 4), (1, 102, -8, 4, -4)]


def test_an_instrument_that_was_not_settled_today_does_not_expire() -> None:
    """11.8 (109)"""
    book = venue()
    book.do(begin(), *trade(100, 4))
    before = book.memory()
    assert book.do(operator(Kind.EXPIRE)) == [("rejected", "INVALID_VALUE", 0, 1)]
    assert book.memory() == before
    book.do(settle(), begin(2026_11_03))
    assert book.do(operator(Kind.EXPIRE)) == [("rejected", "INVALID_VALUE", 0, 1)]


def test_nothing_expires_twice() -> None:
    """8.2 (216)"""
    book = venue()
    book.do(begin(), settle(), operator(Kind.EXPIRE))
    assert book.do(operator(Kind.EXPIRE)) == [("rejected", "PHASE_TRANSITION", Phase.EXPIRED, Phase.EXPIRED)]


def test_lots_at_settlement_are_paid_whichever_settles_first() -> None:
    """12.1: 2 lots at settlement plus 3, marked to the leg's price"""
    for order in ((0, 1), (1, 0)):
        book = venue(
            instrument(), instrument("T", floor=-9, ceiling=9, reference_price=0, legs=("SC2701",), at_settlement=True)
        )
        book.do(begin(), *trade(3, 2, number=1), *trade(104, 1))
        for number in order:
            book.do(settle(number))
        assert equities(book) == [1_000_000 - 6, 1_000_000 + 6, 1_000_000, 1_000_000]


# Limits of instruments


@pytest.mark.parametrize(
    ("which", "table", "field", "kept"),
    [
        (Limit.INSTRUMENT_DAILY_LIMIT, "book", "daily_limit", 700),
        (Limit.INSTRUMENT_MARGIN_RATE, "ledger", "margin_rate", 700),
        (Limit.INSTRUMENT_FEE_PER_LOT, "ledger", "fee_per_lot", 700),
        (Limit.INSTRUMENT_FEE_RATE, "ledger", "fee_rate", 700),
        (Limit.INSTRUMENT_VELOCITY, "book", "velocity", 700),
        (Limit.INSTRUMENT_VELOCITY_WINDOW, "book", "velocity_window", 700_000_000),
        (Limit.INSTRUMENT_OPENING_CAP, "ledger", "opening_cap", 700),
        (Limit.INSTRUMENT_RESERVE, "book", "reserve", 700),
    ],
)
def test_a_limit_command_sets_one_field_of_its_instrument(which: Limit, table: str, field: str, kept: int) -> None:
    """7.3"""
    book = venue(instrument(), instrument("B"))
    assert book.do(limit(which, 700, 1)) == [("limit", 1, 1, which, 700)]
    kept_rows = book.machine.book.instruments if table == "book" else book.machine.ledger.limits
    assert kept_rows[field].tolist() == [0, kept]
    assert book.machine.book.instruments["watched"].tolist() == [0, which == Limit.INSTRUMENT_VELOCITY]


def test_a_limit_that_does_not_exist_is_refused() -> None:
    """1.5 (109)"""
    assert venue().do(limit(45, 1)) == [("rejected", "INVALID_VALUE", 45, max(Limit))]


# A refused operator command changes nothing


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (settle(2), Reason.UNKNOWN_INSTRUMENT),
        (settle(-1), Reason.UNKNOWN_INSTRUMENT),
        (settle(0, 3), Reason.INVALID_VALUE),
        (given_price(89), Reason.PRICE_BELOW_BAND),
        (given_price(111), Reason.PRICE_ABOVE_BAND),
        (settle(1), Reason.INSTRUMENT_UNLISTED),
        (operator(Kind.EXPIRE, instrument=2), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.EXPIRE, instrument=0), Reason.INVALID_VALUE),
        (operator(Kind.EXPIRE, instrument=1), Reason.INVALID_VALUE),
        (operator(Kind.LIST, instrument=0, price=100), Reason.PHASE_TRANSITION),
        (operator(Kind.LIST, instrument=2), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.LIST, instrument=1, price=0), Reason.INVALID_VALUE),
        (operator(Kind.LIQUIDATE, instrument=0, account=9), Reason.UNKNOWN_ACCOUNT),
        (operator(Kind.LIQUIDATE, instrument=2), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.LIQUIDATE, instrument=1), Reason.INSTRUMENT_UNLISTED),
        (operator(Kind.WINDOW, instrument=2), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.WINDOW, instrument=-2), Reason.UNKNOWN_INSTRUMENT),
        (begin(2026_11_01), Reason.INVALID_VALUE),
        (phase(Phase.CONTINUOUS, 1), Reason.PHASE_TRANSITION),
        (phase(Phase.UNLISTED), Reason.PHASE_TRANSITION),
        (phase(Phase.EXPIRED), Reason.PHASE_TRANSITION),
        (operator(Kind.PHASE, max(Phase) + 1), Reason.INVALID_VALUE),
        (phase(Phase.CLOSED, 2), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.CASH, account=4, quantity=1), Reason.UNKNOWN_ACCOUNT),
        (operator(Kind.CASH, account=0, quantity=-1_000_001), Reason.INVALID_VALUE),
        (operator(Kind.CASH, account=0, quantity=1 << 61), Reason.INVALID_VALUE),
        (operator(Kind.KILL_SWITCH, Scope.ACCOUNT, account=4, quantity=1), Reason.UNKNOWN_ACCOUNT),
        (operator(Kind.KILL_SWITCH, Scope.INSTRUMENT, instrument=2, quantity=1), Reason.UNKNOWN_INSTRUMENT),
        (operator(Kind.KILL_SWITCH, 4, quantity=1), Reason.INVALID_VALUE),
        (operator(Kind.KILL_SWITCH, quantity=2), Reason.INVALID_VALUE),
        (limit(Limit.INSTRUMENT_FEE_RATE, -1), Reason.INVALID_VALUE),
        (limit(Limit.INSTRUMENT_DAILY_LIMIT, 1 << 50), Reason.INVALID_VALUE),
        (limit(Limit.INSTRUMENT_MARGIN, 1 << 56), Reason.INVALID_VALUE),
        (limit(0, 1), Reason.INVALID_VALUE),
    ],
    ids=lambda value: f"{Kind(value['kind']).name}-{value}" if isinstance(value, dict) else value.name,
)
def test_a_refused_operator_command_changes_nothing(command: dict[str, Any], reason: Reason) -> None:
    """1.2: with positions, orders in the book and parked, in the middle of a day"""
    book = venue(instrument(margin=1), instrument("B", phase=Phase.UNLISTED))
    book.do(
        begin(), *trade(100, 4), enter(2, BUY, 98, 3), enter(3, BUY, 0, 1, order_type=OrderType.STOP, trigger_price=105)
    )
    before = book.memory()
    events = book.events(command)
    assert fields(events, "kind", "reason") == [(EventKind.REJECTED, reason)]
    assert book.memory() == before


@pytest.mark.parametrize(
    "command",
    [
        begin(),
        operator(Kind.LIST, instrument=1, price=100),
        settle(),
        operator(Kind.LIQUIDATE, account=0),
        end(),
        operator(Kind.WINDOW),
        operator(Kind.CASH, account=0, quantity=5),
        phase(Phase.HALTED),
        limit(Limit.INSTRUMENT_FEE_RATE, 5),
    ],
)
def test_an_operator_command_ends_with_one_event_of_its_kind_and_names_no_client(command: dict[str, Any]) -> None:
    """1.6"""
    book = venue(instrument(), instrument("B", phase=Phase.UNLISTED))
    book.do(*trade(100, 4))
    events = book.events(command | {"client_order_id": b"operator"})
    assert fields(events[events["kind"] == command["kind"]], "client_order_id") == [(b"",)]
    assert events["kind"][-1] == command["kind"]


def test_without_risk_settle_makes_the_band_and_pays_nothing() -> None:
    """11.5: matching alone"""
    book = Venue("engine", [instrument(daily_limit=300, phase=Phase.CONTINUOUS)])
    book.do(*trade(100, 4), enter(2, BUY, 98, 3))
    assert book.do(given_price(101)) == [("settled", 0, 101, 0, 98, 104)]
    assert band(book) == (98, 104)
    assert not book.machine.ledger.exposures["cost"].any()


# Whole random days, against plain arithmetic ------------------------------------------------------

INSTRUMENTS = [
    instrument(
        "A", floor=50, ceiling=200, reference_price=100, daily_limit=800, margin_rate=900, fee_per_lot=3, physical=True
    ),
    instrument("B", floor=-60, ceiling=60, reference_price=0, margin=7, fee_rate=12_345),
    instrument(
        "C",
        floor=900,
        ceiling=1_100,
        reference_price=1_000,
        tick_size=instrument().tick_size * 7,
        daily_limit=300,
        fee_rate=333,
        fee_per_lot=1,
    ),
]
EQUITY = 100_000
ACCOUNTS = 4

ORDERS = st.builds(
    lambda number, who, side, offset, lots, tif: ("order", number, who, side, offset, lots, tif),
    st.integers(0, 2),
    st.integers(0, ACCOUNTS - 1),
    st.sampled_from([BUY, SELL]),
    st.integers(-6, 6),
    st.integers(1, 9),
    st.sampled_from([TimeInForce.DAY, GTC, IOC]),
)
ACTIONS = st.one_of(
    ORDERS,
    ORDERS,
    ORDERS,
    ORDERS,
    st.builds(lambda who, paid: ("cash", who, paid), st.integers(0, ACCOUNTS - 1), st.integers(-2_000, 2_000)),
    st.builds(lambda number: ("window", number), st.integers(-1, 2)),
    st.builds(lambda number, who: ("liquidate", number, who), st.integers(0, 2), st.integers(0, ACCOUNTS - 1)),
    st.builds(
        lambda number, rule, given: ("settle", number, rule, given),
        st.integers(0, 2),
        st.sampled_from(Rule),
        st.integers(-200, 1_200),
    ),
)
DAYS = st.lists(st.lists(ACTIONS, max_size=25), min_size=1, max_size=4)


class Bookkeeper:
    """Clearing in plain arithmetic, from TRADED events and settlement prices."""

    def __init__(self) -> None:
        self.cash = [EQUITY] * ACCOUNTS
        self.paid_in = EQUITY * ACCOUNTS
        self.fees = 0
        self.previous = [terms.reference_price for terms in INSTRUMENTS]
        self.held: defaultdict[tuple[int, int], int] = defaultdict(
            int
        )  # (account, instrument): lots at the last settlement
        self.traded: list[list[Any]] = [[] for _ in INSTRUMENTS]  # since then: (buyer, seller, price, lots)

    def settle(self, number: int, price: int) -> None:
        """Today's trades against the settlement price, plus yesterday's position times its change; then fees."""
        terms = INSTRUMENTS[number]
        result, volume, value = [0] * ACCOUNTS, [0] * ACCOUNTS, [0] * ACCOUNTS
        for who in range(ACCOUNTS):
            result[who] += self.held[who, number] * (price - self.previous[number])
        for buyer, seller, paid, lots in self.traded[number]:
            for who, sign in ((buyer, 1), (seller, -1)):
                result[who] += sign * lots * (price - paid)
                volume[who] += lots
                value[who] += abs(paid) * lots
                self.held[who, number] += sign * lots
        for who in range(ACCOUNTS):
            fee = volume[who] * terms.fee_per_lot + floor(
                Fraction(value[who] * terms.fen_per_tick * terms.fee_rate, 1_000_000)
            )
            self.cash[who] += result[who] * terms.fen_per_tick - fee
            self.fees += fee
        self.traded[number] = []
        self.previous[number] = price

    def vwap(self, number: int) -> int | None:
        lots = sum(trade[3] for trade in self.traded[number])
        return (
            floor(Fraction(sum(trade[2] * trade[3] for trade in self.traded[number]), lots) + Fraction(1, 2))
            if lots
            else None
        )


def commands_of(action: tuple[Any, ...], exchange: Exchange) -> dict[str, Any]:
    """The COMMAND row of an action, at prices near the market."""
    kind, *about = action
    if kind == "order":
        number, who, side, offset, lots, time_in_force = about
        price = exchange.last_price(INSTRUMENTS[number].symbol) + offset
        return enter(who, side, price, lots, instrument=number, time_in_force=time_in_force)
    if kind == "cash":
        return operator(Kind.CASH, account=about[0], quantity=about[1])
    if kind == "window":
        return operator(Kind.WINDOW, instrument=about[0])
    if kind == "liquidate":
        return operator(Kind.LIQUIDATE, instrument=about[0], account=about[1])
    return settle(*about)


class Days:
    """An exchange, and a bookkeeper that reads its events."""

    def __init__(self) -> None:
        self.exchange = Exchange(
            INSTRUMENTS, [account(f"A{n}", equity=EQUITY) for n in range(ACCOUNTS)], max_orders=200
        )
        self.keeper = Bookkeeper()
        self.band_before = (0, 0)

    def do(self, command: dict[str, Any]) -> np.ndarray:
        events = self.exchange.apply(rows(command, start=self.exchange.sequence + 1))
        self.hear(command, events)
        self.check()
        return events

    def hear(self, command: dict[str, Any], events: np.ndarray) -> None:
        keeper = self.keeper
        for event in events:
            kind, number = event["kind"], int(event["instrument"])
            if kind == EventKind.TRADED:
                sides = (int(event["account"]), int(event["resting_account"]))
                buyer, seller = sides if event["side"] == BUY else sides[::-1]
                keeper.traded[number].append((buyer, seller, int(event["price"]), int(event["quantity"])))
            elif kind == EventKind.CASH:
                keeper.cash[int(event["account"])] += int(event["quantity"])
                keeper.paid_in += int(event["quantity"])
            elif kind == EventKind.SETTLED:
                average = keeper.vwap(number)
                if command["order_type"] == Rule.DAY_VWAP and average is not None:
                    lowest, highest = self.band_before
                    assert event["price"] == max(min(average, highest), lowest)
                keeper.settle(number, int(event["price"]))

    def settle(self, number: int, rule: SettlementRule = Rule.DAY_VWAP, price: int = 0) -> np.ndarray:
        row = self.exchange.book.instruments[number]
        self.band_before = int(row.floor), int(row.ceiling)
        return self.do(settle(number, rule, price))

    def check(self) -> None:
        """Positions sum to zero, money is conserved, and every account has the bookkeeper's figures."""
        ledger = self.exchange.ledger
        exposures = {
            name: ledger.exposures[name].reshape(ACCOUNTS, len(INSTRUMENTS)) for name in ("position", "cost", "worst")
        }
        assert not exposures["position"].sum(axis=0).any()
        assert not exposures["cost"].sum(axis=0).any()
        assert sum(ledger.accounts["equity"].tolist()) + int(ledger.hub[0].fees) == self.keeper.paid_in
        assert ledger.accounts["equity"].tolist() == self.keeper.cash
        assert ledger.hub[0].fees == self.keeper.fees
        assert (
            ledger.accounts["margin_used"].tolist()
            == (exposures["worst"] * ledger.limits["margin"]).sum(axis=1).tolist()
        )

    def expire(self, number: int) -> np.ndarray:
        positions = [
            int(self.exchange.ledger.exposures["position"][who * len(INSTRUMENTS) + number]) for who in range(ACCOUNTS)
        ]
        before = self.exchange.ledger.accounts["equity"].tolist()
        events = self.do(operator(Kind.EXPIRE, instrument=number))
        assert self.exchange.ledger.accounts["equity"].tolist() == before
        received, delivered = [0] * ACCOUNTS, [0] * ACCOUNTS
        for event in events[events["kind"] == EventKind.DELIVERY]:
            received[event["account"]] += int(event["quantity"])
            delivered[event["resting_account"]] += int(event["quantity"])
            assert event["quantity"] > 0
            assert event["price"] == self.keeper.previous[number]
        if INSTRUMENTS[number].physical:
            assert received == [max(position, 0) for position in positions]
            assert delivered == [max(-position, 0) for position in positions]
        for who in range(ACCOUNTS):
            self.keeper.held[who, number] = 0
        return events


@pytest.mark.compiled
@settings(max_examples=examples(60), deadline=None)
@given(days=DAYS, last=st.integers(0, 2))
def test_whole_days_conserve_lots_and_fen_and_equal_plain_arithmetic(days: list[Any], last: int) -> None:
    """11.1 to 11.8"""
    run = Days()
    for date, actions in enumerate(days, 2026_11_02):
        run.do(begin(date))
        for action in actions:
            if action[0] == "settle":
                run.settle(*action[1:])
            else:
                run.do(commands_of(action, run.exchange))
        for number in range(len(INSTRUMENTS)):
            run.settle(number)
        if date - 2026_11_02 == len(days) - 1:
            run.expire(last)
        run.do(end())
        check_book(run.exchange.book)


@settings(max_examples=examples(25), deadline=None)
@given(days=DAYS)
def test_days_in_any_batches_and_over_a_restored_state_are_the_same(days: list[Any]) -> None:
    """1.1"""
    run = Days()
    told_, said = [], []
    for date, actions in enumerate(days, 2026_11_02):
        told_ += [
            begin(date),
            *(commands_of(action, run.exchange) for action in actions),
            *map(settle, range(3)),
            end(),
        ]
    block = rows(*told_)
    whole = Exchange(INSTRUMENTS, [account(f"A{n}", equity=EQUITY) for n in range(ACCOUNTS)], max_orders=200)
    events = whole.apply(block)
    half = len(block) // 2
    first = Exchange(INSTRUMENTS, [account(f"A{n}", equity=EQUITY) for n in range(ACCOUNTS)], max_orders=200)
    said.append(first.apply(block[:half]))
    second = Exchange(INSTRUMENTS, [account(f"A{n}", equity=EQUITY) for n in range(ACCOUNTS)], max_orders=200)
    second.restore(first.state())
    said += [second.apply(block[number : number + 1]) for number in range(half, len(block))]
    assert b"".join(part.tobytes() for part in said) == events.tobytes()
    assert {name: array.tobytes() for name, array in second.state().items()} == {
        name: array.tobytes() for name, array in whole.state().items()
    }
