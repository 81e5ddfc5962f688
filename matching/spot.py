"""The spot side: posted offers that others take, one-sided auctions, negotiated deals. RULEBOOK 13.

Offers and bids are orders that rest in the book like any other. What differs is who may enter which, and what trades. An
instrument's Mechanism says how it trades; with ORDER_BOOK nothing of this file applies.

    ENTER     check_counterparty, check_mechanism, check_offer, check_reserve; once the order rests, note_offer
    TAKE      check_mechanism, check_take, then take: one trade with the offer that it names
    CANCEL    check_revocable
    PHASE     close_one_sided, or call_off

Checks return (reason, value, bound); reason 0: the command passes.
"""

import numpy as np

from matching import codes as c
from matching.auction import depart, emit_auction, trade_all
from matching.book import find, is_empty, next_row, opposite, own, price_of, row_of
from matching.cancel import EVERY_TIME, mass_cancel
from matching.codes import RESTING_OFFSET
from matching.events import emit, emit_order, number_trade
from matching.execute import is_self_match
from matching.extras import offset_flags
from matching.jit import inlined, outlined
from matching.records import MARKED, NOBODY

COUNTDOWN = np.int64(180_000_000_000)  # ns that a one-sided auction stays open after the last bid that counted


# Who may do what ----------------------------------------------------------------------------------


@inlined
def check_counterparty(book, command):
    """115: a negotiated offer is made to another account, other orders to nobody. RULEBOOK 13.3."""
    counterparty = np.int64(command.counterparty)
    if book.instruments[np.uint64(command.instrument)].mechanism != c.NEGOTIATED:
        return (c.OK if counterparty == 0 else c.INVALID_COUNTERPARTY), counterparty, c.NONE
    if counterparty < 0 or counterparty >= len(book.members) or counterparty == command.account:
        return c.INVALID_COUNTERPARTY, counterparty, np.int64(len(book.members) - 1)
    return c.OK, c.NONE, c.NONE


@inlined
def check_mechanism(book, command):
    """218: what a mechanism accepts, and in which phase. An ENTER must be a plain LIMIT order that may rest. RULEBOOK 13."""
    instrument = book.instruments[np.uint64(command.instrument)]
    mechanism, phase = np.int64(instrument.mechanism), np.int64(instrument.phase)
    if command.kind == c.TAKE:
        fits = mechanism in (c.LISTING, c.NEGOTIATED)
    elif mechanism == c.ORDER_BOOK:
        return c.OK, c.NONE, c.NONE
    else:
        fits = (
            command.order_type == c.LIMIT
            and command.time_in_force != c.IOC
            and command.time_in_force != c.FOK
            and (command.display_quantity | command.order_id) == 0
            and command.flag_bits & c.POST_ONLY == 0
        )
    is_open = phase in c.AUCTION_PHASES if mechanism == c.ONE_SIDED else phase == c.CONTINUOUS
    if not fits or not is_open:
        return c.WRONG_MECHANISM, mechanism, c.NONE
    return c.OK, c.NONE, c.NONE


@inlined
def is_untouched(book, number):
    """Is the book of an instrument empty?"""
    return is_empty(own(book, number, c.BUY)) and is_empty(own(book, number, c.SELL))


@outlined
def check_offer(book, command):
    """304 to 307: who may enter what into a one-sided auction. RULEBOOK 13.2."""
    number = np.int64(command.instrument)
    instrument = book.instruments[np.uint64(number)]
    if instrument.mechanism != c.ONE_SIDED:
        return c.OK, c.NONE, c.NONE
    slot = find(book, instrument.initiator)
    offer = book.orders[slot]
    if slot == NOBODY:
        return (c.OK if is_untouched(book, number) else c.NO_OFFER), instrument.initiator, c.NONE
    if offer.side == command.side:
        return c.OFFER_EXISTS, instrument.initiator, c.NONE
    if is_self_match(book, np.int64(command.account), np.int64(offer.account)):
        return c.NOT_COUNTERPARTY, np.int64(command.account), np.int64(offer.account)
    if instrument.deadline != 0 and command.time >= instrument.deadline:
        return c.AUCTION_OVER, command.time, instrument.deadline
    return c.OK, c.NONE, c.NONE


@inlined
def check_reserve(book, command):
    """412: a bid is not worse than the price of the offer. RULEBOOK 13.2."""
    instrument = book.instruments[np.uint64(command.instrument)]
    if instrument.mechanism == c.ONE_SIDED and find(book, instrument.initiator) != NOBODY:
        worse = instrument.reserve - command.price if command.side == c.BUY else command.price - instrument.reserve
        if worse > 0:
            return c.PRICE_BEYOND_RESERVE, command.price, instrument.reserve
    return c.OK, c.NONE, c.NONE


@inlined
def check_revocable(book, slot):
    """303: nobody cancels a bid of a one-sided auction, nor its offer once there is a bid. RULEBOOK 13.2."""
    order = book.orders[slot]
    number = np.int64(order.instrument)
    instrument = book.instruments[np.uint64(number)]
    if instrument.mechanism == c.ONE_SIDED and (
        order.order_id != instrument.initiator or not is_empty(opposite(book, number, np.int64(order.side)))
    ):
        return c.IRREVOCABLE, order.order_id, instrument.initiator
    return c.OK, c.NONE, c.NONE


@outlined
def check_take(book, command):
    """301, 108, 304 and 402: a TAKE names an offer of this instrument, made to this account, and a quantity that it allows.

    RULEBOOK 13.1 and 13.3.

    Returns   (reason, value, bound, slot of the offer)
    """
    nobody = np.uint32(NOBODY)
    slot = find(book, command.order_id)
    offer, extra = book.orders[slot], book.extras[slot]
    if slot == NOBODY or offer.instrument != command.instrument:
        return c.UNKNOWN_ORDER, command.order_id, c.NONE, nobody
    negotiated = book.instruments[np.uint64(command.instrument)].mechanism == c.NEGOTIATED
    if command.quantity > offer.leaves_quantity or (negotiated and command.quantity != offer.leaves_quantity):
        return c.INVALID_QUANTITY, command.quantity, offer.leaves_quantity, nobody
    meant = np.int64(extra.counterparty) if negotiated and offer.terms & MARKED else c.NONE
    if negotiated and command.account != meant:
        return c.NOT_COUNTERPARTY, np.int64(command.account), meant, nobody
    if is_self_match(book, np.int64(command.account), np.int64(offer.account)):
        return c.NOT_COUNTERPARTY, np.int64(command.account), np.int64(offer.account), nobody
    least = min(extra.minimum_quantity, offer.leaves_quantity) if offer.terms & MARKED else c.NONE
    if command.quantity < least:
        return c.QUANTITY_BELOW_MINIMUM, command.quantity, least, nobody
    return c.OK, c.NONE, c.NONE, slot


# Taking -------------------------------------------------------------------------------------------


@outlined
def take(book, events, at, command, slot):
    """TAKE: an order that has the sequence of the command as its id trades with the offer in `slot`, at its price.

    RULEBOOK 13.1.

    Returns   the next free row of events
    """
    number, lots, order_id = np.int64(command.instrument), command.quantity, command.sequence
    offer = book.orders[slot]
    ladder = own(book, number, np.int64(offer.side))
    price, side, account = price_of(ladder, np.int64(offer.level)), 3 - np.int64(offer.side), np.int64(command.account)
    flags = np.int64(command.flag_bits)
    emit(
        book, events, at, command, command, c.ACCEPTED, c.OK, number, account, side, flags, order_id, price, lots, lots
    )
    offer.leaves_quantity -= lots
    book.levels[np.uint64(offer.level)].quantity -= lots
    book.instruments[np.uint64(number)].last_price = price
    flags = flags & c.OFFSET_FLAGS | offset_flags(book, slot) << RESTING_OFFSET
    event = emit(
        book,
        events,
        at + 1,
        command,
        command,
        c.TRADED,
        c.OK,
        number,
        account,
        side,
        flags,
        order_id,
        price,
        lots,
        c.NONE,
    )
    number_trade(book, event, offer, price)
    if offer.leaves_quantity == 0:
        depart(book, ladder, slot)
    return at + 2


# One-sided auctions -------------------------------------------------------------------------------


@inlined
def worst_needed(book, bids, lots, row, fewer):
    """Row of the worst bid needed to cover so many lots if `row` had `fewer` lots; the end of `bids`: not covered."""
    worst = bids.best
    while worst < bids.end:
        lots -= book.levels[np.uint64(worst)].quantity
        if worst == row:
            lots += fewer
        if lots <= 0:
            break
        worst = next_row(book, bids, worst + 1)
    return worst


@outlined
def note_offer(book, events, at, command):
    """Take note of an ENTER that has come to rest in a one-sided auction. RULEBOOK 13.2.

    The first is the offer. A bid starts the countdown anew if it covers the offer, which was not covered before, or if it is
    better than the worst bid needed so far.
    """
    number = np.int64(command.instrument)
    instrument = book.instruments[np.uint64(number)]
    slot = find(book, instrument.initiator)
    if slot == NOBODY:
        instrument.initiator = command.sequence
        instrument.reserve = command.price
        instrument.deadline = 0
        return at
    lots = book.orders[slot].leaves_quantity
    bids = own(book, number, np.int64(command.side))
    row = row_of(bids, command.price)
    before = worst_needed(book, bids, lots, row, command.quantity)
    now = worst_needed(book, bids, lots, row, c.NONE)
    if now == bids.end or (before != bids.end and row >= before):
        return at
    instrument.deadline = command.time + COUNTDOWN
    emit_order(
        book,
        events,
        at,
        command,
        book.orders[slot],
        c.COUNTDOWN,
        c.OK,
        c.NONE,
        price_of(bids, now),
        instrument.deadline,
        lots,
    )
    return at + 1


@inlined
def lots_of(book, side):
    """All lots of a SIDE."""
    lots = c.NONE
    row = side.best
    while row < side.end:
        lots += book.levels[np.uint64(row)].quantity
        row = next_row(book, side, row + 1)
    return lots


@outlined
def call_off(book, events, at, command, number):
    """End a one-sided auction without trades: its orders are canceled, the countdown stops. RULEBOOK 13.2."""
    at, _ = mass_cancel(book, events, at, command, number, c.EVERY, c.NONE, c.AUCTION_ENDED, EVERY_TIME)
    instrument = book.instruments[np.uint64(number)]
    instrument.initiator = 0
    instrument.reserve = 0
    instrument.deadline = 0
    return at


@outlined
def close_one_sided(book, events, at, command, number):
    """End a one-sided auction: the offer trades with the bids at their prices, what is left is canceled. RULEBOOK 13.2.

    The price of AUCTION is that of the worst bid that traded, its surplus the lots bid minus the lots offered.
    """
    instrument = book.instruments[np.uint64(number)]
    slot = find(book, instrument.initiator)
    bought, sold = lots_of(book, own(book, number, c.BUY)), lots_of(book, own(book, number, c.SELL))
    price, volume, surplus = c.NONE, min(bought, sold) if slot != NOBODY else c.NONE, c.NONE
    if volume != 0:
        surplus = bought - sold
        side = np.int64(book.orders[slot].side)
        limit = price_of(own(book, number, side), np.int64(book.orders[slot].level))
        at = trade_all(book, events, at, command, number, limit, 3 - side)
        price = instrument.last_price
    at = call_off(book, events, at, command, number)
    return emit_auction(book, events, at, command, number, price, volume, surplus)
