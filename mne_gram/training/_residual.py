# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Stage 2 for restoration: learn to correct what the spatial estimate misses."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mne.utils import _validate_type, verbose

from ..models import GramModel, Residual, ResidualConfig, residual_loss, save_model
from ._config import TrainingConfig
from ._corpus import Corpus, read_corpus
from ._examples import ARRAYS, PATCH, prepare_examples
from ._loop import move, train
from ._processes import get_rank, process_group, wait
from ._runs import add_stage, choose_device, get_digest, make_card, prepare_folder, split_corpus

_BALANCE = 0.5  # data sets are drawn in proportion to their size to this power


@dataclass(frozen=True)
class ExampleBatch:
    """Windows with estimates, all of one shape.

    Attributes
    ----------
    x, channels, mask, spread : torch.Tensor
        What the network takes.
    target : torch.Tensor, shape (B, C, n, 200)
        The truth minus the estimate in 0.1 mV.
    hidden : torch.Tensor of bool, shape (B, C, n, 200)
        The samples that are estimates.
    sources : tuple of str
        Recording of each window.
    """

    x: torch.Tensor
    channels: torch.Tensor
    mask: torch.Tensor
    spread: torch.Tensor
    target: torch.Tensor
    hidden: torch.Tensor
    sources: tuple


class Examples:
    """Examples of some people, in memory.

    Parameters
    ----------
    folder : path-like
        What `prepare_examples` wrote.
    recordings : list of Recording
        Those to take, from the corpus.
    """

    def __init__(self, folder, recordings):
        self.groups = {}
        for recording in recordings:
            fname = Path(folder) / f"{recording.name.replace('/', '_')}.npz"
            with np.load(fname, allow_pickle=False) as file:
                facts = json.loads(str(file["facts"]))
                if facts["sha256"] != recording.sha256:
                    raise RuntimeError(
                        f"{fname} was made of another version of {recording.name}. Delete it and "
                        "make the examples again."
                    )
                shapes = {key.rsplit("_", 1)[0] for key in file.files if key.endswith("_x")}
                for shape in sorted(shapes):
                    entry = {name: file[f"{shape}_{name}"] for name in ARRAYS}
                    entry["source"] = recording.name
                    entry["person"] = f"{recording.dataset}/{recording.subject}"
                    key = (recording.dataset, tuple(map(int, shape.split("_"))))
                    self.groups.setdefault(key, []).append(entry)
        if not self.groups:
            raise ValueError(f"There are no examples in {folder} of the recordings asked for.")

    def count(self, key):
        """Return the number of windows of a data set and shape."""
        return sum(len(entry["x"]) for entry in self.groups[key])

    def take(self, key, picks):
        """Return some windows of a data set and shape as a batch.

        Parameters
        ----------
        key : tuple
            Data set and shape.
        picks : array of int
            Which windows.

        Returns
        -------
        batch : ExampleBatch
            The windows.
        """
        entries = self.groups[key]
        edges = np.cumsum([0, *(len(entry["x"]) for entry in entries)])
        owners = np.searchsorted(edges, picks, "right") - 1
        parts = {
            name: np.stack(
                [entries[o][name][k - edges[o]] for o, k in zip(owners, picks, strict=True)]
            )
            for name in ARRAYS
        }
        n_windows, n_channels, n_times = parts["x"].shape
        shape = (n_windows, n_channels, n_times // PATCH, PATCH)
        hidden = parts["hidden"].reshape(shape)
        return ExampleBatch(
            x=torch.from_numpy(parts["x"].astype(np.float32)),
            channels=torch.from_numpy(parts["channels"]),
            mask=torch.from_numpy(hidden.any(axis=-1)),
            spread=torch.from_numpy(parts["spread"]),
            target=torch.from_numpy(parts["target"].astype(np.float32).reshape(shape)),
            hidden=torch.from_numpy(hidden),
            sources=tuple(entries[o]["source"] for o in owners),
        )


class ExampleSampler:
    """Draw batches of examples, the same for the same step and part.

    Parameters
    ----------
    examples : Examples
        What to draw from.
    tokens_per_batch : int
        About how many channel-seconds a batch holds.
    seed : int
        Seed of the draws.
    """

    def __init__(self, examples, tokens_per_batch, seed):
        self.examples, self.tokens_per_batch, self.seed = examples, tokens_per_batch, seed
        self.keys = sorted(examples.groups)
        sizes = np.array([examples.count(key) * np.prod(key[1]) for key in self.keys], float)
        names = np.array([key[0] for key in self.keys])
        totals = {name: sizes[names == name].sum() for name in names}
        weights = sizes / [totals[name] ** (1 - _BALANCE) for name in names]
        self.weights = weights / weights.sum()

    def draw(self, step, part=0):
        """Return the batch of a step and part.

        Parameters
        ----------
        step, part : int
            Which.

        Returns
        -------
        batch : ExampleBatch
            The batch; signs and gains are drawn, too.
        """
        rng = np.random.default_rng([self.seed, step, part])
        key = self.keys[rng.choice(len(self.keys), p=self.weights)]
        n_windows = max(1, self.tokens_per_batch // int(np.prod(key[1])))
        batch = self.examples.take(key, rng.integers(self.examples.count(key), size=n_windows))
        gain = np.exp(rng.normal(0, 0.3, n_windows)) * rng.choice([-1.0, 1.0], n_windows)
        gain = torch.from_numpy(gain.astype(np.float32))[:, None, None]
        batch.x.mul_(gain)
        batch.target.mul_(gain[..., None])
        batch.spread.mul_(gain.abs())
        return batch


class ResidualStage:
    """The network learns what the spatial estimate misses.

    Parameters
    ----------
    network : Residual
        Trained in place.
    config : TrainingConfig
        The settings.
    """

    name = "residual"

    def __init__(self, network, config):
        self.network, self.config = network, config

    def needs_start(self, step):
        """Tell that nothing has to be filled before a step."""
        return False

    def get_loss(self, forward, batch):
        """Return the objective of a batch and what of it is logged."""
        out = forward(batch.x, batch.channels, batch.mask, batch.spread)
        loss, explained = residual_loss(out, batch.target, batch.hidden, batch.spread)
        return loss, {"loss": loss, "explained": explained}

    def update(self, step, generator):
        """Do nothing."""
        return {}

    def get_state(self):
        """Return nothing: all is in the weights."""
        return {}

    def set_state(self, tensors):
        """Continue from what `get_state` returned."""

    def tidy(self, network):
        """Leave averaged weights as they are."""

    @torch.no_grad()
    def evaluate(self, network, batches):
        """Measure a network on people held out.

        Parameters
        ----------
        network : Residual
            In eval mode.
        batches : list of tuple of (str, ExampleBatch)
            Person and batch.

        Returns
        -------
        values : dict
            Person to measures: ``ratio`` of the squared error to that of the spatial estimate, and
            ``loss``; ``""`` stands for the geometric mean of the ratios.
        """
        sums = {}
        for person, batch in batches:
            out = network(batch.x, batch.channels, batch.mask, batch.spread)
            loss, _ = residual_loss(out, batch.target, batch.hidden, batch.spread)
            after = ((batch.target - out.waveform)[batch.hidden] ** 2).sum().item()
            before = (batch.target[batch.hidden] ** 2).sum().item()
            entry = sums.setdefault(person, [0.0, 0.0, []])
            entry[0] += after
            entry[1] += before
            entry[2].append(loss.item())
        values = {
            person: {"ratio": after / before, "loss": float(np.mean(losses))}
            for person, (after, before, losses) in sums.items()
        }
        if values:
            ratios = [entry["ratio"] for entry in values.values()]
            losses = [entry["loss"] for entry in values.values()]
            values[""] = {
                "ratio": float(np.exp(np.mean(np.log(ratios)))),
                "loss": float(np.mean(losses)),
            }
        return values


def lay_out(examples, windows=48):
    """Return some windows of every person, spread evenly, as ``(person, batch)``."""
    batches = []
    for key, entries in sorted(examples.groups.items()):
        first = 0
        for entry in entries:
            n = len(entry["x"])
            picks = first + np.unique(np.linspace(0, n - 1, min(n, windows)).round().astype(int))
            first += n
            for part in np.array_split(picks, -(-len(picks) // 8)):
                batches.append((entry["person"], examples.take(key, part)))
    return batches


@verbose
def pretrain_residual(
    corpus,
    model,
    out,
    *,
    config=None,
    training=None,
    n_draws=10,
    device=None,
    n_jobs=1,
    overwrite=False,
    verbose=None,
):
    """Train the network that corrects spatial estimates.

    Parameters
    ----------
    corpus : Corpus | path-like
        Recordings, as :func:`mne_gram.training.prepare_corpus` makes them.
    model : GramModel | path-like
        A model whose stage 2 it starts from, or its folder.
    out : path-like
        Folder of the run: ``examples/``, checkpoint, log, curves and the model. A run that was
        stopped goes on from there.
    config : ResidualConfig | None
        Shape of the network; None takes the default.
    training : TrainingConfig | None
        How to train; None takes that of the recipe ``gram-tiny``. Settings of masks, simulation and
        augmentation play no role.
    n_draws : int
        How often each minute of recording is used, each time with other samples hidden.
    device : str | torch.device | None
        Where to compute. None is the CPU; ``"auto"`` a GPU if there is one.
    n_jobs : int
        Processes that make examples.
    overwrite : bool
        Whether to start anew where there is a checkpoint. Examples are kept.
    verbose : bool | str | int | None
        Control verbosity of the logging output.

    Returns
    -------
    model : GramModel
        The model with the network as ``model.residual``, weights averaged over the last steps.

    Raises
    ------
    ValueError
        If the corpus is empty or the checkpoint in ``out`` is of another run.
    RuntimeError
        If the corpus changed since it was prepared, or the loss is not finite.
    """
    from ..models import load_model
    from ._recipes import RECIPES

    config = ResidualConfig() if config is None else config
    _validate_type(config, ResidualConfig, "config")
    training = RECIPES["gram-tiny"].stage3 if training is None else training
    _validate_type(training, TrainingConfig, "training")
    device, out = choose_device(device), Path(out)
    corpus = corpus if isinstance(corpus, Corpus) else read_corpus(corpus)
    if not corpus.recordings:
        raise ValueError(f"The corpus in {corpus.folder} holds no recording to train on.")
    model = model if isinstance(model, GramModel) else load_model(model)
    with process_group(device):
        if get_rank() == 0:
            prepare_examples(corpus, out / "examples", n_draws=n_draws, n_jobs=n_jobs)
        wait()
        prepare_folder(out, overwrite)
        seen, watched = split_corpus(corpus, training.hold_out_every)
        network = Residual(config, seed=training.seed)
        if model.gram is not None:
            network.start_from(model.gram)
        examples = Examples(out / "examples", seen.recordings)
        sampler = ExampleSampler(examples, training.tokens_per_part, training.seed)
        batches = []
        if watched is not None:
            batches = lay_out(Examples(out / "examples", watched.recordings), 8)
            batches = [(person, move(batch, device)) for person, batch in batches]
        stage = ResidualStage(network.to(device), training)
        facts = dict(
            stage="residual",
            network=config.to_dict(),
            training=training.to_dict(),
            corpus=get_digest(corpus),
            n_draws=n_draws,
        )
        network, progress = train(
            stage, sampler, batches, training, out, device=device, facts=facts
        )
        card = make_card("residual", config, training, corpus, seen, watched, progress)
        card = add_stage(model.card, "residual", card, out)
        model = GramModel(model.tokenizer, model.gram, network.cpu(), card=card)
        if get_rank() == 0:
            save_model(model, out / "model", overwrite=True)
        wait()
    return model
