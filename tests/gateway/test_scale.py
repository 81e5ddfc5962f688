"""Exact decimals: nothing is rounded, and what is not exact is refused."""

import json
from decimal import Decimal

import pytest
from msgspec import Raw

from gateway.text.refusals import Refused
from gateway.text.scale import Scale, decimal
from tests.build import instrument


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
