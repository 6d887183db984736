"""An imitation of the three files of ILSVRC-2012, with few classes and pictures."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from tests.data_providers.jpegs import encoded, picture
from tests.data_providers.matlab import mat_file

# ILSVRC2012_ID, WordNet ID and words; the last is a group of classes.
SYNSETS = [
    (2, "n02", "kit fox, Vulpes macrotis"),
    (1, "n07", "English setter"),
    (3, "n01", "Siberian husky"),
    (4, "n00", "dog"),
]


def tar(files: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def jpeg(seed: int) -> bytes:
    return encoded(picture(seed, (25, 20)), quality=90)


def training_pictures(count: int = 4) -> dict[str, dict[str, bytes]]:
    """By class, then by name."""
    return {
        wnid: {f"{wnid}_{i}.JPEG": jpeg(100 * k + i) for i in range(count + k)}
        for k, (_, wnid, _) in enumerate(SYNSETS[:3])
    }


def devkit_files(truth: list[int]) -> dict[str, bytes]:
    rows = [
        {
            "ILSVRC2012_ID": number,
            "WNID": wnid,
            "words": words,
            "gloss": "what it is",
            "num_children": 2 if wnid == "n00" else 0,
            "children": [1, 2] if wnid == "n00" else [],
        }
        for number, wnid, words in SYNSETS
    ]
    folder = "ILSVRC2012_devkit_t12"
    return {
        f"{folder}/data/meta.mat": mat_file({"synsets": rows}),
        f"{folder}/data/ILSVRC2012_validation_ground_truth.txt": "".join(
            f"{label}\n" for label in truth
        ).encode(),
        f"{folder}/readme.txt": b"read me",
    }


TRUTH = [3, 1, 2, 2, 1, 3, 1]


def validation_pictures() -> dict[str, bytes]:
    return {f"ILSVRC2012_val_{i + 1:08d}.JPEG": jpeg(1000 + i) for i in range(len(TRUTH))}


def write_ilsvrc(
    folder: Path,
    *,
    training: dict[str, dict[str, bytes]] | None = None,
    devkit: dict[str, bytes] | None = None,
) -> Path:
    """Writes the three files; those of validation are in the archive in reverse order."""
    folder.mkdir()
    classes = training_pictures() if training is None else training
    inner = {f"{wnid}.tar": tar(files) for wnid, files in classes.items()}
    (folder / "ILSVRC2012_img_train.tar").write_bytes(tar(inner))
    validation = dict(reversed(validation_pictures().items()))
    (folder / "ILSVRC2012_img_val.tar").write_bytes(tar(validation))
    content = tar(devkit_files(TRUTH) if devkit is None else devkit, "w:gz")
    (folder / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(content)
    return folder
