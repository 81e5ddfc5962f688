"""Trading phases as a table: what each permits and what may follow it, and the change from one to the next. RULEBOOK 8, 9.4.

The phase is a number in the row of the instrument. REFUSES_ENTRY and REFUSES_CANCEL say why it refuses a command. The
schedule only produces PHASE commands, so the engine knows phases and no clock.
"""

import numpy as np

from matching import codes as c
from matching.auction import uncross
from matching.book import is_empty, own, price_of, row_of
from matching.breaker import forget_slices
from matching.cancel import mass_cancel
from matching.codes import ALL, AUCTION_PHASES, Phase, Reason, TimeInForce
from matching.events import emit_phase
from matching.jit import inlined, outlined
from matching.spot import call_off, close_one_sided
from matching.triggers import fire

_OPENING_ORDERS, _SESSION_ORDERS = 1 << np.int64(TimeInForce.OPENING), 1 << np.int64(TimeInForce.SESSION)

# fmt: off
#                             new orders                  cancels
PERMITS = {
    Phase.CLOSED:             (Reason.INSTRUMENT_CLOSED,   Reason.INSTRUMENT_CLOSED),
    Phase.CONTINUOUS:         (Reason.NONE,                Reason.NONE),
    Phase.HALTED:             (Reason.INSTRUMENT_HALTED,   Reason.NONE),
    Phase.CALL_AUCTION:       (Reason.NONE,                Reason.NONE),
    Phase.AUCTION_MATCH:      (Reason.AUCTION_MATCHING,    Reason.AUCTION_MATCHING),
    Phase.BREAK:              (Reason.INSTRUMENT_BREAK,    Reason.NONE),
    Phase.LIMIT_LOCKED:       (Reason.NONE,                Reason.NONE),
    Phase.CLOSING:            (Reason.INSTRUMENT_CLOSING,  Reason.NONE),
    Phase.SETTLEMENT:         (Reason.INSTRUMENT_SETTLING, Reason.INSTRUMENT_SETTLING),
    Phase.UNLISTED:           (Reason.INSTRUMENT_UNLISTED, Reason.INSTRUMENT_UNLISTED),
    Phase.EXPIRED:            (Reason.INSTRUMENT_EXPIRED,  Reason.INSTRUMENT_EXPIRED),
    Phase.AUCTION_ENTRY_ONLY: (Reason.NONE,                Reason.ENTRY_ONLY),
}
# Phases that a PHASE command may set after a phase. Every phase may follow itself.
_AFTER_CALL = (Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.HALTED, Phase.CLOSED)
_AFTER_TRADING = (Phase.HALTED, Phase.BREAK, Phase.CLOSING, Phase.CLOSED)
FOLLOWS = {
    Phase.CLOSED:             (*AUCTION_PHASES, Phase.CONTINUOUS, Phase.HALTED),
    Phase.CALL_AUCTION:       (Phase.AUCTION_ENTRY_ONLY, *_AFTER_CALL),
    Phase.AUCTION_ENTRY_ONLY: (Phase.CALL_AUCTION, *_AFTER_CALL),
    Phase.AUCTION_MATCH:      (Phase.CONTINUOUS, Phase.HALTED, Phase.BREAK, Phase.CLOSED),
    Phase.CONTINUOUS:         (*AUCTION_PHASES, Phase.LIMIT_LOCKED, *_AFTER_TRADING),
    Phase.LIMIT_LOCKED:       (*AUCTION_PHASES, Phase.CONTINUOUS, *_AFTER_TRADING),
    Phase.BREAK:              (*AUCTION_PHASES, Phase.CONTINUOUS, Phase.HALTED, Phase.CLOSING, Phase.CLOSED),
    Phase.HALTED:             (*AUCTION_PHASES, Phase.CONTINUOUS, Phase.BREAK, Phase.CLOSING, Phase.CLOSED),
    Phase.CLOSING:            (Phase.SETTLEMENT, Phase.CLOSED),
    Phase.SETTLEMENT:         (Phase.CLOSED,),
    Phase.UNLISTED:           (),
    Phase.EXPIRED:            (),
}
# fmt: on

# The same by number, for kernels. REFUSES_ENTRY[phase] is the Reason, or NONE; MAY_FOLLOW[phase, next] 1 or 0. An amendment
# is a cancel and a new order: a phase that refuses either refuses it.
REFUSES_ENTRY = np.array([PERMITS[phase][0] for phase in Phase], np.int64)
REFUSES_CANCEL = np.array([PERMITS[phase][1] for phase in Phase], np.int64)
MAY_FOLLOW = np.array([[after == phase or after in FOLLOWS[phase] for after in Phase] for phase in Phase], np.int64)

# From phase to phase ------------------------------------------------------------------------------


@inlined
def lock_side(book, number):
    """The side that rests at its daily limit while the other side is empty, or 0. RULEBOOK 9.4."""
    instrument = book.instruments[np.uint64(number)]
    bids, asks = own(book, number, c.BUY), own(book, number, c.SELL)
    if instrument.mechanism != c.ORDER_BOOK or is_empty(bids) == is_empty(asks):
        return c.NONE
    if is_empty(asks):
        return c.BUY if price_of(bids, bids.best) == instrument.ceiling else c.NONE
    return c.SELL if price_of(asks, asks.best) == instrument.floor else c.NONE


@inlined
def is_crossed(book, number):
    """Is the best bid at or above the best offer?"""
    bids, asks = own(book, number, c.BUY), own(book, number, c.SELL)
    return not is_empty(bids) and asks.best <= row_of(asks, price_of(bids, bids.best))


@inlined
def phase_refusal(book, number, phase):
    """Why an instrument cannot go over into a phase: (reason, value, bound); reason 0: it can. RULEBOOK 8.2 and 9.4."""
    before = np.int64(book.instruments[np.uint64(number)].phase)
    if MAY_FOLLOW[np.uint64(before), np.uint64(phase)] == 0:
        return c.PHASE_TRANSITION, before, np.int64(phase)
    if phase == c.LIMIT_LOCKED and phase != before and lock_side(book, number) == 0:
        return c.NOT_LIMIT_LOCKED, before, np.int64(phase)
    return c.OK, c.NONE, c.NONE


@inlined
def check_phase(book, command):
    """Can the instrument take the phase? PHASE of ALL passes: those take it that can."""
    if command.instrument == ALL:
        return c.OK, c.NONE, c.NONE
    return phase_refusal(book, np.int64(command.instrument), np.int64(command.phase))


@outlined
def change_phase(book, events, at, command, number, phase, reason):
    """Put an instrument into a phase that may follow its own, with all that comes of it. RULEBOOK 8.2 to 8.8, 9.4.

    number    of the instrument
    phase     codes.Phase; the current one changes nothing, the event is emitted all the same
    reason    codes.Reason of the PHASE event; 0 for an operator's command
    Returns   the next free row of events
    """
    instrument = book.instruments[np.uint64(number)]
    before = np.int64(instrument.phase)
    if phase == before:
        return emit_phase(book, events, at, command, number, phase, reason)
    if phase in (c.BREAK, c.CLOSING, c.CLOSED):
        at, _ = mass_cancel(book, events, at, command, number, c.EVERY, c.NONE, c.SESSION_ENDED, _SESSION_ORDERS)
    trades = phase == c.AUCTION_MATCH or (
        phase == c.CONTINUOUS and (before in c.AUCTION_PHASES or is_crossed(book, number))
    )
    if instrument.mechanism == c.ORDER_BOOK:
        if trades:
            at = uncross(book, events, at, command, number)
        elif phase == c.CONTINUOUS:
            at, _ = mass_cancel(book, events, at, command, number, c.EVERY, c.NONE, c.AUCTION_ENDED, _OPENING_ORDERS)
    elif instrument.mechanism == c.ONE_SIDED:
        if trades:
            at = close_one_sided(book, events, at, command, number)
        elif phase != c.HALTED and phase not in c.AUCTION_PHASES:
            at = call_off(book, events, at, command, number)
    if phase == c.CONTINUOUS:
        forget_slices(instrument)
    if phase == c.LIMIT_LOCKED:
        instrument.locked = lock_side(book, number)
    elif phase not in (c.CLOSING, c.SETTLEMENT, c.CLOSED):
        instrument.locked = 0  # kept until SETTLE, which counts days that closed limit-locked
    instrument.phase = phase
    at = emit_phase(book, events, at, command, number, phase, reason)
    return fire(book, events, at, command, number)


@outlined
def release_lock(book, events, at, command, number):
    """Resume trading if a LIMIT_LOCKED instrument is not locked any more: the last event of a command. RULEBOOK 9.4."""
    instrument = book.instruments[np.uint64(number)]
    if instrument.phase == c.LIMIT_LOCKED and lock_side(book, number) != instrument.locked:
        return change_phase(book, events, at, command, number, c.CONTINUOUS, c.LIMIT_LOCK)
    return at
