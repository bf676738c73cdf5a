"""The classification head of a trained model: which of its numbers belong to a class, and a training that keeps it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from tymbal.config.models import Model
from tymbal.errors import InputError
from tymbal.models.card import class_misfits, read_model_card
from tymbal.models.checkpoints import LoadReport
from tymbal.models.classifier import Classifier, is_head
from tymbal.models.weights import read_weights


def class_rows(model: Classifier) -> tuple[str, ...]:
    """The parameters that have a row for each class: weights and biases of the head's last layer."""
    head = [name for name, _ in model.named_parameters() if is_head(name)]
    last = head[-1].rpartition(".")[0]
    return tuple(name for name in head if name.rpartition(".")[0] == last)


def check_head(path: Path, settings: Model, classes: Sequence[str]) -> None:
    """Compare a data set's classes with those of a model whose head is to be kept. Only its card is read.

    Args:
        path: weights of the model, its card beside them.
        settings: of the model that starts from it.
        classes: of the data set, in their order.

    Raises:
        InputError: it is no fine-tuned model of ours, or of other classes, pooling or loss; all misfits in one message.
    """
    try:
        card, net = read_model_card(path.with_suffix(".json"))
    except InputError as error:
        raise InputError(
            f"keep_head: starting weights {path} are no fine-tuned model of ours, of which a head is kept ({error}) "
            "Set init to a model.safetensors with its model.json beside it, or keep_head to false."
        ) from error
    problems = class_misfits(card, classes)
    for what, there, here in (
        ("net.pooling", getattr(net, "pooling", None), getattr(settings.net, "pooling", None)),
        ("train.loss", card.loss, settings.train.loss),
    ):
        if there != here:
            problems.append(f"{what}: the head was trained with {there!r}, now it is {here!r}")
    if problems:
        remedy = (
            f"give the data set these classes, in this order: {list(card.classes)}; change those of the model by "
            "`python -m tymbal classes`; or set keep_head to false, so that a new head is trained"
        )
        raise InputError.listing(f"keep_head: the head of {path} is of another task", problems, remedy)


def keep_head(start: LoadReport, model: Classifier, settings: Model, classes: Sequence[str]) -> LoadReport:
    """Give a model the head of the one that its encoder started from.

    Args:
        start: what was taken of the file.
        model: changed in place.
        settings: it was built from.
        classes: of the data set, in their order.

    Returns:
        What was taken, with the head.

    Raises:
        InputError: as `check_head`.
    """
    path = Path(start.path)
    check_head(path, settings, classes)
    head = {name: value for name, value in read_weights(path).items() if is_head(name)}
    model.load_state_dict(model.state_dict() | head)
    return dataclasses.replace(
        start,
        left_out=tuple(name for name in start.left_out if name not in head),
        fresh=tuple(name for name in start.fresh if name not in head),
    )
