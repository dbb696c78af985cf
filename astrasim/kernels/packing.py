"""Tables of columns handed to a kernel as one array of numbers.

A kernel that takes a table as a named tuple is handed each of its arrays, three Python objects apiece. All of
planning's are 77 arrays: 10 microseconds a call, and 90 where the rest of the frame has swept the processor's caches,
which is most of what a small unit of work takes. As one array of addresses and shapes they take next to nothing.
"""

from __future__ import annotations

import functools
from typing import Any, get_args, get_type_hints

import numpy as np
from llvmlite import ir
from numba.np import arrayobj as _arrayobj
from numba.np.numpy_support import from_dtype

from .lanes import intrinsic, types

arrayobj: Any = _arrayobj


@functools.cache
def columns_of(kind: Any) -> list[tuple[np.dtype[Any], int]]:
    """The dtype and the number of dimensions of each column of a table, as it is annotated: one dimension, unless the
    annotation says ``ndarray[tuple[int, int], ...]``."""
    found = []
    for annotation in get_type_hints(kind).values():
        shape, dtype = get_args(annotation)
        dimensions = get_args(shape)
        found.append((np.dtype(*get_args(dtype)), 1 if Ellipsis in dimensions or not dimensions else len(dimensions)))
    return found


def pack(table: Any) -> list[int]:
    """The address and the shape of each column. Good for as long as somebody holds the table.

    Raises:
        TypeError: if a column is not what the table's annotation says. A kernel would write to wherever that leads.
    """
    words: list[int] = []
    kind: Any = type(table)
    for name, column, (dtype, dimensions) in zip(table._fields, table, columns_of(kind), strict=True):
        if column.dtype != dtype or column.ndim != dimensions or not column.flags.carray:
            raise TypeError(
                f"{type(table).__name__}.{name} must be a writable array of {dtype} with {dimensions} dimensions, one"
                f" element beside the other; it is {column.dtype} with {column.ndim}, {column.flags}"
            )
        words += [column.__array_interface__["data"][0], *column.shape]
    return words


def unpacks(*kinds: Any) -> Any:
    """What a kernel calls to have tables of these kinds back, in this order, from an array of what :func:`pack` made of
    each, one after the other."""
    tables = [
        types.NamedTuple([types.Array(from_dtype(dtype), n, "C") for dtype, n in columns_of(kind)], kind)
        for kind in kinds
    ]
    returned = types.BaseTuple.from_types(tables)

    @intrinsic
    def unpack(typing: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            at = 0

            def word() -> Any:
                nonlocal at
                at += 1
                return builder.load(builder.gep(data, [ir.Constant(ir.IntType(64), at - 1)]))

            def column(array_type: Any) -> Any:
                array = context.make_array(array_type)(context, builder)
                address, shape = word(), [word() for _ in range(array_type.ndim)]
                itemsize = context.get_abi_sizeof(context.get_data_type(array_type.dtype))
                strides = [ir.Constant(ir.IntType(64), itemsize)]
                for length in shape[:0:-1]:
                    strides.insert(0, builder.mul(strides[0], length))
                pointer = builder.inttoptr(address, array.data.type)
                arrayobj.populate_array(array, pointer, shape, strides, itemsize, None)
                return array._getvalue()

            return context.make_tuple(builder, returned, [
                context.make_tuple(builder, table, [column(each) for each in table.types]) for table in tables
            ])  # fmt: skip

        return returned(words), generate

    return unpack
