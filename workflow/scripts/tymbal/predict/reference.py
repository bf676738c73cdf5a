"""What a model was trained and chosen on, to hold a season against: its validation clips as it hears them.

Training clips would not do: a network knows them, and hears them as it hears no others.
"""

import dataclasses
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from tymbal.files import atomic


@dataclass(frozen=True)
class Reference:
    """The N validation clips of a model, and how frequent its classes were in training.

    Args:
        why: why there is no reference, in words; then N is 0. Empty if there is one.
        embeddings: [N, D] float16.
        scores: [N, C] float32.
        log_mel_mean: of each clip, [N].
        recording: of each clip, [N]; of recordings of one name at several sites, with the site.
        site: of each clip, [N]; empty where not known.
        prevalence: share of the training clips that are positive, [C]; NaN if there is no reference.
        n_train: training clips.
    """

    why: np.ndarray  # [] str
    embeddings: np.ndarray
    scores: np.ndarray
    log_mel_mean: np.ndarray
    recording: np.ndarray
    site: np.ndarray
    prevalence: np.ndarray
    n_train: np.ndarray  # [] int

    @classmethod
    def absent(cls, why: str, n_classes: int) -> Self:
        """That there is none, and why."""
        nothing = np.zeros((0, n_classes), np.float32)
        names = np.zeros(0, dtype=np.str_)
        prevalence = np.full(n_classes, np.nan)
        return cls(
            np.array(why), nothing.astype(np.float16), nothing, nothing[:, 0], names, names, prevalence, np.array(0)
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        with np.load(path) as file:
            return cls(**{field.name: file[field.name] for field in fields(cls)})

    def write(self, path: Path) -> None:
        """Write as NPZ."""
        arrays: dict[str, Any] = dataclasses.asdict(self)
        with atomic(path) as partial:
            np.savez_compressed(partial, allow_pickle=False, **arrays)
