"""Commands for an Exchange in process: what a member or an operator sends, stamped as the hub's runner stamps it.

    stamper = Stamper(exchange.sequence, exchange.time)
    events = exchange.apply(stamper.stamp(
        enter(0, Side.BUY, 5513, 10, client_order_id=b"mine"),
        enter(1, Side.SELL, 5513, 4),
    ))
    order_id = stamper.order_id(0, b"mine")
    events = exchange.apply(stamper.stamp(cancel(0, order_id)))

Each function gives a `Command`: fields of a COMMAND row by name, where what is not named is 0. Accounts and instruments
are indices (`exchange.index("SC2701")`), prices ticks, quantities lots, money fen, times nanoseconds since the epoch.
matching/records.py has all fields, RULEBOOK 1 and 2 what they mean.

For millions of rows fill the columns of a `matching.COMMAND` array instead; a row here costs about a microsecond.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from matching.codes import ALL, CommandKind, Limit, OrderType, Phase, Scope, SettlementRule, TimeInForce
from matching.records import COMMAND

Command = dict[str, Any]

# What members send ----------------------------------------------------------------------------------


def enter(
    account: int,
    side: int,
    price: int,
    quantity: int,
    instrument: int = 0,
    order_type: int = OrderType.LIMIT,
    time_in_force: int = TimeInForce.DAY,
    **fields: Any,
) -> Command:
    """A new order. price: ticks; quantity: lots. RULEBOOK 2.

    fields   others of Command, such as flags, client_order_id, trigger_price (ticks), display_quantity (lots),
             expire_date (yyyymmdd)
    """
    return {
        "kind": CommandKind.ENTER,
        "account": account,
        "side": side,
        "price": price,
        "quantity": quantity,
        "instrument": instrument,
        "order_type": order_type,
        "time_in_force": time_in_force,
        **fields,
    }


def cancel(account: int, order_id: int, instrument: int = 0, **fields: Any) -> Command:
    """Withdraw a resting order."""
    return {"kind": CommandKind.CANCEL, "account": account, "order_id": order_id, "instrument": instrument, **fields}


def amend(account: int, order_id: int, price: int, quantity: int, instrument: int = 0, **fields: Any) -> Command:
    """Change a resting order's price and quantity. RULEBOOK 6.

    quantity   lots, the new total including what has filled; with Flag.OPEN_QUANTITY the lots that stay open
    """
    return {
        "kind": CommandKind.AMEND,
        "account": account,
        "order_id": order_id,
        "price": price,
        "quantity": quantity,
        "instrument": instrument,
        **fields,
    }


def mass_cancel(account: int = ALL, instrument: int = ALL, side: int = 0, **fields: Any) -> Command:
    """Withdraw all orders of an account, an instrument and a side. side: Side, or 0 for both."""
    return {"kind": CommandKind.MASS_CANCEL, "account": account, "instrument": instrument, "side": side, **fields}


def take(account: int, order_id: int, quantity: int, instrument: int = 0, **fields: Any) -> Command:
    """Trade with a posted or negotiated offer. quantity: lots. RULEBOOK 13."""
    return {
        "kind": CommandKind.TAKE,
        "account": account,
        "order_id": order_id,
        "quantity": quantity,
        "instrument": instrument,
        **fields,
    }


# What operators send (RULEBOOK 7, 11) ---------------------------------------------------------------


def operator(kind: int, code: int = 0, **fields: Any) -> Command:
    """Any operator command. code: the Phase, Scope, Limit or SettlementRule that it carries, as its `order_type`."""
    return {"kind": kind, "order_type": code, **fields}


def phase(to: Phase, instrument: int = ALL) -> Command:
    """Change the phase of an instrument, or of all that may enter it."""
    return operator(CommandKind.PHASE, to, instrument=instrument)


def kill_switch(scope: Scope, number: int = 0, on: bool = True) -> Command:
    """Refuse new orders, or take them again. number: the firm, account or instrument of the scope."""
    about = {"instrument": number} if scope == Scope.INSTRUMENT else {"account": number}
    return operator(CommandKind.KILL_SWITCH, scope, quantity=int(on), **about)


def limit(which: Limit, number: int, value: int) -> Command:
    """Set a limit of an account, or of an instrument (Limit.INSTRUMENT_...). number: its index; value: see Limit."""
    about = {"instrument": number} if which >= Limit.INSTRUMENT_MAX_ORDER_QUANTITY else {"account": number}
    return operator(CommandKind.LIMIT, which, quantity=value, **about)


def cash(account: int, amount: int) -> Command:
    """Pay money in; negative: out. amount: fen."""
    return operator(CommandKind.CASH, account=account, quantity=amount)


def begin_day(date: int) -> Command:
    """Begin a trading day. date: yyyymmdd."""
    return operator(CommandKind.BEGIN_DAY, quantity=date)


def end_day() -> Command:
    """End the trading day: DAY orders expire, client order ids are forgotten, margin is called."""
    return operator(CommandKind.END_DAY)


def list_instrument(instrument: int, price: int) -> Command:
    """List an instrument that is UNLISTED. price: its reference price, ticks."""
    return operator(CommandKind.LIST, instrument=instrument, price=price)


def settle(instrument: int, rule: SettlementRule = SettlementRule.DAY_VWAP, price: int = 0) -> Command:
    """Settle an instrument. price: ticks, where the rule is GIVEN."""
    return operator(CommandKind.SETTLE, rule, instrument=instrument, price=price)


def expire(instrument: int) -> Command:
    """Close or deliver all positions of an instrument, whose last day it is."""
    return operator(CommandKind.EXPIRE, instrument=instrument)


def liquidate(account: int, instrument: int) -> Command:
    """Cancel an account's orders in an instrument and close its position at the market."""
    return operator(CommandKind.LIQUIDATE, account=account, instrument=instrument)


def window(instrument: int = ALL) -> Command:
    """Begin the window of the settlement rule WINDOW_VWAP."""
    return operator(CommandKind.WINDOW, instrument=instrument)


# Stamping -------------------------------------------------------------------------------------------


class Stamper:
    """Stamps commands with sequence and time, and knows which order a client order id means.

    sequence   of the last command that the exchange has applied
    time       of that command, ns; set it to let time pass before the next one
    interval   ns from one command to the next
    """

    def __init__(self, sequence: int = 0, time: int = 0, interval: int = 1_000_000) -> None:
        self.sequence, self.time, self.interval = sequence, time, interval
        self._orders: dict[tuple[int, bytes], int] = {}

    def stamp(self, *commands: Command) -> np.ndarray:
        """COMMAND[n] for Exchange.apply. A command that names its own sequence or time keeps it."""
        sequences, times = [], []
        for command in commands:
            self.sequence = command.get("sequence", self.sequence + 1)
            self.time = command.get("time", self.time + self.interval)
            sequences.append(self.sequence)
            times.append(self.time)
            if command["kind"] == CommandKind.ENTER and "client_order_id" in command:
                self._orders[command["account"], command["client_order_id"]] = self.sequence
        rows = np.zeros(len(commands), COMMAND)
        for name in {name for command in commands for name in command}:
            default = b"" if name == "client_order_id" else 0
            rows[name] = [command.get(name, default) for command in commands]
        rows["sequence"], rows["time"] = sequences, times
        return rows

    def order_id(self, account: int, client_order_id: bytes) -> int:
        """Id of the order last entered under this client order id: the sequence of its ENTER. Errors: KeyError."""
        return self._orders[account, client_order_id]


def stamped(commands: Sequence[Command], sequence: int = 0, time: int = 0, interval: int = 1_000_000) -> np.ndarray:
    """COMMAND[n], stamped as by a new Stamper."""
    return Stamper(sequence, time, interval).stamp(*commands)
