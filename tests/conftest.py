"""What the whole suite shares: kernels are compiled with bounds checks, and kept apart from those that serve.

Numba does not tell checked kernels from unchecked ones in its cache, so the suite has a cache folder of its own. Server
processes that tests start inherit both settings.
"""
import os
import pathlib

if "NUMBA_BOUNDSCHECK" not in os.environ:                # before anything imports numba
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    os.environ["NUMBA_BOUNDSCHECK"] = "1"
    os.environ["NUMBA_CACHE_DIR"] = str(cache / "qiee-hub-tests")
