"""What operators command: phases, kill switches, limits, cash, the steps of a day. RULEBOOK 7. No I/O, no clock.

`check_operator` says which rule a command breaks, `operate` carries it out and writes its events; exchange/engine/lanes.py
calls both. What settles, expires and liquidates is exchange/engine/clearing.py. Like everything that changes the hub these are
commands in the journal, and replay repeats them.
"""

import numpy as np

from exchange.engine.clearing import (
    begin_day,
    call_margins,
    check_expire,
    check_liquidate,
    check_list,
    check_settle,
    cure,
    expire,
    largest_exposure,
    liquidate,
    list_instrument,
    open_window,
    set_margin,
    settle_instrument,
)
from exchange.engine.phases import change_phase, check_phase, phase_refusal, release_lock
from matching import codes as c
from matching.breaker import forget_slices
from matching.codes import ALL, Limit, Phase, TimeInForce
from matching.jit import code, inlined, outlined
from matching.kernel import emit
from matching.terms import look_at, mass_cancel
from risk.kernel import apply_events, forget_client_orders
from risk.limits import LARGEST_MARGIN, LIMIT_HIGH, LIMIT_LOW
from risk.positions import end_positions_day
from risk.protection import set_protection

_PHASES = len(Phase)
_LAST_LIMIT = max(int(limit) for limit in Limit)
_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
_LAST_DATE = 9999_12_31
_EXPIRING = code(
    sum(1 << int(time) for time in (TimeInForce.DAY, TimeInForce.SESSION, TimeInForce.OPENING, TimeInForce.GTD))
)
_LARGEST_SUM = 1 << 61  # fen


@outlined
def done(book, events, at, command, kind, account, side, quantity):
    """The one event of an operator command, or the closing event of a mass cancel."""
    event = emit(
        book,
        events,
        at,
        command,
        command,
        kind,
        c.OK,
        np.int64(command.instrument),
        np.int64(account),
        np.int64(side),
        c.NONE,
        c.NONE,
        c.NONE,
        quantity,
        c.NONE,
    )
    event.client_0 = 0
    event.client_1 = 0
    event.client_2 = 0
    return at + 1


@inlined
def refresh_refusals(ledger):
    """Bring every account's and instrument's refusal up to date with the kill switches, in order of precedence."""
    hub = ledger.hub[0]
    for number in range(len(ledger.limits)):
        limit = ledger.limits[number]
        limit.refusal = c.HUB_KILLED if hub.killed else (c.INSTRUMENT_KILLED if limit.killed else c.OK)
    for number in range(len(ledger.accounts)):
        account = ledger.accounts[number]
        account.refusal = c.OK
        if not account.enabled:
            account.refusal = c.ACCOUNT_DISABLED
        if account.killed:
            account.refusal = c.ACCOUNT_KILLED
        if ledger.firms[account.firm]:
            account.refusal = c.FIRM_KILLED


@inlined
def set_account_limit(ledger, account, which, value):
    """One limit of an ACCOUNT."""
    if which == c.LIMIT_MAX_ORDER_QUANTITY:
        account.max_order_quantity = value
    elif which == c.LIMIT_MAX_ORDER_NOTIONAL:
        account.max_order_notional = value
    elif which == c.LIMIT_MAX_LONG:
        account.max_long = value
    elif which == c.LIMIT_MAX_SHORT:
        account.max_short = value
    elif which == c.LIMIT_MAX_OPEN_ORDERS:
        account.max_open_orders = value
    elif which == c.LIMIT_MESSAGES_PER_SECOND:
        account.message_interval = _SECOND // value if value != 0 else 0
    elif which == c.LIMIT_MESSAGE_BURST:
        account.message_burst = value
    elif which == c.LIMIT_ENABLED:
        account.enabled = value
        refresh_refusals(ledger)
    else:
        set_protection(account, np.int64(which), value)


@inlined
def set_instrument_limit(book, ledger, number, which, value):
    """One limit of an instrument, wherever it is kept."""
    limit, instrument = ledger.limits[np.uint64(number)], book.instruments[np.uint64(number)]
    if which == c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY:
        limit.max_order_quantity = value
    elif which == c.LIMIT_INSTRUMENT_MAX_POSITION:
        limit.max_position = value
    elif which == c.LIMIT_INSTRUMENT_COLLAR:
        limit.collar = value
    elif which == c.LIMIT_INSTRUMENT_MARGIN:
        set_margin(ledger, number, value)
    elif which == c.LIMIT_INSTRUMENT_PROTECTION:
        instrument.protection = value
    elif which == c.LIMIT_INSTRUMENT_DAILY_LIMIT:
        instrument.daily_limit = value
    elif which == c.LIMIT_INSTRUMENT_MARGIN_RATE:
        limit.margin_rate = value
    elif which == c.LIMIT_INSTRUMENT_FEE_PER_LOT:
        limit.fee_per_lot = value
    elif which == c.LIMIT_INSTRUMENT_FEE_RATE:
        limit.fee_rate = value
    elif which == c.LIMIT_INSTRUMENT_VELOCITY:
        instrument.velocity = value
        forget_slices(instrument)
        look_at(instrument)
    elif which == c.LIMIT_INSTRUMENT_VELOCITY_WINDOW:
        instrument.velocity_window = value * _MILLISECOND
        forget_slices(instrument)  # they bear other numbers now
    elif which == c.LIMIT_INSTRUMENT_OPENING_CAP:
        limit.opening_cap = value
    elif which == c.LIMIT_INSTRUMENT_RESERVE:
        instrument.reserve = value


@outlined
def set_limit(book, ledger, risk, command):
    """LIMIT: one value of an account or an instrument. Self-match settings belong to matching and hold without risk."""
    which, value = command.order_type, command.quantity
    if which == c.LIMIT_SELF_MATCH:
        book.members[command.account].self_match = value
    elif which == c.LIMIT_GROUP:
        book.members[command.account].group = value
    if risk and which < c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY:
        set_account_limit(ledger, ledger.accounts[np.uint64(command.account)], which, value)
    elif risk:
        set_instrument_limit(book, ledger, np.int64(command.instrument), which, value)


# Is the command sound? RULEBOOK 1.5 and 7 ---------------------------------------------------------


@inlined
def check_instrument(book, command):
    """The instrument exists."""
    if command.instrument < 0 or command.instrument >= len(book.instruments):
        return c.UNKNOWN_INSTRUMENT, np.int64(command.instrument), len(book.instruments) - 1
    return c.OK, 0, 0


@inlined
def check_instrument_or_all(book, command):
    """The instrument exists, or all are meant."""
    if command.instrument == ALL:
        return c.OK, 0, 0
    return check_instrument(book, command)


@inlined
def check_account(command, accounts):
    """The account, or the firm, is one of so many."""
    if command.account < 0 or command.account >= accounts:
        return c.UNKNOWN_ACCOUNT, np.int64(command.account), accounts - 1
    return c.OK, 0, 0


@inlined
def check_range(value, low, high):
    """RULEBOOK 1.2: the bound told is the end that was passed."""
    if value < low:
        return c.INVALID_VALUE, value, low
    if value > high:
        return c.INVALID_VALUE, value, high
    return c.OK, 0, 0


@inlined
def days_of(year, month):
    """Days of a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inlined
def check_begin_day(book, date):
    """BEGIN_DAY: a date of the calendar, yyyymmdd, behind the present trading date."""
    year, month, day = date // 10_000, date // 100 % 100, date % 100
    present = book.state[0].trading_date
    if date <= present:
        return c.INVALID_VALUE, date, present + 1
    if date > _LAST_DATE:
        return c.INVALID_VALUE, date, _LAST_DATE
    if year == 0 or month < 1 or month > 12 or day < 1 or day > days_of(year, month):
        return c.INVALID_VALUE, date, present + 1
    return c.OK, 0, 0


@inlined
def check_kill_switch(book, ledger, command):
    """KILL_SWITCH: a scope, what it is about, 1 or 0."""
    scope = command.order_type
    reason, value, bound = check_range(np.int64(scope), c.HUB, c.INSTRUMENT)
    if reason != c.OK:
        return reason, value, bound
    if scope == c.INSTRUMENT:
        reason, value, bound = check_instrument(book, command)
    elif scope != c.HUB:
        reason, value, bound = check_account(command, len(ledger.firms) if scope == c.FIRM else len(book.members))
    if reason == c.OK:
        reason, value, bound = check_range(command.quantity, 0, 1)
    return reason, value, bound


@inlined
def check_limit(book, ledger, risk, command):
    """LIMIT: a limit that exists, whose it is, a value within its range (risk/limits.py)."""
    which, value = command.order_type, command.quantity
    if LIMIT_LOW[which] > LIMIT_HIGH[which]:
        return c.INVALID_VALUE, np.int64(which), _LAST_LIMIT
    if which >= c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY:
        reason, wrong, bound = check_instrument(book, command)
    else:
        reason, wrong, bound = check_account(command, len(book.members))
    if reason == c.OK:
        reason, wrong, bound = check_range(value, LIMIT_LOW[which], LIMIT_HIGH[which])
    if reason == c.OK and risk and which == c.LIMIT_INSTRUMENT_MARGIN:
        held = largest_exposure(ledger, np.int64(command.instrument))
        reason, wrong, bound = check_range(value, 0, LARGEST_MARGIN // max(1, held))
    return reason, wrong, bound


@inlined
def check_cash(book, ledger, risk, command):
    """CASH: a payment that can be counted; what is paid out must be there."""
    reason, value, bound = check_account(command, len(book.members))
    if reason == c.OK:
        reason, value, bound = check_range(command.quantity, -_LARGEST_SUM, _LARGEST_SUM)
    if reason == c.OK and risk:
        equity = ledger.accounts[np.uint64(command.account)].equity + command.quantity
        if command.quantity < 0:
            reason, value, bound = check_range(equity, 0, equity)
        else:
            reason, value, bound = check_range(equity, equity, _LARGEST_SUM)
    return reason, value, bound


@inlined
def check_operator(book, ledger, risk, command):
    """Codes, names and values of an operator command, and what its kind asks for. Returns (reason, value, bound)."""
    kind = command.kind
    if kind == c.END_DAY:
        return c.OK, 0, 0
    if kind == c.BEGIN_DAY:
        return check_begin_day(book, command.quantity)
    if kind == c.KILL_SWITCH:
        return check_kill_switch(book, ledger, command)
    if kind == c.SET_LIMIT:
        return check_limit(book, ledger, risk, command)
    if kind == c.CASH:
        return check_cash(book, ledger, risk, command)
    if kind in (c.PHASE, c.WINDOW):
        reason, value, bound = check_instrument_or_all(book, command)
        if reason == c.OK and kind == c.PHASE:
            reason, value, bound = check_range(np.int64(command.order_type), 0, _PHASES - 1)
            if reason == c.OK:
                reason, value, bound = check_phase(book, command)
        return reason, value, bound
    reason, value, bound = check_instrument(book, command)
    if reason == c.OK and kind == c.LIQUIDATE:
        reason, value, bound = check_account(command, len(book.members))
    if reason != c.OK:
        return reason, value, bound
    if kind == c.LIST:
        return check_list(book, command)
    if kind == c.SETTLE:
        return check_settle(book, ledger, risk, command)
    if kind == c.EXPIRE:
        return check_expire(book, ledger, risk, command)
    return check_liquidate(book, command)


# Carrying it out ----------------------------------------------------------------------------------


@outlined
def kill(ledger, command):
    """KILL_SWITCH of a hub, firm, account or instrument."""
    scope, on = command.order_type, command.quantity
    if scope == c.HUB:
        ledger.hub[0].killed = on
    elif scope == c.FIRM:
        ledger.firms[command.account] = on
    elif scope == c.ACCOUNT:
        ledger.accounts[np.uint64(command.account)].killed = on
    else:
        ledger.limits[np.uint64(command.instrument)].killed = on
    refresh_refusals(ledger)


@inlined
def pay(ledger, command):
    """CASH into an account, or out of it. It may end a margin call (RULEBOOK 11.6)."""
    account = ledger.accounts[np.uint64(command.account)]
    account.equity += command.quantity
    account.paid_in += command.quantity
    cure(ledger, np.int64(command.account))


@outlined
def change_phases(book, ledger, risk, events, at, command):
    """PHASE of one instrument, or of all that can take it (RULEBOOK 8.2)."""
    end = at
    phase = np.int64(command.order_type)
    for number in range(len(book.instruments)):
        if command.instrument == number or (
            command.instrument == ALL and phase_refusal(book, number, phase)[0] == c.OK
        ):
            end = change_phase(book, events, end, command, number, phase, c.OK)
    if risk:
        apply_events(ledger, events, at, end)
    return done(book, events, end, command, c.PHASE, c.NONE, c.NONE, phase) if command.instrument == ALL else end


@outlined
def end_day(book, ledger, risk, events, at, command):
    """END_DAY: orders expire, client order ids are free again, margin is called (RULEBOOK 2.3, 5.10, 11.6)."""
    end, expired = mass_cancel(book, events, at, command, c.EVERY, c.EVERY, c.NONE, c.DAY_ENDED_REASON, _EXPIRING)
    if risk:
        apply_events(ledger, events, at, end)
        forget_client_orders(ledger)
        end_positions_day(ledger)
        end = call_margins(book, ledger, events, end, command)
    end = done(book, events, end, command, c.DAY_ENDED, np.int64(command.account), np.int64(command.side), expired)
    for number in range(len(book.instruments)):
        end = release_lock(book, events, end, command, number)
    return end


@inlined
def operate(book, ledger, risk, events, at, command):
    """Carry out an operator command that has passed check_operator. Returns the next free row of events."""
    kind = command.kind
    if kind == c.PHASE:
        return change_phases(book, ledger, risk, events, at, command)
    if kind == c.END_DAY:
        return end_day(book, ledger, risk, events, at, command)
    if kind == c.BEGIN_DAY:
        begin_day(book, ledger, risk, command.quantity)
        return done(book, events, at, command, c.DAY_BEGUN, c.NONE, c.NONE, command.quantity)
    if kind == c.LIST:
        return list_instrument(book, ledger, events, at, command)
    if kind == c.SETTLE:
        return settle_instrument(book, ledger, risk, events, at, command)
    if kind == c.EXPIRE:
        return expire(book, ledger, risk, events, at, command)
    if kind == c.LIQUIDATE:
        return liquidate(book, ledger, risk, events, at, command)
    if kind == c.WINDOW:
        for number in range(len(book.instruments)):
            if command.instrument == ALL or command.instrument == number:
                open_window(ledger, number)
        return done(book, events, at, command, c.WINDOW, c.NONE, c.NONE, c.NONE)
    if kind == c.SET_LIMIT:
        set_limit(book, ledger, risk, command)
    elif risk and kind == c.KILL_SWITCH:
        kill(ledger, command)
    elif risk and kind == c.CASH:
        pay(ledger, command)
    return done(
        book,
        events,
        at,
        command,
        np.int64(kind),
        np.int64(command.account),
        np.int64(command.order_type),
        command.quantity,
    )
