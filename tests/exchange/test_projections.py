"""exchange/projections/projections.py: projections always equal the engine's state, also after a snapshot."""

from collections.abc import Iterator

import numpy as np
import pytest

from exchange.engine.lanes import locate
from exchange.projections.blotter import Blotter, OrderState
from exchange.projections.marketdata import MarketData
from exchange.projections.projections import Projections
from matching.records import PARKED
from tests.build import existing
from tests.matching.flow import Flow, engine, random_flow


def projections(flow: Flow) -> Projections:
    exchange = engine(flow)
    return Projections(exchange, Blotter(flow.max_orders), MarketData(flow.instruments))


def batches(flow: Flow, seed: int) -> Iterator[np.ndarray]:
    rng, at = np.random.default_rng(seed), 0
    while at < len(flow.commands):
        size = int(rng.choice((1, 2, 9, 40)))
        yield flow.commands[at : at + size]
        at += size


def agree(hub: Projections) -> int:
    """Compare the engine with the projections: levels, phases, and every resting or parked order."""
    exchange = hub.exchange
    for number, terms in enumerate(exchange.instruments):
        for mine, theirs in zip(hub.market_data.book(number)[:2], exchange.depth(terms.symbol, 1 << 12), strict=True):
            assert mine.tolist() == list(zip(theirs["price"].tolist(), theirs["quantity"].tolist(), strict=True))
        assert hub.market_data.phase(number) == exchange.phase(terms.symbol)
    opened = np.concatenate([hub.blotter.open_orders(number) for number in range(len(exchange.accounts))])
    assert len(opened) == exchange.book.state[0].orders
    for entry in opened:
        order = existing(exchange.order(int(entry.order_id)))
        for name in ("price", "quantity", "leaves_quantity", "account", "instrument", "side", "time_in_force"):
            assert entry[name] == order[name]
        slot = locate(exchange.book, int(entry.order_id))[0]
        parked = exchange.book.orders[slot].terms & PARKED
        assert entry.state == (OrderState.UNTRIGGERED if parked else OrderState.OPEN)
        assert not parked or entry.trigger_price == exchange.book.extras[slot].trigger_price
    return len(opened)


@pytest.mark.compiled
@pytest.mark.parametrize("risk", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_projections_say_what_the_engine_holds_whatever_happens(seed: int, risk: bool) -> None:
    flow = random_flow(seed, 900, risk)
    hub, known = projections(flow), 0
    for commands in batches(flow, seed):
        hub.apply(commands)
        known = max(known, agree(hub))
    assert known > 2
    assert {projection.event_id for projection in hub.all} == {hub.exchange.event_id}


@pytest.mark.compiled
@pytest.mark.parametrize("seed", range(3))
def test_a_snapshot_restores_the_same_projections(seed: int) -> None:
    flow = random_flow(seed, 900, True)
    kept, restored = projections(flow), projections(flow)
    kept.apply(flow.commands[:600])
    restored.restore(kept.state())
    for hub in (kept, restored):
        hub.apply(flow.commands[600:])
        agree(hub)
    assert kept.digest() == restored.digest()
    for one, other in zip(kept.all, restored.all, strict=True):
        if one is not kept.market_data:  # of which only what shows is compared, below
            assert {name: array.tolist() for name, array in one.state().items()} == {
                name: array.tolist() for name, array in other.state().items()
            }
    for number in range(len(flow.instruments)):
        assert kept.market_data.statistics(number) == restored.market_data.statistics(number)
