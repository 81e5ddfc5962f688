"""Flows are the same on every machine, and the engine gives exactly what the oracle of each flow says."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.kernel import prove
from benchmarks.workloads import Outcome, checksum_of, deep_level, mixed, recorded, sweep
from benchmarks.yardstick import Yardstick
from matching.codes import CommandKind, EventKind, TimeInForce

FLOWS = {
    "mixed": lambda: mixed(3000, live=200),
    "many instruments": lambda: mixed(3000, instruments=20, live=400, band=512),
    "hardly any orders": lambda: mixed(2000, live=3),
    "settled": lambda: mixed(3000, live=500, settled=300, amended=0.0),
    "one deep level": lambda: deep_level(2000, depth=300),
    "sweep": lambda: sweep(3000, live=200),
}
RECORDED = np.dtype(
    [
        ("op", "u1"),
        ("side", "u1"),
        ("symbol", "u2"),
        ("account", "u4"),
        ("order_id", "i8"),
        ("price", "i8"),
        ("qty", "i8"),
    ]
)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows are stored in the temporary folder. Here each test has its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture(params=FLOWS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return FLOWS[request.param]


def test_the_engine_meets_the_oracle_with_risk_and_without(make: Callable[..., Any]) -> None:
    flow = make()
    assert flow.outcome.trades > 100 or flow.live < 10
    prove(flow)
    prove(flow.with_client_order_ids())


def test_a_kept_flow_is_the_one_that_was_made(make: Callable[..., Any], tmp_path: Path) -> None:
    made, kept = make(), make()
    assert len(list(tmp_path.glob("*/*.npz"))) == 1
    assert kept.commands.tobytes() == made.commands.tobytes()
    assert replace(kept, commands=made.commands) == made


def test_the_same_seed_gives_the_same_commands_and_another_seed_others(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    again = make()
    assert again.commands.tobytes() == first.commands.tobytes() and again.outcome == first.outcome
    assert mixed(500, seed=4, live=50).commands.tobytes() != mixed(500, seed=3, live=50).commands.tobytes()


def test_a_wrong_outcome_is_reported() -> None:
    flow = mixed(500, live=50)
    with pytest.raises(ValueError, match="the oracle"):
        prove(replace(flow, outcome=replace(flow.outcome, checksum=1)))


def test_the_mix_has_the_documented_shares() -> None:
    flow = mixed(50_000)
    timed = flow.commands[flow.warm :]
    resting = timed["time_in_force"] == TimeInForce.GTC
    shares = [
        float(((timed["kind"] == kind) & rests).mean())
        for kind, rests in (
            (CommandKind.ENTER, resting),
            (CommandKind.CANCEL, True),
            (CommandKind.AMEND, True),
            (CommandKind.ENTER, ~resting),
        )
    ]
    assert shares == pytest.approx([0.54, 0.36, 0.06, 0.04], abs=0.03)


def test_a_settled_flow_never_names_a_young_order() -> None:
    commands = mixed(5000, live=800, settled=400, amended=0.0).commands
    named = commands[commands["order_id"] != 0]
    assert len(named) > 1000
    assert (named["sequence"] - named["order_id"]).min() > 400


def test_the_deep_level_is_one_price_and_stays_deep() -> None:
    flow = deep_level(2000, depth=300)
    assert set(flow.commands["price"].tolist()) == {0, 1 << 15}
    assert 290 <= flow.outcome.orders <= 310


def test_a_sweep_goes_through_a_quarter_of_the_band() -> None:
    prices = sweep(20_000, live=200).commands["price"]
    assert np.ptp(prices[(prices > 1) & (prices < 1 << 16)]) > (1 << 16) / 4


@pytest.mark.parametrize("name", ["mixed", "hardly any orders", "one deep level", "sweep"])
def test_the_yardstick_trades_what_the_engine_trades(name: str) -> None:
    flow = FLOWS[name]()
    if name == "one deep level":  # the yardstick has no amendment that keeps its place
        flow = mixed(1000, live=100)
    exchange = flow.exchange(risk=False)
    events = exchange.apply(flow.commands)
    trades = events[events["kind"] == EventKind.TRADED]
    order = np.cumsum(flow.commands["kind"] == CommandKind.ENTER) - 1
    expected = np.stack(
        [order[trades["resting_order_id"] - 1], order[trades["order_id"] - 1], trades["price"], trades["quantity"]],
        axis=1,
    )
    assert np.array_equal(Yardstick(flow).trades(), expected)


def test_the_yardstick_refuses_several_instruments() -> None:
    with pytest.raises(ValueError, match="2 instruments"):
        Yardstick(mixed(500, instruments=2, live=50))


def test_the_checksum_depends_on_who_traded_with_whom_and_in_which_order() -> None:
    ones = [np.array([1, 2]), np.array([3, 4]), np.array([10, 11]), np.array([5, 6])]
    assert checksum_of(*ones) == 1 * (31 + 51 + 70 + 5) + 2 * (62 + 68 + 77 + 6)
    assert checksum_of(*ones) != checksum_of(*(column[::-1] for column in ones))


def test_a_recorded_flow_is_read_with_its_oracle(tmp_path: Path) -> None:
    rows = np.array(
        [
            (0, 0, 0, 0, 1, 100, 5),  # buy 5 at 100
            (0, 1, 0, 1, 2, 100, 2),  # sell 2 at 100: trades
            (2, 0, 0, 0, 1, 101, 4),  # the buy becomes 4 at 101
            (3, 1, 0, 2, 3, 0, 9),  # sell 9 at any price: 4 trade, the rest is gone
            (0, 1, 0, 1, 4, 103, 1),
            (0, 0, 0, 0, 5, 99, 1),
            (1, 0, 0, 0, 5, 0, 0),
        ],
        RECORDED,
    )
    checksum = 0
    for maker, taker, price, quantity in ((1, 2, 100, 2), (1, 3, 101, 4)):
        checksum = checksum * 1_000_003 + maker * 31 + taker * 17 + price * 7 + quantity
    oracle = {"trades": 2, "volume": 6, "notional": 604, "live": 1, "checksum": checksum}
    np.save(tmp_path / "flow.npy", rows)
    (tmp_path / "flow.json").write_text(json.dumps({"oracle": {"7": oracle}}))
    flow = recorded(tmp_path / "flow.npy")
    assert flow.outcome == Outcome(2, 6, 604, 1, checksum)
    prove(flow)


def test_a_recorded_flow_without_its_oracle_is_refused_by_name(tmp_path: Path) -> None:
    np.save(tmp_path / "flow.npy", np.zeros(1, RECORDED))
    with pytest.raises(ValueError, match=r"flow\.json: no oracle for 1 rows"):
        recorded(tmp_path / "flow.npy")
