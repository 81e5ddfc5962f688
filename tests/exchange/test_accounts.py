"""What an account has: positions and summaries, read from the ledger (RULEBOOK 10 to 12)."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from exchange import Account, Exchange
from matching.codes import CommandKind, Flag, Limit, Scope, SettlementRule, Side
from tests.build import enter, instrument, operator, rows

BUY, SELL = Side.BUY, Side.SELL
EQUITY = 100_00
NAMES = ("lots", "long", "short", "open_buy", "open_sell", "cost", "mark", "result")
MARGINS = ("initial_margin", "position_margin", "order_margin", "maintenance_margin")


def traded(*commands: Any, terms: dict[str, Any] | None = None, **options: Any) -> Exchange:
    """An exchange of three accounts after these commands. The margin of a lot is 10 fen; a tick on a lot is worth one fen."""
    accounts = [Account(name=name, equity=EQUITY) for name in "ABC"]
    exchange = Exchange([instrument(margin=10, **(terms or {}))], accounts, **options)
    exchange.apply(rows(*commands))
    return exchange


def figures(value: object, names: Iterable[str]) -> tuple[Any, ...]:
    return tuple(getattr(value, name) for name in names)


def test_a_position_has_its_cost_and_its_value_at_the_last_price() -> None:
    exchange = traded(
        enter(0, SELL, 101, 5),
        enter(1, BUY, 101, 5),
        enter(0, SELL, 103, 1),
        enter(2, BUY, 103, 1),
        enter(1, BUY, 90, 2),
    )
    assert figures(exchange.position(1, "SC2701"), NAMES) == (5, 5, 0, 2, 0, 505, 103, 10)
    assert figures(exchange.position(0, "SC2701"), NAMES) == (-6, 0, 6, 0, 0, -608, 103, -10)
    assert exchange.open_interest("SC2701") == 6


def test_margin_of_a_position_and_of_its_orders_are_separate() -> None:
    """11.6: maintenance is 80 % of the position's own"""
    exchange = traded(enter(0, SELL, 101, 5), enter(1, BUY, 101, 5), enter(1, BUY, 90, 2), enter(1, SELL, 110, 3))
    assert figures(exchange.position(1, "SC2701"), MARGINS) == (70, 50, 20, 40)


def test_long_and_short_that_are_kept_apart_need_the_larger_of_the_two() -> None:
    """10.5"""
    opening, terms = {"flags": Flag.OPEN}, {"offset": True}
    exchange = traded(
        enter(0, SELL, 101, 5, **opening),
        enter(1, BUY, 101, 5, **opening),
        enter(1, SELL, 101, 2, **opening),
        enter(0, BUY, 101, 2, **opening),
        terms=terms,
    )
    held = exchange.position(1, "SC2701")
    assert figures(held, ("lots", "long", "short", "long_today", "short_today")) == (3, 5, 2, 5, 2)
    assert held.position_margin == held.initial_margin == 50
    assert exchange.open_interest("SC2701") == 7


def test_lots_traded_at_settlement_are_in_the_position_of_the_leg() -> None:
    """12.1: they cost the coming settlement price plus their offset; their own instrument has no result"""
    terms = [instrument(margin=10), instrument("SC2701-TAS", -5, 5, 0, legs=("SC2701",), at_settlement=True)]
    exchange = Exchange(terms, [Account(name=name, equity=EQUITY) for name in "AB"])
    exchange.apply(rows(enter(0, SELL, 2, 4, instrument=1), enter(1, BUY, 2, 4, instrument=1)))
    assert figures(exchange.position(1, "SC2701"), ("lots", "cost", "result")) == (4, 4 * 100 + 4 * 2, -8)
    assert exchange.position(1, "SC2701-TAS").result == 0
    assert exchange.summary(1).unsettled == Decimal("-0.08")


def test_a_summary_adds_up_what_the_account_has() -> None:
    exchange = traded(
        enter(0, SELL, 101, 5), enter(1, BUY, 101, 5), enter(1, BUY, 90, 2),
        operator(CommandKind.CASH, account=1, quantity=1_00), enter(0, SELL, 102, 1), enter(2, BUY, 102, 1),
    )  # fmt: skip
    said = exchange.summary(1)
    assert (said.account, said.name, said.firm, said.open_orders) == (1, "B", 0, 1)
    assert said.funds == (EQUITY, 1_00, 0, 0, 70)
    assert (said.funds.equity, said.funds.available) == (EQUITY + 1_00, EQUITY + 1_00 - 70)
    assert said.funds.equity == exchange.account(1).equity
    assert (said.position_margin, said.maintenance_margin, said.unsettled) == (50, 40, Decimal("0.05"))
    assert (said.called, said.margin_call, said.enabled, said.killed, said.tripped) == (False, 0, True, False, False)


def test_an_account_without_positions_has_its_equity_and_no_margin() -> None:
    said = traded(enter(0, BUY, 100, 1)).summary(2)
    assert said.funds == (EQUITY, 0, 0, 0, 0) and said.unsettled == 0 and said.position_margin == 0


def test_a_summary_has_the_amount_missing_of_a_margin_call() -> None:
    """11.6: 5 lots at 10 fen need 50, the account has 25 left; below 40 margin is called"""
    accounts = [Account(name="A", equity=75), Account(name="B", equity=EQUITY)]
    exchange = Exchange([instrument(margin=10)], accounts)
    exchange.apply(
        rows(
            operator(CommandKind.BEGIN_DAY, quantity=2026_11_02),
            enter(1, SELL, 100, 5),
            enter(0, BUY, 100, 5),
            operator(CommandKind.SETTLE, SettlementRule.GIVEN, instrument=0, price=90),
            operator(CommandKind.END_DAY),
        )
    )
    called, other = exchange.summary(0), exchange.summary(1)
    assert (called.funds.equity, other.funds.equity) == (75 - 50, EQUITY + 50)
    assert (called.called, called.margin_call) == (True, 25)
    assert (other.called, other.margin_call) == (False, 0)


def test_terms_in_force_can_be_read_and_not_written() -> None:
    exchange = traded(operator(CommandKind.LIMIT, Limit.INSTRUMENT_MARGIN, instrument=0, quantity=25))
    limit = exchange.limit("SC2701")
    assert limit.margin == 25
    limit.margin = 1
    assert exchange.limit("SC2701").margin == 25


def test_the_kill_switch_of_the_hub_shows() -> None:
    """7.2"""
    switch = operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=1)
    assert [traded(*commands).killed for commands in ((enter(0, BUY, 100, 1),), (switch,))] == [False, True]
