"""What the golden tests of SSLAM share: weights filled by the original's names, as golden/sslam/README.md says."""

import numpy as np
import pytest
import torch
from torch import nn

from helpers import golden_inputs
from tymbal.models.sslam import SIZES

STUDENT, TEACHER, INPUT = 7, 1007, 3  # seeds: of weights (also of fine-tuned models), of the teacher's, of inputs

IMAGE = "modality_encoders.IMAGE."  # the original's name of its only branch, which hears
TO_ORIGINAL = {
    "cls_token": f"{IMAGE}extra_tokens",
    "patch_embed.": f"{IMAGE}local_encoder.",
    "norm.": f"{IMAGE}context_encoder.norm.",
    "decoder.": f"{IMAGE}decoder.",
    "blocks.": "blocks.",
    "head.0.": "fc_norm.",
    "head.1.": "head.",
}


def original_name(name: str) -> str:
    """What the original calls one of our parameters, in a checkpoint of pre-training."""
    start = next(start for start in TO_ORIGINAL if name.startswith(start))
    theirs = TO_ORIGINAL[start] + name.removeprefix(start)
    if name.startswith("decoder.blocks."):  # there each is the first of a sequence
        theirs, _, kind = theirs.rpartition(".")
        theirs = f"{theirs}.0.{kind}"
    return theirs


def value(key: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """The reference vectors' value of a parameter, by the original's name. The gains keep tokens distinct."""
    gain = 0.25 if key.endswith("attn.proj.weight") else 0.5 if key.endswith("mlp.fc2.weight") else 1.0
    return golden_inputs().fill(key, shape, seed) * np.float32(gain)


@torch.no_grad()
def fill(module: nn.Module, seed: int, prefix: str = "") -> None:
    """Give every parameter its reference value, but for those of `teacher`, which is filled by a call of its own.

    Args:
        module: with our names: encoder, classifier or pre-training model.
        seed: `STUDENT` or `TEACHER`.
        prefix: before the original's names of the encoder: `model.` in its fine-tuned layout.
    """
    for name, parameter in module.named_parameters():
        if name.startswith("teacher."):
            continue
        key = original_name(name)
        if not name.startswith("head."):
            key = prefix + key
        parameter.copy_(torch.from_numpy(value(key, tuple(parameter.shape), seed)))


def spectrogram(batch: int, n_frames: int, seed: int = INPUT, n_mels: int = 128) -> torch.Tensor:
    """Normalised log-mel [B, T, F] of the reference vectors."""
    return torch.from_numpy(golden_inputs().spectrogram(batch, n_frames, n_mels, seed))


def shorten(monkeypatch: pytest.MonkeyPatch, depth: int = 2) -> None:
    """From here on the size `base` has this many blocks, as in the smaller reference vectors."""
    monkeypatch.setitem(SIZES, "base", SIZES["base"]._replace(depth=depth))
