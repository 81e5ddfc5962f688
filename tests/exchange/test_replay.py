"""Replay: half an hour of a real venue through the journal and the machine, and journals of hubs applied again."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from exchange import Exchange
from exchange.journal import snapshot
from exchange.journal.journal import NO_CONFIGURATION, Journal, JournalCorrupt, JournalMismatch, JournalUnreadable
from exchange.replay.formats import Flow
from exchange.replay.replay import Report, replay, replay_journal, run
from exchange.replay.report import main, render
from matching.codes import Reason
from tests.build import existing
from tests.exchange.recorded import ASK, BID, PRICE, changed, closed, created, deleted, flow, id_of, rebuilt

pytestmark = pytest.mark.compiled


def machine(flow: Flow) -> Exchange:
    return Exchange(flow.instruments, flow.accounts)


def quiet(flow: Flow, **options: Any) -> Report:
    """A replay without a journal."""
    return replay(flow, machine(flow), **options)


# The sample ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replayed")


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    with Journal.open(str(folder))[0] as journal:
        return replay(flow(), machine(flow()), journal)


def test_the_hub_makes_all_284_trades_of_the_venue_in_its_order_and_no_other(report: Any) -> None:
    assert report.comparison.identical == 284
    assert report.comparison.missing == ()
    assert report.comparison.extra == ()
    assert report.comparison.in_order
    assert report.trades == 284
    assert str(report.volume["BTC_USD"]) == "15.02983915"


def test_every_reject_is_counted_under_its_reason(report: Any) -> None:
    assert report.rejects == {
        Reason.UNKNOWN_ORDER: 100_518,
        Reason.PRICE_BELOW_BAND: 482,
        Reason.PRICE_ABOVE_BAND: 271,
        Reason.POST_ONLY_WOULD_TRADE: 100_518,
    }
    assert report.cancels_of_refused == 100_518
    assert report.commands == 306_980
    assert report.accepted == 156_900 - 482 - 271 - 100_518
    assert report.events == report.commands + report.trades


def test_every_post_only_order_that_the_hub_refuses_was_taken_back_by_the_venue_in_the_same_ms(report: Any) -> None:
    comparison = report.comparison
    assert (comparison.refused_by_both, comparison.refused_by_hub, comparison.refused_by_venue) == (100_518, 0, 410)


def test_the_book_at_the_end_is_the_venues_but_for_the_orders_outside_the_band(report: Any) -> None:
    comparison = report.comparison
    assert (comparison.resting_identical, comparison.resting_refused) == (5_763, 482 + 271)
    assert comparison.resting_differ == ()


def test_the_same_flow_gives_the_same_digests_again_whatever_the_batch_and_with_no_journal(report: Any) -> None:
    for batch in (1_000, 306_980):
        again = quiet(flow(), batch=batch)
        assert (again.digest, again.event_digest) == (report.digest, report.event_digest)


def test_every_command_went_to_the_journal_and_the_journal_replays_to_the_same_digests(
    report: Any, folder: Path
) -> None:
    told = []
    again = replay_journal(
        str(folder), lambda: machine(flow()), every=100_000, on_digest=lambda *progress: told.append(progress)
    )
    assert (again.digest, again.event_digest, again.commands) == (report.digest, report.event_digest, 306_980)
    assert (again.rejects, again.cancels_of_refused) == (report.rejects, report.cancels_of_refused)
    assert again.comparison is None
    assert [sequence for sequence, _ in again.digests] == [100_000, 200_000, 300_000]
    assert told == list(again.digests)


def test_risk_is_on_and_ends_with_the_exposure_of_the_open_orders() -> None:
    exchange = machine(flow())
    replay(flow(), exchange)
    resting = exchange.orders("BTC_USD")
    exposure = exchange.positions(0)[0]
    assert exposure.position == 0  # the only account is on both sides of every trade
    for side, held in ((BID, exposure.open_buy), (ASK, exposure.open_sell)):
        assert held == resting["leaves_quantity"][resting["side"] == side].sum() > 0


# Differences and their causes ---------------------------------------------------------------------

OPENING = (created(1, 0, BID, PRICE, 7), created(2, 0, BID, PRICE, 7))  # two bids, the first is older


def difference(*rows: tuple[Any, ...], tape: tuple[Any, ...]) -> tuple[Any, ...]:
    """The only missing and the only extra trade, as (taker, maker, quantity, cause), or None."""
    comparison = existing(quiet(rebuilt(*OPENING, *rows, tape=tape)).comparison)
    found: list[Any] = []
    for differences in (comparison.missing, comparison.extra):
        assert len(differences) <= 1
        found += [(one.taker_id, one.maker_id, one.quantity, one.cause) for one in differences] or [None]
    return tuple(found)


def test_equal_trades_do_not_differ() -> None:
    assert difference(created(3, 10, ASK, PRICE, 5), tape=((3, 1, PRICE, 5),)) == (None, None)


def test_the_same_orders_with_another_quantity_are_missing_and_extra() -> None:
    assert difference(created(3, 10, ASK, PRICE, 5), tape=((3, 1, PRICE, 4),)) == (
        (3, 1, 4, f"the two traded 5 lots at {PRICE} here"),
        (3, 1, 5, f"the two traded 4 lots at {PRICE} at the venue"),
    )


def test_a_taker_that_met_another_maker_is_reported_with_that_maker() -> None:
    assert difference(created(3, 10, ASK, PRICE, 5), tape=((3, 2, PRICE, 5),)) == (
        (3, 2, 5, "the taker traded with order 1 here"),
        (3, 1, 5, "the taker traded with order 2 at the venue"),
    )


def test_a_trade_that_only_the_hub_made_is_extra() -> None:
    assert difference(created(3, 10, ASK, PRICE, 5), tape=()) == (None, (3, 1, 5, "neither order traded at the venue"))


def test_a_trade_of_orders_that_did_not_meet_is_missing() -> None:
    assert difference(created(3, 10, ASK, PRICE + 1, 5), tape=((3, 1, PRICE, 5),)) == (
        (3, 1, 5, "the two orders did not meet here, nor any other"),
        None,
    )


def test_a_trade_of_an_order_that_the_recording_does_not_show_is_missing() -> None:
    assert difference(tape=((3, 1, PRICE, 5),)) == ((3, 1, 5, "the recording does not show the taker's order"), None)


def test_a_trade_of_an_order_that_was_left_out_is_missing() -> None:
    order = id_of(5)
    missing, extra = difference(deleted(order, 20, ASK, PRICE, 0), tape=((order, 1, PRICE, 5),))
    assert missing[:3] == (order, 1, 5) and extra is None
    assert missing[3].startswith("the taker's order was left out: nothing left of it when first seen")


def test_a_trade_of_an_order_that_the_hub_refused_is_missing() -> None:
    assert difference(created(3, 10, ASK, PRICE, 5), deleted(3, 20, ASK, PRICE, 5), tape=((1, 3, PRICE, 5),)) == (
        (1, 3, 5, "the hub refused the maker's order: POST_ONLY_WOULD_TRADE"),
        None,
    )


def test_identical_trades_in_another_order_are_reported() -> None:
    rows = (*OPENING, created(3, 10, ASK, PRICE, 7), created(4, 11, ASK, PRICE, 7))
    swapped = existing(quiet(rebuilt(*rows, tape=((4, 2, PRICE, 7), (3, 1, PRICE, 7)))).comparison)
    assert (swapped.identical, swapped.in_order) == (2, False)


def test_orders_open_on_one_side_only_or_with_another_quantity_are_reported() -> None:
    flow = rebuilt(
        *OPENING,
        created(3, 10, BID, PRICE - 1, 4),
        created(4, 11, ASK, PRICE, 7),
        changed(4, 12, ASK, PRICE, 3),
        created(5, 13, BID, 5, 1),
        closed(2, BID, PRICE, 6),
        closed(1, BID, PRICE, 7),
        closed(5, BID, 5, 1),
    )
    comparison = existing(quiet(flow).comparison)
    assert [(one.taker_id, one.quantity, one.cause) for one in comparison.resting_differ] == [
        (1, 7, "open at the venue only"),
        (2, 6, "7 lots are open here"),
        (3, 4, "open here only"),
    ]
    assert (comparison.resting_identical, comparison.resting_refused) == (0, 1)


# Speed and batches --------------------------------------------------------------------------------


class Clock:
    """A clock that moves only during a sleep."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


def test_at_a_speed_no_batch_comes_before_its_recorded_time() -> None:
    clock, done = Clock(), []
    flow = rebuilt(
        *OPENING,
        created(3, 1_000, ASK, PRICE + 1, 5),
        created(4, 1_000, ASK, PRICE + 1, 5),
        created(5, 4_000, ASK, PRICE + 1, 5),
    )
    report = quiet(
        flow,
        speed=2,
        clock=clock,
        sleep=clock.sleep,
        progress=lambda count, total: done.append((clock.now, count, total)),
    )
    assert clock.slept == pytest.approx([0.5, 1.5], abs=1e-5)
    assert [(round(now, 3), count, total) for now, count, total in done] == [
        (1000.0, 2, 5),
        (1000.5, 4, 5),
        (1002.0, 5, 5),
    ]
    assert report.machine_seconds == report.path_seconds == 0
    assert report.digest == quiet(flow).digest


def test_batches_are_no_larger_than_asked_for() -> None:
    done = []
    quiet(rebuilt(*OPENING, created(3, 1, BID, PRICE, 1)), batch=2, progress=lambda count, _: done.append(count))
    assert done == [2, 3]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch": 0}, "batch is 0, must be at least 1"),
        ({"speed": 0.0}, "speed is 0.0, must be above 0"),
        ({"speed": float("nan")}, "speed is nan"),
        ({"speed": float("inf")}, "speed is inf"),
    ],
)
def test_a_wrong_option_is_named_and_nothing_is_applied(options: dict[str, Any], message: str) -> None:
    exchange = machine(rebuilt(*OPENING))
    with pytest.raises(ValueError, match=message):
        replay(rebuilt(*OPENING), exchange, **options)
    assert exchange.sequence == 0


def test_an_exchange_that_has_seen_commands_is_refused() -> None:
    exchange = machine(rebuilt(*OPENING))
    replay(rebuilt(*OPENING), exchange)
    with pytest.raises(ValueError, match="exchange: has applied 2 commands, must be new"):
        replay(rebuilt(*OPENING), exchange)


# A hub's journal ----------------------------------------------------------------------------------


def journaled(folder: Path, flow: Flow, **options: Any) -> Report:
    with Journal.open(str(folder), **options)[0] as journal:
        return replay(flow, machine(flow), journal, batch=1)


def test_a_journal_whose_beginning_was_pruned_continues_from_the_oldest_snapshot_that_reaches_it(
    tmp_path: Path,
) -> None:
    flow = rebuilt(*OPENING, *(created(order, order, ASK, PRICE + order, 1) for order in range(3, 30)))
    expected = journaled(tmp_path, flow, segment_bytes=1024)
    exchange = machine(flow)
    exchange.apply(flow.commands[:20])
    snapshot.write(str(tmp_path), exchange.state(), 20, 0, exchange.digest())
    for path in sorted(tmp_path.glob("*.journal"))[:2]:
        path.unlink()
    again = replay_journal(str(tmp_path), lambda: machine(flow), every=10)
    assert (again.commands, again.digest) == (9, expected.digest)
    assert again.digests == ()
    next(tmp_path.glob("*.snapshot")).unlink()
    with pytest.raises(JournalCorrupt):
        replay_journal(str(tmp_path), lambda: machine(flow))


def test_a_journal_that_is_not_there_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalUnreadable):
        replay_journal(str(tmp_path / "nowhere"), lambda: machine(rebuilt(*OPENING)))
    journaled(tmp_path, rebuilt(*OPENING))
    path = sorted(tmp_path.glob("*.journal"))[0]
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)
    with pytest.raises(JournalCorrupt):
        replay_journal(str(tmp_path), lambda: machine(rebuilt(*OPENING)))


def test_a_journal_of_another_configuration_is_refused_before_its_first_row(tmp_path: Path) -> None:
    flow = rebuilt(*OPENING)
    expected = journaled(tmp_path, flow, config_hash=b"a" * 32)
    assert replay_journal(str(tmp_path), lambda: machine(flow), b"a" * 32).digest == expected.digest
    for config_hash in (b"b" * 32, NO_CONFIGURATION):
        with pytest.raises(JournalMismatch, match="written under configuration 61616161"):
            replay_journal(str(tmp_path), lambda: pytest.fail("an exchange was made"), config_hash)


def test_a_journal_needs_its_exchange() -> None:
    with pytest.raises(ValueError, match="make_exchange: none given"):
        run("data")


# For people ---------------------------------------------------------------------------------------


def shown(report: Report) -> str:
    text = io.StringIO()
    render(report, Console(file=text, width=200))
    return text.getvalue()


def test_the_table_has_trades_rejects_tape_rates_and_digest(report: Any) -> None:
    text = shown(report)
    for line in (
        "306,980",
        "15.02983915 of BTC_USD",
        "404 PRICE_BELOW_BAND: below the lowest price of the band",
        "284 of 284",
        "by the venue only 410, by the hub only 0",
        "commands a second",
        report.digest,
    ):
        assert line in text


def test_the_table_lists_what_differs_with_its_cause() -> None:
    text = shown(quiet(rebuilt(*OPENING, created(3, 10, ASK, PRICE, 5), tape=((3, 1, PRICE, 4),))))
    assert f"taker 3, maker 1: 4 lots at {PRICE}: the two traded 5 lots at {PRICE} here" in text
    assert f"taker 3, maker 1: 5 lots at {PRICE}: the two traded 4 lots at {PRICE} at the venue" in text


def test_a_long_list_of_differences_is_cut_in_the_table_but_not_in_the_json() -> None:
    tape = tuple((order, 1, PRICE, 1) for order in range(100, 130))
    report = quiet(rebuilt(*OPENING, tape=tape))
    assert "and 10 more" in shown(report)
    assert len(report.as_json()["comparison"]["missing"]) == 30


def test_the_command_prints_the_report_and_writes_it_as_json(tmp_path: Path) -> None:
    flow = rebuilt(*OPENING)
    expected = journaled(tmp_path / "hub", flow)
    text = io.StringIO()
    code = main(
        str(tmp_path / "hub"),
        lambda: machine(flow),
        every=1,
        json_file=str(tmp_path / "report.json"),
        console=Console(file=text, width=200),
    )
    assert code == 0
    assert expected.digest in text.getvalue()
    written = json.loads((tmp_path / "report.json").read_text())
    assert (written["commands"], written["digest"], len(written["digests"])) == (2, expected.digest, 2)


def test_a_users_mistake_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    text = io.StringIO()
    consoles: dict[str, Any] = {"console": Console(file=io.StringIO()), "errors": Console(file=text, width=80)}
    nowhere, hub = str(tmp_path / "nowhere"), lambda: machine(rebuilt(*OPENING))
    assert main(nowhere, hub, **consoles) == JournalUnreadable.exit_code
    assert main(nowhere, hub, every=-1, **consoles) == 2
    lines = text.getvalue().splitlines()
    assert len(lines) == 2 and nowhere in lines[0] and lines[1] == "replay: every is -1, must be 0 or more"
