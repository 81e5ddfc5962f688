"""The latest events of clearing: settlement prices, each account's result and fees, deliveries.

    settlements = Settlements()
    settlements.record(commands, exchange.apply(commands))
    settlements.of_instrument(3)              # SETTLED rows, newest first
    settlements.of_account(7, 3)              # BALANCE rows
    settlements.deliveries(3, account=7)      # DELIVERY rows

This is a projection: it keeps the events of clearing as they are, never reads the engine, and can be thrown away and
computed again. RULEBOOK 11. Instruments and accounts are indices, prices ticks, quantities lots, money fen;
matching/records.py says what the fields of these events mean.
"""

import numpy as np

from matching.codes import EventKind
from matching.records import EVENT

_KEPT = np.zeros(256, np.bool_)
_FOLDED = 256  # batches that are kept apart before they are joined
_KEPT[[EventKind.SETTLED, EventKind.BALANCE, EventKind.DELIVERY, EventKind.EXPIRED]] = True


class Settlements:
    """The last `most` events of clearing, kept up to date by `record`."""

    def __init__(self, most: int = 1 << 16) -> None:
        if most < 1:
            raise ValueError(f"most: {most} given, must be 1 or more")
        self._most = most
        self._event_id = 0
        self._rows = np.zeros(0, EVENT)
        self._new: list[np.ndarray] = []  # recorded since the rows were last joined

    def record(self, commands: np.ndarray, events: np.ndarray) -> None:
        """Take a batch: COMMAND[n] as applied (not used), and their events, EVENT[m].

        Errors   ValueError where the batch does not continue those recorded before; nothing has changed then
        """
        if not len(events):
            return
        if events["event_id"][0] != self._event_id + 1:
            raise ValueError(
                f"event {events['event_id'][0]} does not continue event {self._event_id}; "
                f"record from event 1 into new Settlements"
            )
        kept = _KEPT[events["kind"]]
        if kept.any():
            self._new.append(events[kept])  # indexing by a mask copies
            if len(self._new) > _FOLDED:
                self._all()
        self._event_id = int(events["event_id"][-1])

    @property
    def event_id(self) -> int:
        """Of the last event recorded."""
        return self._event_id

    def of_instrument(self, instrument: int) -> np.ndarray:
        """SETTLED rows of an instrument, newest first."""
        return self._select(EventKind.SETTLED, instrument)

    def expiry(self, instrument: int) -> np.ndarray:
        """The EXPIRED row of an instrument; none: it has not expired."""
        return self._select(EventKind.EXPIRED, instrument)

    def of_account(self, account: int, instrument: int) -> np.ndarray:
        """BALANCE rows of an account in an instrument, newest first."""
        rows = self._select(EventKind.BALANCE, instrument)
        return rows[rows["account"] == account]

    def deliveries(self, instrument: int, account: int | None = None) -> np.ndarray:
        """DELIVERY rows of an instrument, newest first: all, or those in which the account receives or delivers."""
        rows = self._select(EventKind.DELIVERY, instrument)
        return rows if account is None else rows[(rows["account"] == account) | (rows["resting_account"] == account)]

    def _select(self, kind: EventKind, instrument: int) -> np.ndarray:
        rows = self._all()
        return rows[(rows["kind"] == kind) & (rows["instrument"] == instrument)][::-1]

    def _all(self) -> np.ndarray:
        if self._new:
            self._rows = np.concatenate([self._rows, *self._new])[-self._most :]
            self._new = []
        return self._rows

    # Over a snapshot ------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """All it knows, as arrays named settlements_..., for a snapshot. Copies."""
        return {"settlements_event_id": np.array([self._event_id], "<i8"), "settlements_rows": self._all().copy()}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take what `state` gave; other arrays are left alone. Errors: ValueError naming the array that is missing."""
        for name in ("event_id", "rows"):
            if f"settlements_{name}" not in arrays:
                raise ValueError(f"snapshot array settlements_{name}: missing")
        self._event_id = int(arrays["settlements_event_id"][0])
        self._rows, self._new = arrays["settlements_rows"].view(EVENT)[-self._most :].copy(), []
