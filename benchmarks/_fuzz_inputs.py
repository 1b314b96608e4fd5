# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Random recordings for `fuzz.py`: odd names, positions, units, lengths, marks and samples."""

from dataclasses import dataclass, field

import mne
import numpy as np

from mne_gram._recording._masks import collect_mask
from mne_gram.montage import template_places

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2 FC1 FC2 CP5 CP6 POz".split()
GARBAGE = (np.nan, np.inf, -np.inf, 1e308, -1e300, 1e40, 7e3, 5.0, 1e-3, 0.0)


@dataclass
class Case:
    """A random recording, and what was done to it."""

    inst: object
    mask: object  # for `restore`: None, "auto" or an array of bool
    said: list = field(default_factory=list)  # what is odd about it


def choose(rng, options):
    """Return one of the options, a dict with their relative frequencies."""
    names, weights = list(options), np.array(list(options.values()), float)
    return names[rng.choice(len(names), p=weights / weights.sum())]


def make_case(rng):
    """Return a random Case."""
    said = []
    raw = make_raw(rng, said)
    place(rng, raw, said)
    spoil(rng, raw, said)
    annotate(rng, raw, said)
    n_bad = rng.integers(0, 3) if rng.random() < 0.8 else rng.integers(0, len(raw.ch_names) + 1)
    raw.info["bads"] = rng.choice(raw.ch_names, min(n_bad, len(raw.ch_names)), False).tolist()
    project(rng, raw, said)
    inst = cut(rng, raw, said)
    return Case(inst, make_mask(rng, inst, said), said)


def make_raw(rng, said):
    """Return a Raw of few channels and seconds, in most cases as users have them."""
    n = int(rng.integers(6, 20)) if rng.random() < 0.8 else int(rng.integers(1, 6))
    names = rng.choice(NAMES, n, replace=False).tolist()
    style = choose(rng, dict(plain=12, prefix=1, lower=1, numbers=2, odd=1, bipolar=1))
    if style == "prefix":
        names = [f"EEG {name}-LE" for name in names]
    elif style == "lower":
        names = [name.lower() for name in names]
    elif style == "numbers":
        names = [f"E{k + 1}" for k in range(n)]
    elif style == "odd":
        for k in rng.choice(n, rng.integers(1, n + 1), False):
            names[k] = ["C3'", "left sock", "X", "RESP", "é", "a" * 20][k % 6] + str(k)
    elif style == "bipolar" and n > 1:
        names = [f"{a}-{b}" for a, b in zip(names, names[1:] + names[:1], strict=True)]
    sfreq = choose(rng, {160.0: 6, 200.0: 3, 128.0: 2, 250.0: 2, 512.3: 1, 64.0: 1, 100.0: 1})
    longest = choose(rng, {0.05: 1, 0.8: 1, 3.0: 6, 6.0: 6})
    n_times = max(1, int(sfreq * longest * rng.uniform(0.3, 1)))
    said += [f"{n} {style} channels", f"{n_times} samples at {sfreq:g} Hz"]
    mixing = rng.standard_normal((n, max(2, n // 2)))
    data = mixing @ rng.standard_normal((mixing.shape[1], n_times)).cumsum(axis=1) / 3
    data = 1e-5 * (data + 0.3 * rng.standard_normal(data.shape))
    types = ["eeg"] * n
    if rng.random() < 0.25:
        types[rng.integers(n)] = choose(rng, dict(eog=2, misc=2, stim=1, csd=1))
        said.append(f"types {sorted(set(types))}")
    info = mne.create_info(names, sfreq, types)
    if rng.random() < 0.3:
        info["line_freq"] = 50.0
    return mne.io.RawArray(data, info, int(rng.choice([0, 0, 777])), verbose="error")


def place(rng, raw, said):
    """Give channels positions, right and wrong ones."""
    kind = choose(
        rng, dict(none=4, template=6, noisy=2, some=2, mirrored=1, flat=1, same=1, nan=1, plain=2)
    )
    said.append(f"positions {kind}")
    if kind == "none":
        return
    known = template_places()
    places = {name: known[name] for name in NAMES}
    points = np.array([places[name] for name in list(places)])[: len(raw.ch_names)]
    found = {n: places.get(n, p) for n, p in zip(raw.ch_names, points, strict=False)}
    if kind == "noisy":
        found = {n: p + 5e-3 * rng.standard_normal(3) for n, p in found.items()}
    elif kind == "some":
        found = {n: p for n, p in found.items() if rng.random() < 0.5}
    elif kind in ("mirrored", "flat"):
        found = {n: p * ([-1, 1, 1] if kind == "mirrored" else [1, 1, 0]) for n, p in found.items()}
    elif kind == "same":
        found = dict.fromkeys(found, np.array([0.0, 0.0, 0.1]))
    elif kind == "nan":
        found = {n: p * (np.nan if rng.random() < 0.3 else 1) for n, p in found.items()}
    if kind == "plain":  # written by hand, without digitized points
        for ch in raw.info["chs"]:
            ch["loc"][:3] = found.get(ch["ch_name"], np.full(3, np.nan))
    elif found:
        montage = mne.channels.make_dig_montage(found, coord_frame="head")
        raw.set_montage(montage, on_missing="ignore", verbose="error")


def spoil(rng, raw, said):
    """Change good samples as amplifiers, readers and exports do."""
    data, row = raw._data, int(rng.integers(len(raw.ch_names)))
    kind = choose(
        rng,
        dict(nothing=10, unit=1, tiny=1, offset=2, drift=1, flat=1, stray=2, loud=1, nan=1, spike=1)
        | dict(zeros=1, complex=0.3, copies=1, float32=0.5),
    )
    said.append(f"spoilt: {kind}")
    middle = slice(data.shape[1] // 3, data.shape[1] // 2 + 1)
    if kind in ("unit", "tiny"):
        data *= 1e6 if kind == "unit" else 1e-9
    elif kind == "offset":
        data += rng.uniform(-0.3, 0.3, (len(data), 1))
    elif kind == "drift":
        data += rng.uniform(-1e-3, 1e-3, (len(data), 1)) * np.linspace(0, 1, data.shape[1])
    elif kind in ("flat", "zeros"):
        data[row if kind == "flat" else slice(None), middle if rng.random() < 0.5 else ...] = 0.0
    elif kind in ("stray", "loud"):
        data[row] = 10.0 ** rng.uniform(-3, 6) * rng.standard_normal(data.shape[1])
    elif kind == "nan":
        data[row, middle] = rng.choice(GARBAGE)
    elif kind == "spike":
        data[row, data.shape[1] // 2] = 10.0 ** rng.uniform(-3, 20)
    elif kind == "copies":
        data[:] = data[row]
    elif kind == "complex":
        raw._data = data * (1 + 1j)
    elif kind == "float32":
        raw._data = data.astype(np.float32)


def annotate(rng, raw, said):
    """Annotate bad segments of some and of all channels, holes and joins."""
    texts = choose(rng, {(): 6, ("BAD_x",): 6, ("BAD_ACQ_SKIP",): 1, ("EDGE boundary", "bad y"): 2})
    length = raw.n_times / raw.info["sfreq"]
    found = mne.Annotations([], [], [])
    for text in [*texts] * int(rng.integers(1, 3)):
        onset = raw.first_time + rng.uniform(-0.1, 0.9) * length
        names = rng.choice(raw.ch_names, rng.integers(1, min(3, len(raw.ch_names)) + 1), False)
        if rng.random() < 0.3 or "edge" in text.lower() or "SKIP" in text:
            names = ()
        found.append(onset, rng.choice([0.0, 0.1, 0.4, 2.0]) * length, text, [tuple(names)])
    if rng.random() < 0.3:
        raw.set_meas_date(1_000_000_000)
    if raw.info["meas_date"] is None:
        found.onset -= raw.first_time
    else:
        found = mne.Annotations(
            found.onset, found.duration, found.description, raw.info["meas_date"], found.ch_names
        )
    if texts:
        said.append(f"annotations {texts}")
        raw.set_annotations(found, verbose="error")


def project(rng, raw, said):
    """Add projectors, or another reference."""
    kind = choose(rng, dict(nothing=10, average=2, applied=1, reference=1, ssp=1))
    eeg = mne.pick_types(raw.info, eeg=True)
    if kind == "nothing" or len(eeg) < 3 or np.iscomplexobj(raw._data):
        return
    said.append(f"projector {kind}")
    if kind == "reference":
        raw.set_eeg_reference([raw.ch_names[eeg[0]]], verbose="error")
    elif kind == "ssp":
        own = raw.copy().crop(0, min(raw.times[-1], 3)).set_annotations(None)
        is_long = own.times[-1] > 2  # for windows of a second
        if is_long and np.isfinite(own._data).all() and np.abs(own._data).max() < 1e3:
            raw.add_proj(mne.compute_proj_raw(own, n_grad=0, n_mag=0, n_eeg=1, verbose="error"))
    else:
        raw.set_eeg_reference("average", projection=True, verbose="error")
        if kind == "applied":
            raw.apply_proj(verbose="error")


def cut(rng, raw, said):
    """Return the Raw, or Epochs or Evoked of it."""
    kind = choose(rng, dict(Raw=6, Epochs=3, Evoked=1))
    said.append(kind)
    duration = raw.times[-1] * rng.uniform(0.2, 0.9)
    if kind == "Raw" or np.iscomplexobj(raw._data) or duration * raw.info["sfreq"] < 3:
        return raw
    events = mne.make_fixed_length_events(raw, duration=duration)
    tmax = duration - 1 / raw.info["sfreq"]
    options = dict(baseline=(None, None) if rng.random() < 0.2 else None, preload=True, proj=False)
    options |= dict(reject_by_annotation=False, picks="all", verbose="error")
    epochs = mne.Epochs(raw, events, tmin=0, tmax=tmax, **options)
    if rng.random() < 0.05 or not len(epochs):
        return epochs[:0]
    return epochs.average(picks="all") if kind == "Evoked" else epochs


def make_mask(rng, inst, said):
    """Return a mask for `restore`."""
    kind = choose(rng, dict(none=8, auto=2, spans=4, dense=1, wrong=0.5))
    shape = inst._data.shape
    if kind == "none" or 0 in shape or (kind == "auto" and isinstance(inst, mne.Evoked)):
        return None
    said.append(f"mask {kind}")
    if kind == "auto":
        return "auto"
    if kind == "wrong":
        return np.zeros((*shape[:-1], shape[-1] + 1), bool)
    if kind == "dense" and len(shape) == 3:
        return rng.random(shape[:2]) < 0.3
    mask = rng.random(shape) < 0.02 if kind == "dense" else np.zeros(shape, bool)
    for _ in range(rng.integers(1, 4)):
        place = tuple(rng.integers(n) for n in shape[:-1])
        start = rng.integers(shape[-1])
        mask[(*place, slice(start, start + rng.integers(1, shape[-1] + 1)))] = True
    return mask


def find_bad(inst, mask):
    """Return which samples of EEG are marked as bad, of the shape of the data."""
    data, n = inst._data, len(inst.ch_names)
    if not (isinstance(mask, np.ndarray) and mask.shape in (data.shape, data.shape[:-1])):
        mask = None
    bad = collect_mask(inst, np.arange(n), mask).reshape(n, -1, data.shape[-1])
    bad[np.setdiff1d(np.arange(n), mne.pick_types(inst.info, eeg=True, exclude=()))] = False
    return bad.transpose(1, 0, 2).reshape(data.shape)


def fill(rng, inst, bad):
    """Write garbage into bad samples, in place; a second call writes other garbage."""
    for row in np.flatnonzero(bad.any(axis=-1).reshape(-1, len(inst.ch_names)).any(axis=0)):
        own = bad[..., row, :]
        garbage = 10.0 ** rng.uniform(-6, 3) * rng.standard_normal(own.shape)
        if rng.random() < 0.7:
            garbage[:] = rng.choice(GARBAGE)
        inst._data[..., row, :] = np.where(own, garbage, inst._data[..., row, :])
