"""What operators command: phases, kill switches, limits, cash, the end of a day. RULEBOOK 7. No I/O, no clock.

`check_operator` says which rule a command breaks, `operate` carries it out and writes its event; exchange/kernel.py
calls both. Like everything that changes the hub these are commands in the journal, and replay repeats them.
"""
import numpy as np

from matching.codes import ALL, CommandKind, EventKind, Limit, Phase, Reason, Scope, TimeInForce
from matching.jit import inlined
from matching.kernel import mass_cancel, tell
from risk.kernel import forget_client_orders, settle
from risk.limits import LARGEST_MARGIN, LIMIT_HIGH, LIMIT_LOW

_PHASE, _KILL, _LIMIT = int(CommandKind.PHASE), int(CommandKind.KILL_SWITCH), int(CommandKind.LIMIT)
_CASH, _END_DAY, _DAY_ENDED = int(CommandKind.CASH), int(CommandKind.END_DAY), int(EventKind.DAY_ENDED)
_HUB, _FIRM, _ACCOUNT, _INSTRUMENT = int(Scope.HUB), int(Scope.FIRM), int(Scope.ACCOUNT), int(Scope.INSTRUMENT)
_PHASES = len(Phase)
_FIRST_INSTRUMENT_LIMIT = int(Limit.INSTRUMENT_MAX_ORDER_QUANTITY)
_SECOND = 1_000_000_000
_EXPIRING = sum(1 << int(time) for time in (TimeInForce.DAY, TimeInForce.SESSION, TimeInForce.OPENING, TimeInForce.GTD))
_LARGEST_SUM = 1 << 61                   # fen

_OK, _INVALID_VALUE = int(Reason.NONE), int(Reason.INVALID_VALUE)
_UNKNOWN_INSTRUMENT, _UNKNOWN_ACCOUNT = int(Reason.UNKNOWN_INSTRUMENT), int(Reason.UNKNOWN_ACCOUNT)
_HUB_KILLED, _INSTRUMENT_KILLED = int(Reason.HUB_KILLED), int(Reason.INSTRUMENT_KILLED)
_FIRM_KILLED, _ACCOUNT_KILLED = int(Reason.FIRM_KILLED), int(Reason.ACCOUNT_KILLED)
_ACCOUNT_DISABLED, _DAY_ENDED_REASON = int(Reason.ACCOUNT_DISABLED), int(Reason.DAY_ENDED)

_L_QUANTITY, _L_NOTIONAL = int(Limit.MAX_ORDER_QUANTITY), int(Limit.MAX_ORDER_NOTIONAL)
_L_LONG, _L_SHORT, _L_OPEN = int(Limit.MAX_LONG), int(Limit.MAX_SHORT), int(Limit.MAX_OPEN_ORDERS)
_L_RATE, _L_BURST, _L_ENABLED = int(Limit.MESSAGES_PER_SECOND), int(Limit.MESSAGE_BURST), int(Limit.ENABLED)
_L_SELF_MATCH, _L_GROUP = int(Limit.SELF_MATCH), int(Limit.GROUP)
_L_I_QUANTITY, _L_I_POSITION = int(Limit.INSTRUMENT_MAX_ORDER_QUANTITY), int(Limit.INSTRUMENT_MAX_POSITION)
_L_I_COLLAR, _L_I_MARGIN = int(Limit.INSTRUMENT_COLLAR), int(Limit.INSTRUMENT_MARGIN)
_L_I_PROTECTION = int(Limit.INSTRUMENT_PROTECTION)


@inlined
def done(book, events, at, command, kind, account, side, quantity):
    """The one event of an operator command, or the closing event of a mass cancel."""
    event = tell(book, events, at, command, command, kind, _OK, command.instrument, account, side, 0, 0, 0, quantity, 0)
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
def largest_exposure(ledger, instrument):
    """Lots of the largest worst case that any account has in an instrument."""
    largest = 0
    for number in range(len(ledger.accounts)):
        largest = max(largest, ledger.exposures[number * len(ledger.limits) + instrument].worst)
    return largest


@inlined
def set_margin(ledger, instrument, margin):
    """A new margin per lot revalues what every account holds."""
    limit = ledger.limits[instrument]
    for number in range(len(ledger.accounts)):
        exposure = ledger.exposures[number * len(ledger.limits) + instrument]
        ledger.accounts[number].margin_used += exposure.worst * (margin - limit.margin)
    limit.margin = margin
    limit.largest_position = LARGEST_MARGIN // max(1, margin)


@inlined
def set_limit(book, ledger, risk, command):
    """LIMIT: one value of an account or an instrument. Self-match settings belong to matching and hold without risk."""
    which, value = command.order_type, command.quantity
    if which == _L_SELF_MATCH:
        book.members[command.account].self_match = value
    elif which == _L_GROUP:
        book.members[command.account].group = value
    if not risk:
        return
    if which < _FIRST_INSTRUMENT_LIMIT:
        account = ledger.accounts[np.uint64(command.account)]
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
        limit = ledger.limits[np.uint64(command.instrument)]
        if which == _L_I_QUANTITY:
            limit.max_order_quantity = value
        elif which == _L_I_POSITION:
            limit.max_position = value
        elif which == _L_I_COLLAR:
            limit.collar = value
        elif which == _L_I_MARGIN:
            set_margin(ledger, command.instrument, value)
        elif which == _L_I_PROTECTION:
            book.instruments[np.uint64(command.instrument)].protection = value


@inlined
def check_operator(book, ledger, risk, command):
    """Codes, names and values of an operator command."""
    kind, code, value = command.kind, command.order_type, command.quantity
    if kind == _END_DAY:
        return _OK, 0, 0
    if kind == _PHASE:
        if command.instrument < ALL or command.instrument >= len(book.instruments):
            return _UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
        if code >= _PHASES:
            return _INVALID_VALUE, code, _PHASES - 1
        return _OK, 0, 0
    if kind == _KILL and code > _INSTRUMENT:
        return _INVALID_VALUE, code, _INSTRUMENT
    if kind == _LIMIT and LIMIT_LOW[code] > LIMIT_HIGH[code]:
        return _INVALID_VALUE, code, _L_I_PROTECTION
    about_instrument = (kind == _KILL and code == _INSTRUMENT) or (kind == _LIMIT and code >= _FIRST_INSTRUMENT_LIMIT)
    if about_instrument:
        if command.instrument < 0 or command.instrument >= len(book.instruments):
            return _UNKNOWN_INSTRUMENT, command.instrument, len(book.instruments) - 1
    elif not (kind == _KILL and code == _HUB):
        accounts = len(ledger.firms) if kind == _KILL and code == _FIRM else len(book.members)
        if command.account < 0 or command.account >= accounts:
            return _UNKNOWN_ACCOUNT, command.account, accounts - 1
    if kind == _KILL and value != 0 and value != 1:
        return _INVALID_VALUE, value, 1 if value > 1 else 0
    if kind == _LIMIT and value < LIMIT_LOW[code]:
        return _INVALID_VALUE, value, LIMIT_LOW[code]
    if kind == _LIMIT and value > LIMIT_HIGH[code]:
        return _INVALID_VALUE, value, LIMIT_HIGH[code]
    if risk and kind == _LIMIT and code == _L_I_MARGIN:
        held = largest_exposure(ledger, command.instrument)
        if value > LARGEST_MARGIN // max(1, held):
            return _INVALID_VALUE, value, LARGEST_MARGIN // max(1, held)
    if kind == _CASH:
        if value > _LARGEST_SUM or value < -_LARGEST_SUM:
            return _INVALID_VALUE, value, _LARGEST_SUM if value > 0 else -_LARGEST_SUM
        equity = ledger.accounts[np.uint64(command.account)].equity + value
        if risk and equity < 0:
            return _INVALID_VALUE, equity, 0
        if risk and equity > _LARGEST_SUM:
            return _INVALID_VALUE, equity, _LARGEST_SUM
    return _OK, 0, 0


@inlined
def operate(book, ledger, risk, events, at, command):
    """Carry out an operator command that has passed check_operator."""
    kind, code, value = command.kind, command.order_type, command.quantity
    if kind == _END_DAY:
        end, expired = mass_cancel(book, events, at, command, ALL, ALL, 0, _DAY_ENDED_REASON, _EXPIRING)
        if risk:
            settle(ledger, events, at, end)
            forget_client_orders(ledger)
        return done(book, events, end, command, _DAY_ENDED, command.account, command.side, expired)
    if kind == _PHASE:
        for number in range(len(book.instruments)):
            if command.instrument == ALL or command.instrument == number:
                book.instruments[number].phase = code
        return done(book, events, at, command, kind, 0, 0, np.int64(code))
    if kind == _LIMIT:
        set_limit(book, ledger, risk, command)
    elif risk and kind == _KILL:
        if code == _HUB:
            ledger.hub[0].killed = value
        elif code == _FIRM:
            ledger.firms[command.account] = value
        elif code == _ACCOUNT:
            ledger.accounts[np.uint64(command.account)].killed = value
        else:
            ledger.limits[np.uint64(command.instrument)].killed = value
        refresh_refusals(ledger)
    elif risk and kind == _CASH:
        ledger.accounts[np.uint64(command.account)].equity += value
    return done(book, events, at, command, kind, command.account, code, value)
