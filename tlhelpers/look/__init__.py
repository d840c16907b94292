"""What is inside: frozen features, the outputs of stages, pictures of them, and scores of nearness."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
