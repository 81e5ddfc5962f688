"""Execution reports: the answers and private notifications of each durable batch.

An answer must show the order as its own command left it, though later commands of the same batch may have changed it
since. So a batch is published before the blotter records it, and `Batch.order` applies the batch's events, up to that
command, to the order as the blotter still has it.

    reports = Reports(Orders(exchange, blotter))
    reports.expect(session, tickets, commands, events)       # their rows have become durable
    reports.publish(commands, events, now)                   # its whole batch: answers first, then notifications
"""

from typing import Any, Protocol

import numpy as np
from msgspec import Struct

from gateway.rpc.order import Order, Orders, entered
from gateway.text import codes as c
from gateway.text.answers import notification
from gateway.text.rows import commands_of, event_at, events_of
from matching.codes import EventKind
from matching.records import Event

# Events that change an order. In all of them `account` is an account; in others it may be ALL, a firm, or anything that
# a refused row carried. An auction emits these for each order that it changes.
_CHANGES_ORDER = np.isin(
    np.arange(256), [EventKind.ACCEPTED, EventKind.TRADED, EventKind.CANCELED, EventKind.AMENDED, EventKind.TRIGGERED]
)
_CHANGES_FUNDS = np.isin(np.arange(256), [EventKind.BALANCE, EventKind.CASH, EventKind.MARGIN_CALL])


class Batch:
    """The rows of one durable batch, before the blotter has recorded them."""

    def __init__(self, orders: Orders, commands: np.ndarray, events: np.ndarray, now: int) -> None:
        self.orders = orders
        self.commands = commands
        self.events = events
        self.now = now
        self.first = int(commands["sequence"][0]) if len(commands) else 0
        # Contiguous copies: each answer searches them.
        self._order_ids, self._resting_ids = events["order_id"].copy(), events["resting_order_id"].copy()
        self._trade_sequences: dict[int, int] | None = None

    def order(self, order_id: int, sequence: int) -> Order | None:
        """The order as the command `sequence` left it. None: never accepted, or finished too long ago."""
        order = self.orders.find(order_id) if order_id < self.first else None
        for row in ((self._order_ids == order_id) | (self._resting_ids == order_id)).nonzero()[0].tolist():
            event = event_at(self.events, row)
            if event.sequence > sequence:
                break
            if event.kind == c.REJECTED:
                continue
            if event.kind == c.ACCEPTED:
                order = self.entered(event)
            elif order is not None:
                order.apply(event)
        return order

    def named(self, account: int, client_order_id: bytes, sequence: int) -> Order | None:
        """The account's newest order with this client order id, as of the command `sequence`."""
        accepted = (
            (self.events["kind"] == EventKind.ACCEPTED)
            & (self.events["account"] == account)
            & (self.events["client_order_id"] == client_order_id)
            & (self.events["sequence"] < sequence)
        )
        if accepted.any():
            return self.order(int(self._order_ids[accepted][-1]), sequence)
        entry = self.orders.blotter.order_of(account, client_order_id)
        return None if entry is None else self.order(int(entry["order_id"]), sequence)

    def offer_taken_by(self, order_id: int) -> int:
        """Id of the offer that the order of a TAKE traded with. 0: not the order of a TAKE, or finished too long ago."""
        in_batch = self._resting_ids[(self._order_ids == order_id) & (self.events["kind"] == EventKind.TRADED)]
        offers = (
            in_batch if len(in_batch) else self.orders.blotter.trades(order_id=order_id, count=1)["resting_order_id"]
        )
        return int(offers[0]) if len(offers) else 0

    def trade_sequence(self, trade: Event) -> int:
        """The number of a trade of this batch among all trades of its instrument."""
        if self._trade_sequences is None:
            self._trade_sequences = {}
            rows = np.flatnonzero(self.events["kind"] == EventKind.TRADED)
            traded: dict[int, int] = {}
            for event_id, instrument in zip(
                self.events["event_id"][rows].tolist(), self.events["instrument"][rows].tolist(), strict=True
            ):
                before = traded.get(instrument) or self.orders.blotter.traded(instrument)
                self._trade_sequences[event_id] = traded[instrument] = before + 1
        return self._trade_sequences[trade.event_id]

    def entered(self, accepted: Event) -> Order:
        """The order of an ACCEPTED event of this batch."""
        row = accepted.sequence - self.first
        return entered(next(commands_of(self.commands[row : row + 1])), accepted)


class Channel(Struct, frozen=True):
    """A private channel, of these instruments."""

    kind: str  # orders, trades, portfolio
    instruments: frozenset[int]


class Owner(Protocol):
    """A session as reports see it: the owner of orders, who is answered and notified."""

    account: int
    channels: dict[str, Channel]  # by name

    def answer(self, tickets: list[Any], commands: np.ndarray, events: np.ndarray, batch: Batch) -> None: ...
    def notify(self, message: bytes) -> None: ...
    def portfolio(self) -> str: ...


# An order that one command changed, the event if it was a trade, and whether the order was the incoming one.
_Change = tuple[Order, Event | None, bool]


class Reports:
    """Answers the tickets of each batch, then notifies the owners of its orders."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._expected: list[tuple[Owner, list[Any], np.ndarray, np.ndarray]] = []
        self._watchers: dict[int, set[Owner]] = {}  # by account: those with a private channel
        self._watched = np.zeros(len(orders.exchange.accounts), bool)  # accounts with a watcher

    def expect(self, owner: Owner, tickets: list[Any], commands: np.ndarray, events: np.ndarray) -> None:
        """The rows of these tickets are durable. They are answered when their batch is published, which follows at once."""
        self._expected.append((owner, tickets, commands, events))

    def watch(self, owner: Owner) -> None:
        """The owner's channels have changed."""
        watchers = self._watchers.setdefault(owner.account, set())
        (watchers.add if owner.channels else watchers.discard)(owner)
        self._watched[owner.account] = bool(watchers)

    def forget(self, owner: Owner) -> None:
        """The owner has gone, or is about to become another account's."""
        if owner.account in self._watchers:
            self._watchers[owner.account].discard(owner)
            self._watched[owner.account] = bool(self._watchers[owner.account])

    def publish(self, commands: np.ndarray, events: np.ndarray, now: int) -> None:
        """Answer what was expected of this batch, then notify. Call it before the blotter records the batch."""
        batch = Batch(self.orders, commands, events, now)
        expected, self._expected = self._expected, []
        for owner, tickets, own_commands, own_events in expected:
            owner.answer(tickets, own_commands, own_events, batch)
        if self._watched.any():
            self._notify(batch)

    def _notify(self, batch: Batch) -> None:
        """Notify the watched accounts in the order of commands, then of the funds that the batch changed."""
        orders: dict[int, Order] = {}
        changes: list[_Change] = []
        accounts = self._accounts_with_new_funds(batch.events)
        sequence = 0
        for event in events_of(self._changes_of_watched(batch.events)):
            if event.sequence != sequence:
                self._notify_changes(batch, changes)
                changes, sequence = [], event.sequence
            for order_id, account, incoming in (
                (event.order_id, event.account, True),
                (event.resting_order_id, event.resting_account, False),
            ):
                if (not incoming and event.kind != c.TRADED) or not self._watched[account]:
                    continue
                order = orders.get(order_id)
                if order is None:
                    order = batch.entered(event) if event.kind == c.ACCEPTED else self.orders.find(order_id)
                    assert order is not None, f"order {order_id} changes, but the blotter does not know it"
                    orders[order_id] = order
                order.apply(event)
                accounts.add(account)
                changes.append((order, event if event.kind == c.TRADED else None, incoming))
        self._notify_changes(batch, changes)
        for account in accounts:
            self._notify_portfolio(account)

    def _changes_of_watched(self, events: np.ndarray) -> np.ndarray:
        """The events that change an order of a watched account."""
        kind = events["kind"]
        rows = np.flatnonzero(_CHANGES_ORDER[kind])
        traded = kind[rows] == EventKind.TRADED
        return events[
            rows[self._watched[events["account"][rows]] | (traded & self._watched[events["resting_account"][rows]])]
        ]

    def _accounts_with_new_funds(self, events: np.ndarray) -> set[int]:
        """The watched accounts whose cash or margin an event changed directly, not by an order."""
        accounts = events["account"][_CHANGES_FUNDS[events["kind"]]]
        return set(accounts[self._watched[accounts]].tolist())

    def _notify_portfolio(self, account: int) -> None:
        """Funds and margin after the batch."""
        for watcher in list(self._watchers.get(account, ())):
            for name, channel in watcher.channels.items():
                if channel.kind == "portfolio":
                    watcher.notify(notification(name, watcher.portfolio()))

    def _notify_changes(self, batch: Batch, changes: list[_Change]) -> None:
        """The changes of one command: a notification for each order, and one for all trades."""
        orders = {order.order_id: order for order, _, _ in changes}
        texts: dict[int, str] = {}
        for account in {order.account for order in orders.values()}:
            own = [order for order in orders.values() if order.account == account]
            trades = [
                (order, event, incoming)
                for order, event, incoming in changes
                if event is not None and order.account == account
            ]
            for watcher in list(self._watchers.get(account, ())):
                for name, channel in watcher.channels.items():
                    if channel.kind == "portfolio":
                        continue
                    if channel.kind == "trades":
                        chosen = [
                            self.orders.trade_text(*trade, batch.trade_sequence(trade[1]))
                            for trade in trades
                            if trade[1].instrument in channel.instruments
                        ]
                        if chosen:
                            watcher.notify(notification(name, f"[{','.join(chosen)}]"))
                        continue
                    for order in own:
                        if order.instrument in channel.instruments:
                            text = texts.get(order.order_id) or texts.setdefault(
                                order.order_id, self.orders.text(order)
                            )
                            watcher.notify(notification(name, text))
