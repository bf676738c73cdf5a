"""Features that were computed elsewhere: one `.pt` file a clip, read, checked and turned back into raw log-mel.

Such a file is `{"x": [T, F], ...}` or the bare [T, F], a tensor or a NumPy array. It says neither whether it is
normalised nor what its padding is; the settings do, and `diagnose.py` holds them against the numbers.
Whatever is wrong with a file is an InputError that says so without its name.
"""

import _codecs
import math
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tymbal.audio import NotFiniteError
from tymbal.config.data import SIDE_FILE, Features
from tymbal.errors import InputError
from tymbal.fbank import empty_filters
from tymbal.profile import FLOOR_TOLERANCE, LARGEST
from tymbal.spectrogram import LOG_FLOOR

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
TOLERANCE = 2e-3  # relative above 1: settings are rounded, float16 is coarse

# All that a pickle may name beside tensors: arrays of numbers and text, as NumPy 1 and 2 write them.
_ARRAYS = np._core.multiarray  # type: ignore[attr-defined]
torch.serialization.add_safe_globals(
    [
        np.ndarray,
        np.dtype,
        *{type(np.dtype(code)) for code in "?bBhHiIlLqQefdU"},
        (_ARRAYS._reconstruct, "numpy._core.multiarray._reconstruct"),
        (_ARRAYS._reconstruct, "numpy.core.multiarray._reconstruct"),
        (_ARRAYS.scalar, "numpy._core.multiarray.scalar"),
        (_ARRAYS.scalar, "numpy.core.multiarray.scalar"),
        (_codecs.encode, "_codecs.encode"),  # carries the bytes of an array
    ]
)


@dataclass(frozen=True)
class AudioConf:
    """What the side file says of the features beside it; None where it says nothing."""

    mean: float | None
    std: float | None
    target_length: int | None  # frames

    def __str__(self) -> str:
        said = [f"{name} {value}" for name, value in vars(self).items() if value is not None]
        return ", ".join(said) or "no finite numbers"


def read_features(path: Path, features: Features) -> Tensor:
    """Read one file and check it against the declared number of mel bins.

    Returns:
        [T, F] floating point, as in the file: normalised and padded.

    Raises:
        InputError: not a file of features, or one that is empty, transposed or not finite.
    """
    x = load(path)
    if x.shape[1] != features.n_mels:
        transposed = x.shape[0] == features.n_mels
        hint = "it seems to be transposed, [mel bins, frames]; save x.T" if transposed else "correct `features.n_mels`"
        raise InputError(f"is {list(x.shape)}, expected [frames, {features.n_mels}]: {hint}")
    return x


def load(path: Path) -> Tensor:
    """Read one file of features with any number of mel bins: two dimensions, floating point, finite, not empty.

    Raises:
        InputError: it is something else.
    """
    content = _unpickle(path)
    if isinstance(content, dict):
        if "audio_conf" in content:
            raise InputError(f"describes a data set, as {SIDE_FILE} does; it is not a file of features")
        if "x" not in content:
            raise InputError(f"has no 'x'; expected {{'x': [frames, mel bins]}}, found the keys {list(content)[:9]}")
        content = content["x"]
    if isinstance(content, np.ndarray) and content.dtype.kind == "f":
        content = torch.from_numpy(np.ascontiguousarray(content, dtype=content.dtype.newbyteorder("=")))
    if not isinstance(content, Tensor):
        raise InputError(f"holds {_kind(content)}, expected a tensor or an array of floating point [frames, mel bins]")
    if content.layout != torch.strided or content.is_meta or content.is_nested:
        raise InputError("holds a sparse, nested or meta tensor, expected a plain one [frames, mel bins]")
    if content.dtype not in FLOATS or content.dim() != 2:
        found = f"{str(content.dtype).removeprefix('torch.')} {list(content.shape)}"
        raise InputError(f"holds {found}, expected floating point [frames, mel bins]")
    content = content.detach()  # of a parameter
    if content.numel() == 0:
        raise InputError(f"is empty: {list(content.shape)}")
    if bad := int((~content.isfinite()).sum()):
        raise NotFiniteError(f"{bad} of {content.numel()} values are not finite numbers")
    return content


def _kind(content: Any) -> str:
    return f"an array of {content.dtype}" if isinstance(content, np.ndarray) else type(content).__name__


def undo(x: Tensor, features: Features) -> Tensor:
    """Raw log-mel of imported features: padding taken off, the declared normalisation undone.

    Args:
        x: [T, F], as in the file.
        features: the declared state.

    Returns:
        [T - padding, F] float32, natural logarithms.

    Raises:
        InputError: there is nothing but padding, or what results cannot be log-mel of the declared sample rate.
    """
    frames = x[: len(x) - n_padding(x, features.padding)].float()
    if len(frames) == 0:
        raise InputError(f"holds nothing but padding ({len(x)} rows of {features.padding})")
    if (applied := features.normalised) is not None:
        frames = frames * (applied.factor * applied.std) + applied.mean
    if reason := _impossible(frames, features):
        told = "none" if applied is None else f"mean {applied.mean:g}, std {applied.std:g}, factor {applied.factor:g}"
        raise InputError(f"does not become log-mel when the declared normalisation ({told}) is undone: {reason}")
    return frames


def _impossible(raw: Tensor, features: Features) -> str:
    """Why these values, [T, F], cannot be log-mel of the declared rate; empty if they can."""
    if empty := empty_filters(features.sample_rate, features.n_mels):
        low, high = _range(raw[:, list(empty)])
        if max(LOG_FLOOR - low, high - LOG_FLOOR) > FLOOR_TOLERANCE:
            bins = f"{'bins' if len(empty) > 1 else 'bin'} {', '.join(map(str, empty))}"
            found = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
            return f"{bins} would be {found}, at {features.sample_rate} Hz always {LOG_FLOOR:.4g}"
    low, high = _range(raw)
    if low < LOG_FLOOR - FLOOR_TOLERANCE or high > LARGEST:
        return f"values would be {low:.4g} to {high:.4g}, possible are {LOG_FLOOR:.4g} to {LARGEST:g}"
    return ""


def _range(x: Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(x)
    return low.item(), high.item()


def n_padding(x: Tensor, value: float | None) -> int:
    """Number of rows at the end of [T, F] that hold nothing but the padding value; 0 if there is none (None)."""
    if value is None:
        return 0
    other = ((x.float() - value).abs() > _tolerance(value)).any(dim=1)  # [T]
    return int(other.flip(0).float().argmax()) if other.any() else len(x)


def near(value: float, wanted: float) -> bool:
    """Whether a value of a file is the one that a setting means."""
    return abs(value - wanted) <= _tolerance(wanted)


def _tolerance(value: float) -> float:
    return TOLERANCE * max(1.0, abs(value))


def read_side_file(folder: Path) -> AudioConf | None:
    """What the side file in a folder says; None if there is none, or none that can be read."""
    try:
        content = _unpickle(folder / SIDE_FILE)
    except InputError:
        return None
    said = content.get("audio_conf") if isinstance(content, dict) else None
    if not isinstance(said, dict):
        return None
    mean, std, length = (_finite(said.get(key)) for key in ("mean", "std", "target_length"))
    return AudioConf(mean, std, None if length is None else int(length))


def _finite(value: Any) -> float | None:
    """A finite number; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # the last of tensors
        return None
    return number if math.isfinite(number) else None


def _unpickle(path: Path) -> Any:
    try:
        if path.stat().st_size == 0:
            raise InputError("is empty: 0 bytes")
        return torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    except pickle.UnpicklingError as error:
        if "Unsupported global" in str(error) or "Can only build" in str(error):
            raise InputError(
                "holds Python objects beside tensors and arrays, which are not loaded because they could run any "
                "program, or is damaged; save it again as {'x': tensor}"
            ) from error
        raise InputError("is not a .pt file, or is damaged") from error
    except Exception as error:  # damaged bytes raise whatever the unpickler stumbles over
        raise InputError("is not a .pt file, or is damaged or cut short") from error
