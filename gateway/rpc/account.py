"""Positions and funds as their owner reads them, under Deribit's names. The exchange computes them (engine/accounts.py).

account.position(exchange, 0, scale)["average_price"]
account.summary(exchange, 0, scales)["equity"]
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from exchange.engine.machine import Exchange
from gateway.text.scale import Scale, fen


def positions(
    exchange: Exchange, account: int, scales: Sequence[Scale], instruments: frozenset[int]
) -> list[dict[str, Any]]:
    """private/get_positions: what the account holds or has held in these instruments."""
    return [
        position(exchange, account, scales[index])
        for index in exchange.positions(account)["instrument"].tolist()
        if index in instruments
    ]


def position(exchange: Exchange, account: int, scale: Scale) -> dict[str, Any]:
    """private/get_position. Its profit is what the next settlement would pay at the last price."""
    held = exchange.position(account, scale.instrument.symbol)
    price, amount, profit = scale.decimal_price, scale.decimal_amount, scale.money(held.result)
    mark = price(held.mark)
    body = {
        "instrument_name": scale.instrument.symbol,
        "kind": "future",
        "direction": "buy" if held.lots > 0 else "sell" if held.lots < 0 else "zero",
        "size": amount(held.lots),
        "size_currency": scale.money(abs(held.lots) * held.mark),
        "average_price": Decimal(scale.average(held.cost, held.lots)),
        "mark_price": mark,
        "index_price": mark,
        "settlement_price": price(held.settlement),
        "floating_profit_loss": profit if held.lots else Decimal(0),
        "realized_profit_loss": Decimal(0) if held.lots else profit,
        "total_profit_loss": profit,
        "initial_margin": fen(held.initial_margin),
        "maintenance_margin": fen(held.maintenance_margin),
        "open_orders_margin": fen(held.order_margin),
        "leverage": 1,
        "open_orders_buy": amount(held.open_buy),
        "open_orders_sell": amount(held.open_sell),
    }
    if scale.instrument.offset:
        body |= {
            "long": amount(held.long),
            "short": amount(held.short),
            "long_today": amount(held.long_today),
            "short_today": amount(held.short_today),
        }
    return body


def summary(exchange: Exchange, account: int) -> dict[str, Any]:
    """private/get_account_summary. Equity and margin are of all instruments; profit not yet settled is beside them."""
    row = exchange.summary(account)
    funds = row.funds
    return {
        "currency": exchange.instruments[0].currency,
        "id": account,
        "username": row.name,
        "type": "main",
        "equity": fen(funds.equity),
        "balance": fen(funds.equity),
        "margin_balance": fen(funds.equity),
        "initial_margin": fen(funds.margin),
        "maintenance_margin": fen(row.maintenance_margin),
        "available_funds": fen(funds.available),
        "available_withdrawal_funds": fen(funds.available),
        "open_orders": row.open_orders,
        "session_upl": row.unsettled,
        "total_pl": row.unsettled,
        "opening_equity": fen(funds.opening_equity),
        "result": fen(funds.result),
        "fees": fen(funds.fees),
        "paid_in": fen(funds.paid_in),
        "margin_call": row.called,
        "margin_call_amount": fen(row.margin_call),
        "mmp_triggered": row.tripped,
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
    }


def for_operator(exchange: Exchange, account: int) -> dict[str, Any]:
    """An entry of operator/get_accounts."""
    row = exchange.summary(account)
    return {
        "account": row.name,
        "number": account,
        "firm": row.firm,
        "enabled": row.enabled,
        "killed": row.killed,
    } | summary(exchange, account)
