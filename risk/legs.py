"""Orders that are about other positions than a net one in their own instrument. RULEBOOK 10 and 12.

An order is about one or two positions: its own instrument's, its leg's, or both legs' of a spread, the far one on the
other side. Each is checked, held and filled by itself (risk/positions.py), with the offset flags of the order. Volume
and value, and so fees, are those of the instrument that traded (12.3).

At settlement (12.1) lots are a position of the leg as soon as they trade, and count for limits and margin like any other.
Only their price is to come: till then the instrument traded remembers lots and ticks off, and `settle_legs` adds their cost.
"""

import numpy as np

from matching import codes as c
from matching.jit import inlined, outlined
from risk.positions import check_gross, fill_in, hold_in, reach_and_worst, row_of_exposure
from risk.records import SPECIAL_AT_SETTLEMENT, SPECIAL_OFFSET, SPECIAL_SPREAD, SPECIAL_TO_LEG

# Which positions ----------------------------------------------------------------------------------


@inlined
def first_leg(ledger, instrument):
    """The instrument whose position an order changes: its own where it has no leg."""
    limit = ledger.limits[np.uint64(instrument)]
    return np.int64(limit.leg_near) if limit.special & (SPECIAL_SPREAD | SPECIAL_TO_LEG) else np.int64(instrument)


@inlined
def second_leg(ledger, instrument):
    """The instrument whose position an order changes on the other side, or -1."""
    limit = ledger.limits[np.uint64(instrument)]
    return np.int64(limit.leg_far) if limit.special & SPECIAL_SPREAD else np.int64(-1)


# Checks (RULEBOOK 5.12, 5.13, 10.3, 10.4, 11.6) ---------------------------------------------------


@inlined
def check_reach(ledger, account, leg, side, growth, flags):
    """Reduce-only and the position limits of one leg."""
    reach, _ = reach_and_worst(ledger, account, leg, side, growth, flags)
    limit, terms = ledger.limits[np.uint64(leg)], ledger.accounts[np.uint64(account)]
    if flags & c.REDUCE_ONLY and reach > 0:
        return c.REDUCE_ONLY_WOULD_INCREASE, reach, 0
    bound = min(terms.max_long if side == c.BUY else terms.max_short, limit.max_position, limit.largest_position)
    if reach > bound:
        return c.MAX_LONG if side == c.BUY else c.MAX_SHORT, reach, bound
    return c.OK, 0, 0


@inlined
def enlarged(ledger, account, leg, side, growth, flags):
    """Lots by which the worst case of a leg would grow; a leg that does not exist: 0."""
    if leg < 0:
        return 0
    _, worst = reach_and_worst(ledger, account, leg, side, growth, flags)
    return worst - ledger.exposures[row_of_exposure(ledger, account, leg)].worst


@inlined
def check_credit(ledger, account, near, far, side, growth, flags):
    """Credit over all legs, and whether an account whose margin is called would enlarge one of them."""
    terms = ledger.accounts[np.uint64(account)]
    more_near = enlarged(ledger, account, near, side, growth, flags)
    more_far = enlarged(ledger, account, far, 3 - side, growth, flags)
    if more_near > 0 or more_far > 0:
        margin = terms.margin_used + more_near * ledger.limits[np.uint64(near)].margin
        if far >= 0:
            margin += more_far * ledger.limits[np.uint64(far)].margin
        if margin > terms.equity:
            return c.CREDIT, margin, terms.equity
        if terms.called:
            leg, more = (near, more_near) if more_near > 0 else (far, more_far)
            worst = ledger.exposures[row_of_exposure(ledger, account, leg)].worst
            return c.MARGIN_CALLED, worst + more, worst
    return c.OK, 0, 0


@inlined
def check_closing(ledger, account, leg, side, growth, flags):
    """What only an instrument asks that keeps long and short apart."""
    limit = ledger.limits[np.uint64(leg)]
    if limit.special & SPECIAL_OFFSET == 0:
        return c.OK, 0, 0
    return check_gross(ledger.gross[row_of_exposure(ledger, account, leg)], limit.opening_cap, side, growth, flags)


@inlined
def first_of(near, far):
    """Of what two legs broke the rule that comes first; of the same rule the near leg's. (reason, value, bound) each."""
    return far if far[0] != c.OK and (near[0] == c.OK or far[0] < near[0]) else near


@outlined
def check_special_exposure(ledger, account, instrument, side, growth, flags):
    """As kernel.check_exposure, of any instrument and for any account."""
    near, far = first_leg(ledger, instrument), second_leg(ledger, instrument)
    broken = check_reach(ledger, account, near, side, growth, flags)
    if far >= 0:
        broken = first_of(broken, check_reach(ledger, account, far, 3 - side, growth, flags))
    if broken[0] == c.OK:
        broken = check_credit(ledger, account, near, far, side, growth, flags)
    if broken[0] == c.OK:
        broken = check_closing(ledger, account, near, side, growth, flags)
        if far >= 0:
            broken = first_of(broken, check_closing(ledger, account, far, 3 - side, growth, flags))
    return broken


# Hold, release, fill ------------------------------------------------------------------------------


@outlined
def hold_special(ledger, account, instrument, side, quantity, orders, flags):
    """As kernel.hold, of any instrument."""
    ledger.accounts[np.uint64(account)].open_orders += orders
    hold_in(ledger, account, first_leg(ledger, instrument), side, quantity, flags)
    far = second_leg(ledger, instrument)
    if far >= 0:
        hold_in(ledger, account, far, 3 - side, quantity, flags)


@outlined
def fill_special(ledger, account, instrument, side, quantity, price, leaves, flags):
    """As kernel.fill, of any instrument. RULEBOOK 12.2 gives the legs of a spread their prices."""
    limit = ledger.limits[np.uint64(instrument)]
    own = ledger.exposures[row_of_exposure(ledger, account, instrument)]
    lots = quantity if side == c.BUY else -quantity
    near, far = first_leg(ledger, instrument), second_leg(ledger, instrument)
    if leaves == 0:
        ledger.accounts[np.uint64(account)].open_orders -= 1
    own.volume += quantity
    own.turnover += price * quantity
    own.value += abs(price) * quantity
    exposure = fill_in(ledger, account, near, side, quantity, flags)
    if limit.special & SPECIAL_AT_SETTLEMENT:
        own.position += lots
        own.cost += price * lots
    elif far >= 0:
        near_price = ledger.limits[np.uint64(near)].settlement
        exposure.cost += near_price * lots
        fill_in(ledger, account, far, 3 - side, quantity, flags).cost -= (near_price - price) * lots
    else:
        exposure.cost += price * lots


@outlined
def settle_legs(ledger, instrument, settlement):
    """RULEBOOK 12.1: what was traded in `instrument` at its leg's settlement price costs that price now, and the ticks off it.

    Only the cost of the leg's positions changes; over all accounts by nothing.
    """
    leg = first_leg(ledger, instrument)
    for account in range(len(ledger.accounts)):
        own = ledger.exposures[row_of_exposure(ledger, account, instrument)]
        ledger.exposures[row_of_exposure(ledger, account, leg)].cost += settlement * own.position + own.cost
        own.position = 0
        own.cost = 0


@outlined
def settle_into(ledger, leg, settlement):
    """A leg has its settlement price: whatever was traded at it is paid for. To be done before positions are marked to it."""
    for instrument in range(len(ledger.limits)):
        limit = ledger.limits[instrument]
        if limit.special & SPECIAL_AT_SETTLEMENT and limit.leg_near == leg:
            settle_legs(ledger, instrument, settlement)
