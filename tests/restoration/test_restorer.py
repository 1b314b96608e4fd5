# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The transformer learns in fit only, and restores each trial on its own."""

import pickle
import warnings
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

import mne_gram
from mne_gram import Restorer
from mne_gram.covariance import load_prior

BROKEN = ["C3", "Pz"]


@pytest.fixture(scope="module")
def epochs():
    """Return thirty clean trials of 19 electrodes."""
    raw, _ = mne_gram.simulation.simulate_raw(60.0, seed=3, artefacts=("noise",), verbose="error")
    return mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")


@pytest.fixture(scope="module")
def train(epochs):
    """Return the trials to fit to."""
    return epochs[:20]


@pytest.fixture
def test(epochs):
    """Return the trials to restore."""
    return epochs[20:].copy()


@pytest.fixture(scope="module")
def restorer(train):
    """Return a fitted transformer."""
    return Restorer().fit(train)


@pytest.fixture(scope="module")
def finder(train):
    """Return one that finds bad channels."""
    return Restorer(bads="auto").fit(train)


def _read(inst):
    return inst.get_data(copy=True)


def _error(truth, estimate):
    """Return the squared error relative to the signal."""
    return ((estimate - truth) ** 2).sum() / (truth**2).sum()


def _rows(inst, names=BROKEN):
    return [inst.ch_names.index(name) for name in names]


# ---------------------------------------------------------------------------------------------
# What is restored


def test_bads(restorer, train, test):
    """Bad channels are restored as well as by `restore`; good ones and the input stay."""
    truth, rows = _read(test), _rows(test)
    test._data[:, rows] = 1.0
    test.info["bads"] = list(BROKEN)
    before = _read(test)
    restored = restorer.transform(test)
    assert restored.info["bads"] == [] and restored.ch_names == test.ch_names
    assert (_read(test) == before).all() and test.info["bads"] == BROKEN
    good = np.setdiff1d(np.arange(19), rows)
    assert (_read(restored)[:, good] == truth[:, good]).all()
    adapted = mne_gram.restore(test, method="spatial", verbose="error")
    spline = Restorer(method="spline").fit(train).transform(test)
    assert (_read(spline)[:, good] == truth[:, good]).all()
    ours, theirs, splines = (
        _error(truth[:, rows], _read(x)[:, rows]) for x in (restored, adapted, spline)
    )
    assert ours < 1.1 * theirs
    assert ours < splines < 1.5
    mne_spline = test.copy().interpolate_bads(origin=(0.0, 0.0, 0.04), verbose="error")
    assert (
        np.corrcoef(_read(mne_spline)[:, rows].ravel(), _read(spline)[:, rows].ravel())[0, 1] > 0.9
    )


@pytest.mark.parametrize("kind", ["epochs", "array", "list", "other order"])
def test_missing(kind, restorer, test, train):
    """Missing channels are added where they were in fit."""
    bad = test.copy()
    bad.info["bads"] = list(BROKEN)
    expected = _read(restorer.transform(bad))
    rest = test.copy().drop_channels(BROKEN)
    if kind == "array":
        found = restorer.transform(_read(rest), ch_names=rest.ch_names)
    elif kind == "list":
        found = restorer.transform([rest[k] for k in range(len(rest))])
        assert isinstance(found, list) and len(found) == len(rest)
        found = np.concatenate([_read(one) for one in found])
    else:
        if kind == "other order":
            rest.reorder_channels(rest.ch_names[::-1]).rename_channels(dict(T7="T3", P8="T6"))
        found = restorer.transform(rest)
        assert found.ch_names == train.ch_names and found.info["bads"] == []
        found = _read(found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-18)


def test_other_channels(restorer, test, train):
    """EEG that was not in fit is dropped, other channels stay, and the mask is of the input."""
    truth = _read(test)
    more = mne.create_info(["EOG", "X1"], 200.0, ["eog", "eeg"])
    more = mne.EpochsArray(np.ones((len(test), 2, 400)), more, verbose="error")
    test.add_channels([more], force_update_info=True)
    test.drop_channels(["O2"])
    mask = np.zeros((len(test), len(test.ch_names)), bool)
    mask[:, test.ch_names.index("T7")] = True
    restored = restorer.transform(test, mask=mask)
    assert restored.ch_names == [*train.ch_names, "EOG"]
    assert (restored.get_data(picks="EOG") == 1).all()
    changed = (_read(restored)[:, :19] != truth).any(axis=(0, 2))
    assert {train.ch_names[k] for k in np.flatnonzero(changed)} == {"T7", "O2"}
    assert _error(truth[:, changed], _read(restored)[:, :19][:, changed]) < 1


def test_mask(restorer, test):
    """A mask is restored, where it is True; what is masked has no influence."""
    truth = _read(test)
    mask = np.zeros(truth.shape, bool)
    mask[2, 4, 100:200] = mask[5, 7] = True
    first = restorer.transform(truth, mask=mask)
    changed = truth.copy()
    changed[mask] = np.nan
    second = restorer.transform(changed, mask=mask)
    assert (first == second).all()
    assert (first[~mask] == truth[~mask]).all() and (first[mask] != truth[mask]).all()
    assert _error(truth[mask], first[mask]) < 1
    trials = [test[k] for k in range(len(test))]
    for k, one in enumerate(restorer.transform(trials, mask=mask)):
        assert (_read(one)[0] == first[k]).all()
    with pytest.raises(ValueError, match="mask must have the shape"):
        restorer.transform(truth, mask=mask[0])


def test_raw(train, test):
    """Channel-wise annotations of a Raw are restored, and marked as such."""
    raw = mne.io.RawArray(np.concatenate(_read(train), axis=1), train.info, verbose="error")
    restorer = Restorer().fit(raw)
    raw.set_annotations(mne.Annotations([2, 6], 1, ["BAD", "BAD_move"], ch_names=[["C3"], []]))
    restored = restorer.transform(raw)
    changed = np.argwhere(restored.get_data() != raw.get_data())
    assert set(changed[:, 0]) == {raw.ch_names.index("C3")}
    assert changed[:, 1].min() == 400 and changed[:, 1].max() == 599
    assert list(restored.annotations.description) == ["RESTORED", "BAD_move"]
    # Where all channels are marked, added ones follow the others.
    rest = restorer.transform(raw.copy().drop_channels(["C3"]))
    assert np.isfinite(rest.get_data()).all() and rest.ch_names == raw.ch_names
    part = rest.get_data(picks="C3")[0, 1200:1400]
    assert np.corrcoef(part, raw.get_data(picks="C3")[0, 1200:1400])[0, 1] > 0.5


def test_weights(restorer, train, test):
    """The broadband weights, on which other parts of the package rely, restore sample by sample."""
    truth, rows = _read(test), np.array(_rows(test))
    good = np.setdiff1d(np.arange(19), rows)
    spline = Restorer(method="spline").fit(train)
    for fitted in (restorer, spline):
        weights = fitted._trial_fit.weights(good, rows)
        assert weights.shape == (2, 17)
        np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        assert _error(truth[:, rows], weights @ truth[:, good]) < 1


# ---------------------------------------------------------------------------------------------
# Channels that are found


def _damage(kind, signal, size, other, rng):
    """Return a signal in place of that of a good channel."""
    n_times = len(signal)
    seconds = np.arange(n_times) / 200.0
    if kind == "noise":  # of the usual size
        return size * rng.standard_normal(n_times)
    if kind == "stranger":
        return other * size / other.std()
    if kind == "flat":
        return np.zeros(n_times)
    if kind == "rail":
        wave = 1.2 * np.sin(2 * np.pi * 0.4 * seconds)
        return 5 * size * np.clip(signal / (5 * size) + wave, -1, 1)
    if kind == "line":
        return signal + 3 * size * np.sin(2 * np.pi * 50 * seconds)
    if kind == "pop":
        return signal + 10 * size * np.exp(-np.maximum(seconds - 0.8, 0) / 0.3) * (seconds > 0.8)
    if kind == "loud":
        return 6 * signal
    if kind == "NaN":
        return np.where(seconds == 0.5, np.nan, signal)
    raise ValueError(kind)


KINDS = ("noise", "stranger", "flat", "rail", "line", "pop", "loud", "NaN")


@pytest.fixture(scope="module")
def damaged(epochs):
    """Return trials with up to eight bad channels each, which these are, and the original."""
    rng = np.random.default_rng(0)
    truth = _read(epochs[20:])
    stranger, _ = mne_gram.simulation.simulate_raw(20.0, seed=4, artefacts=(), verbose="error")
    others = stranger.get_data().reshape(19, 10, 400)
    x, kinds = truth.copy(), np.full(truth.shape[:2], "", object)
    for trial in range(1, len(x)):
        for k, channel in enumerate(rng.choice(19, trial % 9, replace=False)):
            kind = kinds[trial, channel] = KINDS[(trial + k) % len(KINDS)]
            size = np.median(truth[trial].std(axis=1))
            other = others[channel, trial]
            x[trial, channel] = _damage(kind, truth[trial, channel], size, other, rng)
    return x, kinds, truth


def test_auto(finder, damaged, test):
    """Every kind of bad channel is found, in each trial, however many others are bad."""
    x, kinds, truth = damaged
    restored = finder.transform(x)
    assert np.isfinite(restored).all()
    same = (restored == x) | (np.isnan(restored) & np.isnan(x))
    found = ~same.all(axis=2)
    bad = kinds != ""
    assert set(kinds[bad]) == set(KINDS)
    few = bad.sum(axis=1) <= 3  # otherwise there is little to judge by, or to restore from
    assert found[few][bad[few]].all()
    assert found[bad].mean() > 0.9, kinds[bad & ~found]
    assert found[~bad].mean() < 0.03
    assert _error(truth[few][bad[few]], restored[few][bad[few]]) < 1
    spans = [finder.transform(x[k : k + 1])[0] for k in range(3)]
    assert (np.array(spans) == restored[:3]).all()
    inst = mne.EpochsArray(x, test.info, verbose="error")
    assert (_read(finder.transform(inst)) == restored).all()


def test_auto_of_raw(finder, damaged, test):
    """In a Raw, the seconds are found in which a channel is bad."""
    x, _, truth = damaged
    clean = np.concatenate(truth, axis=1)
    row = test.ch_names.index("P3")
    data = clean.copy()
    data[row, 1000:1800] = clean[row].std() * np.random.default_rng(0).standard_normal(800)
    raw = mne.io.RawArray(data, test.info, verbose="error")
    restored = finder.transform(raw)
    changed = restored.get_data() != data
    assert changed[row, 1100:1700].all() and changed[row].mean() < 0.4
    assert np.delete(changed, row, axis=0).mean() < 0.03
    assert "RESTORED" in restored.annotations.description
    part = slice(1000, 1800)
    assert _error(clean[row, part], restored.get_data()[row, part]) < 1


def test_auto_is_fitted(restorer, train, damaged):
    """Bad channels of the data of fit are found, too; a change after fit is an error."""
    x = _read(train)
    x[:, 5] = 1e-5 * np.random.default_rng(0).standard_normal((20, 400))
    fitted = Restorer(bads="auto", info=train.info).fit(x)
    again = x.copy()
    again[:, 5] *= 3
    other = Restorer(bads="auto", info=train.info).fit(again)
    assert (fitted.covariance_ == other.covariance_).all()
    with pytest.raises(ValueError, match="set after fit"):
        pickle.loads(pickle.dumps(restorer)).set_params(bads="auto").transform(x)
    with pytest.raises(ValueError, match="method was changed after fit"):
        pickle.loads(pickle.dumps(restorer)).set_params(method="spline").transform(x)


# ---------------------------------------------------------------------------------------------
# No leak


@pytest.mark.parametrize("kind", ["bads", "mask", "auto", "spline"])
def test_trials_are_independent(kind, restorer, finder, train, test):
    """A trial alone gives what it gives among others, and nothing that was fitted changes."""
    mask = np.zeros((len(test), 19, 400), bool)
    transformer = finder if kind == "auto" else restorer
    if kind == "spline":
        transformer = Restorer(method="spline", bads=BROKEN).fit(train)
    elif kind == "bads":
        transformer = pickle.loads(pickle.dumps(restorer)).set_params(bads=BROKEN)
    elif kind == "mask":
        mask[:, 4, 50:150] = mask[:, 5, 100:300] = True
    x = _read(test)
    x[:, 9] += 2e-4  # an offset of one electrode
    x[2, 8] = 1e-5 * np.random.default_rng(0).standard_normal(400)
    before = pickle.dumps(transformer)
    together = transformer.transform(x, mask=mask)
    assert (together != x).any()
    extreme = x.copy()
    extreme[4:] = np.random.default_rng(0).standard_normal(x[4:].shape) * 1e-3
    extreme[4:, 3] *= 1e2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is far too large
        among = transformer.transform(extreme, mask=mask)
    for k in range(4):
        alone = transformer.transform(x[k : k + 1], mask=mask[k : k + 1])[0]
        assert (alone == together[k]).all() and (alone == among[k]).all()
    assert pickle.dumps(transformer) == before


def test_fit_does_not_use_bad_channels(train, test):
    """Bad channels of the data of fit have no influence, and can be restored all the same."""
    test.info["bads"] = ["Cz"]
    bad = train.copy()
    bad.info["bads"] = ["Cz"]
    first = _read(Restorer().fit(bad).transform(test))
    row = _rows(test, ["Cz"])
    bad._data[:, row] = 1.0
    assert (_read(Restorer().fit(bad).transform(test)) == first).all()
    bad.info["bads"] = []
    mask = np.zeros((len(bad), 19), bool)
    mask[:, row] = True
    assert (_read(Restorer().fit(bad, mask=mask).transform(test)) == first).all()
    assert _error(_read(test)[:, row], first[:, row]) < 1


# ---------------------------------------------------------------------------------------------
# The manners of scikit-learn, and errors


def test_estimator(train, test, restorer):
    """Arrays need names; clones and pickles work; the type of arrays is kept."""
    x, data = _read(train), _read(test)
    from_array = Restorer(ch_names=train.ch_names, sfreq=200.0, bads=["O1"]).fit(x)
    found = from_array.transform(data)
    single = from_array.transform(data.astype(np.float32))
    assert single.dtype == np.float32 and found.dtype == float
    np.testing.assert_allclose(single, found, atol=1e-9)
    copy = pickle.loads(pickle.dumps(from_array))
    assert (copy.transform(data) == found).all()
    assert clone(from_array).get_params() == from_array.get_params()
    assert list(from_array.get_feature_names_out()) == train.ch_names
    assert from_array.n_features_in_ == 19 and from_array.covariance_.shape == (5, 19, 19)
    again = Restorer(info=train.info, bads=["O1"])
    assert (again.fit(x).transform(data) == found).all()
    by_epochs = Restorer(bads=["O1"]).fit([train[k] for k in range(len(train))])
    np.testing.assert_allclose(_read(by_epochs.transform(test)), found, atol=1e-9)
    np.testing.assert_allclose(by_epochs.transform(data), found, atol=1e-9)
    assert (again.fit_transform(x) == again.transform(x)).all()
    with pytest.raises(NotFittedError):
        Restorer().transform(data)


def test_a_stored_fit_names_no_subject(train, test):
    """A model that is shared says nothing of the first subject it was fitted to."""
    train = train.copy()
    train.info["subject_info"] = dict(last_name="Doe", his_id="patient 17")
    train.info["experimenter"] = train.info["description"] = "Dr Roe"
    stored = pickle.dumps(Restorer(method="spatial").fit(train))
    assert not any(word in stored for word in (b"Doe", b"patient 17", b"Roe"))
    x = test.get_data()
    wanted = Restorer(method="spatial").fit(train).transform(x)
    np.testing.assert_array_equal(pickle.loads(stored).transform(x), wanted)


def test_pipelines(train):
    """The transformer precedes CSP and features, in cross-validation of arrays and of Epochs."""
    x, y = _read(train), np.arange(len(train)) % 2
    first = Restorer(info=train.info, bads=["O1"])
    csp = mne.decoding.CSP(4)
    pipeline = make_pipeline(first, csp, LogisticRegression())
    with mne.use_log_level("error"):
        assert np.isfinite(cross_val_score(pipeline, x, y, cv=2)).all()
    pipeline[:1].set_output(transform="pandas")
    features = mne_gram.GramFeatures("bandpower")
    pipeline = make_pipeline(Restorer(bads=["O1"]), features, LogisticRegression())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "A high-pass at 0.1 Hz")
        assert np.isfinite(cross_val_score(pipeline, train, y, cv=2)).all()


def test_prior(train, test, tmp_path):
    """A prior is read in fit, from an object or a file, and survives pickling."""
    prior = load_prior()
    test.info["bads"] = list(BROKEN)
    expected = _read(Restorer().fit(train).transform(test))
    fitted = pickle.loads(pickle.dumps(Restorer(prior=prior).fit(train)))
    assert (_read(fitted.transform(test)) == expected).all()
    (tmp_path / "prior.npz").write_text("nothing")
    with pytest.raises(ValueError, match="prior"):
        Restorer(prior=tmp_path / "prior.npz").fit(train)
    with pytest.raises(TypeError, match="prior must be"):
        Restorer(prior=3).fit(train)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (dict(bads="all"), ValueError, "bads"),
        (dict(bads=["Nz"]), ValueError, "not among the EEG: Nz"),
        (dict(method="auto"), ValueError, "method"),
        (dict(sfreq=None), ValueError, "channels are unknown"),
        (dict(ch_names=["Cz"]), ValueError, "19 channels"),
    ],
)
def test_errors_of_fit(change, error, match, train):
    """Wrong parameters are refused in fit."""
    params = dict(ch_names=train.ch_names, sfreq=200.0) | change
    with pytest.raises(error, match=match):
        Restorer(**params).fit(_read(train))


def test_errors_of_transform(restorer, test):
    """Data that cannot be restored are refused, or left unchanged with a warning."""
    x = _read(test)
    with pytest.raises(ValueError, match="expected \\(n_epochs"):
        restorer.transform(x[0])
    with pytest.raises(ValueError, match="not in volts"):
        restorer.transform(x * 1e6)
    with pytest.raises(ValueError, match="one-epoch"):
        restorer.transform([test[:2]])
    x[0, 3, 5] = np.nan
    with pytest.raises(ValueError, match="not marked as bad in"):
        restorer.transform(x)
    x = _read(test)
    mask = np.zeros(x.shape[:2], bool)
    mask[2] = True
    with pytest.warns(RuntimeWarning, match="could be restored"):
        assert (restorer.transform(x, mask=mask) == x).all()
    rest = test.copy().drop_channels(["Cz"])
    rest.info["bads"] = list(rest.ch_names)
    with pytest.warns(RuntimeWarning, match="could be restored"):
        added = restorer.transform(rest)
    assert np.isfinite(_read(added)).all() and added.info["bads"] == [*rest.ch_names, "Cz"]
    x[:, 4] *= 1e3
    mask[:] = False
    mask[1, 5] = True
    with pytest.warns(RuntimeWarning, match="Not used to estimate"):
        found = restorer.transform(x, mask=mask)
    assert _error(_read(test)[1, 5], found[1, 5]) < 1


def test_unknown_channels(train, test):
    """A channel without a place that was bad in fit is not used, and cannot be restored."""
    names = {"Cz": "X1"}
    for inst in (train := train.copy(), test):
        inst.rename_channels(names)
        inst.info["chs"][inst.ch_names.index("X1")]["loc"][:] = np.nan
    train.info["bads"] = ["X1"]
    fitted = Restorer(bads=["C3"]).fit(train)
    first = _read(fitted.transform(test))
    row = test.ch_names.index("X1")
    test._data[:, row] *= -2
    second = _read(fitted.transform(test))
    assert (np.delete(first, row, axis=1) == np.delete(second, row, axis=1)).all()
    with pytest.warns(RuntimeWarning, match="could be restored"):
        fitted.set_params(bads=["X1"]).transform(test)
    with pytest.raises(ValueError, match="Cannot add X1"):
        fitted.transform(test.drop_channels(["X1"]))


def test_reject_log_as_mask(restorer, test):
    """Of autoreject, for epochs, a list of them and an array; channels go by name."""
    labels = np.zeros((10, 19))
    labels[3, 5], labels[4, 7], labels[:, 0] = 1, 2, np.nan
    mask, order = labels >= 1, np.arange(19)[::-1]
    log = SimpleNamespace(
        labels=labels[:, order],
        ch_names=[test.ch_names[k] for k in order],
        bad_epochs=np.zeros(10, bool),
    )
    expected = _read(restorer.transform(test, mask=mask))
    assert np.array_equal(_read(restorer.transform(test, mask=log)), expected)
    assert not np.array_equal(expected, _read(test))
    listed = restorer.transform([test[k] for k in range(10)], mask=log)
    assert np.array_equal(np.concatenate([_read(each) for each in listed]), expected)
    assert np.array_equal(restorer.transform(_read(test), mask=log), expected)
    fits = [Restorer().fit(test, mask=each).covariance_ for each in (mask, log)]
    assert np.array_equal(*fits)
