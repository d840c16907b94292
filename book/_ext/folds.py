"""Sphinx extension: folded code cells in a row share one fold, so that a page is not a wall of identical bars.

MyST-NB folds each cell on its own. Here the sources of neighboring folded cells that show nothing move into the
folded cell below them, in their order; the notebooks keep their cells as they are.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform


def folded(node: nodes.Node) -> bool:
    """Whether a node is a code cell of which only the source is folded."""
    return (
        isinstance(node, nodes.container)
        and node.get("nb_element") == "cell_code"
        and node.get("hide_mode") == "input"
        and bool(node.children)
        and node.children[0].get("nb_element") == "cell_code_source"
    )


def silent(cell: nodes.Element) -> bool:
    """Whether a cell shows nothing besides its source."""
    return not any(list(part.findall(lambda n: not isinstance(n, nodes.container))) for part in cell.children[1:])


class MergeFolds(SphinxPostTransform):
    """Move the sources of silent folded cells into the folded cell that follows."""

    default_priority = 198  # before MyST-NB makes the folds, at 199
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        count: dict[int, int] = {}
        for cell in [n for n in self.document.findall(nodes.container) if folded(n)]:
            below = cell.next_node(descend=False, siblings=True)
            if below is None or not folded(below) or not silent(cell):
                continue
            source, target = cell.children[0], below.children[0]
            assert isinstance(source, nodes.Element) and isinstance(target, nodes.Element)
            target[:0] = source.children
            below["ids"] = [*cell["ids"], *below["ids"]]
            n = count[id(below)] = count.pop(id(cell), 1) + 1
            for prompt in ("prompt_show", "prompt_hide"):
                below[prompt] = f"{cell[prompt].split(' (')[0]} ({n} cells)"
            cell.parent.remove(cell)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_post_transform(MergeFolds)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
