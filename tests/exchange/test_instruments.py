"""exchange/instruments.py: terms that can be traded, and terms that contradict each other."""

from decimal import Decimal
from typing import Any

import pytest

from exchange import Exchange
from exchange.instruments import Instrument, InstrumentError, daily_limits, largest_order
from tests.build import instrument


@pytest.mark.parametrize(
    ("terms", "field", "bound"),
    [
        ({"tick_size": Decimal(0)}, "tick_size", "above 0"),
        ({"lot_size": Decimal(-1)}, "lot_size", "above 0"),
        ({"ceiling": 89}, "price_ceiling", "90 to 262233"),
        ({"ceiling": 90 + 64**3}, "price_ceiling", "90 to 262233"),
        ({"reference_price": 111}, "reference_price", "90 to 110"),
        ({"price_increment": 0}, "price_increment", "1 to 1099511627776"),
        ({"margin": -1}, "margin", "0 to 1099511627776"),
        ({"legs": ("A", "B", "C")}, "legs", "at most two symbols"),
        ({"legs": ("A", "B"), "at_settlement": True}, "legs", "one symbol"),
        ({"at_settlement": True}, "legs", "one symbol"),
    ],
)
def test_terms_that_contradict_each_other_are_refused_with_field_value_and_bound(
    terms: dict[str, Any], field: str, bound: str
) -> None:
    with pytest.raises(InstrumentError, match=f"^instrument SC2701: {field} is .*, must be {bound}$"):
        instrument(**terms)


def test_a_symbol_may_hold_a_dot() -> None:
    assert instrument("600000.SH").symbol == "600000.SH"


@pytest.mark.parametrize("symbol", ["", "S" * 33, "\u539f\u6cb9"])
def test_a_symbol_that_is_empty_long_or_not_ascii_is_refused(symbol: str) -> None:
    with pytest.raises(InstrumentError, match="symbol is .*, must be 1 to 32 ASCII characters$"):
        instrument(symbol)


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ({"legs": ("NEAR", "LATER")}, "legs is LATER, must be a symbol that is listed"),
        ({"legs": ("NEAR", "SPREAD")}, "legs is SPREAD, must be an instrument without legs"),
        ({"legs": ("TIMES",)}, "legs is TIMES, must be an instrument without legs"),
        ({"offset": True}, "offset is True, must be False, that of the leg NEAR"),
        ({"legs": ("NEAR", "APART")}, "offset is False, must be True, that of the leg APART"),
        ({"tick_size": Decimal(1)}, "tick_size is 1, must be 0.01, that of the leg NEAR"),
        ({"lot_size": Decimal(10)}, "lot_size is 10, must be 1, that of the leg NEAR"),
    ],
)
def test_legs_that_do_not_fit_are_refused_with_field_value_and_bound(terms: dict[str, Any], told: str) -> None:
    """RULEBOOK 12.6"""
    legs = [
        instrument("NEAR"),
        instrument("FAR"),
        instrument("APART", offset=True),
        instrument("SPREAD", legs=("NEAR", "FAR")),
    ]
    with pytest.raises(InstrumentError, match=f"^instrument TIMES: {told}$"):
        Exchange([*legs, instrument("TIMES", **{"legs": ("NEAR", "FAR")} | terms)])


def test_without_a_reference_price_it_is_the_middle_of_the_band() -> None:
    terms = Instrument(
        symbol="SC2701", tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=90, price_ceiling=111
    )
    assert terms.reference_price == 100


def test_the_largest_order_keeps_its_notional_countable() -> None:
    terms = instrument(floor=1, ceiling=1 << 17, reference_price=1, tick_size=Decimal(10**9), lot_size=Decimal(1000))
    lots = largest_order(terms)
    assert lots < terms.max_order_quantity
    assert lots * terms.price_ceiling * terms.fen_per_tick < 1 << 63


@pytest.mark.parametrize(
    ("settlement", "rate", "limits"),
    [
        (5210, 800, (4794, 5626)),  # 416.8 ticks, towards zero
        (5210, 0, (1000, 9000)),  # no daily limit: the ladder
        (1100, 5000, (1000, 1650)),  # held within the ladder
        (8000, 5000, (4000, 9000)),
        (1003, 9, (1002, 1004)),  # at least one tick
    ],
)
def test_daily_limits_are_a_share_of_the_settlement_price_within_the_ladder(
    settlement: int, rate: int, limits: tuple[int, int]
) -> None:
    """RULEBOOK 9.1"""
    assert daily_limits(instrument(floor=1000, ceiling=9000, reference_price=5000), settlement, rate) == limits


def test_daily_limits_of_a_negative_price_are_a_share_of_its_size() -> None:
    """RULEBOOK 9.1"""
    assert daily_limits(instrument(floor=-500, ceiling=500, reference_price=0), -100, 1000) == (-110, -90)
