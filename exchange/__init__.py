"""The deterministic machine and its memory: instruments, risk, books, journal, replay. No sockets."""

from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from matching.codes import AuctionStep
from risk.limits import Account

__all__ = ["Account", "AuctionStep", "Exchange", "Instrument"]
