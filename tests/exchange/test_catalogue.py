"""exchange/catalogue: every contract can be traded and follows the rules, and a bad entry is named. RULEBOOK 14."""

import datetime
import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from exchange import Exchange
from exchange.catalogue import CATALOGUE, Kind, load_catalogue, read_catalogue
from exchange.catalogue.contracts import Catalogue, Contract
from exchange.catalogue.entries import GRADES
from exchange.catalogue.venue import read_sessions
from exchange.instruments import Instrument, InstrumentError, daily_limits, largest_order
from matching.codes import AuctionStep, Limit, Mechanism, Phase
from tests.build import existing

DATE = datetime.date
FAMILIES = ("SC", "LU", "FU", "BU", "PG", "LN", "NG")
OPEN = load_catalogue()
WHOLE = read_catalogue()
CHINESE = read_catalogue(profile="chinese")
BY_SYMBOL = {contract.symbol: contract for contract in WHOLE.contracts}
OPENS = WHOLE.opens


def outrights(catalogue: Catalogue = WHOLE) -> list[Contract]:
    return [contract for contract in catalogue.contracts if contract.kind == Kind.OUTRIGHT]


# The instruments of a hub without a schedule


def test_the_open_hub_has_four_months_of_each_family_in_continuous_trading() -> None:
    assert [terms.symbol for terms in OPEN] == [f"{code}27{month:02d}" for code in FAMILIES for month in range(1, 5)]
    assert {terms.phase for terms in OPEN} == {Phase.CONTINUOUS} and len({terms.product for terms in OPEN}) == 7
    assert {terms.velocity for terms in OPEN} == {0}  # without a schedule, no one would end the short auction


@pytest.mark.parametrize("terms", OPEN, ids=lambda terms: terms.symbol)
def test_every_instrument_of_the_open_hub_is_sane(terms: Instrument) -> None:
    assert 0 < terms.price_floor < terms.reference_price < terms.price_ceiling
    half_band = min(terms.reference_price - terms.price_floor, terms.price_ceiling - terms.reference_price)
    assert 0 < terms.protection < terms.collar < half_band
    assert terms.fen_per_tick == terms.tick_size * terms.lot_size * 100 > 0
    value = terms.reference_price * terms.fen_per_tick
    assert value * 5 // 100 <= terms.margin <= value * 20 // 100
    assert 1 <= terms.max_order_quantity <= terms.max_position
    assert largest_order(terms) == terms.max_order_quantity
    assert terms.currency == "CNY" and terms.unit in ("bbl", "t", "1000m3") and terms.name.endswith(terms.symbol[2:])
    assert existing(terms.listed) <= OPENS < existing(terms.expiry)


def test_crude_oil_becomes_ticks_lots_and_fen() -> None:
    terms = OPEN[0]
    assert (terms.symbol, terms.name, terms.tick_size, terms.lot_size) == (
        "SC2701",
        "Crude oil 2701",
        Decimal("0.1"),
        Decimal(1000),
    )
    assert (terms.price_floor, terms.reference_price, terms.price_ceiling) == (5210 - 416, 5210, 5210 + 416)
    assert terms.fen_per_tick == 100_00  # 0.1 CNY x 1,000 bbl
    assert terms.margin == 52_100_00  # a tenth of 521,000 CNY
    assert (terms.fee_per_lot, terms.max_position, terms.listed, terms.expiry) == (
        20_00,
        3000,
        DATE(2026, 9, 1),
        DATE(2026, 12, 31),
    )


@pytest.mark.parametrize(
    "instruments", [OPEN, WHOLE.instruments, CHINESE.instruments], ids=["open", "whole", "chinese"]
)
def test_an_exchange_can_be_made_of_the_catalogue(instruments: tuple[Any, ...]) -> None:
    exchange = Exchange(instruments, 2)
    assert [exchange.last_price(terms.symbol) for terms in instruments] == [
        terms.reference_price for terms in instruments
    ]
    assert [exchange.phase(terms.symbol) for terms in instruments] == [terms.phase for terms in instruments]


# Every contract until the horizon


def test_the_catalogue_has_every_kind_of_instrument() -> None:
    kinds = Counter(contract.kind for contract in WHOLE.contracts)
    assert kinds[Kind.OUTRIGHT] >= 7 * 9 and kinds[Kind.SPOT] == 3 and kinds[Kind.TAS] >= 9 and kinds[Kind.SPREAD] >= 8
    assert 60 <= len(WHOLE.contracts) <= 100
    assert {terms.mechanism for terms in WHOLE.instruments} == set(Mechanism)


@pytest.mark.parametrize("contract", WHOLE.contracts, ids=lambda contract: contract.symbol)
def test_a_contract_is_listed_before_it_ends_and_unlisted_until_then(contract: Contract) -> None:
    """RULEBOOK 14.2"""
    terms = contract.instrument(OPENS)
    assert terms.phase == (Phase.UNLISTED if contract.listed > OPENS else Phase.CLOSED)
    assert WHOLE.calendar.is_trading_day(contract.listed) and contract.listed <= WHOLE.until
    assert terms.price_floor <= terms.reference_price <= terms.price_ceiling
    if contract.kind == Kind.SPOT:
        assert contract.expiry is None and not contract.legs
    else:
        assert contract.listed and contract.expiry and contract.listed < contract.expiry
        assert WHOLE.calendar.is_trading_day(contract.expiry)
    if contract.kind in (Kind.TAS, Kind.SPREAD):
        legs = [BY_SYMBOL[leg] for leg in contract.legs]
        assert contract.listed == max(leg.listed for leg in legs) and contract.expiry == min(
            existing(leg.expiry) for leg in legs
        )
        assert terms.price_floor < 0 < terms.price_ceiling and terms.margin == 0


def test_a_later_horizon_only_appends() -> None:
    """RULEBOOK 14.1"""
    before = [terms.symbol for terms in load_catalogue(open=False, until=OPENS)]
    for until in (DATE(2027, 3, 31), WHOLE.until, WHOLE.calendar.last):
        catalogue = read_catalogue(until=until)
        symbols = [contract.symbol for contract in catalogue.contracts]
        assert symbols[: len(before)] == before and len(symbols) > len(before)
        assert catalogue.instruments[: len(OPEN)] == read_catalogue(until=OPENS).instruments[: len(OPEN)]
        before = symbols


def test_legs_come_before_the_instruments_that_have_them() -> None:
    seen: set[Any] = set()
    for contract in WHOLE.contracts:
        assert set(contract.legs) <= seen
        seen.add(contract.symbol)


def test_at_least_four_months_of_each_family_trade_on_every_day_until_the_horizon() -> None:
    """RULEBOOK 14.2: a month is listed on the trading day after another has ended."""
    for day in WHOLE.calendar.trading_days(OPENS, WHOLE.until):
        months = Counter(contract.family.code for contract in outrights() if contract.is_listed(day))
        assert set(months) == set(FAMILIES) and min(months.values()) >= 4, day
        assert all(
            count == WHOLE.families[FAMILIES.index(code)].months or day < DATE(2027, 1, 4)
            for code, count in months.items()
        ), day


@pytest.mark.parametrize(
    ("symbol", "listed", "expiry"),
    [
        ("SC2702", DATE(2026, 10, 8), DATE(2027, 1, 29)),  # last trading day of the month before delivery
        ("SC2703", DATE(2026, 11, 2), DATE(2027, 2, 26)),
        ("SC2705", DATE(2027, 1, 4), DATE(2027, 4, 30)),
        ("BU2701", DATE(2026, 8, 18), DATE(2027, 1, 15)),  # the 15th; 2608 ended on Monday 17 August
        ("BU2705", DATE(2026, 12, 16), DATE(2027, 5, 17)),  # the 15th of May is a Saturday
        ("PG2701", DATE(2026, 8, 27), DATE(2027, 1, 26)),  # fourth last trading day
        ("SC2702-TAS", DATE(2026, 10, 8), DATE(2027, 1, 29)),
        ("SC2702-SC2703", DATE(2026, 11, 2), DATE(2027, 1, 29)),
    ],
)
def test_days_of_listing_and_last_trading_days(symbol: str, listed: date, expiry: date) -> None:
    """RULEBOOK 14.2"""
    assert (BY_SYMBOL[symbol].listed, BY_SYMBOL[symbol].expiry) == (listed, expiry)


def test_tas_counts_from_the_settlement_price_and_a_spread_may_be_negative() -> None:
    """RULEBOOK 12.1, 12.2"""
    tas, spread = (BY_SYMBOL[symbol].instrument(OPENS) for symbol in ("SC2701-TAS", "SC2701-SC2702"))
    assert (tas.legs, tas.at_settlement, tas.price_floor, tas.reference_price, tas.price_ceiling) == (
        ("SC2701",),
        True,
        -20,
        0,
        20,
    )
    assert (spread.legs, spread.at_settlement, spread.reference_price) == (("SC2701", "SC2702"), False, 16)
    assert spread.fee_per_lot == 2 * tas.fee_per_lot == 40_00


@pytest.mark.parametrize(
    ("date", "margin", "position", "limit"),
    [
        (DATE(2027, 1, 4), 1000, 3000, 800),  # SC2704, last trading day 31 March
        (DATE(2027, 2, 1), 1000, 1500, 800),  # the month before that
        (DATE(2027, 2, 4), 1400, 1500, 1200),  # wider over Spring Festival
        (DATE(2027, 2, 15), 1400, 1500, 1200),
        (DATE(2027, 2, 16), 1000, 1500, 800),
        (DATE(2027, 3, 1), 1500, 500, 800),  # the month of the last trading day
        (DATE(2027, 3, 29), 2000, 500, 800),  # two trading days before it
    ],
)
def test_margin_and_positions_step_towards_delivery_and_terms_hold_from_their_date(
    date: date, margin: int, position: int, limit: int
) -> None:
    """RULEBOOK 14.4"""
    limits = BY_SYMBOL["SC2704"].limits(date)
    assert (
        limits[Limit.INSTRUMENT_MARGIN_RATE],
        limits[Limit.INSTRUMENT_MAX_POSITION],
        limits[Limit.INSTRUMENT_DAILY_LIMIT],
    ) == (margin, position, limit)


def test_the_daily_limit_is_wider_on_the_first_day_of_a_month() -> None:
    """RULEBOOK 14.4"""
    contract = BY_SYMBOL["SC2705"]
    assert contract.instrument(OPENS).daily_limit == 1600  # its terms when it is listed
    assert contract.limits(DATE(2027, 1, 5))[Limit.INSTRUMENT_DAILY_LIMIT] == 800


@pytest.mark.parametrize("catalogue", [WHOLE, CHINESE], ids=["international", "chinese"])
def test_every_day_of_every_contract_has_terms_that_can_be_traded(catalogue: Catalogue) -> None:
    for contract in catalogue.contracts:
        terms = contract.instrument(OPENS)
        for day in catalogue.calendar.trading_days(max(contract.listed, OPENS), contract.expiry or catalogue.until)[
            ::5
        ]:
            limits = contract.limits(day)
            floor, ceiling = daily_limits(terms, terms.reference_price, limits[Limit.INSTRUMENT_DAILY_LIMIT])
            assert terms.price_floor <= floor < ceiling <= terms.price_ceiling
            if contract.kind == Kind.OUTRIGHT and day > contract.listed:
                assert limits[Limit.INSTRUMENT_MARGIN_RATE] > limits[Limit.INSTRUMENT_DAILY_LIMIT]
            assert limits[Limit.INSTRUMENT_MAX_ORDER_QUANTITY] >= 1


# Profiles


def test_the_profiles_replace_fields_of_every_family() -> None:
    """RULEBOOK 14.5"""
    chinese = [terms for terms in CHINESE.instruments if terms.mechanism == Mechanism.ORDER_BOOK]
    international = [terms for terms in WHOLE.instruments if terms.mechanism == Mechanism.ORDER_BOOK]
    assert {(terms.price_rule, terms.offset, terms.auction, terms.velocity > 0) for terms in chinese} == {
        ("median", True, AuctionStep.REFERENCE, False)
    }
    assert {(terms.price_rule, terms.offset, terms.auction) for terms in international} == {
        ("resting", False, AuctionStep.IMBALANCE | AuctionStep.REFERENCE)
    }
    assert all(terms.velocity > 0 for terms in international if not terms.legs)
    assert [terms.symbol for terms in chinese] == [terms.symbol for terms in international]
    assert WHOLE.profile.name == "international"


def test_nothing_opens_or_closes_on_the_spot_side() -> None:
    assert {terms.offset for terms in CHINESE.instruments if terms.mechanism != Mechanism.ORDER_BOOK} == {False}


def test_an_unknown_profile_is_named() -> None:
    told = "^catalogue profiles.json: profile is 'martian', must be one of chinese, international$"
    with pytest.raises(InstrumentError, match=told):
        load_catalogue(profile="martian")


# Sources


@pytest.mark.parametrize("code", FAMILIES)
def test_every_number_of_a_family_says_where_it_is_from(code: str) -> None:
    family = json.loads((CATALOGUE / f"{code.lower()}.json").read_text())
    blocks = [
        family,
        *family["terms"],
        *family.get("spot", []),
        *(t for spot in family.get("spot", []) for t in spot["terms"]),
    ]
    for block in blocks:
        assert all(entry["grade"] in GRADES and entry["source"] for entry in block["sources"].values())
    assert family["modelled_on"] and family["name_zh"]
    assert "not public" in json.loads((CATALOGUE / "hub.json").read_text())["note"]


# Bad catalogues


def broken(folder: Path, file: str, change: Callable[..., Any]) -> Path:
    """The built-in catalogue in a folder, with one file changed."""
    copy = folder / "catalogue"
    shutil.copytree(CATALOGUE, copy)
    content = json.loads((copy / file).read_text())
    change(content)
    (copy / file).write_text(json.dumps(content))
    return copy


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(InstrumentError) as caught:
        load_catalogue(path, **options)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 12
    return str(caught.value)


def terms(content: dict[str, Any], number: int) -> dict[str, Any]:
    return content["terms"][number - 1]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda c: terms(c, 2).update({"from": "2026-01-01"}),
            "SC: terms 2: from is 2026-01-01, must be after 2026-01-01: terms follow each other and do not overlap",
        ),
        (
            lambda c: terms(c, 3).update({"from": "2027-01-01"}),
            "SC: terms 3: from is 2027-01-01, must be after 2027-02-04",
        ),
        (
            lambda c: terms(c, 1).update({"daily_limit": "0.0001"}),
            "SC2701: terms 1: daily_limit is 0.0001, must be a tick at least and within the ladder: 0.0002 to 0.7000",
        ),
        (
            lambda c: terms(c, 1).update({"daily_limit": "0.8"}),
            "SC2701: terms 1: daily_limit is 0.8, must be a tick at least",
        ),
        (
            lambda c: terms(c, 1).update({"daily_limit": 0.08}),
            "SC: terms 1: daily_limit is 0.08, must be a share from 0 to 1",
        ),
        (
            lambda c: terms(c, 1).update({"daily_limit": "0.00001"}),
            "SC: terms 1: daily_limit is '0.00001', must be a share",
        ),
        (lambda c: terms(c, 1).update({"daily_limit": "NaN"}), "SC: terms 1: daily_limit is 'NaN', must be a share"),
        (lambda c: terms(c, 1).pop("margin_rate"), "SC: terms 1: margin_rate is missing"),
        (lambda c: terms(c, 1)["margin_rate"].pop("general"), "SC: terms 1: margin_rate is {"),
        (lambda c: terms(c, 1)["max_position"].update({"late": 5}), "SC: terms 1: max_position is {"),
        (
            lambda c: terms(c, 2).update({"haircut": "0.1"}),
            "SC: terms 2: haircut is unknown, must be one of from, sources",
        ),
        (
            lambda c: terms(c, 1)["sources"].pop("fee_per_lot"),
            "SC: terms 1: sources: fee_per_lot is missing: every number says",
        ),
        (
            lambda c: terms(c, 1)["sources"]["fee_rate"].update({"grade": "D"}),
            "sources: fee_rate: grade is 'D', must be one of A, B",
        ),
        (lambda c: c.update({"terms": []}), "SC: terms is [], must have at least one entry"),
        (lambda c: c.update({"tick_size": "0"}), "family: tick_size is '0', must be a decimal in quotes above 0"),
        (lambda c: c.update({"tick_size": "1E+99999999"}), "family: tick_size is '1E+99999999', must be a decimal"),
        (lambda c: c.update({"collar": "100"}), "family: collar is '100', must be a whole number, not negative"),
        (lambda c: c.update({"protection": True}), "family: protection is True, must be a whole number"),
        (lambda c: c.update({"currency": 7}), "family: currency is 7, must be a text"),
        (lambda c: c.pop("lot_size"), "family: lot_size is missing"),
        (lambda c: c.update({"haste": 1}), "family: haste is unknown, must be one of code, name"),
        (lambda c: c["sources"].pop("tick_size"), "SC: sources: tick_size is missing"),
        (lambda c: c["sources"].update({"haste": {}}), "SC: sources: haste is unknown"),
        (
            lambda c: c.update({"reference_price": "521.05"}),
            "SC: reference_price is 521.05, must be a multiple of the tick size 0.1",
        ),
        (
            lambda c: c.update({"tick_size": "0.01", "ladder": {"floor": "0.3", "ceiling": "9"}}),
            "instrument SC2701: price_ceiling is",
        ),
        (lambda c: c["ladder"].update({"ceiling": "0.9"}), "SC: ladder is 0.3 to 0.9, must be below 1 to above 1"),
        (lambda c: c.update({"seasonal": ["0"] * 11}), "SC: seasonal has 11 prices, must have 12, January to December"),
        (lambda c: c.update({"session": "all_night"}), "SC: session is 'all_night', must be one of to_0230"),
        (lambda c: c.update({"months": 0}), "SC: months is 0, must be 1 or more"),
        (
            lambda c: c["last_trading_day"].update({"day": 15}),
            "SC: last_trading_day names day and from_end, must be one of day, from_start, from_end",
        ),
        (
            lambda c: c["last_trading_day"].update({"from_end": 0}),
            "SC: last_trading_day: from_end is 0, must be 1 to 15",
        ),
        (lambda c: c["tas"].update({"reach": 0}), "SC: tas: reach is 0, must be 1 tick or more"),
        (
            lambda c: c["spot"][0].update({"mechanism": "ORDER_BOOK"}),
            "SC: spot 1: mechanism is 'ORDER_BOOK', must be one of LISTING, ONE_SIDED, NEGOTIATED",
        ),
        (lambda c: c["spot"].append(c["spot"][0]), "symbol SC-NEGOTIATED is listed twice, first by sc.json"),
        (
            lambda c: c["spot"][0].update({"symbol": "SC" * 17}),
            "instrument SCSCSCSCSCSCSCSCSCSCSCSCSCSCSCSCSC: symbol is SCSCSCSCSCSCSCSCSCSCSCSCSCSCSCSCSC, must be 1 to 32 ASCII",
        ),
    ],
)
def test_a_bad_family_is_named_with_file_field_value_and_bound(
    tmp_path: Path, change: Callable[..., Any], told: str
) -> None:
    for options in ({}, {"open": False}):
        folder = broken(tmp_path / str(len(options)), "sc.json", change)
        message = refusal(folder, **options)
        assert message.startswith("catalogue sc.json: ") and told in message


def test_a_month_that_two_families_list_is_named(tmp_path: Path) -> None:
    assert refusal(broken(tmp_path, "lu.json", lambda c: c.update({"code": "SC"}))) == (
        "catalogue lu.json: symbol SC2701 is listed twice, first by sc.json"
    )


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("hub.json", lambda c: c.update({"opens": "2026-10-01"}), "opens is 2026-10-01, must be a trading day"),
        (
            "hub.json",
            lambda c: c.update({"until": "2028-01-03"}),
            "until is 2028-01-03, must be 2026-12-01 to 2027-12-31",
        ),
        (
            "hub.json",
            lambda c: c.update({"first_month": "2713"}),
            "hub: first_month is '2713', must be a month such as 2701",
        ),
        (
            "profiles.json",
            lambda c: c["profiles"]["international"]["day"].update({"end": "28:00"}),
            "international: day: begin, window, settlement and end must follow each other",
        ),
        (
            "profiles.json",
            lambda c: c["profiles"]["international"]["family"].update({"price": "best"}),
            "international: family: field is 'price', must be one of price_rule",
        ),
        (
            "profiles.json",
            lambda c: c["profiles"]["international"]["sessions"].update({"day": "moon"}),
            "international: sessions: day is 'moon', must be one of",
        ),
        (
            "sessions.json",
            lambda c: c["sessions"]["day"]["day"].reverse(),
            "day: day has 13:30, must be later than the time before",
        ),
        (
            "sessions.json",
            lambda c: c["sessions"]["day"]["day"].pop(3),
            "day: day: CONTINUOUS after CONTINUOUS, must be CALL_AUCTION or",
        ),
        (
            "sessions.json",
            lambda c: c["sessions"]["day"]["day"].pop(),
            "day: day ends with CONTINUOUS, must be CLOSING or CLOSED",
        ),
        (
            "sessions.json",
            lambda c: c["sessions"]["day"]["day"][0].__setitem__(0, "8:5"),
            "must be a time such as 20:55",
        ),
        (
            "sessions.json",
            lambda c: c["sessions"]["day"]["day"][0].__setitem__(1, "SIESTA"),
            "day: day is 'SIESTA', must be one of CLOSED",
        ),
    ],
)
def test_a_bad_file_beside_the_families_is_named(
    tmp_path: Path, file: str, change: Callable[..., Any], told: str
) -> None:
    message = refusal(broken(tmp_path, file, change))
    assert message.startswith(f"catalogue {file}: ") and told in message


def test_a_session_that_the_phases_do_not_allow_is_refused(tmp_path: Path) -> None:
    """RULEBOOK 8.1"""

    def change(content: dict[str, Any]) -> None:
        content["sessions"]["day"]["day"][2] = ["09:00", "SETTLEMENT"]

    assert "day: day: SETTLEMENT after AUCTION_MATCH, must be CONTINUOUS or HALTED or BREAK or CLOSED" in refusal(
        broken(tmp_path, "sessions.json", change)
    )


def test_a_session_may_have_phases_of_entry_only_and_a_closing_auction() -> None:
    """The Shanghai Stock Exchange's day. RULEBOOK 8.9"""
    shanghai = [
        ["09:15", "CALL_AUCTION"],
        ["09:20", "AUCTION_ENTRY_ONLY"],
        ["09:25", "AUCTION_MATCH"],
        ["09:30", "CONTINUOUS"],
        ["11:30", "BREAK"],
        ["13:00", "CONTINUOUS"],
        ["14:57", "AUCTION_ENTRY_ONLY"],
        ["15:00", "AUCTION_MATCH"],
        ["15:01", "CLOSED"],
    ]
    content = json.loads((CATALOGUE / "sessions.json").read_text())
    content["sessions"]["shanghai"] = {"grade": "A", "source": "SSE", "night": [], "day": shanghai}
    sessions = read_sessions(content)
    assert [(f"{minutes // 60:02}:{minutes % 60:02}", phase.name) for minutes, phase in sessions["shanghai"].day] == [
        tuple(row) for row in shanghai
    ]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (["imbalance", "middle"], AuctionStep.IMBALANCE | AuctionStep.MIDDLE),
        (["middle", "middle"], AuctionStep.MIDDLE),
        ([], AuctionStep(0)),
    ],
)
def test_a_profile_names_the_steps_of_its_call_auctions(tmp_path: Path, steps: list[str], told: AuctionStep) -> None:
    """RULEBOOK 8.5"""
    path = broken(tmp_path, "profiles.json", lambda c: c["profiles"]["chinese"]["family"].update({"auction": steps}))
    assert {terms.auction for terms in load_catalogue(path, profile="chinese")} == {told}


def test_an_unknown_step_of_a_call_auction_is_refused(tmp_path: Path) -> None:
    path = broken(
        tmp_path, "profiles.json", lambda c: c["profiles"]["chinese"]["family"].update({"auction": ["median"]})
    )
    assert "auction is 'median', must be one of imbalance, reference, middle" in refusal(path, profile="chinese")


def test_a_bad_calendar_stops_the_hub_likewise(tmp_path: Path) -> None:
    message = refusal(broken(tmp_path, "calendar.json", lambda c: c["years"]["2027"]["holidays"].pop()))
    assert message.startswith("calendar calendar.json: 2027: trading_days is 243, must be ")


def test_one_file_is_a_catalogue_of_one_family() -> None:
    assert [terms.symbol for terms in load_catalogue(CATALOGUE / "bu.json")] == ["BU2701", "BU2702", "BU2703", "BU2704"]


def test_a_folder_needs_no_more_than_a_family(tmp_path: Path) -> None:
    shutil.copy(CATALOGUE / "ng.json", tmp_path / "gas.json")
    assert [terms.symbol for terms in load_catalogue(tmp_path)] == ["NG2701", "NG2702", "NG2703", "NG2704"]


def test_a_folder_without_a_family_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path).endswith("no family in it, must have at least one *.json")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"code": 7}', b"\xff\xfe", b'{"code": "SC", "code": "LU"}'])
def test_a_file_that_is_no_family_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(content)
    assert refusal(path).startswith("catalogue mine.json: ")


def test_a_file_that_cannot_be_opened_is_named_with_the_cause(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.json").endswith("none.json: No such file or directory")


def test_the_rulebook_has_the_figures_of_the_files() -> None:
    """RULEBOOK 14.4: its table, cell by cell, with the grade of each."""
    lines = (
        (CATALOGUE.parents[2] / "docs" / "RULEBOOK.md")
        .read_text()
        .split("- **14.4**")[1]
        .split("- **14.5**")[0]
        .splitlines()
    )
    table = {
        cells[0]: dict(zip(FAMILIES, cells[1:], strict=True))
        for cells in ([cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if "|" in line)
    }
    families = {code: json.loads((CATALOGUE / f"{code.lower()}.json").read_text()) for code in FAMILIES}
    for code, family in families.items():
        first = family["terms"][0]

        def told(
            field: str, figure: Callable[..., Any] | type, block: dict[str, Any], sources: dict[str, dict[str, str]]
        ) -> str:
            return f"{figure(block[field])} ({sources[field]['grade']})"

        figure: Callable[..., Any]
        for row, field, figure in (
            ("tick size", "tick_size", str),
            ("lot", "lot_size", str),
            ("months listed", "months", str),
        ):
            assert table[row][code] == told(field, figure, family, family["sources"])
        for row, field, figure in (
            ("daily limit", "daily_limit", lambda value: f"{100 * float(value):g} %"),
            ("on the first day", "first_day_limit", lambda value: f"{100 * float(value):g} %"),
            (
                "margin by stage",
                "margin_rate",
                lambda value: f"{', '.join(f'{100 * float(s):g}' for s in value.values())} %",
            ),
            ("position by stage", "max_position", lambda value: ", ".join(f"{lots:,}" for lots in value.values())),
            ("opening cap", "opening_cap", lambda value: f"{value:,}" if value else "none"),
            ("largest order", "max_order_quantity", lambda value: f"{value:,}"),
            ("fee per lot", "fee_per_lot", lambda value: f"{float(value):g} CNY" if float(value) else "none"),
            (
                "fee by value",
                "fee_rate",
                lambda value: f"{10_000 * float(value):g} per 10,000" if float(value) else "none",
            ),
        ):
            assert table[row][code] == told(field, figure, first, first["sources"])
