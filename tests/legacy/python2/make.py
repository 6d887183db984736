"""Writes the checkpoints beside it: run with Python 2.7 and numpy 1.16, as the original was.

They hold a net with one fc layer, of the first version, in the forms that its Python wrote.
"""

import gzip
import pickle
import sys
import types
import zipfile

import numpy as np

try:
    import cPickle  # of Python 2
except ImportError:
    sys.exit("needs Python 2.7")

options = types.ModuleType("options")
sys.modules["options"] = options


class OptionsParser:
    pass


class Option:
    pass


class RangeOptionParser:
    pass


for kind in (OptionsParser, Option, RangeOptionParser):
    kind.__module__ = "options"
    setattr(options, kind.__name__, kind)


def option(name, value):
    made = Option()
    made.name, made.value, made.value_given, made.parser = name, value, True, RangeOptionParser
    return made


data = {"name": "data", "type": "data", "dataIdx": 0, "outputs": 3}
labels = {"name": "labels", "type": "data", "dataIdx": 1, "outputs": 1}
fc = {"name": "fc", "type": "fc", "inputs": [0], "inputLayers": [data], "outputs": 2, "neuron": ""}
fc["weights"] = [np.array([[250, -1], [0.5, 2], [1e-30, 3]], np.single, order="F")]
fc["weightsInc"] = [np.zeros_like(fc["weights"][0])]
fc["biases"] = np.array([[0.25, -0.25]], np.single)
fc["biasesInc"] = np.zeros_like(fc["biases"])
fc.update(initW=[0.01], initB=0, weightSource=[""], weightSourceLayerIndices=[-1])
fc.update(weightSourceMatrixIndices=[-1])
fc.update(epsW=[0.001], epsB=np.float64(0.002), momW=[0.9], momB=0.9, wc=[0.0])
probs = {"name": "probs", "type": "softmax", "inputs": [2], "inputLayers": [fc], "outputs": 2}
cost = {"name": "cost", "type": "cost.logreg", "inputs": [1, 3], "inputLayers": [labels, probs]}
cost.update(outputs=0, coeff=1.0)
parser = OptionsParser()
parser.options = {
    "train_batch_range": option("train_batch_range", list(range(1, 6))),
    "minibatch_size": option("minibatch_size", 128),
}
outputs = [({"cost": [2.0, 0.5]}, 10000)]
state = {"layers": [data, labels, fc, probs, cost], "epoch": 1, "batchnum": 1}
state.update(train_outputs=outputs, test_outputs=[])
content = {"model_state": state, "op": parser}

for protocol in (0, 1, 2):
    with open("cpickle-" + str(protocol), "wb") as out:
        cPickle.dump(content, out, protocol)
    with open("pickle-" + str(protocol), "wb") as out:
        pickle.dump(content, out, protocol)
with gzip.open("gzip", "wb") as packed:
    packed.write(cPickle.dumps(content, -1))
with zipfile.ZipFile("zip", "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("data", cPickle.dumps(content, -1))
