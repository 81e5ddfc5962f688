"""Memory that the engine writes events into, and that callers then keep as results.

    memory = Results(most)                   # no call writes more than `most` events
    rows = memory.room()                     # at least `most` free rows of EVENT
    events = memory.lend(written)            # the first so many of them, the caller's to keep

Fresh memory halves the speed of the engine, so memory is used again as soon as nobody holds the results in it: results
lie one behind the other in an arena, and a weak reference to each shows when it is gone. A caller that keeps every
result keeps about as much memory as they need.
"""

import weakref

import numpy as np

from matching.records import EVENT, EVENT_WORDS, new_rows

# A caller that holds a result or two while the next is computed goes round these, whose beginnings stay in the cache.
_ARENAS = 3
_COPIED = 256  # events; copying so few is cheaper than lending them


_WARM = 1 << 14  # events: what a large batch gives
_PAGE = 4096  # octets


def touch(rows: np.ndarray) -> None:
    """Let the operating system provide the memory of an array now, not when it is first written. Changes nothing."""
    octets = rows.view(np.uint8).reshape(-1)[::_PAGE]
    octets |= 0


class _Arena:
    """One block of rows, with the results that were lent from it."""

    def __init__(self, rows: int) -> None:
        self.rows = new_rows(rows, EVENT_WORDS)
        self._octets = self.rows.view(np.uint8).data
        self._lent: list[tuple[int, weakref.ref[np.ndarray]]] = []  # the row behind each result, and the result

    def first_free(self) -> int:
        """The row behind the last result that somebody holds."""
        while self._lent and self._lent[-1][1]() is None:
            self._lent.pop()
        return self._lent[-1][0] if self._lent else 0

    def lend(self, first: int, count: int) -> np.ndarray:
        """EVENT[count] from row `first` on."""
        # Its base is this slice of the memory and no array, so whatever is cut from the result refers to the result.
        part = self._octets[first * EVENT.itemsize : (first + count) * EVENT.itemsize]
        events = np.frombuffer(part, EVENT)
        self._lent.append((first + count, weakref.ref(events)))
        return events


class Results:
    """Arenas of one exchange. most: events that one call may write."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._arenas: list[_Arena] = []
        self.room()

    def room(self) -> np.ndarray:
        """EVENT_WORDS rows to write to, at least `most`. They stay free until they are lent."""
        self._arena, self._first = self._place()
        return self._arena.rows[self._first :]

    def lend(self, count: int) -> np.ndarray:
        """The first `count` rows of the last room, as EVENT[count] that the caller may keep."""
        if count <= _COPIED:
            octets = self._arena.rows[self._first : self._first + count].view(np.uint8)
            return octets.copy().view(EVENT)  # byte for byte; NumPy would copy records field by field
        return self._arena.lend(self._first, count)

    def warm_up(self) -> None:
        """Provide the memory of the next results."""
        while len(self._arenas) < _ARENAS:
            self._arenas.append(_Arena(2 * self._most))
        for arena in self._arenas:
            first = arena.first_free()
            touch(arena.rows[first : first + _WARM])

    def _place(self) -> tuple[_Arena, int]:
        """An arena with room, and its first free row."""
        free = [arena.first_free() for arena in self._arenas]
        first = min(free, default=self._most)
        if first != 0 and len(free) < _ARENAS:
            self._arenas.append(_Arena(2 * self._most))
            return self._arenas[-1], 0
        arena = self._arenas[free.index(first)]
        if len(arena.rows) - first < self._most:
            self._arenas.remove(arena)  # its memory stays with those who hold its results
            return self._place()
        return arena, first
