"""The API page: every module of ``tlhelpers.__all__``, in that order, documented by autodoc."""

from __future__ import annotations

import importlib

import ledger  # noqa: F401  (puts the checkout on the path)

import tlhelpers

#: Settings of autodoc and napoleon. Types of other packages are named, not linked: the pages ask no other host.
SETTINGS = {
    "autodoc_member_order": "bysource",
    "autodoc_typehints": "signature",
    "autodoc_typehints_format": "short",
    "autodoc_preserve_defaults": True,
    "python_use_unqualified_type_names": True,
    "napoleon_google_docstring": True,
    "napoleon_numpy_docstring": False,
    "napoleon_use_rtype": False,
    "napoleon_use_ivar": True,
    "toc_object_entries_show_parents": "hide",
    "nitpick_ignore_regex": [("py:.*", r"(?!tlhelpers\.).*")],
}


def module(name: str) -> str:
    """One module as MyST Markdown."""
    purpose = (importlib.import_module(f"tlhelpers.{name}").__doc__ or "").strip().split("\n\n")[0]
    assert purpose, f"tlhelpers.{name} has no docstring"
    return (
        f"(api-{name})=\n## tlhelpers.{name}\n\n```{{eval-rst}}\n.. automodule:: tlhelpers.{name}\n"
        "   :members:\n   :show-inheritance:\n```\n"
    )


def modules() -> str:
    """All modules as MyST Markdown."""
    return "\n".join(module(name) for name in tlhelpers.__all__)
