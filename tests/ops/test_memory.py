"""Allocation and copies from and to the host."""

from __future__ import annotations

import numpy as np
import pytest

from convnet.ops.base import Ops
from convnet.ops.reference import ReferenceOps


def test_empty(ops: Ops) -> None:
    array = ops.empty(7)
    assert array.shape == (7,)
    assert array.dtype == ops.dtype


def test_empty_of_the_reference_is_nan() -> None:
    assert np.isnan(ReferenceOps(np.float32).empty(7)).all()


@pytest.mark.parametrize("source_dtype", [np.float32, np.float64, np.uint8])
def test_upload_converts_and_download_copies(ops: Ops, source_dtype: type) -> None:
    source = np.arange(6, dtype=source_dtype).reshape(2, 3)
    target = ops.empty(6).reshape(2, 3)
    ops.upload(source.T.copy().T, target)  # not C-contiguous
    got = ops.download(target)
    assert isinstance(got, np.ndarray)
    assert got.dtype == ops.dtype
    assert got.tolist() == source.tolist()

    got[...] = 9
    assert ops.download(target).tolist() == source.tolist()
