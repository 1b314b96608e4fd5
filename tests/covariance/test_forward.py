# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The forward model: covariances of sources, and mixtures of them that fit measurements."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from mne.utils import catch_logging
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram.covariance import (
    N_BANDS,
    _forward,
    compute_components,
    fit_sources,
    forward_components,
)
from mne_gram.covariance._forward import FORWARD_FILE
from mne_gram.montage import INDEX

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "make_forward.py"

NAMES = "Fp1 Fp2 F3 F4 C3 C4 P3 P4 O1 O2".split()


@pytest.fixture(scope="module")
def components():
    return forward_components()


@pytest.fixture(scope="module")
def computed():
    return compute_components()


def indices(names):
    """Return the montage indices of names."""
    return np.array([INDEX[name.upper()] for name in names])


def test_components_are_covariances(components):
    assert components.shape[1:] == (114, 114) and len(components) > 40
    assert_allclose(np.trace(components, axis1=1, axis2=2), 114)
    assert_allclose(components, components.swapaxes(1, 2), atol=1e-9)
    assert np.linalg.eigvalsh(components).min() > -1e-8 * 114
    # Entries of one place are one electrode.
    for pair in (["T3", "T7"], ["CB1", "PO9"]):
        corner = components[:, indices(pair)][:, :, indices(pair)]
        assert_allclose(corner, np.repeat(corner[:, :1, :1], 2, 1).repeat(2, 2), rtol=1e-6)


def test_components_fall_off_with_distance(components):
    mean = components[:-1].mean(axis=0)
    spread = np.sqrt(np.diag(mean))
    r = mean / np.outer(spread, spread)
    near, far = r[tuple(indices(["C3", "C1"]))], r[tuple(indices(["C3", "P8"]))]
    assert near > 0.7 and near > far + 0.3


def test_components_are_the_same_again(computed):
    assert_array_equal(compute_components(), computed)


def test_fitted_mixture_agrees_where_it_was_measured(components):
    amounts = np.random.default_rng(0).exponential(size=(N_BANDS, len(components)))
    truth = np.tensordot(amounts, components, axes=1)
    channels = indices([*NAMES, "Cz", "Pz", "Fz", "T7", "T8", "FC5", "PO4", "TP9"])
    fitted = fit_sources(components, truth[:, channels][:, :, channels], np.eye(114)[channels])
    assert fitted.shape == (N_BANDS, 114, 114)
    assert np.linalg.eigvalsh(fitted).min() > -1e-8 * fitted.max()
    average = np.eye(114) - 1 / 114
    for found, true in zip(average @ fitted @ average, average @ truth @ average, strict=True):
        # At the other electrodes too, as far as physics goes.
        assert np.linalg.norm(found - true) < 0.15 * np.linalg.norm(true)


def test_components_in_the_package_are_the_computed_ones(components, computed):
    assert components.dtype == float
    assert_allclose(components, computed, atol=1e-5)


@pytest.mark.parametrize("content", [None, b"", "damaged"])
def test_damaged_components_are_computed(content, computed, tmp_path, monkeypatch):
    damaged = tmp_path / "forward.npy"
    if content is not None:
        whole = bytearray(FORWARD_FILE.read_bytes())
        whole[len(whole) // 2] ^= 1
        damaged.write_bytes(whole if content == "damaged" else content)
    monkeypatch.setattr(_forward, "FORWARD_FILE", damaged)
    monkeypatch.setattr(_forward, "compute_components", lambda: computed)
    with catch_logging(verbose="info") as log:
        assert forward_components.__wrapped__() is computed
    assert "missing or damaged" in log.getvalue()


def test_script_makes_the_components(computed, tmp_path, monkeypatch, capsys):
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setitem(script["main"].__globals__, "compute_components", lambda: computed)
    made = tmp_path / "forward.npy"
    script["main"](["--out", str(made)])
    checksum = capsys.readouterr().out.strip()
    monkeypatch.setattr(_forward, "FORWARD_FILE", made)
    monkeypatch.setattr(_forward, "_SHA256", checksum)
    monkeypatch.setattr(_forward, "compute_components", None)
    assert_allclose(forward_components.__wrapped__(), computed, atol=1e-5)
