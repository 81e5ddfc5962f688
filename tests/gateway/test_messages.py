"""Reading strictly, refusing by name, exact decimals, the table of reasons, and rows that are the dtypes' bytes."""

import contextlib
import json
import pathlib
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw, ValidationError
from pydantic import ValidationError as ModelError

from gateway.models import DOCUMENTED
from gateway.rpc import requests
from gateway.rpc.requests import METHODS, from_query
from gateway.rpc.session import HANDLERS
from gateway.text.messages import (
    REASONS,
    Reader,
    Refused,
    Scale,
    command_row,
    commands_of,
    decimal,
    decode,
    encode,
    events_of,
    refused_by_rule,
)
from matching.codes import Reason
from matching.records import COMMAND, EVENT, Event
from tests.build import instrument

PROTOCOL = pathlib.Path(__file__).parents[2] / "docs" / "PROTOCOL.md"
ORDER = '{"jsonrpc":"2.0","id":7,"method":"private/buy","params":{"instrument_name":"SC2701","amount":5,"price":1.05}}'


def read(frame: str) -> Any:
    request = decode(frame)
    return METHODS[request.method].reader.read(request, frame)


def refusal(frame: str) -> Refused:
    with pytest.raises(Refused) as refused:
        read(frame)
    return refused.value


def order(params: str) -> str:
    return '{"method":"private/buy","params":' + params + "}"


# Reasons ------------------------------------------------------------------------------------------


def test_every_reason_is_told() -> None:
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_message_in_snake_case_a_fix_code_and_a_text(reason: Reason) -> None:
    told = REASONS[reason]
    assert told.message.replace("_", "").isalnum() and told.message == told.message.lower()
    assert told.fix.tag in (103, 378, 380)
    assert told.text.format(value=1, bound=2)


def test_two_rules_with_the_same_code_have_the_same_message() -> None:
    messages = {told.code: told.message for told in REASONS.values()}
    assert all(messages[told.code] == told.message for told in REASONS.values())


def reason_lines() -> Iterator[str]:
    """The table of PROTOCOL.md 9."""
    for reason, told in REASONS.items():
        if reason is not Reason.NONE:
            yield (
                f"| {int(reason)} | {reason.name.lower()} | {told.code} | {told.message} | {told.field or '-'} "
                f"| {told.fix.tag}={told.fix.value} |"
            )


def test_the_protocol_lists_every_reason_as_the_code_has_it() -> None:
    text = PROTOCOL.read_text()
    table = text.split("<!-- reasons: begin -->")[1].split("<!-- reasons: end -->")[0]
    assert table.strip().splitlines()[2:] == list(reason_lines())


def test_the_protocol_names_every_method() -> None:
    text = PROTOCOL.read_text()
    assert [name for name in METHODS if f"`{name}`" not in text] == []


def test_every_method_has_a_handler_and_every_handler_a_method() -> None:
    assert set(METHODS) == set(HANDLERS)


def test_numbers_of_a_refusal_are_in_the_units_of_the_field() -> None:
    event = Event(1, 9, 0, 0, 0, 0, 0, 0, 0, 123, 110, b"", 0, 0, 0, 2, 1, int(Reason.PRICE_ABOVE_BAND), 0)
    refused = refused_by_rule(event, Scale(instrument()))
    assert (refused.code, refused.message, refused.data["seq"]) == (10007, "price_too_high", 9)
    assert (refused.data["value"], refused.data["bound"]) == (Decimal("1.23"), Decimal("1.1"))
    assert refused.data["fix"] == {"tag": 103, "value": 16}


# Reading ------------------------------------------------------------------------------------------


def test_an_order_is_read() -> None:
    parameters = read(ORDER)
    assert (
        parameters.instrument_name == "SC2701"
        and bytes(parameters.amount) == b"5"
        and bytes(parameters.price) == b"1.05"
    )


@pytest.mark.parametrize(
    ("params", "field", "reason"),
    [
        ('{"instrument_name":"S","amount":1,"foo":1}', "foo", "unknown_field"),
        ('{"instrument_name":"S","price":1}', "amount", "value_required"),
        ('{"instrument_name":7,"amount":1}', "instrument_name", "invalid_value"),
        ('{"instrument_name":null,"amount":1}', "instrument_name", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"type":"stop"}', "type", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"post_only":1}', "post_only", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"post_only":"true"}', "post_only", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"label":"123456789012345678901"}', "label", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"label":""}', "label", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"label":"a\\n"}', "label", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"client_order_id":"\u00fc"}', "client_order_id", "invalid_value"),
        ('{"instrument_name":"S","amount":1,"price":1,"price":2}', "price", "duplicate_field"),
        ('{"instrument_name":"S","amount":1,"price":1,"price" :2}', "price", "duplicate_field"),
        ('{"instrument_name":"S:","amount":1,"price":1,"price":1}', "price", "duplicate_field"),
    ],
)
def test_what_is_wrong_with_a_parameter_is_told_by_its_name(params: str, field: str, reason: str) -> None:
    refused = refusal(order(params))
    assert (refused.code, refused.data["field"], refused.data["reason"]) == (-32602, field, reason)
    assert field in str(refused)


@pytest.mark.parametrize(
    "frame",
    [
        '{"method":"private/buy","method":"public/test","params":{}}',
        '{"id":1,"id":2,"method":"public/test"}',
        '{"method":"public/test","params":{},"params":{}}',
    ],
)
def test_an_envelope_with_a_field_given_twice_is_refused(frame: str) -> None:
    assert refusal(frame).data["reason"] == "duplicate_field"


def test_a_colon_in_a_text_is_no_field_given_twice() -> None:
    assert read(order('{"instrument_name":"S","amount":1,"label":"a:b:c"}')).label == "a:b:c"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("", -32700),
        ("{", -32700),
        ("nonsense", -32700),
        (ORDER + "x", -32700),
        (ORDER + ORDER, -32700),
        (b'{"method":"\xff"}', -32700),
        ('{"method":"\ud800"}', -32700),
        ('{"method":"public/test","params":' + "[" * 100_000, -32700),
        ('{"method":"public/test","params":' + "[" * 100_000 + "]" * 100_000 + "}", -32700),
        ("[]", -32600),
        ("7", -32600),
        ("{}", -32600),
        ('{"method":7}', -32600),
        ('{"method":"a","id":1.5}', -32600),
        ('{"method":"a","id":true}', -32600),
        ('{"method":"a","id":[1]}', -32600),
        ('{"method":"a","id":9223372036854775808}', -32600),
        ('{"method":"a","jsonrpc":"1.0"}', -32600),
        ('{"method":"a","foo":1}', -32600),
        ("[" * 50_000, -32600),
    ],
)
def test_what_is_no_request_is_refused(frame: bytes | str, code: int) -> None:
    with pytest.raises(Refused) as refused:
        decode(frame)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "params", ["[]", "7", '"x"', "null", '{"instrument_name":"S","amount":' + "[" * 900 + "]" * 900 + "}"]
)
def test_parameters_that_are_no_flat_object_are_refused(params: str) -> None:
    frame = order(params)
    refused = None
    try:
        scale = Scale(instrument())
        scale.lots(read(frame).amount)
    except Refused as error:
        refused = error
    assert refused is not None and refused.code == -32602


@given(
    st.binary(max_size=200)
    | st.text(max_size=200)
    | st.builds(
        lambda value: json.dumps({"method": "private/buy", "params": value}),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
        ),
    )
)
def test_no_frame_whatever_raises_anything_but_a_refusal(frame: Any) -> None:
    with contextlib.suppress(Refused, KeyError):  # KeyError: the method, which the session looks up
        read(frame)


# Exact decimals -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"520.5", b'"520.5"', b"520.50", b"5205e-1", b'"0520.500"'])
def test_numbers_and_texts_mean_their_exact_decimal(text: bytes) -> None:
    assert decimal(text, "price") == Decimal("520.5")


@pytest.mark.parametrize(
    "text",
    [
        b"NaN",
        b"Infinity",
        b"true",
        b"null",
        b"[1]",
        b"{}",
        b'"NaN"',
        b'"1e3"',
        b'" 1"',
        b'"1_000"',
        b'"+1"',
        b'""',
        b'"0x1"',
        b'"\xd9\xa1"',
        b"1e400",
        b"1e25",
        b"9" * 25,
        b"1" * 65,
        b'"1.5.2"',
        b'"\\u0031"',
        b"0." + b"1" * 80,
    ],
)
def test_what_is_no_plain_number_is_refused_by_name(text: bytes) -> None:
    with pytest.raises(Refused) as refused:
        decimal(text, "price")
    assert refused.value.data["field"] == "price"


def test_every_price_and_amount_goes_out_and_comes_back_exactly() -> None:
    terms = instrument(floor=-2000, ceiling=2000, tick_size=Decimal("0.05"), lot_size=Decimal("0.00000001"))
    scale = Scale(terms)
    for ticks in range(-2000, 2001):
        text = scale.price(ticks)
        assert Decimal(text) == ticks * terms.tick_size and "e" not in text.lower()
        assert scale.ticks(Raw(text.encode())) == Scale(terms).ticks(Raw(f'"{text}"'.encode())) == ticks
        assert json.loads(text) == float(Decimal(text))
    assert scale.amount(123_456_789_012_345) == "1234567.89012345"
    assert scale.lots(Raw(b"1234567.89012345")) == 123_456_789_012_345


@pytest.mark.parametrize(
    ("method", "value", "field", "reason"),
    [
        ("ticks", b"1.005", "price", "price_off_tick"),
        ("ticks", b"0.3000000000000000055", "price", "price_off_tick"),
        ("lots", b"1.5", "amount", "quantity_off_lot"),
        ("lots", b"1e-40", "amount", "quantity_off_lot"),
        ("lots", b"900000000000000000000000", "amount", "invalid_value"),
        ("ticks", b"-900000000000000000000000", "price", "invalid_value"),
    ],
)
def test_what_is_no_whole_tick_or_lot_or_beyond_all_bounds_is_refused_and_never_rounded(
    method: str, value: bytes, field: str, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        getattr(Scale(instrument()), method)(Raw(value))
    assert (refused.value.data["field"], refused.value.data["reason"]) == (field, reason)


def test_an_average_price_is_exact_where_it_can_be() -> None:
    scale = Scale(instrument())
    assert (scale.average(0, 0), scale.average(300, 3), scale.average(301, 2)) == ("0", "1", "1.505")
    assert scale.average(100, 3) == "0.333333333333"


def test_what_a_scale_remembers_is_bounded() -> None:
    scale = Scale(instrument())
    for lots in range(1, 70_000):
        scale.amount(lots)
    assert len(scale._amounts) <= 65_536
    assert scale.amount(3) == "3"


# Rows ---------------------------------------------------------------------------------------------


def test_a_packed_row_is_the_dtypes_row() -> None:
    row = np.frombuffer(
        command_row(
            1,
            5,
            9,
            instrument=3,
            order_id=12,
            price=-7,
            trigger_price=-9,
            quantity=8,
            display_quantity=4,
            minimum_quantity=2,
            client_order_id=b"abc",
            expire_date=20270115,
            counterparty=6,
            side=2,
            order_type=2,
            time_in_force=3,
            flags=64,
        ),
        COMMAND,
    )[0]
    assert [row[name].item() for name in COMMAND.names] == [
        0,
        0,
        12,
        -7,
        -9,
        8,
        4,
        2,
        b"abc",
        3,
        5,
        20270115,
        6,
        1,
        2,
        2,
        3,
        64,
        9,
    ]


@given(
    st.binary(min_size=COMMAND.itemsize, max_size=COMMAND.itemsize),
    st.binary(min_size=EVENT.itemsize, max_size=EVENT.itemsize),
)
def test_reading_a_row_gives_what_the_dtype_gives(command: bytes, event: bytes) -> None:
    for raw, dtype, read_all in ((command, COMMAND, commands_of), (event, EVENT, events_of)):
        row = np.frombuffer(raw, dtype)
        values = next(read_all(row))
        assert values._fields == dtype.names
        for name, value in zip(dtype.names, values, strict=True):
            assert (value.rstrip(b"\0") if isinstance(value, bytes) else value) == row[0][name].item()


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
def test_what_is_wrong_in_a_query_is_told_by_its_name(struct: type, pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(Refused) as refused:
        frame = encode({"method": "m", "params": from_query(struct, pairs)})
        Reader(struct).read(decode(frame), frame)
    assert refused.value.data["field"] == field


# The documented models say the same ---------------------------------------------------------------


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
def test_structs_and_documented_models_take_and_refuse_the_same(method: str, data: Any) -> None:
    fields = data.draw(st.lists(st.sampled_from(FIELDS[method]), unique=True, max_size=4))
    params = {name: value for name, value in GOOD.items() if name in FIELDS[method] and name in MUST[method]}
    for name in fields:
        params[name] = data.draw(st.just(GOOD.get(name, True)) | SCALARS)
    assert taken_by_structs(method, params) is taken_by_models(method, params), params
