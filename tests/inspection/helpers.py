"""What tests need that compile or disassemble kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from convnet.errors import DeviceError
from convnet.inspection.machine_code import find_disassembler
from convnet.ops.cuda import nvrtc
from tests.ops.cuda.helpers import SOURCES

__all__ = ["SOURCES", "needs_disassembler", "needs_nvrtc"]


def _missing(look: Callable[[], object]) -> str:
    """Why it cannot be used here."""
    try:
        look()
    except DeviceError as error:
        return str(error)
    return ""


def _needs(look: Callable[[], object]) -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(_missing(look)), reason=_missing(look) or "it is here")


needs_nvrtc = _needs(nvrtc.version)
needs_disassembler = _needs(find_disassembler)
