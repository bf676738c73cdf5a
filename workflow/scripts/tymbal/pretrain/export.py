"""Our pre-trained encoders as files of the original code (github.com/YuanGongND/ssast)."""

import logging
from pathlib import Path

import torch

from tymbal.config.pretrain import Pretraining
from tymbal.errors import InputError
from tymbal.files import atomic
from tymbal.models.encoder_card import read_encoder_card
from tymbal.models.sources import load_start
from tymbal.models.ssast import DEIT_CLASSES
from tymbal.models.ssast_start import PRETEXT
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.spectrogram import FeatureState

log = logging.getLogger(__name__)

PATCH_AREA = 256  # values of a patch; the original's prediction heads know no other number


def export_ssast(encoder: Path, settings: Pretraining, path: Path) -> None:
    """Write an encoder as the original's pre-training saves one, which its fine-tuning and `load_start` read.

    Its file has no place for normalisation and front end, which are logged; and it holds DeiT's two classifiers, which
    nothing uses: they are zero.

    Args:
        encoder: safetensors file of a pre-training of `net.arch: ssast`, its card beside it.
        settings: of the pre-training.
        path: `.pth` to write.

    Raises:
        InputError: the encoder's files are damaged or do not belong together, or its patches are not for the original.
    """
    card, net = read_encoder_card(encoder.with_suffix(".json"))
    if net.patch[0] * net.patch[1] != PATCH_AREA:
        raise InputError(
            f"{encoder}: patches of {net.patch[0]} x {net.patch[1]} values. SSAST's code reads only patches of "
            f"{PATCH_AREA} values, such as 16 x 16 and 128 x 2. Pre-train with such patches to export."
        )
    model = MaskedPatchModel(settings, card.n_mels, torch.Generator())
    start = load_start(encoder, model, net, FeatureState.from_json(card.frontend))
    if start.fresh:
        raise InputError.listing(
            f"{encoder} does not hold all of a pre-training",
            [f"{name}: missing in the file, or of another shape" for name in start.fresh],
            "run the pre-training's rule again",
        )
    state = {name if name.startswith(PRETEXT) else f"v.{name}": value for name, value in model.state_dict().items()}
    for name in ("head", "head_dist")[: model.class_tokens]:
        state |= {f"v.{name}.weight": torch.zeros(DEIT_CLASSES, model.cls_token.shape[-1])}
        state |= {f"v.{name}.bias": torch.zeros(DEIT_CLASSES)}
    state |= {"p_input_fdim": torch.tensor(card.n_mels), "p_input_tdim": torch.tensor(net.n_frames)}
    with atomic(path) as partial, partial.open("wb") as file:  # an open file, as a name would become part of the bytes
        torch.save({f"module.{key}": value for key, value in state.items()}, file)
    log.info("dataset_mean %r, dataset_std %r, %d Hz", card.mean, card.std, card.frontend["sample_rate"])
