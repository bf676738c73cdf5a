"""The networks there are. One more is a module beside this one, its settings in `config.models`, and a line here."""

from collections.abc import Callable
from pathlib import Path

import torch

from tymbal.config.models import Net
from tymbal.errors import InputError
from tymbal.models.card import ModelCard, read_model_card
from tymbal.models.classifier import Classifier
from tymbal.models.cnn import SBCNN
from tymbal.models.ssast import SSAST
from tymbal.models.sslam import SSLAM
from tymbal.models.weights import read_weights

CLASSIFIERS: dict[str, Callable[..., Classifier]] = {  # by arch; of (net, n_mels, n_classes, generator)
    "ssast": SSAST,
    "sslam": SSLAM,
    "cnn": SBCNN,
}


def build(net: Net, n_mels: int, n_classes: int, generator: torch.Generator) -> Classifier:
    """A network with random weights, on the CPU.

    Args:
        net: its settings.
        n_mels: mel bins F of the input.
        n_classes: number of logits C.
        generator: source of the weights; global random state is neither used nor changed.
    """
    return CLASSIFIERS[net.arch](net, n_mels, n_classes, generator)


def load_model(path: Path, card_path: Path) -> tuple[Classifier, ModelCard]:
    """Read what `weights.save_weights` wrote.

    Returns:
        The model on the CPU in evaluation mode, and its card.

    Raises:
        InputError: a file is missing or damaged, or the two do not belong together (the keys are named).
    """
    card, net = read_model_card(card_path)
    weights = read_weights(path)
    model = build(net, card.n_mels, len(card.classes), torch.Generator())
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
