"""The JSON card beside a model's weights: what the cards of all our own models have in common."""

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from tymbal.errors import InputError
from tymbal.files import read_json

Network = TypeVar("Network")

MISSING = "{}: no such file. Weights (.safetensors) are of use only with their card (.json) beside them."


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
