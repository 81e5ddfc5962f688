"""What operators command: phases, kill switches, limits, cash, the steps of a day. RULEBOOK 7. No I/O, no clock.

`check_operator` says which rule a command breaks, `operate` carries it out and writes its events; exchange/kernel.py
calls both. What settles, expires and liquidates is exchange/clearing.py. Like everything that changes the hub these are
commands in the journal, and replay repeats them.
"""
import numpy as np

from exchange.clearing import (
    begin_day,
    call_margins,
    check_expire,
    check_liquidate,
    check_list,
    check_settle,
    cure,
    expire,
    follow,
    largest_exposure,
    liquidate,
    list_instrument,
    open_window,
    set_margin,
    settle_instrument,
)
from exchange.phases import change_phase, check_phase, phase_refusal, release_lock
from matching.breaker import forget_slices
from matching.codes import ALL, CommandKind, EventKind, Limit, Phase, Reason, Scope, TimeInForce
from matching.jit import code, inlined, outlined
from matching.kernel import tell
from matching.terms import look_at, mass_cancel
from risk.kernel import forget_client_orders
from risk.limits import LARGEST_MARGIN, LIMIT_HIGH, LIMIT_LOW
from risk.positions import end_positions_day
from risk.protection import set_protection

_PHASE, _KILL, _LIMIT = code(CommandKind.PHASE), code(CommandKind.KILL_SWITCH), code(CommandKind.LIMIT)
_CASH, _END_DAY, _DAY_ENDED = code(CommandKind.CASH), code(CommandKind.END_DAY), code(EventKind.DAY_ENDED)
_BEGIN_DAY, _DAY_BEGUN, _LIST = code(CommandKind.BEGIN_DAY), code(EventKind.DAY_BEGUN), code(CommandKind.LIST)
_SETTLE, _EXPIRE = code(CommandKind.SETTLE), code(CommandKind.EXPIRE)
_LIQUIDATE, _WINDOW = code(CommandKind.LIQUIDATE), code(CommandKind.WINDOW)
_HUB, _FIRM, _ACCOUNT, _INSTRUMENT = code(Scope.HUB), code(Scope.FIRM), code(Scope.ACCOUNT), code(Scope.INSTRUMENT)
_PHASES = len(Phase)
_FIRST_INSTRUMENT_LIMIT = code(Limit.INSTRUMENT_MAX_ORDER_QUANTITY)
_LAST_LIMIT = max(int(limit) for limit in Limit)
_NONE, _ALL = code(0), code(ALL)
_SECOND, _MILLISECOND = 1_000_000_000, 1_000_000
_LAST_DATE = 9999_12_31
_EXPIRING = code(sum(1 << int(time) for time in (TimeInForce.DAY, TimeInForce.SESSION, TimeInForce.OPENING, TimeInForce.GTD)))
_LARGEST_SUM = 1 << 61                   # fen

_OK, _INVALID_VALUE = code(Reason.NONE), code(Reason.INVALID_VALUE)
_UNKNOWN_INSTRUMENT, _UNKNOWN_ACCOUNT = code(Reason.UNKNOWN_INSTRUMENT), code(Reason.UNKNOWN_ACCOUNT)
_HUB_KILLED, _INSTRUMENT_KILLED = code(Reason.HUB_KILLED), code(Reason.INSTRUMENT_KILLED)
_FIRM_KILLED, _ACCOUNT_KILLED = code(Reason.FIRM_KILLED), code(Reason.ACCOUNT_KILLED)
_ACCOUNT_DISABLED, _DAY_ENDED_REASON = code(Reason.ACCOUNT_DISABLED), code(Reason.DAY_ENDED)

_L_QUANTITY, _L_NOTIONAL = code(Limit.MAX_ORDER_QUANTITY), code(Limit.MAX_ORDER_NOTIONAL)
_L_LONG, _L_SHORT, _L_OPEN = code(Limit.MAX_LONG), code(Limit.MAX_SHORT), code(Limit.MAX_OPEN_ORDERS)
_L_RATE, _L_BURST, _L_ENABLED = code(Limit.MESSAGES_PER_SECOND), code(Limit.MESSAGE_BURST), code(Limit.ENABLED)
_L_SELF_MATCH, _L_GROUP = code(Limit.SELF_MATCH), code(Limit.GROUP)
_L_I_QUANTITY, _L_I_POSITION = code(Limit.INSTRUMENT_MAX_ORDER_QUANTITY), code(Limit.INSTRUMENT_MAX_POSITION)
_L_I_COLLAR, _L_I_MARGIN = code(Limit.INSTRUMENT_COLLAR), code(Limit.INSTRUMENT_MARGIN)
_L_I_PROTECTION = code(Limit.INSTRUMENT_PROTECTION)
_L_I_DAILY_LIMIT, _L_I_MARGIN_RATE = code(Limit.INSTRUMENT_DAILY_LIMIT), code(Limit.INSTRUMENT_MARGIN_RATE)
_L_I_FEE_PER_LOT, _L_I_FEE_RATE = code(Limit.INSTRUMENT_FEE_PER_LOT), code(Limit.INSTRUMENT_FEE_RATE)
_L_I_VELOCITY, _L_I_VELOCITY_WINDOW = code(Limit.INSTRUMENT_VELOCITY), code(Limit.INSTRUMENT_VELOCITY_WINDOW)
_L_I_OPENING_CAP, _L_I_RESERVE = code(Limit.INSTRUMENT_OPENING_CAP), code(Limit.INSTRUMENT_RESERVE)


@outlined
def done(book, events, at, command, kind, account, side, quantity):
    """The one event of an operator command, or the closing event of a mass cancel."""
    event = tell(book, events, at, command, command, kind, _OK, np.int64(command.instrument), np.int64(account),
                 np.int64(side), _NONE, _NONE, _NONE, quantity, _NONE)
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
        limit.refusal = _HUB_KILLED if hub.killed else (_INSTRUMENT_KILLED if limit.killed else _OK)
    for number in range(len(ledger.accounts)):
        account = ledger.accounts[number]
        account.refusal = _OK
        if not account.enabled:
            account.refusal = _ACCOUNT_DISABLED
        if account.killed:
            account.refusal = _ACCOUNT_KILLED
        if ledger.firms[account.firm]:
            account.refusal = _FIRM_KILLED


@inlined
def set_account_limit(ledger, account, which, value):
    """One limit of an ACCOUNT."""
    if which == _L_QUANTITY:
        account.max_order_quantity = value
    elif which == _L_NOTIONAL:
        account.max_order_notional = value
    elif which == _L_LONG:
        account.max_long = value
    elif which == _L_SHORT:
        account.max_short = value
    elif which == _L_OPEN:
        account.max_open_orders = value
    elif which == _L_RATE:
        account.message_interval = _SECOND // value if value != 0 else 0
    elif which == _L_BURST:
        account.message_burst = value
    elif which == _L_ENABLED:
        account.enabled = value
        refresh_refusals(ledger)
    else:
        set_protection(account, np.int64(which), value)


@inlined
def set_instrument_limit(book, ledger, number, which, value):
    """One limit of an instrument, wherever it is kept."""
    limit, instrument = ledger.limits[np.uint64(number)], book.instruments[np.uint64(number)]
    if which == _L_I_QUANTITY:
        limit.max_order_quantity = value
    elif which == _L_I_POSITION:
        limit.max_position = value
    elif which == _L_I_COLLAR:
        limit.collar = value
    elif which == _L_I_MARGIN:
        set_margin(ledger, number, value)
    elif which == _L_I_PROTECTION:
        instrument.protection = value
    elif which == _L_I_DAILY_LIMIT:
        instrument.daily_limit = value
    elif which == _L_I_MARGIN_RATE:
        limit.margin_rate = value
    elif which == _L_I_FEE_PER_LOT:
        limit.fee_per_lot = value
    elif which == _L_I_FEE_RATE:
        limit.fee_rate = value
    elif which == _L_I_VELOCITY:
        instrument.velocity = value
        forget_slices(instrument)
        look_at(instrument)
    elif which == _L_I_VELOCITY_WINDOW:
        instrument.velocity_window = value * _MILLISECOND
        forget_slices(instrument)            # they bear other numbers now
    elif which == _L_I_OPENING_CAP:
        limit.opening_cap = value
    elif which == _L_I_RESERVE:
        instrument.reserve = value


@outlined
def set_limit(book, ledger, risk, command):
    """LIMIT: one value of an account or an instrument. Self-match settings belong to matching and hold without risk."""
    which, value = command.order_type, command.quantity
    if which == _L_SELF_MATCH:
        book.members[command.account].self_match = value
    elif which == _L_GROUP:
        book.members[command.account].group = value
    if risk and which < _FIRST_INSTRUMENT_LIMIT:
        set_account_limit(ledger, ledger.accounts[np.uint64(command.account)], which, value)
    elif risk:
        set_instrument_limit(book, ledger, np.int64(command.instrument), which, value)


# Is the command sound? RULEBOOK 1.5 and 7 ----------------------------------------------------------------------------------

@inlined
def check_instrument(book, command):
    """The instrument exists."""
    if command.instrument < 0 or command.instrument >= len(book.instruments):
        return _UNKNOWN_INSTRUMENT, np.int64(command.instrument), len(book.instruments) - 1
    return _OK, 0, 0


@inlined
def check_instrument_or_all(book, command):
    """The instrument exists, or all are meant."""
    if command.instrument == ALL:
        return _OK, 0, 0
    return check_instrument(book, command)


@inlined
def check_account(command, accounts):
    """The account, or the firm, is one of so many."""
    if command.account < 0 or command.account >= accounts:
        return _UNKNOWN_ACCOUNT, np.int64(command.account), accounts - 1
    return _OK, 0, 0


@inlined
def check_range(value, low, high):
    """RULEBOOK 1.2: the bound told is the end that was passed."""
    if value < low:
        return _INVALID_VALUE, value, low
    if value > high:
        return _INVALID_VALUE, value, high
    return _OK, 0, 0


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
        return _INVALID_VALUE, date, present + 1
    if date > _LAST_DATE:
        return _INVALID_VALUE, date, _LAST_DATE
    if year == 0 or month < 1 or month > 12 or day < 1 or day > days_of(year, month):
        return _INVALID_VALUE, date, present + 1
    return _OK, 0, 0


@inlined
def check_kill_switch(book, ledger, command):
    """KILL_SWITCH: a scope, what it is about, 1 or 0."""
    scope = command.order_type
    reason, value, bound = check_range(np.int64(scope), _HUB, _INSTRUMENT)
    if reason != _OK:
        return reason, value, bound
    if scope == _INSTRUMENT:
        reason, value, bound = check_instrument(book, command)
    elif scope != _HUB:
        reason, value, bound = check_account(command, len(ledger.firms) if scope == _FIRM else len(book.members))
    if reason == _OK:
        reason, value, bound = check_range(command.quantity, 0, 1)
    return reason, value, bound


@inlined
def check_limit(book, ledger, risk, command):
    """LIMIT: a limit that exists, whose it is, a value within its range (risk/limits.py)."""
    which, value = command.order_type, command.quantity
    if LIMIT_LOW[which] > LIMIT_HIGH[which]:
        return _INVALID_VALUE, np.int64(which), _LAST_LIMIT
    if which >= _FIRST_INSTRUMENT_LIMIT:
        reason, wrong, bound = check_instrument(book, command)
    else:
        reason, wrong, bound = check_account(command, len(book.members))
    if reason == _OK:
        reason, wrong, bound = check_range(value, LIMIT_LOW[which], LIMIT_HIGH[which])
    if reason == _OK and risk and which == _L_I_MARGIN:
        held = largest_exposure(ledger, np.int64(command.instrument))
        reason, wrong, bound = check_range(value, 0, LARGEST_MARGIN // max(1, held))
    return reason, wrong, bound


@inlined
def check_cash(book, ledger, risk, command):
    """CASH: a payment that can be counted; what is paid out must be there."""
    reason, value, bound = check_account(command, len(book.members))
    if reason == _OK:
        reason, value, bound = check_range(command.quantity, -_LARGEST_SUM, _LARGEST_SUM)
    if reason == _OK and risk:
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
    if kind == _END_DAY:
        return _OK, 0, 0
    if kind == _BEGIN_DAY:
        return check_begin_day(book, command.quantity)
    if kind == _KILL:
        return check_kill_switch(book, ledger, command)
    if kind == _LIMIT:
        return check_limit(book, ledger, risk, command)
    if kind == _CASH:
        return check_cash(book, ledger, risk, command)
    if kind in (_PHASE, _WINDOW):
        reason, value, bound = check_instrument_or_all(book, command)
        if reason == _OK and kind == _PHASE:
            reason, value, bound = check_range(np.int64(command.order_type), 0, _PHASES - 1)
            if reason == _OK:
                reason, value, bound = check_phase(book, command)
        return reason, value, bound
    reason, value, bound = check_instrument(book, command)
    if reason == _OK and kind == _LIQUIDATE:
        reason, value, bound = check_account(command, len(book.members))
    if reason != _OK:
        return reason, value, bound
    if kind == _LIST:
        return check_list(book, command)
    if kind == _SETTLE:
        return check_settle(book, ledger, risk, command)
    if kind == _EXPIRE:
        return check_expire(book, ledger, risk, command)
    return check_liquidate(book, command)


# Carrying it out -------------------------------------------------------------------------------------------------------------

@outlined
def kill(ledger, command):
    """KILL_SWITCH of a hub, firm, account or instrument."""
    scope, on = command.order_type, command.quantity
    if scope == _HUB:
        ledger.hub[0].killed = on
    elif scope == _FIRM:
        ledger.firms[command.account] = on
    elif scope == _ACCOUNT:
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
        if command.instrument == number or (command.instrument == ALL and phase_refusal(book, number, phase)[0] == _OK):
            end = change_phase(book, events, end, command, number, phase, _OK)
    if risk:
        follow(ledger, events, at, end)
    return done(book, events, end, command, _PHASE, _NONE, _NONE, phase) if command.instrument == ALL else end


@outlined
def end_day(book, ledger, risk, events, at, command):
    """END_DAY: orders expire, client order ids are free again, margin is called (RULEBOOK 2.3, 5.10, 11.6)."""
    end, expired = mass_cancel(book, events, at, command, _ALL, _ALL, _NONE, _DAY_ENDED_REASON, _EXPIRING)
    if risk:
        follow(ledger, events, at, end)
        forget_client_orders(ledger)
        end_positions_day(ledger)
        end = call_margins(book, ledger, events, end, command)
    end = done(book, events, end, command, _DAY_ENDED, np.int64(command.account), np.int64(command.side), expired)
    for number in range(len(book.instruments)):
        end = release_lock(book, events, end, command, number)
    return end


@inlined
def operate(book, ledger, risk, events, at, command):
    """Carry out an operator command that has passed check_operator. Returns the next free row of events."""
    kind = command.kind
    if kind == _PHASE:
        return change_phases(book, ledger, risk, events, at, command)
    if kind == _END_DAY:
        return end_day(book, ledger, risk, events, at, command)
    if kind == _BEGIN_DAY:
        begin_day(book, ledger, risk, command.quantity)
        return done(book, events, at, command, _DAY_BEGUN, _NONE, _NONE, command.quantity)
    if kind == _LIST:
        return list_instrument(book, ledger, events, at, command)
    if kind == _SETTLE:
        return settle_instrument(book, ledger, risk, events, at, command)
    if kind == _EXPIRE:
        return expire(book, ledger, risk, events, at, command)
    if kind == _LIQUIDATE:
        return liquidate(book, ledger, risk, events, at, command)
    if kind == _WINDOW:
        for number in range(len(book.instruments)):
            if command.instrument == ALL or command.instrument == number:
                open_window(ledger, number)
        return done(book, events, at, command, _WINDOW, _NONE, _NONE, _NONE)
    if kind == _LIMIT:
        set_limit(book, ledger, risk, command)
    elif risk and kind == _KILL:
        kill(ledger, command)
    elif risk and kind == _CASH:
        pay(ledger, command)
    return done(book, events, at, command, np.int64(kind), np.int64(command.account), np.int64(command.order_type),
                command.quantity)
