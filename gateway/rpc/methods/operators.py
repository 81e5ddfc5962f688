"""Operators at the gate: what a key with the scope `operator` may do. Parameters -> COMMAND rows -> what came of them.

Like everybody's, an operator's commands go through the runner and the journal; the book judges them (engine/operators.py,
RULEBOOK 7, 8 and 11). Here names become numbers and back.

    set_phase(session, read, "7", now)           # {"seq": 91, "events": [{"event": "phase", "phase": "halted", ...}], ...}
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from exchange.projections.surveillance import CONDUCT
from gateway.market import describe as terms
from gateway.rpc import requests
from gateway.rpc.methods.orders import Ticket
from gateway.rpc.methods.queries import kept
from gateway.rpc.reports import Batch
from gateway.text.messages import (
    PHASES,
    Refused,
    command_row,
    date_number,
    date_text,
    decimal,
    encode,
    invalid,
    refusal,
    refused_by_rule,
)
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

if TYPE_CHECKING:
    from gateway.rpc.desk import Desk
    from gateway.rpc.session import Session

_ANY = "any"
_PHASE = {name: number for number, name in PHASES.items()}
_LIMIT = {limit.name.lower(): int(limit) for limit in Limit}
_IN_SESSION = (*AUCTION_PHASES, Phase.AUCTION_MATCH, Phase.CONTINUOUS, Phase.LIMIT_LOCKED, Phase.BREAK)
_ALSO_TOLD = (EventKind.MASS_CANCELED, EventKind.AUCTION, EventKind.COUNTDOWN)  # besides those from BALANCE on


# Phases -------------------------------------------------------------------------------------------


def set_phase(session: "Session", read: requests.SetPhase, request_id: str, now: int) -> None:
    row = _row(
        session, CommandKind.PHASE, instrument=_instrument(session, read.instrument_name), order_type=_PHASE[read.phase]
    )
    _submit(session, [row], request_id, now)


def halt(session: "Session", read: requests.Halt, request_id: str, now: int) -> str | None:
    """Of all: those that are in a session. Others would come out of the halt into trading that nobody meant."""
    return _move(session, read.instrument_name, _IN_SESSION, Phase.HALTED, request_id, now)


def resume(session: "Session", read: requests.Resume, request_id: str, now: int) -> str | None:
    return _move(session, read.instrument_name, (Phase.HALTED,), Phase(_PHASE[read.phase]), request_id, now)


def _move(
    session: "Session", name: str, present: tuple[Phase, ...], phase: Phase, request_id: str, now: int
) -> str | None:
    exchange = session.hub.exchange
    index = _instrument(session, name)
    moved = (
        [index]
        if index != ALL
        else [number for number, terms_ in enumerate(exchange.instruments) if exchange.phase(terms_.symbol) in present]
    )
    if not moved:
        return encode({"seq": None, "events": [], "trades": 0, "canceled": 0})
    _submit(
        session,
        [_row(session, CommandKind.PHASE, instrument=number, order_type=int(phase)) for number in moved],
        request_id,
        now,
    )
    return None


# Switches, limits, money --------------------------------------------------------------------------


def kill_switch(session: "Session", read: requests.KillSwitch, request_id: str, now: int) -> None:
    _only(
        {"hub": "", "instrument": "instrument_name"}.get(read.scope, read.scope),
        f"the scope is {read.scope}",
        firm=read.firm,
        account=read.account,
        instrument_name=read.instrument_name,
    )
    place = _place(session, read) if read.firm is UNSET else {"account": read.firm}
    _submit(
        session,
        [
            _row(
                session,
                CommandKind.KILL_SWITCH,
                order_type=int(Scope[read.scope.upper()]),
                quantity=int(read.on),
                **place,
            )
        ],
        request_id,
        now,
        field="firm" if read.scope == "firm" else "",
    )


def set_limit(session: "Session", read: requests.SetLimit, request_id: str, now: int) -> None:
    which = _LIMIT.get(read.limit)
    if which is None:
        raise invalid("limit", f"limit: {read.limit} does not exist", value=read.limit, bound=", ".join(_LIMIT))
    whose = "instrument" if which >= Limit.INSTRUMENT_MAX_ORDER_QUANTITY else "account"
    _only(
        "instrument_name" if whose == "instrument" else whose,
        f"{read.limit} is a limit of an {whose}",
        account=read.account,
        instrument_name=read.instrument_name,
    )
    _submit(
        session,
        [_row(session, CommandKind.LIMIT, order_type=which, quantity=read.value, **_place(session, read))],
        request_id,
        now,
    )


def _only(wanted: str, why: str, **given: Any) -> None:
    """Of these parameters the wanted one is given (empty: none), and no other. Errors: Refused naming the field."""
    if wanted and given[wanted] is UNSET:
        raise invalid(wanted, f"{wanted} is missing: {why}", reason="value_required")
    for field, value in given.items():
        if field != wanted and value is not UNSET:
            raise invalid(field, f"{field}: {why}", value=value)


def _place(session: "Session", read: requests.KillSwitch | requests.SetLimit) -> dict[str, int]:
    """The account or the instrument that is named, as columns of a row."""
    if read.account is not UNSET:
        return {"account": session.desk.account(read.account)}
    return {} if read.instrument_name is UNSET else {"instrument": session.instrument(read.instrument_name)}


def cash(session: "Session", read: requests.Cash, request_id: str, now: int) -> None:
    account = session.desk.account(read.account)
    amount = decimal(bytes(read.amount), "amount") * 100
    if amount != int(amount) or abs(amount) >= 1 << 63:
        raise invalid(
            "amount",
            f"amount: {amount / 100} is no whole number of fen that can be counted",
            value=amount / 100,
            bound=Decimal("0.01"),
        )
    _submit(
        session,
        [_row(session, CommandKind.CASH, account=account, quantity=int(amount))],
        request_id,
        now,
        field="amount",
        unit="money",
    )


def mass_cancel(session: "Session", read: requests.MassCancel, request_id: str, now: int) -> None:
    account = ALL if read.account == _ANY else session.desk.account(read.account)
    side = 0 if read.direction is UNSET else int(Side[read.direction.upper()])
    _submit(
        session,
        [
            _row(
                session,
                CommandKind.MASS_CANCEL,
                instrument=_instrument(session, read.instrument_name),
                account=account,
                side=side,
            )
        ],
        request_id,
        now,
    )


# The day ------------------------------------------------------------------------------------------


def begin_day(session: "Session", read: requests.BeginDay, request_id: str, now: int) -> None:
    _submit(
        session,
        [_row(session, CommandKind.BEGIN_DAY, quantity=date_number(read.date, "date"))],
        request_id,
        now,
        field="date",
        unit="date",
    )


def end_day(session: "Session", read: Any, request_id: str, now: int) -> None:
    _submit(session, [_row(session, CommandKind.END_DAY)], request_id, now)


def list_instrument(session: "Session", read: requests.ListInstrument, request_id: str, now: int) -> None:
    index = session.instrument(read.instrument_name)
    price = session.orders.scales[index].ticks(read.reference_price, "reference_price")
    _submit(
        session,
        [_row(session, CommandKind.LIST, instrument=index, price=price)],
        request_id,
        now,
        field="reference_price",
        unit="price",
    )


def begin_window(session: "Session", read: requests.Halt, request_id: str, now: int) -> None:
    _submit(
        session,
        [_row(session, CommandKind.WINDOW, instrument=_instrument(session, read.instrument_name))],
        request_id,
        now,
    )


def settle(session: "Session", read: requests.Settle, request_id: str, now: int) -> None:
    index = session.instrument(read.instrument_name)
    given = read.rule == "given"
    if given is (read.price is UNSET):
        raise invalid(
            "price",
            "price is missing" if given else f"price: {read.rule} finds it itself",
            reason="value_required" if given else "invalid_value",
        )
    price = 0 if read.price is UNSET else session.orders.scales[index].ticks(read.price)
    _submit(
        session,
        [
            _row(
                session,
                CommandKind.SETTLE,
                instrument=index,
                price=price,
                order_type=int(SettlementRule[read.rule.upper()]),
            )
        ],
        request_id,
        now,
        field="price",
        unit="price",
    )


def expire(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> None:
    _submit(
        session,
        [_row(session, CommandKind.EXPIRE, instrument=session.instrument(read.instrument_name))],
        request_id,
        now,
        unit="settled",
    )


def liquidate(session: "Session", read: requests.Liquidate, request_id: str, now: int) -> None:
    _submit(
        session,
        [
            _row(
                session,
                CommandKind.LIQUIDATE,
                instrument=session.instrument(read.instrument_name),
                account=session.desk.account(read.account),
            )
        ],
        request_id,
        now,
    )


def next_step(session: "Session", read: Any, request_id: str, now: int) -> None:
    day = session.hub.day
    if day is None or day.mode != "by_hand":
        raise Refused(
            11030,
            "other_reject",
            f"the day is {'off' if day is None else day.mode}; steps are taken of a day by_hand only",
            field="day",
            value="off" if day is None else day.mode,
            bound="by_hand",
            reason="not_by_hand",
        )
    step = day.next()
    if step is None:
        raise Refused(11030, "other_reject", "the calendar has ended: there is no next step", reason="calendar_ended")
    rows = step.commands.copy()
    rows["session"] = session.number
    told = {"timestamp": step.time // 1_000_000, "description": step.description}
    session.submit(rows.tobytes(), Ticket(partial(_answer, field="", unit="", told=told), request_id, now, len(rows)))


def schedule(session: "Session", read: Any, request_id: str, now: int) -> str:
    day = session.hub.day
    return encode(day.describe() if day is not None else {"day": "off", "profile": None, "date": None, "steps": []})


# Looking ------------------------------------------------------------------------------------------


def surveillance(session: "Session", read: requests.ForAccount, request_id: str, now: int) -> str:
    """Conduct of the day, and which thresholds were reached (RULEBOOK 9.7)."""
    watch = kept(session.hub.surveillance, "surveillance")
    exchange = session.hub.exchange
    chosen = None if read.account == _ANY else session.desk.account(read.account)
    names = (CONDUCT.names or ())[2:]
    conduct = [
        {
            "account": exchange.accounts[int(row["account"])].name,
            "instrument_name": exchange.instruments[int(row["instrument"])].symbol,
        }
        | {name: int(row[name]) for name in names}
        for row in watch.conduct(chosen)
    ]
    notices = [
        {
            "account": exchange.accounts[notice.account].name,
            "instrument_name": _symbol(session.desk, notice.instrument),
            "behaviour": notice.behaviour.name.lower(),
            "count": notice.count,
            "threshold": notice.threshold,
            "occasion": notice.occasion,
            "step": notice.step.name.lower(),
        }
        for notice in watch.report()
        if chosen in (None, notice.account)
    ]
    return encode({"date": date_text(watch.trading_date), "conduct": conduct, "notices": notices})


def accounts(session: "Session", read: requests.ForAccount, request_id: str, now: int) -> str:
    exchange, scales = session.hub.exchange, session.orders.scales
    chosen = range(len(exchange.accounts)) if read.account == _ANY else [session.desk.account(read.account)]
    told = []
    for number in chosen:
        row = exchange.account(number)
        summary = terms.summary(exchange, number, exchange.instruments[0].currency, scales)
        told.append(
            {
                "account": summary["username"],
                "number": number,
                "firm": int(row.firm),
                "enabled": bool(row.enabled),
                "killed": bool(row.killed),
            }
            | summary
        )
    return encode(told)


# Rows out, events back ----------------------------------------------------------------------------


def _row(session: "Session", kind: CommandKind, account: int = 0, **fields: Any) -> bytes:
    return command_row(int(kind), account, session.number, **fields)


def _instrument(session: "Session", name: str) -> int:
    return ALL if name == _ANY else session.instrument(name)


def _submit(session: "Session", rows: list[bytes], request_id: str, now: int, field: str = "", unit: str = "") -> None:
    """`field`, `unit`: the parameter that a value out of range is about, and how it is counted."""
    session.submit(b"".join(rows), Ticket(partial(_answer, field=field, unit=unit), request_id, now, len(rows)))


def _answer(
    session: "Session",
    ticket: Ticket,
    commands: list[Command],
    events: list[Event],
    batch: Batch,
    *,
    field: str,
    unit: str,
    told: dict[str, Any] | None = None,
) -> str:
    refused = [_refused(session, event, field, unit) for event in events if event.kind == EventKind.REJECTED]
    if refused and len(commands) == 1:
        raise refused[0]
    body: dict[str, Any] = {"seq": commands[-1].sequence} | (told or {})
    body["events"] = [
        event_of(session.desk, event) for event in events if event.kind >= EventKind.BALANCE or event.kind in _ALSO_TOLD
    ]
    body["trades"] = sum(event.kind == EventKind.TRADED for event in events)
    body["canceled"] = sum(event.kind == EventKind.CANCELED for event in events)
    if refused:
        body["refused"] = [error.data | {"code": error.code, "message": error.message} for error in refused]
    return encode(body)


def _refused(session: "Session", event: Event, field: str, unit: str) -> Refused:
    scale = session.orders.scales[event.instrument] if 0 <= event.instrument < len(session.orders.scales) else None
    if event.reason != Reason.INVALID_VALUE:
        about_account = event.reason == Reason.UNKNOWN_ACCOUNT
        return refused_by_rule(event, scale, field if about_account else "")
    if unit == "settled":
        return refusal(
            Reason.INVALID_VALUE,
            "the instrument has not been settled since the day began",
            field="instrument_name",
            value="not settled",
            bound="settled",
            seq=event.sequence,
        )
    return refused_by_rule(event, scale, field, unit)


# Events as objects --------------------------------------------------------------------------------


def event_of(desk: "Desk", event: Event) -> dict[str, Any]:
    """One event as an operator reads it: names for numbers, currency and units for ticks, lots and fen."""
    kind = EventKind(event.kind)
    told = {
        "event": kind.name.lower(),
        "event_id": event.event_id,
        "seq": event.sequence,
        "timestamp": event.time // 1_000_000,
    }
    return told | _FIGURES[kind](desk, event)


def _symbol(desk: "Desk", index: int) -> str:
    return _ANY if index == ALL else desk.orders.exchange.instruments[index].symbol


def _name(desk: "Desk", account: int) -> str:
    return _ANY if account == ALL else desk.orders.exchange.accounts[account].name


def _on_instrument(desk: "Desk", event: Event, **figures: Any) -> dict[str, Any]:
    return {"instrument_name": _symbol(desk, event.instrument)} | figures


def _price(desk: "Desk", event: Event, ticks: int) -> Decimal:
    return desk.orders.scales[event.instrument].decimal_price(ticks)


def _units(desk: "Desk", event: Event, lots: int) -> Decimal:
    return desk.orders.scales[event.instrument].decimal_amount(lots)


def _told_phase(desk: "Desk", event: Event) -> dict[str, Any]:
    return _on_instrument(desk, event, phase=PHASES[event.quantity], reason=Reason(event.reason).name.lower())


def _told_auction(desk: "Desk", event: Event) -> dict[str, Any]:
    price = _price(desk, event, event.price) if event.quantity else None
    return _on_instrument(
        desk,
        event,
        price=price,
        amount=_units(desk, event, event.quantity),
        imbalance=_units(desk, event, event.resting_leaves_quantity),
    )


def _told_switch(desk: "Desk", event: Event) -> dict[str, Any]:
    scope = Scope(event.side)
    told = {"scope": scope.name.lower(), "on": bool(event.quantity)}
    if scope is Scope.FIRM:
        return told | {"firm": event.account}
    if scope is Scope.ACCOUNT:
        return told | {"account": _name(desk, event.account)}
    return told if scope is Scope.HUB else told | _on_instrument(desk, event)


def _told_limit(desk: "Desk", event: Event) -> dict[str, Any]:
    about = (
        _on_instrument(desk, event)
        if event.side >= Limit.INSTRUMENT_MAX_ORDER_QUANTITY
        else {"account": _name(desk, event.account)}
    )
    return {"limit": Limit(event.side).name.lower(), "value": event.quantity} | about


def _told_settled(desk: "Desk", event: Event) -> dict[str, Any]:
    return _on_instrument(
        desk,
        event,
        settlement_price=_price(desk, event, event.price),
        amount=_units(desk, event, event.quantity),
        locked_days=event.leaves_quantity,
        min_price=_price(desk, event, event.resting_leaves_quantity),
        max_price=_price(desk, event, event.resting_price),
    )


def _told_balance(desk: "Desk", event: Event) -> dict[str, Any]:
    return _on_instrument(
        desk,
        event,
        account=_name(desk, event.account),
        settlement_price=_price(desk, event, event.price),
        profit_loss=terms.fen(event.quantity),
        fee=terms.fen(event.leaves_quantity),
        position=_units(desk, event, event.resting_leaves_quantity),
        margin=terms.fen(event.resting_price),
    )


def _told_delivery(desk: "Desk", event: Event) -> dict[str, Any]:
    return _on_instrument(
        desk,
        event,
        receives=_name(desk, event.account),
        delivers=_name(desk, event.resting_account),
        amount=_units(desk, event, event.quantity),
        price=_price(desk, event, event.price),
    )


def _told_call(desk: "Desk", event: Event) -> dict[str, Any]:
    return {"account": _name(desk, event.account), "amount": terms.fen(event.quantity)}


_FIGURES: dict[EventKind, Callable[["Desk", Event], dict[str, Any]]] = {
    EventKind.MASS_CANCELED: lambda desk, event: _on_instrument(
        desk, event, account=_name(desk, event.account), orders=event.quantity
    ),
    EventKind.AUCTION: _told_auction,
    EventKind.COUNTDOWN: lambda desk, event: _on_instrument(desk, event, end_timestamp=event.quantity // 1_000_000),
    EventKind.BALANCE: _told_balance,
    EventKind.DELIVERY: _told_delivery,
    EventKind.MARGIN_CALL: _told_call,
    EventKind.PHASE: _told_phase,
    EventKind.KILL_SWITCH: _told_switch,
    EventKind.LIMIT: _told_limit,
    EventKind.CASH: _told_call,
    EventKind.DAY_ENDED: lambda desk, event: {"orders": event.quantity},
    EventKind.DAY_BEGUN: lambda desk, event: {"date": date_text(event.quantity)},
    EventKind.LISTED: lambda desk, event: _on_instrument(desk, event, reference_price=_price(desk, event, event.price)),
    EventKind.SETTLED: _told_settled,
    EventKind.EXPIRED: lambda desk, event: _on_instrument(desk, event, orders=event.quantity),
    EventKind.LIQUIDATED: lambda desk, event: _on_instrument(
        desk, event, account=_name(desk, event.account), amount=_units(desk, event, event.quantity)
    ),
    EventKind.WINDOW: _on_instrument,
}
