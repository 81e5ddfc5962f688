"""Reports to owners of orders, on random flows with everything the rulebook has: stops, icebergs, OCOs, auctions, phases,
settlements. They are compared with the blotter, which reads the same events independently.
"""

import json
from typing import Any

import numpy as np
import pytest

from exchange.projections.blotter import Blotter
from gateway.rpc.order import Orders
from gateway.rpc.reports import Channel, Reports
from matching.codes import EventKind
from tests.matching.flow import engine, random_flow

# Fields of the last notification that may differ from the blotter, which keeps less of an order's past.
PASSING = ("linked_order_id",)


class Watcher:
    """The owner of one account, subscribed to everything."""

    def __init__(self, account: int, instruments: frozenset[int]) -> None:
        self.account = account
        self.messages: list[Any] = []
        self.channels = {"orders": Channel("orders", instruments), "trades": Channel("trades", instruments)}

    def notify(self, message: bytes) -> None:
        self.messages.append(json.loads(message)["params"])

    def portfolio(self) -> Any:
        return "{}"

    def told(self) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages


def lasting(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if name not in PASSING}


def follow(seed: int) -> tuple[set[int], int, int]:
    """Run a flow, check every notification, and return (kinds of events, changes reported, trades reported)."""
    flow = random_flow(seed, 700, risk=seed % 2 == 1)
    exchange, blotter = engine(flow), Blotter(flow.max_orders)
    orders = Orders(exchange, blotter)
    reports = Reports(orders)
    watchers: list[Any] = [
        Watcher(account, frozenset(range(len(flow.instruments)))) for account in range(len(flow.accounts))
    ]
    for watcher in watchers:
        reports.watch(watcher)
    rng = np.random.default_rng(seed)
    at = changes = trades = 0
    kinds = set()
    while at < len(flow.commands):
        block = flow.commands[at : at + int(rng.choice((1, 3, 40)))]
        at += len(block)
        events = exchange.apply(block)
        reports.publish(block, events, 0)
        blotter.record(block, events)
        orders.changed(block, events)
        kinds |= set(events["kind"].tolist())
        for watcher in watchers:
            told, traded = compare(watcher, orders, int(block["sequence"][0]), events)
            changes, trades = changes + told, trades + traded
    return kinds, changes, trades


def compare(watcher: Watcher, orders: Orders, first: int, events: np.ndarray) -> tuple[int, int]:
    """Compare the reports of a batch to one owner with the blotter. Returns how many orders and trades."""
    last, own_trades = {}, []
    for message in watcher.told():
        if message["channel"] == "orders":
            last[message["data"]["order_id"]] = message["data"]
        else:
            own_trades += message["data"]
    changed = orders.blotter.orders(watcher.account)
    assert {str(number) for number in changed["order_id"][changed["sequence"] >= first]} <= last.keys()
    for number in last:
        order = orders.find(int(number))
        if order is not None:  # otherwise the blotter has dropped it already
            assert lasting(last[number]) == lasting(json.loads(orders.text(order)))
    assert [int(trade["trade_id"]) for trade in own_trades] == [
        int(event["trade_id"])
        for event in events[events["kind"] == EventKind.TRADED]
        for side in ("account", "resting_account")
        if event[side] == watcher.account
    ]
    return len(last), len(own_trades)


@pytest.mark.compiled
def test_every_change_of_an_order_is_reported_to_its_owner_as_the_blotter_has_it() -> None:
    kinds: set[Any] = set()
    changes = trades = 0
    for seed in range(10):
        seen, told, traded = follow(seed)
        kinds, changes, trades = kinds | seen, changes + told, trades + traded
    assert changes > 2000 and trades > 500
    assert {
        EventKind.TRIGGERED,
        EventKind.DISPLAYED,
        EventKind.UNCROSSED,
        EventKind.AUCTION,
        EventKind.SETTLED,
    } <= kinds
