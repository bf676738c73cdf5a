"""The pretext models there are, by the network's `arch`. One more is a module beside this one and a line here."""

from collections.abc import Callable

import torch

from tymbal.config.pretrain import Pretraining
from tymbal.pretrain.pretext import PretextModel
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.pretrain.sslam import MaskedLatentModel

MODELS: dict[str, Callable[[Pretraining, int, torch.Generator], PretextModel]] = {
    "ssast": MaskedPatchModel,
    "sslam": MaskedLatentModel,
}


def build_pretext(settings: Pretraining, n_mels: int, generator: torch.Generator) -> PretextModel:
    """A model for pre-training with random weights, on the CPU.

    Args:
        settings: network and pretext task.
        n_mels: mel bins F of the input.
        generator: source of the weights; global random state is neither used nor changed.
    """
    return MODELS[settings.net.arch](settings, n_mels, generator)
