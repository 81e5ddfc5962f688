"""Exact numbers and dates: text to integers and back. Nothing is rounded; what is not exact is refused.

    scale = Scale(instrument)
    scale.ticks(Raw(b'"520.5"'))                 # 5205
    scale.price(5205)                            # "520.5", a JSON number

Prices and amounts stay raw text until the instrument is known. A Scale converts them through exchange/units.py and
remembers what it has converted: the prices of one instrument are few.
"""

import datetime
import re
from decimal import Context, Decimal
from typing import Any, SupportsInt

from msgspec import Raw

from exchange.catalogue.calendar import yyyymmdd
from exchange.instruments import Instrument
from exchange.units import TooLarge, amount_to_lots, lots_to_amount, notional_to_money, price_to_ticks, ticks_to_price
from gateway.text.refusals import REASONS, Refused, invalid
from matching.codes import Reason

_NUMBER = re.compile(rb'(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)|"(-?[0-9]{1,24}(?:\.[0-9]{1,24})?)"')
_MAX_CHARACTERS = 64  # of a number
_ABOVE_ALL = Decimal(10) ** 24
_REMEMBERED = 65_536
_TWELVE_DIGITS = Context(prec=12)


class Scale:
    """Prices and amounts of one instrument. Each distinct value is converted once and remembered."""

    __slots__ = ("instrument", "_ticks", "_lots", "_prices", "_amounts")

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self._ticks: dict[bytes, int] = {}
        self._lots: dict[bytes, int] = {}
        self._prices: dict[int, str] = {}
        self._amounts: dict[int, str] = {}

    def ticks(self, raw: Raw, field: str = "price") -> int:
        """Ticks of a JSON number or text. Errors: Refused naming the field."""
        text = bytes(raw)
        known = self._ticks.get(text)
        return known if known is not None else _remember(self._ticks, text, self._to_ticks(text, field))

    def lots(self, raw: Raw, field: str = "amount") -> int:
        """Lots of a JSON number or text. Errors: Refused naming the field."""
        text = bytes(raw)
        known = self._lots.get(text)
        return known if known is not None else _remember(self._lots, text, self._to_lots(text, field))

    def _to_ticks(self, text: bytes, field: str) -> int:
        number = decimal(text, field)
        try:
            return price_to_ticks(self.instrument, number, field)
        except ValueError as error:
            raise _off_step(Reason.PRICE_OFF_TICK, error, field, number, self.instrument.tick_size) from None

    def _to_lots(self, text: bytes, field: str) -> int:
        number = decimal(text, field)
        try:
            return amount_to_lots(self.instrument, number, field)
        except ValueError as error:
            raise _off_step(Reason.QUANTITY_OFF_LOT, error, field, number, self.instrument.lot_size) from None

    def price(self, ticks: int) -> str:
        """A price as a JSON number, with all its digits."""
        known = self._prices.get(ticks)
        if known is not None:
            return known
        return _remember(self._prices, ticks, plain(ticks_to_price(self.instrument, ticks)))

    def amount(self, lots: int) -> str:
        """An amount as a JSON number."""
        known = self._amounts.get(lots)
        if known is not None:
            return known
        return _remember(self._amounts, lots, plain(lots_to_amount(self.instrument, lots)))

    def decimal_price(self, ticks: SupportsInt) -> Decimal:
        """A price as a number that answers.encode writes with all its digits."""
        return Decimal(self.price(int(ticks)))

    def decimal_amount(self, lots: SupportsInt) -> Decimal:
        """An amount as a number that answers.encode writes with all its digits."""
        return Decimal(self.amount(int(lots)))

    def average(self, notional: int, lots: int) -> str:
        """The average price of a notional (ticks x lots), to 12 digits where it is not exact."""
        if lots == 0:
            return "0"
        ticks, rest = divmod(notional, lots)
        if rest == 0:
            return self.price(ticks)
        return plain(_TWELVE_DIGITS.divide(notional * self.instrument.tick_size, Decimal(lots)))

    def money(self, notional: int) -> Decimal:
        """A notional (ticks x lots) in currency."""
        return notional_to_money(self.instrument, notional)


def _off_step(reason: Reason, error: ValueError, field: str, number: Decimal, step: Decimal) -> Refused:
    """The refusal of a price between ticks, an amount between lots, or a number that no int64 can count."""
    if isinstance(error, TooLarge):
        return invalid(field, str(error), value=number, bound=error.bound)
    wording = REASONS[reason]
    code, message = (10044, "trigger_price_wrong_tick") if field == "trigger_price" else (wording.code, wording.message)
    return Refused(
        code, message, str(error), field=field, value=number, bound=step, fix=wording.fix, reason=reason.name.lower()
    )


def _remember(memory: dict[Any, Any], key: Any, value: Any) -> Any:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
    return value


def decimal(text: bytes, field: str) -> Decimal:
    """The exact value of a JSON number, or of a text that holds a plain decimal. Errors: Refused naming the field."""
    found = _NUMBER.fullmatch(text) if len(text) <= _MAX_CHARACTERS else None
    number = Decimal((found[1] or found[2]).decode()) if found else _ABOVE_ALL
    if not -_ABOVE_ALL < number < _ABOVE_ALL:
        shown = text[:_MAX_CHARACTERS].decode("utf-8", "replace").strip('"')
        raise invalid(field, f"{field}: {shown} is not a number of at most 24 digits before the point", value=shown)
    return number


def plain(number: Decimal) -> str:
    """A number as JSON, without exponent and without trailing zeros."""
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") or "0") if "." in text else text


def fen(amount: SupportsInt) -> Decimal:
    """Fen (hundredths of the currency) in currency."""
    return Decimal(int(amount)) / 100


# Dates --------------------------------------------------------------------------------------------


def date_text(date: int) -> str:
    """YYYY-MM-DD of yyyymmdd. 0 is "none"; numbers too small to be a date are "any"."""
    if date == 0:
        return "none"
    if date < 1_000_00_00:
        return "any"
    return f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}"


def date_number(text: str, field: str) -> int:
    """yyyymmdd of YYYY-MM-DD. Errors: Refused naming the field."""
    try:
        if len(text) != 10:
            raise ValueError
        return yyyymmdd(datetime.date.fromisoformat(text))
    except ValueError:
        raise invalid(field, f"{field}: {text} is not a date such as 2026-12-31", value=text) from None
