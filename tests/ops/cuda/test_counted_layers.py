"""The convolutions of shipped ImageNet nets, as the memory of a GPU would see them.

Eight images, cut to five pixels down and across, and fewer channels; tiles and methods are those
that the whole layer takes on an A100. What matters for sectors is where lines of memory begin and
end: at multiples of 8 numbers in both.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from convnet.geometry import Window
from convnet.inspection.instances import MINI
from convnet.neurons import IDENT
from convnet.ops.cuda import convolution_ops, winograd_ops
from convnet.ops.cuda.emulated import EmulatedDriver
from convnet.ops.cuda.ops import CudaOps
from convnet.ops.cuda.tiles import DIRECTIONS, choose, products
from convnet.ops.cuda.winograd_ops import PointPlan, is_faster, point_constants
from docs.generate import net_calls
from tests.helpers import emulated_ops
from tests.ops.check import apply, numbers

A100 = 108  # multiprocessors
IMAGES = 8

# One of each kind that the nets have.
LAYERS = [
    ("AlexNet", "conv1"),  # 11 x 11, stride 4, from colours
    ("AlexNet", "conv2"),  # 5 x 5
    ("AlexNet", "conv3"),  # 3 x 3 by Winograd's method, as the next two
    ("VGG-11", "conv4"),
    ("ResNet-50", "conv2b2"),
    ("VGG-11", "conv1"),  # 3 x 3, from colours
    ("ResNet-50", "conv1"),  # 7 x 7, stride 2, from colours
    ("ResNet-50", "conv2b3"),  # 1 x 1
    ("ResNet-50", "conv3a0"),  # 1 x 1, stride 2
    ("ResNet-50", "conv3a2"),  # 3 x 3, stride 2
]


@cache
def windows(net: str) -> dict[str, Window]:
    return {call.layer: call.args["g"] for call in net_calls(net) if call.op == "conv_fprop"}


def cropped(g: Window) -> Window:
    side = 4 * g.stride + g.filter_size - 2 * g.padding
    sizes = min(g.channels, 32), side, side, min(g.filters, 64)
    return Window(*sizes, g.filter_size, padding=g.padding, stride=g.stride)


@pytest.fixture
def compute_as(monkeypatch):
    """Gives the cropped layer the tiles and methods of the whole one."""

    def compute_as(g: Window, small: Window) -> None:
        whole, part = products(g, False, MINI), products(small, False, IMAGES)
        cuts = {part[d]: choose(whole[d], A100) for d in DIRECTIONS}
        points = {d: PointPlan(g, d, MINI, A100) for d in DIRECTIONS}
        taken = {d: is_faster(points[d]) for d in DIRECTIONS}
        if any(taken.values()):
            for d in DIRECTIONS:
                cuts[PointPlan(small, d, IMAGES, A100).product] = points[d].cut
        for module in (convolution_ops, winograd_ops):
            monkeypatch.setattr(
                module, "choose", lambda p, _: cuts[p]._replace(parts=min(cuts[p].parts, 2))
            )
        monkeypatch.setattr(winograd_ops, "is_faster", lambda plan: taken[plan.direction])

    yield compute_as
    point_constants.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(("net", "layer"), LAYERS)
def test_no_sector_is_wasted(net, layer, compute_as):
    """In all kernels of the three directions; nor do requests meet in a bank.

    Nobody needs the gradient of colours.
    """
    emulated_ops()  # or skips
    g = windows(net)[layer]
    small = cropped(g)
    compute_as(g, small)
    driver, rng = EmulatedDriver("count"), np.random.default_rng(0)
    ops = CudaOps(driver)
    images, acts = (*small.images_shape, IMAGES), (*small.acts_shape, IMAGES)
    pixels, grads = numbers(rng, *images), numbers(rng, *acts)
    filters = numbers(rng, *small.conv_filters_shape)
    given = {"g": small, "images": pixels, "filters": filters}
    apply(ops, "conv_fprop", **given, biases=None, neuron=IDENT, acts=acts)
    if g.channels > 3:
        apply(ops, "conv_dgrad", g=small, filters=filters, acts_grad=grads, images_grad=images)
    shape = small.conv_filters_shape
    apply(ops, "conv_wgrad", g=small, images=pixels, acts_grad=grads, filters_grad=shape)
    kernels = {count.kernel for count in driver.counts}
    assert len(kernels) >= 3  # with that which adds up parts
    for kernel in kernels:
        counts = [count for count in driver.counts if count.kernel == kernel]
        ratio = sum(c.sectors for c in counts) / sum(c.ideal for c in counts)
        print(f"{net} {layer} {kernel}: {ratio:.3f}")  # pytest -s shows them
        assert ratio <= 1.1, kernel
        assert not any(c.conflicts for c in counts), kernel
