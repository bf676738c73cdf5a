"""Weights in files: SSAST's published layouts in; our own layout, safetensors beside a JSON card, in and out."""

import dataclasses
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor

from tymbal.config import Ssast
from tymbal.errors import InputError
from tymbal.files import atomic, read_json, sha256, write_json
from tymbal.models.positions import adapt_positions, describe_fit
from tymbal.models.ssast import SIZES, SSAST, grid, is_head
from tymbal.norm import Scale

log = logging.getLogger(__name__)

# --- SSAST's files ----------------------------------------------------------------------------------------

PRETRAINED = "SSAST pre-training checkpoint"
FINETUNED = "SSAST fine-tuned checkpoint"

# What the original's files hold beside the backbone; every other key must be one of ours.
LEFT_OUT = {
    PRETRAINED: ("v.head.", "v.head_dist.", "mask_embed", "cpredlayer.", "gpredlayer.", "p_input_"),
    FINETUNED: ("v.head.", "v.head_dist.", "mlp_head."),
}


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a foreign file, and what was changed on the way."""

    kind: str
    path: str
    sha256: str
    n_mels: int | None  # of the pre-training; None for a fine-tuned file, which does not tell
    n_frames: int | None
    patch_kernel: str
    positions_mel: str  # 'kept', 'cropped 8 -> 7 (rows 1..7)' or 'interpolated 8 -> 12'
    positions_time: str
    left_out: tuple[str, ...]  # keys of the file
    fresh: tuple[str, ...]  # parameters of the model that keep their random start


def load_ssast(path: Path, model: SSAST, net: Ssast, n_mels: int) -> LoadReport:
    """Replace a model's backbone by the weights of an SSAST checkpoint; its head keeps the random start.

    The patch kernel is used as it is, whatever the stride, and positions are fitted by `adapt_positions`. A
    fine-tuned file does not tell which grid its positions belong to, so their number must be right already; its
    head is left out, because the file does not name its classes either.

    Args:
        path: `.pth` of the original code, keys with or without the prefix `module.`.
        model: the model, changed in place.
        net: the settings `model` was built from.
        n_mels: mel bins of its input.

    Returns:
        What was loaded and how.

    Raises:
        InputError: no such file; not a file of tensors; another layout; or weights that do not fit the model, with
            all misfits in one message.
    """
    source = _read_source(path)
    own = model.state_dict()
    backbone = {name: value for name, value in own.items() if not is_head(name)}
    if problems := _misfits(source, backbone, net, n_mels):
        remedy = "set net.size and net.patch as in the file's training, or init to another file or 'scratch'"
        raise InputError.listing(f"starting weights {path} ({source.kind})", problems, remedy)
    new = grid(net, n_mels)
    old = source.grid or new
    weights = {name: source.state[f"v.{name}"].float() for name in backbone}
    tokens, patches = weights["pos_embed"].split([source.class_tokens, old[0] * old[1]], dim=1)  # [1, n, D] each
    table = adapt_positions(patches[0].T.unflatten(1, old), new)  # [D, f_dim, t_dim]
    weights["pos_embed"] = torch.cat([tokens, table.flatten(1).T[None]], dim=1)
    model.load_state_dict(own | weights)

    n_mels_then, n_frames_then = source.input_shape or (None, None)
    if n_mels_then not in (n_mels, None):
        log.warning("%s saw %d mel bins, now there are %d: a row means other frequencies", path, n_mels_then, n_mels)
    return LoadReport(
        kind=source.kind,
        path=str(path),
        sha256=sha256(path),
        n_mels=n_mels_then,
        n_frames=n_frames_then,
        patch_kernel=f"kept, at stride {_by(net.stride)}",
        positions_mel=describe_fit(old[0], new[0], "rows"),
        positions_time=describe_fit(old[1], new[1], "columns"),
        left_out=tuple(sorted(source.left_out)),
        fresh=tuple(name for name in own if is_head(name)),
    )


@dataclass(frozen=True)
class _Source:
    """A foreign file's tensors and what they tell about the model they come from."""

    kind: str
    state: dict[str, Tensor]  # keys without the prefix `module.`

    @property
    def left_out(self) -> set[str]:
        return {key for key in self.state if key.startswith(LEFT_OUT[self.kind])}

    @property
    def class_tokens(self) -> int:
        return 1 + ("v.dist_token" in self.state)

    @property
    def patch(self) -> tuple[int, int]:
        """Mel bins and frames of a patch."""
        rows, columns = self.state["v.patch_embed.proj.weight"].shape[2:]
        return rows, columns

    @property
    def input_shape(self) -> tuple[int, int] | None:
        """Mel bins and frames of the pre-training; None if the file does not tell."""
        if self.kind == FINETUNED:
            return None
        return int(self.state["p_input_fdim"]), int(self.state["p_input_tdim"])

    @property
    def grid(self) -> tuple[int, int] | None:
        """Patches along mel bins and along time; in pre-training they never overlap."""
        if self.input_shape is None:
            return None
        return self.input_shape[0] // self.patch[0], self.input_shape[1] // self.patch[1]


def _misfits(source: _Source, backbone: dict[str, Tensor], net: Ssast, n_mels: int) -> list[str]:
    """Everything that keeps a file's weights out of a model."""
    size = SIZES[net.size]
    dim = source.state["v.cls_token"].shape[-1]
    depth = len({key.split(".")[2] for key in source.state if key.startswith("v.blocks.")})
    problems = []
    explained: tuple[str, ...] = ()  # keys that need no line of their own
    for what, found, expected, keys in (
        ("embedding size", dim, size.dim, ()),
        ("number of blocks", depth, size.depth, ("v.blocks.",)),
        ("number of class tokens", source.class_tokens, size.class_tokens, ("v.dist_token",)),
    ):
        if found != expected:
            problems.append(f"{what}: the file has {found}, net.size {net.size!r} needs {expected}")
            explained += keys
    if source.patch != net.patch:
        problems.append(f"patch (mel bins x frames): the file has {_by(source.patch)}, net.patch is {_by(net.patch)}")

    wanted = {f"v.{name}": tuple(value.shape) for name, value in backbone.items()}
    missing = sorted(wanted.keys() - source.state.keys())
    unexpected = sorted(source.state.keys() - wanted.keys() - source.left_out)
    problems += [f"{key}: missing in the file" for key in missing if not key.startswith(explained)]
    problems += [f"{key}: in the file, but not in the model" for key in unexpected if not key.startswith(explained)]
    if (dim, source.patch) == (size.dim, net.patch):  # else most shapes differ, for the reasons given
        for key in sorted(wanted.keys() & source.state.keys() - {"v.pos_embed"}):
            if (shape := tuple(source.state[key].shape)) != wanted[key]:
                problems.append(f"{key}: the file has shape {list(shape)}, the model {list(wanted[key])}")
    return problems + _position_misfits(source, grid(net, n_mels), dim)


def _position_misfits(source: _Source, needed: tuple[int, int], dim: int) -> list[str]:
    rows, columns = source.grid or needed
    expected = [1, source.class_tokens + rows * columns, dim]
    if (found := list(source.state["v.pos_embed"].shape)) == expected:
        return []
    tokens = f"{source.class_tokens} class tokens and {rows} x {columns} patches"
    if source.input_shape:
        mels, frames = source.input_shape
        reason = f"that the file's own {mels} mel bins x {frames} frames give"
    else:
        reason = "of the model; a fine-tuned file does not tell its own grid, so its positions cannot be fitted"
    return [f"v.pos_embed: the file has shape {found}, expected {expected} for the {tokens} {reason}"]


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"


def _read_source(path: Path) -> _Source:
    if not path.is_file():
        raise InputError(f"starting weights {path}: no such file. Correct the model's init, or set it to 'scratch'.")
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # of any type, as the bytes of a file that is not torch's can mean anything
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise InputError(
                f"starting weights {path}: the file holds more than tensors ({refused[1]}). Such files can run "
                "arbitrary code when opened and are refused. Save its state dict alone, as tensors, and use that."
            ) from error
        raise InputError(
            f"starting weights {path}: not a PyTorch file, or a damaged one ({type(error).__name__}). Expected an "
            "SSAST checkpoint (.pth); compare its size with the source's, and get it again."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        names = f" with the entries {', '.join(map(str, list(content)[:5]))}" if isinstance(content, dict) else ""
        raise InputError(
            f"starting weights {path}: found a {type(content).__name__}{names}, expected a state dict, that is nothing "
            "but tensors by name. Save the model's state dict alone and use that."
        )
    bare = all(key.startswith("module.") for key in content)
    state = {key.removeprefix("module.") if bare else key: value for key, value in content.items()}
    ranks = {"v.cls_token": 3, "v.pos_embed": 3, "v.patch_embed.proj.weight": 4}
    if all(key in state and state[key].ndim == rank for key, rank in ranks.items()):
        if {"p_input_fdim", "p_input_tdim"} <= state.keys():
            return _Source(PRETRAINED, state)
        if "mlp_head.1.weight" in state:
            return _Source(FINETUNED, state)
    raise InputError(
        f"starting weights {path}: not an SSAST checkpoint. Expected {', '.join(ranks)} with p_input_fdim and "
        f"p_input_tdim (pre-training) or mlp_head.1.weight (fine-tuned); found {len(state)} tensors, among them "
        f"{', '.join(sorted(state)[:5])}. Use a checkpoint of the SSAST project, or init 'scratch'."
    )


# --- our files --------------------------------------------------------------------------------------------


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
