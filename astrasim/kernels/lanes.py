"""Sixteen numbers at a time: the two loops of perception, written as LLVM's own vectors.

LLVM finds such loops in Python by itself, but takes them 64 numbers at a time and what is left over one by one, and a
look around has 20 to 50 candidates: nearly all would be left over. Every processor runs these; one whose vectors are
shorter takes two or four instructions for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numba.extending
from llvmlite import ir
from numba.core import cgutils as _cgutils

types: Any = numba.types
cgutils: Any = _cgutils
intrinsic: Callable[[Callable[..., Any]], Callable[..., Any]] = numba.extending.intrinsic

LANES = 16
"""Arrays handed to these are read and written up to so many elements past the end that they are told."""
NEVER = 0x7FFFFFFF
"""As a key: not among those that count. Above the bits of every float32 but NaN."""

_I1, _I16, _I32, _I64, _F32 = ir.IntType(1), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()
_INTS, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(_F32, LANES)


def _all(builder: Any, value: Any, vector: Any) -> Any:
    """``value`` in every lane."""
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    return builder.shuffle_vector(
        one, ir.Constant(vector, ir.Undefined), ir.Constant(_INTS, [ir.Constant(_I32, 0)] * LANES)
    )


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _load(context: Any, builder: Any, array_type: Any, array: Any, at: Any, vector: Any) -> Any:
    return builder.load(_pointer(context, builder, array_type, array, at, vector), align=4)


def _least(builder: Any, vector: Any) -> Any:
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(_I32, [_INTS]), f"llvm.vector.reduce.smin.v{LANES}i32"
    )
    return builder.call(function, [vector])


def _min(builder: Any, a: Any, b: Any) -> Any:
    return builder.select(builder.icmp_signed("<", a, b), a, b)


def _scan(context: Any, builder: Any, signature: Any, arguments: Any, keyed: bool) -> Any:
    xs, ys, rows, keys, first, last, x, y, limit, me = arguments
    x_type, y_type, row_type, key_type = signature.args[:4]
    x, y, limit = (_all(builder, value, _FLOATS) for value in (x, y, limit))
    me = _all(builder, me, _INTS)
    never = ir.Constant(_INTS, [ir.Constant(_I32, NEVER)] * LANES)
    count = cgutils.alloca_once_value(builder, ir.Constant(_I32, 0))
    best, best_row = (cgutils.alloca_once_value(builder, never) for _ in range(2))
    with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, LANES), intp=_I64) as (at, _):
        dx = builder.fsub(_load(context, builder, x_type, xs, at, _FLOATS), x)
        dy = builder.fsub(_load(context, builder, y_type, ys, at, _FLOATS), y)
        d2 = builder.fadd(builder.fmul(dx, dx), builder.fmul(dy, dy))
        row = _load(context, builder, row_type, rows, at, _INTS)
        counts = builder.and_(builder.fcmp_ordered("<=", d2, limit), builder.icmp_signed("!=", row, me))
        number = builder.ctpop(builder.bitcast(counts, _I16))
        builder.store(builder.add(builder.load(count), builder.zext(number, _I32)), count)
        # The bits of a float32 that is not negative are in the order of its value.
        key = _load(context, builder, key_type, keys, at, _INTS) if keyed else builder.bitcast(d2, _INTS)
        key = builder.select(counts, key, never)
        so_far, row_so_far = builder.load(best), builder.load(best_row)
        better, equal = builder.icmp_signed("<", key, so_far), builder.icmp_signed("==", key, so_far)
        lower = builder.select(equal, _min(builder, row, row_so_far), row_so_far)
        builder.store(builder.select(better, row, lower), best_row)
        builder.store(_min(builder, key, so_far), best)
    least = _least(builder, builder.load(best))
    ties = builder.icmp_signed("==", builder.load(best), _all(builder, least, _INTS))
    row = _least(builder, builder.select(ties, builder.load(best_row), never))
    return context.make_tuple(builder, signature.return_type, [builder.load(count), least, row])


_SCANNED = types.UniTuple(types.int32, 3)


def _signature(xs: Any, ys: Any, rows: Any, keys: Any) -> Any:
    f, i = types.float32, types.int64
    return _SCANNED(xs, ys, rows, keys, i, i, f, f, f, types.int32)


@intrinsic
def nearest_of(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any
) -> Any:
    """Of the candidates first..last, at (xs, ys), those at most the root of ``limit`` away from (x, y), but ``me``.

    Last is the end in whole groups of LANES; candidates that fill up the last group have no number for x.

    Returns:
        (how many, the bits of the least squared distance, the lowest row at it); the bits are NEVER if there are none.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=False)

    return _signature(xs, ys, rows, keys), generate


@intrinsic
def least_of(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any
) -> Any:
    """As :func:`nearest_of`, with ``keys`` in the distances' place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=True)

    return _signature(xs, ys, rows, keys), generate


@intrinsic
def copy_all(
    typing: Any, rows: Any, xs: Any, ys: Any, first: Any, last: Any, to_rows: Any, to_xs: Any, to_ys: Any, at: Any
) -> Any:
    """``to_rows[at : at + last - first] = rows[first:last]``, and some more behind it; so for xs and ys."""
    i = types.int64
    signature = types.void(rows, xs, ys, i, i, to_rows, to_xs, to_ys, i)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *sources, first, last, to_rows, to_xs, to_ys, at = arguments
        shift = builder.sub(at, first)
        with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, LANES), intp=_I64) as (k, _):
            from_ = zip(signature.args[:3], sources, strict=True)
            numbers = [_load(context, builder, kind, array, k, _INTS) for kind, array in from_]
            to = builder.add(k, shift)
            for kind, array, value in zip(signature.args[5:8], (to_rows, to_xs, to_ys), numbers, strict=True):
                builder.store(value, _pointer(context, builder, kind, array, to, _INTS), align=4)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def fetch(typing: Any, array: Any, at: Any) -> Any:
    """Have element ``at`` of the flat ``array`` brought near the processor, as it will soon be read."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte = ir.IntType(8)
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1], byte)
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte.as_pointer(), _I32, _I32, _I32]), "llvm.prefetch.p0"
        )
        builder.call(function, [pointer, *(ir.Constant(_I32, hint) for hint in (0, 2, 1))])  # to read, into L2, data
        return context.get_dummy_value()

    return types.void(array, types.int64), generate
