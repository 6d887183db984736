"""The order of work on the emulated device: kernels, copies beside them, captures.

Kernels run when they are started. A copy of `start_upload` does not: its target holds NaN until the
kernels, or the host, have waited for its end, and its source cannot be written to until the host
knows of that end. So a wait that is missing shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from weakref import ref

import numpy as np

from convnet.errors import DeviceError
from convnet.ops.cuda.emulated.arrays import DeviceArray, address_of


class Start:
    """A kernel with its arguments, which can be started any number of times.

    As on a GPU it does not keep its arrays: who starts it later sees to it that they are there.
    """

    def __init__(self, kernel: str, run: Callable[[], None], arrays: Sequence[DeviceArray]) -> None:
        self.ranges = [_range(array.data) for array in arrays]
        self._kernel = kernel
        self._run = run
        self._memory = [ref(array.memory) for array in arrays]

    def __call__(self) -> None:
        if any(memory() is None for memory in self._memory):
            raise DeviceError(
                f"kernel '{self._kernel}': was captured with an array that was freed since"
            )
        self._run()


@dataclass(eq=False)
class Moment:
    """When that many kernels were done; what the host waits for if it waits for them."""

    kernels: int


@dataclass(eq=False)
class Copy:
    """A copy that was begun, and its end.

    Attributes:
        host: the whole of the pinned memory that it is from.
        known: the number of kernels started when they waited for it; None: they have not.
    """

    source: np.ndarray
    target: np.ndarray
    host: np.ndarray
    known: int | None = None

    def land(self) -> None:
        self.target[:] = self.source
        self.source = self.target = np.empty(0, np.float32)  # which may be freed now


class Streams:
    """What was started, in order."""

    def __init__(self) -> None:
        self._kernels = 0
        self._used: list[tuple[int, list[tuple[int, int]]]] = []  # by kernels not waited for
        self._under_way: list[Copy] = []  # not landed
        self._landed: list[Copy] = []  # but the host does not know
        self._pinned: list[np.ndarray] = []
        self._captured: list[Start] | None = None

    def start(self, kernel: Start) -> None:
        if self._captured is not None:
            self._captured.append(kernel)
            return
        self._kernels += 1
        self._used.append((self._kernels, kernel.ranges))
        kernel()

    def capture(self, run: Callable[[], None]) -> Callable[[], None]:
        self.refuse_in_capture("a capture")
        starts: list[Start] = []
        self._captured = starts
        try:
            run()
        finally:
            self._captured = None

        def replay() -> None:
            for kernel in starts:
                self.start(kernel)

        return replay

    def refuse_in_capture(self, what: str) -> None:
        """Raises: DeviceError while kernels are being captured."""
        if self._captured is not None:
            raise DeviceError(f"{what}, while kernels are captured")

    def pinned(self, size: int) -> np.ndarray:
        self._pinned.append(np.full(size, np.nan, np.float32))
        return self._pinned[-1]

    def start_upload(self, source: np.ndarray, target: DeviceArray, after: Moment | None) -> Copy:
        self.refuse_in_capture("start_upload")
        begin, end = _range(source)
        hosts = [h for h in self._pinned if _range(h)[0] <= begin and end <= _range(h)[1]]
        if not hosts or source.size != target.size or not source.flags.c_contiguous:
            raise DeviceError(
                f"start_upload: expected pinned memory of {target.size} numbers; found "
                f"{source.dtype} {source.shape}, {'pinned' if hosts else 'not pinned'}"
            )
        begin, end = _range(target.data)
        waited = after.kernels if after else 0
        for number, ranges in self._used:
            if number > waited and any(b < end and begin < e for b, e in ranges):
                raise DeviceError("start_upload: kernels use the target that it does not wait for")
        copy = Copy(source, target.data.reshape(-1), hosts[0])
        copy.target[:] = np.nan
        copy.host.flags.writeable = False
        self._under_way.append(copy)
        return copy

    def wait(self, event: Copy | Moment) -> None:
        self.refuse_in_capture("wait")
        if isinstance(event, Copy):
            self._land(event)
            event.known = self._kernels

    def record(self) -> Moment:
        self.refuse_in_capture("record")
        return Moment(self._kernels)

    def finish(self, event: Copy | Moment) -> None:
        self.refuse_in_capture("finish")
        if isinstance(event, Copy):
            self._land(event)
            self._tell([c for c in self._landed if c is event])
        else:
            self._used = [used for used in self._used if used[0] > event.kernels]
            known = [c for c in self._landed if c.known is not None and c.known <= event.kernels]
            self._tell(known)

    def finish_kernels(self) -> None:
        """What `upload` and `download` do first."""
        self.finish(self.record())

    def synchronize(self) -> None:
        self.finish_kernels()
        for copy in [*self._under_way, *self._landed]:
            self.finish(copy)

    def _land(self, event: Copy) -> None:
        """Copies land in the order in which they were begun."""
        if event in self._under_way:
            count = self._under_way.index(event) + 1
            for copy in self._under_way[:count]:
                copy.land()
            self._landed += self._under_way[:count]
            del self._under_way[:count]

    def _tell(self, copies: Sequence[Copy]) -> None:
        """The host knows that copies are done."""
        for copy in copies:
            self._landed.remove(copy)
            others = [*self._under_way, *self._landed]
            copy.host.flags.writeable = all(other.host is not copy.host for other in others)


def _range(array: np.ndarray) -> tuple[int, int]:
    """First address, and the one after the last."""
    begin = address_of(array)
    return begin, begin + array.nbytes
