"""What an account holds in one instrument: net, or with long and short kept apart (RULEBOOK 10).

Each function is about one account and one instrument in which positions are kept. risk/legs.py says which instruments an
order changes. `move` and `change` are all that net positions need, which most are. An instrument with SPECIAL_OFFSET also has a
row of GROSS, with long and short; the position of its EXPOSURE is the net of the two.
"""

from typing import NamedTuple

import numpy as np

from matching import codes as c
from matching.jit import inlined, outlined
from risk.records import SPECIAL_OFFSET

_CLOSING = c.CLOSE | c.CLOSE_TODAY


# Net positions ------------------------------------------------------------------------------------


@inlined
def row_of_exposure(ledger, account, instrument):
    """Row of an account and instrument in Ledger.exposures and Ledger.gross."""
    return np.uint64(account * len(ledger.limits) + instrument)


@inlined
def worst_case(position, open_buy, open_sell):
    """Lots of the larger side if all buys, or all sells, were to fill: max(|position + open_buy|, |position - open_sell|).

    No absolute values are needed: where one of the two has the wrong sign, the other one is farther from zero.
    """
    return max(position + open_buy, open_sell - position)


@inlined
def change(ledger, account_index, instrument_index, position, open_buy, open_sell, orders, worst):
    """Change a net exposure by so many lots, and the open orders of its account. Returns the exposure.

    worst     lots that margin is held for from then on: the worst_case of the changed exposure
    All is read and computed before anything is written: after a write the compiler would have to read again.
    """
    account = ledger.accounts[np.uint64(account_index)]
    exposure = ledger.exposures[row_of_exposure(ledger, account_index, instrument_index)]
    position += exposure.position
    open_buy += exposure.open_buy
    open_sell += exposure.open_sell
    orders += account.open_orders
    margin = account.margin_used + (worst - exposure.worst) * ledger.limits[np.uint64(instrument_index)].margin
    exposure.position = position
    exposure.open_buy = open_buy
    exposure.open_sell = open_sell
    exposure.worst = worst
    account.open_orders = orders
    account.margin_used = margin
    return exposure


@inlined
def move(ledger, account, instrument, position, open_buy, open_sell, orders):
    """`change` where the worst case is not known yet."""
    exposure = ledger.exposures[row_of_exposure(ledger, account, instrument)]
    worst = worst_case(exposure.position + position, exposure.open_buy + open_buy, exposure.open_sell + open_sell)
    return change(ledger, account, instrument, position, open_buy, open_sell, orders, worst)


# Long and short kept apart (RULEBOOK 10) ----------------------------------------------------------


@inlined
def closes(flags):
    """Does an order with these flags close a position? Without a flag it opens one."""
    return flags & _CLOSING != 0


@inlined
def only_today(flags):
    """Does a closing order close what was opened today? With CLOSE, orders of the exchange close the older lots first."""
    return flags & _CLOSING == c.CLOSE_TODAY


@inlined
def open_gross(gross, side, quantity, flags):
    """Add `quantity` open lots of one side (negative: release them), as opening or closing ones."""
    if not closes(flags):
        if side == c.BUY:
            gross.opening_buy += quantity
        else:
            gross.opening_sell += quantity
    elif only_today(flags):
        if side == c.BUY:
            gross.closing_short_today += quantity
        else:
            gross.closing_long_today += quantity
    elif side == c.BUY:
        gross.closing_short += quantity
    else:
        gross.closing_long += quantity


@inlined
def left_of_today(held, today, quantity, is_today):
    """Today's lots that are left when `quantity` of all `held` are closed. is_today: of today's first, else of older ones."""
    if is_today:
        return max(today - quantity, 0)
    return min(today, held - quantity)


@inlined
def fill_gross(gross, side, quantity, flags):
    """Turn traded lots into a position, or close one with them.

    What a closing order closes is there, since rule 510 kept it free. Only LIQUIDATE and EXPIRE take it away (11.7, 11.8).
    Then the missing lots open the other side, and the net is right in any case.
    """
    opened = quantity
    if closes(flags):
        closed = min(quantity, gross.short if side == c.BUY else gross.long)
        if side == c.BUY:
            gross.short_today = left_of_today(gross.short, gross.short_today, closed, only_today(flags))
            gross.short -= closed
        else:
            gross.long_today = left_of_today(gross.long, gross.long_today, closed, only_today(flags))
            gross.long -= closed
        opened = quantity - closed
    else:
        gross.opened += opened
    if side == c.BUY:
        gross.long += opened
        gross.long_today += opened
    else:
        gross.short += opened
        gross.short_today += opened


# What an order would lead to ----------------------------------------------------------------------


class Stake(NamedTuple):
    """What an account could come to hold in one instrument if the order grows as proposed. Lots, unless noted."""

    reach: int  # largest position on the side of the order
    limit: int  # position limit of that side
    worst_before: int  # that margin is held for now
    worst: int  # that margin would be held for
    margin: int  # fen a lot
    closes: bool  # the order closes what is held on the other side (RULEBOOK 10)
    free: int  # of it, not yet claimed by other closing orders
    opened: int  # today, the order included
    cap: int  # most that may be opened a day; 0: any


@inlined
def no_stake():
    """The Stake in an instrument that does not exist. It breaks no rule."""
    zero = np.int64(0)
    return Stake(zero, zero, zero, zero, zero, False, zero, zero, zero)


@inlined
def stake_in(ledger, account_index, instrument, side, growth, flags, plain):
    """The Stake of an account in an instrument that positions are kept in. plain: its positions are net."""
    account, limit = ledger.accounts[np.uint64(account_index)], ledger.limits[np.uint64(instrument)]
    row = row_of_exposure(ledger, account_index, instrument)
    exposure = ledger.exposures[row]
    position_limit = min(
        account.max_long if side == c.BUY else account.max_short, limit.max_position, limit.largest_position
    )
    zero = np.int64(0)
    if not plain and limit.special & SPECIAL_OFFSET:
        gross = ledger.gross[row]
        free = opened = zero
        reach, worst, closing = zero, exposure.worst, closes(flags)
        if not closing:
            reach = growth + (gross.long + gross.opening_buy if side == c.BUY else gross.short + gross.opening_sell)
            worst = max(reach, exposure.worst)
            opened = gross.opened + gross.opening_buy + gross.opening_sell + growth
        elif side == c.BUY:
            older = gross.short - gross.short_today - gross.closing_short
            free = gross.short_today - gross.closing_short_today if only_today(flags) else older
        else:
            older = gross.long - gross.long_today - gross.closing_long
            free = gross.long_today - gross.closing_long_today if only_today(flags) else older
        return Stake(
            reach, position_limit, exposure.worst, worst, limit.margin, closing, free, opened, limit.opening_cap
        )
    buys = growth * (2 - side)  # a side is 1 or 2: arithmetic instead of a branch that cannot be predicted
    long = exposure.position + (exposure.open_buy + buys)
    short = exposure.open_sell + (growth - buys) - exposure.position
    reach = long if side == c.BUY else short
    return Stake(reach, position_limit, exposure.worst, max(long, short), limit.margin, False, zero, zero, zero)


# Either way ---------------------------------------------------------------------------------------


@inlined
def hold_in(ledger, account, instrument, side, quantity, flags):
    """Hold `quantity` more open lots of one side; negative: release them."""
    bought = quantity * (2 - side)
    if ledger.limits[np.uint64(instrument)].special & SPECIAL_OFFSET:
        open_gross(ledger.gross[row_of_exposure(ledger, account, instrument)], side, quantity, flags)
        move_gross(ledger, account, instrument, c.NONE, bought, quantity - bought)
    else:
        move(ledger, account, instrument, c.NONE, bought, quantity - bought, c.NONE)


@inlined
def fill_in(ledger, account, instrument, side, quantity, flags):
    """Turn `quantity` open lots of one side into position. Returns the exposure; its cost is left to the caller."""
    bought = quantity * (2 - side)
    sold = quantity - bought
    if ledger.limits[np.uint64(instrument)].special & SPECIAL_OFFSET:
        gross = ledger.gross[row_of_exposure(ledger, account, instrument)]
        open_gross(gross, side, -quantity, flags)
        fill_gross(gross, side, quantity, flags)
        return move_gross(ledger, account, instrument, bought - sold, -bought, -sold)
    return move(ledger, account, instrument, bought - sold, -bought, -sold, c.NONE)


@inlined
def move_gross(ledger, account_index, instrument_index, position, open_buy, open_sell):
    """Bring the exposure of an instrument with SPECIAL_OFFSET up to date with its row of GROSS. Returns the exposure."""
    row = row_of_exposure(ledger, account_index, instrument_index)
    exposure, gross = ledger.exposures[row], ledger.gross[row]
    exposure.position += position
    exposure.open_buy += open_buy
    exposure.open_sell += open_sell
    worst = max(gross.long + gross.opening_buy, gross.short + gross.opening_sell)
    margin = (worst - exposure.worst) * ledger.limits[np.uint64(instrument_index)].margin
    ledger.accounts[np.uint64(account_index)].margin_used += margin
    exposure.worst = worst
    return exposure


# What operators do with positions -----------------------------------------------------------------


@outlined
def end_positions_day(ledger):
    """RULEBOOK 10.6: no lots were opened today any more, neither for CLOSE_TODAY nor for the opening cap."""
    for instrument in range(len(ledger.limits)):
        if ledger.limits[instrument].special & SPECIAL_OFFSET:
            for account in range(len(ledger.accounts)):
                gross = ledger.gross[row_of_exposure(ledger, account, instrument)]
                gross.long_today = 0
                gross.short_today = 0
                gross.opened = 0


@outlined
def net_off(ledger, account, instrument):
    """Close long against short of one account, without a trade: net position and cost stay. RULEBOOK 10.8."""
    gross = ledger.gross[row_of_exposure(ledger, account, instrument)]
    both = min(gross.long, gross.short)
    gross.long_today = left_of_today(gross.long, gross.long_today, both, False)
    gross.short_today = left_of_today(gross.short, gross.short_today, both, False)
    gross.long -= both
    gross.short -= both
    if ledger.limits[np.uint64(instrument)].special & SPECIAL_OFFSET:
        move_gross(ledger, account, instrument, c.NONE, c.NONE, c.NONE)


@outlined
def end_position(ledger, account, instrument):
    """End a position without a trade (RULEBOOK 11.8): no lots and no cost are left."""
    row = row_of_exposure(ledger, account, instrument)
    exposure, gross = ledger.exposures[row], ledger.gross[row]
    exposure.cost = 0
    gross.long = 0
    gross.short = 0
    gross.long_today = 0
    gross.short_today = 0
    if ledger.limits[np.uint64(instrument)].special & SPECIAL_OFFSET:
        move_gross(ledger, account, instrument, -exposure.position, c.NONE, c.NONE)
    else:
        move(ledger, account, instrument, -exposure.position, c.NONE, c.NONE, c.NONE)
