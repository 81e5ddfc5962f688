"""Limits of an account as people set them, and how they become rows of the ledger.

    Account(name="refinery", equity=5_000_000_00, max_long=200, max_short=200)

A limit that is not given is far away (`FAR`): a hub for learning starts without limits, a venue sets all of them.
"""

from dataclasses import dataclass

import numpy as np

from matching.codes import Limit, Reason, SelfMatch
from risk.records import Ledger

FAR = 1 << 40  # lots, orders: more than anybody needs
FAR_MONEY = 1 << 61  # fen
LARGEST_BURST = 1 << 20  # messages; burst x interval must fit int64
LARGEST_MARGIN = 1 << 56  # fen that an account can need in one instrument; sums must fit int64
LARGEST_WINDOW = 86_400_000  # ms, a day
_ALL_OF_IT, _ALL_IN_MILLIONTHS = 10_000, 1_000_000  # a rate of 1: of daily limits and margin, and of fees
_NS_PER_SECOND, _NS_PER_MILLISECOND = 1_000_000_000, 1_000_000


@dataclass(frozen=True, kw_only=True)
class Account:
    """Limits of one trading account. Errors: ValueError naming field, value and bound."""

    name: str
    firm: int = 0
    group: int | None = None  # accounts of one group do not trade with each other; None: alone
    self_match: SelfMatch = SelfMatch.NONE
    equity: int = FAR_MONEY  # fen
    max_order_quantity: int = FAR  # lots
    max_order_notional: int = FAR_MONEY  # fen
    max_long: int = FAR  # lots, worst case, in each instrument
    max_short: int = FAR
    max_open_orders: int = FAR
    messages_per_second: int = 0  # ENTER and AMEND; 0: no limit
    message_burst: int = 1
    protection_lots: int = 0  # that may trade as the resting side within the interval (RULEBOOK 9.6); 0: any
    protection_interval: int = 0  # ms
    enabled: bool = True

    def __post_init__(self) -> None:
        for field, largest in (
            ("firm", 1 << 20),
            ("equity", FAR_MONEY),
            ("max_order_quantity", FAR),
            ("max_order_notional", FAR_MONEY),
            ("max_long", FAR),
            ("max_short", FAR),
            ("max_open_orders", FAR),
            ("messages_per_second", _NS_PER_SECOND),
            ("message_burst", LARGEST_BURST),
            ("protection_lots", FAR),
            ("protection_interval", LARGEST_WINDOW),
        ):
            value = getattr(self, field)
            if not 0 <= value <= largest:
                raise ValueError(f"account {self.name}: {field} is {value}, must be 0 to {largest}")


def set_account(ledger: Ledger, index: int, account: Account) -> None:
    """Write the limits of an account into its row of the ledger."""
    row = ledger.accounts[index]
    row.firm, row.enabled, row.equity = account.firm, account.enabled, account.equity
    row.max_order_quantity, row.max_order_notional = account.max_order_quantity, account.max_order_notional
    row.max_long, row.max_short, row.max_open_orders = account.max_long, account.max_short, account.max_open_orders
    row.message_interval = _NS_PER_SECOND // account.messages_per_second if account.messages_per_second else 0
    row.message_burst = max(1, account.message_burst)
    row.protection_lots, row.protection_interval = (
        account.protection_lots,
        account.protection_interval * _NS_PER_MILLISECOND,
    )
    row.opening_equity = account.equity
    row.refusal = Reason.NONE if account.enabled else Reason.ACCOUNT_DISABLED


# Ranges by number, for kernels. A Limit that does not exist has an empty range.
_RANGES = {
    Limit.MAX_ORDER_QUANTITY: (0, FAR),
    Limit.MAX_ORDER_NOTIONAL: (0, FAR_MONEY),
    Limit.MAX_LONG: (0, FAR),
    Limit.MAX_SHORT: (0, FAR),
    Limit.MAX_OPEN_ORDERS: (0, FAR),
    Limit.MESSAGES_PER_SECOND: (0, _NS_PER_SECOND),
    Limit.MESSAGE_BURST: (1, LARGEST_BURST),
    Limit.ENABLED: (0, 1),
    Limit.SELF_MATCH: (0, max(SelfMatch)),
    Limit.GROUP: (0, (1 << 31) - 1),
    Limit.PROTECTION_LOTS: (0, FAR),
    Limit.PROTECTION_INTERVAL: (0, LARGEST_WINDOW),
    Limit.PROTECTION_RESET: (0, FAR),
    Limit.INSTRUMENT_MAX_ORDER_QUANTITY: (1, FAR),
    Limit.INSTRUMENT_MAX_POSITION: (0, FAR),
    Limit.INSTRUMENT_COLLAR: (0, FAR),
    Limit.INSTRUMENT_MARGIN: (0, LARGEST_MARGIN),
    Limit.INSTRUMENT_PROTECTION: (0, FAR),
    Limit.INSTRUMENT_DAILY_LIMIT: (0, _ALL_OF_IT),
    Limit.INSTRUMENT_MARGIN_RATE: (0, _ALL_OF_IT),
    Limit.INSTRUMENT_FEE_PER_LOT: (0, FAR),
    Limit.INSTRUMENT_FEE_RATE: (0, _ALL_IN_MILLIONTHS),
    Limit.INSTRUMENT_VELOCITY: (0, FAR),
    Limit.INSTRUMENT_VELOCITY_WINDOW: (0, LARGEST_WINDOW),
    Limit.INSTRUMENT_OPENING_CAP: (0, FAR),
    Limit.INSTRUMENT_RESERVE: (-FAR, FAR),
}
LIMIT_LOW, LIMIT_HIGH = np.full(256, 1, np.int64), np.full(256, 0, np.int64)
for _limit, _range in _RANGES.items():
    LIMIT_LOW[_limit], LIMIT_HIGH[_limit] = _range
