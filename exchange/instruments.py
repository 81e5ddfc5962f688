"""What is traded: an instrument's terms. exchange/catalogue has those of the hub.

    Instrument(symbol="SC2701", tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=4500, price_ceiling=6100)

Sizes are Decimals in currency and volume; everything else counts ticks, lots or fen. exchange/units.py translates.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from matching.bitmap import MAX_LEVELS
from matching.codes import AuctionStep, Mechanism, Phase

_UNBOUNDED = 1 << 40  # lots; far from any real order, small enough that products stay within int64
MIDDLE = -(1 << 62)  # a reference price that is not given
_INT64 = (1 << 63) - 1


class InstrumentError(ValueError):
    """Terms that cannot be traded. Names the instrument, the field, its value and the bound."""

    exit_code = 12


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """Terms of one instrument. Raises InstrumentError when they contradict each other.

    `auction` selects the tie-breaks of its call auctions as bits of AuctionStep, which are applied in this order:

        AuctionStep.IMBALANCE   prices at which least is left unmatched
        AuctionStep.REFERENCE   the price nearest to the previous settlement price (SHFE, INE)
        AuctionStep.MIDDLE      the middle price, half a tick rounded up

    The lowest of what is left is the price. The Shanghai Stock Exchange: AuctionStep.IMBALANCE | AuctionStep.MIDDLE.
    """

    symbol: str
    tick_size: Decimal  # currency per unit of volume
    lot_size: Decimal  # units of volume per lot
    price_floor: int  # ticks, lowest price that its ladder has a row for
    price_ceiling: int  # ticks, highest
    reference_price: int = MIDDLE  # ticks, stands for the last trade before the first; default: middle of the band
    price_rule: str = "resting"  # "resting" or "median" (RULEBOOK 3.2)
    protection: int = 0  # ticks a market order may go beyond the best price; 0: to the band
    collar: int = 0  # ticks around the last trade; 0: none
    margin: int = 0  # fen per lot
    minimum_quantity: int = 1  # lots
    quantity_increment: int = 1  # lots
    price_increment: int = 1  # ticks
    max_order_quantity: int = _UNBOUNDED  # lots
    max_position: int = _UNBOUNDED  # lots of one account, worst case
    daily_limit: int = 0  # 1/10,000 of the settlement price; 0: the whole ladder is the band
    margin_rate: int = 0  # 1/10,000 of the settlement price; 0: `margin` holds until a LIMIT command
    fee_per_lot: int = 0  # fen
    fee_rate: int = 0  # 1/1,000,000 of the value
    velocity: int = 0  # ticks that trades may move within the window; 0: no circuit breaker
    velocity_window: int = 0  # ms
    opening_cap: int = 0  # lots an account may open a day; 0: none
    auction: AuctionStep = AuctionStep.REFERENCE  # tie-breaks of a call auction (RULEBOOK 8.5)
    mechanism: Mechanism = Mechanism.ORDER_BOOK
    legs: tuple[str, ...] = ()  # symbols that positions go to: near and far of a spread, or the one leg
    at_settlement: bool = False  # prices are ticks off the leg's settlement price
    offset: bool = False  # orders open or close (RULEBOOK 10)
    physical: bool = False  # delivered at expiry
    phase: Phase = Phase.CONTINUOUS  # to begin with
    unit: str = "unit"  # bbl, t, BTC ...
    currency: str = "CNY"
    product: str = ""  # family: crude, fuel_oil ...
    name: str = ""
    listed: datetime.date | None = None
    expiry: datetime.date | None = None  # last trading day

    def __post_init__(self) -> None:
        if self.reference_price == MIDDLE:
            object.__setattr__(self, "reference_price", (self.price_floor + self.price_ceiling) // 2)
        width = self.price_ceiling - self.price_floor + 1
        self._require("tick_size", self.tick_size, self.tick_size > 0, "above 0")
        self._require("lot_size", self.lot_size, self.lot_size > 0, "above 0")
        self._require(
            "price_ceiling",
            self.price_ceiling,
            1 <= width <= MAX_LEVELS,
            f"{self.price_floor} to {self.price_floor + MAX_LEVELS - 1}",
        )
        self._require(
            "reference_price",
            self.reference_price,
            self.price_floor <= self.reference_price <= self.price_ceiling,
            f"{self.price_floor} to {self.price_ceiling}",
        )
        self._require("price_rule", self.price_rule, self.price_rule in ("resting", "median"), "resting or median")
        for field in ("protection", "collar", "margin"):
            self._require(field, getattr(self, field), 0 <= getattr(self, field) <= _UNBOUNDED, f"0 to {_UNBOUNDED}")
        for field in (
            "daily_limit",
            "margin_rate",
            "fee_per_lot",
            "fee_rate",
            "velocity",
            "velocity_window",
            "opening_cap",
        ):
            self._require(field, getattr(self, field), 0 <= getattr(self, field) <= _UNBOUNDED, f"0 to {_UNBOUNDED}")
        for field in ("minimum_quantity", "quantity_increment", "price_increment", "max_order_quantity"):
            self._require(field, getattr(self, field), 1 <= getattr(self, field) <= _UNBOUNDED, f"1 to {_UNBOUNDED}")
        self._require("max_position", self.max_position, 0 <= self.max_position <= _UNBOUNDED, f"0 to {_UNBOUNDED}")
        self._require(
            "legs",
            ", ".join(self.legs) or "none",
            len(self.legs) == 1 if self.at_settlement else len(self.legs) <= 2,
            "one symbol" if self.at_settlement else "at most two symbols",
        )
        fits = self.symbol.isascii() and 0 < len(self.symbol) <= 32
        self._require("symbol", self.symbol, fits, "1 to 32 ASCII characters")

    def check_legs(self, listed: Mapping[str, "Instrument"]) -> None:
        """Raises InstrumentError where a leg is not listed, has legs itself, or differs in what both must share (12.6)."""
        for symbol in self.legs:
            self._require("legs", symbol, symbol in listed, "a symbol that is listed")
            leg = listed[symbol]
            self._require("legs", symbol, not leg.legs, "an instrument without legs")
            for field in ("tick_size", "lot_size", "offset"):
                self._require(
                    field,
                    getattr(self, field),
                    getattr(self, field) == getattr(leg, field),
                    f"{getattr(leg, field)}, that of the leg {symbol}",
                )

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


def daily_limits(instrument: Instrument, settlement: int, rate: int) -> tuple[int, int]:
    """(floor, ceiling) of the band in ticks: settlement plus and minus rate / 10,000, within the ladder. RULEBOOK 9.1."""
    if rate == 0:
        return instrument.price_floor, instrument.price_ceiling
    width = max(abs(settlement) * rate // 10_000, 1)
    return max(settlement - width, instrument.price_floor), min(settlement + width, instrument.price_ceiling)
