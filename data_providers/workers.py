"""Work done by several processes at a time."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from typing import TypeVar

from data_providers.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[tuple[Job, Result]]:
    """Does all jobs, each of which is given out with its result when it is done.

    Args:
        work: a function of a module. Its result should be small: a worker that is killed while it
            sends much would leave the others waiting.
        workers: at most so many processes; with 1, this one does it all.
    Raises: as `work`; DataError if a worker is killed.
    """
    if min(workers, len(jobs)) <= 1:
        for job in jobs:
            yield job, work(job)
        return
    context = multiprocessing.get_context("spawn")
    stop = context.RawValue(ctypes.c_bool, False)  # without a lock that a killed worker might hold
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _start_worker, (stop,)) as pool:
        try:
            futures = {pool.submit(work, job): job for job in jobs}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenExecutor as error:
            raise DataError(
                "a worker was killed, perhaps for want of memory; start again with fewer --workers"
            ) from error
        finally:  # after an error or Ctrl-C, nobody waits for jobs that are begun
            stop.value = True
            pool.shutdown(cancel_futures=True)


def stop_if_given_up() -> None:
    """Long jobs call this now and then.

    Raises: InterruptedError when nobody waits for them any more.
    """
    if _stop.value:
        raise InterruptedError("the work is given up")


#: In a worker: true when the work is given up.
_stop = ctypes.c_bool(False)


def _start_worker(stop: ctypes.c_bool) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A worker whose parent was killed would wait for its next job for ever.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
