# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark of the speed of training."""

import importlib.util

import numpy as np

# ---------------------------------------------------------------------------------------------
# The speed of training


def test_the_plain_version_computes_the_same(load_benchmark):
    import torch

    speed = load_benchmark("training_speed")
    generator = torch.Generator().manual_seed(0)
    heads = torch.randn(3, 2, 4, 10, 5, generator=generator)
    valid = torch.ones(2, 10, dtype=torch.bool)
    valid[1, 7:] = False
    for mask in (None, valid):
        ours = speed.layers.attend(*heads, valid=mask)
        torch.testing.assert_close(speed.attend_plainly(*heads, valid=mask), ours)
    codes, indices = torch.randn(50, 6, generator=generator), torch.arange(50) % 7
    ours = speed.codebook.sum_by_class(codes, indices, 9)
    torch.testing.assert_close(speed.sum_by_class_plainly(codes, indices, 9), ours)


def test_versions_are_swapped_for_a_while(load_benchmark):
    speed = load_benchmark("training_speed")
    own = speed.layers.attend, speed.codebook.sum_by_class
    with speed.use_version("ours"):
        assert (speed.layers.attend, speed.codebook.sum_by_class) == own
    with speed.use_version("plain"):
        assert speed.layers.attend is speed.attend_plainly
        assert speed.codebook.sum_by_class is speed.sum_by_class_plainly
    assert (speed.layers.attend, speed.codebook.sum_by_class) == own


def test_tiny_run_of_training(capsys, monkeypatch, load_benchmark):
    speed = load_benchmark("training_speed")
    monkeypatch.setattr(speed, "measure_memory_apart", speed.measure_memory)
    monkeypatch.setattr(speed, "measure_peak", lambda clock: 1e9)
    sizes = {"n_blocks": 1, "decoder_n_blocks": 1, "n_classes": 64}
    ratios = speed.main(["--windows", "1", "--steps", "1"], sizes)
    printed = capsys.readouterr().out.splitlines()
    assert list(ratios) == [1, 2] and all(0 < ratio < 100 for ratio in ratios.values())
    assert len(printed) == 7
    for stage, line in zip((1, 2), (printed[3], printed[6]), strict=True):
        assert line.endswith(f"ratio {ratios[stage]:.2f}")
    assert all("tokens/s" in printed[k] and "GB" in printed[k] for k in (1, 2, 4, 5))


def test_memory_apart(monkeypatch, parts):
    """What this process has held before counts for nothing."""
    monkeypatch.syspath_prepend(parts.FOLDER)  # the other process imports the script by its name
    speed = importlib.import_module("training_speed")
    held = np.ones(2**29, np.uint8)
    sizes = {"n_blocks": 1, "decoder_n_blocks": 1, "n_classes": 64}
    found = speed.measure_memory_apart(1, 1, "ours", sizes)
    assert 5e6 < found < len(held)
