"""The deterministic machine and its memory: instruments, risk, books, journal, replay. No sockets."""

from exchange.engine.machine import Exchange
from exchange.instruments import Instrument
from risk.limits import Account

__all__ = ["Account", "Exchange", "Instrument"]
