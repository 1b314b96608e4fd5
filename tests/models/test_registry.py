# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The models that are known by name."""

import mne
import pooch
import pytest

import mne_gram.models._registry as weights
from mne_gram.models._registry import (
    fetch_model,
    get_models_dir,
    list_models,
    load_model,
    save_model,
)

pytestmark = pytest.mark.usefixtures("models_dir")


def test_models_dir(monkeypatch, tmp_path):
    assert get_models_dir() == tmp_path / "models"
    assert get_models_dir(tmp_path / "other") == tmp_path / "other"
    monkeypatch.delenv("MNE_GRAM_MODELS")
    monkeypatch.setenv("MNE_DATA", str(tmp_path / "data"))
    assert get_models_dir() == tmp_path / "data" / "mne_gram-models"
    monkeypatch.delenv("MNE_DATA")
    monkeypatch.setattr(mne, "get_config", lambda key: str(tmp_path / key))
    assert get_models_dir() == tmp_path / "MNE_DATA" / "mne_gram-models"
    monkeypatch.setattr(mne, "get_config", lambda key: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert get_models_dir() == tmp_path / "mne_data" / "mne_gram-models"


def test_list_models(model, models_dir, assert_same_networks):
    rows = {row.name: row for row in list_models()}
    assert set(rows) == {"gram-tiny", "gram-base"}
    base = rows["gram-base"]
    assert base.where == models_dir / "gram-base" and not base.present and base.sha256 is None
    assert "published" in base.description
    assert rows["gram-tiny"].where.parts[-3:] == ("data", "models", "gram-tiny")
    folder = save_model(model, models_dir / "gram-base")
    base = list_models()[1]
    assert base.present and base.sha256 == pooch.file_hash(folder / "model.safetensors")
    assert_same_networks(load_model("gram-base"), model)
    (folder / "config.json").write_text("{", encoding="utf-8")
    assert list_models()[1].sha256 is None


def test_bundled_model(model, tmp_path, monkeypatch, assert_same_networks):
    monkeypatch.setattr(weights, "_BUNDLED", tmp_path / "bundled")
    for get in (load_model, fetch_model):
        with pytest.raises(RuntimeError, match="has no trained model.*folder.*convert"):
            get("gram-tiny")
    folder = save_model(model, tmp_path / "bundled" / "gram-tiny")
    assert fetch_model("gram-tiny") == folder
    assert_same_networks(load_model(), model)
    assert list_models()[0].present


def test_missing_published_model(models_dir):
    with pytest.raises(RuntimeError, match=r"Get it with mne_gram.fetch_model\('gram-base'\)"):
        load_model("gram-base")
    with pytest.raises(RuntimeError) as error:
        fetch_model("gram-base")
    text = str(error.value)
    assert "sharing/eIMaE7DFr" in text and "sharing/J2PX8p185" in text
    assert all(f"\n{i}. " in text for i in (1, 2, 3))
    assert str(models_dir) in text and "weights convert" in text
    assert not models_dir.exists()
    with pytest.raises(ValueError, match="no model named 'gram-huge'. Known are gram-tiny"):
        fetch_model("gram-huge")
