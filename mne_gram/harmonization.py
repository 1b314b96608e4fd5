# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Bring a recording to a wanted set of electrodes: add what it lacks, restore, order, drop."""

from dataclasses import dataclass

import mne
import numpy as np
from mne.channels import DigMontage
from mne.io import BaseRaw
from mne.io.constants import FIFF
from mne.utils import _check_option, _validate_type, logger, verbose, warn

from ._channel_names import (
    ELECTRODES,
    INDEX,
    clean_name,
    derivation_ends,
    parse_name,
    settle_names,
)
from ._head import (
    FAR,
    _similarity,
    _transform,
    electrode_positions,
    read_positions,
    template_places,
)
from ._restoration_report import RestorationReport
from .montage import match_channels
from .restoration import restore
from .spatial import MIN_GOOD

__all__ = ["harmonize"]

_MAX_SAMPLES = 20_000  # for statistics of what all channels share


@verbose
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
    """Bring a recording to a wanted set of electrodes.

    Wanted electrodes that the recording lacks are added, and those that are bad are restored, by
    :func:`mne_gram.restore`. Good samples stay as they are, to the bit.

    Parameters
    ----------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The data, in volts. What is bad is taken from ``info["bads"]`` and from annotations that
        begin with ``BAD``, as in :func:`mne_gram.restore`.
    channels : list of str | str | mne.channels.DigMontage | mne.Info
        The EEG channels that the result has, in this order: 10-05 names (old ones such as ``T3``
        are understood), the name of a montage that MNE brings along, a montage, or the info of
        another recording, whose EEG channels are taken.
    method : "auto" | "spatial" | "gram" | "spline"
        How to estimate what is lacking or bad, see :func:`mne_gram.restore`.
    output : "mean" | "sample"
        The conditional mean, or one draw from the posterior, which has the power that a mean lacks.
    model : str | path-like | GramModel
        The network for ``method="gram"``.
    prior : Prior | path-like | None
        Covariances of other people's recordings; None for those in the package.
    drop_others : bool
        Whether to drop EEG channels that are not wanted. They serve as evidence first, if they are
        good. If False they follow the wanted ones; those that are bad all through stay as they are.
    on_missing : "raise" | "warn" | "ignore"
        What to do about wanted channels of which neither name nor position tells where they are.
        Unless that raises, those that lack are left out, and those that are bad stay as they are.
    line_freq : float | None
        The power line's frequency in Hz, for the network; None as in :func:`mne_gram.restore`.
    random_state : int | None
        Seed of ``output="sample"``. The same seed gives the same draw.
    device : str | torch.device | None
        Where the network runs; None for the CPU.
    batch_size : int | None
        Windows that the network sees at once; None chooses.
    return_report : bool
        Whether to return the report too.
    copy : bool
        Whether to leave ``inst`` as it is and return a copy.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    inst : mne.io.Raw | mne.Epochs | mne.Evoked
        The harmonized data, preloaded. The EEG channels stand where the first one stood; other
        types of channels keep their order.
    report : RestorationReport
        What was added and restored, and how far to trust it. Its ``std`` has the shape of the
        harmonized data, NaN where nothing tells how large the error is. Only with
        ``return_report=True``.

    Raises
    ------
    ValueError
        If two wanted names are one electrode, a wanted name is unknown or taken by a channel that
        is no EEG, fewer than two EEG channels are good, or projectors that wait to be applied
        would miss the new channels; besides, as in :func:`mne_gram.restore`.

    See Also
    --------
    mne_gram.restore : Restore channels that are there, but bad.
    mne.io.Raw.interpolate_to : Spherical splines at all positions of a montage.

    Notes
    -----
    A channel that the recording has under another name of the same electrode (``T3`` for ``T7``,
    ``EEG Fp1-LE`` for ``Fp1``) is renamed to the wanted one. Where ``channels`` is a montage or an
    info that holds both names of an electrode, as MNE's 10-20 montages do, the newer name counts;
    a list that holds both is refused.

    New channels get the position in the montage or info; for a list of names, the one on MNE's
    10-05 template, laid on the head of the recording. So do wanted channels without a position.
    Channels that have a position keep it.

    New channels stand in the reference of the data, and add nothing that was measured: the rank of
    the data stays what it was. If the reference electrode itself is wanted, add it first, with
    :func:`mne.add_reference_channels`: it is known to be zero. An average reference that waits as
    a projector is renewed for all channels.

    Where annotations mark all channels as bad, restored channels are left as they are. New channels
    follow the others there by a regression on the good times, and are as bad as these.

    Examples
    --------
    >>> import mne_gram
    >>> raw = mne_gram.datasets.sample().pick(["Fp1", "Fp2", "C3", "C4", "O1", "O2"])
    >>> raw = mne_gram.harmonize(raw, ["Fz", "C3", "Cz", "C4", "Pz"], verbose="error")
    >>> raw.ch_names
    ['Fz', 'C3', 'Cz', 'C4', 'Pz']
    """
    _validate_type(inst, (BaseRaw, mne.BaseEpochs, mne.Evoked), "inst", "Raw, Epochs or Evoked")
    _validate_type(drop_others, bool, "drop_others")
    _check_option("on_missing", on_missing, ("raise", "warn", "ignore"))
    wanted = _find_wanted(inst, channels, on_missing)
    _check_good(inst)
    renewed = _check_projectors(inst, wanted.lacking)
    if copy:
        inst = inst.copy()
    if not isinstance(inst, mne.Evoked):
        inst.load_data()
    _rename(inst, wanted.present)
    _add(inst, wanted)
    others = [n for n in _eeg_names(inst) if n not in wanted.names]
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
    untold = _follow(inst, good, wanted.lacking)
    order = _order(inst, [*wanted.names, *(() if drop_others else others)])
    rows = [inst.ch_names.index(name) for name in order]
    added = [inst.ch_names.index(name) for name in wanted.lacking]
    inst.reorder_channels(order)
    if renewed:
        _renew_average(inst)
    report = _HarmonizationReport(report, rows, added, untold)
    return (inst, report) if return_report else inst


def _eeg_names(inst):
    """Return the names of all EEG channels."""
    return [inst.ch_names[k] for k in mne.pick_types(inst.info, eeg=True, exclude=())]


def _check_good(inst):
    """Refuse a recording that tells too little."""
    eeg = _eeg_names(inst)
    good = [name for name in eeg if name not in inst.info["bads"]]
    if len(good) < MIN_GOOD:
        raise ValueError(
            f"{len(good)} of {len(eeg)} EEG channels are good; at least {MIN_GOOD} have to be to "
            "estimate others. Unmark channels that are usable, or leave this recording out."
        )


# ---------------------------------------------------------------------------------------------
# What is wanted


@dataclass(frozen=True)
class _Wanted:
    """The channels of the result.

    Attributes
    ----------
    names : list of str
        Their names in order.
    present : dict
        The name in the recording of each wanted channel that it has.
    positions : dict
        A position in metres in the recording's head frame of each, NaN where there is none.
    """

    names: list
    present: dict
    positions: dict

    @property
    def lacking(self):
        """Names of the channels that have to be added."""
        return [name for name in self.names if name not in self.present]


def _find_wanted(inst, channels, on_missing):
    """Read what is wanted, and find out what of it there is and where the rest lies."""
    target = _read_target(channels)
    of_template = isinstance(channels, (list, tuple))
    have = match_channels(inst.info, on_missing="ignore", verbose="error")
    want = match_channels(target, on_missing="ignore", verbose="error")
    present = _match(inst, want, have)
    positions = _lay_positions(inst.info, target, have, of_template)
    unplaced = []
    for name, entry in zip(want.ch_names, want.entries, strict=True):
        if name in present:
            continue
        if "-" in (entry or "") or derivation_ends(name) is not None:
            raise ValueError(
                f"{name} is a derivation between two electrodes, and only electrodes can be added. "
                "Harmonize to its two electrodes, then derive it with "
                "mne.set_bipolar_reference."
            )
        # A place that the entry was found by is of no use if the positions were not credible.
        named = entry is not None and parse_name(name)[0] == entry
        if not named and not np.isfinite(positions[name]).all():
            unplaced.append(name)
    if unplaced:
        _refuse_unknown(unplaced, on_missing)
    names = [name for name in target["ch_names"] if name not in unplaced]
    wanted = _Wanted(names, present, positions)
    logger.info(
        "%d of %d wanted channels are in the recording, %d are added.",
        *(len(present), len(names), len(wanted.lacking)),
    )
    return wanted


def _refuse_unknown(names, on_missing):
    message = (
        f"Cannot add {', '.join(names)}: these are no 10-05 names, and no position tells where "
        "they are. Check the spelling, or give a montage that holds them "
        "(mne.channels.make_dig_montage)"
    )
    if on_missing == "raise":
        raise ValueError(f"{message}; on_missing='warn' leaves them out.")
    if on_missing == "warn":
        warn(f"{message}. They are left out.")


def _read_target(channels):
    """Return an info with the wanted channels in order, with their positions in the head frame."""
    _validate_type(channels, (list, tuple, str, DigMontage, mne.Info), "channels")
    if isinstance(channels, (list, tuple)):
        return _read_names(list(channels))
    if isinstance(channels, mne.Info):
        picks = mne.pick_types(channels, eeg=True, exclude=())
        names = [channels["ch_names"][k] for k in picks]
        target = _make_info(names, read_positions(channels, picks))
    else:
        if isinstance(channels, str):
            channels = _make_montage(channels)
        target = mne.create_info(list(channels.ch_names), 1.0, "eeg")
        target.set_montage(channels)
        names = target["ch_names"]
    if not names:
        raise ValueError("channels holds no EEG channel: there is nothing to harmonize to.")
    said = settle_names(names)
    twice = [name for name, (_, how, _) in zip(names, said, strict=True) if how == "taken"]
    if twice:
        logger.info("Left out old names of electrodes that channels has twice: %s.", twice)
        target = mne.pick_info(target, [k for k, name in enumerate(names) if name not in twice])
    return target


def _make_montage(name):
    """Return a montage that MNE brings along."""
    known = mne.channels.get_builtin_montages()
    if name not in known:
        raise ValueError(
            f"Found no montage named {name!r}, expected one of {', '.join(known)}. A single "
            f"channel is given as a list: channels=[{name!r}]."
        )
    return mne.channels.make_standard_montage(name)


def _read_names(names):
    """Return an info with channels of these names where the template has them."""
    if not names:
        raise ValueError("channels is empty: there is nothing to harmonize to.")
    for name in names:
        _validate_type(name, str, "Each of channels")
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"channels holds {', '.join(twice)} more than once.")
    template = {name.upper(): place for name, place in template_places().items()}
    positions = np.full((len(names), 3), np.nan)
    first = {}
    for k, (name, (entry, how, _)) in enumerate(zip(names, settle_names(names), strict=True)):
        said = parse_name(name)[0]
        if entry in ELECTRODES:
            positions[k] = electrode_positions()[INDEX[entry]]
        elif said is None or said.startswith("CCP"):  # beside CCP1h, CCP1 is where 10-05 has it
            positions[k] = template.get(clean_name(name), np.nan)
        place = _key(said if how == "taken" else entry)
        if place is not None and place in first:
            raise ValueError(
                f"{first[place]} and {name} are two names of one electrode: give one of them."
            )
        first[place] = name
    return _make_info(names, positions)


def _make_info(names, positions, sfreq=1.0):
    """Return an info of EEG channels at positions in the head frame."""
    info = mne.create_info(list(names), sfreq, "eeg")
    for ch, position in zip(info["chs"], positions, strict=True):
        ch["loc"][:6] = *position, 0.0, 0.0, 0.0
    return info


def _key(entry):
    """Return what is the same for all names of an electrode; None if there is no entry."""
    if entry not in ELECTRODES:
        return entry
    return tuple(electrode_positions()[INDEX[entry]].round(6))


def _match(inst, want, have):
    """Return the name in the recording of each wanted channel that it has."""
    by_name = ("exact", "name", "bipolar")  # by position they are only near, not the same
    places = {
        _key(entry): name
        for name, entry, how in zip(have.ch_names, have.entries, have.how, strict=True)
        if how in by_name
    }
    entries = dict(zip(have.ch_names, have.entries, strict=True))
    types = dict(zip(inst.ch_names, inst.get_channel_types(), strict=True))
    present = {}
    for name, entry, how in zip(want.ch_names, want.entries, want.how, strict=True):
        if types.get(name, "eeg") != "eeg":
            raise ValueError(
                f"{name} is wanted, but the recording has a channel of that name and of type "
                f"{types[name]}. Set its type with inst.set_channel_types, or rename it."
            )
        if name in entries:
            _check_same(name, entry, entries[name])
            present[name] = name
        elif how in by_name and _key(entry) in places:
            present[name] = places[_key(entry)]
    return present


def _check_same(name, entry, found):
    """Refuse a channel that has the wanted name, but lies elsewhere."""
    if entry not in ELECTRODES or found not in ELECTRODES:
        return
    template = electrode_positions()
    if np.linalg.norm(template[INDEX[entry]] - template[INDEX[found]]) > FAR:
        raise ValueError(
            f"{name} is wanted at {entry}, but the recording's channel of that name lies at "
            f"{found}. Rename it with inst.rename_channels."
        )


def _lay_positions(info, target, have, of_template):
    """Return the positions of wanted channels in the recording's head frame, by name."""
    positions = read_positions(target, np.arange(len(target["ch_names"])))
    own = read_positions(info, mne.pick_types(info, eeg=True, exclude=()))
    located = np.isfinite(own).all(axis=1)
    used = located & np.isfinite(have.positions).all(axis=1)
    if located.any() and not used.any():
        positions[:] = np.nan  # the recording's positions contradict its names: names are enough
    elif of_template and used.any():
        try:
            positions = _transform(positions, _similarity(have.positions[used], own[used]))
        except ValueError:
            logger.info("Too few positions to tell how the head lies: the template's are taken.")
    return dict(zip(target["ch_names"], positions, strict=True))


# ---------------------------------------------------------------------------------------------
# Changing the recording


def _check_projectors(inst, lacking):
    """Refuse projectors that wait and would miss new channels; tell whether an average waits."""
    eeg = _eeg_names(inst)
    waiting = [p for p in inst.info["projs"] if not p["active"]] if lacking else []
    averages = [p for p in waiting if p["kind"] == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF]
    rest = [p for p in waiting if p not in averages and set(p["data"]["col_names"]) & set(eeg)]
    if rest:
        raise ValueError(
            f"Found projectors that are not applied yet ({', '.join(p['desc'] for p in rest)}): "
            "they would miss the new channels. Apply them first with inst.apply_proj, or take them "
            "off with inst.del_proj."
        )
    return bool(averages)


def _rename(inst, present):
    """Give channels the wanted names, also in annotations."""
    mapping = {old: new for new, old in present.items() if new != old}
    if not mapping:
        return
    inst.rename_channels(mapping)
    if isinstance(inst, mne.BaseEpochs) and inst.annotations is not None:  # MNE does it for Raw
        ch_names = inst.annotations.ch_names
        for k, names in enumerate(ch_names):
            ch_names[k] = tuple(mapping.get(name, name) for name in names)


def _add(inst, wanted):
    """Append the channels that lack, NaN and marked as bad, and positions that lack."""
    for name in wanted.present:
        loc = inst.info["chs"][inst.ch_names.index(name)]["loc"]
        if not np.isfinite(loc[:3]).all() or not loc[:3].any():
            loc[:3] = wanted.positions[name]
    lacking = wanted.lacking
    if not lacking:
        return
    positions = [wanted.positions[name] for name in lacking]
    info = _make_info(lacking, positions, inst.info["sfreq"])
    n_times = len(inst.times)
    if isinstance(inst, BaseRaw):
        new = mne.io.RawArray(np.full((len(lacking), n_times), np.nan), info, verbose="error")
    elif isinstance(inst, mne.BaseEpochs):
        data = np.full((len(inst), len(lacking), n_times), np.nan)
        new = mne.EpochsArray(data, info, tmin=inst.tmin, proj=False, verbose="error")
    else:
        data = np.full((len(lacking), n_times), np.nan)
        new = mne.EvokedArray(data, info, tmin=inst.tmin, verbose="error")
    bads = list(inst.info["bads"])
    inst.add_channels([new], force_update_info=True)
    inst.info["bads"] = [*bads, *lacking]
    if not isinstance(inst, mne.BaseEpochs):
        # The matrix of applied projectors, which MNE leaves at the old size; it is of no more use.
        inst._projector = None
    _add_dig(inst.info, dict(zip(lacking, positions, strict=True)))


def _add_dig(info, positions):
    """Put new electrodes among the digitized points, which MNE fits the head to."""
    located = {name: place for name, place in positions.items() if np.isfinite(place).all()}
    if not located or info["dig"] is None:
        return
    points = mne.channels.make_dig_montage(located, coord_frame="head").dig
    taken = [p["ident"] for p in info["dig"] if p["kind"] == FIFF.FIFFV_POINT_EEG]
    for number, point in enumerate(points, max(taken, default=0) + 1):
        point["ident"] = number
    with info._unlock():
        info["dig"] = [*info["dig"], *points]


def _follow(inst, good, added):
    """Let new channels follow the others where nothing was restored, since all are bad then.

    Returns when that is, an array of bool of the shape of one channel. A regression on the restored
    times continues them without a jump, whereas a constant would ring in filters.
    """
    shape = inst._data[..., 0, :].shape
    if not added:
        return np.zeros(shape, bool)
    untold = np.zeros(shape, bool)
    for name in added:
        untold |= np.isnan(inst._data[..., inst.ch_names.index(name), :])
    if not untold.any():
        return untold
    gap = untold.ravel()
    told = np.flatnonzero(~gap)
    if not len(told):
        raise ValueError(
            f"Cannot add {', '.join(added)}: the positions in the recording do not tell where they "
            "are. Check its montage, or take it off with inst.set_montage(None)."
        )
    told = told[:: max(1, len(told) // _MAX_SAMPLES)]
    x, y = _read(inst, good), _read(inst, added)
    mean_x, mean_y = (part[:, told].mean(axis=1, keepdims=True) for part in (x, y))
    weights = np.linalg.lstsq((x[:, told] - mean_x).T, (y[:, told] - mean_y).T, rcond=1e-6)[0]
    y[:, gap] = weights.T @ (x[:, gap] - mean_x) + mean_y
    for name, values in zip(added, y, strict=True):
        inst._data[..., inst.ch_names.index(name), :] = values.reshape(shape)
    # There they are no worse than the others, which are not called bad all through either.
    inst.info["bads"] = [name for name in inst.info["bads"] if name not in added]
    return untold


def _read(inst, names):
    """Return channels x all samples, a copy."""
    data = inst._data[..., [inst.ch_names.index(name) for name in names], :]
    return np.moveaxis(data, -2, 0).reshape(len(names), -1)


def _order(inst, eeg):
    """Return all channels in order, EEG where the first of it stood."""
    types = inst.get_channel_types()
    first = types.index("eeg")
    before = inst.ch_names[:first]
    after = [n for n, t in zip(inst.ch_names, types, strict=True) if t != "eeg" and n not in before]
    return [*before, *eeg, *after]


def _renew_average(inst):
    """Let an average reference that waits as a projector hold the new channels too."""
    kinds = [proj["kind"] for proj in inst.info["projs"]]
    inst.del_proj([k for k, kind in enumerate(kinds) if kind == FIFF.FIFFV_PROJ_ITEM_EEG_AVREF])
    inst.set_eeg_reference("average", projection=True)


class _HarmonizationReport(RestorationReport):
    """A report whose ``std`` has the shape of the harmonized data.

    Parameters
    ----------
    report : RestorationReport
        The report of the data in which all channels still were.
    rows : list of int
        Which of these channels the harmonized data have, in order.
    added : list of int
        Which of these channels are new.
    untold : array of bool, shape ([n_epochs, ]n_times)
        When new channels merely follow the others.
    """

    def __init__(self, report, rows, added, untold):
        vars(self).update(vars(report))  # it is that report, seen from other channels
        self._final_rows, self._added, self._untold = rows, added, untold

    @property
    def std(self):
        """Standard deviation of the error of each sample in volts, 0 where nothing was done.

        It has the shape of the harmonized data. NaN where nothing tells how large the error is.
        """
        return self._read_std(self._final_rows)

    def _read_std(self, rows):
        std = super()._read_std(rows)
        for k, row in enumerate(rows):
            if row in self._added:
                std[..., k, :][self._untold] = np.nan
        return std
