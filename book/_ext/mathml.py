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
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

#: Operators that latex2mathml leaves as unknown commands.
OPERATORS = ("argmin", "argmax", "arg", "softmax", "Var", "Pr")
#: Environments that it knows under another name only.
ENVIRONMENTS = {
    "aligned": "align*",
    "align": "align*",
    "split": "align*",
    "gathered": "align*",
    "gather": "align*",
}


def to_mathml(latex: str, display: bool = False) -> str:
    r"""Convert one LaTeX formula to a ``<math>`` element.

    Parameters
    ----------
    latex
        Formula without delimiters.
    display
        True for a formula on its own line.

    Returns
    -------
    str
        MathML with the source in ``alttext``.

    Raises
    ------
    ValueError
        If a command is not understood; the message names it.
    """
    source = latex.strip()
    text = source
    for name in OPERATORS:
        text = re.sub(rf"\\{name}(?![A-Za-z])", rf"\\operatorname{{{name}}}", text)
    for old, new in ENVIRONMENTS.items():
        text = text.replace(rf"\begin{{{old}}}", rf"\begin{{{new}}}").replace(rf"\end{{{old}}}", rf"\end{{{new}}}")
    if display and r"\\" in text and r"\begin" not in text:
        text = rf"\begin{{align*}}{text}\end{{align*}}"
    markup = convert(text, display="block" if display else "inline")
    unknown = re.search(r">\s*(\\[A-Za-z]+|&)\s*<", markup)
    if unknown:
        raise ValueError(f"no MathML for {unknown.group(1)} in: {source}")
    alttext = html.escape(" ".join(source.split()), quote=True)
    return markup.replace("<math ", f'<math alttext="{alttext}" ', 1)


def _render(self: HTML5Translator, node: nodes.Element, display: bool) -> str:
    try:
        return to_mathml(node.astext(), display)
    except Exception as error:
        logger.warning("formula: %s", error, location=node, type="mathml")
        return f"<code>{html.escape(node.astext())}</code>"


def visit_inline(self: HTML5Translator, node: nodes.math) -> None:
    """Write an inline formula."""
    self.body.append(f'<span class="math notranslate">{_render(self, node, False)}</span>')
    raise nodes.SkipNode


def visit_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on its own line, with its number and a link to it where it has a label."""
    # The group carries a name: a wide formula scrolls on a phone, so the keyboard must be able to reach it.
    number = get_node_equation_number(self, node) if node.get("number") else None
    label = _("Equation %s") % number if number else _("Equation")
    self.body.append(
        self.starttag(node, "div", CLASS="math notranslate tl-equation", role="group", **{"aria-label": label})
    )
    self.body.append(f'<div class="tl-equation-body">{_render(self, node, True)}</div>')
    if number:
        self.body.append(f'<span class="eqno">({number})')
        self.add_permalink_ref(node, _("Link to this equation"))
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer; ``html_math_renderer: tl_mathml`` in _config.yml selects it."""
    app.add_html_math_renderer("tl_mathml", (visit_inline, None), (visit_block, None))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
