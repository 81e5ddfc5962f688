"""The builder of commands: their fields, their stamps, and the ids of orders."""

import numpy as np
import pytest

from exchange import Exchange
from exchange.commands import (
    Stamper,
    amend,
    begin_day,
    cancel,
    cash,
    end_day,
    enter,
    expire,
    kill_switch,
    limit,
    liquidate,
    list_instrument,
    mass_cancel,
    phase,
    settle,
    stamped,
    take,
    window,
)
from matching.codes import ALL, CommandKind, EventKind, Flag, Limit, Mechanism, Phase, Scope, SettlementRule, Side
from matching.records import COMMAND
from tests.build import fields, instrument

BUY, SELL = Side.BUY, Side.SELL


def test_rows_follow_each_other_in_sequence_and_time() -> None:
    stamper = Stamper(sequence=10, time=1_000, interval=5)
    rows = stamper.stamp(enter(0, BUY, 100, 1), cancel(0, 11))
    assert rows.dtype == COMMAND
    assert fields(rows, "sequence", "time", "kind") == [(11, 1_005, 1), (12, 1_010, 2)]
    stamper.time = 2_000
    assert fields(stamper.stamp(end_day()), "sequence", "time") == [(13, 2_005)]


def test_a_command_may_bring_its_own_time() -> None:
    rows = stamped([enter(0, BUY, 100, 1, time=50), cancel(0, 1)], interval=5)
    assert rows["time"].tolist() == [50, 55]


def test_no_command_is_no_row() -> None:
    assert len(stamped([])) == 0


def test_fields_that_are_not_named_are_zero() -> None:
    row = stamped([amend(3, 7, 101, 2, flags=Flag.OPEN_QUANTITY)])[0]
    named = {"sequence", "time", "kind", "account", "order_id", "price", "quantity", "flags"}
    assert {name for name in COMMAND.names or () if row[name]} == named


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="quantitty"):
        stamped([enter(0, BUY, 100, 1, quantitty=2)])


def test_an_order_is_found_by_the_id_that_its_owner_gave_it() -> None:
    exchange, stamper = Exchange([instrument()], accounts=2), Stamper()
    exchange.apply(
        stamper.stamp(
            enter(0, BUY, 99, 1),
            enter(0, BUY, 98, 1, client_order_id=b"mine"),
            enter(1, BUY, 97, 1, client_order_id=b"mine"),
        )
    )
    assert [stamper.order_id(account, b"mine") for account in (0, 1)] == [2, 3]
    events = exchange.apply(stamper.stamp(cancel(1, stamper.order_id(1, b"mine"))))
    assert fields(events, "kind", "order_id") == [(EventKind.CANCELED, 3)]
    with pytest.raises(KeyError):
        stamper.order_id(0, b"yours")


def test_every_command_of_members_and_operators_is_accepted_by_an_exchange() -> None:
    terms = [
        instrument(),
        instrument("FU2701", phase=Phase.UNLISTED),
        instrument("LNG", mechanism=Mechanism.LISTING),
        instrument("BU2701"),
    ]
    exchange, stamper = Exchange(terms, accounts=2), Stamper()
    commands = [
        begin_day(2026_12_01),
        cash(0, -1_000_00),
        limit(Limit.MAX_LONG, 1, 500),
        limit(Limit.INSTRUMENT_MARGIN, 0, 10),
        kill_switch(Scope.ACCOUNT, 1, on=False),
        kill_switch(Scope.INSTRUMENT, 3),
        list_instrument(1, 100),
        enter(0, SELL, 100, 5, instrument=2),
        take(1, 8, 2, instrument=2),
        enter(0, SELL, 101, 5),
        enter(1, BUY, 101, 2),
        amend(0, 10, 102, 4),
        cancel(0, 10),
        enter(0, SELL, 103, 5),
        mass_cancel(0),
        enter(1, BUY, 99, 1),
        liquidate(0, 0),
        window(),
        phase(Phase.CLOSING, 0),
        phase(Phase.SETTLEMENT, 0),
        settle(0, SettlementRule.GIVEN, 100),
        expire(0),
        phase(Phase.CLOSED),
        end_day(),
    ]
    events = exchange.apply(stamper.stamp(*commands))
    assert set(events["sequence"].tolist()) == set(range(1, len(commands) + 1))
    assert fields(events[events["kind"] == EventKind.REJECTED], "sequence", "reason") == []
    assert {command["kind"] for command in commands} == set(CommandKind)


def test_codes_of_operators_are_in_the_fields_that_the_engine_reads() -> None:
    rows = stamped(
        [kill_switch(Scope.INSTRUMENT, 3), limit(Limit.MAX_LONG, 1, 500), phase(Phase.HALTED), mass_cancel()]
    )
    assert fields(rows, "kind", "order_type", "account", "instrument", "quantity") == [
        (CommandKind.KILL_SWITCH, Scope.INSTRUMENT, 0, 3, 1),
        (CommandKind.LIMIT, Limit.MAX_LONG, 1, 0, 500),
        (CommandKind.PHASE, Phase.HALTED, 0, ALL, 0),
        (CommandKind.MASS_CANCEL, 0, ALL, ALL, 0),
    ]
    assert np.all(rows["sequence"] == [1, 2, 3, 4])
