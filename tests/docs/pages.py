"""The pages of the documentation, their blocks of code, and a folder to run these in."""

import re
from pathlib import Path

import numpy as np

from data_providers.formats import Batch, write_data_set
from tests.data_providers.helpers import picture_tree
from tests.data_providers.imagenet import write_ilsvrc
from tests.faces.drawn import photographs
from tests.legacy.old import OldNet, old_checkpoint, old_options, write_old

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "layers" / "README.md", *(ROOT / "docs").glob("*.md"))
}


def blocks(page: str, language: str) -> list[str]:
    """The contents of a page's fenced blocks in a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)


def make_workspace(folder: Path) -> None:
    """Fills a folder with what the pages assume: the shipped nets, pictures and prepared data.

    The data are a few random pictures in place of the real ones. They carry the recipe of the
    real ones, so that `python -m convnet data` finds them complete and fetches nothing.
    """
    (folder / "layers").symlink_to(ROOT / "layers")
    (folder / "data").mkdir()
    write_stand_in(folder / "data" / "cifar10", "cifar10", (3, 32, 32), 5, 10000)
    write_stand_in(folder / "data" / "mnist-5k", "mnist-5k", (1, 28, 28), 4, 1000)
    write_ilsvrc(folder / "ilsvrc2012")
    picture_tree(folder / "pictures")
    picture_tree(folder / "faces")
    photographs(folder / "photographs")
    for part, people in (("train", 30), ("test", 10)):
        names = [f"s{number}" for number in range(people)]
        picture_tree(folder / "orl" / part, names, count=10, size=(23, 28))
    for part in ("train", "val"):
        picture_tree(folder / "tiny-imagenet" / part)
    write_old_run(folder / "old-run")
    for kind in ("layers", "params"):
        name = "layers-cifar10-80sec" if kind == "layers" else "layer-params-cifar10-80sec"
        text = (ROOT / "layers" / f"{name}.cfg").read_text()
        (folder / f"old-{kind}.cfg").write_text(text.replace("[conv1]", "[conv1]\nscale = 2"))


def write_old_run(folder: Path) -> None:
    """A run of cuda-convnet2 on CIFAR-10, after two batches."""
    net = OldNet(version=2)
    net.data("data", 0, 3 * 32 * 32)
    net.data("labels", 1, 1)
    net.conv("conv1", "data", [3], 4, [5], [2], stride=4, neuron="relu")
    net.fc("fc10", "conv1", 10)
    net.add("probs", "softmax", "fc10")
    net.logreg("logprob", "labels probs")
    for layer in (net["conv1"], net["fc10"]):  # pixels are up to 255
        layer["weights"][0] *= 0.001
        layer["weightsInc"][0] *= 0
        layer["epsW"], layer["epsB"] = [0.0], 0.0
    content = old_checkpoint(net, epoch=1, batchnum=2, train_outputs=[], test_outputs=[])
    options = old_options(2, train_batch_range=[1, 2, 3, 4, 5], test_batch_range=[6])
    write_old(folder / "1.2", content | {"op": options})


def write_stand_in(
    out: Path, name: str, shape: tuple[int, int, int], train_batches: int, batch_size: int
) -> None:
    """Training batches and one test batch of six pictures each."""
    rng = np.random.default_rng(0)
    batches = [
        Batch(
            rng.integers(0, 256, (int(np.prod(shape)), 6), dtype=np.uint8),
            rng.integers(0, 10, 6, dtype=np.int32),
            training=number <= train_batches,
        )
        for number in range(1, train_batches + 2)
    ]
    write_data_set(
        out,
        batches,
        shape=shape,
        label_names=tuple("0123456789"),
        recipe=f"{name}, size 0, batches of {batch_size}, test 0.2, seed 0",
        source="random numbers",
        report=lambda line: None,
    )
