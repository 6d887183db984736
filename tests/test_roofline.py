"""The least time of each call on a GPU, and what tiles add to its work."""

from __future__ import annotations

import pytest

from convnet import cli, roofline
from convnet.geometry import Window
from convnet.ops.cuda.tiles import Tile, products
from convnet.plan import Call, Part, new_buffer
from convnet.roofline import BF16, FP32, GPUS, TF32, floor, product_of, tiling
from tests.train.helpers import SHAPE, Workplace

A100 = GPUS["a100"]


def fc_call(op: str = "fc_fprop", inputs: int = 4096, outputs: int = 1000) -> Call:
    weights = new_buffer("w", (inputs, outputs), per_case=False)
    x, y = new_buffer("x", (inputs,)), new_buffer("y", (outputs,))
    if op == "fc_wgrad":
        return Call(op, {"inputs": x, "acts_grad": y, "weights_grad": weights})
    return Call(op, {"inputs": x, "weights": weights, "acts": y})


def test_the_slower_of_operations_and_bytes_is_the_floor():
    flops = 2 * 4096 * 1000 * 128
    size = 4 * (4096 * 1000 + 5096 * 128)
    for precision, bound in ((FP32, "flops"), (TF32, "bytes"), (BF16, "bytes")):
        f = floor(fc_call(), 128, A100, precision)
        assert (f.flops, f.bytes, f.bound) == (flops, size, bound)
        assert f.seconds == max(flops / A100.flops[precision], size / 1.555e12)
    half = Call(fc_call().op, fc_call().args, Part(0, 1, 2))
    assert floor(half, 128, A100).flops == flops // 2


def test_what_computes_little_is_bound_by_bytes():
    array = new_buffer("x", (1000,))
    f = floor(Call("dropout", {"inputs": array, "acts": array}), 10, A100)
    assert (f.flops, f.bytes, f.bound) == (0, 4 * 2 * 10000, "bytes")
    assert tiling(f.call, 10, 108) is None


def test_products_of_calls():
    g = Window(8, 6, 6, 16, 3)
    for kind in ("conv", "local"):
        for direction in ("fprop", "dgrad", "wgrad"):
            expected = products(g, kind == "local", 20)[direction]
            assert product_of(Call(f"{kind}_{direction}", {"g": g}), 20) == expected
    fc = products(Window(4096, 1, 1, 1000, 1), False, 20)
    assert product_of(fc_call(), 20) == fc["fprop"]
    assert product_of(fc_call("fc_wgrad"), 20) == fc["wgrad"]
    assert product_of(Call("pool_max_fprop", {}), 20) is None
    assert product_of(Call("dropconnect_fprop", {}), 20) is None


def test_waste_of_tiles():
    """72 of 80 terms, 40 of 64 rows; every column exists."""
    call = Call("conv_fprop", {"g": Window(8, 32, 32, 40, 3, padding=1)})
    tiles = tiling(call, 128, 1)
    assert tiles is not None
    assert tiles.cut.tile in (Tile(64, 128), Tile(64, 64))
    assert tiles.useful == pytest.approx(72 / 80 * 40 / 64)
    columns = 32 * 32 * 128
    across = columns // tiles.cut.tile.columns
    assert tiles.copied == 4 * 80 * (across * 40 + columns)


@pytest.fixture
def arguments(tmp_path):
    place = Workplace(tmp_path)
    return [
        f"--layer-def={place.definition}",
        f"--layer-params={place.parameters}",
        f"--input-shape={'x'.join(map(str, SHAPE))}",
        "--mini=8",
    ]


def test_a_row_for_each_call(arguments, capsys):
    assert cli.main(["kernels", "roofline", *arguments, "--device=h100", "--precision=tf32"]) == 0
    header, *rows, whole, peak = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["layer", "operation", "bound", "us"]
    names = [row.split()[1:3] for row in rows]
    assert names[0] == ["conv", "conv_fprop"]
    assert ["fc", "sgd"] in names
    assert whole.split()[:2] == ["whole", "step"]
    assert peak == (
        "at the peaks of the H100: 494 TFLOP/s (tf32), 3350 GB/s; arithmetic, not run on a GPU"
    )
    assert cli.main(["kernels", "roofline", *arguments, "--test=1"]) == 0
    assert "sgd" not in capsys.readouterr().out


def test_parts_of_a_sum_stand_beside_the_tile():
    call = Call("conv_wgrad", {"g": Window(64, 28, 28, 64, 3, padding=1)})
    tiles = tiling(call, 128, A100.multiprocessors)
    assert tiles is not None
    (rows, columns), parts = tiles.cut
    assert roofline._tile_cells(tiles)[0] == f"{rows}x{columns} /{parts}"


def test_counts_of_a_step(arguments, capsys):
    """Sectors that are stored are whole: 8 images."""
    assert cli.main(["kernels", "count", *arguments, "--test=1"]) == 0
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header[:4] == ["kernel", "memory", "kind", "bytes"]
    stores = [row for row in rows if row[:3] == ["fprop", "global", "store"]]
    assert stores
    assert all(row[6] == "1.00" for row in stores)
