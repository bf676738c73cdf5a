"""A few test clips with their features, from the best to the worst predicted, for the report."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tymbal.evaluate.predictions import read_predictions
from tymbal.files import atomic

N_EXAMPLES = 6


def pick_examples(predictions: Path, frames: Callable[[str], np.ndarray], frame_shift_s: float, out: Path) -> None:
    """Keep six test clips with their features, evenly spread from the best to the worst predicted.

    Args:
        predictions: of one run.
        frames: features of a clip, [T, F] float16, such as `FeatureStore.frames`.
        frame_shift_s: time from frame to frame.
        out: NPZ to write: `fbank` [K, T, F] float16 (zeros after a clip's end), `n_frames` [K], `clip_id` [K],
            `score` [K, C], `label` [K, C], `classes` [C], `frame_shift_s`.
    """
    clips = read_predictions(predictions)
    p = np.clip(clips.scores.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -(clips.labels * np.log(p) + (1 - clips.labels) * np.log(1 - p)).mean(axis=1)  # [N]
    ranked = sorted(range(len(loss)), key=lambda i: (loss[i], clips.clip_ids[i]))
    chosen = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, N_EXAMPLES).round().astype(int))]

    fbank, n_frames = padded([frames(clips.clip_ids[i]) for i in chosen])
    with atomic(out) as partial:
        np.savez_compressed(
            partial,
            fbank=fbank,
            n_frames=n_frames,
            clip_id=np.array([clips.clip_ids[i] for i in chosen]),
            score=clips.scores[chosen],
            label=clips.labels[chosen],
            classes=np.array(clips.classes),
            frame_shift_s=np.float64(frame_shift_s),
        )


def padded(features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Features of K clips, each [T, F] float16, in one array.

    Returns:
        [K, T, F] float16 with zeros after a clip's end, and the number of frames of each, [K].
    """
    n_frames = np.array([len(x) for x in features], dtype=np.int64)
    together = np.zeros((len(features), n_frames.max(initial=0), features[0].shape[1] if features else 0), np.float16)
    for row, x in zip(together, features, strict=True):
        row[: len(x)] = x
    return together, n_frames
