"""Starting weights, whatever network they are of: what a file holds, what keeps it out of a model, what is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from tymbal.config.models import Encoder as EncoderNet
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.spectrogram import FeatureState

OWN_ENCODER = "own pre-trained encoder"
OWN_MODEL = "own fine-tuned model"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # all become single precision


@dataclass(frozen=True)
class LoadReport:
    """What was taken from a file, and what was changed on the way."""

    kind: str
    path: str
    sha256: str
    n_mels: int | None  # of the training; None for SSAST's fine-tuned files, which do not tell
    n_frames: int | None  # None if the file does not tell
    patch_kernel: str
    positions_mel: str  # 'kept', 'cropped 8 -> 7 (rows 1..7)', 'interpolated 8 -> 12' or 'computed'
    positions_time: str
    left_out: tuple[str, ...]  # keys of the file
    fresh: tuple[str, ...]  # parameters of the model that are not from the file
    corpus: dict[str, Any] | None  # what our own weights were trained on, as in corpus.json


@dataclass(frozen=True)
class Source:
    """A file's tensors and what is known of the network they come from."""

    path: Path
    arch: str
    kind: str
    state: Mapping[str, Tensor]  # by the file's keys
    key: Callable[[str], str] = str  # the key in the file of one of our parameters
    stride: tuple[int, int] | None = None  # mel bins and frames; None: patches did not overlap
    n_mels: int | None = None  # None if the file does not tell; the same below
    n_frames: int | None = None
    sample_rate: int | None = None  # Hz
    corpus: dict[str, Any] | None = None  # of a training by this workflow, as in corpus.json
    beside: tuple[str, ...] = ()  # what else the file holds and nobody reads, such as an optimiser's state

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of one of our parameters."""
        return self.state[self.key(name)]

    def holds(self, ranks: Mapping[str, int]) -> bool:
        """Whether these parameters of ours are there, each with so many dimensions, none of which is empty."""
        there = all(self.key(name) in self.state for name in ranks)
        return there and all(self[name].ndim == rank and self[name].numel() for name, rank in ranks.items())

    def extras(self, prefixes: tuple[str, ...]) -> set[str]:
        """Keys in the file that start with one of these."""
        return {key for key in self.state if key.startswith(prefixes)}

    def report(self, **taken: Any) -> LoadReport:
        """What is told of this file, with what was taken from it and how."""
        return LoadReport(
            kind=self.kind,
            path=str(self.path),
            sha256=sha256(self.path),
            n_mels=self.n_mels,
            n_frames=self.n_frames,
            corpus=self.corpus,
            **taken,
        )

    @property
    def dim(self) -> int:
        """Embedding size D."""
        return self["cls_token"].shape[-1]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        prefix = self.key("blocks.")
        return len({key.removeprefix(prefix).split(".")[0] for key in self.state if key.startswith(prefix)})


class SizeOf(NamedTuple):
    """Something that `net.size` decides, in the file and in the model."""

    what: str
    found: int
    expected: int
    explains: tuple[str, ...] = ()  # prefixes of our parameters of which then some are missing, or too many


def misfits(
    source: Source,
    wanted: Mapping[str, list[int] | None],
    extras: set[str],
    sizes: Sequence[SizeOf],
    patch: tuple[int, int],
    net: EncoderNet,
    state: FeatureState,
) -> list[str]:
    """Everything that keeps a file's weights out of a model.

    Args:
        source: the file.
        wanted: shapes of the parameters that must be in it; None for one that is looked at elsewhere.
        extras: keys that may be in it beside those.
        sizes: the embedding size first, as most shapes follow from it.
        patch: the file's, mel bins and frames.
        net: what the model was built from.
        state: of the features it will see.
    """
    problems = []
    explained: tuple[str, ...] = ()
    for what, found, expected, explains in sizes:
        if found != expected:
            problems.append(f"{what}: the file has {found}, net.size {net.size!r} needs {expected}")
            explained += tuple(map(source.key, explains))
    if patch != net.patch:
        problems.append(f"patch (mel bins x frames): the file has {by(patch)}, net.patch is {by(net.patch)}")
    if source.sample_rate is not None:
        for what, had, now in (
            ("sample rate (Hz)", source.sample_rate, state.sample_rate),
            ("mel bins", source.n_mels, state.n_mels),
        ):
            if had != now:
                problems.append(f"{what}: the file was trained on features with {had}, the front end has {now}")

    shapes = {source.key(name): shape for name, shape in wanted.items()}
    missing = sorted(shapes.keys() - source.state.keys())
    unexpected = sorted(source.state.keys() - shapes.keys() - extras)
    problems += [f"{key}: missing in the file" for key in missing if not key.startswith(explained)]
    problems += [f"{key}: in the file, but not in the model" for key in unexpected if not key.startswith(explained)]
    alike = sizes[0].found == sizes[0].expected and patch == net.patch  # else most shapes differ, for the reasons given
    for key in sorted(shapes.keys() & source.state.keys()):
        needed, shape = shapes[key], list(source.state[key].shape)
        if reason := unusable(source.state[key]):
            problems.append(f"{key}: {reason}")
        elif alike and needed is not None and shape != needed:
            problems.append(f"{key}: the file has shape {shape}, the model {needed}")
    return problems


def unusable(value: Tensor) -> str | None:
    """Why a tensor of a file cannot be a parameter, whatever its shape; None if it can."""
    if value.layout != torch.strided:
        return "a sparse tensor, expected a dense one"
    if value.dtype not in FLOATS:
        return f"of type {str(value.dtype).removeprefix('torch.')}, expected floats of 16, 32 or 64 bits"
    if value.is_meta:
        return "without values (on torch's meta device)"
    stored = value[tuple(slice(1) if step == 0 else slice(None) for step in value.stride())]  # expanded: once
    if n_bad := int((~stored.float().isfinite()).sum()):
        return f"{n_bad} of {stored.numel()} values are NaN or infinite"
    return None


def refuse(source: Source, problems: Sequence[str]) -> NoReturn:
    """Tell all that keeps a file's weights out of a model.

    Raises:
        InputError: always.
    """
    remedy = "set net.size, net.patch and the front end as in the file's training, or init to another file or 'scratch'"
    raise InputError.listing(f"starting weights {source.path} ({source.kind})", problems, remedy)


def by(pair: tuple[int, int]) -> str:
    """Two numbers as people write a size, such as '16 x 16'."""
    return f"{pair[0]} x {pair[1]}"
