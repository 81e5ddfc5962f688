"""The golden days: the story of RULEBOOK 15, played on a hub, with all results.

    story = Story.load("chinese")              # the tables of docs/RULEBOOK.md
    play = perform(story)                      # commands, events, the tables as they should be, the reports
    python -m tests.golden.story --write       # rewrite the tables and the files beside this one

The second and third column of a table are the input: who does what (grammar.py). The fourth is output (narration.py). The
rows of the schedule are output, too: it runs beside the story in market time (schedule.py) and has a row wherever one of its
steps had an effect. A table is one trading day; its times are Beijing's and only go forward, past midnight too.
"""

import dataclasses
import datetime
import hashlib
import pathlib
import re
import sys
from collections.abc import Iterator

import numpy as np

from exchange import Account, Exchange
from exchange.catalogue import Catalogue, read_catalogue
from exchange.catalogue.calendar import beijing
from exchange.catalogue.driver import Driver
from exchange.catalogue.schedule import Schedule, Step
from exchange.projections.blotter import Blotter
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from exchange.projections.surveillance import Surveillance
from matching.codes import ALL, Phase, SelfMatch
from tests.golden.grammar import Grammar, StoryError
from tests.golden.narration import Narration

RULEBOOK = pathlib.Path(__file__).parents[2] / "docs" / "RULEBOOK.md"
GOLDEN = pathlib.Path(__file__).parent
PROFILES = ("chinese", "international")
OPENS, UNTIL = datetime.date(2026, 12, 30), datetime.date(2027, 1, 4)  # the hub opens the day before the story
SCHEDULE = "schedule"
MILLION = 1_000_000_00  # CNY in fen
ACCOUNTS = (
    Account(name="refinery", firm=1, equity=60 * MILLION),
    Account(name="importer", firm=2, equity=60 * MILLION),
    Account(name="producer", firm=3, equity=60 * MILLION),
    Account(
        name="maker",
        firm=4,
        equity=100 * MILLION,
        self_match=SelfMatch.CANCEL_RESTING,
        protection_lots=50,
        protection_interval=1_000,
    ),
    Account(name="trader", firm=5, equity=9 * MILLION // 10, max_order_quantity=100),
    Account(name="fund", firm=6, equity=80 * MILLION),
    Account(name="utility", firm=7, equity=40 * MILLION),
)
MAKERS = (3,)
_MAX_ORDERS = 1 << 10
_DAY_NS = 86_400 * 1_000_000_000


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of a table."""

    time: str  # HH:MM, HH:MM:SS or HH:MM:SS.mmm, Beijing
    who: str
    what: str
    outcome: str

    def __str__(self) -> str:
        return f"| {self.time} | {self.who} | {self.what} | {self.outcome} |"


@dataclasses.dataclass(frozen=True)
class Table:
    """One trading day, as the rulebook has it."""

    date: datetime.date
    first: int  # lines of the file: [first, end)
    end: int
    rows: tuple[Row, ...]


@dataclasses.dataclass(frozen=True)
class Story:
    """The tables of one profile."""

    profile: str
    tables: tuple[Table, ...]

    @classmethod
    def load(cls, profile: str, text: str | None = None) -> "Story":
        """From the rulebook. Errors: StoryError naming the line."""
        return cls(profile, tuple(_tables(profile, (RULEBOOK.read_text() if text is None else text).splitlines())))


@dataclasses.dataclass
class Performance:
    """The results of a story."""

    hub: Projections
    commands: np.ndarray  # COMMAND[n], stamped, the schedule's among them
    events: np.ndarray  # EVENT[m]
    tables: list[list[Row]]  # as the rulebook should have them

    def files(self) -> dict[str, str]:
        """Name -> content of the golden files: digests, and the reports of the day for the hub and for each account."""
        digests = {
            "commands": len(self.commands),
            "events": len(self.events),
            "events_digest": digest(self.events),
            "state_digest": self.hub.digest(),
        }
        reports = {f"{account.name}.csv": self.hub.statements.csv(number) for number, account in enumerate(ACCOUNTS)}
        return {
            "digests.txt": "".join(f"{name} {value}\n" for name, value in digests.items()),
            "hub.csv": self.hub.statements.csv(),
            **reports,
        }


def digest(events: np.ndarray) -> str:
    """Of the bytes of EVENT rows."""
    return hashlib.blake2b(events.tobytes(), digest_size=16).hexdigest()


# The rulebook -------------------------------------------------------------------------------------


def _tables(profile: str, lines: list[str]) -> Iterator[Table]:
    """The tables below "### ... (profile)", one below each "#### yyyy-mm-dd"."""
    date, inside, number = None, False, 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(("## ", "### ")):
            inside, date = line.startswith("### ") and line.endswith(f"({profile})"), None
        elif inside and (heading := re.match(r"#### (\d{4}-\d\d-\d\d)", line)):
            date = datetime.date.fromisoformat(heading[1])
        elif inside and date and line.startswith("|"):
            first = number + 2  # below the head and its rule
            end = next((at for at in range(first, len(lines)) if not lines[at].startswith("|")), len(lines))
            yield Table(date, first, end, tuple(_row(lines[at], at + 1) for at in range(first, end)))
            number = end
            continue
        number += 1


def _row(line: str, number: int) -> Row:
    cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
    if len(cells) != 4:
        raise StoryError(f"line {number}: {len(cells)} columns, must be 4: {line}")
    return Row(*cells)


# The hub ------------------------------------------------------------------------------------------


def catalogue(profile: str) -> Catalogue:
    """The hub's own, cut to the days of the story: it opens the day before."""
    return dataclasses.replace(read_catalogue(profile=profile, until=UNTIL), opens=OPENS)


def new_hub(terms: Catalogue) -> Projections:
    """A hub of the story's accounts that has seen no command."""
    return Projections(
        Exchange(terms.instruments, ACCOUNTS, max_orders=_MAX_ORDERS),
        Blotter(_MAX_ORDERS, history=1 << 12, trades=1 << 12),
        MarketData(terms.instruments),
        Surveillance(terms.instruments, ACCOUNTS, MAKERS),
    )


class Stage:
    """A hub, its schedule in market time, and the tables as they are made."""

    def __init__(self, profile: str) -> None:
        schedule = Schedule(catalogue(profile))
        instruments = schedule.catalogue.instruments
        self.hub = new_hub(schedule.catalogue)
        begin = schedule.day(schedule.opens)[0].time
        self._schedule = schedule
        self._driver = Driver(schedule, schedule.opens, begin, factor=1, market_ns=begin, idle_ns=None)
        names = [account.name for account in ACCOUNTS]
        self._grammar = Grammar(instruments, names)
        self._narration = Narration(instruments, names, self._name)
        self._touched: set[int] = set()
        self.commands: list[np.ndarray] = []
        self.events: list[np.ndarray] = []
        self.time = begin

    def _name(self, order_id: int) -> str | None:
        return next((name for name, order in self._grammar.orders.items() if order.order_id == order_id), None)

    def _apply(self, block: np.ndarray, time: int) -> np.ndarray:
        block = block.copy()
        block["sequence"] = self.hub.exchange.sequence + 1 + np.arange(len(block))
        block["time"] = time
        events = self.hub.apply(block)
        self._driver.heard(events)
        self.commands.append(block)
        self.events.append(events)
        return events

    def begin(self, date: datetime.date) -> list[Row]:
        """Run until a trading day begins. Returns the rows of the schedule until then."""
        begin = self._schedule.day(date)[0].time
        rows = self.wait(begin - 1)
        self.time = begin
        return rows

    def moment(self, clock: str) -> int:
        """The next moment at which a clock in Beijing shows this time."""
        if not (match := re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:\.(\d{3}))?)?", clock)):
            raise StoryError(f"time is {clock!r}, must be HH:MM, HH:MM:SS or HH:MM:SS.mmm")
        hours, minutes, seconds, thousandths = (int(part or 0) for part in match.groups())
        wanted = (((hours - 8) * 60 + minutes) * 60 + seconds) * 1_000_000_000 + thousandths * 1_000_000
        return self.time + (wanted - self.time) % _DAY_NS

    def wait(self, time: int) -> list[Row]:
        """Take the steps of the schedule that are due. Returns a row for each that had an effect."""
        rows = []
        while (upcoming := self._driver.upcoming) is not None:
            due = self._driver.due(min(upcoming[0], time))
            for step in due:
                events = self._apply(step.commands, step.time)
                if text := self._narration.of_step(events, self._touched):
                    rows.append(Row(f"{beijing(step.time):%H:%M}", SCHEDULE, _called(step), text))
            if upcoming[0] > time and not due:
                break
        self.time = time
        return rows

    def act(self, row: Row) -> Row:
        """Play a row of the story. Returns it with its result."""
        outcomes = []
        for clause in row.what.split("; "):
            command = self._grammar.read(clause, row.who)
            if command["instrument"][0] != ALL:
                self._touched.add(int(command["instrument"][0]))
            self._grammar.name(command[0], self.hub.exchange.sequence + 1)
            outcomes.append(self._narration.of_command(command[0], self._apply(command, self.time)))
        return dataclasses.replace(row, outcome="; ".join(outcomes))


def _called(step: Step) -> str:
    """A step in short form: phases without instruments."""
    phases = sorted((phase.name.lower().replace("_", " ") for phase in Phase), key=len, reverse=True)
    parts = [
        next((phase for phase in phases if part.startswith(f"{phase} ")), part) for part in step.description.split("; ")
    ]
    return ", ".join(dict.fromkeys(parts))


def perform(story: Story) -> Performance:
    """Play a story from its first table to its last row. Errors: StoryError naming the row."""
    stage = Stage(story.profile)
    tables: list[list[Row]] = []
    for table in story.tables:
        before = stage.begin(table.date)
        if tables:
            tables[-1] += before
        rows: list[Row] = []
        for row in table.rows:
            if row.who == SCHEDULE:
                continue
            try:
                rows += [*stage.wait(stage.moment(row.time)), stage.act(row)]
            except ValueError as error:
                raise StoryError(f"{story.profile} {table.date} {row.time} {row.who}: {error}") from error
        tables.append(rows)
    return Performance(stage.hub, np.concatenate(stage.commands), np.concatenate(stage.events), tables)


def rewritten(text: str, story: Story, tables: list[list[Row]]) -> str:
    """The rulebook with these tables."""
    lines = text.splitlines()
    for table, rows in reversed(list(zip(story.tables, tables, strict=True))):
        lines[table.first : table.end] = map(str, rows)
    return "\n".join(lines) + "\n"


def write() -> None:
    """Rewrite the tables of the rulebook and the golden files."""
    for profile in PROFILES:
        text = RULEBOOK.read_text()
        story = Story.load(profile, text)
        performance = perform(story)
        RULEBOOK.write_text(rewritten(text, story, performance.tables))
        (GOLDEN / profile).mkdir(exist_ok=True)
        for name, content in performance.files().items():
            (GOLDEN / profile / name).write_text(content)


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.golden.story --write")
    write()
