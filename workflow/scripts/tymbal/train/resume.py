"""Checkpoints of a training that is under way: one file after every round, weights, optimiser and history together.

They live in a folder that Snakemake does not know as an output, because it deletes outputs before every attempt.
"""

import json
import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tymbal.files import atomic

log = logging.getLogger(__name__)


@dataclass
class State:
    """Where a training stands between two rounds."""

    round: int = 0  # rounds finished; in fine-tuning a round is an epoch
    best_round: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    kwh: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of GPUs and of processors; NaN if not known
    scaler: dict[str, Any] = field(default_factory=dict)  # of float16 loss scaling


class Checkpoints:
    """The last state and the best weights in one folder.

    Args:
        folder: made when needed.
        fingerprint: stands for all that defines the run (data, settings, seed, code). A checkpoint with another
            one is from a different run and is put aside.
    """

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder, self.fingerprint = folder, fingerprint

    @property
    def _last(self) -> Path:
        return self.folder / "last.safetensors"

    def _best(self, round_: int) -> Path:
        # Named by round: a kill between writing the weights and the state cannot leave a pair that disagrees.
        return self.folder / f"best-{round_:06d}.safetensors"

    def save(self, state: State, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Write the state after a round; the weights also as the best if this round is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if state.best_round == state.round:
            with atomic(self._best(state.round)) as partial:
                save_file(_contiguous(model.state_dict()), partial)
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for index, moments in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        note = json.dumps({"fingerprint": self.fingerprint, **vars(state)})
        with atomic(self._last) as partial:
            save_file(_contiguous(tensors), partial, metadata={"tymbal": note})
        for old in self.folder.glob("best-*.safetensors"):
            if old != self._best(state.best_round):
                old.unlink()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device) -> State:
        """Restore the last state into model and optimiser; a fresh state if there is nothing to continue."""
        if not self._last.exists():
            return State()
        with safe_open(self._last, framework="pt", device=str(device)) as file:
            note = json.loads(file.metadata()["tymbal"])
            if note.pop("fingerprint") != self.fingerprint:
                log.warning("%s belongs to a run with other data, settings or code: starting afresh", self._last)
                self.remove()
                return State()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith("optimizer."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
        state = State(**note)
        log.info("resuming after checkpoint %d (best so far: %d)", state.round, state.best_round)
        return state

    def load_best(self, model: nn.Module, state: State) -> None:
        """Put the weights of the best round into the model."""
        model.load_state_dict(load_file(self._best(state.best_round)))

    def remove(self) -> None:
        """Delete the folder; call when the results are in place."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
