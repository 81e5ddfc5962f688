"""How the kernels are compiled: three decorators, one cache folder, and a seal.

`kernel` marks what Python calls, `inlined` the small steps a kernel is told in, `outlined` the rare ones. With
NUMBA_DISABLE_JIT=1 all three do nothing and the same source runs as plain Python.

An index that is cast to np.uint64 spares the compiled code a test: a signed one might count from the end.

Numba stamps a cached kernel with its own file only, so a change to a helper in another file would go unnoticed.
Therefore the cache lives in a folder named by a digest of every source that kernels are made of, and an edited
kernel never meets an old binary. Numba finds a kernel by the path of its file, too: each checkout has a folder of its own.
"""

import hashlib
import os
import pathlib
import tempfile

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.extending import intrinsic, overload
from numba.core.ir import Arg, Assign, Const
from numba.core.untyped_passes import IRProcessing
from numba.cpython.unsafe import numbers

INTERPRETED = bool(config.DISABLE_JIT)
_ROOT = pathlib.Path(__file__).resolve().parent.parent
# Every source that is compiled, or whose constants are frozen into what is compiled.
KERNEL_SOURCES = (
    "matching/*.py",
    "risk/*.py",
    "exchange/engine/*.py",
    "exchange/instruments.py",
    "exchange/projections/*.py",
    "gateway/binary/rows.py",
)


def source_digest(root: pathlib.Path = _ROOT) -> str:
    """Hex digest of every Python source that kernels are compiled from, and of the one switch that changes them."""
    digest = hashlib.blake2b(f"boundscheck {config.BOUNDSCHECK}".encode(), digest_size=10)
    for pattern in KERNEL_SOURCES:
        for path in sorted(set(root.glob(pattern)) - {root / "matching" / "reference.py"}):
            digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _cache_folder() -> str:
    """The first place where compiled kernels can be kept: NUMBA_CACHE_DIR, the user's cache, the temporary folder."""
    places = [
        os.environ.get("NUMBA_CACHE_DIR"),
        os.environ.get("XDG_CACHE_HOME"),
        os.path.expanduser("~/.cache"),
        tempfile.gettempdir(),
    ]
    of_checkout = hashlib.blake2b(f"{_ROOT} {source_digest()}".encode(), digest_size=10).hexdigest()
    for place in filter(None, places):
        folder = pathlib.Path(place) / "qiee-hub" / of_checkout
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return str(folder)
    raise OSError("no writable folder for compiled kernels; set NUMBA_CACHE_DIR")


if not INTERPRETED:
    config.CACHE_DIR = _cache_folder()

_kernels: list = []


# A number that kernels are compiled with: a Python int would have each callee compiled anew for every value it is given.
code = np.int64


def kernel(function):
    """Compile a function that Python calls. Releases the GIL; cached on disk."""
    compiled = numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function)
    _kernels.append(compiled)
    return compiled


@register_pass(mutates_CFG=True, analysis_only=False)
class _FoldFlags(FunctionPass):
    """Parameters that are given a literal True or False become that constant, so that numba drops the branch not taken.

    Numba does so for None only. Without it both branches would be compiled, and what they call as well.
    """

    _name = "fold_literal_flags"

    def __init__(self):
        super().__init__()

    def run_pass(self, state):
        flags = {i: kind.literal_value for i, kind in enumerate(state.args) if isinstance(kind, types.BooleanLiteral)}
        for block in state.func_ir.blocks.values():
            for statement in block.body:
                if (
                    isinstance(statement, Assign)
                    and isinstance(statement.value, Arg)
                    and statement.value.index in flags
                ):
                    constant = Const(flags[statement.value.index], statement.loc)
                    state.func_ir._definitions[statement.target.name] = [constant]
                    statement.value = constant
        return bool(flags)


class _StepCompiler(CompilerBase):
    """Numba's compiler with the pass above."""

    def define_pipelines(self):
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_FoldFlags, IRProcessing)
        passes.finalize()
        return [passes]


class _TwoPathCompiler(_StepCompiler):
    """See `step`."""

    def compile_extra(self, function):
        self.state.flags.forceinline = self.state.args[-1].literal_value
        return super().compile_extra(function)


# Steps are called by compiled code only: a door for Python or C in each would take a third of the compiler's time.
_STEP = {"nogil": True, "error_model": "numpy", "_nrt": False, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function):
    """Compile a step of a kernel into its caller."""
    return numba.njit(forceinline=True, pipeline_class=_StepCompiler, **_STEP)(function)


def outlined(function):
    """Compile a step that few commands take on its own, so that the path of the many stays short."""
    return numba.njit(pipeline_class=_StepCompiler, **_STEP)(function)


def step(function):
    """Compile a step that both paths take. Its last parameter, `plain`, is literal and says which path it is.

    True, the fast path: compiled into its caller. False, the general path: compiled on its own. The branches of the other
    path are dropped before types are looked at.
    """
    return numba.njit(pipeline_class=_TwoPathCompiler, **_STEP)(function)


def direct(compiled, *arguments):
    """What a kernel is called by for arguments of just these types, which nobody finds out or checks any more.

    To find out the types of a book and a ledger takes ten times as long as the call. Only for a caller that makes all of
    its arguments itself: another dtype, or an array that is not contiguous, would be read as if it were right.
    """
    if INTERPRETED:
        return compiled
    types_given = tuple(map(numba.typeof, arguments))
    known = compiled.overloads.get(types_given)
    return known.entry_point if known else compiled.compile(types_given)


def compilations() -> int:
    """How many kernel specialisations this process had to compile because no cache held them."""
    if INTERPRETED:
        return 0
    return sum(sum(k.stats.cache_misses.values()) for k in _kernels)


def is_cached() -> bool:
    """Whether all that a process runs before `seal` has been compiled before: of just these sources, at this place, on
    this machine."""
    return INTERPRETED or _complete().exists()


def _complete() -> pathlib.Path:
    """The file that says that the folder lacks no kernel."""
    return pathlib.Path(config.CACHE_DIR) / "complete"


def seal() -> None:
    """Forbid further compilation: from here on an unforeseen type is a TypeError at once, not seconds of silence.

    Call it when every kernel has run once.
    """
    if not INTERPRETED:
        _complete().touch()
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


def rarely(condition):
    """The condition itself, which the compiler takes to be false: what then happens is moved out of the way."""
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
    """At the beginning of a way that is rarely taken: what it needs is read from memory again.

    Else the compiler would keep on the way of the many, in registers or on the stack, all that the rare one might use.
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
    """Begin to load what a row has from `byte` on, as it will be needed soon. Changes nothing, may name any row."""


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
