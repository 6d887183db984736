"""The training loop: batches, tests, checkpoints, and a clean stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from convnet import report
from convnet.checkpoint import TrainingState
from convnet.errors import BatchError, DivergedError, NonFiniteError
from convnet.layer_types.data import Matrices
from convnet.plan import Clock
from convnet.train import guards
from convnet.train.decay import note_cost
from convnet.train.session import Session
from convnet.train.testing import (
    Sums,
    add_costs,
    check_batch,
    check_labels,
    minibatches,
    reported,
    test_batches,
    test_numbers,
)
from convnet.train.verification import Verifier
from data_providers.prefetch import Prefetcher


class StopRequest:
    """Set by Ctrl-C or SIGTERM: the minibatch in progress is finished, then the run is saved."""

    def __init__(self) -> None:
        self.signal = ""

    def __bool__(self) -> bool:
        return bool(self.signal)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receives the signals while the block runs; a second one ends the program at once."""

        def receive(number: int, frame: FrameType | None) -> None:
            if self.signal:
                signal.signal(number, before[signal.Signals(number)])
                signal.raise_signal(number)
            self.signal = signal.Signals(number).name

        before = {n: signal.signal(n, receive) for n in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def batches_done(state: TrainingState, train_range: list[int]) -> int:
    """How many batches of the whole training are finished.

    If the range was changed and lacks the state's batch, its epoch begins anew.
    """
    if state.epoch == 0:
        return 0
    epochs_before = len(train_range) * (state.epoch - 1)
    if state.batch not in train_range:
        return epochs_before
    in_progress = state.minibatch > 0
    return epochs_before + train_range.index(state.batch) + (0 if in_progress else 1)


def train(session: Session, verifier: Verifier | None = None) -> None:
    """Trains for `epochs` times the training range, from where the session's state is.

    Args:
        verifier: judges the net after each test.

    Raises:
        ConvnetError: the last checkpoint is intact on the disk.
    """
    options, state = session.options, session.state
    total = options.epochs * len(options.train_range)
    done = batches_done(state, options.train_range)
    if done >= total:
        report.text(f"Nothing to do: {options.epochs} epochs are done; raise --epochs to go on")
        return
    if state.rates < options.lr_min and not state.minibatch:
        report.text(f"Nothing to do: {_too_low(session)}; lower it to go on")
        return
    for role, data in (("training", session.train_data), ("test", session.test_data)):
        assert data is not None
        check_labels(session.net, data.known_labels(), f"{role} data")
    log = report.Log(session.directory / "log.jsonl")
    log.write("start", options=options.as_dict(), done=done, total=total)
    guards.begin(session)
    stop = StopRequest()
    with stop.listening():
        while True:
            try:
                return _go_on(session, verifier, log, stop)
            except (NonFiniteError, DivergedError) as error:
                if options.on_nan != "rollback":
                    raise
                guards.go_back(session, log, error)


def _go_on(session: Session, verifier: Verifier | None, log: report.Log, stop: StopRequest) -> None:
    """Trains from where the session's state is to the end, or until it is stopped.

    Raises:
        ConvnetError: as `train`.
    """
    options, state, numbers = session.options, session.state, session.options.train_range
    assert session.train_data is not None
    done, total = batches_done(state, numbers), options.epochs * len(numbers)
    sequence = ((numbers[i % len(numbers)], 1 + i // len(numbers)) for i in range(done, total))
    started = time.perf_counter()
    troubled: set[str] = set()
    with (
        Prefetcher(session.train_data.load, sequence) as batches,
        report.ProgressBar(total, done) as bar,
    ):
        for number, epoch, matrices in batches:
            clock = Clock(options.seed, epoch, number, progress=done / total)
            finished = _train_batch(session, matrices, clock, stop, log)
            if finished:
                done += 1
                costs, cases = state.train_outputs[-1]
                seconds = time.perf_counter() - started
                _warn(session, costs, cases, troubled)
                log.write("train", epoch=epoch, batch=number, costs=costs, cases=cases, sec=seconds)
                line = f"{epoch}.{number} ({100 * clock.progress:.2f}%)... "
                line += session.cost_text(costs, cases)
                slow = state.rates < options.lr_min
                if done % options.test_freq == 0 or done == total or slow:
                    report.text(line)
                    _test_and_save(session, verifier, log, started)
                else:
                    report.text(f"{line} ({seconds:.3f} sec)")
                bar.advance()
                started = time.perf_counter()
                if slow:
                    report.text(f"The training ends here: {_too_low(session)}")
                    return
            if stop:
                path = session.save()
                log.write("stop", signal=stop.signal, checkpoint=str(path))
                report.text(f"{stop.signal}: saved {path}; go on with --load-file {path.parent}")
                return


def _warn(session: Session, costs: Sums, cases: int, troubled: set[str]) -> None:
    """Tells of trouble with a cost, once when it begins.

    Args:
        costs: of a batch of `cases` images.
        troubled: the costs that there was trouble with in the batch before; is changed.
    """
    for cost in session.net.costs:
        text = cost.trouble(costs[cost.name], cases) if cost.name in costs else ""
        if text and cost.name not in troubled:
            report.text(f"warning: Layer '{cost.name}': {text}")
        (troubled.add if text else troubled.discard)(cost.name)


def _too_low(session: Session) -> str:
    return f"learning rates are {session.state.rates:g} of the parameter file's, below --lr-min"


def _train_batch(
    session: Session, matrices: Matrices, clock: Clock, stop: StopRequest, log: report.Log
) -> bool:
    """Trains on one batch, minibatch by minibatch; False if it was stopped on the way.

    The session's state says afterwards how far it came, so that a resumed run goes on there.
    """
    state, net = session.state, session.net
    cases = check_batch(net, matrices, clock.batch)
    if (state.epoch, state.batch) != (clock.epoch, clock.batch):
        state.epoch, state.batch = clock.epoch, clock.batch
        state.minibatch, state.partial, state.left_out = 0, {}, 0
    if (state.minibatch - 1) * net.batch_size >= cases:
        raise BatchError(
            f"batch {clock.batch}: {state.minibatch} minibatches of it are done, but it holds "
            f"{cases} images now; go on with the data that the run began with"
        )
    for index, part in enumerate(minibatches(matrices, net)):
        if index < state.minibatch:
            continue
        _learn(session, part, replace(clock, minibatch=index, steps=state.steps), log)
        state.minibatch = index + 1
        if stop:
            return False
    if not state.partial:
        raise NonFiniteError(f"batch {clock.epoch}.{clock.batch}: all of it was left out")
    state.train_outputs.append((state.partial, cases - state.left_out))
    state.minibatch, state.partial, state.left_out = 0, {}, 0
    return True


def _learn(session: Session, part: Matrices, clock: Clock, log: report.Log) -> None:
    """Trains on a minibatch, or leaves it out if a NaN turns up and that is wanted."""
    state, net, options = session.state, session.net, session.options
    where, cases = (
        f"batch {clock.epoch}.{clock.batch}, minibatch {clock.minibatch}",
        part[0].shape[1],
    )
    warmth = min(1.0, (state.steps + 1) / options.warm_up) if options.warm_up else 1.0
    try:
        costs = net.train_step(part, replace(clock, rates=state.rates * warmth))
    except NonFiniteError as error:
        problem = NonFiniteError(f"{where}: {error}")
        if options.on_nan != "skip":
            raise problem from None
        guards.skip(session, log, problem, cases)
        return
    add_costs(state.partial, reported(net, costs))
    state.steps += 1
    cost = net.objective(costs) / cases
    guards.note_success(session, cost)
    if note_cost(state, options, cost):
        log.write("rates", epoch=clock.epoch, batch=clock.batch, rates=state.rates)
        report.text(
            f"{where}: the cost has not fallen for {options.lr_patience} minibatches; "
            f"learning rates are {state.rates:g} of the parameter file's now"
        )


def _test_and_save(
    session: Session, verifier: Verifier | None, log: report.Log, started: float
) -> None:
    """One test, its printed block and a checkpoint.

    Raises:
        NonFiniteError: a cost is NaN or infinite; no checkpoint of such weights is written.
        DivergedError: see convnet.train.guards.
    """
    state, options = session.state, session.options
    guards.check_costs(session)
    try:
        numbers = test_numbers(options, len(state.test_outputs))
        costs, cases = test_batches(session, numbers, verbose=False)
        verified = verifier.verify() if verifier else None
    except NonFiniteError as error:
        raise NonFiniteError(f"after batch {state.epoch}.{state.batch}: {error}") from None
    state.test_outputs.append((costs, cases))
    state.test_times.append(len(state.train_outputs))
    if verified:
        state.verifications.append((state.test_times[-1], verified.accuracy, verified.roc.auc))
    state.since_test, state.failures = [], 0
    recent = state.test_outputs[-len(options.test_range) :]
    sums: Sums = {}
    for past, _ in recent:
        add_costs(sums, past)
    weights = session.net.state()
    path = session.save(weights)
    guards.keep_good(session, path)
    log.write(
        "test",
        epoch=state.epoch,
        batch=state.batch,
        costs=costs,
        cases=cases,
        checkpoint=str(path),
        **({"verification": verified.as_dict()} if verified else {}),
    )
    report.print_test(
        session.cost_text(costs, cases),
        averages=session.cost_text(sums, sum(n for _, n in recent)),
        verification=str(verified or ""),
        weights=report.weight_statistics(weights, session.net.graph),
        saved=str(path),
        seconds=time.perf_counter() - started,
    )
