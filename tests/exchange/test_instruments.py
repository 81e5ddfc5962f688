"""exchange/instruments.py and catalogue.json: every instrument can be traded, and a bad entry is named."""
import datetime
import json
from collections import Counter
from decimal import Decimal

import pytest

from exchange import Exchange
from exchange.instruments import CATALOGUE, Instrument, InstrumentError, largest_order, load_catalogue
from tests.build import instrument

INSTRUMENTS = load_catalogue()


def write_catalogue(folder, family=None, month=None, extra_months=()):
    """A catalogue of one crude contract, with some fields changed; a field that is None is left out."""
    months = [{"month": "2701", "reference_price": "521.0", "listed": "2026-01-05", "expiry": "2026-12-31",
               **(month or {})}, *extra_months]
    terms = {"code": "SC", "name": "Crude oil", "product": "crude", "tick_size": "0.1", "lot_size": "1000",
             "unit": "bbl", "currency": "CNY", "price_limit": "0.08", "price_rule": "median", "protection": 20,
             "collar": 100, "margin_rate": "0.10", "max_order_quantity": 500, "max_position": 3000, "months": months,
             **(family or {})}
    for entry in (terms, months[0]):
        for field in [field for field, value in entry.items() if value is None]:
            del entry[field]
    path = folder / "catalogue.json"
    path.write_text(json.dumps({"families": [terms]}))
    return path


def refusal(path):
    with pytest.raises(InstrumentError) as caught:
        load_catalogue(path)
    return str(caught.value)


# The built-in catalogue ---------------------------------------------------------------------------------------------

def test_the_catalogue_has_the_six_families_with_four_months_each():
    assert Counter(terms.symbol[:2] for terms in INSTRUMENTS) == dict.fromkeys(("SC", "LU", "FU", "BU", "PG", "LN"), 4)
    assert len({terms.product for terms in INSTRUMENTS}) == 6
    assert {terms.price_rule for terms in INSTRUMENTS} == {"median", "resting"}


@pytest.mark.parametrize("terms", INSTRUMENTS, ids=lambda terms: terms.symbol)
def test_every_instrument_of_the_catalogue_is_sane(terms):
    assert 0 < terms.price_floor < terms.reference_price < terms.price_ceiling
    half_band = min(terms.reference_price - terms.price_floor, terms.price_ceiling - terms.reference_price)
    assert 0 < terms.protection < terms.collar < half_band
    assert terms.fen_per_tick == terms.tick_size * terms.lot_size * 100 > 0
    value = terms.reference_price * terms.fen_per_tick
    assert value * 5 // 100 <= terms.margin <= value * 20 // 100
    assert 1 <= terms.max_order_quantity <= terms.max_position
    assert largest_order(terms) == terms.max_order_quantity
    assert terms.currency == "CNY" and terms.unit in ("bbl", "t") and terms.name.endswith(terms.symbol[2:])


@pytest.mark.parametrize("terms", INSTRUMENTS, ids=lambda terms: terms.symbol)
def test_every_instrument_of_the_catalogue_trades_on_working_days_around_today(terms):
    assert terms.listed < datetime.date(2026, 11, 23) < terms.expiry
    assert terms.listed.weekday() < 5 and terms.expiry.weekday() < 5
    delivery = datetime.date(2000 + int(terms.symbol[2:4]), int(terms.symbol[4:]), 1)
    assert -31 <= (terms.expiry - delivery).days <= 30


def test_the_catalogue_says_what_its_terms_are_modelled_on():
    catalogue = json.loads(CATALOGUE.read_text())
    assert "not public" in catalogue["note"]
    assert all(family["modelled_on"] for family in catalogue["families"])


def test_an_exchange_can_be_made_of_the_catalogue():
    exchange = Exchange(INSTRUMENTS, 2)
    assert [exchange.last_price(terms.symbol) for terms in INSTRUMENTS] == [t.reference_price for t in INSTRUMENTS]


# Reading ------------------------------------------------------------------------------------------------------------

def test_an_entry_becomes_ticks_lots_and_fen(tmp_path):
    terms, = load_catalogue(write_catalogue(tmp_path))
    assert (terms.symbol, terms.name, terms.tick_size, terms.lot_size) == (
        "SC2701", "Crude oil 2701", Decimal("0.1"), Decimal(1000))
    assert (terms.price_floor, terms.reference_price, terms.price_ceiling) == (5210 - 416, 5210, 5210 + 416)
    assert terms.fen_per_tick == 100_00                          # 0.1 CNY x 1,000 bbl
    assert terms.margin == 52_100_00                             # a tenth of 521,000 CNY
    assert terms.expiry == datetime.date(2026, 12, 31)


def test_a_product_may_trade_below_zero(tmp_path):
    terms, = load_catalogue(write_catalogue(tmp_path, month={"reference_price": "-10.0"}))
    assert (terms.price_floor, terms.price_ceiling) == (-108, -92) and terms.margin == 1_000_00


@pytest.mark.parametrize("field", ["code", "tick_size", "price_rule", "max_position"])
def test_a_missing_field_of_a_family_is_named(tmp_path, field):
    assert refusal(write_catalogue(tmp_path, family={field: None})) == (
        f"catalogue catalogue.json: entry 1: family: {field} is missing")


@pytest.mark.parametrize("field", ["month", "reference_price", "expiry"])
def test_a_missing_field_of_a_month_is_named(tmp_path, field):
    assert refusal(write_catalogue(tmp_path, month={field: None})) == (
        f"catalogue catalogue.json: entry 1: SC month: {field} is missing")


def test_missing_months_or_families_are_named(tmp_path):
    assert refusal(write_catalogue(tmp_path, family={"months": None})) == "catalogue catalogue.json: months is missing"
    path = tmp_path / "empty.json"
    path.write_text("{}")
    assert refusal(path) == "catalogue empty.json: families is missing"


def test_a_symbol_listed_twice_is_named(tmp_path):
    again = {"month": "2701", "reference_price": "519.0", "listed": "2026-01-05", "expiry": "2026-12-31"}
    assert refusal(write_catalogue(tmp_path, extra_months=[again])) == (
        "catalogue catalogue.json: entry 2: symbol SC2701 is listed twice")


def test_a_band_narrower_than_a_tick_is_named(tmp_path):
    assert refusal(write_catalogue(tmp_path, family={"price_limit": "0.0001"})) == (
        "catalogue catalogue.json: entry 1: instrument SC2701: price_limit is 0.0001, "
        "must be at least a tick of the reference price 521.0")


def test_a_band_wider_than_a_ladder_is_named(tmp_path):
    message = refusal(write_catalogue(tmp_path, family={"tick_size": "0.0001"}))
    assert "instrument SC2701: price_ceiling is" in message and "must be" in message


def test_a_reference_price_between_two_ticks_is_refused_rather_than_rounded(tmp_path):
    assert refusal(write_catalogue(tmp_path, month={"reference_price": "521.05"})).endswith(
        "instrument SC2701: reference_price is 521.05, must be a multiple of the tick size 0.1")


@pytest.mark.parametrize(("where", "field", "value", "bound"), [
    ("family", "tick_size", "0", "a decimal in quotes above 0"),
    ("family", "tick_size", 0.1, "a decimal in quotes above 0"),
    ("family", "lot_size", "-1", "a decimal in quotes above 0"),
    ("family", "price_limit", "NaN", "a decimal in quotes"),
    ("family", "margin_rate", "ten", "a decimal in quotes"),
    ("family", "margin_rate", "1E+99999999", "a decimal in quotes"),
    ("family", "collar", "100", "a whole number"),
    ("family", "max_position", 2.5, "a whole number"),
    ("family", "max_order_quantity", True, "a whole number"),
    ("family", "currency", 7, "a text"),
    ("month", "reference_price", 521, "a decimal in quotes"),
    ("month", "expiry", "2026-13-01", "a date such as 2026-12-31"),
    ("month", "expiry", "2026-02-30", "a date such as 2026-12-31"),
    ("month", "listed", 20260105, "a date such as 2026-12-31"),
])
def test_a_value_that_cannot_be_read_is_named_with_its_field_and_bound(tmp_path, where, field, value, bound):
    name = "family" if where == "family" else "SC month"
    assert refusal(write_catalogue(tmp_path, **{where: {field: value}})) == (
        f"catalogue catalogue.json: entry 1: {name}: {field} is {value!r}, must be {bound}")


@pytest.mark.parametrize(("family", "month", "said"), [
    ({"price_rule": "best"}, {}, "instrument SC2701: price_rule is best, must be resting or median"),
    ({"max_order_quantity": 0}, {}, "instrument SC2701: max_order_quantity is 0, must be 1 to 1099511627776"),
    ({"collar": -1}, {}, "instrument SC2701: collar is -1, must be 0 to 1099511627776"),
    ({"code": "S.C"}, {}, "instrument S.C2701: symbol is S.C2701, must be 1 to 32 ASCII characters without a dot"),
    ({}, {"expiry": "2026-01-04"}, "instrument SC2701: expiry is 2026-01-04, must be 2026-01-05 or later"),
])
def test_terms_that_cannot_be_traded_are_named(tmp_path, family, month, said):
    assert refusal(write_catalogue(tmp_path, family, month)) == f"catalogue catalogue.json: entry 1: {said}"


def test_a_month_that_is_no_object_is_named(tmp_path):
    assert refusal(write_catalogue(tmp_path, extra_months=["2702"])) == (
        "catalogue catalogue.json: entry 2: SC month is '2702', must be an object")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"families": 7}', b'{"families": ["SC"]}', b"\xff\xfe"])
def test_a_file_that_is_no_catalogue_is_one_line(tmp_path, content):
    path = tmp_path / "catalogue.json"
    path.write_bytes(content)
    message = refusal(path)
    assert message.startswith("catalogue catalogue.json: ") and "\n" not in message


def test_a_file_that_cannot_be_opened_is_named_with_the_cause(tmp_path):
    assert refusal(tmp_path / "none.json").endswith("none.json: No such file or directory")


# Terms made in code -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("terms", "field", "bound"), [
    ({"tick_size": Decimal(0)}, "tick_size", "above 0"),
    ({"lot_size": Decimal(-1)}, "lot_size", "above 0"),
    ({"ceiling": 89}, "price_ceiling", "90 to 262233"),
    ({"ceiling": 90 + 64**3}, "price_ceiling", "90 to 262233"),
    ({"reference_price": 111}, "reference_price", "90 to 110"),
    ({"price_increment": 0}, "price_increment", "1 to 1099511627776"),
    ({"margin": -1}, "margin", "0 to 1099511627776"),
])
def test_terms_that_contradict_each_other_are_refused_with_field_value_and_bound(terms, field, bound):
    with pytest.raises(InstrumentError, match=f"^instrument SC2701: {field} is .*, must be {bound}$"):
        instrument(**terms)


def test_without_a_reference_price_it_is_the_middle_of_the_band():
    terms = Instrument(symbol="SC2701", tick_size=Decimal("0.1"), lot_size=Decimal(1000), price_floor=90,
                       price_ceiling=111)
    assert terms.reference_price == 100


def test_the_largest_order_keeps_its_notional_countable():
    terms = instrument(floor=1, ceiling=1 << 17, reference_price=1, tick_size=Decimal(10**9), lot_size=Decimal(1000))
    lots = largest_order(terms)
    assert lots < terms.max_order_quantity
    assert lots * terms.price_ceiling * terms.fen_per_tick < 1 << 63
