"""Parked orders: stop orders that wait for the last trade to reach their trigger price. RULEBOOK 2.9 and 2.10."""
from matching.jit import inlined


@inlined
def fire(book, events, at, command, number):
    """Trigger what the last price of an instrument has reached. Returns the next free row of events."""
    return at
