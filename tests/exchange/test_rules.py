"""Every pre-trade Reason on both paths: fast path and general path refuse the same command with the same figures.

CASES has one situation or more for each Reason that a trader's command can be refused by, and a test fails for a Reason
that has none. The command of a case is given to `process_general`, which takes every command, and to `process_fast` or
`process_fast_alone`, which take what is plain. Band 90 to 110, last price 100, unless a case says otherwise; C and D are one
group.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.engine.lanes import process_fast, process_fast_alone, process_general
from matching.codes import CommandKind, EventKind, Flag, Limit, Mechanism, OrderType, Phase, Reason, Scope, Side
from matching.codes import TimeInForce as Time
from matching.records import COMMAND_WORDS, EVENT, EVENT_WORDS, MAX_QUANTITY, new_rows
from matching.spot import COUNTDOWN
from tests.build import SECOND, account, amend, cancel, enter, instrument, operator, rows

BUY, SELL = Side.BUY, Side.SELL
A, B, C, D = range(4)
Row = dict[str, Any]

# What only operators' commands are refused by.
OPERATORS = {Reason.INVALID_VALUE, Reason.PHASE_TRANSITION, Reason.NOT_LIMIT_LOCKED}
PRE_TRADE = [reason for reason in Reason if Reason.NONE < reason < Reason.IOC_REMAINDER and reason not in OPERATORS]


@dataclass(frozen=True)
class Case:
    """A command that is refused: why, with which figures, and where."""

    reason: Reason
    value: int
    bound: int
    refused: Row
    before: Sequence[Row] = ()
    fast: bool = False  # the fast path takes it
    free: bool = False  # the rule holds without risk, too
    terms: dict[str, Any] = field(default_factory=dict)  # of the instrument
    limits: dict[str, Any] = field(default_factory=dict)  # of account A
    room: dict[str, int] = field(default_factory=dict)  # of the exchange

    def exchange(self, risk: bool) -> Exchange:
        accounts = [account("A", **self.limits), account("B"), account("C", group=1), account("D", group=1)]
        room = {"max_orders": 100, "max_client_order_ids": 100, **self.room}
        exchange = Exchange([instrument(**self.terms)], accounts, risk=risk, **room)
        if self.before:
            events = exchange.apply(rows(*self.before))
            assert EventKind.REJECTED not in events["kind"]
        return exchange


def phase(*phases: Phase) -> list[Row]:
    return [operator(CommandKind.PHASE, phase) for phase in phases]


def kill(scope: Scope) -> list[Row]:
    return [operator(CommandKind.KILL_SWITCH, scope, quantity=1)]


def limit(which: Limit, value: int, **about: int) -> Row:
    return operator(CommandKind.LIMIT, which, quantity=value, **about)


def take(account: int, order_id: int, quantity: int, **fields: Any) -> Row:
    return {"kind": CommandKind.TAKE, "account": account, "order_id": order_id, "quantity": quantity, **fields}


R = Reason
PLAIN = enter(A, BUY, 99, 5)
IOC, FOK = {"time_in_force": Time.IOC}, {"time_in_force": Time.FOK}
STOP = {"order_type": OrderType.STOP, "trigger_price": 105, "price": 0}
GTC = {"time_in_force": Time.GTC}
NAMED = {"client_order_id": b"mine"}
REDUCE, POST = {"flags": Flag.REDUCE_ONLY}, {"flags": Flag.POST_ONLY}
LISTING = {"mechanism": Mechanism.LISTING}
ONE_SIDED = {"mechanism": Mechanism.ONE_SIDED, "phase": Phase.CALL_AUCTION}
APART = {"offset": True}
AT = {"time": 100 * SECOND}
FREE: dict[str, Any] = {"free": True}
FAST: dict[str, Any] = {"fast": True}
BOTH = FREE | FAST
CALLED = [
    enter(B, SELL, 100, 5, flags=0),
    enter(A, BUY, 100, 5),
    limit(Limit.INSTRUMENT_MARGIN, 10),
    operator(CommandKind.END_DAY),
    limit(Limit.INSTRUMENT_MARGIN, 1),
]

CASES = [
    Case(R.UNKNOWN_KIND, 9, 0, {"kind": 9}, **FREE),
    Case(R.UNKNOWN_INSTRUMENT, 1, 0, PLAIN | {"instrument": 1}, **FREE),
    Case(R.UNKNOWN_INSTRUMENT, -1, 0, amend(A, 1, 99, 5, instrument=-1), **FREE),
    Case(R.UNKNOWN_INSTRUMENT, 1, 0, cancel(A, 1, instrument=1), **FREE),
    Case(R.UNKNOWN_ACCOUNT, 4, 3, PLAIN | {"account": 4}, **FREE),
    Case(R.UNKNOWN_ACCOUNT, -1, 3, take(-1, 1, 1), **FREE),
    Case(R.INVALID_SIDE, 3, 0, PLAIN | {"side": 3}, **FREE),
    Case(R.INVALID_SIDE, 0, 0, PLAIN | {"side": 0}, **FREE),
    Case(R.INVALID_ORDER_TYPE, 5, 0, PLAIN | {"order_type": 5}, **FREE),
    Case(R.INVALID_TIME_IN_FORCE, 9, 0, PLAIN | {"time_in_force": 9}, **FREE),
    Case(R.INVALID_TIME_IN_FORCE, Time.IOC, 0, PLAIN | STOP | IOC, **FREE),
    Case(R.INVALID_FLAGS, 1 << 20, 0, PLAIN | {"flags": 1 << 20}, **BOTH),
    Case(R.INVALID_FLAGS, 24, 0, PLAIN | {"flags": 24}, **BOTH),
    Case(R.INVALID_FLAGS, 1, 0, PLAIN | POST | IOC, **BOTH),
    Case(R.INVALID_FLAGS, 24, 0, amend(A, 1, 99, 4, flags=24), [PLAIN], **BOTH),
    Case(R.INVALID_QUANTITY, 0, 1, PLAIN | {"quantity": 0}, **BOTH),
    Case(R.INVALID_QUANTITY, MAX_QUANTITY + 1, MAX_QUANTITY, PLAIN | {"quantity": MAX_QUANTITY + 1}, **BOTH),
    Case(R.INVALID_QUANTITY, -1, 1, amend(A, 1, 99, -1), [PLAIN], **BOTH),
    Case(R.INVALID_QUANTITY, 6, 5, take(B, 1, 6), [PLAIN], terms=LISTING, **FREE),
    Case(R.INVALID_TRIGGER_PRICE, 105, 0, PLAIN | {"trigger_price": 105}, **FREE),
    Case(R.INVALID_TRIGGER_PRICE, 105, 0, amend(A, 1, 99, 5, trigger_price=105), [PLAIN], **BOTH),
    Case(R.INVALID_DISPLAY_QUANTITY, 6, 5, PLAIN | {"display_quantity": 6}, **FREE),
    Case(R.INVALID_DISPLAY_QUANTITY, -1, 0, PLAIN | {"display_quantity": -1}, **FREE),
    Case(R.INVALID_DISPLAY_QUANTITY, 1, 0, PLAIN | {"display_quantity": 1} | IOC, **FREE),
    Case(R.INVALID_DISPLAY_QUANTITY, 1, 2, PLAIN | {"display_quantity": 1, "quantity": 101}, **FREE),
    Case(R.INVALID_DISPLAY_QUANTITY, 1, 2, amend(A, 1, 99, 101), [PLAIN | {"display_quantity": 1}], **FREE),
    Case(R.INVALID_MINIMUM_QUANTITY, 1, 0, PLAIN | {"minimum_quantity": 1}, **FREE),
    Case(R.INVALID_MINIMUM_QUANTITY, 6, 5, PLAIN | {"minimum_quantity": 6} | IOC, **FREE),
    Case(R.INVALID_MINIMUM_QUANTITY, -1, 0, PLAIN | {"minimum_quantity": -1} | IOC, **FREE),
    Case(R.INVALID_EXPIRE_DATE, 0, 1, PLAIN | {"time_in_force": Time.GTD}, **FREE),
    Case(R.INVALID_EXPIRE_DATE, 20270101, 0, PLAIN | {"expire_date": 20270101}, **FREE),
    Case(R.INVALID_OFFSET, Flag.OPEN, 0, PLAIN | {"flags": Flag.OPEN}),
    Case(R.INVALID_OFFSET, 0, 0, PLAIN, terms=APART),
    Case(R.INVALID_OFFSET, 384, 0, PLAIN | {"flags": Flag.OPEN | Flag.CLOSE}, terms=APART),
    Case(R.INVALID_OFFSET, 512, 0, PLAIN | {"flags": Flag.CLOSE_TODAY} | GTC, terms=APART),
    Case(R.INVALID_OFFSET, Flag.OPEN, 0, amend(A, 1, 99, 4, flags=Flag.OPEN), [PLAIN], **FAST),
    Case(R.INVALID_COUNTERPARTY, 1, 0, PLAIN | {"counterparty": 1}, **FREE),
    Case(R.INVALID_COUNTERPARTY, 0, 3, PLAIN, terms={"mechanism": Mechanism.NEGOTIATED}, **FREE),
    Case(R.INVALID_LINK, 1, 0, PLAIN | IOC | {"order_id": 1}, **FREE),
    Case(R.HUB_KILLED, 0, 0, PLAIN, kill(Scope.HUB), **FAST),
    Case(R.INSTRUMENT_KILLED, 0, 0, PLAIN, kill(Scope.INSTRUMENT), **FAST),
    Case(R.FIRM_KILLED, 0, 0, PLAIN, kill(Scope.FIRM), **FAST),
    Case(R.ACCOUNT_KILLED, 0, 0, PLAIN, kill(Scope.ACCOUNT), **FAST),
    Case(R.ACCOUNT_KILLED, 0, 0, amend(A, 1, 99, 4), [PLAIN, *kill(Scope.ACCOUNT)], **FAST),
    Case(R.ACCOUNT_DISABLED, 0, 0, PLAIN, limits={"enabled": False}, **FAST),
    Case(R.INSTRUMENT_CLOSED, Phase.CLOSED, 0, PLAIN, phase(Phase.CLOSED), **FREE),
    Case(R.INSTRUMENT_CLOSED, Phase.CLOSED, 0, cancel(A, 1), [PLAIN, *phase(Phase.CLOSED)], **FREE),
    Case(R.INSTRUMENT_HALTED, Phase.HALTED, 0, PLAIN, phase(Phase.HALTED), **FREE),
    Case(R.INSTRUMENT_HALTED, Phase.HALTED, 0, amend(A, 1, 99, 4), [PLAIN, *phase(Phase.HALTED)], **FREE),
    Case(R.INSTRUMENT_UNLISTED, Phase.UNLISTED, 0, PLAIN, terms={"phase": Phase.UNLISTED}, **FREE),
    Case(
        R.INSTRUMENT_EXPIRED,
        Phase.EXPIRED,
        0,
        PLAIN,
        [operator(CommandKind.SETTLE), operator(CommandKind.EXPIRE)],
        **FREE,
    ),
    Case(R.AUCTION_MATCHING, Phase.AUCTION_MATCH, 0, PLAIN, phase(Phase.CALL_AUCTION, Phase.AUCTION_MATCH), **FREE),
    Case(R.INSTRUMENT_BREAK, Phase.BREAK, 0, PLAIN, phase(Phase.BREAK), **FREE),
    Case(R.INSTRUMENT_CLOSING, Phase.CLOSING, 0, PLAIN, phase(Phase.CLOSING), **FREE),
    Case(R.INSTRUMENT_SETTLING, Phase.SETTLEMENT, 0, PLAIN, phase(Phase.CLOSING, Phase.SETTLEMENT), **FREE),
    Case(R.NOT_IN_AUCTION, Phase.CALL_AUCTION, 0, PLAIN | IOC, phase(Phase.CALL_AUCTION), **FREE),
    Case(
        R.NOT_IN_AUCTION,
        Phase.CALL_AUCTION,
        0,
        amend(A, 1, 99, 4, **POST),
        [PLAIN, *phase(Phase.CALL_AUCTION)],
        **FREE,
    ),
    Case(
        R.ENTRY_ONLY,
        Phase.AUCTION_ENTRY_ONLY,
        0,
        amend(A, 1, 99, 4),
        [PLAIN, *phase(Phase.CALL_AUCTION, Phase.AUCTION_ENTRY_ONLY)],
        **FREE,
    ),
    Case(
        R.ENTRY_ONLY,
        Phase.AUCTION_ENTRY_ONLY,
        0,
        cancel(A, 1),
        [PLAIN, *phase(Phase.CALL_AUCTION, Phase.AUCTION_ENTRY_ONLY)],
        **FREE,
    ),
    Case(R.ONLY_IN_AUCTION, Phase.CONTINUOUS, 0, PLAIN | {"time_in_force": Time.OPENING}, **FREE),
    Case(R.WRONG_MECHANISM, Mechanism.LISTING, 0, PLAIN | FOK, terms=LISTING, **FREE),
    Case(R.WRONG_MECHANISM, Mechanism.LISTING, 0, amend(A, 1, 99, 4), [PLAIN], terms=LISTING, **FREE),
    Case(R.WRONG_MECHANISM, Mechanism.ORDER_BOOK, 0, take(B, 1, 1), [PLAIN], **FREE),
    Case(
        R.PROTECTION_TRIPPED,
        5,
        5,
        PLAIN,
        [PLAIN, enter(B, SELL, 99, 5)],
        limits={"protection_lots": 5, "protection_interval": 1000},
        **FAST,
    ),
    Case(R.UNKNOWN_ORDER, 7, 0, cancel(A, 7), **BOTH),
    Case(R.UNKNOWN_ORDER, 1, 0, cancel(B, 1), [PLAIN], **BOTH),
    Case(R.UNKNOWN_ORDER, 7, 0, amend(A, 7, 99, 4), **BOTH),
    Case(R.UNKNOWN_ORDER, 7, 0, PLAIN | {"order_id": 7}, **FREE),
    Case(R.UNKNOWN_ORDER, 1, 0, enter(A, SELL, 105, 5, order_id=1), [PLAIN], **FREE),
    Case(R.UNKNOWN_ORDER, 7, 0, take(B, 7, 1), terms=LISTING, **FREE),
    Case(R.ALREADY_LINKED, 1, 0, PLAIN | {"order_id": 1}, [PLAIN, PLAIN | {"order_id": 1}], **FREE),
    Case(R.IRREVOCABLE, 2, 1, cancel(B, 2), [enter(A, SELL, 100, 5), enter(B, BUY, 100, 5)], terms=ONE_SIDED, **FREE),
    Case(R.NOT_COUNTERPARTY, 3, 2, enter(D, BUY, 100, 5), [enter(C, SELL, 100, 5)], terms=ONE_SIDED, **FREE),
    Case(R.NOT_COUNTERPARTY, 3, 2, take(D, 1, 1), [enter(C, SELL, 100, 5)], terms=LISTING, **FREE),
    Case(R.OFFER_EXISTS, 1, 0, enter(B, SELL, 100, 5), [enter(A, SELL, 100, 5)], terms=ONE_SIDED, **FREE),
    Case(
        R.NO_OFFER,
        1,
        0,
        enter(C, BUY, 100, 5),
        [enter(A, SELL, 100, 5), enter(B, BUY, 100, 5, **GTC), operator(CommandKind.END_DAY)],
        terms=ONE_SIDED,
        **FREE,
    ),
    Case(
        R.AUCTION_OVER,
        1000 * SECOND,
        2 * SECOND + int(COUNTDOWN),
        enter(C, BUY, 100, 5, time=1000 * SECOND),
        [enter(A, SELL, 100, 5), enter(B, BUY, 100, 5)],
        terms=ONE_SIDED,
        **FREE,
    ),
    Case(R.PRICE_OFF_TICK, 99, 5, PLAIN, terms={"price_increment": 5}, **FAST),
    Case(R.PRICE_OFF_TICK, 99, 5, amend(A, 1, 99, 5), [enter(A, BUY, 95, 5)], terms={"price_increment": 5}, **FAST),
    Case(R.PRICE_OFF_TICK, 104, 5, PLAIN | STOP | {"trigger_price": 104}, terms={"price_increment": 5}),
    Case(R.QUANTITY_BELOW_MINIMUM, 1, 2, PLAIN | {"quantity": 1}, terms={"minimum_quantity": 2}, **FAST),
    Case(R.QUANTITY_BELOW_MINIMUM, 1, 2, amend(A, 1, 99, 1), [PLAIN], terms={"minimum_quantity": 2}, **FAST),
    Case(R.QUANTITY_BELOW_MINIMUM, 1, 2, take(B, 1, 1), [PLAIN | {"minimum_quantity": 2}], terms=LISTING, **FREE),
    Case(R.QUANTITY_OFF_LOT, 5, 2, PLAIN, terms={"quantity_increment": 2}, **FAST),
    Case(R.QUANTITY_OFF_LOT, 3, 2, amend(A, 1, 99, 3), [enter(A, BUY, 99, 4)], terms={"quantity_increment": 2}, **FAST),
    Case(R.PRICE_BELOW_BAND, 89, 90, PLAIN | {"price": 89}, **BOTH),
    Case(R.PRICE_BELOW_BAND, 89, 90, amend(A, 1, 89, 5), [PLAIN], **BOTH),
    Case(R.PRICE_ABOVE_BAND, 111, 110, PLAIN | {"price": 111}, **BOTH),
    Case(R.PRICE_ABOVE_BAND, 111, 110, amend(A, 1, 111, 5), [PLAIN], **BOTH),
    Case(R.PRICE_OUTSIDE_COLLAR, 104, 103, PLAIN | {"price": 104}, terms={"collar": 3}, **FAST),
    Case(R.PRICE_OUTSIDE_COLLAR, 96, 97, amend(A, 1, 96, 5), [PLAIN], terms={"collar": 3}, **FAST),
    Case(R.MAX_ORDER_QUANTITY, 5, 4, PLAIN, limits={"max_order_quantity": 4}, **FAST),
    Case(R.MAX_ORDER_QUANTITY, 6, 5, amend(A, 1, 99, 6), [PLAIN], terms={"max_order_quantity": 5}, **FAST),
    Case(R.MAX_ORDER_NOTIONAL, 495, 494, PLAIN, limits={"max_order_notional": 494}, **FAST),
    Case(R.MAX_ORDER_NOTIONAL, 500, 495, amend(A, 1, 100, 5), [PLAIN], limits={"max_order_notional": 495}, **FAST),
    Case(R.TRIGGER_REACHED, 100, 100, PLAIN | STOP | {"trigger_price": 100}, **FREE),
    Case(R.TRIGGER_REACHED, 100, 100, amend(A, 1, 0, 5, trigger_price=100), [PLAIN | STOP], **FREE),
    Case(R.TRIGGER_BELOW_BAND, 89, 90, enter(A, SELL, 0, 5) | STOP | {"trigger_price": 89}, **FREE),
    Case(R.TRIGGER_ABOVE_BAND, 111, 110, PLAIN | STOP | {"trigger_price": 111}, **FREE),
    Case(R.PRICE_BEYOND_RESERVE, 99, 100, enter(B, BUY, 99, 5), [enter(A, SELL, 100, 5)], terms=ONE_SIDED, **FREE),
    Case(
        R.MESSAGE_RATE, 100 * SECOND, 101 * SECOND, PLAIN | AT, [PLAIN | AT], limits={"messages_per_second": 1}, **FAST
    ),
    Case(
        R.MESSAGE_RATE,
        100 * SECOND,
        101 * SECOND,
        amend(A, 1, 99, 4, **AT),
        [PLAIN | AT],
        limits={"messages_per_second": 1},
        **FAST,
    ),
    Case(R.DUPLICATE_CLIENT_ORDER_ID, 1, 0, PLAIN | NAMED, [PLAIN | NAMED], **FAST),
    Case(
        R.CLIENT_ORDER_ID_CAPACITY,
        1,
        1,
        PLAIN | NAMED,
        [PLAIN | {"client_order_id": b"other"}],
        room={"max_client_order_ids": 1},
        **FAST,
    ),
    Case(R.MAX_OPEN_ORDERS, 2, 1, PLAIN, [PLAIN], limits={"max_open_orders": 1}, **FAST),
    Case(R.REDUCE_ONLY_WOULD_INCREASE, 5, 0, PLAIN | REDUCE, **FAST),
    Case(R.REDUCE_ONLY_WOULD_INCREASE, 6, 0, amend(A, 1, 99, 6, **REDUCE), [PLAIN], **FAST),
    Case(R.MAX_LONG, 5, 4, PLAIN, limits={"max_long": 4}, **FAST),
    Case(R.MAX_LONG, 6, 5, amend(A, 1, 99, 6), [PLAIN], terms={"max_position": 5}, **FAST),
    Case(R.MAX_SHORT, 5, 4, enter(A, SELL, 101, 5), limits={"max_short": 4}, **FAST),
    Case(R.CREDIT, 50, 49, PLAIN, terms={"margin": 10}, limits={"equity": 49}, **FAST),
    Case(R.CREDIT, 60, 50, amend(A, 1, 99, 6), [PLAIN], terms={"margin": 10}, limits={"equity": 50}, **FAST),
    Case(R.MARGIN_CALLED, 6, 5, enter(A, BUY, 99, 1), CALLED, terms={"margin": 1}, limits={"equity": 30}),
    Case(R.CLOSE_EXCEEDS_POSITION, 5, 0, PLAIN | {"flags": Flag.CLOSE}, terms=APART),
    Case(R.OPENING_CAP, 5, 4, PLAIN | {"flags": Flag.OPEN}, terms=APART | {"opening_cap": 4}),
    Case(R.BOOK_FULL, 1, 1, PLAIN, [PLAIN], room={"max_orders": 1}, **BOTH),
    Case(R.POST_ONLY_WOULD_TRADE, 98, 99, enter(B, SELL, 98, 1, **POST), [PLAIN], **BOTH),
    Case(R.POST_ONLY_WOULD_TRADE, 101, 100, amend(A, 1, 101, 5, **POST), [PLAIN, enter(B, SELL, 100, 1)], **BOTH),
]


def on_path(lane: Any, case: Case, risk: bool) -> tuple[int, np.ndarray, str]:
    """(commands that the lane took, their events, digest of the exchange then) for the command of a case."""
    exchange = case.exchange(risk)
    command = rows(case.refused, start=exchange.sequence + 1).view(COMMAND_WORDS)
    events = new_rows(8192, EVENT_WORDS)
    taken, end, *_ = lane(command, 0, events, 0, exchange.book, exchange.ledger)
    return taken, events[:end].view(EVENT), exchange.digest()


@pytest.mark.parametrize("risk, case", [(risk, case) for risk in (True, False) for case in CASES if risk or case.free])
def test_1_3_fast_path_and_general_path_refuse_with_the_same_reason_value_and_bound(case: Case, risk: bool) -> None:
    taken, refusal, digest = on_path(process_general, case, risk)
    assert taken == len(refusal) == 1
    assert (EventKind(refusal[0]["kind"]), Reason(refusal[0]["reason"])) == (EventKind.REJECTED, case.reason)
    assert (refusal[0]["resting_leaves_quantity"], refusal[0]["resting_price"]) == (case.value, case.bound)

    taken, again, digest_again = on_path(process_fast if risk else process_fast_alone, case, risk)
    assert taken == case.fast
    if case.fast:
        assert (again.tobytes(), digest_again) == (refusal.tobytes(), digest)


def test_1_3_every_reason_before_a_trade_has_a_case() -> None:
    assert sorted({case.reason for case in CASES}) == PRE_TRADE
