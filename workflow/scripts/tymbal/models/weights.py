"""Weights as safetensors with a JSON card beside them."""

import dataclasses
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tymbal.errors import InputError
from tymbal.files import atomic, write_json
from tymbal.models.cards import MISSING


def save_weights(path: Path, card_path: Path, model: nn.Module, card: Any) -> None:
    """Write weights and card.

    Args:
        path: safetensors file to write.
        card_path: JSON file to write.
        model: on any device.
        card: a dataclass of what describes it, as JSON can hold it.
    """
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic(path) as partial:
        partial.write_bytes(safetensors.torch.save(weights))  # save_file makes files that only their owner can read
    write_json(card_path, dataclasses.asdict(card))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, on the CPU.

    Raises:
        InputError: the file is missing or damaged.
    """
    if not path.is_file():
        raise InputError(MISSING.format(path))
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}). Delete it and run its rule again.") from error
