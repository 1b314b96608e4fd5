# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of detection damages recordings and counts what is found."""

import mne
import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

NAMES = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
SFREQ = 160.0


def test_damage_of_the_benchmark(load_benchmark):
    """The benchmark damages what it says, the same in every run, and counts right."""
    bench = load_benchmark("detection")
    data = 1e-5 * np.random.default_rng(9).standard_normal((len(NAMES), 4800))
    clean = mne.io.RawArray(data, mne.create_info(NAMES, SFREQ, "eeg"), verbose="error")
    stranger = data[3, ::-1]
    runs = [bench.damage(clean, stranger, np.random.default_rng(4)) for _ in range(2)]
    assert_array_equal(runs[0][0].get_data(), runs[1][0].get_data())
    damaged, kinds, spans = runs[0]
    touched = np.zeros(clean.get_data().shape, bool)
    touched[[NAMES.index(name) for name in kinds]] = True
    for name, start, stop, kind in spans:
        assert name not in kinds and kind in bench.SPAN_KINDS and stop > start
        touched[NAMES.index(name), start : max(stop, start + round(4.1 * SFREQ))] = True
    assert_array_equal(damaged.get_data()[~touched], clean.get_data()[~touched])
    assert len(kinds) == 2 and len(spans) > 6
    mask = np.zeros(touched.shape, bool)
    name, start, stop, _ = spans[0]
    mask[NAMES.index(name), start:stop] = True
    counts, shares = bench.measure(damaged, kinds, spans, [*kinds, "nobody"], mask)
    assert counts["channel"] == dict(hit=2, missed=0, false=1, all=19)
    assert_allclose(counts["second"]["hit"], (stop - start) / SFREQ)
    assert counts["second"]["false"] == 0
    assert [share for _, share in shares][:3] == [1.0, 1.0, 1.0]
