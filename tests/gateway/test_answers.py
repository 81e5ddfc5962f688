"""Rejections of the engine, as errors."""

from decimal import Decimal

from gateway.text.answers import rejection
from gateway.text.scale import Scale
from matching.codes import Reason
from matching.records import Event
from tests.build import instrument


def test_numbers_of_a_rejection_are_in_the_units_of_the_field() -> None:
    event = Event(1, 9, 0, 0, 0, 0, 0, 0, 0, 123, 110, b"", 0, 0, 0, 2, 1, int(Reason.PRICE_ABOVE_BAND), 0)
    refused = rejection(event, Scale(instrument()))
    assert (refused.code, refused.message, refused.data["seq"]) == (10007, "price_too_high", 9)
    assert (refused.data["value"], refused.data["bound"]) == (Decimal("1.23"), Decimal("1.1"))
    assert refused.data["fix"] == {"tag": 103, "value": 16}
