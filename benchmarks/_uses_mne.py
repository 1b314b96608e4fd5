# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Uses with MNE-Python, autoreject, pyprep and mne-icalabel."""

from functools import lru_cache

import mne
import numpy as np
from _uses import use

import mne_gram


@lru_cache
def load_sample():
    """Return the bundled recording with its bad channels, and without them."""
    return mne_gram.datasets.sample(return_truth=True)


def get_raw():
    """Return twenty seconds of 64 channels, two of which are bad."""
    raw = load_sample()[0].copy()
    raw.set_annotations(None)
    return raw


def get_epochs():
    """Return epochs of one second of 16 good channels, with artefacts in three of one channel."""
    raw = load_sample()[1].copy().set_annotations(None)
    raw.pick("Fp1 Fp2 F7 F3 Fz F4 F8 C3 Cz C4 P7 P3 Pz P4 P8 Oz".split())
    raw.info["bads"] = []
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True)
    rng = np.random.default_rng(0)
    epochs._data[[2, 5, 6], 5] += 5e-4 * rng.standard_normal((3, len(epochs.times)))
    return epochs


# ---------------------------------------------------------------------------------------------
# MNE-Python


@use("MNE-Python", "one line instead of interpolate_bads")
def _one_line():
    raw = mne_gram.restore(get_raw(), method="spatial")
    assert raw.info["bads"] == []


@use("MNE-Python", "exclude and reset_bads as in interpolate_bads")
def _exclude():
    for reset_bads in (True, False):
        options = dict(exclude=["FT8"], reset_bads=reset_bads)
        expected = get_raw().interpolate_bads(**options).info["bads"]
        restored = mne_gram.restore(get_raw(), method="spatial", **options)
        assert restored.info["bads"] == expected


@use("MNE-Python", "bad channels of find_bad_channels_lof")
def _lof():
    raw = get_raw()
    raw.info["bads"] += mne.preprocessing.find_bad_channels_lof(raw)
    assert mne_gram.restore(raw, method="spatial").info["bads"] == []


@use("MNE-Python", "bad channels and segments of annotate_amplitude")
def _annotate_amplitude():
    raw = get_raw()
    raw._data[3, 500:900] = raw._data[3, 500]
    annotations, bads = mne.preprocessing.annotate_amplitude(raw, flat=dict(eeg=1e-7))
    raw.set_annotations(raw.annotations + annotations)
    raw.info["bads"] += bads
    assert mne_gram.restore(raw, method="spatial").info["bads"] == []


@use("MNE-Python", "Evoked, and epochs that are not loaded")
def _other_types():
    raw = get_raw()
    epochs = mne.Epochs(raw, mne.make_fixed_length_events(raw), tmin=0, tmax=0.9, baseline=None)
    assert mne_gram.restore(epochs, method="spatial").info["bads"] == []
    assert mne_gram.restore(epochs.average(), method="spatial").info["bads"] == []


@use("MNE-Python", "rank=report.rank in compute_covariance and whitening")
def _covariance():
    raw, report = mne_gram.restore(get_raw(), method="spatial", return_report=True)
    cov = mne.compute_raw_covariance(raw, rank=report.rank)
    *_, rank = mne.cov.compute_whitener(cov, raw.info, rank=report.rank, return_rank=True)
    assert rank == report.rank["eeg"] == 62


@use("MNE-Python", "ICA with n_components=report.rank")
def _ica():
    raw, report = mne_gram.restore(get_raw(), method="spatial", return_report=True)
    raw.filter(1, None)
    ica = mne.preprocessing.ICA(report.rank["eeg"], method="infomax", max_iter=2)
    assert ica.fit(raw).n_components_ == 62
    ica.exclude = [0]
    ica.apply(raw)


@use("MNE-Python", "rank=report.rank in an inverse operator")
def _inverse():
    raw = get_raw().set_eeg_reference("average", projection=True)
    raw, report = mne_gram.restore(raw, method="spatial", return_report=True)
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True).apply_proj()
    cov = mne.compute_covariance(epochs, rank=report.rank, method="shrunk")
    sphere = mne.make_sphere_model("auto", "auto", epochs.info)
    source = mne.setup_volume_source_space(sphere=sphere, pos=40.0, sphere_units="m")
    forward = mne.make_forward_solution(epochs.info, None, source, sphere, meg=False)
    rank = report.rank
    inverse = mne.minimum_norm.make_inverse_operator(epochs.info, forward, cov, rank=rank)
    mne.minimum_norm.apply_inverse(epochs.average(), inverse)
    assert rank == {"eeg": 61}


@use("MNE-Python", "rank=report.rank in CSP and SSD")
def _spatial_filters():
    from mne.decoding import CSP, SSD

    raw, report = mne_gram.restore(get_raw(), method="spatial", return_report=True)
    epochs = mne.make_fixed_length_epochs(raw, 1.0, preload=True)
    CSP(rank=report.rank).fit(epochs.get_data(), np.arange(len(epochs)) % 2)
    width = dict(l_trans_bandwidth=1, h_trans_bandwidth=1)
    signal, noise = dict(l_freq=8, h_freq=12, **width), dict(l_freq=6, h_freq=14, **width)
    SSD(raw.info, signal, noise, rank=report.rank).fit(raw.get_data())


@use("MNE-Python", "bad channels beside annotate_muscle_zscore")
def _muscle():
    raw = get_raw()
    options = dict(ch_type="eeg", threshold=2, filter_freq=(30, 70))
    raw.set_annotations(mne.preprocessing.annotate_muscle_zscore(raw, **options)[0])
    assert len(raw.annotations) and mne_gram.restore(raw, method="spatial").info["bads"] == []


@use("MNE-Python", "interpolate_bridged_electrodes, then restore")
def _bridged():
    raw = get_raw()
    pairs, _ = mne.preprocessing.compute_bridged_electrodes(raw)
    raw = mne.preprocessing.interpolate_bridged_electrodes(raw, pairs)
    assert pairs and mne_gram.restore(raw, method="spatial").info["bads"] == []


@use("MNE-Python", "restored segments are kept when cut into epochs")
def _cut():
    raw = mne_gram.restore(load_sample()[0].copy(), method="spatial")
    events = mne.make_fixed_length_events(raw)
    assert len(mne.Epochs(raw, events, tmin=0, tmax=0.9, baseline=None, preload=True)) == 20


@use("MNE-Python", "current source density after")
def _density():
    mne.preprocessing.compute_current_source_density(mne_gram.restore(get_raw()))


@use("MNE-Python", "current source density before", cure="use the data before")
def _density_before():
    raw = mne.preprocessing.compute_current_source_density(get_raw().interpolate_bads())
    raw.info["bads"] = ["C3"]
    mne_gram.restore(raw)


@use("MNE-Python", "MEG and EEG together")
def _meg():
    raw = get_raw()
    info = mne.create_info(["MEG 0111", "MEG 0121"], raw.info["sfreq"], "mag")
    noise = 1e-12 * np.random.default_rng(0).standard_normal((2, raw.n_times))
    raw.add_channels([mne.io.RawArray(noise, info)], force_update_info=True)
    raw.info["bads"] += ["MEG 0111"]
    assert mne_gram.restore(raw, method="spatial").info["bads"] == ["MEG 0111"]


@use("MNE-Python", "sections of mne.Report")
def _sections():
    raw, report = mne_gram.restore(get_raw(), mask="auto", method="spatial", return_report=True)
    page = mne.Report()
    page.add_raw(raw, "Restored", psd=False)
    report.add_to(page, section="Restoration")
    report.found.add_to(page, section="Restoration")
    titles = page.get_contents()[0]
    assert titles == ["Restored", "Restoration"] and page.html[-1].count("<img") >= 3


@use("MNE-Python", "a pipe of methods, and back to disk")
def _pipe():
    import tempfile
    from pathlib import Path

    raw = mne_gram.restore(get_raw(), method="spatial").filter(1, 40).set_eeg_reference("average")
    with tempfile.TemporaryDirectory() as folder:
        raw.save(Path(folder) / "x_raw.fif")
        assert len(mne.io.read_raw_fif(Path(folder) / "x_raw.fif").annotations)


@use("MNE-Python", "equalize_bads, then restore")
def _equalize():
    raws = [get_raw(), get_raw()]
    raws[1].info["bads"] = ["C3"]
    raws = mne.preprocessing.equalize_bads(raws, interp_thresh=1.0)
    assert all(mne_gram.restore(raw, method="spatial").info["bads"] == [] for raw in raws)


# ---------------------------------------------------------------------------------------------
# autoreject


@lru_cache
def run_autoreject():
    """Return epochs, those that autoreject returned, and its log."""
    from autoreject import AutoReject

    epochs = get_epochs()
    options = dict(n_interpolate=[1], consensus=[0.5], cv=2, thresh_method="random_search")
    reject = AutoReject(**options, random_state=0, verbose=False).fit(epochs)
    return epochs, *reject.transform(epochs, return_log=True)


@use("autoreject", "RejectLog as mask of the epochs that it was given")
def _log_before():
    epochs, _, log = run_autoreject()
    restored, report = mne_gram.restore(epochs, mask=log, method="spatial", return_report=True)
    assert len(restored) == len(epochs) and "F4" in set(report.to_data_frame()["channel"])


@use("autoreject", "RejectLog as mask of the epochs that it returned")
def _log_after():
    _, returned, log = run_autoreject()
    mne_gram.restore(returned, mask=log, method="spatial")


@use("autoreject", "RejectLog saved and read")
def _log_file():
    import tempfile
    from pathlib import Path

    from autoreject import read_reject_log

    epochs, _, log = run_autoreject()
    with tempfile.TemporaryDirectory() as folder:
        log.save(Path(folder) / "log.npz")
        log = read_reject_log(Path(folder) / "log.npz")
    mne_gram.restore(epochs, mask=log, method="spatial")


@use("autoreject", "RejectLog as mask of a Restorer")
def _log_restorer():
    epochs, _, log = run_autoreject()
    mne_gram.Restorer().fit(epochs, mask=log).transform(epochs, mask=log)


@use("autoreject", "RejectLog of some channels")
def _log_some():
    from autoreject import AutoReject

    epochs = get_epochs()
    epochs.set_channel_types({"Fp1": "eog"})
    options = dict(n_interpolate=[1], consensus=[0.5], cv=2, thresh_method="random_search")
    reject = AutoReject(**options, picks=["F3", "F4", "Fz", "C3", "C4", "Cz", "P3", "P4"])
    log = reject.fit(epochs).get_reject_log(epochs)
    assert np.isnan(log.labels).any()
    mne_gram.restore(epochs, mask=log, method="spatial")


@use("autoreject", "labels of a RejectLog as mask", cure="pass the log itself")
def _labels():
    epochs, _, log = run_autoreject()
    mne_gram.restore(epochs, mask=log.labels)


@use("autoreject", "RejectLog after other epochs were dropped", cure="do so after restoring")
def _log_dropped():
    epochs, _, log = run_autoreject()
    mne_gram.restore(epochs[2:], mask=log)


@use("autoreject", "RejectLog for a Raw", cure="must be an instance of Epochs")
def _log_raw():
    mne_gram.restore(get_raw(), mask=run_autoreject()[2])


@use("autoreject", "AutoReject and get_rejection_threshold of restored epochs")
def _autoreject_after():
    from autoreject import AutoReject, get_rejection_threshold

    epochs = get_epochs()
    epochs.info["bads"] = ["C3"]
    restored = mne_gram.restore(epochs, method="spatial")
    assert get_rejection_threshold(restored, cv=2, random_state=0)["eeg"] > 0
    options = dict(n_interpolate=[1], consensus=[0.5], cv=2, thresh_method="random_search")
    AutoReject(**options, random_state=0, verbose=False).fit_transform(restored)


@use("autoreject", "Ransac: bad channels to info")
def _ransac():
    from autoreject import Ransac

    epochs = get_epochs()
    ransac = Ransac(n_resample=10, verbose=False, random_state=0).fit(epochs)
    epochs.info["bads"] = ransac.bad_chs_
    mne_gram.restore(epochs, method="spatial")


# ---------------------------------------------------------------------------------------------
# pyprep


@use("pyprep", "NoisyChannels: bad channels to info")
def _noisy_channels():
    from pyprep import NoisyChannels

    raw = get_raw()
    noisy = NoisyChannels(raw, random_state=0)
    noisy.find_all_bads(ransac=False)
    raw.info["bads"] = [*raw.info["bads"], *noisy.get_bads()]
    assert mne_gram.restore(raw, method="spatial").info["bads"] == []


@use("pyprep", "NoisyChannels of a restored Raw")
def _noisy_after():
    from pyprep import NoisyChannels

    noisy = NoisyChannels(mne_gram.restore(get_raw(), method="spatial"), random_state=0)
    noisy.find_all_bads(ransac=False)
    assert not {"CP2", "FT8"} & set(noisy.get_bads())


@use("pyprep", "PrepPipeline, what it interpolated restored again")
def _prep():
    from pyprep import PrepPipeline

    raw = get_raw()
    raw.info["bads"] = []
    params = dict(ref_chs="eeg", reref_chs="eeg", line_freqs=[])
    prep = PrepPipeline(raw, params, raw.get_montage(), ransac=False, random_state=0).fit()
    raw = prep.raw
    raw.info["bads"] = [*prep.interpolated_channels, *prep.still_noisy_channels]
    assert mne_gram.restore(raw, method="spatial").info["bads"] == []


# ---------------------------------------------------------------------------------------------
# mne-icalabel


@use("mne-icalabel", "label_components of a restored Raw")
def _icalabel():
    from mne_icalabel import label_components

    raw, report = mne_gram.restore(get_raw(), method="spatial", return_report=True)
    raw.resample(200).filter(1, 99).set_eeg_reference("average")
    assert report.rank == {"eeg": 62}
    ica = mne.preprocessing.ICA(15, method="infomax", fit_params=dict(extended=True), max_iter=5)
    labels = label_components(raw, ica.fit(raw), method="iclabel")["labels"]
    ica.apply(raw, exclude=[k for k, label in enumerate(labels) if label == "eye blink"])
    mne_gram.compute_embedding(raw, preprocess=True, window=8.0)


@use("mne-icalabel", "restore after ICA, with the components that were kept")
def _icalabel_before():
    from mne_icalabel import label_components

    raw = get_raw().filter(1, 79).set_eeg_reference("average")
    ica = mne.preprocessing.ICA(15, method="infomax", fit_params=dict(extended=True), max_iter=5)
    ica.fit(raw)
    label_components(raw, ica, method="iclabel")
    ica.apply(raw, exclude=[0])
    raw, report = mne_gram.restore(raw, method="spatial", return_report=True)
    assert report.rank["eeg"] == 60  # 62 good channels, the reference, the component
