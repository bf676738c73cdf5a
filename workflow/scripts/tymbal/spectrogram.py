"""What the numbers of a log-mel spectrogram mean: how frames lie on the sound, and the state kept beside features."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tymbal.config.data import Features
from tymbal.config.models import Frontend
from tymbal.files import fingerprint

FRAME_LENGTH_MS = 25
FRAME_SHIFT_MS = 10
PREEMPHASIS = 0.97
WINDOW = "hanning"
LOW_HZ = 20.0
ENERGY_FLOOR = 2.0**-23
LOG_FLOOR = math.log(ENERGY_FLOOR)  # -15.9424
VERSION = 1  # of the numbers: raised whenever a change of `fbank` changes features


@dataclass(frozen=True)
class FeatureState:
    """Everything that decides what the numbers of a spectrogram mean; stored with features and with models."""

    backend: str
    sample_rate: int  # Hz
    n_mels: int
    frame_length_ms: int
    frame_shift_ms: int
    window: str
    low_hz: float
    high_hz: float
    log_floor: float
    version: int

    @classmethod
    def of(cls, frontend: Frontend) -> "FeatureState":
        """The state of features computed with these settings."""
        return cls(
            backend=frontend.backend,
            sample_rate=frontend.sample_rate,
            n_mels=frontend.n_mels,
            frame_length_ms=FRAME_LENGTH_MS,
            frame_shift_ms=FRAME_SHIFT_MS,
            window=WINDOW,
            low_hz=LOW_HZ,
            high_hz=frontend.sample_rate / 2,
            log_floor=LOG_FLOOR,
            version=VERSION,
        )

    @classmethod
    def imported(cls, features: Features) -> "FeatureState":
        """The state of features that were computed elsewhere, once their normalisation is undone."""
        same = cls.of(Frontend(sample_rate=features.sample_rate, n_mels=features.n_mels))
        return dataclasses.replace(same, backend="imported")

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "FeatureState":
        """The state that `to_json` gave."""
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON holds them."""
        return dataclasses.asdict(self)

    @property
    def fingerprint(self) -> str:
        """Stands for the state; equal states have equal fingerprints."""
        return fingerprint(self.to_json())


def state_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What two states, as `FeatureState.to_json` gives them, do not have in common, a line a field."""
    return [
        f"{field}: found {found.get(field)!r}, expected {expected.get(field)!r}"
        for field in {**expected, **found}
        if found.get(field) != expected.get(field)
    ]


def n_frames(n_samples: int, sample_rate: int) -> int:
    """Number of frames in a clip; 0 if it is shorter than one."""
    window, shift = window_and_shift(sample_rate)
    return max(0, 1 + (n_samples - window) // shift)


def window_and_shift(sample_rate: int) -> tuple[int, int]:
    """Length and distance of frames in samples, rounded down."""
    return sample_rate * FRAME_LENGTH_MS // 1000, sample_rate * FRAME_SHIFT_MS // 1000
