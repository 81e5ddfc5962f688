"""Limits as records, exposures as columns of a ledger. Integers: lots, ticks, fen (0.01 of the currency), ns.

`new_ledger` makes the memory of the risk module: one ACCOUNT a trading account, one LIMIT an instrument, one EXPOSURE
an account and instrument, and the day's client order ids.
"""

from typing import NamedTuple

import numpy as np

from matching.records import CACHE_LINE, COMMAND_WORDS, new_rows, record

_WORDS = [(name, COMMAND_WORDS[name].str) for name in ("client_0", "client_1", "client_2")]


# fmt: off
ACCOUNT = record(
    ("equity", "<i8"),                # fen
    ("margin_used", "<i8"),           # fen, initial margin of the worst case over all instruments
    ("max_order_quantity", "<i8"),    # lots
    ("max_order_notional", "<i8"),    # fen
    ("max_long", "<i8"),              # lots, worst case, in each instrument
    ("max_short", "<i8"),             # lots, worst case, in each instrument
    ("max_open_orders", "<i8"),
    ("open_orders", "<i8"),
    ("message_interval", "<i8"),      # ns a message costs; 0: no limit
    ("message_burst", "<i8"),         # messages that may come at once
    ("message_arrival", "<i8"),       # ns, theoretical arrival time of the next message (generic cell rate algorithm)
    ("refusal", "<i4"),               # Reason that refuses every new order (firm, account, enabled), or NONE
    ("firm", "<i4"),
    ("killed", "<i4"),
    ("enabled", "<i4"),
    ("called", "<i4"),                # 1: margin is called, only orders that do not enlarge the worst case pass
    ("tripped", "<i4"),               # 1: market-maker protection, until it is reset
    ("protection_lots", "<i8"),       # lots that may trade within the interval; 0: none
    ("protection_interval", "<i8"),   # ns
    ("protection_begun", "<i8"),      # ns, of the present interval
    ("protection_traded", "<i8"),     # lots, in it
    ("opening_equity", "<i8"),        # fen, when the day began
    ("result", "<i8"),                # fen won since then by marking to market
    ("fees", "<i8"),                  # fen, charged since then
    ("paid_in", "<i8"),               # fen, CASH since then
    size=3 * CACHE_LINE)

LIMIT = record(
    ("refusal", "<i8"),               # Reason that refuses every new order (hub, instrument), or NONE
    ("max_order_quantity", "<i8"),    # lots
    ("max_position", "<i8"),          # lots, worst case, long or short, of one account
    ("largest_position", "<i8"),      # lots up to which margin stays countable (limits.LARGEST_MARGIN)
    ("collar", "<i8"),                # ticks around the last trade; 0: none
    ("margin", "<i8"),                # fen per lot
    ("fen_per_tick", "<i8"),          # fen per tick and lot
    ("price_increment", "<i8"),       # ticks
    ("quantity_increment", "<i8"),    # lots
    ("minimum_quantity", "<i8"),      # lots
    ("killed", "<i8"),
    ("special", "<i8"),               # bits SPECIAL_...; 0: positions are net and its own
    ("leg_near", "<i4"), ("leg_far", "<i4"),       # instruments that positions go to; -1: none; no leg has legs
    ("fee_per_lot", "<i8"),           # fen
    ("fee_rate", "<i8"),              # 1/1,000,000 of the value
    ("margin_rate", "<i8"),           # 1/10,000 of the settlement price; 0: margin is fen per lot
    ("opening_cap", "<i8"),           # lots an account may open a day; 0: none
    ("settlement", "<i8"),            # ticks, of the last SETTLE
    ("settled", "<i8"),               # 1: settled since the day began
    ("window_volume", "<i8"),         # lots traded since the last SETTLE before the window of WINDOW_VWAP began
    ("window_turnover", "<i8"),       # ticks x lots likewise
    ("physical", "<i8"),              # 1: delivered at expiry; 0: paid
    size=3 * CACHE_LINE)

SPECIAL_OFFSET = 1                    # long and short are kept apart; orders open or close (RULEBOOK 10)
SPECIAL_SPREAD = 2                    # a trade is a position in two legs (RULEBOOK 12.2)
SPECIAL_TO_LEG = 4                    # a trade is a position in leg_near: block
SPECIAL_AT_SETTLEMENT = 8             # with SPECIAL_TO_LEG: at the settlement price plus the traded one (RULEBOOK 12.1)

# What an account has at stake in an instrument. Of one with legs only what it traded is its own, and at settlement (12.1)
# position and cost, in lots and ticks x lots off the price to come; all else is in the legs.
EXPOSURE = record(
    ("position", "<i8"),              # lots, long positive
    ("open_buy", "<i8"),              # lots of open buy orders, those of instruments whose leg this is included
    ("open_sell", "<i8"),             # lots of open sell orders, likewise
    ("cost", "<i8"),                  # ticks x lots paid (bought) minus received (sold); not for lots whose price is to come
    ("worst", "<i8"),                 # lots that margin is held for: max(|position + open_buy|, |position - open_sell|); with
                                      # SPECIAL_OFFSET max(long + opening_buy, short + opening_sell)
    ("volume", "<i8"),                # lots traded since the last SETTLE, bought and sold
    ("turnover", "<i8"),              # ticks x lots, likewise: what the average price is of
    ("value", "<i8"),                 # |ticks| x lots, likewise: what fees are of
    size=CACHE_LINE)

# Long and short kept apart, of an account in an instrument with SPECIAL_OFFSET. Lots.
GROSS = record(
    ("long", "<i8"), ("short", "<i8"),                        # all that is held
    ("long_today", "<i8"), ("short_today", "<i8"),            # of it, opened today
    ("closing_long", "<i8"), ("closing_short", "<i8"),        # open orders that would close what is older
    ("closing_long_today", "<i8"), ("closing_short_today", "<i8"),   # that would close what was opened today
    ("opening_buy", "<i8"), ("opening_sell", "<i8"),          # open orders that would open
    ("opened", "<i8"),                                        # today, both sides
    size=2 * CACHE_LINE)

CLIENT_ORDER = record(
    ("order_id", "<i8"),              # the order that has this client order id; 0: a free row
    *_WORDS,
    ("account", "<i4"))

HUB = record(
    ("on", "<i8"),                    # 0: matching alone
    ("killed", "<i8"),
    ("client_orders", "<i8"),         # client order ids remembered
    ("max_client_orders", "<i8"),     # how many can be
    ("fees", "<i8"),                  # fen, all that accounts have ever paid
    ("maintenance", "<i8"),           # 1/10,000 of the initial margin of positions, below which margin is called
    ("tripped", "<i8"))               # accounts whose market-maker protection this command has tripped
# fmt: on


class Ledger(NamedTuple):
    """Everything risk knows: m accounts, n instruments."""

    accounts: np.ndarray  # ACCOUNT (m)
    limits: np.ndarray  # LIMIT (n)
    exposures: np.ndarray  # EXPOSURE (m * n), row account * n + instrument
    gross: np.ndarray  # GROSS (m * n), likewise
    firms: np.ndarray  # int32 (number of firms), 1: killed
    client_orders: np.ndarray  # CLIENT_ORDER (power of two), open addressing, half empty
    hub: np.ndarray  # HUB (1)


def new_ledger(
    accounts: int,
    instruments: int,
    firms: int = 1,
    max_client_order_ids: int = 1 << 20,
    on: bool = True,
    maintenance: int = 8_000,
) -> Ledger:
    """A ledger in which everything is zero, and so forbidden, until limits are set (risk/limits.py)."""
    hub = new_rows(1, HUB)
    hub["on"], hub["max_client_orders"] = on, max_client_order_ids
    hub["maintenance"] = maintenance
    rows = 1 << (2 * max_client_order_ids - 1).bit_length()
    return Ledger(
        new_rows(accounts, ACCOUNT),
        new_rows(instruments, LIMIT),
        new_rows(accounts * instruments, EXPOSURE),
        new_rows(accounts * instruments, GROSS),
        np.zeros(firms, np.int32),
        new_rows(rows, CLIENT_ORDER),
        hub,
    )
