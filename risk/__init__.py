"""Pre-trade risk: what an order must pass and what accounts have at stake. Reads commands and events, never the book."""

from risk.limits import Account

__all__ = ["Account"]
