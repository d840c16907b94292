"""Render the pages: what `jupyter-book build -W -n --keep-going --all .` does, in as many processes as is useful.

`python -m tools.pages`, as the build runs it: Sphinx, which changes much in its process, gets one of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from jupyter_book.sphinx import build_sphinx

# More than four wait for the longest page.
PROCESSES = min(4, os.cpu_count() or 1)


def main() -> int:
    """Render the book of the current folder into `_build/html`; returns the exit status."""
    root = Path.cwd()
    settings = {
        "external_toc_path": str(root / "_toc.yml"),
        "latex_individualpages": False,
        "nitpicky": True,
    }
    result = build_sphinx(
        root,
        root / "_build" / "html",
        noconfig=True,
        path_config=root / "_config.yml",
        confoverrides=settings,
        warningiserror=True,
        keep_going=True,
        freshenv=True,
        jobs=PROCESSES,
    )
    return result if isinstance(result, int) else 1


if __name__ == "__main__":
    sys.exit(main())
