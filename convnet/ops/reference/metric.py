"""Metric learning in numpy."""

from __future__ import annotations

import numpy as np

from convnet.ops.reference.common import store
from convnet.ops.roles import In, Out
from convnet.ops.spec.metric import MetricOps


class ReferenceMetricOps(MetricOps):
    """This part of ReferenceOps."""

    def l2norm_fprop(self, inputs: In, eps: float, acts: Out) -> None:
        store(acts, inputs / np.sqrt((inputs**2).sum(axis=0) + eps))

    def l2norm_bprop(
        self, inputs: In, acts_grad: In, eps: float, inputs_grad: Out, add: bool = False
    ) -> None:
        norms = np.sqrt((inputs**2).sum(axis=0) + eps)
        units = inputs / norms
        store(inputs_grad, (acts_grad - units * (units * acts_grad).sum(axis=0)) / norms, add)
