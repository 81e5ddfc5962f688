"""RULEBOOK 5 and 7 as situations: each rule at its limit and one beyond, with the value and the bound it reports.

Every test runs twice, over the oracle (tests/risk/oracle.py) and over the engine with risk on. Unless a test says
otherwise there is one instrument, band 90 to 110, last price 100, where a tick on a lot is worth one fen.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from exchange.instruments import Instrument
from matching.codes import (
    ALL,
    CommandKind,
    EventKind,
    Flag,
    Limit,
    OrderType,
    Phase,
    Reason,
    Scope,
    SelfMatch,
    Side,
    TimeInForce,
)
from risk.limits import Account
from tests.build import SECOND, account, amend, cancel, enter, instrument, operator
from tests.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
OPEN, REDUCE, LABEL = Flag.OPEN_QUANTITY, Flag.REDUCE_ONLY, Flag.LABEL


@pytest.fixture(params=["reference", "engine"])
def hub(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a Venue with risk on. Keywords that Venue does not take are limits of account 0."""

    def make(
        *instruments: Instrument,
        accounts: list[Account] | tuple[Any, ...] | None = None,
        max_orders: int = 100,
        max_client_order_ids: int = 1 << 10,
        **limits: Any,
    ) -> Venue:
        accounts = [account("A", **limits), *(account(name) for name in "BCD")] if accounts is None else accounts
        return Venue(request.param, list(instruments) or None, accounts, max_orders, True, max_client_order_ids)

    return make


def refused(hub: Venue, command: dict[str, Any], reason: str, value: int, bound: int) -> None:
    """The command is refused with exactly this, and changes nothing."""
    before = hub.memory()
    emitted = hub.events(command)
    assert len(emitted) == 1
    assert (EventKind(emitted[0]["kind"]), Reason(emitted[0]["reason"]).name) == (EventKind.REJECTED, reason)
    assert (emitted[0]["resting_leaves_quantity"], emitted[0]["resting_price"]) == (value, bound)
    assert hub.memory() == before


def passes(hub: Venue, command: dict[str, Any]) -> None:
    """The command is not refused."""
    emitted = hub.do(command)
    assert emitted[0][0] != "rejected", emitted


# 5.1, 5.2, 7.2 Kill switches and disabled accounts

SWITCHES = [
    (Scope.HUB, {}, "HUB_KILLED"),
    (Scope.INSTRUMENT, {"instrument": 0}, "INSTRUMENT_KILLED"),
    (Scope.FIRM, {"account": 3}, "FIRM_KILLED"),
    (Scope.ACCOUNT, {"account": 0}, "ACCOUNT_KILLED"),
]
FIRMS = (account("A", firm=3), account("B", firm=3), account("C", firm=1), account("D", firm=0))


@pytest.mark.parametrize("scope, index, reason", SWITCHES)
def test_5_1_a_kill_switch_refuses_new_orders_and_amendments_until_it_is_off_and_lets_cancels_pass(
    hub: Callable[..., Any], scope: Scope, index: dict[str, Any], reason: str
) -> None:
    book = hub(accounts=FIRMS)
    book.do(enter(0, BUY, 99, 5), enter(0, BUY, 98, 5))
    assert book.do(operator(CommandKind.KILL_SWITCH, scope, quantity=1, **index))[0][0] == "kill_switch"
    refused(book, enter(0, BUY, 100, 1), reason, 0, 0)
    refused(book, amend(0, 1, 99, 4), reason, 0, 0)
    passes(book, cancel(0, 1))
    assert book.do(operator(CommandKind.MASS_CANCEL, account=0)) == [
        ("canceled", 2, "MASS_CANCEL", 5),
        ("mass_canceled", 1),
    ]
    book.do(operator(CommandKind.KILL_SWITCH, scope, quantity=0, **index))
    passes(book, enter(0, BUY, 100, 1))


def test_7_2_a_kill_switch_cancels_nothing_and_resting_orders_still_trade(hub: Callable[..., Any]) -> None:
    book = hub(accounts=FIRMS)
    book.do(enter(0, BUY, 99, 5), operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=0, quantity=1))
    assert book.do(enter(2, SELL, 99, 5)) == [("accepted", 3, 99, 5), ("traded", 3, 1, 99, 5)]


@pytest.mark.parametrize(
    "scope, index, passing",
    [
        (Scope.INSTRUMENT, {"instrument": 1}, enter(0, BUY, 99, 1)),
        (Scope.FIRM, {"account": 3}, enter(2, BUY, 99, 1)),
        (Scope.ACCOUNT, {"account": 0}, enter(1, BUY, 99, 1)),
    ],
)
def test_5_1_a_kill_switch_stops_only_what_it_names(
    hub: Callable[..., Any], scope: Scope, index: dict[str, int], passing: dict[str, Any]
) -> None:
    book = hub(instrument("A1"), instrument("B1"), accounts=FIRMS)
    book.do(operator(CommandKind.KILL_SWITCH, scope, quantity=1, **index))
    passes(book, passing)


def test_5_1_of_several_switches_the_first_is_reported(hub: Callable[..., Any]) -> None:
    book = hub(accounts=FIRMS)
    book.do(operator(CommandKind.LIMIT, Limit.ENABLED, quantity=0))
    refused(book, enter(0, BUY, 99, 1), "ACCOUNT_DISABLED", 0, 0)
    for scope, index, reason in reversed(SWITCHES):
        book.do(operator(CommandKind.KILL_SWITCH, scope, quantity=1, **index))
        refused(book, enter(0, BUY, 99, 1), reason, 0, 0)
    for number, (scope, index, _) in enumerate(SWITCHES):
        book.do(operator(CommandKind.KILL_SWITCH, scope, quantity=0, **index))
        reason = [*(switch[2] for switch in SWITCHES[number + 1 :]), "ACCOUNT_DISABLED"][0]
        refused(book, enter(0, BUY, 99, 1), reason, 0, 0)


def test_5_2_an_account_that_is_disabled_may_cancel_but_not_enter_or_amend(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(enter(0, BUY, 99, 5), operator(CommandKind.LIMIT, Limit.ENABLED, quantity=0))
    refused(book, enter(0, BUY, 99, 1), "ACCOUNT_DISABLED", 0, 0)
    refused(book, amend(0, 1, 99, 4), "ACCOUNT_DISABLED", 0, 0)
    passes(book, enter(1, BUY, 99, 1))
    passes(book, cancel(0, 1))
    book.do(operator(CommandKind.LIMIT, Limit.ENABLED, quantity=1))
    passes(book, enter(0, BUY, 99, 1))


def test_5_2_an_account_may_be_disabled_from_the_start(hub: Callable[..., Any]) -> None:
    refused(hub(enabled=False), enter(0, BUY, 99, 1), "ACCOUNT_DISABLED", 0, 0)


# 5.5 Increments


def test_5_5_price_increment(hub: Callable[..., Any]) -> None:
    book = hub(instrument(floor=-10, ceiling=10, reference_price=0, price_increment=5))
    for price in (-10, -5, 0, 5, 10):
        passes(book, enter(0, BUY, price, 1, flags=Flag.SMP_CANCEL_RESTING))
    refused(book, enter(0, BUY, 6, 1), "PRICE_OFF_TICK", 6, 5)
    refused(book, enter(0, BUY, -6, 1), "PRICE_OFF_TICK", -6, 5)
    refused(book, amend(0, 1, -9, 1), "PRICE_OFF_TICK", -9, 5)
    passes(book, enter(0, SELL, 3, 1, order_type=OrderType.MARKET))


def test_5_5_the_price_that_the_hub_gives_a_market_order_need_not_be_on_the_increment(hub: Callable[..., Any]) -> None:
    book = hub(instrument(price_increment=5, protection=3))
    assert book.last(enter(1, SELL, 100, 1), enter(0, BUY, 0, 2, order_type=OrderType.MARKET))[0] == (
        "accepted",
        2,
        103,
        2,
    )


def test_5_5_minimum_quantity_and_quantity_increment(hub: Callable[..., Any]) -> None:
    book = hub(instrument(minimum_quantity=4, quantity_increment=2))
    refused(book, enter(0, BUY, 99, 3), "QUANTITY_BELOW_MINIMUM", 3, 4)
    passes(book, enter(0, BUY, 99, 4))
    refused(book, enter(0, BUY, 99, 5), "QUANTITY_OFF_LOT", 5, 2)
    passes(book, enter(0, BUY, 99, 6))


def test_5_15_an_amend_is_measured_by_its_new_total(hub: Callable[..., Any]) -> None:
    """Six ordered, four filled. A total of 8 leaves 4 open; 3 is below the minimum, 7 is off the increment."""
    book = hub(instrument(minimum_quantity=4, quantity_increment=2))
    book.do(enter(0, BUY, 99, 6), enter(1, SELL, 99, 4))
    refused(book, amend(0, 1, 99, 3), "QUANTITY_BELOW_MINIMUM", 3, 4)
    refused(book, amend(0, 1, 99, 7), "QUANTITY_OFF_LOT", 7, 2)
    refused(book, amend(0, 1, 99, 1, flags=OPEN), "QUANTITY_OFF_LOT", 5, 2)
    assert book.do(amend(0, 1, 99, 8)) == [("amended", 1, 99, 8, 4)]
    assert book.do(amend(0, 1, 99, 4)) == [("canceled", 1, "AMENDED_TO_FILLED", 4)]


# 5.7 Collar


def test_5_7_collar_on_both_sides_of_the_last_trade(hub: Callable[..., Any]) -> None:
    book = hub(instrument(collar=3, reference_price=100))
    refused(book, enter(0, BUY, 104, 1), "PRICE_OUTSIDE_COLLAR", 104, 103)
    refused(book, enter(0, SELL, 96, 1), "PRICE_OUTSIDE_COLLAR", 96, 97)
    passes(book, enter(0, BUY, 97, 1))
    passes(book, enter(0, SELL, 103, 1))
    refused(book, amend(0, 3, 96, 1), "PRICE_OUTSIDE_COLLAR", 96, 97)
    assert book.do(enter(1, BUY, 103, 1))[1][0] == "traded"
    passes(book, enter(0, SELL, 106, 1))
    refused(book, enter(0, BUY, 99, 1), "PRICE_OUTSIDE_COLLAR", 99, 100)


@pytest.mark.parametrize(
    "side, protection, resting, price",
    [
        (BUY, 0, 102, 103),
        (SELL, 0, 98, 97),
        (BUY, 2, 102, 103),
        (SELL, 2, 98, 97),
        (BUY, 1, 101, 102),
        (BUY, 0, None, 103),
    ],
)
def test_2_2_where_a_collar_is_set_a_market_order_is_held_within_it(
    hub: Callable[..., Any], side: Side, protection: int, resting: int | None, price: int
) -> None:
    book = hub(instrument(collar=3, protection=protection))
    if resting:
        book.do(enter(1, 3 - side, resting, 1))
    assert book.do(enter(0, side, 0, 2, order_type=OrderType.MARKET))[0][2] == price


def test_2_2_a_market_order_whose_best_price_left_the_collar_does_not_trade(hub: Callable[..., Any]) -> None:
    """Trade at 100, resting offer at 109 from before the collar was set."""
    book = hub(instrument(protection=1))
    book.do(enter(1, SELL, 109, 1), operator(CommandKind.LIMIT, Limit.INSTRUMENT_COLLAR, quantity=2))
    assert book.do(enter(0, BUY, 0, 1, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC)) == [
        ("accepted", 3, 102, 1),
        ("canceled", 3, "IOC_REMAINDER", 1),
    ]


# 5.8 Size


@pytest.mark.parametrize("of_account, of_instrument, bound", [(7, 9, 7), (9, 7, 7), (7, 7, 7)])
def test_5_8_largest_order_is_the_strictest_of_account_and_instrument(
    hub: Callable[..., Any], of_account: int, of_instrument: int, bound: int
) -> None:
    book = hub(instrument(max_order_quantity=of_instrument), max_order_quantity=of_account)
    passes(book, enter(0, BUY, 99, bound))
    refused(book, enter(0, BUY, 99, bound + 1), "MAX_ORDER_QUANTITY", bound + 1, bound)


def test_5_8_largest_order_counts_the_total_of_an_amended_order_and_notional_what_is_open(
    hub: Callable[..., Any],
) -> None:
    book = hub(max_order_quantity=10, max_order_notional=1000)
    book.do(enter(0, BUY, 99, 10), enter(1, SELL, 99, 9))
    refused(book, amend(0, 1, 100, 11), "MAX_ORDER_QUANTITY", 11, 10)
    refused(book, amend(0, 1, 100, 2, flags=OPEN), "MAX_ORDER_QUANTITY", 11, 10)
    assert book.do(amend(0, 1, 110, 10)) == [("amended", 1, 110, 10, 1)]


@pytest.mark.parametrize("price", [100, -100])
def test_5_8_notional_is_price_without_sign_times_quantity_times_the_value_of_a_tick(
    hub: Callable[..., Any], price: int
) -> None:
    book = hub(
        instrument(floor=-100, ceiling=100, reference_price=0, tick_size=Decimal("0.03")), max_order_notional=1200
    )
    passes(book, enter(0, BUY, price, 4))
    refused(book, enter(0, BUY, price, 5), "MAX_ORDER_NOTIONAL", 1500, 1200)
    refused(book, amend(0, 1, price, 5), "MAX_ORDER_NOTIONAL", 1500, 1200)


# 5.9 Message rate


def test_5_9_a_burst_at_once_and_then_the_rate(hub: Callable[..., Any]) -> None:
    """Two a second, three at once: the fourth passes half a second after the first."""
    book = hub(messages_per_second=2, message_burst=3)
    at = {"time": 100 * SECOND}
    for _ in range(3):
        passes(book, enter(0, BUY, 99, 1, **at))
    refused(book, enter(0, BUY, 99, 1, **at), "MESSAGE_RATE", 100 * SECOND, 100 * SECOND + SECOND // 2)
    refused(
        book,
        enter(0, BUY, 99, 1, time=100 * SECOND + SECOND // 2 - 1),
        "MESSAGE_RATE",
        100 * SECOND + SECOND // 2 - 1,
        100 * SECOND + SECOND // 2,
    )
    passes(book, enter(0, BUY, 99, 1, time=100 * SECOND + SECOND // 2))
    refused(
        book,
        amend(0, 1, 98, 1, time=100 * SECOND + SECOND // 2),
        "MESSAGE_RATE",
        100 * SECOND + SECOND // 2,
        101 * SECOND,
    )
    passes(book, cancel(0, 1, time=100 * SECOND + SECOND // 2))
    passes(book, enter(1, BUY, 99, 1, time=100 * SECOND + SECOND // 2))
    passes(book, amend(0, 2, 98, 1, time=101 * SECOND))


def test_5_9_a_long_silence_saves_up_no_more_than_the_burst(hub: Callable[..., Any]) -> None:
    book = hub(messages_per_second=1, message_burst=2)
    passes(book, enter(0, BUY, 99, 1, time=SECOND))
    for _ in range(2):
        passes(book, enter(0, BUY, 99, 1, time=1000 * SECOND))
    refused(book, enter(0, BUY, 99, 1, time=1000 * SECOND), "MESSAGE_RATE", 1000 * SECOND, 1001 * SECOND)


@pytest.mark.parametrize(
    "other, counts",
    [
        (enter(0, BUY, 111, 1), False),
        (enter(0, BUY, 99, 0), False),
        (enter(0, BUY, 99, 101), False),
        (amend(0, 77, 99, 1), False),
        (enter(0, BUY, 99, 1, client_order_id=b"taken"), True),
        (enter(0, BUY, 105, 1, flags=Flag.POST_ONLY), True),
        (enter(0, BUY, 105, 1, flags=REDUCE), True),
    ],
    ids=["band", "row", "size", "unknown order", "repeated client order id", "post only", "reduce only"],
)
def test_5_9_a_command_refused_by_an_earlier_rule_does_not_count_and_by_a_later_one_does(
    hub: Callable[..., Any], other: dict[str, Any], counts: bool
) -> None:
    book = hub(messages_per_second=1, message_burst=1, max_order_quantity=100)
    book.do(enter(1, SELL, 105, 1), enter(0, BUY, 95, 1, client_order_id=b"taken", time=10 * SECOND))
    assert book.do(other | {"time": 20 * SECOND})[0][0] == "rejected"
    if counts:
        refused(book, enter(0, BUY, 99, 1, time=20 * SECOND), "MESSAGE_RATE", 20 * SECOND, 21 * SECOND)
    else:
        passes(book, enter(0, BUY, 99, 1, time=20 * SECOND))


def test_5_9_slowest_rate_with_the_largest_burst_is_still_counted_exactly(hub: Callable[..., Any]) -> None:
    book = hub(messages_per_second=1, message_burst=1 << 20)
    for _ in range(3):
        passes(book, enter(0, BUY, 99, 1, time=5 * SECOND))


# 5.10 Client order ids


def test_5_10_a_client_order_id_is_used_until_the_day_ends_and_the_first_order_is_reported(
    hub: Callable[..., Any],
) -> None:
    book = hub()
    mine: dict[str, Any] = {"client_order_id": b"mine"}
    book.do(enter(0, BUY, 99, 1, **mine), cancel(0, 1))
    refused(book, enter(0, BUY, 98, 2, **mine), "DUPLICATE_CLIENT_ORDER_ID", 1, 0)
    emitted = book.events(enter(0, BUY, 98, 2, **mine))
    assert (emitted[0]["resting_order_id"], emitted[0]["client_order_id"]) == (1, b"mine")
    passes(book, enter(1, BUY, 99, 1, **mine))
    passes(book, enter(0, BUY, 99, 1, client_order_id=b"mine2"))
    book.do(operator(CommandKind.END_DAY))
    passes(book, enter(0, BUY, 99, 1, **mine))


def test_5_10_a_label_and_no_id_at_all_need_not_be_unique(hub: Callable[..., Any]) -> None:
    book = hub()
    for _ in range(3):
        passes(book, enter(0, BUY, 99, 1, client_order_id=b"label", flags=LABEL))
        passes(book, enter(0, BUY, 99, 1))
    passes(book, enter(0, BUY, 99, 1, client_order_id=b"label"))
    passes(book, enter(0, BUY, 99, 1, client_order_id=b"label", flags=LABEL))


def test_5_10_the_id_of_a_refused_order_and_of_an_amend_or_cancel_is_not_used(hub: Callable[..., Any]) -> None:
    book = hub()
    mine: dict[str, Any] = {"client_order_id": b"mine"}
    book.do(enter(0, BUY, 111, 1, **mine), enter(0, BUY, 99, 3), amend(0, 2, 99, 2, **mine), cancel(0, 2, **mine))
    passes(book, enter(0, BUY, 99, 1, **mine))


def test_5_10_all_twenty_characters_count(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(enter(0, BUY, 99, 1, client_order_id=b"aaaaaaaaaaaaaaaaaaaa"))
    for place in (0, 7, 8, 15, 16, 19):
        name = bytearray(b"a" * 20)
        name[place] = ord("b")
        passes(book, enter(0, BUY, 99, 1, client_order_id=bytes(name)))
    refused(book, enter(0, BUY, 99, 1, client_order_id=b"a" * 20), "DUPLICATE_CLIENT_ORDER_ID", 1, 0)


def test_5_10_the_memory_for_client_order_ids_is_bounded(hub: Callable[..., Any]) -> None:
    book = hub(max_client_order_ids=3)
    for number in range(3):
        passes(book, enter(number, BUY, 99, 1, client_order_id=b"%d" % number))
    refused(book, enter(0, BUY, 99, 1, client_order_id=b"new"), "CLIENT_ORDER_ID_CAPACITY", 3, 3)
    refused(book, enter(0, BUY, 99, 1, client_order_id=b"0"), "DUPLICATE_CLIENT_ORDER_ID", 1, 0)
    passes(book, enter(0, BUY, 99, 1))
    passes(book, enter(0, BUY, 99, 1, client_order_id=b"new", flags=LABEL))
    book.do(operator(CommandKind.END_DAY))
    passes(book, enter(0, BUY, 99, 1, client_order_id=b"new"))


# 5.11 Open orders


def test_5_11_open_orders_over_all_instruments_before_the_order_itself_trades(hub: Callable[..., Any]) -> None:
    book = hub(instrument("A1"), instrument("B1"), max_open_orders=2)
    book.do(enter(0, BUY, 99, 5), enter(0, BUY, 99, 5, instrument=1), enter(1, SELL, 101, 1))
    refused(book, enter(0, BUY, 101, 1, time_in_force=TimeInForce.IOC), "MAX_OPEN_ORDERS", 3, 2)
    passes(book, amend(0, 1, 98, 7))
    passes(book, enter(1, BUY, 99, 5))
    book.do(enter(1, SELL, 98, 8), enter(1, SELL, 98, 4))  # fills order 1
    passes(book, enter(0, BUY, 97, 1))
    refused(book, enter(0, BUY, 97, 1), "MAX_OPEN_ORDERS", 3, 2)


# 2.7 Reduce only


@pytest.mark.parametrize("side", [BUY, SELL])
def test_2_7_reduce_only_refuses_what_would_turn_the_position(hub: Callable[..., Any], side: Side) -> None:
    """Account 0 gets a position of 5 against `side`; another 2 lots to reduce it rest already."""
    book = hub()
    away = 110 if side == BUY else 90
    book.do(enter(0, 3 - side, 100, 5), enter(1, side, 100, 5))
    price = 99 if side == BUY else 101
    passes(book, enter(0, side, price, 2))
    refused(book, enter(0, side, price, 4, flags=REDUCE), "REDUCE_ONLY_WOULD_INCREASE", 1, 0)
    passes(book, enter(0, side, price, 3, flags=REDUCE))
    refused(book, enter(0, 3 - side, away, 1, flags=REDUCE), "REDUCE_ONLY_WOULD_INCREASE", 6, 0)
    refused(book, enter(2, side, price, 1, flags=REDUCE), "REDUCE_ONLY_WOULD_INCREASE", 1, 0)
    passes(book, amend(0, 5, price, 1, flags=REDUCE))
    refused(book, amend(0, 5, price, 4, flags=REDUCE), "REDUCE_ONLY_WOULD_INCREASE", 1, 0)
    passes(book, amend(0, 5, price, 3, flags=REDUCE))


# 5.12 Position


@pytest.mark.parametrize("side, limit, reason", [(BUY, "max_long", "MAX_LONG"), (SELL, "max_short", "MAX_SHORT")])
@pytest.mark.parametrize("of_account, of_instrument", [(10, 99), (99, 10)])
def test_5_12_position_and_all_open_orders_of_a_side_against_the_strictest_limit(
    hub: Callable[..., Any], side: Side, limit: str, reason: str, of_account: int, of_instrument: int
) -> None:
    book = hub(instrument("A1", max_position=of_instrument), instrument("B1"), **{limit: of_account})
    price = 99 if side == BUY else 101
    passes(book, enter(0, side, price, 4))
    passes(book, enter(1, 3 - side, price, 3))  # 3 of them are a position now
    passes(book, enter(0, side, price, 5))
    refused(book, enter(0, side, price, 2), reason, 11, 10)
    refused(book, amend(0, 3, price, 7), reason, 11, 10)
    passes(book, enter(0, side, price, 1))
    passes(book, enter(0, 3 - side, 100, 9))  # the other side has its own limit
    refused(book, enter(0, side, price, 1, flags=Flag.SMP_CANCEL_RESTING), reason, 11, 10)
    passes(book, enter(0, side, price, 10, instrument=1))
    passes(book, amend(0, 3, price, 4))
    passes(book, enter(0, side, price, 1))


def test_5_12_what_is_canceled_expired_or_reduced_is_released(hub: Callable[..., Any]) -> None:
    book = hub(max_long=10)
    full = enter(0, BUY, 99, 10)
    releases: tuple[Callable[[int], dict[str, Any]], ...] = (
        lambda order: cancel(0, order),
        lambda order: operator(CommandKind.MASS_CANCEL),
        lambda order: operator(CommandKind.END_DAY),
    )
    for release in releases:
        passes(book, full)
        refused(book, enter(0, BUY, 99, 1), "MAX_LONG", 11, 10)
        book.do(release(book.sequence - 1))
    passes(book, full | {"time_in_force": TimeInForce.IOC})
    passes(book, full | {"time_in_force": TimeInForce.FOK})
    passes(book, enter(0, SELL, 105, 1))
    passes(book, enter(0, BUY, 105, 10, flags=Flag.SMP_CANCEL_BOTH))
    passes(book, full)


# 5.13 Credit


def test_5_13_margin_of_the_worst_case_over_all_instruments_against_equity(hub: Callable[..., Any]) -> None:
    book = hub(instrument("A1", margin=10), instrument("B1", margin=3), equity=100)
    passes(book, enter(0, BUY, 99, 7))  # 70
    passes(book, enter(0, SELL, 101, 7))  # the same 70: one side or the other
    passes(book, enter(0, SELL, 101, 10, instrument=1))  # 100
    refused(book, enter(0, BUY, 99, 1), "CREDIT", 110, 100)
    refused(book, enter(0, SELL, 101, 1), "CREDIT", 110, 100)
    refused(book, amend(0, 3, 101, 11, instrument=1), "CREDIT", 103, 100)
    passes(book, enter(0, BUY, 99, 10, instrument=1))
    passes(book, cancel(0, 1))
    passes(book, enter(0, BUY, 99, 7))


def test_5_13_an_account_beyond_its_equity_may_only_reduce(hub: Callable[..., Any]) -> None:
    """Long 8 at a margin of 10; then the margin doubles (7.3)."""
    book = hub(instrument("A1", margin=10), equity=100)
    book.do(
        enter(0, BUY, 100, 8), enter(1, SELL, 100, 8), operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, quantity=20)
    )
    refused(book, enter(0, BUY, 99, 1), "CREDIT", 180, 100)
    passes(book, enter(0, SELL, 101, 8))
    refused(book, enter(0, SELL, 101, 9), "CREDIT", 180, 100)


def test_5_13_equity_zero_and_margin_zero(hub: Callable[..., Any]) -> None:
    book = hub(instrument("A1", margin=1), instrument("B1"), equity=0)
    refused(book, enter(0, BUY, 99, 1), "CREDIT", 1, 0)
    passes(book, enter(0, BUY, 99, 100, instrument=1))


def test_5_13_largest_quantities_and_margins_are_counted_exactly(hub: Callable[..., Any]) -> None:
    """2**40 lots at a margin of 2**40 fen would wrap to nothing in 64 bits."""
    book = hub(instrument("A1", floor=0, ceiling=1, reference_price=0, margin=1 << 40))
    emitted = book.do(enter(0, BUY, 0, 1 << 40))
    assert emitted[0][:2] == ("rejected", "MAX_LONG")
    passes(book, enter(0, BUY, 0, 1 << 16))
    refused(book, enter(0, BUY, 0, 1), "MAX_LONG", (1 << 16) + 1, 1 << 16)


# 1.3 Precedence


def test_1_3_rules_are_reported_in_their_order(hub: Callable[..., Any]) -> None:
    """One order breaks every rule; each repair shows the next one."""
    accounts = [
        account(
            "A",
            max_order_quantity=60,
            max_order_notional=7000,
            messages_per_second=1,
            message_burst=2,
            max_open_orders=2,
            max_long=50,
            equity=100,
        ),
        *(account(name) for name in "BCD"),
    ]
    book = hub(
        instrument(price_increment=2, minimum_quantity=3, quantity_increment=3, collar=6, margin=2),
        accounts=accounts,
        max_orders=4,
        max_client_order_ids=2,
    )
    book.do(
        enter(0, BUY, 98, 3, client_order_id=b"a"),
        enter(0, BUY, 98, 3, client_order_id=b"b"),
        enter(1, SELL, 104, 3),
        enter(2, SELL, 104, 3),
    )
    now = 10 * SECOND
    book.do(
        operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=1),
        operator(CommandKind.KILL_SWITCH, Scope.INSTRUMENT, quantity=1),
        operator(CommandKind.KILL_SWITCH, Scope.FIRM, quantity=1),
        operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, quantity=1),
        operator(CommandKind.LIMIT, Limit.ENABLED, quantity=0),
        operator(CommandKind.PHASE, Phase.CLOSED),
    )
    order = enter(0, BUY, 113, 2, flags=Flag.POST_ONLY | REDUCE, client_order_id=b"a", time=now)

    def repair(*commands: dict[str, Any], **fields: Any) -> str:
        order.update(fields)
        book.do(*(command | {"time": order["time"]} for command in commands))
        return Reason(book.events(order)[0]["reason"]).name

    emitted = [
        repair(),
        *(
            repair(operator(CommandKind.KILL_SWITCH, scope))
            for scope in (Scope.HUB, Scope.INSTRUMENT, Scope.FIRM, Scope.ACCOUNT)
        ),
        repair(operator(CommandKind.LIMIT, Limit.ENABLED, quantity=1)),
        repair(operator(CommandKind.PHASE, Phase.CONTINUOUS)),
        repair(price=112),
        repair(quantity=64),
        repair(quantity=66),
        repair(price=110),
        repair(price=106),
        repair(quantity=60),
        repair(operator(CommandKind.LIMIT, Limit.MAX_ORDER_NOTIONAL, quantity=6360)),
    ]
    assert emitted == [
        "HUB_KILLED",
        "INSTRUMENT_KILLED",
        "FIRM_KILLED",
        "ACCOUNT_KILLED",
        "ACCOUNT_DISABLED",
        "INSTRUMENT_CLOSED",
        "PRICE_OFF_TICK",
        "QUANTITY_BELOW_MINIMUM",
        "QUANTITY_OFF_LOT",
        "PRICE_ABOVE_BAND",
        "PRICE_OUTSIDE_COLLAR",
        "MAX_ORDER_QUANTITY",
        "DUPLICATE_CLIENT_ORDER_ID",
        "DUPLICATE_CLIENT_ORDER_ID",
    ]
    assert repair() == "MESSAGE_RATE"  # the two above count
    order["time"] = 100 * SECOND
    emitted = [
        repair(client_order_id=b"c"),
        repair(client_order_id=b"", time=200 * SECOND),
        repair(operator(CommandKind.LIMIT, Limit.MAX_OPEN_ORDERS, quantity=3), time=300 * SECOND),
        repair(flags=Flag.POST_ONLY, time=400 * SECOND),
        repair(operator(CommandKind.LIMIT, Limit.MAX_LONG, quantity=66), time=500 * SECOND),
        repair(operator(CommandKind.CASH, quantity=32), time=600 * SECOND),
        repair(operator(CommandKind.MASS_CANCEL, account=2), time=700 * SECOND),
        repair(flags=0, time=800 * SECOND),
    ]
    assert emitted == [
        "CLIENT_ORDER_ID_CAPACITY",
        "MAX_OPEN_ORDERS",
        "REDUCE_ONLY_WOULD_INCREASE",
        "MAX_LONG",
        "CREDIT",
        "BOOK_FULL",
        "POST_ONLY_WOULD_TRADE",
        "NONE",
    ]


# 7.3 Limits, 7.4 Cash


@pytest.mark.parametrize(
    "limit, value, order, reason, reported, bound",
    [
        (Limit.MAX_ORDER_QUANTITY, 4, enter(0, BUY, 99, 5), "MAX_ORDER_QUANTITY", 5, 4),
        (Limit.MAX_ORDER_NOTIONAL, 494, enter(0, BUY, 99, 5), "MAX_ORDER_NOTIONAL", 495, 494),
        (Limit.MAX_LONG, 14, enter(0, BUY, 99, 5), "MAX_LONG", 15, 14),
        (Limit.MAX_SHORT, 14, enter(0, SELL, 105, 5), "MAX_SHORT", 15, 14),
        (Limit.MAX_OPEN_ORDERS, 2, enter(0, BUY, 99, 5), "MAX_OPEN_ORDERS", 3, 2),
        (Limit.ENABLED, 0, enter(0, BUY, 99, 5), "ACCOUNT_DISABLED", 0, 0),
        (Limit.INSTRUMENT_MAX_ORDER_QUANTITY, 4, enter(0, BUY, 99, 5), "MAX_ORDER_QUANTITY", 5, 4),
        (Limit.INSTRUMENT_MAX_POSITION, 14, enter(0, SELL, 105, 5), "MAX_SHORT", 15, 14),
        (Limit.INSTRUMENT_COLLAR, 4, enter(0, BUY, 105, 5), "PRICE_OUTSIDE_COLLAR", 105, 104),
        (Limit.INSTRUMENT_MARGIN, 7, enter(0, BUY, 99, 5), "CREDIT", 105, 104),
    ],
)
def test_7_3_a_limit_holds_from_the_next_command_on_and_resting_orders_beyond_it_stay(
    hub: Callable[..., Any], limit: Limit, value: int, order: dict[str, Any], reason: str, reported: int, bound: int
) -> None:
    book = hub(equity=104)
    book.do(enter(0, BUY, 98, 10), enter(0, SELL, 106, 10))
    passes(book, operator(CommandKind.LIMIT, limit, quantity=value))
    refused(book, order, reason, reported, bound)
    assert len(book.orders()) == 2
    passes(book, cancel(0, 1))


def test_7_3_message_rate_and_burst_can_be_set(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(
        operator(CommandKind.LIMIT, Limit.MESSAGES_PER_SECOND, quantity=1),
        operator(CommandKind.LIMIT, Limit.MESSAGE_BURST, quantity=2),
    )
    at = {"time": 50 * SECOND}
    passes(book, enter(0, BUY, 99, 1, **at))
    passes(book, enter(0, BUY, 99, 1, **at))
    refused(book, enter(0, BUY, 99, 1, **at), "MESSAGE_RATE", 50 * SECOND, 51 * SECOND)
    book.do(operator(CommandKind.LIMIT, Limit.MESSAGES_PER_SECOND, quantity=0, **at))
    passes(book, enter(0, BUY, 99, 1, **at))


def test_7_3_protection_can_be_set(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(enter(1, SELL, 100, 1), operator(CommandKind.LIMIT, Limit.INSTRUMENT_PROTECTION, quantity=4))
    assert book.do(enter(0, BUY, 0, 1, order_type=OrderType.MARKET))[0] == ("accepted", 3, 104, 1)


def test_7_3_beyond_a_lowered_limit_only_orders_that_reduce_pass(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(enter(0, BUY, 100, 10), enter(1, SELL, 100, 10), operator(CommandKind.LIMIT, Limit.MAX_LONG, quantity=3))
    refused(book, enter(0, BUY, 99, 1), "MAX_LONG", 11, 3)
    passes(book, enter(0, SELL, 105, 10))


@pytest.mark.parametrize(
    "limit, value, bound",
    [
        (Limit.MAX_ORDER_QUANTITY, -1, 0),
        (Limit.MAX_ORDER_QUANTITY, (1 << 40) + 1, 1 << 40),
        (Limit.MAX_ORDER_NOTIONAL, (1 << 61) + 1, 1 << 61),
        (Limit.MESSAGES_PER_SECOND, SECOND + 1, SECOND),
        (Limit.MESSAGE_BURST, 0, 1),
        (Limit.MESSAGE_BURST, (1 << 20) + 1, 1 << 20),
        (Limit.ENABLED, 2, 1),
        (Limit.SELF_MATCH, 4, max(SelfMatch)),
        (Limit.GROUP, 1 << 31, (1 << 31) - 1),
        (Limit.INSTRUMENT_MAX_ORDER_QUANTITY, 0, 1),
        (Limit.INSTRUMENT_MARGIN, (1 << 56) + 1, 1 << 56),
        (Limit.INSTRUMENT_COLLAR, -1, 0),
    ],
)
def test_1_5_a_limit_out_of_range_is_refused(hub: Callable[..., Any], limit: Limit, value: int, bound: int) -> None:
    refused(hub(), operator(CommandKind.LIMIT, limit, quantity=value), "INVALID_VALUE", value, bound)


def test_7_3_a_margin_that_would_make_a_position_uncountable_is_refused(hub: Callable[..., Any]) -> None:
    book = hub()
    book.do(enter(0, BUY, 100, 1 << 10))
    margin = operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, quantity=(1 << 46) + 1)
    refused(book, margin, "INVALID_VALUE", (1 << 46) + 1, 1 << 46)
    passes(book, margin | {"quantity": 1 << 46})


def test_7_4_cash_changes_equity_and_equity_never_becomes_negative(hub: Callable[..., Any]) -> None:
    book = hub(instrument(margin=1), equity=10)
    refused(book, enter(0, BUY, 99, 11), "CREDIT", 11, 10)
    assert book.do(operator(CommandKind.CASH, account=0, quantity=1)) == [("cash", 0, 0, 0, 1)]
    passes(book, enter(0, BUY, 99, 11))
    refused(book, operator(CommandKind.CASH, account=0, quantity=-12), "INVALID_VALUE", -1, 0)
    passes(book, operator(CommandKind.CASH, account=0, quantity=-11))
    refused(book, enter(0, BUY, 99, 1), "CREDIT", 12, 0)
    refused(book, operator(CommandKind.CASH, account=ALL, quantity=1), "UNKNOWN_ACCOUNT", ALL, 3)


def test_7_4_equity_never_exceeds_what_can_be_counted(hub: Callable[..., Any]) -> None:
    book = hub(equity=1)
    refused(book, operator(CommandKind.CASH, account=0, quantity=1 << 61), "INVALID_VALUE", (1 << 61) + 1, 1 << 61)
    refused(book, operator(CommandKind.CASH, account=0, quantity=1 << 62), "INVALID_VALUE", 1 << 62, 1 << 61)
    passes(book, operator(CommandKind.CASH, account=0, quantity=(1 << 61) - 1))
