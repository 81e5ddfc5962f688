"""Call auctions: one price at which most lots trade. RULEBOOK 8.3 to 8.6."""
from matching.jit import inlined


@inlined
def uncross(book, events, at, command, number):
    """Trade the book of an instrument at its auction price; see RULEBOOK 8.6. Returns the next free row of events."""
    return at
