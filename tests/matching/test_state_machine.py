"""Hypothesis drives the engine and the reference side by side, and shrinks a difference to its shortest sequence."""

from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exchange import Exchange
from matching.codes import (
    ALL,
    AUCTION_PHASES,
    STOP_TYPES,
    AuctionStep,
    CommandKind,
    Flag,
    Limit,
    OrderType,
    Phase,
    SelfMatch,
    SettlementRule,
    Side,
    TimeInForce,
)
from matching.invariants import check_book
from matching.reference import ReferenceBook
from tests.build import account, amend, cancel, enter, instrument, operator, rows
from tests.effort import examples

accounts = st.integers(0, 2)
instruments = st.integers(0, 1)
prices = st.integers(-3, 4)  # the band is -2 to 3
quantities = st.integers(1, 6)
modes = st.sampled_from([0, Flag.SMP_CANCEL_INCOMING, Flag.SMP_CANCEL_RESTING, Flag.SMP_CANCEL_BOTH])


class EngineBesideReference(RuleBasedStateMachine):
    """Both get the same commands. After each one, events are compared and invariants checked."""

    @initialize(
        groups=st.lists(st.sampled_from([None, 0, 1]), min_size=3, max_size=3),
        self_match=st.sampled_from(list(SelfMatch)),
        rule=st.sampled_from(["resting", "median"]),
        protection=st.integers(0, 2),
        auction=st.builds(AuctionStep, st.integers(0, sum(AuctionStep))),
        max_orders=st.sampled_from([2, 5, 50]),
    )
    def open(
        self, groups: list[Any], self_match: SelfMatch, rule: str, protection: int, auction: int, max_orders: int
    ) -> None:
        terms: dict[str, Any] = {
            "floor": -2,
            "ceiling": 3,
            "price_rule": rule,
            "protection": protection,
            "auction": auction,
        }
        markets = [
            instrument("A1", reference_price=0, **terms),
            instrument("B1", reference_price=3, velocity=2, velocity_window=4000, daily_limit=9000, **terms),
        ]
        members = [account(f"A{number}", group=group, self_match=self_match) for number, group in enumerate(groups)]
        self.engine = Exchange(markets, members, risk=False, max_orders=max_orders)
        self.reference = ReferenceBook(markets, members, max_orders)
        self.sequence = 0

    def both(self, command: dict[str, Any]) -> None:
        self.sequence += 1
        block = rows(command, start=self.sequence)
        events, expected = self.engine.apply(block), self.reference.apply(block)
        assert events.tolist() == expected.tolist()
        assert events.tobytes() == expected.tobytes()

    def resting(self, choice: int) -> tuple[int, int, int]:
        """An order that rests, as (order_id, account, instrument)."""
        orders = list(self.reference.orders.values())
        order = orders[choice % len(orders)]
        return order.order_id, order.account, order.instrument

    @rule(
        account=accounts,
        side=st.sampled_from(list(Side)),
        price=prices,
        quantity=quantities,
        instrument=instruments,
        order_type=st.sampled_from([OrderType.LIMIT, OrderType.LIMIT, OrderType.LIMIT, OrderType.MARKET]),
        time_in_force=st.sampled_from(list(TimeInForce)),
        flags=modes,
        post=st.booleans(),
    )
    def enter(
        self,
        account: int,
        side: Side,
        price: int,
        quantity: int,
        instrument: int,
        order_type: OrderType,
        time_in_force: TimeInForce,
        flags: int,
        post: bool,
    ) -> None:
        self.both(
            enter(
                account,
                side,
                price,
                quantity,
                instrument=instrument,
                order_type=order_type,
                time_in_force=time_in_force,
                flags=flags | post * Flag.POST_ONLY,
            )
        )

    @rule(
        account=accounts,
        side=st.sampled_from(list(Side)),
        price=prices,
        trigger=prices,
        quantity=quantities,
        instrument=instruments,
        order_type=st.sampled_from(sorted(STOP_TYPES)),
        flags=modes,
    )
    def stop(
        self,
        account: int,
        side: Side,
        price: int,
        trigger: int,
        quantity: int,
        instrument: int,
        order_type: OrderType,
        flags: int,
    ) -> None:
        self.both(
            enter(
                account,
                side,
                price,
                quantity,
                trigger_price=trigger,
                instrument=instrument,
                order_type=order_type,
                flags=flags,
            )
        )

    @rule(
        account=accounts,
        side=st.sampled_from(list(Side)),
        price=prices,
        quantity=quantities,
        shown=quantities,
        instrument=instruments,
        flags=modes,
    )
    def iceberg(
        self, account: int, side: Side, price: int, quantity: int, shown: int, instrument: int, flags: int
    ) -> None:
        self.both(enter(account, side, price, quantity, display_quantity=shown, instrument=instrument, flags=flags))

    @rule(
        account=accounts,
        side=st.sampled_from(list(Side)),
        price=prices,
        quantity=quantities,
        least=quantities,
        instrument=instruments,
        flags=modes,
    )
    def minimum(
        self, account: int, side: Side, price: int, quantity: int, least: int, instrument: int, flags: int
    ) -> None:
        self.both(
            enter(
                account,
                side,
                price,
                quantity,
                minimum_quantity=least,
                time_in_force=TimeInForce.IOC,
                instrument=instrument,
                flags=flags,
            )
        )

    @precondition(lambda self: self.reference.orders)
    @rule(choice=st.integers(0, 49), price=prices, quantity=quantities, flags=modes)
    def link(self, choice: int, price: int, quantity: int, flags: int) -> None:
        order_id, owner, place = self.resting(choice)
        self.both(
            enter(
                owner,
                self.reference.orders[order_id].side,
                price,
                quantity,
                order_id=order_id,
                instrument=place,
                flags=flags,
            )
        )

    @rule(
        account=accounts,
        side=st.sampled_from(list(Side)),
        price=prices,
        quantity=quantities,
        instrument=instruments,
        expire_date=st.integers(20270103, 20270106),
    )
    def dated(self, account: int, side: Side, price: int, quantity: int, instrument: int, expire_date: int) -> None:
        self.both(
            enter(
                account,
                side,
                price,
                quantity,
                time_in_force=TimeInForce.GTD,
                expire_date=expire_date,
                instrument=instrument,
            )
        )

    @precondition(lambda self: self.reference.orders)
    @rule(choice=st.integers(0, 49))
    def cancel(self, choice: int) -> None:
        order_id, owner, place = self.resting(choice)
        self.both(cancel(owner, order_id, instrument=place))

    @rule(account=accounts, order_id=st.integers(-1, 40), instrument=instruments)
    def cancel_something(self, account: int, order_id: int, instrument: int) -> None:
        self.both(cancel(account, order_id, instrument=instrument))

    @precondition(lambda self: self.reference.orders)
    @rule(
        choice=st.integers(0, 49),
        price=prices,
        quantity=quantities,
        flags=modes,
        post=st.booleans(),
        is_open_quantity=st.booleans(),
        trigger=prices,
    )
    def amend(
        self, choice: Any, price: int, quantity: int, flags: Any, post: Any, is_open_quantity: Any, trigger: int
    ) -> None:
        order_id, owner, place = self.resting(choice)
        is_parked = self.reference.orders[order_id].parked
        self.both(
            amend(
                owner,
                order_id,
                price,
                quantity,
                instrument=place,
                trigger_price=trigger if is_parked else 0,
                flags=flags | post * Flag.POST_ONLY | is_open_quantity * Flag.OPEN_QUANTITY,
            )
        )

    @rule(account=st.sampled_from([ALL, 0, 1]), side=st.integers(0, 2), instrument=st.sampled_from([ALL, 0, 1]))
    def mass_cancel(self, account: int, side: int, instrument: int) -> None:
        self.both(operator(CommandKind.MASS_CANCEL, account=account, side=side, instrument=instrument))

    @rule(date=st.integers(20270104, 20270107))
    def days(self, date: int) -> None:
        self.both(operator(CommandKind.END_DAY))
        self.both(operator(CommandKind.BEGIN_DAY, quantity=date))

    @rule(instrument=instruments, price=prices)
    def settle(self, instrument: int, price: int) -> None:
        self.both(operator(CommandKind.SETTLE, SettlementRule.GIVEN, instrument=instrument, price=price))

    @rule(
        phase=st.sampled_from([*Phase, *AUCTION_PHASES, Phase.CALL_AUCTION, Phase.LIMIT_LOCKED]),
        instrument=st.sampled_from([ALL, 0, 1]),
    )
    def phase(self, phase: Phase, instrument: int) -> None:
        self.both(operator(CommandKind.PHASE, phase, instrument=instrument))

    @rule(instrument=st.sampled_from([ALL, 0, 1]))
    def open_again(self, instrument: int) -> None:
        self.both(operator(CommandKind.PHASE, Phase.CONTINUOUS, instrument=instrument))

    @rule(account=accounts, limit=st.sampled_from([Limit.GROUP, Limit.SELF_MATCH]), value=st.integers(0, 3))
    def limit(self, account: int, limit: Limit, value: int) -> None:
        self.both(operator(CommandKind.LIMIT, limit, account=account, quantity=value))

    @invariant()
    def books_are_sound_and_equal(self) -> None:
        if not hasattr(self, "engine"):
            return
        check_book(self.engine.book)
        for number, terms in enumerate(self.engine.instruments):
            orders = self.engine.orders(terms.symbol)
            assert np.array_equal(orders["order_id"], [order.order_id for order in self.reference.resting(number)])
            assert np.array_equal(
                orders["leaves_quantity"], [order.leaves_quantity for order in self.reference.resting(number)]
            )
            assert self.engine.last_price(terms.symbol) == self.reference.markets[number].last_price


EngineBesideReference.TestCase.settings = settings(
    max_examples=examples(80),
    stateful_step_count=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestEngineBesideReference = EngineBesideReference.TestCase
