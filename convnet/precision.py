"""What products of convolutions and fully-connected layers are computed in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """The format that factors are rounded to. Sums, and all numbers in memory, are float32.

    Also the kernels' constant PRECISION, which is the place in this list.
    """

    FP32 = "fp32"
    TF32 = "tf32"  # 10 bits of fraction
    BF16 = "bf16"  # 7 bits

    @property
    def constant(self) -> int:
        return list(Precision).index(self)
