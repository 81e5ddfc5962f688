"""The sample capture, read once per run, and small captures made by hand."""

from functools import cache
from typing import Any

import numpy as np

from exchange.replay.formats import TAPE, Flow, bitstamp
from exchange.replay.formats.bitstamp import CHANGED, CREATED, DELETED, ORDER_ROW, Capture
from matching.codes import Side

BID, ASK = int(Side.BUY), int(Side.SELL)
START = 1_777_689_380_521  # ms since the epoch, when the hand-made captures begin
PRICE = 78_000  # ticks
END = 60_000  # ms after START, when they end


@cache
def capture() -> Capture:
    return bitstamp.read_capture(bitstamp.sample_folder())


@cache
def flow() -> Flow:
    return bitstamp.reconstruct(capture())


def id_of(at: int) -> int:
    """An order id of the venue that has a time in it, in ms after START."""
    return (START + at - 1_288_834_974_657) << 12


def created(order: int, at: int, side: int, price: int, quantity: int) -> tuple[Any, ...]:
    """A row of the order feed; `at` in ms after START."""
    return order, START + at + 70, START + at, price, quantity, CREATED, side


def changed(order: int, at: int, side: int, price: int, quantity: int) -> tuple[Any, ...]:
    return order, START + at + 70, START + at, price, quantity, CHANGED, side


def deleted(order: int, at: int, side: int, price: int, quantity: int) -> tuple[Any, ...]:
    return order, START + at + 70, START + at, price, quantity, DELETED, side


def closed(order: int, side: int, price: int, quantity: int) -> tuple[Any, ...]:
    """A row with which the collector ends the recording, received when it happened."""
    return order, START + END, START + END, price, quantity, DELETED, side


def recording(*rows: tuple[Any, ...], tape: tuple[tuple[Any, ...], ...] = ()) -> Capture:
    """A capture. `tape`: trades as taker, maker, price, quantity."""
    trades = np.zeros(len(tape), TAPE)
    for number, trade in enumerate(tape):
        trades[number] = (number + 1, (START + 1) * 1_000_000, *trade)
    return Capture(np.array(list(rows), ORDER_ROW), trades)


def rebuilt(*rows: tuple[Any, ...], tape: tuple[tuple[Any, ...], ...] = ()) -> Flow:
    return bitstamp.reconstruct(recording(*rows, tape=tape))
