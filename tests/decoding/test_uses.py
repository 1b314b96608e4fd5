# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What users pass to the estimators: rows, other units, scaled data, data sets of windows."""

import mne
import numpy as np
import pandas as pd
import pytest
from mne.decoding import Scaler, SlidingEstimator, Vectorizer
from sklearn.ensemble import BaggingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.multiclass import OneVsOneClassifier, OutputCodeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from torch.utils.data import DataLoader, Subset

from mne_gram.decoding import GramClassifier, GramFeatures

NAMES = ["C3", "Cz", "C4", "Oz"]
SFREQ = 200.0
pytestmark = pytest.mark.filterwarnings("ignore:A high-pass")
KNOWN = dict(ch_names=NAMES, sfreq=SFREQ)
Y = np.arange(24) % 3


def _draw():
    """Return trials of three classes (24, 4, 240) in volts, which differ in the power at Cz."""
    data = 1e-5 * np.random.default_rng(0).standard_normal((24, 4, 240))
    data[:, 1] *= (1 + 3 * Y)[:, np.newaxis]
    return data


def _make(**kwargs):
    return GramClassifier(features="bandpower", C=1.0, line_freq=False, **{**KNOWN, **kwargs})


@pytest.fixture(scope="module")
def proba():
    """Return the probabilities that all forms of the same trials have to give."""
    return _make().fit(_draw(), Y).predict_proba(_draw())


@pytest.mark.parametrize("form", [np.asarray, list, pd.DataFrame])
def test_rows(form, proba):
    """Flattened trials are the same as trials."""
    rows = form(_draw().reshape(24, -1))
    fitted = _make().fit(rows, Y)
    np.testing.assert_array_equal(fitted.predict_proba(rows), proba)
    assert fitted.n_features_in_ == 960
    vectorized = make_pipeline(Vectorizer(), _make()).fit(_draw(), Y)
    np.testing.assert_array_equal(vectorized.predict_proba(_draw()), proba)


def test_rows_of_an_info_with_bads(proba):
    """Rows contain all channels of the info; bad and other channels are left out."""
    info = mne.create_info([*NAMES, "EOG1", "Pz"], SFREQ, ["eeg"] * 4 + ["eog", "eeg"])
    info["bads"] = ["Pz"]
    rows = np.concatenate([_draw(), np.ones((24, 2, 240))], axis=1).reshape(24, -1)
    fitted = _make(info=info, ch_names=None, sfreq=None).fit(rows, Y)
    np.testing.assert_array_equal(fitted.predict_proba(rows), proba)


def test_no_rows():
    """What is no row of flattened trials raises an error that names the cure."""
    data = _draw()
    clf = _make().fit(data, Y)
    with pytest.raises(ValueError, match=r"not a multiple of the 4 channels.*X\[np.newaxis\]"):
        clf.predict(data[0, :, :239])
    with pytest.raises(ValueError, match=r"last 0.3 s.*of fit 1.2 s.*X\[np.newaxis\]"):
        clf.predict(data[0])
    with pytest.raises(ValueError, match=r"at least 1 s.*X\[np.newaxis\]"):
        _make().fit(data[:4, 0], Y[:4])
    with pytest.raises(ValueError, match="SlidingEstimator.*sliding_window_view"):
        SlidingEstimator(_make(), verbose="error").fit(data, Y)


def test_sliding_windows():
    """The cure works: windows along the last axis, one classifier for each."""
    windows = np.lib.stride_tricks.sliding_window_view(_draw(), 200, axis=2)[:, :, ::20]
    sliding = SlidingEstimator(_make(), verbose="error").fit(windows.swapaxes(2, 3), Y)
    assert np.all(sliding.score(windows.swapaxes(2, 3), Y) > 0.8) and len(sliding.estimators_) == 3


@pytest.mark.parametrize(
    "meta",
    [
        lambda clf: BaggingClassifier(clf, 2, random_state=0),
        SelfTrainingClassifier,
        OneVsOneClassifier,
        lambda clf: OutputCodeClassifier(clf, code_size=4, random_state=0),
    ],
)
def test_meta_estimators(meta):
    """Estimators of scikit-learn that only pass two axes get rows."""
    rows = _draw().reshape(24, -1)
    clf = meta(_make())
    y = np.where(np.arange(24) < 3, -1, Y) if isinstance(clf, SelfTrainingClassifier) else Y
    assert clf.fit(rows, y).score(rows, Y) > 0.8


def test_permutation_importance():
    """Permuting features finds the channel that matters."""
    features = GramFeatures("bandpower", bands=[(1, 40)], line_freq=False, **KNOWN)
    x = features.fit_transform(_draw())
    model = LogisticRegression().fit(x, Y)
    found = permutation_importance(model, x, Y, n_repeats=3, random_state=0)
    assert features.get_feature_names_out()[found.importances_mean.argmax()] == "power_1-40Hz_Cz"


@pytest.mark.parametrize(
    "unit, factor", [("mV", 1e3), ("uV", 1e6), ("µV", 1e6), ("μV", 1e6), ("nV", 1e9)]
)
def test_unit(unit, factor, proba):
    """Arrays in another unit give the same probabilities; Epochs are always in volts."""
    clf = _make(unit=unit).fit(factor * _draw(), Y)
    np.testing.assert_allclose(clf.predict_proba(factor * _draw()), proba, rtol=1e-5)
    epochs = mne.EpochsArray(_draw(), mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")
    np.testing.assert_allclose(clf.predict_proba(epochs), proba, rtol=1e-5)


@pytest.mark.parametrize(
    "unit, factor, match",
    [
        ("V", 1e6, "not in V. Set unit='uV' if it is in microvolts, as MOABB.*Scaler"),
        ("mV", 1e7, "not in mV. Set unit='uV'"),
        ("uV", 1e10, "not in uV. Set unit='nV'"),
        ("uV", 1.0, "not in uV. Set unit='V' if it is in volts"),
        ("nV", 1.0, "not in nV. Set unit='uV'"),
        ("V", 1e-6, "multiply them by 1e6"),
        ("uV", 0.0, "channels are flat"),
        ("volts", 1.0, "'unit' parameter"),
    ],
)
def test_wrong_unit(unit, factor, match):
    """Arrays in another unit than was said raise an error that says which it may be."""
    with pytest.raises(ValueError, match=match):
        _make(unit=unit).fit(factor * _draw(), Y)


def test_unit_despite_artefacts():
    """Huge artefacts, offsets and NaN do not change which unit is named."""
    data = _draw()
    data[3, 2, :50] = 1.0
    with pytest.raises(ValueError, match="Set unit='V'"):
        _make(unit="uV").fit(data, Y)
    with pytest.raises(ValueError, match="channels are flat"):
        _make(unit="uV").fit(np.full(data.shape, 1e5), Y)
    data[3, 2, :50] = [np.nan, np.inf] * 25
    with pytest.raises(ValueError, match="NaN, infinite.*in C4"):
        _make(unit="uV").fit(1e6 * data, Y)


@pytest.mark.parametrize("how", ["mean", "median", "columns"])
def test_scaled(how):
    """Scaled data have no unit, which is an error, or a warning if they pass for microvolts."""
    scaler = (
        Scaler(scalings=how) if how != "columns" else make_pipeline(Vectorizer(), StandardScaler())
    )
    with pytest.raises(ValueError, match="leave the scaling out"):
        make_pipeline(scaler, _make()).fit(_draw(), Y)
    with pytest.warns(RuntimeWarning, match="of 1 uV.*leave the scaling out"):
        make_pipeline(scaler, _make(unit="uV")).fit(_draw(), Y)
    constant = Scaler(mne.create_info(NAMES, SFREQ, "eeg"))  # volts to microvolts
    assert make_pipeline(constant, _make(unit="uV")).fit(_draw(), Y).score(_draw(), Y) > 0.8


class _Windows:
    """Windows with their classes and places, as `braindecode.datasets.WindowsDataset` has them."""

    def __init__(self, data, y, **inst):
        self.data, self.y, self.crop_inds = data.astype("float32"), y, np.zeros((len(y), 3))
        vars(self).update(inst)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, k):
        return self.data[k], self.y[k], [0, 0, 240]


class _Concatenation:
    """Several of them, as `braindecode.datasets.BaseConcatDataset`."""

    def __init__(self, datasets):
        self.datasets = datasets

    def __len__(self):
        return sum(map(len, self.datasets))

    def __getitem__(self, k):
        half = len(self.datasets[0])
        return self.datasets[int(k >= half)][k % half]


def _make_windows(channels=slice(None)):
    """Return two recordings of 12 windows, one of a Raw and one of Epochs."""
    info = mne.create_info(NAMES, SFREQ, "eeg")
    raw = mne.io.RawArray(np.zeros((4, 400)), info, verbose="error")
    epochs = mne.EpochsArray(_draw()[12:], info, verbose="error").pick(NAMES[channels])
    parts = _Windows(_draw()[:12], Y[:12], raw=raw), _Windows(_draw()[12:], Y[12:], windows=epochs)
    return _Concatenation(list(parts))


def test_windows():
    """A data set of windows knows its channels and classes; so do subsets of it."""
    windows = _make_windows()
    clf = _make(ch_names=None, sfreq=None).fit(windows)
    assert clf.score(windows, Y) > 0.8
    expected = _make().fit(_draw().astype("float32"), Y)
    same = expected.predict_proba(_draw().astype("float32"))
    np.testing.assert_array_equal(clf.predict_proba(windows), same)
    subset = Subset(windows, [20, 3])
    np.testing.assert_allclose(clf.predict_proba(subset), same[[20, 3]], rtol=1e-5)
    # scikit-learn makes lists of items, whose channels are not known.
    assert cross_val_score(_make(), windows, Y, cv=3).mean() > 0.8
    with pytest.raises(ValueError, match="info=epochs.info, or ch_names"):
        _make(ch_names=None, sfreq=None).fit([windows[k] for k in range(24)], Y)


def test_wrong_windows():
    """Continuous recordings, recordings of other channels and loaders of batches are errors."""
    with pytest.raises(TypeError, match="or a data set of windows of braindecode; got DataLoader"):
        _make().fit(DataLoader(_make_windows(), batch_size=1), Y)
    with pytest.raises(ValueError, match="Recording 1 of X has other channels"):
        _make().fit(_make_windows(slice(0, 3)), Y)
    whole = _make_windows().datasets[0]
    del whole.crop_inds  # continuous recordings have none
    with pytest.raises(TypeError, match="create_fixed_length_windows"):
        _make().fit(_Concatenation([whole]), Y)
