"""What is traded: an instrument's terms, and the built-in catalogue.

    Instrument(symbol="SC2701", tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=4500, price_ceiling=6100)

Sizes are Decimals in currency and volume; everything else counts ticks, lots or fen. exchange/units.py translates.
"""
import datetime
import json
import pathlib
from dataclasses import dataclass
from decimal import Decimal

from matching.bitmap import MAX_LEVELS

_UNBOUNDED = 1 << 40             # lots; far from any real order, small enough that products stay within int64
_INT64 = (1 << 63) - 1


class InstrumentError(ValueError):
    """Terms that cannot be traded. Names the instrument, the field, its value and the bound."""

    exit_code = 12


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Terms of one instrument. Raises InstrumentError when they contradict each other."""

    symbol: str
    tick_size: Decimal                   # currency per unit of volume
    lot_size: Decimal                    # units of volume per lot
    price_floor: int                     # ticks, lowest price of the band
    price_ceiling: int                   # ticks, highest price of the band
    reference_price: int | None = None   # ticks, stands for the last trade before the first; default: middle of the band
    price_rule: str = "resting"          # "resting" or "median" (RULEBOOK 3.2)
    protection: int = 0                  # ticks a market order may go beyond the best price; 0: to the band
    collar: int = 0                      # ticks around the last trade; 0: none
    margin: int = 0                      # fen per lot
    minimum_quantity: int = 1            # lots
    quantity_increment: int = 1          # lots
    price_increment: int = 1             # ticks
    max_order_quantity: int = _UNBOUNDED # lots
    max_position: int = _UNBOUNDED       # lots of one account, worst case
    unit: str = "unit"                   # bbl, t, BTC ...
    currency: str = "CNY"
    product: str = ""                    # family: crude, fuel_oil ...
    name: str = ""
    listed: datetime.date | None = None
    expiry: datetime.date | None = None  # last trading day

    def __post_init__(self) -> None:
        if self.reference_price is None:
            object.__setattr__(self, "reference_price", (self.price_floor + self.price_ceiling) // 2)
        width = self.price_ceiling - self.price_floor + 1
        self._require("tick_size", self.tick_size, self.tick_size > 0, "above 0")
        self._require("lot_size", self.lot_size, self.lot_size > 0, "above 0")
        self._require("price_ceiling", self.price_ceiling, 1 <= width <= MAX_LEVELS,
                      f"{self.price_floor} to {self.price_floor + MAX_LEVELS - 1}")
        self._require("reference_price", self.reference_price,
                      self.price_floor <= self.reference_price <= self.price_ceiling,
                      f"{self.price_floor} to {self.price_ceiling}")
        self._require("price_rule", self.price_rule, self.price_rule in ("resting", "median"), "resting or median")
        for field in ("protection", "collar", "margin"):
            self._require(field, getattr(self, field), 0 <= getattr(self, field) <= _UNBOUNDED, f"0 to {_UNBOUNDED}")
        for field in ("minimum_quantity", "quantity_increment", "price_increment", "max_order_quantity"):
            self._require(field, getattr(self, field), 1 <= getattr(self, field) <= _UNBOUNDED, f"1 to {_UNBOUNDED}")
        self._require("max_position", self.max_position, 0 <= self.max_position <= _UNBOUNDED, f"0 to {_UNBOUNDED}")
        if "." in self.symbol or not self.symbol.isascii() or not 0 < len(self.symbol) <= 32:
            self._require("symbol", self.symbol, False, "1 to 32 ASCII characters without a dot")

    def _require(self, field: str, value: object, holds: bool, bound: str) -> None:
        if not holds:
            raise InstrumentError(f"instrument {self.symbol}: {field} is {value}, must be {bound}")

    @property
    def fen_per_tick(self) -> int:
        """Value of one tick on one lot, in fen; 0 where it is a fraction of a fen (notional is then not limited)."""
        return int(self.tick_size * self.lot_size * 100)


def largest_order(instrument: Instrument) -> int:
    """Lots up to which price x quantity x fen per tick stays within int64 at any price of the band."""
    worst = max(abs(instrument.price_floor), abs(instrument.price_ceiling), 1) * max(instrument.fen_per_tick, 1)
    return min(instrument.max_order_quantity, _INT64 // 4 // worst)


CATALOGUE = pathlib.Path(__file__).with_name("catalogue.json")


def load_catalogue(path: pathlib.Path = CATALOGUE) -> tuple[Instrument, ...]:
    """Read instruments from a catalogue file.

    Errors    InstrumentError naming the file and the entry
    """
    try:
        families = json.loads(path.read_text())["families"]
        instruments = tuple(_instrument(family, month) for family in families for month in family["months"])
    except OSError as error:
        raise InstrumentError(f"catalogue {path}: {error.strerror}") from None
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        if isinstance(error, InstrumentError):
            raise InstrumentError(f"catalogue {path.name}: {error}") from None
        raise InstrumentError(f"catalogue {path.name}: {type(error).__name__} {error}") from None
    symbols = [instrument.symbol for instrument in instruments]
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            raise InstrumentError(f"catalogue {path.name}: symbol {symbol} is listed twice")
    return instruments


def _instrument(family: dict, month: dict) -> Instrument:
    """One delivery month of a product family. The band is a share of the reference price."""
    tick_size, lot_size = Decimal(family["tick_size"]), Decimal(family["lot_size"])
    reference = int(Decimal(month["reference_price"]) / tick_size)
    limit = int(reference * Decimal(family["price_limit"]))
    value = reference * tick_size * lot_size * 100
    return Instrument(
        symbol=family["code"] + month["month"], tick_size=tick_size, lot_size=lot_size,
        price_floor=reference - limit, price_ceiling=reference + limit, reference_price=reference,
        price_rule=family["price_rule"], protection=family["protection"], collar=family["collar"],
        margin=int(value * Decimal(family["margin_rate"])), max_order_quantity=family["max_order_quantity"],
        max_position=family["max_position"], unit=family["unit"], currency=family["currency"],
        product=family["product"], name=f"{family['name']} {month['month']}",
        listed=datetime.date.fromisoformat(month["listed"]), expiry=datetime.date.fromisoformat(month["expiry"]))
