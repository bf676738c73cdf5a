"""Weights as safetensors with a JSON card beside them: what the files of our own models have in common."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from tymbal.errors import InputError
from tymbal.files import atomic, read_json, write_json

Network = TypeVar("Network")

MISSING = "{}: no such file. Weights (.safetensors) are of use only with their card (.json) beside them."


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


def read_card(path: Path, kind: type, networks: TypeAdapter[Network]) -> tuple[dict[str, Any], Network]:
    """Read a card.

    Args:
        path: JSON file.
        kind: the dataclass whose fields it must have, `net` among them.
        networks: what `net` may be.

    Returns:
        Its content, and the network it tells of.

    Raises:
        InputError: the file is missing or damaged, another one, or of an unknown network.
    """
    if not path.is_file():
        raise InputError(MISSING.format(path))
    content = read_json(path)
    names = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(content, dict) or content.keys() != names:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path} is no {kind.__name__}: expected the keys {sorted(names)}, found {found}.")
    try:
        return content, networks.validate_python(content["net"])
    except ValidationError as error:
        raise InputError(f"{path} has a network this version does not know: {error}. Train it again.") from None
