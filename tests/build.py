"""Short builders of instruments, accounts and command rows, with plain values for what a test does not set.

    commands = rows(enter(0, BUY, 100, 5), cancel(0, 1))         # stamped 1, 2 ...; account 0
    fields(events, "kind", "price", "quantity")                  # readable tuples

Rows are dictionaries until `rows` stamps them, so a test changes one field with `enter(...) | {"flags": 1}`.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from exchange import Instrument
from matching.codes import CommandKind, OrderType, SelfMatch, TimeInForce
from matching.records import COMMAND
from risk.limits import Account

SECOND = 1_000_000_000


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


def enter(account: int, side: int, price: int, quantity: int, **fields: Any) -> dict[str, Any]:
    """A LIMIT DAY order, in instrument 0 by default."""
    return {
        "kind": CommandKind.ENTER,
        "account": account,
        "side": side,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.DAY,
        "price": price,
        "quantity": quantity,
        **fields,
    }


def cancel(account: int, order_id: int, **fields: Any) -> dict[str, Any]:
    return {"kind": CommandKind.CANCEL, "account": account, "order_id": order_id, **fields}


def amend(account: int, order_id: int, price: int, quantity: int, **fields: Any) -> dict[str, Any]:
    return {
        "kind": CommandKind.AMEND,
        "account": account,
        "order_id": order_id,
        "price": price,
        "quantity": quantity,
        **fields,
    }


def operator(kind: CommandKind, code: int = 0, **fields: Any) -> dict[str, Any]:
    """A MASS_CANCEL or an operator command; `code` is the value of order_type."""
    return {"kind": kind, "order_type": code, **fields}


def rows(*commands: dict[str, Any], start: int = 1, time: int = SECOND) -> np.ndarray:
    """COMMAND[n], stamped from `start`, one second apart unless a row has its own time."""
    block = np.zeros(len(commands), COMMAND)
    for number, command in enumerate(commands):
        stamped = {"sequence": start + number, "time": (start + number) * time, **command}
        for name, value in stamped.items():
            block[number][name] = value
    return block


def fields(events: np.ndarray, *names: str) -> list[tuple[Any, ...]]:
    """The events as tuples of the fields named."""
    return [tuple(event[name].item() for name in names) for event in events]


def as_rows(events: np.ndarray) -> Sequence[bytes]:
    """Each event as its bytes, for comparing row by row."""
    return [event.tobytes() for event in events]
