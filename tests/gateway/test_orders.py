"""Orders of the trading day as clients enter and see them: stops, icebergs, minimum amounts, dates, OCOs, offsets.

Real exchange and projections, on a hub without sockets. The book has the rules (RULEBOOK 2). Here each parameter of the protocol
reaches them, and the answer is checked.
"""

import contextlib
import json
from decimal import Decimal
from typing import Any

import pytest

from matching.codes import CommandKind, Mechanism, Phase
from tests.build import instrument, operator
from tests.gateway.floor import Client, Floor

DAY = 2026_12_01


@pytest.fixture
def floor() -> Floor:
    floor = Floor()
    floor.operate(operator(CommandKind.BEGIN_DAY, quantity=DAY))
    return floor


@pytest.fixture
def alice(floor: Floor) -> Client:
    return floor.session("alice")


@pytest.fixture
def bob(floor: Floor) -> Client:
    return floor.session("bob")


def order(client: Client, side: str, amount: int, price: str | None = None, **more: Any) -> dict[str, Any]:
    return client.ask(
        f"private/{side}",
        instrument_name="SC2701",
        amount=amount,
        **({} if price is None else {"price": price}),
        **more,
    )


def stop(
    client: Client, side: str, amount: int, trigger_price: str, price: str | None = None, **more: Any
) -> dict[str, Any]:
    kind = "stop_market" if price is None else "stop_limit"
    return order(client, side, amount, price, type=kind, trigger_price=trigger_price, **more)


def trade(alice: Client, bob: Client, price: str) -> None:
    """Trade one lot, which sets the last price."""
    order(alice, "sell", 1, price)
    order(bob, "buy", 1, price)


def told(answer: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(answer["order"][name] for name in names)


def error(answer: dict[str, Any]) -> tuple[Any, ...]:
    return answer["code"], answer["data"]["field"], answer["data"].get("value"), answer["data"].get("bound")


# Stops --------------------------------------------------------------------------------------------


def test_a_parked_stop_is_untriggered_and_in_no_public_data(alice: Client, bob: Client) -> None:
    """RULEBOOK 2.9."""
    answer = stop(alice, "buy", 5, "1.05", "1.06", trigger="last_price")
    assert told(
        answer, "order_state", "order_type", "price", "trigger_price", "stop_price", "trigger", "triggered"
    ) == ("untriggered", "stop_limit", Decimal("1.06"), Decimal("1.05"), Decimal("1.05"), "last_price", False)
    assert bob.ask("public/get_order_book", instrument_name="SC2701")["bids"] == []
    for question in (
        {"method": "private/get_open_orders"},
        {"method": "private/get_open_orders", "type": "stop_all"},
        {"method": "private/get_open_orders_by_instrument", "instrument_name": "SC2701", "type": "stop_limit"},
    ):
        assert alice.ask(**question)[0] == answer["order"], question
    assert (
        alice.ask("private/get_open_orders", type="limit")
        == alice.ask("private/get_open_orders", type="stop_market")
        == []
    )
    assert alice.ask("private/get_order_state", order_id=answer["order"]["order_id"]) == answer["order"]


def test_a_stop_that_the_last_price_reaches_is_reported_as_triggered_and_trades(
    floor: Floor, alice: Client, bob: Client
) -> None:
    """RULEBOOK 2.10. It keeps its id."""
    carol = floor.session("carol")
    number = stop(alice, "buy", 2, "1.02", "1.04", label="s")["order"]["order_id"]
    order(carol, "sell", 5, "1.03")
    alice.ask("private/subscribe", channels=["user.orders.SC2701.raw", "user.trades.SC2701.raw"])
    order(carol, "sell", 1, "1.02")
    order(bob, "buy", 1, "1.02")
    (after,) = alice.notified("user.orders.SC2701.raw")
    assert {
        name: after[name]
        for name in ("order_id", "order_state", "exec_type", "triggered", "trigger_price", "filled_amount", "label")
    } == {
        "order_id": number,
        "order_state": "filled",
        "exec_type": "trade",
        "triggered": True,
        "trigger_price": Decimal("1.02"),
        "filled_amount": 2,
        "label": "s",
    }
    ((fill,),) = alice.notified("user.trades.SC2701.raw")
    assert (fill["order_id"], fill["price"], fill["order_type"], fill["liquidity"]) == (
        number,
        Decimal("1.03"),
        "stop_limit",
        "T",
    )
    assert alice.ask("private/get_order_state", order_id=number)["triggered"] is True


def test_a_triggered_stop_that_rests_is_open_like_any_order(alice: Client, bob: Client) -> None:
    number = stop(alice, "buy", 2, "1.02", "1.01")["order"]["order_id"]
    alice.ask("private/subscribe", channels=["user.orders.SC2701.raw"])
    trade(bob, bob, "1.02")
    assert [(seen["order_state"], seen["exec_type"]) for seen in alice.notified("user.orders.SC2701.raw")] == [
        ("open", "triggered")
    ]
    assert [seen["order_id"] for seen in alice.ask("private/get_open_orders", type="limit")] == [number]
    assert bob.ask("public/get_order_book", instrument_name="SC2701")["bids"] == [[Decimal("1.01"), 2]]
    assert alice.ask("private/cancel", order_id=number)["order_state"] == "cancelled"


def test_a_market_stop_has_no_price_until_it_is_triggered(alice: Client, bob: Client) -> None:
    number = stop(alice, "sell", 2, "0.99")["order"]["order_id"]
    waits = alice.ask("private/get_order_state", order_id=number)
    assert (waits["price"], waits["order_type"], waits["time_in_force"]) == (
        "market_price",
        "stop_market",
        "good_til_cancelled",
    )
    order(bob, "buy", 5, "0.98")
    trade(bob, bob, "0.99")
    done = alice.ask("private/get_order_state", order_id=number)
    assert (done["order_state"], done["average_price"], done["triggered"]) == ("filled", Decimal("0.98"), True)


def test_an_answer_includes_trades_with_the_stops_that_the_order_triggered(
    floor: Floor, alice: Client, bob: Client
) -> None:
    """The order's own trade moves the last price. A stop of another account then trades with what is left of the order."""
    trade(alice, bob, "1.03")
    stop(floor.session("carol"), "sell", 3, "1.02", "1.02")
    order(alice, "sell", 1, "1.02")
    answer = order(bob, "buy", 5, "1.02")
    assert told(answer, "filled_amount", "order_state") == (4, "open")
    assert [(fill["amount"], fill["liquidity"], fill["order_id"]) for fill in answer["trades"]] == [
        (1, "T", answer["order"]["order_id"]),
        (3, "M", answer["order"]["order_id"]),
    ]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"type": "stop_limit", "price": 1}, (-32602, "trigger_price", None, None)),
        ({"type": "stop_limit", "trigger_price": "1.05"}, (-32602, "price", None, None)),
        ({"type": "stop_market", "price": 1, "trigger_price": "1.05"}, (-32602, "price", None, None)),
        (
            {"type": "stop_market", "trigger_price": "1.055"},
            (10044, "trigger_price", Decimal("1.055"), Decimal("0.01")),
        ),
        ({"type": "stop_market", "trigger_price": "1.00"}, (11036, "trigger_price", 1, 1)),
        ({"type": "stop_market", "trigger_price": "0.95"}, (11036, "trigger_price", Decimal("0.95"), 1)),
        ({"type": "stop_market", "trigger_price": "1.11"}, (10034, "trigger_price", Decimal("1.11"), Decimal("1.1"))),
        ({"price": 1, "trigger_price": "1.05"}, (11036, "trigger_price", Decimal("1.05"), 0)),
        ({"price": 1, "trigger": "last_price"}, (-32602, "trigger", "last_price", None)),
        (
            {"type": "stop_market", "trigger_price": "1.05", "time_in_force": "immediate_or_cancel"},
            (11043, "time_in_force", 3, None),
        ),
        ({"price": 1, "time_in_force": "good_til_date"}, (-32602, "expire_date", None, None)),
        (
            {"price": 1, "time_in_force": "good_til_date", "expire_date": "2026-11-30"},
            (11043, "expire_date", "2026-11-30", "2026-12-01"),
        ),
        ({"price": 1, "expire_date": "2027-01-04"}, (11043, "expire_date", "2027-01-04", "none")),
        (
            {"price": 1, "time_in_force": "good_til_date", "expire_date": "2026-02-30"},
            (-32602, "expire_date", "2026-02-30", None),
        ),
        ({"price": 1, "display_amount": "0.5"}, (10021, "display_amount", Decimal("0.5"), 1)),
        ({"price": 1, "display_amount": 6}, (10036, "display_amount", 6, 5)),
        ({"price": 1, "minimum_amount": 2}, (10021, "minimum_amount", 2, 0)),
        ({"price": 1, "minimum_amount": 6, "time_in_force": "immediate_or_cancel"}, (10021, "minimum_amount", 6, 5)),
        ({"price": 1, "linked_order_id": "99"}, (10004, "linked_order_id", "99", None)),
        ({"price": 1, "linked_order_id": "x"}, (-32602, "linked_order_id", "x", None)),
        (
            {"price": 1, "linked_order_id": "9", "time_in_force": "immediate_or_cancel"},
            (11047, "linked_order_id", "9", None),
        ),
        ({"price": 1, "offset": "close"}, (11047, "offset", "close", None)),
        ({"price": 1, "time_in_force": "at_the_opening"}, (11047, "time_in_force", "continuous", None)),
        ({"price": 1, "counterparty": "nobody"}, (13007, "counterparty", "nobody", 2)),
    ],
)
def test_invalid_conditions_are_refused_by_field_value_and_bound(
    alice: Client, params: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    """RULEBOOK 1.5, 2.9 to 2.14, in the units of the client."""
    assert error(alice.ask("private/buy", instrument_name="SC2701", amount=5, **params)) == expected
    assert alice.ask("private/get_open_orders") == []


def test_a_price_increment_of_several_ticks_names_the_price_that_breaks_it(alice: Client) -> None:
    """RULEBOOK 5.5: limit and trigger are on the increment."""
    floor = Floor(instruments=[instrument(price_increment=5), instrument("FU2701")])
    client = floor.session("alice")
    assert error(stop(client, "buy", 1, "1.03", "1.05"))[:2] == (10043, "trigger_price")
    assert error(stop(client, "buy", 1, "1.05", "1.03"))[:2] == (10043, "price")


def test_a_stop_is_edited_in_price_amount_and_trigger(alice: Client) -> None:
    """RULEBOOK 2.9: AMEND of a parked order; what is not named stays."""
    number = stop(alice, "buy", 5, "1.05", "1.06")["order"]["order_id"]
    edited = alice.ask("private/edit", order_id=number, trigger_price="1.04")["order"]
    assert (edited["trigger_price"], edited["price"], edited["amount"], edited["order_state"], edited["exec_type"]) == (
        Decimal("1.04"),
        Decimal("1.06"),
        5,
        "untriggered",
        "replaced",
    )
    edited = alice.ask("private/edit", order_id=number, amount=3)["order"]
    assert (edited["trigger_price"], edited["price"], edited["amount"]) == (Decimal("1.04"), Decimal("1.06"), 3)
    assert error(alice.ask("private/edit", order_id=number, trigger_price="0.95"))[:2] == (11036, "trigger_price")
    market = stop(alice, "buy", 5, "1.05")["order"]["order_id"]
    assert alice.ask("private/edit", order_id=market, trigger_price="1.07")["order"]["price"] == "market_price"


def test_edits_of_a_stop_sent_one_after_the_other_add_up(alice: Client) -> None:
    number = stop(alice, "buy", 5, "1.05", "1.06")["order"]["order_id"]
    with alice.floor.one_batch():
        for params in ({"trigger_price": 1.04}, {"amount": 4}, {"price": 1.07}):
            alice.tell(json.dumps({"id": 1, "method": "private/edit", "params": {"order_id": number} | params}))
    last = alice.messages[-1]["result"]["order"]
    assert (last["trigger_price"], last["amount"], last["price"]) == (Decimal("1.04"), 4, Decimal("1.07"))


def test_an_order_that_is_not_parked_accepts_no_trigger(alice: Client) -> None:
    number = order(alice, "buy", 5, "1.00")["order"]["order_id"]
    assert error(alice.ask("private/edit", order_id=number, trigger_price="1.05")) == (
        11036,
        "trigger_price",
        Decimal("1.05"),
        0,
    )


def test_orders_are_canceled_by_type(alice: Client) -> None:
    for price in ("0.95", "0.96"):
        order(alice, "buy", 1, price)
    stop(alice, "buy", 1, "1.05", "1.06")
    stop(alice, "sell", 1, "0.94")
    assert alice.ask("private/cancel_all_by_instrument", instrument_name="SC2701", type="stop_limit") == 1
    assert alice.ask("private/cancel_all_by_instrument", instrument_name="SC2701", type="limit") == 2
    assert [seen["order_type"] for seen in alice.ask("private/get_open_orders")] == ["stop_market"]
    assert alice.ask("private/cancel_all_by_currency", currency="any", type="trigger_all") == 1
    stop(alice, "sell", 1, "0.94")
    order(alice, "buy", 1, "0.95")
    assert alice.ask("private/cancel_all") == 2


def test_the_same_stop_sent_again_is_answered_with_the_first_and_another_trigger_is_refused(alice: Client) -> None:
    """RULEBOOK 5.10."""
    first = stop(alice, "buy", 5, "1.05", "1.06", client_order_id="s1")["order"]
    assert stop(alice, "buy", 5, "1.05", "1.06", client_order_id="s1")["order"] == first | {"dup": True}
    assert stop(alice, "buy", 5, "1.04", "1.06", client_order_id="s1")["code"] == 14502


# Icebergs, minimum amounts, dates, OCOs -----------------------------------------------------------


def test_an_iceberg_shows_its_display_amount_and_its_owner_sees_all_of_it(alice: Client, bob: Client) -> None:
    """RULEBOOK 2.11."""
    iceberg = order(alice, "sell", 10, "1.01", display_amount=3)["order"]
    assert (iceberg["amount"], iceberg["display_amount"], iceberg["refresh_amount"]) == (10, 3, 3)
    bob.ask("public/subscribe", channels=["book.SC2701.raw"])
    assert bob.notified("book.SC2701.raw")[0]["asks"] == [["new", Decimal("1.01"), 3]]
    assert told(order(bob, "buy", 4, "1.01"), "filled_amount", "order_state") == (4, "filled")
    assert bob.notified("book.SC2701.raw")[-1]["asks"] == [["change", Decimal("1.01"), 2]]
    assert alice.ask("private/get_order_state", order_id=iceberg["order_id"])["filled_amount"] == 4
    edited = alice.ask("private/edit", order_id=iceberg["order_id"], amount=8)["order"]
    assert (edited["amount"], edited["display_amount"], edited["exec_type"]) == (8, 3, "replaced")
    assert alice.ask("private/cancel", order_id=iceberg["order_id"])["order_state"] == "cancelled"
    assert bob.notified("book.SC2701.raw")[-1]["asks"] == [["delete", Decimal("1.01"), 0]]


def test_an_order_with_a_minimum_trades_so_much_at_once_or_nothing(alice: Client, bob: Client) -> None:
    """RULEBOOK 2.12."""
    order(alice, "sell", 2, "1.00")
    terms = {"time_in_force": "immediate_or_cancel", "minimum_amount": 3}
    assert told(order(bob, "buy", 5, "1.00", **terms), "order_state", "filled_amount", "reason", "minimum_amount") == (
        "cancelled",
        0,
        "minimum_not_available",
        3,
    )
    order(alice, "sell", 2, "1.00")
    assert told(order(bob, "buy", 5, "1.00", **terms), "order_state", "filled_amount", "reason") == (
        "cancelled",
        4,
        "ioc_remainder",
    )


def test_an_order_stands_until_the_end_of_its_date(floor: Floor, alice: Client) -> None:
    """RULEBOOK 2.3, 2.13."""
    dated = [
        order(alice, "buy", 1, "1.00", time_in_force="good_til_date", expire_date=date)["order"]
        for date in ("2026-12-01", "2026-12-02")
    ]
    assert [(seen["time_in_force"], seen["expire_date"]) for seen in dated] == [
        ("good_til_date", "2026-12-01"),
        ("good_til_date", "2026-12-02"),
    ]
    floor.operate(operator(CommandKind.END_DAY))
    first, second = (alice.ask("private/get_order_state", order_id=seen["order_id"]) for seen in dated)
    assert (first["order_state"], first["reason"], first["exec_type"]) == ("cancelled", "date_reached", "expired")
    assert second["order_state"] == "open"


def test_an_order_of_a_session_ends_with_it(floor: Floor, alice: Client) -> None:
    """RULEBOOK 2.13."""
    number = order(alice, "buy", 1, "1.00", time_in_force="good_for_session")["order"]["order_id"]
    floor.operate(operator(CommandKind.PHASE, Phase.BREAK))
    ended = alice.ask("private/get_order_state", order_id=number)
    assert (ended["time_in_force"], ended["reason"], ended["exec_type"]) == (
        "good_for_session",
        "session_ended",
        "expired",
    )


def test_one_order_of_an_oco_cancels_the_other(alice: Client, bob: Client) -> None:
    """RULEBOOK 2.14."""
    first = order(alice, "sell", 2, "1.03")["order"]["order_id"]
    second = stop(alice, "sell", 2, "0.97", linked_order_id=first)
    assert told(second, "linked_order_id", "order_state") == (first, "untriggered")
    number = second["order"]["order_id"]
    assert alice.ask("private/get_order_state", order_id=first)["linked_order_id"] == number
    third = order(alice, "sell", 1, "1.05", linked_order_id=first)
    assert error(third) == (14302, "linked_order_id", first, None)
    alice.ask("private/subscribe", channels=["user.orders.SC2701.raw"])
    order(bob, "buy", 1, "1.03")
    assert [
        (seen["order_id"], seen["order_state"], seen["reason"]) for seen in alice.notified("user.orders.SC2701.raw")
    ] == [(first, "open", "none"), (number, "cancelled", "linked")]


def test_the_other_order_of_an_oco_is_described_without_the_link_once_the_first_is_canceled(alice: Client) -> None:
    """An earlier answer about the order is not repeated."""
    first = order(alice, "sell", 2, "1.03")["order"]["order_id"]

    def ask() -> str | None:
        return alice.ask("private/get_order_state", order_id=first).get("linked_order_id")

    assert ask() is None
    second = order(alice, "sell", 2, "1.04", linked_order_id=first)["order"]["order_id"]
    assert ask() == second
    alice.ask("private/cancel", order_id=second)
    assert ask() is None


# Phases and auctions ------------------------------------------------------------------------------


def test_orders_of_an_auction_rest_and_are_reported_when_it_trades(floor: Floor, alice: Client, bob: Client) -> None:
    """RULEBOOK 8.3, 8.6: all at one price; an OPENING order ends with the auction."""
    floor.operate(operator(CommandKind.PHASE, Phase.CALL_AUCTION))
    bid = order(alice, "buy", 5, "1.00", time_in_force="at_the_opening")["order"]
    offer = order(bob, "sell", 3, "1.00")["order"]
    assert (bid["order_state"], offer["order_state"], bid["filled_amount"]) == ("open", "open", 0)
    assert bid["time_in_force"] == "at_the_opening"
    assert error(order(bob, "sell", 1, "0.99", time_in_force="immediate_or_cancel"))[:2] == (11047, "type")
    for client in (alice, bob):
        client.ask("private/subscribe", channels=["user.orders.SC2701.raw", "user.trades.SC2701.raw"])
    floor.operate(operator(CommandKind.PHASE, Phase.CONTINUOUS))
    (sold,) = bob.notified("user.orders.SC2701.raw")
    assert (sold["order_state"], sold["average_price"]) == ("filled", 1)
    (bought,) = alice.notified("user.orders.SC2701.raw")
    assert (bought["order_state"], bought["filled_amount"], bought["reason"], bought["exec_type"]) == (
        "cancelled",
        3,
        "auction_ended",
        "expired",
    )
    ((fill,),) = alice.notified("user.trades.SC2701.raw")
    assert (fill["price"], fill["amount"]) == (1, 3)


@pytest.mark.parametrize(
    ("phase", "code", "reason"),
    [
        (Phase.HALTED, 10012, "instrument_halted"),
        (Phase.BREAK, 10012, "instrument_break"),
        (Phase.CLOSING, 10012, "instrument_closing"),
        (Phase.CLOSED, 10012, "instrument_closed"),
    ],
)
def test_a_phase_that_refuses_orders_is_named(
    floor: Floor, alice: Client, phase: Phase, code: int, reason: str
) -> None:
    floor.operate(operator(CommandKind.PHASE, phase))
    refused = order(alice, "buy", 1, "1.00")
    assert (refused["code"], refused["data"]["reason"], refused["data"]["field"]) == (code, reason, "instrument_name")


# Open and close -----------------------------------------------------------------------------------


def test_where_long_and_short_are_kept_apart_orders_say_whether_they_open_or_close() -> None:
    """RULEBOOK 10."""
    floor = Floor(instruments=[instrument(offset=True), instrument("FU2701")])
    alice, bob = floor.session("alice"), floor.session("bob")
    assert error(order(alice, "buy", 2, "1.00")) == (11047, "offset", "none", None)
    opened = order(alice, "buy", 2, "1.00", offset="open")["order"]
    assert opened["offset"] == "open"
    order(bob, "sell", 2, "1.00", offset="open")
    assert error(order(alice, "sell", 3, "1.00", offset="close_today", time_in_force="good_til_day")) == (
        14510,
        "amount",
        3,
        2,
    )
    position = alice.ask("private/get_position", instrument_name="SC2701")
    assert {name: position[name] for name in ("size", "long", "short", "long_today", "short_today")} == {
        "size": 2,
        "long": 2,
        "short": 0,
        "long_today": 2,
        "short_today": 0,
    }


# The spot side ------------------------------------------------------------------------------------


def test_a_posted_offer_is_taken_in_part_by_its_id() -> None:
    """RULEBOOK 13.1."""
    floor = Floor(instruments=[instrument(mechanism=Mechanism.LISTING), instrument("FU2701")])
    alice, bob = floor.session("alice"), floor.session("bob")
    offer = order(alice, "sell", 10, "1.02", minimum_amount=2)["order"]
    assert (offer["order_state"], offer["minimum_amount"]) == ("open", 2)
    taken = bob.ask("private/take", order_id=offer["order_id"], amount=4, label="cargo")
    assert told(taken, "direction", "order_state", "order_type", "time_in_force", "label", "average_price") == (
        "buy",
        "filled",
        "limit",
        "fill_or_kill",
        "cargo",
        Decimal("1.02"),
    )
    assert [(fill["amount"], fill["price"], fill["liquidity"]) for fill in taken["trades"]] == [
        (4, Decimal("1.02"), "T")
    ]
    assert alice.ask("private/get_order_state", order_id=offer["order_id"])["filled_amount"] == 4
    assert bob.ask("private/take", order_id=offer["order_id"], amount=1)["data"]["field"] == "amount"
    assert alice.ask("private/take", order_id=offer["order_id"], amount=4)["code"] == 14304
    assert error(bob.ask("private/take", order_id="99", amount=4))[:3] == (10004, "order_id", "99")


@pytest.mark.parametrize("first", ["earlier", "in the same batch"])
@pytest.mark.parametrize("offered", [10, 5, 4])
def test_a_take_sent_again_is_answered_with_the_first_one(first: str, offered: int) -> None:
    """RULEBOOK 5.10 for clients, if enough, too little or nothing is left of the offer."""
    floor = Floor(instruments=[instrument(mechanism=Mechanism.LISTING), instrument("FU2701")])
    alice, bob = floor.session("alice"), floor.session("bob")
    offer, other = (order(alice, "sell", amount, "1.02")["order"]["order_id"] for amount in (offered, 10))
    with floor.one_batch() if first == "in the same batch" else contextlib.nullcontext():
        bob.ask("private/take", order_id=offer, amount=4, client_order_id="t")
        bob.ask("private/take", order_id=offer, amount=4, client_order_id="t")
    again = bob.ask("private/take", order_id=offer, amount=4, client_order_id="t")
    assert (again["order"]["dup"], again["order"]["filled_amount"], again["trades"]) == (True, 4, [])
    for differs in ({"order_id": other}, {"amount": 3}):
        assert "code" in bob.ask("private/take", **{"order_id": offer, "amount": 4, "client_order_id": "t"} | differs)
    assert [position["size"] for position in bob.ask("private/get_positions") if position["size"]] == [4]


def test_posted_offers_are_listed_for_all_without_their_owner_until_they_are_taken() -> None:
    """RULEBOOK 13.1: members need the list to know what they can take."""
    floor = Floor(instruments=[instrument(mechanism=Mechanism.LISTING), instrument("FU2701")])
    alice, bob = floor.session("alice"), floor.session("bob")
    assert bob.ask("private/get_offers", instrument_name="SC2701") == []
    first, second = (
        order(alice, "sell", amount, price, **more)["order"]["order_id"]
        for amount, price, more in ((10, "1.03", {"minimum_amount": 4}), (5, "1.02", {}))
    )
    wanted = order(bob, "buy", 3, "1.01")["order"]["order_id"]
    expected = [
        {
            "order_id": wanted,
            "direction": "buy",
            "own": True,
            "price": Decimal("1.01"),
            "amount": 3,
            "minimum_amount": 0,
        },
        {
            "order_id": second,
            "direction": "sell",
            "own": False,
            "price": Decimal("1.02"),
            "amount": 5,
            "minimum_amount": 0,
        },
        {
            "order_id": first,
            "direction": "sell",
            "own": False,
            "price": Decimal("1.03"),
            "amount": 10,
            "minimum_amount": 4,
        },
    ]
    assert bob.ask("private/get_offers", instrument_name="SC2701") == expected
    bob.ask("private/take", order_id=second, amount=5)
    bob.ask("private/take", order_id=first, amount=8)
    left = bob.ask("private/get_offers", instrument_name="SC2701")
    assert left == [expected[0], expected[2] | {"amount": 2, "minimum_amount": 2}]
    assert error(bob.ask("private/get_offers", instrument_name="FU2701"))[:3] == (10031, "instrument_name", "FU2701")


def test_a_negotiated_offer_is_listed_for_its_two_sides_alone() -> None:
    """RULEBOOK 13.3."""
    floor = Floor(instruments=[instrument(mechanism=Mechanism.NEGOTIATED)])
    alice, bob, carol = (floor.session(name) for name in ("alice", "bob", "carol"))
    offer = order(alice, "sell", 10, "1.02", counterparty="carol")["order"]["order_id"]
    (mine,) = alice.ask("private/get_offers", instrument_name="SC2701")
    (made,) = carol.ask("private/get_offers", instrument_name="SC2701")
    assert bob.ask("private/get_offers", instrument_name="SC2701") == []
    assert (mine["own"], made["own"]) == (True, False) and mine | {"own": False} == made
    assert (made["order_id"], made["account"], made["counterparty"]) == (offer, "alice", "carol")


def test_a_negotiated_offer_names_who_may_take_it() -> None:
    """RULEBOOK 13.3."""
    floor = Floor(instruments=[instrument(mechanism=Mechanism.NEGOTIATED), instrument("FU2701")])
    alice, bob, carol = (floor.session(name) for name in ("alice", "bob", "carol"))
    offer = order(alice, "sell", 10, "1.02", counterparty="carol")["order"]["order_id"]
    assert bob.ask("private/take", order_id=offer, amount=10)["code"] == 14304
    assert told(carol.ask("private/take", order_id=offer, amount=10), "order_state", "filled_amount") == ("filled", 10)
    assert order(alice, "sell", 10, "1.02", counterparty=0)["data"]["field"] == "counterparty"
    assert order(alice, "sell", 10, "1.02", counterparty="1")["order"]["order_state"] == "open"


# A disk that is nearly full -----------------------------------------------------------------------


def test_on_a_full_disk_orders_are_refused_with_their_own_reason_and_cancels_pass(floor: Floor, alice: Client) -> None:
    """The operator's kill switch is another state, and does not change."""
    number = order(alice, "buy", 1, "1.00")["order"]["order_id"]
    alice.ask("public/subscribe", channels=["platform_state"])
    floor.hub.condition.set_disk_low(True)
    for answer in (
        order(alice, "buy", 1, "1.00"),
        alice.ask("private/edit", order_id=number, amount=2),
        alice.ask("private/take", order_id=number, amount=1),
    ):
        assert (answer["code"], answer["message"], answer["data"]["reason"]) == (
            11051,
            "system_maintenance",
            "disk_space",
        )
    assert (
        alice.ask("public/status")["locked"] == "true" and alice.ask("public/status")["locked_reason"] == "disk_space"
    )
    assert alice.ask("private/cancel", order_id=number)["order_state"] == "cancelled"
    assert not floor.hub.exchange.ledger.hub[0].killed
    floor.hub.condition.set_disk_low(False)
    assert order(alice, "buy", 1, "1.00")["order"]["order_state"] == "open"
    assert [seen["locked"] for seen in alice.notified("platform_state")] == [False, True, False]
