from ._features import Suffix, extract, pooled, prefix
from ._inside import cka, gradcam, maps, randomized, stage_outputs, watching
from ._pictures import colors, maximize, mosaic, receptive_window, top_patches
from ._similarity import (
    above_chance,
    knn_probe,
    leep,
    linear_classifier,
    linear_probe,
    logme,
    proxy_a_distance,
    rank_correlation,
)

__all__ = [
    "Suffix",
    "above_chance",
    "cka",
    "colors",
    "extract",
    "gradcam",
    "knn_probe",
    "leep",
    "linear_classifier",
    "linear_probe",
    "logme",
    "maps",
    "maximize",
    "mosaic",
    "pooled",
    "prefix",
    "proxy_a_distance",
    "randomized",
    "rank_correlation",
    "receptive_window",
    "stage_outputs",
    "top_patches",
    "watching",
]
