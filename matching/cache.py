"""Compiled kernels on disk, each under a digest of everything that went into it.

That is the bytecode of the kernel and of every step that it reaches, without docstrings and line numbers, and the
constants that they use. An edit to a comment, or to a step that a kernel does not reach, compiles nothing. An edited step
or constant is never answered from an old binary, whatever file it stands in: numba by itself looks at the file of the
kernel only. Checkouts of the same sources share their kernels.
"""

import ast
import hashlib
import os
import pathlib
import tempfile
import types as python_types
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np
from numba.core import caching, config


def _reached(function: python_types.FunctionType) -> Iterator[bytes]:
    """What a kernel is made of: bytecode without docstrings and line numbers, and constants, of all that it reaches."""
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield f"{found.__module__}.{found.__qualname__}".encode()
        yield from _code_of(found.__code__, found.__doc__)
        for name, value in _globals_of(found):
            if isinstance(value, numba.core.dispatcher.Dispatcher):
                waiting.append(value.py_func)
            elif isinstance(value, python_types.FunctionType):
                waiting.append(value)  # one of intrinsics.py, which is part of every digest
            else:
                yield f"{name} {_constant(value)}".encode()


def _code_of(code: python_types.CodeType, doc: str | None) -> Iterator[bytes]:
    """The bytecode and what it names. Nested code comes with it."""
    yield code.co_code
    yield repr((code.co_names, code.co_varnames, code.co_freevars)).encode()
    for constant in code.co_consts:
        if isinstance(constant, python_types.CodeType):
            yield from _code_of(constant, None)
        elif constant != doc:
            yield repr(constant).encode()


def _globals_of(function: python_types.FunctionType) -> Iterator[tuple[str, Any]]:
    """(name, value) of every global that a function reads; of one of our modules, of each attribute it may read."""
    names = {function.__code__.co_names}
    names |= {code.co_names for code in function.__code__.co_consts if isinstance(code, python_types.CodeType)}
    flat = sorted({name for group in names for name in group})
    for name in flat:
        value = function.__globals__.get(name)
        if isinstance(value, python_types.ModuleType):
            if value.__name__.partition(".")[0] in ("numpy", "numba"):
                continue
            yield from (
                (f"{name}.{attribute}", getattr(value, attribute)) for attribute in flat if hasattr(value, attribute)
            )
        elif value is not None:
            yield name, value


def _constant(value: Any) -> str:
    """A frozen constant as text. Types and modules by name, a NamedTuple with its fields."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape} {value.tobytes().hex()}"
    if isinstance(value, type):
        return f"{value.__qualname__} {getattr(value, '_fields', '')}"
    return repr(value)


def digest_of(parts: Iterable[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little") + part)
    return digest.hexdigest()


def _of_compiler() -> Iterator[bytes]:
    """What goes into every kernel: how it is compiled, and the switches of the compiler."""
    folder = pathlib.Path(__file__).parent
    for name in ("jit.py", "intrinsics.py"):
        yield ast.dump(ast.parse(folder.joinpath(name).read_bytes())).encode()
    yield f"{numba.__version__} boundscheck {config.BOUNDSCHECK} opt {config.OPT}".encode()


def kernel_digest(compiled: Any) -> str:
    """Hex digest of a kernel and all that it reaches."""
    return digest_of([*_of_compiler(), *_reached(compiled.py_func)])


def cache_folder() -> str:
    """The first place where compiled kernels can be kept: NUMBA_CACHE_DIR, the user's cache, the temporary folder.

    Errors    OSError if none of them can be written
    """
    places = [
        os.environ.get("NUMBA_CACHE_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        os.path.expanduser("~/.cache"),
        tempfile.gettempdir(),
    ]
    for place in filter(None, places):
        folder = pathlib.Path(place) / "qiee-hub"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    raise OSError("no writable folder for compiled kernels; set NUMBA_CACHE_DIR")


class _Locator(caching._CacheLocator):
    """Where a kernel is cached: under its digest, which is also its stamp."""

    def __init__(self, function: Any) -> None:
        self.digest = digest_of([*_of_compiler(), *_reached(function)])

    @classmethod
    def from_function(cls, function: Any, _: str) -> "_Locator":
        return cls(function)

    def get_cache_path(self) -> str:
        return cache_folder()

    def get_source_stamp(self) -> str:
        return self.digest

    def get_disambiguator(self) -> str:
        return self.digest


class _CacheOfResults(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]


class _CacheOfKernel(caching.FunctionCache):
    _impl_class = _CacheOfResults


class KernelCache(caching.NullCache):
    """The cache of a kernel, opened when it is first asked: by then every step that the kernel names is defined."""

    def __init__(self, function: Any) -> None:
        self._function = function
        self._opened: caching.FunctionCache | None = None

    def _open(self) -> caching.FunctionCache:
        if self._opened is None:
            self._opened = _CacheOfKernel(self._function)
        return self._opened

    @property
    def cache_path(self) -> str:
        return cache_folder()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        return self._open().load_overload(sig, target_context)

    def save_overload(self, sig: Any, cres: Any) -> None:
        self._open().save_overload(sig, cres)
