# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The job ``restore``: one recording restored and written with its sidecars."""

from functools import lru_cache
from shutil import disk_usage

import mne
import numpy as np
from mne.utils import warn

from .. import __version__
from .._files import loaded, read_json, read_recording, write_inst
from ..montage import find_channels
from ..restoration import OPTIONS, restore
from ._entries import FIGURES
from ._library import load_for
from ._pages import draw_report
from ._sidecars import (
    REQUIRED,
    copy_positions,
    make_channels,
    name_source,
    write_files,
    write_sidecars,
)


@lru_cache(maxsize=1)
def load_cached(model, device):
    """Load a model, once per process."""
    from ..models import load_model

    return load_model(model, device=device, verbose="error")


def describe_input(inst):
    """Return ``duration`` in seconds, ``n_channels`` of EEG, ``sfreq`` and ``bads`` of an inst."""
    n_epochs = len(inst) if isinstance(inst, mne.BaseEpochs) else 1
    n_times = len(inst.times) if isinstance(inst, mne.BaseEpochs) else inst.n_times
    return dict(
        duration=n_epochs * n_times / inst.info["sfreq"],
        n_channels=len(mne.pick_types(inst.info, eeg=True, exclude=())),
        sfreq=float(inst.info["sfreq"]),
        bads=list(inst.info["bads"]),
    )


def _check_room(inst, facts, folder, n_bytes):
    """Raise if the disk has no room for the files to be written."""
    needed = n_bytes * len(inst.ch_names) * facts["duration"] * facts["sfreq"]
    free = disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"No space left: the restored recording takes {needed / 1e6:.0f} MB, and the disk has "
            f"{free / 1e6:.0f} MB left. Free some space, or write elsewhere."
        )


def find_seed(recording, settings):
    """Return the seed of a recording, different for each, so that draws are independent."""
    if settings.random_state is None:
        return None
    state = np.random.SeedSequence([settings.random_state, *recording.path.as_posix().encode()])
    return int(state.generate_state(1)[0])


def _find_excluded(inst, names):
    """Return the excluded channels that a recording has; warn of the others."""
    found, missing = find_channels(names, inst.ch_names)
    if missing:
        warn(f"The recording has no channel {', '.join(missing)}, which exclude names.")
    return found


def find_prior(recording, settings):
    """Return the Prior to restore a recording with, None without, and the facts of it."""
    if settings.library is None:
        return None, None
    prior, excluded = load_for(settings.library, recording)
    return prior, dict(settings.library.describe(), excluded=excluded)


def restore_recording(recording, settings, folder):
    """Restore a recording, and write it to a folder.

    Returns the paths, the main file last, and the facts.
    """
    inst = read_recording(recording)
    facts = describe_input(inst)
    _check_room(inst, facts, folder, 8 if recording.is_epochs else 4)
    model = settings.model
    if settings.uses_network:
        model = load_cached(model, settings.device)
    options = {name: getattr(settings, name) for name in OPTIONS}
    options["random_state"] = find_seed(recording, settings)
    options["exclude"] = _find_excluded(inst, settings.exclude)
    prior, facts["prior"] = find_prior(recording, settings)
    with loaded(inst, folder):
        restored, report = restore(
            inst,
            mask="auto" if settings.find_bads else None,
            **options,
            model=model,
            prior=prior,
            line_freq=settings.line_freq,
            device=settings.device,
            batch_size=settings.batch_size,
            return_report=True,
            copy=False,
        )
        facts.update(_describe_report(report))
        paths = _write_restored(recording, settings, folder, restored, report, facts)
    if settings.figures:
        place = folder / FIGURES / f"sub-{recording.entities['sub']}"
        place.mkdir(parents=True, exist_ok=True)
        summary, figures = draw_report(report, place / recording.rename("restored", ""))
        paths = [path for *_, path in figures if path is not None] + paths
        facts["summary"] = summary
        facts["figures"] = [
            dict(title=title, text=text, path=path and path.relative_to(folder).as_posix())
            for title, text, path in figures
        ]
    return paths, facts


def _describe_report(report):
    """Return the facts of a restoration."""
    content = report.to_dict()
    rows = content["channels"]
    known = {
        key: [row[key] for row in rows if row[key] is not None]
        for key in ("expected_r", "expected_nmse")
    }
    found = report.found
    return dict(
        channels=rows,
        spans=content["segments"],
        seconds_restored=sum(row["seconds"] for row in rows),
        expected_r=float(np.median(known["expected_r"])) if known["expected_r"] else None,
        expected_nmse=float(np.median(known["expected_nmse"])) if known["expected_nmse"] else None,
        worst_nmse=max(known["expected_nmse"], default=None),
        found=None if found is None else dict(channels=found.reasons, n_spans=len(found.spans)),
        left_out=content["seconds_left"] > 0,
    )


def _write_restored(recording, settings, folder, inst, report, facts):
    """Write a restored recording with its sidecars; return the paths, the main file last."""
    target = folder / settings.get_target(recording)
    target.parent.mkdir(parents=True, exist_ok=True)
    note = write_inst(inst, target)
    sidecar = dict(
        Description=f"Bad channels and segments were restored. {report.summary}",
        Sources=[name_source(recording)],
        Restoration=dict(
            Version=__version__,
            Parameters=settings.parameters,
            Weights=settings.weights,
            Prior=facts["prior"],
            Filters="None: the sampling rate and band are those of the source.",
            Reference="Restored channels have the reference of the recording.",
            Precision=note,
            Channels=facts["channels"],
            Spans=facts["spans"],
            Found=facts["found"],
            Notes=report.notes,
        ),
    )
    if recording.is_epochs:
        write_files({".json": read_json(recording, "epo") | sidecar}, target.with_suffix(""))
    else:
        stem = target.with_name(target.name.removesuffix(f"_eeg{target.suffix}"))
        write_sidecars(recording, inst, facts["channels"], sidecar, stem)
        copy_positions(recording, settings.folder)
    if settings.save_std and facts["channels"]:
        _write_std(recording, target, inst, report)
    main = [target.with_suffix(ext) for ext in (".vmrk", ".eeg", ".vhdr")]
    main = main if target.suffix == ".vhdr" else [target]
    others = sorted(path for path in target.parent.iterdir() if path not in main)
    return others + main


def _write_std(recording, target, inst, report):
    """Write the standard deviation of the error as a recording of the restored channels."""
    names = [row["channel"] for row in report.to_dict()["channels"]]
    picks = [inst.ch_names.index(name) for name in names]
    info = mne.pick_info(inst.info, picks)
    info["bads"] = []
    std = report.get_std(names)
    suffix = "epo" if recording.is_epochs else "eeg"
    name = recording.rename("std", suffix)
    path = target.with_name(f"{name}{target.suffix}")
    sidecar = dict(
        Description="Standard deviation of the error of each restored sample; 0 where nothing was "
        "restored.",
        Sources=[name_source(recording), f"bids::{recording.path.parent.as_posix()}/{target.name}"],
    )
    if recording.is_epochs:
        made = mne.EpochsArray(std, info, inst.events, inst.tmin, inst.event_id, verbose="error")
        write_inst(made, path)
        write_files({".json": sidecar}, path.with_suffix(""))
        return
    made = mne.io.RawArray(std, info, verbose="error")
    write_inst(made, path)
    stem = path.with_name(path.name.removesuffix(f"_eeg{path.suffix}"))
    source = read_json(recording, "eeg")
    sidecar.update(SamplingFrequency=info["sfreq"], RecordingDuration=inst.n_times / info["sfreq"])
    sidecar.update(EEGChannelCount=len(names), RecordingType="continuous")
    kept = dict(REQUIRED, TaskName=recording.entities.get("task", "n/a"))
    kept.update({key: source[key] for key in kept if key in source})
    about = {key: sidecar[key] for key in ("Description", "Sources")}
    files = {"_eeg.json": kept | sidecar, "_channels.tsv": make_channels(made)}
    write_files(files | {"_channels.json": about}, stem)
