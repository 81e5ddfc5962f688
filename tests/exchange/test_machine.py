"""exchange/engine/machine.py: the boundary of the compiled machine, its state, and its promises to the caller."""

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exchange import Account, Exchange
from exchange.engine.lanes import locate
from exchange.engine.machine import DEPTH, POSITION, RESTING
from matching import COMMAND, EVENT
from matching.codes import CommandKind, EventKind, Limit, Phase, Reason, Scope, Side, TimeInForce
from matching.codes import CommandKind as Kind
from matching.invariants import check_book
from matching.records import ICEBERG
from tests.build import account, amend, as_rows, cancel, enter, fields, instrument, operator, rows
from tests.matching.flow import Flow, random_flow

BUY, SELL = Side.BUY, Side.SELL
SEEDS = range(6)
COUNT = 1500
# values of a LIMIT command that mean the same as 1, or that are refused
NO_OTHER = {
    (Limit.ENABLED, 2),
    (Limit.MESSAGE_BURST, 0),
    (Limit.INSTRUMENT_MAX_ORDER_QUANTITY, 0),
    (Limit.PROTECTION_RESET, 0),
    (Limit.PROTECTION_RESET, 2),
}


def flow_exchange(flow: Flow, risk: bool = True) -> Exchange:
    return Exchange(flow.instruments, flow.accounts, risk=risk, max_orders=flow.max_orders)


def split(commands: np.ndarray, rng: Any) -> Iterator[np.ndarray]:
    """The rows cut into batches of random length."""
    begin = 0
    while begin < len(commands):
        end = begin + int(rng.choice((1, 2, 5, 40, 300)))
        yield commands[begin:end]
        begin = end


def two_sided() -> tuple[Any, ...]:
    """An exchange with a bid and an offer from two accounts, and their events."""
    exchange = Exchange([instrument()], [account("A"), account("B")])
    return exchange, exchange.apply(rows(enter(0, BUY, 99, 5), enter(1, SELL, 101, 7)))


# Digest, state, restore


@pytest.mark.compiled
@pytest.mark.parametrize("risk", [True, False], ids=["with risk", "without risk"])
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_rows_in_any_batches_give_the_same_events_and_digest(seed: int, risk: bool) -> None:
    flow = random_flow(seed, COUNT)
    whole, pieces = flow_exchange(flow, risk), flow_exchange(flow, risk)
    events = whole.apply(flow.commands)
    parts = [pieces.apply(batch) for batch in split(flow.commands, np.random.default_rng(seed))]
    assert as_rows(np.concatenate(parts)) == as_rows(events)
    assert pieces.digest() == whole.digest()
    check_book(whole.book)


ORDER = enter(0, BUY, 99, 5, client_order_id=b"a")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ORDER, ORDER | {"price": 98}),
        (ORDER, ORDER | {"quantity": 6}),
        (ORDER, ORDER | {"account": 1}),
        (ORDER, ORDER | {"side": SELL}),
        (ORDER, ORDER | {"instrument": 1}),
        (ORDER, ORDER | {"time_in_force": TimeInForce.GTC}),
        (ORDER, ORDER | {"client_order_id": b"b"}),
        (operator(Kind.PHASE, Phase.HALTED), operator(Kind.PHASE, Phase.CLOSED)),
        (operator(Kind.CASH, account=1, quantity=1), operator(Kind.CASH, account=1, quantity=2)),
        (operator(Kind.CASH, account=1, quantity=1), operator(Kind.CASH, account=0, quantity=1)),
        (operator(Kind.KILL_SWITCH, Scope.HUB, quantity=1), operator(Kind.KILL_SWITCH, Scope.HUB, quantity=0)),
        (operator(Kind.KILL_SWITCH, Scope.FIRM, quantity=1), operator(Kind.KILL_SWITCH, Scope.ACCOUNT, quantity=1)),
        *[
            (operator(Kind.LIMIT, limit, quantity=value), operator(Kind.LIMIT, limit, quantity=1))
            for limit in Limit
            for value in (0, 2)
            if (limit, value) not in NO_OTHER
        ],
    ],
    ids=str,
)
def test_two_states_that_differ_in_one_thing_have_different_digests(one: dict[str, Any], other: dict[str, Any]) -> None:
    digests = set()
    for command in (one, other):
        exchange = Exchange([instrument(), instrument("FU2701")], [account(name, equity=1000) for name in "AB"])
        assert exchange.apply(rows(command))["kind"][0] != EventKind.REJECTED
        digests.add(exchange.digest())
    assert len(digests) == 2


def test_orders_that_changed_places_in_a_queue_change_the_digest() -> None:
    digests = set()
    for older, younger in ((1, 2), (2, 1)):
        exchange = Exchange([instrument()], [account("A")])
        exchange.apply(
            rows(enter(0, BUY, 99, 5), enter(0, BUY, 99, 5), amend(0, older, 98, 5), amend(0, younger, 98, 5))
        )
        digests.add(exchange.digest())
    assert len(digests) == 2


def test_the_digest_depends_on_the_meaning_of_the_state_and_not_on_its_place_in_memory() -> None:
    """Two pools, whose free rows are used in another order, hold the same two orders in other rows."""
    order = enter(0, BUY, 99, 1)
    begun = (
        rows(order, order, cancel(0, 1), cancel(0, 2), order, order),
        rows(order, cancel(0, 1), order, cancel(0, 3), order, order),
    )
    exchanges = [Exchange([instrument()], [account("A")]) for _ in begun]
    for exchange, commands in zip(exchanges, begun, strict=True):
        exchange.apply(commands)
    one, other = exchanges
    assert one.book.orders["order_id"][1:3].tolist() == other.book.orders["order_id"][1:3].tolist()[::-1] == [6, 5]
    assert one.digest() == other.digest()


@pytest.mark.compiled
@pytest.mark.parametrize("risk", [True, False], ids=["with risk", "without risk"])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_restored_exchange_equals_the_first_and_goes_on_equally(seed: int, risk: bool) -> None:
    flow = random_flow(seed, COUNT)
    first, second = flow_exchange(flow, risk), flow_exchange(flow, risk)
    half = COUNT // 2
    first.apply(flow.commands[:half])
    second.restore(first.state())
    assert second.digest() == first.digest() and second.sequence == half and second.event_id == first.event_id
    assert as_rows(second.apply(flow.commands[half:])) == as_rows(first.apply(flow.commands[half:]))
    assert second.digest() == first.digest()
    check_book(second.book)


@pytest.mark.compiled
def test_restoring_replaces_whatever_was_there() -> None:
    flow = random_flow(1, COUNT)
    first, second = flow_exchange(flow), flow_exchange(flow)
    first.apply(flow.commands[:400])
    second.apply(flow.commands)
    second.restore(first.state())
    assert second.digest() == first.digest()
    assert as_rows(second.apply(flow.commands[400:])) == as_rows(first.apply(flow.commands[400:]))


def test_a_state_is_not_changed_by_later_commands() -> None:
    exchange, _ = two_sided()
    state = exchange.state()
    before = {name: array.tobytes() for name, array in state.items()}
    exchange.apply(rows(enter(0, BUY, 101, 9), operator(Kind.END_DAY), start=3))
    assert {name: array.tobytes() for name, array in state.items()} == before


@pytest.mark.parametrize("change", ["missing", "other width", "too many orders"])
def test_a_state_that_does_not_fit_is_refused_and_nothing_changes(change: str) -> None:
    exchange, _ = two_sided()
    other = Exchange(
        [instrument(ceiling=120)] if change == "other width" else [instrument()],
        [account("A"), account("B")],
        max_orders=4,
    )
    if change == "too many orders":
        exchange.apply(rows(*[enter(0, BUY, 95, 1)] * 5, start=3))
    state = exchange.state()
    if change == "missing":
        del state["ledger_exposures"]
    before = other.digest()
    with pytest.raises(ValueError, match="^snapshot array [a-z_]+: .*, must be"):
        other.restore(state)
    assert other.digest() == before and other.sequence == 0


@pytest.mark.compiled
def test_another_process_with_another_hash_seed_has_the_same_digest() -> None:
    program = (
        "from tests.exchange.test_machine import flow_exchange, random_flow\n"
        "flow = random_flow(3, 1500)\nexchange = flow_exchange(flow)\n"
        "exchange.apply(flow.commands)\nprint(exchange.digest())"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }
    flow = random_flow(3, COUNT)
    exchange = flow_exchange(flow)
    exchange.apply(flow.commands)
    assert said == {f"{exchange.digest()}\n"}


# Results belong to the caller


@pytest.mark.compiled
@pytest.mark.parametrize("size", [1, 100, 1000], ids=["copied", "copied", "lent"])
def test_results_that_are_kept_do_not_change(size: int) -> None:
    exchange = Exchange([instrument()], [account("A")])
    kept, copies = [], []
    for number in range(8):
        events = exchange.apply(rows(*[enter(0, BUY, 99, 1 + number)] * size, start=1 + number * size))
        kept.append(events)
        copies.append(events.tobytes())
    assert [events.tobytes() for events in kept] == copies


@pytest.mark.compiled
def test_a_part_of_a_result_keeps_it_alive() -> None:
    exchange = Exchange([instrument()], [account("A")])
    prices = exchange.apply(rows(*[enter(0, BUY, 99, 1)] * 1000))[500:]["price"]
    gc.collect()
    for number in range(1, 6):
        exchange.apply(rows(*[enter(0, BUY, 90 + number, 1)] * 1000, start=1 + 1000 * number))
    assert prices.tolist() == [99] * 500


@pytest.mark.compiled
def test_buffers_of_results_that_were_dropped_are_used_again() -> None:
    exchange = Exchange([instrument()], [account("A")])
    places = set()
    for number in range(8):
        events = exchange.apply(rows(*[enter(0, BUY, 99, 1)] * 1000, start=1 + number * 1000))
        places.add(events.ctypes.data)
        del events
    assert len(places) == 1


def test_a_result_may_be_written_by_its_owner() -> None:
    exchange, _ = two_sided()
    exchange.apply(rows(enter(0, BUY, 98, 1), start=3))["price"] = 7
    assert exchange.apply(rows(cancel(0, 3), start=4))["price"].tolist() == [98]


@pytest.mark.compiled
def test_a_batch_that_gives_more_events_than_a_buffer_holds_is_whole() -> None:
    exchange = Exchange([instrument()], [account("A"), account("B")], max_orders=1 << 12)
    exchange.apply(rows(*[enter(0, SELL, 101, 1)] * 4000))
    sweep = [enter(1, BUY, 101, 4000), *[enter(0, SELL, 101, 1)] * 4000]
    events = exchange.apply(rows(*sweep * 3, start=4001))
    assert (events["kind"] == EventKind.TRADED).sum() == 12000
    assert events["event_id"].tolist() == list(range(4001, 4001 + len(events)))
    assert exchange.event_id == events["event_id"][-1]


# Refused input


def refused(exchange: Exchange, commands: np.ndarray, error: type, message: str) -> None:
    before = exchange.digest()
    with pytest.raises(error, match=message):
        exchange.apply(commands)
    assert exchange.digest() == before


@pytest.mark.parametrize(
    "dtype",
    [np.int64, EVENT, np.dtype([("sequence", "<i8"), ("kind", "u1")])],
    ids=["integers", "events", "other fields"],
)
def test_rows_that_are_no_commands_are_refused(dtype: Any) -> None:
    exchange, _ = two_sided()
    refused(exchange, np.zeros(2, dtype), TypeError, "^commands: dtype .*, must be matching.COMMAND$")


@pytest.mark.parametrize("start", [1, 2, 4, 0, -5, 1 << 30])
def test_a_sequence_that_does_not_continue_is_refused(start: int) -> None:
    exchange, _ = two_sided()
    refused(
        exchange,
        rows(enter(0, BUY, 98, 1), enter(0, BUY, 97, 1), start=start),
        ValueError,
        rf"^sequence of row 0 is {start}, must be 3$",
    )


@pytest.mark.parametrize("sequence", [7, 3, 5])
def test_a_gap_or_a_repeat_among_the_rows_is_refused(sequence: int) -> None:
    exchange, _ = two_sided()
    commands = rows(enter(0, BUY, 98, 1), enter(0, BUY, 97, 1), start=3)
    commands["sequence"][1] = sequence
    refused(exchange, commands, ValueError, f"^sequence of row 1 is {sequence}, must be 4$")


@pytest.mark.parametrize("kind", [Kind.ENTER, Kind.TAKE, Kind.WINDOW], ids=["plain", "any", "operators"])
def test_rows_after_one_out_of_order_are_not_applied(kind: CommandKind) -> None:
    exchange, _ = two_sided()
    commands = rows(*(enter(0, BUY, 98, 1) for _ in range(4)), start=3)
    commands["sequence"] = 3, 5, 4, 6
    commands["kind"][1:3] = kind
    with pytest.raises(ValueError, match="^sequence of row 1 is 5, must be 4$"):
        exchange.apply(commands)
    assert exchange.sequence == 3
    exchange.apply(rows(enter(0, BUY, 97, 1), start=4))


def test_time_that_runs_backwards_between_batches_is_refused() -> None:
    exchange, _ = two_sided()
    refused(
        exchange,
        rows(enter(0, BUY, 98, 1, time=exchange.time - 1), start=3),
        ValueError,
        f"^time of row 0 is {exchange.time - 1}, must be {exchange.time} or later: time never runs backwards$",
    )
    assert len(exchange.apply(rows(enter(0, BUY, 98, 1, time=exchange.time), start=3))) == 1


@pytest.mark.parametrize("kind", [Kind.ENTER, Kind.TAKE, Kind.WINDOW], ids=["plain", "any", "operators"])
@pytest.mark.parametrize("risk", [True, False])
def test_time_that_runs_backwards_within_a_batch_is_refused(kind: CommandKind, risk: bool) -> None:
    exchange = Exchange([instrument()], [account("A")], risk=risk)
    commands = rows(*(enter(0, BUY, 98, 1) for _ in range(4)))
    commands["time"], commands["kind"][1:3] = (10, 12, 11, 13), kind
    with pytest.raises(ValueError, match="^time of row 2 is 11, must be 12 or later: time never runs backwards$"):
        exchange.apply(commands)
    assert (exchange.sequence, exchange.time) == (2, 12)
    exchange.apply(rows(enter(0, BUY, 97, 1, time=12), start=3))
    assert exchange.sequence == 3


def test_no_rows_give_no_events() -> None:
    exchange, _ = two_sided()
    before = exchange.digest()
    events = exchange.apply(np.empty(0, COMMAND))
    assert len(events) == 0 and events.dtype == EVENT and exchange.digest() == before


@pytest.mark.compiled
@pytest.mark.parametrize("form", ["read-only", "strided", "backwards", "plain rows", "inside a wider row"])
def test_rows_may_have_any_layout_in_memory(form: str) -> None:
    flow = random_flow(2, 400)
    commands = flow.commands
    if form == "read-only":
        given = np.frombuffer(commands.tobytes(), COMMAND)
    elif form == "strided":
        given = np.repeat(commands, 3)[::3]
    elif form == "backwards":
        given = commands[::-1].copy()[::-1]
    elif form == "plain rows":
        fields: Any = COMMAND.fields
        given = commands.view(np.dtype(fields))
    else:
        wide = np.zeros(len(commands), np.dtype([("row", COMMAND), ("more", "<i8")]))
        wide["row"] = commands
        given = wide["row"]
    as_given = given.tobytes()
    plain, other = flow_exchange(flow), flow_exchange(flow)
    assert as_rows(other.apply(given)) == as_rows(plain.apply(commands))
    assert other.digest() == plain.digest() and given.tobytes() == as_given


def test_an_exchange_needs_an_account() -> None:
    with pytest.raises(ValueError, match="^accounts: none given, at least 1 needed$"):
        Exchange([instrument()], [])


# Reading


def test_depth_is_best_first_and_bounded() -> None:
    exchange = Exchange([instrument()], [account("A")])
    exchange.apply(
        rows(
            enter(0, BUY, 97, 1),
            enter(0, BUY, 99, 2),
            enter(0, BUY, 99, 3),
            enter(0, SELL, 105, 4),
            enter(0, SELL, 102, 5),
        )
    )
    bids, asks = exchange.depth("SC2701")
    assert bids.dtype == DEPTH and fields(bids, "price", "quantity", "orders") == [(99, 5, 2), (97, 1, 1)]
    assert fields(asks, "price", "quantity", "orders") == [(102, 5, 1), (105, 4, 1)]
    assert [len(side) for side in exchange.depth("SC2701", levels=1)] == [1, 1]
    assert [len(side) for side in exchange.depth("SC2701", levels=0)] == [0, 0]


def test_depth_without_a_bound_has_every_level() -> None:
    exchange = Exchange([instrument()], [account("A")])
    exchange.apply(rows(*[enter(0, BUY, 90 + number % 10, 1) for number in range(25)]))
    bids, asks = exchange.depth("SC2701", levels=None)
    assert fields(bids, "price", "orders") == [(99 - number, 3 if number > 4 else 2) for number in range(10)]
    assert len(asks) == 0


def walked(exchange: Exchange, symbol: str) -> list[list[tuple[int, ...]]]:
    """The depth of an instrument, order by order; of an iceberg what it shows."""
    book = exchange.book
    sides: list[list[tuple[int, ...]]] = []
    for side in (BUY, SELL):
        levels: dict[int, list[int]] = {}
        for order in exchange.orders(symbol)[exchange.orders(symbol)["side"] == side]:
            slot = locate(book, int(order.order_id))[0]
            iceberg = book.orders[slot].terms & ICEBERG
            level = levels.setdefault(int(order.price), [0, 0])
            level[0] += int(book.extras[slot].shown if iceberg else order.leaves_quantity)
            level[1] += 1
        sides.append([(price, *level) for price, level in levels.items()])
    return sides


@pytest.mark.compiled
@pytest.mark.parametrize("first", [0, 200])
@pytest.mark.parametrize("seed", range(4))
def test_depth_counts_what_a_walk_over_the_orders_counts(seed: int, first: int) -> None:
    """Whenever it is asked for the first time, and over a snapshot."""
    flow = random_flow(seed, 500, risk=True)
    exchange, restored = flow_exchange(flow), flow_exchange(flow)
    exchange.apply(flow.commands[:first])
    for at in range(first, len(flow.commands), 25):
        exchange.apply(flow.commands[at : at + 25])
        for terms in flow.instruments:
            depth = [side.tolist() for side in exchange.depth(terms.symbol, levels=None)]
            assert depth == walked(exchange, terms.symbol)
        check_book(exchange.book)
    for _ in range(2):
        restored.restore(exchange.state())
        for terms in flow.instruments:
            assert [side.tolist() for side in restored.depth(terms.symbol, None)] == walked(exchange, terms.symbol)
        check_book(restored.book)


def test_depth_changes_nothing_that_shows() -> None:
    flow = random_flow(3, 300, risk=True)
    exchange = flow_exchange(flow)
    exchange.apply(flow.commands)
    digest, state = exchange.digest(), exchange.state()
    exchange.depth(flow.instruments[0].symbol)
    assert exchange.digest() == digest
    assert {name: array.tobytes() for name, array in exchange.state().items()} == {
        name: array.tobytes() for name, array in state.items()
    }


def test_best_prices_follow_the_book() -> None:
    exchange = Exchange([instrument(), instrument("600000.SH")], [account("A"), account("B")])
    assert exchange.best("600000.SH") == (None, None)
    exchange.apply(rows(enter(0, BUY, 97, 1, instrument=1), enter(0, BUY, 99, 2, instrument=1)))
    assert exchange.best("600000.SH") == (99, None)
    exchange.apply(rows(enter(1, SELL, 101, 1, instrument=1), enter(1, SELL, 99, 2, instrument=1), start=3))
    assert exchange.best("600000.SH") == (97, 101)
    assert exchange.best("SC2701") == (None, None)


@pytest.mark.parametrize("risk", [True, False])
def test_a_warm_exchange_is_in_the_state_of_a_cold_one(risk: bool) -> None:
    flow = random_flow(1, 300)
    cold, warm = flow_exchange(flow, risk), flow_exchange(flow, risk)
    warm.warm_up()
    assert warm.digest() == cold.digest() and warm.event_id == warm.sequence == 0
    warm.apply(flow.commands[:150])
    warm.warm_up()
    events = np.concatenate([cold.apply(flow.commands[:150]), cold.apply(flow.commands[150:])])
    assert as_rows(warm.apply(flow.commands[150:])) == as_rows(events[events["sequence"] > 150])
    assert warm.digest() == cold.digest()
    check_book(warm.book)


def test_orders_are_bids_then_offers_best_price_first_oldest_first() -> None:
    exchange = Exchange([instrument("FU2701"), instrument()], [account("A"), account("B")])
    crude = {"instrument": 1}
    exchange.apply(
        rows(
            enter(0, BUY, 97, 1, **crude),
            enter(1, BUY, 99, 2, **crude, client_order_id=b"twenty-characters-ab"),
            enter(0, BUY, 99, 3, **crude, time_in_force=TimeInForce.GTC),
            enter(0, SELL, 105, 4, **crude),
            enter(1, SELL, 102, 5, **crude),
            enter(0, BUY, 99, 9),
            enter(0, SELL, 99, 1, **crude),
        )
    )
    orders = exchange.orders("SC2701")
    assert orders.dtype == RESTING
    names = ("order_id", "account", "side", "price", "quantity", "leaves_quantity", "time_in_force")
    assert fields(orders, *names) == [
        (2, 1, BUY, 99, 2, 1, TimeInForce.DAY),
        (3, 0, BUY, 99, 3, 3, TimeInForce.GTC),
        (1, 0, BUY, 97, 1, 1, TimeInForce.DAY),
        (5, 1, SELL, 102, 5, 5, TimeInForce.DAY),
        (4, 0, SELL, 105, 4, 4, TimeInForce.DAY),
    ]
    assert orders["client_order_id"][0] == b"twenty-characters-ab" and set(orders["instrument"]) == {1}


def test_an_order_is_found_while_it_rests() -> None:
    exchange, _ = two_sided()
    assert (exchange.order(2).side, exchange.order(2).price, exchange.order(2).leaves_quantity) == (SELL, 101, 7)
    exchange.apply(rows(enter(0, BUY, 101, 7), start=3))
    assert [exchange.order(number) for number in (0, 2, 3, 4, -1, 1 << 62)] == [None] * 6


def test_positions_are_what_was_traded_and_what_is_open() -> None:
    exchange, _ = two_sided()
    assert exchange.account(0).open_orders == 1
    exchange.apply(rows(enter(0, BUY, 101, 3), enter(0, BUY, 98, 2), start=3))
    names = ("instrument", "position", "open_buy", "open_sell", "cost")
    assert exchange.positions(0).dtype == POSITION
    assert fields(exchange.positions(0), *names) == [(0, 3, 7, 0, 303)]
    assert fields(exchange.positions(1), *names) == [(0, -3, 0, 4, -303)]
    assert exchange.account(0).open_orders == 2 and exchange.last_price("SC2701") == 101


def test_an_instrument_that_does_not_exist_is_a_key_error() -> None:
    exchange, _ = two_sided()
    assert exchange.index("SC2701") == 0 and exchange.phase("SC2701") == Phase.CONTINUOUS
    for ask in (exchange.index, exchange.depth, exchange.best, exchange.orders, exchange.last_price, exchange.phase):
        with pytest.raises(KeyError, match="SC2702"):
            ask("SC2702")


def test_without_risk_only_the_row_the_band_and_the_book_refuse() -> None:
    terms, poor = instrument(max_order_quantity=5, collar=1, margin=100), Account(name="A", equity=0)
    order = enter(0, BUY, 91, 50)
    checked, matching_alone = Exchange([terms], [poor]), Exchange([terms], [poor], risk=False)
    assert fields(checked.apply(rows(order)), "kind", "reason") == [(EventKind.REJECTED, Reason.PRICE_OUTSIDE_COLLAR)]
    assert fields(matching_alone.apply(rows(order)), "kind", "reason") == [(EventKind.ACCEPTED, Reason.NONE)]
    assert fields(matching_alone.apply(rows(enter(0, BUY, 89, 1), start=2)), "reason") == [(Reason.PRICE_BELOW_BAND,)]
