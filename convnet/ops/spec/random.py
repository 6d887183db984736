"""Operations that draw random numbers: arguments, shapes and formulas."""

from __future__ import annotations

from abc import ABC, abstractmethod

from convnet.neurons import Neuron
from convnet.ops.roles import In, Out, RandomKey


class RandomOps(ABC):
    """This part of Ops. uniform(key, i) is element i of a draw, see RandomKey."""

    @abstractmethod
    def dropout(
        self,
        inputs: In,
        keep: float,
        scale: float,
        key: RandomKey,
        acts: Out,
        add: bool = False,
    ) -> None:
        """acts = scale * inputs where uniform(key, element) < keep, else 0. In place.

        Being linear it is its own backward pass: the mask is drawn again, not stored.
        """

    @abstractmethod
    def noisy_neuron_fprop(self, neuron: Neuron, inputs: In, key: RandomKey, acts: Out) -> None:
        """acts = what a soft LIF neuron puts out while training, see convnet.neurons. In place.

        With y and p of each element of the inputs, and random numbers of the same element:

            softlif         max(0, y + m n normal) where a x > 0, else y
            softlifalpha    m q (T + (p - T) e) / (s (1 - e))^2
            softlifalpharc  m (r Q / (d^2 (1 - E)) - r q / (d^2 (1 - e))
                            - q (T + (p - T) e) / (s d (1 - e)^2))

        where T = p uniform is the time since the last spike, d = r - s, and q = exp(-T / s),
        e = exp(-p / s), Q = exp(-T / r), E = exp(-p / r). The mean over T is y. `normal`: see
        convnet.ops.philox.normal.
        """

    @abstractmethod
    def dropconnect_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In,
        keep: float,
        weights_key: RandomKey,
        biases_key: RandomKey,
        acts: Out,
    ) -> None:
        """acts(f,n) = sum over k of M(k,f,n) weights(k,f) inputs(k,n) + B(f,n) biases(f).

        (K,N), (K,F), F entries -> (F,N). M (K,F,N) and B (F,N) are 1 where the uniform number of
        their key is < keep, else 0: each image has connections of its own.
        """

    @abstractmethod
    def dropconnect_dgrad(
        self,
        weights: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        inputs_grad: Out,
        add: bool = False,
    ) -> None:
        """inputs_grad(k,n) = sum over f of M(k,f,n) weights(k,f) acts_grad(f,n)."""

    @abstractmethod
    def dropconnect_wgrad(
        self,
        inputs: In,
        acts_grad: In,
        keep: float,
        weights_key: RandomKey,
        weights_grad: Out,
        add: bool = False,
    ) -> None:
        """weights_grad(k,f) = sum over n of M(k,f,n) inputs(k,n) acts_grad(f,n)."""
