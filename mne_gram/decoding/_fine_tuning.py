# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""Fine-tuning of the encoder: settings, batches of trials, averaged weights, the best epoch."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from mne.utils import logger
from torch.func import functional_call

from ..models import PATCH_LENGTH, as_generator
from ..training import cosine_rate, group_parameters, local_random_state, update_average
from ._adapted_encoder import Adaptation, AdaptedNetwork, add_adapters, copy_encoder
from ._backbone import check_same, load_backbone
from ._feature_kinds import make_features
from ._inner_folds import can_fold, check_groups, make_folds
from ._linear_probe import learn_probe
from ._trial_reader import whole_seconds

_TOKENS_AT_ONCE = 4096  # with gradients: about 0.5 GB in the bundled network
_MIN_STEPS = 8  # per epoch, in small data sets


@dataclass(frozen=True)
class Schedule:
    """How a network is fine-tuned."""

    n_epochs: int = 50
    n_warmup: int = 5  #: epochs in which the learning rate rises; then it falls as a cosine
    patience: int = 20  #: epochs without improvement before training stops
    learning_rate: float = 5e-4  #: the highest, of the last layers
    layer_decay: float = 0.65  #: factor of the learning rate from a layer to the one below
    weight_decay: float = 0.05  #: of matrices
    smoothing: float = 0.1  #: of labels
    average: float = 0.9999  #: decay of the running average of weights, which is used in the end
    batch_size: int = 128  #: most trials in a step
    criterion: str = "kappa"  #: or "loss", which chooses the epoch


SCHEDULES = {
    # As published (Li et al. 2025).
    "full": Schedule(),
    # The head starts as the linear model of the frozen network, so little is left to learn.
    "lora": Schedule(20, 2, 6, 1e-3, 1.0, 0.0, 0.0, 0.999, 32, "loss"),
}


def choose_schedule(kind, **changes):
    """Return the schedule of ``"lora"`` or ``"full"`` with all changes that are not None."""
    usual = SCHEDULES[kind]
    changes = {name: value for name, value in changes.items() if value is not None}
    schedule = replace(usual, **changes)
    for name in ("n_epochs", "batch_size"):
        value = getattr(schedule, name)
        if isinstance(value, bool) or int(value) != value or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}.")
    if not 0 < schedule.learning_rate < 1:
        raise ValueError(f"learning_rate must be between 0 and 1, got {schedule.learning_rate!r}.")
    n_warmup = round(usual.n_warmup * schedule.n_epochs / usual.n_epochs)
    return replace(schedule, n_warmup=n_warmup)


@dataclass(frozen=True)
class FineTuningSettings:
    """The parameters of `GramClassifier` that concern fine-tuning."""

    kind: str  #: "lora" or "full"
    model: object
    device: object
    rank: int
    seed: int
    C: float | None = None
    cv: object = None
    changes: dict = field(default_factory=dict)  #: of the schedule


def learn_network(settings, trials, labels, classes, former=None):
    """Fine-tune the encoder until the held-out trials improve no further.

    ``labels`` are TrialLabels, ``classes`` the labels of their codes, and ``former`` is the
    Adaptation to continue from. Returns an Adaptation.
    """
    rows = labels.rows
    if labels.groups is not None:
        check_groups(labels.groups[rows])
    folds = make_folds(labels.codes, classes, labels.groups, settings.cv, rows=rows)
    choice = np.random.default_rng([settings.seed, 0]).integers(len(folds))
    train, validation = (rows[part] for part in folds[choice])
    head = None
    if settings.kind == "lora" and former is None:
        head = _learn_head(settings, trials, labels, classes, train)
    schedule = choose_schedule(settings.kind, **settings.changes)
    backbone = load_backbone(settings.model, settings.device)
    if former is not None:
        _check_former(settings, backbone, former)
    args = settings.kind, len(classes), schedule, settings.rank, settings.seed
    tuner = FineTuner(backbone, *args, start=former, head=head)
    return fine_tune(tuner, trials, labels.codes, labels.weights, train, validation)


def _learn_head(settings, trials, labels, classes, train):
    """Return coefficients and intercepts of a probe of the frozen network's CLS vectors."""
    (kind,) = make_features("embedding", settings.model, "cls", settings.device, None)
    x = kind.fit_transform(trials)
    held_out = np.ones(len(trials), bool)
    held_out[train] = False
    labels = labels._replace(weights=np.where(held_out, 0.0, labels.weights))
    groups, rows = labels.groups, labels.rows
    C = settings.C
    if C is None and not can_fold(labels.codes[rows], None if groups is None else groups[rows]):
        C = 1.0
    if C is not None:
        labels = labels._replace(groups=None)
    probe = learn_probe(x, labels, classes, C, None)
    return probe.coef, probe.intercept


def _check_former(settings, backbone, former):
    """Raise if training cannot continue from a former adaptation."""
    check_same(backbone, former.sha256, settings.model)
    if former.kind != settings.kind:
        raise ValueError(
            f"The classifier was fitted with adapt={former.kind!r}, which cannot be continued with "
            f"adapt={settings.kind!r}. Fit a new one (sklearn.base.clone)."
        )


class FineTuner:
    """A network in training; the backbone and global random states are not modified."""

    def __init__(self, backbone, kind, n_classes, schedule, rank, seed, start=None, head=None):
        self.kind, self.schedule, self.seed, self.sha256 = kind, schedule, seed, backbone.sha256
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
        groups = group_parameters(self.learnt.items(), schedule.weight_decay, self._get_share)
        self.optimizer = torch.optim.AdamW(groups, lr=schedule.learning_rate)

    def _get_share(self, name):
        """Return the factor of the learning rate of a parameter, which falls with depth."""
        layer = n_layers = len(self.network.gram.encoder.blocks) + 1
        if name == "gram.encoder.cls":
            layer = 0
        elif name.startswith("gram.encoder.blocks."):
            layer = int(name.split(".")[3]) + 1
        return self.schedule.layer_decay ** (n_layers - layer)

    def train_epoch(self, trials, y, weights, rows, epoch):
        """Pass once over all rows; return the mean loss."""
        rng = np.random.default_rng([self.seed, epoch])
        batches = draw_batches(trials, rows, self._get_batch_size(len(rows)), rng)
        self.network.train()
        total = 0.0
        for step, (stack, which) in enumerate(batches):
            share = self._get_rate(len(batches), self.schedule.n_epochs)
            for group in self.optimizer.param_groups:
                group["lr"] = self.schedule.learning_rate * group["share"] * share
            total += self._take_step(trials, stack, which, y, weights, (epoch, step))
        return total / len(batches)

    def _get_batch_size(self, n_trials):
        """Return the number of trials in a step, fewer in small data sets, which need steps."""
        return int(np.clip(n_trials // _MIN_STEPS, min(8, n_trials), self.schedule.batch_size))

    def _get_rate(self, steps_per_epoch, n_epochs):
        """Return the factor of the highest learning rate."""
        warmup = self.schedule.n_warmup * steps_per_epoch
        return cosine_rate(self.n_steps, warmup, n_epochs * steps_per_epoch - warmup)

    def _take_step(self, trials, stack, which, y, weights, entropy):
        """Take one step of the optimizer; return the loss of the batch."""
        stack = trials.stacks[stack]
        data, rows = whole_seconds(stack.data), stack.rows[which]
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
                    logits, targets[part], reduction="none", label_smoothing=self.schedule.smoothing
                )
                loss = losses @ shares[part]
                loss.backward()
                total += loss.item()
        if not math.isfinite(total):
            raise RuntimeError(
                f"The loss is {total} after {self.n_steps} steps. Drop epochs with huge artefacts, "
                "or lower learning_rate."
            )
        self.optimizer.step()
        values = self.learnt.values()
        update_average(self.average.values(), values, self.schedule.average, self.n_steps)
        self.n_steps += 1
        return total

    def _local_randomness(self, entropy):
        """Seed torch's global state, which dropout uses, inside of a context."""
        config = self.network.gram.config
        if not config.dropout and not config.drop_path:
            return nullcontext()
        return local_random_state(self.device, self.seed, *entropy)

    @torch.no_grad()
    def evaluate(self, trials, y, weights, rows):
        """Return log loss and Cohen's kappa of the averaged weights over some rows."""
        from sklearn.metrics import cohen_kappa_score

        self.network.eval()
        channels, inside = torch.as_tensor(trials.channels), np.isin(np.arange(len(trials)), rows)
        logits = np.full((len(trials), len(self.network.head.bias)), np.nan)
        for stack_rows, data, _ in trials.stacks:
            which = np.flatnonzero(inside[stack_rows])
            size = max(1, 2 * _TOKENS_AT_ONCE // (data[0].size // PATCH_LENGTH))
            for start in range(0, len(which), size):
                part = which[start : start + size]
                x = torch.from_numpy(whole_seconds(data[part])).to(self.device)
                out = functional_call(self.network, self.average, (x, channels))
                logits[stack_rows[part]] = out.double().cpu().numpy()
        logits, y, weights = logits[rows], y[rows], weights[rows]
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
        named = logits.argmax(axis=1)
        if (named == y).all():
            kappa = 1.0
        else:
            kappa = cohen_kappa_score(y, named, sample_weight=weights)
        return float(losses @ weights / weights.sum()), float(kappa)

    def get_result(self, average, history=(), best_epoch=0):
        """Return averaged weights (tensors by name) as an Adaptation."""
        prefix = "gram.encoder."
        arrays = {name: value.cpu().numpy().copy() for name, value in average.items()}
        head = arrays.pop("head.weight"), arrays.pop("head.bias")
        tensors = {name.removeprefix(prefix): value for name, value in arrays.items()}
        return Adaptation(self.kind, tensors, *head, self.sha256, list(history), best_epoch)


def fine_tune(tuner, trials, y, weights, train, validation):
    """Train until the validation rows improve no further; return the best epoch's Adaptation.

    ``y`` and ``weights`` are those of all trials, (n_trials,); ``train`` and ``validation`` rows.
    """
    schedule, history, best = tuner.schedule, [], None
    for epoch in range(schedule.n_epochs + 1):
        loss = math.nan
        if epoch:
            loss = tuner.train_epoch(trials, y, weights, train, epoch)
        val_loss, kappa = tuner.evaluate(trials, y, weights, validation)
        row = dict(epoch=epoch, loss=loss, validation_loss=val_loss, validation_kappa=kappa)
        history.append(row)
        logger.info("Epoch %d: loss %.3f, validation %.3f, kappa %.3f", *row.values())
        # Equal kappas are frequent with few trials; then the lower loss decides.
        score = (kappa, -val_loss) if schedule.criterion == "kappa" else (-val_loss,)
        if best is None or score > best[0]:
            weights_now = {name: value.clone() for name, value in tuner.average.items()}
            best = score, epoch, weights_now
        elif epoch - best[1] >= schedule.patience:
            break
    return tuner.get_result(best[2], history, best[1])


def draw_batches(trials, rows, batch_size, rng):
    """Split rows into random batches of nearly equal size, each with trials of one length.

    Return a list of (index of the stack, indices in the stack).
    """
    batches = []
    inside = np.isin(np.arange(len(trials)), rows)
    for number, stack in enumerate(trials.stacks):
        which = rng.permutation(np.flatnonzero(inside[stack.rows]))
        if len(which):
            parts = np.array_split(which, -(-len(which) // batch_size))
            batches += [(number, part) for part in parts]
    return [batches[k] for k in rng.permutation(len(batches))]
