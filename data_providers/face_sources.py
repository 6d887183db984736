"""Where faces are found: folders and packs, which may have parts to train and to test on."""

from __future__ import annotations

from pathlib import Path

from data_providers.errors import DataError
from data_providers.face_packs import pack_faces, pack_files
from data_providers.face_sets import FaceSet, tree_faces, without_pictures
from data_providers.mxnet_records import record_faces
from data_providers.verification_bin import verification_faces

ATTRIBUTES = "attributes.csv"


def open_faces(path: Path, *, thorough: bool = False) -> FaceSet:
    """The pictures of a tree PERSON/picture.*, of a pack, or of a file of ArcFace's data sets.

    Args:
        path: a folder; or, with or without the suffix, NAME.rec or NAME.bin with NAME.idx; or
            NAME.bin without it, which holds pairs.
        thorough: check everything for which there is a checksum.
    Raises: DataError if there is none of these, it cannot be read, or a person has no picture.
    """
    if path.is_dir():
        faces = tree_faces(path)
        for person in without_pictures(path, faces.label_names):
            raise DataError(
                f"{path / person}: expected pictures of this person, found none; remove it"
            )
        return faces
    if holds_pairs(path):
        return verification_faces(path)[0]
    if (records := _records(path)).is_file():
        return record_faces(records)
    if not is_pack(path):
        raise DataError(
            f"{path}: expected a folder with pictures as PERSON/NAME.jpg, or a pack with"
            f" {pack_files(path)['bin'].name} and {pack_files(path)['idx'].name}; found neither"
        )
    return pack_faces(path, thorough=thorough)


def _records(path: Path) -> Path:
    return path if path.suffix == ".rec" else path.with_name(f"{path.name}.rec")


def holds_pairs(path: Path) -> bool:
    """Whether `path` is a NAME.bin without NAME.idx, which is no pack but ArcFace's test set."""
    return path.suffix == ".bin" and path.is_file() and not path.with_suffix(".idx").exists()


def is_pack(path: Path) -> bool:
    """Whether `path` is the NAME of a pack, or one of its files."""
    return any(pack_files(path)[suffix].is_file() for suffix in ("bin", "idx"))


def face_parts(path: Path) -> tuple[FaceSet, FaceSet | None]:
    """What is there to train on and to test on; the latter None where all is one set.

    They are told apart by the names train and test or val below `path`, of folders or files.
    People are numbered as in the training part; those in the test part alone come after them.

    Raises: DataError as `open_faces`.
    """
    train, test, val = (_part(path / name) for name in ("train", "test", "val"))
    test = test or val
    if train is None or test is None:
        return open_faces(path), None
    train_faces = open_faces(train)
    return train_faces, open_faces(test).numbered_as(train_faces.label_names)


def _part(path: Path) -> Path | None:
    return path if path.is_dir() or is_pack(path) or _records(path).is_file() else None


def attributes_file(path: Path) -> Path:
    """Where a table with attributes of these faces would be."""
    return path / ATTRIBUTES if path.is_dir() else pack_files(path)["bin"].with_suffix(".csv")
