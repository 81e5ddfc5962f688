"""The exchange: instruments, engine, journal, projections, replay. No sockets.

    from exchange import Account, Exchange, Instrument, Stamper
    from exchange.commands import cancel, enter

docs/IN_PROCESS.md shows how to use it without a gateway.
"""

from exchange.commands import Stamper
from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from matching.codes import AuctionStep
from risk.limits import Account

__all__ = ["Account", "AuctionStep", "Exchange", "Instrument", "Stamper"]
