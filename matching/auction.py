"""Call auctions: one price at which most lots trade. RULEBOOK 8.3 to 8.6.

    price, volume, surplus = indicative(book, number)      # what would trade now; volume 0: nothing

Demand D(p), the lots bid at p or higher, never rises with p. Supply S(p), the lots offered at p or lower, never falls. So the
prices at which min(D, S) is largest are a run of consecutive ticks, and D - S falls along it. `equilibrium` walks both sides from
their best levels inwards, as the trades would, and finds that run where the walk ends: at the last bid and the last offer that
meet. At most one of the two has lots left. D and S change at occupied levels only, so the ticks between them are not visited.
Every tie-break of 8.5 keeps a run, so two ends describe what is left after each.

Helpers stand before their callers, because numba resolves names when it compiles.
"""

import numpy as np

from matching import codes as c
from matching.book import next_row, own, price_of, row_of, unlink
from matching.cancel import cancel_partner, mass_cancel
from matching.codes import RESTING_OFFSET, TimeInForce
from matching.events import emit_order, emit_unnamed, number_trade
from matching.extras import offset_flags, release
from matching.iceberg import conceal, reveal
from matching.jit import inlined, kernel, outlined
from matching.oco import lots_at
from matching.records import NOBODY, TIME_IN_FORCE

_OPENING_ORDERS = 1 << np.int64(TimeInForce.OPENING)


# The price ----------------------------------------------------------------------------------------


@inlined
def next_level(book, side, row):
    """(row, lots) of the first level from `row` of a SIDE's ladder on that has lots which may trade; (end, 0): none."""
    row = next_row(book, side, row)
    lots = c.NONE
    while row < side.end:
        lots = lots_at(book, row)
        if lots != 0:
            break
        row = next_row(book, side, row + 1)
    return row, lots


@inlined
def equilibrium(book, number):
    """The price of a call auction, with the tie-breaks that the instrument selects. RULEBOOK 8.4 and 8.5.

    number    index of the instrument
    Returns   (price, volume, surplus): ticks; lots that trade at it; lots bid minus lots offered that are left at it.
              Zeros where no bid reaches an offer
    Cost      O(levels that cross), O(orders of these levels) where an OCO pair rests
    """
    instrument = book.instruments[np.uint64(number)]
    bids, asks = own(book, number, c.BUY), own(book, number, c.SELL)
    bid, bid_left = next_level(book, bids, bids.best)
    ask, ask_left = next_level(book, asks, asks.best)
    volume, lowest, highest = c.NONE, c.NONE, c.NONE
    while bid < bids.end and ask < asks.end and price_of(bids, bid) >= price_of(asks, ask):
        highest, lowest = price_of(bids, bid), price_of(asks, ask)
        met = min(bid_left, ask_left)
        volume += met
        bid_left -= met
        ask_left -= met
        if bid_left == 0:
            bid, bid_left = next_level(book, bids, bid + 1)
        if ask_left == 0:
            ask, ask_left = next_level(book, asks, ask + 1)
    if volume == 0:
        return c.NONE, c.NONE, c.NONE
    # Most lots trade at lowest to highest. Bids are left at bid_price and below, offers at ask_price and above. Those that are
    # better than the price would have to trade, so the price lies between them.
    bid_price = price_of(bids, bid) if bid < bids.end else lowest - 1
    ask_price = price_of(asks, ask) if ask < asks.end else highest + 1
    lowest, highest = max(lowest, bid_price), min(highest, ask_price)
    if instrument.auction & c.AUCTION_IMBALANCE:
        if max(lowest, bid_price + 1) <= min(highest, ask_price - 1):  # nothing is left there
            lowest, highest = max(lowest, bid_price + 1), min(highest, ask_price - 1)
        elif bid_left < ask_left:
            highest = lowest
        elif bid_left > ask_left:
            lowest = highest
    price = lowest
    if instrument.auction & c.AUCTION_REFERENCE:
        price = max(lowest, min(highest, instrument.previous_settlement))
    elif instrument.auction & c.AUCTION_MIDDLE:
        price = (lowest + highest + 1) // 2
    surplus = c.NONE
    if price == bid_price:
        surplus = bid_left
    elif price == ask_price:
        surplus = -ask_left
    return price, volume, surplus


@kernel
def indicative(book, number):
    """What a call auction would trade now: (price, volume, surplus), see equilibrium. In any phase."""
    return equilibrium(book, number)


# The trades ---------------------------------------------------------------------------------------


@inlined
def depart(book, side, slot):
    """Remove an order that has no lots left."""
    unlink(book, side, slot)
    release(book, slot, False)


@inlined
def match(book, events, at, command, number, buy_slot, sell_slot, price, bidder):
    """Trade a buy with a sell, as many lots as both have; cancel the order that the sell is linked with. See trade_all."""
    buy, sell = book.orders[buy_slot], book.orders[sell_slot]
    traded = min(buy.leaves_quantity, sell.leaves_quantity)
    limit = price_of(own(book, number, c.SELL), np.int64(sell.level))
    if bidder != c.NONE:
        price = limit if bidder == c.SELL else price_of(own(book, number, c.BUY), np.int64(buy.level))
    book.instruments[np.uint64(number)].last_price = price
    flags = c.NONE
    if max(buy.terms, sell.terms) > TIME_IN_FORCE:
        flags = offset_flags(book, buy_slot) | offset_flags(book, sell_slot) << RESTING_OFFSET
    for slot in (buy_slot, sell_slot):
        order = book.orders[slot]
        order.leaves_quantity -= traded
        book.levels[order.level].quantity -= traded
    event = emit_order(book, events, at, command, buy, c.TRADED, c.OK, flags, price, traded, buy.leaves_quantity)
    number_trade(book, event, sell, limit)
    at += 1
    if sell.terms > TIME_IN_FORCE:
        at = cancel_partner(book, events, at, command, sell_slot)
    return at


@outlined
def trade_all(book, events, at, command, number, price, bidder):
    """Trade the buys at `price` or higher with the sells at `price` or lower: best price first, oldest first. RULEBOOK 8.6.

    bidder    0: every trade is at `price`; a Side: each is at the limit of that side's order (13.2)
    Returns   the next free row of events

    An iceberg shows all its lots before its first trade. The order that a buy is linked with is canceled after the buy's last
    trade. At most one of the last two orders that meet has lots left; if that is an iceberg, it hides them again.
    """
    bids, asks = own(book, number, c.BUY), own(book, number, c.SELL)
    last_bid, last_ask = row_of(bids, price), row_of(asks, price)
    met = np.uint32(NOBODY)  # the sell that has traded and has lots left
    while bids.best <= last_bid and asks.best <= last_ask:
        slot = book.levels[np.uint64(bids.best)].head
        buy = book.orders[slot]
        at = reveal(book, events, at, command, slot)
        emit_order(
            book,
            events,
            at,
            command,
            buy,
            c.UNCROSSED,
            c.OK,
            c.NONE,
            price_of(bids, bids.best),
            buy.leaves_quantity,
            buy.leaves_quantity,
        )
        at += 1
        while buy.leaves_quantity != 0 and asks.best <= last_ask:
            sell_slot = book.levels[np.uint64(asks.best)].head
            if sell_slot != met:
                at = reveal(book, events, at, command, sell_slot)
            at = match(book, events, at, command, number, slot, sell_slot, price, bidder)
            met = sell_slot
            if book.orders[sell_slot].leaves_quantity == 0:
                depart(book, asks, sell_slot)
                met = np.uint32(NOBODY)
        if buy.terms > TIME_IN_FORCE:
            at = cancel_partner(book, events, at, command, slot)
        if buy.leaves_quantity == 0:
            depart(book, bids, slot)
        else:
            at = conceal(book, events, at, command, slot, buy.leaves_quantity)
    if met != NOBODY:
        at = conceal(book, events, at, command, met, book.orders[met].leaves_quantity)
    return at


@inlined
def emit_auction(book, events, at, command, number, price, volume, surplus):
    """Emit AUCTION, the result of an auction."""
    event = emit_unnamed(book, events, at, command, c.AUCTION, c.OK, number, c.NONE, c.NONE, price, volume, c.NONE)
    event.surplus = surplus
    return at + 1


@outlined
def uncross(book, events, at, command, number):
    """Hold the auction of an instrument: trade at its price, cancel OPENING orders, emit AUCTION. RULEBOOK 8.6.

    number    index of the instrument
    events    with room for two rows for each order of the instrument, those of its icebergs and OCO pairs, and one more
    Returns   the next free row of events
    Cost      O(orders traded + orders that rest)
    """
    price, volume, surplus = equilibrium(book, number)
    if volume != 0:
        at = trade_all(book, events, at, command, number, price, c.NONE)
    at, _ = mass_cancel(book, events, at, command, number, c.EVERY, c.NONE, c.AUCTION_ENDED, _OPENING_ORDERS)
    return emit_auction(book, events, at, command, number, price, volume, surplus)
