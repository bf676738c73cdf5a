"""A few held-out clips of a corpus: what an encoder is shown of them, and what it fills in."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tymbal.config.pretrain import Pretraining
from tymbal.files import atomic
from tymbal.models.encoder_card import read_encoder_card
from tymbal.models.sources import load_start
from tymbal.pretrain.build import build_pretext
from tymbal.pretrain.corpus import joined_ids, read_corpus
from tymbal.pretrain.masks import fewest_frames
from tymbal.seeds import derive
from tymbal.store import FeatureStore

N_EXAMPLES = 5


@torch.inference_mode()
def pick_reconstructions(
    encoder: Path, clips: Path, store: FeatureStore, settings: Pretraining, seed: int, out: Path
) -> None:
    """Let an encoder fill in masked patches of a few held-out clips, evenly spread over their list.

    Args:
        encoder: weights, with their card beside them.
        clips: of the corpus, with their parts.
        store: of the corpus's data sets, joined.
        settings: of the pre-training.
        seed: of the pre-training.
        out: NPZ to write, log-mel: `fbank` [K, T, F] float16, `masked` [K, T, F] bool, `filled` [K, T, F] float16 (the
            clip with its masked patches replaced), all padded to T; `n_frames` [K], `clip_id` [K], `frame_shift_s`.
    """
    card, net = read_encoder_card(encoder.with_suffix(".json"))
    model = build_pretext(settings, card.n_mels, torch.Generator())
    load_start(encoder, model, net, store.state)
    model.eval()

    ids = joined_ids(read_corpus(clips), "val")
    places = store.where(ids)
    long_enough = np.flatnonzero(places.n_frames >= fewest_frames(net.patch, card.n_mels))
    assert len(long_enough), "pre-training refuses a corpus of such short clips"
    spread = np.linspace(0, len(long_enough) - 1, N_EXAMPLES).round().astype(int)
    chosen = long_enough[np.unique(spread)]
    x, n_frames = store.batch(places.at(chosen), net.n_frames, card.mean, card.std, 0.0)
    filled, masked = model.fill_in(x, n_frames, torch.Generator().manual_seed(derive(seed, "examples")))

    def log_mel(values: Tensor) -> np.ndarray:
        return (2 * card.std * values + card.mean).numpy().astype(np.float16)

    with atomic(out) as partial:
        np.savez_compressed(
            partial,
            fbank=log_mel(x),
            masked=masked.numpy(),
            filled=log_mel(filled),
            n_frames=n_frames.numpy(),
            clip_id=np.array([ids[i] for i in chosen]),
            frame_shift_s=np.float64(store.state.frame_shift_ms / 1000),
        )
