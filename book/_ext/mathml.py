"""Sphinx extension: formulas as MathML, made while the book is built, so that pages need no script for them.

Every current browser draws MathML Core and screen readers read it. The LaTeX source stays in ``alttext``.
LaTeX that the converter does not know would show up as raw text; here it is a warning, and so stops the build.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)


def to_mathml(latex: str, display: str = "inline") -> str:
    """Convert LaTeX without its delimiters to a ``<math>`` element, ``inline`` or on its own line (``block``).

    Raises ``ValueError``, with the command's name, where one is not understood.
    """
    markup = convert(latex.strip(), display=display)
    if unknown := re.search(r">\s*(\\[A-Za-z]+|&)\s*<", markup):
        raise ValueError(f"no MathML for {unknown[1]} in: {latex.strip()}")
    source = html.escape(" ".join(latex.split()))
    return markup.replace("<math ", f'<math alttext="{source}" ', 1)


def _write(self: HTML5Translator, node: nodes.Element, opening: str, closing: str, display: str) -> None:
    try:
        if node.get("number"):
            raise ValueError("formulas have no numbers here; take the label away and say it in words")
        self.body.append(opening + to_mathml(node.astext(), display) + closing)
    except Exception as error:
        logger.warning("formula: %s", error, location=node, type="mathml")
    raise nodes.SkipNode


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    _write(self, node, '<span class="math notranslate">', "</span>", "inline")


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    # The group has a name: a wide formula scrolls on a phone, so the keyboard must be able to reach it.
    box = '<div class="math notranslate tl-equation" role="group" aria-label="Equation">'
    _write(self, node, f'{box}<div class="tl-equation-body">', "</div></div>\n", "block")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; ``html_math_renderer: tl_mathml`` in _config.yml selects it."""
    app.add_html_math_renderer("tl_mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
