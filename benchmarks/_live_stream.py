# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Play 64 channels at 1 kHz over the loopback by MNE-LSL, restore them, and measure."""

import multiprocessing
import time
import uuid

import mne
import numpy as np
import pandas as pd

import mne_gram

DAMAGES = ("flat", "rail", "loud", "noise", "loose", "line")
SFREQ = 1000.0
CHUNK = 20  # samples that the player sends at once
ACQUISITION = 0.02  # seconds between looks for new samples
# Which channels break in what way, as shares of the duration.
PLAN = (("C3", "flat", 0.1, 0.4), ("PO7", "noise", 0.2, 0.6), ("FC2", "line", 0.3, 0.9))
PLAN += (("P4", "loud", 0.5, 0.7), ("CP5", "loose", 0.6, 0.95))


def damage(data, kind, sfreq, line_freq, rng):
    """Return what a broken channel records instead of ``data (n_times,)``."""
    size, n_times = data.std(), len(data)
    white = rng.standard_normal(n_times)
    if kind == "flat":
        return np.full(n_times, data[0])
    if kind == "rail":
        return np.full(n_times, 3e-3)
    if kind == "loud":
        return data + 60 * size * white
    if kind == "noise":  # drifts, and is noisier than the EEG
        return data + size * (0.1 * np.cumsum(white) + 1.5 * rng.standard_normal(n_times))
    if kind == "loose":
        return 2 * size * white
    return data + 4 * size * np.sin(2 * np.pi * line_freq * np.arange(n_times) / sfreq)


def play(raw, name, ready, stop):
    """Play a recording until told to stop; runs in a process of its own."""
    from mne_lsl.player import PlayerLSL

    mne.set_log_level("ERROR")
    with PlayerLSL(raw, chunk_size=CHUNK, n_repeat=1, name=name, source_id=name):
        ready.set()
        stop.wait()


class Recorder:
    """Callbacks around the one to measure: what arrives, what leaves, and how long it takes."""

    def __init__(self):
        self.numbers, self.data, self.seconds, self.cpu = [], [], [], []

    def before(self, data, timestamps, info):
        """Note which samples arrive."""
        self.numbers.append(data[:, -1].copy())
        self._start = time.perf_counter(), time.thread_time()
        return data, timestamps

    def after(self, data, timestamps, info):
        """Note what becomes of them."""
        self.seconds.append(time.perf_counter() - self._start[0])
        self.cpu.append(time.thread_time() - self._start[1])
        self.data.append(data[:, :-1].copy())
        return data, timestamps


def record(raw, live, seconds):
    """Receive a recording while it is played; returns a Recorder and the CPU time of all."""
    from mne_lsl.stream import StreamLSL

    name, context = str(uuid.uuid4()), multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    player = context.Process(target=play, args=(raw, name, ready, stop))
    player.start()
    ready.wait()
    stream = StreamLSL(bufsize=2.0, name=name, source_id=name)
    stream.connect(acquisition_delay=ACQUISITION)
    recorder = Recorder()
    for callback in (recorder.before, live, recorder.after):
        if callback is not None:
            stream.add_callback(callback)
    cpu, start = time.process_time(), time.perf_counter()
    time.sleep(seconds)
    share = (time.process_time() - cpu) / (time.perf_counter() - start)
    stream.disconnect()
    stop.set()
    player.join()
    return recorder, share


def break_channels(raw, seconds):
    """Return a recording with channels that break while it is played, and where (mask)."""
    broken, rng = raw.copy(), np.random.default_rng(0)
    mask, line_freq = np.zeros(raw._data.shape, bool), raw.info["line_freq"] or 50.0
    for name, kind, start, stop in PLAN:
        row = raw.ch_names.index(name.upper() if name.upper() in raw.ch_names else name)
        span = slice(round(start * seconds * SFREQ), round(stop * seconds * SFREQ))
        broken._data[row, span] = damage(raw._data[row, span], kind, SFREQ, line_freq, rng)
        mask[row, span] = True
    return broken, mask


def measure_stream(train, test, delays, seconds):
    """Fit to one recording, play the other without and with restoration, and print tables."""
    restorer = mne_gram.Restorer().fit(mne_gram.find_bads(train).mark(train))
    raw = test.resample(SFREQ).crop(0, min(seconds + 5, test.times[-1]))
    seconds = min(seconds, raw.times[-1] - 5)
    broken, mask = break_channels(raw, seconds)
    info = mne.create_info(["NUMBER"], SFREQ, "misc")
    numbers = mne.io.RawArray(np.arange(raw.n_times, dtype=float)[None], info)
    played = broken.copy().add_channels([numbers], force_update_info=True)
    rows, found = [], []
    for delay in delays:
        live = None if delay is None else mne_gram.LiveRestorer(restorer, delay=delay)
        recorder, share = record(played, live, seconds)
        number = np.concatenate(recorder.numbers).astype(int)
        late = 0 if live is None else round(live.delay * SFREQ)
        row = dict(delay="not restored" if live is None else f"{live.delay:g} s")
        row["samples"] = len(number)
        row["dropped"] = int((np.diff(number) - 1).sum())
        row["CPU of the process (%)"] = 100 * share
        row["of the callback (%)"] = 100 * np.sum(recorder.cpu) / seconds
        row["callback (ms)"], row["90 %"], row["longest"] = 1e3 * np.quantile(
            recorder.seconds, [0.5, 0.9, 1.0]
        )
        data = np.concatenate(recorder.data).T[:, late:]
        number = number[: data.shape[1]]
        truth, where = raw._data[:, number], mask[:, number]
        row["undamaged samples restored (%)"] = 100 * (data != truth)[~where].mean()
        rows.append(row)
        if live is not None:
            found += describe(live, number, truth, data, where, row["delay"])
    print(f"\n{raw.info['nchan']} channels at {SFREQ:g} Hz for {seconds:g} s over the loopback")
    print(pd.DataFrame(rows).set_index("delay").T.round(2).to_string())
    print("\nWhat was damaged: seconds until it is found, and the error from then on")
    print(pd.DataFrame(found).round(3).to_string(index=False), flush=True)


def describe(live, number, truth, data, where, delay):
    """Return a row for each damaged channel: when it was found, and the error after that."""
    mean = np.where(where, 0, truth).sum(axis=0) / (~where).sum(axis=0)
    rows = []
    for name, kind, _, _ in PLAN:
        row = next(k for k, n in enumerate(live.ch_names) if n.upper() == name.upper())
        damaged = np.flatnonzero(where[row])
        begin = (number[damaged[0]] - number[0]) / SFREQ
        spans = [a for a in live.annotations if a["ch_names"] == (live.ch_names[row],)]
        spans = [a for a in spans if a["onset"] + a["duration"] > begin]
        onset = spans[0]["onset"] if spans else np.inf
        late = damaged[damaged >= onset * SFREQ]
        error = ((data - truth)[row, late] ** 2).sum() / ((truth[row] - mean)[late] ** 2).sum()
        reason = spans[0]["description"].removeprefix("BAD_gram_") if spans else "not found"
        rows.append(
            dict(delay=delay, channel=name, kind=kind, found=onset - begin, reason=reason)
            | dict(NMSE=error)
        )
    return rows
