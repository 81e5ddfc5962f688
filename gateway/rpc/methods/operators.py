"""Methods of operators: parameters -> COMMAND rows, and the events that came of them as JSON objects.

An operator's commands go through the runner and the journal like all others, and the engine decides about them
(exchange/engine/operators.py, RULEBOOK 7, 8 and 11). Here names become numbers and back.

    halt(caller, params, now)                    # answered {"seq": 91, "events": [{"event": "phase", ...}], ...}
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

from msgspec import UNSET

from exchange.projections.surveillance import CONDUCT
from gateway.rpc import account, requests
from gateway.rpc.desk import Desk
from gateway.rpc.reports import Batch
from gateway.rpc.ticket import Caller, Ticket
from gateway.text.answers import encode, rejection
from gateway.text.refusals import Refused, invalid, refusal
from gateway.text.rows import command_row
from gateway.text.scale import date_number, date_text, decimal, fen
from gateway.text.words import LIMIT_CODE, PHASE, PHASE_CODE, REASON
from matching.codes import (
    ALL,
    AUCTION_PHASES,
    CommandKind,
    EventKind,
    Limit,
    Phase,
    Reason,
    Scope,
    SettlementRule,
    Side,
)
from matching.records import Command, Event

_ANY = "any"
_IN_SESSION = (*AUCTION_PHASES, Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.LIMIT_LOCKED, Phase.BREAK)
# Kinds of event that an answer lists: these, and all from BALANCE on.
_LISTED = (EventKind.MASS_CANCELED, EventKind.AUCTION, EventKind.COUNTDOWN)
_SETTLED = "settled"  # a unit of _ticket: the rule is not about a number, but that the instrument must be settled


# Phases -------------------------------------------------------------------------------------------


def set_phase(caller: Caller, params: requests.SetPhase, now: int) -> Ticket:
    instrument = _instrument(caller, params.instrument_name)
    return _ticket(caller, _phase_row(caller, instrument, PHASE_CODE[params.phase]))


def halt(caller: Caller, params: requests.Halt, now: int) -> str | Ticket:
    """`any` halts the instruments that are in a trading session. A halt of others would end in trading nobody intended."""
    return _change_phases(caller, params.instrument_name, _IN_SESSION, Phase.HALTED)


def resume(caller: Caller, params: requests.Resume, now: int) -> str | Ticket:
    return _change_phases(caller, params.instrument_name, (Phase.HALTED,), PHASE_CODE[params.phase])


def _change_phases(caller: Caller, name: str, present: tuple[Phase, ...], phase: int) -> str | Ticket:
    """Change the phase of the named instrument. `any`: of those whose phase is one of `present`."""
    exchange = caller.desk.hub.exchange
    index = _instrument(caller, name)
    indices = (
        [index]
        if index != ALL
        else [number for number, listed in enumerate(exchange.instruments) if exchange.phase(listed.symbol) in present]
    )
    if not indices:
        return encode({"seq": None, "events": [], "trades": 0, "canceled": 0})
    return _ticket(caller, *(_phase_row(caller, number, phase) for number in indices))


def _phase_row(caller: Caller, instrument: int, phase: int) -> bytes:
    return _row(caller, CommandKind.PHASE, instrument=instrument, order_type=phase)


# Switches, limits, money --------------------------------------------------------------------------


def kill_switch(caller: Caller, params: requests.KillSwitch, now: int) -> Ticket:
    _require_only(
        {"hub": "", "instrument": "instrument_name"}.get(params.scope, params.scope),
        f"the scope is {params.scope}",
        firm=params.firm,
        account=params.account,
        instrument_name=params.instrument_name,
    )
    target = _target(caller, params) if params.firm is UNSET else {"account": params.firm}
    scope = Scope[params.scope.upper()]
    row = _row(caller, CommandKind.KILL_SWITCH, order_type=scope, quantity=int(params.on), **target)
    return _ticket(caller, row, field="firm" if params.scope == "firm" else "")


def set_limit(caller: Caller, params: requests.SetLimit, now: int) -> Ticket:
    limit = LIMIT_CODE.get(params.limit)
    if limit is None:
        raise invalid("limit", f"limit: {params.limit} does not exist", value=params.limit, bound=", ".join(LIMIT_CODE))
    of = "instrument" if limit >= Limit.INSTRUMENT_MAX_ORDER_QUANTITY else "account"
    _require_only(
        "instrument_name" if of == "instrument" else of,
        f"{params.limit} is a limit of an {of}",
        account=params.account,
        instrument_name=params.instrument_name,
    )
    row = _row(caller, CommandKind.LIMIT, order_type=limit, quantity=params.value, **_target(caller, params))
    return _ticket(caller, row)


def _require_only(wanted: str, why: str, **given: Any) -> None:
    """Of these parameters only the wanted one may be given, and it must be. Errors: Refused naming the parameter."""
    if wanted and given[wanted] is UNSET:
        raise invalid(wanted, f"{wanted} is missing: {why}", reason="value_required")
    for field, value in given.items():
        if field != wanted and value is not UNSET:
            raise invalid(field, f"{field}: {why}", value=value)


def _target(caller: Caller, params: requests.KillSwitch | requests.SetLimit) -> dict[str, int]:
    """The account or instrument that the parameters name, as a field of a row."""
    if params.account is not UNSET:
        return {"account": caller.desk.account(params.account)}
    return {} if params.instrument_name is UNSET else {"instrument": caller.desk.instrument(params.instrument_name)}


def cash(caller: Caller, params: requests.Cash, now: int) -> Ticket:
    number = caller.desk.account(params.account)
    amount = decimal(bytes(params.amount), "amount") * 100
    if amount != int(amount) or abs(amount) >= 1 << 63:
        raise invalid(
            "amount",
            f"amount: {amount / 100} is no whole number of fen, or too large",
            value=amount / 100,
            bound=Decimal("0.01"),
        )
    row = _row(caller, CommandKind.CASH, account=number, quantity=int(amount))
    return _ticket(caller, row, field="amount", unit="money")


def mass_cancel(caller: Caller, params: requests.MassCancel, now: int) -> Ticket:
    row = _row(
        caller,
        CommandKind.MASS_CANCEL,
        instrument=_instrument(caller, params.instrument_name),
        account=ALL if params.account == _ANY else caller.desk.account(params.account),
        side=0 if params.direction is UNSET else Side[params.direction.upper()],
    )
    return _ticket(caller, row)


# The trading day ----------------------------------------------------------------------------------


def begin_day(caller: Caller, params: requests.BeginDay, now: int) -> Ticket:
    row = _row(caller, CommandKind.BEGIN_DAY, quantity=date_number(params.date, "date"))
    return _ticket(caller, row, field="date", unit="date")


def end_day(caller: Caller, params: requests.Nothing, now: int) -> Ticket:
    return _ticket(caller, _row(caller, CommandKind.END_DAY))


def list_instrument(caller: Caller, params: requests.ListInstrument, now: int) -> Ticket:
    index = caller.desk.instrument(params.instrument_name)
    price = caller.desk.orders.scales[index].ticks(params.reference_price, "reference_price")
    row = _row(caller, CommandKind.LIST, instrument=index, price=price)
    return _ticket(caller, row, field="reference_price", unit="price")


def begin_window(caller: Caller, params: requests.Halt, now: int) -> Ticket:
    return _ticket(caller, _row(caller, CommandKind.WINDOW, instrument=_instrument(caller, params.instrument_name)))


def settle(caller: Caller, params: requests.Settle, now: int) -> Ticket:
    index = caller.desk.instrument(params.instrument_name)
    given = params.rule == "given"
    if given is (params.price is UNSET):
        raise invalid(
            "price",
            "price is missing" if given else f"price: the rule {params.rule} finds the price itself",
            reason="value_required" if given else "invalid_value",
        )
    price = 0 if params.price is UNSET else caller.desk.orders.scales[index].ticks(params.price)
    rule = SettlementRule[params.rule.upper()]
    row = _row(caller, CommandKind.SETTLE, instrument=index, price=price, order_type=rule)
    return _ticket(caller, row, field="price", unit="price")


def expire(caller: Caller, params: requests.OneInstrument, now: int) -> Ticket:
    row = _row(caller, CommandKind.EXPIRE, instrument=caller.desk.instrument(params.instrument_name))
    return _ticket(caller, row, unit=_SETTLED)


def liquidate(caller: Caller, params: requests.Liquidate, now: int) -> Ticket:
    instrument, number = caller.desk.instrument(params.instrument_name), caller.desk.account(params.account)
    return _ticket(caller, _row(caller, CommandKind.LIQUIDATE, instrument=instrument, account=number))


def next_step(caller: Caller, params: requests.Nothing, now: int) -> Ticket:
    day = caller.desk.hub.day
    mode = "off" if day is None else day.mode
    if day is None or mode != "by_hand":
        raise Refused(
            11030,
            "other_reject",
            f"the trading day is {mode}; steps are taken in a day by_hand only",
            field="day",
            value=mode,
            bound="by_hand",
            reason="not_by_hand",
        )
    caller.refuse_if_busy()  # before the day goes on: the step would be lost
    step = day.next()
    if step is None:
        raise Refused(11030, "other_reject", "the calendar has ended: there is no next step", reason="calendar_ended")
    rows = step.commands.copy()
    rows["session"] = caller.number
    described = {"timestamp": step.time // 1_000_000, "description": step.description}
    answer = partial(_answer, caller.desk, field="", unit="", described=described)
    return Ticket(rows.tobytes(), answer, len(rows))


def schedule(caller: Caller, params: requests.Nothing, now: int) -> str:
    day = caller.desk.hub.day
    return encode(day.describe() if day is not None else {"day": "off", "profile": None, "date": None, "steps": []})


# Queries ------------------------------------------------------------------------------------------


def surveillance(caller: Caller, params: requests.ForAccount, now: int) -> str:
    """Conduct of the day, and which thresholds were reached (RULEBOOK 9.7)."""
    watch = caller.desk.hub.projections.surveillance
    exchange = caller.desk.hub.exchange
    only = None if params.account == _ANY else caller.desk.account(params.account)
    counters = (CONDUCT.names or ())[2:]  # after account and instrument
    conduct = [
        {
            "account": exchange.accounts[int(row["account"])].name,
            "instrument_name": exchange.instruments[int(row["instrument"])].symbol,
        }
        | {name: int(row[name]) for name in counters}
        for row in watch.conduct(only)
    ]
    notices = [
        {
            "account": exchange.accounts[notice.account].name,
            "instrument_name": _symbol(caller.desk, notice.instrument),
            "behaviour": notice.behaviour.name.lower(),
            "count": notice.count,
            "threshold": notice.threshold,
            "occasion": notice.occasion,
            "step": notice.step.name.lower(),
        }
        for notice in watch.report()
        if only in (None, notice.account)
    ]
    return encode({"date": date_text(watch.trading_date), "conduct": conduct, "notices": notices})


def accounts(caller: Caller, params: requests.ForAccount, now: int) -> str:
    exchange = caller.desk.hub.exchange
    numbers = range(len(exchange.accounts)) if params.account == _ANY else [caller.desk.account(params.account)]
    return encode([account.for_operator(exchange, number) for number in numbers])


# Rows out, events back ----------------------------------------------------------------------------


def _row(caller: Caller, kind: CommandKind, account: int = 0, **fields: Any) -> bytes:
    return command_row(kind, account, caller.number, **fields)


def _instrument(caller: Caller, name: str) -> int:
    return ALL if name == _ANY else caller.desk.instrument(name)


def _ticket(caller: Caller, *rows: bytes, field: str = "", unit: str = "") -> Ticket:
    """field, unit: the parameter that INVALID_VALUE is about, and its unit (answers.rejection)."""
    return Ticket(b"".join(rows), partial(_answer, caller.desk, field=field, unit=unit), len(rows))


def _answer(
    desk: Desk,
    commands: list[Command],
    events: list[Event],
    batch: Batch,
    *,
    field: str,
    unit: str,
    described: dict[str, Any] | None = None,
) -> str:
    """What came of the commands. A single one that was rejected is refused; of several the rejected are listed."""
    refused = [_refused(desk, event, field, unit) for event in events if event.kind == EventKind.REJECTED]
    if refused and len(commands) == 1:
        raise refused[0]
    body: dict[str, Any] = {"seq": commands[-1].sequence} | (described or {})
    body["events"] = [
        event_object(desk, event) for event in events if event.kind >= EventKind.BALANCE or event.kind in _LISTED
    ]
    body["trades"] = sum(event.kind == EventKind.TRADED for event in events)
    body["canceled"] = sum(event.kind == EventKind.CANCELED for event in events)
    if refused:
        body["refused"] = [error.data | {"code": error.code, "message": error.message} for error in refused]
    return encode(body)


def _refused(desk: Desk, event: Event, field: str, unit: str) -> Refused:
    scales = desk.orders.scales
    scale = scales[event.instrument] if 0 <= event.instrument < len(scales) else None
    if event.reason != Reason.INVALID_VALUE:
        return rejection(event, scale, field if event.reason == Reason.UNKNOWN_ACCOUNT else "")
    if unit == _SETTLED:
        return refusal(
            Reason.INVALID_VALUE,
            "the instrument has not been settled since the day began",
            field="instrument_name",
            value="not settled",
            bound="settled",
            seq=event.sequence,
        )
    return rejection(event, scale, field, unit)


# Events as objects --------------------------------------------------------------------------------


def event_object(desk: Desk, event: Event) -> dict[str, Any]:
    """An event as an operator reads it: names for numbers, currency and units for ticks, lots and fen."""
    kind = EventKind(event.kind)
    common = {
        "event": kind.name.lower(),
        "event_id": event.event_id,
        "seq": event.sequence,
        "timestamp": event.time // 1_000_000,
    }
    return common | _FIELDS[kind](desk, event)


def _symbol(desk: Desk, index: int) -> str:
    return _ANY if index == ALL else desk.hub.exchange.instruments[index].symbol


def _name(desk: Desk, number: int) -> str:
    return _ANY if number == ALL else desk.hub.exchange.accounts[number].name


def _of_instrument(desk: Desk, event: Event, **fields: Any) -> dict[str, Any]:
    return {"instrument_name": _symbol(desk, event.instrument)} | fields


def _price(desk: Desk, event: Event, ticks: int) -> Decimal:
    return desk.orders.scales[event.instrument].decimal_price(ticks)


def _amount(desk: Desk, event: Event, lots: int) -> Decimal:
    return desk.orders.scales[event.instrument].decimal_amount(lots)


def _phase(desk: Desk, event: Event) -> dict[str, Any]:
    return _of_instrument(desk, event, phase=PHASE[event.quantity], reason=REASON[event.reason])


def _auction(desk: Desk, event: Event) -> dict[str, Any]:
    price = _price(desk, event, event.price) if event.quantity else None
    return _of_instrument(
        desk,
        event,
        price=price,
        amount=_amount(desk, event, event.quantity),
        imbalance=_amount(desk, event, event.resting_leaves_quantity),
    )


def _kill_switch(desk: Desk, event: Event) -> dict[str, Any]:
    scope = Scope(event.side)
    fields = {"scope": scope.name.lower(), "on": bool(event.quantity)}
    if scope is Scope.FIRM:
        return fields | {"firm": event.account}
    if scope is Scope.ACCOUNT:
        return fields | {"account": _name(desk, event.account)}
    return fields if scope is Scope.HUB else fields | _of_instrument(desk, event)


def _limit(desk: Desk, event: Event) -> dict[str, Any]:
    of = (
        _of_instrument(desk, event)
        if event.side >= Limit.INSTRUMENT_MAX_ORDER_QUANTITY
        else {"account": _name(desk, event.account)}
    )
    return {"limit": Limit(event.side).name.lower(), "value": event.quantity} | of


def _settled(desk: Desk, event: Event) -> dict[str, Any]:
    return _of_instrument(
        desk,
        event,
        settlement_price=_price(desk, event, event.price),
        amount=_amount(desk, event, event.quantity),
        locked_days=event.leaves_quantity,
        min_price=_price(desk, event, event.resting_leaves_quantity),
        max_price=_price(desk, event, event.resting_price),
    )


def _balance(desk: Desk, event: Event) -> dict[str, Any]:
    return _of_instrument(
        desk,
        event,
        account=_name(desk, event.account),
        settlement_price=_price(desk, event, event.price),
        profit_loss=fen(event.quantity),
        fee=fen(event.leaves_quantity),
        position=_amount(desk, event, event.resting_leaves_quantity),
        margin=fen(event.resting_price),
    )


def _delivery(desk: Desk, event: Event) -> dict[str, Any]:
    return _of_instrument(
        desk,
        event,
        receives=_name(desk, event.account),
        delivers=_name(desk, event.resting_account),
        amount=_amount(desk, event, event.quantity),
        price=_price(desk, event, event.price),
    )


def _account_and_money(desk: Desk, event: Event) -> dict[str, Any]:
    return {"account": _name(desk, event.account), "amount": fen(event.quantity)}


_FIELDS: dict[EventKind, Callable[[Desk, Event], dict[str, Any]]] = {
    EventKind.MASS_CANCELED: lambda desk, event: _of_instrument(
        desk, event, account=_name(desk, event.account), orders=event.quantity
    ),
    EventKind.AUCTION: _auction,
    EventKind.COUNTDOWN: lambda desk, event: _of_instrument(desk, event, end_timestamp=event.quantity // 1_000_000),
    EventKind.BALANCE: _balance,
    EventKind.DELIVERY: _delivery,
    EventKind.MARGIN_CALL: _account_and_money,
    EventKind.PHASE: _phase,
    EventKind.KILL_SWITCH: _kill_switch,
    EventKind.LIMIT: _limit,
    EventKind.CASH: _account_and_money,
    EventKind.DAY_ENDED: lambda desk, event: {"orders": event.quantity},
    EventKind.DAY_BEGUN: lambda desk, event: {"date": date_text(event.quantity)},
    EventKind.LISTED: lambda desk, event: _of_instrument(desk, event, reference_price=_price(desk, event, event.price)),
    EventKind.SETTLED: _settled,
    EventKind.EXPIRED: lambda desk, event: _of_instrument(desk, event, orders=event.quantity),
    EventKind.LIQUIDATED: lambda desk, event: _of_instrument(
        desk, event, account=_name(desk, event.account), amount=_amount(desk, event, event.quantity)
    ),
    EventKind.WINDOW: _of_instrument,
}
