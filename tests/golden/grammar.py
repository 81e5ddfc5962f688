"""The third column of the story, as COMMAND rows. RULEBOOK 15.2.

    row = grammar.read("buy 20 SC2702 at 519.8, open, named hedge", "refinery")[0]     # not stamped
    grammar.name(row, order_id)                                                        # from now on "hedge" means that order

A clause is one command; "; " separates the clauses of a row. Reading is strict: a word that cannot be read, or a
condition given twice, is an error. Prices are in currency, quantities in lots, money in currency.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from exchange.instruments import Instrument
from exchange.units import price_to_ticks
from matching.codes import CommandKind, Flag, Limit, OrderType, Phase, Side, TimeInForce
from matching.records import COMMAND

OPERATOR = "operator"
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_FLAGS = {
    "open": Flag.OPEN,
    "close": Flag.CLOSE,
    "close today": Flag.CLOSE_TODAY,
    "post only": Flag.POST_ONLY,
    "reduce only": Flag.REDUCE_ONLY,
}
_TIMES = {
    "day": TimeInForce.DAY,
    "until canceled": TimeInForce.GTC,
    "opening": TimeInForce.OPENING,
    "FAK": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "session": TimeInForce.SESSION,
}
_PHASES = {"halt": Phase.HALTED, "resume": Phase.CONTINUOUS, "call auction in": Phase.CALL_AUCTION}


class StoryError(ValueError):
    """A part of the story cannot be read. The message has its place, and what was expected."""


@dataclass(frozen=True)
class Order:
    """An order that has a name in the story."""

    order_id: int
    instrument: int
    account: int


class Grammar:
    """Reads clauses about these instruments and accounts (their names, in the exchange's order)."""

    def __init__(self, instruments: Sequence[Instrument], accounts: Sequence[str]) -> None:
        self._instruments = {terms.symbol: (number, terms) for number, terms in enumerate(instruments)}
        self._accounts = {name: number for number, name in enumerate(accounts)}
        self.orders: dict[str, Order] = {}

    def read(self, clause: str, who: str) -> np.ndarray:
        """COMMAND[1], not stamped. Errors: StoryError."""
        found: dict[str, Any] | None = None
        if who == OPERATOR:
            found = self._first(
                clause,
                (
                    (r"(halt|resume|call auction in) (\S+)", self._phase),
                    (rf"pay {_NUMBER} to (\S+)", self._pay),
                    (r"liquidate (\S+) in (\S+)", self._liquidate),
                    (rf"set ([a-z ]+) of (\S+) to {_NUMBER}", self._limit),
                ),
            )
        else:
            account = _known(who, self._accounts, "an account")
            found = self._first(
                clause,
                (
                    (rf"(buy|sell) (\d+) (\S+) at (?:(market)|{_NUMBER})((?:, .+)?)", self._enter),
                    (r"cancel all in (\S+)", self._cancel_all),
                    (r"cancel (\S+)", self._cancel),
                    (rf"amend (\S+) to (\d+) at {_NUMBER}", self._amend),
                    (r"take (\d+) of (\S+)", self._take),
                ),
            )
            if found is not None:
                found["account"] = account
        if found is None:
            raise StoryError(f"{clause!r}: nothing that {who} can say")
        row = np.zeros(1, COMMAND)
        for field, value in found.items():
            row[field] = value
        return row

    def name(self, row: np.record, order_id: int) -> None:
        """Remember the order that an ENTER row entered, if the clause named it."""
        name = row["client_order_id"].decode()
        if row["kind"] == CommandKind.ENTER and name:
            self.orders[name] = Order(order_id, int(row["instrument"]), int(row["account"]))

    @staticmethod
    def _first(clause: str, forms: Sequence[tuple[str, Callable[..., dict[str, Any]]]]) -> dict[str, Any] | None:
        for pattern, meaning in forms:
            if match := re.fullmatch(pattern, clause):
                return meaning(*match.groups())
        return None

    # Members --------------------------------------------------------------------------------------

    def _enter(
        self, side: str, quantity: str, symbol: str, market: str | None, price: str | None, options: str
    ) -> dict[str, Any]:
        number, terms = _known(symbol, self._instruments, "an instrument")
        fields: dict[str, Any] = {
            "kind": CommandKind.ENTER,
            "instrument": number,
            "side": Side[side.upper()],
            "quantity": int(quantity),
            "order_type": OrderType.MARKET if market else OrderType.LIMIT,
            "price": 0 if market else price_to_ticks(terms, price),
        }
        conditions: dict[str, Any] = {}
        for option in filter(None, options.split(", ")):
            for field, value in self._option(option, terms).items():
                if field in conditions and field != "flags":
                    raise StoryError(f"{option!r}: {field} is said twice")
                conditions[field] = conditions.get(field, 0) | value if field == "flags" else value
        if "trigger_price" in conditions:
            fields["order_type"] = OrderType.STOP if market else OrderType.STOP_LIMIT
        return fields | {"time_in_force": TimeInForce.DAY} | conditions

    def _option(self, option: str, terms: Instrument) -> dict[str, Any]:
        if option in _FLAGS:
            return {"flags": int(_FLAGS[option])}
        if option in _TIMES:
            return {"time_in_force": _TIMES[option]}
        found = self._first(
            option,
            (
                (rf"once {_NUMBER} is traded", lambda price: {"trigger_price": price_to_ticks(terms, price)}),
                (
                    r"FAK of at least (\d+)",
                    lambda lots: {"time_in_force": TimeInForce.IOC, "minimum_quantity": int(lots)},
                ),
                (
                    r"until (\d{4})-(\d\d)-(\d\d)",
                    lambda *date: {"time_in_force": TimeInForce.GTD, "expire_date": int("".join(date))},
                ),
                (r"showing (\d+)", lambda lots: {"display_quantity": int(lots)}),
                (r"at least (\d+) at a time", lambda lots: {"minimum_quantity": int(lots)}),
                (r"to (\S+)", lambda name: {"counterparty": _known(name, self._accounts, "an account")}),
                (r"or else (\S+)", lambda name: {"order_id": self._order(name).order_id}),
                (r"named (\S{1,20})", self._new_name),
            ),
        )
        if found is None:
            raise StoryError(f"{option!r}: no option of an order")
        return found

    def _new_name(self, name: str) -> dict[str, Any]:
        if name in self.orders:
            raise StoryError(f"{name!r} names another order already")
        return {"client_order_id": name.encode()}

    def _order(self, name: str) -> Order:
        return _known(name, self.orders, "an order that was named")

    def _cancel(self, name: str) -> dict[str, Any]:
        order = self._order(name)
        return {"kind": CommandKind.CANCEL, "order_id": order.order_id, "instrument": order.instrument}

    def _cancel_all(self, symbol: str) -> dict[str, Any]:
        return {"kind": CommandKind.MASS_CANCEL, "instrument": self._number(symbol)}

    def _amend(self, name: str, quantity: str, price: str) -> dict[str, Any]:
        order = self._order(name)
        terms = list(self._instruments.values())[order.instrument][1]
        return {
            "kind": CommandKind.AMEND,
            "order_id": order.order_id,
            "instrument": order.instrument,
            "quantity": int(quantity),
            "price": price_to_ticks(terms, price),
        }

    def _take(self, quantity: str, name: str) -> dict[str, Any]:
        order = self._order(name)
        return {
            "kind": CommandKind.TAKE,
            "order_id": order.order_id,
            "instrument": order.instrument,
            "quantity": int(quantity),
        }

    def _number(self, symbol: str) -> int:
        return _known(symbol, self._instruments, "an instrument")[0]

    # Operators ------------------------------------------------------------------------------------

    def _phase(self, word: str, symbol: str) -> dict[str, Any]:
        return {"kind": CommandKind.PHASE, "instrument": self._number(symbol), "order_type": _PHASES[word]}

    def _pay(self, money: str, name: str) -> dict[str, Any]:
        return {
            "kind": CommandKind.CASH,
            "account": _known(name, self._accounts, "an account"),
            "quantity": int(Decimal(money) * 100),
        }

    def _liquidate(self, name: str, symbol: str) -> dict[str, Any]:
        return {
            "kind": CommandKind.LIQUIDATE,
            "account": _known(name, self._accounts, "an account"),
            "instrument": self._number(symbol),
        }

    def _limit(self, limit: str, name: str, value: str) -> dict[str, Any]:
        account = name in self._accounts
        word = limit.upper().replace(" ", "_")
        code = _known(word if account else f"INSTRUMENT_{word}", Limit.__members__, "a limit")
        who = {"account": self._accounts[name]} if account else {"instrument": self._number(name)}
        return {"kind": CommandKind.LIMIT, "order_type": code, "quantity": int(value), **who}


def _known(name: str, table: Any, what: str) -> Any:
    if name not in table:
        raise StoryError(f"{name!r} is not {what}")
    return table[name]
