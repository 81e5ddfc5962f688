"""What codes.py says of order types is what the engine and the reference do with them."""

import pytest

from matching.codes import LIMIT_TYPES, STOP_TYPES, OrderType, Side
from tests.build import enter
from tests.venue import OpenVenue


@pytest.mark.parametrize("order_type", OrderType)
def test_2_9_orders_of_stop_types_name_a_trigger_and_no_others_do(venue: OpenVenue, order_type: OrderType) -> None:
    answer = venue().do(enter(0, Side.BUY, 105, 1, order_type=order_type, trigger_price=105))[0]
    assert (answer[1] != "INVALID_TRIGGER_PRICE") is (order_type in STOP_TYPES)


@pytest.mark.parametrize("order_type", OrderType)
def test_5_6_orders_of_limit_types_have_a_price_within_the_band(venue: OpenVenue, order_type: OrderType) -> None:
    trigger = 105 if order_type in STOP_TYPES else 0
    answer = venue().do(enter(0, Side.BUY, 999, 1, order_type=order_type, trigger_price=trigger))[0]
    assert (answer[1] == "PRICE_ABOVE_BAND") is (order_type in LIMIT_TYPES)
