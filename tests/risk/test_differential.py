"""The engine with risk on against the oracle: every accept, every reject with its reason, value and bound.

Random commands in markets with low limits, and in markets with offsets, legs, protection and settlement. Every event and reason
of risk must occur. tests/matching/test_differential.py has those of matching alone.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from matching.codes import EventKind, Reason
from matching.invariants import check_book
from tests.matching.divergence import first_difference
from tests.matching.flow import engine, random_flow, reference
from tests.risk.flow import breaker_flow, special_flow

FLOWS, LENGTH = 100, 1500
AT_LEAST = 30
SPECIAL_FLOWS, SPECIAL_AT_LEAST = 60, 10
BREAKER_FLOWS = 30
REASONS = {
    reason
    for reason in Reason
    if reason // 100 in (1, 5)
    or Reason.HUB_KILLED <= reason <= Reason.INSTRUMENT_HALTED
    or Reason.PRICE_OFF_TICK <= reason <= Reason.MAX_ORDER_NOTIONAL
} - {Reason.INVALID_COUNTERPARTY}
REASONS |= {Reason.UNKNOWN_ORDER, Reason.BOOK_FULL, Reason.POST_ONLY_WOULD_TRADE}
OF_POSITIONS = {
    Reason.INVALID_OFFSET,
    Reason.MARGIN_CALLED,
    Reason.CLOSE_EXCEEDS_POSITION,
    Reason.OPENING_CAP,
    Reason.PROTECTION_TRIPPED,
    Reason.PROTECTION,
    Reason.LIQUIDATION,
    Reason.INSTRUMENT_EXPIRY,
    Reason.OUTSIDE_DAILY_LIMITS,
    Reason.MAX_LONG,
    Reason.MAX_SHORT,
    Reason.CREDIT,
    Reason.REDUCE_ONLY_WOULD_INCREASE,
}
KINDS = {
    EventKind.ACCEPTED,
    EventKind.TRADED,
    EventKind.CANCELED,
    EventKind.AMENDED,
    EventKind.TRIGGERED,
    EventKind.BALANCE,
    EventKind.DELIVERY,
    EventKind.MARGIN_CALL,
    EventKind.SETTLED,
    EventKind.EXPIRED,
    EventKind.LIQUIDATED,
}


def what_occurs(flows: Iterator[Any]) -> Any:
    """Kinds and reasons of these flows, for which engine and oracle give the same events."""
    kinds: Counter[int] = Counter()
    reasons: Counter[int] = Counter()
    for flow in flows:
        exchange = engine(flow)
        expected = reference(flow).apply(flow.commands)
        difference = first_difference(flow, exchange.apply(flow.commands), expected)
        assert difference is None, difference
        check_book(exchange.book)
        kinds.update(expected["kind"].tolist())
        reasons.update(expected["reason"].tolist())
    return kinds, reasons


def rare(occurred: Any, members: Any, at_least: Any) -> Any:
    return {member.name: occurred[member] for member in members if occurred[member] < at_least}


def test_every_accept_and_reject_is_the_one_that_the_oracle_predicts_and_every_reason_occurs() -> None:
    _, reasons = what_occurs(random_flow(seed, LENGTH, risk=True) for seed in range(FLOWS))
    assert rare(reasons, REASONS - OF_POSITIONS, AT_LEAST) == {}


def test_offsets_legs_protection_and_clearing_are_those_of_the_oracle() -> None:
    kinds, reasons = what_occurs(special_flow(seed, LENGTH) for seed in range(SPECIAL_FLOWS))
    assert rare(reasons, OF_POSITIONS, SPECIAL_AT_LEAST) | rare(kinds, KINDS, SPECIAL_AT_LEAST) == {}


def test_circuit_breakers_that_come_and_go_are_those_of_the_oracle() -> None:
    """9.3; 11.7 in a call auction"""
    _, reasons = what_occurs(breaker_flow(seed, LENGTH) for seed in range(BREAKER_FLOWS))
    assert rare(reasons, {Reason.VELOCITY, Reason.NOT_IN_AUCTION}, SPECIAL_AT_LEAST) == {}
