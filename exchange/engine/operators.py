"""Commands of operators: phases, kill switches, limits, cash, the steps of a day. RULEBOOK 7. No I/O, no clock.

exchange/engine/lanes.py calls `check_operator`, which finds the first rule that a command breaks, and then `operate`, which
carries the command out and emits its events. SETTLE, EXPIRE, LIQUIDATE and LIST are in exchange/engine/clearing.py. These
commands are in the journal like any other, so that replay repeats them.
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
from exchange.engine.rules import account_rule, instrument_rule
from matching import codes as c
from matching.breaker import forget_slices
from matching.cancel import mass_cancel
from matching.codes import ALL, Limit, Phase, TimeInForce
from matching.events import emit_unnamed
from matching.extras import watch
from matching.jit import inlined, outlined
from risk.kernel import apply_events, forget_client_orders
from risk.limits import LARGEST_MARGIN, LIMIT_HIGH, LIMIT_LOW
from risk.positions import end_positions_day
from risk.protection import set_protection
from risk.rules import checked, nothing_found, range_rule, rule

_LAST_PHASE = np.int64(max(Phase))
_LAST_LIMIT = np.int64(max(Limit))
_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000  # ns
_LAST_DATE = np.int64(9999_12_31)
_EXPIRING = np.int64(
    sum(1 << int(time) for time in (TimeInForce.DAY, TimeInForce.SESSION, TimeInForce.OPENING, TimeInForce.GTD))
)
_LARGEST_SUM = np.int64(1 << 61)  # fen


@outlined
def done(book, events, at, command, kind, account, side, quantity):
    """Emit the event that says that an operator command, or a mass cancel, is done."""
    emit_unnamed(
        book, events, at, command, kind, c.OK, np.int64(command.instrument), account, side, c.NONE, quantity, c.NONE
    )
    return at + 1


@inlined
def refresh_refusals(ledger):
    """Set the refusal of every account and instrument from the kill switches. What comes last takes precedence."""
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
    """Set one limit of an account. account: its row of Ledger.accounts."""
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
    """Set one limit of an instrument, in the ledger or in the book."""
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
        watch(instrument)
    elif which == c.LIMIT_INSTRUMENT_VELOCITY_WINDOW:
        instrument.velocity_window = value * _MILLISECOND
        forget_slices(instrument)  # they were numbered by the old window
    elif which == c.LIMIT_INSTRUMENT_OPENING_CAP:
        limit.opening_cap = value
    elif which == c.LIMIT_INSTRUMENT_RESERVE:
        instrument.reserve = value


@outlined
def set_limit(book, ledger, risk, command):
    """LIMIT: set one value of an account or an instrument. Self-match settings belong to matching: they hold without risk."""
    which, value = command.limit, command.value
    if which == c.LIMIT_SELF_MATCH:
        book.members[command.account].self_match = value
    elif which == c.LIMIT_GROUP:
        book.members[command.account].group = value
    if risk and which < c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY:
        set_account_limit(ledger, ledger.accounts[np.uint64(command.account)], which, value)
    elif risk:
        set_instrument_limit(book, ledger, np.int64(command.instrument), which, value)


# Rules (RULEBOOK 1.5 and 7). risk/rules.py explains the form of a list -----------------------------


@inlined
def value_rule(found, value, low, high):
    """109: a value lies from `low` to `high`."""
    return range_rule(found, c.INVALID_VALUE, value, low, high)


@inlined
def days_of(year, month):
    """Days of a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inlined
def check_begin_day(found, book, date):
    """BEGIN_DAY: a date of the calendar, yyyymmdd, later than the present trading date."""
    year, month, day = date // 10_000, date // 100 % 100, date % 100
    earliest = book.state[0].trading_date + 1
    found = value_rule(found, date, earliest, _LAST_DATE)
    unknown = year == 0 or month < 1 or month > 12 or day < 1 or day > days_of(year, month)
    return rule(found, c.INVALID_VALUE, unknown, date, earliest)


@inlined
def check_kill_switch(found, book, ledger, command):
    """KILL_SWITCH: the scope exists, so does what it names, and the value is 1 or 0."""
    scope = np.int64(command.scope)
    found = value_rule(found, scope, c.HUB, c.INSTRUMENT)
    if scope == c.INSTRUMENT:
        found = instrument_rule(found, book, command)
    elif scope != c.HUB:
        found = account_rule(found, command, len(ledger.firms) if scope == c.FIRM else len(book.members))
    return value_rule(found, command.on, c.NONE, np.int64(1))


@inlined
def check_limit(found, book, ledger, risk, command):
    """LIMIT: the limit exists, so does its account or instrument, and the value is in its range (risk/limits.py)."""
    which, value = np.int64(command.limit), command.value
    found = rule(found, c.INVALID_VALUE, LIMIT_LOW[which] > LIMIT_HIGH[which], which, _LAST_LIMIT)
    if which >= c.LIMIT_INSTRUMENT_MAX_ORDER_QUANTITY:
        found = instrument_rule(found, book, command)
    else:
        found = account_rule(found, command, len(book.members))
    found = value_rule(found, value, LIMIT_LOW[which], LIMIT_HIGH[which])
    if risk and which == c.LIMIT_INSTRUMENT_MARGIN and not found.broken:
        most = LARGEST_MARGIN // max(1, largest_exposure(ledger, np.int64(command.instrument)))
        found = value_rule(found, value, c.NONE, most)
    return found


@inlined
def check_cash(found, book, ledger, risk, command):
    """CASH: the payment can be counted, and no more is paid out than the account has."""
    paid = command.amount
    found = account_rule(found, command, len(book.members))
    found = value_rule(found, paid, -_LARGEST_SUM, _LARGEST_SUM)
    if risk and not found.broken:
        equity = ledger.accounts[np.uint64(command.account)].equity + paid
        found = rule(found, c.INVALID_VALUE, paid < 0 and equity < 0, equity, c.NONE)
        found = rule(found, c.INVALID_VALUE, paid >= 0 and equity > _LARGEST_SUM, equity, _LARGEST_SUM)
    return found


@inlined
def check_operator(book, ledger, risk, command):
    """Codes, names and values of an operator command, and the rules of its kind. Returns Found."""
    kind, found = command.kind, nothing_found()
    if kind == c.END_DAY:
        return found
    if kind == c.BEGIN_DAY:
        return check_begin_day(found, book, command.date)
    if kind == c.KILL_SWITCH:
        return check_kill_switch(found, book, ledger, command)
    if kind == c.SET_LIMIT:
        return check_limit(found, book, ledger, risk, command)
    if kind == c.CASH:
        return check_cash(found, book, ledger, risk, command)
    if kind in (c.PHASE, c.WINDOW):
        if command.instrument != ALL:
            found = instrument_rule(found, book, command)
        if kind == c.PHASE:
            found = value_rule(found, np.int64(command.phase), c.NONE, _LAST_PHASE)
            if not found.broken:
                found = checked(found, check_phase(book, command))
        return found
    found = instrument_rule(found, book, command)
    if kind == c.LIQUIDATE:
        found = account_rule(found, command, len(book.members))
    if found.broken:
        return found
    if kind == c.LIST:
        return check_list(found, book, command)
    if kind == c.SETTLE:
        return check_settle(found, book, ledger, risk, command)
    if kind == c.EXPIRE:
        return check_expire(found, book, ledger, risk, command)
    return check_liquidate(found, book, command)


# Carrying it out ----------------------------------------------------------------------------------


@outlined
def kill(ledger, command):
    """KILL_SWITCH: block the hub, a firm, an account or an instrument, or end that."""
    scope, on = command.scope, command.on
    if scope == c.HUB:
        ledger.hub[0].killed = on
    elif scope == c.FIRM:
        ledger.firms[command.firm] = on
    elif scope == c.ACCOUNT:
        ledger.accounts[np.uint64(command.account)].killed = on
    else:
        ledger.limits[np.uint64(command.instrument)].killed = on
    refresh_refusals(ledger)


@inlined
def pay(ledger, command):
    """CASH: pay into an account or out of it. This may end a margin call (RULEBOOK 11.6)."""
    account = ledger.accounts[np.uint64(command.account)]
    account.equity += command.amount
    account.paid_in += command.amount
    cure(ledger, np.int64(command.account))


@outlined
def change_phases(book, ledger, risk, events, at, command):
    """PHASE: change that of one instrument, or of all that can go over into it (RULEBOOK 8.2)."""
    end = at
    phase = np.int64(command.phase)
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
    """END_DAY: expire orders, free client order ids, call margin (RULEBOOK 2.3, 5.10, 11.6)."""
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
        begin_day(book, ledger, risk, command.date)
        return done(book, events, at, command, c.DAY_BEGUN, c.NONE, c.NONE, command.date)
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
