"""What nets ask to be compiled, found without compiling anything."""

from __future__ import annotations

from convnet.inspection.instances import (
    NotingDriver,
    all_instances,
    kernel_names,
    note_step,
    shipped_instances,
)
from convnet.layer_types.base import CHECK
from tests.helpers import make_graph
from tests.inspection.helpers import SOURCES
from tests.test_shipped_nets import NETS


def test_names_of_kernels(tmp_path):
    (tmp_path / "some.cu").write_text(
        'extern "C" __global__ void one(int) {}\n'
        'extern "C" __global__ void __launch_bounds__(N * (2 + 1)) two(int) {}\n'
        'extern "C" __global__ __launch_bounds__(64)\nvoid three(int) {}\n'
    )
    assert list(kernel_names("some", tmp_path)) == ["one", "two", "three"]


def test_files_of_which_nothing_was_noted_are_compiled_too():
    assert [str(i) for i in all_instances([], SOURCES)] == ["accesses", "bugs", "good", "too_large"]


NET = """
[data]
type=data
dataIdx=0
[labels]
type=data
dataIdx=1
[one]
type=conv
inputs=data
channels=2
filters=40
filterSize=3
initW=0.1
[pool]
type=pool
inputs=one
channels=40
sizeX=2
stride=1
pool=max
[two]
type=conv
inputs=pool
channels=40
filters=40
filterSize=3
initW=0.1
[fc]
type=fc
inputs=two
outputs=4
initW=0.1
[probs]
type=softmax
inputs=fc
[cost]
type=cost.logreg
inputs=labels,probs
"""


def note(mini, mode=CHECK):
    driver = NotingDriver()
    note_step(driver, make_graph(NET, shapes=((2, 9, 9), (1, 1, 1))), "net", mini, mode)
    return {str(i): i for i in driver.noted.values()}


def test_a_step_is_noted():
    noted = note(mini=512)
    assert noted.keys() >= {"convolution net one", "convolution net two", "convolution net fc"}
    one, two = noted["convolution net one"], noted["convolution net two"]
    assert (one.constants["CHANNELS"], two.constants["CHANNELS"]) == (2, 40)
    # The data need no gradient.
    assert one.threads == {"fprop": 128, "wgrad": 64}
    assert two.threads == {"fprop": 64, "wgrad": 64, "dgrad": 64}
    assert not one.launches("dgrad")
    assert one.block("fprop") == 128
    # Files without constants have one instance, of which any kernel may come.
    assert noted["costs"].launches("hinge_cost")
    assert noted["costs"].block("hinge_cost") == 256
    assert noted["pooling net pool"].threads.keys() == {"max_fprop", "max_bprop"}


def test_minibatches_that_are_no_multiple_of_four_are_others():
    for mini, quads in ((8, 1), (7, 0)):
        assert note(mini)["convolution net one"].constants["IMAGE_QUADS"] == quads


def test_the_shipped_nets():
    """Each is noted, or asks for nothing that one before it did not."""
    found = shipped_instances()
    nets = {i.name.split()[0] for i in found if i.constants}
    assert nets - {"mnist-quick-of-127"} <= {name for name, _, _ in NETS}
    assert {"cifar10-11pct", "imagenet-1gpu", "imagenet-vgg11", "tiny-imagenet"} <= nets
    assert {i.constants["IMAGE_QUADS"] for i in found if i.file == "convolution"} == {0, 1}
    keys = [(i.file, *sorted(i.constants.items())) for i in found]
    assert len(keys) == len(set(keys))
    for instance in found:
        assert set(instance.threads) <= set(kernel_names(instance.file))
