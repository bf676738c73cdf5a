"""The JSON card of a trained model: all that is needed to use the weights beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter

from tymbal.config.models import Loss, Net, Padding
from tymbal.errors import InputError
from tymbal.models.cards import read_card
from tymbal.norm import Scale


@dataclass(frozen=True)
class ModelCard:
    """What must be known to use a model's weights: the JSON file beside them."""

    net: dict[str, Any]  # settings, as `config.models.Net`
    n_mels: int
    classes: tuple[str, ...]  # in the order of the logits
    mean: float  # the input is (log-mel - mean) / (2 std)
    std: float
    padding: Padding  # what short clips are filled up with
    frontend: dict[str, Any]  # feature state of the training data
    long_clips: Literal["error", "cut"]  # whether clips longer than the net's n_frames may be cut
    loss: Loss
    corpus: dict[str, Any]  # what it was fine-tuned on and, as `before`, what its start had heard; as in corpus.json
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
    if problems := class_misfits(card, classes):
        remedy = "give the data set the model's classes in the same order, or train the model again"
        raise InputError.listing("classes of the model and of the data differ", problems, remedy)


def class_misfits(card: ModelCard, classes: Sequence[str]) -> list[str]:
    """Where a data set's classes differ from a model's, in name or order."""
    return [
        f"class {i}: the model has {ours!r}, the data {theirs!r}"
        for i, (ours, theirs) in enumerate(zip_longest(card.classes, classes))
        if ours != theirs
    ]


def read_model_card(path: Path) -> tuple[ModelCard, Net]:
    """Read the card that `weights.save_weights` wrote.

    Returns:
        The card, and the network it tells of.

    Raises:
        InputError: the file is missing or damaged, not a card of a model, or of an unknown network.
    """
    content, net = read_card(path, ModelCard, TypeAdapter[Net](Net))
    return ModelCard(**{**content, "classes": tuple(content["classes"])}), net
