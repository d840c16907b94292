"""The environment chooses the profile, and no other module reads it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

import tlhelpers as tl


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

    def test_an_empty_image_folder_counts_as_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TLHELPERS_DATA", "")
        assert tl.profile.current().image_data == "elpv"

    @pytest.mark.parametrize("name", ["Full", "", " ", "gpu"])
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
        monkeypatch.setattr(tl.profile, "book_folder", lambda: repository / "book")
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
