# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The training loop, the same for one process and for many."""

import copy
import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from mne.utils import ProgressBar, logger
from torch.nn.parallel import DistributedDataParallel

from .._files import staged
from . import _checkpoint as checkpoint
from ._logs import Log
from ._optimization import group_parameters, update_average
from ._processes import add_up, get_n_processes, get_rank, wait

_START, _UPDATE = 1, 2  # purposes of draws other than the parts of a step
_DRAW_EVERY = 60.0  # seconds between drawings of the curves


def train(stage, sampler, validation, config, folder, *, device, facts):
    """Train a stage to its last step, resuming from a checkpoint if there is one.

    ``validation`` is a list of (subject, Batch) pairs, and ``facts`` identify the run: the
    checkpoint of another run is refused. Returns a copy of the network with averaged weights in
    eval mode, and the progress: ``step``, ``seconds`` and the last ``validation``.
    """
    n_processes = get_n_processes()
    if config.n_parts % n_processes:
        raise ValueError(
            f"{n_processes} processes cannot share {config.n_parts} parts of a step evenly. Set "
            f"n_parts to a multiple of {n_processes}."
        )
    run = _Run(stage, config, folder, device, facts)
    n_steps, start = config.n_steps, run.progress["step"]
    if start:
        logger.info(f"Resuming after step {start} of {n_steps} ({folder}).")
    parts = range(get_rank(), config.n_parts, n_processes)
    is_first = get_rank() == 0
    log = Log(folder, resume_step=start) if is_first else nullcontext()
    begun = time.monotonic() - run.progress.get("seconds", 0.0)
    with log, _prefetched(sampler, range(start, n_steps), parts, device) as batches:
        # Other processes have a bar that is switched off.
        options = {} if is_first else {"which_tqdm": "off"}
        text = f"Training the {stage.name}"
        bar = ProgressBar(n_steps, initial_value=start, mesg=text, **options)
        for step in range(start, n_steps):
            if stage.needs_start(step):
                _start_stage(stage, sampler, step, config, device)
                run.restart_average(step)
            values = run.take_step(step, parts, next(batches))
            done = step + 1
            run.progress.update(step=done, seconds=time.monotonic() - begun)
            if is_first and (done % config.log_every == 0 or done == n_steps):
                log.write(done, "train", values)
            if done % config.validate_every == 0 or done == n_steps:
                run.validate(validation, log if is_first else None)
                if is_first:
                    run.draw_curves(is_last=done == n_steps)
            if is_first and (done % config.checkpoint_every == 0 or done == n_steps):
                run.save()
            bar.update(done)
        wait()
    return run.get_network(), run.progress


class _Run:
    """The changing state of a stage in training."""

    def __init__(self, stage, config, folder, device, facts):
        self.stage, self.config, self.folder, self.facts = stage, config, folder, facts
        self.device, self._drawn = device, time.monotonic()
        network = stage.network.train()
        self.names = {parameter: name for name, parameter in network.named_parameters()}
        self.optimizer = torch.optim.AdamW(
            group_parameters(network.named_parameters(), config.weight_decay),
            lr=config.learning_rate,
            betas=config.betas,
            foreach=True,
        )
        self.average = copy.deepcopy(network)
        saved, self.progress = checkpoint.read_checkpoint(
            folder, facts, self._get_shapes(), dict(stage=stage.get_optional_shapes())
        )
        if saved is not None:
            self._load(saved)
        self.forward = torch.compile(network) if config.compile else network
        if get_n_processes() > 1:
            self.forward = DistributedDataParallel(self.forward, forward_sync_buffers=False)

    def _get_shapes(self):
        """Return the shapes of the tensors in a checkpoint, by group and name."""
        groups = dict(
            network=self.stage.network.state_dict(),
            average=self.average.state_dict(),
            stage=self.stage.get_state(),
        )
        shapes = {
            group: {name: tensor.shape for name, tensor in tensors.items()}
            for group, tensors in groups.items()
        }
        return shapes | dict(optimizer=checkpoint.get_optimizer_shapes(self.names))

    def _load(self, saved):
        saved = checkpoint.to_device(saved, self.device)
        checkpoint.fill(self.stage.network, saved["network"])
        checkpoint.fill(self.average, saved["average"])
        checkpoint.restore_optimizer(self.optimizer, self.names, saved["optimizer"])
        self.stage.set_state(saved.get("stage", {}))

    @torch.no_grad()
    def restart_average(self, step):
        """Restart the averages of what was just initialised."""
        if step == 0:
            self.average.load_state_dict(self.stage.network.state_dict())
        for name, value in self.stage.network.named_buffers():
            self.average.get_buffer(name).copy_(value)

    def save(self):
        """Write a checkpoint."""
        groups = dict(
            network=self.stage.network.state_dict(),
            average=self.average.state_dict(),
            optimizer=checkpoint.collect_optimizer(self.optimizer, self.names),
            stage=self.stage.get_state(),
        )
        checkpoint.write_checkpoint(self.folder, groups, self.facts, self.progress)

    def take_step(self, step, parts, batches):
        """Take one step of the optimizer; return the values to log."""
        config = self.config
        rate = config.get_learning_rate(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        logged = []
        for k, (part, batch) in enumerate(zip(parts, batches, strict=True)):
            with self._synchronised(k == len(parts) - 1):
                with local_random_state(self.device, config.seed, step, part), self._precision():
                    loss, values = self.stage.get_loss(self.forward, batch)
                (loss / len(parts)).backward()
            logged.append(torch.stack([value.detach().float() for value in values.values()]))
        losses = [row[0] for row in logged]
        means = add_up(torch.stack(logged).sum(0)) / config.n_parts
        norm = torch.nn.utils.clip_grad_norm_(list(self.names), config.clip, foreach=True)
        self._check_finite(step, means[0], norm, batches, losses)
        self.optimizer.step()
        generator = get_generator(config.seed, step, 0, _UPDATE)
        state = self.stage.update(step, generator)
        average, network = self.average.state_dict(), self.stage.network.state_dict()
        update_average(average.values(), network.values(), config.average, step)
        values = dict(zip(values, means.tolist(), strict=True))
        return {**values, **state, "gradient_norm": norm.item(), "learning_rate": rate}

    def _synchronised(self, is_last):
        """Exchange gradients after the last part only."""
        wrapped = isinstance(self.forward, DistributedDataParallel)
        return self.forward.no_sync() if wrapped and not is_last else nullcontext()

    def _precision(self):
        if self.config.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _check_finite(self, step, loss, norm, batches, losses):
        if torch.isfinite(loss) and torch.isfinite(norm):
            return
        # The parts that caused it, if the loss shows them.
        pairs = zip(batches, losses, strict=True)
        suspects = [batch for batch, value in pairs if not torch.isfinite(value)] or batches
        sources = sorted({source for batch in suspects for source in batch.sources})
        saved = self.folder / checkpoint.NAME
        kept = f"The last checkpoint, {saved}, is kept. " if saved.exists() else ""
        raise RuntimeError(
            f"Step {step + 1} gave a loss of {loss.item():.4g} and a gradient of norm "
            f"{norm.item():.4g}; training was stopped before the weights were changed. The batch "
            f"contains {'; '.join(sources)}. {kept}Check these recordings, or lower learning_rate."
        )

    def get_network(self):
        """Return a copy with the averaged weights, in eval mode."""
        network = copy.deepcopy(self.average).eval().requires_grad_(False)
        self.stage.tidy(network)
        return network

    def validate(self, batches, log):
        """Measure the averaged weights; the run is not changed."""
        if log is not None:
            values = {}
            if batches:
                with self._precision():
                    values = self.stage.evaluate(self.get_network(), batches)
                for subject, measures in values.items():
                    log.write(self.progress["step"], "validation", measures, subject)
                self.progress["validation"] = values[""]
        wait()

    def draw_curves(self, is_last):
        """Draw the curves, at most once a minute, as it takes longer than a step."""
        if is_last or time.monotonic() - self._drawn >= _DRAW_EVERY:
            _draw_curves(self.folder)
            self._drawn = time.monotonic()


def _draw_curves(folder):
    """Write the learning curves as a figure."""
    import matplotlib.pyplot as plt

    from ..viz import plot_learning_curve

    figure = plot_learning_curve(folder, show=False)
    with staged(folder / "curves.png", overwrite=True) as fname:
        figure.savefig(fname, dpi=150)
    plt.close(figure)


def _start_stage(stage, sampler, step, config, device):
    """Initialise a stage from the batches of a step, the same in all processes."""
    batches, n_tokens, part = [], 0, 0
    wanted = max(config.start_tokens, stage.network.config.n_classes)
    while n_tokens < wanted:
        batch = move(sampler.draw(step, part), device)
        batches.append(batch)
        n_tokens += batch.mask.numel()
        part += 1
    stage.start(step, batches, get_generator(config.seed, step, 0, _START))


def get_generator(*entropy):
    """Return a torch generator on the CPU, seeded from integers."""
    seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(seed >> np.uint64(1)))


@contextmanager
def local_random_state(device, *entropy):
    """Seed torch's global state, which dropout uses, from integers inside a context."""
    devices = [device] if device.type == "cuda" else []
    seed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(seed >> np.uint64(1)))
        yield


def move(batch, device):
    """Return a batch on a device."""
    fields = {field.name: getattr(batch, field.name) for field in dataclasses.fields(batch)}
    tensors = {name: v for name, v in fields.items() if isinstance(v, torch.Tensor)}
    moved = {name: value.to(device, non_blocking=True) for name, value in tensors.items()}
    return dataclasses.replace(batch, **moved)


@contextmanager
def _prefetched(sampler, steps, parts, device):
    """Yield an iterator of each step's batches, which are drawn ahead in a thread."""

    def draw(step):
        """Return the batches of a step, on the device."""
        return [move(sampler.draw(step, part), device) for part in parts]

    def iterate(pool):
        """Yield the batches of each step; those of the next two are being drawn."""
        waiting = [pool.submit(draw, step) for step in steps[:2]]
        for k in range(len(steps)):
            batches = waiting.pop(0).result()
            if k + 2 < len(steps):
                waiting.append(pool.submit(draw, steps[k + 2]))
            yield batches

    with ThreadPoolExecutor(1) as pool:
        try:
            yield iterate(pool)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
