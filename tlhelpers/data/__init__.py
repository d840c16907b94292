"""What is fed in: images, texts, small tasks, machine sound, and data of your own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
