"""RULEBOOK 12, trading at settlement, spreads and blocks, as situations. Each runs over the oracle and over the engine.

Instruments: 0 NEAR and 1 FAR (previous settlement 100 and 104), 2 SPREAD of both, 3 TAS and 4 BLOCK of NEAR.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from matching.codes import CommandKind, Flag, Limit, SettlementRule, Side
from tests.build import account, amend, cancel, enter, instrument, operator
from tests.risk.test_checks import passes, refused
from tests.venue import Venue

BUY, SELL = Side.BUY, Side.SELL
OPEN, CLOSE, TODAY = Flag.OPEN, Flag.CLOSE, Flag.CLOSE_TODAY
NEAR, FAR, SPREAD, TAS, BLOCK = ({"instrument": number} for number in range(5))


@pytest.fixture(params=["reference", "engine"])
def hub(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Makes a Venue. near, far: terms of the outrights; every: terms of all instruments. Other keywords: limits of account 0."""

    def make(
        near: dict[str, int] | None = None,
        far: dict[str, int] | None = None,
        every: dict[str, Any] | None = None,
        **limits: Any,
    ) -> Venue:
        terms = every or {}
        instruments = [
            instrument("NEAR", **terms, **(near or {})),
            instrument("FAR", reference_price=104, **terms, **(far or {})),
            instrument("SPREAD", floor=-20, ceiling=20, reference_price=0, legs=("NEAR", "FAR"), **terms),
            instrument("TAS", floor=-9, ceiling=9, reference_price=0, legs=("NEAR",), at_settlement=True, **terms),
            instrument("BLOCK", legs=("NEAR",), **terms),
        ]
        accounts = [account("A", **limits), *(account(name) for name in "BCD")]
        return Venue(request.param, instruments, accounts, 100, True)

    return make


def positions(hub: Venue, number: int = 0) -> list[tuple[int, int]]:
    """(lots, cost) of an account in each instrument."""
    if isinstance(hub.machine, Exchange):
        rows = hub.machine.ledger.exposures.reshape(4, 5)[number]
        return [(int(row.position), int(row.cost)) for row in rows]
    return [(hub.machine.held[number, leg].position, hub.machine.held[number, leg].cost) for leg in range(5)]


def trade(hub: Venue, price: int, lots: int, instrument: dict[str, int], side: Side = BUY, **fields: Any) -> None:
    """Account 0 trades with account 1 at a price, as the incoming side."""
    hub.do(enter(1, 3 - side, price, lots, **instrument, **fields))
    emitted = hub.do(enter(0, side, price, lots, **instrument, **fields))
    assert emitted[-1][0] == "traded", emitted


def settle(hub: Venue, instrument: dict[str, int], price: int | None = None) -> np.ndarray:
    rule = SettlementRule.DAY_VWAP if price is None else SettlementRule.GIVEN
    return hub.events(operator(CommandKind.SETTLE, rule, price=price or 0, **instrument))


def equities(hub: Venue) -> list[int]:
    if isinstance(hub.machine, Exchange):
        return [int(row.equity) for row in hub.machine.ledger.accounts]
    return [row.equity for row in hub.machine.accounts]


# 12.2 Spreads


@pytest.mark.parametrize("side, sign", [(BUY, 1), (SELL, -1)])
def test_12_2_a_spread_is_a_position_in_both_legs_at_the_near_settlement_and_that_less_the_spread(
    hub: Callable[..., Any], side: Side, sign: int
) -> None:
    book = hub()
    trade(book, -3, 5, SPREAD, side)
    assert positions(book) == [(5 * sign, 500 * sign), (-5 * sign, -5 * 103 * sign), (0, 0), (0, 0), (0, 0)]
    assert positions(book, 1) == [(lots and -lots, cost and -cost) for lots, cost in positions(book)]


def test_12_2_what_was_paid_is_the_spread_whatever_the_legs_settle_at(hub: Callable[..., Any]) -> None:
    """Bought at -3. Near settles at 106, far at 108, so the spread is worth -2 and each of five lots gains a tick."""
    book = hub()
    before = equities(book)
    trade(book, -3, 5, SPREAD)
    settle(book, NEAR, 106)
    settle(book, FAR, 108)
    assert [after - old for after, old in zip(equities(book), before, strict=True)] == [5, -5, 0, 0]


def test_12_4_an_open_spread_is_held_in_both_legs_until_it_is_canceled(hub: Callable[..., Any]) -> None:
    book = hub({"max_position": 10}, {"max_position": 8})
    passes(book, enter(0, BUY, 99, 4, **NEAR))
    refused(book, enter(0, BUY, -3, 7, **SPREAD), "MAX_LONG", 11, 10)
    passes(book, enter(0, BUY, -3, 6, **SPREAD))
    refused(book, amend(0, 3, -3, 7, **SPREAD), "MAX_LONG", 11, 10)
    refused(book, enter(0, BUY, 99, 1, **NEAR), "MAX_LONG", 11, 10)
    refused(book, enter(0, SELL, 110, 3, **FAR), "MAX_SHORT", 9, 8)
    passes(book, enter(0, SELL, 110, 2, **FAR))
    book.do(cancel(0, 3, **SPREAD))
    passes(book, enter(0, BUY, 99, 6, **NEAR))
    passes(book, enter(0, SELL, 110, 6, **FAR))


def test_12_4_a_filled_spread_is_held_as_positions(hub: Callable[..., Any]) -> None:
    book = hub({"max_position": 10}, {"max_position": 8})
    trade(book, -3, 6, SPREAD)
    refused(book, enter(0, BUY, 99, 5, **NEAR), "MAX_LONG", 11, 10)
    refused(book, enter(0, SELL, 110, 3, **FAR), "MAX_SHORT", 9, 8)
    passes(book, enter(0, SELL, 110, 16, **NEAR))


def test_12_4_of_two_legs_the_first_rule_is_reported_and_of_one_rule_the_near_leg(
    hub: Callable[..., Any],
) -> None:
    """Selling breaks both: near short (507) and far long (506)."""
    book = hub({"max_position": 3}, {"max_position": 4})
    refused(book, enter(0, SELL, -3, 5, **SPREAD), "MAX_LONG", 5, 4)
    refused(book, enter(0, SELL, -3, 4, **SPREAD), "MAX_SHORT", 4, 3)
    refused(book, enter(0, SELL, -3, 4, flags=Flag.REDUCE_ONLY, **SPREAD), "REDUCE_ONLY_WOULD_INCREASE", 4, 0)


def test_12_4_credit_is_the_sum_of_both_legs(hub: Callable[..., Any]) -> None:
    book = hub({"margin": 10}, {"margin": 7}, equity=100)
    refused(book, enter(0, BUY, -3, 6, **SPREAD), "CREDIT", 102, 100)
    passes(book, enter(0, BUY, -3, 5, **SPREAD))
    refused(book, enter(0, BUY, 99, 2, **NEAR), "CREDIT", 105, 100)
    passes(book, enter(0, SELL, 110, 5, **NEAR))  # the other side of the near leg is held already


def test_12_4_a_leg_may_grow_only_if_both_legs_together_have_credit(hub: Callable[..., Any]) -> None:
    """Short 5 far; the spread sells near, which grows, and buys far, which does not."""
    book = hub({"margin": 10}, {"margin": 10}, equity=100)
    trade(book, 104, 5, FAR, SELL)
    refused(book, enter(0, SELL, -3, 6, **SPREAD), "CREDIT", 110, 100)
    passes(book, enter(0, SELL, -3, 5, **SPREAD))


@pytest.mark.parametrize("wanted, reason", [(5, None), (6, "CLOSE_EXCEEDS_POSITION")])
def test_12_4_offset_flags_of_a_spread_hold_for_both_legs(
    hub: Callable[..., Any], wanted: int, reason: str | None
) -> None:
    book = hub(every={"offset": True})
    trade(book, -3, 5, SPREAD, flags=OPEN)
    trade(book, 100, 3, NEAR, flags=OPEN)
    if reason:
        refused(book, enter(0, SELL, -2, wanted, flags=TODAY, **SPREAD), reason, wanted, 5)
        return
    book.do(enter(1, BUY, -2, 5, flags=TODAY, **SPREAD))
    assert book.do(enter(0, SELL, -2, 5, flags=TODAY, **SPREAD))[-1][0] == "traded"
    assert [lots for lots, _ in positions(book)] == [3, 0, 0, 0, 0]


def test_12_2_a_spread_that_trades_partly_holds_the_rest(hub: Callable[..., Any]) -> None:
    book = hub({"max_position": 10})
    book.do(enter(1, SELL, -3, 4, **SPREAD), enter(0, BUY, -3, 10, **SPREAD))
    refused(book, enter(0, BUY, 99, 1, **NEAR), "MAX_LONG", 11, 10)
    book.do(cancel(0, 2, **SPREAD))
    passes(book, enter(0, BUY, 99, 6, **NEAR))


# 12.1 At settlement


def test_12_1_lots_are_a_position_of_the_leg_at_once_and_cost_settlement_and_ticks_when_it_settles(
    hub: Callable[..., Any],
) -> None:
    book = hub({"max_position": 10})
    before = equities(book)
    trade(book, 2, 6, TAS)
    trade(book, -1, 2, TAS, SELL)
    assert positions(book)[0] == (4, 0)
    refused(book, enter(0, BUY, 99, 7, **NEAR), "MAX_LONG", 11, 10)
    settle(book, NEAR, 107)
    assert positions(book) == [(4, 4 * 107), (0, 0), (0, 0), (0, 0), (0, 0)]
    assert [after - old for after, old in zip(equities(book), before, strict=True)] == [
        -14,
        14,
        0,
        0,
    ]  # 6 x 2 + 2 x 1 ticks


def test_12_1_lots_traded_after_the_leg_has_settled_get_their_price_when_tas_settles(hub: Callable[..., Any]) -> None:
    book = hub()
    settle(book, NEAR, 107)
    trade(book, 2, 6, TAS)
    settle(book, TAS)
    assert positions(book)[0] == (6, 6 * 109)
    assert positions(book)[3] == (0, 0)


def test_12_1_a_position_closed_at_settlement_is_no_position_and_pays_the_difference(hub: Callable[..., Any]) -> None:
    """Bought at 103, sold at settlement plus 1, settled at 106: four ticks a lot."""
    book = hub()
    before = equities(book)
    trade(book, 103, 5, NEAR)
    trade(book, 1, 5, TAS, SELL)
    assert positions(book)[0][0] == 0
    settle(book, NEAR, 106)
    assert [after - old for after, old in zip(equities(book), before, strict=True)] == [20, -20, 0, 0]


def test_12_1_lots_at_settlement_may_be_closed_the_same_day(hub: Callable[..., Any]) -> None:
    book = hub(every={"offset": True})
    trade(book, 1, 5, TAS, flags=OPEN)
    passes(book, enter(0, SELL, 105, 5, flags=TODAY, **NEAR))
    refused(book, enter(0, SELL, 1, 1, flags=TODAY, **TAS), "CLOSE_EXCEEDS_POSITION", 1, 0)


def test_12_1_open_orders_at_settlement_need_the_margin_of_the_leg(hub: Callable[..., Any]) -> None:
    book = hub({"margin": 10}, equity=100)
    passes(book, enter(0, BUY, 1, 6, **TAS))
    refused(book, enter(0, BUY, 1, 5, **TAS), "CREDIT", 110, 100)
    refused(book, enter(0, BUY, 99, 5, **NEAR), "CREDIT", 110, 100)


# 12.3, 12.5 Volume, fees, blocks


@pytest.mark.parametrize("traded, price", [(SPREAD, -3), (TAS, 2), (BLOCK, 109)])
def test_12_3_what_trades_with_legs_leaves_their_settlement_price_alone(
    hub: Callable[..., Any], traded: dict[str, int], price: int
) -> None:
    book = hub()
    trade(book, price, 50, traded)
    for leg, settlement in ((NEAR, 100), (FAR, 104)):
        event = settle(book, leg)[-1]
        assert (int(event["price"]), int(event["quantity"])) == (settlement, 0)


def test_12_3_fees_are_of_the_instrument_that_traded(hub: Callable[..., Any]) -> None:
    book = hub(every={"fee_per_lot": 3})
    before = equities(book)
    trade(book, 0, 4, TAS)
    settle(book, NEAR, 100)
    assert equities(book) == before
    settle(book, TAS)
    assert [after - old for after, old in zip(equities(book), before, strict=True)] == [-12, -12, 0, 0]


def test_12_5_a_block_is_a_position_of_its_leg_at_the_price_of_the_trade(hub: Callable[..., Any]) -> None:
    book = hub({"max_position": 10})
    trade(book, 109, 6, BLOCK)
    assert positions(book) == [(6, 654), (0, 0), (0, 0), (0, 0), (0, 0)]
    refused(book, enter(0, BUY, 109, 5, **BLOCK), "MAX_LONG", 11, 10)


# 11.6 with legs


def test_11_6_a_called_account_may_trade_what_enlarges_no_leg(hub: Callable[..., Any]) -> None:
    """Long 8 near with a margin of 10 and 81 fen. It loses 20 and is called. A sale reduces, a spread enlarges far."""
    book = hub({"margin": 10}, {"margin": 10}, equity=81)
    trade(book, 100, 8, NEAR)
    settle(book, NEAR, 97)
    emitted = book.events(operator(CommandKind.END_DAY))
    assert [int(event["quantity"]) for event in emitted if event["kind"] == 14] == [80 - 57]
    book.do(
        operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, quantity=0, **NEAR),
        operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, quantity=0, **FAR),
    )
    refused(book, enter(0, BUY, 99, 1, **NEAR), "MARGIN_CALLED", 9, 8)
    refused(book, enter(0, SELL, -3, 1, **SPREAD), "MARGIN_CALLED", 1, 0)
    refused(book, enter(0, BUY, 1, 1, **TAS), "MARGIN_CALLED", 9, 8)
    passes(book, enter(0, SELL, 105, 8, **NEAR))
    passes(book, enter(1, BUY, 99, 1, **NEAR))
    book.do(operator(CommandKind.CASH, account=0, quantity=0))  # equity covers the margin, which is 0 now
    passes(book, enter(0, BUY, 99, 1, **NEAR))
