# Authors: The mne_gram developers
# SPDX-License-Identifier: BSD-3-Clause
"""What is to be done with each recording of a data set."""

from dataclasses import dataclass, field, fields
from pathlib import Path

JOBS = ("restore", "embed", "tokens")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is to be done with each recording.

    Attributes
    ----------
    folder : pathlib.Path
        The derivative data set.
    job : "restore" | "embed" | "tokens"
        What to do.
    model : str
        A name or an absolute folder.
    weights : dict of str
        The sha256 of each file of weights that the job uses, by name.
    overwrite, figures
        How to do it; results do not depend on these.
    """

    folder: Path
    job: str
    weights: dict = field(default_factory=dict)
    find_bads: bool = False
    method: str = "auto"
    output: str = "mean"
    model: str = "gram-tiny"
    line_freq: float | None = None
    all_channel_gaps: str = "keep"
    random_state: int | None = None
    extension: str = ".vhdr"
    save_std: bool = False
    pool: str = "cls"
    window: float | None = None
    overlap: float = 0.0
    device: str | None = None
    batch_size: int | None = None
    overwrite: bool = False
    figures: bool = True

    @property
    def parameters(self):
        """What the result depends on, in entries that JSON can hold."""
        shared = {"job", "find_bads", "line_freq"}
        own = {"pool", "window", "overlap", "model"} if self.job == "embed" else set()
        if self.job == "tokens":
            own = {"window", "overlap", "model"}
        if self.job == "restore":
            own = {"method", "output", "all_channel_gaps", "random_state", "extension", "save_std"}
            own |= {"model"} if self.method == "gram" else set()
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if f.name in shared | own}
        if "model" in chosen:  # wherever it lies
            chosen["model"] = Path(self.model).name
        return chosen

    def get_target(self, unit):
        """Return the name, in the derivative data set, of the file that readers open."""
        if self.job != "restore":  # of a recording and its epochs there may be both
            kind = dict(embed="embedding", tokens="tokens")[self.job]
            name = f"{unit.rename('gramEpochs' if unit.is_epochs else 'gram', kind)}.npz"
        elif unit.is_epochs:
            name = f"{unit.rename('restored', 'epo')}.fif"
        else:
            name = f"{unit.rename('restored', 'eeg')}{self.extension}"
        return (unit.path.parent / name).as_posix()

    @property
    def uses_network(self):
        """Whether the job needs a network."""
        return self.job != "restore" or self.method == "gram"

    @property
    def uses_accelerator(self):
        """Whether networks run on something else than the CPU."""
        return self.device is not None and self.device.partition(":")[0] != "cpu"
