"""Prices in currency and volumes in barrels or tonnes, to ticks and lots and back. Exact, or refused.

    price_to_ticks(instrument, "551.3")  -> 5513
    lots_to_amount(instrument, 2)        -> Decimal("2000")

A number may be an int, a str, a Decimal, or the float that a JSON parser made. A float stands for the shortest decimal
that denotes it: 551.3 means 551.3, not the binary fraction next to it.
"""

import datetime
from decimal import Decimal, InvalidOperation

from exchange.instruments import Instrument

BEIJING = datetime.timezone(datetime.timedelta(hours=8))  # all year
_LARGEST = 1 << 62
_LARGEST_EXPONENT = 40


class UnitError(ValueError):
    """A number that is not a whole multiple of its unit. `field`, `value` and `bound` say which and why."""

    def __init__(self, field: str, value: object, bound: str) -> None:
        super().__init__(f"{field} is {value}, must be {bound}")
        self.field, self.value, self.bound = field, value, bound


class TooLarge(UnitError):
    """A number beyond what can be counted in ticks or lots."""


def _whole(field: str, value: object, unit: Decimal, unit_name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)):
        raise UnitError(field, value, "a number")
    try:
        number = Decimal(repr(value) if isinstance(value, float) else value)
    except InvalidOperation:
        raise UnitError(field, value, "a finite number") from None
    if not number.is_finite():
        raise UnitError(field, value, "a finite number")
    if number and number.adjusted() > _LARGEST_EXPONENT:  # 1E999990 as an integer would take minutes
        raise TooLarge(field, value, f"within {_LARGEST} {unit_name}s")
    whole = int(number / unit)
    if whole * unit != number:
        raise UnitError(field, value, f"a multiple of the {unit_name} {unit}")
    if not -_LARGEST < whole < _LARGEST:
        raise TooLarge(field, value, f"within {_LARGEST} {unit_name}s")
    return whole


def price_to_ticks(instrument: Instrument, price: object, field: str = "price") -> int:
    """Price in currency -> ticks. Errors: UnitError."""
    return _whole(field, price, instrument.tick_size, "tick size")


def amount_to_lots(instrument: Instrument, amount: object, field: str = "amount") -> int:
    """Volume in the instrument's unit -> lots. Errors: UnitError."""
    return _whole(field, amount, instrument.lot_size, "lot size")


def ticks_to_price(instrument: Instrument, ticks: int) -> Decimal:
    """Ticks -> price in currency, exact."""
    return int(ticks) * instrument.tick_size


def lots_to_amount(instrument: Instrument, lots: int) -> Decimal:
    """Lots -> volume in the instrument's unit, exact."""
    return int(lots) * instrument.lot_size


def notional_to_money(instrument: Instrument, notional: int) -> Decimal:
    """Ticks x lots -> currency, exact."""
    return notional * instrument.tick_size * instrument.lot_size


def fen_to_money(fen: int) -> Decimal:
    """Fen -> currency, exact."""
    return Decimal(int(fen)).scaleb(-2)
