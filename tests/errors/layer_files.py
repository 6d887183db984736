"""Mistakes in the layer files."""

from __future__ import annotations

from tests.errors import DEF, PARAMS, Mistake, command, edited, option

SEE = "; see --help"


def new_layer(keys: str, says: str, remedy: str) -> Mistake:
    """A layer between `drop`, which has 3 channels of 5x5 pixels, and `fc`."""
    lines = keys.replace(", ", "\n")
    return Mistake(
        f"layers.cfg: a layer `{keys}` above `drop`, 5x5 pixels of 3 channels",
        f"layers.cfg:23: Layer 'new': {says}",
        remedy,
        edit=(
            DEF,
            "[fc]\ntype = fc\ninputs = drop\n",
            f"[new]\ninputs = drop\n{lines}\n\n[fc]\ntype = fc\ninputs = new\n",
        ),
    )


LAYER_FILES = [
    option(
        "net.cfg: cannot read the layer file: No such file or directory",
        "correct the path; `--layer-path` is put before it",
        layer_def="net.cfg",
    ),
    option(
        "data/mean.safetensors:1: holds a NUL byte; a layer file must be text",
        "name the layer file",
        layer_def="data/mean.safetensors",
    ),
    edited(
        DEF,
        "filterSize = 3",
        "filterSzie = 3",
        "layers.cfg:9: Layer 'conv': required parameter 'filterSize' missing\n"
        "layers.cfg:14: Layer 'conv': unknown parameter 'filterSzie'; "
        "did you mean 'filterSize'?",
        "correct the key; `--lenient 1` makes unknown keys warnings",
    ),
    edited(
        DEF,
        "filterSize = 3",
        "filterSize = three",
        "layers.cfg:14: Layer 'conv': parameter 'filterSize' is 'three': expected an integer >= 1",
        "correct the value",
    ),
    edited(
        DEF,
        "filterSize = 3",
        "filterSize = 0",
        "layers.cfg:14: Layer 'conv': parameter 'filterSize' is '0': expected an integer >= 1",
        "correct the value",
    ),
    edited(
        DEF,
        "[fc]",
        "[fc",
        "layers.cfg:23: expected a section header [name], found '[fc'",
        "close the bracket",
    ),
    edited(
        DEF,
        "outputs = 3",
        "3",
        "layers.cfg:26: expected 'key = value', found '3'\n"
        "layers.cfg:23: Layer 'fc': required parameter 'outputs' missing",
        "correct the line",
    ),
    edited(
        DEF,
        "type = fc",
        "type = fcc",
        "layers.cfg:24: Layer 'fc': unknown layer type 'fcc'; did you mean 'fc'?",
        "correct the type",
    ),
    edited(
        DEF,
        "neuron = relu",
        "neuron = rellu",
        "layers.cfg:17: Layer 'conv': parameter 'neuron' is 'rellu': unknown neuron 'rellu'; "
        "expected one of ident, logistic, relu, brelu[a], softrelu, abs, square, sqrt, "
        "tanh[a,b], linear[a,b], log[a], drelu[a], power[a], dropout[p], softlif[m,t,r,a,g,n], "
        "softlifalpha[m,t,r,a,g,s], softlifalpharc[m,t,r,a,g,s]",
        "correct the name",
    ),
    edited(
        DEF,
        "inputs = drop",
        "inputs = dropp",
        "layers.cfg:25: Layer 'fc': input 'dropp' is not defined; did you mean 'drop'?\n"
        "layers.cfg:19: Layer 'drop' of type 'dropout' is unused",
        "correct the name",
    ),
    edited(
        DEF,
        "inputs = data",
        "inputs = fc",
        "layers.cfg:11: Layer 'conv': input 'fc' is defined below, at layers.cfg:23; these "
        "layers form a cycle: conv uses fc uses drop uses conv\n"
        "layers.cfg:1: Layer 'data' of type 'data' is unused",
        "a layer may only use layers above it",
    ),
    edited(
        DEF,
        "inputs = drop",
        "inputs = conv",
        "layers.cfg:19: Layer 'drop' of type 'dropout' is unused",
        "use it or remove it",
    ),
    edited(
        DEF,
        "channels = 2",
        "channels = 3",
        "layers.cfg:9: Layer 'conv': input 'data' is 2x5x5 (50 numbers), "
        "not interpretable as 3-channel images",
        "make the two fit",
    ),
    edited(
        DEF,
        "filterSize = 3",
        "filterSize = 13",
        "layers.cfg:9: Layer 'conv': filterSize must be at most the padded image's height, "
        "5 + 2*1; found filterSize=13",
        "a smaller filter or more padding",
    ),
    new_layer(
        "type = pool, pool = maxabs, channels = 3, sizeX = 2, stride = 3",
        "stride must be at most sizeX, 2; found stride=3",
        "a larger window or a smaller stride",
    ),
    new_layer(
        "type = pool, pool = avg, channels = 3, sizeX = 0, stride = 5",
        "sizeX=0, one window, goes with stride=1 alone; found stride=5",
        "`stride = 1`, and neither `start` nor `outputsX`",
    ),
    new_layer(
        "type = cmpool, pool = max, channels = 3, size = 2, stride = 2, outputs = 1",
        "the windows must cover all 3 channels, and each at least one; found 1 of size 2, the "
        "first at 0, the last at 0",
        "more `outputs`, or larger windows",
    ),
    new_layer(
        "type = blur, channels = 3, filterSize = 7, stdev = 2",
        "filterSize must be at most the image's shorter side, 5; found filterSize=7",
        "a smaller filter",
    ),
    new_layer(
        "type = crop, channels = 3, startX = 1, sizeX = 5",
        "startY + sizeX must be at most the image's height, 5; found startY=1, sizeX=5",
        "a square inside the image",
    ),
    new_layer(
        "type = rscale, channels = 3, maxScale = 1.25, tgtSize = 6",
        "tgtSize must be between 4, the image's side divided by maxScale, and 5; found tgtSize=6",
        "correct the value",
    ),
    edited(
        DEF,
        "dataIdx = 1",
        "dataIdx = 2",
        "layers.cfg:5: Layer 'labels': dataIdx=2, but the data have 2 matrices (0 to 1)",
        "0 is the images, 1 the labels",
    ),
    edited(
        PARAMS,
        "epsB = 0.002",
        "epsB = -0.002",
        "params.cfg:16: Layer 'fc': parameter 'epsB' is '-0.002': expected a learning rate of at "
        "least 0, found '-0.002'",
        "correct the value; with `--lenient 1` it counts as 0, as in cuda-convnet",
    ),
    edited(
        PARAMS,
        "epsB = 0.002",
        "epsB = fast",
        "params.cfg:16: Layer 'fc': parameter 'epsB' is 'fast': a learning rate must be a "
        "finite number, found 'fast'",
        "correct the value",
    ),
    edited(
        PARAMS,
        "epsB = 0.002",
        "epsB = exp[base=0.002]",
        "params.cfg:16: Layer 'fc': parameter 'epsB' is 'exp[base=0.002]': parameter tgtFactor "
        "is missing; expected exp[base=..;tgtFactor=..]",
        "correct the value",
    ),
    edited(
        PARAMS,
        "epsB = 0.002",
        "epsB = %(speed)s",
        "params.cfg:16: 'epsB' refers to %(speed)s, but neither [fc] nor [DEFAULT] has a key "
        "'speed'",
        "define the key",
    ),
    edited(
        PARAMS,
        "keep = 0.7",
        "keep = 1.7",
        "params.cfg:12: Layer 'drop': parameter 'keep' is '1.7': expected a finite number > 0 "
        "and <= 1",
        "correct the value",
    ),
    edited(
        PARAMS,
        "coeff = 1",
        "",
        "params.cfg:21: Layer 'logprob': required parameter 'coeff' missing",
        "add the key",
    ),
    edited(
        PARAMS,
        "[fc]",
        "[fc10]",
        "layers.cfg:23: Layer 'fc': needs a section [fc] in the parameter file\n"
        "params.cfg:14: section [fc10] belongs to no layer; did you mean 'fc'?",
        "correct the name",
    ),
    edited(
        DEF,
        "type = fc",
        "type = sum",
        "layers.cfg:24: Layer 'fc': type 'sum' never ran in cuda-convnet's engine; use eltsum, "
        "or fc",
        "use another type",
    ),
    edited(
        DEF,
        "neuron = relu",
        "neuron = dropout[1]",
        "layers.cfg:17: Layer 'conv': parameter 'neuron' is 'dropout[1]': parameter p of neuron "
        "'dropout[1]' must be at least 0 and below 1",
        "correct the value",
    ),
    edited(
        DEF,
        "type = fc\ninputs = drop\noutputs = 3",
        "type = sfc\ninputs = drop\noutputs = 1\nparts = 4",
        "layers.cfg:23: Layer 'fc': input 'drop' has 75 numbers, not a multiple of parts=4",
        "make the two fit",
    ),
    edited(
        DEF,
        "filters = 3",
        "filters = 3\nrandSparse = true",
        "layers.cfg:9: Layer 'conv': randSparse needs more than one group; found groups=1",
        "give `groups`, or leave out `randSparse`",
    ),
    edited(
        DEF,
        "type = cost.logreg\ninputs = labels, probs\ntopk = 2",
        "type = cost.crossent\ninputs = labels, probs",
        "layers.cfg:33: Layer 'logprob': first input must be a matrix of labels, a data layer of "
        "the size of 'probs', 3; found 'labels' of type 'data' with 1",
        "use cost.logreg, or data with a row for each class",
    ),
    edited(
        DEF,
        "type = cost.logreg\ninputs = labels, probs",
        "type = cost.margin\ninputs = labels, probs",
        "layers.cfg:33: Layer 'logprob': second input must be a cosfc layer; "
        "found 'probs' of type 'softmax'",
        "put a cosfc layer with an output for each class on the features",
    ),
    edited(
        DEF,
        "type = cost.logreg\ninputs = labels, probs\ntopk = 2",
        "type = cost.triplet\ninputs = probs, labels",
        "layers.cfg:33: Layer 'logprob': first input must be the labels, a data layer with one "
        "number per image; found 'probs' of type 'softmax' with 3",
        "name the labels first",
    ),
    edited(
        DEF,
        "topk = 2",
        "children = other",
        "layers.cfg:33: Layer 'logprob': children: 'other' must be a layer of type 'cost.logreg' "
        "defined above",
        "correct the name",
    ),
    edited(
        PARAMS,
        "keep = 0.7",
        "keep = 0.7\ndropout = 2",
        "params.cfg:13: Layer 'drop': parameter 'dropout' is '2': expected a finite number >= 0 "
        "and <= 1",
        "correct the value",
    ),
    command(
        "check --input-shape=3x32x32",
        "the following arguments are required: --layer-def" + SEE,
        "give it",
    ),
    command(
        "check --layer-def=layers.cfg --input-shape=32x32",
        "--input-shape: expected channels x height x width such as 3x32x32; found '32x32'" + SEE,
        "correct it",
    ),
]
