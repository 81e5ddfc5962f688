"""RULEBOOK 10, orders that open and close, as situations. Each runs over the oracle and over the engine with risk on.

One instrument keeps long and short apart; account 0 trades in it with account 1. A tick on a lot is worth one fen.
"""

from collections.abc import Callable
from typing import Any

import pytest

from exchange import Exchange
from matching.codes import CommandKind, Flag, Limit, OrderType, SettlementRule, Side, TimeInForce
from tests.build import account, amend, cancel, enter, instrument, operator
from tests.risk.test_checks import passes, refused
from tests.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
OPEN, CLOSE, TODAY, REDUCE = Flag.OPEN, Flag.CLOSE, Flag.CLOSE_TODAY, Flag.REDUCE_ONLY


@pytest.fixture(params=["reference", "engine"])
def hub(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a Venue. Keywords that the instrument does not have are limits of account 0."""

    def make(terms: dict[str, Any] | None = None, **limits: Any) -> Venue:
        accounts = [account("A", **limits), *(account(name) for name in "BCD")]
        return Venue(request.param, [instrument(**{"offset": True, **(terms or {})})], accounts, 100, True)

    return make


def order(side: int, quantity: int, flags: int, price: int = 100, **fields: Any) -> dict[str, Any]:
    return enter(0, side, price, quantity, flags=flags, **fields)


def other(side: int, quantity: int, price: int = 100, **fields: Any) -> dict[str, Any]:
    """Account 1 opens against account 0."""
    return enter(1, side, price, quantity, flags=OPEN, **fields)


def holds(
    hub: Venue, long: int = 0, short: int = 0, today: tuple[Any, ...] = (0, 0), number: int = 0, leg: int = 0
) -> None:
    """The account holds exactly this, in lots; today: of long and short."""
    if isinstance(hub.machine, Exchange):
        ledger = hub.machine.ledger
        gross, exposure = (rows[number * len(ledger.limits) + leg] for rows in (ledger.gross, ledger.exposures))
        held = gross.long, gross.short, gross.long_today, gross.short_today, exposure.position
    else:
        row = hub.machine.held[number, leg]
        held = row.long.all, row.short.all, row.long.today, row.short.today, row.position
    assert tuple(map(int, held)) == (long, short, *today, long - short)


def long_and_short(hub: Venue, long: int, short: int) -> None:
    """Account 0 opens both, and a day passes."""
    hub.do(
        order(BUY, long, OPEN),
        other(SELL, long),
        order(SELL, short, OPEN),
        other(BUY, short),
        operator(CommandKind.END_DAY),
    )


# 10.1 Flags


@pytest.mark.parametrize("flags", [0, OPEN | CLOSE, CLOSE | TODAY, OPEN | CLOSE | TODAY])
def test_10_1_an_order_carries_exactly_one_offset_flag(hub: Callable[..., Any], flags: int) -> None:
    refused(hub(), order(BUY, 1, flags), "INVALID_OFFSET", int(flags), 0)


@pytest.mark.parametrize("flags", [OPEN, CLOSE, TODAY])
def test_10_1_without_the_option_no_order_carries_an_offset_flag(hub: Callable[..., Any], flags: Flag) -> None:
    refused(hub({"offset": False}), order(BUY, 1, flags), "INVALID_OFFSET", int(flags), 0)


def test_10_1_an_order_that_closes_today_ends_with_the_day(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(order(BUY, 5, OPEN), other(SELL, 5))
    refused(book, order(SELL, 1, TODAY, time_in_force=TimeInForce.GTC), "INVALID_OFFSET", int(TODAY), 0)
    refused(
        book,
        order(SELL, 1, TODAY, time_in_force=TimeInForce.GTD, expire_date=20300101),
        "INVALID_OFFSET",
        int(TODAY),
        0,
    )
    passes(book, order(SELL, 1, TODAY, 101))


def test_10_1_an_amend_carries_no_offset_flag_and_the_order_keeps_its_own(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(order(BUY, 5, OPEN), other(SELL, 5), operator(CommandKind.END_DAY), order(SELL, 2, CLOSE, 105))
    refused(book, amend(0, 4, 105, 3, flags=CLOSE), "INVALID_OFFSET", int(CLOSE), 0)
    assert int(book.events(amend(0, 4, 104, 3))[0]["flags"]) == CLOSE
    assert int(book.events(other(BUY, 3, 104))[1]["flags"]) == OPEN | CLOSE << 16
    holds(book, long=2)


def test_1_3_offset_flags_are_judged_before_the_kill_switches_and_after_the_quantity(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(operator(CommandKind.KILL_SWITCH, 0, quantity=1))
    refused(book, order(BUY, 1, 0), "INVALID_OFFSET", 0, 0)
    refused(book, order(BUY, 0, 0), "INVALID_QUANTITY", 0, 1)


# 10.2 Long and short


def test_10_2_opening_adds_to_either_side_and_neither_reduces_the_other(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(order(BUY, 5, OPEN), other(SELL, 5), order(SELL, 3, OPEN), other(BUY, 3))
    holds(book, long=5, short=3, today=(5, 3))
    holds(book, long=3, short=5, today=(3, 5), number=1)


@pytest.mark.parametrize("side", [BUY, SELL])
def test_10_2_close_takes_what_is_older_and_close_today_what_is_not(hub: Callable[..., Any], side: Side) -> None:
    book = hub()
    long_and_short(book, 5, 5)
    book.do(order(3 - side, 4, OPEN), other(side, 4))
    book.do(order(side, 2, CLOSE), other(3 - side, 2))
    left: dict[str, Any] = {"short": 7, "today": (0, 4)} if side == BUY else {"long": 7, "today": (4, 0)}
    holds(book, **{"long": 5, "short": 5, **left})
    book.do(order(side, 3, TODAY), other(3 - side, 3))
    left = {"short": 4, "today": (0, 1)} if side == BUY else {"long": 4, "today": (1, 0)}
    holds(book, **{"long": 5, "short": 5, **left})


# 10.3 What may be closed


@pytest.mark.parametrize("side", [BUY, SELL])
def test_10_3_an_order_closes_at_most_what_is_held_less_what_open_orders_close(
    hub: Callable[..., Any], side: Side
) -> None:
    book = hub()
    away = 95 if side == BUY else 105
    refused(book, order(side, 1, CLOSE), "CLOSE_EXCEEDS_POSITION", 1, 0)
    long_and_short(book, 5, 5)
    refused(book, order(side, 1, TODAY), "CLOSE_EXCEEDS_POSITION", 1, 0)
    passes(book, order(side, 3, CLOSE, away))
    refused(book, order(side, 3, CLOSE, away), "CLOSE_EXCEEDS_POSITION", 3, 2)
    closing = book.sequence - 1
    refused(book, amend(0, closing, away, 6), "CLOSE_EXCEEDS_POSITION", 3, 2)
    passes(book, amend(0, closing, away, 5))
    book.do(cancel(0, closing))
    passes(book, order(side, 5, CLOSE, away))


def test_10_3_what_opened_today_is_closed_by_close_tomorrow(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(order(BUY, 5, OPEN), other(SELL, 5))
    refused(book, order(SELL, 1, CLOSE), "CLOSE_EXCEEDS_POSITION", 1, 0)
    book.do(operator(CommandKind.END_DAY))
    refused(book, order(SELL, 1, TODAY), "CLOSE_EXCEEDS_POSITION", 1, 0)
    passes(book, order(SELL, 5, CLOSE))


# 10.4 The cap


def test_10_4_lots_opened_and_to_be_opened_on_both_sides_keep_to_the_cap_of_the_day(hub: Callable[..., Any]) -> None:
    book = hub({"opening_cap": 10})
    book.do(order(BUY, 4, OPEN), other(SELL, 4), order(SELL, 3, OPEN, 105))
    refused(book, order(BUY, 4, OPEN, 95), "OPENING_CAP", 11, 10)
    passes(book, order(SELL, 4, TODAY, 105))  # closing orders do not count
    passes(book, order(BUY, 3, OPEN, 95))
    refused(book, amend(0, 6, 95, 4), "OPENING_CAP", 11, 10)
    book.do(cancel(0, 3))
    passes(book, order(BUY, 3, OPEN, 95))
    book.do(operator(CommandKind.END_DAY))
    passes(book, order(BUY, 10, OPEN, 95))
    refused(book, order(BUY, 1, OPEN, 95), "OPENING_CAP", 11, 10)
    book.do(operator(CommandKind.LIMIT, Limit.INSTRUMENT_OPENING_CAP, quantity=0))
    passes(book, order(BUY, 1, OPEN, 95))


def test_10_4_lots_closed_again_stay_opened(hub: Callable[..., Any]) -> None:
    book = hub({"opening_cap": 5})
    book.do(order(BUY, 5, OPEN), other(SELL, 5), order(SELL, 5, TODAY), other(BUY, 5, time_in_force=TimeInForce.IOC))
    refused(book, order(BUY, 1, OPEN, 95), "OPENING_CAP", 6, 5)


# 10.5 Limits and margin


@pytest.mark.parametrize("side, limit, reason", [(BUY, "max_long", "MAX_LONG"), (SELL, "max_short", "MAX_SHORT")])
def test_10_5_limits_bind_each_side_by_itself(hub: Callable[..., Any], side: Side, limit: str, reason: str) -> None:
    book = hub(**{limit: 10})
    price = 95 if side == BUY else 105
    book.do(order(side, 6, OPEN), other(3 - side, 6), order(3 - side, 9, OPEN), other(side, 9))
    refused(book, order(side, 5, OPEN, price), reason, 11, 10)
    passes(book, order(side, 4, OPEN, price))
    passes(book, order(side, 9, TODAY, price))  # orders that close the other side add nothing


def test_10_5_margin_is_held_for_the_larger_side_and_not_for_orders_that_close(hub: Callable[..., Any]) -> None:
    book = hub({"margin": 10}, equity=100)
    book.do(order(BUY, 8, OPEN), other(SELL, 8), order(SELL, 8, OPEN), other(BUY, 8))
    refused(book, order(BUY, 3, OPEN, 95), "CREDIT", 110, 100)
    passes(book, order(BUY, 2, OPEN, 95))
    refused(book, order(SELL, 3, OPEN, 105), "CREDIT", 110, 100)
    passes(book, order(SELL, 8, TODAY, 105))
    passes(book, order(SELL, 2, OPEN, 105))


# 10.6 The day


def test_10_6_the_end_of_the_day_makes_todays_lots_yesterdays(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(order(BUY, 5, OPEN), other(SELL, 5), order(SELL, 2, OPEN), other(BUY, 2))
    holds(book, long=5, short=2, today=(5, 2))
    book.do(operator(CommandKind.END_DAY))
    holds(book, long=5, short=2)


def test_10_3_lots_kept_by_a_closing_order_are_free_when_it_expires(hub: Callable[..., Any]) -> None:
    book = hub()
    long_and_short(book, 5, 5)
    book.do(order(SELL, 5, CLOSE, 105), operator(CommandKind.END_DAY))
    passes(book, order(SELL, 5, CLOSE, 105))


# 10.7 Reduce only, 2.9 stops


def test_10_7_reduce_only_refuses_what_opens(hub: Callable[..., Any]) -> None:
    book = hub()
    long_and_short(book, 5, 5)
    refused(book, order(BUY, 2, OPEN | REDUCE), "REDUCE_ONLY_WOULD_INCREASE", 7, 0)
    passes(book, order(BUY, 2, CLOSE | REDUCE, 95))


def test_10_3_a_stop_order_that_closes_keeps_its_lots_and_closes_them_when_it_is_triggered(
    hub: Callable[..., Any],
) -> None:
    book = hub()
    long_and_short(book, 5, 5)
    passes(book, order(SELL, 5, CLOSE, 0, order_type=OrderType.STOP, trigger_price=98))
    refused(book, order(SELL, 1, CLOSE), "CLOSE_EXCEEDS_POSITION", 1, 0)
    emitted = book.events(enter(1, BUY, 98, 6, flags=OPEN), enter(2, SELL, 98, 1, flags=OPEN))
    assert int(emitted[-1]["flags"]) == CLOSE | OPEN << 16
    holds(book, short=5)


# 10.8 Liquidation


@pytest.mark.parametrize("long, short, side", [(8, 3, SELL), (3, 8, BUY), (4, 4, None)])
def test_10_8_liquidation_ends_both_sides_against_each_other_and_closes_the_rest(
    hub: Callable[..., Any], long: int, short: int, side: Side | None
) -> None:
    book = hub()
    long_and_short(book, long, short)
    book.do(order(BUY, 1, OPEN, 95), order(SELL, 2, CLOSE, 105))
    if side:
        book.do(other(3 - side, 20))
    emitted = book.events(operator(CommandKind.LIQUIDATE, account=0))
    assert int(emitted[-1]["quantity"]) == abs(long - short)
    holds(book)
    passes(book, order(BUY, 1, OPEN, 95))


def test_10_8_lots_without_a_counterparty_stay_and_may_be_closed(hub: Callable[..., Any]) -> None:
    book = hub()
    long_and_short(book, 8, 3)
    book.do(other(BUY, 2), operator(CommandKind.LIQUIDATE, account=0))
    holds(book, long=3)
    passes(book, order(SELL, 3, CLOSE))
    refused(book, order(SELL, 1, CLOSE), "CLOSE_EXCEEDS_POSITION", 1, 0)


# 11.8 Expiry


def test_11_8_expiry_ends_both_sides(hub: Callable[..., Any]) -> None:
    book = hub({"margin": 1}, equity=8)
    long_and_short(book, 8, 3)
    book.do(operator(CommandKind.SETTLE, SettlementRule.GIVEN, price=100), operator(CommandKind.EXPIRE))
    for number in range(2):
        holds(book, number=number)
    if isinstance(book.machine, Exchange):
        assert int(book.machine.account(0)["margin_used"]) == 0
