"""A few held-out clips of a corpus: what an encoder is shown of them, and what it fills in."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tymbal.config.pretrain import Pretext
from tymbal.files import atomic
from tymbal.models.checkpoints import load_start
from tymbal.models.encoder_card import read_encoder_card
from tymbal.pretrain.corpus import joined_ids, read_corpus
from tymbal.pretrain.masks import Mask, draw
from tymbal.pretrain.ssast import MaskedPatchModel
from tymbal.seeds import derive
from tymbal.store import FeatureStore

N_EXAMPLES = 5


@torch.inference_mode()
def pick_reconstructions(
    encoder: Path, clips: Path, store: FeatureStore, pretext: Pretext, seed: int, out: Path
) -> None:
    """Let an encoder fill in the masked patches of a few held-out clips, evenly spread over their list.

    Args:
        encoder: weights, with their card beside them.
        clips: of the corpus, with their parts.
        store: of the corpus's data sets, joined.
        pretext: how clips are masked, and which head was trained.
        seed: of the pre-training.
        out: NPZ to write, log-mel: `fbank` [K, T, F] float16, `masked` [K, T, F] bool, `filled` [K, T, F] float16 (the
            clip with its masked patches replaced), all padded to T; `n_frames` [K], `clip_id` [K], `frame_shift_s`.
    """
    card, net = read_encoder_card(encoder.with_suffix(".json"))
    model = MaskedPatchModel(net, card.n_mels, torch.Generator())
    load_start(encoder, model, net, store.state)
    model.eval()

    ids = joined_ids(read_corpus(clips), "val")
    long_enough = np.flatnonzero(store.where(ids).n_frames // net.patch[1] * model.grid[0] > 1)
    assert len(long_enough), "pre-training refuses a corpus of such short clips"
    spread = np.linspace(0, len(long_enough) - 1, N_EXAMPLES).round().astype(int)
    chosen = [ids[long_enough[i]] for i in np.unique(spread)]

    x, n_frames = store.batch(chosen, net.n_frames, card.mean, card.std, 0.0)
    valid = n_frames // net.patch[1]
    generator = torch.Generator().manual_seed(derive(seed, "examples"))
    mask = draw(pretext.masking, model.grid, model.grid[1], valid, len(x), generator)
    patches = model.patches(x)
    replaced, hidden = patches.clone(), torch.zeros_like(patches, dtype=torch.bool)
    assert mask.scored is not None
    clip, place = mask.scored.nonzero(as_tuple=True)
    index = mask.index[clip, place]
    replaced[clip, index] = _fill_in(model, x, mask, valid, patches, pretext)[clip, place]
    hidden[clip, index] = True

    def log_mel(values: Tensor) -> np.ndarray:
        return (2 * card.std * values + card.mean).numpy().astype(np.float16)

    with atomic(out) as partial:
        np.savez_compressed(
            partial,
            fbank=log_mel(x),
            masked=_unpatch(hidden, torch.zeros_like(x, dtype=torch.bool), model).numpy(),
            filled=log_mel(_unpatch(replaced, x, model)),
            n_frames=n_frames.numpy(),
            clip_id=np.array(chosen),
            frame_shift_s=np.float64(store.state.frame_shift_ms / 1000),
        )


def _fill_in(
    model: MaskedPatchModel, x: Tensor, mask: Mask, valid: Tensor, patches: Tensor, pretext: Pretext
) -> Tensor:
    """What stands in each masked place, [K, M, A].

    That is the reconstruction; or, where no head was trained to reconstruct, the masked patch of the clip that the
    discriminative head takes for the one hidden there.
    """
    z = model(x, mask, valid)
    if pretext.objective != "discriminative":
        return model.gpredlayer(z)
    area = patches.shape[-1]
    targets = patches.gather(1, mask.index[:, :, None].expand(-1, -1, area))
    scores = targets @ model.cpredlayer(z).transpose(1, 2)  # [K, targets, places]
    if mask.scored is not None:
        scores = scores.masked_fill(~mask.scored[:, :, None], -torch.inf)
    return targets.gather(1, scores.argmax(dim=1)[:, :, None].expand(-1, -1, area))


def _unpatch(patches: Tensor, x: Tensor, model: MaskedPatchModel) -> Tensor:
    """Spectrograms [K, T, F] with their patches [K, n, A] replaced: `MaskedPatchModel.patches` the other way."""
    (f_dim, t_dim), (rows, columns) = model.grid, model.patch
    values = patches.unflatten(2, (rows, columns)).unflatten(1, (f_dim, t_dim))  # [K, f_dim, t_dim, rows, columns]
    out = x.clone()
    out[:, : t_dim * columns, : f_dim * rows] = values.permute(0, 2, 4, 1, 3).flatten(3).flatten(1, 2)
    return out
