"""The book's folder is found wherever the package lies, and a file is the expected one or refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tlhelpers import _paths
from tlhelpers._paths import book_folder, checked

ROOT = Path(__file__).parents[2]


class TestBookFolder:
    def test_in_the_repository_it_is_the_books(self) -> None:
        assert book_folder() == ROOT / "book"
        assert (book_folder() / "quizzes").is_dir()

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An installed package."""
        package = tmp_path / "site-packages" / "tlhelpers"
        (package / "_book").mkdir(parents=True)
        monkeypatch.setattr(_paths, "__file__", str(package / "_paths.py"))
        return package

    def test_in_an_installed_package_it_is_the_packages_own(self, package: Path) -> None:
        assert book_folder() == package / "_book"

    def test_a_neighbor_that_is_called_book_is_not_the_books(self, package: Path) -> None:
        (package.parent / "book").mkdir()
        assert book_folder() == package / "_book"
        (package.parent / "book" / "index.md").touch()
        assert book_folder() == package.parent / "book"


class TestChecked:
    def test_the_expected_file_is_given_back(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.pth"
        path.write_bytes(b"abc")
        # The digest of "abc" that the standard gives as an example (FIPS 180-2, appendix B.1).
        digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        assert checked(path, digest, "") == path

    def test_a_mismatch_names_file_digests_and_what_to_do(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.pth"
        path.write_bytes(b"other")
        found = hashlib.sha256(b"other").hexdigest()
        message = rf"weights\.pth: checksum mismatch, expected abc, found {found}\. Ask the lender\."
        with pytest.raises(ValueError, match=message):
            checked(path, "abc", "Ask the lender.")
