"""Requests are read strictly and refused by the name of the field."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.rpc.methods.table import METHODS
from gateway.text.reader import decode
from gateway.text.refusals import Refused
from gateway.text.scale import Scale
from tests.build import instrument

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
def test_a_wrong_parameter_is_named(params: str, field: str, reason: str) -> None:
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
def test_any_frame_is_read_or_refused(frame: Any) -> None:
    with contextlib.suppress(Refused, KeyError):  # KeyError: the method, which the session looks up
        read(frame)
