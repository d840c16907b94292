"""Sphinx extension: pages that need no other host and log no error, also when opened from a folder.

What it does, and why:

- drops every script and style sheet that lives on another host (thebe's loader names unpkg.com on each page and
  declares the same constant twice, which is a console error);
- drops the thebe configuration that sphinx-thebe appends to each notebook page;
- offers the clean notebook ``book/NN-name.ipynb`` (outputs, plain Markdown) for download instead of the one that
  the build made, which has no outputs when the cells came from the cache;
- takes roles out of the bibliography that assistive technology no longer knows.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

#: What gives away sphinx-thebe in a script's body, a file name or a raw node.
THEBE_MARKS = ("THEBE_JS_URL", "sphinx-thebe", "text/x-thebe-config", "<script>kernelName")


def is_foreign(asset: Any) -> bool:
    """Say whether a script or style sheet comes from another host or belongs to thebe.

    Parameters
    ----------
    asset
        A Sphinx ``_JavaScript`` or ``_CascadingStyleSheet``, or a plain file name.
    """
    name = str(getattr(asset, "filename", asset) or "")
    body = (getattr(asset, "attributes", None) or {}).get("body") or ""
    return name.startswith(("http:", "https:", "//")) or any(mark in name or mark in body for mark in THEBE_MARKS)


def strip_assets(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Remove foreign scripts and style sheets from one page's context (event ``html-page-context``)."""
    for key in ("script_files", "css_files"):
        if key in context:
            context[key] = [asset for asset in context[key] if not is_foreign(asset)]
    # docutils writes a role that ARIA 1.2 has deprecated, in a "list" whose children are not list items.
    if "citation-list" in context.get("body", ""):
        body = context["body"].replace(' role="doc-biblioentry"', "")
        context["body"] = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')


def strip_thebe_nodes(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Remove the raw nodes that sphinx-thebe appended to a page (event ``doctree-resolved``)."""
    for node in list(doctree.findall(nodes.raw)):
        if any(mark in node.astext() for mark in THEBE_MARKS):
            node.parent.remove(node)


def copy_clean_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Put the derived notebooks behind the download button (event ``build-finished``)."""
    if error is not None or app.builder.format != "html":
        return
    for docname in app.env.all_docs:
        notebook = Path(app.srcdir, f"{docname}.ipynb")
        target = Path(app.outdir, "_sources", f"{docname}.ipynb")
        if notebook.is_file() and target.parent.is_dir():
            shutil.copyfile(notebook, target)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect the handlers after those of the theme and of sphinx-thebe."""
    app.connect("html-page-context", strip_assets, priority=999)
    app.connect("doctree-resolved", strip_thebe_nodes, priority=999)
    app.connect("build-finished", copy_clean_notebooks, priority=999)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
