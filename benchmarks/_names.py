# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What methods, tasks and kinds of damage are called in tables and figures, and in which order."""

import json

# In the order in which readers look for them: first what to expect in data of one's own.
METHODS = {
    "auto-cohort-5": "mne_gram, cohort of five",
    "auto-cohort-all": "mne_gram, cohort of all others",
    "auto-cohort-10": "mne_gram, cohort of ten",
    "auto-cohort-3": "mne_gram, cohort of three",
    "auto-dirty-5": "mne_gram, cohort of five with bad channels",
    "auto-left-out": "mne_gram, no cohort",
    "auto": "mne_gram, data set in the library",
    "ridge": "ridge on own clean data",
    "mne": "minimum norm (MNE)",
    "spline": "spherical spline (MNE)",
    "spatial": 'method="spatial"',
    "spatial-left-out": 'method="spatial", data set left out',
    "auto-sample": 'output="sample"',
    "auto-left-out-sample": 'output="sample", data set left out',
}
CONDITIONS = {
    "clean": "clean",
    "bad": "bad channels kept",
    "dropped": "bad channels dropped",
}
REGIMES = {
    "one": "one channel",
    "10%": "10 % of channels",
    "25%": "25 % of channels",
    "50%": "50 % of channels",
    "cluster": "cluster of neighbours",
    "segments": "segments",
    "patches": "patches of 1 s",
}
TASKS = {
    "eegmat": "rest or arithmetic (eegmat)",
    "mdd": "eyes open or closed (mdd)",
    "eegmmi": "imagined fist, across subjects (eegmmi)",
    "eegmmi-within": "imagined fist, within subjects (eegmmi)",
    "eegmat-heldout": "rest or arithmetic (eegmat)",
    "mdd-heldout": "eyes open or closed (mdd)",
    "eegmmi-heldout": "imagined fist (eegmmi)",
}
DECODERS = {
    "csp-lda": "common spatial patterns, LDA",
    "tangent-lr": "tangent space, logistic regression",
    "bandpower-lr": "band power, logistic regression",
    "chance": "chance",
}


def name_method(name):
    """Return what a method of restoration is called."""
    return METHODS.get(name, name)


def name_condition(name):
    """Return what the channels of a decoder are called."""
    return CONDITIONS.get(name) or name_method(name)


def name_regime(name):
    """Return what a kind of damage is called."""
    return REGIMES.get(name, name)


def name_task(name):
    """Return what a task of classification is called."""
    return TASKS.get(name, name)


def name_decoder(name):
    """Return what a classifier is called: ``gram-...`` as it is written in Python."""
    kind, *arguments = name.split("+")
    if not kind.startswith("gram-"):
        return DECODERS.get(name, name)
    words = [] if kind == "gram-probe" else [json.dumps(kind.removeprefix("gram-"))]
    for key, value in (argument.split("=", 1) for argument in arguments):
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            pass  # a bare word
        words.append(f"{key}={json.dumps(value)}")
    return f"GramClassifier({', '.join(words)})"


def sort_names(names, order):
    """Return names in an order, those that it lacks at the end as they came."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(names, key=lambda name: places.get(name, len(places)))


def sort_decoders(names):
    """Return the classifiers of the package first, before all the aligned one and the default."""
    first = ["gram-probe+align=subject", "gram-probe"]
    ours = [name for name in names if name.startswith("gram-") and name not in first]
    return sort_names(names, [*first, *ours, *DECODERS])
