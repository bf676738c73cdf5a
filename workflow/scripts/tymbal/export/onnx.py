"""A model as an ONNX graph: log-mel in, scores out, normalisation inside."""

import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from tymbal.errors import InputError
from tymbal.export.card import front_end, write_card
from tymbal.files import new_folder, write_json
from tymbal.models.build import load_model
from tymbal.models.card import ModelCard
from tymbal.models.classifier import Classifier
from tymbal.runs import CARD, WEIGHTS

NEEDED = ("onnx", "onnxscript")  # envs/export.in


class Scorer(nn.Module):
    """Log-mel spectrograms [B, T, F], not normalised, in; scores [B, C] out."""

    def __init__(self, model: Classifier, card: ModelCard) -> None:
        super().__init__()
        self.model, self.loss = model, card.loss
        self.mean, self.width = card.mean, 2 * card.std

    def forward(self, log_mel: Tensor) -> Tensor:
        """As the class has it."""
        logits = self.model((log_mel - self.mean) / self.width)
        return logits.sigmoid() if self.loss == "bce" else logits.softmax(dim=1)


def export_onnx(folder: Path, out: Path, licence: str | None) -> None:
    """Write `model.onnx`, `front_end.json`, which is in its metadata too, and the model card.

    Args:
        folder: of the model.
        out: folder to write, which must not be there.
        licence: as `card.write_card` has it.

    Raises:
        InputError: a package is missing, files of the model are missing or damaged, it ignores padding, or `out` is
            there.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"export to ONNX needs {' and '.join(missing)}; not installed here. Run: pip install -r envs/export.txt"
        )
    model, card = load_model(folder / WEIGHTS, folder / CARD)
    if card.padding == "ignored":
        raise InputError(
            f"{folder}: its model ignores padding, but a graph has an input of fixed length, which is filled up. Train "
            "it with padding mean or original."
        )
    told = front_end(card)
    with new_folder(out) as partial:
        with _quiet():
            program = torch.onnx.export(
                Scorer(model, card).eval(),
                (torch.zeros(2, *model.input_shape),),  # two: one clip would be taken for a constant
                dynamic_shapes=({0: "batch"},),
                input_names=["log_mel"],
                output_names=["scores"],
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        program.model.metadata_props["tymbal"] = json.dumps(told, ensure_ascii=False)
        program.save(partial / "model.onnx")
        write_json(partial / "front_end.json", told)
        write_card(folder, card, "onnx", licence, partial)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a note on each node, and without warnings of torch's own code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
