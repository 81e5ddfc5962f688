"""Unmodified ccxt trades here: only its two URLs are changed, and the keys are the hub's.

`ccxt.deribit` over HTTP, `ccxt.pro.deribit` over the websocket. If one of these fails, every strategy written for that
client fails.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import ccxt
import ccxt.pro
import pytest

SC = "SC/CNY:CNY-261231"  # ccxt's own name of SC2701
LU = "LU/CNY:CNY-261231"


def settings(served: str, key: str) -> Any:
    return {
        "apiKey": key,
        "secret": f"{key}-secret",
        "urls": {"api": {"rest": f"http://{served}", "ws": f"ws://{served}/ws/api/v2"}},
    }


@pytest.fixture
def alice(served: str) -> Iterator[Any]:
    exchange = ccxt.deribit(settings(served, "alice"))
    exchange.load_markets()
    yield exchange
    exchange.cancel_all_orders()


def test_it_loads_the_markets(alice: Any) -> None:
    market = alice.market(SC)
    assert (market["id"], market["base"], market["quote"], market["settle"]) == ("SC2701", "SC", "CNY", "CNY")
    assert (market["type"], market["active"], market["linear"], market["contractSize"]) == ("future", True, True, 1000)
    assert (
        market["precision"] == {"amount": 1000, "price": 0.1} and market["expiryDatetime"] == "2026-12-31T00:00:00.000Z"
    )
    assert alice.currencies["CNY"]["code"] == "CNY"
    assert all(len(alice.markets_by_id[name]) == 1 for name in alice.markets_by_id)


def test_it_places_edits_reads_and_cancels_an_order(alice: Any) -> None:
    order = alice.create_order(SC, "limit", "buy", 2000, 520.5)
    assert (order["status"], order["price"], order["amount"], order["filled"], order["timeInForce"]) == (
        "open",
        520.5,
        2000,
        0,
        "GTC",
    )
    assert alice.fetch_order_book(SC)["bids"] == [[520.5, 2000]]
    edited = alice.edit_order(order["id"], SC, "limit", "buy", 3000, 520.6)
    assert (edited["id"], edited["price"], edited["amount"], edited["remaining"]) == (order["id"], 520.6, 3000, 3000)
    assert [open_["id"] for open_ in alice.fetch_open_orders(SC)] == [order["id"]]
    assert alice.fetch_order(order["id"])["status"] == "open"
    assert alice.cancel_order(order["id"])["status"] == "canceled"
    assert alice.fetch_open_orders(SC) == []
    assert alice.fetch_closed_orders(SC)[-1]["id"] == order["id"]


def test_it_sees_its_balance_and_margin(alice: Any) -> None:
    before = alice.fetch_balance()["CNY"]
    assert before["total"] == 10**11 and before["free"] <= before["total"]
    alice.create_order(SC, "limit", "buy", 1000, 520.0)
    assert alice.fetch_balance()["CNY"]["free"] == before["free"] - 52_100
    assert alice.fetch_balance({"code": "CNY"})["CNY"]["total"] == before["total"]


def test_it_reads_trades_ticker_and_positions(served: str, alice: Any) -> None:
    bob = ccxt.deribit(settings(served, "bob"))
    bob.load_markets()
    alice.create_order(SC, "limit", "sell", 2000, 521.0)
    taken = bob.create_order(SC, "limit", "buy", 1000, 521.0, params={"timeInForce": "IOC"})
    assert (taken["status"], taken["average"], taken["trades"][0]["takerOrMaker"]) == ("closed", 521.0, "taker")
    market = bob.create_order(SC, "market", "buy", 1000)
    assert (market["status"], market["filled"]) == ("closed", 1000)
    tape = alice.fetch_trades(SC)[-2:]
    assert [(trade["price"], trade["amount"], trade["side"]) for trade in tape] == [(521.0, 1000, "buy")] * 2
    mine = alice.fetch_my_trades(SC)[-1]
    assert (mine["side"], mine["takerOrMaker"], mine["price"]) == ("sell", "maker", 521.0)
    assert alice.fetch_order_trades(mine["order"])[-1]["id"] == mine["id"]
    assert alice.fetch_ticker(SC)["last"] == 521.0
    assert [
        (position["symbol"], position["side"], position["contracts"]) for position in bob.fetch_positions([SC])
    ] == [(SC, "long", 2000)]


@pytest.mark.parametrize(
    ("kind", "price"), [("stop_limit", 530.0), ("limit", 530.0), ("stop_market", None), ("market", None)]
)
def test_it_places_a_parked_stop_and_cancels_it(alice: Any, kind: Any, price: int) -> None:
    stop = alice.create_order(SC, kind, "buy", 1000, price, {"stopLossPrice": 529.0})
    assert (stop["triggerPrice"], stop["price"], stop["filled"], stop["info"]["order_state"]) == (
        529.0,
        price,
        0,
        "untriggered",
    )
    assert stop["info"]["order_type"] == ("stop_limit" if price else "stop_market")  # ccxt's type is limit or market
    assert [seen["id"] for seen in alice.fetch_open_orders(SC)] == [stop["id"]]
    assert alice.fetch_order_book(SC)["bids"] == []
    assert alice.cancel_order(stop["id"])["status"] == "canceled"


def test_its_stop_is_triggered_by_a_trade(served: str, alice: Any) -> None:
    bob = ccxt.deribit(settings(served, "bob"))
    bob.load_markets()
    alice.create_order(LU, "limit", "sell", 20, 3970)
    bob.create_order(LU, "limit", "buy", 10, 3970)
    stop = alice.create_order(LU, "stop_limit", "buy", 10, 3976, {"stopLossPrice": 3975})
    bob.create_order(LU, "limit", "buy", 10, 3970)
    bob.create_order(LU, "limit", "sell", 20, 3975)
    bob.create_order(LU, "limit", "buy", 10, 3975)
    done = alice.fetch_order(stop["id"])
    assert (done["status"], done["average"], done["triggerPrice"]) == ("closed", 3975, 3975)
    bob.cancel_all_orders()


def test_it_distinguishes_its_errors(served: str, alice: Any) -> None:
    refused: tuple[tuple[type[Exception], Callable[[], Any]], ...] = (
        (ccxt.InvalidOrder, lambda: alice.create_order(SC, "limit", "buy", 1000, 900.0)),
        (ccxt.InvalidOrder, lambda: alice.create_order(SC, "limit", "buy", 1000 * 501, 521.0)),
        (ccxt.OrderNotFound, lambda: alice.cancel_order("999999999")),
        (ccxt.OrderNotFound, lambda: alice.fetch_order("999999999")),
        (ccxt.AuthenticationError, lambda: ccxt.deribit(settings(served, "alice") | {"secret": "x"}).fetch_balance()),
        (ccxt.BadRequest, lambda: alice.publicGetGetOrderBook({"instrument_name": "SC2701", "depth": "many"})),
    )
    for error, call in refused:
        with pytest.raises(error):
            call()
    bid = alice.create_order(SC, "limit", "buy", 1000, 520.0)
    with pytest.raises(ccxt.InvalidOrder):
        alice.create_order(SC, "limit", "sell", 1000, 520.0, {"postOnly": True})
    assert alice.fetch_order(bid["id"])["filled"] == 0


def test_it_knows_the_time_and_that_the_hub_is_open(alice: Any) -> None:
    assert abs(alice.fetch_time() - alice.milliseconds()) < 5000
    assert alice.fetch_status()["status"] == "ok"


@contextlib.asynccontextmanager
async def pro(served: str, key: str) -> AsyncIterator[Any]:
    exchange = ccxt.pro.deribit(settings(served, key))
    try:
        await exchange.load_markets()
        yield exchange
    finally:
        await exchange.cancel_all_orders()
        await exchange.close()


async def soon(task: Any) -> Any:
    return await asyncio.wait_for(task, 20)


def test_it_watches_book_trades_orders_and_its_own_trades(served: str) -> None:
    async def test() -> None:
        async with pro(served, "carol") as carol, pro(served, "dave") as dave:
            await soon(carol.watch_order_book(SC))
            orders, book = (asyncio.create_task(call(SC)) for call in (carol.watch_orders, carol.watch_order_book))
            tape, mine = (asyncio.create_task(call(SC)) for call in (carol.watch_trades, carol.watch_my_trades))
            await asyncio.sleep(0.5)  # ccxt sends each subscription in its own task
            order = await carol.create_order(SC, "limit", "buy", 3000, 519.5)
            assert [(seen["id"], seen["status"]) for seen in await soon(orders)] == [(order["id"], "open")]
            assert (await soon(book))["bids"][0][:2] == [519.5, 3000]
            orders, book = asyncio.create_task(carol.watch_orders(SC)), asyncio.create_task(carol.watch_order_book(SC))
            await dave.create_order(SC, "limit", "sell", 1000, 519.5)
            assert [(seen["status"], seen["filled"], seen["remaining"]) for seen in await soon(orders)] == [
                ("open", 1000, 2000)
            ]
            assert [(trade["price"], trade["amount"], trade["side"]) for trade in await soon(tape)] == [
                (519.5, 1000, "sell")
            ]
            assert [(trade["order"], trade["takerOrMaker"]) for trade in await soon(mine)] == [(order["id"], "maker")]
            assert (await soon(book))["bids"][0][:2] == [519.5, 2000]
            orders = asyncio.create_task(carol.watch_orders(SC))
            await carol.cancel_order(order["id"])
            assert [(seen["status"], seen["filled"]) for seen in await soon(orders)] == [("canceled", 1000)]
            assert (await carol.fetch_balance())["CNY"]["total"] == 10**11

    asyncio.run(test())


def test_it_watches_its_balance(served: str) -> None:
    async def test() -> None:
        async with pro(served, "carol") as carol:
            carol.options["currencies"] = ["CNY"]  # ccxt's setting: the portfolio to watch
            assert (await soon(carol.watch_balance()))["CNY"]["total"]["CNY"] == 10**11

    asyncio.run(test())


def test_it_watches_the_ticker(served: str) -> None:
    async def test() -> None:
        async with pro(served, "carol") as carol:
            first = await soon(carol.watch_ticker(SC))
            assert (first["symbol"], first["info"]["phase"]) == (SC, "continuous")
            ticker = asyncio.create_task(carol.watch_ticker(SC))
            await asyncio.sleep(0.2)
            await carol.create_order(SC, "limit", "buy", 2000, 518.0)
            seen = await soon(ticker)
            assert (seen["bid"], seen["bidVolume"], seen["info"]["max_price"]) == (
                518.0,
                2000,
                first["info"]["max_price"],
            )

    asyncio.run(test())


def test_it_watches_the_best_prices(served: str) -> None:
    async def test() -> None:
        async with pro(served, "carol") as carol:
            await soon(carol.watch_bids_asks([SC]))
            best = asyncio.create_task(carol.watch_bids_asks([SC]))
            await asyncio.sleep(0.2)
            await carol.create_order(SC, "limit", "buy", 2000, 519.0)
            assert (await soon(best))[SC]["bid"] == 519.0

    asyncio.run(test())
