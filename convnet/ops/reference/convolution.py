"""Convolutions (conv, local) and products (fc) in numpy."""

from __future__ import annotations

from convnet.geometry import Window
from convnet.neurons import Neuron
from convnet.ops.reference import conv
from convnet.ops.reference.common import store
from convnet.ops.reference.elementwise import neuron_value
from convnet.ops.roles import Array, In, Out
from convnet.ops.spec.convolution import ConvolutionOps


class ReferenceConvolutionOps(ConvolutionOps):
    """This part of ReferenceOps."""

    def conv_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        total = conv.fprop(g, images, conv.split_shared(g, filters))
        _finish(total, biases, neuron, acts, add)

    def conv_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = conv.dgrad(g, conv.split_shared(g, filters), acts_grad)
        store(images_grad, total, add)

    def conv_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        per_pixel = conv.wgrad(g, images, acts_grad)
        store(filters_grad, per_pixel.sum(axis=(0, 1)).reshape(g.conv_filters_shape), add)

    def local_fprop(
        self,
        g: Window,
        images: In,
        filters: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        total = conv.fprop(g, images, conv.split_local(g, filters))
        _finish(total, biases, neuron, acts, add)

    def local_dgrad(
        self, g: Window, filters: In, acts_grad: In, images_grad: Out, add: bool = False
    ) -> None:
        total = conv.dgrad(g, conv.split_local(g, filters), acts_grad)
        store(images_grad, total, add)

    def local_wgrad(
        self, g: Window, images: In, acts_grad: In, filters_grad: Out, add: bool = False
    ) -> None:
        per_pixel = conv.wgrad(g, images, acts_grad)
        store(filters_grad, per_pixel.reshape(g.local_filters_shape), add)

    def fc_fprop(
        self,
        inputs: In,
        weights: In,
        biases: In | None,
        neuron: Neuron,
        acts: Out,
        add: bool = False,
    ) -> None:
        _finish(weights.T @ inputs, biases, neuron, acts, add)

    def fc_dgrad(self, weights: In, acts_grad: In, inputs_grad: Out, add: bool = False) -> None:
        store(inputs_grad, weights @ acts_grad, add)

    def fc_wgrad(self, inputs: In, acts_grad: In, weights_grad: Out, add: bool = False) -> None:
        store(weights_grad, inputs @ acts_grad.T, add)

    def bias_grad(self, acts_grad: In, biases_grad: Out, add: bool = False) -> None:
        sums = acts_grad.reshape(biases_grad.size, -1).sum(axis=1)
        store(biases_grad, sums.reshape(biases_grad.shape), add)


def _finish(total: Array, biases: Array | None, neuron: Neuron, acts: Array, add: bool) -> None:
    """acts = neuron(total + biases), with what `acts` holds added before if `add`."""
    if add:
        total = total + acts
    if biases is not None:
        total = total.reshape(biases.size, -1) + biases.reshape(-1, 1)
    store(acts, neuron_value(neuron, total).reshape(acts.shape))
