# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Training of an encoder to tell classes: batches of trials, averaged weights, the best epoch."""

import math
from contextlib import nullcontext

import numpy as np
import torch
import torch.nn.functional as F
from mne.utils import logger
from torch.func import functional_call

from ..models import PATCH_LENGTH, as_generator
from ..training import local_random_state
from ._adaptation import Adaptation, AdaptedNetwork, copy_encoder
from ._lora import add_adapters
from ._trial_features import whole_seconds

_TOKENS_AT_ONCE = 4096  # of which gradients are taken: about 0.5 GB in the bundled network
_MIN_STEPS = 8  # an epoch, in small data sets


class Training:
    """A network on its way.

    Parameters
    ----------
    backbone : GramModel
        What to start from; it is left as it is.
    kind : "lora" | "full"
        What may change.
    n_classes : int
        How many there are.
    recipe : Recipe
        How.
    rank : int
        Of adapters.
    seed : int
        Of all draws. No global random state is moved.
    start : Adaptation | None
        A former result to go on from.
    head : tuple of array | None
        Coefficients and intercepts that the last layer starts with.
    """

    def __init__(self, backbone, kind, n_classes, recipe, rank, seed, start=None, head=None):
        self.kind, self.recipe, self.seed, self.sha256 = kind, recipe, seed, backbone.sha256
        generator = as_generator(seed)
        gram = copy_encoder(backbone.gram)
        self.device = next(gram.parameters()).device
        if kind == "lora":
            add_adapters(gram.encoder, rank, generator)
        else:
            gram.encoder.requires_grad_(True)
        network = AdaptedNetwork(gram, n_classes, seed=generator).to(self.device)
        self.network = network
        if start is not None:
            state = {name: torch.as_tensor(v) for name, v in start.tensors.items()}
            gram.encoder.load_state_dict(state, strict=kind == "full")
            head = start.coef, start.intercept
        if head is not None:
            with torch.no_grad():
                for parameter, value in zip(network.head.parameters(), head, strict=True):
                    parameter.copy_(torch.as_tensor(value))
        self.learnt = {n: p for n, p in network.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.learnt.items()}
        self.n_steps = 0
        self.optimizer = torch.optim.AdamW(self._group(), lr=recipe.learning_rate)

    def _group(self):
        """Return the parameters in groups, each with its share of the learning rate."""
        recipe, n_blocks = self.recipe, len(self.network.gram.encoder.blocks)
        groups = {}
        for name, parameter in self.learnt.items():
            layer = n_blocks + 1
            if name == "gram.encoder.cls":
                layer = 0
            elif name.startswith("gram.encoder.blocks."):
                layer = int(name.split(".")[3]) + 1
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            share = recipe.layer_decay ** (n_blocks + 1 - layer)
            groups.setdefault((share, decay), []).append(parameter)
        return [
            dict(params=params, weight_decay=decay, share=share)
            for (share, decay), params in groups.items()
        ]

    def train_epoch(self, trials, y, weights, rows, n_total, *, epoch=1, constant=False):
        """Take the steps of one pass over some trials, all of them; return the mean loss."""
        rng = np.random.default_rng([self.seed, epoch])
        batches = draw_batches(trials, rows, self._get_batch_size(len(rows)), rng)
        self.network.train()
        total = 0.0
        for step, (block, which) in enumerate(batches):
            share = 1.0 if constant else self._get_rate(len(batches), n_total)
            for group in self.optimizer.param_groups:
                group["lr"] = self.recipe.learning_rate * group["share"] * share
            total += self._take_step(trials, block, which, y, weights, (epoch, step))
        return total / len(batches)

    def _get_batch_size(self, n_trials):
        """Return how many trials a step has: fewer in small data sets, which need steps."""
        return int(np.clip(n_trials // _MIN_STEPS, min(8, n_trials), self.recipe.batch_size))

    def _get_rate(self, steps_per_epoch, n_epochs):
        """Return the share of the highest learning rate."""
        warmup = self.recipe.n_warmup * steps_per_epoch
        if self.n_steps < warmup:
            return (self.n_steps + 1) / warmup
        left = max(1, n_epochs * steps_per_epoch - warmup)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (self.n_steps - warmup) / left)))

    def _take_step(self, trials, block, which, y, weights, entropy):
        """Move the weights by the gradient of one batch; return its loss."""
        data, rows = whole_seconds(trials.blocks[block].data), trials.blocks[block].rows[which]
        channels = torch.as_tensor(trials.channels)
        n_tokens = data.shape[1] * (data.shape[2] // PATCH_LENGTH)
        size = max(1, _TOKENS_AT_ONCE // n_tokens)
        targets = torch.as_tensor(y[rows]).to(self.device)
        shares = torch.as_tensor(weights[rows] / weights[rows].sum(), dtype=torch.float32)
        shares = shares.to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        with self._local_randomness(entropy):
            for start in range(0, len(which), size):
                part = slice(start, start + size)
                x = torch.from_numpy(data[which[part]]).to(self.device)
                logits = self.network(x, channels)
                losses = F.cross_entropy(
                    logits, targets[part], reduction="none", label_smoothing=self.recipe.smoothing
                )
                loss = losses @ shares[part]
                loss.backward()
                total += loss.item()
        if not math.isfinite(total):
            raise RuntimeError(
                f"The loss is {total} after {self.n_steps} steps. Look for epochs with huge "
                "artefacts, or lower learning_rate."
            )
        self.optimizer.step()
        self._update_average()
        return total

    def _local_randomness(self, entropy):
        """Seed torch's own state for a while if the network drops anything: it knows no other."""
        config = self.network.gram.config
        if not config.dropout and not config.drop_path:
            return nullcontext()
        return local_random_state(self.device, self.seed, *entropy)

    @torch.no_grad()
    def _update_average(self):
        # At the beginning there is little to average over.
        decay = min(self.recipe.average, (1 + self.n_steps) / (10 + self.n_steps))
        torch._foreach_lerp_(list(self.average.values()), list(self.learnt.values()), 1 - decay)
        self.n_steps += 1

    @torch.no_grad()
    def evaluate(self, trials, y, weights, rows):
        """Return log loss and Cohen's kappa of the averaged weights over some trials."""
        from sklearn.metrics import cohen_kappa_score

        self.network.eval()
        channels, inside = torch.as_tensor(trials.channels), np.isin(np.arange(len(trials)), rows)
        logits = np.full((len(trials), len(self.network.head.bias)), np.nan)
        for block_rows, data in trials.blocks:
            which = np.flatnonzero(inside[block_rows])
            size = max(1, 2 * _TOKENS_AT_ONCE // (data[0].size // PATCH_LENGTH))
            for start in range(0, len(which), size):
                part = which[start : start + size]
                x = torch.from_numpy(whole_seconds(data[part])).to(self.device)
                out = functional_call(self.network, self.average, (x, channels))
                logits[block_rows[part]] = out.double().cpu().numpy()
        logits, y, weights = logits[rows], y[rows], weights[rows]
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
        named = logits.argmax(axis=1)
        if (named == y).all():
            kappa = 1.0
        else:
            kappa = cohen_kappa_score(y, named, sample_weight=weights)
        return float(losses @ weights / weights.sum()), float(kappa)

    def get_result(self, average, history=(), best_epoch=0):
        """Return averaged weights as an Adaptation."""
        prefix = "gram.encoder."
        arrays = {name: value.cpu().numpy().copy() for name, value in average.items()}
        head = arrays.pop("head.weight"), arrays.pop("head.bias")
        tensors = {name.removeprefix(prefix): value for name, value in arrays.items()}
        return Adaptation(self.kind, tensors, *head, self.sha256, list(history), best_epoch)


def adapt_network(training, trials, y, weights, train, validation):
    """Train until the validation trials gain nothing more; return the best epoch's weights.

    Parameters
    ----------
    training : Training
        The network at its start.
    trials : Trials
        All trials.
    y : array of int, shape (n_trials,)
        The class of each.
    weights : array, shape (n_trials,)
        The weight of each.
    train, validation : array of int
        Rows to learn from, and rows that choose the epoch.

    Returns
    -------
    adaptation : Adaptation
        What was learnt.
    """
    recipe, history, best = training.recipe, [], None
    for epoch in range(recipe.n_epochs + 1):
        loss = math.nan
        if epoch:
            loss = training.train_epoch(
                trials, y, weights, train, recipe.n_epochs, epoch=epoch
            )  # fmt: skip
        val_loss, kappa = training.evaluate(trials, y, weights, validation)
        row = dict(epoch=epoch, loss=loss, validation_loss=val_loss, validation_kappa=kappa)
        history.append(row)
        logger.info("Epoch %d: loss %.3f, validation %.3f, kappa %.3f", *row.values())
        # Of equal kappas, which are frequent among few trials, the one with the lower loss.
        score = (kappa, -val_loss) if recipe.criterion == "kappa" else (-val_loss,)
        if best is None or score > best[0]:
            weights_now = {name: value.clone() for name, value in training.average.items()}
            best = score, epoch, weights_now
        elif epoch - best[1] >= recipe.patience:
            break
    return training.get_result(best[2], history, best[1])


def draw_batches(trials, rows, batch_size, rng):
    """Part trials into batches of nearly equal size at random, each of one length of trials.

    Parameters
    ----------
    trials : Trials
        All trials.
    rows : array of int
        Those to draw.
    batch_size : int
        Most trials in a batch.
    rng : numpy.random.Generator
        Where the order comes from.

    Returns
    -------
    batches : list of tuple of (int, array of int)
        The block and which trials of it; each of ``rows`` is in one batch.
    """
    batches = []
    inside = np.isin(np.arange(len(trials)), rows)
    for number, block in enumerate(trials.blocks):
        which = rng.permutation(np.flatnonzero(inside[block.rows]))
        if len(which):
            parts = np.array_split(which, -(-len(which) // batch_size))
            batches += [(number, part) for part in parts]
    return [batches[k] for k in rng.permutation(len(batches))]
