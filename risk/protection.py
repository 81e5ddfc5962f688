"""Market-maker protection: cancels the orders of an account that trades too much at once as the resting side. RULEBOOK 9.6.

Lots are counted as trades are applied to exposures. At the end of the command exchange/engine/lanes.py finds the tripped
accounts with `next_tripped` and cancels their orders. Rule 219 (risk/rules.py) refuses new ones until a reset.
"""

import numpy as np

from matching import codes as c
from matching.jit import outlined
from matching.records import NIL

_MILLISECOND = 1_000_000


@outlined
def count_resting_fill(ledger, number, quantity, time):
    """Count lots that an account traded as the resting side, and trip its protection if they reach the limit."""
    account = ledger.accounts[np.uint64(number)]
    if account.tripped:
        return
    if account.protection_traded == 0 or time - account.protection_begun > account.protection_interval:
        account.protection_begun = time
        account.protection_traded = 0
    account.protection_traded += quantity
    if account.protection_traded >= account.protection_lots:
        account.tripped = 1
        ledger.hub[0].tripped += 1


@outlined
def next_tripped(ledger, number):
    """The first account from `number` on whose protection has tripped and that has open orders, or NIL."""
    while number < len(ledger.accounts):
        account = ledger.accounts[number]
        if account.tripped and account.open_orders != 0:
            return number
        number += 1
    return np.int64(NIL)


@outlined
def set_protection(account, which, value):
    """LIMIT of an account: PROTECTION_LOTS, PROTECTION_INTERVAL (ms) or PROTECTION_RESET; others change nothing."""
    if which == c.LIMIT_PROTECTION_LOTS:
        account.protection_lots = value
    elif which == c.LIMIT_PROTECTION_INTERVAL:
        account.protection_interval = value * _MILLISECOND
    elif which == c.LIMIT_PROTECTION_RESET:
        account.tripped = 0
        account.protection_begun = 0
        account.protection_traded = 0
