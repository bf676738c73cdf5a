"""Held-out recordings: how well the pretext task goes on them, and whether the encoder still tells sounds apart."""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tymbal.config.pretrain import LatentPretext, Pretraining
from tymbal.errors import InputError
from tymbal.inference import of_all
from tymbal.pretrain.latents import mean_token, token_std
from tymbal.pretrain.pretext import PretextModel
from tymbal.seeds import derive
from tymbal.train.data import Batch, ClipSet
from tymbal.train.distributed import summed

log = logging.getLogger(__name__)

MOST_CLIPS = 4096  # of a data set that a check looks at: enough to choose by, however large the corpus
SPREAD_CLIPS = 256  # of a data set that the spreads are measured on
COLLAPSED = 0.01  # of a spread before training
NEARLY = 0.1  # likewise: what is warned of


class Part(NamedTuple):
    """Held-out clips of one data set."""

    clips: ClipSet
    weight: float  # how many of its clips an epoch of training takes


class Spread(NamedTuple):
    """How much the encoder's tokens differ: standard deviations, averaged over components."""

    clips: float  # of the mean token, between clips
    patches: float  # of the tokens of a clip, between its patches


class Check:
    """The check that ends each round: the same clips and the same masks every time.

    Args:
        parts: held-out clips of each data set; means over data sets are weighted as training is.
        settings: of the pre-training.
        seed: of the run.
        dtype: of autocast, None for float32.
        model: before training, with which later spreads are compared.
    """

    def __init__(
        self, parts: list[Part], settings: Pretraining, seed: int, dtype: torch.dtype | None, model: PretextModel
    ) -> None:
        self.parts, self.settings, self.seed, self.dtype = parts, settings, seed, dtype
        self.spread_before = self._spread(model)
        log.info("before training, %s", self.spread_before)
        if self.spread_before.clips == 0:
            log.warning("the held-out clips do not differ, so that a collapse of the encoder cannot be noticed")

    def __call__(self, model: PretextModel) -> dict[str, Any]:
        """Columns for the history.

        Raises:
            InputError: the encoder gives all clips, or all patches of a clip, nearly the same answer.
        """
        spread = self._spread(model)
        for what, now, before in zip(Spread._fields, spread, self.spread_before, strict=True):
            told = (
                f"its output differs between {what} by {now:.2g} (standard deviation), by {before:.2g} at first. "
                + self._remedy(what)
            )
            if now < COLLAPSED * before:
                raise InputError(f"the encoder has collapsed: {told}")
            if now < NEARLY * before:
                log.warning("the encoder may be about to collapse: %s", told)
        return {**self._losses(model), "val_spread": spread.clips, "val_spread_patches": spread.patches}

    def _remedy(self, what: str) -> str:
        settings = self.settings
        common = f"Lower train.optimizer.lr (now {settings.train.optimizer.lr:g}) or lengthen the warm-up"
        if what == "patches" and isinstance(settings.pretext, LatentPretext):
            # What draws all patches of a clip to the same point.
            return f"Give the global objectives less weight in pretext.weights; 0.005 suits small trainings. {common}."
        return f"{common}."

    @torch.inference_mode()
    def _losses(self, model: PretextModel) -> dict[str, float]:
        model.eval()
        means: dict[str, Tensor] = {}  # on the device, so that nothing waits for it before the end
        whole = sum(part.weight for part in self.parts)
        for i, (clips, weight) in enumerate(self.parts):
            generator = torch.Generator(clips.device).manual_seed(derive(self.seed, "val mask", i))
            size = self.settings.train.batch_size
            batches = to_mix(clips, size, derive(self.seed, "val order", i)) if model.whole else clips.in_order(size)
            for batch in batches:
                n_frames = None if batch.full else batch.n_frames
                with torch.autocast(clips.device.type, dtype=self.dtype, enabled=self.dtype is not None):
                    losses = model.losses(batch.x, n_frames, generator, batch.share)
                share = weight / whole * batch.share.n / len(clips.clip_ids) if batch.share.counts else 0.0
                for name, value in losses.items():
                    means[f"val_{name}"] = means.get(f"val_{name}", 0.0) + share * value.double()
        return {name: summed(part).item() for name, part in means.items()}

    @torch.inference_mode()
    def _spread(self, model: PretextModel) -> Spread:
        model.eval()

        def moments(batch: Batch) -> Tensor:
            tokens, sounding = model.tokens(batch.x, None if batch.full else batch.n_frames[batch.share.rows])
            return torch.cat([mean_token(tokens, sounding), token_std(tokens, sounding)], dim=1).double()

        size = self.settings.train.batch_size
        pooled = torch.cat([of_all(evenly(clips, SPREAD_CLIPS), size, moments) for clips, _ in self.parts])
        mean, deviation = pooled.unbind(dim=1)  # [N, D] each
        return Spread(mean.std(dim=0, correction=0).mean().item(), deviation.mean().item())


def to_mix(clips: ClipSet, batch_size: int, seed: int) -> Iterator[Batch]:
    """All clips in batches whose clips are mixed with each other: in an order that is drawn, and none is left alone.

    As they are listed, neighbours are often of one recording.

    Args:
        clips: to be mixed.
        batch_size: clips in a batch; a few more where the last batch would be a single clip.
        seed: of the order.
    """
    n = len(clips.clip_ids)
    size = next((each for each in range(batch_size, batch_size + n) if n % each != 1), batch_size)
    return clips.batches([np.random.default_rng(seed).permutation(n)], size, whole=True)


def evenly(clips: ClipSet, most: int) -> ClipSet:
    """Some of the clips, evenly spread over their list."""
    if len(clips.clip_ids) <= most:
        return clips
    chosen = np.linspace(0, len(clips.clip_ids) - 1, most).round().astype(int)
    return clips.subset(chosen)
