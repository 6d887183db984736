"""The layer types by the names that layer files use."""

from __future__ import annotations

from convnet.layer_types.base import Layer
from convnet.layer_types.batchnorm import BatchnormLayer
from convnet.layer_types.colors import Rgb2LabLayer, Rgb2YuvLayer
from convnet.layer_types.conv import CccpLayer, ConvLayer, LocalLayer
from convnet.layer_types.cost import LogregCost, SoftmaxLayer, Sum2Cost
from convnet.layer_types.cost_entropy import BceCost, CeCost, CrossentCost, DceCost
from convnet.layer_types.cost_metric import CenterCost, ContrastiveCost, MarginCost, TripletCost
from convnet.layer_types.cost_ranking import GsinlabelCost, HingelossCost, LocrankCost
from convnet.layer_types.data import DataLayer
from convnet.layer_types.elementwise import (
    ConcatLayer,
    Dropout2Layer,
    DropoutLayer,
    EltmaxLayer,
    EltsumLayer,
    NeuronLayer,
    PassLayer,
    StopgradLayer,
    UnionLayer,
)
from convnet.layer_types.fc_variants import (
    FcdropcfLayer,
    FcdropcLayer,
    FcdropLayer,
    FcdropoLayer,
    SfcLayer,
)
from convnet.layer_types.images import (
    BlurLayer,
    CropLayer,
    HrefLayer,
    NailbedLayer,
    ResizeLayer,
    RscaleLayer,
)
from convnet.layer_types.metric import CosfcLayer, L2normLayer
from convnet.layer_types.norm import CmrnormLayer, CnormLayer, RnormLayer
from convnet.layer_types.pool import CmpoolLayer, PoolLayer
from convnet.layer_types.prelu import PreluLayer
from convnet.layer_types.weights import FcLayer

LAYER_TYPES: dict[str, type[Layer]] = {
    layer_type.type_name: layer_type
    for layer_type in (
        DataLayer,
        ConvLayer,
        LocalLayer,
        CccpLayer,
        FcLayer,
        SfcLayer,
        FcdropoLayer,
        FcdropLayer,
        FcdropcLayer,
        FcdropcfLayer,
        CosfcLayer,
        PoolLayer,
        CmpoolLayer,
        RnormLayer,
        CnormLayer,
        CmrnormLayer,
        BatchnormLayer,
        L2normLayer,
        NailbedLayer,
        BlurLayer,
        ResizeLayer,
        CropLayer,
        HrefLayer,
        RscaleLayer,
        Rgb2YuvLayer,
        Rgb2LabLayer,
        NeuronLayer,
        PreluLayer,
        EltsumLayer,
        EltmaxLayer,
        ConcatLayer,
        PassLayer,
        UnionLayer,
        StopgradLayer,
        DropoutLayer,
        Dropout2Layer,
        SoftmaxLayer,
        LogregCost,
        CrossentCost,
        CeCost,
        BceCost,
        DceCost,
        HingelossCost,
        Sum2Cost,
        GsinlabelCost,
        LocrankCost,
        MarginCost,
        TripletCost,
        ContrastiveCost,
        CenterCost,
    )
}
