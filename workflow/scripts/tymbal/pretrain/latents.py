"""What a teacher's view of a clip is compared by: targets, losses, and how much predictions vary."""

import torch
import torch.nn.functional as F
from torch import Tensor

from tymbal.pretrain.block_masks import BlockMask

# The released code adds the utterance loss up over all masks of a batch. These are the masks of a published batch (on
# each GPU); with their number, the loss is the same at any batch size.
UTTERANCE_ROWS = 192
EPS = 1e-5  # added to variances


def targets(mlp_outputs: list[Tensor], sounding: Tensor | None) -> tuple[Tensor, Tensor]:
    """What is to be predicted of patches (data2vec 2.0, section 3).

    Args:
        mlp_outputs: of the teacher's blocks, without class tokens, [B, n, D] each.
        sounding: which patches hold no padding, [B, n]; None for all.

    Returns:
        The outputs, each normalised over the patches of the clip, averaged over the blocks, and normalised over
        components; and the same of the last block alone. [B, n, D] float32 each.
    """
    total = normal = torch.zeros_like(mlp_outputs[0], dtype=torch.float32)
    for made in mlp_outputs:
        centred = made.float() - mean_token(made.float(), sounding)
        normal = centred * (mean_token(centred.square(), sounding) + EPS).rsqrt()
        total = total + normal
    average = total / len(mlp_outputs)
    return F.layer_norm(average, average.shape[-1:], eps=EPS), F.layer_norm(normal, normal.shape[-1:], eps=EPS)


def utterance_loss(cls: Tensor, target: Tensor, mask: BlockMask) -> Tensor:
    """Class tokens [B, K, D] against the clips' targets [B, 1, D]: these clips' part of the mean over all masks."""
    return UTTERANCE_ROWS * _distance(cls.float() - target) / mask.n_masks


def frame_loss(predicted: Tensor, target: Tensor, mask: BlockMask) -> Tensor:
    """Predictions [B, K * H, D] against targets of all patches [B, n, D]: a part of the mean over hidden patches."""
    difference = predicted.float() - take(target, mask.hidden.flatten(1))
    if mask.scored is not None:
        difference = difference * mask.scored.flatten(1)[:, :, None]
    return _distance(difference) / mask.n_hidden


def _distance(difference: Tensor) -> Tensor:
    """Squares of all components, over sqrt(D)."""
    return difference.square().sum() / difference.shape[-1] ** 0.5


@torch.no_grad()
def prediction_std(predicted: Tensor, mask: BlockMask) -> Tensor:
    """Standard deviation of predictions between the hidden patches of a clip, at its first mask.

    Targets vary by about 1, as they are normalised over patches. Predictions vary by 0 as long as they are of the clip
    alone, whatever the place.

    Args:
        predicted: [B, K * H, D].
        mask: what is hidden.

    Returns:
        These clips' part of the mean over components and clips.
    """
    clones, n_hidden = mask.hidden.shape[1:]
    scored = None if mask.scored is None else mask.scored[:, 0]
    x = predicted[:, :n_hidden].float()
    return token_std(x, scored).mean(dim=(1, 2)).sum() / (mask.n_masks / clones)


def mean_token(x: Tensor, counted: Tensor | None) -> Tensor:
    """Mean over the tokens of each clip, or over those that are counted: [B, m, D] in, [B, 1, D] out."""
    if counted is None:
        return x.mean(dim=1, keepdim=True)
    n = counted.sum(dim=1)[:, None, None].clamp(min=1)
    return (x * counted[:, :, None]).sum(dim=1, keepdim=True) / n


def token_std(x: Tensor, counted: Tensor | None) -> Tensor:
    """Standard deviation over the tokens of each clip, or over those that are counted: [B, m, D] in, [B, 1, D] out."""
    return mean_token((x - mean_token(x, counted)).square(), counted).sqrt()


def take(x: Tensor, index: Tensor) -> Tensor:
    """Tokens of each row: [B, n, D] and [B, m] in, [B, m, D] out."""
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[-1]))
