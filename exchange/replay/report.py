"""A replay's report for people: the table that an operator can publish, and what `qiee replay` does on a terminal.

exit_code = main()                                   # the sample capture
exit_code = main("data", make_exchange, config_hash, every=50_000)
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from exchange.engine.machine import Exchange
from exchange.journal.journal import NO_CONFIGURATION, JournalError
from exchange.replay.comparison import Comparison, Difference
from exchange.replay.formats import CaptureError
from exchange.replay.replay import BATCH, Report, run
from matching.codes import Reason

# What an operator wants to know about a reason beside its name.
_NOTES = {
    Reason.PRICE_BELOW_BAND: "below the lowest price of the band",
    Reason.PRICE_ABOVE_BAND: "above the highest price of the band",
    Reason.POST_ONLY_WOULD_TRADE: "a post-only order that would have taken liquidity",
    Reason.UNKNOWN_ORDER: "the order to be canceled or amended was not open",
}
_SHOWN = 20  # differences of a kind that the table lists; the JSON has all
_WRONG_ARGUMENT = 2


def main(
    journal: str | None = None,
    make_exchange: Callable[[], Exchange] | None = None,
    config_hash: bytes = NO_CONFIGURATION,
    *,
    speed: float | None = None,
    batch: int = BATCH,
    every: int = 100_000,
    json_file: str | None = None,
    console: Console | None = None,
    errors: Console | None = None,
) -> int:
    """`qiee replay`: a progress bar, then the report. A user's mistake is one line on `errors`, by default stderr.

    journal, make_exchange, config_hash, speed, batch, every    as in replay.run
    json_file    where the report is also written, as JSON; None: nowhere
    Returns      the exit code: 0, or that of the error
    """
    console, errors = console or Console(), errors or Console(stderr=True)
    try:
        console.print("loading the recording and the engine (compiled once, which takes up to a minute)")
        with Progress(
            TextColumn("replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as bar:
            task = bar.add_task("", total=None)
            report = run(
                journal,
                make_exchange,
                config_hash,
                speed=speed,
                batch=batch,
                every=every,
                progress=lambda done, total: bar.update(task, completed=done, total=total),
                on_digest=lambda sequence, digest: bar.console.print(f"{sequence:>12,}  {digest}"),
            )
        render(report, console)
        if json_file is not None:
            Path(json_file).write_text(json.dumps(report.as_json(), indent=2) + "\n")
    except (CaptureError, JournalError) as error:
        return _refuse(errors, error, error.exit_code)
    except ValueError as error:
        return _refuse(errors, error, _WRONG_ARGUMENT)
    except OSError as error:
        return _refuse(errors, error, 1)
    return 0


def _refuse(errors: Console, error: Exception, exit_code: int) -> int:
    errors.print(f"replay: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    return exit_code


def render(report: Report, console: Console | None = None) -> None:
    """Print what was replayed, what was refused and why, and what differs from the venue."""
    table = Table(show_header=False, title="Replay", title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for name, value, note in _lines(report):
        table.add_row(name, value, note)
    (console or Console()).print(table)


def _lines(report: Report) -> Iterator[tuple[str, str, str]]:
    volume = ", ".join(f"{volume.normalize():f} of {symbol}" for symbol, volume in report.volume.items())
    yield "commands", f"{report.commands:,}", ""
    yield "events", f"{report.events:,}", ""
    yield "accepted", f"{report.accepted:,}", "orders that came in"
    yield "trades", f"{report.trades:,}", volume
    for reason, count in report.rejects.items():
        note = _NOTES.get(reason, "")
        if reason is Reason.UNKNOWN_ORDER:
            note += f"; {report.cancels_of_refused:,} of them had been refused when they came in"
        yield "rejected", f"{count:,}", f"{reason.value} {reason.name}" + (f": {note}" if note else "")
    for cause in dict.fromkeys(order.cause for order in report.left_out):
        orders = [str(order.venue_id) for order in report.left_out if order.cause == cause]
        yield "left out", f"{len(orders):,}", f"{cause}: {', '.join(orders[:_SHOWN])}"
    if report.comparison:
        yield from _compared(report.comparison)
    yield "machine alone", f"{report.machine_rate:,.0f}", f"commands a second ({report.machine_seconds:.3f} s)"
    around = "journaled, synced and applied" if report.comparison else "read and applied"
    yield "whole path", f"{report.path_rate:,.0f}", f"commands a second, {around} ({report.path_seconds:.3f} s)"
    yield "digest", "", f"{report.digest} of the exchange after the last command"
    yield "", "", f"{report.event_digest} of all events"


def _compared(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    of = comparison.identical + len(comparison.missing)
    order = "in the venue's order" if comparison.in_order else "not in the venue's order"
    yield (
        "venue's tape",
        f"{comparison.identical:,} of {of:,}",
        (f"trades identical in taker, maker, price and quantity; {order}"),
    )
    yield from _differences("  missing here", comparison.missing)
    yield from _differences("  extra here", comparison.extra)
    yield (
        "refusals",
        f"{comparison.refused_by_both:,}",
        (
            f"post-only orders refused by both; by the venue only {comparison.refused_by_venue:,}, "
            f"by the hub only {comparison.refused_by_hub:,}"
        ),
    )
    yield (
        "book at the end",
        f"{comparison.resting_identical:,}",
        (f"open orders identical in price and quantity; {comparison.resting_refused:,} more had been refused here"),
    )
    yield from _differences("  different", comparison.resting_differ)


def _differences(name: str, differences: tuple[Difference, ...]) -> Iterator[tuple[str, str, str]]:
    yield name, f"{len(differences):,}", ""
    for difference in differences[:_SHOWN]:
        orders = (
            f"taker {difference.taker_id}, maker {difference.maker_id}"
            if difference.maker_id
            else f"order {difference.taker_id}"
        )
        yield "", "", f"{orders}: {difference.quantity} lots at {difference.price}: {difference.cause}"
    if len(differences) > _SHOWN:
        yield "", "", f"and {len(differences) - _SHOWN:,} more"
