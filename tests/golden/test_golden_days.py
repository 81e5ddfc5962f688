"""The golden days: the hub does what RULEBOOK 15 says, to the last byte.

After a change that should change them: python -m tests.golden.story --write, and read the difference.
"""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange.journal.journal import Journal
from exchange.journal.recovery import recover
from matching.codes import EventKind
from matching.invariants import check_book
from tests.golden import story
from tests.golden.grammar import Grammar, StoryError
from tests.golden.story import GOLDEN, PROFILES, RULEBOOK, Story, catalogue, digest, new_hub, perform, rewritten


@functools.cache
def performed(profile: str) -> Any:
    return perform(Story.load(profile))


@pytest.mark.parametrize("profile", PROFILES)
def test_the_day_happens_as_the_rulebook_says(profile: str) -> None:
    """RULEBOOK 15: every row, the schedule's among them"""
    text = RULEBOOK.read_text()
    expected = rewritten(text, Story.load(profile, text), performed(profile).tables)
    assert expected.splitlines() == text.splitlines()


@pytest.mark.parametrize("profile", PROFILES)
def test_events_state_and_reports_are_the_stored_ones(profile: str) -> None:
    """RULEBOOK 1.1, 11.10"""
    stored = {path.name: path.read_text() for path in (GOLDEN / profile).iterdir()}
    assert performed(profile).files() == stored


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("rows", [7, 1 << 20])
def test_batches_of_any_size_give_the_same_day(profile: str, rows: int) -> None:
    """RULEBOOK 1.1"""
    golden, hub = performed(profile), new_hub(catalogue(profile))
    events = [hub.apply(golden.commands[at : at + rows]) for at in range(0, len(golden.commands), rows)]
    assert digest(np.concatenate(events)) == digest(golden.events)
    assert hub.digest() == golden.hub.digest()
    assert hub.statements.csv() == golden.hub.statements.csv()
    check_book(hub.exchange.book)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_journal_of_the_day_recovers_to_the_same_state_and_reports(profile: str, tmp_path: Path) -> None:
    """RULEBOOK 1.1"""
    golden = performed(profile)
    journal, _ = Journal.open(tmp_path)
    for at in range(0, len(golden.commands), 100):
        journal.append(golden.commands[at : at + 100])
        journal.sync()
    journal.close()
    recovery = recover(tmp_path, lambda: new_hub(catalogue(profile)))
    recovery.journal.close()
    assert recovery.exchange.digest() == golden.hub.digest()
    for account in range(len(story.ACCOUNTS)):
        assert recovery.exchange.statements.csv(account) == golden.hub.statements.csv(account)


@pytest.mark.parametrize("profile", PROFILES)
def test_what_accounts_win_others_lose(profile: str) -> None:
    """RULEBOOK 11.3, 11.4: equity and fees are what was paid in, positions sum to zero"""
    golden = performed(profile)
    events, exchange = golden.events, golden.hub.exchange
    balances, cash = events[events["kind"] == EventKind.BALANCE], events[events["kind"] == EventKind.CASH]
    paid_in = sum(account.equity for account in story.ACCOUNTS) + int(cash["quantity"].sum())
    equity = sum(int(exchange.account(number)["equity"]) for number in range(len(story.ACCOUNTS)))
    assert balances["quantity"].sum() == 0
    assert equity + int(balances["leaves_quantity"].sum()) == paid_in
    held = np.concatenate([exchange.positions(number) for number in range(len(story.ACCOUNTS))])
    for instrument in np.unique(held["instrument"]):
        assert held["position"][held["instrument"] == instrument].sum() == 0


# Rows that cannot be read -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "clause", "message"),
    [
        ("refinery", "buy 20 SC2702 at 519.8, opne", "'opne': no option of an order"),
        ("refinery", "buy 20 SC2699 at 519.8", "'SC2699' is not an instrument"),
        ("refinery", "buy 20 SC2702 at 519.85", "must be a multiple of the tick size 0.1"),
        ("refinery", "buy 20 SC2702 at 519.8, FAK, FOK", "'FOK': time_in_force is said twice"),
        ("refinery", "cancel hope", "'hope' is not an order that was named"),
        ("refinery", "halt SC2702", "nothing that refinery can say"),
        ("refiner", "cancel all in SC2702", "'refiner' is not an account"),
        ("refinery", "buy 20 SC2702 at 519.8, named old", "'old' names another order already"),
        ("operator", "set patience of trader to 3", "'PATIENCE' is not a limit"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(who: str, clause: str, message: str) -> None:
    """RULEBOOK 15.2"""
    grammar = Grammar(catalogue("chinese").instruments, [account.name for account in story.ACCOUNTS])
    grammar.name(grammar.read("buy 1 SC2702 at 519.8, named old", "refinery")[0], 1)
    with pytest.raises(ValueError, match=message):
        grammar.read(clause, who)


def test_a_mistake_in_the_story_names_its_row() -> None:
    """RULEBOOK 15.2"""
    text = RULEBOOK.read_text().replace("buy 20 SC2702 at 519.8, open", "by 20 SC2702 at 519.8, open")
    with pytest.raises(StoryError, match="chinese 2026-12-31 20:56 refinery: 'by 20 SC2702"):
        perform(Story.load("chinese", text))
