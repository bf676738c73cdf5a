"""Starting weights of SSAST: its authors' checkpoints and our own files."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tymbal.config.models import Ssast, SsastEncoder
from tymbal.errors import InputError
from tymbal.models.checkpoints import OWN_ENCODER, OWN_MODEL, LoadReport, SizeOf, Source, by, misfits, refuse
from tymbal.models.classifier import is_head
from tymbal.models.encoder import Encoder
from tymbal.models.positions import adapt_positions, describe_fit
from tymbal.models.ssast import SIZES, grid
from tymbal.spectrogram import FeatureState

log = logging.getLogger(__name__)

PRETRAINED = "SSAST pre-training checkpoint"
FINETUNED = "SSAST fine-tuned checkpoint"
PUBLISHED_RATE = 16000  # Hz: of all that SSAST's authors trained

PRETEXT = ("mask_embed", "cpredlayer.", "gpredlayer.")  # what only pre-training has, under the same names everywhere
# What files hold beside the encoder; every other key must be one of the encoder's.
EXTRAS = {
    PRETRAINED: ("v.head.", "v.head_dist.", "p_input_", *PRETEXT),
    FINETUNED: ("v.head.", "v.head_dist.", "mlp_head."),
    OWN_ENCODER: PRETEXT,
    OWN_MODEL: ("head.",),
}
RANKS = {"cls_token": 3, "pos_embed": 3, "patch_embed.proj.weight": 4}  # dimensions of what tells an encoder's shape


def original(path: Path, content: dict[str, Any]) -> Source | None:
    """A file of SSAST's code; None if it is not one.

    Args:
        path: of the file.
        content: what it holds.
    """
    if not all(isinstance(value, Tensor) and not value.is_nested for value in content.values()):
        return None
    parallel = all(key.startswith("module.") for key in content)
    state = {key.removeprefix("module.") if parallel else key: value for key, value in content.items()}
    if {"p_input_fdim", "p_input_tdim"} <= state.keys():
        n_mels, n_frames = _number(state["p_input_fdim"]), _number(state["p_input_tdim"])
        if n_mels is None or n_frames is None:
            return None
        source = Source(path, "ssast", PRETRAINED, state, _key, n_mels=n_mels, n_frames=n_frames)
    elif "mlp_head.1.weight" in state:
        source = Source(path, "ssast", FINETUNED, state, _key)
    else:
        return None
    if not source.holds(RANKS):
        return None
    rows, columns = _patch(source)
    return source if (source.n_mels or rows) >= rows and (source.n_frames or columns) >= columns else None


def _number(value: Tensor) -> int | None:
    """How many mel bins or frames a file says it is for; None if that is not one whole number above 0."""
    if value.numel() != 1 or value.is_meta or value.is_complex():
        return None
    number = float(value)
    return int(number) if number > 0 and number.is_integer() else None


def _key(name: str) -> str:
    return name if name.startswith(PRETEXT) else f"v.{name}"


def load(source: Source, model: Encoder, net: SsastEncoder, state: FeatureState) -> LoadReport:
    """Put a file's weights into a model, as `sources.load_start` has it.

    What only pre-training has (mask token and prediction heads) is taken too if both file and model have it. The patch
    kernel is used as it is, whatever the stride, and positions are fitted by `adapt_positions`. A file that SSAST's
    code fine-tuned does not tell which grid its positions belong to, so their number must be right already.
    """
    if not source.holds(RANKS):
        raise InputError(f"starting weights {source.path}: no SSAST encoder, though its card says so. Train it again.")
    own = model.state_dict()
    fitting = {name for name in own if name in source.state and source.state[name].shape == own[name].shape}
    absent = {name for name in own if name.startswith(PRETEXT)} - fitting
    taken = {name: value for name, value in own.items() if not (is_head(name) or name in absent)}
    if problems := _misfits(source, taken, model, net, state):
        refuse(source, problems)
    new = model.grid
    old = _grid(source) or new
    weights = {name: source[name].float() for name in taken}
    tokens, patches = weights["pos_embed"].split([_class_tokens(source), old[0] * old[1]], dim=1)  # [1, n, D] each
    table = adapt_positions(patches[0].T.unflatten(1, old), new)  # [D, f_dim, t_dim]
    weights["pos_embed"] = torch.cat([tokens, table.flatten(1).T[None]], dim=1)
    model.load_state_dict(own | weights)

    if source.n_mels not in (state.n_mels, None):
        log.warning(
            "%s saw %d mel bins, now there are %d: a row means other frequencies",
            source.path,
            source.n_mels,
            state.n_mels,
        )
    if source.sample_rate is None and state.sample_rate != PUBLISHED_RATE:
        log.warning(
            "%s does not tell its sample rate; if that is %d Hz, as SSAST's are, then at %d Hz a row means other "
            "frequencies",
            source.path,
            PUBLISHED_RATE,
            state.sample_rate,
        )
    return source.report(
        patch_kernel=f"kept, at stride {by(net.stride if isinstance(net, Ssast) else net.patch)}",
        positions_mel=describe_fit(old[0], new[0], "rows"),
        positions_time=describe_fit(old[1], new[1], "columns"),
        left_out=tuple(sorted(source.extras(EXTRAS[source.kind]) - weights.keys())),
        fresh=tuple(name for name in own if name not in weights),
    )


def _misfits(
    source: Source, taken: dict[str, Tensor], model: Encoder, net: SsastEncoder, state: FeatureState
) -> list[str]:
    size = SIZES[net.size]
    sizes = [
        SizeOf("embedding size", source.dim, size.dim),
        SizeOf("number of blocks", source.depth, size.depth, ("blocks.",)),
        SizeOf("number of class tokens", _class_tokens(source), size.class_tokens, ("dist_token",)),
    ]
    wanted = {name: None if name == "pos_embed" else list(value.shape) for name, value in taken.items()}
    problems = misfits(source, wanted, source.extras(EXTRAS[source.kind]), sizes, _patch(source), net, state)
    return problems + _position_misfits(source, model.grid)


def _position_misfits(source: Source, needed: tuple[int, int]) -> list[str]:
    rows, columns = _grid(source) or needed
    class_tokens = _class_tokens(source)
    expected = [1, class_tokens + rows * columns, source.dim]
    if (found := list(source["pos_embed"].shape)) == expected:
        return []
    tokens = f"{class_tokens} class tokens and {rows} x {columns} patches"
    if source.n_frames is not None:
        reason = f"that the file's own {source.n_mels} mel bins x {source.n_frames} frames give"
    else:
        reason = "of the model; a fine-tuned file does not tell its own grid, so its positions cannot be fitted"
    return [f"{source.key('pos_embed')}: the file has shape {found}, expected {expected} for the {tokens} {reason}"]


def _class_tokens(source: Source) -> int:
    """Number of class tokens, one of which may be for distillation."""
    return 1 + (source.key("dist_token") in source.state)


def _patch(source: Source) -> tuple[int, int]:
    """Mel bins and frames of a patch."""
    rows, columns = source["patch_embed.proj.weight"].shape[2:]
    return rows, columns


def _grid(source: Source) -> tuple[int, int] | None:
    """Patches along mel bins and along time; None if the file does not tell."""
    if source.n_frames is None or source.n_mels is None:
        return None
    patch = _patch(source)
    return grid(patch, source.stride or patch, (source.n_frames, source.n_mels))
