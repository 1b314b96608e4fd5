# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The codebook: its start, its moving average, and what becomes of classes that died."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mne_gram.training import _codebook as module
from mne_gram.training._codebook import (
    Codebook,
    cluster,
    find_nearest,
    get_perplexity,
    sum_by_class,
)

DIM = 8


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def unit(seed, *shape):
    return F.normalize(torch.randn(*shape, DIM, generator=seeded(seed)), dim=-1)


def make_codebook(n_classes=6, seed=1, **options):
    book = Codebook(SimpleNamespace(codebook=unit(seed, n_classes)), **options)
    book.started = True
    return book


def is_unit(vectors):
    return torch.allclose(vectors.norm(dim=-1), torch.ones(len(vectors)), atol=1e-5)


# ---------------------------------------------------------------------------------------------
# Counting


@pytest.mark.parametrize("chunk", [3, 7, 4096])
def test_nearest(chunk):
    """The largest cosine is the smallest distance, whatever the vectors' length."""
    codes, vectors = unit(0, 20), unit(1, 9)
    distances = torch.cdist(codes, vectors)
    wanted = distances.argmin(1)
    assert find_nearest(codes, vectors, chunk).equal(wanted)
    stretched = codes * torch.linspace(0.1, 9, 20)[:, None]
    assert find_nearest(stretched, vectors, chunk).equal(wanted)


def test_sums():
    codes, indices = unit(0, 30), torch.randint(5, (30,), generator=seeded())
    indices[indices == 2] = 0
    sums, counts = sum_by_class(codes, indices, 6)
    assert counts.tolist() == np.bincount(indices.numpy(), minlength=6).tolist()
    assert counts[2] == counts[5] == 0 and (sums[[2, 5]] == 0).all()
    for k in range(6):
        torch.testing.assert_close(sums[k], codes[indices == k].sum(0))


def test_perplexity():
    assert get_perplexity(torch.tensor([0.0, 7, 0])) == pytest.approx(1)
    assert get_perplexity(torch.full((64,), 3.0)) == pytest.approx(64)
    share = np.array([1, 2, 3, 10]) / 16
    wanted = math.exp(-(share * np.log(share)).sum())
    assert get_perplexity(torch.tensor([2.0, 4, 6, 20, 0])) == pytest.approx(wanted)


# ---------------------------------------------------------------------------------------------
# The start


def make_clusters(seed=0):
    """Return four bundles of 25 code vectors of any length, and which is where."""
    labels = torch.arange(100) % 4
    directions = torch.eye(DIM)[:4]
    codes = directions[labels] + 0.05 * torch.randn(100, DIM, generator=seeded(seed))
    return codes * torch.linspace(0.5, 20, 100)[:, None], labels


def test_kmeans_finds_bundles():
    codes, labels = make_clusters()
    vectors, counts = cluster(codes, 12, seeded())
    indices = find_nearest(codes, vectors)
    assert is_unit(vectors) and counts.sum() == 100
    for k in range(12):
        assert len(labels[indices == k].unique()) <= 1
    cosines = F.normalize(codes, dim=-1) @ vectors.T
    assert cosines.max(1).values.min() > 0.95


def test_kmeans_improves():
    """Iterations bring the centres nearer, and the last counts are those of its classes."""
    codes = unit(0, 300)
    fits = []
    for n_iter in (1, 3, 10):
        vectors, _ = cluster(codes, 10, seeded(), n_iter)
        fits.append((codes @ vectors.T).max(1).values.mean())
    start = codes[torch.randperm(300, generator=seeded())[:10]]
    fits.insert(0, (codes @ start.T).max(1).values.mean())
    assert fits == sorted(fits) and fits[-1] > fits[0] + 0.02
    before, _ = cluster(codes, 10, seeded(), 9)
    _, counts = cluster(codes, 10, seeded(), 10)
    assert counts.tolist() == torch.bincount(find_nearest(codes, before), minlength=10).tolist()


def test_kmeans_is_spherical():
    """The length of a code vector plays no role."""
    codes, _ = make_clusters()
    vectors, counts = cluster(codes, 5, seeded())
    again, same = cluster(F.normalize(codes, dim=-1), 5, seeded())
    torch.testing.assert_close(vectors, again)
    assert counts.equal(same)


def test_kmeans_is_decided_by_its_generator():
    codes = unit(0, 200)
    state = torch.get_rng_state()
    first, again, other = (cluster(codes, 20, seeded(k))[0] for k in (3, 3, 4))
    assert first.equal(again) and not first.equal(other)
    assert torch.get_rng_state().equal(state)


def test_lost_centres_start_again():
    """Of equal code vectors only the first centre has any, and no centre becomes 0 or NaN."""
    codes = unit(0, 1).expand(50, DIM)
    vectors, counts = cluster(codes, 5, seeded())
    assert is_unit(vectors) and counts.max() == 50
    torch.testing.assert_close(vectors, codes[:5])


def test_too_few_codes():
    with pytest.raises(ValueError, match="codebook of 6 classes needs .* got 5. Take larger"):
        cluster(unit(0, 5), 6, seeded())
    vectors, _ = cluster(unit(0, 6), 6, seeded())
    assert is_unit(vectors)


def test_start():
    book = make_codebook(6)
    book.started = False
    book.usage.fill_(0.3)
    codes = 5 * unit(4, 40)
    book.start(codes, seeded(2))
    assert book.started and (book.usage == 1).all()
    assert book.vectors.equal(cluster(codes, 6, seeded(2))[0])


def test_start_is_that_of_the_first_process(monkeypatch):
    """Processes may compute centres a little differently, but must go on with the same."""
    theirs = unit(9, 6)
    monkeypatch.setattr(module, "spread", lambda tensor: tensor.copy_(theirs))
    book = make_codebook(6)
    book.start(unit(4, 40), seeded(2))
    assert book.vectors.equal(theirs)


# ---------------------------------------------------------------------------------------------
# The moving average


def test_update_is_the_formula():
    book = make_codebook(4, decay=0.9, revive_below=0.0)
    before, usage = book.vectors.clone(), torch.tensor([1.0, 0.5, 2.0, 0.7])
    book.usage.copy_(usage)
    codes, indices = unit(5, 2, 3, 4), torch.randint(3, (2, 3, 4), generator=seeded(1))
    book.add(codes[:1], indices[:1])
    book.add(codes[1:], indices[1:])
    assert book.vectors.equal(before)  # nothing moves before the update
    assert book.update(seeded()) == 0
    flat, classes = codes.flatten(0, 2), indices.flatten()
    for k in range(3):
        mean = F.normalize(flat[classes == k].mean(0), dim=0)
        moved = F.normalize(0.9 * before[k] + 0.1 * mean, dim=0)
        torch.testing.assert_close(book.vectors[k], moved)
    assert book.vectors[3].equal(before[3])
    share = torch.bincount(classes, minlength=4) / 24 * 4
    torch.testing.assert_close(book.usage, 0.9 * usage + 0.1 * share)


def test_update_forgets():
    """What was added counts once."""
    book, plain = make_codebook(4, revive_below=0.0), make_codebook(4, revive_below=0.0)
    first, second = unit(5, 30), unit(6, 30)
    book.add(first, find_nearest(first, book.vectors))
    book.update(seeded())
    assert book.candidates == [] and not book.sums.any() and not book.counts.any()
    plain.vectors.copy_(book.vectors)
    plain.usage.copy_(book.usage)
    for one in (book, plain):
        one.add(second, find_nearest(second, one.vectors))
        one.update(seeded())
    assert book.vectors.equal(plain.vectors) and book.usage.equal(plain.usage)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    decay=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
    revive_below=st.floats(0, 1),
    n_classes=st.integers(1, 20),
    n_steps=st.integers(1, 5),
)
def test_vectors_stay_unit(seed, decay, revive_below, n_classes, n_steps):
    book = make_codebook(n_classes, seed, decay=decay, revive_below=revive_below)
    for step in range(n_steps):
        for part in range(2):
            codes = unit(seed + 10 * step + part, 3, 7)
            book.add(codes, torch.randint(n_classes, (3, 7), generator=seeded(seed + part)))
        n_revived = book.update(seeded(step))
        assert is_unit(book.vectors)
        assert 0 <= n_revived <= n_classes
        # The mean of 1 is kept, but for what revival adds.
        assert (book.usage >= 0).all() and book.usage.mean() > 1 - 1e-4


def test_opposite_codes_move_nothing():
    """The mean of a class may be 0, which has no direction."""
    book = make_codebook(2, decay=0.5, revive_below=0.0)
    before, code = book.vectors.clone(), unit(3, 1)
    book.add(torch.cat([code, -code]), torch.zeros(2, dtype=torch.int64))
    book.update(seeded())
    torch.testing.assert_close(book.vectors, before)


# ---------------------------------------------------------------------------------------------
# Death and revival


def test_dead_classes_are_revived():
    """Unused classes stay where they are until their usage falls below the limit."""
    book = make_codebook(5, decay=0.5, revive_below=0.2)
    before = book.vectors.clone()
    for step in range(3):
        codes = unit(20 + step, 40)
        book.add(codes, torch.arange(40) % 3)  # classes 3 and 4 are never used
        n_revived = book.update(seeded(step))
        if step < 2:  # usage 0.5, then 0.25
            assert n_revived == 0 and book.vectors[3:].equal(before[3:])
            torch.testing.assert_close(book.usage[3:], torch.full((2,), 0.5 ** (step + 1)))
    assert n_revived == 2
    assert (book.usage[3:] == 1).all() and (book.usage[:3] != 1).all()
    # They are code vectors of this batch, and not the same one.
    found = [torch.nonzero((codes == vector).all(1)).flatten().tolist() for vector in book.vectors]
    assert [len(places) for places in found] == [0, 0, 0, 1, 1] and found[3] != found[4]
    # Their average starts again too: they have the same time to prove themselves.
    book.add(codes, torch.arange(40) % 3)
    assert book.update(seeded(9)) == 0


def test_nobody_is_revived_when_told_so():
    book = make_codebook(5, decay=0.0, revive_below=0.2)
    before = book.vectors.clone()
    codes = unit(20, 40)
    book.add(codes, torch.zeros(40, dtype=torch.int64))
    assert book.update(seeded(), revive=False) == 0
    assert book.vectors[1:].equal(before[1:]) and (book.usage[1:] == 0).all()


def test_more_dead_than_codes(monkeypatch):
    monkeypatch.setattr(module, "_N_CANDIDATES", 3)
    book = make_codebook(10, decay=0.0, revive_below=0.5)
    codes = unit(20, 40)
    book.add(codes, torch.zeros(40, dtype=torch.int64))
    assert book.update(seeded()) == 3
    assert (book.usage == 1).sum() == 3 and (book.usage == 0).sum() == 6


def test_revival_is_decided_by_its_generator():
    vectors = []
    for seed in (1, 1, 2):
        book = make_codebook(5, decay=0.0, revive_below=0.5)
        codes = unit(20, 40)
        book.add(codes, torch.zeros(40, dtype=torch.int64))
        book.update(seeded(seed))
        vectors.append(book.vectors)
    assert vectors[0].equal(vectors[1]) and not vectors[0].equal(vectors[2])


# ---------------------------------------------------------------------------------------------
# Parts and processes


def draw_parts(n_parts=4):
    parts = []
    for part in range(n_parts):
        # Parts have windows of different shapes.
        codes = unit(50 + part, 2 + part, 20)
        parts.append((codes, torch.randint(4, codes.shape[:2], generator=seeded(part))))
    return parts


def test_order_of_parts_does_not_matter():
    books = []
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        book = make_codebook(6, revive_below=0.0)
        parts = draw_parts()
        for k in order:
            book.add(*parts[k])
        book.update(seeded())
        books.append(book)
    torch.testing.assert_close(books[0].vectors, books[1].vectors)
    assert books[0].usage.equal(books[1].usage)


def test_processes_do_as_one(monkeypatch):
    """Two processes that share the parts end with the codebook of one, revived classes as well."""
    one = make_codebook(6, decay=0.5, revive_below=0.6)
    two = [make_codebook(6, decay=0.5, revive_below=0.6) for _ in range(2)]
    for k, part in enumerate(draw_parts()):
        one.add(*part)
        two[k % 2].add(*part)
    assert one.update(seeded()) == 2  # classes 4 and 5
    sums, counts = (sum(getattr(book, name) for book in two) for name in ("sums", "counts"))
    candidates = torch.stack([torch.stack(book.candidates) for book in two])
    monkeypatch.setattr(module, "add_up", lambda x: sums.clone() if x.ndim == 2 else counts.clone())
    monkeypatch.setattr(module, "collect", lambda x: candidates)
    for book in two:
        assert book.update(seeded()) == 2
        torch.testing.assert_close(book.vectors, one.vectors)
        assert book.vectors[4:].equal(one.vectors[4:]) and book.usage.equal(one.usage)


# ---------------------------------------------------------------------------------------------
# What a checkpoint holds


def test_state():
    book = make_codebook(6, decay=0.5)
    codes = unit(3, 30)
    book.add(codes, find_nearest(codes, book.vectors))
    book.update(seeded())
    saved = {name: value.clone() for name, value in book.get_state().items()}
    again = make_codebook(6)
    again.started = False
    again.set_state(saved)
    assert again.started and again.usage.equal(book.usage) and not (again.usage == 1).all()
    fresh = Codebook(SimpleNamespace(codebook=unit(0, 6)))
    again.set_state(fresh.get_state())
    assert not again.started and (again.usage == 1).all()
