"""The engine with risk on against the oracle: every accept, every reject with its reason, value and bound.

150,000 random commands a run in 100 markets with near limits; every reason there is must have occurred.
"""
from collections import Counter

from matching.codes import EventKind, Reason
from matching.invariants import check_book
from tests.matching.divergence import first_difference
from tests.matching.flow import engine, random_flow, reference

FLOWS, LENGTH = 100, 1500
AT_LEAST = 30


def test_every_accept_and_reject_is_the_one_that_the_oracle_predicts_and_every_reason_occurs():
    kinds: Counter[int] = Counter()
    reasons: Counter[int] = Counter()
    for seed in range(FLOWS):
        flow = random_flow(seed, LENGTH, risk=True)
        exchange = engine(flow)
        expected = reference(flow).apply(flow.commands)
        difference = first_difference(flow, exchange.apply(flow.commands), expected)
        assert difference is None, difference
        check_book(exchange.book)
        kinds.update(expected["kind"].tolist())
        reasons.update(expected["reason"].tolist())
    rare = {kind.name: kinds[kind] for kind in EventKind if kinds[kind] < AT_LEAST}
    rare |= {reason.name: reasons[reason] for reason in Reason if reasons[reason] < AT_LEAST}
    assert rare == {}
