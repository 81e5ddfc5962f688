"""Statements as text: CSV for programs, HTML for people.

CSV: all kinds of rows share one header. The first column names the kind; columns that a kind does not use are empty.
Money is in currency with two decimals, prices are in the instrument's unit, positions and volumes in lots, times in UTC
with nanoseconds.

HTML: one self-contained page that prints on A4, without scripts and without anything loaded from elsewhere. Times are
Beijing time.
"""

import csv
import datetime
import io
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from exchange.instruments import Instrument
from exchange.projections.statement_figures import Delivery, HubStatement, PositionDay, Settlement, Statement
from exchange.units import BEIJING, fen_to_money, ticks_to_price
from matching.codes import Side
from risk.limits import Account

VENUE = "QIEE Hub"
CURRENCY = "CNY"
COLUMNS = (
    "record",
    "trading_date",
    "account",
    "opening_equity",
    "paid_in",
    "result",
    "fees",
    "closing_equity",
    "margin",
    "available",
    "margin_call",
    "instrument",
    "position",
    "volume",
    "settlement_price",
    "floor",
    "ceiling",
    "locked_days",
    "trade_id",
    "order_id",
    "time",
    "side",
    "lots",
    "price",
    "counterparty",
)
_SECOND = 1_000_000_000


def date_text(date: int) -> str:
    """20261102 -> 2026-11-02; 0, no date, is empty."""
    return f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}" if date else ""


def time_text(nanoseconds: int, zone: datetime.tzinfo = datetime.UTC, digits: int = 9) -> str:
    """Date and time in a zone, with `digits` decimals of the second, cut off and not rounded."""
    seconds, rest = divmod(int(nanoseconds), _SECOND)
    moment = datetime.datetime.fromtimestamp(seconds, zone)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{f'{rest:09}'[:digits]}"


# Rows of COLUMNS ----------------------------------------------------------------------------------


def _account_row(statement: Statement, accounts: Sequence[Account]) -> dict[str, Any]:
    return {
        "record": "account",
        "account": accounts[statement.account].name,
        "opening_equity": fen_to_money(statement.opening_equity),
        "paid_in": fen_to_money(statement.paid_in),
        "result": fen_to_money(statement.result),
        "fees": fen_to_money(statement.fees),
        "closing_equity": fen_to_money(statement.equity),
        "margin": fen_to_money(statement.margin),
        "available": fen_to_money(statement.available),
        "margin_call": fen_to_money(statement.margin_call),
    }


def _position_row(position: PositionDay, instruments: Sequence[Instrument]) -> dict[str, Any]:
    instrument = instruments[position.instrument]
    return {
        "record": "position",
        "instrument": instrument.symbol,
        "position": position.position,
        "volume": position.volume,
        "settlement_price": ticks_to_price(instrument, position.settlement),
        "result": fen_to_money(position.result),
        "fees": fen_to_money(position.fees),
        "margin": fen_to_money(position.margin),
    }


def _trade_row(trade: Any, account: int, instruments: Sequence[Instrument]) -> Iterable[dict[str, Any]]:
    """The account's side of a trade; both sides where it traded with itself."""
    instrument = instruments[trade.instrument]
    sides = (
        (trade.account, trade.side, trade.order_id),
        (trade.resting_account, 3 - trade.side, trade.resting_order_id),
    )
    for holder, side, order_id in sides:
        if holder == account:
            yield {
                "record": "trade",
                "instrument": instrument.symbol,
                "trade_id": int(trade.trade_id),
                "order_id": int(order_id),
                "time": time_text(trade.time) + "Z",
                "side": Side(side).name.lower(),
                "lots": int(trade.quantity),
                "price": ticks_to_price(instrument, trade.price),
            }


def _delivery_row(
    delivery: Delivery, instruments: Sequence[Instrument], accounts: Sequence[Account], account: int | None = None
) -> dict[str, Any]:
    """A delivery as `account` sees it; None: as the receiver sees it, for the hub's statement."""
    receives = account is None or account == delivery.account
    instrument = instruments[delivery.instrument]
    mine, other = delivery.account, delivery.counterparty
    if not receives:
        mine, other = other, mine
    return {
        "record": "delivery",
        "account": accounts[mine].name,
        "instrument": instrument.symbol,
        "side": "receives" if receives else "delivers",
        "lots": delivery.quantity,
        "price": ticks_to_price(instrument, delivery.price),
        "counterparty": accounts[other].name,
    }


def _settlement_row(settlement: Settlement, instruments: Sequence[Instrument]) -> dict[str, Any]:
    instrument = instruments[settlement.instrument]
    return {
        "record": "settlement",
        "instrument": instrument.symbol,
        "volume": settlement.volume,
        "settlement_price": ticks_to_price(instrument, settlement.price),
        "floor": ticks_to_price(instrument, settlement.floor),
        "ceiling": ticks_to_price(instrument, settlement.ceiling),
        "locked_days": settlement.locked_days,
    }


def account_rows(
    statement: Statement, instruments: Sequence[Instrument], accounts: Sequence[Account]
) -> list[dict[str, Any]]:
    """A statement as rows: the account, its positions, its trades, its deliveries."""
    return [
        _account_row(statement, accounts),
        *(_position_row(position, instruments) for position in statement.positions),
        *(row for trade in statement.trades for row in _trade_row(trade, statement.account, instruments)),
        *(_delivery_row(delivery, instruments, accounts, statement.account) for delivery in statement.deliveries),
    ]


def hub_rows(
    summary: HubStatement, instruments: Sequence[Instrument], accounts: Sequence[Account]
) -> list[dict[str, Any]]:
    """The hub's day as rows: the totals, then every account, every settlement, every delivery."""
    total = {
        "record": "hub",
        "account": "",
        **{
            name: fen_to_money(sum(getattr(account, field) for account in summary.accounts))
            for name, field in (
                ("opening_equity", "opening_equity"),
                ("paid_in", "paid_in"),
                ("result", "result"),
                ("fees", "fees"),
                ("closing_equity", "equity"),
                ("margin", "margin"),
                ("available", "available"),
                ("margin_call", "margin_call"),
            )
        },
    }
    return [
        total,
        *(_account_row(account, accounts) for account in summary.accounts),
        *(_settlement_row(settlement, instruments) for settlement in summary.settlements),
        *(_delivery_row(delivery, instruments, accounts) for delivery in summary.deliveries),
    ]


# CSV ----------------------------------------------------------------------------------------------


def _csv(rows: Iterable[dict[str, Any]], date: int, account: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({"trading_date": date_text(date), "account": account, **row} for row in rows)
    return text.getvalue()


def account_csv(statement: Statement, instruments: Sequence[Instrument], accounts: Sequence[Account]) -> str:
    """One account's statement; rows `account`, `position`, `trade`, `delivery`."""
    return _csv(account_rows(statement, instruments, accounts), statement.date, accounts[statement.account].name)


def hub_csv(summary: HubStatement, instruments: Sequence[Instrument], accounts: Sequence[Account]) -> str:
    """The hub's day; rows `hub`, `account`, `settlement`, `delivery`."""
    return _csv(hub_rows(summary, instruments, accounts), summary.date, "")


# HTML ---------------------------------------------------------------------------------------------

_LABELS = {
    "opening_equity": ("期初权益", "Opening equity"),
    "paid_in": ("出入金", "Paid in or out"),
    "result": ("盯市盈亏", "Result"),
    "fees": ("手续费", "Fees"),
    "closing_equity": ("期末权益", "Closing equity"),
    "margin": ("保证金", "Margin"),
    "available": ("可用资金", "Available"),
    "margin_call": ("追加保证金", "Margin call"),
    "account": ("账户", "Account"),
    "instrument": ("合约", "Instrument"),
    "position": ("持仓(手)", "Position, lots"),
    "volume": ("成交量(手)", "Volume, lots"),
    "settlement_price": ("结算价", "Settlement"),
    "floor": ("次日跌停", "Next floor"),
    "ceiling": ("次日涨停", "Next ceiling"),
    "locked_days": ("单边市天数", "Days locked"),
    "trade_id": ("成交编号", "Trade"),
    "order_id": ("委托编号", "Order"),
    "time": ("时间", "Time (Beijing)"),
    "side": ("方向", "Side"),
    "lots": ("手数", "Lots"),
    "price": ("价格", "Price"),
    "counterparty": ("交割对手", "Counterparty"),
}
_SIDES = {"buy": "买 buy", "sell": "卖 sell", "receives": "收货 receives", "delivers": "交货 delivers"}
_WORDS = {
    "account",
    "instrument",
    "trade_id",
    "order_id",
    "side",
    "counterparty",
    "time",
}  # the other columns are figures
_FIGURES = ("opening_equity", "paid_in", "result", "fees", "closing_equity", "margin", "available", "margin_call")

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 2rem auto; width: fit-content; min-width: min(62rem, 100%); max-width: 100%; padding: 0 1.5rem;
  color: #1b2430; background: #fff;
  font: 14px/1.5 system-ui, "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", sans-serif; }
header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: end; gap: 1rem;
  border-bottom: 3px solid #0b4f6c; padding-bottom: .75rem; }
h1 { margin: 0; font-size: 1.5rem; font-weight: 650; }
h1 span { display: block; font-size: .9rem; font-weight: 400; color: #52606d; }
header dl { display: grid; grid-template-columns: auto auto; gap: .1rem .9rem; margin: 0; }
dt { color: #52606d; }
dd { margin: 0; text-align: right; font-weight: 600; }
section { margin-top: 1.75rem; break-inside: auto; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 650; font-size: 1.05rem; padding-bottom: .4rem; }
th, td { padding: .3rem .55rem; border-bottom: 1px solid #d9e2ec; text-align: left; white-space: nowrap; }
tbody th { font-weight: 500; }
thead th { font-weight: 600; color: #334e68; background: #f0f4f8; border-bottom: 1px solid #9fb3c8; line-height: 1.25; }
thead small { display: block; font-weight: 400; color: #627d98; }
.figure { text-align: right; }
.loss { color: #0a7d33; }
.gain { color: #c0182b; }
tfoot th, tfoot td, .total th, .total td { border-top: 2px solid #334e68; border-bottom: 0; font-weight: 650; }
.call, footer { width: 0; min-width: 100%; }
.call { margin: 1.25rem 0 0; padding: .7rem 1rem; border: 2px solid #c0182b; border-radius: 4px; }
footer { margin-top: 2rem; padding-top: .6rem; border-top: 1px solid #d9e2ec; color: #52606d; font-size: .9em; }
@page { size: A4; margin: 15mm; }
@media print {
  body { margin: 0; padding: 0; width: auto; min-width: 0; font-size: 10px; }
  .wide { overflow: visible; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
"""


def _heading(column: str) -> str:
    chinese, english = _LABELS[column]
    kind = "" if column in _WORDS else ' class="figure"'
    return f'<th scope="col"{kind}>{chinese}<small>{english}</small></th>'


def _cell(column: str, value: Any) -> str:
    if column == "side":
        value = _SIDES[value]
    if column in _WORDS:
        return f"<td>{escape(str(value))}</td>"
    mark = ""
    if column == "result" and value:
        mark = " gain" if value > 0 else " loss"  # red rises, green falls, as on Chinese screens
    figure = "" if value == "" else f"{value:,}"  # a whole number or a decimal: both print exactly
    return f'<td class="figure{mark}">{figure}</td>'


def _row(columns: Sequence[str], row: dict[str, Any]) -> str:
    """A row of a table; its first column is its heading."""
    cells = [
        f'<th scope="row">{escape(str(row[columns[0]]))}</th>',
        *(_cell(column, row[column]) for column in columns[1:]),
    ]
    return "<tr>" + "".join(cells) + "</tr>\n"


def _table(
    caption: str, columns: Sequence[str], rows: Sequence[dict[str, Any]], total: dict[str, Any] | None = None
) -> str:
    """A table with its caption; empty where there are no rows. total: the last row, under a line."""
    if not rows:
        return ""
    foot = f"<tfoot>\n{_row(columns, total)}</tfoot>\n" if total else ""
    return (
        f'<section class="wide">\n<table>\n<caption>{caption}</caption>\n'
        f"<thead><tr>{''.join(map(_heading, columns))}</tr></thead>\n"
        f"<tbody>\n{''.join(_row(columns, row) for row in rows)}</tbody>\n{foot}</table>\n</section>\n"
    )


def _money_table(row: dict[str, Any]) -> str:
    """How opening equity became closing equity, one figure a line."""
    lines = []
    for name in _FIGURES:
        chinese, english = _LABELS[name]
        strong = ' class="total"' if name == "closing_equity" else ""
        lines.append(f'<tr{strong}><th scope="row">{chinese} {english}</th>{_cell(name, row[name])}</tr>\n')
    return (
        f"<section>\n<table>\n<caption>资金 Money, {CURRENCY}</caption>\n"
        f"<tbody>\n{''.join(lines)}</tbody>\n</table>\n</section>\n"
    )


def _page(title: str, subtitle: str, facts: Sequence[tuple[str, str]], body: str, note: str) -> str:
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} {escape(' '.join(value for _, value in facts))}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n<h1>{title}<span>{subtitle}</span></h1>\n"
        f"<dl>{listed}</dl>\n</header>\n<main>\n{body}</main>\n<footer>{note}</footer>\n</body>\n</html>\n"
    )


def _by_beijing_time(row: dict[str, Any], trade: Any) -> dict[str, Any]:
    return row | {"time": time_text(trade.time, BEIJING, 3).replace("T", " ")}


def account_html(statement: Statement, instruments: Sequence[Instrument], accounts: Sequence[Account]) -> str:
    """One account's statement as a page."""
    money = _account_row(statement, accounts)
    positions = [_position_row(position, instruments) for position in statement.positions]
    trades = [
        _by_beijing_time(row, trade)
        for trade in statement.trades
        for row in _trade_row(trade, statement.account, instruments)
    ]
    deliveries = [
        _delivery_row(delivery, instruments, accounts, statement.account) for delivery in statement.deliveries
    ]
    # lots of different instruments do not add up
    total = money | {"instrument": "合计 Total", "position": "", "volume": "", "settlement_price": ""}
    body = _money_table(money)
    if statement.margin_call:
        body = (
            f'<p class="call"><strong>追加保证金通知 Margin call.</strong> '
            f"Equity is {money['margin_call']:,} {CURRENCY} short of the initial margin. Until that is paid in, "
            f"only orders that reduce positions pass.</p>\n" + body
        )
    body += _table(
        "持仓与盈亏 Positions and result",
        ("instrument", "position", "volume", "settlement_price", "result", "fees", "margin"),
        positions,
        total,
    )
    body += _table("成交 Trades", ("trade_id", "order_id", "time", "instrument", "side", "lots", "price"), trades)
    body += _table("交割 Delivery notices", ("instrument", "side", "lots", "price", "counterparty"), deliveries)
    return _page(
        "结算单 Settlement statement",
        VENUE,
        (
            ("交易日 Trading day", date_text(statement.date)),
            ("账户 Account", accounts[statement.account].name),
            ("币种 Currency", CURRENCY),
        ),
        body,
        "Closing equity is opening equity, plus what was paid in and the result of marking positions to the settlement "
        "price, less fees. Margin is the initial margin at settlement. Times are of the hub's clock, also on days that "
        "are not lived in real time. Gains are red, losses green.",
    )


def hub_html(summary: HubStatement, instruments: Sequence[Instrument], accounts: Sequence[Account]) -> str:
    """The hub's day as a page."""
    rows = hub_rows(summary, instruments, accounts)
    by_kind = {
        kind: [row for row in rows if row["record"] == kind] for kind in ("hub", "account", "settlement", "delivery")
    }
    total = by_kind["hub"][0] | {"account": "合计 Total"}
    body = _table(f"账户 Accounts, {CURRENCY}", ("account", *_FIGURES), by_kind["account"], total)
    body += _table(
        "结算 Settlement",
        ("instrument", "settlement_price", "volume", "floor", "ceiling", "locked_days"),
        by_kind["settlement"],
    )
    body += _table(
        "交割 Delivery notices", ("instrument", "account", "lots", "price", "counterparty"), by_kind["delivery"]
    )
    return _page(
        "结算汇总 Settlement summary",
        VENUE,
        (("交易日 Trading day", date_text(summary.date)), ("币种 Currency", CURRENCY)),
        body,
        "Results of all accounts add up to zero; what they pay in fees is the hub's. "
        "In delivery notices the account receives, the counterparty delivers. Gains are red, losses green.",
    )
