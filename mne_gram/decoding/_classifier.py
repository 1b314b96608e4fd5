# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Classification of trials, with the interface of scikit-learn."""

import numpy as np
from mne.utils import _check_option
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_is_fitted

from .._docs import fill_doc
from ._backbone import check_same, load_backbone
from ._base import DEFAULT_FEATURES, TrialEstimator, draw_seed
from ._labels import (
    TrialLabels,
    check_aligned_classes,
    check_classes,
    check_labels,
    choose_groups,
    weigh_trials,
)
from ._linear_probe import learn_probe, make_layout


@fill_doc
class GramClassifier(ClassifierMixin, TrialEstimator):
    """Classify trials of EEG with covariances and the embedding of a Gram network.

    Parameters
    ----------
    adapt : "probe" | "lora" | "full"
        What is trained. ``"probe"``: only a regularised linear model (logistic regression) of
        features; the network is not changed. ``"lora"``: also low-rank adapters of the encoder's
        linear layers, starting from a probe. ``"full"``: the whole encoder, with the published
        settings.
    %(features)s
        Only used with ``adapt="probe"``.
    %(model)s
    %(pool_trials)s
        Only used with ``adapt="probe"``.
    bands : list of tuple of float | None
        Lower and upper edges in Hz of the bands for covariances and band power. None takes six
        bands from 1 to 45 Hz and, as an alternative to them, 8 to 30 Hz.
    C : float | None
        Inverse of the regularisation strength of the probe, for features whose variances add up to
        1, with all bands together. None chooses it, and the weight of each band, by the log loss
        in a cross-validation over the training trials.
    cv : int | cross-validation generator | iterable | None
        The folds of this cross-validation; ``"lora"`` and ``"full"`` hold out one of them for
        validation. None makes 5, or fewer if the rarest class has fewer trials (or groups).
    class_weight : "balanced" | dict | None
        Weights of the classes, as elsewhere in scikit-learn; None gives all the same weight.
    n_epochs : int | None
        The maximum number of training epochs (passes through the trials) for ``"lora"`` and
        ``"full"``; None takes 20 for ``"lora"`` and 50 for ``"full"``.
    learning_rate : float | None
        The maximum learning rate; None takes 1e-3 for ``"lora"`` and 5e-4 for ``"full"``.
    batch_size : int | None
        The maximum number of trials in a training step; None takes 32 for ``"lora"`` and 128 for
        ``"full"``. Small data sets get smaller batches, so that an epoch has eight steps.
    rank : int
        The rank of the adapters of ``"lora"``.
    warm_start : bool
        Whether `fit` continues from the previous fit: the probe keeps the chosen ``C`` and the
        weights of the bands, as long as features and bands are the same; networks keep their
        weights.
    random_state : int | numpy.random.RandomState | None
        Seed of the order of trials, the initial weights and the choice of validation trials; None
        draws one in each fit. The probe is deterministic.
    %(info)s
    %(ch_names)s
    %(sfreq)s
    %(unit)s
    %(line_freq)s
    %(reference)s
    %(missing)s
    %(align)s
        Only possible with ``adapt="probe"``. Unless ``groups`` are passed to `fit`, the folds are
        then split by subject.
    %(device_cpu)s
        A fitted classifier uses the CPU if the device is not available.

    Attributes
    ----------
    classes_ : array, shape (n_classes,)
        The labels.
    ch_names_ : list of str
        The channels that are used, which later trials need to have, in any order: good EEG channels
        that match an entry of the montage (:func:`mne_gram.match_channels`).
    C_ : float
        The inverse regularisation strength of the bands with the largest weight (probe).
    band_weights_ : dict
        The weights of the model of all bands together and of each band alone (probe of
        covariances). The keys are tuples of bands.
    history_ : list of dict
        Losses and Cohen's kappa of each training epoch (``"lora"``, ``"full"``).
    best_epoch_ : int
        The training epoch whose weights are used; 0 is before training. ``"lora"`` takes the one
        with the lowest validation loss, ``"full"`` the one with the highest kappa.

    See Also
    --------
    GramFeatures : The features alone.

    Notes
    -----
    The Notes of :class:`mne_gram.GramFeatures` describe in which forms trials can be passed.

    The default combines covariances with a small share of the embedding, which for held-out
    subjects was as good as covariances alone or somewhat better; the embedding of the bundled
    model alone is worse. ``mne_gram bench classify`` compares classifiers on your own data set.

    One linear model is fitted to the covariances of all bands together and one to each band alone,
    including 8 to 30 Hz, each with the embedding. They are averaged with the weights
    ``exp(-n * loss)``, where ``n`` is the number of trials (of groups) and ``loss`` the log loss
    over the folds; all bands together have half of the prior weight. With few trials of one
    subject, a single band often has most of the weight. With more than 2000 trials, only the model
    of all bands together is fitted.

    ``groups`` (such as subjects) passed to `fit` are kept together, both in the folds that choose
    ``C`` and in the validation trials of ``"lora"`` and ``"full"``. With trials of several
    subjects this matters: otherwise the penalty is too weak for new subjects. Without groups, the
    subjects in the epochs' metadata are kept together if there are at least two of each class (or
    as many as there are folds); without metadata, folds contain consecutive trials.

    ``"full"`` follows Li et al. (2025): AdamW, learning rates that decrease by a factor of 0.65
    from each layer to the one below, weight decay 0.05, label smoothing 0.1, warm-up for 5 of 50
    epochs followed by a cosine decay, averaged weights, and a stop after 20 epochs without a
    higher kappa of the averaged weights on the validation trials; the best epoch is used.

    A fitted classifier contains only arrays: the linear model, and the adapters or the fine-tuned
    encoder. The network itself is loaded by its name when it is needed.
    """

    # Unless a request is set, metadata routing passes groups to every method, as to GroupKFold.
    __metadata_request__fit = {"groups": True}
    __metadata_request__predict = {"groups": True}
    __metadata_request__predict_proba = {"groups": True}
    __metadata_request__predict_log_proba = {"groups": True}
    __metadata_request__decision_function = {"groups": True}
    __metadata_request__score = {"groups": True}

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
        unit="V",
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
        self.unit = unit
        self.line_freq = line_freq
        self.reference = reference
        self.missing = missing
        self.align = align
        self.device = device

    @fill_doc
    def fit(self, X, y=None, *, sample_weight=None, groups=None):
        """Train the classifier.

        Parameters
        ----------
        %(X)s
        y : array-like, shape (n_epochs,) | None
            The labels, numbers or strings. Only a data set of windows has labels of its own, so
            that they can be left out.
        sample_weight : array-like, shape (n_epochs,) | None
            The weight of each trial. Trials of weight 0 are left out.
        groups : array-like, shape (n_epochs,) | None
            Trials of one group, such as a subject, are not split between training and validation.
            None takes the column ``"subject"`` of the epochs' metadata, if there is one. With
            ``align``, they are the subjects of trials without metadata.

        Returns
        -------
        self : GramClassifier
            The fitted classifier.

        Raises
        ------
        ValueError
            If there is only one class, with ``align`` also only one of each subject, labels and
            trials differ in number, a class has fewer trials (groups) than there are folds, or all
            trials are of one group; and as in :func:`mne_gram.preprocess`.
        """
        self._check_settings()
        y = check_labels(X, y)
        classes = np.unique(y)
        check_classes(classes)
        former = self._get_former(classes) if self.warm_start else None
        self._forget()
        trials = self._fit_read(X, groups)
        self.classes_ = classes
        codes = np.searchsorted(classes, y)
        weights = weigh_trials(y, sample_weight, self.class_weight)
        groups = choose_groups(X, trials.subjects, groups, codes, weights > 0, self.cv)
        labels = TrialLabels(codes, weights, groups)
        check_classes(classes[np.unique(labels.codes[labels.rows])])
        if trials.subjects is not None:
            check_aligned_classes(trials.subjects[labels.rows], labels.codes[labels.rows])
        learn = self._learn_probe if self.adapt == "probe" else self._learn_network
        learn(trials, labels, former)
        return self

    @fill_doc
    def decision_function(self, X, *, groups=None):
        """Return the scores of the classes.

        Parameters
        ----------
        %(X)s
        %(groups_aligned)s

        Returns
        -------
        scores : array, shape (n_epochs, n_classes) | (n_epochs,)
            Unnormalised log probabilities; of two classes, the log odds of the second.
        """
        logits = self._get_logits(X, groups)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    @fill_doc
    def predict(self, X, *, groups=None):
        """Predict the classes of trials.

        Parameters
        ----------
        %(X)s
        %(groups_aligned)s

        Returns
        -------
        y : array, shape (n_epochs,)
            The most probable label of each trial.
        """
        named = self._get_logits(X, groups).argmax(axis=1)
        return self.classes_[named]

    @fill_doc
    def predict_proba(self, X, *, groups=None):
        """Return the probability of each class.

        Parameters
        ----------
        %(X)s
        %(groups_aligned)s

        Returns
        -------
        proba : array, shape (n_epochs, n_classes)
            In the order of ``classes_``.
        """
        return softmax(self._get_logits(X, groups), axis=1)

    @fill_doc
    def predict_log_proba(self, X, *, groups=None):
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        %(X)s
        %(groups_aligned)s

        Returns
        -------
        log_proba : array, shape (n_epochs, n_classes)
            In the order of ``classes_``.
        """
        return log_softmax(self._get_logits(X, groups), axis=1)

    @fill_doc
    def score(self, X, y, sample_weight=None, *, groups=None):
        """Return the accuracy.

        Parameters
        ----------
        %(X)s
        y : array-like, shape (n_epochs,)
            The labels.
        sample_weight : array-like, shape (n_epochs,) | None
            The weight of each trial.
        %(groups_aligned)s

        Returns
        -------
        score : float
            The share of trials that are classified correctly.
        """
        return accuracy_score(y, self.predict(X, groups=groups), sample_weight=sample_weight)

    @property
    def band_weights_(self):
        """The weights of the bands."""
        # Not stored: keys that are no strings would keep skops from saving the classifier.
        names = [view.name for view in self.layout_.views] if hasattr(self, "probe_") else [()]
        if not names[0]:
            raise AttributeError("Only a fitted probe of covariances has band_weights_.")
        return dict(zip(names, self.probe_.chosen.weights, strict=False))

    def _check_settings(self):
        """Check the settings before any work is done."""
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
        """Delete the attributes of a former fit."""
        names = "kinds_ layout_ subjects_ probe_ C_ adaptation_ history_ best_epoch_"
        for name in names.split():
            vars(self).pop(name, None)

    def _get_former(self, classes):
        """Return what a warm start continues from, or None."""
        if not hasattr(self, "classes_"):
            return None
        if not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True needs the classes of the former fit, {self.classes_.tolist()}, "
                f"got {classes.tolist()}. Set it to False to start again."
            )
        if self.adapt != "probe":
            return getattr(self, "adaptation_", None)
        if not hasattr(self, "probe_"):
            return None
        chosen = self.probe_.chosen  # of the first view only if C was set
        return self.layout_.views[: len(chosen.weights)], chosen

    def _learn_network(self, trials, labels, former):
        """Fine-tune the network and keep what changed."""
        from ._fine_tuning import FineTuningSettings, learn_network

        changes = {k: getattr(self, k) for k in ("n_epochs", "learning_rate", "batch_size")}
        seed = draw_seed(self.random_state)
        where = self.adapt, self.model, self.device
        settings = FineTuningSettings(*where, int(self.rank), seed, self.C, self.cv, changes)
        self.adaptation_ = learn_network(settings, trials, labels, self.classes_, former)
        self.history_, self.best_epoch_ = self.adaptation_.history, self.adaptation_.best_epoch

    def _learn_probe(self, trials, labels, former):
        """Fit the linear model and keep it."""
        x = self._fit_features(self._make_features(None, alternatives=True), trials, labels.weights)
        self.layout_ = make_layout(self.kinds_, self.bands, len(labels.rows))
        chosen = self.C
        if chosen is None and former and former[0] == self.layout_.views:
            chosen = former[1]
        self.probe_ = learn_probe(x, labels, self.classes_, chosen, self.cv, self.layout_)
        self.C_ = self.probe_.C

    def _get_logits(self, X, groups):
        """Return unnormalised log probabilities, shape (n_epochs, n_classes)."""
        check_is_fitted(self, "classes_")
        trials = self.reader_.read(X, groups)
        if hasattr(self, "probe_"):
            return self.probe_.get_logits(self._get_features(trials))
        from ._adapted_encoder import predict_adapted

        backbone = load_backbone(self.model, self.device, fall_back=True)
        check_same(backbone, self.adaptation_.sha256, self.model)
        return predict_adapted(backbone, self.adaptation_, trials)
