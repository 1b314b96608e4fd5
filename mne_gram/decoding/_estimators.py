# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classification of trials the way scikit-learn does it."""

import numpy as np
from mne.utils import _check_option
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._backbone import load_backbone
from ._layout import make_layout
from ._learning import (
    Labels,
    NetworkSettings,
    continue_network,
    learn_more,
    learn_network,
    learn_probe,
)
from ._trial_estimator import TrialEstimator, check_classes, check_labels, draw_seed
from ._trial_features import check_same

__all__ = ["GramClassifier", "GramFeatures"]

#: What a trial is turned into unless something else is asked for.
DEFAULT_FEATURES = ("embedding", "tangent")


class GramFeatures(TransformerMixin, TrialEstimator):
    """Turn trials into features, for a pipeline of scikit-learn.

    Parameters
    ----------
    features : str | tuple of str
        Kinds of features, side by side: ``"embedding"`` (what the encoder makes of a trial),
        ``"tangent"`` (covariances in the tangent space) and ``"bandpower"``.
    model : path-like
        The name of a model that `mne_gram.list_models` lists, or the folder of one.
    pool : "cls" | "mean" | "channels"
        What the embedding is: the CLS vector, the mean over patches, or a mean for each channel,
        which has ``n_channels`` times as many features.
    bands : list of tuple of float | None
        Lower and upper edges in Hz of the bands that covariances and band power are measured in.
        None for six from 1 to 45 Hz.
    info : mne.Info | None
        What the channels of arrays are. Not needed for epochs.
    ch_names : list of str | None
        The same without an info: the names of the channels of arrays.
    sfreq : float | None
        The sampling rate of arrays in Hz, with ``ch_names``.
    line_freq : float | False | None
        The power line's frequency in Hz, as in :func:`mne_gram.preprocess`.
    reference : "average" | None
        What the channels refer to, as in :func:`mne_gram.preprocess`.
    missing : "raise" | "harmonize"
        What to do about channels that trials lack which those that it was fitted to have:
        ``"harmonize"`` estimates them by :func:`mne_gram.harmonize`, from all trials that are
        given together.
    align : str | None
        The column of the epochs' metadata that says whose trial each is, such as ``"subject"``.
        Trials are then compared with the mean of the person's own, not with that of all. It takes
        no labels, but trials of all classes: see Notes.
    device : str | None
        Where the network runs; None for the CPU.
    batch_size : int | None
        Windows that the network sees at once; None chooses.

    Attributes
    ----------
    ch_names_ : list of str
        The channels, which later trials need to have, in any order.
    n_features_in_ : int
        How many channels there are.

    See Also
    --------
    GramClassifier : The whole classifier.
    mne_gram.preprocess : What is done to the signals.

    Notes
    -----
    Trials are :class:`mne.Epochs`, a list of Epochs with one trial each (what
    :func:`sklearn.model_selection.cross_val_score` makes of Epochs), an array of shape
    ``(n_epochs, n_channels, n_times)`` in volts, or a list with an array ``(n_channels, n_times)``
    for each trial, whose lengths may differ. They may have any sampling rate and last at least
    1 s. What follows the last whole second is not seen by the network; trials of more than 16 s
    are cut, and the vectors of the parts averaged.

    Each trial is filtered, resampled and re-referenced by itself, as :func:`mne_gram.preprocess`
    does it. A high-pass at 0.1 Hz takes more than the length of a trial: have it applied before
    you cut the recording. Channels in ``info["bads"]`` are left out.

    Covariances are measured in six bands from 1 to 45 Hz, or in ``bands``. They are whitened by
    their mean over the trials that the features were fitted to, and of what comes out the logarithm
    is taken, which is the tangent space of Barachant et al. (2012, doi:10.1109/TBME.2011.2172210).

    With ``align`` the mean is that of a person's own trials, as He and Wu (2020,
    doi:10.1109/TBME.2019.2913914) proposed, and so it is for band power and the embedding. People
    differ more than conditions do, so this often gains much. It takes unlabelled trials of each new
    person, given together, in which the classes occur about as often as in those that were learnt
    from: of somebody who only rests, it would take the rest away. People who were met in `fit` keep
    the mean that they had there.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> import mne_gram
    >>> pipeline = make_pipeline(mne_gram.GramFeatures(), LogisticRegression())
    """

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
        self.line_freq = line_freq
        self.reference = reference
        self.missing = missing
        self.align = align
        self.device = device
        self.batch_size = batch_size

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # the network has a precision of its own
        return tags

    def fit(self, X, y=None):
        """Learn the channels, and what features refer to.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.
        y : None
            Not used.

        Returns
        -------
        self : GramFeatures
            The fitted transformer.
        """
        self._fit_trials(X)
        return self

    def _fit_trials(self, X):
        """Fit, and return the features too."""
        parts = self._make_features(self.batch_size)
        return self._fit_features(parts, self._fit_read(X))

    def fit_transform(self, X, y=None):
        """Fit to trials, and compute their features.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.
        y : None
            Not used.

        Returns
        -------
        features : array, shape (n_epochs, n_features)
            A row a trial.
        """
        return self._fit_trials(X)

    def transform(self, X):
        """Compute the features of trials.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.

        Returns
        -------
        features : array, shape (n_epochs, n_features)
            A row a trial.

        Raises
        ------
        ValueError
            If channels lack, unless ``missing="harmonize"``.
        """
        check_is_fitted(self)
        return self._get_features(self.reader_.read(X))

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : None
            Not used.

        Returns
        -------
        names : array of str, shape (n_features,)
            A name a feature.
        """
        check_is_fitted(self)
        names = [name for part in self.parts_ for name in part.get_feature_names_out()]
        return np.array(names, dtype=object)


class GramClassifier(ClassifierMixin, TrialEstimator):
    """Classify trials.

    Parameters
    ----------
    adapt : "probe" | "lora" | "full"
        What is learnt. ``"probe"``: a regularised linear model of features that the frozen network
        makes once. ``"lora"``: low-rank corrections of the encoder's linear layers too, starting
        from the probe. ``"full"``: the whole encoder, by the published recipe.
    features : str | tuple of str
        Kinds of features for ``adapt="probe"``, see `GramFeatures`.
    model : path-like
        The name of a model that `mne_gram.list_models` lists, or the folder of one.
    pool : "cls" | "mean" | "channels"
        What the embedding is, for ``adapt="probe"``, see `GramFeatures`.
    bands : list of tuple of float | None
        Lower and upper edges in Hz of the bands that covariances and band power are measured in.
        None for six from 1 to 45 Hz and, where that says more, 8 to 30 Hz as one.
    C : float | None
        Inverse strength of the probe's penalty, for features whose variances add up to 1, with all
        bands together. None chooses the strength, and how much each band counts, by the log loss
        over folds of the training trials.
    cv : int | cross-validation generator | iterable | None
        The folds, of which ``"lora"`` and ``"full"`` hold out one. None makes 5, or as many as the
        rarest class has trials (or groups).
    class_weight : "balanced" | dict | None
        How classes are weighted, as elsewhere in scikit-learn.
    n_epochs : int | None
        Most passes over the trials for ``"lora"`` and ``"full"``; None takes 20 and 50.
    learning_rate : float | None
        The highest learning rate; None takes 1e-3 for ``"lora"`` and 5e-4 for ``"full"``.
    batch_size : int | None
        Most trials in a training step; None takes 32 for ``"lora"`` and 128 for ``"full"``. Small
        data sets get smaller batches, so that a pass has eight steps.
    rank : int
        Of the corrections of ``"lora"``.
    warm_start : bool
        Whether `fit` goes on from what was learnt before: the probe keeps the strength that was
        chosen, and how much each band counts, as long as features and bands are the same; networks
        keep their weights.
    random_state : int | numpy.random.RandomState | None
        Seed of the order of trials, of first weights and of what is held out for validation. The
        probe draws nothing.
    info : mne.Info | None
        What the channels of arrays are. Not needed for epochs.
    ch_names : list of str | None
        The same without an info: the names of the channels of arrays.
    sfreq : float | None
        The sampling rate of arrays in Hz, with ``ch_names``.
    line_freq : float | False | None
        The power line's frequency in Hz, as in :func:`mne_gram.preprocess`.
    reference : "average" | None
        What the channels refer to, as in :func:`mne_gram.preprocess`.
    missing : "raise" | "harmonize"
        What to do about channels that later trials lack, see `GramFeatures`.
    align : str | None
        The column of the epochs' metadata that says whose trial each is, for ``adapt="probe"``,
        see `GramFeatures`. Unless ``groups`` are given it parts people in the folds too.
    device : str | None
        Where the network runs; None for the CPU. A fitted classifier goes on with the CPU where
        the device is not there.

    Attributes
    ----------
    classes_ : array, shape (n_classes,)
        The labels.
    ch_names_ : list of str
        The channels, which later trials need to have, in any order.
    C_ : float
        The strength that was chosen (probe); that of the bands that count most.
    band_weights_ : dict
        What the model of all bands together, and that of each band alone, counts (probe of
        covariances). The keys are tuples of bands.
    history_ : list of dict
        Losses and kappa of each epoch (``"lora"``, ``"full"``).
    best_epoch_ : int
        The epoch whose weights are used; 0 is the start. ``"lora"`` takes that of the least
        validation loss, ``"full"`` that of the best kappa.

    See Also
    --------
    GramFeatures : The features alone.

    Notes
    -----
    What trials may be is said at `GramFeatures`.

    The default joins covariances with a small share of the embedding, which on people who were not
    learnt from was as good as covariances alone or somewhat better; the embedding of the bundled
    model alone is worse. The benchmark of classifiers (``mne_gram bench classify``) compares them
    on any data set.

    A linear model is fitted to all bands of covariances together and to each alone, and 8 to 30 Hz
    as one, each with the embedding beside it. They are averaged with the weights
    ``exp(-n * loss)``, ``n`` the number of trials (groups, if given) and ``loss`` the log loss over
    the folds; all bands together count half before that. With few trials of one person often a
    single band counts most. With more than 2000 trials only all bands together are fitted.

    ``groups`` (such as people) given to `fit` are not parted, neither in the folds that choose the
    strength nor in what ``"lora"`` and ``"full"`` hold out for validation. Without groups, folds
    hold trials that follow each other.

    ``"full"`` is what Li et al. (2025) published: AdamW, learning rates that fall by 0.65 from a
    layer to the one below, weight decay 0.05, label smoothing 0.1, five of 50 epochs of warm-up
    and a cosine, averaged weights, a stop after 20 epochs without a better kappa of the averaged
    weights on the validation trials, of which the best epoch is used.

    A fitted classifier holds arrays alone: the linear model, and the adapters or the changed
    encoder. The network itself is loaded by its name when it is needed.
    """

    def __init__(
        self,
        adapt="probe",
        *,
        features=DEFAULT_FEATURES,
        model="gram-tiny",
        pool="channels",
        bands=None,
        C=None,
        cv=None,
        class_weight=None,
        n_epochs=None,
        learning_rate=None,
        batch_size=None,
        rank=8,
        warm_start=False,
        random_state=None,
        info=None,
        ch_names=None,
        sfreq=None,
        line_freq=None,
        reference="average",
        missing="raise",
        align=None,
        device=None,
    ):
        self.adapt = adapt
        self.features = features
        self.model = model
        self.pool = pool
        self.bands = bands
        self.C = C
        self.cv = cv
        self.class_weight = class_weight
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.rank = rank
        self.warm_start = warm_start
        self.random_state = random_state
        self.info = info
        self.ch_names = ch_names
        self.sfreq = sfreq
        self.line_freq = line_freq
        self.reference = reference
        self.missing = missing
        self.align = align
        self.device = device

    def fit(self, X, y, *, sample_weight=None, groups=None):
        """Learn to classify.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.
        y : array-like, shape (n_epochs,)
            Their labels, numbers or strings.
        sample_weight : array-like, shape (n_epochs,) | None
            The weight of each trial. Those of weight 0 are left out.
        groups : array-like, shape (n_epochs,) | None
            Trials of one group, such as a person, are not parted between learning and validation.

        Returns
        -------
        self : GramClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If there is one class only, labels and trials differ in number, a class has fewer
            trials (groups) than there are folds, or all trials are of one group; and as
            :func:`mne_gram.preprocess` for what the trials hold.
        """
        self._check_settings()
        y = check_labels(X, y)
        classes = np.unique(y)
        check_classes(classes)
        former = self._get_former(classes) if self.warm_start else None
        self._forget()
        trials = self._fit_read(X)
        self.classes_ = classes
        labels = self._label(trials, y, sample_weight, groups)
        check_classes(classes[np.unique(labels.codes[labels.rows])])
        if self.adapt == "probe":
            parts = self._make_features(None, alternatives=True)
            x = self._fit_features(parts, trials, labels.weights)
            self._lay_out(len(labels.rows))
            chosen = self.C
            if chosen is None and former and former[0] == self.layout_.views:
                chosen = former[1]
            self._keep_probe(learn_probe(x, labels, classes, chosen, self.cv, self.layout_))
        else:
            self._keep(learn_network(self._get_settings(), trials, labels, classes, former))
        return self

    def partial_fit(self, X, y, classes=None, *, sample_weight=None, groups=None):
        """Learn from more trials.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.
        y : array-like, shape (n_epochs,)
            Their labels.
        classes : array-like, shape (n_classes,) | None
            All labels there are; needed in the first call.
        sample_weight : array-like, shape (n_epochs,) | None
            The weight of each trial.
        groups : array-like, shape (n_epochs,) | None
            As in `fit`.

        Returns
        -------
        self : GramClassifier
            The classifier.

        Raises
        ------
        ValueError
            If the first call lacks ``classes``, a label is not among them, or a probe was fitted
            by `fit`, which keeps no features of its trials; and as in `fit`.

        Notes
        -----
        The probe keeps the features of all trials that it met this way, and is fitted to all of
        them: in the end it is what `fit` gives for all together, if the channels are the same. Only
        the mean that covariances are compared with is that of the first call's trials.
        ``"lora"`` and ``"full"`` pass once over the trials, from where they are, with a constant
        learning rate and without validation.
        """
        self._check_settings()
        y = check_labels(X, y)
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("classes must be given in the first call of partial_fit.")
            classes = np.unique(column_or_1d(classes))
            check_classes(classes)
            trials = self._fit_read(X)
            self.classes_, x = classes, None
            if self.adapt == "probe":
                parts = self._make_features(None, alternatives=True)
                x, self.met_ = self._fit_features(parts, trials), []
        else:
            if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(
                    f"classes={list(classes)} is not what the first call was given: "
                    f"{self.classes_.tolist()}."
                )
            if self.adapt == "probe" and not hasattr(self, "met_"):
                raise ValueError(
                    "This classifier was fitted by fit, which keeps no features of its trials to "
                    "join others to. Begin with partial_fit(X, y, classes=...), or fit all trials "
                    "together."
                )
            trials = self.reader_.read(X)
            x = self._get_features(trials) if self.adapt == "probe" else None
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds labels that are not among the classes: {unknown.tolist()}; the classes "
                f"are {self.classes_.tolist()}."
            )
        labels = self._label(trials, y, sample_weight, groups)
        if self.adapt == "probe":
            self.met_.append((x, labels))
            self._lay_out(sum(len(labels.rows) for _, labels in self.met_))
            self._keep_probe(learn_more(self.met_, self.classes_, self.C, self.cv, self.layout_))
        else:
            former, settings = getattr(self, "adaptation_", None), self._get_settings()
            n_classes = len(self.classes_)
            self._keep(continue_network(settings, trials, labels, n_classes, former))
        return self

    def decision_function(self, X):
        """Return how much speaks for each class.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.

        Returns
        -------
        scores : array, shape (n_epochs, n_classes) | (n_epochs,)
            Unnormalised log probabilities; of two classes, the log odds of the second.
        """
        logits = self._get_logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X):
        """Name the class of trials.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.

        Returns
        -------
        y : array, shape (n_epochs,)
            The likeliest label of each.
        """
        named = self._get_logits(X).argmax(axis=1)
        return self.classes_[named]

    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.

        Returns
        -------
        proba : array, shape (n_epochs, n_classes)
            In the order of ``classes_``.
        """
        return softmax(self._get_logits(X), axis=1)

    def predict_log_proba(self, X):
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : mne.Epochs | list | array, shape (n_epochs, n_channels, n_times)
            The trials, in volts.

        Returns
        -------
        log_proba : array, shape (n_epochs, n_classes)
            In the order of ``classes_``.
        """
        return log_softmax(self._get_logits(X), axis=1)

    # -----------------------------------------------------------------------------------------

    def _check_settings(self):
        """Refuse settings before any work is done."""
        _check_option("adapt", self.adapt, ("probe", "lora", "full"))
        if self.C is not None and not self.C > 0:
            raise ValueError(f"C must be positive or None, got {self.C!r}.")
        if int(self.rank) != self.rank or self.rank < 1:
            raise ValueError(f"rank must be a whole number of at least 1, got {self.rank!r}.")
        if self.align is not None and self.adapt != "probe":
            raise ValueError(
                f"align={self.align!r} is for adapt='probe'; got adapt={self.adapt!r}, which "
                "learns from the signals themselves. Set align=None."
            )
        self._make_features(None)
        load_backbone(self.model, self.device)

    def _forget(self):
        """Drop what an earlier fit of another kind left."""
        for name in (
            "met_",
            "parts_",
            "layout_",
            "people_",
            "probe_",
            "C_",
            "band_weights_",
            "adaptation_",
            "history_",
            "best_epoch_",
        ):
            vars(self).pop(name, None)

    def _get_former(self, classes):
        """Return what a warm start goes on from, or None."""
        if not hasattr(self, "classes_"):
            return None
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True needs the classes of before, {self.classes_.tolist()}, got "
                f"{classes.tolist()}. Set it to False to begin anew."
            )
        if self.adapt != "probe":
            return getattr(self, "adaptation_", None)
        if not hasattr(self, "probe_"):
            return None
        chosen = self.probe_.chosen  # of the first views only if C was given
        return self.layout_.views[: len(chosen.weights)], chosen

    def _label(self, trials, y, sample_weight, groups):
        """Return the number of the class, the weight and the group of each trial."""
        n = len(trials)
        if groups is None and trials.people is not None and len(set(trials.people.tolist())) > 1:
            groups = trials.people
        weights = _check_sample_weight(sample_weight, np.empty(n), ensure_non_negative=True)
        if groups is not None:
            groups = np.asarray(groups)
            if groups.shape != (n,):
                raise ValueError(
                    f"groups must have a value for each of the {n} epochs, got shape "
                    f"{groups.shape}."
                )
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y)
        return Labels(np.searchsorted(self.classes_, y), weights, groups)

    def _get_settings(self):
        changes = {k: getattr(self, k) for k in ("n_epochs", "learning_rate", "batch_size")}
        seed = draw_seed(self.random_state)
        where = self.adapt, self.model, self.device
        return NetworkSettings(*where, int(self.rank), seed, self.C, self.cv, changes)

    def _lay_out(self, n_trials):
        """Keep how features lie side by side, and what models are fitted to."""
        self.layout_ = make_layout(self.features, self.parts_, self.bands, n_trials)

    def _keep_probe(self, probe):
        self.probe_, self.C_ = probe, probe.C
        vars(self).pop("band_weights_", None)
        names = [view.name for view in self.layout_.views]
        if names[0]:
            self.band_weights_ = dict(zip(names, probe.chosen.weights, strict=False))

    def _keep(self, adaptation):
        self.adaptation_ = adaptation
        self.history_, self.best_epoch_ = adaptation.history, adaptation.best_epoch

    def _get_logits(self, X):
        """Return unnormalised log probabilities, shape (n_epochs, n_classes)."""
        check_is_fitted(self, "classes_")
        trials = self.reader_.read(X)
        if hasattr(self, "probe_"):
            return self.probe_.get_logits(self._get_features(trials))
        from ._adaptation import predict_adapted

        backbone = load_backbone(self.model, self.device, fall_back=True)
        check_same(backbone, self.adaptation_.sha256, self.model)
        return predict_adapted(backbone, self.adaptation_, trials)
