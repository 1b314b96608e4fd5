# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The settings of a run, and the plan that a dry run reports instead of results."""

import warnings
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from mne.utils import use_log_level

from .._files import read_recording
from ..restoration import METHODS, OPTIONS
from ._journal import PRIVATE, Journal
from ._library import Library, get_bundled
from ._process import compute_key
from ._restore import describe_input

JOBS = ("restore", "embed", "tokens", "prior")
# Seconds of computation per channel and second of signal, where the journal has no measurement.
_PACE = dict(restore=8e-4, embed=3e-4, tokens=3e-4, prior=3e-4)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings by which each recording is processed: arguments of `run_bids`, checked.

    ``folder`` is the derivative data set, ``model`` a name or an absolute folder, ``library`` the
    prior (None if it is not used), ``weights`` the sha256 of each model and of the prior by name.
    Results do not depend on ``overwrite`` and ``figures``.
    """

    folder: Path
    job: str
    weights: dict = field(default_factory=dict)
    library: Library | None = None
    find_bads: bool = False
    method: str = "auto"
    output: str = "mean"
    model: str = "gram-tiny"
    line_freq: float | None = None
    all_channel_gaps: str = "keep"
    random_state: int | None = None
    exclude: list = field(default_factory=list)
    extension: str = ".vhdr"
    save_std: bool = False
    naming: str = "derivative"
    pool: str = "cls"
    window: float | None = None
    overlap: float = 0.0
    device: str | None = None
    batch_size: int | None = None
    overwrite: bool = False
    figures: bool = True

    @property
    def parameters(self):
        """The settings that the results depend on, as a dict for JSON."""
        shared = {"job", "find_bads", "line_freq"}
        own = {"pool", "window", "overlap", "model"} if self.job == "embed" else set()
        if self.job == "tokens":
            own = {"window", "overlap", "model"}
        if self.job == "restore":
            own = {*OPTIONS, "extension", "save_std"}
            own -= set() if self.exclude else {"exclude"}
            own |= {"model"} if METHODS[self.method].needs_network else set()
            own |= {"naming"} if self.naming == "raw" else set()
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name in shared | own}
        if "model" in chosen:  # results do not depend on its folder
            chosen["model"] = Path(self.model).name
        return chosen

    @property
    def description(self):
        """The description in the names of restored recordings, None without."""
        return None if self.naming == "raw" else "restored"

    def get_target(self, recording):
        """Return the name of the main output file of a recording, relative to the folder."""
        if self.job == "prior":
            return f"{PRIVATE}/cohort/{recording.name}.npz"
        if self.job != "restore":  # a recording and its epochs may have the same entities
            suffix = dict(embed="embedding", tokens="tokens")[self.job]
            description = "gramEpochs" if recording.is_epochs else "gram"
            name = f"{recording.rename(description, suffix)}.npz"
        elif recording.is_epochs:
            name = f"{recording.rename(self.description, 'epo')}.fif"
        else:
            name = f"{recording.rename(self.description, 'eeg')}{self.extension}"
        return (recording.path.parent / name).as_posix()

    @property
    def uses_network(self):
        """Whether the job needs a network."""
        if self.job == "restore":
            return METHODS[self.method].needs_network
        return self.job != "prior"

    @property
    def uses_prior(self):
        """Whether results depend on a prior."""
        return self.find_bads or (self.job == "restore" and self.method != "spline")

    def for_prior(self):
        """Return the settings by which recordings are measured for the prior of the data set."""
        weights = {"prior": get_bundled().sha256} if self.find_bads else {}
        return replace(self, job="prior", library=get_bundled(), weights=weights, figures=False)

    @property
    def uses_accelerator(self):
        """Whether networks run on another device than the CPU."""
        return self.device is not None and self.device.partition(":")[0] != "cpu"


def plan_recordings(recordings, settings):
    """Return one row per recording with what a run would do.

    Rows have ``status`` (``"planned"``, ``"skipped"`` or ``"failed"``), ``why``, ``duration``,
    ``bads``, ``n_spans`` and ``estimate``, the expected run time in seconds of one process.
    """
    journal = Journal(settings.folder)
    pace = _find_pace(journal, settings)
    return [_plan(recording, settings, journal, pace) for recording in recordings]


def _find_pace(journal, settings):
    """Return the seconds of computation per channel and second, from the journal if possible."""
    rows = [entry.get("row", {}) for entry in journal.read_all() if entry["job"] == settings.job]
    rows = [row for row in rows if row.get("compute_seconds")]
    size = sum(row["duration"] * row["n_channels"] for row in rows)
    return sum(row["compute_seconds"] for row in rows) / size if size else _PACE[settings.job]


def _plan(recording, settings, journal, pace):
    """Return the row of a recording."""
    row = dict(recording=recording.label, job=settings.job, status="planned", seconds=0.0)
    with warnings.catch_warnings(), use_log_level("error"):
        warnings.simplefilter("ignore")
        try:
            if recording.problem:
                raise ValueError(recording.problem)
            entry, why = journal.read(recording, settings.job), "it is new"
            if entry:
                why = journal.find_reason(entry, compute_key(recording, settings, entry)[0])
            inst = read_recording(recording)
        except Exception as exc:  # reported in the table, as by a run
            line = " ".join(str(exc).split()).replace(f"{recording.root}/", "")
            return dict(row, status="failed", why=line, estimate=0.0)
        facts = describe_input(inst)
        texts = [] if recording.is_epochs else inst.annotations.description
    row.update(facts, n_spans=sum(text.upper().startswith("BAD") for text in texts), why=why)
    if not why and not settings.overwrite:
        return dict(row, status="skipped", estimate=0.0)
    row["why"] = why or "overwriting"
    return dict(row, estimate=pace * facts["duration"] * facts["n_channels"])
