"""What several tests of runs share."""

from __future__ import annotations

import signal

import pytest

from convnet.net import Net


@pytest.fixture
def signals_at(monkeypatch):
    """Sends signals to this process while it trains on the minibatches of these numbers."""

    def prepare(*steps, numbers=(signal.SIGTERM,)):
        count = 0
        train_step = Net.train_step

        def step(self, *args):
            nonlocal count
            count += 1
            costs = train_step(self, *args)
            if count in steps:
                for number in numbers:
                    signal.raise_signal(number)
            return costs

        monkeypatch.setattr(Net, "train_step", step)

    return prepare
