"""The environment chooses the profile, a seed fixes all random numbers, and the book's folder is found."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tlhelpers as tl

ROOT = Path(__file__).parents[2]


class TestCurrent:
    def test_the_default_needs_no_download_and_no_accelerator(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        found = tl.profile.current()
        assert (found.name, found.backbone, found.image_data) == ("offline", "efficientnet_lite0", "elpv")
        assert found.device == "cpu"

    def test_the_environment_names_the_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", "full")
        found = tl.profile.current()
        assert (found.name, found.backbone, found.image_size) == ("full", "resnet50", 224)
        assert found.image_data.endswith("data/chest_xray")

    def test_smoke_is_full_in_small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", "full")
        full = tl.profile.current()
        monkeypatch.setenv("TLHELPERS_PROFILE", "smoke")
        smoke = tl.profile.current()
        assert smoke.name == "smoke" and smoke.backbone == full.backbone and smoke.device == full.device
        for field in ("image_size", "n_train", "n_val", "n_test", "epochs"):
            assert getattr(smoke, field) < getattr(full, field)

    @pytest.mark.parametrize("name", ["offline", "full", "smoke"])
    def test_sizes_fit_together(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        found = tl.profile.current()
        assert max(found.label_counts) <= found.n_train and list(found.label_counts) == sorted(found.label_counts)
        assert len(set(found.seeds)) == len(found.seeds) >= 2
        assert found.batch_size > 0 and found.epochs > 0

    @pytest.mark.parametrize("name", ["Full", "", "gpu"])
    def test_an_unknown_profile_is_named_with_those_that_exist(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        message = f"TLHELPERS_PROFILE is '{name}', but the profiles are offline, full, smoke; set one of them"
        with pytest.raises(ValueError, match=message):
            tl.profile.current()

    @pytest.mark.parametrize("name", ["offline", "full"])
    def test_the_image_folder_may_be_another(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
    ) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        monkeypatch.setenv("TLHELPERS_DATA", str(tmp_path))
        assert tl.profile.current().image_data == str(tmp_path)

    def test_a_relative_folder_is_looked_for_here_then_in_the_repository(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        here, repository = tmp_path / "here", tmp_path / "repository"
        (repository / "pets").mkdir(parents=True)
        here.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setattr(profile, "book_folder", lambda: repository / "book")
        monkeypatch.setenv("TLHELPERS_DATA", "pets")
        assert Path(tl.profile.current().image_data) == repository / "pets"
        (here / "pets").mkdir()
        assert Path(tl.profile.current().image_data).resolve() == here / "pets"

    def test_a_folder_that_is_nowhere_keeps_its_name(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TLHELPERS_DATA", "no/such/folder")
        assert tl.profile.current().image_data == "no/such/folder"

    @pytest.mark.parametrize(("value", "shown"), [(None, True), ("1", True), ("0", False)])
    def test_bars_are_shown_unless_told(
        self, monkeypatch: pytest.MonkeyPatch, value: str | None, shown: bool
    ) -> None:
        monkeypatch.delenv("TLHELPERS_PROGRESS")
        if value is not None:
            monkeypatch.setenv("TLHELPERS_PROGRESS", value)
        assert tl.profile.current().progress is shown

    @pytest.mark.parametrize("name", ["full", "smoke"])
    @pytest.mark.parametrize(
        ("cuda", "mps", "device"),
        [(True, False, "cuda"), (True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
    )
    def test_an_accelerator_is_used_where_there_is_one(
        self, monkeypatch: pytest.MonkeyPatch, name: str, cuda: bool, mps: bool, device: str
    ) -> None:
        monkeypatch.setenv("TLHELPERS_PROFILE", name)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        assert tl.profile.current().device == device

    def test_the_environment_is_read_at_each_call(self, monkeypatch: pytest.MonkeyPatch) -> None:
        first = tl.profile.current()
        monkeypatch.setenv("TLHELPERS_PROFILE", "full")
        assert first.name == "offline" and tl.profile.current().name == "full"

    def test_a_profile_is_changed_in_a_copy_only(self) -> None:
        found = tl.profile.current()
        with pytest.raises(dataclasses.FrozenInstanceError):
            found.epochs = 1
        assert dataclasses.replace(found, epochs=1).epochs == 1
        assert tl.profile.current() == found


class TestSeedEverything:
    @staticmethod
    def draw(generator: torch.Generator) -> tuple[float, float, float, float]:
        return (
            random.random(),
            float(np.random.rand()),
            torch.rand(1).item(),
            torch.rand(1, generator=generator).item(),
        )

    def test_one_seed_gives_the_same_numbers_everywhere(self) -> None:
        first, again, other = (self.draw(tl.seed_everything(seed)) for seed in (7, 7, 8))
        assert first == again
        assert all(a != b for a, b in zip(first, other, strict=True))

    def test_the_generator_has_the_seed_and_a_course_of_its_own(self) -> None:
        generator = tl.seed_everything(7)
        assert generator.initial_seed() == 7 and generator is not torch.default_generator
        before = torch.get_rng_state()
        torch.rand(5, generator=generator)
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(3), np.uint8(3)])
    def test_each_whole_number_that_numpy_takes_will_do(self, seed: Any) -> None:
        assert tl.seed_everything(seed).initial_seed() == int(seed)

    @pytest.mark.parametrize("seed", [-1, 2**32, 1.0, 1.5, "1", None, True, np.float64(2)])
    def test_anything_else_is_refused(self, seed: Any) -> None:
        message = re.escape(f"seed is {seed!r}; give a whole number from 0 to 4294967295")
        with pytest.raises(ValueError, match=message):
            tl.seed_everything(seed)


class TestBookFolder:
    def test_in_the_repository_it_is_the_books(self) -> None:
        assert tl.profile.book_folder() == ROOT / "book"
        assert (tl.profile.book_folder() / "quizzes").is_dir()

    @pytest.fixture
    def package(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An installed package."""
        package = tmp_path / "site-packages" / "tlhelpers"
        (package / "_book").mkdir(parents=True)
        monkeypatch.setattr(profile, "__file__", str(package / "profile.py"))
        return package

    def test_in_an_installed_package_it_is_the_packages_own(self, package: Path) -> None:
        assert tl.profile.book_folder() == package / "_book"

    def test_a_neighbor_that_is_called_book_is_not_the_books(self, package: Path) -> None:
        (package.parent / "book").mkdir()
        assert tl.profile.book_folder() == package / "_book"
        (package.parent / "book" / "index.md").touch()
        assert tl.profile.book_folder() == package.parent / "book"
