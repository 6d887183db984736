"""When the cost has stopped falling: a test of the slope of its latest values."""

from __future__ import annotations

from collections.abc import Sequence
from math import erfc, sqrt

import numpy as np

from convnet.checkpoint import TrainingState
from convnet.options import Options

# The cost counts as falling from this probability on: hardly more than tossing a coin says.
FALLING = 0.51
# Of a full series of costs so many are forgotten when rates drop, and a tenth of the series: the
# first costs after a drop fall steeply, and say nothing of where it leads. dlib's numbers.
FORGOTTEN = 400


def note_cost(state: TrainingState, options: Options, cost: float) -> bool:
    """Remembers the cost of a minibatch; lowers the rates if it has stopped falling.

    Returns:
        Whether it has.
    """
    if not options.lr_patience:
        return False
    state.costs.append(cost)
    del state.costs[: -options.lr_patience]
    if len(state.costs) < options.lr_patience or not has_stalled(state.costs):
        return False
    state.rates *= options.lr_shrink
    del state.costs[: FORGOTTEN + options.lr_patience // 10]
    return True


def has_stalled(costs: Sequence[float]) -> bool:
    """Whether costs probably do not fall, nor do they without the highest tenth of them.

    For a series of N costs this is the question whether dlib's count_steps_without_decrease and
    count_steps_without_decrease_robust are both N.
    """
    if chance_of_fall(costs) >= FALLING:
        return False
    return chance_of_fall(without_highest(costs)) < FALLING


def without_highest(costs: Sequence[float]) -> list[float]:
    """Those that are not among the highest tenth."""
    bound = sorted(costs)[int(0.9 * (len(costs) - 1) + 0.5)]
    return [cost for cost in costs if cost <= bound]


def chance_of_fall(costs: Sequence[float]) -> float:
    """The probability that costs fall, as a straight line with Gaussian noise upon it.

    Least squares of y_t = b t + a for t = 0 .. n - 1. With S = sum of (t - mean)^2, which is
    (n^3 - n) / 12, and the sum R of the squares of what the line leaves over:

        b = sum of (t - mean) y_t / S        variance of b: R / (n - 2) / S

    b is normal, so the slope is below 0 with probability Phi(-b / deviation). Of less than three
    costs nothing is known, and they are taken to fall.
    """
    n = len(costs)
    if n < 3:
        return 1.0
    y = np.asarray(costs, np.float64)
    t = np.arange(n) - (n - 1) / 2
    squares = (n**3 - n) / 12
    slope = float(t @ y) / squares
    rest = y - y.mean() - slope * t
    deviation = sqrt(float(rest @ rest) / (n - 2) / squares)
    if deviation == 0:
        return 0.5 if slope == 0 else float(slope < 0)
    return 0.5 * erfc(slope / deviation / sqrt(2))
