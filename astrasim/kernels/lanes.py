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
"""Arrays handed to these are read up to so many elements past the end that they are told."""
NEVER = 0x7FFFFFFF
"""As a key: not among those that count. Above the bits of every float32 but NaN."""

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_INTS, _FLOATS = ir.VectorType(_I32, LANES), ir.VectorType(ir.FloatType(), LANES)


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
    xs, ys, rows, keys, first, last, x, y, limit, me, so_far = arguments
    x_type, y_type, row_type, key_type = signature.args[:4]
    x, y, limit = (_all(builder, value, _FLOATS) for value in (x, y, limit))
    me = _all(builder, me, _INTS)
    never = ir.Constant(_INTS, [ir.Constant(_I32, NEVER)] * LANES)
    lane = ir.Constant(_INTS, [ir.Constant(_I32, number) for number in range(LANES)])
    kept = [
        _pointer(context, builder, signature.args[-1], so_far, ir.Constant(_I64, at), _INTS) for at in (0, LANES)
    ]
    count = cgutils.alloca_once_value(builder, ir.Constant(_I32, 0))
    best, best_row = (cgutils.alloca_once_value(builder, builder.load(pointer, align=4)) for pointer in kept)
    with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, LANES), intp=_I64) as (at, _):
        dx = builder.fsub(_load(context, builder, x_type, xs, at, _FLOATS), x)
        dy = builder.fsub(_load(context, builder, y_type, ys, at, _FLOATS), y)
        d2 = builder.fadd(builder.fmul(dx, dx), builder.fmul(dy, dy))
        row = _load(context, builder, row_type, rows, at, _INTS)
        left = _all(builder, builder.trunc(builder.sub(last, at), _I32), _INTS)
        counts = builder.and_(builder.icmp_signed("!=", row, me), builder.icmp_signed("<", lane, left))
        counts = builder.and_(builder.fcmp_ordered("<=", d2, limit), counts)
        number = builder.ctpop(builder.bitcast(counts, _I16))
        builder.store(builder.add(builder.load(count), builder.zext(number, _I32)), count)
        # The bits of a float32 that is not negative are in the order of its value.
        key = _load(context, builder, key_type, keys, at, _INTS) if keyed else builder.bitcast(d2, _INTS)
        key = builder.select(counts, key, never)
        before, row_before = builder.load(best), builder.load(best_row)
        better, equal = builder.icmp_signed("<", key, before), builder.icmp_signed("==", key, before)
        lower = builder.select(equal, _min(builder, row, row_before), row_before)
        builder.store(builder.select(better, row, lower), best_row)
        builder.store(_min(builder, key, before), best)
    for variable, pointer in zip((best, best_row), kept, strict=True):
        builder.store(builder.load(variable), pointer, align=4)
    return builder.load(count)


def _signature(xs: Any, ys: Any, rows: Any, keys: Any, so_far: Any) -> Any:
    f, i = types.float32, types.int64
    return types.int32(xs, ys, rows, keys, i, i, f, f, f, types.int32, so_far)


@intrinsic
def nearest_among(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any,
    so_far: Any,
) -> Any:  # fmt: skip
    """Count the candidates first..last, at (xs, ys), at most the root of ``limit`` away from (x, y); but not ``me``.

    ``so_far``, of shape (2 * LANES,), keeps the least keys of each lane, the bits of squared distances, and then the
    lowest rows that have them. It starts as NEVER; :func:`best_of` reads it.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=False)

    return _signature(xs, ys, rows, keys, so_far), generate


@intrinsic
def least_among(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any,
    so_far: Any,
) -> Any:  # fmt: skip
    """As :func:`nearest_among`, with ``keys`` in the distances' place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=True)

    return _signature(xs, ys, rows, keys, so_far), generate


@intrinsic
def best_of(typing: Any, so_far: Any) -> Any:
    """(The least key, the lowest row that has it); the key is NEVER if there are none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        best, row = (
            _load(context, builder, signature.args[0], arguments[0], ir.Constant(_I64, at), _INTS) for at in (0, LANES)
        )
        never = ir.Constant(_INTS, [ir.Constant(_I32, NEVER)] * LANES)
        least = _least(builder, best)
        ties = builder.icmp_signed("==", best, _all(builder, least, _INTS))
        lowest = _least(builder, builder.select(ties, row, never))
        return context.make_tuple(builder, signature.return_type, [least, lowest])

    return types.UniTuple(types.int32, 2)(so_far), generate


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
