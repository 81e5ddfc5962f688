"""How the kernels are compiled: two decorators, one cache folder, and a seal.

`kernel` marks what Python calls; `inlined` marks the small steps a kernel is told in. With NUMBA_DISABLE_JIT=1 both
do nothing and the same source runs as plain Python.

Numba stamps a cached kernel with its own file only, so a change to a helper in another file would go unnoticed.
Therefore the cache lives in a folder named by a digest of every source that kernels are made of, and an edited
kernel never meets an old binary.
"""
import hashlib
import os
import pathlib
import tempfile

import numba
from numba.core.extending import overload
from numba.cpython.unsafe import numbers

INTERPRETED = bool(numba.config.DISABLE_JIT)
_ROOT = pathlib.Path(__file__).resolve().parent.parent
_KERNEL_PACKAGES = ("matching", "risk", "exchange")


def source_digest(root: pathlib.Path = _ROOT) -> str:
    """Hex digest of every Python source that kernels are compiled from."""
    digest = hashlib.blake2b(digest_size=10)
    for package in _KERNEL_PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            digest.update(f"{package}/{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> str:
    """The first place where compiled kernels can be kept: NUMBA_CACHE_DIR, the user's cache, the temporary folder."""
    places = [os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("XDG_CACHE_HOME"), os.path.expanduser("~/.cache"),
              tempfile.gettempdir()]
    for place in filter(None, places):
        folder = pathlib.Path(place) / "qiee-hub" / source_digest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    raise OSError("no writable folder for compiled kernels; set NUMBA_CACHE_DIR")


if not INTERPRETED:
    numba.config.CACHE_DIR = _cache_folder()

_kernels: list = []


def kernel(function):
    """Compile a function that Python calls. Releases the GIL; cached on disk."""
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    _kernels.append(compiled)
    return compiled


def inlined(function):
    """Compile a step of a kernel into its caller."""
    return numba.njit(forceinline=True, nogil=True, error_model="numpy")(function)


def compilations() -> int:
    """How many kernel specialisations this process had to compile because no cache held them."""
    if INTERPRETED:
        return 0
    return sum(sum(k.stats.cache_misses.values()) for k in _kernels)


def seal() -> None:
    """Forbid further compilation: from here on an unforeseen type is a TypeError at once, not seconds of silence.

    Call it when every kernel has run once.
    """
    if not INTERPRETED:
        for compiled in _kernels:
            if compiled.signatures:
                compiled.disable_compile()


def trailing_zeros(word) -> int:
    """Index of the lowest set bit of a non-zero uint64. One instruction when compiled."""
    word = int(word)
    return (word & -word).bit_length() - 1


def leading_zeros(word) -> int:
    """63 minus the index of the highest set bit of a non-zero uint64. One instruction when compiled."""
    return 64 - int(word).bit_length()


@overload(trailing_zeros, inline="always")
def _trailing_zeros(word):
    return lambda word: numba.int64(numbers.trailing_zeros(word))


@overload(leading_zeros, inline="always")
def _leading_zeros(word):
    return lambda word: numba.int64(numbers.leading_zeros(word))
