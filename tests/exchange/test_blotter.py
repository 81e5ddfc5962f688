"""exchange/projections/blotter.py: every open order and the latest finished ones, equal to a plain replay of the events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.projections.blotter import Blotter, OrderState
from matching.codes import CommandKind, EventKind, Flag, OrderType, Reason, Side, TimeInForce
from tests.build import SECOND, amend, cancel, enter, existing, instrument, operator, rows
from tests.exchange.events import accepted, amended, canceled, displayed, parked, stream, traded, triggered, uncrossed
from tests.matching.flow import random_flow

BUY, SELL = Side.BUY, Side.SELL
TERMS = ("order_type", "time_in_force", "flags", "trigger_price", "display_quantity", "minimum_quantity", "expire_date")
FIELDS = (
    *TERMS,
    "order_id",
    "account",
    "instrument",
    "side",
    "price",
    "quantity",
    "leaves_quantity",
    "filled_quantity",
    "notional",
    "state",
    "reason",
    "client_order_id",
    "created",
    "updated",
    "sequence",
    "linked_order_id",
)
LIVES = (OrderState.OPEN, OrderState.UNTRIGGERED)


class Ledger:
    """The same orders in plain dictionaries, without a bound."""

    def __init__(self) -> None:
        self.orders: dict[int, Any] = {}
        self.finished: list[int] = []
        self.trades: list[Any] = []

    def record(self, commands: np.ndarray, events: np.ndarray) -> None:
        entered = {int(command["sequence"]): command for command in commands}
        for event in events:
            kind, order_id = event["kind"], int(event["order_id"])
            if kind == EventKind.ACCEPTED:
                command = self.entering(entered[int(event["sequence"])], event)
                self.orders[order_id] = {
                    **{
                        name: event[name].item()
                        for name in (
                            "order_id",
                            "account",
                            "instrument",
                            "side",
                            "price",
                            "quantity",
                            "leaves_quantity",
                            "client_order_id",
                        )
                    },
                    **{name: command[name] for name in TERMS},
                    "filled_quantity": 0,
                    "notional": 0,
                    "reason": 0,
                    "created": int(event["time"]),
                    "state": OrderState.UNTRIGGERED if event["flags"] & Flag.PARKED else OrderState.OPEN,
                    "linked_order_id": int(command["order_id"]),
                }
                if command["order_id"]:
                    self.orders[int(command["order_id"])]["linked_order_id"] = order_id
                self.change(order_id, event)
            elif kind == EventKind.TRADED:
                self.trades.append(event)
                for traded, leaves in (
                    (order_id, event["leaves_quantity"]),
                    (int(event["resting_order_id"]), event["resting_leaves_quantity"]),
                ):
                    order = self.orders[traded]
                    self.change(
                        traded,
                        event,
                        leaves_quantity=int(leaves),
                        filled_quantity=order["filled_quantity"] + int(event["quantity"]),
                        notional=order["notional"] + int(event["price"]) * int(event["quantity"]),
                    )
                    if leaves == 0:
                        self.finish(traded, OrderState.FILLED)
            elif kind == EventKind.CANCELED:
                self.change(order_id, event, leaves_quantity=0, reason=int(event["reason"]))
                self.finish(order_id, OrderState.CANCELED)
                other = self.orders.get(self.orders[order_id]["linked_order_id"])
                if other and other["state"] in LIVES and other["linked_order_id"] == order_id:
                    other["linked_order_id"] = 0
            elif kind == EventKind.AMENDED:
                self.change(
                    order_id,
                    event,
                    price=int(event["price"]),
                    quantity=int(event["quantity"]),
                    leaves_quantity=int(event["leaves_quantity"]),
                )
                if event["flags"] & Flag.PARKED:
                    self.orders[order_id]["trigger_price"] = int(event["resting_price"])
            elif kind == EventKind.TRIGGERED:
                self.change(order_id, event, price=int(event["price"]), state=OrderState.OPEN)

    def entering(self, command: np.record, event: np.record) -> dict[str, Any]:
        """The terms that an ENTER would have: the hub makes orders of TAKE (13.1) and LIQUIDATE (11.7), too."""
        if command["kind"] == CommandKind.ENTER:
            return {name: command[name].item() for name in (*TERMS, "order_id")}
        took = command["kind"] == CommandKind.TAKE
        return dict.fromkeys((*TERMS, "order_id"), 0) | {
            "flags": int(event["flags"]),
            "order_type": OrderType.LIMIT if took else OrderType.MARKET,
            "time_in_force": TimeInForce.FOK if took else TimeInForce.IOC,
        }

    def change(self, order_id: int, event: np.record, **fields: Any) -> None:
        self.orders[order_id].update(fields, updated=int(event["time"]), sequence=int(event["sequence"]))

    def finish(self, order_id: int, state: OrderState) -> None:
        self.orders[order_id]["state"] = state
        self.finished.append(order_id)

    def of(self, account: int, instrument: int | None = None, only_open: bool = False) -> list[Any]:
        return [
            order
            for order in reversed(self.orders.values())
            if order["account"] == account
            and (instrument is None or order["instrument"] == instrument)
            and (order["state"] in LIVES or not only_open)
        ]


def plain(entry: np.record) -> dict[str, Any]:
    return {name: entry[name].item() for name in FIELDS}


def play(seed: int, count: int = 1500) -> tuple[Any, ...]:
    flow = random_flow(seed, count)
    exchange = Exchange(flow.instruments, flow.accounts, risk=False, max_orders=2048)
    return flow, exchange


def batches(commands: np.ndarray, rng: Any) -> Iterator[np.ndarray]:
    at = 0
    while at < len(commands):
        size = int(rng.choice((1, 3, 20, 200)))
        yield commands[at : at + size]
        at += size


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(10))
def test_with_room_for_all_it_equals_a_plain_replay_of_the_events(seed: int) -> None:
    flow, exchange = play(seed)
    blotter, ledger = Blotter(max_orders=2048, history=2048), Ledger()
    for commands in batches(flow.commands, np.random.default_rng(seed)):
        events = exchange.apply(commands)
        blotter.record(commands, events)
        ledger.record(commands, events)
        for command in commands[:3]:
            order_id = int(command["sequence"])
            entry = blotter.order(order_id)
            assert (plain(entry) if entry is not None else None) == ledger.orders.get(order_id)
    assert len(ledger.trades) > 20
    for account in range(len(flow.accounts)):
        assert [plain(entry) for entry in blotter.orders(account)] == ledger.of(account)
        assert [plain(entry) for entry in blotter.orders(account, instrument=1)] == ledger.of(account, 1)
        assert [plain(entry) for entry in blotter.open_orders(account)] == ledger.of(account, only_open=True)
        assert [plain(entry) for entry in blotter.orders(account, count=3)] == ledger.of(account)[:3]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.compiled
def test_when_memory_is_full_open_orders_stay_and_the_first_finished_ones_are_dropped(seed: int) -> None:
    flow, exchange = play(seed)
    open_at_most, history = 700, 50
    blotter, ledger = Blotter(open_at_most, history), Ledger()
    for commands in batches(flow.commands, np.random.default_rng(seed)):
        events = exchange.apply(commands)
        blotter.record(commands, events)
        ledger.record(commands, events)
    known = set()
    for order_id, order in ledger.orders.items():
        entry = existing(blotter.order(order_id))
        if entry is not None:
            known.add(order_id)
            assert plain(entry) == order
        else:
            assert order["state"] not in LIVES
    assert known >= set(ledger.finished[-history:])
    assert set(ledger.finished).isdisjoint(known) or known & set(ledger.finished) == set(
        ledger.finished[-len(known & set(ledger.finished)) :]
    )
    for account in range(len(flow.accounts)):
        kept = [order for order in ledger.of(account) if order["order_id"] in known]
        assert [plain(entry) for entry in blotter.orders(account)] == kept
        for order in kept:
            if order["client_order_id"]:
                newest = next(o for o in kept if o["client_order_id"] == order["client_order_id"])
                assert plain(existing(blotter.order_of(account, order["client_order_id"]))) == newest


class Hub:
    def __init__(self, accounts: int = 4, instruments: int = 1, **room: Any) -> None:
        self.exchange = Exchange([instrument(f"I{n}") for n in range(instruments)], accounts=accounts, risk=False)
        self.blotter = Blotter(**{"max_orders": 16, "history": 8, **room})
        self.last = 0

    def do(self, *commands: dict[str, Any]) -> None:
        block = rows(*commands, start=self.last + 1)
        self.last += len(commands)
        self.blotter.record(block, self.exchange.apply(block))


def test_an_order_is_followed_from_entry_over_fills_and_amends_to_its_end() -> None:
    hub = Hub()
    hub.do(enter(0, BUY, 100, 5, client_order_id=b"a-91", flags=Flag.POST_ONLY, time_in_force=TimeInForce.GTC))
    order = existing(hub.blotter.order(1))
    assert (order.state, order.leaves_quantity, order.filled_quantity) == (OrderState.OPEN, 5, 0)
    assert (order.order_type, order.time_in_force, order["flags"]) == (OrderType.LIMIT, TimeInForce.GTC, Flag.POST_ONLY)
    hub.do(enter(1, SELL, 100, 2), amend(0, 1, 101, 9))
    order = existing(hub.blotter.order(1))
    assert (order.price, order.quantity, order.leaves_quantity) == (101, 9, 7)
    assert (order.filled_quantity, order.notional) == (2, 200)
    assert (order.created, order.updated, order.sequence) == (SECOND, 3 * SECOND, 3)
    hub.do(cancel(0, 1))
    order = existing(hub.blotter.order(1))
    assert (order.state, order.leaves_quantity, order.filled_quantity) == (OrderState.CANCELED, 0, 2)
    assert existing(hub.blotter.order(2)).state == OrderState.FILLED


def test_the_reason_of_a_cancel_is_kept() -> None:
    hub = Hub()
    hub.do(
        enter(0, BUY, 100, 5, time_in_force=TimeInForce.IOC),
        enter(0, BUY, 100, 5),
        operator(CommandKind.MASS_CANCEL, account=0, instrument=-1, side=0),
    )
    assert [entry.reason for entry in hub.blotter.orders(0)] == [Reason.MASS_CANCEL, Reason.IOC_REMAINDER]


def test_a_refused_order_is_not_kept() -> None:
    hub = Hub()
    hub.do(enter(0, BUY, 5000, 5, client_order_id=b"x"))
    assert hub.blotter.order(1) is None and hub.blotter.order_of(0, b"x") is None and len(hub.blotter.orders(0)) == 0


def test_a_client_order_id_finds_its_accounts_newest_order_and_no_other() -> None:
    hub = Hub()
    hub.do(
        enter(0, BUY, 100, 1, client_order_id=b"same"),
        enter(1, BUY, 100, 1, client_order_id=b"same"),
        enter(0, BUY, 99, 1, client_order_id=b"tag", flags=Flag.LABEL),
        enter(0, BUY, 98, 1, client_order_id=b"tag", flags=Flag.LABEL),
        enter(0, BUY, 97, 1, client_order_id=b"twenty characters ok"),
    )
    find = hub.blotter.order_of
    assert [
        existing(find(0, b"same")).order_id,
        existing(find(1, b"same")).order_id,
        existing(find(0, b"tag")).order_id,
    ] == [1, 2, 4]
    assert existing(find(0, b"twenty characters ok")).order_id == 5
    assert [
        find(2, b"same"),
        find(0, b"sam"),
        find(0, b""),
        find(0, b"twenty characters ok!"),
    ] == [None] * 4


@pytest.mark.compiled
def test_thousands_of_orders_under_one_tag_come_and_go() -> None:
    hub = Hub(max_orders=10, history=500)
    for _ in range(30):
        hub.do(*(enter(0, BUY, 100, 1, client_order_id=b"mm", time_in_force=TimeInForce.IOC) for _ in range(100)))
    assert existing(hub.blotter.order_of(0, b"mm")).order_id == 3000
    kept = hub.blotter.orders(0)["order_id"].tolist()
    assert kept == list(range(3000, 3000 - len(kept), -1)) and len(kept) >= 500


def test_an_open_order_outlives_any_number_of_finished_ones() -> None:
    hub = Hub(max_orders=2, history=3)
    hub.do(enter(3, BUY, 91, 1, client_order_id=b"old"))
    for _ in range(40):
        hub.do(*(enter(0, BUY, 100, 1, time_in_force=TimeInForce.IOC) for _ in range(10)))
    assert (
        existing(hub.blotter.order(1)).state == OrderState.OPEN
        and existing(hub.blotter.order_of(3, b"old")).order_id == 1
    )
    hub.do(cancel(3, 1))
    assert existing(hub.blotter.order(1)).state == OrderState.CANCELED
    hub.do(*(enter(0, BUY, 100, 1, time_in_force=TimeInForce.IOC) for _ in range(10)))
    assert hub.blotter.order(1) is None and hub.blotter.order_of(3, b"old") is None


def test_trades_are_listed_newest_first_for_either_side_an_instrument_or_an_order() -> None:
    hub = Hub(instruments=2, trades=6)
    for number in range(8):
        hub.do(enter(number % 3, SELL, 100, 1, instrument=number % 2), enter(3, BUY, 100, 1, instrument=number % 2))

    def ids(**query: Any) -> list[Any]:
        return hub.blotter.trades(**query)["trade_id"].tolist()

    assert ids() == [8, 7, 6, 5, 4, 3]
    assert ids(account=3, count=2) == [8, 7]
    assert ids(account=0) == [7, 4]
    assert ids(account=3, instrument=1) == [8, 6, 4]
    assert ids(order_id=13) == [7] and ids(order_id=14) == [7]
    assert ids(count=0) == [] and ids(account=9) == []
    trade = hub.blotter.trades(order_id=14)[0]
    assert (trade.order_id, trade.resting_order_id, trade.side) == (14, 13, BUY)
    assert (trade.account, trade.resting_account) == (3, 0)
    assert (trade.price, trade.quantity, trade.leaves_quantity, trade.resting_leaves_quantity) == (100, 1, 0, 0)


# The orders of a trading day


def test_a_stop_order_waits_and_is_followed_through_its_trigger() -> None:
    """2.9, 2.10: price and trigger from the events, and its trade as the incoming order."""
    hub = Hub()
    stop = enter(0, BUY, 0, 5, order_type=OrderType.STOP, trigger_price=103, client_order_id=b"stop")
    hub.do(enter(1, SELL, 103, 2), enter(1, SELL, 104, 9), stop, amend(0, 3, 0, 4, trigger_price=102))
    order = existing(hub.blotter.order(3))
    assert (order.state, order.trigger_price, order.quantity, order.price) == (OrderState.UNTRIGGERED, 102, 4, 0)
    assert (
        [entry.order_id for entry in hub.blotter.open_orders(0)]
        == [3]
        == [existing(hub.blotter.order_of(0, b"stop")).order_id]
    )
    hub.do(enter(2, BUY, 103, 1))
    order = existing(hub.blotter.order(3))
    assert (order.state, order.order_type, order.price, order.filled_quantity, order.notional) == (
        OrderState.FILLED,
        OrderType.STOP,
        110,
        4,
        103 + 3 * 104,
    )
    assert (order.sequence, order.updated, order.trigger_price) == (5, 5 * SECOND, 102)


def test_a_parked_order_that_is_canceled_or_a_stop_limit_that_rests() -> None:
    hub = Hub()
    hub.do(
        enter(0, SELL, 97, 5, order_type=OrderType.STOP_LIMIT, trigger_price=98),
        enter(0, SELL, 96, 5, order_type=OrderType.STOP_LIMIT, trigger_price=96),
        cancel(0, 2),
    )
    assert [(entry.order_id, entry.state) for entry in hub.blotter.orders(0)] == [
        (2, OrderState.CANCELED),
        (1, OrderState.UNTRIGGERED),
    ]
    hub.do(enter(1, SELL, 98, 1), enter(2, BUY, 98, 1))
    order = existing(hub.blotter.order(1))
    assert (order.state, order.price, order.leaves_quantity) == (OrderState.OPEN, 97, 5)


def test_display_quantity_minimum_quantity_and_date_of_an_order_are_kept() -> None:
    """2.11 to 2.13"""
    hub = Hub()
    hub.do(
        operator(CommandKind.BEGIN_DAY, quantity=20261105),
        enter(0, BUY, 100, 50, display_quantity=5, time_in_force=TimeInForce.GTD, expire_date=20261106),
        enter(1, SELL, 100, 8, time_in_force=TimeInForce.IOC, minimum_quantity=7),
        amend(0, 2, 100, 30),
    )
    iceberg, minimum = existing(hub.blotter.order(2)), existing(hub.blotter.order(3))
    assert (iceberg.display_quantity, iceberg.expire_date, iceberg.leaves_quantity) == (5, 20261106, 22)
    assert (minimum.minimum_quantity, minimum.filled_quantity) == (7, 8)


def test_an_oco_is_linked_both_ways_until_one_of_it_is_canceled() -> None:
    """2.14"""
    hub = Hub()
    hub.do(enter(0, BUY, 95, 5), enter(0, BUY, 96, 5, order_id=1))

    def linked() -> list[int]:
        return [int(existing(hub.blotter.order(number)).linked_order_id) for number in (1, 2)]

    assert linked() == [2, 1]
    hub.do(cancel(0, 2))
    assert linked() == [0, 1]
    hub.do(enter(0, BUY, 97, 5, order_id=1), enter(1, SELL, 97, 5))
    assert [(entry.state, entry.reason, entry.linked_order_id) for entry in hub.blotter.orders(0)] == [
        (OrderState.FILLED, 0, 1),
        (OrderState.CANCELED, 0, 1),
        (OrderState.CANCELED, Reason.LINKED, 4),
    ]


def commands_for(*kinds: tuple[Any, ...]) -> np.ndarray:
    """One command for each command of an event stream. The blotter reads its kind and terms."""
    return rows(*({"kind": kind, **terms} for kind, terms in kinds))


def test_in_an_auction_the_buy_orders_are_filled_one_by_one() -> None:
    """8.6"""
    blotter = Blotter(16)
    limit = {"order_type": OrderType.LIMIT}
    blotter.record(
        commands_for(*[(CommandKind.ENTER, limit)] * 3, (CommandKind.PHASE, {})),
        stream(
            [accepted(1, BUY, 103, 4, account=1)],
            [accepted(2, BUY, 102, 6, account=2)],
            [accepted(3, SELL, 99, 7, account=3)],
            [
                uncrossed(1, BUY, 103, 4),
                traded(1, BUY, 102, 4, 0, (3, 99, 3), account=1, resting_account=3),
                uncrossed(2, BUY, 102, 6),
                traded(2, BUY, 102, 3, 3, (3, 99, 0), account=2, resting_account=3),
                canceled(2, BUY, 102, 3, Reason.AUCTION_ENDED),
            ],
        ),
    )
    states = [existing(blotter.order(number)) for number in (1, 2, 3)]
    assert [(order.state, order.filled_quantity) for order in states] == [
        (OrderState.FILLED, 4),
        (OrderState.CANCELED, 3),
        (OrderState.FILLED, 7),
    ]
    assert [(fill.order_id, fill.resting_order_id) for fill in blotter.trades(account=3)] == [(2, 3), (1, 3)]


def test_several_orders_triggered_by_one_command_are_distinguished() -> None:
    """2.10"""
    blotter = Blotter(16)
    stop = {"order_type": OrderType.STOP, "trigger_price": 102}
    blotter.record(
        commands_for(
            (CommandKind.ENTER, {}), (CommandKind.ENTER, stop), (CommandKind.ENTER, stop), (CommandKind.ENTER, {})
        ),
        stream(
            [accepted(1, SELL, 102, 9)],
            [parked(accepted(2, BUY, 0, 3), 102)],
            [parked(accepted(3, BUY, 0, 4), 102), parked(amended(3, BUY, 0, 5, before=(0, 4)), 103)],
            [
                accepted(4, BUY, 102, 1),
                traded(4, BUY, 102, 1, 0, (1, 102, 8)),
                displayed(1, SELL, 102, 2, before=0),
                triggered(2, BUY, 110, 3),
                traded(2, BUY, 102, 3, 0, (1, 102, 5)),
                triggered(3, BUY, 109, 5),
                traded(3, BUY, 102, 5, 0, (1, 102, 0)),
            ],
        ),
    )
    assert [
        (order.price, order.filled_quantity, order.trigger_price, order.state)
        for order in (existing(blotter.order(number)) for number in (2, 3))
    ] == [(110, 3, 102, OrderState.FILLED), (109, 5, 103, OrderState.FILLED)]
    assert existing(blotter.order(1)).state == OrderState.FILLED


def test_orders_that_a_take_or_a_liquidation_makes_have_the_terms_that_the_rules_give_them() -> None:
    """11.7, 13.1: type and time in force of the command's row have no meaning."""
    blotter = Blotter(16)
    nonsense = {
        "order_type": 77,
        "time_in_force": 66,
        "flags": 4095,
        "trigger_price": 5,
        "display_quantity": 5,
        "order_id": 1,
    }
    blotter.record(
        commands_for(
            (CommandKind.ENTER, {"minimum_quantity": 2, "order_type": OrderType.LIMIT}),
            (CommandKind.TAKE, nonsense),
            (CommandKind.LIQUIDATE, nonsense),
        ),
        stream(
            [accepted(1, SELL, 102, 9)],
            [accepted(2, BUY, 102, 4), traded(2, BUY, 102, 4, 0, (1, 102, 5))],
            [
                accepted(3, BUY, 110, 8),
                traded(3, BUY, 102, 5, 3, (1, 102, 0)),
                canceled(3, BUY, 110, 3, Reason.IOC_REMAINDER),
            ],
        ),
    )
    taken, liquidated = existing(blotter.order(2)), existing(blotter.order(3))
    assert (taken.order_type, taken.time_in_force, taken.state) == (OrderType.LIMIT, TimeInForce.FOK, OrderState.FILLED)
    assert (liquidated.order_type, liquidated.time_in_force, liquidated.filled_quantity) == (
        OrderType.MARKET,
        TimeInForce.IOC,
        5,
    )
    for order in (taken, liquidated):
        assert (order["flags"], order.trigger_price, order.display_quantity, order.linked_order_id) == (0, 0, 0, 0)
    assert existing(blotter.order(1)).minimum_quantity == 2


def test_what_is_handed_out_does_not_change_later() -> None:
    hub = Hub()
    hub.do(enter(0, BUY, 100, 5))
    one, listed = existing(hub.blotter.order(1)), hub.blotter.orders(0)
    hub.do(cancel(0, 1))
    assert (one.state, listed[0].state) == (OrderState.OPEN, OrderState.OPEN)


def test_a_snapshot_restores_the_same_state() -> None:
    flow, exchange = play(3)
    room = {"max_orders": 700, "history": 50, "trades": 30}
    kept = Blotter(**room)
    kept.record(flow.commands[:900], exchange.apply(flow.commands[:900]))
    restored = Blotter(**room)
    restored.restore(kept.state())
    events = exchange.apply(flow.commands[900:])
    for blotter in (kept, restored):
        blotter.record(flow.commands[900:], events)
    assert kept.event_id == restored.event_id and kept.trades().tolist() == restored.trades().tolist()
    for account in range(len(flow.accounts)):
        assert [plain(entry) for entry in kept.orders(account)] == [plain(entry) for entry in restored.orders(account)]
        for entry in kept.orders(account):
            assert plain(existing(restored.order(entry.order_id))) == plain(entry)
            if entry.client_order_id:
                found = [
                    plain(existing(blotter.order_of(account, entry.client_order_id))) for blotter in (kept, restored)
                ]
                assert found[0] == found[1]
    with pytest.raises(ValueError, match="must be new to be restored"):
        kept.restore(kept.state())
    with pytest.raises(ValueError, match="room for 3"):
        Blotter(max_orders=1, history=1).restore(kept.state())
    with pytest.raises(ValueError, match="snapshot array blotter_event_id: missing"):
        Blotter(max_orders=1).restore({})


def test_a_batch_that_does_not_continue_is_refused() -> None:
    exchange = Exchange([instrument()], accounts=2, risk=False)
    commands = rows(*(enter(0, BUY, 100, 1) for _ in range(4)))
    events = exchange.apply(commands)
    with pytest.raises(ValueError, match="event 2 of command 2"):
        Blotter(10).record(commands[1:], events[1:])
    with pytest.raises(ValueError, match="event 1 of command 1"):
        Blotter(10).record(commands[1:], events)
    with pytest.raises(ValueError, match="event 4 of command 4"):
        Blotter(max_orders=1, history=1).record(commands, events)
    with pytest.raises(ValueError, match="history: 0 given"):
        Blotter(10, history=0)
