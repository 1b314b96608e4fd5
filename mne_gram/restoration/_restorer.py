# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""A transformer for scikit-learn: fitted once, it restores new data trial by trial."""

from copy import deepcopy

import numpy as np
from mne.utils import _check_option, _validate_type
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._checks import check_content, check_positions, make_array_info, pick_eeg
from .._docs import fill_doc
from .._recording import (
    check_recording,
    collect_spans,
    find_stray_channels,
    open_recording,
)
from .._threads import one_blas_thread
from ..covariance import resolve_prior
from ..detection import find_training_bads
from ._trial_fit import describe_channels, fit_trials, hide_channels
from ._trial_input import (
    check_list,
    copy_inst,
    is_inst,
    is_list_of_epochs,
    make_epochs,
    read_array,
    split_mask,
)
from ._trials import restore_trials, warn_of_unused

_METHODS = ("spatial", "spline")


@fill_doc
class Restorer(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    """Learn from clean data how channels covary, and restore bad channels of new data.

    In contrast to :func:`mne_gram.restore`, which adapts to the data that it restores, this is a
    transformer for a pipeline of scikit-learn: `transform` restores each trial by the covariance
    estimated in `fit`, so that neither other trials nor the test set influence it.

    Parameters
    ----------
    bads : "auto" | list of str | None
        Bad channels of the data passed to `transform`, in addition to those that are marked there:
        with ``"auto"``, those that do not fit the others, found in each trial (and, with
        :func:`mne_gram.find_bads`, in the data passed to `fit`); or the names of channels that are
        bad in all of them.
    %(restoration_prior)s
    method : "spatial" | "spline"
        As in :func:`mne_gram.restore`: a conditional Gaussian, or the spherical splines of MNE,
        which learn nothing.
    %(info)s
    %(ch_names)s
    %(sfreq)s

    Attributes
    ----------
    ch_names_ : list of str
        The EEG channels, which restored data have in this order.
    covariance_ : array, shape (n_bands, n_channels, n_channels)
        Their covariance in each frequency band, in square volts.
    n_features_in_ : int
        The number of channels of the data passed to `fit`.

    See Also
    --------
    mne_gram.restore : Restore a recording by what its own good data show.
    mne_gram.harmonize : Add channels to a recording.
    GramFeatures : Features of the restored trials.

    Notes
    -----
    Data are :class:`mne.io.Raw`, :class:`mne.Epochs`, a list of Epochs with one trial each (which
    is what :func:`sklearn.model_selection.cross_val_score` makes of Epochs), or an array of shape
    ``(n_epochs, n_channels, n_times)``, all in volts. `transform` returns the same kind of data, a
    copy, in which good samples are unchanged, bit for bit.

    Bad channels and segments are marked as in :func:`mne_gram.restore`, in `fit` and in
    `transform`: by ``info["bads"]``, annotations that begin with ``BAD``, or ``mask``. Channels
    that are missing from new data are added. Channels are matched by name; EEG channels that were
    not present in `fit` are dropped, and non-EEG channels are kept.

    A channel that was bad in `fit` can be restored too, if its name or position is known, since its
    covariance is then predicted from other subjects' recordings. Where fewer than two channels are
    good (with splines, four), bad ones are left unchanged, with a warning; missing ones are then
    predicted from channels that are marked as bad.

    Examples
    --------
    >>> import mne
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample()
    >>> epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    >>> restorer = mne_gram.Restorer().fit(epochs[:5])
    >>> test = epochs[5:].drop_channels(["Cz"])
    >>> "Cz" in restorer.transform(test).ch_names
    True
    """

    def __init__(
        self,
        *,
        bads=None,
        prior=None,
        method="spatial",
        info=None,
        ch_names=None,
        sfreq=None,
    ):
        self.bads = bads
        self.prior = prior
        self.method = method
        self.info = info
        self.ch_names = ch_names
        self.sfreq = sfreq

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    @one_blas_thread
    def fit(self, X, y=None, *, mask=None):
        """Learn how channels covary.

        Parameters
        ----------
        X : mne.io.Raw | mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The data, in volts, mostly clean.
        y : None
            Ignored.
        mask : array of bool | autoreject.RejectLog | None
            Additional bad samples, True where bad, as in :func:`mne_gram.restore`.

        Returns
        -------
        self : Restorer
            The fitted transformer.

        Raises
        ------
        ValueError
            If the data are not in volts, contain unmarked NaN or have fewer than two good channels,
            or if the names and sampling rate of an array are unknown.
        """
        _check_option("method", self.method, _METHODS)
        resolve_prior(self.prior)
        inst = copy_inst(X) if is_inst(X) else make_epochs(read_array(X), self._describe())
        picks = pick_eeg(inst)
        check_content(inst)
        check_positions(inst.info)
        names = [inst.ch_names[k] for k in picks]
        self._check_bads(names)
        bad = collect_spans(inst, picks, mask)
        if self._finds_bads():
            bad = bad.join(collect_spans(inst, picks, find_training_bads(inst, self.prior)))
        recording = open_recording(inst, picks, bad)
        strays = find_stray_channels(recording)
        warn_of_unused(names, strays)
        recording = recording.hide(hide_channels(strays, recording.n_times))
        check_recording(recording)
        self._trial_fit = fit_trials(
            recording,
            self.prior,
            with_spline=self.method == "spline",
            searched=self._finds_bads(),
        )
        self._fitted_info = describe_channels(inst.info)
        self.covariance_ = self._trial_fit.covariance
        self.ch_names_ = names
        self.n_features_in_ = len(inst.ch_names)
        return self

    @one_blas_thread
    def transform(self, X, *, mask=None, ch_names=None):
        """Restore bad and missing channels.

        Parameters
        ----------
        X : mne.io.Raw | mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The data, in volts. They are not modified.
        mask : array of bool | autoreject.RejectLog | None
            Additional bad samples, True where bad, as in :func:`mne_gram.restore`.
        ch_names : list of str | None
            The channels of an array, if these are not those of the data passed to `fit`. Those that
            were not present there are taken to be EEG.

        Returns
        -------
        X : mne.io.Raw | mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The restored data, with the EEG channels of `fit` in their order.

        Raises
        ------
        ValueError
            If good samples are NaN, the data are not in volts, the mask does not fit them, or they
            have hardly any of the channels of fit.
        """
        check_is_fitted(self)
        self._check_bads(self.ch_names_)
        bads = self.bads or ()
        if self._finds_bads() and not self._trial_fit.searched:
            raise ValueError("bads='auto' was set after fit: fit the Restorer again.")
        if (self.method == "spline") != (self._trial_fit.head is not None):
            raise ValueError("The method was changed after fit: fit the Restorer again.")
        if is_list_of_epochs(X):
            check_list(X)
            insts = zip(map(copy_inst, X), split_mask(mask, X), strict=True)
            return [restore_trials(inst, own, bads, self._trial_fit) for inst, own in insts]
        if is_inst(X):
            return restore_trials(copy_inst(X), mask, bads, self._trial_fit)
        data = read_array(X)
        inst = make_epochs(data, self._describe(self._fitted_info, ch_names))
        restored = restore_trials(inst, mask, bads, self._trial_fit).get_data(copy=False)
        return restored.astype(data.dtype) if data.dtype == np.float32 else restored

    def fit_transform(self, X, y=None, *, mask=None):
        """Learn how channels covary, and restore the same data.

        Parameters
        ----------
        X : mne.io.Raw | mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The data, in volts.
        y : None
            Ignored.
        mask : array of bool | autoreject.RejectLog | None
            Additional bad samples, True where bad, as in :func:`mne_gram.restore`.

        Returns
        -------
        X : mne.io.Raw | mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The restored data.
        """
        return self.fit(X, mask=mask).transform(X, mask=mask)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the channels that restored data have.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : array of str, shape (n_channels,)
            All channels, as in the data passed to `fit`.
        """
        check_is_fitted(self)
        return np.array(self._fitted_info["ch_names"], dtype=object)

    def set_output(self, *, transform=None):
        """Do nothing: signals are no table, so that pipelines may set the output of other steps.

        Parameters
        ----------
        transform : str | None
            Ignored.

        Returns
        -------
        self : Restorer
            The transformer.
        """
        return self

    def _check_bads(self, names):
        """Validate the parameter ``bads``."""
        _validate_type(self.bads, (None, str, list, tuple), "bads")
        if isinstance(self.bads, str):
            _check_option("bads", self.bads, ("auto",), "when it is a str")
            return
        unknown = sorted(set(self.bads or ()) - set(names))
        if unknown:
            raise ValueError(
                f"bads contains channels that are not among the EEG: {', '.join(unknown)}."
            )

    def _finds_bads(self):
        """Return whether bad channels are to be found."""
        return isinstance(self.bads, str)

    def _describe(self, fitted=None, ch_names=None):
        """Return the info of arrays; ``fitted`` is that of the data passed to fit."""
        given = any(value is not None for value in (self.info, self.ch_names, self.sfreq))
        info = fitted
        if given or fitted is None:
            info = make_array_info(self.info, self.ch_names, self.sfreq)
        if ch_names is None:
            return info
        part = make_array_info(None, ch_names, info["sfreq"])
        known = {ch["ch_name"]: ch for ch in info["chs"]}  # types and positions
        for ch in part["chs"]:
            ch.update(deepcopy(known.get(ch["ch_name"], {})))
        part["bads"] = [name for name in info["bads"] if name in part["ch_names"]]
        part["line_freq"] = info["line_freq"]
        return part
