"""What goes wrong with a GPU, on a stand-in for CuPy; see tests/ops/cuda/test_cupy_driver.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from convnet.layer_types.base import TRAIN
from convnet.ops.cuda.cupy_driver import CupyDriver
from convnet.ops.cuda.ops import CudaOps
from tests.helpers import CLASSIFIER, DATA, layer, make_net

INSTALL = "pip install 'cudaconvnet[cuda12]' or 'cudaconvnet[cuda13]', whichever nvidia-smi names"


@dataclass(frozen=True)
class DeviceMistake:
    """One mistake, on a machine with two GPUs of 1 MiB.

    did, says, remedy: see tests.errors.Mistake
    act:      what is done with the driver, if it can be made at all
    device:   the number that --gpu has
    machine:  how it differs, arguments of FakeCupy; None: it has no CuPy
    """

    did: str
    says: str
    remedy: str
    act: Callable[[CupyDriver], object] = CupyDriver.synchronize
    device: int = 0
    machine: dict[str, int] | None = field(default_factory=dict)


def train(driver: CupyDriver) -> None:
    """A net whose minibatches are too large."""
    text = DATA + layer("top", "fc", "data", outputs=9, initW=0.1) + CLASSIFIER
    make_net(text, ops=CudaOps(driver), batch_size=5000).reserve(TRAIN)


def break_down(driver: CupyDriver) -> None:
    driver._cupy.broken = True
    driver.synchronize()


def lose_compiler(driver: CupyDriver) -> None:
    def fail(**arguments: object) -> None:
        raise RuntimeError("CuPy failed to load libnvrtc.so.13")

    driver._cupy.RawModule = fail
    driver.kernel("pool", "max_pool")


DEVICES = [
    DeviceMistake(
        "no CuPy",
        f"the GPU is used through CuPy, which is missing (...); {INSTALL}",
        "that",
        machine=None,
    ),
    DeviceMistake(
        "no driver",
        "no NVIDIA driver is installed here, or no GPU; nvidia-smi shows them",
        "install NVIDIA's driver, or compute on the CPU without `--gpu`",
        machine={"driver": 0},
    ),
    DeviceMistake(
        "CuPy for a later CUDA than the driver's",
        "this CuPy is made for CUDA 13, the driver is for CUDA 12.4; install cudaconvnet[cuda12] "
        "in place of it, or a newer driver",
        "one of the two",
        machine={"driver": 12040},
    ),
    DeviceMistake(
        "a driver, but no GPU",
        "no GPU: cudaErrorNoDevice: no CUDA-capable device is detected",
        "see whether nvidia-smi shows it, and CUDA_VISIBLE_DEVICES",
        machine={"arch": 0},
    ),
    DeviceMistake(
        "a GPU that is too old",
        "the GPU has compute capability 6.1; the kernels need 7.5 or higher",
        "another GPU, or the CPU",
        machine={"arch": 61},
    ),
    DeviceMistake(
        "`--gpu=2` where there are two",
        "there is no GPU 2; this machine has 2, counted from 0",
        "a number that is there",
        device=2,
    ),
    DeviceMistake(
        "a net that is larger than the GPU's memory",
        "out of memory on the GPU: minibatches of 5000 images need ... MiB besides 0.0 MiB of "
        "weights; found 1.0 MiB free; --mini ... fits",
        "that `--mini`, or smaller layers; nothing was computed",
        train,
    ),
    DeviceMistake(
        "memory that runs out later",
        "out of memory on the GPU: 4.0 MiB needed, 1.0 MiB free; try a smaller --mini or smaller "
        "layers",
        "that; see which other programs nvidia-smi shows",
        lambda driver: driver.empty(2**20),
    ),
    DeviceMistake(
        "a kernel that does not compile",
        "kernel 'max_pool': bad.cu does not compile for sm_90 with -std=c++17 -I... -DSIZE=(3):\n"
        "bad.cu(3): error: expected a ';'",
        "mend the kernel; the compiler's log follows",
        lambda driver: driver.kernel("bad", "max_pool", SIZE=3),
    ),
    DeviceMistake(
        "no NVRTC, NVIDIA's compiler",
        "kernel 'max_pool': pool.cu cannot be compiled or loaded: CuPy failed to load "
        f"libnvrtc.so.13; if NVRTC is missing, {INSTALL}",
        "that",
        lose_compiler,
    ),
    DeviceMistake(
        "a kernel that fails on the GPU",
        "a kernel failed on the GPU: cudaErrorIllegalAddress: an illegal memory access",
        "a mistake in a kernel: run the tests with `CONVNET_EMULATED=check`",
        break_down,
    ),
]
