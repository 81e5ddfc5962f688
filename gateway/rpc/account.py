"""Positions and funds as their owner reads them, under Deribit's names.

account.position(exchange, 0, scale, index)["average_price"]
account.summary(exchange, 0, scales)["equity"]
"""

from decimal import Decimal
from typing import Any

from exchange.engine.machine import Exchange
from gateway.text.scale import Scale, fen
from risk.records import SPECIAL_AT_SETTLEMENT


def positions(
    exchange: Exchange, account: int, scales: list[Scale], instruments: frozenset[int]
) -> list[dict[str, Any]]:
    """private/get_positions: what the account holds or has held in these instruments."""
    return [
        position(exchange, account, scales[index], index)
        for index in exchange.positions(account)["instrument"].tolist()
        if index in instruments
    ]


def position(exchange: Exchange, account: int, scale: Scale, index: int) -> dict[str, Any]:
    """Position. Profit is what the next settlement would pay if it were at the last price."""
    instrument, ledger = exchange.instruments[index], exchange.ledger
    row = account * len(exchange.instruments) + index
    exposure, limit = ledger.exposures[row], ledger.limits[index]
    lots, margin = int(exposure.position), int(limit.margin)
    last = exchange.last_price(instrument.symbol)
    cost = paid(exchange, account, index, last)
    profit = scale.money(0 if instrument.at_settlement else lots * last - cost)  # of those the leg's position tells it
    held, worst = lots_held(exchange, row, index), int(exposure.worst)
    price, amount = scale.decimal_price, scale.decimal_amount
    told = {
        "instrument_name": instrument.symbol,
        "kind": "future",
        "direction": "buy" if lots > 0 else "sell" if lots < 0 else "zero",
        "size": amount(lots),
        "size_currency": scale.money(abs(lots) * last),
        "average_price": Decimal(scale.average(cost, lots)),
        "mark_price": price(last),
        "index_price": price(last),
        "settlement_price": price(limit.settlement),
        "floating_profit_loss": profit if lots else Decimal(0),
        "realized_profit_loss": Decimal(0) if lots else profit,
        "total_profit_loss": profit,
        "initial_margin": fen(worst * margin),
        "maintenance_margin": maintenance(exchange, held * margin),
        "open_orders_margin": fen((worst - held) * margin),
        "leverage": 1,
        "open_orders_buy": amount(exposure.open_buy),
        "open_orders_sell": amount(exposure.open_sell),
    }
    if instrument.offset:
        gross = ledger.gross[row]
        told |= {name: amount(gross[name]) for name in ("long", "short", "long_today", "short_today")}
    return told


def paid(exchange: Exchange, account: int, index: int, settlement: int) -> int:
    """Ticks times lots that a position has cost if today's settlement price is `settlement`.

    Lots traded at settlement are in the position, but without a price until then (RULEBOOK 12.1).
    """
    limits, count = exchange.ledger.limits, len(exchange.instruments)
    exposures = exchange.ledger.exposures[account * count : (account + 1) * count]
    late = exposures[(limits["leg_near"] == index) & (limits["special"] & SPECIAL_AT_SETTLEMENT != 0)]
    return int(exposures[index].cost) + settlement * int(late["position"].sum()) + int(late["cost"].sum())


def lots_held(exchange: Exchange, row: int, index: int) -> int:
    """Lots that margin is held for without any order: of long and short kept apart the larger (RULEBOOK 10.5)."""
    if exchange.instruments[index].offset:
        gross = exchange.ledger.gross[row]
        return max(int(gross["long"]), int(gross["short"]))
    return abs(int(exchange.ledger.exposures[row].position))


def maintenance(exchange: Exchange, margin: int) -> Decimal:
    """Of the initial margin of positions (fen), the share below which margin is called (RULEBOOK 11.6), in currency."""
    return fen(margin * int(exchange.ledger.hub[0].maintenance) // 10_000)


def summary(exchange: Exchange, account: int, scales: list[Scale]) -> dict[str, Any]:
    """private/get_account_summary. One equity for all instruments; profit not yet settled is shown beside it."""
    row = exchange.account(account)
    equity, margin = int(row.equity), int(row.margin_used)
    held = positions(exchange, account, scales, frozenset(range(len(exchange.instruments))))
    profit = sum((item["total_profit_loss"] for item in held), Decimal(0))
    count = len(exchange.instruments)
    needed = sum(
        lots_held(exchange, account * count + index, index) * int(exchange.ledger.limits[index].margin)
        for index in exchange.positions(account)["instrument"].tolist()
    )
    return {
        "currency": exchange.instruments[0].currency,
        "id": account,
        "username": exchange.accounts[account].name,
        "type": "main",
        "equity": fen(equity),
        "balance": fen(equity),
        "margin_balance": fen(equity),
        "initial_margin": fen(margin),
        "maintenance_margin": maintenance(exchange, needed),
        "available_funds": fen(equity - margin),
        "available_withdrawal_funds": fen(equity - margin),
        "open_orders": int(row.open_orders),
        "session_upl": profit,
        "total_pl": profit,
        "opening_equity": fen(row.opening_equity),
        "result": fen(row.result),
        "fees": fen(row.fees),
        "paid_in": fen(row.paid_in),
        "margin_call": bool(row.called),
        "margin_call_amount": fen(max(0, needed - equity) if row.called else 0),
        "mmp_triggered": bool(row.tripped),
        "margin_model": "segregated_sm",
        "portfolio_margining_enabled": False,
    }


def for_operator(exchange: Exchange, account: int, scales: list[Scale]) -> dict[str, Any]:
    """An entry of operator/get_accounts."""
    row = exchange.account(account)
    return {
        "account": exchange.accounts[account].name,
        "number": account,
        "firm": int(row.firm),
        "enabled": bool(row.enabled),
        "killed": bool(row.killed),
    } | summary(exchange, account, scales)
