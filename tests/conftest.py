"""Settings of the whole suite: kernels are compiled with bounds checks, also in server processes that tests start.

matching/jit.py keeps such kernels in a cache folder of their own.
"""

import os

os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")  # before anything imports numba
