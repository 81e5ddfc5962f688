"""End-of-day statements (RULEBOOK 11.10): their figures, their files, and that a snapshot restores them.

The golden files are a day of three accounts: crude that is delivered, fuel oil that is held, a margin call. After an
intended change, write them with `python -m tests.exchange.test_statement`, and read them.
"""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange import Exchange
from exchange.projections.blotter import Blotter
from exchange.projections.statement import Statements
from exchange.projections.statement_figures import Delivery, PositionDay, Settlement
from exchange.projections.statement_report import date_text, time_text
from matching.codes import CommandKind as Kind
from matching.codes import SettlementRule, Side
from tests.build import account, enter, instrument, operator, rows

BUY, SELL = Side.BUY, Side.SELL
GOLDEN = Path(__file__).with_name("golden")
EVENING = 1_793_624_400  # 2 November 2026, 21:00 in Beijing
NAMES = ("Refinery <Dongying> & Sons", "Importer", "Speculator")


class Hub:
    """An exchange whose statements are kept up to date."""

    def __init__(self) -> None:
        crude = instrument(
            "SC2701",
            floor=4_000,
            ceiling=7_000,
            reference_price=5_213,
            tick_size=Decimal("0.1"),
            lot_size=Decimal(1_000),
            daily_limit=500,
            margin_rate=1_000,
            fee_per_lot=20_00,
            physical=True,
        )
        fuel = instrument(
            "FU2701",
            floor=2_000,
            ceiling=4_000,
            reference_price=3_011,
            tick_size=Decimal(1),
            lot_size=Decimal(10),
            daily_limit=500,
            margin_rate=1_500,
            fee_rate=50,
        )
        accounts = [
            account(name, equity=equity)
            for name, equity in zip(NAMES, (600_000_00, 200_000_00, 32_000_00), strict=True)
        ]
        self.exchange = Exchange([crude, fuel], accounts, max_orders=50)
        self.blotter = Blotter(50)
        self.statements = Statements(self.exchange.instruments, self.exchange.accounts, self.blotter)

    def do(self, *commands: dict[str, Any]) -> np.ndarray:
        """Apply the commands as one batch, a second and a nanosecond apart."""
        start = self.exchange.sequence + 1
        block = rows(*commands, start=start)
        block["time"] = [(EVENING + number) * 1_000_000_000 + number for number in range(start, start + len(commands))]
        events = self.exchange.apply(block)
        self.blotter.record(block, events)
        self.statements.record(block, events)
        return events


def settle(number: int, price: int) -> dict[str, Any]:
    return operator(Kind.SETTLE, SettlementRule.GIVEN, instrument=number, price=price)


FIRST_DAY = (
    operator(Kind.BEGIN_DAY, quantity=2026_11_02),
    enter(0, BUY, 5_230, 5),
    enter(1, SELL, 5_230, 3),
    enter(2, SELL, 5_215, 2),
    enter(2, SELL, 3_020, 7, instrument=1),
    enter(0, BUY, 3_020, 7, instrument=1),
    operator(Kind.CASH, account=1, quantity=12_345),
    operator(Kind.SETTLE),
    settle(1, 3_140),
    operator(Kind.EXPIRE),
    operator(Kind.END_DAY),
)


def golden_hub() -> Hub:
    hub = Hub()
    hub.do(*FIRST_DAY)
    return hub


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


# Figures


def test_a_statement_leads_from_opening_to_closing_equity() -> None:
    """11.10"""
    said = golden_hub().statements.account(0)
    assert (said.date, said.opening_equity, said.paid_in, said.result, said.fees) == (
        2026_11_02,
        600_000_00,
        0,
        7 * 120 * 1_000,
        5 * 20_00 + 1_057,
    )
    assert said.equity == 600_000_00 + 840_000 - 11_057
    assert said.positions == (
        PositionDay(0, 0, 5_230, 5, 0, 100_00, 0),
        PositionDay(1, 7, 3_140, 7, 840_000, 1_057, 7 * 471_000),
    )
    assert (said.margin, said.available) == (3_297_000, said.equity - 3_297_000)
    assert said.deliveries == (Delivery(0, 0, 1, 3, 5_230), Delivery(0, 0, 2, 2, 5_230))
    assert [int(trade.trade_id) for trade in said.trades] == [1, 2, 3]


def test_statements_say_what_the_ledger_has() -> None:
    """11.10: equity, margin and margin call of every account"""
    hub = golden_hub()
    for number in range(3):
        said, row = hub.statements.account(number), hub.exchange.account(number)
        assert (said.opening_equity, said.paid_in, said.result, said.fees, said.equity) == (
            row.opening_equity,
            row.paid_in,
            row.result,
            row.fees,
            row.equity,
        )
        assert said.margin == row.margin_used and said.funds == hub.exchange.summary(number).funds
        assert (said.margin_call != 0) == row.called


def test_a_statement_reports_a_margin_call() -> None:
    """11.6"""
    said = golden_hub().statements.account(2)
    assert said.margin_call == said.margin - said.equity == -said.available > 0


def test_the_summary_adds_up() -> None:
    """11.3, 11.4"""
    hub = golden_hub()
    said = hub.statements.summary()
    assert (said.result, said.paid_in) == (0, 12_345)
    assert said.fees == hub.exchange.ledger.hub[0].fees
    assert sum(each.equity for each in said.accounts) + said.fees == 832_000_00 + 12_345
    assert said.settlements == (Settlement(0, 5_230, 5, 0, 4_969, 5_491), Settlement(1, 3_140, 7, 0, 2_983, 3_297))


def test_the_next_statement_opens_with_what_the_last_one_closed_with() -> None:
    """11.10: payments overnight belong to the next day; positions stay, the figures of the day do not"""
    hub = golden_hub()
    before = hub.statements.account(0)
    hub.do(operator(Kind.CASH, account=0, quantity=500), operator(Kind.BEGIN_DAY, quantity=2026_11_03))
    assert hub.statements.account(0).date == 2026_11_02  # until the new day has ended
    hub.do(settle(1, 3_139), operator(Kind.END_DAY))
    said = hub.statements.account(0)
    assert (said.date, said.opening_equity, said.paid_in) == (2026_11_03, before.equity, 500)
    assert said.positions == (PositionDay(1, 7, 3_139, 0, -7_000, 0, 7 * 470_850),)
    assert (said.deliveries, len(said.trades)) == ((), 0)


def test_a_position_that_is_not_settled_stays_in_the_statement() -> None:
    """11.10"""
    hub = golden_hub()
    hub.do(operator(Kind.BEGIN_DAY, quantity=2026_11_03), operator(Kind.END_DAY))
    said = hub.statements.account(0)
    assert said.positions == (PositionDay(1, 7, 3_140, 0, 0, 0, 7 * 471_000),)


def test_a_corrected_settlement_is_reported_once() -> None:
    """11.3: the results of both add up"""
    hub = Hub()
    hub.do(
        operator(Kind.BEGIN_DAY, quantity=2026_11_02),
        enter(1, SELL, 5_230, 1),
        enter(0, BUY, 5_230, 1),
        settle(0, 5_240),
        settle(0, 5_220),
        operator(Kind.END_DAY),
    )
    assert hub.statements.account(0).positions == (PositionDay(0, 1, 5_220, 1, -10 * 10_000, 20_00, 5_220_000),)


def test_batches_of_one_give_the_same_statements() -> None:
    """1.1"""
    hub = Hub()
    for command in FIRST_DAY:
        hub.do(command)
    assert hub.statements.html() == golden_hub().statements.html()
    assert [hub.statements.csv(number) for number in range(3)] == [
        golden_hub().statements.csv(number) for number in range(3)
    ]


def test_without_a_blotter_there_are_no_trades() -> None:
    hub = golden_hub()
    alone = Statements(hub.exchange.instruments, hub.exchange.accounts)
    fresh = Hub()
    alone.record(np.zeros(0), fresh.exchange.apply(rows(*FIRST_DAY)))
    assert len(alone.account(0).trades) == 0
    assert alone.account(0) == replace(hub.statements.account(0))


# Refusals


def test_before_the_first_day_has_ended_there_is_no_statement() -> None:
    hub = Hub()
    hub.do(*FIRST_DAY[:-1])
    assert hub.statements.date is None
    for ask in (
        lambda: hub.statements.account(0),
        hub.statements.summary,
        lambda: hub.statements.csv(0),
        hub.statements.html,
    ):
        with pytest.raises(LookupError, match="no day has ended yet"):
            ask()


@pytest.mark.parametrize("number", [-1, 3])
def test_an_account_that_does_not_exist_has_no_statement(number: int) -> None:
    with pytest.raises(IndexError, match=f"account is {number}, must be 0 to 2"):
        golden_hub().statements.account(number)


def test_a_gap_in_the_events_is_refused() -> None:
    hub = Hub()
    events = hub.exchange.apply(rows(*FIRST_DAY))
    with pytest.raises(ValueError, match="event 2 does not continue event 0"):
        hub.statements.record(np.zeros(0), events[1:])
    assert hub.statements.date is None


# Over a snapshot


@pytest.mark.parametrize("cut", range(len(FIRST_DAY) + 1))
def test_statements_go_on_from_a_snapshot(cut: int) -> None:
    """After a snapshot at any command of the day, the rest of the day gives the same statements."""
    hub, restored = Hub(), Hub()
    hub.do(*FIRST_DAY[:cut])
    restored.exchange.restore(hub.exchange.state())
    restored.blotter.restore(hub.blotter.state())
    restored.statements.restore(hub.statements.state())
    restored.do(*FIRST_DAY[cut:])
    assert restored.statements.html() == golden_hub().statements.html()
    assert restored.statements.csv(0) == golden_hub().statements.csv(0)
    assert restored.statements.event_id == golden_hub().statements.event_id


def test_the_statements_of_a_day_that_ended_survive_a_snapshot() -> None:
    hub, restored = golden_hub(), Hub()
    restored.statements.restore(hub.statements.state())
    assert [restored.statements.account(number) for number in range(3)] == [
        hub.statements.account(number) for number in range(3)
    ]
    assert restored.statements.summary() == hub.statements.summary()


@pytest.mark.parametrize("name", ["days", "accounts", "positions", "settlements", "deliveries"])
@pytest.mark.parametrize(
    "spoil",
    [lambda array: None, lambda array: array[:, 1:], lambda array: array.ravel()],
    ids=["missing", "narrower", "flat"],
)
def test_a_snapshot_that_does_not_fit_is_refused_by_name(name: str, spoil: Callable[..., Any]) -> None:
    state, fresh = golden_hub().statements.state(), Hub().statements
    spoilt = spoil(state[f"statement_{name}"])
    state = {key: array for key, array in state.items() if key != f"statement_{name}"}
    if spoilt is not None:
        state[f"statement_{name}"] = spoilt
    with pytest.raises(ValueError, match=f"snapshot array statement_{name}: .*, must be"):
        fresh.restore(state)
    assert fresh.date is None


def test_a_snapshot_of_other_accounts_is_refused() -> None:
    hub = golden_hub()
    other = Statements(hub.exchange.instruments, hub.exchange.accounts[:2])
    with pytest.raises(ValueError, match="snapshot array statement_accounts: 6 rows, must be 4"):
        other.restore(hub.statements.state())


# Files


@pytest.mark.parametrize(("name", "number"), [("account", 0), ("called", 2), ("hub", None)])
@pytest.mark.parametrize("form", ["csv", "html"])
def test_the_golden_statements(name: str, number: int | None, form: str) -> None:
    """A day of three accounts, byte for byte."""
    said = getattr(golden_hub().statements, form)(number)
    assert said == (GOLDEN / f"statement_{name}.{form}").read_text(encoding="utf-8")


def test_every_figure_of_the_csv_is_exact() -> None:
    """Money has two decimals; the rows of an account add up to its first."""
    lines = table(golden_hub().statements.csv(0))
    money = [
        line[column] for line in lines for column in ("result", "fees", "margin", "closing_equity") if line[column]
    ]
    assert all(re.fullmatch(r"-?\d+\.\d\d", figure) for figure in money)
    total, positions = lines[0], [line for line in lines if line["record"] == "position"]
    for column in ("result", "fees", "margin"):
        assert sum(Decimal(line[column]) for line in positions) == Decimal(total[column])
    assert {line["record"] for line in lines} == {"account", "position", "trade", "delivery"}
    assert {line["account"] for line in lines} == {NAMES[0]}


def test_the_other_side_of_a_delivery_reads_that_it_delivers() -> None:
    lines = [line for line in table(golden_hub().statements.csv(1)) if line["record"] == "delivery"]
    assert [(line["account"], line["side"], line["lots"], line["counterparty"]) for line in lines] == [
        ("Importer", "delivers", "3", NAMES[0])
    ]


class Outline(HTMLParser):
    """The tags of a page, whether they close in order, and what they load."""

    VOID = {"meta", "br", "link", "img"}

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[Any] = []
        self.tags: list[Any] = []
        self.loads: list[Any] = []
        self.cells: list[Any] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[Any]) -> None:
        self.tags.append((tag, dict(attributes)))
        self.loads += [value for name, value in attributes if name in ("src", "href", "style", "onclick")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data)


@pytest.mark.parametrize("number", [0, 1, 2, None])
def test_a_page_is_well_formed_and_loads_nothing(number: int | None) -> None:
    page = golden_hub().statements.html(number)
    outline = Outline(page)
    names = [tag for tag, _ in outline.tags]
    assert not outline.open
    assert not outline.loads
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert "url(" not in page
    assert "http" not in page
    assert names.count("table") == names.count("caption") >= 1
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in outline.tags if tag == "th")


def test_names_are_escaped() -> None:
    page = golden_hub().statements.html(0)
    assert "Refinery &lt;Dongying&gt; &amp; Sons" in page
    assert "<Dongying>" not in page


def test_the_page_of_a_called_account_says_so() -> None:
    assert "Margin call.</strong>" in golden_hub().statements.html(2)
    assert "Margin call.</strong>" not in golden_hub().statements.html(0)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000"),
        (1_793_624_403_000_000_003, "2026-11-02T13:00:03.000000003"),
        (1_793_624_403_999_999_999, "2026-11-02T13:00:03.999999999"),
    ],
)
def test_times_are_written_to_the_nanosecond(nanoseconds: int, text: str) -> None:
    assert time_text(nanoseconds) == text


def test_dates_are_written_as_iso() -> None:
    assert (date_text(2026_11_02), date_text(0)) == ("2026-11-02", "")


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for stem, chosen in (("account", 0), ("called", 2), ("hub", None)):
        for suffix in ("csv", "html"):
            written = getattr(golden_hub().statements, suffix)(chosen)
            (GOLDEN / f"statement_{stem}.{suffix}").write_text(written, encoding="utf-8")
