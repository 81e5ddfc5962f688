"""exchange/units.py: prices and volumes become ticks and lots exactly, or are refused with field, value and bound."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.instruments import Instrument
from exchange.units import (
    TooLarge,
    UnitError,
    amount_to_lots,
    fen_to_money,
    lots_to_amount,
    price_to_ticks,
    ticks_to_price,
)
from tests.build import instrument

CRUDE = instrument(tick_size=Decimal("0.1"), lot_size=Decimal(1000))
BITCOIN = instrument("BTC", tick_size=Decimal("0.01"), lot_size=Decimal("1E-8"))
QUARTERS = instrument("QTR", tick_size=Decimal("0.25"), lot_size=Decimal("2.5"))
LARGEST = 1 << 62

instruments = st.sampled_from((CRUDE, BITCOIN, QUARTERS))
counts = st.integers(-LARGEST + 1, LARGEST - 1)
CONVERTERS = [(price_to_ticks, "price", "tick_size"), (amount_to_lots, "amount", "lot_size")]


def refusal(convert: Callable[..., Any], *arguments: Any) -> TooLarge | UnitError:
    with pytest.raises(UnitError) as caught:
        convert(*arguments)
    return caught.value


@given(instruments, counts)
def test_ticks_to_a_price_and_back_are_the_same_ticks(terms: Instrument, ticks: int) -> None:
    price = ticks_to_price(terms, ticks)
    assert price == ticks * terms.tick_size
    assert price_to_ticks(terms, price) == price_to_ticks(terms, str(price)) == ticks


@given(instruments, counts)
def test_lots_to_an_amount_and_back_are_the_same_lots(terms: Instrument, lots: int) -> None:
    amount = lots_to_amount(terms, lots)
    assert amount == lots * terms.lot_size
    assert amount_to_lots(terms, amount) == amount_to_lots(terms, f"{amount:f}") == lots


@given(instruments, st.integers(-(10**12), 10**12))
def test_the_float_that_a_json_number_became_is_read_as_the_decimal_that_was_written(
    terms: Instrument, ticks: int
) -> None:
    written = str(ticks_to_price(terms, ticks))
    assert price_to_ticks(terms, float(written)) == ticks


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_its_shortest_decimal_and_nothing_near_it(price: float) -> None:
    exact = Decimal(repr(price)) / CRUDE.tick_size
    if exact == int(exact) and abs(int(exact)) < LARGEST:
        assert price_to_ticks(CRUDE, price) == int(exact)
    else:
        refusal(price_to_ticks, CRUDE, price)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_decimal_is_a_whole_number_of_ticks_or_refused(price: Decimal) -> None:
    thousandths = int(price * 1000)
    if thousandths % 250 == 0:
        assert price_to_ticks(QUARTERS, price) == thousandths // 250
    else:
        assert refusal(price_to_ticks, QUARTERS, price).value == price


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        ticks = price_to_ticks(CRUDE, text)
    except UnitError as error:
        assert error.field == "price" and error.value == text
    else:
        assert ticks * CRUDE.tick_size == Decimal(text)


@pytest.mark.parametrize(
    ("value", "ticks"),
    [
        ("521.0", 5210),
        ("521", 5210),
        (521, 5210),
        (521.0, 5210),
        (520.3, 5203),
        (Decimal("520.30"), 5203),
        ("5.203E2", 5203),
        (-0.1, -1),
        ("-37.6", -376),
        (0, 0),
        ("-0", 0),
    ],
)
def test_a_price_may_come_as_text_integer_decimal_or_float(value: Any, ticks: int) -> None:
    assert price_to_ticks(CRUDE, value) == ticks


@pytest.mark.parametrize(("convert", "field", "unit"), CONVERTERS)
@pytest.mark.parametrize("value", [None, True, False, [1], {"price": 1}, b"1", 1j])
def test_what_is_no_number_is_refused(convert: Callable[..., Any], field: str, unit: str, value: Any) -> None:
    error = refusal(convert, CRUDE, value)
    assert (error.field, error.value, error.bound) == (field, value, "a number")


@pytest.mark.parametrize(("convert", "field", "unit"), CONVERTERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), "-Infinity", "NaN", "sNaN", "", "ten", "1,5", "0x10"])
def test_what_is_no_finite_number_is_refused(
    convert: Callable[..., Any], field: str, unit: str, value: float | str
) -> None:
    error = refusal(convert, CRUDE, value)
    assert error.field == field and error.bound == "a finite number"


@pytest.mark.parametrize(
    ("convert", "field", "value", "bound"),
    [
        (price_to_ticks, "price", "521.05", "a multiple of the tick size 0.1"),
        (price_to_ticks, "price", 520.3000001, "a multiple of the tick size 0.1"),
        (price_to_ticks, "price", 0.1 + 0.2, "a multiple of the tick size 0.1"),
        (price_to_ticks, "price", "1E-400", "a multiple of the tick size 0.1"),
        (amount_to_lots, "amount", 1500, "a multiple of the lot size 1000"),
        (amount_to_lots, "amount", "999.999999999999999999999999999999999", "a multiple of the lot size 1000"),
        (price_to_ticks, "price", LARGEST, f"within {LARGEST} tick sizes"),
        (price_to_ticks, "price", "-1E30", f"within {LARGEST} tick sizes"),
        (price_to_ticks, "price", "1E999990", f"within {LARGEST} tick sizes"),
        (price_to_ticks, "price", "-1E999999", f"within {LARGEST} tick sizes"),
        (price_to_ticks, "price", 1e300, f"within {LARGEST} tick sizes"),
        (price_to_ticks, "price", "1E-999999", "a multiple of the tick size 0.1"),
    ],
)
def test_a_refusal_names_field_value_and_bound(
    convert: Callable[..., Any], field: str, value: float | str, bound: str
) -> None:
    error = refusal(convert, CRUDE, value)
    assert (error.field, error.value) == (field, value)
    assert error.bound == bound
    assert str(error) == f"{field} is {value}, must be {bound}"


def test_a_refusal_names_the_field_that_the_caller_used() -> None:
    assert refusal(price_to_ticks, CRUDE, "521.05", "trigger_price").field == "trigger_price"
    assert refusal(amount_to_lots, CRUDE, 1, "display_amount").field == "display_amount"


def test_a_number_of_many_digits_is_read_exactly_or_refused() -> None:
    assert price_to_ticks(CRUDE, "521." + "0" * 60) == 5210
    refusal(price_to_ticks, CRUDE, "521." + "0" * 60 + "1")


@given(st.integers(-(1 << 62), 1 << 62))
def test_fen_become_money_exactly(fen: int) -> None:
    money = fen_to_money(fen)
    assert money * 100 == fen and money.as_tuple().exponent == -2
