"""The least time of each call on a GPU, and what tiles add to its work."""

from __future__ import annotations

import pytest

from convnet import cli
from convnet.geometry import Window
from convnet.ops.cuda.tiles import Cut, Tile, choose, products
from convnet.plan import Call, Part, new_buffer
from convnet.roofline import BF16, FP32, GPUS, TF32, Tiling, floor, tiling
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
            images, acts = new_buffer("x", g.images_shape), new_buffer("y", g.acts_shape)
            call = Call(f"{kind}_{direction}", {"g": g, "images": images, "acts": acts})
            product = products(g, kind == "local", 20)[direction]
            tiles = tiling(call, 20, 108)
            assert tiles is not None
            assert tiles.cut == choose(product, 108)
            assert tiles.copied == product.bytes_copied(tiles.cut.tile)
    fc = products(Window(4096, 1, 1, 1000, 1), False, 20)
    for direction in ("fprop", "wgrad"):
        tiles = tiling(fc_call(f"fc_{direction}"), 20, 108)
        assert tiles is not None
        assert tiles.cut == choose(fc[direction], 108)
    for op in ("pool_max_fprop", "dropconnect_fprop"):
        assert tiling(Call(op, {}), 20, 108) is None


@pytest.mark.parametrize("direction", ["fprop", "dgrad", "wgrad"])
def test_winograds_method_needs_fewer_multiplications(direction):
    """36 for 4 x 4 outputs, where the formula has 144; and 28 x 28 pixels are 7 x 7 such tiles."""
    call = Call(f"conv_{direction}", {"g": Window(128, 28, 28, 128, 3, padding=1)})
    tiles = tiling(call, 128, A100.multiprocessors)
    assert tiles is not None
    assert tiles.winograd
    assert tiles.useful == pytest.approx(4, rel=0.01)
    on_tensor_cores = tiling(call, 128, A100.multiprocessors, TF32)
    assert on_tensor_cores is not None
    assert not on_tensor_cores.winograd
    assert on_tensor_cores.useful == pytest.approx(1, rel=0.01)


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


def test_a_tile_and_the_parts_of_its_sums():
    assert str(Tiling(True, Cut(Tile(64, 128), 3), 1.0, 0)) == "W 64x128 /3"
    assert str(Tiling(False, Cut(Tile(64, 32)), 1.0, 0)) == "64x32"


def test_counts_of_a_step(arguments, capsys):
    """Sectors that are stored are whole: 8 images."""
    assert cli.main(["kernels", "count", *arguments, "--test=1"]) == 0
    header, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header[:4] == ["kernel", "memory", "kind", "bytes"]
    stores = [row for row in rows if row[:3] == ["fprop", "global", "store"]]
    assert stores
    assert all(row[6] == "1.00" for row in stores)
