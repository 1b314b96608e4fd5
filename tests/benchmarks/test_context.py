# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of what more time around a gap could add."""

import numpy as np
import pytest

# ---------------------------------------------------------------------------------------------
# What time could add


@pytest.mark.parametrize(("delay", "pays"), [(0.5, True), (0.0, False)])
def test_delays_pay_where_there_are_some(priors, delay, pays, parts, load_benchmark):
    """A wave that runs over the head is foretold by delays, one that stands is not."""
    context = load_benchmark("context")
    raw = parts.make_raw(seconds=45)
    rng = np.random.default_rng(0)
    white = rng.standard_normal((12, 2, raw.n_times))  # more than channels can tell apart at once
    spectrum = np.fft.fft(white[:, 0] + 1j * white[:, 1])
    freqs = np.fft.fftfreq(raw.n_times, 1 / raw.info["sfreq"])
    waves = np.fft.ifft(spectrum * ((freqs > 9) & (freqs < 12)))  # analytic, alpha
    phases = delay * np.outer(np.arange(len(raw.ch_names)), rng.uniform(0.5, 1.5, 12))
    sizes = rng.uniform(0.5, 1.5, phases.shape)
    raw._data[:] = 1e-5 * ((sizes * np.exp(1j * phases)) @ waves).real
    raw._data += 1e-6 * rng.standard_normal(raw._data.shape)
    ratios = context.measure_delays(raw, priors.whole, np.random.default_rng(1))
    assert ratios.shape == (context._N_HIDDEN, len(context.SHARES))
    assert (np.median(ratios[:, -1]) < 0.9) == pays
    assert pays or np.median(ratios[:, 0]) < 1.05


def test_chunks_of_the_same_are_the_same(capsys, parts, load_benchmark):
    context = load_benchmark("context")
    rows = [("eegmat", np.array([0.5, 2.0])), ("mdd", np.array([2.0, 2.0]))]
    context.print_ratios("title", ("a", "b"), rows)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[2:]] == [
        ["eegmat", "1", "a", "0.500"],
        ["mdd", "1", "a", "2.000"],
        ["all", "2", "a", "1.000"],
    ]
    raw = parts.make_raw(seconds=45)
    ratios = context.measure_chunks(raw, context.load_prior(), np.random.default_rng(0))
    assert ratios.shape == (len(context.SECONDS),) and (np.abs(np.log(ratios)) < 0.7).all()
