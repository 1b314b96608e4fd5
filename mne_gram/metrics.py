# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Measures of restoration at hidden samples, and of classification."""

import numpy as np

__all__ = [
    "CLASS_MEASURES",
    "band_power_ratio",
    "correlation",
    "nmse",
    "score_classes",
    "subtract_kept_mean",
]

_OF_CLASSES = ("accuracy", "balanced_accuracy", "kappa", "weighted_f1")
_OF_TWO = ("f1", "precision", "recall")
_OF_PROBABILITIES = ("roc_auc", "pr_auc")
CLASS_MEASURES = (*_OF_CLASSES, *_OF_TWO, *_OF_PROBABILITIES)


def subtract_kept_mean(data, mask):
    """Re-reference signals to the mean of the visible channels at each time.

    An average reference that includes a hidden channel would reveal it: it is minus the sum of the
    others.

    Parameters
    ----------
    data : array, shape (n_channels, n_times)
        Signals.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    referred : array, shape (n_channels, n_times)
        The signals; unchanged where all channels are hidden.
    """
    kept = ~mask
    count = kept.sum(axis=0)
    mean = np.where(kept, data, 0.0).sum(axis=0) / np.maximum(count, 1)
    return data - mean


def nmse(truth, estimate, mask):
    """Compute the normalised mean squared error over hidden samples.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    error : float
        Sum of squared errors over the sum of squares of the truth, referenced to the mean of the
        visible channels. 0 is perfect, 1 is the error of an estimate of zero.

    Raises
    ------
    ValueError
        If no sample is hidden.
    """
    _check_hidden(mask)
    power = (subtract_kept_mean(truth, mask)[mask] ** 2).sum()
    return float(((estimate - truth)[mask] ** 2).sum() / power)


def correlation(truth, estimate, mask):
    """Compute Pearson's r over hidden samples, referenced to the mean of the visible channels.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden.

    Returns
    -------
    r : float
        The correlation.
    """
    _check_hidden(mask)
    mean = truth - subtract_kept_mean(truth, mask)
    return float(np.corrcoef((truth - mean)[mask], (estimate - mean)[mask])[0, 1])


def band_power_ratio(truth, estimate, mask, sfreq, bands):
    """Compute the ratio of restored to true power of hidden channels in bands.

    Parameters
    ----------
    truth, estimate : array, shape (n_channels, n_times)
        Signals in the same reference.
    mask : array of bool, shape (n_channels, n_times)
        True where hidden. Only channels that are hidden throughout are used.
    sfreq : float
        Sampling rate in Hz.
    bands : list of tuple of float
        Lower and upper edges in Hz.

    Returns
    -------
    ratios : array, shape (n_bands,)
        Power of the estimate over that of the truth, both referenced to the mean of the visible
        channels; NaN if no channel is hidden throughout.
    """
    from scipy.signal import welch

    whole = mask.all(axis=1)
    if not whole.any():
        return np.full(len(bands), np.nan)
    mean = truth - subtract_kept_mean(truth, mask)
    length = min(truth.shape[1], round(2 * sfreq))
    freqs, found = welch((estimate - mean)[whole], sfreq, nperseg=length)
    _, expected = welch((truth - mean)[whole], sfreq, nperseg=length)
    inside = [(freqs >= low) & (freqs < high) for low, high in bands]
    return np.array([found[:, k].sum() / expected[:, k].sum() for k in inside])


def _check_hidden(mask):
    if not np.any(mask):
        raise ValueError("The mask hides no sample.")


def score_classes(y, predicted, probabilities=None, *, labels=None, measures=None):
    """Compute the measures of classification over a whole test set.

    Parameters
    ----------
    y, predicted : array-like, shape (n_windows,)
        True and predicted labels of all windows of the test set: measures other than the accuracy
        cannot be averaged over batches.
    probabilities : array-like, shape (n_windows, n_classes) | None
        Probabilities of the classes, for the areas under curves; None leaves these out.
    labels : list | None
        The classes, in the order of the probabilities; of two, the second is the positive one.
        None takes those that occur, sorted.
    measures : list of str | None
        Some of ``CLASS_MEASURES``. None takes all that are defined: ``"accuracy"``,
        ``"balanced_accuracy"`` (the mean of the recalls of the classes that occur), ``"kappa"``
        (Cohen's) and ``"weighted_f1"``; with two classes also ``"f1"``, ``"precision"`` and
        ``"recall"`` of the positive one; with their probabilities ``"roc_auc"`` and ``"pr_auc"``
        (the average precision, without interpolation between points).

    Returns
    -------
    scores : dict
        Values by measure. Kappa and areas are NaN if only one class occurs.

    Raises
    ------
    ValueError
        If lengths differ, labels are unknown, or a measure is not one of these classes.
    """
    from sklearn import metrics

    y, predicted = np.asarray(y), np.asarray(predicted)
    labels = np.unique(np.concatenate([y, predicted])) if labels is None else np.asarray(labels)
    _check_classes(y, predicted, probabilities, labels)
    known = [
        *_OF_CLASSES,
        *(_OF_TWO if len(labels) == 2 else ()),
        *(_OF_PROBABILITIES if len(labels) == 2 and probabilities is not None else ()),
    ]
    measures = known if measures is None else list(measures)
    unknown = [name for name in measures if name not in known]
    if unknown:
        raise ValueError(
            f"Unknown measure {', '.join(map(str, unknown))} for {len(labels)} classes "
            f"{'with' if probabilities is not None else 'without'} probabilities, expected some of "
            f"{', '.join(known)}."
        )
    occurring = [label for label in labels if (y == label).any()]
    two = dict(pos_label=labels[-1], zero_division=0.0)
    compute = {
        "accuracy": lambda: np.mean(y == predicted),
        "balanced_accuracy": lambda: np.mean([np.mean(predicted[y == k] == k) for k in occurring]),
        "kappa": lambda: metrics.cohen_kappa_score(y, predicted, labels=labels),
        "weighted_f1": lambda: metrics.f1_score(
            y, predicted, labels=labels, average="weighted", zero_division=0.0
        ),
        "f1": lambda: metrics.f1_score(y, predicted, **two),
        "precision": lambda: metrics.precision_score(y, predicted, **two),
        "recall": lambda: metrics.recall_score(y, predicted, **two),
        "roc_auc": lambda: metrics.roc_auc_score(y == labels[-1], probabilities[:, 1]),
        "pr_auc": lambda: metrics.average_precision_score(y == labels[-1], probabilities[:, 1]),
    }
    if probabilities is not None:
        probabilities = np.asarray(probabilities)
    undefined = {"kappa", *_OF_PROBABILITIES} if len(occurring) == 1 else ()
    return {
        name: float("nan") if name in undefined else float(compute[name]()) for name in measures
    }


def _check_classes(y, predicted, probabilities, labels):
    """Raise if labels, predictions and probabilities do not match."""
    if y.ndim != 1 or y.shape != predicted.shape or len(y) == 0:
        raise ValueError(
            "y and predicted must have the same length and not be empty, got shapes "
            f"{y.shape} and {predicted.shape}."
        )
    unknown = sorted({*y.tolist(), *predicted.tolist()} - {*labels.tolist()})
    if unknown:
        raise ValueError(f"Found labels {unknown}, expected some of {labels.tolist()}.")
    if probabilities is not None and np.shape(probabilities) != (len(y), len(labels)):
        raise ValueError(
            f"probabilities must have the shape {(len(y), len(labels))}, got "
            f"{np.shape(probabilities)}."
        )
