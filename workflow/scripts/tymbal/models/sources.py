"""Files that a training can start from: what they hold, and what they tell about the network they come from."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tymbal.config.models import Ssast
from tymbal.errors import InputError
from tymbal.files import read_json
from tymbal.models.card import ModelCard, read_model_card
from tymbal.models.encoder_card import EncoderCard, read_encoder_card
from tymbal.models.weights import read_weights

PRETRAINED = "SSAST pre-training checkpoint"
FINETUNED = "SSAST fine-tuned checkpoint"
OWN_ENCODER = "own pre-trained encoder"
OWN_MODEL = "own fine-tuned model"

PRETEXT = ("mask_embed", "cpredlayer.", "gpredlayer.")  # what only pre-training has, under the same names everywhere
# What files hold beside the encoder; every other key must be one of the encoder's.
EXTRAS = {
    PRETRAINED: ("v.head.", "v.head_dist.", "p_input_", *PRETEXT),
    FINETUNED: ("v.head.", "v.head_dist.", "mlp_head."),
    OWN_ENCODER: PRETEXT,
    OWN_MODEL: ("head.",),
}
RANKS = {"cls_token": 3, "pos_embed": 3, "patch_embed.proj.weight": 4}  # dimensions of what tells an encoder's shape


@dataclass(frozen=True)
class Source:
    """A file's tensors and what is known of the model they come from."""

    kind: str
    state: dict[str, Tensor]
    stride: tuple[int, int] | None = None  # mel bins and frames; None: patches did not overlap
    input_shape: tuple[int, int] | None = None  # mel bins and frames; None if the file does not tell
    sample_rate: int | None = None  # Hz; None if the file does not tell
    corpus: dict[str, Any] | None = None  # of a training by this workflow, as in corpus.json

    def key(self, name: str) -> str:
        """The key in the file of one of our parameters."""
        return name if self.kind in (OWN_ENCODER, OWN_MODEL) or name.startswith(PRETEXT) else f"v.{name}"

    def __getitem__(self, name: str) -> Tensor:
        """The tensor of one of our parameters."""
        return self.state[self.key(name)]

    @property
    def has_encoder(self) -> bool:
        """Whether it holds what the properties below look at."""
        return all(self.key(name) in self.state and self[name].ndim == rank for name, rank in RANKS.items())

    @property
    def extras(self) -> set[str]:
        """Keys in the file that are not of the encoder."""
        return {key for key in self.state if key.startswith(EXTRAS[self.kind])}

    @property
    def dim(self) -> int:
        """Embedding size D."""
        return self["cls_token"].shape[-1]

    @property
    def depth(self) -> int:
        """Number of blocks."""
        prefix = self.key("blocks.")
        return len({key.removeprefix(prefix).split(".")[0] for key in self.state if key.startswith(prefix)})

    @property
    def class_tokens(self) -> int:
        """Number of class tokens, one of which may be for distillation."""
        return 1 + (self.key("dist_token") in self.state)

    @property
    def patch(self) -> tuple[int, int]:
        """Mel bins and frames of a patch."""
        rows, columns = self["patch_embed.proj.weight"].shape[2:]
        return rows, columns

    @property
    def grid(self) -> tuple[int, int] | None:
        """Patches along mel bins and along time; None if the file does not tell."""
        if self.input_shape is None:
            return None
        sizes = zip(self.input_shape, self.patch, self.stride or self.patch, strict=True)
        rows, columns = ((size - side) // step + 1 for size, side, step in sizes)
        return rows, columns


def read_source(path: Path) -> Source:
    """Read a file of any kind: `.safetensors` is ours and has its card beside it, all else must be SSAST's.

    Raises:
        InputError: no such file, a damaged one, or one of another kind.
    """
    if not path.is_file():
        raise InputError(f"starting weights {path}: no such file. Correct the model's init, or set it to 'scratch'.")
    return _read_own(path) if path.suffix == ".safetensors" else _read_original(path)


def _read_own(path: Path) -> Source:
    state, card_path = read_weights(path), path.with_suffix(".json")
    content = read_json(card_path) if card_path.is_file() else None
    card: ModelCard | EncoderCard
    if isinstance(content, dict) and "classes" in content:
        card, net = read_model_card(card_path)
        if not isinstance(net, Ssast):
            raise InputError(f"starting weights {path}: a model of arch {net.arch!r}. Expected one of arch 'ssast'.")
        kind, n_frames, stride = OWN_MODEL, net.n_frames, net.stride
    else:
        card, encoder_net = read_encoder_card(card_path)
        kind, n_frames, stride = OWN_ENCODER, encoder_net.n_frames, encoder_net.patch
    source = Source(kind, state, stride, (card.n_mels, n_frames), card.frontend["sample_rate"], card.corpus)
    if not source.has_encoder:
        raise InputError(f"starting weights {path}: no SSAST encoder, though {card_path} says so. Train it again.")
    return source


def _read_original(path: Path) -> Source:
    content = _read_torch(path)
    bare = all(key.startswith("module.") for key in content)
    state = {key.removeprefix("module.") if bare else key: value for key, value in content.items()}
    source = Source(FINETUNED, state)
    if {"p_input_fdim", "p_input_tdim"} <= state.keys():
        input_shape = int(state["p_input_fdim"]), int(state["p_input_tdim"])
        source = Source(PRETRAINED, state, input_shape=input_shape)
    if source.has_encoder and (source.kind == PRETRAINED or "mlp_head.1.weight" in state):
        return source
    raise InputError(
        f"starting weights {path}: not an SSAST checkpoint. Expected {', '.join(map(source.key, RANKS))} with "
        "p_input_fdim and p_input_tdim (pre-training) or mlp_head.1.weight (fine-tuned); found "
        f"{len(state)} tensors, among them {', '.join(sorted(state)[:5])}. Use a checkpoint of the SSAST project, or "
        "init 'scratch'."
    )


def _read_torch(path: Path) -> dict[str, Tensor]:
    """A file of tensors by name, and of nothing else."""
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
    return content
