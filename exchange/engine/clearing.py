"""The clearing house: settlement prices, marking to market, fees, margin, expiry, liquidation. RULEBOOK 9.1, 9.4 and 11.

Operators command each step (exchange/engine/operators.py); nothing here looks at a clock. The day of an instrument lasts
from one SETTLE to the next, so that no trade is left without its fee. Money is whole fen. What marking to market takes from
one account it gives to others, to the fen, because positions and costs of all accounts sum to zero. Fees go to HUB.fees.

"To settle" means SETTLE here: a settlement price, and what follows from it. Trades are applied to exposures by
`apply_events` (risk/kernel.py).
"""

import numpy as np

from exchange.engine.phases import REFUSES_ENTRY, release_lock
from matching import codes as c
from matching.book import is_empty, next_row, own, price_of
from matching.breaker import is_held_back, reach_of
from matching.cancel import EVERY_TIME, mass_cancel, withdraw
from matching.events import Incoming, cancel_incoming, clear_name, emit, emit_unnamed
from matching.execute import execute
from matching.jit import inlined, outlined
from matching.records import NOBODY, PARKED
from matching.triggers import fire
from risk.kernel import apply_events
from risk.legs import settle_into, settle_legs
from risk.limits import LARGEST_MARGIN
from risk.positions import end_position, net_off
from risk.records import SPECIAL_AT_SETTLEMENT, SPECIAL_OFFSET, SPECIAL_SPREAD, SPECIAL_TO_LEG
from risk.rules import range_rule, rule

_LONG, _SHORT = np.int64(1), np.int64(-1)  # signs of positions
_LEGS = SPECIAL_SPREAD | SPECIAL_TO_LEG  # its positions are kept in its legs
_PARTS = np.int64(10_000)  # of daily limits, margin rates and the maintenance share
_MILLION = np.int64(1_000_000)  # of fee rates
_WIDER_ONCE, _WIDER_TWICE = 300, 500  # 1/10,000: daily limit after one day limit-locked, after more (9.4)
_MARGIN_BEYOND = 200  # 1/10,000: margin rate beyond such a limit
_LARGEST_MONEY = 1 << 61  # fen of one account; a sum of a few must fit int64


@inlined
def share(amount, rate, whole):
    """amount x rate / whole, rounded down, even where amount x rate does not fit int64."""
    return amount // whole * rate + amount % whole * rate // whole


@inlined
def share_up(amount, rate, whole):
    """amount x rate / whole, rounded up."""
    return -share(-amount, rate, whole)


@outlined
def emit_notice(book, events, at, command, kind, number, account, price, quantity, leaves):
    """Emit an event that is about no order. Returns the next free row of events."""
    emit_unnamed(book, events, at, command, kind, c.OK, number, account, c.NONE, price, quantity, leaves)
    return at + 1


@inlined
def exposure_of(ledger, account, number):
    """EXPOSURE of an account in an instrument, by their indices."""
    return ledger.exposures[np.uint64(account * len(ledger.limits) + number)]


@inlined
def margin_lots(ledger, account, number):
    """Lots of a position that need margin. Of long and short kept apart: the larger (RULEBOOK 10.5); with legs: none."""
    if ledger.limits[np.uint64(number)].special & _LEGS:
        return np.int64(0)
    if ledger.limits[np.uint64(number)].special & SPECIAL_OFFSET:
        gross = ledger.gross[np.uint64(account * len(ledger.limits) + number)]
        return max(gross.long, gross.short)
    return abs(exposure_of(ledger, account, number).position)


@outlined
def initial_margin(ledger, account):
    """Margin that the positions of an account need, fen. Its orders do not count."""
    margin = c.NONE
    for number in range(len(ledger.limits)):
        margin += margin_lots(ledger, account, number) * ledger.limits[number].margin
    return margin


@outlined
def largest_exposure(ledger, number):
    """Lots of the largest worst case that any account has in an instrument."""
    largest = c.NONE
    for account in range(len(ledger.accounts)):
        largest = max(largest, exposure_of(ledger, account, number).worst)
    return largest


@outlined
def set_margin(ledger, number, margin):
    """Set the margin per lot, fen, and revalue what every account holds."""
    limit = ledger.limits[np.uint64(number)]
    for account in range(len(ledger.accounts)):
        ledger.accounts[account].margin_used += exposure_of(ledger, account, number).worst * (margin - limit.margin)
    limit.margin = margin
    limit.largest_position = LARGEST_MARGIN // max(1, margin)


# The day (RULEBOOK 11.1) --------------------------------------------------------------------------


@inlined
def begin_day(book, ledger, risk, date):
    """BEGIN_DAY: set the trading date and begin the daily figures of accounts anew."""
    book.state[0].trading_date = date
    for number in range(len(book.instruments)):
        instrument = book.instruments[number]
        if instrument.phase != c.LIMIT_LOCKED:
            instrument.locked = 0
        ledger.limits[number].settled = 0
    if risk:
        for number in range(len(ledger.accounts)):
            account = ledger.accounts[number]
            account.opening_equity = account.equity
            account.result = 0
            account.fees = 0
            account.paid_in = 0


@inlined
def is_untradable(phase):
    """Is an instrument in a phase before its listing or after its expiry?"""
    return phase in (c.UNLISTED, c.EXPIRED_PHASE)


@inlined
def check_list(found, book, command):
    """LIST: the price is on the ladder of the instrument, which was never listed before."""
    instrument = book.instruments[np.uint64(command.instrument)]
    phase = np.int64(instrument.phase)
    found = range_rule(found, c.INVALID_VALUE, command.price, instrument.ladder_floor, instrument.ladder_ceiling)
    return rule(found, c.PHASE_TRANSITION, phase != c.UNLISTED, phase, c.CLOSED)


@outlined
def list_instrument(book, ledger, events, at, command):
    """LIST: an instrument comes to the market, in phase CLOSED. RULEBOOK 11.9. Returns the next free row of events."""
    number, price = np.int64(command.instrument), command.price
    instrument, limit = book.instruments[np.uint64(number)], ledger.limits[np.uint64(number)]
    instrument.phase = c.CLOSED
    instrument.last_price = price
    instrument.locked = 0
    instrument.locked_days = 0
    limit.settlement = price
    set_band(instrument, price, instrument.daily_limit)
    set_margin(ledger, number, margin_after(limit, price, c.NONE, c.NONE))
    return emit_notice(book, events, at, command, c.LISTED, number, c.NONE, price, c.NONE, c.NONE)


# The settlement price (RULEBOOK 11.2) -------------------------------------------------------------


@inlined
def traded(ledger, number):
    """(lots, ticks x lots) traded in an instrument since its last SETTLE: half of what its accounts bought and sold."""
    volume = turnover = c.NONE
    for account in range(len(ledger.accounts)):
        exposure = exposure_of(ledger, account, number)
        volume += exposure.volume
        turnover += exposure.turnover
    return volume // 2, turnover // 2


@inlined
def average(turnover, volume):
    """Volume-weighted average price, ticks: the nearest, half up."""
    return turnover // volume + (1 if 2 * (turnover % volume) >= volume else 0)


@inlined
def price_of_legs(book, ledger, limit):
    """Settlement price of an instrument with legs. Spread: near less far; block: its leg's; trading at settlement: 0."""
    if limit.special & SPECIAL_AT_SETTLEMENT:
        return np.int64(0)
    near = ledger.limits[np.uint64(limit.leg_near)].settlement
    return near - ledger.limits[np.uint64(limit.leg_far)].settlement if limit.special & SPECIAL_SPREAD else near


@outlined
def price_without_trade(book, number):
    """The previous settlement, moved to the best bid if that is higher, then to the best offer if that is lower."""
    price = book.instruments[np.uint64(number)].previous_settlement
    bids, offers = own(book, number, c.BUY), own(book, number, c.SELL)
    if not is_empty(bids):
        price = max(price, price_of(bids, bids.best))
    if not is_empty(offers):
        price = min(price, price_of(offers, offers.best))
    return price


@outlined
def settlement_price(book, ledger, number, rule, given):
    """Ticks, within the band. rule: SettlementRule; given: ticks, of GIVEN."""
    instrument, limit = book.instruments[np.uint64(number)], ledger.limits[np.uint64(number)]
    volume, turnover = traded(ledger, number)
    if rule == c.GIVEN:
        price = given
    elif limit.special & _LEGS:
        price = price_of_legs(book, ledger, limit)
    elif rule == c.WINDOW_VWAP and volume > limit.window_volume:
        price = average(turnover - limit.window_turnover, volume - limit.window_volume)
    elif volume > 0:
        price = average(turnover, volume)
    else:
        price = price_without_trade(book, number)
    return max(min(price, instrument.ceiling), instrument.floor)


@inlined
def open_window(ledger, number):
    """WINDOW: from now on trades count for WINDOW_VWAP."""
    limit = ledger.limits[np.uint64(number)]
    limit.window_volume, limit.window_turnover = traded(ledger, number)


# The next day's band and margin (RULEBOOK 9.1, 9.4, 11.5) -----------------------------------------


@inlined
def days_locked(instrument, settled):
    """Days in a row that an instrument has closed limit-locked, this one included; negative: at the lower limit."""
    days = instrument.locked_days
    if settled:  # a second SETTLE on one day corrects the price and adds no day
        return days
    if instrument.locked == c.BUY:
        return max(days, 0) + 1
    return min(days, 0) - 1 if instrument.locked == c.SELL else 0


@inlined
def limit_after(instrument, days):
    """Daily limit of the next day, 1/10,000."""
    if instrument.daily_limit == 0 or days == 0:
        return instrument.daily_limit
    return instrument.daily_limit + (_WIDER_ONCE if abs(days) == 1 else _WIDER_TWICE)


@inlined
def margin_after(limit, price, wide, days):
    """Margin per lot, fen, at a settlement price. wide: the daily limit of the next day; days: see days_locked."""
    rate = limit.margin_rate
    if rate == 0:
        return limit.margin
    if days != 0 and wide != 0:
        rate = max(rate, wide + _MARGIN_BEYOND)
    return share_up(abs(price) * limit.fen_per_tick, rate, _PARTS)


@inlined
def set_band(instrument, price, rate):
    """Set the band of the next day. rate: 1/10,000; 0: the whole ladder."""
    instrument.previous_settlement = price
    instrument.floor, instrument.ceiling = instrument.ladder_floor, instrument.ladder_ceiling
    if rate != 0:
        width = max(share(abs(price), rate, _PARTS), 1)
        instrument.floor = max(instrument.floor, price - width)
        instrument.ceiling = min(instrument.ceiling, price + width)


@inlined
def is_outside(instrument, price):
    return price < instrument.floor or price > instrument.ceiling


@inlined
def withdraw_outside(book, events, at, command, side, instrument):
    """Cancel the orders of one SIDE, of the book or parked, whose price or trigger lies outside the band."""
    row = side.best
    while row != side.end:
        outside = is_outside(instrument, price_of(side, row))
        slot = book.levels[np.uint64(row)].head
        while slot != NOBODY:
            order, extra = book.orders[slot], book.extras[slot]
            younger = order.next
            parked_limit = order.terms & PARKED != 0 and extra.order_type != c.STOP
            if outside or (parked_limit and is_outside(instrument, extra.price)):
                at = withdraw(book, events, at, command, slot, c.OUTSIDE_DAILY_LIMITS, False)
            slot = younger
        row = next_row(book, side, row + 1)
    return at


@outlined
def cancel_outside(book, events, at, command, number):
    """Cancel the orders outside the new band (708), in the order of RULEBOOK 2.3."""
    instrument = book.instruments[np.uint64(number)]
    for row in (2 * number, 2 * number + 1):
        at = withdraw_outside(book, events, at, command, book.sides[np.uint64(row)], instrument)
    for row in (2 * number, 2 * number + 1):
        at = withdraw_outside(book, events, at, command, book.stops[np.uint64(row)], instrument)
    return at


# SETTLE (RULEBOOK 11.3 to 11.5) -------------------------------------------------------------------


@inlined
def result_of(exposure, limit, price):
    """Fen that an account gets when its position is marked to `price`; negative: that it pays."""
    if limit.special & _LEGS:
        return np.int64(0)
    return (exposure.position * price - exposure.cost) * limit.fen_per_tick


@inlined
def fees_of(exposure, limit):
    """Fees, fen, for what was traded since the last SETTLE."""
    if limit.fen_per_tick == 0:
        return np.int64(0)
    return exposure.volume * limit.fee_per_lot + share(exposure.value * limit.fen_per_tick, limit.fee_rate, _MILLION)


@outlined
def is_countable(ledger, number, price):
    """Do results and equities stay within 2^61 and 2^62 fen at this settlement price?"""
    limit = ledger.limits[np.uint64(number)]
    ticks = _LARGEST_MONEY // max(1, limit.fen_per_tick) // 2
    for account in range(len(ledger.accounts)):
        exposure = exposure_of(ledger, account, number)
        if abs(exposure.position) > ticks // max(1, abs(price)) or abs(exposure.cost) > ticks:
            return False
        after = ledger.accounts[account].equity + result_of(exposure, limit, price)
        if abs(after) > 2 * _LARGEST_MONEY:
            return False
    return True


@inlined
def check_settle(found, book, ledger, risk, command):
    """SETTLE: its rule exists, results and margin can be counted, the instrument trades, a given price lies in the band."""
    number, method, given = np.int64(command.instrument), np.int64(command.settlement_rule), command.price
    instrument, limit = book.instruments[np.uint64(number)], ledger.limits[np.uint64(number)]
    found = rule(found, c.INVALID_VALUE, method > c.GIVEN, method, c.GIVEN)
    if risk and not found.broken:
        price = settlement_price(book, ledger, number, method, given)
        countable = is_countable(ledger, number, price)
        found = rule(found, c.INVALID_VALUE, not countable, price, instrument.previous_settlement)
        days = days_locked(instrument, limit.settled)
        margin = margin_after(limit, price, limit_after(instrument, days), days)
        largest = LARGEST_MARGIN // max(1, largest_exposure(ledger, number))
        found = rule(found, c.INVALID_VALUE, margin > largest, margin, largest)
    phase = np.int64(instrument.phase)
    found = rule(found, REFUSES_ENTRY[np.uint64(phase)], is_untradable(phase), phase, c.NONE)
    if method == c.GIVEN:
        found = rule(found, c.PRICE_BELOW_BAND, given < instrument.floor, given, instrument.floor)
        found = rule(found, c.PRICE_ABOVE_BAND, given > instrument.ceiling, given, instrument.ceiling)
    return found


@inlined
def leg_is_settled(ledger, limit):
    """Does an instrument trade at settlement, and has its leg settled today? If not, settle_into follows at the leg's SETTLE."""
    return limit.special & SPECIAL_AT_SETTLEMENT != 0 and ledger.limits[np.uint64(limit.leg_near)].settled != 0


@outlined
def balance(book, ledger, events, at, command, number, account, price, margin):
    """Mark one account's position to market, charge its fees, emit BALANCE. margin: fen per lot from now on."""
    limit, row = ledger.limits[np.uint64(number)], ledger.accounts[np.uint64(account)]
    exposure = exposure_of(ledger, account, number)
    has_legs = limit.special & _LEGS != 0
    result, fees = result_of(exposure, limit, price), fees_of(exposure, limit)
    end = emit_notice(book, events, at, command, c.BALANCE, number, account, price, result, fees)
    event = events[np.uint64(at)]
    event.position = 0 if has_legs else exposure.position
    event.volume = exposure.volume
    event.margin = margin_lots(ledger, account, number) * margin
    row.equity += result - fees
    row.result += result
    row.fees += fees
    ledger.hub[0].fees += fees
    if not has_legs:
        exposure.cost = exposure.position * price
    exposure.volume = 0
    exposure.turnover = 0
    exposure.value = 0
    return end


@outlined
def settle_instrument(book, ledger, risk, events, at, command):
    """SETTLE: price, band, orders outside of it, balances, margin. Returns the next free row of events."""
    number = np.int64(command.instrument)
    instrument, limit = book.instruments[np.uint64(number)], ledger.limits[np.uint64(number)]
    price = settlement_price(book, ledger, number, np.int64(command.settlement_rule), command.price)
    volume, _ = traded(ledger, number)
    days = days_locked(instrument, limit.settled)
    wide = limit_after(instrument, days)
    margin = margin_after(limit, price, wide, days)
    instrument.locked_days = days
    set_band(instrument, price, wide)
    limit.settlement = price
    limit.settled = 1
    limit.window_volume = 0
    limit.window_turnover = 0
    end = cancel_outside(book, events, at, command, number)
    if risk:
        apply_events(ledger, events, at, end)
        settle_into(ledger, number, price)
        for account in range(len(ledger.accounts)):
            exposure = exposure_of(ledger, account, number)
            if exposure.volume != 0 or (limit.special & _LEGS == 0 and (exposure.position != 0 or exposure.cost != 0)):
                end = balance(book, ledger, events, end, command, number, account, price, margin)
        if leg_is_settled(ledger, limit):
            settle_legs(ledger, number, ledger.limits[np.uint64(limit.leg_near)].settlement)
        set_margin(ledger, number, margin)
    event = events[np.uint64(end)]
    end = emit_notice(book, events, end, command, c.SETTLED, number, c.NONE, price, volume, abs(days))
    event.next_floor = instrument.floor
    event.next_ceiling = instrument.ceiling
    return release_lock(book, events, end, command, number)


# EXPIRE (RULEBOOK 11.8) ---------------------------------------------------------------------------


@inlined
def check_expire(found, book, ledger, risk, command):
    """EXPIRE: the instrument is listed and has settled today; so has its leg, if it trades at settlement."""
    limit = ledger.limits[np.uint64(command.instrument)]
    unpriced = limit.special & SPECIAL_AT_SETTLEMENT != 0 and not leg_is_settled(ledger, limit)
    unsettled = risk and (limit.settled == 0 or unpriced)
    found = rule(found, c.INVALID_VALUE, unsettled, c.NONE, np.int64(1))
    phase = np.int64(book.instruments[np.uint64(command.instrument)].phase)
    return rule(found, c.PHASE_TRANSITION, is_untradable(phase), phase, c.EXPIRED_PHASE)


@inlined
def next_holder(ledger, number, account, sign):
    """The first account from `account` on that holds a position of this sign (1 long, -1 short); else their number."""
    while account < len(ledger.accounts) and exposure_of(ledger, account, number).position * sign <= 0:
        account += 1
    return account


@outlined
def deliver(book, ledger, events, at, command, number, price):
    """DELIVERY: match longs and shorts in account order, one event for each buyer and seller that meet."""
    accounts = len(ledger.accounts)
    buyer, seller = next_holder(ledger, number, c.NONE, _LONG), next_holder(ledger, number, c.NONE, _SHORT)
    received = delivered = 0  # lots of buyer and seller that are paired already
    while buyer < accounts and seller < accounts:
        due = exposure_of(ledger, buyer, number).position - received
        owed = -exposure_of(ledger, seller, number).position - delivered
        lots = min(due, owed)
        at = emit_notice(book, events, at, command, c.DELIVERY, number, buyer, price, lots, c.NONE)
        events[np.uint64(at - 1)].resting_account = seller
        received, delivered = received + lots, delivered + lots
        if due == lots:
            buyer, received = next_holder(ledger, number, buyer + 1, _LONG), 0
        if owed == lots:
            seller, delivered = next_holder(ledger, number, seller + 1, _SHORT), 0
    return at


@inlined
def close_positions(ledger, number):
    """End every position in an instrument and release its margin."""
    for account in range(len(ledger.accounts)):
        end_position(ledger, np.int64(account), number)


@outlined
def expire(book, ledger, risk, events, at, command):
    """EXPIRE: cancel orders, mark what was traded since SETTLE, deliver, close. Returns the next free row of events."""
    number = np.int64(command.instrument)
    instrument, limit = book.instruments[np.uint64(number)], ledger.limits[np.uint64(number)]
    price = limit.settlement
    end, canceled = mass_cancel(book, events, at, command, number, c.EVERY, c.NONE, c.INSTRUMENT_EXPIRY, EVERY_TIME)
    if risk:
        apply_events(ledger, events, at, end)
        settle_into(ledger, number, price)
        if limit.special & SPECIAL_AT_SETTLEMENT:
            settle_legs(ledger, number, ledger.limits[np.uint64(limit.leg_near)].settlement)
        for account in range(len(ledger.accounts)):
            exposure = exposure_of(ledger, account, number)
            if exposure.volume != 0 or result_of(exposure, limit, price) != 0:
                end = balance(book, ledger, events, end, command, number, account, price, limit.margin)
        if limit.physical and not limit.special & _LEGS:
            end = deliver(book, ledger, events, end, command, number, price)
        close_positions(ledger, number)
    instrument.phase = c.EXPIRED_PHASE
    return emit_notice(book, events, end, command, c.EXPIRED, number, c.NONE, c.NONE, canceled, c.NONE)


# Margin calls (RULEBOOK 11.6) ---------------------------------------------------------------------


@inlined
def cure(ledger, account):
    """End the margin call of an account whose equity covers the initial margin of its positions again."""
    row = ledger.accounts[np.uint64(account)]
    if row.called and row.equity >= initial_margin(ledger, account):
        row.called = 0


@outlined
def call_margins(book, ledger, events, at, command):
    """END_DAY: MARGIN_CALL for each account that is called, or still is. Returns the next free row of events."""
    for account in range(len(ledger.accounts)):
        row = ledger.accounts[account]
        margin = initial_margin(ledger, account)
        if row.equity < share_up(margin, ledger.hub[0].maintenance, _PARTS):
            row.called = 1
        elif row.equity >= margin:
            row.called = 0
        if row.called:
            at = emit_notice(
                book, events, at, command, c.MARGIN_CALL, c.NONE, account, c.NONE, margin - row.equity, c.NONE
            )
    return at


# LIQUIDATE (RULEBOOK 11.7) ------------------------------------------------------------------------


@inlined
def check_liquidate(found, book, command):
    """LIQUIDATE: a MARKET order could trade in the instrument now."""
    instrument = book.instruments[np.uint64(command.instrument)]
    phase, mechanism = np.int64(instrument.phase), np.int64(instrument.mechanism)
    refusal = REFUSES_ENTRY[np.uint64(phase)]
    found = rule(found, refusal, refusal != c.OK, phase, c.NONE)
    found = rule(found, c.NOT_IN_AUCTION, phase in c.AUCTION_PHASES, phase, c.NONE)
    return rule(found, c.WRONG_MECHANISM, mechanism != c.ORDER_BOOK, mechanism, c.NONE)


@inlined
def to_close(ledger, account, number):
    """(side, lots, flags) of the order that closes a position. An instrument with legs has none of its own."""
    special = ledger.limits[np.uint64(number)].special
    position = 0 if special & _LEGS else exposure_of(ledger, account, number).position
    return (c.SELL if position > 0 else c.BUY), abs(position), (c.CLOSE if special & SPECIAL_OFFSET else 0)


@outlined
def close_at_market(book, events, at, command, side, lots, flags):
    """Trade a MARKET IOC order of the exchange. Its id is that of the command, its limit the edge of the band.

    Self-match prevention must not stop it: if the account uses any, resting orders of its group are canceled.
    Returns   (at, lots closed)
    """
    number, account, order_id = np.int64(command.instrument), np.int64(command.account), command.sequence
    instrument = book.instruments[np.uint64(number)]
    limit = instrument.ceiling if side == c.BUY else instrument.floor
    mode = (
        c.SELF_MATCH_ALLOWED
        if book.members[np.uint64(account)].self_match == c.SELF_MATCH_ALLOWED
        else c.CANCEL_RESTING
    )
    event = emit(
        book, events, at, command, command, c.ACCEPTED, c.OK, number, account, side, flags, order_id, limit, lots, lots
    )
    clear_name(event)
    incoming = Incoming(event, number, account, order_id, side, limit, flags)
    reach = reach_of(book, number, side, limit, command.time)
    at, leaves = execute(book, events, at + 1, command, incoming, reach, lots, mode, False)
    if leaves != 0:
        reason = c.VELOCITY if is_held_back(book, number, side, limit) else c.IOC_REMAINDER
        at = cancel_incoming(book, events, at, command, incoming, leaves, reason)
    return at, lots - leaves


@outlined
def liquidate(book, ledger, risk, events, at, command):
    """LIQUIDATE: cancel the account's orders in the instrument and close its position. Returns the next free row of events."""
    number, account = np.int64(command.instrument), np.int64(command.account)
    end, _ = mass_cancel(book, events, at, command, number, account, c.NONE, c.LIQUIDATION, EVERY_TIME)
    closed = c.NONE
    if risk:
        apply_events(ledger, events, at, end)
        at = end
        net_off(ledger, account, number)
        side, lots, flags = to_close(ledger, account, number)
        if lots != 0:
            end, closed = close_at_market(book, events, end, command, side, lots, flags)
    end = emit_notice(book, events, end, command, c.LIQUIDATED, number, account, c.NONE, closed, c.NONE)
    end = fire(book, events, end, command, number)
    end = release_lock(book, events, end, command, number)
    if risk:
        apply_events(ledger, events, at, end)
    return end
