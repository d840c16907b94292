from . import book, data, look, models, plots, profile, stats, train
from ._seed import seed_everything

__all__ = ["book", "data", "look", "models", "plots", "profile", "seed_everything", "stats", "train"]
__version__: str
