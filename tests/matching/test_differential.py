"""The engine against the reference on random commands: the same events, byte for byte, and the same book.

Each run takes a million commands in 400 small markets (flow.py), each with its own terms, and 150,000 more one at a time,
with every invariant of the book checked after each. A flow that does not reach a rule proves nothing about it. So the
test counts what happened, and fails if any event or reason was rare.
"""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from matching.codes import EventKind, Reason
from matching.invariants import check_book
from matching.reference import ReferenceBook
from tests.matching.divergence import first_difference
from tests.matching.flow import engine, random_flow, reference

FLOWS, LENGTH = 400, 2500  # one million commands
CHECKED_FLOWS = range(1000, 1060)  # 150,000 commands, one at a time
AT_LEAST = 300  # how often each event and reason must have happened
# Happens only once per instrument, or needs a hundred parked orders and one trade.
RARER = {EventKind.LISTED: 150, EventKind.EXPIRED: 150, Reason.CASCADE: 30}

# Occurs only with risk and clearing. Everything else must occur (RULEBOOK 5 and 11, with risk off).
OF_RISK = {
    reason
    for reason in Reason
    if 201 <= reason <= 205 or reason in (401, 403) or 406 <= reason <= 408 or 501 <= reason <= 511
} | {Reason.INVALID_OFFSET, Reason.PROTECTION_TRIPPED, Reason.PROTECTION, Reason.LIQUIDATION}
OF_CLEARING = {EventKind.BALANCE, EventKind.DELIVERY, EventKind.MARGIN_CALL, EventKind.LIQUIDATED}


def test_a_million_random_commands_give_the_events_of_the_reference_and_reach_every_rule() -> None:
    kinds: Counter[int] = Counter()
    reasons: Counter[int] = Counter()
    for seed in range(FLOWS):
        flow = random_flow(seed, LENGTH)
        exchange, book = engine(flow), reference(flow)
        assert isinstance(book, ReferenceBook)
        expected = book.apply(flow.commands)
        difference = first_difference(flow, exchange.apply(flow.commands), expected)
        assert difference is None, difference
        assert resting(exchange, flow) == [
            [
                (
                    order.order_id,
                    order.account,
                    order.side,
                    order.price,
                    order.quantity,
                    order.leaves_quantity,
                    order.client_order_id,
                    order.time_in_force,
                )
                for order in book.resting(number)
            ]
            for number in range(len(flow.instruments))
        ], f"books differ after seed {seed}"
        kinds.update(expected["kind"].tolist())
        reasons.update(expected["reason"].tolist())
    rare = {
        kind.name: kinds[kind]
        for kind in EventKind
        if kind not in OF_CLEARING and kinds[kind] < RARER.get(kind, AT_LEAST)
    }
    rare |= {
        reason.name: reasons[reason]
        for reason in Reason
        if reason not in OF_RISK and reasons[reason] < RARER.get(reason, AT_LEAST)
    }
    assert rare == {}
    assert not any(reasons[reason] for reason in OF_RISK)
    assert not any(kinds[kind] for kind in OF_CLEARING)


@pytest.mark.parametrize("first", CHECKED_FLOWS[::20])
def test_one_command_at_a_time_gives_the_same_bytes_and_a_sound_book_after_each(first: int) -> None:
    """1.1"""
    for seed in range(first, first + 20):
        flow = random_flow(seed, LENGTH)
        whole, single = engine(flow), engine(flow)
        expected = whole.apply(flow.commands)
        parts = []
        for row in range(len(flow.commands)):
            parts.append(single.apply(flow.commands[row : row + 1]))
            check_book(single.book)
        difference = first_difference(flow, np.concatenate(parts), expected)
        assert difference is None, difference
        assert single.digest() == whole.digest()


def test_any_split_into_batches_gives_the_same_bytes() -> None:
    """1.1"""
    for seed in range(2000, 2040):
        rng = np.random.default_rng(seed)
        flow = random_flow(seed, LENGTH)
        whole = engine(flow)
        expected = whole.apply(flow.commands)
        for pieces in (2, 7, 100):
            exchange = engine(flow)
            cuts = np.sort(rng.integers(0, LENGTH + 1, pieces))  # equal cuts: empty batches
            events = [exchange.apply(batch) for batch in np.split(flow.commands, cuts)]
            difference = first_difference(flow, np.concatenate(events), expected)
            assert difference is None, difference
            assert exchange.digest() == whole.digest()


def test_the_same_commands_twice_give_the_same_bytes_and_the_caller_keeps_the_first() -> None:
    flow = random_flow(3000, LENGTH)
    first = engine(flow).apply(flow.commands)
    kept = first.tobytes()
    second = engine(flow)
    assert second.apply(flow.commands).tobytes() == kept
    assert first.tobytes() == kept


def resting(exchange: Any, flow: Any) -> Any:
    """The books as the exchange shows them, in the form of the reference."""
    names = ("order_id", "account", "side", "price", "quantity", "leaves_quantity", "client_order_id", "time_in_force")
    return [
        list(zip(*(exchange.orders(terms.symbol)[name].tolist() for name in names), strict=True))
        for terms in flow.instruments
    ]
