"""Pooling and normalisation: checks arrays, calls the CPU kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convnet.geometry import Norm, Pool
from convnet.ops.cpu import norms, pool
from convnet.ops.cpu.arrays import checked
from convnet.ops.layout import channels_of
from convnet.ops.roles import In, Out
from convnet.ops.spec.windows import WindowOps

_f32: Any = np.float32


class CpuWindowOps(WindowOps):
    """This part of CpuOps."""

    def pool_max_fprop(self, g: Pool, images: In, acts: Out, magnitude: bool = False) -> None:
        N = images.shape[-1]
        pool.max_fprop(
            checked("images", images, *g.images_shape, N),
            g.row_windows,
            g.column_windows,
            checked("acts", acts, *g.acts_shape, N),
            magnitude,
        )

    def pool_max_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _pool_bprop(pool.max_bprop, g, images, acts, acts_grad, images_grad, add)

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.avg_fprop(
            checked("images", images, *g.images_shape, N),
            g.row_windows,
            g.column_windows,
            divide,
            checked("acts", acts, *g.acts_shape, N),
        )

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        N = acts_grad.shape[-1]
        pool.avg_bprop(
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            g.row_windows,
            g.column_windows,
            divide,
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
        )

    def pool_l2_fprop(self, g: Pool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        pool.l2_fprop(
            checked("images", images, *g.images_shape, N),
            g.row_windows,
            g.column_windows,
            checked("acts", acts, *g.acts_shape, N),
        )

    def pool_l2_bprop(
        self,
        g: Pool,
        images: In,
        acts: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        _pool_bprop(pool.l2_bprop, g, images, acts, acts_grad, images_grad, add)

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = images.shape
        norms.rnorm_fprop(
            checked("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            checked("denoms", denoms, *shape),
            checked("acts", acts, *shape),
        )

    def rnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        shape = images.shape
        norms.rnorm_bprop(
            checked("images", images, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = channels_of(images)
        norms.cmrnorm_fprop(
            checked("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            norm.blocked,
            checked("denoms", denoms, *shape),
            checked("acts", acts, *shape),
        )

    def cmrnorm_bprop(
        self,
        norm: Norm,
        images: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        shape = channels_of(images)
        norms.cmrnorm_bprop(
            checked("images", images, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            norm.blocked,
            checked("images_grad", images_grad, *shape),
            add,
        )

    def cnorm_fprop(self, norm: Norm, images: In, diffs: Out, denoms: Out, acts: Out) -> None:
        shape = images.shape
        norms.cnorm_fprop(
            checked("images", images, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            _f32(norm.min_div),
            checked("diffs", diffs, *shape),
            checked("denoms", denoms, *shape),
            checked("acts", acts, *shape),
        )

    def cnorm_bprop(
        self,
        norm: Norm,
        images: In,
        diffs: In,
        denoms: In,
        acts_grad: In,
        images_grad: Out,
        add: bool = False,
    ) -> None:
        shape = images.shape
        norms.cnorm_bprop(
            checked("images", images, *shape),
            checked("diffs", diffs, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.size,
            _f32(norm.scale),
            _f32(norm.power),
            checked("images_grad", images_grad, *shape),
            add,
        )


def _pool_bprop(
    kernel: Callable[..., None],
    g: Pool,
    images: In,
    acts: In,
    acts_grad: In,
    images_grad: Out,
    add: bool,
) -> None:
    """Calls a kernel that looks at the images and at the acts, too."""
    N = images.shape[-1]
    kernel(
        checked("images", images, *g.images_shape, N),
        checked("acts", acts, *g.acts_shape, N),
        checked("acts_grad", acts_grad, *g.acts_shape, N),
        g.row_windows,
        g.column_windows,
        checked("images_grad", images_grad, *g.images_shape, N),
        add,
    )
