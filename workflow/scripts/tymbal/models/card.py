"""Our own models in files: weights as safetensors, beside a JSON card with all that is needed to use them."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError

from tymbal.config import Ssast
from tymbal.errors import InputError
from tymbal.files import atomic, read_json, write_json
from tymbal.models.ssast import SSAST
from tymbal.norm import Scale


@dataclass(frozen=True)
class ModelCard:
    """What must be known to use a model's weights: the JSON file beside them."""

    net: dict[str, Any]  # settings, as `config.Ssast`
    n_mels: int
    classes: tuple[str, ...]  # in the order of the logits
    mean: float  # the input is (log-mel - mean) / (2 std)
    std: float
    padding: Literal["mean", "original"]  # what short clips are filled up with
    frontend: dict[str, Any]  # feature state of the training data
    long_clips: Literal["error", "cut"]  # whether clips longer than the net's n_frames may be cut
    loss: Literal["bce", "ce"]  # 'bce': scores are the logits' sigmoid; 'ce': their softmax
    provenance: dict[str, Any]

    @property
    def scale(self) -> Scale:
        """Normalisation and padding of the model's input."""
        return Scale.of(self.mean, self.std, self.padding)


def check_classes(card: ModelCard, classes: Sequence[str]) -> None:
    """Compare a data set's classes with a model's.

    Raises:
        InputError: they differ in name or order; the order is part of the model.
    """
    if tuple(classes) == card.classes:
        return
    problems = [
        f"class {i}: the model has {ours!r}, the data {theirs!r}"
        for i, (ours, theirs) in enumerate(zip_longest(card.classes, classes))
        if ours != theirs
    ]
    remedy = "give the data set the model's classes in the same order, or train the model again"
    raise InputError.listing("classes of the model and of the data differ", problems, remedy)


def save_model(path: Path, card_path: Path, model: SSAST, card: ModelCard) -> None:
    """Write weights and card.

    Args:
        path: safetensors file to write.
        card_path: JSON file to write.
        model: on any device.
        card: describes it.
    """
    weights = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic(path) as partial:
        safetensors.torch.save_file(weights, partial)
    write_json(card_path, dataclasses.asdict(card))


def load_model(path: Path, card_path: Path) -> tuple[SSAST, ModelCard]:
    """Read what `save_model` wrote.

    Returns:
        The model on the CPU in evaluation mode, and its card.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together (the keys are named).
    """
    for file in (path, card_path):
        if not file.is_file():
            raise InputError(f"{file}: no such file. A model is model.safetensors with model.json; keep them together.")
    card, net = _read_card(card_path)
    try:
        weights = safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file ({error}). Delete it and run its rule again.") from error
    model = SSAST(net, card.n_mels, len(card.classes), torch.Generator())
    found, expected = (
        {key: list(value.shape) for key, value in side.items()} for side in (weights, model.state_dict())
    )
    problems = [
        f"{key}: shape {found.get(key, 'missing')} in the weights, {expected.get(key, 'missing')} by the card"
        for key in sorted(found.keys() | expected.keys())
        if found.get(key) != expected.get(key)
    ]
    if problems:
        remedy = "restore the pair that was written together, or run the training's rule again"
        raise InputError.listing(f"{path} does not fit {card_path}", problems, remedy)
    model.load_state_dict(weights)
    return model.eval(), card


def _read_card(path: Path) -> tuple[ModelCard, Ssast]:
    content = read_json(path)
    names = {field.name for field in dataclasses.fields(ModelCard)}
    if not isinstance(content, dict) or content.keys() != names:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path} is not a model card: expected the keys {sorted(names)}, found {found}.")
    try:
        net = Ssast.model_validate(content["net"])
    except ValidationError as error:
        raise InputError(f"{path} has a network this version does not know: {error}. Train the model again.") from None
    return ModelCard(**{**content, "classes": tuple(content["classes"])}), net
