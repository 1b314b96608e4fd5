# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The report: what is kept, expected errors, intervals, ranks, evidence."""

import json
import pickle

import mne
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mne_gram import RestorationReport, restore
from mne_gram.restoration._gaps import Estimate
from mne_gram.restoration._tally import Tally, _expect, _merge

pytestmark = pytest.mark.usefixtures("figures")


# ---------------------------------------------------------------------------------------------
# What is kept


def cut(estimates, start, stop):
    """Return the parts of estimates within a block, counted from its start."""
    parts = []
    for s in estimates:
        a, b = max(s.start, start), min(s.stop, stop)
        if a < b:
            inside = slice(a - s.start, b - s.start)
            parts.append(
                Estimate(
                    s.channel, a - start, b - start, s.values[inside], s.std[inside], s.invented
                )
            )
    return parts


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    cuts=st.sets(st.integers(1, 599), max_size=5),
    n_epochs=st.sampled_from([None, 3]),
)
def test_blocks_add_up(seed, cuts, n_epochs, toy):
    """Where the blocks are cut makes no difference."""
    rng = np.random.default_rng(seed)
    inst = toy.make_inst(n_times=600 if n_epochs is None else 200, n_epochs=n_epochs)
    bad = np.zeros((5, 600), bool)
    bad[0] = True
    bad[1, 100:130] = bad[1, 250:490] = bad[2, 595:] = True
    bad[:, 300:310] = True  # left alone
    data = 1e-5 * rng.standard_normal((5, 600)) + 0.1
    data[4] = data[3]
    data[0] = data[1] - data[2]
    estimates = []
    for k, a, b in [(0, 0, 300), (0, 310, 600), (1, 100, 130), (1, 250, 300), (1, 310, 490)]:
        std = np.full(b - a, 4e-6) if k == 0 else rng.random(b - a) * 1e-5
        estimates.append(Estimate(k, a, b, data[k, a:b], std, invented=a == 100))
    estimates.append(Estimate(2, 595, 600, data[2, 595:], np.full(5, 1e-6)))
    before = inst.get_data()
    before = before if before.ndim == 2 else before.transpose(1, 0, 2).reshape(5, 600)
    picks, carries_reference = np.arange(5), np.array([1.0, 1, 0, 1, 1])
    tally = Tally(inst, picks, carries_reference=carries_reference)
    tally.add(toy.make_block(data, bad), estimates)
    whole = RestorationReport(tally, method="auto")
    tally = Tally(inst, picks, carries_reference=carries_reference)
    edges = sorted({0, *cuts, 600})
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        tally.add(toy.make_block(data[:, a:b], bad[:, a:b], a), cut(estimates, a, b))
    parts = RestorationReport(tally, method="auto")
    assert parts.summary == whole.summary and "0.5 channel-seconds" in whole.summary
    assert_array_equal(parts.std, whole.std)
    assert (parts.rank_before, parts.rank_after) == (whole.rank_before, whole.rank_after) == (3, 3)
    for row, expected in zip(parts.to_dict()["channels"], whole.to_dict()["channels"], strict=True):
        if n_epochs is None:  # where a block ends with an epoch, so does a segment
            assert row["n_segments"] == expected["n_segments"]
        for key in ("seconds", "invented", "expected_nmse", "expected_r"):
            assert_allclose(row[key], expected[key], rtol=1e-6)
        assert [row[key] for key in ("channel", "whole")] == [
            expected[key] for key in ("channel", "whole")
        ]
    for name, excerpt in parts.excerpts.items():
        assert_array_equal(
            excerpt.after[excerpt.inside],
            data[int("Cz C3 C4".split().index(name))][
                excerpt.epoch * tally.n_times + excerpt.start :
            ][excerpt.inside],
        )
        assert len(excerpt.before) == len(excerpt.std) == excerpt.inside.stop - excerpt.inside.start
        first = excerpt.epoch * tally.n_times + excerpt.start + excerpt.inside.start
        assert_array_equal(
            excerpt.before, before[["Cz", "C3", "C4"].index(name), first : first + len(excerpt.std)]
        )
        assert_allclose(excerpt.times, inst.times[excerpt.start :][: len(excerpt.times)])


@pytest.mark.parametrize("offset", [50, 350])
def test_blocks_in_order(offset, toy):
    tally = Tally(toy.make_inst(), np.arange(5))
    nothing = np.zeros((5, 100))
    tally.add(toy.make_block(nothing, nothing > 0), [])
    with pytest.raises(ValueError, match="blocks one after the other within 100 to 400"):
        tally.add(toy.make_block(nothing, nothing > 0, offset), [])


def test_good_blocks_may_be_left_out(toy):
    inst = toy.make_inst()
    data, bad = inst.get_data(), np.zeros((5, 400), bool)
    bad[1, 210:220] = True
    estimate = Estimate(1, 10, 20, data[1, 210:220], np.full(10, 1e-6))
    tally = Tally(inst, np.arange(5))
    tally.add(toy.make_block(data[:, 200:300], bad[:, 200:300], 200), [estimate])
    report = RestorationReport(tally, method="auto")
    (row,) = report.to_dict()["channels"]
    assert not row["whole"] and row["seconds"] == 0.1
    assert_array_equal(report.std > 0, bad)
    # What was there before is read from the data.
    assert_array_equal(report.excerpts["C3"].before, data[1, 210:220])


@pytest.mark.parametrize(("invented", "n_segments"), [(False, 1), (True, 2)])
def test_segments_that_a_block_cuts_are_counted_once(invented, n_segments, toy):
    """Unless only what follows was filled from past and future samples alone."""
    inst = toy.make_inst()
    data, bad = inst.get_data(), np.zeros((5, 400), bool)
    bad[1, 190:230] = True
    tally = Tally(inst, np.arange(5))
    for first, a, b, is_invented in [(0, 190, 200, False), (200, 200, 230, invented)]:
        inside, std = slice(first, first + 200), np.full(b - a, 1e-6)
        estimate = Estimate(1, a - first, b - first, data[1, a:b], std, is_invented)
        tally.add(toy.make_block(data[:, inside], bad[:, inside], first), [estimate])
    (row,) = RestorationReport(tally, method="auto").to_dict()["channels"]
    assert row["n_segments"] == n_segments


@pytest.mark.parametrize("edges", [[0, 401], [0, 3, 10, 150, 401], [0, 61, 62, 63, 399, 401]])
def test_rank_of_few_samples_of_many(monkeypatch, edges, toy):
    """It takes every so many samples of the recording, wherever the blocks begin."""
    monkeypatch.setattr("mne_gram.restoration._tally._RANK_SAMPLES", 60)
    inst, seen = toy.make_inst(n_times=401), []
    monkeypatch.setattr(
        "mne_gram.restoration._tally.count_dimensions", lambda part: seen.append(part) or 1
    )
    tally = Tally(inst, np.arange(5))
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        tally.add(toy.make_block(inst.get_data(start=a, stop=b), np.zeros((5, b - a), bool), a), [])
    tally.find_ranks()
    assert_array_equal(seen[0], inst.get_data()[:, ::8])


def test_rank_of_a_short_block_of_a_long_recording(monkeypatch, toy):
    """The samples are as dense as what is added allows."""
    monkeypatch.setattr("mne_gram.restoration._tally._RANK_SAMPLES", 60)
    inst = toy.make_inst(n_times=4000)
    tally = Tally(inst, np.arange(5))
    block = toy.make_block(inst.get_data(start=997, stop=1010), np.zeros((5, 13), bool), 997)
    tally.add(block, [])
    assert tally.find_ranks() == (5, 5)


def test_the_report_is_small(recording, toy):
    """A whole channel costs nothing, a stretch four bytes a sample."""
    raw = recording.copy()
    raw.info["bads"] = ["C3", "O2"]
    _, report = restore(raw, return_report=True, verbose="error")
    full = len(pickle.dumps(report))
    raw = mne.concatenate_raws([raw.copy() for _ in range(4)], verbose="error")
    _, report = restore(raw.set_annotations(None), return_report=True, verbose="error")
    assert len(pickle.dumps(report)) < full + 2000
    assert (report.std[[2, 7]] > 0).all()
    (span,) = toy.make_tally(std=np.nan).spans
    assert len(span.std) == 1
    (span,) = toy.make_tally(std=np.arange(1.0, 401)).spans
    assert len(span.std) == 400 and span.std.dtype == np.float32


def test_moments_survive_an_offset():
    """An electrode's offset is a thousand times larger than its signal."""
    values = np.random.default_rng(0).standard_normal(5000) * 1e-6 + 0.5
    moments = np.zeros(3)
    for part in np.array_split(values, 13):
        moments = _merge(moments, part)
    assert_allclose(moments[:2], [5000, values.mean()])
    assert_allclose(moments[2], ((values - values.mean()) ** 2).sum(), rtol=1e-8)


@pytest.mark.parametrize("output", ["mean", "sample"])
def test_expected_errors(output):
    """Where the model holds, the expectation is what is found."""
    rng = np.random.default_rng(0)
    mean, error, own = rng.standard_normal((3, 200_000)) * [[2], [1], [1]]
    truth, estimate = mean + error, mean + own * (output == "sample")
    nmse, r = _expect(((estimate - truth) ** 2).mean(), estimate.var(), output)
    assert_allclose(nmse, ((estimate - truth) ** 2).sum() / (truth**2).sum(), rtol=0.02)
    assert_allclose(r, np.corrcoef(truth, estimate)[0, 1], rtol=0.02)


def test_exact_and_unknown_errors(toy):
    for std, expected in [(0.0, (0.0, 1.0)), (np.nan, (np.nan, np.nan))]:
        (row,) = toy.make_report(std=std).to_data_frame().to_dict("records")
        assert_array_equal([row["expected_nmse"], row["expected_r"]], expected)


# ---------------------------------------------------------------------------------------------
# The interval


def test_interval(restored):
    raw, report = restored
    lower, upper = report.interval(raw)
    assert lower.shape == upper.shape == raw.get_data().shape
    assert_allclose((lower + upper) / 2, raw.get_data(), rtol=0, atol=1e-15)
    assert_allclose(upper - lower, 2 * 1.6449 * report.std, rtol=1e-4)
    untouched = report.std == 0
    assert_array_equal(lower[untouched], raw.get_data()[untouched])
    wide = np.subtract(*report.interval(raw, level=0.99)[::-1])
    assert_allclose(wide[~untouched], 2.5758 / 1.6449 * (upper - lower)[~untouched], rtol=1e-3)


def test_interval_goes_by_name(restored):
    raw, report = restored
    lower, upper = report.interval(raw.copy().reorder_channels(["C3", "F3"]), picks=["C3"])
    assert lower.shape == (1, raw.n_times)
    assert_allclose(upper[0] - lower[0], 2 * 1.6449 * report.std[2], rtol=1e-4)
    with pytest.raises(ValueError, match="contains no channel new"):
        report.interval(raw.copy().rename_channels({"C3": "new"}))


def test_interval_of_epochs(toy):
    epochs = toy.make_inst(n_times=100, n_epochs=4)
    bad = np.zeros(400, bool)
    bad[250:270] = True
    report = toy.make_report(epochs, bad)
    lower, upper = report.interval(epochs, picks=["Cz", "C3"])
    assert lower.shape == (4, 2, 100)
    assert_array_equal(np.argwhere(upper > lower), [(2, 1, t) for t in range(50, 70)])


def test_interval_of_a_draw_is_wider(toy):
    inst = toy.make_inst()
    reports = [toy.make_report(inst, output=output) for output in ("mean", "sample")]
    mean, sample = (np.ptp(report.interval(inst, picks=["C3"]), axis=0) for report in reports)
    assert_allclose(sample, np.sqrt(2) * mean, rtol=1e-6)
    assert "random draws" in str(reports[1]) and "random draws" not in str(reports[0])


def test_interval_that_is_not_known(toy):
    inst = toy.make_inst()
    lower, upper = toy.make_report(inst, std=np.nan).interval(inst)
    assert np.isnan(lower[1]).all() and np.isnan(upper[1]).all()
    assert_array_equal(lower[[0, 2, 3, 4]], inst.get_data()[[0, 2, 3, 4]])


def test_interval_refuses(restored):
    raw, report = restored
    for level in (0, 1, 90):
        with pytest.raises(ValueError, match="level to be between 0 and 1"):
            report.interval(raw, level=level)
    with pytest.raises(ValueError, match="before you crop"):
        report.interval(raw.copy().crop(0, 3))
    epochs = mne.make_fixed_length_epochs(raw, 2.0, preload=True, verbose="error")
    with pytest.raises(ValueError, match="expected the restored data"):
        report.interval(epochs)


# ---------------------------------------------------------------------------------------------
# Rank


def test_rank_is_what_ica_and_whitening_need(restored):
    raw, report = restored
    assert (report.rank_before, report.rank_after) == (7, 8)
    assert f"n_components={report.rank_before} or fewer" in str(report)
    raw = raw.copy().filter(1, None, verbose="error")
    ica = mne.preprocessing.ICA(n_components=report.rank_before, max_iter=50, random_state=0)
    with mne.utils.use_log_level("error"), np.errstate(all="raise"):
        ica.fit(raw)
        cov = mne.compute_raw_covariance(raw, rank=dict(eeg=report.rank_before))
        _, _, rank = mne.cov.compute_whitener(
            cov, raw.info, rank=dict(eeg=report.rank_before), return_rank=True
        )
    assert ica.n_components_ == rank == 7


def test_one_less_after_an_average_reference(recording):
    """Constants are restored as constants, so that the reference takes one dimension."""
    raw = recording.copy()
    raw.info["bads"] = ["C3"]
    out = restore(raw, verbose="error")
    raw._data += 1e-3
    shifted = restore(raw, verbose="error")
    assert_allclose(shifted.get_data(), out.get_data() + 1e-3, rtol=0, atol=1e-9)


def test_garbage_has_no_say_in_the_rank(toy):
    """Neither channels nor times that were left as they were."""
    rng = np.random.default_rng(0)
    data = rng.standard_normal((3, 400)) * 1e-5
    data = np.vstack([data, data[0] + data[1]])
    bad = np.zeros((4, 400), bool)
    bad[:, 50:60] = bad[2] = True
    for garbage in (np.nan, 1e-3):
        data[bad] = garbage * rng.standard_normal(bad.sum())
        tally = Tally(toy.make_inst(4), np.arange(4))
        tally.add(toy.make_block(data, bad), [])
        report = RestorationReport(tally, method="auto")
        assert (report.rank_before, report.rank_after) == (2, 2)


def test_rank_of_few_samples_is_not_told(toy):
    report = toy.make_report(toy.make_inst(n_times=5))
    assert report.rank_before is None is report.rank_after
    assert "Rank" not in str(report)
    assert toy.make_report(toy.make_inst(n_times=6)).rank_before == 4


# ---------------------------------------------------------------------------------------------
# Evidence


def test_constant_weights(toy):
    row = toy.make_report().to_data_frame().iloc[0]
    weights = {key: row[key] for key in row.index if key.startswith("weight_")}
    others = ("bundled", "sphere", "noise", "spline", "gram")
    assert weights == {"weight_spatial": 1.0} | {f"weight_{name}": 0.0 for name in others}
    assert toy.make_report(method="gram").to_data_frame()["weight_gram"].tolist() == [1.0]


def test_evidence_in_table_and_text(toy):
    report = toy.make_report(evidence=toy.make_evidence())
    row = report.to_data_frame().iloc[0]
    assert_allclose(
        [row[f"weight_{e}"] for e in ("spatial", "sphere", "gram", "spline")], [0.7, 0.3, 0, 0]
    )
    lines = str(report).splitlines()
    start = lines.index("Error on hidden clean samples of this recording (124 channel-seconds):")
    assert [line.split() for line in lines[start + 1 : start + 6]] == [
        ["expert", "NMSE", "r", "weight"],
        ["spline", "0.62", "0.66"],
        ["spatial", "0.34", "0.81", "0.70"],
        ["sphere", "0.37", "0.30"],
        ["auto", "0.31", "0.83", "(used)"],
    ]
    assert "contains 91 % of the hidden samples" in str(report)
    assert "multiplied by 1.25" in str(report)
    assert "recordings of other subjects" in str(
        toy.make_report(evidence=toy.make_evidence(source="training subjects"))
    )


def test_what_is_chosen(toy):
    evidence = toy.make_evidence()
    assert evidence.find_chosen("auto") == "auto"
    assert evidence.find_chosen("stack") == "spatial"  # the heaviest
    assert toy.make_evidence(weights={}).find_chosen("stack") is None


def test_evidence_in_files(tmp_path, toy):
    report = toy.make_report(evidence=toy.make_evidence(), std=np.nan)
    report.save(tmp_path / "a.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    found = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    evidence = found["evidence"]
    assert evidence["weights"]["sphere"] == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1])
    assert evidence["scores"]["sphere"] == 0.37
    assert (evidence["source"], evidence["coverage"]) == ("recording", 0.913)
    assert found["channels"][0]["expected_nmse"] is None and found["output"] == "mean"
    assert any("n_components=4" in note for note in found["notes"])
    report.save(tmp_path / "a.csv")
    assert "weight_sphere" in (tmp_path / "a.csv").read_text().splitlines()[0]
    toy.make_report().save(tmp_path / "b.json")
    assert json.loads((tmp_path / "b.json").read_text())["evidence"] is None


def test_evidence_refuses(toy):
    with pytest.raises(ValueError, match="source to be one of"):
        toy.make_evidence(source="elsewhere")
    with pytest.raises(ValueError, match="coverage to be between 0 and 1"):
        toy.make_evidence(coverage=91)
    with pytest.raises(TypeError, match="evidence must be"):
        toy.make_report(evidence={"spatial": 1})


# ---------------------------------------------------------------------------------------------
# The report as data


def test_dict_of_a_recording(restored):
    """It has the rows of the table, and the segments of channels that are not bad throughout."""
    content = restored[1].to_dict()
    json.dumps(content, allow_nan=False)
    table = restored[1].to_data_frame()
    assert [row["channel"] for row in content["channels"]] == table["channel"].tolist()
    extents = {row["channel"]: row["extent"] for row in content["channels"]}
    assert extents == {"F3": "whole channel", "C3": "1 segment", "C4": "1 segment"}
    sfreq = restored[0].info["sfreq"]
    assert [s["channel"] for s in content["segments"]] == ["C3", "C4"]
    assert_allclose([s["onset"] for s in content["segments"]], np.array([500, 1000]) / sfreq)
    assert_allclose([s["duration"] for s in content["segments"]], np.array([400, 100]) / sfreq)
    assert content["seconds_left"] == 0 and "epoch" not in content["segments"][0]


def test_dict_of_epochs(toy):
    epochs = toy.make_inst(n_times=100, n_epochs=4)
    bad = np.zeros(400, bool)
    bad[250:270] = bad[10:20] = True
    segments = toy.make_report(epochs, bad, std=np.nan).to_dict()["segments"]
    assert [(s["epoch"], s["onset"]) for s in segments] == [(0, 0.1), (2, 2.5)]


def test_std_of_some_channels(restored):
    raw, report = restored
    assert_array_equal(report.get_std(["C4", "F3"]), report.std[[3, 0]])
    with pytest.raises(ValueError, match="contains no channel new"):
        report.get_std(["new"])


def test_text_is_wrapped(toy):
    """Paragraphs fit into 72 columns."""
    lines = str(toy.make_report(evidence=toy.make_evidence())).splitlines()
    assert max(map(len, lines)) <= 72
