"""Starting weights of EAT and SSLAM: the released checkpoints, which have one layout, and our own files.

Positions are computed, for whatever grid; those of a file are compared with what they should be, and not loaded.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from tymbal.config.models import SslamEncoder
from tymbal.errors import InputError
from tymbal.models.checkpoints import LoadReport, SizeOf, Source, by, misfits, refuse, unusable
from tymbal.models.classifier import is_head
from tymbal.models.encoder import Encoder
from tymbal.models.sslam import sincos_positions
from tymbal.spectrogram import FeatureState

PRETRAINED = "EAT or SSLAM pre-training checkpoint"
FINETUNED = "EAT or SSLAM fine-tuned checkpoint"
RELEASED_MELS, RELEASED_RATE = 128, 16000  # the released code knows no other mel bins and Hz

PRETEXT = ("decoder.", "teacher.")  # what only pre-training has
RANKS = {"cls_token": 3, "patch_embed.proj.weight": 4}  # dimensions of what tells an encoder's shape
POSITIONS = "fixed_positional_encoder.positions"
MOST_POSITIONS = 6144  # as many as the released files have
POSITION_ERROR = 0.01  # the table may have been rounded to half precision


class Layout(NamedTuple):
    """How one kind of released file calls an encoder's parameters."""

    blocks: str  # prefix of the blocks' keys
    others: str  # prefix of the other keys
    norm: str  # the norm before the first block


IMAGE = "modality_encoders.IMAGE."  # left of data2vec, whose images are spectrograms here
LAYOUTS = (
    Layout("", IMAGE, "context_encoder.norm."),  # fairseq, pre-training
    Layout("model.", f"model.{IMAGE}", "context_encoder.norm."),  # fairseq, fine-tuned
    Layout("model.", "model.", "pre_norm."),  # Hugging Face
)


def _key(layout: Layout, name: str) -> str:
    """The key in a released file of one of our parameters, or of what several begin with."""
    if name.startswith("teacher."):
        rest = name.removeprefix("teacher.")
        return f"_ema.{_key(layout, rest) if rest else ''}"
    if name.startswith("blocks."):
        return layout.blocks + name
    for ours, theirs in (("cls_token", "extra_tokens"), ("patch_embed.", "local_encoder."), ("norm.", layout.norm)):
        if name.startswith(ours):
            return layout.others + theirs + name.removeprefix(ours)
    return layout.others + re.sub(r"^(decoder\.blocks\.\d+)", r"\1.0", name)


def original(path: Path, content: dict[str, Any]) -> Source | None:
    """A file of EAT's or SSLAM's code, or of their authors on Hugging Face; None if it is not one.

    Args:
        path: of the file.
        content: what it holds.

    Raises:
        InputError: something beside tensors is among the weights.
    """
    weights = content["model"] if isinstance(content.get("model"), dict) else content
    flat = dict(weights)
    if isinstance(flat.get("_ema"), dict):
        flat |= {f"_ema.{key}" if isinstance(key, str) else key: value for key, value in flat.pop("_ema").items()}
    for layout in LAYOUTS:
        if _key(layout, "cls_token") not in flat:
            continue
        others = {
            k: v for k, v in flat.items() if not (isinstance(k, str) and isinstance(v, Tensor) and not v.is_nested)
        }
        if others:
            problems = [f"{key!r}: {_told(value)}" for key, value in others.items()]
            remedy = "compare the file with its source's, and get it again"
            raise InputError.listing(f"starting weights {path}: not only tensors by name", problems, remedy)
        finetuned = any(key.removeprefix("model.").startswith("head.") for key in flat)
        source = Source(
            path,
            "sslam",
            FINETUNED if finetuned else PRETRAINED,
            flat,
            partial(_key, layout),
            n_mels=RELEASED_MELS,
            sample_rate=RELEASED_RATE,
            beside=tuple(sorted(content.keys() - {"model"})) if weights is not content else (),
        )
        return source if source.holds(RANKS) else None
    return None


def _told(value: Any) -> str:
    """What there is in place of a tensor that has a name."""
    if isinstance(value, Tensor):
        return "a nested tensor" if value.is_nested else "its name is no text"
    return f"of type {type(value).__name__}"


def load(source: Source, model: Encoder, net: SslamEncoder, state: FeatureState) -> LoadReport:
    """Put a file's weights into a model, as `sources.load_start` has it.

    A model for pre-training gets the file's decoder and teacher too. Where the file has no decoder, it keeps its random
    start; where there is no teacher, it becomes a copy of the student, as at the start of a pre-training. Of what is
    left out, large parts have one entry.
    """
    if not source.holds(RANKS):
        raise InputError(f"starting weights {source.path}: no SSLAM encoder, though its card says so. Train it again.")
    own = model.state_dict()
    parts = {part: [name for name in own if name.startswith(part)] for part in PRETEXT}
    absent = [part for part in PRETEXT if not any(source.key(name) in source.state for name in parts[part])]
    wanted = [name for name in own if not name.startswith(("head.", *absent))]
    unused = {source.key(part): source.extras((source.key(part),)) for part in absent}
    heads = source.extras(("head.", "fc_norm.", "model.head.", "model.fc_norm."))
    positions = {key for key in source.state if key.endswith(POSITIONS)}
    extras = positions.union(heads, *unused.values())
    if problems := _misfits(source, {name: list(own[name].shape) for name in wanted}, extras, model, net, state):
        refuse(source, problems)
    weights = {name: source[name].float() for name in wanted}
    if "teacher." in absent:
        weights |= {name: weights[name.removeprefix("teacher.")] for name in parts["teacher."]}
    model.load_state_dict(own | weights)

    of_parts = [f"{part}* ({len(keys)} tensors)" for part, keys in unused.items() if keys]
    told = {"decoder.": "decoder.*", "teacher.": "teacher.* (a copy of the student)"}
    return source.report(
        patch_kernel=f"kept, at stride {by(net.patch)}",
        positions_mel="computed",
        positions_time="computed",
        left_out=tuple(sorted([*of_parts, *heads, *positions.difference(*unused.values()), *source.beside])),
        fresh=(*filter(is_head, own), *(told[part] for part in absent if parts[part])),
    )


def _misfits(
    source: Source,
    wanted: dict[str, list[int] | None],
    extras: set[str],
    model: Encoder,
    net: SslamEncoder,
    state: FeatureState,
) -> list[str]:
    columns, rows = source["patch_embed.proj.weight"].shape[2:]
    dim = wanted["cls_token"]
    assert dim is not None
    sizes = [
        SizeOf("embedding size", source.dim, dim[-1]),
        SizeOf("number of blocks", source.depth, len(model.blocks), ("blocks.", *PRETEXT)),
    ]
    problems = misfits(source, wanted, extras, sizes, (rows, columns), net, state)
    if (source.dim, (rows, columns), source.n_mels) == (dim[-1], net.patch, state.n_mels):
        problems += _position_misfits(source, rows)
    return problems


def _position_misfits(source: Source, rows: int) -> Iterator[str]:
    """What is wrong with the positions in a file whose patches have so many mel bins."""
    assert source.n_mels is not None
    f_dim = source.n_mels // rows
    for key, table in source.state.items():
        if not key.endswith(POSITIONS):
            continue
        shape = list(table.shape)
        n = shape[1] if len(shape) == 3 else 0
        if shape != [1, n, source.dim] or n % f_dim or not 0 < n <= MOST_POSITIONS:
            expected = f"[1, a multiple of {f_dim} up to {MOST_POSITIONS}, {source.dim}]"
            yield f"{key}: the file has shape {shape}, expected {expected}"
            continue
        if reason := unusable(table):
            yield f"{key}: {reason}"
            continue
        error = (table[0].float() - sincos_positions(source.dim, (f_dim, n // f_dim))).abs().max()
        if not error <= POSITION_ERROR:
            yield f"{key}: up to {error:.2g} off the fixed sines and cosines; positions of another kind are not known"
