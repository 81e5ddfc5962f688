"""Trading phases as a table: what each permits and what may follow it. RULEBOOK 8.1.

A phase is a number in the instrument's row; the engine looks up here which Reason refuses what. A schedule of phases
only produces PHASE commands: the machine sees phases, never a clock.
"""
import numpy as np

from matching.codes import Phase, Reason
from matching.jit import inlined

#                        new orders, amendments       cancels
PERMITS = {
    Phase.CLOSED:        (Reason.INSTRUMENT_CLOSED,   Reason.INSTRUMENT_CLOSED),
    Phase.CONTINUOUS:    (Reason.NONE,                Reason.NONE),
    Phase.HALTED:        (Reason.INSTRUMENT_HALTED,   Reason.NONE),
    Phase.CALL_AUCTION:  (Reason.NONE,                Reason.NONE),
    Phase.AUCTION_MATCH: (Reason.AUCTION_MATCHING,    Reason.AUCTION_MATCHING),
    Phase.BREAK:         (Reason.INSTRUMENT_BREAK,    Reason.NONE),
    Phase.LIMIT_LOCKED:  (Reason.NONE,                Reason.NONE),
    Phase.CLOSING:       (Reason.INSTRUMENT_CLOSING,  Reason.NONE),
    Phase.SETTLEMENT:    (Reason.INSTRUMENT_SETTLING, Reason.INSTRUMENT_SETTLING),
    Phase.UNLISTED:      (Reason.INSTRUMENT_UNLISTED, Reason.INSTRUMENT_UNLISTED),
    Phase.EXPIRED:       (Reason.INSTRUMENT_EXPIRED,  Reason.INSTRUMENT_EXPIRED),
}
# What a PHASE command may make of a phase. Every phase may follow itself.
FOLLOWS = {
    Phase.CLOSED:        (Phase.CALL_AUCTION, Phase.CONTINUOUS, Phase.HALTED),
    Phase.CALL_AUCTION:  (Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.HALTED, Phase.CLOSED),
    Phase.AUCTION_MATCH: (Phase.CONTINUOUS, Phase.HALTED, Phase.BREAK, Phase.CLOSED),
    Phase.CONTINUOUS:    (Phase.CALL_AUCTION, Phase.HALTED, Phase.BREAK, Phase.LIMIT_LOCKED, Phase.CLOSING, Phase.CLOSED),
    Phase.LIMIT_LOCKED:  (Phase.CONTINUOUS, Phase.CALL_AUCTION, Phase.HALTED, Phase.BREAK, Phase.CLOSING, Phase.CLOSED),
    Phase.BREAK:         (Phase.CALL_AUCTION, Phase.CONTINUOUS, Phase.HALTED, Phase.CLOSING, Phase.CLOSED),
    Phase.HALTED:        (Phase.CALL_AUCTION, Phase.CONTINUOUS, Phase.BREAK, Phase.CLOSING, Phase.CLOSED),
    Phase.CLOSING:       (Phase.SETTLEMENT, Phase.CLOSED),
    Phase.SETTLEMENT:    (Phase.CLOSED,),
    Phase.UNLISTED:      (),
    Phase.EXPIRED:       (),
}

# The same by number, as the kernel reads it. REFUSES_ENTRY[phase] is the Reason, or NONE; MAY_FOLLOW[phase, next] 1 or 0.
REFUSES_ENTRY = np.array([PERMITS[phase][0] for phase in Phase], np.int64)
REFUSES_CANCEL = np.array([PERMITS[phase][1] for phase in Phase], np.int64)
MAY_FOLLOW = np.array([[after == phase or after in FOLLOWS[phase] for after in Phase] for phase in Phase], np.int64)


@inlined
def release_lock(book, events, at, command, number):
    """LIMIT_LOCKED ends as soon as it is no longer so. RULEBOOK 9.4. Returns the next free row of events."""
    return at
