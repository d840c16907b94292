"""Sphinx extension: a figure comes before its code, and nothing before a chapter's first figure.

- A cell that hides its source shows its output first and the fold below it.
- Cells above a page's first figure that only prepare it give their source to the fold of that figure, so that the
  first screen holds the question, its answer and the figure.
- A first figure above the first heading has the class ``tl-opener``: it is no taller than that screen has
  room for.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def fold_of(cell: nodes.Element) -> HideCodeCellNode | None:
    """Return the fold around a cell's source, if it has one."""
    return next(
        (n for n in cell.children if isinstance(n, HideCodeCellNode) and "above-input" in n["classes"]), None
    )


def shows_figure(cell: nodes.Element) -> bool:
    """Whether a cell's output holds a picture."""
    return any(isinstance(node, nodes.image) for node in cell.findall())


class CodeBelow(SphinxPostTransform):
    """Move folded source below what it made, and what only prepares the first figure into that figure's fold."""

    default_priority = 200  # right after myst-nb has made its folds
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        """Change the page's tree in place."""
        cells = [node for node in self.document.findall(nodes.container) if node.get("nb_element") == "cell_code"]
        folded = [(cell, fold) for cell in cells if (fold := fold_of(cell)) is not None and len(cell.children) > 1]
        for cell, fold in folded:
            cell.remove(fold)
            cell.append(fold)
        opener, fold = next(((cell, fold) for cell, fold in folded if shows_figure(cell)), (None, None))
        if opener is None or fold is None:
            return
        if isinstance(opener.parent.parent, nodes.document):  # above the first heading
            opener["classes"].append("tl-opener")
        before = cells[: cells.index(opener)]
        if any(cell.parent is not opener.parent or len(cell.children) != 1 for cell in before):
            return  # something is shown before, or stands in another section: it keeps its place
        for cell in reversed(before):
            fold.insert(0, cell.children[0])
            cell.parent.remove(cell)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the transform."""
    app.add_post_transform(CodeBelow)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
