# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The training loop, the same for one process and for many."""

import copy
import math
import time
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from mne.utils import ProgressBar, logger
from torch.nn.parallel import DistributedDataParallel

from .._files import staged
from ..models import HalfCopy, compile_network
from . import _checkpoint as checkpoint
from ._logs import Log
from ._optimization import clip_gradients, group_parameters, update_average
from ._prefetch import move, prefetch
from ._processes import add_up, get_n_processes, get_rank, wait
from ._schedule import Schedule

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
    start, schedule = run.progress["step"], run.schedule
    is_done = run.progress.get("done", start >= config.n_steps and schedule.limit is None)
    if start:
        end = f"{config.minutes:g} minutes" if schedule.limit else config.n_steps
        logger.info(f"Resuming after step {start} of {end} ({folder}).")
    parts = range(get_rank(), config.n_parts, n_processes)
    is_first = get_rank() == 0
    log = Log(folder, resume_step=start) if is_first else nullcontext()
    last = None if schedule.limit else config.n_steps
    with log, prefetch(sampler, start, start if is_done else last, parts, device) as batches:
        bar = _Bar(stage.name, run, is_first)
        step = start
        while not is_done:
            if stage.needs_start(step, schedule.get_progress(step)):
                _start_stage(stage, sampler, step, run)
                run.restart_average(step)
            values = run.take_step(step, parts, next(batches))
            step += 1
            is_done = schedule.advance(step)
            # A stage without time for what it has to start is of no use.
            is_done = is_done and not stage.needs_start(step, schedule.get_progress(step))
            run.progress.update(step=step, seconds=schedule.get_seconds(), setup=schedule.setup)
            due = schedule.get_due(step, is_done)
            if due:
                run.check_finite()
            if "log" in due and is_first:
                log.write(step, "train", read_values(values))
            if "validation" in due:
                run.validate(validation, log if is_first else None)
                if is_first:
                    run.draw_curves(is_last=is_done)
            if "checkpoint" in due and is_first:
                run.progress["done"] = is_done
                run.save()
            bar.update(step)
        wait()
    return run.get_network(), run.progress


class _Bar:
    """A progress bar of steps, or of thousandths of the time."""

    def __init__(self, name, run, is_first):
        self._run, self._by_clock = run, run.schedule.limit is not None
        # Other processes have a bar that is switched off.
        options = {} if is_first else {"which_tqdm": "off"}
        n_all = 1000 if self._by_clock else run.config.n_steps
        start = self._get_value(run.progress["step"])
        self._bar = ProgressBar(n_all, initial_value=start, mesg=f"Training the {name}", **options)

    def _get_value(self, step):
        return int(1000 * self._run.schedule.fraction) if self._by_clock else step

    def update(self, step):
        """Draw the progress after a step."""
        self._bar.update(self._get_value(step))


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
            **({"fused": True} if device.type == "cuda" else {"foreach": True}),
        )
        self.average = copy.deepcopy(network)
        saved, self.progress = checkpoint.read_checkpoint(
            folder, facts, self._get_shapes(), dict(stage=stage.get_optional_shapes())
        )
        if saved is not None:
            self._load(saved)
        self.schedule = Schedule(config, self.progress, device)
        self._both = [list(one.state_dict().values()) for one in (self.average, network)]
        # Reading a value waits for the device, which costs nothing on a CPU.
        self._checks_steps = device.type == "cpu"
        self._recent = []
        self.half = HalfCopy(network) if config.precision == "bfloat16" else None
        self.forward = network if self.half is None else self.half.network
        stage.prepare(self.half is not None, config.compile)
        if config.compile:
            compile_network(self.forward, config.compile)
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
        """Take one step of the optimizer; return the values to log, for `read_values`.

        Nothing here waits for a GPU.
        """
        config = self.config
        rate, progress = self.schedule.get_rate(step), self.schedule.get_progress(step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        if self.half is not None:
            self.half.refresh()
        logged, sources = [], []
        for k, (part, batch) in enumerate(zip(parts, batches, strict=True)):
            batch = move(batch, self.device)
            if config.compile == "graphs":
                torch.compiler.cudagraph_mark_step_begin()
            with self._synchronised(k == len(parts) - 1):
                with local_random_state(self.device, config.seed, step, part):
                    loss, values = self.stage.get_loss(self.forward, batch)
                (loss / len(parts)).backward()
            logged.append(torch.stack([value.detach().float() for value in values.values()]))
            sources.append(batch.sources)
        if self.half is not None:
            self.half.return_gradients()
        logged = torch.stack(logged)
        means = add_up(logged.sum(0)) / config.n_parts
        norm = clip_gradients(self.names, config.clip)
        found = torch.cat([torch.stack([means[0], norm]), logged[:, 0]])
        self._recent.append((step, sources, found))
        if self._checks_steps:
            self.check_finite()
        self.optimizer.step()
        generator = get_generator(config.seed, step, 0, _UPDATE)
        state = self.stage.update(progress, generator)
        update_average(*self._both, config.average, step)
        values = dict(zip(values, means, strict=True))
        return {**values, **state, "gradient_norm": norm, "learning_rate": rate}

    def _synchronised(self, is_last):
        """Exchange gradients after the last part only."""
        wrapped = isinstance(self.forward, DistributedDataParallel)
        return self.forward.no_sync() if wrapped and not is_last else nullcontext()

    def check_finite(self):
        """Raise if the loss or the gradient of a step since the last check is not finite."""
        if not self._recent:
            return
        rows = torch.stack([found for *_, found in self._recent]).tolist()
        recent, self._recent = self._recent, []
        for (step, sources, _), (loss, norm, *losses) in zip(recent, rows, strict=True):
            if math.isfinite(loss) and math.isfinite(norm):
                continue
            # The parts that caused it, if the loss shows them.
            pairs = zip(sources, losses, strict=True)
            suspects = [names for names, value in pairs if not math.isfinite(value)] or sources
            names = "; ".join(sorted({name for part in suspects for name in part}))
            saved = self.folder / checkpoint.NAME
            kept = f"The last checkpoint, {saved}, is kept. " if saved.exists() else ""
            raise RuntimeError(
                f"Step {step + 1} gave a loss of {loss:.4g} and a gradient of norm {norm:.4g}; "
                "training was stopped, and nothing of this step is saved. The batch contains "
                f"{names}. {kept}Check these recordings, or lower learning_rate."
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


def _start_stage(stage, sampler, step, run):
    """Initialise a stage from the batches of a step, the same in all processes."""
    config = run.config
    batches, n_tokens, part = [], 0, 0
    wanted = max(config.start_tokens, stage.network.config.n_classes)
    while n_tokens < wanted:
        batch = move(sampler.draw(step, part), run.device)
        batches.append(batch)
        n_tokens += batch.mask.numel()
        part += 1
    generator = get_generator(config.seed, step, 0, _START)
    stage.start(step, run.schedule.get_progress(step), batches, generator)


def read_values(values):
    """Return values as floats, which waits for the device once."""
    tensors = [value for value in values.values() if isinstance(value, torch.Tensor)]
    read = iter(torch.stack([value.float() for value in tensors]).tolist() if tensors else [])
    return {
        name: next(read) if isinstance(value, torch.Tensor) else value
        for name, value in values.items()
    }


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
