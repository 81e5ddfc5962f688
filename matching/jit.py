"""How the kernels are compiled: four decorators, a cache on disk, and a seal.

`kernel` marks what Python calls. `inlined` marks a step that is compiled into each of its callers, `outlined` a step
that stays a function of its own, `either` one that its callers have choose. With NUMBA_DISABLE_JIT=1 all four do nothing
and the same source runs as plain Python.

A step has one body for several ways through it if the way is a parameter that callers give a literal True or False: such a
parameter is a constant of the compiled step, and the branches that it rules out are not compiled at all.

Steps are linked into their kernel as they are, and the kernel is optimised once, as a whole. Numba by itself optimises
each step, emits its machine code and makes it callable from Python, and then does the work again in every caller.

The cache holds machine code under a digest of everything that went into it: the bytecode of the kernel and of every step
that it reaches, and the constants they use. An edit to a comment, or to a step that a kernel does not reach, compiles
nothing; an edited step or constant is never answered from an old binary, whatever file it stands in.

An index that is cast to np.uint64 saves a test: a signed one might count from the end.
"""

import gc
import hashlib
import os
import pathlib
import tempfile
import types as python_types
from collections.abc import Callable, Iterator
from typing import Any

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import _dynfunc
from numba.core import caching, cgutils, codegen, compiler, config, typed_passes, types, untyped_passes
from numba.core import ir as numba_ir
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.extending import intrinsic, overload
from numba.core.registry import CPUDispatcher
from numba.cpython.unsafe import numbers

INTERPRETED = bool(config.DISABLE_JIT)

_kernels: list[Any] = []

# A constant of a kernel. A Python int would make numba compile each callee once for every value that it is given.
code = np.int64


# Steps -------------------------------------------------------------------------------------------


class _StepLibrary(codegen.JITCodeLibrary):
    """The code of a step, for kernels to link in. It is not optimised as a whole and no machine code is emitted."""

    def finalize(self) -> None:
        self._raise_if_finalized()
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True


class _KernelLibrary(codegen.JITCodeLibrary):
    """The code of a kernel. The cache keeps its machine code, and of its LLVM code only the names: nothing links it."""

    def _get_module_for_linking(self) -> Any:
        raise RuntimeError(f"{self.name} is a kernel: only Python calls it")

    def serialize_using_object_code(self) -> tuple[str, str, tuple[bytes, bytes]]:
        self._ensure_finalized()
        functions = (f'define void @"{found.name}"() {{ ret void }}' for found in self.get_defined_functions())
        variables = (
            f'@"{found.name}" = global i8 0'
            for found in self._final_module.global_variables
            if not found.is_declaration
        )
        names = llvm.parse_assembly("\n".join([*variables, *functions]))
        return self.name, "object", (self._get_compiled_object(), names.as_bitcode())


class _Step(CPUDispatcher):
    """A step as its callers see it. It has no entry for Python."""

    def __call__(self, *_: object, **__: object) -> None:
        raise TypeError(
            f"{self.py_func.__name__} is a step of a kernel; Python can call it with NUMBA_DISABLE_JIT=1 only"
        )


@register_pass(mutates_CFG=True, analysis_only=False)
class _StepLowering(typed_passes.NativeLowering):
    """Lowers a step into a _StepLibrary and makes it known to its callers."""

    _name = "step_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _StepLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags.no_compile = True
        super().run_pass(state)
        lowered, library = state["cr"], state.library
        library._ensure_finalized()
        entry = _dynfunc.make_function(
            lowered.fndesc.lookup_module(),
            lowered.fndesc.qualname.split(".")[-1],
            "a step of a kernel",
            0,
            lowered.env,
            (library,),
        )
        state.targetctx.insert_user_function(entry, lowered.fndesc, [library])
        state["cr"] = compiler._LowerResult(lowered.fndesc, lowered.call_helper, cfunc=entry, env=lowered.env)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class _KernelLowering(typed_passes.NativeLowering):
    """Lowers a kernel into a _KernelLibrary."""

    _name = "kernel_lowering"

    def run_pass(self, state: Any) -> bool:
        state.library = _KernelLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return bool(super().run_pass(state))


@register_pass(mutates_CFG=True, analysis_only=False)
class _FoldFlags(FunctionPass):
    """Makes a constant of each parameter that is given a literal True or False, so that numba prunes the branches on it.

    Numba itself prunes branches on None only, and would compile both sides and all that they call.
    """

    _name = "fold_flags"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        flags = {place: given for place, given in enumerate(state.args) if isinstance(given, types.BooleanLiteral)}
        for block in state.func_ir.blocks.values():
            for line in block.body:
                if (
                    isinstance(line, numba_ir.Assign)
                    and isinstance(line.value, numba_ir.Arg)
                    and line.value.index in flags
                ):
                    line.value = numba_ir.Const(flags[line.value.index].literal_value, line.loc)
                    state.func_ir._definitions[line.target.name] = [line.value]
        return bool(flags)


class _Compiler(compiler.CompilerBase):
    """Numba's passes with _FoldFlags before branches are pruned, and with another lowering."""

    lowering: type[typed_passes.NativeLowering]

    def define_pipelines(self) -> list[Any]:
        passes = compiler.DefaultPassBuilder.define_nopython_pipeline(self.state, self.lowering._name)
        passes.passes = [
            (self.lowering if step is typed_passes.NativeLowering else step, text) for step, text in passes.passes
        ]
        passes.add_pass_after(_FoldFlags, untyped_passes.IRProcessing)
        passes.finalize()
        return [passes]


class _StepCompiler(_Compiler):
    lowering = _StepLowering


class _KernelCompiler(_Compiler):
    lowering = _KernelLowering


class _EitherCompiler(_StepCompiler):
    """See `either`."""

    def compile_extra(self, func: Callable[..., Any]) -> Any:
        self.state.flags.forceinline = self.state.args[-1].literal_value
        return super().compile_extra(func)


_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
_STEP = _OPTIONS | {"pipeline_class": _StepCompiler, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a step into each of its callers."""
    return _step(numba.njit(forceinline=True, **_STEP)(function))


def outlined(function: Callable[..., Any]) -> Any:
    """Compile a step as a function of its own. For what few commands do, so that the common path stays short."""
    return _step(numba.njit(**_STEP)(function))


def either(function: Callable[..., Any]) -> Any:
    """Compile a step as its last parameter says, which callers give a literal: True, as `inlined`; False, as `outlined`."""
    return _step(numba.njit(**_STEP | {"pipeline_class": _EitherCompiler})(function))


def _step(compiled: Any) -> Any:
    if not INTERPRETED:
        compiled.__class__ = _Step
    return compiled


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls. Releases the GIL; cached on disk."""
    compiled = numba.njit(pipeline_class=_KernelCompiler, **_OPTIONS)(function)
    if not INTERPRETED:
        compiled._cache = _KernelCache(function)
        _kernels.append(compiled)
    return compiled


def direct(compiled: Any, *arguments: Any) -> Any:
    """The entry of a kernel for arguments of exactly these types, without the check of types on each call.

    To find out the types of a book and a ledger takes ten times as long as the call itself. Only for a caller that
    makes all of its arguments itself: another dtype, or an array that is not contiguous, would be read as if it were right.
    """
    if INTERPRETED:
        return compiled
    types_given = tuple(map(numba.typeof, arguments))
    known = compiled.overloads.get(types_given)
    if known:
        return known.entry_point
    collecting = gc.isenabled()
    gc.disable()  # a compiler makes much that lives: to look through it again and again takes a fifth of its time
    try:
        return compiled.compile(types_given)
    finally:
        if collecting:
            gc.enable()


# The cache ---------------------------------------------------------------------------------------


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
                waiting.append(value)  # an overload: matching/jit.py is part of every digest
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


def _digest(parts: Iterator[bytes]) -> str:
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        digest.update(len(part).to_bytes(4, "little") + part)
    return digest.hexdigest()


def _of_compiler() -> Iterator[bytes]:
    """What goes into every kernel: this file, and the switches of the compiler."""
    yield pathlib.Path(__file__).read_bytes()
    yield f"{numba.__version__} boundscheck {config.BOUNDSCHECK} opt {config.OPT}".encode()


def kernel_digest(compiled: Any) -> str:
    """Hex digest of a kernel and all that it reaches."""
    return _digest(iter([*_of_compiler(), *_reached(compiled.py_func)]))


def _cache_folder() -> str:
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
        self.digest = _digest(iter([*_of_compiler(), *_reached(function)]))

    @classmethod
    def from_function(cls, function: Any, _: str) -> "_Locator":
        return cls(function)

    def get_cache_path(self) -> str:
        return _cache_folder()

    def get_source_stamp(self) -> str:
        return self.digest

    def get_disambiguator(self) -> str:
        return self.digest


class _CacheOfResults(caching.CompileResultCacheImpl):
    _locator_classes = [_Locator]  # type: ignore[list-item]


class _CacheOfKernel(caching.FunctionCache):
    _impl_class = _CacheOfResults


class _KernelCache(caching.NullCache):
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
        return _cache_folder()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        return self._open().load_overload(sig, target_context)

    def save_overload(self, sig: Any, cres: Any) -> None:
        self._open().save_overload(sig, cres)


def compilations() -> int:
    """How many kernel specialisations this process had to compile because no cache held them."""
    return sum(sum(k.stats.cache_misses.values()) for k in _kernels)


def is_cached() -> bool:
    """Whether everything that a process runs before `seal` has been compiled before, of exactly these sources."""
    return INTERPRETED or _complete().exists()


def _complete() -> pathlib.Path:
    """The file that says that the cache lacks no kernel of this process."""
    digest = _digest(kernel_digest(compiled).encode() for compiled in _kernels)
    return pathlib.Path(_cache_folder()) / f"complete-{digest}"


def seal() -> None:
    """Forbid further compilation: from here on an unforeseen type is a TypeError at once, not seconds of silence.

    Call it when every kernel has run once.
    """
    if not INTERPRETED:
        _complete().touch()
        for compiled in _kernels:
            if compiled.signatures:
                compiled.disable_compile()


# What Python has no word for ---------------------------------------------------------------------


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


def rarely(condition):
    """The condition itself. The compiler expects it to be false and moves what then happens out of the common path."""
    return condition


@intrinsic
def _rarely(typing, condition):
    def generate(context, builder, signature, arguments):
        bit = ir.IntType(1)
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(bit, [bit, bit]), "llvm.expect.i1")
        return builder.call(function, [arguments[0], ir.Constant(bit, 0)])

    return types.boolean(types.boolean), generate


@overload(rarely, inline="always")
def _rarely_compiled(condition):
    return lambda condition: _rarely(condition)


def read_anew() -> None:
    """Stands at the beginning of a rarely taken branch: what the branch needs is read from memory again.

    Otherwise the compiler would keep it in registers or on the stack all along the common path.
    """


@intrinsic
def _read_anew(typing):
    def generate(context, builder, signature, arguments):
        builder.call(ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", side_effect=True), [])
        return context.get_dummy_value()

    return types.void(), generate


@overload(read_anew, inline="always")
def _read_anew_compiled():
    return lambda: _read_anew()


def prefetch(array, row, byte=0) -> None:
    """Begin to load a row from `byte` on, which will be needed soon. Changes nothing; the row need not exist."""


@intrinsic
def _prefetch(typing, array, row, byte):
    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], view, [arguments[1]])
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        for_writing, keep, data = ir.Constant(word, 1), ir.Constant(word, 3), ir.Constant(word, 1)
        line = builder.gep(builder.bitcast(pointer, byte), [arguments[2]])
        builder.call(function, [line, for_writing, keep, data])
        return context.get_dummy_value()

    return types.void(array, row, types.int64), generate


@overload(prefetch, inline="always")
def _prefetch_compiled(array, row, byte=0):
    return lambda array, row, byte=0: _prefetch(array, row, byte)


def copy_fields(target, source, first, last):
    """Copy the fields from `first` to `last`, which are literal and lie alike in both records. One move when compiled."""
    for name in _between(source.dtype.names, first, last):
        target[name] = source[name]


def clear_fields(target, first, last):
    """Set the fields from `first` to `last`, which are literal, of a record to zero. One move when compiled."""
    for name in _between(target.dtype.names, first, last):
        target[name] = 0


def _between(names, first, last):
    return names[names.index(first) : names.index(last) + 1]


def _place(builder, pointer, record, first, last):
    """Pointer to the fields from `first` to `last` of a record, seen as one number: that is what registers are for."""
    bits = 8 * (record.offset(last) - record.offset(first)) + record.typeof(last).bitwidth
    start = builder.gep(
        builder.bitcast(pointer, ir.IntType(8).as_pointer()), [ir.Constant(ir.IntType(64), record.offset(first))]
    )
    return builder.bitcast(start, ir.IntType(bits).as_pointer())


@intrinsic(prefer_literal=True)
def _copy_fields(typing, target, source, first, last):
    def generate(context, builder, signature, arguments):
        to, of = (
            _place(builder, pointer, record, first.literal_value, last.literal_value)
            for pointer, record in zip(arguments[:2], signature.args[:2], strict=True)
        )
        builder.store(builder.load(of, align=1), to, align=1)
        return context.get_dummy_value()

    return types.void(target, source, first, last), generate


@intrinsic(prefer_literal=True)
def _clear_fields(typing, target, first, last):
    def generate(context, builder, signature, arguments):
        to = _place(builder, arguments[0], signature.args[0], first.literal_value, last.literal_value)
        builder.store(ir.Constant(to.type.pointee, 0), to, align=1)
        return context.get_dummy_value()

    return types.void(target, first, last), generate


@overload(copy_fields, prefer_literal=True)
def _copy_fields_compiled(target, source, first, last):
    return lambda target, source, first, last: _copy_fields(target, source, first, last)


@overload(clear_fields, prefer_literal=True)
def _clear_fields_compiled(target, first, last):
    return lambda target, first, last: _clear_fields(target, first, last)
