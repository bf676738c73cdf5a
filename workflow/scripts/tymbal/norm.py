"""Normalisation: mean and standard deviation of the training features, and what they make of a model's input."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tymbal.config.models import Norm, Padding, Statistics
from tymbal.errors import InputError
from tymbal.files import read_json, write_json

# How far published statistics may be from those of the training clips: in standard deviations of these, and how many
# times as wide or narrow. AudioSet's and those of a quiet field collection are 1.3 apart, and 1.9 times as wide.
FAR = 2.0


@dataclass(frozen=True)
class NormStats:
    """Statistics over all values of all true frames of some clips."""

    mean: float
    std: float  # of the population
    n_frames: int
    n_clips: int
    state: str  # fingerprint of the features
    split: str  # fingerprint of the clips' ids

    @classmethod
    def read(cls, path: Path) -> "NormStats":
        """Statistics that `write` wrote."""
        return cls(**read_json(path))

    def write(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, dataclasses.asdict(self))

    def replaced(self, model: str, norm: Norm) -> "NormStats":
        """What a model is to be normalised by: these, or published mean and standard deviation in their place.

        Args:
            model: its name.
            norm: its setting.

        Raises:
            InputError: as of `check_published`.
        """
        if norm == "fitted":
            return self
        self.check_published({model: norm})
        return dataclasses.replace(self, mean=norm.mean, std=norm.std)

    def check_published(self, published: Mapping[str, Statistics]) -> None:
        """Hold what models are to be normalised by against these.

        Args:
            published: model -> mean and standard deviation.

        Raises:
            InputError: some cannot be of the clips that these were fitted on.
        """
        problems = [
            f"models.{model}.norm: mean {norm.mean:g}, std {norm.std:g}: {misfit}"
            for model, norm in published.items()
            if (misfit := self._misfit(norm))
        ]
        if problems:
            raise InputError.listing(
                f"published statistics that cannot be of the training clips, which have mean {self.mean:.4g} and std "
                f"{self.std:.4g}",
                problems,
                "correct them, or set `fitted`",
            )

    def _misfit(self, norm: Statistics) -> str:
        if abs(-norm.mean - self.mean) < abs(norm.mean - self.mean):
            return "the mean has the wrong sign, it is subtracted"
        if abs(norm.mean - self.mean) > FAR * self.std or not 1 / FAR < norm.std / self.std < FAR:
            return "of another kind of log-mel (here natural, of samples in -1 to 1), or of very different sound"
        return ""


@dataclass(frozen=True)
class Scale:
    """How a model's input is made from log-mel: x = (log-mel - mean) / (2 std); padding in x is `pad`."""

    mean: float
    std: float
    pad: float
    ignored: bool = False  # padding takes no part, whatever it holds

    @classmethod
    def of(cls, mean: float, std: float, padding: Padding) -> "Scale":
        """Padding is the mean, 0 in x; or zeros in log-mel, as the released checkpoints saw it; or ignored."""
        return cls(mean, std, -mean / (2 * std) if padding == "original" else 0.0, padding == "ignored")
