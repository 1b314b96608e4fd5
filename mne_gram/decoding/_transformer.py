# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Features of trials, with the interface of scikit-learn."""

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils.validation import check_is_fitted

from .._docs import fill_doc
from ._base import DEFAULT_FEATURES, TrialEstimator


@fill_doc
class GramFeatures(TransformerMixin, TrialEstimator):
    """Compute features of trials, for a pipeline of scikit-learn.

    Parameters
    ----------
    %(features)s
    %(model)s
    %(pool_trials)s
    %(bands)s
    %(info)s
    %(ch_names)s
    %(sfreq)s
    %(unit)s
    %(line_freq)s
    %(reference)s
    %(missing)s
    %(align)s
    %(device_cpu)s
    batch_size : int | None
        The number of windows that the network gets at once; None chooses it by their size.

    Attributes
    ----------
    ch_names_ : list of str
        The channels that are used, which later trials need to have, in any order: good EEG channels
        that match an entry of the montage (:func:`mne_gram.match_channels`).
    n_features_in_ : int
        The number of channels; of columns, if trials were passed as rows.

    See Also
    --------
    GramClassifier : A classifier of these features.
    mne_gram.preprocess : The preprocessing of the signals.

    Notes
    -----
    Trials are :class:`mne.Epochs`, a list of Epochs with one trial each (which is what
    :func:`sklearn.model_selection.cross_val_score` makes of Epochs), an array of shape
    ``(n_epochs, n_channels, n_times)``, a list of arrays ``(n_channels, n_times)``, whose lengths
    may differ, an array or data frame of rows ``(n_epochs, n_channels * n_times)``, as
    :class:`mne.decoding.Vectorizer` makes them, or a data set of windows of braindecode, or a
    subset of one. Arrays, rows and windows are in ``unit``. Trials may have any sampling rate and
    must last at least 1 s. The network does not see what follows the last whole second; trials
    longer than 16 s are split, and the vectors of their parts averaged.

    Features are of single precision, as the network and the preprocessed signals are, and as
    PyTorch expects.

    Each trial is filtered, resampled and re-referenced independently, as in
    :func:`mne_gram.preprocess`. A high-pass filter at 0.1 Hz is longer than a trial: apply it to
    the continuous recording, before epoching. Channels in ``info["bads"]`` are left out.

    Covariances are whitened by their mean over the trials passed to `fit` before taking their
    matrix logarithm, which maps them to the tangent space of Barachant et al. (2012,
    doi:10.1109/TBME.2011.2172210).

    With ``align``, the mean is that of each subject's own trials, as proposed by He and Wu (2020,
    doi:10.1109/TBME.2019.2913914), also for band power and the embedding. Subjects often differ
    more than conditions do, so this often improves the accuracy considerably. It needs unlabelled
    trials of each new subject, passed together, in which the classes are about as frequent as in
    the training data: with trials at rest only, it would remove the resting activity itself, and
    predictions would be no better than chance. This cannot be noticed in trials without labels.
    Subjects that were present in `fit` keep the mean they had there. A single trial of another
    subject is compared with the mean over the subjects in `fit`, as without ``align``; there is a
    warning below ten trials.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> import mne_gram
    >>> pipeline = make_pipeline(mne_gram.GramFeatures(), LogisticRegression())
    """

    # Unless a request is set, metadata routing passes groups to both, as to GroupKFold.
    __metadata_request__fit = {"groups": True}
    __metadata_request__transform = {"groups": True}

    def __init__(
        self,
        features=DEFAULT_FEATURES,
        *,
        model="gram-tiny",
        pool="channels",
        bands=None,
        info=None,
        ch_names=None,
        sfreq=None,
        unit="V",
        line_freq=None,
        reference="average",
        missing="raise",
        align=None,
        device=None,
        batch_size=None,
    ):
        self.features = features
        self.model = model
        self.pool = pool
        self.bands = bands
        self.info = info
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.unit = unit
        self.line_freq = line_freq
        self.reference = reference
        self.missing = missing
        self.align = align
        self.device = device
        self.batch_size = batch_size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]  # that of the network
        return tags

    @fill_doc
    def fit(self, X, y=None, *, groups=None):
        """Determine the channels and the means that features are relative to.

        Parameters
        ----------
        %(X)s
        y : None
            Ignored.
        %(groups_aligned)s

        Returns
        -------
        self : GramFeatures
            The fitted transformer.
        """
        self._fit_trials(X, groups)
        return self

    def _fit_trials(self, X, groups):
        """Fit, and return the features too."""
        kinds = self._make_features(self.batch_size)
        return self._fit_features(kinds, self._fit_read(X, groups)).astype(np.float32, copy=False)

    @fill_doc
    def fit_transform(self, X, y=None, *, groups=None):
        """Fit to trials and compute their features.

        Parameters
        ----------
        %(X)s
        y : None
            Ignored.
        %(groups_aligned)s

        Returns
        -------
        features : array of float32, shape (n_epochs, n_features)
            The features, one row per trial.
        """
        return self._fit_trials(X, groups)

    @fill_doc
    def transform(self, X, *, groups=None):
        """Compute the features of trials.

        Parameters
        ----------
        %(X)s
        %(groups_aligned)s

        Returns
        -------
        features : array of float32, shape (n_epochs, n_features)
            The features, one row per trial.

        Raises
        ------
        ValueError
            If channels are missing, unless ``missing="harmonize"``.
        """
        check_is_fitted(self)
        return self._get_features(self.reader_.read(X, groups)).astype(np.float32, copy=False)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Ignored.

        Returns
        -------
        names : array of str, shape (n_features,)
            One name per feature.
        """
        check_is_fitted(self)
        names = [name for kind in self.kinds_ for name in kind.get_feature_names_out()]
        return np.array(names, dtype=object)
