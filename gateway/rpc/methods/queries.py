"""Answers to questions: what a client may ask without changing anything. Each function answers one method, as JSON text.

They read the projections (blotter, market data), which are as durable as the last batch, and the engine's positions.
What changes something is in commands.py and operators.py.

    open_orders(session, read, "7", now)         # '[{"order_id":"12", ...}]'
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET

from exchange.projections import statement_report
from exchange.projections.blotter import FILL
from gateway.market import describe as terms
from gateway.rpc import requests
from gateway.rpc.methods.orders import protection_text
from gateway.rpc.reports import Order
from gateway.rpc.requests import order_number
from gateway.text.messages import DIRECTION, Refused, date_number, date_text, encode, invalid, layout, refusal
from gateway.version import VERSION
from matching.codes import EventKind, Mechanism, Phase, Reason
from matching.records import EVENT, Event

if TYPE_CHECKING:
    from gateway.hub import Hub
    from gateway.rpc.session import Session

_FILL = layout(FILL)


# Questions about the own account ------------------------------------------------------------------


def _list(session: "Session", orders: list[Order]) -> str:
    return f"[{','.join(map(session.orders.text, orders))}]"


def open_orders(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str:
    chosen = terms.chosen(session.hub.exchange, read.currency, read.kind)
    return _open(session, chosen, read.type)


def open_orders_by_instrument(session: "Session", read: requests.ByInstrument, request_id: str, now: int) -> str:
    return _open(session, frozenset({session.instrument(read.instrument_name)}), read.type)


def _open(session: "Session", chosen: frozenset[int], kind: str) -> str:
    return _list(session, [order for order in session.orders.open_of(session.account, chosen) if order.is_of(kind)])


def open_orders_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str:
    return _list(
        session, session.orders.open_of(session.account, terms.chosen(session.hub.exchange, read.currency), read.label)
    )


def order_state(session: "Session", read: requests.OneOrder, request_id: str, now: int) -> str:
    return session.orders.text(_own(session, order_number(read.order_id)))


def _own(session: "Session", number: int) -> Order:
    order = session.orders.find(number)
    if order is None or order.account != session.account:
        raise refusal(Reason.UNKNOWN_ORDER, f"order {number} is unknown", value=str(number))
    return order


def order_state_by_label(session: "Session", read: requests.ByLabel, request_id: str, now: int) -> str:
    return _list(
        session, session.orders.all_of(session.account, terms.chosen(session.hub.exchange, read.currency), read.label)
    )


def history_by_instrument(session: "Session", read: requests.HistoryByInstrument, request_id: str, now: int) -> str:
    return _history(session, frozenset({session.instrument(read.instrument_name)}), read)


def history_by_currency(session: "Session", read: requests.HistoryByCurrency, request_id: str, now: int) -> str:
    return _history(session, terms.chosen(session.hub.exchange, read.currency, read.kind), read)


def _history(
    session: "Session", chosen: frozenset[int], read: requests.HistoryByInstrument | requests.HistoryByCurrency
) -> str:
    finished = [
        order
        for order in session.orders.all_of(session.account, chosen)
        if not order.open and (read.include_unfilled or order.filled)
    ]
    return _list(session, finished[read.offset : read.offset + read.count])


def trades_by_instrument(session: "Session", read: requests.GetTrades, request_id: str, now: int) -> str:
    return _trades(session, frozenset({session.instrument(read.instrument_name)}), read)


def trades_by_currency(session: "Session", read: requests.UserTradesByCurrency, request_id: str, now: int) -> str:
    return _trades(session, terms.chosen(session.hub.exchange, read.currency, read.kind), read)


def _trades(
    session: "Session", chosen: frozenset[int], read: requests.GetTrades | requests.UserTradesByCurrency
) -> str:
    fills = session.hub.blotter.trades(session.account, min(chosen) if len(chosen) == 1 else None, count=1 << 17)
    times = fills["time"] // 1_000_000
    fills = fills[(times >= read.start_timestamp) & (times <= read.end_timestamp)]
    if isinstance(read, requests.GetTrades):  # numbers are those of one instrument
        fills = fills[(fills["trade_sequence"] >= read.start_seq) & (fills["trade_sequence"] <= read.end_seq)]
    if 1 < len(chosen) < len(session.desk.everything) or not chosen:
        fills = fills[np.isin(fills["instrument"], list(chosen))]
    if read.sorting == "asc":
        fills = fills[::-1]
    return (
        f'{{"trades":[{",".join(_fill_texts(session, fills[: read.count]))}],'
        f'"has_more":{"true" if len(fills) > read.count else "false"}}}'
    )


def trades_by_order(session: "Session", read: requests.OrderTrades, request_id: str, now: int) -> str:
    order = _own(session, order_number(read.order_id))
    fills = session.hub.blotter.trades(session.account, order.instrument, read.count, order.order_id)
    fills = fills[::-1] if read.sorting == "asc" else fills
    return f"[{','.join(_fill_texts(session, fills, order.order_id))}]"


def _fill_texts(session: "Session", fills: np.ndarray, order_id: int = 0) -> list[str]:
    """Trades as JSON, once for each of the account's sides (of the order, if one is named)."""
    texts = []
    for fill in fills:
        (
            trade_id,
            trade_sequence,
            sequence,
            time,
            price,
            quantity,
            taker,
            maker,
            leaves,
            resting_leaves,
            instrument,
            account,
            resting_account,
            side,
        ) = _FILL.unpack(fill.tobytes())
        event = Event(
            0,
            sequence,
            time,
            taker,
            price,
            quantity,
            leaves,
            trade_id,
            maker,
            resting_leaves,
            0,
            b"",
            instrument,
            account,
            resting_account,
            EventKind.TRADED,
            side,
            0,
            0,
        )
        for number, owner in ((taker, account), (maker, resting_account)):
            if owner == session.account and order_id in (0, number):
                order = session.orders.find(number)
                if order is not None:
                    texts.append(session.orders.trade_text(order, event, number == taker, trade_sequence))
    return texts


def positions(session: "Session", read: requests.ByCurrency, request_id: str, now: int) -> str:
    chosen = terms.chosen(session.hub.exchange, read.currency, read.kind)
    return encode(terms.positions(session.hub.exchange, session.account, session.orders.scales, chosen))


def position(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    return encode(terms.position(session.hub.exchange, session.account, session.orders.scales[index], index))


def offers(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    """What may be taken, and the own offers (RULEBOOK 13.1, 13.3): posted ones without names, negotiated ones of the two."""
    index, exchange = session.instrument(read.instrument_name), session.hub.exchange
    scale = session.orders.scales[index]
    if scale.instrument.mechanism not in (Mechanism.LISTING, Mechanism.NEGOTIATED):
        raise refusal(Reason.WRONG_MECHANISM, value=read.instrument_name)
    told = []
    for offer in exchange.offers(scale.instrument.symbol):
        own = int(offer.account) == session.account
        answer = {
            "order_id": str(offer.order_id),
            "direction": DIRECTION[int(offer.side)],
            "own": own,
            "price": scale.decimal_price(offer.price),
            "amount": scale.decimal_amount(offer.leaves_quantity),
            "minimum_amount": scale.decimal_amount(offer.minimum_quantity),
        }
        if scale.instrument.mechanism == Mechanism.NEGOTIATED:
            if not own and int(offer.counterparty) != session.account:
                continue
            answer |= {
                "account": exchange.accounts[offer.account].name,
                "counterparty": exchange.accounts[offer.counterparty].name,
            }
        told.append(answer)
    return encode(told)


def summary(session: "Session", read: requests.Summary, request_id: str, now: int) -> str:
    return encode(_summary_of(session, read.currency))


def summaries(session: "Session", read: requests.Summary, request_id: str, now: int) -> str:
    summary = _summary_of(session, "any")
    return encode({"id": session.account, "username": summary["username"], "type": "main", "summaries": [summary]})


def _summary_of(session: "Session", currency: str) -> dict[str, Any]:
    """One equity for all: whatever known currency is asked for, the hub's own is answered."""
    exchange = session.hub.exchange
    terms.chosen(exchange, currency)
    return terms.summary(exchange, session.account, exchange.instruments[0].currency, session.orders.scales)


# Settlement ---------------------------------------------------------------------------------------


def protection(session: "Session", read: requests.Protection, request_id: str, now: int) -> str:
    row = session.hub.exchange.account(session.account)
    told = protection_text(int(row.protection_interval) // 1_000_000_000, int(row.protection_lots))
    return encode([told | {"is_triggered": bool(row.tripped)}] if row.protection_lots else [])


def settlements(session: "Session", read: requests.Settlements, request_id: str, now: int) -> str:
    """Prices of each day; delivery: the last one of an instrument that has expired."""
    index = session.instrument(read.instrument_name)
    stored, scale = kept(session.hub.settlements, "settlements"), session.orders.scales[index]
    expired = stored.expiry(index)
    rows = stored.of_instrument(index)
    last = int(expired["event_id"][0]) if len(expired) else None
    deliveries = rows[:1] if last is not None else rows[:0]
    wanted = rows if read.type in (UNSET, "settlement") else deliveries if read.type == "delivery" else rows[:0]
    price, amount = scale.decimal_price, scale.decimal_amount
    return _page(
        read,
        wanted,
        lambda row: {
            "type": "delivery" if len(deliveries) and row["event_id"] == deliveries["event_id"][0] else "settlement",
            "timestamp": int(row["time"]) // 1_000_000,
            "instrument_name": read.instrument_name,
            "mark_price": price(row["price"]),
            "index_price": price(row["price"]),
            "position": amount(row["quantity"]),
            "profit_loss": 0,
            "session_profit_loss": 0,
            "funding": 0,
            "locked_days": int(row["leaves_quantity"]),
            "min_price": price(row["resting_leaves_quantity"]),
            "max_price": price(row["resting_price"]),
            "seq": int(row["sequence"]),
        },
    )


def own_settlements(session: "Session", read: requests.Settlements, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    stored, scale = kept(session.hub.settlements, "settlements"), session.orders.scales[index]
    price, amount = scale.decimal_price, scale.decimal_amount

    def told(row: np.record) -> dict[str, Any]:
        common = {
            "timestamp": int(row["time"]) // 1_000_000,
            "instrument_name": read.instrument_name,
            "mark_price": price(row["price"]),
            "index_price": price(row["price"]),
            "funding": 0,
            "seq": int(row["sequence"]),
        }
        if row["kind"] == EventKind.DELIVERY:
            receives = row["account"] == session.account
            other = session.hub.exchange.accounts[int(row["resting_account"] if receives else row["account"])].name
            return common | {
                "type": "delivery",
                "position": amount(row["quantity"] if receives else -row["quantity"]),
                "profit_loss": 0,
                "session_profit_loss": 0,
                "counterparty": other,
            }
        won = terms.fen(row["quantity"])
        return common | {
            "type": "settlement",
            "position": amount(row["resting_leaves_quantity"]),
            "profit_loss": won,
            "session_profit_loss": won,
            "fee": terms.fen(row["leaves_quantity"]),
        }

    parts = []
    if read.type in (UNSET, "settlement"):
        parts.append(stored.of_account(session.account, index))
    if read.type in (UNSET, "delivery"):
        parts.append(stored.deliveries(index, session.account))
    rows = np.concatenate(parts) if parts else np.zeros(0, EVENT)
    return _page(read, rows[np.argsort(rows["event_id"])[::-1]], told)


def _page(read: requests.Settlements, rows: np.ndarray, told: Callable[[Any], dict[str, Any]]) -> str:
    """`continuation` is the number of the last event told: the next page begins behind it."""
    rows = rows[rows["time"] // 1_000_000 <= read.search_start_timestamp]
    if read.continuation:
        rows = rows[rows["event_id"] < order_number(read.continuation, "continuation")]
    page = rows[: read.count]
    more = str(page["event_id"][-1]) if len(rows) > len(page) else ""
    return encode({"settlements": [told(row) for row in page], "continuation": more})


def statement(session: "Session", read: requests.Statement, request_id: str, now: int) -> str:
    return _statement(session, session.account, read)


def any_statement(session: "Session", read: requests.OperatorStatement, request_id: str, now: int) -> str:
    """For operators: of an account, or the hub's own."""
    return _statement(session, None if read.account == "any" else session.desk.account(read.account), read)


def _statement(session: "Session", account: int | None, read: requests.Statement | requests.OperatorStatement) -> str:
    statements = kept(session.hub.statements, "statements")
    date = statements.date
    if date is None:
        raise Refused(11030, "other_reject", "no day has ended yet: there is no statement", reason="no_statement")
    if read.date is not UNSET and date_number(read.date, "date") != date:
        raise invalid(
            "date",
            f"date: the statement of {read.date} is not kept, the last day that ended is {date_text(date)}",
            value=read.date,
            bound=date_text(date),
        )
    if read.format != "json":
        return encode(statements.csv(account) if read.format == "csv" else statements.html(account))
    places = statements.instruments, statements.accounts
    rows = (
        statement_report.hub_rows(statements.summary(), *places)
        if account is None
        else statement_report.account_rows(statements.account(account), *places)
    )
    told: dict[str, Any] = {"trading_date": date_text(date)}
    for number, row in enumerate(rows):
        record, figures = row["record"], {name: value for name, value in row.items() if name != "record"}
        if number:
            told.setdefault("deliveries" if record == "delivery" else f"{record}s", []).append(figures)
        else:
            told |= figures
    return encode(told)


def kept(projection: Any, what: str) -> Any:
    """Errors: Refused where this hub does not keep it."""
    if projection is None:
        raise Refused(11030, "other_reject", f"this hub keeps no {what}", reason="not_kept")
    return projection


# Public questions ---------------------------------------------------------------------------------


def get_time(session: "Session", read: Any, request_id: str, now: int) -> str:
    return str(now // 1_000_000)


def test(session: "Session", read: requests.Test, request_id: str, now: int) -> str:
    if read.expected_result == "exception":
        raise Refused(11094, "internal_server_error", "the exception that was asked for", field="expected_result")
    return f'{{"version":"{VERSION}"}}'


def hello(session: "Session", read: requests.Hello, request_id: str, now: int) -> str:
    return f'{{"version":"{VERSION}"}}'


def status(session: "Session", read: Any, request_id: str, now: int) -> str:
    why = locked(session.hub)
    return encode(
        {"locked": "true" if why else "false"} | ({"locked_reason": why} if why else {})
    )  # texts, as at Deribit


def currencies(session: "Session", read: Any, request_id: str, now: int) -> str:
    return encode(terms.describe_currencies(session.hub.exchange))


def instruments(session: "Session", read: requests.GetInstruments, request_id: str, now: int) -> str:
    """Those that trade or have expired; what is not listed yet is told only when it is asked for by name."""
    exchange, market = session.hub.exchange, session.hub.market_data
    wanted = [
        index
        for index in sorted(terms.chosen(exchange, read.currency, read.kind))
        if (phase := market.statistics(index).phase) != Phase.UNLISTED and (phase == Phase.EXPIRED) == read.expired
    ]
    return encode([terms.describe(exchange, market, index) for index in wanted])


def one_instrument(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    return encode(terms.describe(session.hub.exchange, session.hub.market_data, index))


def order_book(session: "Session", read: requests.GetOrderBook, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    bids, asks, change_id = session.hub.market_data.book(index, read.depth)
    sides = {
        name: [[scale.decimal_price(row["price"]), scale.decimal_amount(row["quantity"])] for row in rows]
        for name, rows in (("bids", bids), ("asks", asks))
    }
    return encode(_ticker_of(session, index, now) | sides | {"change_id": change_id})


def ticker(session: "Session", read: requests.OneInstrument, request_id: str, now: int) -> str:
    return encode(_ticker_of(session, session.instrument(read.instrument_name), now))


def _ticker_of(session: "Session", index: int, now: int) -> dict[str, Any]:
    return terms.ticker(session.hub.exchange, session.hub.market_data, session.orders.scales[index], index, now)


def last_trades(session: "Session", read: requests.GetTrades, request_id: str, now: int) -> str:
    index = session.instrument(read.instrument_name)
    scale = session.orders.scales[index]
    trades = session.hub.market_data.trades(index, 1 << 20)
    times, numbers = trades["time"] // 1_000_000, trades["trade_sequence"]
    trades = trades[
        (times >= read.start_timestamp)
        & (times <= read.end_timestamp)
        & (numbers >= read.start_seq)
        & (numbers <= read.end_seq)
    ]
    if read.sorting == "asc":
        trades = trades[::-1]
    last = _ticker_of(session, index, now)["last_price"]
    return encode(
        {
            "trades": [
                {
                    "trade_id": str(trade["trade_id"]),
                    "trade_seq": int(trade["trade_sequence"]),
                    "instrument_name": read.instrument_name,
                    "timestamp": int(trade["time"]) // 1_000_000,
                    "direction": DIRECTION[int(trade["side"])],
                    "price": scale.decimal_price(trade["price"]),
                    "amount": scale.decimal_amount(trade["quantity"]),
                    "contracts": int(trade["quantity"]),
                    "tick_direction": int(trade["tick_direction"]),
                    "mark_price": last,
                    "index_price": last,
                }
                for trade in trades[: read.count]
            ],
            "has_more": len(trades) > read.count,
        }
    )


def locked(hub: "Hub") -> str:
    """Why no new order is taken anywhere: operator, disk_space, or empty."""
    return "operator" if hub.exchange.ledger.hub[0].killed else "disk_space" if hub.condition.disk_low else ""
