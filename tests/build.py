"""Instruments and accounts with plain values for what a test does not set, and rows stamped one second apart.

    commands = rows(enter(0, BUY, 100, 5), cancel(0, 1))         # sequences 1, 2 ...; account 0
    fields(events, "kind", "price", "quantity")                  # readable tuples

The commands themselves are those of exchange/commands.py.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

import numpy as np

from exchange import Instrument
from exchange.commands import Command, amend, cancel, enter, operator, stamped
from matching.codes import SelfMatch
from risk.limits import Account

__all__ = ["SECOND", "account", "amend", "as_rows", "cancel", "enter", "fields", "instrument", "operator", "rows"]

SECOND = 1_000_000_000
T = TypeVar("T")


def instrument(
    symbol: str = "SC2701", floor: int = 90, ceiling: int = 110, reference_price: int = 100, **terms: Any
) -> Instrument:
    """An instrument with a narrow band, without collar and limits. A tick on a lot is worth one fen."""
    return Instrument(
        **{
            "symbol": symbol,
            "tick_size": Decimal("0.01"),
            "lot_size": Decimal(1),
            "price_floor": floor,
            "price_ceiling": ceiling,
            "reference_price": reference_price,
            "price_rule": "resting",
            "protection": 0,
            "collar": 0,
            **terms,
        }
    )


def account(
    name: str = "A", group: int | None = None, self_match: SelfMatch = SelfMatch.NONE, **limits: Any
) -> Account:
    """An account with limits that no test reaches."""
    return Account(name=name, group=group, self_match=self_match, **limits)


def rows(*commands: Command, start: int = 1, time: int = SECOND) -> np.ndarray:
    """COMMAND[n], stamped from `start`, one second apart unless a command has its own time."""
    return stamped(commands, start - 1, (start - 1) * time, time)


def existing(it: T | None) -> T:
    """What was looked for, which must be there."""
    assert it is not None
    return it


def fields(events: np.ndarray, *names: str) -> list[tuple[Any, ...]]:
    """The events as tuples of the fields named."""
    return [tuple(event[name].item() for name in names) for event in events]


def as_rows(events: np.ndarray) -> Sequence[bytes]:
    """Each event as its bytes, for comparing row by row."""
    return [event.tobytes() for event in events]
