"""Orders that change other positions than a net one in their own instrument. RULEBOOK 10 and 12.

An order changes one or two positions: that of its own instrument, that of its leg, or those of both legs of a spread, the
far one on the other side. Each is checked, held and filled by itself (risk/positions.py), with the offset flags of the
order. Volume and value, and so fees, are those of the instrument that traded (12.3).

With trading at settlement (12.1) lots are a position of the leg as soon as they trade, and count for limits and margin like
any other. Only their price is not known yet. Until the leg is settled, the traded instrument keeps the lots and their ticks
off that price; `settle_legs` then adds their cost.
"""

import numpy as np

from matching import codes as c
from matching.jit import inlined, outlined
from risk.positions import fill_in, hold_in, no_stake, row_of_exposure, stake_in
from risk.records import SPECIAL_AT_SETTLEMENT, SPECIAL_SPREAD, SPECIAL_TO_LEG

# Which positions ----------------------------------------------------------------------------------


@inlined
def first_leg(ledger, instrument):
    """The instrument whose position an order changes: its own, unless it has a leg."""
    limit = ledger.limits[np.uint64(instrument)]
    return np.int64(limit.leg_near) if limit.special & (SPECIAL_SPREAD | SPECIAL_TO_LEG) else np.int64(instrument)


@inlined
def second_leg(ledger, instrument):
    """The instrument whose position an order changes on the other side, or -1."""
    limit = ledger.limits[np.uint64(instrument)]
    return np.int64(limit.leg_far) if limit.special & SPECIAL_SPREAD else np.int64(-1)


@inlined
def stakes_of(ledger, account, instrument, side, growth, flags):
    """The Stake of an account in each instrument that an order is about: (near, far). far: no_stake where there is none."""
    near, far = first_leg(ledger, instrument), second_leg(ledger, instrument)
    stake = stake_in(ledger, account, near, side, growth, flags, False)
    other = no_stake()
    if far >= 0:
        other = stake_in(ledger, account, far, 3 - side, growth, flags, False)
    return stake, other


# Hold, release, fill ------------------------------------------------------------------------------


@outlined
def hold_legs(ledger, account, instrument, side, quantity, orders, flags):
    """kernel.hold for any instrument."""
    ledger.accounts[np.uint64(account)].open_orders += orders
    hold_in(ledger, account, first_leg(ledger, instrument), side, quantity, flags)
    far = second_leg(ledger, instrument)
    if far >= 0:
        hold_in(ledger, account, far, 3 - side, quantity, flags)


@outlined
def fill_legs(ledger, account, instrument, side, quantity, price, leaves, flags):
    """kernel.fill for any instrument. RULEBOOK 12.2 gives the legs of a spread their prices."""
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
    """RULEBOOK 12.1: give what was traded in `instrument` its cost in the leg, now that the leg has a settlement price.

    Each lot costs that price plus the ticks it was traded at. Over all accounts the costs add up to nothing.
    """
    leg = first_leg(ledger, instrument)
    for account in range(len(ledger.accounts)):
        own = ledger.exposures[row_of_exposure(ledger, account, instrument)]
        ledger.exposures[row_of_exposure(ledger, account, leg)].cost += settlement * own.position + own.cost
        own.position = 0
        own.cost = 0


@outlined
def settle_into(ledger, leg, settlement):
    """settle_legs for every instrument that trades at the settlement price of a leg. Call it before marking to market."""
    for instrument in range(len(ledger.limits)):
        limit = ledger.limits[instrument]
        if limit.special & SPECIAL_AT_SETTLEMENT and limit.leg_near == leg:
            settle_legs(ledger, instrument, settlement)
