"""Parameters of methods: query strings, the documented models, the protocol's words, and the table."""

import json
import pathlib
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, ValidationError
from pydantic import ValidationError as ModelError

from gateway.rpc import requests
from gateway.rpc.methods.table import METHODS
from gateway.rpc.models import DOCUMENTED
from gateway.rpc.requests import from_query
from gateway.text import words
from gateway.text.answers import encode
from gateway.text.reader import Reader, decode
from gateway.text.refusals import Refused
from gateway.text.scale import decimal
from matching.codes import OrderType, TimeInForce

PROTOCOL = pathlib.Path(__file__).parents[2] / "docs" / "PROTOCOL.md"


def read(frame: str) -> Any:
    request = decode(frame)
    return METHODS[request.method].reader.read(request, frame)


def test_the_protocol_names_every_method() -> None:
    text = PROTOCOL.read_text()
    assert [name for name in METHODS if f"`{name}`" not in text] == []


def test_parameters_take_the_words_that_the_protocol_has_for_codes() -> None:
    assert set(words.ORDER_TYPE) == set(OrderType) and set(words.TIME_IN_FORCE) == set(TimeInForce)
    assert set(get_args(words.OrderTypeWord)) == set(words.ORDER_TYPE_CODE)
    assert set(get_args(requests.TimeInForce)) == set(words.TIME_IN_FORCE_CODE)


# Query strings ------------------------------------------------------------------------------------


def test_texts_of_a_query_become_what_the_parameters_need() -> None:
    values = from_query(
        requests.Enter,
        [
            ("instrument_name", "7"),
            ("amount", "2000.0"),
            ("price", "520.5"),
            ("post_only", "true"),
            ("label", "12"),
            ("type", "limit"),
        ],
    )
    frame = encode({"method": "private/buy", "params": values})
    parameters = read(frame)
    assert (parameters.instrument_name, bytes(parameters.amount), parameters.post_only, parameters.label) == (
        "7",
        b'"2000.0"',
        True,
        "12",
    )


@pytest.mark.parametrize(
    ("struct", "pairs", "field"),
    [
        (requests.GetOrderBook, [("instrument_name", "S"), ("depth", "x")], "depth"),
        (requests.GetOrderBook, [("instrument_name", "S"), ("depth", "0")], "depth"),
        (requests.GetOrderBook, [("instrument_name", "S"), ("deep", "1")], "deep"),
        (requests.GetInstruments, [("expired", "maybe")], "expired"),
        (requests.GetInstruments, [("kind", "future"), ("kind", "option")], "kind"),
    ],
)
def test_a_wrong_query_parameter_is_named(struct: type, pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(Refused) as refused:
        frame = encode({"method": "m", "params": from_query(struct, pairs)})
        Reader(struct).read(decode(frame), frame)
    assert refused.value.data["field"] == field


# The documented models ----------------------------------------------------------------------------


def taken_by_structs(method: str, params: dict[str, Any]) -> bool:
    frame = json.dumps({"method": method, "params": params})
    try:
        parameters = read(frame)
        for field in ("amount", "price", "trigger_price", "display_amount", "minimum_amount"):
            if isinstance(getattr(parameters, field, None), Raw):
                decimal(bytes(getattr(parameters, field)), field)
    except Refused:
        return False
    return True


def taken_by_models(method: str, params: dict[str, Any]) -> bool:
    try:
        DOCUMENTED[method].model_validate_json(json.dumps(params))
    except (ModelError, ValidationError):
        return False
    return True


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-10, 10**26)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=22)
    | st.sampled_from(
        [
            "1.5",
            "-2",
            "1e3",
            " 1",
            "7_0",
            "NaN",
            "limit",
            "market",
            "raw",
            "",
            "x" * 21,
            "2026-1-1",
            "2026-12-31\n",
            "x" * 65,
            "close",
        ]
    )
    | st.lists(st.integers(), max_size=2)
)
FIELDS = {
    "private/buy": [
        "instrument_name",
        "amount",
        "price",
        "type",
        "time_in_force",
        "client_order_id",
        "label",
        "post_only",
        "reject_post_only",
        "reduce_only",
        "self_match",
        "trigger_price",
        "trigger",
        "expire_date",
        "display_amount",
        "minimum_amount",
        "linked_order_id",
        "offset",
        "counterparty",
        "other",
    ],
    "private/edit": ["order_id", "amount", "price", "trigger_price", "post_only", "reject_post_only", "other"],
    "private/cancel": ["order_id", "other"],
    "private/take": ["order_id", "amount", "client_order_id", "label", "other"],
}
MUST = {
    "private/buy": ("instrument_name", "amount"),
    "private/edit": ("order_id",),
    "private/cancel": ("order_id",),
    "private/take": ("order_id", "amount"),
}
GOOD = {
    "instrument_name": "SC2701",
    "amount": 5,
    "order_id": "12",
    "price": 1.05,
    "type": "stop_limit",
    "label": "a",
    "time_in_force": "good_til_date",
    "self_match": "cancel_both",
    "trigger_price": "1.05",
    "trigger": "last_price",
    "expire_date": "2026-12-31",
    "display_amount": 1,
    "minimum_amount": 1,
    "linked_order_id": 7,
    "offset": "close_today",
    "counterparty": "bob",
}


@pytest.mark.parametrize("method", FIELDS)
@given(data=st.data())
def test_structs_and_documented_models_accept_and_refuse_the_same(method: str, data: Any) -> None:
    fields = data.draw(st.lists(st.sampled_from(FIELDS[method]), unique=True, max_size=4))
    params = {name: value for name, value in GOOD.items() if name in FIELDS[method] and name in MUST[method]}
    for name in fields:
        params[name] = data.draw(st.just(GOOD.get(name, True)) | SCALARS)
    assert taken_by_structs(method, params) is taken_by_models(method, params), params
