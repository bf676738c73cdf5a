"""SSAST's published checkpoints as starting weights; everything that does not fit is told."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tymbal.config import Ssast
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.models.positions import adapt_positions, describe_fit
from tymbal.models.ssast import SIZES, SSAST, grid, is_head

log = logging.getLogger(__name__)


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
