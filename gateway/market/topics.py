"""Names of public channels, read: "book.SC2701.none.10.100ms" -> Topic.

topics = Topics(exchange.instruments)
topics.read("trades.SC2701.raw").kind        # "trades"; ChannelError names what is wrong
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from exchange.instruments import Instrument
from matching.codes import ALL

KINDS = ("book", "quote", "trades", "ticker", "auction", "phase")
READS_ENGINE = ("ticker", "auction")  # channels that show more than market data
_DEPTHS = ("1", "10", "20")


class ChannelError(ValueError):
    """A channel that does not exist. The message names it and what is allowed."""


@dataclass(frozen=True)
class Topic:
    """A channel name, read."""

    name: str
    kind: str  # book, image, quote, trades, ticker, auction or phase
    instrument: int  # ALL: all of them
    conflated: bool  # 100ms
    group: int = 1  # ticks
    depth: int = 0  # levels of an image


class Topics:
    """The channels that exist for these instruments. engine: whether those of READS_ENGINE do."""

    def __init__(self, instruments: Sequence[Instrument], engine: bool = True) -> None:
        self._instruments = instruments
        self._indices = {instrument.symbol: index for index, instrument in enumerate(instruments)}
        self._engine = engine

    def read(self, name: str) -> Topic:
        """Errors: ChannelError."""
        kind, *rest = name.split(".")
        if kind not in KINDS or not rest or (kind in READS_ENGINE and not self._engine):
            raise ChannelError(f"channel {name}: unknown, public channels are {', '.join(KINDS)} of an instrument")
        if name == "phase.any":
            return Topic(name, kind, ALL, False)
        # a symbol may hold dots
        split = next((end for end in range(len(rest), 0, -1) if ".".join(rest[:end]) in self._indices), None)
        if split is None:
            raise ChannelError(f"channel {name}: instrument {rest[0]} is unknown")
        symbol, options = ".".join(rest[:split]), rest[split:]
        instrument = self._indices[symbol]
        if kind in ("quote", "auction", "phase"):
            if options:
                raise ChannelError(f"channel {name}: must be {kind}.{symbol}")
            return Topic(name, kind, instrument, kind == "auction")
        if len(options) not in ((1, 3) if kind == "book" else (1,)):
            raise ChannelError(f"channel {name}: must be {kind}.{symbol}.raw or {kind}.{symbol}.100ms")
        if options[-1] not in ("raw", "100ms"):
            raise ChannelError(f"channel {name}: interval is {options[-1]}, must be raw or 100ms")
        conflated = options[-1] == "100ms"
        if len(options) == 1:
            return Topic(name, kind, instrument, conflated)
        if options[1] not in _DEPTHS:
            raise ChannelError(f"channel {name}: depth is {options[1]}, must be one of {', '.join(_DEPTHS)}")
        return Topic(name, "image", instrument, conflated, self._group(name, instrument, options[0]), int(options[1]))

    def _group(self, name: str, instrument: int, text: str) -> int:
        """Ticks of a price group. Errors: ChannelError."""
        if text == "none":
            return 1
        tick = self._instruments[instrument].tick_size
        if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0) or Decimal(text) % tick:
            raise ChannelError(f"channel {name}: group is {text}, must be none or a whole multiple of the tick {tick}")
        return int(Decimal(text) / tick)
