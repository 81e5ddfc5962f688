"""The session without a socket: the effect of a frame, the order of answers and notifications, and the effects of a lost
connection. Exchange, blotter and market data are real; the test controls the clock and the batches."""

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, get_args

import pytest

from gateway.hub import Limits
from gateway.rpc.desk import Bucket
from gateway.rpc.session import TRANSITIONS, State
from gateway.text.refusals import Refused
from gateway.text.words import OrderTypeWord
from matching.codes import CommandKind, Phase, Scope
from tests.build import account, enter, existing, instrument, operator, rows
from tests.gateway.floor import Client, Floor

SECOND = 1_000_000_000


@pytest.fixture
def floor() -> Floor:
    return Floor()


@pytest.fixture
def alice(floor: Floor) -> Client:
    return floor.session("alice")


@pytest.fixture
def bob(floor: Floor) -> Client:
    return floor.session("bob")


def buy(client: Client, amount: int, price: int | str, **more: Any) -> Any:
    return client.ask("private/buy", instrument_name="SC2701", amount=amount, price=price, **more)


def sell(client: Client, amount: int, price: int | str, **more: Any) -> Any:
    return client.ask("private/sell", instrument_name="SC2701", amount=amount, price=price, **more)


def open_ids(client: Client) -> list[Any]:
    return [order["order_id"] for order in client.ask("private/get_open_orders")]


# Requests and answers -----------------------------------------------------------------------------


def test_an_answer_carries_the_request_s_id_unchanged_and_times(floor: Floor) -> None:
    client = floor.session()
    for request_id in (7, "seven", -1, None, 1 << 62, 'a"b'):
        client.tell(json.dumps({"jsonrpc": "2.0", "id": request_id, "method": "public/get_time"}))
        answer = client.messages.pop()
        assert answer["id"] == request_id and answer["result"] == floor.now // 1_000_000
        assert answer["usOut"] - answer["usIn"] == answer["usDiff"]


def test_an_unknown_method_is_refused_by_name(alice: Client) -> None:
    error = alice.ask("private/buy_all")
    assert (error["code"], error["data"]["value"]) == (-32601, "private/buy_all")


def test_private_methods_need_a_log_on(floor: Floor) -> None:
    assert floor.session().ask("private/get_positions")["code"] == 13009


def test_a_key_does_only_what_its_scope_allows(floor: Floor) -> None:
    reader = floor.session("reader")
    assert reader.ask("private/get_open_orders") == []
    error = buy(reader, 1, 1)
    assert (error["code"], error["data"]["bound"]) == (13021, "trade:read_write")


def test_too_many_bad_requests_in_a_row_close_the_connection() -> None:
    floor = Floor(limits=Limits(bad_requests=3))
    client = floor.session()
    for frame in ("x", "x", '{"method":"public/test"}', "x", "x"):
        client.tell(frame)
    assert client.closed is None
    client.tell("x")
    assert existing(client.closed)[0] == 1008


@pytest.mark.parametrize(
    "frame",
    [
        '{"id":42,"method":"public/test","foo":1}',
        '{"id":42,"jsonrpc":"1.0","method":"public/test"}',
        '{"id":42}',
        '{"id":42,"method":"public/none"}',
        '{"id":42,"method":7}',
    ],
)
def test_a_request_that_is_refused_keeps_its_id_where_that_can_be_read(floor: Floor, frame: str) -> None:
    """JSON-RPC 2.0, section 5."""
    client = floor.session()
    client.tell(frame)
    assert client.messages.pop()["id"] == 42


@pytest.mark.parametrize(
    ("params", "field", "bound", "text"),
    [
        (
            {"type": "foo"},
            "type",
            ", ".join(get_args(OrderTypeWord)),
            f"must be one of {', '.join(get_args(OrderTypeWord))}",
        ),
        ({"expire_date": "x"}, "expire_date", "a date such as 2026-12-31", "must be a date such as 2026-12-31"),
        ({"time_in_force": "good_til_date"}, "expire_date", None, "is missing: a good_til_date order ends with it"),
        ({"amount": 10**18}, "amount", 17592186044416, "is 1000000000000000000; the nearest allowed is 17592186044416"),
        ({"amount": 0}, "amount", 1, "is 0; the nearest allowed is 1"),
        (
            {"amount": 10**22},
            "amount",
            "within 4611686018427387904 lot sizes",
            "is 10000000000000000000000, must be within 4611686018427387904 lot sizes",
        ),
        ({"post_only": 1}, "post_only", "true or false", "is a whole number, must be true or false"),
        ({"client_order_id": 21 * "x"}, "client_order_id", 20, "must have at most 20 characters"),
        ({"client_order_id": "\n"}, "client_order_id", "printable ASCII", "must be printable ASCII"),
        (
            {"linked_order_id": []},
            "linked_order_id",
            "a whole number or a text",
            "is a list, must be a whole number or a text",
        ),
        ({"linked_order_id": 7}, "linked_order_id", None, "order 7 is no open order on this side of the instrument"),
    ],
)
def test_a_refusal_says_in_words_of_the_protocol_what_is_accepted(
    alice: Client, params: dict[str, Any], field: str, bound: int | str | None, text: str
) -> None:
    error = buy(alice, **{"amount": 1, "price": 1} | params)
    assert (error["data"]["field"], error["data"].get("bound")) == (field, bound)
    assert error["data"]["text"] == (text if text.startswith("order") else f"{field} {text}")


@pytest.mark.parametrize("frame", ['{"id":42,"method":', '{"id":1.5,"method":"public/test"}', '{"id":[1]}', "[]", "x"])
def test_a_request_without_a_readable_id_is_answered_with_null(floor: Floor, frame: str) -> None:
    client = floor.session()
    client.tell(frame)
    assert client.messages.pop()["id"] is None


@pytest.mark.parametrize(
    ("invalidate", "lives"), [({}, False), ({"invalidate_token": True}, False), ({"invalidate_token": False}, True)]
)
def test_logging_out_ends_the_tokens_of_the_connection(floor: Floor, invalidate: dict[str, Any], lives: bool) -> None:
    client = floor.session()
    tokens = [
        client.ask("public/auth", grant_type="client_credentials", client_id="alice", client_secret="alice-secret")
        for _ in range(2)
    ]
    client.ask("private/logout", **invalidate)
    other = floor.session()
    assert [
        "error" not in str(other.ask("public/auth", grant_type="refresh_token", refresh_token=token["refresh_token"]))
        and other.session.account >= 0
        for token in tokens
    ] == [lives, lives]


def test_nothing_is_read_after_closing(alice: Client) -> None:
    alice.ask("private/logout")
    assert existing(alice.closed)[0] == 1000
    assert alice.ask("public/test") is None


def test_the_table_of_states_is_complete_and_has_no_way_back() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.LOST}
    assert {state for state, what in TRANSITIONS if what == "lost"} == set(State) - {State.LOST}
    assert all(
        after in (State.CLOSING, State.LOST) for (state, _), after in TRANSITIONS.items() if state is State.CLOSING
    )


# Orders -------------------------------------------------------------------------------------------


def test_an_order_that_rests_is_answered_with_its_state(alice: Client) -> None:
    order = buy(alice, 5, "1.05", client_order_id="a1")["order"]
    assert {
        name: order[name]
        for name in (
            "order_id",
            "order_state",
            "direction",
            "order_type",
            "price",
            "amount",
            "filled_amount",
            "time_in_force",
            "label",
            "client_order_id",
            "seq",
            "exec_type",
        )
    } == {
        "order_id": "1",
        "order_state": "open",
        "direction": "buy",
        "order_type": "limit",
        "price": Decimal("1.05"),
        "amount": 5,
        "filled_amount": 0,
        "time_in_force": "good_til_cancelled",
        "label": "a1",
        "client_order_id": "a1",
        "seq": 1,
        "exec_type": "new",
    }


def test_an_order_that_trades_is_answered_with_its_trades(alice: Client, bob: Client) -> None:
    sell(alice, 2, "1.00")
    sell(alice, 2, "1.01")
    answer = buy(bob, 5, "1.02", label="x")
    assert (answer["order"]["order_state"], answer["order"]["filled_amount"], answer["order"]["average_price"]) == (
        "open",
        4,
        Decimal("1.005"),
    )
    assert [(trade["price"], trade["amount"], trade["liquidity"], trade["order_id"]) for trade in answer["trades"]] == [
        (1, 2, "T", "3"),
        (Decimal("1.01"), 2, "T", "3"),
    ]


def test_an_order_by_its_label_alone_has_no_client_order_id_and_may_repeat_it(alice: Client) -> None:
    first, second = buy(alice, 1, 1, label="mm"), buy(alice, 1, 1, label="mm")
    assert "client_order_id" not in first["order"] and first["order"]["label"] == "mm"
    assert second["order"]["order_id"] == "2"


def test_label_and_client_order_id_must_be_equal(alice: Client) -> None:
    assert buy(alice, 1, 1, label="a", client_order_id="a")["order"]["client_order_id"] == "a"
    error = buy(alice, 1, 1, label="b", client_order_id="c")
    assert (error["code"], error["data"]["field"], error["data"]["bound"]) == (-32602, "label", "c")


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"amount": 5}, "price"),
        ({"amount": 5, "price": 1, "type": "market"}, "price"),
        ({"amount": 5, "price": 1, "post_only": True, "reject_post_only": False}, "reject_post_only"),
        ({"amount": 5, "price": "1.001"}, "price"),
        ({"amount": "0.5", "price": 1}, "amount"),
        ({"amount": 10**23, "price": 1}, "amount"),
        ({"amount": 5, "price": 1, "self_match": "none"}, "self_match"),
    ],
)
def test_invalid_parameters_are_refused_by_name_and_enter_nothing(
    alice: Client, params: dict[str, Any], field: str
) -> None:
    error = alice.ask("private/buy", instrument_name="SC2701", **params)
    assert error["data"]["field"] == field and "seq" not in error["data"]
    assert alice.floor.hub.exchange.sequence == 0


@pytest.mark.parametrize(
    ("params", "code", "reason", "value", "bound"),
    [
        ({"amount": 0, "price": 1}, 10021, "invalid_quantity", 0, 1),
        ({"amount": -5, "price": 1}, 10021, "invalid_quantity", -5, 1),
        ({"amount": 5, "price": "1.11"}, 10007, "price_above_band", Decimal("1.11"), Decimal("1.1")),
        ({"amount": 5, "price": "0.89"}, 10005, "price_below_band", Decimal("0.89"), Decimal("0.9")),
        (
            {"amount": 5, "price": 1, "post_only": True, "time_in_force": "immediate_or_cancel"},
            11047,
            "invalid_flags",
            1,
            None,
        ),
    ],
)
def test_a_refusal_by_the_book_has_value_bound_and_sequence(
    alice: Client, params: dict[str, Any], code: int, reason: str, value: Decimal | int, bound: Decimal | int | None
) -> None:
    error = alice.ask("private/buy", instrument_name="SC2701", **params)
    assert (
        error["code"],
        error["data"]["reason"],
        error["data"]["value"],
        error["data"].get("bound"),
        error["data"]["seq"],
    ) == (code, reason, value, bound, 1)
    assert open_ids(alice) == []


def test_an_unknown_instrument_is_refused_by_name(alice: Client) -> None:
    error = alice.ask("private/buy", instrument_name="XX2701", amount=1, price=1)
    assert (error["code"], error["data"]["field"], error["data"]["value"]) == (13020, "instrument_name", "XX2701")


def test_a_post_only_order_that_would_trade_is_refused_with_the_price_that_it_would_meet(
    alice: Client, bob: Client
) -> None:
    sell(alice, 1, "1.01")
    error = buy(bob, 1, "1.02", post_only=True)
    assert (error["code"], error["data"]["bound"]) == (11054, Decimal("1.01"))


def test_a_market_order_trades_what_it_can_and_does_not_rest(alice: Client, bob: Client) -> None:
    sell(alice, 2, "1.03")
    answer = bob.ask("private/buy", instrument_name="SC2701", amount=5, type="market")
    order = answer["order"]
    assert (order["order_state"], order["filled_amount"], order["reason"], order["time_in_force"]) == (
        "cancelled",
        2,
        "ioc_remainder",
        "immediate_or_cancel",
    )
    assert (order["exec_type"], order["cancel_reason"]) == ("canceled", "ioc_remainder")


def test_a_fill_or_kill_order_that_cannot_fill_is_answered_as_canceled(alice: Client, bob: Client) -> None:
    sell(alice, 2, 1)
    order = buy(bob, 5, 1, time_in_force="fill_or_kill")["order"]
    assert (order["order_state"], order["filled_amount"], order["reason"]) == ("cancelled", 0, "fok_not_filled")


def test_self_match_prevention_is_named_in_the_order(alice: Client) -> None:
    buy(alice, 2, 1)
    answer = sell(alice, 1, 1, self_match="cancel_resting")
    assert (answer["order"]["order_state"], answer["trades"]) == ("open", [])
    assert open_ids(alice) == ["2"]
    assert alice.ask("private/get_order_state", order_id="1")["reason"] == "self_match_resting"


# Sending again ------------------------------------------------------------------------------------


def test_the_same_order_sent_again_is_answered_with_the_first(alice: Client, bob: Client) -> None:
    first = buy(alice, 5, 1, client_order_id="a1")["order"]
    again = buy(alice, 5, "1.00", client_order_id="a1")
    assert again["order"] == first | {"dup": True} and again["trades"] == []
    sell(bob, 5, 1)
    assert buy(alice, 5, 1, client_order_id="a1")["order"]["order_state"] == "filled"
    assert len(alice.ask("private/get_order_history_by_instrument", instrument_name="SC2701")) == 1


def test_the_same_order_sent_twice_in_one_batch_exists_once(alice: Client) -> None:
    with alice.floor.one_batch():
        for request_id in (1, 2, 3):
            alice.tell(
                json.dumps(
                    {
                        "id": request_id,
                        "method": "private/buy",
                        "params": {"instrument_name": "SC2701", "amount": 5, "price": 1, "client_order_id": "a1"},
                    }
                )
            )
    orders = [message["result"]["order"] for message in alice.messages]
    assert [order["order_id"] for order in orders] == ["1", "1", "1"]
    assert [order.get("dup", False) for order in orders] == [False, True, True]


@pytest.mark.parametrize(
    "change", [{"amount": 6}, {"price": "1.01"}, {"time_in_force": "good_til_day"}, {"instrument_name": "FU2701"}]
)
def test_another_order_under_the_same_client_order_id_is_refused(alice: Client, change: dict[str, Any]) -> None:
    buy(alice, 5, 1, client_order_id="a1")
    body = {"instrument_name": "SC2701", "amount": 5, "price": 1, "client_order_id": "a1"} | change
    error = alice.ask("private/buy", **body)
    assert (error["code"], error["message"], error["data"]["value"]) == (14502, "duplicate_client_order_id", "1")
    assert error["data"]["fix"] == {"tag": 103, "value": 6}
    assert alice.ask("private/sell", **body | {"amount": 5})["code"] == 14502


@pytest.mark.compiled
def test_client_order_ids_of_other_accounts_and_of_yesterday_do_not_matter(alice: Client, bob: Client) -> None:
    buy(alice, 5, 1, client_order_id="a1")
    assert "dup" not in buy(bob, 5, 1, client_order_id="a1")["order"]
    alice.floor.operate(operator(CommandKind.END_DAY))
    assert "dup" not in buy(alice, 5, 1, client_order_id="a1")["order"]


# Edit and cancel ----------------------------------------------------------------------------------


def test_an_edit_changes_the_total_or_the_price_and_keeps_the_rest(alice: Client, bob: Client) -> None:
    buy(alice, 5, 1)
    sell(bob, 2, 1)
    order = alice.ask("private/edit", order_id="1", amount=4)["order"]
    assert (order["amount"], order["filled_amount"], order["price"], order["exec_type"], order["replaced"]) == (
        4,
        2,
        1,
        "replaced",
        True,
    )
    order = alice.ask("private/edit", order_id="1", price="0.99")["order"]
    assert (order["amount"], order["price"], order["seq"]) == (4, Decimal("0.99"), 4)


def test_an_edit_that_trades_is_answered_with_its_trades_and_the_whole_average(alice: Client, bob: Client) -> None:
    buy(alice, 4, "1.00")
    sell(bob, 1, "1.00")
    sell(bob, 2, "1.02")
    answer = alice.ask("private/edit", order_id="1", amount=4, price="1.02")
    assert [(trade["price"], trade["amount"]) for trade in answer["trades"]] == [(Decimal("1.02"), 2)]
    assert (answer["order"]["filled_amount"], answer["order"]["average_price"]) == (3, Decimal("1.01333333333"))


def test_an_edit_down_to_what_has_filled_cancels(alice: Client, bob: Client) -> None:
    buy(alice, 4, 1)
    sell(bob, 2, 1)
    order = alice.ask("private/edit", order_id="1", amount=1)["order"]
    assert (order["order_state"], order["reason"]) == ("cancelled", "amended_to_filled")


def test_an_edit_needs_something_to_change(alice: Client) -> None:
    buy(alice, 4, 1)
    assert alice.ask("private/edit", order_id="1")["data"]["field"] == "amount"


def test_an_edit_by_label_needs_exactly_one_open_order(alice: Client) -> None:
    assert alice.ask("private/edit_by_label", label="a", instrument_name="SC2701", amount=1)["code"] == 10004
    buy(alice, 4, 1, label="a")
    assert alice.ask("private/edit_by_label", label="a", instrument_name="SC2701", amount=3)["order"]["amount"] == 3
    buy(alice, 4, 1, label="a")
    error = alice.ask("private/edit_by_label", label="a", instrument_name="SC2701", amount=1)
    assert error["code"] == 10004 and "2 open orders" in error["data"]["text"]


def test_a_canceled_order_is_answered_as_canceled(alice: Client) -> None:
    buy(alice, 5, 1)
    order = alice.ask("private/cancel", order_id="1")
    assert (order["order_state"], order["exec_type"], order["cancel_reason"], order["reason"]) == (
        "cancelled",
        "canceled",
        "user_request",
        "none",
    )


@pytest.mark.parametrize("method", ["private/cancel", "private/edit"])
@pytest.mark.parametrize(
    ("order_id", "text"),
    [
        ("1", "order 1 is cancelled"),
        ("3", "order 3 is filled"),
        ("5", "order 5 is not open"),
        ("99", "order 99 is not open"),
    ],
)
def test_an_order_that_is_not_open_or_not_ours_cannot_be_changed(
    alice: Client, bob: Client, method: str, order_id: str, text: str
) -> None:
    buy(alice, 5, 1)
    alice.ask("private/cancel", order_id="1")
    sell(alice, 5, 1)  # order 3
    buy(bob, 5, 1)  # fills it
    buy(bob, 5, "0.95")  # order 5
    error = alice.ask(method, order_id=order_id, **({"amount": 1} if method == "private/edit" else {}))
    assert (error["code"], error["data"]["field"], error["data"]["text"]) == (10004, "order_id", text)
    assert "seq" not in error["data"] and open_ids(bob) == ["5"]


def test_a_cancel_that_races_a_fill_loses_by_the_book(alice: Client, bob: Client) -> None:
    buy(alice, 5, 1)
    with alice.floor.one_batch():
        sell(bob, 5, 1)
        alice.tell('{"id":9,"method":"private/cancel","params":{"order_id":"1"}}')
    error = alice.messages[-1]["error"]
    assert (error["code"], error["data"]["reason"], error["data"]["seq"]) == (10004, "unknown_order", 3)


def test_answers_show_the_order_as_their_own_command_left_it(alice: Client, bob: Client) -> None:
    """Several commands on one order in one batch: each answer includes those before it and none after it."""
    with alice.floor.one_batch():
        alice.tell('{"id":1,"method":"private/buy","params":{"instrument_name":"SC2701","amount":9,"price":1}}')
        sell(bob, 2, 1)
        sell(bob, 3, 1)
    alice.floor.run()
    assert alice.messages[0]["result"]["order"]["filled_amount"] == 0
    alice.messages.clear()
    with alice.floor.one_batch():
        sell(bob, 1, 1)
        alice.tell('{"id":1,"method":"private/edit","params":{"order_id":"1","amount":8}}')
        sell(bob, 1, 1)
        alice.tell('{"id":2,"method":"private/cancel","params":{"order_id":"1"}}')
    edited, canceled = (message["result"] for message in alice.messages)
    assert (edited["order"]["filled_amount"], edited["order"]["amount"], edited["order"]["order_state"]) == (
        6,
        8,
        "open",
    )
    assert (canceled["filled_amount"], canceled["order_state"], canceled["average_price"]) == (7, "cancelled", 1)


def test_an_order_that_was_read_is_encoded_again_after_every_batch_that_changes_it(alice: Client, bob: Client) -> None:
    """The order was read before; then it trades as maker, and its own command changes it."""
    buy(alice, 5, 1)
    ask = '{"id":1,"method":"private/get_order_state","params":{"order_id":"1"}}'
    told = []
    changes: tuple[Callable[[], Any], ...] = (
        lambda: sell(bob, 2, 1),
        lambda: sell(bob, 1, 1),
        lambda: alice.tell('{"id":2,"method":"private/cancel","params":{"order_id":"1"}}'),
    )
    for change in changes:
        alice.tell(ask)
        change()
        alice.floor.run()
        alice.messages.clear()
        alice.tell(ask)
        order = alice.messages[-1]["result"]
        told.append((order["filled_amount"], order["order_state"]))
    assert told == [(2, "open"), (3, "open"), (3, "cancelled")]


def test_edits_sent_one_after_the_other_without_waiting_add_up(alice: Client) -> None:
    buy(alice, 5, 1)
    with alice.floor.one_batch():
        changes: tuple[dict[str, Any], ...] = ({"price": "0.98"}, {"amount": 7}, {"price": "0.99"})
        for number, change in enumerate(changes):
            alice.tell(json.dumps({"id": number, "method": "private/edit", "params": {"order_id": "1"} | change}))
    assert [(answer["result"]["order"]["price"], answer["result"]["order"]["amount"]) for answer in alice.messages] == [
        (Decimal("0.98"), 5),
        (Decimal("0.98"), 7),
        (Decimal("0.99"), 7),
    ]
    assert alice.session.edits == {}


def test_mass_cancels_answer_the_number_of_orders(alice: Client, bob: Client) -> None:
    def fill_book() -> None:
        for name in ("SC2701", "FU2701"):
            for number in range(3):
                alice.ask("private/buy", instrument_name=name, amount=1, price=1, label=f"l{number}")

    buy(bob, 1, "0.95")
    for method, params, count in (
        ("cancel_all", {}, 6),
        ("cancel_all_by_instrument", {"instrument_name": "FU2701"}, 3),
        ("cancel_all_by_instrument", {"instrument_name": "FU2701", "type": "market"}, 0),
        ("cancel_all_by_currency", {"currency": "SC"}, 3),
        ("cancel_all_by_currency", {"currency": "CNY"}, 6),
        ("cancel_all_by_currency", {"currency": "CNY", "kind": "option"}, 0),
        ("cancel_all_by_kind_or_type", {"currency": "any", "kind": "future", "type": "limit"}, 6),
        ("cancel_by_label", {"label": "l1"}, 2),
        ("cancel_by_label", {"label": "none"}, 0),
    ):
        alice.ask("private/cancel_all")
        fill_book()
        assert alice.ask(f"private/{method}", **params) == count, method
        assert len(open_ids(alice)) == 6 - count
    assert open_ids(bob) == ["1"]
    error = alice.ask("private/cancel_all_by_currency", currency="XYZ")
    assert error["data"]["field"] == "currency" and "CNY" in error["data"]["bound"]


# Queries ------------------------------------------------------------------------------------------


def test_orders_are_found_by_instrument_currency_label_and_id(alice: Client) -> None:
    buy(alice, 1, 1, label="x")
    alice.ask("private/buy", instrument_name="FU2701", amount=2, price=1, client_order_id="y")
    assert open_ids(alice) == ["2", "1"]
    for method, params, found in (
        ("get_open_orders_by_instrument", {"instrument_name": "FU2701"}, ["2"]),
        ("get_open_orders_by_currency", {"currency": "SC"}, ["1"]),
        ("get_open_orders_by_label", {"label": "x"}, ["1"]),
        ("get_order_state_by_label", {"label": "y"}, ["2"]),
    ):
        assert [order["order_id"] for order in alice.ask(f"private/{method}", **params)] == found
    assert alice.ask("private/get_order_state", order_id=2)["client_order_id"] == "y"


def test_orders_of_other_accounts_cannot_be_read(alice: Client, bob: Client) -> None:
    buy(alice, 1, 1)
    assert bob.ask("private/get_order_state", order_id="1")["code"] == 10004
    assert bob.ask("private/get_user_trades_by_order", order_id="1")["code"] == 10004
    assert open_ids(bob) == []


def test_trades_are_reported_from_the_view_of_the_own_side(alice: Client, bob: Client) -> None:
    buy(alice, 5, 1, label="x")
    sell(bob, 2, 1)
    alice.floor.now += SECOND
    sell(bob, 3, 1)
    mine = alice.ask("private/get_user_trades_by_instrument", instrument_name="SC2701")
    assert [(trade["direction"], trade["amount"], trade["liquidity"], trade["label"]) for trade in mine["trades"]] == [
        ("buy", 3, "M", "x"),
        ("buy", 2, "M", "x"),
    ]
    assert mine["has_more"] is False
    first = alice.ask("private/get_user_trades_by_instrument", instrument_name="SC2701", sorting="asc", count=1)
    assert ([trade["amount"] for trade in first["trades"]], first["has_more"]) == ([2], True)
    later = alice.ask(
        "private/get_user_trades_by_currency_and_time", currency="CNY", start_timestamp=alice.floor.now // 1_000_000
    )
    assert [trade["amount"] for trade in later["trades"]] == [3]
    assert [trade["liquidity"] for trade in bob.ask("private/get_user_trades_by_order", order_id="2")] == ["T"]
    public = bob.ask("public/get_last_trades_by_instrument", instrument_name="SC2701")
    assert [(trade["amount"], trade["direction"]) for trade in public["trades"]] == [(3, "sell"), (2, "sell")]


def test_a_trade_has_the_same_number_of_its_instrument_in_every_message(
    floor: Floor, alice: Client, bob: Client
) -> None:
    """Also if one batch trades several instruments by turns, and after trades that had no reader."""
    symbols = ("SC2701", "FU2701")
    for symbol in symbols:
        alice.ask("private/buy", instrument_name=symbol, amount=20, price=1)
    bob.ask("private/sell", instrument_name="FU2701", amount=1, price=1)
    for client in (alice, bob):
        client.ask("private/subscribe", channels=["user.trades.any.any.raw"])
    with floor.one_batch():
        for symbol in symbols * 3:
            bob.ask("private/sell", instrument_name=symbol, amount=1, price=1)
    answers = [trade for message in bob.messages if "result" in message for trade in message["result"]["trades"]]
    told = [[trade for data in client.notified("user.trades.any.any.raw") for trade in data] for client in (alice, bob)]
    public, mine = (
        {
            trade["trade_id"]: trade["trade_seq"]
            for symbol in symbols
            for trade in alice.ask(method, instrument_name=symbol)["trades"]
        }
        for method in ("public/get_last_trades_by_instrument", "private/get_user_trades_by_instrument")
    )
    assert mine == public and sorted(public.values()) == [1, 1, 2, 2, 3, 3, 4]
    for trades in (answers, *told):
        assert len(trades) == 6 and all(public[trade["trade_id"]] == trade["trade_seq"] for trade in trades)


def test_own_trades_are_chosen_by_their_number(alice: Client, bob: Client) -> None:
    buy(alice, 9, 1)
    for amount in (1, 2, 3, 3):
        sell(bob, amount, 1)
    for method in ("private/get_user_trades_by_instrument", "public/get_last_trades_by_instrument"):
        chosen = alice.ask(method, instrument_name="SC2701", start_seq=2, end_seq=3)["trades"]
        assert [(trade["trade_seq"], trade["amount"]) for trade in chosen] == [(3, 3), (2, 2)]
        assert alice.ask(method, instrument_name="SC2701", start_id="5")["data"]["reason"] == "unknown_field"


def test_a_trade_with_oneself_has_two_sides(alice: Client) -> None:
    buy(alice, 1, 1)
    sell(alice, 1, 1)
    trades = alice.ask("private/get_user_trades_by_instrument", instrument_name="SC2701")["trades"]
    assert sorted(trade["direction"] for trade in trades) == ["buy", "sell"] and all(
        trade["self_trade"] for trade in trades
    )


def test_position_margin_and_funds_add_up() -> None:
    floor = Floor(
        [instrument(margin=1000, lot_size=Decimal(10))],
        [account("alice", equity=1_000_000), account("bob"), account("carol")],
    )
    alice, bob = floor.session("alice"), floor.session("bob")
    buy(alice, 50, 1)
    sell(bob, 30, 1)
    position = alice.ask("private/get_position", instrument_name="SC2701")
    assert (
        position["size"],
        position["direction"],
        position["average_price"],
        position["open_orders_buy"],
        position["initial_margin"],
        position["maintenance_margin"],
    ) == (30, "buy", 1, 20, 50, 24)
    assert bob.ask("private/get_positions", currency="CNY")[0]["size"] == -30
    summary = alice.ask("private/get_account_summary", currency="CNY")
    assert (summary["equity"], summary["initial_margin"], summary["available_funds"], summary["open_orders"]) == (
        10_000,
        50,
        9_950,
        1,
    )
    sell(bob, 20, 1)
    buy(alice, 10, "1.05")
    sell(bob, 10, "1.05")
    assert alice.ask("private/get_position", instrument_name="SC2701")["total_profit_loss"] == Decimal("2.50")


def test_the_order_book_and_ticker_are_those_of_the_market(alice: Client, bob: Client) -> None:
    buy(alice, 5, "0.99")
    buy(alice, 1, "0.98")
    sell(bob, 2, "1.02")
    book = alice.ask("public/get_order_book", instrument_name="SC2701", depth=1)
    assert (book["bids"], book["asks"], book["change_id"]) == ([[Decimal("0.99"), 5]], [[Decimal("1.02"), 2]], 3)
    ticker = alice.ask("public/ticker", instrument_name="SC2701")
    assert (ticker["best_bid_price"], ticker["best_ask_amount"], ticker["last_price"], ticker["state"]) == (
        Decimal("0.99"),
        2,
        1,
        "open",
    )
    alice.floor.operate(operator(CommandKind.PHASE, Phase.HALTED, instrument=0))
    assert alice.ask("public/ticker", instrument_name="SC2701")["state"] == "closed"
    assert buy(alice, 1, 1)["data"]["reason"] == "instrument_halted"


def test_instruments_are_described_by_their_terms(alice: Client) -> None:
    terms = alice.ask("public/get_instrument", instrument_name="FU2701")
    assert (terms["tick_size"], terms["contract_size"], terms["base_currency"], terms["price_floor"]) == (
        Decimal("0.01"),
        1,
        "FU",
        Decimal("0.9"),
    )
    assert [entry["instrument_name"] for entry in alice.ask("public/get_instruments", currency="SC")] == ["SC2701"]
    assert alice.ask("public/get_instruments", kind="option") == []


def test_a_query_to_the_engine_waits_until_its_state_is_durable(alice: Client, bob: Client) -> None:
    """Between the engine's call and the disk, an answer would report a trade that could still be lost."""
    floor = alice.floor
    sell(bob, 5, 1)
    block = rows(enter(0, 1, 100, 2), start=2, time=floor.now)
    events = floor.hub.exchange.apply(block)  # computed, but not yet on the disk
    alice.tell('{"id":5,"method":"private/get_positions"}')
    bob.tell('{"id":6,"method":"public/test"}')
    assert alice.messages == [] and bob.messages[-1]["id"] == 6
    floor.desk.publish(block, events)
    assert [position["size"] for position in alice.messages[-1]["result"]] == [2]


# Channels -----------------------------------------------------------------------------------------

ORDERS, TRADES = "user.orders.any.any.raw", "user.trades.any.any.raw"


def test_an_answer_leaves_before_every_notification_of_its_command(alice: Client, bob: Client) -> None:
    sell(bob, 5, 1)
    alice.ask("private/subscribe", channels=[ORDERS, TRADES, "book.SC2701.raw", "trades.SC2701.raw", "quote.SC2701"])
    alice.messages.clear()
    alice.tell('{"id":4,"method":"private/buy","params":{"instrument_name":"SC2701","amount":2,"price":1}}')
    assert alice.messages[0]["id"] == 4
    assert sorted(message["params"]["channel"] for message in alice.messages[1:]) == sorted(
        [ORDERS, TRADES, "book.SC2701.raw", "trades.SC2701.raw", "quote.SC2701"]
    )


def test_owners_get_each_change_of_their_orders_and_their_trades(alice: Client, bob: Client) -> None:
    alice.ask("private/subscribe", channels=[ORDERS, TRADES])
    buy(alice, 5, 1, client_order_id="a")
    sell(bob, 2, 1)
    alice.ask("private/edit", order_id="1", amount=4)
    alice.ask("private/cancel", order_id="1")
    assert [
        (order["exec_type"], order["order_state"], order["amount"], order["filled_amount"])
        for order in alice.notified(ORDERS)
    ] == [("new", "open", 5, 0), ("trade", "open", 5, 2), ("replaced", "open", 4, 2), ("canceled", "cancelled", 4, 2)]
    assert [
        [(trade["amount"], trade["liquidity"], trade["client_order_id"]) for trade in trades]
        for trades in alice.notified(TRADES)
    ] == [[(2, "M", "a")]]
    assert bob.messages == []


def test_changes_of_one_batch_are_reported_command_by_command(alice: Client, bob: Client) -> None:
    buy(alice, 9, 1)
    alice.ask("private/subscribe", channels=[ORDERS])
    with alice.floor.one_batch():
        for amount in (1, 2, 3):
            sell(bob, amount, 1)
    assert [(order["filled_amount"], order["seq"]) for order in alice.notified(ORDERS)] == [(1, 2), (3, 3), (6, 4)]


def test_a_rejected_order_is_no_notification(alice: Client) -> None:
    alice.ask("private/subscribe", channels=[ORDERS])
    buy(alice, 5, "9")
    assert alice.notified(ORDERS) == []


def test_funds_and_margin_are_reported_at_subscription_and_after_each_batch_that_changed_them() -> None:
    floor = Floor([instrument(margin=1000)], [account("alice", equity=1_000_000), account("bob"), account("carol")])
    alice, bob = floor.session("alice"), floor.session("bob")
    alice.ask("private/subscribe", channels=["user.portfolio.CNY"])
    buy(bob, 1, "0.95")
    with floor.one_batch():
        for _ in range(3):
            alice.tell('{"id":1,"method":"private/buy","params":{"instrument_name":"SC2701","amount":2,"price":1}}')
    assert [(funds["initial_margin"], funds["available_funds"]) for funds in alice.notified("user.portfolio.CNY")] == [
        (0, 10_000),
        (60, 9_940),
    ]


def test_the_end_of_the_day_is_reported_to_owners(alice: Client) -> None:
    buy(alice, 5, 1, time_in_force="good_til_day")
    alice.ask("private/subscribe", channels=[ORDERS])
    alice.floor.operate(operator(CommandKind.END_DAY))
    assert [(order["exec_type"], order["reason"]) for order in alice.notified(ORDERS)] == [("expired", "day_ended")]


def test_private_channels_are_by_instrument_or_currency_and_end_when_left(alice: Client) -> None:
    alice.ask("private/subscribe", channels=["user.orders.FU2701.raw", "user.orders.future.SC.raw"])
    buy(alice, 1, 1)
    alice.ask("private/buy", instrument_name="FU2701", amount=1, price=1)
    assert [order["instrument_name"] for order in alice.notified("user.orders.FU2701.raw")] == ["FU2701"]
    assert [order["instrument_name"] for order in alice.notified("user.orders.future.SC.raw")] == ["SC2701"]
    assert alice.ask("private/unsubscribe", channels=["user.orders.FU2701.raw", ORDERS]) == ["user.orders.FU2701.raw"]
    assert alice.ask("private/unsubscribe_all") == "ok"
    alice.messages.clear()
    buy(alice, 1, 1)
    assert alice.messages == []


def test_the_channels_of_a_symbol_with_a_dot_are_found() -> None:
    trader = Floor([instrument("600000.SH"), instrument("600000")]).session("alice")
    channels = ["user.orders.600000.SH.raw", "book.600000.SH.raw", "book.600000.SH.none.1.100ms", "ticker.600000.raw"]
    assert trader.ask("private/subscribe", channels=channels) == channels
    trader.ask("private/buy", instrument_name="600000.SH", amount=1, price=1)
    assert [order["instrument_name"] for order in trader.notified("user.orders.600000.SH.raw")] == ["600000.SH"]


@pytest.mark.parametrize(
    "name",
    [
        "user.orders.XX.raw",
        "user.orders.raw",
        "user.fills.any.any.raw",
        "user.orders.any.XYZ.raw",
        "user.orders.foo.any.raw",
        "book.XX.raw",
        "book.SC2701",
        "book.SC2701.10ms",
        "candles.SC2701",
        "",
        "user",
    ],
)
def test_a_channel_that_does_not_exist_refuses_the_request_as_a_whole(alice: Client, name: str) -> None:
    error = alice.ask("private/subscribe", channels=[ORDERS, "book.SC2701.raw", name])
    assert (error["code"], error["data"]["field"], error["data"]["value"]) == (11045, "channels", name)
    buy(alice, 1, 1)
    assert alice.messages == []


def test_private_channels_need_a_log_on(floor: Floor) -> None:
    client = floor.session()
    assert client.ask("public/subscribe", channels=["trades.SC2701.raw"]) == ["trades.SC2701.raw"]
    assert client.ask("public/subscribe", channels=[ORDERS])["code"] == 13009


def test_logging_on_as_somebody_else_ends_the_private_channels(alice: Client, bob: Client) -> None:
    alice.ask("private/subscribe", channels=[ORDERS])
    alice.ask("public/auth", grant_type="client_credentials", client_id="carol", client_secret="carol-secret")
    alice.messages.clear()
    buy(bob, 1, 1)
    buy(alice, 1, 1)
    assert alice.notified(ORDERS) == []


def test_the_platform_state_is_published_at_subscription_and_when_trading_stops(floor: Floor, alice: Client) -> None:
    alice.ask("public/subscribe", channels=["platform_state"])
    assert alice.notified("platform_state") == [
        {"locked": False, "phases": {"SC2701": "continuous", "FU2701": "continuous"}}
    ]
    alice.messages.clear()
    floor.operate(operator(CommandKind.KILL_SWITCH, Scope.HUB, quantity=1))
    floor.operate(operator(CommandKind.PHASE, Phase.HALTED, instrument=1))
    assert alice.notified("platform_state") == [
        {"locked": True, "phases": {}},
        {"locked": True, "phases": {"FU2701": "halted"}},
    ]
    assert alice.ask("public/status") == {"locked": "true", "locked_reason": "operator"}
    assert buy(alice, 1, 1)["data"]["reason"] == "hub_killed"


# Rate ---------------------------------------------------------------------------------------------


def test_beyond_the_rate_a_request_is_refused_with_the_time_to_wait_and_not_done() -> None:
    floor = Floor(limits=Limits(requests_per_second=10, request_burst=3))
    alice = floor.session("alice")
    answers = [buy(alice, 1, 1) for _ in range(4)]
    assert ["order" in answer for answer in answers] == [True, True, True, False]
    data = answers[3]["data"]
    assert (answers[3]["code"], data["retry_after_ms"], data["limit"], data["remaining"]) == (10028, 100, 10, 0)
    floor.now += 99_000_000
    assert buy(alice, 1, 1)["data"]["retry_after_ms"] == 1
    floor.now += 1_000_000
    assert "order" in buy(alice, 1, 1)
    assert alice.closed is None


def test_all_connections_of_a_key_share_its_rate() -> None:
    floor = Floor(limits=Limits(requests_per_second=10, request_burst=3))
    first, second = floor.session("alice"), floor.session("alice")
    answers = [buy(client, 1, 1) for client in (first, second, first, second)]
    assert ["order" in answer for answer in answers] == [True, True, True, False]


def test_a_bucket_gives_exactly_its_rate() -> None:
    bucket, taken = Bucket(1000, 10), 0
    for now in range(0, 2 * SECOND, 100_000):
        try:
            bucket.take(now)
            taken += 1
        except Refused as refused:
            assert refused.code == 10028
    assert taken == 10 + 1999


def test_too_many_commands_in_flight_are_refused() -> None:
    floor = Floor(limits=Limits(pending=2))
    alice = floor.session("alice")
    with floor.one_batch():
        for number in range(3):
            alice.tell(
                json.dumps(
                    {
                        "id": number,
                        "method": "private/buy",
                        "params": {"instrument_name": "SC2701", "amount": 1, "price": 1},
                    }
                )
            )
        assert [message["error"]["code"] for message in alice.messages] == [10047]
    assert [message["id"] for message in alice.messages] == [2, 0, 1]


# Heartbeat ----------------------------------------------------------------------------------------


def beats(client: Client) -> list[str]:
    return [message["params"]["type"] for message in client.messages if message.get("method") == "heartbeat"]


def test_an_active_client_gets_heartbeats_and_a_silent_one_a_test_request_and_then_the_close(
    floor: Floor, alice: Client
) -> None:
    alice.ask("public/set_heartbeat", interval=10)
    for second in range(1, 21):
        floor.now += SECOND
        if second < 12:
            alice.ask("public/test")
        alice.session.tick(floor.now)
    assert beats(alice) == ["heartbeat", "heartbeat"]
    for _ in range(10):
        floor.now += SECOND
        alice.session.tick(floor.now)
    assert beats(alice) == ["heartbeat", "heartbeat", "test_request"]
    for _ in range(9):
        floor.now += SECOND
        alice.session.tick(floor.now)
    assert alice.closed is None
    floor.now += SECOND
    alice.session.tick(floor.now)
    assert alice.closed == (4001, "heartbeat missed")


def test_an_answered_test_request_keeps_the_connection(floor: Floor, alice: Client) -> None:
    alice.ask("public/set_heartbeat", interval=10)
    for _ in range(6):
        floor.now += 10 * SECOND
        alice.session.tick(floor.now)
        if beats(alice)[-1] == "test_request":
            alice.ask("public/test")
    assert alice.closed is None
    alice.ask("public/disable_heartbeat")
    floor.now += 100 * SECOND
    alice.session.tick(floor.now)
    assert alice.closed is None


def test_a_heartbeat_may_not_be_too_fast(alice: Client) -> None:
    error = alice.ask("public/set_heartbeat", interval=9)
    assert (error["data"]["field"], error["data"]["value"], error["data"]["bound"]) == ("interval", 9, 10)


# Lost connections ---------------------------------------------------------------------------------


def lose(client: Client, **how: Any) -> None:
    client.session.lost(client.floor.now, **how)
    client.floor.run()


def test_without_cancel_on_disconnect_orders_stay(floor: Floor, alice: Client) -> None:
    buy(alice, 1, 1)
    lose(alice)
    assert open_ids(floor.session("alice")) == ["1"]


def test_by_connection_only_the_orders_entered_on_it_are_canceled(floor: Floor, alice: Client, bob: Client) -> None:
    other = floor.session("alice")
    assert alice.ask("private/get_cancel_on_disconnect") == {"scope": "connection", "enabled": False}
    buy(other, 1, 1)
    buy(alice, 1, 1)
    buy(alice, 1, "0.99")
    sell(bob, 1, 1)  # fills order 1
    alice.ask("private/enable_cancel_on_disconnect")
    assert alice.ask("private/get_cancel_on_disconnect") == {"scope": "connection", "enabled": True}
    buy(other, 1, "0.98")
    lose(alice)
    assert open_ids(other) == ["5"]


def test_by_account_all_its_orders_are_canceled_and_no_others(floor: Floor, alice: Client, bob: Client) -> None:
    other = floor.session("alice")
    buy(other, 1, 1)
    buy(bob, 1, 1)
    alice.ask("private/enable_cancel_on_disconnect", scope="account")
    lose(alice)
    lose(alice)  # once
    assert open_ids(other) == [] and open_ids(bob) == ["2"]
    assert floor.hub.exchange.sequence == 3


@pytest.mark.parametrize("scope", ["connection", "account"])
def test_orders_on_their_way_when_the_connection_is_lost_are_canceled_too(
    floor: Floor, alice: Client, scope: str
) -> None:
    alice.ask("private/enable_cancel_on_disconnect", scope=scope)
    with floor.one_batch():
        buy(alice, 1, 1)
        alice.session.lost(floor.now)
    assert open_ids(floor.session("alice")) == []


@pytest.mark.parametrize("how", ["logout", "disabled", "the hub stops"])
def test_nothing_is_canceled_after(floor: Floor, alice: Client, how: str) -> None:
    buy(alice, 1, 1)
    alice.ask("private/enable_cancel_on_disconnect")
    if how == "logout":
        alice.ask("private/logout")
    elif how == "disabled":
        alice.ask("private/disable_cancel_on_disconnect")
    lose(alice, cancel=how != "the hub stops")
    assert open_ids(floor.session("alice")) == ["1"]


def test_a_lost_session_is_forgotten_everywhere(floor: Floor, alice: Client) -> None:
    alice.ask("private/subscribe", channels=[ORDERS, "book.SC2701.raw", "platform_state"])
    lose(alice)
    alice.messages.clear()
    buy(floor.session("alice"), 1, 1)
    assert alice.messages == [] and not floor.desk.platform and not floor.hub.feed.channels(alice)


@pytest.mark.compiled
def test_orders_remembered_for_a_lost_connection_are_bounded(floor: Floor, alice: Client) -> None:
    for _ in range(1500):
        buy(alice, 1, 1)
        alice.ask("private/cancel_all")
    assert len(alice.session.entered) <= 1024


def test_commands_that_a_stopping_hub_did_not_accept_are_answered(floor: Floor, alice: Client) -> None:
    floor.held = True
    alice.tell('{"id":3,"method":"private/cancel_all"}')
    ((session, _, ticket),) = floor.waiting
    session.failed([ticket], floor.now)
    assert (alice.messages[-1]["id"], alice.messages[-1]["error"]["code"]) == (3, 10040)


# Everything together ------------------------------------------------------------------------------


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(4))
def test_reports_to_owners_always_equal_the_blotter(seed: int) -> None:
    """Random orders in random batches: the last notification of every order is its state, and so is every answer."""
    chance = random.Random(seed)
    floor = Floor([instrument(price_rule=chance.choice(("resting", "median")))])
    clients = {key: floor.session(key) for key in ("alice", "bob", "carol")}
    for client in clients.values():
        client.ask("private/subscribe", channels=[ORDERS, TRADES])
    for _ in range(120):
        with floor.one_batch():
            for _ in range(chance.randint(1, 6)):
                client = clients[chance.choice(list(clients))]
                roll = chance.random()
                known = [
                    message["params"]["data"]["order_id"]
                    for message in client.messages
                    if message.get("params", {}).get("channel") == ORDERS
                ]
                if roll < 0.6 or not known:
                    client.tell(
                        json.dumps(
                            {
                                "id": 1,
                                "method": chance.choice(("private/buy", "private/sell")),
                                "params": {
                                    "instrument_name": "SC2701",
                                    "amount": chance.randint(1, 5),
                                    "price": chance.randint(97, 103) / 100,
                                    "time_in_force": chance.choice(
                                        ("good_til_cancelled", "good_til_day", "immediate_or_cancel")
                                    ),
                                },
                            }
                        )
                    )
                elif roll < 0.8:
                    client.tell(
                        json.dumps(
                            {
                                "id": 1,
                                "method": "private/edit",
                                "params": {
                                    "order_id": chance.choice(known),
                                    "amount": chance.randint(1, 6),
                                    "price": chance.randint(97, 103) / 100,
                                },
                            }
                        )
                    )
                else:
                    client.tell(
                        json.dumps({"id": 1, "method": "private/cancel", "params": {"order_id": chance.choice(known)}})
                    )
    for client in clients.values():
        last: dict[Any, Any] = {}
        filled: dict[Any, Any] = {}
        for order in client.notified(ORDERS):
            assert order["seq"] > last.get(order["order_id"], {"seq": 0})["seq"]
            last[order["order_id"]] = order
        for trade in (trade for trades in client.notified(TRADES) for trade in trades):
            filled[trade["order_id"]] = filled.get(trade["order_id"], 0) + trade["amount"]
        assert last
        for order_id, order in last.items():
            assert order["filled_amount"] == filled.get(order_id, 0)
            state = client.ask("private/get_order_state", order_id=order_id)
            for name in ("order_state", "price", "amount", "filled_amount", "average_price", "seq", "reason"):
                assert state[name] == order[name], (order_id, name)
        answered = [
            message["result"]["order"] for message in client.messages if "order" in (message.get("result") or {})
        ]
        told = {(order["order_id"], order["seq"]): order for order in client.notified(ORDERS)}
        for order in answered:
            assert order == told[order["order_id"], order["seq"]]
