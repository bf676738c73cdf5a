"""The figures that show clips: spectrograms with truth and scores, and what pre-training makes of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tymbal.report.style import BLUE, INK, MUTED, SPECTROGRAM, WIDTH

MAX_COLUMNS = 600  # of a spectrogram; longer clips are averaged over time


@dataclass(frozen=True)
class Examples:
    """A few test clips; see `tymbal.evaluate.examples.pick_examples`."""

    fbank: np.ndarray  # [K, T, F]
    n_frames: np.ndarray  # [K]
    clip_id: np.ndarray  # [K]
    score: np.ndarray  # [K, C]
    label: np.ndarray  # [K, C]
    classes: np.ndarray  # [C]
    frame_shift_s: float


@dataclass(frozen=True)
class Reconstructions:
    """A few held-out clips of a corpus; see `tymbal.pretrain.examples`."""

    fbank: np.ndarray  # [K, T, F]
    masked: np.ndarray  # [K, T, F] bool: hidden from the encoder
    filled: np.ndarray  # [K, T, F], what it makes of it
    n_frames: np.ndarray  # [K]
    clip_id: np.ndarray  # [K]
    frame_shift_s: float


def examples(clips: Examples, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """Spectrograms with the scores of the classes tagged and of the best others; the table holds the bars."""
    drawn = []
    n_columns = min(2, len(clips.clip_id))
    n_rows = math.ceil(len(clips.clip_id) / n_columns)
    figure.set_size_inches(WIDTH, 0.4 + 1.75 * n_rows)
    grid = figure.subplots(n_rows, 2 * n_columns, squeeze=False, gridspec_kw={"width_ratios": [2.4, 1] * n_columns})
    frames = [x[:n].astype(np.float32) for x, n in zip(clips.fbank, clips.n_frames, strict=True)]
    floor, top = np.percentile(np.concatenate(frames), [1, 99.7])
    for k, (spectrogram, bars) in enumerate(grid.reshape(-1, 2)):
        if k >= len(frames):
            spectrogram.set_visible(False)
            bars.set_visible(False)
            continue
        _show(spectrogram, shrink(frames[k], MAX_COLUMNS), floor, top, len(frames[k]) * clips.frame_shift_s)
        if k + n_columns >= len(frames):
            spectrogram.set_xlabel("time (s)")
        spectrogram.set_title(_shorten(str(clips.clip_id[k]), 40), fontsize=8.5)
        if not clips.label[k].any():
            spectrogram.set_title("no tag", loc="right", color=MUTED, fontsize=8.5)
        shown = _score_bars(bars, clips.score[k], clips.label[k], list(labels.values()))
        drawn += [(clips.clip_id[k], clips.classes[c], clips.label[k, c], clips.score[k, c]) for c in shown]
    return pd.DataFrame(drawn, columns=["clip_id", "class", "label", "score"])


def reconstructions(clips: Reconstructions, figure: Figure, labels: Mapping[str, str]) -> pd.DataFrame:
    """A row a clip: spectrogram, what the encoder sees of it, what it fills in; the table says of which clips."""
    drawn = []
    n_clips = len(clips.clip_id)
    figure.set_size_inches(WIDTH, 0.4 + 1.6 * n_clips)
    grid = figure.subplots(n_clips, 3, squeeze=False, sharey=True, gridspec_kw={"wspace": 0.08})
    frames = [x[:n].astype(np.float32) for x, n in zip(clips.fbank, clips.n_frames, strict=True)]
    floor, top = np.percentile(np.concatenate(frames), [1, 99.7])
    for k, (row, spectrogram) in enumerate(zip(grid, frames, strict=True)):
        n = len(spectrogram)
        seen = np.where(clips.masked[k, :n], np.nan, spectrogram)
        for axes, picture in zip(row, (spectrogram, seen, clips.filled[k, :n].astype(np.float32)), strict=True):
            _show(axes, picture, floor, top, n * clips.frame_shift_s)
            axes.set_ylabel("")
        row[0].set_title(_shorten(str(clips.clip_id[k]), 40), fontsize=8.5)
        row[0].set_ylabel("mel bin")
        drawn.append((clips.clip_id[k], n * clips.frame_shift_s, clips.masked[k, :n].mean()))
    for axes, title in zip(grid[0], ("", "shown", "filled in"), strict=True):
        axes.set_title(title, loc="right", color=MUTED, fontsize=8.5)
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    return pd.DataFrame(drawn, columns=["clip_id", "duration_s", "share_hidden"])


def _show(axes: Axes, frames: np.ndarray, floor: float, top: float, seconds: float) -> None:
    """Draw [T, F], time to the right; brightness from `floor` to `top`."""
    extent = (0, seconds, 0, frames.shape[1])
    # Without interpolation SVG holds the frames as they are, and the viewer scales them.
    axes.imshow(
        frames.T, SPECTROGRAM, aspect="auto", interpolation="none", vmin=floor, vmax=top, origin="lower", extent=extent
    )
    axes.grid(visible=False)
    axes.set_yticks([])
    axes.set_ylabel("mel bin")
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))


def shrink(frames: np.ndarray, n_columns: int) -> np.ndarray:
    """[T, F] averaged over time to at most `n_columns` rows."""
    starts = np.arange(0, len(frames), math.ceil(len(frames) / n_columns))
    return np.add.reduceat(frames, starts) / np.diff(starts, append=len(frames))[:, None]


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2]}…{text[-(length // 2) :]}"


def _score_bars(axes: Axes, score: np.ndarray, label: np.ndarray, names: list[str]) -> list[int]:
    """Every class tagged and the best others, five in all or one more than are tagged; highest score first.

    Returns:
        The classes shown, from the top.
    """
    tagged = np.flatnonzero(label)
    others = [c for c in np.argsort(-score, kind="stable") if not label[c]][: max(5 - len(tagged), 1)]
    shown = sorted([*tagged, *others], key=lambda c: -score[c])
    for y, c in enumerate(shown):
        axes.barh(y, score[c], height=0.62, color=BLUE if label[c] else "white", edgecolor=BLUE, linewidth=0.9)
    axes.set(xlim=(0, 1), ylim=(max(len(shown), 5) - 0.5, -0.5), xticks=[0, 0.5, 1])
    axes.set_xticklabels(["0", "", "1"])
    weights = [f" ({label[c]:.1f})" if 0 < label[c] < 1 else "" for c in shown]
    axes.set_yticks(range(len(shown)), [_shorten(names[c], 18) + w for c, w in zip(shown, weights, strict=True)])
    for tick, c in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_color(INK if label[c] else MUTED)
        tick.set_fontsize(8)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    return shown
