"""From a model and clips to logits and scores."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tymbal.config.models import Loss
from tymbal.progress import Progress
from tymbal.train.data import Batch, ClipSet
from tymbal.train.distributed import summed


def mean_loss(logits: Tensor, y: Tensor, loss: Loss, smoothing: float = 0.0) -> Tensor:
    """Loss of a batch, from logits.

    Args:
        logits: [B, C].
        y: soft labels, [B, C]. For `ce` each row is a distribution (one class, or a mix of two by mixup).
        loss: `bce` averages over clips and classes, `ce` over clips.
        smoothing: of `ce`: share of each label that all classes get alike.
    """
    if loss == "bce":
        return F.binary_cross_entropy_with_logits(logits, y)
    return F.cross_entropy(logits, y, label_smoothing=smoothing)


def scores(logits: np.ndarray, loss: Loss) -> np.ndarray:
    """Probabilities in [0, 1] for logits [N, C]: sigmoid for `bce`, softmax for `ce`; float32."""
    values = torch.from_numpy(logits).double()
    probabilities = values.sigmoid() if loss == "bce" else values.softmax(dim=1)
    return probabilities.float().numpy()


@torch.inference_mode()
def predict(
    model: nn.Module, clips: ClipSet, batch_size: int, dtype: torch.dtype | None, what: str | None = None
) -> np.ndarray:
    """Logits of all clips in the order listed, [N, C] float32.

    Args:
        model: on the clips' device.
        clips: N clips.
        batch_size: clips at a time.
        dtype: of autocast, None for float32.
        what: name of the step in progress lines; None for a step within another that has them.
    """
    model.eval()
    progress = Progress(what, len(clips.clip_ids), "clips") if what else None

    def logits(batch: Batch) -> Tensor:
        with torch.autocast(clips.device.type, dtype=dtype, enabled=dtype is not None):
            made = model(batch.x, clips.heard(batch)).float().cpu()
        if progress:
            progress.add(batch.share.n)
        return made

    return of_all(clips, batch_size, logits).numpy()


def of_all(clips: ClipSet, batch_size: int, compute: Callable[[Batch], Tensor]) -> Tensor:
    """What a function makes of all clips in the order listed, [N, ...]; several processes share the work.

    Args:
        clips: N clips.
        batch_size: clips at a time.
        compute: makes [B, ...] of a batch of B clips.
    """
    wholes = []
    for batch in clips.in_order(batch_size):
        part = compute(batch)
        wholes.append(part.new_zeros(batch.share.n, *part.shape[1:]))
        if batch.share.counts:
            wholes[-1][batch.share.rows] = part
    return summed(torch.cat(wholes))  # of each row, all processes but one have zeros
