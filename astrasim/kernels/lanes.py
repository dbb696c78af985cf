"""Sixteen numbers at a time: the loops of perception, written as LLVM's own vectors.

LLVM finds such loops in Python by itself, but takes them 64 numbers at a time and what is left over one by one, and a
look around has 20 to 50 candidates: nearly all would be left over. Every processor runs these; one whose vectors are
shorter takes two or four instructions for one, and brings all candidates together, not only those in reach.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import llvmlite.binding
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
        before, row_before = builder.load(best), builder.load(best_row)
        better, equal = builder.icmp_signed("<", key, before), builder.icmp_signed("==", key, before)
        lower = builder.select(equal, _min(builder, row, row_before), row_before)
        builder.store(builder.select(better, row, lower), best_row)
        builder.store(_min(builder, key, before), best)
    lanes = builder.load(best)
    least = _least(builder, lanes)
    ties = builder.icmp_signed("==", lanes, _all(builder, least, _INTS))
    lowest = _least(builder, builder.select(ties, builder.load(best_row), never))
    return context.make_tuple(builder, signature.return_type, [builder.load(count), least, lowest])


def _signature(xs: Any, ys: Any, rows: Any, keys: Any) -> Any:
    f, i = types.float32, types.int64
    return types.UniTuple(types.int32, 3)(xs, ys, rows, keys, i, i, f, f, f, types.int32)


@intrinsic
def nearest_among(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any
) -> Any:
    """Of the candidates first..last, at (xs, ys), those at most the root of ``limit`` away from (x, y); but not ``me``.

    Returns:
        How many there are, the least of their keys, which are the bits of squared distances, and the lowest row that
        has it; NEVER if there are none. ``last`` is rounded up to whole LANES: what lies there must be no number.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=False)

    return _signature(xs, ys, rows, keys), generate


@intrinsic
def least_among(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, x: Any, y: Any, limit: Any, me: Any
) -> Any:
    """As :func:`nearest_among`, with ``keys`` in the distances' place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _scan(context, builder, signature, arguments, keyed=True)

    return _signature(xs, ys, rows, keys), generate


def _can_compress(context: Any) -> bool:
    """Whether the processor moves chosen lanes together in one instruction, and this LLVM can say so."""
    _, _, features = context.codegen().magic_tuple()
    return "+avx512f" in features and llvmlite.binding.llvm_version_info >= (20,)


@intrinsic
def bring_together(
    typing: Any, xs: Any, ys: Any, rows: Any, keys: Any, first: Any, last: Any, near_x: Any, near_y: Any,
    near_rows: Any, near_keys: Any, at: Any, low_x: Any, high_x: Any, low_y: Any, high_y: Any, limit: Any, keyed: Any,
) -> Any:  # fmt: skip
    """Append the candidates first..last to the arrays ``near_...``, which hold ``at`` of them; returns how many now.

    Left out are those farther than the root of ``limit`` from every point of the box, where the processor is quick at
    that; and the keys, where they are not ``keyed``. Up to LANES elements behind the last are overwritten.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sources, first, last, targets = arguments[:4], arguments[4], arguments[5], arguments[6:10]
        low_x, high_x, low_y, high_y, limit = (_all(builder, value, _FLOATS) for value in arguments[11:16])
        zero = ir.Constant(_FLOATS, [ir.Constant(ir.FloatType(), 0.0)] * LANES)
        lane = ir.Constant(_INTS, [ir.Constant(_I32, number) for number in range(LANES)])
        compress = _can_compress(context)
        end = cgutils.alloca_once_value(builder, arguments[10])

        def outside(position: Any, low: Any, high: Any) -> Any:
            """How far outside low..high; rounded as a distance to anyone inside is, so never more than that."""
            under, over = builder.fsub(low, position), builder.fsub(position, high)
            more = builder.select(builder.fcmp_ordered(">", under, over), under, over)
            return builder.select(builder.fcmp_ordered("<", more, zero), zero, more)  # what is no number stays it

        with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, LANES), intp=_I64) as (here, _):
            x = _load(context, builder, signature.args[0], sources[0], here, _FLOATS)
            y = _load(context, builder, signature.args[1], sources[1], here, _FLOATS)
            to, left = builder.load(end), builder.sub(last, here)
            if compress:
                dx, dy = outside(x, low_x, high_x), outside(y, low_y, high_y)
                d2 = builder.fadd(builder.fmul(dx, dx), builder.fmul(dy, dy))
                chosen = builder.icmp_signed("<", lane, _all(builder, builder.trunc(left, _I32), _INTS))
                chosen = builder.and_(builder.fcmp_ordered("<=", d2, limit), chosen)
                number = builder.zext(builder.ctpop(builder.bitcast(chosen, _I16)), _I64)
            else:
                few = builder.icmp_signed("<", left, ir.Constant(_I64, LANES))
                number = builder.select(few, left, ir.Constant(_I64, LANES))

            def put(which: int, value: Any, vector: Any, letter: str) -> None:
                if compress:
                    function = cgutils.get_or_insert_function(
                        builder.module,
                        ir.FunctionType(vector, [vector, ir.VectorType(ir.IntType(1), LANES), vector]),
                        f"llvm.experimental.vector.compress.v{LANES}{letter}32",
                    )
                    value = builder.call(function, [value, chosen, ir.Constant(vector, ir.Undefined)])
                pointer = _pointer(context, builder, signature.args[6 + which], targets[which], to, vector)
                builder.store(value, pointer, align=4)

            put(0, x, _FLOATS, "f")
            put(1, y, _FLOATS, "f")
            put(2, _load(context, builder, signature.args[2], sources[2], here, _INTS), _INTS, "i")
            with builder.if_then(arguments[16]):
                put(3, _load(context, builder, signature.args[3], sources[3], here, _INTS), _INTS, "i")
            builder.store(builder.add(to, number), end)
        return builder.load(end)

    f, i = types.float32, types.int64
    return i(xs, ys, rows, keys, i, i, near_x, near_y, near_rows, near_keys, i, f, f, f, f, f, types.boolean), generate


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
