"""The JSON card of a pre-trained encoder: all that is needed to use the weights beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from tymbal.config.models import Encoder as Net
from tymbal.models.cards import read_card


@dataclass(frozen=True)
class EncoderCard:
    """What must be known to use an encoder's weights: the JSON file beside them."""

    net: dict[str, Any]  # settings, as `config.models.Encoder`
    n_mels: int
    mean: float  # the input is (log-mel - mean) / (2 std)
    std: float
    frontend: dict[str, Any]  # feature state of the corpus
    corpus: dict[str, Any]  # what it was trained on, and what was held out, as in corpus.json
    provenance: dict[str, Any]


def read_encoder_card(path: Path) -> tuple[EncoderCard, Net]:
    """Read the card that `weights.save_weights` wrote.

    Returns:
        The card, and the network it tells of.

    Raises:
        InputError: the file is missing or damaged, not a card of an encoder, or of an unknown network.
    """
    content, net = read_card(path, EncoderCard, TypeAdapter[Net](Net))
    return EncoderCard(**content), net
