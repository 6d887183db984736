"""The micro-kernel of every convolution: a tile of dot products kept in vector registers.

numba's own loops keep sums in memory and so reach a quarter of the processor's speed. What is
here is therefore written in LLVM's language, with explicit vectors, which LLVM lowers to what
the processor has. Arrays are flat; floats are float32, counts and places int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

from convnet.ops.cpu.jit import AVX512, LANES

intrinsic: Any = extending.intrinsic  # numba's own type hints deny that calls lack `typing`

# Sums in a tile. They, a column of vectors and one splat fit into 32 registers, or 16 without
# AVX-512; the vectors of a tile are used by all its rows, and the numbers by all its columns.
ROWS = 8 if AVX512 else 4
FPROP_COLUMNS = 3
FC_COLUMNS = 2
WGRAD_COLUMNS = 2

_INT32, _INDEX, _BYTE = ir.IntType(32), ir.IntType(64), ir.IntType(8)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_ZERO = ir.Constant(_VECTOR, [0.0] * LANES)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Pointer to element `index` of an array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [index], inbounds=True)


def _as_vector(builder: Any, pointer: Any) -> Any:
    return builder.bitcast(pointer, _VECTOR.as_pointer())


def _splat(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A vector whose lanes all hold `number`."""
    undefined = ir.Constant(ir.VectorType(number.type, lanes), ir.Undefined)
    first = builder.insert_element(undefined, number, _INT32(0))
    zeros = ir.Constant(ir.VectorType(_INT32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def _call(builder: Any, name: str, result: Any, *args: Any) -> Any:
    """Calls LLVM's intrinsic function `name`."""
    kind = ir.FunctionType(result, [arg.type for arg in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _tile(panel_count: int, source_count: int, vector_panel: bool) -> Any:
    """A micro-kernel tile(panel, panel_start, source, starts, first, offsets, out, to):

        out[to + (i * source_count + j) * LANES + lane] = sum over r of
            panel(r, i) * source[starts[first + j] + offsets[r]]

    for i < panel_count, j < source_count. r runs over `offsets` (int32). panel(r, i) is element
    r * panel_count + i of the part of `panel` that begins at panel_start. One factor is a
    vector of LANES consecutive numbers, in units of which it is counted, and the other is a
    single number: if `vector_panel` the panel holds the vectors, else the source does.
    """

    @intrinsic
    def tile(typing, panel, panel_start, source, starts, first, offsets, out, to):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            def element(argument: int, index: Any) -> Any:
                return _address(context, builder, signature.args[argument], args[argument], index)

            def vector(pointer: Any) -> Any:
                return builder.load(_as_vector(builder, pointer), align=4)

            def splat(pointer: Any) -> Any:
                return _splat(builder, builder.load(pointer))

            load_panel, load_source = (vector, splat) if vector_panel else (splat, vector)
            panel_step = LANES if vector_panel else 1
            panel_start, first = args[1], args[4]
            length = context.make_array(signature.args[5])(context, builder, args[5]).nitems
            places = [
                builder.load(element(3, builder.add(first, _INDEX(j)))) for j in range(source_count)
            ]
            sources = [element(2, place) for place in places]

            before = builder.block
            loop = builder.append_basic_block("tile.loop")
            after = builder.append_basic_block("tile.after")
            builder.cbranch(builder.icmp_signed(">", length, _INDEX(0)), loop, after)

            builder.position_at_end(loop)
            r = builder.phi(_INDEX)
            sums = [builder.phi(_VECTOR) for _ in range(panel_count * source_count)]
            offset = builder.sext(builder.load(element(5, r)), _INDEX)
            row = builder.add(panel_start, builder.mul(r, _INDEX(panel_count * panel_step)))
            columns = [load_source(builder.gep(pointer, [offset])) for pointer in sources]
            results = []
            for i in range(panel_count):
                factor = load_panel(element(0, builder.add(row, _INDEX(i * panel_step))))
                for j, column in enumerate(columns):
                    total = sums[i * source_count + j]
                    results.append(
                        _call(builder, f"llvm.fmuladd.v{LANES}f32", _VECTOR, factor, column, total)
                    )
            next_r = builder.add(r, _INDEX(1))
            builder.cbranch(builder.icmp_signed("<", next_r, length), loop, after)
            r.add_incoming(_INDEX(0), before)
            r.add_incoming(next_r, loop)

            builder.position_at_end(after)
            finals = [builder.phi(_VECTOR) for _ in results]
            for k, (total, final, result) in enumerate(zip(sums, finals, results, strict=True)):
                for phi in (total, final):
                    phi.add_incoming(_ZERO, before)
                    phi.add_incoming(result, loop)
                place = builder.add(args[7], _INDEX(k * LANES))
                builder.store(final, _as_vector(builder, element(6, place)), align=4)
            return context.get_dummy_value()

        arguments = (panel, panel_start, source, starts, first, offsets, out, to)
        return types.void(*arguments), generate

    return tile


# Sums of images, a vector of them per filter (panel) and pixel (source).
fprop_tile = _tile(ROWS, FPROP_COLUMNS, vector_panel=False)
# Sums of weight gradients, a vector of filters (panel) per tap (source).
wgrad_tile = _tile(WGRAD_COLUMNS, ROWS, vector_panel=True)
# The same for images of three colours.
COLOURS = 3
colours_tile = _tile(WGRAD_COLUMNS, COLOURS, vector_panel=True)
# The same for fc and local layers, where few vectors of images leave more columns unused.
fc_tile = _tile(ROWS, FC_COLUMNS, vector_panel=False)
# Plain sums, four vectors of them: the panel holds ones.
SUM_COLUMNS = 4
sum_tile = _tile(1, SUM_COLUMNS, vector_panel=False)


@intrinsic
def store_sums(typing, sums, at, bias, low, high, add, acts, to, count):  # type: ignore[no-untyped-def]
    """acts[to + lane] = clamp(sums[at + lane] + bias, or + what acts holds), lane < count.

    Clamping to [low, high] is relu and ident in one; a NaN passes.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        sums, at, bias, low, high, add, acts, to, count = args
        bias, low, high, count = (_splat(builder, number) for number in (bias, low, high, count))
        lane = ir.Constant(ir.VectorType(_INDEX, LANES), list(range(LANES)))
        exists = builder.icmp_signed("<", lane, count)
        held = builder.and_(exists, _splat(builder, builder.trunc(add, ir.IntType(1))))
        source = _as_vector(builder, _address(context, builder, signature.args[0], sums, at))
        target = _as_vector(builder, _address(context, builder, signature.args[6], acts, to))
        name = f"v{LANES}f32.p0"
        old = _call(builder, f"llvm.masked.load.{name}", _VECTOR, target, _INT32(4), held, _ZERO)
        y = builder.fadd(builder.fadd(builder.load(source, align=4), bias), old)
        y = _clamp(builder, y, low, high)
        _call(builder, f"llvm.masked.store.{name}", ir.VoidType(), y, target, _INT32(4), exists)
        return context.get_dummy_value()

    return types.void(sums, at, bias, low, high, add, acts, to, count), generate


@intrinsic
def store_tile(typing, sums, biases, first, low, high, add, acts, to, step):  # type: ignore[no-untyped-def]
    """As store_sums, a whole tile of fprop_tile.

    Row i, with the bias biases[first + i], is stored from acts[to + i * step] on.
    """

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        sums, biases, first, low, high, add, acts, to, step = args
        low, high = _splat(builder, low), _splat(builder, high)

        def element(argument: int, array: Any, index: Any) -> Any:
            return _address(context, builder, signature.args[argument], array, index)

        def store(adds: bool) -> None:
            for i in range(ROWS):
                bias = builder.load(element(1, biases, builder.add(first, _INDEX(i))))
                bias, row = _splat(builder, bias), builder.add(to, builder.mul(step, _INDEX(i)))
                for j in range(FPROP_COLUMNS):
                    at = _INDEX((i * FPROP_COLUMNS + j) * LANES)
                    target = element(6, acts, builder.add(row, _INDEX(j * LANES)))
                    target = _as_vector(builder, target)
                    y = builder.load(_as_vector(builder, element(0, sums, at)), align=4)
                    y = builder.fadd(y, bias)
                    if adds:
                        y = builder.fadd(y, builder.load(target, align=4))
                    builder.store(_clamp(builder, y, low, high), target, align=4)

        with builder.if_else(builder.trunc(add, ir.IntType(1))) as (adding, overwriting):
            with adding:
                store(True)
            with overwriting:
                store(False)
        return context.get_dummy_value()

    return types.void(sums, biases, first, low, high, add, acts, to, step), generate


def _clamp(builder: Any, y: Any, low: Any, high: Any) -> Any:
    y = builder.select(builder.fcmp_ordered("<", y, low), low, y)
    return builder.select(builder.fcmp_ordered(">", y, high), high, y)


def _pack(width: int) -> Any:
    """pack(source, at, count, target, to): target[to + i] = source[at + i], or 0 from count on.

    For i < `width`.
    """
    vector_type = ir.VectorType(ir.FloatType(), width)

    @intrinsic
    def pack(typing, source, at, count, target, to):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            def pointer(argument: int, array: Any, index: Any) -> Any:
                address = _address(context, builder, signature.args[argument], array, index)
                return builder.bitcast(address, vector_type.as_pointer())

            source, at, count, target, to = args
            lane = ir.Constant(ir.VectorType(_INDEX, width), list(range(width)))
            exists = builder.icmp_signed("<", lane, _splat(builder, count, width))
            zeros = ir.Constant(vector_type, [0.0] * width)
            name = f"llvm.masked.load.v{width}f32.p0"
            numbers = (pointer(0, source, at), _INT32(4), exists, zeros)
            vector = _call(builder, name, vector_type, *numbers)
            builder.store(vector, pointer(3, target, to), align=4)
            return context.get_dummy_value()

        return types.void(source, at, count, target, to), generate

    return pack


pack_lanes = _pack(LANES)
pack_row = _pack(ROWS)


@intrinsic
def prefetch(typing, array, index):  # type: ignore[no-untyped-def]
    """Fetches the cache line of array[index], which will be written soon; beyond the end too."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        array, index = args
        data = context.make_array(signature.args[0])(context, builder, array).data
        pointer = builder.gep(data, [index])
        pointer = builder.bitcast(pointer, _BYTE.as_pointer())
        for_write, keep, data_cache = _INT32(1), _INT32(3), _INT32(1)
        _call(builder, "llvm.prefetch.p0", ir.VoidType(), pointer, for_write, keep, data_cache)
        return context.get_dummy_value()

    return types.void(array, index), generate


@intrinsic
def transpose(typing, source, at, step, target, to, target_step):  # type: ignore[no-untyped-def]
    """target[to + i * target_step + j] = source[at + j * step + i] for i, j < LANES."""

    def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source, at, step, target, to, target_step = args

        def row(argument: int, array: Any, start: Any, step: Any, i: int) -> Any:
            index = builder.add(start, builder.mul(step, _INDEX(i)))
            pointer = _address(context, builder, signature.args[argument], array, index)
            return _as_vector(builder, pointer)

        rows = [builder.load(row(0, source, at, step, i), align=4) for i in range(LANES)]
        # Swap the off-diagonal quarters of the matrix, then those of its quarters, and so on.
        half = LANES // 2
        while half:
            low = [j if j & half == 0 else j - half + LANES for j in range(LANES)]
            high = [j + half if j & half == 0 else j + LANES for j in range(LANES)]
            for i in range(LANES):
                if i & half == 0:
                    pair = rows[i], rows[i + half]
                    for k, mask in ((i, low), (i + half, high)):
                        lanes = ir.Constant(ir.VectorType(_INT32, LANES), mask)
                        rows[k] = builder.shuffle_vector(*pair, lanes)
            half //= 2
        for i, vector in enumerate(rows):
            builder.store(vector, row(3, target, to, target_step, i), align=4)
        return context.get_dummy_value()

    return types.void(source, at, step, target, to, target_step), generate


def matrix_transform(matrix: Any) -> Any:
    """The function transform(source, at, row_step, column_step, target, to, step):

        target[to + (i * rows + j) * step + lane] = (M X M^T)(i, j) of each lane

    Here M is `matrix`, with `rows` rows, and X(k, l) the vector that begins at
    source[at + k * row_step + l * column_step].
    """

    @intrinsic
    def transform(typing, source, at, row_step, column_step, target, to, step):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            source, at, row_step, column_step, target, to, step = args
            length = len(matrix[0])

            def load(k: int, n: int) -> Any:
                index = builder.add(at, builder.mul(row_step, _INDEX(k)))
                index = builder.add(index, builder.mul(column_step, _INDEX(n)))
                pointer = _address(context, builder, signature.args[0], source, index)
                return builder.load(_as_vector(builder, pointer), align=4)

            columns = [_apply(builder, matrix, [load(k, n) for k in range(length)])
                       for n in range(length)]  # fmt: skip
            rows = [_apply(builder, matrix, list(row)) for row in zip(*columns, strict=True)]
            for number, vector in enumerate(vector for row in rows for vector in row):
                index = builder.add(to, builder.mul(step, _INDEX(number)))
                pointer = _address(context, builder, signature.args[4], target, index)
                builder.store(vector, _as_vector(builder, pointer), align=4)
            return context.get_dummy_value()

        return types.void(source, at, row_step, column_step, target, to, step), generate

    return transform


def _apply(builder: Any, matrix: Any, vectors: list[Any]) -> list[Any]:
    """The matrix times a column of vectors.

    Zeros cost nothing. Of two columns that differ in signs only, the sum and the difference of
    their vectors are formed once; of two such rows, the sum of what has the same sign in both
    and of what has not.
    """
    matrix, vectors = [list(map(float, row)) for row in matrix], list(vectors)
    for a, b in _alike(zip(*matrix, strict=True)):
        pair = vectors[a], vectors[b]
        vectors[a], vectors[b] = builder.fadd(*pair), builder.fsub(*pair)
        for row in matrix:
            row[a], row[b] = (row[a], 0.0) if row[a] == row[b] else (0.0, row[a])
    results = [None] * len(matrix)
    for a, b in _alike(matrix):
        both = [x if x == y else 0.0 for x, y in zip(matrix[a], matrix[b], strict=True)]
        rest = [x if x != y else 0.0 for x, y in zip(matrix[a], matrix[b], strict=True)]
        pair = _dot(builder, both, vectors), _dot(builder, rest, vectors)
        results[a], results[b] = builder.fadd(*pair), builder.fsub(*pair)
    return [result or _dot(builder, row, vectors)
            for row, result in zip(matrix, results, strict=True)]  # fmt: skip


def _alike(rows: Any) -> list[tuple[int, int]]:
    """Pairs of rows that differ in the signs of some numbers, but not of all."""
    rows = [np.array(row) for row in rows]
    return [
        (a, b)
        for b in range(len(rows))
        for a in range(b)
        if (abs(rows[a]) == abs(rows[b])).all()
        and (rows[a] != rows[b]).any()
        and (rows[a] != -rows[b]).any()
    ]


def _dot(builder: Any, factors: list[float], vectors: list[Any]) -> Any:
    """Sum of factors times vectors; a 1 to begin with costs no product."""
    (factor, total), *others = sorted(
        ((f, v) for f, v in zip(factors, vectors, strict=True) if f), key=lambda term: term[0] != 1
    )
    if factor != 1:
        total = builder.fmul(ir.Constant(_VECTOR, [factor] * LANES), total)
    for factor, vector in others:
        factors = ir.Constant(_VECTOR, [factor] * LANES)
        total = _multiply_add(builder, factors, vector, total)
    return total


def _multiply_add(builder: Any, factor: Any, vector: Any, total: Any) -> Any:
    return _call(builder, f"llvm.fmuladd.v{LANES}f32", _VECTOR, factor, vector, total)
