"""Pre-trade risk: what an order must pass and what it holds. Reads commands and events, never the book."""

from risk.limits import Account

__all__ = ["Account"]
