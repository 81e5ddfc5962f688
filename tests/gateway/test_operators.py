"""The operators' methods, on a hub without sockets: every method, its scope, its refusals, its answer.

tests/exchange tests what the commands do. Here each becomes one row of the journal, and its events are described in names,
currency and units.
"""

import asyncio
import time
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from exchange import Exchange
from exchange.catalogue import read_catalogue
from exchange.catalogue.schedule import Schedule
from exchange.runner import Runner
from gateway.auth import Credential
from gateway.day import TradingDay
from gateway.rpc.methods.table import METHODS
from matching.codes import ALL, CommandKind, Phase
from tests.build import account, instrument, operator
from tests.gateway.floor import Client, Floor

OPERATORS = sorted(name for name in METHODS if name.startswith("operator/"))
PARAMETERS: dict[str, dict[str, Any]] = {
    "operator/set_phase": {"instrument_name": "SC2701", "phase": "halted"},
    "operator/kill_switch": {"scope": "hub", "on": True},
    "operator/set_limit": {"limit": "max_long", "value": 5, "account": "alice"},
    "operator/cash": {"account": "alice", "amount": 1},
    "operator/begin_day": {"date": "2026-12-01"},
    "operator/list": {"instrument_name": "SC2701", "reference_price": 1},
    "operator/settle": {"instrument_name": "SC2701"},
    "operator/expire": {"instrument_name": "SC2701"},
    "operator/liquidate": {"account": "alice", "instrument_name": "SC2701"},
}
CNY = 100  # fen


@pytest.fixture
def floor() -> Floor:
    floor = Floor(
        instruments=[
            instrument(
                daily_limit=500, margin_rate=1000, fee_per_lot=200, tick_size=Decimal("0.1"), lot_size=Decimal(10)
            ),
            instrument("FU2701"),
        ],
        accounts=[account(name, equity=1_000 * CNY) for name in ("alice", "bob", "carol")],
    )
    floor.operate(operator(CommandKind.BEGIN_DAY, quantity=2026_12_01))
    return floor


@pytest.fixture
def op(floor: Floor) -> Client:
    return floor.session("operator")


@pytest.fixture
def alice(floor: Floor) -> Client:
    return floor.session("alice")


@pytest.fixture
def bob(floor: Floor) -> Client:
    return floor.session("bob")


def deal(seller: Client, buyer: Client, price: str, amount: int) -> None:
    """10 units are one lot."""
    for client, side in ((seller, "sell"), (buyer, "buy")):
        assert "order" in client.ask(f"private/{side}", instrument_name="SC2701", amount=amount, price=price)


def told(answer: dict[str, Any], *names: str) -> list[Any]:
    """The figures of the events of an answer."""
    return [tuple(event.get(name) for name in names) for event in answer["events"]]


def error(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["code"], answer["data"]["field"], answer["data"].get("value"), answer["data"].get("bound")


# Scope --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", OPERATORS)
def test_a_trader_s_key_may_not_do_what_operators_do(floor: Floor, alice: Client, method: str) -> None:
    before = floor.hub.exchange.sequence
    refused = alice.ask(method, **PARAMETERS.get(method, {}))
    assert (refused["code"], refused["message"], refused["data"]["bound"]) == (13021, "forbidden", "operator")
    assert refused["data"]["text"] == "the key lacks the scope operator" and floor.hub.exchange.sequence == before
    assert floor.session().ask(method, **PARAMETERS.get(method, {}))["code"] == 13009


@pytest.mark.parametrize("method", sorted(name for name, method in METHODS.items() if name.startswith("private/")))
def test_an_operator_s_key_has_no_account_to_trade_with(op: Client, method: str) -> None:
    assert op.ask(method, instrument_name="SC2701", amount=10, price=10)["code"] == 13021


def test_a_key_without_an_account_has_the_operator_scope_only() -> None:
    assert Credential("k", "s", ALL, "operator").may("operator")
    with pytest.raises(ValueError, match="key k: scope is trade:read operator, must be operator"):
        Credential("k", "s", ALL, "trade:read operator")
    with pytest.raises(ValueError, match="key k: scope is operator, but an operator's key belongs to no account"):
        Credential("k", "s", 0, "operator")


# Phases -------------------------------------------------------------------------------------------


def test_a_phase_of_one_instrument_or_of_all_that_can_take_it(op: Client) -> None:
    """RULEBOOK 8.2."""
    answer = op.ask("operator/set_phase", instrument_name="SC2701", phase="break")
    assert told(answer, "event", "instrument_name", "phase", "reason") == [("phase", "SC2701", "break", "none")]
    assert answer["seq"] == answer["events"][0]["seq"] == 2 and (answer["trades"], answer["canceled"]) == (0, 0)
    answer = op.ask("operator/set_phase", instrument_name="any", phase="closing")
    assert told(answer, "instrument_name", "phase") == [
        ("SC2701", "closing"),
        ("FU2701", "closing"),
        ("any", "closing"),
    ]
    assert error(op.ask("operator/set_phase", instrument_name="SC2701", phase="continuous")) == (
        11043,
        "phase",
        "closing",
        "continuous",
    )
    assert error(op.ask("operator/set_phase", instrument_name="SC2701", phase="open"))[:3] == (-32602, "phase", "open")


def test_a_halt_of_all_takes_those_in_a_session_and_resume_brings_them_back(op: Client) -> None:
    """RULEBOOK 9.5."""
    op.ask("operator/set_phase", instrument_name="FU2701", phase="closed")
    assert told(op.ask("operator/halt"), "instrument_name", "phase") == [("SC2701", "halted")]
    assert op.ask("operator/halt") == {"seq": None, "events": [], "trades": 0, "canceled": 0}
    assert told(op.ask("operator/resume", phase="call_auction"), "instrument_name", "phase") == [
        ("SC2701", "call_auction")
    ]
    assert told(op.ask("operator/halt", instrument_name="SC2701"), "phase") == [("halted",)]
    assert told(op.ask("operator/resume", instrument_name="SC2701"), "phase") == [("continuous",)]
    assert error(op.ask("operator/halt", instrument_name="XX"))[:3] == (13020, "instrument_name", "XX")


def test_an_auction_is_answered_with_its_price_and_the_number_of_its_trades(
    op: Client, alice: Client, bob: Client
) -> None:
    op.ask("operator/set_phase", instrument_name="SC2701", phase="call_auction")
    alice.ask("private/buy", instrument_name="SC2701", amount=50, price=10, time_in_force="at_the_opening")
    bob.ask("private/sell", instrument_name="SC2701", amount=30, price=10)
    answer = op.ask("operator/set_phase", instrument_name="SC2701", phase="auction_match")
    assert (answer["trades"], answer["canceled"]) == (1, 1)
    assert told(answer, "event", "price", "amount", "imbalance") == [
        ("auction", 10, 30, 20),
        ("phase", None, None, None),
    ]


def test_an_auction_of_entry_only_refuses_cancels_and_edits_until_it_has_traded(op: Client, alice: Client) -> None:
    """RULEBOOK 8.9."""
    order_id = alice.ask("private/buy", instrument_name="SC2701", amount=50, price=10)["order"]["order_id"]
    op.ask("operator/set_phase", instrument_name="SC2701", phase="auction_entry_only")
    assert alice.ask("public/ticker", instrument_name="SC2701")["phase"] == "auction_entry_only"
    for refused in (
        alice.ask("private/cancel", order_id=order_id),
        alice.ask("private/edit", order_id=order_id, amount=40, price=10),
    ):
        assert error(refused)[:2] == (14220, "instrument_name")
    assert alice.ask("private/cancel_all") == 0
    assert told(op.ask("operator/halt"), "instrument_name", "phase")[0] == ("SC2701", "halted")
    assert told(op.ask("operator/resume", phase="auction_entry_only"), "phase")[0] == ("auction_entry_only",)
    op.ask("operator/set_phase", instrument_name="SC2701", phase="continuous")
    assert alice.ask("private/cancel", order_id=order_id)["order_state"] == "cancelled"


# Switches, limits, money --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"scope": "hub"}, "hub_killed"),
        ({"scope": "instrument", "instrument_name": "SC2701"}, "instrument_killed"),
        ({"scope": "account", "account": "alice"}, "account_killed"),
        ({"scope": "account", "account": 0}, "account_killed"),
        ({"scope": "firm", "firm": 0}, "firm_killed"),
    ],
)
def test_a_kill_switch_stops_what_its_scope_says_until_it_is_off(
    op: Client, alice: Client, scope: dict[str, Any], reason: str
) -> None:
    """RULEBOOK 7.2."""
    buy = partial(alice.ask, "private/buy", instrument_name="SC2701", amount=10, price=10)
    (event,) = op.ask("operator/kill_switch", on=True, **scope)["events"]
    assert (event["event"], event["scope"], event["on"]) == ("kill_switch", scope["scope"], True)
    assert {name: event[name] for name in scope if name != "account"} == {
        name: value for name, value in scope.items() if name != "account"
    }
    assert buy()["data"]["reason"] == reason
    op.ask("operator/kill_switch", on=False, **scope)
    assert "order" in buy()


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"scope": "account", "on": True}, (-32602, "account", None, None)),
        ({"scope": "hub", "on": True, "account": "alice"}, (-32602, "account", "alice", None)),
        ({"scope": "hub"}, (-32602, "on", None, None)),
        ({"scope": "desk", "on": True}, (-32602, "scope", "desk", "hub, firm, account, instrument")),
        ({"scope": "hub", "on": 1}, (-32602, "on", 1, "true or false")),
        ({"scope": "firm", "firm": 7, "on": True}, (13007, "firm", 7, None)),
        ({"scope": "account", "account": "dave", "on": True}, (13007, "account", "dave", 2)),
        ({"scope": "account", "account": 3, "on": True}, (13007, "account", 3, 2)),
    ],
)
def test_a_kill_switch_without_what_it_is_about_is_refused_by_field(
    op: Client, params: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert error(op.ask("operator/kill_switch", **params)) == expected


def test_a_kill_switch_of_a_firm_whose_number_is_no_account_reaches_no_session(op: Client, alice: Client) -> None:
    alice.ask("private/subscribe", channels=["user.orders.any.any.raw"])
    assert error(op.ask("operator/kill_switch", scope="firm", firm=1 << 20, on=True)) == (13007, "firm", 1 << 20, None)
    assert "order" in alice.ask("private/buy", instrument_name="SC2701", amount=10, price=10)


def test_a_limit_of_an_account_or_an_instrument_holds_from_then_on(op: Client, alice: Client) -> None:
    """RULEBOOK 7.3."""
    assert told(
        op.ask("operator/set_limit", limit="max_long", value=2, account="alice"), "limit", "value", "account"
    ) == [("max_long", 2, "alice")]
    assert alice.ask("private/buy", instrument_name="SC2701", amount=30, price=10)["data"]["reason"] == "max_long"
    assert told(
        op.ask("operator/set_limit", limit="instrument_collar", value=1, instrument_name="SC2701"),
        "limit",
        "value",
        "instrument_name",
    ) == [("instrument_collar", 1, "SC2701")]
    assert (
        alice.ask("private/buy", instrument_name="SC2701", amount=10, price="9.8")["data"]["reason"]
        == "price_outside_collar"
    )


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"limit": "max_wide", "value": 1, "account": 0}, (-32602, "limit", "max_wide")),
        ({"limit": "max_long", "value": 1}, (-32602, "account", None)),
        (
            {"limit": "max_long", "value": 1, "account": 0, "instrument_name": "SC2701"},
            (-32602, "instrument_name", "SC2701"),
        ),
        ({"limit": "instrument_collar", "value": 1, "account": 0, "instrument_name": "SC2701"}, (-32602, "account", 0)),
        ({"limit": "instrument_collar", "value": 1, "account": 0}, (-32602, "instrument_name", None)),
        ({"limit": "max_long", "value": 1.5, "account": 0}, (-32602, "value", 1.5)),
        ({"limit": "max_long", "value": -1, "account": 0}, (11043, "value", -1)),
        ({"limit": "max_long", "account": 0}, (-32602, "value", None)),
    ],
)
def test_a_limit_that_cannot_be_set_is_refused_by_field(
    op: Client, params: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    assert error(op.ask("operator/set_limit", **params))[:3] == expected


def test_cash_is_counted_in_currency_and_to_the_fen(op: Client, alice: Client) -> None:
    """RULEBOOK 7.4."""
    assert told(op.ask("operator/cash", account="alice", amount="250.50"), "event", "account", "amount") == [
        ("cash", "alice", Decimal("250.5"))
    ]
    summary = alice.ask("private/get_account_summary", currency="CNY")
    assert (summary["equity"], summary["paid_in"], summary["opening_equity"]) == (
        Decimal("1250.5"),
        Decimal("250.5"),
        1000,
    )
    assert error(op.ask("operator/cash", account="alice", amount=-2000)) == (11043, "amount", Decimal("-749.5"), 0)
    assert error(op.ask("operator/cash", account="alice", amount="0.001")) == (
        -32602,
        "amount",
        Decimal("0.001"),
        Decimal("0.01"),
    )
    assert error(op.ask("operator/cash", account="alice", amount="1e3"))[:2] == (-32602, "amount")


def test_a_mass_cancel_of_an_account_or_a_side(op: Client, alice: Client, bob: Client) -> None:
    """RULEBOOK 1.6."""
    for client in (alice, bob):
        client.ask("private/buy", instrument_name="SC2701", amount=10, price="9.9")
        client.ask("private/sell", instrument_name="SC2701", amount=10, price="10.1")
    answer = op.ask("operator/mass_cancel", account="alice", direction="buy")
    assert answer["canceled"] == 1 and told(answer, "event", "account", "instrument_name", "orders") == [
        ("mass_canceled", "alice", "any", 1)
    ]
    answer = op.ask("operator/mass_cancel", instrument_name="SC2701")
    assert answer["canceled"] == 3 and told(answer, "account", "orders") == [("any", 3)]


# The day ------------------------------------------------------------------------------------------


def test_profit_reported_before_settlement_is_what_settlement_at_the_last_price_pays() -> None:
    """Also of lots traded at settlement, which are a position of the leg at once and have no price before (RULEBOOK 12.1)."""
    floor = Floor(
        instruments=[
            instrument(tick_size=Decimal("0.1"), lot_size=Decimal(10)),
            instrument(
                "SC2701-TAS",
                tick_size=Decimal("0.1"),
                lot_size=Decimal(10),
                legs=("SC2701",),
                at_settlement=True,
                price_floor=-50,
                price_ceiling=50,
                reference_price=0,
            ),
        ],
        accounts=[account(name, equity=1_000_000 * CNY) for name in ("alice", "bob", "carol")],
    )
    op, alice, bob = floor.session("operator"), floor.session("alice"), floor.session("bob")
    deal(alice, bob, "10.2", 30)
    for client, side in ((alice, "sell"), (bob, "buy")):
        assert "order" in client.ask(f"private/{side}", instrument_name="SC2701-TAS", amount=20, price="0.2")
    deal(alice, bob, "10.3", 10)
    leg, tas = bob.ask("private/get_positions")
    assert (leg["size"], leg["average_price"], leg["total_profit_loss"]) == (60, Decimal("10.3166666667"), -1)
    assert (tas["instrument_name"], tas["size"], tas["total_profit_loss"]) == ("SC2701-TAS", 20, 0)
    for client, profit in ((alice, 1), (bob, -1)):
        assert client.ask("private/get_account_summary", currency="CNY")["session_upl"] == profit
    op.ask("operator/settle", instrument_name="SC2701", rule="given", price="10.3")
    for client, profit in ((alice, 1), (bob, -1)):
        summary = client.ask("private/get_account_summary", currency="CNY")
        assert (summary["result"], summary["session_upl"]) == (profit, 0)


def test_a_day_is_settled_and_every_account_can_read_its_results(
    floor: Floor, op: Client, alice: Client, bob: Client
) -> None:
    """RULEBOOK 11: mark to market, fees, the band of the next day, statements."""
    deal(alice, bob, "10.2", 30)
    assert error(op.ask("operator/settle", instrument_name="SC2701", rule="given"))[:2] == (-32602, "price")
    assert error(op.ask("operator/settle", instrument_name="SC2701", price=10))[:2] == (-32602, "price")
    assert error(op.ask("operator/settle", instrument_name="SC2701", rule="given", price="11.5")) == (
        10007,
        "price",
        Decimal("11.5"),
        Decimal("10.5"),
    )
    answer = op.ask("operator/settle", instrument_name="SC2701", rule="given", price="10.3")
    assert told(answer, "event", "account", "settlement_price", "profit_loss", "fee", "position", "margin") == [
        ("balance", "alice", Decimal("10.3"), -3, 6, -30, Decimal("30.9")),
        ("balance", "bob", Decimal("10.3"), 3, 6, 30, Decimal("30.9")),
        ("settled", None, Decimal("10.3"), None, None, None, None),
    ]
    settled = answer["events"][-1]
    assert (settled["amount"], settled["min_price"], settled["max_price"]) == (30, Decimal("9.8"), Decimal("10.8"))
    (fill,) = bob.ask("private/get_user_trades_by_instrument", instrument_name="SC2701")["trades"]
    assert (fill["amount"], fill["fee"], fill["fee_currency"]) == (30, 6, "CNY")
    summary = bob.ask("private/get_account_summary", currency="CNY")
    assert (summary["equity"], summary["result"], summary["fees"], summary["margin_call"]) == (997, 3, 6, False)
    position = bob.ask("private/get_position", instrument_name="SC2701")
    assert (position["average_price"], position["settlement_price"], position["floating_profit_loss"]) == (
        Decimal("10.3"),
        Decimal("10.3"),
        -3,
    )
    (public,) = floor.session().ask("public/get_last_settlements_by_instrument", instrument_name="SC2701")[
        "settlements"
    ]
    assert (public["type"], public["mark_price"], public["position"], public["max_price"]) == (
        "settlement",
        Decimal("10.3"),
        30,
        Decimal("10.8"),
    )
    (own,) = alice.ask("private/get_settlement_history_by_instrument", instrument_name="SC2701")["settlements"]
    assert (own["type"], own["position"], own["profit_loss"], own["fee"]) == ("settlement", -30, -3, 6)
    assert floor.session("carol").ask("private/get_settlement_history_by_instrument", instrument_name="SC2701") == {
        "settlements": [],
        "continuation": "",
    }
    assert error(alice.ask("private/get_statement") | {"data": {"field": "-"}}) == (11030, "-", None, None)
    answer = op.ask("operator/end_day")
    assert told(answer, "event", "orders") == [("day_ended", 0)]
    statement = alice.ask("private/get_statement")
    assert {
        name: statement[name]
        for name in ("trading_date", "account", "opening_equity", "result", "fees", "closing_equity")
    } == {
        "trading_date": "2026-12-01",
        "account": "alice",
        "opening_equity": 1000,
        "result": -3,
        "fees": 6,
        "closing_equity": 991,
    }
    assert [(row["instrument"], row["position"]) for row in statement["positions"]] == [("SC2701", -3)]
    assert len(statement["trades"]) == 1
    assert alice.ask("private/get_statement", format="csv").startswith("record,trading_date,account,")
    assert "<html" in alice.ask("private/get_statement", format="html", date="2026-12-01")
    assert error(alice.ask("private/get_statement", date="2026-12-02")) == (-32602, "date", "2026-12-02", "2026-12-01")
    hub = op.ask("operator/get_statement")
    assert (hub["fees"], hub["result"], len(hub["accounts"]), hub["settlements"][0]["settlement_price"]) == (
        12,
        0,
        3,
        Decimal("10.3"),
    )
    assert op.ask("operator/get_statement", account="bob")["closing_equity"] == 997


def test_a_new_day_begins_with_a_date_after_the_last(op: Client) -> None:
    """RULEBOOK 11.1."""
    assert told(op.ask("operator/begin_day", date="2026-12-02"), "event", "date") == [("day_begun", "2026-12-02")]
    assert error(op.ask("operator/begin_day", date="2026-12-02")) == (11043, "date", "2026-12-02", "2026-12-03")
    assert error(op.ask("operator/begin_day", date="2026-13-01")) == (-32602, "date", "2026-13-01", None)
    assert error(op.ask("operator/begin_day", date="tomorrow")) == (
        -32602,
        "date",
        "tomorrow",
        "a date such as 2026-12-31",
    )
    assert told(op.ask("operator/begin_window"), "event", "instrument_name") == [("window", "any")]


def test_an_account_below_its_margin_is_called_may_only_reduce_and_is_liquidated(
    floor: Floor, op: Client, alice: Client, bob: Client
) -> None:
    """RULEBOOK 11.6, 11.7."""
    op.ask("operator/cash", account="bob", amount=100_000)
    deal(alice, bob, "10.0", 3000)
    op.ask("operator/settle", instrument_name="SC2701", rule="given", price="10.2")
    answer = op.ask("operator/end_day")
    assert told(answer, "event", "account", "amount") == [
        ("margin_call", "alice", Decimal("3260")),
        ("day_ended", None, None),
    ]
    summary = alice.ask("private/get_account_summary", currency="CNY")
    assert (summary["margin_call"], summary["margin_call_amount"], summary["equity"]) == (True, 3260, -200)
    op.ask("operator/cash", account="alice", amount=260)  # otherwise credit (508) refuses, which comes first
    op.ask("operator/set_limit", limit="instrument_margin", value=0, instrument_name="SC2701")
    refused = alice.ask("private/sell", instrument_name="SC2701", amount=10, price=10)
    assert (refused["code"], refused["data"]["reason"], refused["data"]["value"], refused["data"]["bound"]) == (
        14509,
        "margin_called",
        3010,
        3000,
    )
    carol = floor.session("carol")
    op.ask("operator/cash", account="carol", amount=100_000)
    carol.ask("private/sell", instrument_name="SC2701", amount=3000, price="10.3")
    alice.ask("private/subscribe", channels=["user.trades.SC2701.raw", "user.orders.SC2701.raw"])
    answer = op.ask("operator/liquidate", account="alice", instrument_name="SC2701")
    assert (answer["trades"], told(answer, "event", "account", "amount")) == (1, [("liquidated", "alice", 3000)])
    ((fill,),) = alice.notified("user.trades.SC2701.raw")
    assert (fill["amount"], fill["order_type"]) == (3000, "market")
    (closed,) = alice.notified("user.orders.SC2701.raw")
    assert (closed["order_state"], closed["time_in_force"], closed["direction"]) == (
        "filled",
        "immediate_or_cancel",
        "buy",
    )
    (standing,) = op.ask("operator/get_accounts", account="alice")
    assert (standing["account"], standing["number"], standing["margin_call"], standing["killed"]) == (
        "alice",
        0,
        True,
        False,
    )
    assert [seen["account"] for seen in op.ask("operator/get_accounts")] == ["alice", "bob", "carol"]


def test_an_instrument_expires_after_its_settlement_and_delivers() -> None:
    """RULEBOOK 11.8."""
    floor = Floor(instruments=[instrument(physical=True), instrument("FU2701")])
    floor.operate(operator(CommandKind.BEGIN_DAY, quantity=2026_12_01))
    op, alice, bob = (floor.session(key) for key in ("operator", "alice", "bob"))
    for client, side in ((alice, "sell"), (bob, "buy")):
        client.ask(f"private/{side}", instrument_name="SC2701", amount=30, price=1)
    assert error(op.ask("operator/expire", instrument_name="SC2701")) == (
        11043,
        "instrument_name",
        "not settled",
        "settled",
    )
    op.ask("operator/settle", instrument_name="SC2701")
    answer = op.ask("operator/expire", instrument_name="SC2701")
    assert [
        event for event in told(answer, "event", "receives", "delivers", "amount", "price") if event[0] != "balance"
    ] == [("delivery", "bob", "alice", 30, 1), ("expired", None, None, None, None)]
    (received,) = bob.ask("private/get_settlement_history_by_instrument", instrument_name="SC2701", type="delivery")[
        "settlements"
    ]
    assert (received["position"], received["mark_price"], received["counterparty"]) == (30, 1, "alice")
    assert [
        entry["type"]
        for entry in alice.ask("public/get_last_settlements_by_instrument", instrument_name="SC2701")["settlements"]
    ] == ["delivery"]
    assert [entry["instrument_name"] for entry in alice.ask("public/get_instruments")] == ["FU2701"]
    assert [
        (entry["instrument_name"], entry["is_active"], entry["phase"])
        for entry in alice.ask("public/get_instruments", expired=True)
    ] == [("SC2701", False, "expired")]
    assert (
        alice.ask("private/buy", instrument_name="SC2701", amount=1, price=1)["data"]["reason"] == "instrument_expired"
    )


def test_settlements_come_page_by_page(floor: Floor, op: Client, alice: Client) -> None:
    for _ in range(5):
        op.ask("operator/settle", instrument_name="SC2701", rule="given", price=10)
    ask = partial(alice.ask, "public/get_last_settlements_by_instrument", instrument_name="SC2701", count=2)
    seen, page = [], ask()
    while True:
        seen += [entry["seq"] for entry in page["settlements"]]
        if not page["continuation"]:
            break
        page = ask(continuation=page["continuation"])
    assert seen == [6, 5, 4, 3, 2]
    for more in ({"type": "delivery"}, {"type": "bankruptcy"}, {"search_start_timestamp": 1}):
        assert ask(**more)["settlements"] == [], more
    assert error(ask(continuation="x"))[:2] == (-32602, "continuation")


def test_a_month_is_listed_at_a_reference_price() -> None:
    """RULEBOOK 11.9."""
    floor = Floor(instruments=[instrument(phase=Phase.UNLISTED, daily_limit=500), instrument("FU2701")])
    op, alice = floor.session("operator"), floor.session("alice")
    assert [entry["instrument_name"] for entry in alice.ask("public/get_instruments")] == ["FU2701"]
    assert (
        alice.ask("private/buy", instrument_name="SC2701", amount=1, price=1)["data"]["reason"] == "instrument_unlisted"
    )
    assert error(op.ask("operator/list", instrument_name="SC2701", reference_price="2.00")) == (
        11043,
        "reference_price",
        2,
        Decimal("1.1"),
    )
    assert told(
        op.ask("operator/list", instrument_name="SC2701", reference_price="1.02"),
        "event",
        "instrument_name",
        "reference_price",
    ) == [("listed", "SC2701", Decimal("1.02"))]
    entry = alice.ask("public/get_instrument", instrument_name="SC2701")
    assert (entry["phase"], entry["is_active"], entry["settlement_price"]) == ("closed", True, Decimal("1.02"))
    assert error(op.ask("operator/list", instrument_name="SC2701", reference_price="1.02")) == (
        11043,
        "phase",
        "closed",
        "closed",
    )


# Market makers and conduct ------------------------------------------------------------------------


def test_an_account_sets_and_resets_its_own_market_maker_protection(op: Client, alice: Client, bob: Client) -> None:
    """RULEBOOK 9.6, in Deribit's form."""
    config = {"index_name": "any", "interval": 10, "frozen_time": 0, "quantity_limit": 3}
    assert alice.ask("private/get_mmp_config") == []
    assert alice.ask("private/set_mmp_config", index_name="any", interval=10, quantity_limit=3) == [config]
    assert alice.ask("private/get_mmp_config", index_name="any") == [config | {"is_triggered": False}]
    for price in ("10.1", "10.2"):
        alice.ask("private/sell", instrument_name="SC2701", amount=20, price=price)
    bob.ask("private/buy", instrument_name="SC2701", amount=30, price="10.2")
    assert alice.ask("private/get_open_orders") == []
    assert (
        alice.ask("private/get_order_history_by_instrument", instrument_name="SC2701", count=1)[0]["reason"]
        == "protection"
    )
    refused = alice.ask("private/sell", instrument_name="SC2701", amount=10, price="10.1")
    assert (refused["code"], refused["data"]["value"], refused["data"]["bound"]) == (14219, 3, 3)
    assert alice.ask("private/get_account_summary", currency="CNY")["mmp_triggered"] is True
    assert alice.ask("private/reset_mmp", index_name="any") == "ok"
    assert "order" in alice.ask("private/sell", instrument_name="SC2701", amount=10, price="10.1")
    assert alice.ask("private/set_mmp_config", index_name="any", interval=0)[0]["quantity_limit"] == 0
    assert alice.ask("private/get_mmp_config") == []


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"interval": 10}, "quantity_limit"),
        ({"interval": 0, "quantity_limit": 3}, "quantity_limit"),
        ({"interval": 10, "quantity_limit": 3, "index_name": "btc_usd"}, "index_name"),
        ({"interval": 10, "quantity_limit": 3, "frozen_time": 5}, "frozen_time"),
        ({"interval": 100_000, "quantity_limit": 3}, "interval"),
        ({"interval": 10, "delta_limit": 3}, "delta_limit"),
    ],
)
def test_a_protection_that_would_not_protect_is_refused_by_field(
    alice: Client, params: dict[str, Any], field: str
) -> None:
    assert alice.ask("private/set_mmp_config", **{"index_name": "any"} | params)["data"]["field"] == field


def test_surveillance_shows_counts_and_the_next_step(floor: Floor, op: Client, alice: Client, bob: Client) -> None:
    """RULEBOOK 9.7."""
    for _ in range(5):
        deal(alice, alice, "10.0", 10)
    alice.ask("private/buy", instrument_name="SC2701", amount=10, price="9.9")
    alice.ask("private/cancel_all")
    seen = op.ask("operator/get_surveillance")
    assert seen["date"] == "2026-12-01"
    ((name, symbol, cancels, selves),) = [
        (row["account"], row["instrument_name"], row["cancels"], row["self_trades"]) for row in seen["conduct"]
    ]
    assert (name, symbol, cancels, selves) == ("alice", "SC2701", 1, 5)
    assert [
        (notice["account"], notice["behaviour"], notice["count"], notice["step"]) for notice in seen["notices"]
    ] == [("alice", "self_trades", 5, "phone")]
    assert op.ask("operator/get_surveillance", account="bob") == {"date": "2026-12-01", "conduct": [], "notices": []}


# A day by hand ------------------------------------------------------------------------------------


def by_hand(profile: str) -> tuple[Any, ...]:
    schedule = Schedule(read_catalogue(profile=profile))
    return schedule, lambda exchange, clock: TradingDay.resume("by_hand", schedule, exchange, clock)


def test_a_day_by_hand_goes_step_by_step_from_the_first_auction_to_the_statement() -> None:
    """RULEBOOK 14: every step of the schedule is taken, none of its commands is refused."""
    schedule, day = by_hand("chinese")
    floor = Floor(
        instruments=list(schedule.catalogue.instruments),
        accounts=[account(name, equity=10**12) for name in ("alice", "bob", "carol")],
        day=day,
    )
    op, alice, bob = (floor.session(key) for key in ("operator", "alice", "bob"))
    plan = op.ask("operator/get_schedule")
    assert (plan["day"], plan["profile"], plan["date"], plan["market_timestamp"]) == (
        "by_hand",
        "chinese",
        str(schedule.opens),
        None,
    )
    assert len(plan["steps"]) == len(schedule.day(schedule.opens))
    steps, traded = [], False
    alice.ask("public/subscribe", channels=["phase.SC2701"])
    while op.ask("operator/get_schedule")["date"] == plan["date"]:
        answer = op.ask("operator/next_step")
        assert "refused" not in answer, answer["refused"]
        steps.append(answer["description"])
        phase = alice.ask("public/ticker", instrument_name="SC2701")["phase"]
        if phase == "continuous" and not traded:
            last = alice.ask("public/ticker", instrument_name="SC2701")["last_price"]
            for client, side in ((alice, "sell"), (bob, "buy")):
                assert "order" in client.ask(
                    f"private/{side}", instrument_name="SC2701", amount=1000, price=str(last), offset="open"
                ), side
            traded = True
    assert [step["description"] for step in plan["steps"]] == steps
    assert bob.ask("private/get_position", instrument_name="SC2701")["long"] == 1000
    assert len(bob.ask("private/get_statement")["positions"]) == 1
    seen = [told["phase"] for data in alice.notified("phase.SC2701") for told in data]
    assert seen[0] == "closed" and {
        "call_auction",
        "auction_match",
        "continuous",
        "break",
        "closing",
        "settlement",
    } <= set(seen)
    assert seen[-1] == "closed"


def test_next_step_needs_a_day_by_hand(op: Client) -> None:
    refused = op.ask("operator/next_step")
    assert error(refused) == (11030, "day", "off", "by_hand")
    assert op.ask("operator/get_schedule") == {"day": "off", "profile": None, "date": None, "steps": []}


def test_a_compressed_day_runs_by_itself_into_the_next_one() -> None:
    """RULEBOOK 14: the hub's loop and its clock; night, auctions, breaks, settlement, in a few seconds."""
    schedule, _ = by_hand("international")
    exchange = Exchange(schedule.catalogue.instruments, [account("alice")], max_orders=64)
    runner = Runner(exchange, None, time.time_ns)
    day = TradingDay.resume("compressed", schedule, exchange, time.time_ns, minutes=1 / 30)
    runner.listeners.append(day.heard)
    told: list[Any] = []

    async def run() -> None:
        tasks = [asyncio.create_task(runner.run()), asyncio.create_task(day.run(runner, told.append))]
        async with asyncio.timeout(120):
            while not any("day 2026-12-02 begins" in text for text in told):
                await asyncio.sleep(0.05)
        await runner.stop()
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert not any("refused" in text for text in told), told
    assert any("settlement" in text for text in told) and told[0].startswith("2026-12-01  day 2026-12-01 begins")
    shown = day.describe()
    assert (shown["day"], shown["profile"], shown["finished"]) == ("compressed", "international", False)
    assert shown["market_timestamp"] > 0 and shown["date"] >= "2026-12-02"
