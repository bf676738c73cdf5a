"""A trained model as it is put to work: waveforms in, scores and embeddings out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from tymbal.config.models import Frontend
from tymbal.config.predict import Predict
from tymbal.errors import InputError
from tymbal.fbank import BACKENDS
from tymbal.inference import scores
from tymbal.models.build import load_model
from tymbal.models.card import ModelCard
from tymbal.models.classifier import Classifier
from tymbal.predict.windows import Windows
from tymbal.runs import CARD, WEIGHTS
from tymbal.seasons import predictor_name
from tymbal.spectrogram import FRAME_SHIFT_MS, FeatureState, n_frames, state_differences
from tymbal.train.data import LOSS_ALLOWED


class Predicted(NamedTuple):
    """What a model makes of B windows."""

    scores: np.ndarray  # [B, C] float32, probabilities
    embeddings: np.ndarray  # [B, D] float16, what the model's head is given
    log_mel: np.ndarray  # [B, 3] float64: number of log-mel values, their sum, the sum of their squares


@dataclass(frozen=True)
class Predictor:
    """A model with its front end, normalisation and classes."""

    name: str  # such as soundscapes-ssast-tiny-fold1-seed0
    model: Classifier  # on the device
    card: ModelCard
    frontend: Frontend
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load the model of a run.

        Args:
            folder: with `model.safetensors` and `model.json`.
            device: where to compute; always in float32.

        Raises:
            InputError: files are missing or damaged, the model was trained on features made elsewhere, or on those of
                a front end that this version does not compute; every difference is told.
        """
        card_path = folder / CARD
        model, card = load_model(folder / WEIGHTS, card_path)
        told = card.frontend
        if told["backend"] not in BACKENDS:
            raise InputError(
                f"{card_path}: the model was trained on {told['backend']} features. How these are computed from audio "
                "is not known, so it cannot predict recordings. Train it on features that Tymbal computes."
            )
        frontend = Frontend(backend=told["backend"], sample_rate=told["sample_rate"], n_mels=told["n_mels"])
        if different := state_differences(FeatureState.of(frontend).to_json(), told):
            remedy = "predict with the version of Tymbal that trained the model, or train it again"
            raise InputError.listing(f"{card_path}: features that this version does not compute", different, remedy)
        return cls(predictor_name(folder), model.to(device), card, frontend, device)

    @property
    def classes(self) -> tuple[str, ...]:
        """C names, in the order of the scores."""
        return self.card.classes

    @property
    def n_frames(self) -> int:
        """How much of a window the model sees; frames."""
        return self.model.input_shape[0]

    def windows(self, settings: Predict) -> Windows:
        """How recordings are to be cut.

        Raises:
            InputError: windows are so long that the model would not see their ends.
        """
        # A frame is longer than its distance from the next, and resampling may cost a sample.
        seen_s = (self.n_frames + 2) * FRAME_SHIFT_MS / 1000
        length_s = seen_s if settings.length_s is None else settings.length_s
        rate = self.frontend.sample_rate
        found = n_frames(round(length_s * rate), rate)
        if not found:
            raise InputError(f"predict.length_s: {length_s:g} s is shorter than one frame; leave it out for {seen_s:g}")
        if self.n_frames < (1 - LOSS_ALLOWED) * found:
            raise InputError(
                f"predict.length_s: {length_s:g} s has {found} frames, of which the model sees {self.n_frames}, so "
                f"more than {LOSS_ALLOWED:.0%} of every window would be lost. Leave it out for {seen_s:g} s."
            )
        return Windows(length_s, settings.overlap)

    @torch.inference_mode()
    def __call__(self, waveforms: Sequence[np.ndarray]) -> Predicted:
        """Predict windows.

        Args:
            waveforms: B of a frame or more, each [N] float32 at the front end's rate, full scale 1.
        """
        x, n_frames, log_mel = self.prepare(waveforms)
        logits, embeddings = self.model.with_embeddings(x, n_frames)
        return Predicted(scores(logits.cpu().numpy(), self.card.loss), embeddings.half().cpu().numpy(), log_mel)

    def prepare(self, waveforms: Sequence[np.ndarray]) -> tuple[Tensor, Tensor | None, np.ndarray]:
        """What the model is given of B waveforms, [B, T, F] and, if it ignores padding, true frames [B]; `log_mel`.

        It is what it sees of clips from a feature store: kept as float16 in between, cut or padded to its length.
        """
        compute, scale = BACKENDS[self.frontend.backend], self.card.scale
        offset = torch.tensor(-scale.mean / (2 * scale.std), device=self.device)
        x = torch.full((len(waveforms), self.n_frames, self.frontend.n_mels), scale.pad, device=self.device)
        sums, kept = np.empty((len(waveforms), 3)), torch.empty(len(waveforms), dtype=torch.int64)
        for i, waveform in enumerate(waveforms):  # one by one: what a window's features need stays in the cache
            sound = torch.from_numpy(waveform).to(self.device)
            frames = compute(sound, self.frontend.sample_rate, self.frontend.n_mels).half().float()
            values = frames.flatten().double()
            sums[i] = len(values), values.sum().item(), (values @ values).item()
            seen = frames[: self.n_frames]
            kept[i] = len(seen)
            torch.add(offset, seen, alpha=1 / (2 * scale.std), out=x[i, : len(seen)])
        if not scale.ignored:
            return x, None, sums
        return x[:, : int(kept.max())], kept.to(self.device), sums
