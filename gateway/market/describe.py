"""Instruments and accounts as clients read them: terms under Deribit's names, positions, margin, equity.

Which instruments a `currency` or a channel means is decided here too: a currency (CNY), a product or the letters of the
symbols (SC), or `any`.

    describe(exchange, market, 0)["tick_size"]  # Decimal("0.1")
    chosen(exchange, "SC")                      # frozenset({0, 1, 2})
"""

import calendar
import datetime
from decimal import Decimal
from typing import Any

import numpy as np

from exchange.engine.machine import Exchange
from exchange.engine.phases import REFUSES_ENTRY
from exchange.instruments import Instrument
from exchange.projections.marketdata import MarketData
from gateway.text.messages import PHASES, Scale, invalid
from matching.codes import Phase, Reason
from risk.records import SPECIAL_AT_SETTLEMENT

FUTURES = ("any", "all", "future")
_NEVER = 32_503_708_800_000  # ms, the year 3000: clients want a date even where nothing expires


def base_of(instrument: Instrument) -> str:
    """What is bought, as a code for clients that think in pairs: the letters of the symbol before its month."""
    letters = instrument.symbol.rstrip("0123456789")
    return letters if letters.isalpha() else instrument.symbol


def chosen(exchange: Exchange, currency: str, kind: str = "any") -> frozenset[int]:
    """Indices of the instruments that a currency or product and a kind mean.

    Errors    Refused -32602 naming currency
    """
    if kind not in FUTURES:
        return frozenset()
    wanted = currency.upper()
    if wanted == "ANY":
        return frozenset(range(len(exchange.instruments)))
    found = frozenset(
        index
        for index, instrument in enumerate(exchange.instruments)
        if wanted in (instrument.currency.upper(), instrument.product.upper(), base_of(instrument).upper())
    )
    if not found:
        raise invalid(
            "currency",
            f"currency: {currency} is no currency or product of this hub",
            value=currency,
            bound=", ".join(codes(exchange)),
            reason="unknown_currency",
        )
    return found


def codes(exchange: Exchange) -> list[str]:
    """Currencies, then what is traded in them."""
    return list(
        dict.fromkeys(
            [instrument.currency for instrument in exchange.instruments]
            + [base_of(instrument) for instrument in exchange.instruments]
        )
    )


def describe_currencies(exchange: Exchange) -> list[dict[str, Any]]:
    """public/get_currencies."""
    names = {base_of(instrument): instrument.product for instrument in exchange.instruments}
    return [
        {
            "currency": code,
            "currency_long": names.get(code) or code,
            "coin_type": "FIAT",
            "decimals": 2,
            "fee_precision": 2,
            "min_confirmations": 0,
            "min_withdrawal_fee": 0,
            "withdrawal_fee": 0,
            "withdrawal_priorities": [],
        }
        for code in codes(exchange)
    ]


def takes_orders(phase: int) -> bool:
    """Whether a phase takes new orders."""
    return REFUSES_ENTRY[phase] == Reason.NONE


def describe(exchange: Exchange, market: MarketData, index: int) -> dict[str, Any]:
    """One entry of public/get_instruments."""
    instrument, limit = exchange.instruments[index], exchange.ledger.limits[index]
    scale, now = Scale(instrument), market.statistics(index)
    price, amount = scale.decimal_price, scale.decimal_amount
    commission = Decimal(int(limit.fee_rate)) / 1_000_000
    return {
        "instrument_name": instrument.symbol,
        "instrument_id": index,
        "kind": "future",
        "instrument_type": "linear",
        "base_currency": base_of(instrument),
        "quote_currency": instrument.currency,
        "counter_currency": instrument.currency,
        "settlement_currency": instrument.currency,
        "price_index": instrument.product or instrument.symbol,
        "settlement_period": "month" if instrument.expiry else "perpetual",
        "tick_size": price(instrument.price_increment),
        "tick_size_steps": [],
        "contract_size": amount(1),
        "min_trade_amount": amount(instrument.minimum_quantity),
        "creation_timestamp": milliseconds(instrument.listed, 0),
        "expiration_timestamp": milliseconds(instrument.expiry, _NEVER),
        "is_active": now.phase not in (Phase.UNLISTED, Phase.EXPIRED),
        "state": "open" if takes_orders(now.phase) else "closed",
        "phase": PHASES[int(now.phase)],
        "mechanism": instrument.mechanism.name.lower(),
        "offset": instrument.offset,
        "maker_commission": commission,
        "taker_commission": commission,
        "fee_per_lot": fen(limit.fee_per_lot),
        "rfq": False,
        "description": instrument.name,
        "product": instrument.product,
        "unit": instrument.unit,
        "price_floor": price(instrument.price_floor),
        "price_ceiling": price(instrument.price_ceiling),
        "min_price": price(now.floor),
        "max_price": price(now.ceiling),
        "settlement_price": price(settlement_of(now)),
        "reference_price": price(instrument.reference_price),
        "margin_per_lot": fen(limit.margin),
    }


def settlement_of(now: np.record) -> int:
    """The last settlement price of an instrument's STATISTICS, ticks."""
    return int(now.settlement if now.settled else now.previous_settlement)


def ticker(exchange: Exchange, market: MarketData, scale: Scale, index: int, now_ns: int) -> dict[str, Any]:
    """public/ticker and the channel ticker. Nothing here is ahead of market data, but open interest, which is the engine's."""
    instrument, top, day = exchange.instruments[index], market.top(index), market.statistics(index)
    price, amount = scale.decimal_price, scale.decimal_amount
    traded, before = bool(day.day_trades), int(day.previous_settlement)
    last = price(day.last_price if day.trades else before)
    change = round(Decimal(100 * (int(day.last_price) - before)) / abs(before), 4) if traded and before else None
    return {
        "timestamp": now_ns // 1_000_000,
        "instrument_name": instrument.symbol,
        "state": "open" if takes_orders(day.phase) else "closed",
        "phase": PHASES[int(day.phase)],
        "best_bid_price": price(top.bid_price) if top.bid_quantity else 0,
        "best_bid_amount": amount(top.bid_quantity),
        "best_ask_price": price(top.ask_price) if top.ask_quantity else 0,
        "best_ask_amount": amount(top.ask_quantity),
        "last_price": last,
        "mark_price": last,
        "index_price": last,
        "settlement_price": price(settlement_of(day)),
        "min_price": price(day.floor),
        "max_price": price(day.ceiling),
        "open_interest": amount(open_interest(exchange, index)),
        "stats": {
            "high": price(day.high_price) if traded else None,
            "low": price(day.low_price) if traded else None,
            "volume": amount(day.volume),
            "volume_notional": scale.money(int(day.notional)),
            "price_change": change,
        },
    }


def open_interest(exchange: Exchange, index: int) -> int:
    """Lots of all long positions."""
    count = len(exchange.instruments)
    if exchange.instruments[index].offset:
        return int(exchange.ledger.gross["long"][index::count].sum())
    positions = exchange.ledger.exposures["position"][index::count]
    return int(positions[positions > 0].sum())


def milliseconds(day: datetime.date | None, otherwise: int) -> int:
    """Midnight UTC of a date."""
    return otherwise if day is None else calendar.timegm(day.timetuple()) * 1000


def fen(amount: int) -> Decimal:
    """Fen as an amount of currency."""
    return Decimal(int(amount)) / 100


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


def summary(exchange: Exchange, account: int, currency: str, scales: list[Scale]) -> dict[str, Any]:
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
        "currency": currency,
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
