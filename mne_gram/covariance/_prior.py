# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The population prior: how the 114 electrodes covary in recordings of other subjects."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import escape
from importlib import import_module
from pathlib import Path

import numpy as np
from mne.utils import _validate_type

from .._counts import count
from .._docs import fill_doc
from ..montage import ELECTRODES
from ._library import Library
from ._prior_file import read_prior_file, write_prior_file

PRIOR_FILE = Path(__file__).parents[1] / "data" / "prior.npz"


@dataclass(frozen=True, eq=False)
class RecordingCovariance:
    """Covariance of one training recording at its own electrodes."""

    source: tuple  # data set, subject and file
    channels: np.ndarray  # (n,), montage indices
    cov: np.ndarray  # (n_bands, n, n), average reference, mean variance 1


@dataclass(frozen=True, eq=False)
class Prior:
    """Covariances of other subjects' recordings at the 114 electrodes.

    Attributes
    ----------
    population : array, shape (n_bands, 114, 114)
        The mean covariance, of mean variance 1.
    weights : array, shape (n_recordings,)
        The weight of each before it is compared with the recording at hand.
    kernel : array, shape (n_degrees,)
        Legendre coefficients of the covariance as a function of the angle between electrodes.
    recordings : tuple of RecordingCovariance
        The recordings of the library, as measured.
    base : Prior | None
        The prior that a cohort was added to, whose recordings come first in the library; None if
        there is no cohort, or nothing else.
    n_cohort : int
        The number of recordings that were measured for this prior, the last ones of the library.
    """

    population: np.ndarray
    weights: np.ndarray
    kernel: np.ndarray
    recordings: tuple
    base: "Prior | None" = None
    n_cohort: int = 0

    @cached_property
    def library(self):
        """The recordings' covariances, completed to all electrodes and scaled as the population's.

        An array of shape (n_recordings, n_bands, 114, 114), which is computed when it is first
        asked for: 0.26 MB per recording.
        """
        return self._completed.complete()

    @cached_property
    def _completed(self):
        """The same in a form that takes less time and memory, a Library."""
        return Library(self.recordings, self.population)

    def save(self, fname, overwrite=False):
        """Save the prior, without pickles; :func:`mne_gram.read_prior` reads it.

        Parameters
        ----------
        fname : path-like
            The file to write, which ends in ``.npz``. It contains the base as well, and is
            written completely or not at all.
        overwrite : bool
            Whether to replace an existing file.

        Raises
        ------
        FileExistsError
            If the file exists and ``overwrite=False``.
        """
        write_prior_file(self, fname, overwrite=overwrite)

    @property
    def sources(self):
        """Data set, subject and file of each recording, a tuple of tuples of str."""
        return tuple(r.source for r in self.recordings)

    @property
    def covered(self):
        """Whether each of the 114 electrodes was measured in a recording, array of bool (114,)."""
        covered = np.zeros(len(ELECTRODES), bool)
        for recording in self.recordings:
            covered[recording.channels] = True
        return covered

    def describe(self):
        """Return who the prior was estimated from.

        Returns
        -------
        content : dict
            ``n_recordings``, ``n_subjects``, ``n_cohort`` (recordings of the cohort),
            ``n_cohort_subjects``, ``n_electrodes`` (those measured in a recording) and ``datasets``
            (the number of recordings by data set). JSON can represent it.
        """
        sources = self.sources
        names = [source[0] for source in sources]
        return dict(
            n_recordings=len(sources),
            n_subjects=len({source[:2] for source in sources}),
            n_cohort=self.n_cohort,
            n_cohort_subjects=len({s[:2] for s in sources[len(sources) - self.n_cohort :]}),
            n_electrodes=int(self.covered.sum()),
            datasets={name: names.count(name) for name in dict.fromkeys(names)},
        )

    def __repr__(self):
        """Return one line."""
        about = self.describe()
        cohort = f", {self.n_cohort} in the cohort" if self.n_cohort else ""
        size = count(about["n_recordings"], "recording")
        return (
            f"<Prior | {size} of {count(about['n_subjects'], 'subject')}{cohort}, "
            f"{count(about['n_electrodes'], 'electrode')}>"
        )

    def _repr_html_(self):
        """Return a table for notebooks."""
        about = self.describe()
        rows = [
            ("Recordings", f"{about['n_recordings']} of {count(about['n_subjects'], 'subject')}"),
            ("Cohort", f"{about['n_cohort']} of {count(about['n_cohort_subjects'], 'subject')}"),
            ("Electrodes", about["n_electrodes"]),
            ("Data sets", ", ".join(f"{name} ({n})" for name, n in about["datasets"].items())),
        ]
        cells = "".join(f"<tr><th>{k}</th><td>{escape(str(v))}</td></tr>" for k, v in rows)
        return f"<table><caption>Prior</caption>{cells}</table>"

    def plot(self, *, axes=None, show=True):
        """Plot who the prior was estimated from, and how well it knows each electrode.

        Parameters
        ----------
        axes : array of matplotlib.axes.Axes | None
            Two axes to plot in; None creates a figure.
        show : bool
            Whether to show the figure.

        Returns
        -------
        fig : matplotlib.figure.Figure
            The figure, as of :func:`mne_gram.viz.plot_prior`.
        """
        # Figures stand above this folder, which does not depend on them.
        return import_module("mne_gram.viz").plot_prior(self, axes=axes, show=show)

    @fill_doc
    def add_to(
        self,
        mne_report,
        *,
        title="Prior",
        section=None,
        tags=("prior",),
        replace=False,
    ):
        """Add the prior to a report of MNE.

        Parameters
        ----------
        %(mne_report)s

        Notes
        -----
        Two items are added: a summary, and the figure of :func:`mne_gram.viz.plot_prior`.
        """
        options = dict(title=title, section=section, tags=tags, replace=replace)
        import_module("mne_gram.report").add_prior(mne_report, self, **options)


# ---------------------------------------------------------------------------------------------
# Files


def read_prior(fname):
    """Read a prior that was saved with ``prior.save``.

    Parameters
    ----------
    fname : path-like
        The file, which ends in ``.npz``.

    Returns
    -------
    prior : Prior
        The prior.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a prior, or its arrays are not valid: of another type, shape or version,
        not finite, covariances that are not positive semi-definite, weights that are not positive.

    Notes
    -----
    Nothing is unpickled, and sizes are checked before anything is unpacked, so a file from others
    can be read without risk.
    """
    _validate_type(fname, "path-like", "fname")
    parts = read_prior_file(fname)
    recordings = tuple(RecordingCovariance(*recording) for recording in parts.pop("recordings"))
    base = parts.pop("base")
    if base is not None:
        known = recordings[: len(recordings) - parts["n_cohort"]]
        base = Prior(recordings=known, **base)
    return Prior(recordings=recordings, base=base, **parts)


def load_prior(fname=None):
    """Load a population prior; the last ones stay in memory.

    Parameters
    ----------
    fname : path-like | None
        A file as for :func:`mne_gram.read_prior`; None for the prior in the package.

    Returns
    -------
    prior : Prior
        The prior. It is cached: do not write into its arrays.
    """
    path = Path(fname or PRIOR_FILE)
    if not path.is_file():
        return read_prior(path)  # which explains what is wrong
    state = path.stat()
    return _read_cached(path.resolve(), state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=2)
def _read_cached(path, *state):
    """Read a prior; ``state`` changes with the content of the file."""
    return read_prior(path)


def resolve_prior(prior, name="prior"):
    """Return the Prior that an argument means: a Prior, a file, or the bundled one."""
    _validate_type(prior, (Prior, "path-like", None), name, "Prior, path-like or None")
    if isinstance(prior, Prior):
        return prior
    return load_prior(None if prior == "bundled" else prior)


def describe_prior(prior):
    """Return what `Prior.describe` does, and the ``name`` of a prior that was given as argument."""
    found = resolve_prior(prior)
    name = "fitted" if found.n_cohort else "another"
    if prior is None or prior == "bundled" or found is load_prior():
        name = "bundled"
    elif not isinstance(prior, Prior):
        name = Path(prior).name
    return dict(name=name, **found.describe())
