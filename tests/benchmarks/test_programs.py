"""The benchmark programs, on tiny sizes, run and report their results."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import auction, gateway, kernel, measure, memory
from benchmarks.load import percentiles, schedule
from benchmarks.workloads import deep_level, mixed

TINY = gateway.Plan(
    repeats=1, round_trips=30, pipelined=200, rung_seconds=0.1, rows=2_560, orders=3_000, live=600, settled=300
)


def test_a_summary_is_the_median_with_the_extremes() -> None:
    assert measure.summary([3.0, 1.0, 10.0]) == (3.0, 1.0, 10.0, 3)
    assert f"{measure.summary([3.0, 1.0, 10.0]):.1f}" == "3.0 (1.0-10.0)"
    with pytest.raises(ValueError, match="none given"):
        measure.summary([])


def test_programs_that_are_compared_run_in_turn() -> None:
    calls = []

    def program(name: str, seconds: float) -> float:
        calls.append(name)
        return seconds

    seconds = measure.alternate({"a": partial(program, "a", 2.0), "b": partial(program, "b", 1.0)}, 2)
    assert calls == ["a", "b", "a", "b"]
    assert measure.ratios(seconds["b"], seconds["a"]).median == 2.0


def test_a_result_is_stored_with_its_spread(tmp_path: Path) -> None:
    path = measure.store(
        "some", {"rate": measure.summary([1.0, 2.0, 3.0]), "machine": measure.machine()}, tmp_path / "results"
    )
    stored = json.loads(path.read_text())
    assert stored["rate"] == {"median": 2.0, "low": 1.0, "high": 3.0, "runs": 3}
    assert {"cpu", "cores", "python", "numba", "numpy", "load"} <= stored["machine"].keys()


def test_a_table_has_a_line_for_each_row() -> None:
    assert measure.table(("", "ns"), [("match", "12")]).splitlines() == [
        "|       | ns |",
        "|-------|---:|",
        "| match | 12 |",
    ]


def test_the_auction_program_measures_what_it_has_proved() -> None:
    result = {"machine": measure.machine(), **auction.measure_auction(2_000, 1)}
    assert result["trades"] > 500
    for words in ("2,000 orders", "indicative price", "risk=False"):
        assert words in auction.report(result)


def test_an_auction_with_another_outcome_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    right = auction.expected
    monkeypatch.setattr(auction, "expected", lambda *given: right(*given)._replace(price=1))
    with pytest.raises(ValueError, match="expected \\(1, "):
        auction.measure_auction(500, 1)


def test_the_kernel_program_measures_what_it_has_proved() -> None:
    flow = mixed(2_000, live=100)
    result: dict[str, Any] = {
        "machine": measure.machine(),
        "ratios": [kernel.measure_ratio(flow, 1)],
        "batches": kernel.measure_batches(flow, 1),
        "hard": kernel.measure_hard([flow, deep_level(500, depth=100), mixed(500, instruments=3, live=50)], 1),
        "memory": {"resting": memory.resting(10_000), "growth": memory.growth(flow, 10_000)},
    }
    assert result["memory"]["growth"]["commands"] >= 10_000
    assert result["ratios"][0]["trades"] == flow.outcome.trades
    text = kernel.report(result)
    for words in ("times the yardstick", "ns a command", "one level, 100 orders", "bytes a resting order"):
        assert words in text


def test_the_kernel_program_names_a_flow_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernel.main(["--quick", "--flow", "nowhere.npy"]) == 2
    assert "nowhere.npy" in capsys.readouterr().err


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", "5000", "5000"], check=True, capture_output=True, text=True
    )
    assert json.loads(result.stdout)["resting"]["orders"] >= 5_000


def test_an_open_loop_is_a_poisson_process_known_before_it_starts() -> None:
    due = schedule(10_000, 5_000, seed=7)
    assert np.array_equal(due, schedule(10_000, 5_000, seed=7))
    assert (np.diff(due) >= 0).all()
    assert due[-1] == pytest.approx(2e9, rel=0.05)


def test_a_stall_of_a_closed_loop_counts_for_every_frame_due_in_it() -> None:
    latencies = [1_000_000] * 99 + [100_000_000]
    assert percentiles(latencies)["p90"] == pytest.approx(1, rel=0.01)
    assert percentiles(latencies, 1_000_000)["p90"] == pytest.approx(80, rel=0.05)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Everything the gateway program measures, on tiny sizes, against real hubs."""
    data = tmp_path_factory.mktemp("hub")
    ladders = pytest.MonkeyPatch()
    ladders.setattr(gateway, "RATES", (500, 1_000))
    ladders.setattr(gateway, "ROW_RATES", (10_000, 25_000))
    result: dict[str, Any] = {
        "machine": measure.machine(),
        "disk_milliseconds": gateway.disk(data),
        "steps": gateway.measure_steps(data, TINY),
    }
    result["JSON, fsync on"] = gateway.measure_json(partial(gateway.hub, data), TINY)
    result["binary, fsync off"] = gateway.measure_binary(partial(gateway.hub, data, "--volatile"), TINY)
    ladders.undo()
    assert list(data.iterdir()) == []
    return result


def test_no_order_of_the_gateway_program_is_refused(measured: Any) -> None:
    for kind in ("JSON, fsync on", "binary, fsync off"):
        for name, runs in measured[kind].items():
            for each in runs["rungs"] if name == "ladder" else [runs]:
                assert each["errors"] == 0 and each["rate"].median > 0, (kind, name)


def test_the_steps_of_an_order_are_reported(measured: Any) -> None:
    for name, steps in measured["steps"].items():
        reported = steps["nanoseconds_per_command"]
        assert steps["commands"] > 0
        assert {
            "decode, check, row",
            "journal write",
            "machine",
            "blotter",
            "market data and feed",
            "socket out",
            "fdatasync (its own thread)",
        } <= reported.keys(), name


def test_the_report_names_every_line(measured: Any) -> None:
    text = gateway.report(measured)
    for words in (
        "JSON, fsync on, 1 in flight",
        "binary, fsync off, 96 frames in flight",
        "offered 500/s",
        "rows a batch",
    ):
        assert words in text


def test_a_profile_names_functions(tmp_path: Path) -> None:
    paths = gateway.profile(tmp_path / "data", tmp_path / "profiles", TINY)
    assert all("tottime" in path.read_text() for path in paths)
