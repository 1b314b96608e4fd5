# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bring a recording to a wanted set of electrodes: add missing ones, restore, order, drop."""

import mne
import numpy as np
from mne.utils import _check_option, _validate_type, verbose

from .._checks import check_content, check_type, pick_eeg
from .._docs import fill_doc
from .._marks import find_broken
from .._strays import find_strays_of
from ..covariance import MIN_GOOD
from ..preprocessing import check_units, measure_level
from ._alignment import (
    add_missing,
    check_projectors,
    list_eeg,
    order_channels,
    rename_present,
)
from ._mark import renew_average
from ._rank import find_rank
from ._report import RestorationReport
from ._restore import restore
from ._wanted import find_wanted

_MAX_SAMPLES = 20_000  # for statistics of what all channels share


@verbose
@fill_doc
def harmonize(
    inst,
    channels,
    *,
    method="auto",
    output="mean",
    model="gram-tiny",
    prior=None,
    drop_others=True,
    on_missing="raise",
    line_freq=None,
    random_state=None,
    device=None,
    batch_size=None,
    return_report=False,
    copy=True,
    verbose=None,
):
    """Bring a recording to a given set of electrodes.

    Missing electrodes are added, and bad ones are restored, by :func:`mne_gram.restore`. Good
    samples are left unchanged, bit for bit.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data, in volts. Bad channels and segments are taken from ``info["bads"]`` and from
        annotations that begin with ``BAD``, as in :func:`mne_gram.restore`.
    channels : list of str | str | mne.channels.DigMontage | mne.Info
        The EEG channels of the result, in order: 10-05 names (or old ones such as ``T3``), the name
        of a montage that is built into MNE, a montage, or the info of another recording, whose EEG
        channels are taken.
    method : "auto" | "spatial" | "gram" | "spline"
        How to estimate missing and bad channels, see :func:`mne_gram.restore`.
    %(restoration_output)s
    %(restoration_model)s
    %(restoration_prior)s
    drop_others : bool
        Whether to drop EEG channels that are not wanted, after the good ones were used to estimate
        others. If False they come after the wanted ones; bad channels among them are left
        unchanged.
    on_missing : "raise" | "warn" | "ignore"
        What to do about wanted channels whose position is unknown, from both their name and the
        montage. Unless an error is raised, missing ones are left out, and bad ones are left
        unchanged.
    %(restoration_line_freq)s
    %(restoration_seed)s
    %(restoration_network)s
    %(return_report)s
    copy : bool
        Whether to leave ``inst`` unchanged and return a copy. If False, ``inst`` is modified in
        place, but only at the end: it is unchanged if an error is raised.
    %(verbose)s

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The harmonized data, preloaded. The EEG channels are where the first one was; other types
        of channels keep their order.
    report : RestorationReport
        What was added and restored, and the expected errors. Its ``std`` has the shape of the
        harmonized data, and is NaN where the error is unknown. Only returned if
        ``return_report=True``.

    Raises
    ------
    ValueError
        If two wanted names denote the same electrode, a wanted name is unknown or that of a non-EEG
        channel, fewer than two EEG channels are good, or projectors that are not applied yet would
        not include the new channels; also as in :func:`mne_gram.restore`.

    See Also
    --------
    mne_gram.restore : Restore channels that are bad, but not missing.
    mne.io.Raw.interpolate_to : Spherical splines at all positions of a montage.

    Notes
    -----
    A channel that the recording has under another name of the same electrode (``T3`` for ``T7``,
    ``EEG Fp1-LE`` for ``Fp1``) is renamed to the wanted one. Where ``channels`` is a montage or an
    info that contains both names of an electrode, as MNE's 10-20 montages do, the newer name is
    used; a list with both is refused.

    New channels, and wanted channels without a position, get the position in the montage or info;
    for a list of names, the one in MNE's 10-05 template, fitted to the head of the recording.
    Existing positions are kept.

    New channels have the reference of the data, and add no measured information. They can add to
    the rank that :func:`mne.compute_rank` finds, because the weights of the other channels differ
    between frequency bands: for ICA and whitening, use the report's ``rank``, which is at most
    that of the recorded channels. If the reference electrode itself is wanted, add it first, with
    :func:`mne.add_reference_channels`: it is known to be zero. An average reference projector that
    is not applied yet is replaced by one for all channels.

    Where annotations mark all channels as bad, restored channels are left unchanged. New channels
    are predicted from the others there, by a regression fitted at the good times, and are as
    unreliable as these.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample().pick(["Fp1", "Fp2", "C3", "C4", "O1", "O2"])
    >>> raw = mne_gram.harmonize(raw, ["Fz", "C3", "Cz", "C4", "Pz"], verbose="error")
    >>> raw.ch_names
    ['Fz', 'C3', 'Cz', 'C4', 'Pz']
    """
    check_type(inst, ("Raw", "Epochs", "Evoked"))
    _validate_type(drop_others, bool, "drop_others")
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    pick_eeg(inst)
    wanted = find_wanted(inst, channels, on_missing)
    _check_good(inst)
    check_projectors(inst, wanted.missing)
    given, inst = inst, inst.copy()
    if not isinstance(inst, mne.Evoked):
        inst.load_data()
    check_content(inst)
    _check_units(inst)
    inst._data = np.asarray(inst._data)  # the copy of a memory-mapped file has no file to grow
    rename_present(inst, wanted.present)
    add_missing(inst, wanted)
    others = [n for n in list_eeg(inst) if n not in wanted.names]
    useful = [n for n in others if n not in inst.info["bads"]]
    good = [n for n in (*wanted.names, *useful) if n not in inst.info["bads"]]
    inst, report = restore(
        inst,
        picks=[*wanted.names, *useful],
        method=method,
        output=output,
        model=model,
        prior=prior,
        line_freq=line_freq,
        random_state=random_state,
        device=device,
        batch_size=batch_size,
        on_missing=on_missing,
        reset_bads=True,
        annotate=False,
        return_report=True,
        copy=False,
    )
    followed = _follow(inst, good, wanted.missing)
    order = order_channels(inst, [*wanted.names, *(() if drop_others else others)])
    rows = [inst.ch_names.index(name) for name in order]
    added = [inst.ch_names.index(name) for name in wanted.missing]
    inst.reorder_channels(order)
    renew_average(inst)
    report = _HarmonizationReport(report, rows, added, followed)
    # Fewer channels may be left than were recorded.
    report.rank = dict(eeg=min(report.rank["eeg"], find_rank(inst)["eeg"]))
    if not copy:
        given.__dict__ = vars(inst)  # at once, now that nothing can fail any more
        inst = given
    return (inst, report) if return_report else inst


def _check_good(inst):
    """Refuse a recording with too few good channels."""
    eeg = list_eeg(inst)
    good = [name for name in eeg if name not in inst.info["bads"]]
    if len(good) < MIN_GOOD:
        raise ValueError(
            f"{len(good)} of {len(eeg)} EEG channels are good; at least {MIN_GOOD} are needed to "
            "estimate others. Remove usable channels from info['bads'], or skip this recording."
        )


def _check_units(inst):
    """Refuse data that are not in volts, also if nothing has to be added or restored."""
    good = mne.pick_types(inst.info, eeg=True, exclude="bads")
    part = inst._data[..., :: max(1, len(inst.times) // _MAX_SAMPLES)][..., good, :]
    if measure_level(part):  # where recording paused, files hold zeros
        check_units(part)


# ---------------------------------------------------------------------------------------------
# The harmonized recording


def _follow(inst, good, added):
    """Let new channels follow the others where all are bad, so that nothing was restored.

    Returns when that is, a bool array of the shape of one channel. A regression on the restored
    times continues them without a jump, whereas a constant would ring in filters.
    """
    shape = inst._data[..., 0, :].shape
    if not added:
        return np.zeros(shape, bool)
    followed = np.zeros(shape, bool)
    for name in added:
        followed |= np.isnan(inst._data[..., inst.ch_names.index(name), :])
    if not followed.any():
        return followed
    gap = followed.ravel()
    restored = np.flatnonzero(~gap & np.isfinite(_read(inst, good)).all(axis=0))
    if not len(restored):
        raise ValueError(
            f"Cannot add {', '.join(added)}: their position relative to those in the recording is "
            "unknown. Check its montage, or remove it with inst.set_montage(None)."
        )
    restored = restored[:: max(1, len(restored) // _MAX_SAMPLES)]
    strays = find_strays_of(inst, [inst.ch_names.index(name) for name in good])
    good = [name for name in good if name not in strays]
    x, y = _read(inst, good), _read(inst, added)
    mean_x, mean_y = (part[:, restored].mean(axis=1, keepdims=True) for part in (x, y))
    weights = np.linalg.lstsq((x[:, restored] - mean_x).T, (y[:, restored] - mean_y).T, rcond=1e-6)[
        0
    ]
    with np.errstate(invalid="ignore"):  # NaN where these are NaN
        moved = x[:, gap] - mean_x
    y[:, gap] = weights.T @ np.where(find_broken(moved), 0, moved) + mean_y
    for name, values in zip(added, y, strict=True):
        inst._data[..., inst.ch_names.index(name), :] = values.reshape(shape)
    # They are no worse there than the others, which are not marked as bad either.
    inst.info["bads"] = [name for name in inst.info["bads"] if name not in added]
    return followed


def _read(inst, names):
    """Return channels x all samples, a copy."""
    data = inst._data[..., [inst.ch_names.index(name) for name in names], :]
    return np.moveaxis(data, -2, 0).reshape(len(names), -1)


class _HarmonizationReport(RestorationReport):
    """A report whose ``std`` has the shape of the harmonized data.

    ``rows`` are the kept channels in ``report``; ``followed`` is when ``added`` ones follow others.
    """

    def __init__(self, report, rows, added, followed):
        vars(self).update(vars(report))  # it is that report, for other channels of the data
        self._final_rows, self._added, self._followed = rows, added, followed

    @property
    def std(self):
        """Standard deviation of the error of each sample in volts, 0 where nothing was done.

        It has the shape of the harmonized data, and is NaN where the error is unknown.
        """
        return self._read_std(self._final_rows)

    def _read_std(self, rows):
        """Return the standard deviation of channels, by number; NaN where it is unknown."""
        std = super()._read_std(rows)
        for k, row in enumerate(rows):
            if row in self._added:
                std[..., k, :][self._followed] = np.nan
        return std
