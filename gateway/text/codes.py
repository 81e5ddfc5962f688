"""The constants of matching/codes.py as plain ints, for the code that every order passes through.

    from gateway.text import codes as c
    if event.kind == c.TRADED and order.flags & c.LABEL: ...

Outside kernels, to compare a plain int takes 15 ns, an int64 of NumPy 40, a member of an enum 100; `&` of an IntFlag, 1 us.
"""

from typing import TYPE_CHECKING

import numpy as np

from matching import codes

globals().update({name: int(value) for name, value in vars(codes).items() if isinstance(value, np.int64)})

if TYPE_CHECKING:

    def __getattr__(name: str) -> int: ...
