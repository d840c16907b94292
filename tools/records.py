"""Read what an executed notebook recorded: its claims, each in the metadata of the output that shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tlhelpers.book._claims import Claim


def claims(notebook: str | Path) -> list[Claim]:
    """The claims that an executed notebook shows, in order.

    Raises `FileNotFoundError` when there is no such notebook, and `ValueError` when the file is no notebook or one
    slug stands for two claims.
    """
    path = Path(notebook)
    if not path.is_file():
        raise FileNotFoundError(f"no notebook {path}; run the chapter first, claims are made when it runs.")
    try:
        cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path.name} is not a notebook ({error}); give an executed .ipynb.") from error
    shown: dict[str, Claim] = {}
    for cell in cells:
        for output in cell.get("outputs", []):
            if record := output.get("metadata", {}).get("tlhelpers", {}).get("claim"):
                claim = Claim(**record)
                if claim.slug in shown:
                    raise ValueError(
                        f"{path.name}: claim {claim.slug} stands twice; give each claim its own slug."
                    )
                shown[claim.slug] = claim
    return list(shown.values())
