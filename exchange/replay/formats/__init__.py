"""Readers of recorded order flow, one file per format, and the Flow that each of them gives to exchange/replay/replay.py.

A recording holds what a venue published: orders that appeared, changed and disappeared. A Flow holds what the members
must have sent for that to happen, as COMMAND rows, and the venue's results to compare with. A reader knows one format and
the habits of one venue; it does not match, and never reads the venue's trades to reconstruct an order.

    flow = bitstamp.reconstruct(bitstamp.read_capture(bitstamp.sample_folder()))
    report = replay(flow, Exchange(flow.instruments, flow.accounts))
"""

from dataclasses import dataclass

import numpy as np

from exchange.instruments import Instrument
from matching.records import COMMAND
from risk.limits import Account

# One trade as the venue published it.
TAPE = np.dtype(
    (
        np.record,
        [
            ("trade_id", "<i8"),
            ("time", "<i8"),  # the venue's number; ns since the epoch
            ("taker_order_id", "<i8"),
            ("maker_order_id", "<i8"),  # the venue's ids
            ("price", "<i8"),
            ("quantity", "<i8"),
        ],
    )
)  # ticks, lots

# One order that was open at the venue when the recording ended.
OPEN_ORDER = np.dtype((np.record, [("order_id", "<i8"), ("price", "<i8"), ("leaves_quantity", "<i8"), ("side", "u1")]))


class CaptureError(ValueError):
    """A recording that cannot be read or understood. Names the file, the line, the field and its value."""

    exit_code = 13


@dataclass(frozen=True)
class LeftOut:
    """An order of the recording that is not in the flow, and why."""

    venue_id: int
    cause: str


@dataclass(frozen=True)
class Flow:
    """The commands of a venue's members, and the venue's results.

    commands   COMMAND[n], stamped 1, 2, 3 ... with the recorded time; client_order_id is the venue's id as text
    venue_ids  int64[n], the venue's id of the order that each command is about. As an engine's order id is the
               sequence of its ENTER, venue_ids[order_id - 1] is the venue's name for it
    tape       TAPE[m], the venue's trades in the order it numbered them
    resting    OPEN_ORDER[k], its open orders at the end, by id
    refused    int64[r], ids of the orders that the venue showed and took back at once: refused, most likely
    left_out   orders that were not sent, or of which too little is known
    """

    instruments: tuple[Instrument, ...]
    accounts: tuple[Account, ...]
    commands: np.ndarray
    venue_ids: np.ndarray
    tape: np.ndarray
    resting: np.ndarray
    refused: np.ndarray
    left_out: tuple[LeftOut, ...]

    def __post_init__(self) -> None:
        if self.commands.dtype != COMMAND or len(self.commands) != len(self.venue_ids):
            raise ValueError(f"flow: {len(self.commands)} commands with {len(self.venue_ids)} venue ids")
