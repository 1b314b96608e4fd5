# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""The two stages: what each minimises, what it does after a step, how it is validated."""

import copy

import torch
import torch.nn.functional as F

from ..models import HalfCopy, compile_network
from ._codebook import Codebook, get_perplexity
from ._interpolating import start_interpolating
from ._processes import spread


@torch.no_grad()
def find_components(patches, n_components):
    """Return the first principal components (200, n_components) of patches (N, 200).

    Patches are centered and scaled to length 1; columns are orthonormal.
    """
    shapes = F.normalize(patches - patches.mean(-1, keepdim=True), dim=-1).double()
    vectors = torch.linalg.eigh(shapes.T @ shapes).eigenvectors
    # The sign of an eigenvector is arbitrary.
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return (vectors * signs).flip(1)[:, :n_components].float().contiguous()


class TokenizerStage:
    """Stage 1: the tokenizer learns to encode patches and to decode them; trained in place."""

    name = "tokenizer"

    def __init__(self, network, config):
        self.network, self.config = network, config
        self.codebook = Codebook(
            network, decay=config.codebook_decay, revive_below=config.revive_below
        )
        self.guide = None

    def prepare(self, in_half, compiled):
        """Do nothing: there is no other network."""

    def needs_start(self, step, progress):
        """Return whether something has to be initialised from a few batches before a step."""
        if self.codebook.started:
            return False
        lacks_guide = self.config.free_guide and self.guide is None
        return progress >= self.config.free_share or lacks_guide

    def start(self, step, progress, batches, generator):
        """Find the guide, or fill the codebook, before a step."""
        _check_finite(step, batches)
        if progress >= self.config.free_share:
            self.start_codebook(batches, generator)
        else:
            patches = [batch.x.unflatten(2, (-1, 200)).flatten(0, 2) for batch in batches]
            n_components = self.codebook.vectors.shape[1]
            self.guide = spread(find_components(torch.cat(patches), n_components))

    @torch.no_grad()
    def start_codebook(self, batches, generator):
        """Fill the codebook from the codes of some batches."""
        codes = []
        was_training = self.network.training
        self.network.eval()
        for batch in batches:
            codes.append(self.network.encode(batch.x, batch.channels).features.flatten(0, 2))
        self.network.train(was_training)
        self.codebook.start(torch.cat(codes), generator)

    def get_loss(self, forward, batch):
        """Return the objective of a batch and the values to log."""
        config = self.config
        out = forward(
            batch.x,
            batch.channels,
            quantize=self.codebook.started,
            guide=self.guide,
            centered=config.centered,
        )
        if self.codebook.started:
            self.codebook.add(out.codes, out.indices)
        values = {"loss": out.loss, "reconstruction": out.reconstruction}
        values["commitment"] = out.commitment
        return out.loss, values

    def update(self, progress, generator):
        """Move the codebook; return the values to log. ``progress`` is the share of the run."""
        if not self.codebook.started:
            return {}
        # Classes revived near the end would not settle.
        n_revived = self.codebook.update(generator, revive=progress < 0.8)
        return {"revived": n_revived, "classes_used": self.codebook.share_used}

    def get_state(self):
        """Return what a checkpoint contains in addition to the weights."""
        state = {f"codebook.{key}": value for key, value in self.codebook.get_state().items()}
        return state if self.guide is None else {**state, "guide": self.guide}

    def get_optional_shapes(self):
        """Return the shapes of what a checkpoint contains only at some steps."""
        return {"guide": (200, min(200, self.codebook.vectors.shape[1]))}

    def set_state(self, tensors):
        """Restore the output of `get_state`."""
        tensors = dict(tensors)
        self.guide = tensors.pop("guide", None)
        self.codebook.set_state({key.removeprefix("codebook."): v for key, v in tensors.items()})

    def tidy(self, network):
        """Normalise the averaged codebook."""
        network.codebook.copy_(F.normalize(network.codebook, dim=-1))

    @torch.no_grad()
    def evaluate(self, network, batches):
        """Return measures by subject of a network in eval mode, from (subject, Batch) pairs.

        The subject ``""`` is the mean over subjects, and has the classes of all together.
        """
        cosines, counts = {}, network.codebook.new_zeros(len(network.codebook))
        for subject, batch in batches:
            patches = batch.x.unflatten(2, (-1, 200))
            indices = network.encode(batch.x, batch.channels).indices
            decoded = network.decode(indices, batch.channels)
            counts += torch.bincount(indices.flatten(), minlength=len(counts))
            plain = F.cosine_similarity(decoded, patches, dim=-1)
            patches = patches - patches.mean(-1, keepdim=True)
            decoded = decoded - decoded.mean(-1, keepdim=True)
            centered = F.cosine_similarity(decoded, patches, dim=-1)
            both = torch.stack([plain, centered]).flatten(1)
            cosines.setdefault(subject, []).append(both.cpu())
        values = {}
        for subject, parts in cosines.items():
            plain, centered = torch.cat(parts, dim=1).mean(dim=1).tolist()
            values[subject] = {"cosine": plain, "cosine_centered": centered}
        values[""] = _average(values)
        values[""]["classes_used"] = (counts > 0).float().mean().item()
        values[""]["perplexity"] = get_perplexity(counts)
        return values


class GramStage:
    """Stage 2: the masked autoencoder learns to predict the classes of hidden patches.

    The network is trained in place; the tokenizer, which is frozen, gives the classes.
    """

    name = "gram"

    def __init__(self, network, tokenizer, config):
        self.network, self.config = network, config
        self.tokenizer = tokenizer.eval().requires_grad_(False)
        #: What gives the classes in training, of the same weights.
        self.classifier = self.tokenizer

    def prepare(self, in_half, compiled):
        """Make the network that gives the classes in training, in half precision or compiled."""
        if in_half:
            half = HalfCopy(self.tokenizer)
            half.refresh()
            self.classifier = half.network
        elif compiled:
            self.classifier = copy.deepcopy(self.tokenizer)
        if compiled:
            compile_network(self.classifier, compiled, "encode")

    def needs_start(self, step, progress):
        """Return whether weights have to be initialised before a step."""
        return self.config.warm_start and step == 0

    def start(self, step, progress, batches, generator):
        """Start the network as an interpolator."""
        _check_finite(step, batches)
        start_interpolating(self.network, self.tokenizer, batches)
        # From here on processes exchange only gradients.
        for value in self.network.state_dict().values():
            spread(value)

    def get_loss(self, forward, batch):
        """Return the objective of a batch and the values to log."""
        with torch.no_grad():
            targets = self.classifier.encode(batch.x, batch.channels).indices
        out = forward(
            batch.x,
            batch.channels,
            batch.mask,
            targets,
            scale_weight=self.config.scale_weight,
            places=batch.places,
        )
        values = {"loss": out.loss, "cross_entropy": out.cross_entropy, "spectral": out.spectral}
        values["accuracy"] = out.accuracy
        if self.network.config.predict_scale:
            values["scale"] = out.scale
        return out.loss, values

    def update(self, progress, generator):
        """Do nothing: there is no codebook to move."""
        return {}

    def get_state(self):
        """Return nothing: all is in the weights."""
        return {}

    def get_optional_shapes(self):
        """Return nothing, as `get_state`."""
        return {}

    def set_state(self, tensors):
        """Restore the output of `get_state`."""

    def tidy(self, network):
        """Leave averaged weights unchanged."""

    @torch.no_grad()
    def evaluate(self, network, batches):
        """Return measures by subject of a network in eval mode, from (subject, Batch) pairs.

        The subject ``""`` is the mean over subjects; accuracies are also given by kind of mask.
        """
        parts = {}
        for subject, batch in batches:
            targets = self.tokenizer.encode(batch.x, batch.channels).indices
            out = network(
                batch.x,
                batch.channels,
                batch.mask,
                targets,
                scale_weight=self.config.scale_weight,
            )
            entry = parts.setdefault(subject, {})
            for name in ("loss", "cross_entropy", "spectral", "accuracy"):
                entry.setdefault(name, []).append(getattr(out, name).item())
            entry.setdefault(f"accuracy_{batch.kind}", []).append(out.accuracy.item())
            entry.setdefault(f"cross_entropy_{batch.kind}", []).append(out.cross_entropy.item())
            if network.config.predict_scale:
                entry.setdefault("scale", []).append(out.scale.item())
        values = {
            subject: {name: sum(v) / len(v) for name, v in entry.items()}
            for subject, entry in parts.items()
        }
        values[""] = _average(values)
        return values


def _check_finite(step, batches):
    """Raise if something would be initialised from values that are not finite."""
    for batch in batches:
        if not torch.isfinite(batch.x).all():
            raise RuntimeError(
                f"Step {step + 1} cannot be prepared: a batch has values that are not finite, from "
                f"{'; '.join(sorted(set(batch.sources)))}. Check these recordings."
            )


def _average(values):
    """Return the mean over subjects of each measure."""
    names = dict.fromkeys(name for entry in values.values() for name in entry)
    means = {}
    for name in names:
        found = [entry[name] for entry in values.values() if name in entry]
        means[name] = sum(found) / len(found)
    return means
