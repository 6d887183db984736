"""What a run does when a NaN turns up, or when the cost explodes: stop, skip or go back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from convnet import report
from convnet.checkpoint import load_checkpoint, write_atomically
from convnet.errors import ConvnetError, DivergedError
from convnet.train.decay import chance_of_fall, without_highest
from convnet.train.session import Session

# Times in a row that a minibatch may be left out, or that a run may go back.
MAX_FAILURES = 3
# Where a run goes back to, beside its checkpoints.
LAST_GOOD = "rollback.safetensors"
# What rates are multiplied by when a run goes back.
SLOWER = 0.1
# The cost explodes if it rises with this probability, by so many minibatches. dlib's numbers: it
# lets a run go back at 0.99 already, but leaves the rates alone up to here.
RISING, ENOUGH = 0.99999, 30


def has_exploded(costs: Sequence[float]) -> bool:
    """Whether costs surely rise, all of them or all but the highest tenth."""
    if len(costs) < ENOUGH:
        return False
    return any(1 - chance_of_fall(part) > RISING for part in (costs, without_highest(costs)))


def check_costs(session: Session) -> None:
    """Looks at the costs since the last test.

    Raises:
        DivergedError: a run that would go back shall do so.
    """
    state = session.state
    if session.options.on_nan == "rollback" and has_exploded(state.since_test):
        raise DivergedError(
            f"batch {state.epoch}.{state.batch}: the cost has risen since the last test"
        )


def begin(session: Session) -> None:
    """Makes sure that there is a state to go back to, where that is wanted.

    One that is there is of this training if the training was not yet as far then as it is now.
    """
    path, state = session.directory / LAST_GOOD, session.state
    if session.options.on_nan != "rollback":
        path.unlink(missing_ok=True)
        return
    is_good = not state.since_test  # the run is where it was tested, or at its beginning
    if is_good or not path.exists() or load_checkpoint(path).state.steps > state.steps:
        keep_good(session, session.save())


def keep_good(session: Session, checkpoint: Path) -> None:
    """Keeps a copy of a checkpoint to go back to, whatever is saved when the run is stopped."""
    if session.options.on_nan == "rollback":
        write_atomically(session.directory / LAST_GOOD, checkpoint.read_bytes())


def fail(session: Session, error: ConvnetError, what: str) -> None:
    """Counts a failure.

    Args:
        what: was tried instead.

    Raises:
        ConvnetError: `error`, if there have been too many in a row.
    """
    session.state.failures += 1
    if session.state.failures > MAX_FAILURES:
        raise type(error)(f"{error}; {what} {MAX_FAILURES} times in a row did not help") from None


def skip(session: Session, log: report.Log, error: ConvnetError, cases: int) -> None:
    """Goes on without a minibatch of `cases` images: as if it were not there.

    Raises:
        ConvnetError: `error`, if that was done too often in a row.
    """
    fail(session, error, "leaving out a minibatch")
    session.state.left_out += cases
    log.write("skip", reason=str(error))
    report.text(f"warning: {error}; this minibatch is left out")


def note_success(session: Session, cost: float) -> None:
    """Remembers that a minibatch was learned from, and what it cost."""
    if session.options.on_nan == "skip":
        session.state.failures = 0
    if session.options.on_nan == "rollback":
        session.state.since_test.append(cost)


def go_back(session: Session, log: report.Log, error: ConvnetError) -> None:
    """Goes on from where the run was at the last test, with lower rates.

    Raises:
        ConvnetError: `error`, if that was done too often.
    """
    fail(session, error, "going back with lower rates")
    failed = session.state
    checkpoint = load_checkpoint(session.directory / LAST_GOOD)
    session.net.load_state(checkpoint.weights)
    state = session.state = checkpoint.state
    state.rates, state.failures = failed.rates * SLOWER, failed.failures
    state.costs, state.since_test = [], []
    session.save()  # so that a run that is killed now and resumed has the lower rates
    log.write("back", epoch=state.epoch, batch=state.batch, rates=state.rates, reason=str(error))
    report.text(f"warning: {error}")
    report.text(
        f"Went back to epoch {state.epoch}, batch {state.batch}; learning rates are "
        f"{state.rates:g} of the parameter file's now"
    )
