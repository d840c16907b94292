from ._backbones import Backbone, Stage, evaluating, load
from ._encoders import Encoder, encode, encoder_weights, load_encoder, mean_pool, text_lengths
from ._freezing import freeze, freeze_norms, summary, unfreeze, unfreeze_from_top
from ._preprocessing import preprocessing
from ._saving import load_saved, save

__all__ = [
    "Backbone",
    "Encoder",
    "Stage",
    "encode",
    "encoder_weights",
    "evaluating",
    "freeze",
    "freeze_norms",
    "load",
    "load_encoder",
    "load_saved",
    "mean_pool",
    "preprocessing",
    "save",
    "summary",
    "text_lengths",
    "unfreeze",
    "unfreeze_from_top",
]
