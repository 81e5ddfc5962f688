"""Which levels of a ladder are occupied: three layers of 64-bit words, so that the next one is found in O(1).

A bitmap of up to 64 x 64 x 64 levels is a run of words: one word on top, 64 below it, then a word for every 64
levels. A bit of a layer says that the word below it is not zero. Setting, clearing and finding the next set bit touch
one word in the usual case and three at worst, however far apart the levels are: a book that was swept over half its band
finds its next price as fast as any other.
"""

import numpy as np

from matching.intrinsics import leading_zeros, rarely, trailing_zeros
from matching.jit import inlined
from matching.records import NIL

MAX_LEVELS = 64 * 64 * 64
_MIDDLE = 1  # offset of the middle layer
_BOTTOM = 1 + 64  # offset of the bottom layer
_ONE = np.uint64(1)
_NONE = np.uint64(0)


def words_needed(levels: int) -> int:
    """How many uint64 words a bitmap of so many levels takes. One more word keeps look-ups at the edge in bounds."""
    return _BOTTOM + (levels + 63) // 64 + 1


@inlined
def _bit(index):
    return _ONE << np.uint64(index & 63)


@inlined
def mark(words, base, level):
    """Set the bit of a level that is occupied now."""
    row = level >> 6
    word = words[np.uint64(base + _BOTTOM + row)]
    words[np.uint64(base + _BOTTOM + row)] = word | _bit(level)
    if rarely(word == _NONE):
        words[np.uint64(base + _MIDDLE + (row >> 6))] |= _bit(row)
        words[np.uint64(base)] |= _bit(row >> 6)


@inlined
def clear(words, base, level):
    """Clear the bit of a level that is empty now."""
    clear_if(words, base, level, True)


@inlined
def clear_if(words, base, level, empty):
    """Clear the bit of a level if it is `empty` now. No branch depends on `empty`, which cannot be predicted."""
    row = level >> 6
    word = words[np.uint64(base + _BOTTOM + row)] & ~(np.uint64(empty) << np.uint64(level & 63))
    words[np.uint64(base + _BOTTOM + row)] = word
    if rarely(word == _NONE):
        group = row >> 6
        middle = words[np.uint64(base + _MIDDLE + group)] & ~_bit(row)
        words[np.uint64(base + _MIDDLE + group)] = middle
        if middle == _NONE:
            words[np.uint64(base)] &= ~_bit(group)


@inlined
def first_from(words, base, level):
    """The lowest occupied level at or above `level`, or NIL."""
    if level >= MAX_LEVELS:
        return NIL
    row = level >> 6
    word = words[np.uint64(base + _BOTTOM + row)] >> np.uint64(level & 63)
    if not rarely(word == _NONE):
        return level + trailing_zeros(word)
    row += 1
    group = row >> 6
    if group > 63:
        return NIL
    word = words[np.uint64(base + _MIDDLE + group)] >> np.uint64(row & 63)
    if word == _NONE:
        group += 1
        if group > 63:
            return NIL
        word = words[np.uint64(base)] >> np.uint64(group)
        if word == _NONE:
            return NIL
        group += trailing_zeros(word)
        row = group << 6
        word = words[np.uint64(base + _MIDDLE + group)]
    row += trailing_zeros(word)
    return (row << 6) + trailing_zeros(words[np.uint64(base + _BOTTOM + row)])


@inlined
def last_to(words, base, level):
    """The highest occupied level at or below `level`, or NIL."""
    if level < 0:
        return NIL
    row = level >> 6
    word = words[np.uint64(base + _BOTTOM + row)] << np.uint64(63 - (level & 63))
    if word != _NONE:
        return level - leading_zeros(word)
    row -= 1
    if row < 0:
        return NIL
    group = row >> 6
    word = words[np.uint64(base + _MIDDLE + group)] << np.uint64(63 - (row & 63))
    if word == _NONE:
        group -= 1
        if group < 0:
            return NIL
        word = words[np.uint64(base)] << np.uint64(63 - group)
        if word == _NONE:
            return NIL
        group -= leading_zeros(word)
        row = (group << 6) + 63
        word = words[np.uint64(base + _MIDDLE + group)]
    row -= leading_zeros(word)
    return (row << 6) + 63 - leading_zeros(words[np.uint64(base + _BOTTOM + row)])
