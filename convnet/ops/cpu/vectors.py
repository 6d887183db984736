"""The micro-kernel of every convolution: a tile of dot products kept in vector registers.

numba's own loops keep sums in memory and so reach a quarter of the processor's speed. This
kernel is therefore written in LLVM's language, with explicit vectors, which LLVM lowers to what
the processor has.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from convnet.ops.cpu.jit import AVX512, LANES

# Sums in a tile. They, a column of vectors and one splat fit into 32 registers, or 16 without
# AVX-512; the vectors of a tile are used by all its rows, and the numbers by all its columns.
ROWS = 8 if AVX512 else 4
FPROP_COLUMNS = 3
WGRAD_COLUMNS = 2

_INDEX = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_FIRST_LANE = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


def _tile(panel_count: int, source_count: int, vector_panel: bool) -> Any:
    """A micro-kernel tile(panel, panel_start, source, starts, first, offsets, out):

        out[(i * source_count + j) * LANES + lane] = sum over r of
            panel(r, i) * source[starts[first + j] + offsets[r]]

    for i < panel_count, j < source_count. r runs over `offsets`. panel(r, i) is element
    r * panel_count + i of the part of `panel` that begins at panel_start. One factor is a
    vector of LANES consecutive numbers, in units of which it is counted, and the other is a
    single number: if `vector_panel` the panel holds the vectors, else the source does.
    All arrays are flat: float32, but int64 `starts` and int32 `offsets`.
    """

    @intrinsic
    def tile(typing, panel, panel_start, source, starts, first, offsets, out):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, args):  # type: ignore[no-untyped-def]
            panel, source, starts, offsets, out = (
                context.make_array(signature.args[i])(context, builder, args[i])
                for i in (0, 2, 3, 5, 6)
            )
            panel_start, first = args[1], args[4]
            multiply_add = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(_VECTOR, [_VECTOR] * 3),
                f"llvm.fmuladd.v{LANES}f32",
            )

            def element(pointer, index):  # type: ignore[no-untyped-def]
                return builder.gep(pointer, [index], inbounds=True)

            def vector(pointer):  # type: ignore[no-untyped-def]
                return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)

            def splat(pointer):  # type: ignore[no-untyped-def]
                undefined = ir.Constant(_VECTOR, ir.Undefined)
                number = builder.insert_element(
                    undefined, builder.load(pointer), ir.Constant(ir.IntType(32), 0)
                )
                return builder.shuffle_vector(number, undefined, _FIRST_LANE)

            load_panel, load_source = (vector, splat) if vector_panel else (splat, vector)
            panel_step = LANES if vector_panel else 1
            sources = [
                element(
                    source.data,
                    builder.load(element(starts.data, builder.add(first, _INDEX(j)))),
                )
                for j in range(source_count)
            ]

            before = builder.block
            loop = builder.append_basic_block("tile.loop")
            after = builder.append_basic_block("tile.after")
            some = builder.icmp_signed(">", offsets.nitems, _INDEX(0))
            builder.cbranch(some, loop, after)

            builder.position_at_end(loop)
            r = builder.phi(_INDEX)
            sums = [builder.phi(_VECTOR) for _ in range(panel_count * source_count)]
            offset = builder.sext(builder.load(element(offsets.data, r)), _INDEX)
            row = builder.add(panel_start, builder.mul(r, _INDEX(panel_count * panel_step)))
            columns = [load_source(element(pointer, offset)) for pointer in sources]
            results = []
            for i in range(panel_count):
                factor = load_panel(element(panel.data, builder.add(row, _INDEX(i * panel_step))))
                for j in range(source_count):
                    total = sums[i * source_count + j]
                    results.append(builder.call(multiply_add, [factor, columns[j], total]))
            next_r = builder.add(r, _INDEX(1))
            builder.cbranch(builder.icmp_signed("<", next_r, offsets.nitems), loop, after)
            r.add_incoming(_INDEX(0), before)
            r.add_incoming(next_r, loop)

            builder.position_at_end(after)
            zero = ir.Constant(_VECTOR, [0.0] * LANES)
            for k, (total, result) in enumerate(zip(sums, results, strict=True)):
                total.add_incoming(zero, before)
                total.add_incoming(result, loop)
                final = builder.phi(_VECTOR)
                final.add_incoming(zero, before)
                final.add_incoming(result, loop)
                results[k] = final
            for k, final in enumerate(results):
                place = builder.bitcast(element(out.data, _INDEX(k * LANES)), _VECTOR.as_pointer())
                builder.store(final, place, align=4)
            return context.get_dummy_value()

        signature = types.void(panel, panel_start, source, starts, first, offsets, out)
        return signature, generate

    return tile


# Sums of images, a vector of them per filter (panel) and pixel (source).
fprop_tile = _tile(ROWS, FPROP_COLUMNS, vector_panel=False)
# Sums of weight gradients, a vector of filters (panel) per tap (source).
wgrad_tile = _tile(WGRAD_COLUMNS, ROWS, vector_panel=True)
