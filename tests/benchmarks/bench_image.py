"""How many JPEGs a second the provider `image` gives, beside plain Pillow.

    python tests/benchmarks/bench_image.py [--images 768] [--repeats 5]

The images are synthetic, 256 x 256, and about as large as those of ImageNet, 30 kB. They are
cropped to 224 x 224 with colour noise; plain Pillow only decodes them. The best of the repeats
counts.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from data_providers import ProviderOptions, create, jpegs
from data_providers.formats import JPEG, Index, write_index, write_tensors
from data_providers.jpeg_batches import JpegBatch

SIDE = 256


def synthetic(seed: int) -> bytes:
    """A JPEG of smooth colours and some noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    noisy = np.clip(smooth + rng.normal(0, 5, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(noisy).save(out, "JPEG", quality=95)
    return out.getvalue()


def write_batch(folder: Path, contents: list[bytes]) -> None:
    labels = [np.zeros(1, np.int32)] * len(contents)
    tensors = JpegBatch(contents, labels).tensors()
    entry = write_tensors(folder / "data_batch_0.safetensors", tensors, len(contents))
    mean = {
        "mean": np.full((3 * SIDE * SIDE, 1), 128, np.float32),
        "pca_deviations": np.array([20, 37, 122], np.float32),
        "pca_directions": np.eye(3, dtype=np.float32),
    }
    mean_entry = write_tensors(folder / "mean.safetensors", mean, 1)
    index = Index("bench", "bench", ("x",), (3, SIDE, SIDE), mean_entry, {0: entry}, JPEG)
    write_index(folder, index)


def rate(images: int, repeats: int, run: Callable[[], object]) -> float:
    """Images per second."""
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - start)
    return images / best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    contents = [synthetic(seed) for seed in range(args.images)]
    kilobytes = sum(map(len, contents)) / len(contents) / 1000
    print(
        f"{platform.processor() or platform.machine()}, {args.images} images of {kilobytes:.0f} kB"
    )
    decoders = {"Pillow": None} | ({"simplejpeg": jpegs.simplejpeg} if jpegs.simplejpeg else {})

    def plain_pillow() -> None:
        for content in contents:
            with Image.open(io.BytesIO(content)) as picture:
                np.asarray(picture.convert("RGB"))

    with tempfile.TemporaryDirectory() as name:
        write_batch(Path(name), contents)
        options = ProviderOptions(inner_size=224, color_noise=0.1)
        provider = create("image", Path(name), [0], options, test=False)
        cores = os.sched_getaffinity(0)
        for used in ({min(cores)}, cores):
            os.sched_setaffinity(0, used)
            label = f"{len(used)} core{'s' * (len(used) > 1)}"
            if len(used) == 1:
                found = rate(args.images, args.repeats, plain_pillow)
                print(f"{label}: {found:6.0f} images/s, Pillow alone, decoding only")
            for decoder, module in decoders.items():
                jpegs.simplejpeg = module
                found = rate(args.images, args.repeats, lambda: provider.load(0, 1))
                print(f"{label}: {found:6.0f} images/s, the provider with {decoder}")


if __name__ == "__main__":
    main()
