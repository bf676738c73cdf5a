"""Starting weights: SSAST's published checkpoints and our own; everything that does not fit is told."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tymbal.config.models import Ssast, SsastEncoder
from tymbal.errors import InputError
from tymbal.fbank import FeatureState
from tymbal.files import sha256
from tymbal.models.classifier import is_head
from tymbal.models.positions import adapt_positions, describe_fit
from tymbal.models.sources import PRETEXT, Source, read_source
from tymbal.models.ssast import SIZES, Encoder

log = logging.getLogger(__name__)

PUBLISHED_RATE = 16000  # Hz: of all that SSAST's authors trained


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a file, and what was changed on the way."""

    kind: str
    path: str
    sha256: str
    n_mels: int | None  # of the training; None for SSAST's fine-tuned files, which do not tell
    n_frames: int | None
    patch_kernel: str
    positions_mel: str  # 'kept', 'cropped 8 -> 7 (rows 1..7)' or 'interpolated 8 -> 12'
    positions_time: str
    left_out: tuple[str, ...]  # keys of the file
    fresh: tuple[str, ...]  # parameters of the model that keep their random start
    corpus: dict[str, Any] | None  # what our own weights were trained on, as in corpus.json


def load_start(path: Path, model: Encoder, net: SsastEncoder, state: FeatureState) -> LoadReport:
    """Replace a model's encoder by the weights of a checkpoint; a classification head keeps its random start.

    What only pre-training has (mask token and prediction heads) is taken too if both file and model have it. The patch
    kernel is used as it is, whatever the stride, and positions are fitted by `adapt_positions`. A file that SSAST's
    code fine-tuned does not tell which grid its positions belong to, so their number must be right already.

    Args:
        path: SSAST's `.pth` (pre-trained or fine-tuned, keys with or without the prefix `module.`), or our own
            `.safetensors` (an encoder or a fine-tuned model) with its card beside it.
        model: for classification or for pre-training, changed in place.
        net: the settings `model` was built from.
        state: of the features it will see.

    Returns:
        What was loaded and how.

    Raises:
        InputError: no such file; damaged or of another kind; or weights that do not fit the model, with all misfits in
            one message.
    """
    source = read_source(path)
    own = model.state_dict()
    encoder = {name: value for name, value in own.items() if not (is_head(name) or name.startswith(PRETEXT))}
    if problems := _misfits(source, encoder, model, net, state):
        remedy = (
            "set net.size, net.patch and the front end as in the file's training, or init to another file or 'scratch'"
        )
        raise InputError.listing(f"starting weights {path} ({source.kind})", problems, remedy)
    new = model.grid
    old = source.grid or new
    weights = {name: source[name].float() for name in encoder}
    tokens, patches = weights["pos_embed"].split([source.class_tokens, old[0] * old[1]], dim=1)  # [1, n, D] each
    table = adapt_positions(patches[0].T.unflatten(1, old), new)  # [D, f_dim, t_dim]
    weights["pos_embed"] = torch.cat([tokens, table.flatten(1).T[None]], dim=1)
    for name in own:
        if name.startswith(PRETEXT) and name in source.state and source.state[name].shape == own[name].shape:
            weights[name] = source.state[name].float()
    model.load_state_dict(own | weights)

    n_mels, n_frames = source.input_shape or (None, None)
    if n_mels not in (state.n_mels, None):
        log.warning("%s saw %d mel bins, now there are %d: a row means other frequencies", path, n_mels, state.n_mels)
    if source.sample_rate is None and state.sample_rate != PUBLISHED_RATE:
        log.warning(
            "%s does not tell its sample rate; if that is %d Hz, as SSAST's are, then at %d Hz a row means other "
            "frequencies",
            path,
            PUBLISHED_RATE,
            state.sample_rate,
        )
    return LoadReport(
        kind=source.kind,
        path=str(path),
        sha256=sha256(path),
        n_mels=n_mels,
        n_frames=n_frames,
        patch_kernel=f"kept, at stride {_by(net.stride if isinstance(net, Ssast) else net.patch)}",
        positions_mel=describe_fit(old[0], new[0], "rows"),
        positions_time=describe_fit(old[1], new[1], "columns"),
        left_out=tuple(sorted(source.extras - weights.keys())),
        fresh=tuple(name for name in own if name not in weights),
        corpus=source.corpus,
    )


def _misfits(
    source: Source, encoder: dict[str, Tensor], model: Encoder, net: SsastEncoder, state: FeatureState
) -> list[str]:
    """Everything that keeps a file's weights out of a model."""
    size = SIZES[net.size]
    problems = []
    explained: tuple[str, ...] = ()  # keys that need no line of their own
    for what, found, expected, part in (
        ("embedding size", source.dim, size.dim, None),
        ("number of blocks", source.depth, size.depth, "blocks."),
        ("number of class tokens", source.class_tokens, size.class_tokens, "dist_token"),
    ):
        if found != expected:
            problems.append(f"{what}: the file has {found}, net.size {net.size!r} needs {expected}")
            explained += (source.key(part),) if part else ()
    if source.patch != net.patch:
        problems.append(f"patch (mel bins x frames): the file has {_by(source.patch)}, net.patch is {_by(net.patch)}")
    if source.sample_rate is not None and source.input_shape is not None:
        for what, found, now in (
            ("sample rate (Hz)", source.sample_rate, state.sample_rate),
            ("mel bins", source.input_shape[0], state.n_mels),
        ):
            if found != now:
                problems.append(f"{what}: the file was trained on features with {found}, the front end has {now}")

    wanted = {source.key(name): list(value.shape) for name, value in encoder.items()}
    missing = sorted(wanted.keys() - source.state.keys())
    unexpected = sorted(source.state.keys() - wanted.keys() - source.extras)
    problems += [f"{key}: missing in the file" for key in missing if not key.startswith(explained)]
    problems += [f"{key}: in the file, but not in the model" for key in unexpected if not key.startswith(explained)]
    if (source.dim, source.patch) == (size.dim, net.patch):  # else most shapes differ, for the reasons given
        for key in sorted(wanted.keys() & source.state.keys() - {source.key("pos_embed")}):
            if (shape := list(source.state[key].shape)) != wanted[key]:
                problems.append(f"{key}: the file has shape {shape}, the model {wanted[key]}")
    return problems + _position_misfits(source, model.grid)


def _position_misfits(source: Source, needed: tuple[int, int]) -> list[str]:
    rows, columns = source.grid or needed
    expected = [1, source.class_tokens + rows * columns, source.dim]
    if (found := list(source["pos_embed"].shape)) == expected:
        return []
    tokens = f"{source.class_tokens} class tokens and {rows} x {columns} patches"
    if source.input_shape:
        mels, frames = source.input_shape
        reason = f"that the file's own {mels} mel bins x {frames} frames give"
    else:
        reason = "of the model; a fine-tuned file does not tell its own grid, so its positions cannot be fitted"
    return [f"{source.key('pos_embed')}: the file has shape {found}, expected {expected} for the {tokens} {reason}"]


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]} x {pair[1]}"
