"""What makes this a measured book: claims, quizzes, stored tables, glued values, and a first strategy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
