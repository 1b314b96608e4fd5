# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Descriptions of parameters that several public functions and estimators share."""

import inspect
import re

_MODEL = """\
model : path-like{kinds}
    The name of a model that :func:`mne_gram.list_models` lists, or its folder{more}."""

_DOCS = {
    # Estimators
    "X": """\
X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
    The trials, in volts or, for arrays, in ``unit``.""",
    "features": """\
features : str | tuple of str
    One or more kinds of features, which are concatenated: ``"embedding"`` (the encoder's output),
    ``"tangent"`` (covariances in the tangent space) and ``"bandpower"`` (log power of each
    channel in each band).""",
    "model": _MODEL.format(kinds="", more=""),
    "pool_trials": """\
pool : "cls" | "mean" | "channels"
    How the embedding of a trial is pooled: the CLS vector, the mean over patches (one second of
    one channel each), or one mean per channel, which has ``n_channels`` times as many features.""",
    "bands": """\
bands : list of tuple of float | None
    Lower and upper edges in Hz of the bands for covariances and band power. None takes six bands
    from 1 to 45 Hz.""",
    "info": """\
info : mne.Info | None
    The info of trials that are passed as arrays. Not needed for epochs.""",
    "ch_names": """\
ch_names : list of str | None
    The channel names of arrays, if ``info`` is not given.""",
    "sfreq": """\
sfreq : float | None
    The sampling rate of arrays in Hz, if ``info`` is not given.""",
    "unit": """\
unit : "V" | "mV" | "uV" | "nV"
    The unit of arrays. :class:`mne.Epochs` are always in volts; MOABB gives microvolts.""",
    "line_freq": """\
line_freq : float | False | None
    The power line frequency in Hz, as in :func:`mne_gram.preprocess`.""",
    "reference": """\
reference : "average" | None
    The reference, as in :func:`mne_gram.preprocess`.""",
    "missing": """\
missing : "raise" | "harmonize"
    What to do if later trials are missing channels that were present in `fit`: ``"harmonize"``
    estimates them with :func:`mne_gram.harmonize` from all trials that are passed together.""",
    "align": """\
align : str | None
    The column of the epochs' metadata that identifies the subject, such as ``"subject"``; if X has
    no such column, ``groups`` passed to each method do. Features are then relative to the mean of
    the same subject's trials instead of the mean of all. This needs no labels, but trials of all
    classes: see the Notes of :class:`mne_gram.GramFeatures`.""",
    "groups_aligned": """\
groups : array-like, shape (n_epochs,) | None
    With ``align``, the subject of each trial, unless the epochs' metadata contain it. Otherwise
    ignored.""",
    "device_cpu": """\
device : str | None
    The device of the network; None means the CPU.""",
    # Embeddings and tokens
    "inst": """\
inst : mne.io.Raw | mne.Epochs
    The recording, in volts. It is not modified.""",
    "model_or_loaded": _MODEL.format(kinds=" | GramModel", more=", or a loaded model"),
    "picks": """\
picks : str | array-like | slice | None
    The EEG channels to use; None takes all. The average reference always uses all of them.""",
    "window": """\
window : float | None
    For Raw: the window length in whole seconds; None takes the longest that the network accepts
    (16 s). Epochs are already windows.""",
    "overlap": """\
overlap : float
    For Raw: the overlap of windows in seconds.""",
    "on_missing": """\
on_missing : "raise" | "warn" | "ignore"
    What to do if channels match no entry of the montage. They are left out.""",
    "preprocess": """\
preprocess : bool
    Whether to apply :func:`mne_gram.preprocess`. If False, the recording has to be at 200 Hz.""",
    "batch_size": """\
batch_size : int | None
    The number of windows that the network processes at once; None chooses it by their size.""",
    "device": """\
device : str | torch.device | None
    The device of the network; None leaves the network where it is.""",
    "verbose": """\
verbose : bool | str | int | None
    Control verbosity of the logging output.""",
    "feature_set": """\
ch_names : list of str
    The channels of the network's input.
onsets : array, shape (n_windows,)
    Start of each window in seconds, on the time axis of events and annotations, which
    includes ``first_samp``.
durations : array, shape (n_windows,)
    Duration of each window in seconds.
times : array, shape (n_windows,)
    Centre of each window, on the time axis of ``onsets``.
good : array, shape (n_windows,)
    Share of good patches in each window.
first_time : float | None
    For a Raw, the time of its first sample: ``onsets - first_time`` refers to
    ``raw.times``. None for Epochs.
model : str | None
    The name of the model.
sha256 : str | None
    Checksum of its weights.
events : array of int, shape (n_windows, 3) | None
    Events of Epochs.
event_id : dict | None
    Their names.
metadata : pandas.DataFrame | None
    Metadata of Epochs, one row per window.""",
    # Restoration
    "restoration_output": """\
output : "mean" | "sample"
    The conditional mean (the most accurate estimate, but with less power than EEG), or one
    random draw from the posterior, which has the power of EEG below 45 Hz.""",
    "restoration_model": """\
model : str | path-like | GramModel
    The network for ``method="gram"``: a name, a folder, or what :func:`mne_gram.load_model`
    returned.""",
    "restoration_prior": """\
prior : Prior | path-like | None
    Covariances of recordings of other subjects: None takes those in the package.
    :func:`mne_gram.fit_prior` adds recordings of your own laboratory or data set to them.""",
    "restoration_line_freq": """\
line_freq : float | None
    The power line frequency in Hz, for ``method="gram"``. None takes ``info["line_freq"]``, or
    if that is not set, the peak found in the good data, which is logged.""",
    "restoration_seed": """\
random_state : int | None
    Seed for ``output="sample"``, at least 0: the same seed gives the same draw. None gives another
    one in each call.""",
    "restoration_network": """\
device : str | torch.device | None
    The device of the network; None means the CPU.
batch_size : int | None
    The number of windows that the network processes at once; None chooses it by their size.""",
    "mne_report": """\
mne_report : mne.Report
    The report to add to.
title : str
    The beginning of the titles of the added items.
section : str | None
    The section of the report to add to; None for no section.
tags : tuple of str
    Tags to filter by.
replace : bool
    Whether to replace items that were added before under the same title and section.""",
    "return_report": """\
return_report : bool
    Whether to also return the report.""",
    # Networks
    "windows": """\
x : torch.Tensor, shape (B, C, n * 200)
    Windows in 0.1 mV at 200 Hz.
channels : array-like of int, shape (C,) or (B, C)
    Montage index of each channel.""",
    "hidden_patches": """\
mask : torch.Tensor of bool, shape (B, C, n) | None
    True where a patch is hidden. None means nowhere.""",
    # Readers of data sets
    "subjects_to_read": """\
subjects : list of str | None
    The subjects to read; None for all.""",
    "transform": """\
transform : callable | None
    A function that takes and returns a Raw, applied to each recording before it is cut.""",
    "preload_windows": """\
preload : bool
    Whether to load the data of each recording immediately.""",
    "tmin_length": """\
tmin : float
    The start of the windows in seconds relative to the event.
length : float
    The length of the windows in seconds.""",
    "recordings_to_read": """\
subjects, tasks : list of str | None
    The recordings to read; None for all.""",
    "standard_names": """\
standard_names : bool
    Whether to keep only channels with an entry in the montage of the model, renamed to it. If
    False, all EEG channels are kept with their names.""",
    "no_patch": """\
ValueError
    If no patch (one second) fits into an epoch or a segment of the Raw, no channel matches an
    entry of the montage, or the recording cannot be preprocessed.""",
}


def fill_doc(obj):
    """Replace ``%(name)s`` in a docstring by the shared description; use it below ``verbose``."""
    if obj.__doc__:
        doc = inspect.cleandoc(obj.__doc__)
        obj.__doc__ = re.sub(r"%\((\w+)\)s", lambda found: _DOCS[found[1]], doc)
    return obj
