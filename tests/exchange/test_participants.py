"""exchange/participants: simulated members keep every book two-sided, break no rule, and continue after a restart."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from exchange import Account, Exchange
from exchange.catalogue import load_catalogue, read_catalogue
from exchange.catalogue.driver import Driver
from exchange.catalogue.schedule import Schedule
from exchange.participants import member
from exchange.participants.fair_value import FairValues
from exchange.participants.market_maker import MarketMaker
from exchange.participants.member import View
from exchange.participants.momentum import Momentum
from exchange.participants.noise_trader import NoiseTrader
from exchange.participants.refiner import Refiner
from exchange.participants.scenario import (
    _RACES,
    Scenario,
    closable,
    delivery_ranks,
    demo_accounts,
    demo_market_makers,
    demo_members,
    is_plain,
)
from exchange.runner import Runner
from matching.codes import ALL, CommandKind, EventKind, Flag, OrderType, Phase, Reason, Scope, Side, TimeInForce
from matching.invariants import check_book
from matching.records import COMMAND
from risk.records import GROSS
from tests.build import account, enter, instrument, operator, rows

pytestmark = pytest.mark.compiled

BUY, SELL = Side.BUY, Side.SELL
START = 1_795_000_000_000_000_000
STEP = 100_000_000  # ns
SECOND = 10  # steps
CATALOGUE = load_catalogue()
NEAREST = [number for number, rank in enumerate(delivery_ranks(CATALOGUE)) if rank == 0]
PEOPLE = 3  # the first accounts
LATER = 50  # steps until every book is full


def stamped(commands: np.ndarray, exchange: Exchange) -> np.ndarray:
    block = commands.copy()
    block["sequence"] = np.arange(exchange.sequence + 1, exchange.sequence + 1 + len(block))
    return block


class Market:
    """An exchange with the demo members, a clock that the test moves, and all events."""

    def __init__(self, seed: int = 1, exchange: Exchange | None = None, now: int = START) -> None:
        self.exchange = exchange or Exchange(CATALOGUE, demo_accounts(), max_orders=1 << 14)
        self.scenario = Scenario(self.exchange, demo_members(self.exchange, seed), seed)
        self.now = now
        self.runner = Runner(self.exchange, None, lambda: self.now)
        self.runner.listeners.append(self._keep)
        self.commands: list[Any] = []
        self.events: list[Any] = []

    def _keep(self, commands: np.ndarray, events: np.ndarray) -> None:
        self.commands.append(commands)
        self.events.append(events)

    def step(self, count: int = 1) -> None:
        for _ in range(count):
            self.now += STEP
            for block in self.scenario.step(self.now):
                self.runner.submit(block, self.scenario.heard)
            self.runner.step()

    def person(self, *commands: dict[str, Any]) -> np.ndarray:
        """The events of a person's commands."""
        told = []
        self.runner.submit(rows(*commands), lambda _, events: told.append(events))
        self.runner.step()
        return told[0]

    def positions(self) -> Any:
        """int64[accounts, instruments]."""
        held = np.zeros((len(self.exchange.accounts), len(CATALOGUE)), np.int64)
        for number in range(len(held)):
            positions = self.exchange.positions(number)
            held[number, positions["instrument"]] = positions["position"]
        return held

    def two_sided(self) -> Any:
        return [terms.symbol for terms in CATALOGUE if all(map(len, self.exchange.depth(terms.symbol, 1)))]

    def spread(self, number: int) -> Any:
        bids, asks = self.exchange.depth(CATALOGUE[number].symbol, 1)
        return int(asks["price"][0] - bids["price"][0])


@pytest.fixture(scope="module")
def day() -> Any:
    """10,000 steps, about a quarter of an hour, with a look at the books every second."""
    market: Any = Market()
    market.step(LATER)
    market.seen = []  # (books that are two-sided, spreads of the nearest months, fair values)
    for _ in range(1000):
        market.step(SECOND)
        market.seen.append(
            (len(market.two_sided()), [market.spread(number) for number in NEAREST], market.scenario.fair_values)
        )
    market.all_commands, market.all_events = np.concatenate(market.commands), np.concatenate(market.events)
    return market


# A quarter of an hour


def test_ten_thousand_steps_pass_without_a_single_reject(day: Any) -> None:
    assert day.scenario.rejects == Counter()
    assert not (day.all_events["kind"] == EventKind.REJECTED).any()
    check_book(day.exchange.book)


def test_every_book_is_two_sided_at_every_look(day: Any) -> None:
    assert {count for count, _, _ in day.seen} == {len(CATALOGUE)}


def test_the_nearest_months_are_quoted_one_to_four_ticks_wide(day: Any) -> None:
    spreads = Counter(spread for _, spreads, _ in day.seen for spread in spreads)
    assert set(spreads) <= {1, 2, 3, 4} and spreads[2] > spreads[3]


def test_positions_of_all_accounts_sum_to_zero_and_stay_within_what_members_allow_themselves(day: Any) -> None:
    held = day.positions()
    assert not held.sum(axis=0).any()
    assert not held[:PEOPLE].any() and held[PEOPLE:].any(axis=1).all()
    traded = day.all_events["kind"] == EventKind.TRADED
    assert np.abs(held).max() <= 600 and traded.sum() > 1000


def test_every_instrument_trades_and_the_nearest_month_most(day: Any) -> None:
    trades = np.bincount(
        day.all_events["instrument"][day.all_events["kind"] == EventKind.TRADED], minlength=len(CATALOGUE)
    )
    assert trades.min() > 10
    for number in NEAREST:
        family = [other for other, terms in enumerate(CATALOGUE) if terms.product == CATALOGUE[number].product]
        assert trades[number] == trades[family].max()


def test_no_member_trades_with_itself(day: Any) -> None:
    traded = day.all_events[day.all_events["kind"] == EventKind.TRADED]
    assert (traded["account"] != traded["resting_account"]).all()
    orders = day.all_commands[day.all_commands["kind"] != CommandKind.CANCEL]
    assert (orders["flags"] & Flag.SMP_CANCEL_RESTING).all()


def test_the_members_send_less_than_they_may(day: Any) -> None:
    per_second = len(day.all_commands) / (len(day.seen) + LATER / SECOND)
    assert 50 < per_second < 200


def test_fair_values_move_and_stay_within_the_bands(day: Any) -> None:
    values = np.array([values for _, _, values in day.seen])
    assert (values >= [terms.price_floor for terms in CATALOGUE]).all()
    assert (values <= [terms.price_ceiling for terms in CATALOGUE]).all()
    assert (np.ptp(values, axis=0) > 5).all()


def test_some_orders_hide_a_part_and_some_wait_for_a_trade(day: Any) -> None:
    """RULEBOOK 2.9 to 2.11"""
    kinds = Counter(day.all_events["kind"].tolist())
    assert kinds[EventKind.DISPLAYED] > 50 and kinds[EventKind.TRIGGERED] > 5
    stops = day.all_commands[day.all_commands["trigger_price"] != 0]
    assert set(stops["order_type"].tolist()) == {OrderType.STOP, OrderType.STOP_LIMIT}
    assert day.exchange.book.instruments["stops"].max() <= 6


def test_orders_do_not_pile_up(day: Any) -> None:
    for terms in CATALOGUE:
        assert 4 <= len(day.exchange.orders(terms.symbol)) <= 40


# Determinism


def test_the_same_seed_gives_the_same_commands_and_another_seed_others() -> None:
    commands = []
    for seed in (7, 7, 8):
        market = Market(seed)
        market.step(150)
        commands.append(np.concatenate(market.commands).tobytes())
    assert commands[0] == commands[1] != commands[2]


def test_members_send_nothing_while_time_stands_still_or_runs_backwards() -> None:
    market = Market()
    market.step(100)
    now = market.now
    assert [market.scenario.step(at) for at in (now, now - 5, now - 10**12)] == [[], [], []]


def test_a_long_pause_is_not_made_up_for() -> None:
    market = Market()
    market.step(100)
    market.now += 3600 * 10**9
    market.step()
    assert len(market.commands[-1]) < 600


def test_members_send_nothing_before_the_last_answer_arrived() -> None:
    market = Market()
    (first,) = market.scenario.step(START) or market.scenario.step(START + STEP)
    for later in range(2, 50):
        assert market.scenario.step(START + later * STEP) == []
    market.runner.submit(first, market.scenario.heard)
    market.runner.step()
    assert market.scenario.step(START + 51 * STEP)


class Eager:
    """A member that bids one lot wherever it looks, and counts its looks."""

    interval_ns, months = STEP, member.EVERY_MONTH

    def __init__(self, account: int) -> None:
        self.account, self.instruments, self.looks = account, (0,), 0

    def act(self, now_ns: int, seen: View) -> np.ndarray:
        self.looks += 1
        return member.rows([member.enter(seen, self.account, BUY, seen.lowest, 1)])


def test_in_one_step_only_one_member_acts_in_an_instrument() -> None:
    exchange = Exchange([instrument()], [account("A"), account("B")])
    first, second = Eager(0), Eager(1)
    scenario = Scenario(exchange, [first, second], seed=1)
    scenario.step(START)
    (block,) = scenario.step(START + STEP)
    assert block["account"].tolist() == [0] and (first.looks, second.looks) == (1, 0)


def test_the_members_together_keep_to_their_rate() -> None:
    exchange = Exchange([instrument()], [account("A")])
    scenario = Scenario(exchange, [Eager(0)], seed=1, commands_per_second=2)
    asked = []
    for step in range(300):  # thirty seconds; alone it would send ten a second
        for block in scenario.step(START + step * STEP):
            asked.append(step)
            scenario.heard(block, exchange.apply(stamped(block, exchange)))
    assert 60 <= len(asked) <= 70 and sum(step < 50 for step in asked) > 10


# Restart


@pytest.mark.parametrize("way", ["replayed", "restored"])
def test_after_a_restart_members_go_on_with_the_orders_that_rest(way: str) -> None:
    before = Market()
    before.step(300)
    exchange = Exchange(CATALOGUE, demo_accounts(), max_orders=1 << 14)
    if way == "replayed":
        for batch in before.commands:
            exchange.apply(batch)
    else:
        exchange.restore(before.exchange.state())
    assert exchange.digest() == before.exchange.digest()
    after = Market(exchange=exchange, now=before.now + 60 * 10**9)
    resting = {int(order) for terms in CATALOGUE for order in exchange.orders(terms.symbol)["order_id"]}
    after.step(LATER)
    commands = np.concatenate(after.commands)
    meant = set(commands["order_id"][commands["kind"] != CommandKind.ENTER].tolist())
    assert meant & resting and after.scenario.rejects == Counter()
    after.step(300)
    assert len(after.two_sided()) == len(CATALOGUE)
    assert max(len(exchange.orders(terms.symbol)) for terms in CATALOGUE) <= 40


def test_after_a_restart_the_same_seed_does_not_repeat_the_same_walk() -> None:
    walks = []
    for commands in ([], [enter(0, BUY, 5000, 1)]):
        market = Market()
        if commands:
            market.exchange.apply(rows(*commands))
        scenario = Scenario(market.exchange, [], seed=1)
        begun = scenario.fair_values
        for step in range(100):
            scenario.step(START + step * STEP)
        walks.append((scenario.fair_values - begun).tolist())
    assert walks[0] != walks[1]


# People among them


def test_a_person_trades_at_once_with_a_market_order() -> None:
    market: Any = Market()
    market.step(LATER)
    events = market.person(enter(0, BUY, 0, 2, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC))
    assert events["kind"][0] == EventKind.ACCEPTED and events["quantity"][events["kind"] == EventKind.TRADED].sum() == 2


@pytest.mark.parametrize("name", ["demo", "refinery", "trader"])
def test_a_demo_account_beyond_its_limit_is_refused_with_the_limit(name: str) -> None:
    market: Any = Market()
    market.step(LATER)
    number = [account.name for account in market.exchange.accounts].index(name)
    price = int(market.scenario.fair_values[0])
    (event,) = market.person(enter(number, BUY, price, 500))
    assert (event["kind"], event["reason"]) == (EventKind.REJECTED, Reason.MAX_ORDER_QUANTITY)
    assert event["resting_price"] == market.exchange.accounts[number].max_order_quantity
    refused = [
        event["reason"]
        for _ in range(30)
        for event in market.person(enter(number, BUY, price - 30, 100))
        if event["kind"] == EventKind.REJECTED
    ]
    assert refused and set(refused) <= {Reason.MAX_LONG, Reason.CREDIT}
    assert market.person(enter(number, SELL, price + 30, 1))["kind"].tolist() == [EventKind.ACCEPTED]


def test_books_fill_again_after_a_person_has_swept_them() -> None:
    market: Any = Market()
    market.step(LATER)
    for side in (BUY, SELL) * 5:
        market.person(enter(2, side, 0, 200, order_type=OrderType.MARKET, time_in_force=TimeInForce.IOC))
        market.step(30)
        assert len(market.two_sided()) == len(CATALOGUE)
    market.step(100)
    assert 1 <= market.spread(0) <= 4
    assert not market.positions().sum(axis=0).any()
    assert set(market.scenario.rejects) <= {Reason.UNKNOWN_ORDER}


def test_a_price_that_people_pushed_to_the_collar_comes_back_and_the_books_with_it() -> None:
    """Trades far from the fair value move the collar away from it. Members quote within the collar and trade back to it."""
    rich = [Account(name="rich"), Account(name="richer")]
    exchange = Exchange(CATALOGUE, demo_accounts() + rich, max_orders=1 << 14)
    market = Market(exchange=exchange)
    market.step(LATER)
    people = (len(exchange.accounts) - 2, len(exchange.accounts) - 1)
    fair = int(market.scenario.fair_values[0])
    for _ in range(3):
        price = exchange.last_price("SC2701") + CATALOGUE[0].collar
        market.person(enter(people[0], BUY, price, 400), enter(people[1], SELL, price, 400))
        market.person(enter(people[0], BUY, price, 400), enter(people[1], SELL, price, 400))
    assert exchange.last_price("SC2701") > fair + CATALOGUE[0].collar
    market.person(*[operator(CommandKind.MASS_CANCEL, account=number) for number in people])
    market.step(1200)
    assert abs(exchange.last_price("SC2701") - int(market.scenario.fair_values[0])) < 20
    assert "SC2701" in market.two_sided() and 1 <= market.spread(0) <= 4
    assert set(market.scenario.rejects) <= {Reason.UNKNOWN_ORDER}


@pytest.mark.parametrize("phase", [Phase.HALTED, Phase.CLOSED, Phase.BREAK])
def test_members_leave_an_instrument_alone_that_does_not_trade(phase: Phase) -> None:
    market: Any = Market()
    market.step(LATER)
    market.person(operator(CommandKind.PHASE, phase, instrument=0))
    begun = len(market.commands)
    market.step(50)
    instruments = np.concatenate(market.commands[begun:])["instrument"]
    assert 0 not in instruments and set(range(1, len(CATALOGUE))) <= set(instruments.tolist())
    market.person(operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=0))
    market.step(50)
    assert market.scenario.rejects == Counter() and "SC2701" in market.two_sided()


# A trading day


def test_in_a_call_auction_bids_meet_offers_and_a_price_near_the_fair_value_forms_in_every_book() -> None:
    """RULEBOOK 5.3, 8.3 to 8.6"""
    market = Market(exchange=Exchange(CATALOGUE, demo_accounts(), max_orders=1 << 14))
    market.person(operator(CommandKind.PHASE, Phase.CALL_AUCTION, instrument=ALL))
    market.step(80)
    commands = np.concatenate(market.commands[1:])
    assert set(commands["order_type"][commands["kind"] == CommandKind.ENTER].tolist()) == {OrderType.LIMIT}
    assert TimeInForce.IOC not in commands["time_in_force"] and TimeInForce.OPENING in commands["time_in_force"]
    fair = market.scenario.fair_values
    events = market.person(operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=ALL))
    auctions = events[events["kind"] == EventKind.AUCTION]
    assert auctions["instrument"].tolist() == list(range(len(CATALOGUE))) and (auctions["quantity"] > 0).all()
    assert np.abs(auctions["price"] - fair[auctions["instrument"]]).max() <= 8
    market.step(100)
    assert market.scenario.rejects == Counter() and len(market.two_sided()) == len(CATALOGUE)
    assert 1 <= market.spread(0) <= 4


def test_where_orders_open_or_close_members_close_what_there_is_before_they_open() -> None:
    """RULEBOOK 10: yesterday's lots with CLOSE, today's with CLOSE_TODAY, and no order for more than is held"""
    terms = [dataclasses.replace(terms, offset=True) for terms in CATALOGUE[:4]]
    exchange = Exchange(terms, demo_accounts(), max_orders=1 << 14)
    market = Market(exchange=exchange)
    market.person(operator(CommandKind.BEGIN_DAY, quantity=20261105))
    market.step(600)
    first = np.concatenate(market.commands[1:])
    market.person(operator(CommandKind.END_DAY), operator(CommandKind.BEGIN_DAY, quantity=20261106))
    begun = len(market.commands)
    market.step(600)
    second = np.concatenate(market.commands[begun:])
    offset = int(Flag.OPEN | Flag.CLOSE | Flag.CLOSE_TODAY)
    for commands, flags in (
        (first, {Flag.OPEN, Flag.CLOSE_TODAY}),
        (second, {Flag.OPEN, Flag.CLOSE, Flag.CLOSE_TODAY}),
    ):
        entered = commands["kind"] == CommandKind.ENTER
        assert set((commands["flags"][entered] & offset).tolist()) == flags
        assert not (commands["flags"][~entered] & offset).any()
    assert market.scenario.rejects == Counter()
    assert exchange.ledger.gross["long"].max() < 600


class Watcher:
    """A member that looks at the nearest month of every product and sends nothing."""

    interval_ns, months = STEP // 50, 1

    def __init__(self, instruments: Any) -> None:
        self.account, self.instruments = 0, instruments
        self.seen: set[Any] = set()

    def act(self, now_ns: Any, seen: Any) -> Any:
        self.seen.add(seen.instrument)
        return member.rows([])


def test_the_nearest_month_is_the_first_of_those_listed_now_and_only_order_books_have_members() -> None:
    """Expired and future months have no rank. Spreads, trading at settlement and the spot side have no members."""
    instruments = load_catalogue(open=False)
    exchange = Exchange(instruments, demo_accounts(), max_orders=1 << 14)
    market = Market(exchange=exchange)
    market.person(
        operator(CommandKind.PHASE, Phase.CALL_AUCTION, instrument=ALL),
        operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=ALL),
    )
    market.step(60)
    listed = [number for number, terms in enumerate(instruments) if terms.phase == Phase.CLOSED and is_plain(terms)]
    assert set(np.concatenate(market.commands[1:])["instrument"].tolist()) == set(listed)
    crude = [number for number in listed if instruments[number].product == "crude"]

    def nearest() -> Any:
        watcher = Watcher(range(len(instruments)))
        scenario = Scenario(exchange, [watcher], seed=1)
        for step in range(10):
            scenario.step(START + step * STEP)
        return watcher.seen

    first = nearest()
    assert len(first) == len({terms.product for terms in instruments}) and first & set(crude) == {crude[0]}
    market.person(
        *(
            operator(kind, code, instrument=crude[0])
            for kind, code in (
                (CommandKind.PHASE, Phase.CLOSING),
                (CommandKind.PHASE, Phase.SETTLEMENT),
                (CommandKind.SETTLE, 0),
                (CommandKind.EXPIRE, 0),
            )
        )
    )
    assert exchange.phase(instruments[crude[0]].symbol) == Phase.EXPIRED
    assert nearest() == first - {crude[0]} | {crude[1]}
    begun = len(market.commands)
    market.step(20)
    assert crude[0] not in np.concatenate(market.commands[begun:])["instrument"]
    assert market.scenario.rejects == Counter()


@pytest.mark.parametrize("profile", ["chinese", "international"])
def test_members_trade_through_two_compressed_days_and_every_auction_has_a_price(profile: str) -> None:
    """RULEBOOK 8, 11, 14: in every phase, members are refused only by a race. Books are two-sided while they trade."""
    schedule = Schedule(read_catalogue(profile=profile))
    exchange = Exchange(schedule.catalogue.instruments, demo_accounts(), max_orders=1 << 14)
    market = Market(exchange=exchange)
    driver = Driver(schedule, schedule.opens, START)
    market.runner.listeners.append(lambda commands, events: driver.heard(events))
    while driver.day < schedule.calendar.next_trading_day(schedule.calendar.next_trading_day(schedule.opens)):
        for step in driver.due(market.now):
            market.runner.submit(step.commands)
        market.runner.step()
        market.step()
    events = np.concatenate(market.events)
    members = events[(events["kind"] == EventKind.REJECTED) & (events["account"] >= PEOPLE)]
    assert set(map(Reason, members["reason"].tolist())) <= _RACES and len(members) < 20
    plain = np.array([is_plain(terms) for terms in exchange.instruments])
    auctions = events[(events["kind"] == EventKind.AUCTION) & plain[np.maximum(events["instrument"], 0)]]
    assert len(auctions) > 50 and (auctions["quantity"] > 0).mean() > 0.95
    traded = np.unique(events["instrument"][events["kind"] == EventKind.TRADED])
    assert plain[traded].all() and len(traded) == sum(plain[number] for number, _ in schedule.listed(schedule.opens))
    settled = events[events["kind"] == EventKind.SETTLED]
    assert (settled["quantity"][plain[settled["instrument"]]] > 0).all()
    check_book(exchange.book)


def test_a_member_that_was_refused_is_silent_for_a_second() -> None:
    market: Any = Market()
    market.step(LATER)
    maker = PEOPLE
    market.person(operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=maker, quantity=1))
    begun = len(market.commands)
    market.step(100)  # ten seconds
    blocks = [batch for batch in market.commands[begun:] if (batch["account"] == maker).any()]
    assert 8 <= len(blocks) <= 11
    assert set(market.scenario.rejects) == {Reason.ACCOUNT_KILLED}
    market.person(operator(CommandKind.KILL_SWITCH, Scope.ACCOUNT, account=maker, quantity=0))
    market.step(50)
    assert len(market.two_sided()) == len(CATALOGUE)


# One member at a time


def view(
    orders: Sequence[tuple[int, int, int, int]] = (),
    fair: int = 1000,
    last: int = 1000,
    position: int = 0,
    rank: int = 0,
    lowest: int = 900,
    highest: int = 1100,
    instruments: int = 1,
    **besides: Any,
) -> View:
    """What a member sees in a book of (account, side, price, quantity)."""
    exchange = Exchange([instrument(floor=0, ceiling=2000, reference_price=last)] * instruments, 5)
    if orders:
        exchange.apply(rows(*[enter(*order) for order in orders]))
    return View(
        instrument=0,
        rank=rank,
        fair=fair,
        last=last,
        lowest=lowest,
        highest=highest,
        largest=100,
        orders=exchange.orders("SC2701"),
        position=position,
        **besides,
    )


def quotes(commands: np.ndarray, side: Side) -> list[Any]:
    return commands["price"][commands["side"] == side].tolist()


def test_a_maker_quotes_both_sides_of_the_fair_value_and_wider_in_later_months() -> None:
    for rank, away in ((0, 1), (2, 3)):
        commands = MarketMaker(0, [0], 1, levels=3).act(START, view(rank=rank))
        assert quotes(commands, BUY) == [1000 - away, 999 - away, 998 - away]
        assert quotes(commands, SELL) == [1000 + away, 1001 + away, 1002 + away]
        assert commands.dtype == COMMAND and not commands["sequence"].any() and not commands["time"].any()


def test_a_maker_that_is_long_quotes_lower_and_at_its_limit_only_offers() -> None:
    maker = MarketMaker(0, [0], 1, max_position=100, skew=4)
    assert quotes(maker.act(START, view(position=50)), BUY)[0] == 997
    assert quotes(maker.act(START, view(position=-50)), SELL)[0] == 1003
    at_limit = maker.act(START, view(position=100))
    assert quotes(at_limit, BUY) == [] and quotes(at_limit, SELL)[0] == 997


def test_a_maker_whose_fair_value_moved_amends_the_far_order_and_the_yielding_side_first() -> None:
    resting = [(0, BUY, 999, 5), (0, BUY, 998, 5), (0, SELL, 1001, 5), (0, SELL, 1002, 5)]
    maker = MarketMaker(0, [0], 1, levels=2)
    assert len(maker.act(START, view(resting))) == 0
    up = maker.act(START, view(resting, fair=1002))
    assert up["kind"].tolist() == [CommandKind.AMEND] * 4
    assert quotes(up, BUY) == [1001, 1000] and quotes(up, SELL) == [1003, 1004]
    assert up["side"].tolist() == [SELL, SELL, BUY, BUY]
    one_up = maker.act(START, view(resting, fair=1001))
    assert one_up["order_id"].tolist() == [2, 3] and quotes(one_up, BUY) == [1000] and quotes(one_up, SELL) == [1003]
    down = maker.act(START, view(resting, fair=998))
    assert down["side"].tolist() == [BUY, BUY, SELL, SELL]


def test_a_maker_quotes_within_what_the_hub_takes() -> None:
    maker = MarketMaker(0, [0], 1, levels=3)
    assert quotes(maker.act(START, view(highest=1002)), SELL) == [1001, 1002]
    above = maker.act(START, view(fair=1150))  # it would bid 1149 and may bid 1100, so an offer there gains nothing
    assert quotes(above, BUY) == [1100] and quotes(above, SELL) == []


def test_noise_stays_within_its_position_and_cancels_its_oldest_order() -> None:
    trader = NoiseTrader(1, [0], 3, activity=1.0, patience=2, max_position=10)
    resting = [(1, BUY, 990, 1), (1, BUY, 991, 1), (0, BUY, 999, 9), (0, SELL, 1001, 9)]
    for _ in range(200):
        commands = trader.act(START, view(resting, position=8))
        assert commands["order_id"].tolist()[0] == 1 and commands["kind"][0] == CommandKind.CANCEL
        assert BUY not in commands["side"][1:]  # two open and eight held are ten
        assert all(900 <= price <= 1100 for price in commands["price"][1:])


def test_noise_takes_or_leaves_orders_near_the_touch() -> None:
    trader = NoiseTrader(1, [0], 3, activity=1.0)
    seen = np.concatenate([trader.act(START, view([(0, BUY, 999, 9), (0, SELL, 1002, 9)])) for _ in range(300)])
    taking = seen["time_in_force"] == TimeInForce.IOC
    assert set(seen["price"][taking & (seen["side"] == BUY)]) == {1002}
    assert set(seen["price"][~taking & (seen["side"] == BUY)]) == {996, 997, 998, 999, 1000}
    assert 0.3 < taking.mean() < 0.7 and set(seen["quantity"]) == {1, 2, 3, 5, 10}


def test_noise_hides_large_orders_and_waits_for_trades() -> None:
    book = view([(0, BUY, 999, 9), (0, SELL, 1002, 9)])
    trader = NoiseTrader(1, [0], 3, activity=1.0, taking=0.0, stopping=0.5, hiding=1.0, max_position=1000)
    seen = np.concatenate([trader.act(START, book) for _ in range(300)])
    stops = seen[seen["trigger_price"] != 0]
    beyond = np.where(stops["side"] == BUY, 1, -1) * (stops["trigger_price"] - 1000)
    assert set(beyond) == {2, 3, 4, 5} and set(stops["quantity"]) == {1, 2}
    limited = stops["order_type"] == OrderType.STOP_LIMIT
    assert not stops["price"][~limited].any() and 0.3 < limited.mean() < 0.7
    assert set(np.abs(stops["price"] - stops["trigger_price"])[limited]) == {2}
    resting = seen[seen["trigger_price"] == 0]
    assert dict(zip(resting["quantity"].tolist(), resting["display_quantity"].tolist(), strict=True)) == {
        1: 0,
        2: 0,
        3: 0,
        5: 2,
        10: 2,
    }
    full = dataclasses.replace(book, parked=6)
    assert not np.concatenate([trader.act(START, full) for _ in range(100)])["trigger_price"].any()
    near_the_limit = NoiseTrader(1, [0], 3, activity=1.0, max_position=12)
    assert not any(len(near_the_limit.act(START, full)) for _ in range(50))  # a parked order could be its own


def test_in_an_auction_noise_pays_more_than_the_fair_value_once_and_momentum_stays_away() -> None:
    trader = NoiseTrader(1, [0], 3, activity=0.0)
    auction = view([(0, BUY, 999, 9), (0, SELL, 1002, 9)], auction=True, rank=1)
    seen = np.concatenate([trader.act(START, auction) for _ in range(200)])
    assert set(seen["price"][seen["side"] == BUY]) == {1002, 1003, 1004, 1005}
    assert set(seen["price"][seen["side"] == SELL]) == {995, 996, 997, 998}
    assert set(seen["time_in_force"]) == {TimeInForce.DAY, TimeInForce.OPENING}
    assert len(trader.act(START, view([(1, BUY, 1001, 2)], auction=True))) == 0
    assert len(trader.act(START, view([(1, BUY, 999, 2)], auction=True))) == 1
    follower = Momentum(3, [0], 1)
    follower.act(START, view(last=1000))
    assert len(follower.act(START, dataclasses.replace(auction, last=1050))) == 0


def test_a_refiner_rests_one_order_beyond_the_fair_value_in_an_auction() -> None:
    refiner = Refiner(2, [0], seed=1)
    target = refiner.target(START, 0)
    bid = refiner.act(START, view([(0, BUY, 999, 9), (0, SELL, 1001, 9)], position=target - 50, auction=True))
    assert (bid["side"].tolist(), bid["price"].tolist(), bid["time_in_force"].tolist()) == (
        [BUY],
        [1001],
        [TimeInForce.DAY],
    )
    assert len(refiner.act(START, view([(2, BUY, 1001, 5)], position=target - 50, auction=True))) == 0
    offer = refiner.act(START, view(position=target + 50, auction=True))
    assert (offer["side"].tolist(), offer["price"].tolist()) == ([SELL], [999])


def test_what_an_account_may_close_is_used_up_by_the_orders_of_one_look() -> None:
    gross = np.zeros(1, GROSS)[0]
    gross.long, gross.long_today, gross.closing_long, gross.closing_long_today = 30, 12, 8, 5
    gross.short, gross.short_today = 4, 4
    book = dataclasses.replace(view(), closable=closable(gross))
    orders = member.rows(
        [
            member.enter(book, 0, side, 1000, quantity)
            for side, quantity in ((SELL, 6), (SELL, 6), (SELL, 20), (SELL, 3), (BUY, 3), (BUY, 3))
        ]
    )
    assert [(int(order["flags"]) & ~int(Flag.SMP_CANCEL_RESTING), int(order["quantity"])) for order in orders] == [
        (Flag.CLOSE, 6),
        (Flag.CLOSE, 4),
        (Flag.CLOSE_TODAY, 7),
        (Flag.OPEN, 3),
        (Flag.CLOSE_TODAY, 3),
        (Flag.CLOSE_TODAY, 1),
    ]


def test_where_orders_open_or_close_a_quote_is_replaced_and_not_amended() -> None:
    """An amended order keeps its flag, and by then less may be left to close."""
    resting = [(0, BUY, 999, 5), (0, SELL, 1001, 5)]
    seen = dataclasses.replace(view(resting, fair=1001), closable=member.Closable())
    commands = MarketMaker(0, [0], 1, levels=1).act(START, seen)
    assert commands["kind"].tolist() == [CommandKind.CANCEL, CommandKind.ENTER] * 2


def test_a_refiner_follows_its_programme_in_slices() -> None:
    refiner = Refiner(2, [0], seed=1, programme_ns=1000 * 10**9)
    targets = [refiner.target(START + second * 10**9, 0) for second in range(3000)]
    assert max(abs(after - before) for before, after in zip(targets, targets[1:], strict=False)) <= 1
    assert all(0 <= target <= 200 for target in targets) and len(set(targets)) > 20
    target = refiner.target(START, 0)
    book = [(0, BUY, 999, 9), (0, SELL, 1001, 9)]
    late = refiner.act(START, view(book, position=target - 50))
    assert (late["side"][0], late["price"][0], late["quantity"][0], late["time_in_force"][0]) == (
        BUY,
        1001,
        5,
        TimeInForce.IOC,
    )
    about_right = refiner.act(START, view(book, position=target - 3))
    assert (about_right["side"][0], about_right["price"][0], about_right["quantity"][0]) == (BUY, 999, 3)
    too_much = refiner.act(START, view(book, position=target + 3))
    assert (too_much["side"][0], too_much["price"][0]) == (SELL, 1001)


def test_a_refiner_keeps_its_slice_at_the_touch_and_withdraws_it_when_done() -> None:
    refiner = Refiner(2, [0], seed=1)
    target = refiner.target(START, 0)
    behind = [(2, BUY, 998, 5), (0, BUY, 999, 9), (0, SELL, 1001, 9)]
    moved = refiner.act(START, view(behind, position=target - 5))
    assert (moved["kind"][0], moved["order_id"][0], moved["price"][0]) == (CommandKind.AMEND, 1, 999)
    done = refiner.act(START, view(behind, position=target))
    assert (done["kind"].tolist(), done["order_id"].tolist()) == ([CommandKind.CANCEL], [1])


def test_a_partly_filled_order_is_replaced_and_not_topped_up() -> None:
    """Filled lots count towards the largest order, so an order that is topped up again and again would be refused."""
    resting = [(0, SELL, 1001, 5), (1, BUY, 1001, 4), (0, BUY, 999, 5)]
    commands = MarketMaker(0, [0], 1, levels=1).act(START, view(resting))
    assert commands["kind"].tolist() == [CommandKind.CANCEL, CommandKind.ENTER]
    assert commands["order_id"][0] == 1 and commands["price"][1] == 1001


def test_momentum_follows_a_trend_and_closes_its_position_after_it() -> None:
    follower = Momentum(3, [0], 1, max_position=4)
    book = [(0, BUY, 999, 9), (0, SELL, 1001, 9)]
    assert len(follower.act(START, view(book, last=1000))) == 0
    bought = follower.act(START, view(book, last=1010))
    assert (bought["side"][0], bought["price"][0]) == (BUY, 1001) and bought["quantity"][0] <= 4
    assert len(follower.act(START, view(book, last=1010, position=4))) == 0
    for _ in range(300):
        home = follower.act(START, view(book, last=1010, position=4))
        if len(home):
            break
    assert (home["side"][0], home["price"][0]) == (SELL, 999) and home["quantity"][0] <= 4


# The parts of a scenario


def test_fair_values_go_on_from_the_last_prices_and_revert() -> None:
    terms = [instrument("A", floor=900, ceiling=1100, reference_price=1000, product="p")] * 2
    values = FairValues(terms, [1060, 1062], seed=1, moves_per_second=10)
    assert values.ticks.tolist() == [1060, 1062]
    seen = [values.ticks]
    for _ in range(20_000):
        values.step(STEP)
        seen.append(values.ticks)
    ticks = np.array(seen)
    assert np.abs(np.diff(ticks, axis=0)).max() <= 2  # a tick of the product, a tick of its own
    assert abs(ticks.mean() - 1000) < 10 and 12 < ticks[:, 0].std() < 25
    assert np.abs(ticks[:, 0] - ticks[:, 1]).max() < 30
    assert ticks.min() >= 925 and ticks.max() <= 1075  # a fourth of the way to the limit stays free


def test_ranks_follow_the_delivery_within_a_product() -> None:
    assert delivery_ranks(CATALOGUE) == [0, 1, 2, 3] * 7
    assert delivery_ranks(CATALOGUE[::-1]) == [3, 2, 1, 0] * 7


def test_demo_accounts_are_three_people_with_limits_and_the_members() -> None:
    accounts = demo_accounts()
    assert [account.name for account in accounts[:PEOPLE]] == ["demo", "refinery", "trader"]
    far = Account(name="far")
    for person in accounts[:PEOPLE]:
        for limit in ("equity", "max_order_quantity", "max_order_notional", "max_long", "max_short", "max_open_orders"):
            assert 0 < getattr(person, limit) < getattr(far, limit)
        assert person.messages_per_second > 0
    assert len({account.name for account in accounts}) == len(accounts)
    assert [accounts[number].name for number in demo_market_makers(accounts)] == ["sim-maker-1", "sim-maker-2"]
    assert {account.firm for account in accounts[PEOPLE:]}.isdisjoint({person.firm for person in accounts[:PEOPLE]})


def test_an_exchange_without_the_members_accounts_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="^account sim-maker-1: missing, simulated members need sim-maker-1, "):
        demo_members(Exchange(CATALOGUE, [account("A")]), seed=1)
