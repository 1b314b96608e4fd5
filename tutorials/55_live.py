# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""
Restore channels while you record
=================================

In neurofeedback, a brain-computer interface or a long night, nobody can stop to mark bad channels. This
tutorial restores channels in data that arrive a tenth of a second at a time, and finds the channel that
breaks in the middle.
"""

# %%
# Fit before you start
# --------------------
#
# :class:`mne_gram.Restorer` learns from a clean recording how the channels covary. This can be a few
# minutes of rest at the start of the session, or an earlier session with the same cap. Mark bad channels
# first, for instance with :func:`mne_gram.find_bads`. Here the first ten seconds of the sample have to do,
# and FT8, which was broken, is left out.
#
# The filter must not look ahead, as it cannot do so while recording.

import matplotlib.pyplot as plt
import mne
import numpy as np
from scipy.signal import butter, sosfilt

import mne_gram

mne.set_log_level("warning")
blue, orange, grey = "#0072B2", "#D55E00", "#777777"

_, raw = mne_gram.datasets.sample(return_truth=True)
raw.drop_channels(["FT8"])
sfreq = raw.info["sfreq"]
raw.apply_function(lambda x: sosfilt(butter(2, [1, 45], "bandpass", fs=sfreq, output="sos"), x))

restorer = mne_gram.Restorer().fit(raw.copy().crop(1, 10))

# %%
# Chunk by chunk
# --------------
#
# The other ten seconds arrive in chunks of 16 samples. After four seconds the electrode C3 loses contact,
# and three seconds later it is back.

truth = raw.get_data(tmin=10)
data, c3 = truth.copy(), raw.ch_names.index("C3")
lost = slice(round(4 * sfreq), round(7 * sfreq))
noise = np.random.default_rng(0).standard_normal(lost.stop - lost.start)
data[c3, lost] = 2 * truth[c3].std() * noise

mne.set_log_level("info")
live = mne_gram.LiveRestorer(restorer)
chunks = np.split(data, range(16, data.shape[1], 16), axis=1)
restored = np.concatenate([live.process(chunk) for chunk in chunks], axis=1)
mne.set_log_level("warning")

# %%
# The log above says which channels were found, and why: *misfit* means that the other channels do not
# explain them. Nine seconds for ``fit`` are too few to know what is usual; with several minutes, broken channels
# are found more reliably, and good ones less often. The list ``live.bads`` has the channels that are bad at
# present, and ``live.annotations`` all that were found so far, for instance to save them with the recording.

live.annotations.to_data_frame(time_format=None)

# %%
# The first chunks of noise have passed before it is found; from then on C3 is estimated from the other
# channels, also for two to three seconds after the electrode is back.

times = np.arange(data.shape[1]) / sfreq
fig, axes = plt.subplots(3, 1, figsize=(9, 5), sharex=True, sharey=True, layout="constrained")
for ax, (title, signal) in zip(
    axes, {"truth": truth, "arrives": data, "restored": restored}.items(), strict=True
):
    ax.plot(times, 1e6 * signal[c3], color=grey if title == "truth" else orange, lw=0.8)
    ax.set_ylabel(f"C3, {title}\n(µV)")
for span in (span for span in live.annotations if span["ch_names"] == ("C3",)):
    axes[2].axvspan(span["onset"], span["onset"] + span["duration"], color=blue, alpha=0.15)
axes[2].set(xlabel="Time (s)", xlim=(2, 10))
plt.show()

# %%
# All other channels are returned unchanged, bit for bit, and how the data are cut into chunks makes no
# difference.

found = {name for names in live.annotations.ch_names for name in names}
others = ~np.isin(raw.ch_names, sorted(found))
assert (restored[others] == data[others]).all()

# %%
# With or without delay
# ---------------------
#
# Without a delay, a channel is estimated by weights that are the same at all frequencies. Offline, each
# frequency band has its own weights. The filters for these bands need later data, so this is possible
# with a delay of all channels. ``delay=0.825`` gives the numbers of :class:`mne_gram.Restorer`; filters for
# 0.3 seconds are about as good. A delay also lets a channel be restored before the time at which it was
# found to be bad.
#
# Here C3 is marked as bad throughout.

marked = np.isin(raw.ch_names, ["C3"])
errors = {}
for delay in (0.0, 0.3, 0.825):
    delayed = mne_gram.LiveRestorer(restorer, detect=False, delay=delay)
    late = round(delayed.delay * sfreq)
    result = delayed.process(data, mask=marked)[:, late:]
    inside = slice(round(2 * sfreq), round(8 * sfreq))
    mask = np.repeat(marked[:, None], inside.stop - inside.start, axis=1)
    errors[delay] = mne_gram.metrics.nmse(truth[:, inside], result[:, inside], mask)
errors

# %%
# Caps with many electrodes gain little from a delay, and here the error is even larger with one; those with 19
# gain more. The :doc:`benchmarks </benchmarks>` have the figures.
#
# With MNE-LSL
# ------------
#
# An instance is a callback for the streams of `MNE-LSL <https://mne.tools/mne-lsl>`_
# (``pip install "mne-gram[lsl]"``). It reads names, sampling rate and units from the stream, and restores
# channels in ``stream.info["bads"]`` as well.
#
# .. code-block:: python
#
#     from mne_lsl.stream import StreamLSL
#
#     stream = StreamLSL(bufsize=4.0, name="amplifier")
#     stream.connect(acquisition_delay=0.02)
#     stream.filter(1.0, 45.0, picks="eeg")
#     stream.add_callback(mne_gram.LiveRestorer(restorer))
#     data, times = stream.get_data(winsize=1.0)  # restored
#
# Callbacks come after the filters of the stream, so the data for ``fit`` should be recorded from the same
# stream with the same filters. To try it without an amplifier, play a recording::
#
#     from mne_lsl.player import PlayerLSL
#
#     player = PlayerLSL(raw, chunk_size=20, name="amplifier").start()
#
# To add an electrode that the stream is missing, but the data for ``fit`` had, call
# ``stream.add_reference_channels("T7")`` and append it to ``stream.info["bads"]``.
#
# MNE-LSL calls it with each chunk that it receives; here we do the same.

stream_info = raw.info.copy()
live = mne_gram.LiveRestorer(restorer)
timestamps = 1000 + times
for start in range(0, len(times), 16):
    part = slice(start, start + 16)
    chunk, when = live(data[:, part].T.copy(), timestamps[part], stream_info)
chunk.shape, live.annotations.ch_names

# %%
# What to be careful about
# ------------------------
#
# - A channel that breaks is usually found within a second and restored from then on. That second is not
#   restored, unless the delay is longer.
# - Movement of the whole cap shows in all channels. If more than half of them are bad at once, none is
#   restored.
# - Muscle activity of a single channel is found and "restored" too. Use ``detect=False`` where this matters,
#   and mark bad channels yourself.
# - A restored channel contains no information that is not in the others: see :doc:`30_when_not_to_trust_it`.
