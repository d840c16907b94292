"""Sphinx extension: lets Sphinx read the pages in several processes.

Two extensions that Jupyter Book loads keep nothing between pages and do not say so; Sphinx would warn, and read
the pages one by one. Neither does anything here: pages are not numbered, and no LaTeX is written.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config

SILENT = ("sphinx_multitoc_numbering", "sphinx_jupyterbook_latex")


def vouch(app: Sphinx, config: Config) -> None:
    """Say for the silent ones that reading in parallel is safe (event ``config-inited``)."""
    for name in SILENT:
        if name in app.extensions:
            app.extensions[name].parallel_read_safe = True


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", vouch)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
