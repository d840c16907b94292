"""Small helpers behind the chapters of the book, behind eight doors.

``import tlhelpers as tl`` is cheap: ``tl.data``, ``tl.models``, ``tl.train``, ``tl.look``, ``tl.book``,
``tl.stats``, ``tl.plots`` and ``tl.profile``, and the heavy libraries they need, are imported when first used.
What a package among them offers stands in its ``__init__.pyi``, which editors and type checkers read, too.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__version__ = "0.1.0"
