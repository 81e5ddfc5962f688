"""What kernels need and Python has no word for: bit counts, hints to the compiler and the processor, moves of fields.

Each is a plain Python function, which does the same with NUMBA_DISABLE_JIT=1, and beside it what it is compiled to.
"""

import numba
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.extending import intrinsic, overload
from numba.cpython.unsafe import numbers


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
