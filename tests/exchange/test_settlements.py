"""exchange/projections/settlements.py: the latest events of clearing, by instrument and account."""

from typing import Any

import numpy as np
import pytest

from exchange.projections.settlements import Settlements
from matching.codes import EventKind
from matching.records import EVENT


def events(*rows: tuple[Any, ...], first: int = 1) -> np.ndarray:
    block = np.zeros(len(rows), EVENT)
    block["event_id"] = np.arange(first, first + len(rows))
    for number, (kind, fields) in enumerate(rows):
        block[number]["kind"] = kind
        for name, value in fields.items():
            block[number][name] = value
    return block


DAY = [
    (EventKind.PHASE, {}),
    (EventKind.BALANCE, {"account": 0, "price": 100}),
    (EventKind.BALANCE, {"account": 2, "price": 100}),
    (EventKind.SETTLED, {"price": 100}),
    (EventKind.TRADED, {}),
    (EventKind.SETTLED, {"instrument": 1, "price": 7}),
]


def test_what_was_settled_is_found_by_instrument_and_account_newest_first() -> None:
    """RULEBOOK 11.5, 11.8."""
    kept = Settlements()
    kept.record(np.zeros(0), events(*DAY))
    kept.record(
        np.zeros(0),
        events(
            (EventKind.SETTLED, {"price": 101}),
            (EventKind.DELIVERY, {"account": 2, "resting_account": 0}),
            (EventKind.EXPIRED, {}),
            first=7,
        ),
    )
    assert kept.of_instrument(0)["price"].tolist() == [101, 100] and kept.of_instrument(1)["price"].tolist() == [7]
    assert kept.of_account(2, 0)["event_id"].tolist() == [3] and len(kept.of_account(1, 0)) == 0
    assert [len(kept.deliveries(0, account)) for account in (None, 0, 1, 2)] == [1, 1, 0, 1]
    assert len(kept.expiry(0)) == 1 and len(kept.expiry(1)) == 0


def test_only_the_last_so_many_are_kept() -> None:
    kept = Settlements(most=3)
    for number in range(1000):
        kept.record(np.zeros(0), events((EventKind.SETTLED, {"price": number}), first=number + 1))
    assert kept.of_instrument(0)["price"].tolist() == [999, 998, 997]
    with pytest.raises(ValueError, match="most: 0 given, must be 1 or more"):
        Settlements(most=0)


def test_a_gap_is_refused_and_changes_nothing() -> None:
    kept = Settlements()
    kept.record(np.zeros(0), events(*DAY))
    with pytest.raises(ValueError, match="event 8 does not continue event 6"):
        kept.record(np.zeros(0), events(*DAY, first=8))
    assert kept.event_id == 6 and len(kept.of_instrument(0)) == 1
    kept.record(np.zeros(0), events(*DAY, first=7))
    assert kept.event_id == 12


def test_settlements_are_part_of_a_snapshot() -> None:
    kept, again = Settlements(), Settlements()
    kept.record(np.zeros(0), events(*DAY))
    state = kept.state()
    kept.record(np.zeros(0), events(*DAY, first=7))
    again.restore(state)
    assert again.event_id == 6 and again.of_instrument(1)["price"].tolist() == [7]
    again.record(np.zeros(0), events(*DAY, first=7))
    assert again.of_account(0, 0).tobytes() == kept.of_account(0, 0).tobytes()
    with pytest.raises(ValueError, match="snapshot array settlements_rows: missing"):
        Settlements().restore({"settlements_event_id": np.zeros(1, np.int64)})
