"""Pooling and normalisation: kernels/pooling.cu and kernels/norms.cu."""

from __future__ import annotations

from convnet.geometry import Norm, Pool
from convnet.ops.cuda.launch import Launcher, checked
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.windows import WindowOps


def pool_constants(g: Pool) -> dict[str, int]:
    """The constants of kernels/pooling.cu."""
    windows = {
        f"{side}_{what}": number
        for side, numbers in (("ROW", g.row_windows), ("COLUMN", g.column_windows))
        for what, number in zip(("START", "STRIDE", "SIZE"), numbers, strict=True)
    }
    return {
        "HEIGHT": g.height,
        "WIDTH": g.width,
        "OUT_HEIGHT": g.out_height,
        "OUT_WIDTH": g.out_width,
        **windows,
    }


class CudaWindowOps(Launcher, WindowOps):
    """This part of CudaOps."""

    def pool_max_fprop(self, g: Pool, images: In, acts: Out, magnitude: bool = False) -> None:
        N = images.shape[-1]
        self._pool(
            "max_fprop",
            g,
            g.acts_shape,
            N,
            checked("images", images, *g.images_shape, N),
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
        self._pool_bprop("max_bprop", g, images, acts, acts_grad, images_grad, add)

    def pool_avg_fprop(self, g: Pool, divide: bool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        self._pool(
            "avg_fprop",
            g,
            g.acts_shape,
            N,
            checked("images", images, *g.images_shape, N),
            checked("acts", acts, *g.acts_shape, N),
            divide,
        )

    def pool_avg_bprop(
        self, g: Pool, divide: bool, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        N = acts_grad.shape[-1]
        self._pool(
            "avg_bprop",
            g,
            g.images_shape,
            N,
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            checked("images_grad", images_grad, *g.images_shape, N),
            divide,
            add,
        )

    def pool_l2_fprop(self, g: Pool, images: In, acts: Out) -> None:
        N = images.shape[-1]
        self._pool(
            "l2_fprop",
            g,
            g.acts_shape,
            N,
            checked("images", images, *g.images_shape, N),
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
        self._pool_bprop("l2_bprop", g, images, acts, acts_grad, images_grad, add)

    def rnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = images.shape
        self._norm(
            "pixels_fprop",
            shape,
            *(checked("images", images, *shape), images),
            *(norm.size, norm.scale, norm.power, norm.min_div),
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
        terms = self._scratch(images.size)
        self._weigh(norm, images, denoms, acts_grad, terms)
        self._norm(
            "rnorm_bprop",
            shape,
            *(images, denoms, acts_grad, terms),
            *(norm.size, norm.scale, norm.power),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def cmrnorm_fprop(self, norm: Norm, images: In, denoms: Out, acts: Out) -> None:
        shape = images.shape
        self._norm(
            "cmrnorm_fprop",
            shape,
            checked("images", images, *shape),
            *(norm.size, norm.scale, norm.power, norm.min_div, norm.blocked),
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
        shape = images.shape
        terms = self._scratch(images.size)
        self._weigh(norm, images, denoms, acts_grad, terms)
        self._norm(
            "cmrnorm_bprop",
            shape,
            *(images, denoms, acts_grad, terms),
            *(norm.size, norm.scale, norm.power, norm.blocked),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def cnorm_fprop(self, norm: Norm, images: In, diffs: Out, denoms: Out, acts: Out) -> None:
        shape = images.shape
        checked("images", images, *shape)
        checked("diffs", diffs, *shape)
        self._norm("cnorm_diffs", shape, images, norm.size, diffs)
        self._norm(
            "pixels_fprop",
            shape,
            *(images, diffs),
            *(norm.size, norm.scale, norm.power, norm.min_div),
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
        shape, size = images.shape, images.size
        scratch = self._scratch(2 * size)
        terms, diffs_grad = scratch[:size], scratch[size:]
        self._weigh(norm, images, denoms, acts_grad, terms)
        self._norm(
            "cnorm_diffs_grad",
            shape,
            *(checked("diffs", diffs, *shape), terms),
            *(norm.size, norm.scale, norm.power),
            diffs_grad,
        )
        self._norm(
            "cnorm_bprop",
            shape,
            *(diffs_grad, denoms, acts_grad),
            *(norm.size, norm.power),
            checked("images_grad", images_grad, *shape),
            add,
        )

    def _pool(
        self, name: str, g: Pool, shape: tuple[int, int, int], N: int, *args: Array | int
    ) -> None:
        """A block for each pixel of `shape`."""
        channels, height, width = shape
        self._rows(
            "pooling",
            name,
            channels * height * width,
            N,
            *args,
            **pool_constants(g),
        )

    def _pool_bprop(
        self, name: str, g: Pool, images: In, acts: In, acts_grad: In, images_grad: Out, add: bool
    ) -> None:
        """Of a kernel that looks at the images and at the acts, too."""
        N = images.shape[-1]
        self._pool(
            name,
            g,
            g.images_shape,
            N,
            checked("images", images, *g.images_shape, N),
            checked("acts", acts, *g.acts_shape, N),
            checked("acts_grad", acts_grad, *g.acts_shape, N),
            checked("images_grad", images_grad, *g.images_shape, N),
            add,
        )

    def _norm(self, name: str, shape: tuple[int, int, int, int], *args: Array | float) -> None:
        """A block for each channel and pixel."""
        C, H, W, N = shape
        sizes = (C, H * W) if name.startswith("cm") else (H, W)
        self._rows("norms", name, C * H * W, N, *args, *sizes)

    def _weigh(self, norm: Norm, images: In, denoms: In, acts_grad: In, terms: Out) -> None:
        """terms = acts_grad * images * denoms^(-power-1)."""
        shape = images.shape
        self._numbers(
            "norms",
            "weigh",
            images.size,
            checked("images", images, *shape),
            checked("denoms", denoms, *shape),
            checked("acts_grad", acts_grad, *shape),
            norm.power,
            terms,
        )
