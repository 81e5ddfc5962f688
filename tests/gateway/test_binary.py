"""The binary endpoint: first the session without a socket, over a real exchange; then over a real socket with a journal.

The expected events come from another exchange that runs on the same rows. The session must send the right ones, to the
right account, once, in order.
"""

import json
import socket
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from exchange import Account, Exchange, Instrument
from exchange.runner import Runner
from gateway.auth import Auth, Credential, LogOn
from gateway.binary.rows import Dealer, stamp
from gateway.binary.schema import schema
from gateway.binary.session import (
    MAX_ROWS,
    AccountFeed,
    BinaryLimits,
    BinarySession,
    Close,
    Send,
    Submit,
    describe,
)
from gateway.client import BinaryClient, ConnectionLost, HubError
from gateway.hub import CLOSE_GOING_AWAY
from gateway.wire.bounds import Bounds
from matching import ALL, COMMAND, EVENT, CommandKind, EventKind, Flag, OrderType, Reason, Side, TimeInForce
from matching.codes import RESTING_OFFSET, Limit, Scope
from matching.invariants import check_book
from tests.build import existing
from tests.effort import examples
from tests.gateway.running import running

KEYS = [
    Credential("alice", "a-secret", account=0),
    Credential("bob", "b-secret", account=1),
    Credential("carol", "c-secret", account=2),
    Credential("reader", "r-secret", account=0, scope="trade:read"),
    Credential("blind", "x-secret", account=0, scope="account:read"),
]
DEFAULT = BinaryLimits()
ROW = COMMAND.itemsize


def instruments() -> Any:
    return [
        Instrument(symbol=symbol, tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=0, price_ceiling=1000)
        for symbol in ("SC2701", "FU2701")
    ]


class Hub:
    """The parts of a hub that sessions need: the exchange and its runner, stepped by hand, without a journal."""

    def __init__(self) -> None:
        self.exchange = Exchange(instruments(), accounts=[Account(name=name) for name in ("alice", "bob", "carol")])
        self.runner = Runner(self.exchange, None, lambda: 0)
        self.auth = Auth(KEYS)
        self.batches: list[Any] = []
        self.runner.listeners.append(lambda commands, events: self.batches.append((commands, events)))

    def run(self) -> Any:
        """One batch of all that was submitted. Returns its events."""
        assert self.runner.step()
        return self.batches[-1][1]


class Member:
    """A client and its session, without the socket between them."""

    def __init__(self, hub: Any, key: str, number: int = 7, limits: Any = DEFAULT, **options: Any) -> None:
        self.hub = hub
        self.session = BinarySession(number, self.log_on, lambda who: describe(hub.exchange, who), limits)
        self.frames: list[Any] = []
        secret = next(credential.client_secret for credential in KEYS if credential.client_id == key)
        self.answer = self.session.receive(
            json.dumps({"method": "auth", "client_id": key, "client_secret": secret} | options)
        )
        if self.session.credential:
            AccountFeed.of(hub).watch(self.session.credential.account, self.deliver)

    def log_on(self, client_id: Any, client_secret: Any) -> Any:
        request = LogOn(grant_type="client_credentials", client_id=client_id, client_secret=client_secret)
        return self.hub.auth.log_on(request, 0, "192.0.2.1").credential

    def deliver(self, events: np.ndarray) -> None:
        self.frames += self.session.events(events)

    def send(self, rows: np.ndarray) -> Any:
        actions = self.session.receive(rows.tobytes())
        self.do(actions)
        return actions

    def do(self, actions: Any) -> None:
        for action in actions:
            if isinstance(action, Submit):
                self.hub.runner.submit(action.commands, lambda commands, events: self.session.answered(len(commands)))

    def events(self) -> Any:
        """Everything received since the last call."""
        frames, self.frames = self.frames, []
        for frame in frames:
            self.session.sent(frame)
        return np.frombuffer(b"".join(frames), EVENT)


def rows(*orders: Any) -> Any:
    """COMMAND rows of dicts."""
    commands = np.zeros(len(orders), COMMAND)
    for command, order in zip(commands, orders, strict=True):
        for field, value in order.items():
            command[field] = value
    return commands


def enter(side: int, price: int, quantity: int, **more: Any) -> Any:
    return {
        "kind": CommandKind.ENTER,
        "side": side,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "price": price,
        "quantity": quantity,
    } | more


def buy(price: int, quantity: int, **more: Any) -> Any:
    return enter(Side.BUY, price, quantity, **more)


def sell(price: int, quantity: int, **more: Any) -> Any:
    return enter(Side.SELL, price, quantity, **more)


def data(action: Any) -> str | bytes:
    """What a session sends."""
    assert isinstance(action, Send)
    return action.data


def error_of(actions: Any) -> Any:
    (action,) = actions
    return json.loads(action.data)["error"]


@pytest.fixture
def hub() -> Any:
    return Hub()


# Logging on and off.


def test_the_first_answer_has_account_instruments_layouts_and_sequence(hub: Any) -> None:
    Member(hub, "bob").send(rows(buy(10, 1)))
    hub.run()
    (answer,) = Member(hub, "alice", number=9).answer
    told = json.loads(data(answer))["result"]
    assert (told["account"], told["session"], told["sequence"], told["max_rows"]) == (0, 9, 1, MAX_ROWS)
    assert np.dtype([tuple(field) for field in told["command"]]).itemsize == COMMAND.itemsize == 112
    assert np.dtype([tuple(field) for field in told["event"]]).names == EVENT.names
    assert told["instruments"][1] == {
        "index": 1,
        "symbol": "FU2701",
        "tick_size": "0.1",
        "lot_size": "1000",
        "price_floor": 0,
        "price_ceiling": 1000,
        "currency": "CNY",
        "unit": "unit",
    }
    assert told["cancel_on_disconnect"] is False


def test_rows_before_logging_on_close_the_connection(hub: Any) -> None:
    session = BinarySession(1, Member(hub, "alice").log_on, lambda who: {})
    assert session.receive(rows(buy(10, 1)).tobytes()) == [Close(1008, "authenticate first")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"method":"auth"}',
        '{"method":"auth","client_id":"alice"}',
        '{"method":"auth","client_id":1,"client_secret":"x"}',
        '{"method":"login"}',
        '{"method":"auth","client_id":"a","client_secret":"b","more":1}',
        "[" * 3000,
    ],
)
def test_a_first_message_that_is_no_log_on_is_refused_and_closes(hub: Any, text: str) -> None:
    refusal, close = BinarySession(1, Member(hub, "alice").log_on, lambda who: {}).receive(text)
    assert json.loads(data(refusal))["error"]["code"] == -32600
    assert close == Close(1008, "authenticate first")


def test_a_wrong_secret_closes_with_the_usual_answer(hub: Any) -> None:
    session = BinarySession(1, Member(hub, "alice").log_on, lambda who: {})
    refusal, close = session.receive('{"method":"auth","client_id":"alice","client_secret":"guess"}')
    assert json.loads(data(refusal))["error"]["code"] == 13004
    assert close == Close(1008, "invalid_credentials")
    assert session.disconnected(1008) == []


def test_a_key_that_may_not_see_trades_is_refused_and_one_that_may_only_read_cannot_send(hub: Any) -> None:
    refusal, close = Member(hub, "blind").answer
    assert json.loads(data(refusal))["error"]["code"] == 13021
    assert isinstance(close, Close) and close.code == 1008
    reader, alice = Member(hub, "reader"), Member(hub, "alice")
    assert error_of(reader.send(rows(buy(10, 1))))["data"]["field"] == "scope"
    alice.send(rows(buy(10, 1)))
    hub.run()
    assert [event.kind for event in reader.events()] == [EventKind.ACCEPTED]
    assert reader.session.disconnected(1006) == []


def test_logging_on_twice_and_other_texts_are_errors_that_keep_the_session(hub: Any) -> None:
    alice = Member(hub, "alice")
    for text in ('{"method":"auth","client_id":"bob","client_secret":"b-secret"}', '{"method":"dance"}', "hello"):
        assert error_of(alice.session.receive(text))["code"] == -32600
    assert existing(alice.session.credential).account == 0
    assert isinstance(alice.send(rows(buy(10, 1)))[0], Submit)


# Frames.


def test_the_hub_writes_account_and_session_into_every_row_and_changes_nothing_else(hub: Any) -> None:
    bob = Member(hub, "bob", number=42)
    sent = rows(
        buy(10, 1, account=2, session=9, sequence=77, time=5, client_order_id=b"a"),
        sell(20, 3, account=-1, instrument=1, flags=1),
    )
    before = sent.tobytes()
    (action,) = bob.send(sent)
    assert action.commands["account"].tolist() == [1, 1] and action.commands["session"].tolist() == [42, 42]
    for field in set(COMMAND.names or ()) - {"account", "session"}:
        assert (action.commands[field] == sent[field]).all()
    assert sent.tobytes() == before


@pytest.mark.parametrize(
    "size, code",
    [(0, 1003), (1, 1003), (111, 1003), (113, 1003), (112 * MAX_ROWS + 1, 1003), (112 * (MAX_ROWS + 1), 1009)],
)
def test_a_frame_that_is_not_so_many_whole_rows_closes(hub: Any, size: Any, code: Any) -> None:
    (close,) = Member(hub, "alice").session.receive(bytes(size))
    assert isinstance(close, Close) and close.code == code and close.reason


@pytest.mark.compiled
def test_the_largest_frame_is_accepted(hub: Any) -> None:
    alice = Member(hub, "alice")
    alice.send(np.repeat(rows(buy(10, 1)), MAX_ROWS))
    hub.run()
    assert len(alice.frames) == 1
    assert alice.events()["event_id"].tolist() == list(range(1, MAX_ROWS + 1))


@pytest.mark.parametrize(
    "field, value",
    [
        ("kind", 0),
        ("kind", 6),
        ("kind", CommandKind.PHASE),
        ("kind", CommandKind.KILL_SWITCH),
        ("kind", CommandKind.CASH),
        ("kind", 255),
        ("client_order_id", b"caf\xe9"),
        ("client_order_id", b"a\x01"),
        ("client_order_id", b"a\0b"),
        ("client_order_id", b"\0b"),
        ("client_order_id", b"tab\t"),
        ("client_order_id", b"\x7f"),
    ],
)
def test_one_row_that_no_trader_may_send_refuses_its_whole_frame_by_name(hub: Any, field: str, value: Any) -> None:
    alice = Member(hub, "alice")
    bad = rows(*[buy(10, 1, client_order_id=b"fine")] * 5)
    bad[field][3] = value
    error = error_of(alice.send(bad))
    assert (error["code"], error["data"]["row"], error["data"]["field"]) == (-32602, 3, field)
    assert (
        "bound" in error["data"]
        and "value" in error["data"]
        and error["data"]["text"].startswith(f"row 3: {field} is ")
    )
    assert hub.runner.step() == 0 and alice.session.rows_in_flight == 0
    alice.send(rows(buy(10, 1)))
    assert len(hub.run()) == 1


def test_client_order_ids_may_be_any_printable_text_up_to_twenty_characters() -> None:
    for text in (b"", b" ", b"~", b"twenty characters 20", b"a b", bytes(range(0x20, 0x34)), bytes(range(0x6B, 0x7F))):
        assert stamp(rows(buy(10, 1, client_order_id=text)), 0, 0) is None, text


def test_what_the_book_refuses_is_a_rejected_event_of_that_row_alone(hub: Any) -> None:
    alice = Member(hub, "alice")
    alice.send(rows(buy(10, 1), buy(2000, 1), buy(10, 0), buy(10, 1, instrument=9), buy(11, 1)))
    hub.run()
    received = alice.events()
    assert received["kind"].tolist() == [EventKind.ACCEPTED, *[EventKind.REJECTED] * 3, EventKind.ACCEPTED]
    assert received["reason"][1:4].tolist() == [
        Reason.PRICE_ABOVE_BAND,
        Reason.INVALID_QUANTITY,
        Reason.UNKNOWN_INSTRUMENT,
    ]
    assert received["account"].tolist() == [0] * 5


@pytest.mark.compiled
@settings(max_examples=examples(150), deadline=None)
@given(st.binary(min_size=ROW, max_size=ROW * 8).map(lambda data: data[: len(data) // ROW * ROW]), st.booleans())
def test_no_bytes_whatever_break_the_hub(data: Any, tame: Any) -> None:
    hub = Hub()
    alice = Member(hub, "alice")
    sent = np.frombuffer(data, COMMAND).copy()
    sent["kind"] = sent["kind"] % 5 + 1
    sent["client_order_id"] = b""
    if tame:  # more like orders, so that some reach the book
        sent["instrument"] %= 2
        sent["side"] = sent["side"] % 2 + 1
        sent["order_type"] = OrderType.LIMIT
        sent["price"] %= 1001
        sent["flags"] &= 3
        for field in (
            "trigger_price",
            "display_quantity",
            "minimum_quantity",
            "expire_date",
            "counterparty",
            "order_id",
        ):
            sent[field] = 0
    (action,) = alice.send(sent)
    assert isinstance(action, Submit)
    events = hub.run()
    assert set(events["sequence"].tolist()) == set(range(1, len(sent) + 1))
    check_book(hub.exchange.book)
    assert alice.session.rows_in_flight == 0


def test_conditional_rows_and_takes_reach_the_book_which_checks_them(hub: Any) -> None:
    """RULEBOOK 2.9, 2.11: a parked order has its flag, an iceberg has DISPLAYED; there is no offer to take."""
    alice = Member(hub, "alice")
    alice.send(
        rows(
            enter(Side.BUY, 600, 5, order_type=OrderType.STOP_LIMIT, trigger_price=550),
            sell(700, 10, display_quantity=2),
            {"kind": CommandKind.TAKE, "order_id": 2, "quantity": 1},
        )
    )
    hub.run()
    parked, iceberg, shown, refused = alice.events()
    assert (parked.kind, parked["flags"], parked.resting_price) == (EventKind.ACCEPTED, Flag.PARKED, 550)
    assert (iceberg.kind, iceberg.quantity, shown.kind, shown.quantity) == (
        EventKind.ACCEPTED,
        10,
        EventKind.DISPLAYED,
        2,
    )
    assert refused.kind == EventKind.REJECTED and refused.sequence == 3


def test_on_a_full_disk_a_frame_with_an_order_is_refused_and_cancels_pass(hub: Any) -> None:
    alice = Member(hub, "alice")
    alice.send(rows(buy(10, 1), buy(11, 1)))
    hub.run()
    alice.session._condition.set_disk_low(True)
    for kind in (CommandKind.ENTER, CommandKind.AMEND, CommandKind.TAKE):
        error = error_of(alice.send(rows({"kind": CommandKind.CANCEL, "order_id": 1}, {"kind": kind})))
        assert (error["code"], error["data"]["reason"], error["data"]["row"], error["data"]["field"]) == (
            11051,
            "disk_space",
            1,
            "kind",
        )
    assert hub.runner.step() == 0
    alice.send(rows({"kind": CommandKind.CANCEL, "order_id": 1}, {"kind": CommandKind.MASS_CANCEL, "instrument": ALL}))
    assert (hub.run()["kind"] == EventKind.CANCELED).sum() == 2
    alice.session._condition.set_disk_low(False)
    assert isinstance(alice.send(rows(buy(10, 1)))[0], Submit)


# Events to their owners.


def test_both_sides_of_a_trade_get_it_and_neither_learns_who_the_other_is(hub: Any) -> None:
    alice, bob, carol = (Member(hub, name) for name in ("alice", "bob", "carol"))
    alice.send(rows(sell(100, 5, client_order_id=b"ask")))
    hub.run()
    alice.events()
    bob.send(rows(buy(100, 2, client_order_id=b"secret", flags=16)))
    (_, trade) = hub.run()
    (passive,) = alice.events()
    assert passive.kind == EventKind.TRADED and passive.event_id == trade.event_id
    assert (passive.resting_order_id, passive.resting_account, passive.resting_leaves_quantity) == (1, 0, 3)
    assert (passive.price, passive.quantity, passive.trade_id) == (100, 2, 1)
    assert (passive.account, passive.client_order_id, passive.leaves_quantity, passive["flags"]) == (-1, b"", -1, 0)
    accepted, active = bob.events()
    assert accepted.kind == EventKind.ACCEPTED
    assert (active.account, active.client_order_id, active.leaves_quantity) == (1, b"secret", 0)
    assert active.resting_account == -1
    assert len(carol.events()) == 0


def test_hiding_the_other_side_leaves_the_batch_of_everybody_else_as_it_was(hub: Any) -> None:
    alice, bob = Member(hub, "alice"), Member(hub, "bob")
    after = []
    hub.runner.listeners.append(lambda commands, events: after.append(events))
    alice.send(rows(sell(100, 5)))
    bob.send(rows(buy(100, 2)))
    before = hub.run()
    assert len(alice.events()) == 2 and len(bob.events()) == 2
    for events in (before, after[0]):
        assert events["account"].tolist() == [0, 1, 1] and events["resting_account"][2] == 0


def test_a_trade_with_oneself_is_reported_once_and_whole(hub: Any) -> None:
    alice = Member(hub, "alice")
    alice.send(rows(sell(100, 5), buy(100, 2)))
    hub.run()
    trade = alice.events()[-1]
    assert (trade.kind, trade.account, trade.resting_account, trade.event_id) == (EventKind.TRADED, 0, 0, 3)


def test_every_session_of_an_account_gets_all_its_events(hub: Any) -> None:
    first, second = Member(hub, "alice", number=1), Member(hub, "alice", number=2)
    first.send(rows(buy(10, 1)))
    hub.run()
    assert first.events().tobytes() == second.events().tobytes() != b""


def test_any_flow_gives_each_account_exactly_its_events_in_order(hub: Any) -> None:
    members = [Member(hub, name) for name in ("alice", "bob", "carol")]
    random = np.random.default_rng(20261123)
    everything: list[Any] = []
    received: list[list[Any]] = [[], [], []]
    for _ in range(60):
        for member in random.permutation(3)[: random.integers(1, 4)]:
            orders = [
                enter(
                    int(random.integers(1, 3)),
                    int(random.integers(95, 106)),
                    int(random.integers(1, 5)),
                    instrument=int(random.integers(0, 2)),
                )
                for _ in range(int(random.integers(1, 40)))
            ]
            members[member].send(
                rows(*orders, {"kind": CommandKind.MASS_CANCEL, "instrument": ALL})
                if random.integers(0, 10) == 0
                else rows(*orders)
            )
        everything.append(hub.run())
        for member, got in zip(members, received, strict=True):
            got.append(member.events())
    events = np.concatenate(everything)
    trades = events["kind"] == EventKind.TRADED
    assert trades.sum() > 500
    for account, got in enumerate(received):
        mine = (events["account"] == account) | (trades & (events["resting_account"] == account))
        told = np.concatenate(got)
        assert told["event_id"].tolist() == events["event_id"][mine].tolist()
        for field in ("kind", "price", "quantity", "trade_id", "order_id", "resting_order_id", "reason", "sequence"):
            assert (told[field] == events[field][mine]).all()


def test_events_of_no_account_reach_no_session() -> None:
    events = np.zeros(4, EVENT)
    events["account"] = [-1, 3, 2_000_000_000, 1]
    events["kind"] = [EventKind.PHASE, EventKind.REJECTED, EventKind.REJECTED, EventKind.ACCEPTED]
    dealer = Dealer(3)
    for account in range(3):
        dealer.watch(account)
    assert [(account, len(found)) for account, found in dealer.deal(events)] == [(1, 1)]
    assert list(dealer.deal(events[:3])) == list(dealer.deal(events[:0])) == []


def test_an_account_gets_what_operators_do_to_it_and_not_what_they_do_to_all() -> None:
    """Events of no account have 0 as account, which is also the index of an account."""
    told = {
        EventKind.PHASE: 0,
        EventKind.AUCTION: 0,
        EventKind.SETTLED: 0,
        EventKind.DAY_BEGUN: 0,
        EventKind.DAY_ENDED: 0,
        EventKind.COUNTDOWN: 0,
        EventKind.WINDOW: 0,
        EventKind.TRIGGERED: 1,
        EventKind.DISPLAYED: 1,
        EventKind.UNCROSSED: 1,
        EventKind.CASH: 1,
        EventKind.BALANCE: 1,
        EventKind.MARGIN_CALL: 1,
        EventKind.LIQUIDATED: 1,
    }
    dealer = Dealer(1)
    dealer.watch(0)
    for kind, heard in told.items():
        assert sum(len(found) for _, found in dealer.deal(event(kind=kind))) == heard, kind
    for kind, code, heard in (
        (EventKind.LIMIT, Limit.MAX_LONG, 1),
        (EventKind.LIMIT, Limit.INSTRUMENT_MARGIN, 0),
        (EventKind.KILL_SWITCH, Scope.ACCOUNT, 1),
        (EventKind.KILL_SWITCH, Scope.HUB, 0),
    ):
        assert sum(len(found) for _, found in dealer.deal(event(kind=kind, side=code))) == heard, (kind, code)


def test_a_delivery_is_reported_to_both_sides_with_the_name_of_the_other() -> None:
    dealer = Dealer(3)
    for account in range(3):
        dealer.watch(account)
    dealt = dict(dealer.deal(event(kind=EventKind.DELIVERY, account=2, resting_account=1, quantity=5)))
    assert sorted(dealt) == [1, 2]
    assert {(int(rows["account"][0]), int(rows["resting_account"][0])) for rows in dealt.values()} == {(2, 1)}


def test_each_side_of_a_trade_sees_its_own_offset_flags() -> None:
    flags = Flag.CLOSE | Flag.OPEN << RESTING_OFFSET
    dealer = Dealer(2)
    dealer.watch(0)
    dealer.watch(1)
    dealt = {
        account: int(rows["flags"][0])
        for account, rows in dealer.deal(event(kind=EventKind.TRADED, account=0, resting_account=1, flags=flags))
    }
    assert dealt == {0: Flag.CLOSE, 1: Flag.OPEN << RESTING_OFFSET}


def event(**fields: Any) -> Any:
    """One EVENT row."""
    row = np.zeros(1, EVENT)
    for name, value in fields.items():
        row[name] = value
    return row


def test_a_batch_that_concerns_no_session_is_skipped(hub: Any) -> None:
    alice, bob = Member(hub, "alice"), Member(hub, "bob")
    AccountFeed.of(hub).unwatch(0, alice.deliver)
    alice.send(rows(buy(10, 1)))
    assert len(hub.run()) == 1
    assert alice.frames == bob.frames == []


def test_a_session_that_ended_gets_nothing_and_its_account_is_no_longer_searched(hub: Any) -> None:
    alice, again = Member(hub, "alice"), Member(hub, "alice")
    feed = AccountFeed.of(hub)
    assert hub.runner.listeners.count(feed) == 1
    feed.unwatch(0, alice.deliver)
    again.send(rows(buy(10, 1)))
    hub.run()
    assert (len(alice.frames), len(again.frames)) == (0, 1)
    feed.unwatch(0, again.deliver)
    hub.runner.submit(rows(buy(10, 1)))
    hub.run()
    assert (len(alice.frames), len(again.frames)) == (0, 1)


# Back pressure, and the end.


def test_reading_stops_beyond_the_rows_in_flight_and_goes_on_when_their_events_have_left(hub: Any) -> None:
    alice = Member(hub, "alice", limits=BinaryLimits(rows_in_flight=10))
    alice.send(rows(*[buy(10, 1)] * 10))
    assert alice.session.may_read
    alice.send(rows(buy(10, 1)))
    assert not alice.session.may_read
    hub.run()
    assert alice.session.rows_in_flight == 0 and not alice.session.may_read  # answered, but nothing has been sent yet
    alice.events()
    assert alice.session.may_read


def test_a_client_that_never_reads_is_overrun_by_the_events_of_others(hub: Any) -> None:
    alice = Member(hub, "alice", limits=BinaryLimits(rows_queued=20))
    bob = Member(hub, "bob")
    alice.send(rows(*[sell(100, 1)] * 15))
    hub.run()
    assert not alice.session.overrun
    bob.send(rows(buy(100, 15)))
    hub.run()
    assert alice.session.overrun


@pytest.mark.compiled
def test_frames_of_events_are_of_bounded_length(hub: Any) -> None:
    alice, bob = Member(hub, "alice"), Member(hub, "bob")
    for _ in range(2):
        alice.send(np.repeat(rows(sell(100, 1)), MAX_ROWS))
    bob.send(rows(buy(100, 5000)))
    hub.run()
    assert [len(frame) // 128 for frame in bob.frames] == [4096, 905]
    assert bob.events()["kind"].tolist() == [EventKind.ACCEPTED] + [EventKind.TRADED] * 5000


def test_losing_the_connection_cancels_all_orders_of_the_account(hub: Any) -> None:
    alice, bob = (
        Member(hub, "alice", number=5, cancel_on_disconnect=True),
        Member(hub, "bob", cancel_on_disconnect=True),
    )
    alice.send(rows(buy(10, 1), sell(20, 1, instrument=1)))
    bob.send(rows(buy(10, 1)))
    hub.run()
    alice.do(alice.session.disconnected(1006))
    canceled = hub.run()
    assert canceled["kind"].tolist() == [EventKind.CANCELED, EventKind.CANCELED, EventKind.MASS_CANCELED]
    assert hub.batches[-1][0]["session"].tolist() == [5]
    assert [order.account for order in hub.exchange.orders("SC2701")] == [1]
    assert alice.session.disconnected(1006) == []


@pytest.mark.parametrize("how", ["logged out", "not asked for", "the hub stops"])
def test_orders_stay_after(hub: Any, how: Any) -> None:
    alice = Member(hub, "alice", **({} if how == "not asked for" else {"cancel_on_disconnect": True}))
    alice.send(rows(buy(10, 1)))
    hub.run()
    if how == "logged out":
        assert alice.session.receive('{"method":"logout"}') == [Close(1000, "logged out")]
    assert alice.session.disconnected(CLOSE_GOING_AWAY if how == "the hub stops" else 1000) == []


# Over a socket, with a journal.


def test_rows_go_through_a_real_hub_and_into_its_journal(hub_of_sockets: Any) -> None:
    hub = hub_of_sockets
    with log_on(hub.url, "alice") as alice, log_on(hub.url, "bob") as bob:
        assert (alice.account, bob.account) == (0, 1)
        assert alice.instruments["FU2701"]["index"] == 1 and alice.instruments["FU2701"]["tick_size"] == "0.01"
        first = alice.welcome.sequence + 1
        alice.send(rows(*[sell(100, 1, instrument=1, client_order_id=f"a{n}".encode()) for n in range(600)]))
        accepted = receive(alice, 600)
        assert accepted["sequence"].tolist() == list(range(first, first + 600))
        assert accepted["client_order_id"][[0, -1]].tolist() == [b"a0", b"a599"]
        bob.send(rows(buy(101, 600, instrument=1)))
        taken, given = receive(bob, 601), receive(alice, 600)
        assert given["resting_order_id"].tolist() == accepted["order_id"].tolist()
        assert taken["trade_id"][1:].tolist() == given["trade_id"].tolist()
        assert set(given["account"]) == {-1} and set(taken["resting_account"][1:]) == {-1}
    journaled = np.concatenate(list(hub.hub.runner._journal.read(first)))
    assert journaled["sequence"].tolist() == list(range(first, first + len(journaled)))
    assert journaled["account"][[0, 600]].tolist() == [0, 1]
    assert (journaled["session"][:600] == alice.welcome.session).all() and alice.welcome.session != bob.welcome.session


def test_a_refused_frame_is_an_error_over_the_socket_and_the_next_one_is_accepted(hub_of_sockets: Any) -> None:
    with log_on(hub_of_sockets.url, "alice") as alice:
        alice.send(rows(buy(95, 1), {"kind": CommandKind.PHASE}))
        with pytest.raises(HubError, match="row 1: kind is 16, must be 1 ENTER") as refused:
            alice.receive(5)
        assert refused.value.data["row"] == 1
        alice.send(rows(buy(95, 1)))
        assert alice.receive(5)["kind"].tolist() == [EventKind.ACCEPTED]


@pytest.mark.parametrize("frame, code", [(b"", 1003), (bytes(100), 1003), (bytes(ROW * 4097), 1009)])
def test_a_frame_that_cannot_be_rows_is_closed_with_its_code(hub_of_sockets: Any, frame: Any, code: Any) -> None:
    with by_hand(hub_of_sockets.url, "alice") as alice:
        with pytest.raises(ConnectionClosed) as closed:
            alice.send(frame)
            alice.recv(5)
        assert existing(closed.value.rcvd).code == code


def test_a_wrong_key_and_silence_are_closed_with_1008(hub_of_sockets: Any) -> None:
    with pytest.raises(HubError, match="13004"):
        BinaryClient(hub_of_sockets.url, "alice", "guess")
    with connect(hub_of_sockets.url + "/ws/bin/v1") as silent, pytest.raises(ConnectionClosed) as closed:
        silent.recv(5)
    assert existing(closed.value.rcvd).code == 1008


def test_a_lost_connection_cancels_and_a_logout_does_not(hub_of_sockets: Any) -> None:
    hub = hub_of_sockets

    def resting() -> Any:
        return len(hub.hub.exchange.orders("SC2701"))

    with BinaryClient(hub.url, "carol", "carol-secret") as carol:
        carol.send(rows(buy(91, 1), buy(92, 1)))
        receive(carol, 2)
        before = hub.inside(resting)
        carol.logout()
    time.sleep(0.05)
    assert hub.inside(resting) == before
    with by_hand(hub.url, "carol", cancel_on_disconnect=True) as carol:
        carol.send(rows(buy(93, 1)).tobytes())
        assert carol.recv(5)
        carol.socket.shutdown(socket.SHUT_RDWR)
        hub.eventually(lambda: resting() == before - 2)
    assert hub.inside(lambda: {order.account for order in hub.hub.exchange.orders("SC2701")}) <= {0, 1}


@pytest.mark.compiled
def test_many_frames_at_once_are_all_answered_in_order(hub_of_sockets: Any) -> None:
    """A hundred thousand rows before the test reads an event: the client reads while it sends, so neither side waits."""
    block = rows(*[buy(95, 1, time_in_force=TimeInForce.IOC)] * 4_096)
    with log_on(hub_of_sockets.url, "bob") as bob:
        for _ in range(25):
            bob.send(block)
        events = receive(bob, 2 * 25 * 4_096)
    assert (np.diff(events["event_id"]) > 0).all()
    assert (events["kind"] == EventKind.ACCEPTED).sum() == (events["kind"] == EventKind.CANCELED).sum() == 25 * 4_096


@pytest.mark.compiled
def test_a_client_that_sends_and_never_reads_is_stopped_from_sending_and_then_cut(hub_of_sockets: Any) -> None:
    """Its frames wait in its own socket, not in the hub. In the end its resting order is canceled."""
    hub = hub_of_sockets

    def resting() -> Any:
        return len(hub.hub.exchange.orders("FU2701"))

    assert hub.inside(resting) == 0
    before = hub.inside(lambda: hub.hub.exchange.sequence)
    client = by_hand(hub.url, "bob", cancel_on_disconnect=True, max_queue=1)
    client.send(rows(buy(90, 1, instrument=1)).tobytes())
    hub.eventually(lambda: resting() == 1)
    block = rows(*[buy(95, 1, time_in_force=TimeInForce.IOC)] * 4_096).tobytes()
    client.socket.settimeout(3)
    with pytest.raises((ConnectionClosed, TimeoutError, OSError)):
        for _ in range(2_000):
            client.send(block)
    assert hub.inside(lambda: hub.hub.exchange.sequence) - before < 400 * 4_096
    hub.eventually(lambda: resting() == 0, 10)
    assert hub.inside(lambda: hub.server.guard.metrics()["refused_write_stalled"]) == 1


def test_stopping_the_hub_leaves_the_orders_in_its_book_and_journal(tmp_path: Path) -> None:
    with running(tmp_path) as hub:
        alice = log_on(hub.url, "alice")
        alice.send(rows(buy(95, 1)))
        receive(alice, 1)
    with pytest.raises(ConnectionLost) as lost:
        alice.receive(5)
    assert lost.value.code == 1012
    assert hub.hub.exchange.sequence == 1 and len(hub.hub.exchange.orders("SC2701")) == 1


def log_on(url: str, name: str) -> Any:
    """Without cancel on disconnect, because the session of the next test would get its events."""
    return BinaryClient(url, name, f"{name}-secret", cancel_on_disconnect=False)


def by_hand(url: str, name: str, cancel_on_disconnect: bool = False, **options: Any) -> Any:
    """A bare websocket, logged on, for a client that breaks the protocol."""
    client = connect(url + "/ws/bin/v1", legacy=True, compression=None, **options)
    client.send(
        json.dumps(
            {
                "method": "auth",
                "client_id": name,
                "client_secret": f"{name}-secret",
                "cancel_on_disconnect": cancel_on_disconnect,
            }
        )
    )
    assert "result" in json.loads(client.recv())
    return client


def receive(client: Any, count: Any) -> Any:
    """So many EVENT rows."""
    parts, got = [], 0
    while got < count:
        parts.append(client.receive(10))
        got += len(parts[-1])
    assert got == count
    return np.concatenate(parts)


@pytest.fixture(scope="module")
def hub_of_sockets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("journal"), Bounds(authentication_seconds=0.3, write_stall_seconds=2)) as hub:
        yield hub


# The published layout.


def test_the_published_schema_is_that_of_the_rows() -> None:
    assert (Path(__file__).parents[2] / "docs/schema/binary.xml").read_text() == schema()


def test_the_schema_lays_out_every_byte_once() -> None:
    from xml.etree import ElementTree

    width = {"int64": 8, "int32": 4, "uint32": 4, "uint16": 2, "uint8": 1, "ClientOrderId": 20}
    root = ElementTree.fromstring(schema())
    coded = {
        item.get("name"): item.get("encodingType", "")
        for item in existing(root.find("types"))
        if item.get("encodingType")
    }
    messages = list(root)[1:]
    assert [message.get("name") for message in messages] == ["COMMAND", "EVENT"]
    for message, dtype in zip(messages, (COMMAND, EVENT), strict=True):
        at = 0
        for field, name in zip(message, dtype.names or (), strict=True):
            assert (field.get("name"), int(field.get("offset", ""))) == (name, at)
            kind = field.get("type", "")
            at += width[coded.get(kind, kind)]
        assert at == int(message.get("blockLength", "")) == dtype.itemsize
