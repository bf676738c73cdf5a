"""Files that a training can start from, of any kind, and how their weights get into a model."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from tymbal.config.models import Encoder as EncoderNet
from tymbal.config.models import Ssast
from tymbal.errors import InputError
from tymbal.files import read_json
from tymbal.models import ssast_start, sslam_start
from tymbal.models.card import ModelCard, read_model_card
from tymbal.models.cards import MISSING
from tymbal.models.checkpoints import OWN_ENCODER, OWN_MODEL, LoadReport, Source
from tymbal.models.encoder import Encoder
from tymbal.models.encoder_card import EncoderCard, read_encoder_card
from tymbal.models.weights import read_weights
from tymbal.spectrogram import FeatureState

ORIGINALS = (ssast_start.original, sslam_start.original)  # each knows the files of a method's authors
# By arch: puts a file's weights into an encoder, of (source, model, net, state). The others start from scratch.
LOADERS: dict[str, Callable[..., LoadReport]] = {
    "ssast": ssast_start.load,
    "sslam": sslam_start.load,
}


class Unread:
    """Stands for a number of numpy in a file, such as fairseq's best score: nothing of numpy's is called for it."""

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


# What a file may call for beside what torch allows; whatever its arguments, it gets an `Unread`.
ALLOWED = ("numpy.dtype", "numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


def load_start(path: Path, model: Encoder, net: EncoderNet, state: FeatureState) -> LoadReport:
    """Replace a model's encoder by the weights of a checkpoint; a classification head keeps its random start.

    Args:
        path: a file of the method's authors, or our own `.safetensors` (an encoder or a fine-tuned model) with its card
            beside it.
        model: for classification or for pre-training, changed in place.
        net: the settings `model` was built from.
        state: of the features it will see.

    Returns:
        What was loaded and how.

    Raises:
        InputError: no such file; damaged or of another kind; or weights that do not fit the model, with all misfits in
            one message.
    """
    assert net.arch in LOADERS, f"networks of arch {net.arch!r} start from scratch"
    source = read_source(path)
    if source.arch != net.arch:
        raise InputError(
            f"starting weights {path} ({source.kind}): a network of arch {source.arch!r}, but net.arch is "
            f"{net.arch!r}. Set init to weights of a {net.arch} network or to 'scratch', or choose the file's arch."
        )
    return LOADERS[net.arch](source, model, net, state)


def read_source(path: Path) -> Source:
    """Read a file of any kind: `.safetensors` with a card beside it is ours, all else must be of a method's authors.

    Raises:
        InputError: no such file, a damaged one, or one of another kind.
    """
    if not path.is_file():
        raise InputError(f"starting weights {path}: no such file. Correct the model's init, or set it to 'scratch'.")
    card_path = path.with_suffix(".json")
    safe = path.suffix == ".safetensors"
    if safe and card_path.is_file():
        return _own(path, card_path)
    content = dict(read_weights(path)) if safe else _read_torch(path)
    for original in ORIGINALS:
        if (source := original(path, content)) is not None:
            return source
    if safe:
        raise InputError(MISSING.format(card_path))
    raise InputError(
        f"starting weights {path}: not a checkpoint of SSAST, EAT or SSLAM. Expected SSAST's v.cls_token, v.pos_embed "
        "and v.patch_embed.proj.weight, with p_input_fdim and p_input_tdim (pre-training) or mlp_head.1.weight "
        "(fine-tuned), or the extra_tokens and local_encoder.proj.weight of EAT and SSLAM; found "
        f"{len(content)} entries, among them {', '.join(sorted(content)[:5])}. Use a checkpoint of these "
        "projects, or init 'scratch'."
    )


def _own(path: Path, card_path: Path) -> Source:
    content = read_json(card_path)
    stride = None
    card: ModelCard | EncoderCard
    if isinstance(content, dict) and "classes" in content:
        card, net = read_model_card(card_path)
        kind, n_frames, arch = OWN_MODEL, net.n_frames, net.arch
        stride = net.stride if isinstance(net, Ssast) else None
    else:
        card, encoder = read_encoder_card(card_path)
        kind, n_frames, arch = OWN_ENCODER, encoder.n_frames, encoder.arch
    return Source(
        path,
        arch,
        kind,
        read_weights(path),
        stride=stride,
        n_mels=card.n_mels,
        n_frames=n_frames,
        sample_rate=card.frontend["sample_rate"],
        corpus=card.corpus,
    )


@contextmanager
def _allowed_alone() -> Iterator[None]:
    """Torch's list of what a file may call for is of the whole process: others may have put numpy's own there."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    try:
        with torch.serialization.safe_globals([(Unread, name) for name in ALLOWED]):
            yield
    finally:
        torch.serialization.add_safe_globals(before)


def _read_torch(path: Path) -> dict[str, Any]:
    """A file of tensors, numbers, texts, lists and mappings."""
    try:
        with _allowed_alone():
            content = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # of any type, as the bytes of a file that is not torch's can mean anything
        if refused := re.search(r"GLOBAL (\S+)", str(error)):
            raise InputError(
                f"starting weights {path}: the file holds more than tensors ({refused[1]}). Such files can run "
                "arbitrary code when opened and are refused. Save its state dict alone, as tensors, and use that."
            ) from error
        raise InputError(
            f"starting weights {path}: not a PyTorch file, or a damaged one, or written in another pickle protocol "
            f"than 2 ({type(error).__name__}). Compare its size with the source's and get it again, or save it again "
            "with torch.save's default."
        ) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(
            f"starting weights {path}: found a {type(content).__name__}, expected a state dict, that is tensors by "
            "name. Save the model's state dict alone and use that."
        )
    return content
