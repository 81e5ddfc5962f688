"""The deterministic machine and its memory: instruments, risk, books, journal, replay. No sockets."""
from exchange.instruments import Instrument
from exchange.machine import Exchange
from risk.limits import Account

__all__ = ["Account", "Exchange", "Instrument"]
