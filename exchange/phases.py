"""Trading phases as a table: what each permits. RULEBOOK 5.3.

A phase is a number in the instrument's row; the engine looks up here which Reason refuses what. A schedule of phases
only produces PHASE commands: the machine sees phases, never a clock.
"""
import numpy as np

from matching.codes import Phase, Reason

#                    new orders, amendments      cancels
PERMITS = {
    Phase.CLOSED:     (Reason.INSTRUMENT_CLOSED, Reason.INSTRUMENT_CLOSED),
    Phase.CONTINUOUS: (Reason.NONE,              Reason.NONE),
    Phase.HALTED:     (Reason.INSTRUMENT_HALTED, Reason.NONE),
}

# The same by number, as the kernel reads it: REFUSES_ENTRY[phase] is the Reason, or NONE.
REFUSES_ENTRY = np.array([PERMITS[phase][0] for phase in Phase], np.int64)
REFUSES_CANCEL = np.array([PERMITS[phase][1] for phase in Phase], np.int64)
