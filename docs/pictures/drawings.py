"""The drawings of docs/explanation/: a synthesised clip as networks see it, and the way of data through the library.

`make pictures` draws them. Spectrograms, patches, masks and mixtures are made by the library's own functions.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from numpy.typing import NDArray
from torch import Tensor

from tymbal import synth
from tymbal.config.data import SynthSource
from tymbal.config.models import SsastEncoder
from tymbal.config.pretrain import UNMIXED, BlockMasking, LatentPretext, Masking
from tymbal.fbank import fbank
from tymbal.files import write_text
from tymbal.pretrain import block_masks, masks
from tymbal.pretrain.mixtures import Mixing, draw_mixed_columns, mix
from tymbal.report.style import BLUE, INK, MUTED, ORANGE, SPECTROGRAM, WIDTH, fonts_for, style

SETTINGS = SynthSource(format="synth", recordings=24, clip_s=10.3, sample_rate=16000, seed=11)
N_MELS = 128
PATCH = SsastEncoder.model_fields["patch"].default
FRAMES = SsastEncoder.model_fields["n_frames"].default
COARSE = 2  # mel bins and frames to a point of the picture
GRID = N_MELS // PATCH[0], FRAMES // PATCH[1]  # along mel bins and time
TAGS = ("Bird", "Insect"), ("Frog", "Cicada")  # of the clip and of its partner


def clip(tags: tuple[str, ...]) -> Tensor:
    """Log-mel of the first clip with one of these main tags, [1, FRAMES, N_MELS]."""
    found = next(clip for clip in synth.plan(SETTINGS) if clip.tags[0] in tags and len(clip.tags) < 3)
    waveform = torch.from_numpy(synth.waveform(found, SETTINGS).astype(np.float32))
    return fbank(waveform, SETTINGS.sample_rate, N_MELS)[None, :FRAMES]


def picture(patches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Patches [mel bins, time] as values of the spectrogram that is shown."""
    return np.kron(patches, np.ones((PATCH[0] // COARSE, PATCH[1] // COARSE), dtype=bool))


def show(axes: Axes, log_mel: Tensor, title: str, hidden: NDArray[np.bool_] | None = None, grid: bool = False) -> None:
    """A spectrogram, the lowest mel bin at the bottom."""
    values = log_mel[0].T.unflatten(0, (-1, COARSE)).unflatten(2, (-1, COARSE)).mean(dim=(1, 3)).numpy()
    low, high = np.percentile(values, [2, 99.8])
    shown = values if hidden is None else np.where(picture(hidden), np.nan, values)
    colours = {"cmap": SPECTROGRAM, "vmin": low, "vmax": high, "interpolation": "nearest"}
    axes.imshow(shown, origin="lower", aspect="auto", extent=(0, FRAMES, 0, N_MELS), **colours)
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    if grid:
        axes.hlines(np.arange(0, N_MELS, PATCH[0]), 0, FRAMES, color="white", linewidth=0.3, alpha=0.6)
        axes.vlines(np.arange(0, FRAMES, PATCH[1]), 0, N_MELS, color="white", linewidth=0.3, alpha=0.6)


def box(axes: Axes, left: float, bottom: float, width: float, height: float, text: str, colour: str = BLUE) -> None:
    """A box with a few words."""
    shape = FancyBboxPatch((left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.015", facecolor="white")
    shape.set(edgecolor=colour, linewidth=1.3)
    axes.add_patch(shape)
    axes.text(left + width / 2, bottom + height / 2, text, ha="center", va="center", color=INK, fontsize=8.5)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str = MUTED) -> None:
    """An arrow."""
    axes.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.3})


def blank(axes: Axes) -> Axes:
    """Axes for boxes and arrows, from 0 to 1."""
    axes.set(xlim=(-0.004, 1.004), ylim=(0, 1))  # so that outlines are whole
    axes.axis("off")
    return axes


def ssast(figure: Figure) -> None:
    """Patches, which of them are hidden, and the two questions."""
    figure.set_size_inches(WIDTH, 4.6)
    top, middle, bottom = figure.subplots(3, 1, height_ratios=[1, 1, 0.8])
    log_mel, settings, n = clip(TAGS[0]), Masking(), GRID[0] * GRID[1]
    mask = masks.draw(settings, GRID, GRID[1], None, 1, torch.Generator().manual_seed(3))
    hidden = np.zeros(n, dtype=bool)
    hidden[mask.index[0].numpy()] = True
    show(top, log_mel, f"A clip of {FRAMES / 100:.0f} s in {GRID[0]} × {GRID[1]} = {n} patches", grid=True)
    show(
        middle,
        log_mel,
        f"What the encoder is shown: {n - hidden.sum()} patches; {hidden.sum()} are hidden",
        hidden.reshape(GRID),
    )
    axes = blank(bottom)
    box(axes, 0.0, 0.3, 0.2, 0.4, "patches as numbers,\nand where each is")
    box(axes, 0.29, 0.3, 0.2, 0.4, "transformer:\nevery patch looks at\nevery other")
    box(axes, 0.62, 0.56, 0.38, 0.4, "Which of the hidden patches was here?\n(discriminative)", ORANGE)
    box(axes, 0.62, 0.04, 0.38, 0.4, "What did it look like?\n(generative)", ORANGE)
    arrow(axes, (0.2, 0.5), (0.29, 0.5))
    arrow(axes, (0.49, 0.55), (0.62, 0.76))
    arrow(axes, (0.49, 0.45), (0.62, 0.24))


def sslam(figure: Figure) -> None:
    """Two clips, their partial mixture, what the student sees of it, and what it has to say."""
    figure.set_size_inches(WIDTH, 5.2)
    panels = figure.subplot_mosaic([["a", "b"], ["c", "d"], ["e", "e"]], height_ratios=[1, 1, 1.05])
    generator = torch.Generator().manual_seed(4)
    first, second = clip(TAGS[0]), clip(TAGS[1])
    columns = draw_mixed_columns(GRID[1], UNMIXED[LatentPretext().preset], generator)
    mixed = mix(first, Mixing(second, columns, None), PATCH[1])
    mask = block_masks.draw(BlockMasking(), GRID, 1, 1, None, generator)
    hidden = np.zeros(GRID[0] * GRID[1], dtype=bool)
    hidden[mask.hidden[0, 0].numpy()] = True
    show(panels["a"], first, "A clip")
    show(panels["b"], second, "Another of the same batch")
    show(panels["c"], mixed, f"Partial mixture: both in {len(columns)} of {GRID[1]} columns (blue)")
    for column in columns.tolist():
        panels["c"].add_patch(Rectangle((column * PATCH[1], -9), PATCH[1], 7, color=BLUE, clip_on=False, linewidth=0))
    show(panels["d"], mixed, f"What the student sees of it: {(~hidden).sum()} patches", hidden.reshape(GRID[::-1]).T)
    axes = blank(panels["e"])
    box(axes, 0.0, 0.6, 0.2, 0.34, "teacher\nhears all of a clip")
    box(axes, 0.0, 0.06, 0.2, 0.34, "student\nsees a fifth of it")
    arrow(axes, (0.1, 0.4), (0.1, 0.6), colour=ORANGE)
    axes.text(0.115, 0.47, "follows slowly", color=MUTED, fontsize=8)
    box(axes, 0.36, 0.6, 0.28, 0.34, "what its layers make of\neach patch, and of all")
    box(axes, 0.36, 0.06, 0.28, 0.34, "its guess, from the\nlittle that it saw")
    arrow(axes, (0.2, 0.77), (0.36, 0.77))
    arrow(axes, (0.2, 0.23), (0.36, 0.23))
    box(axes, 0.76, 0.3, 0.24, 0.4, "difference:\nfrom it the student\nlearns", ORANGE)
    arrow(axes, (0.64, 0.77), (0.76, 0.58))
    arrow(axes, (0.64, 0.23), (0.76, 0.42))


def house(figure: Figure) -> None:
    """The way of data through the packages and modules of the library."""
    figure.set_size_inches(WIDTH, 3.6)
    axes = blank(figure.subplots())
    wide, high = 0.13, 0.17
    at = {
        "config, plan": (0.0, 0.8),
        "ingest": (0.0, 0.42),
        "split, audit": (0.2175, 0.62),
        "fbank, compute,\nstore, norm": (0.2175, 0.22),
        "pretrain": (0.435, 0.22),
        "train": (0.435, 0.62),
        "evaluate": (0.6525, 0.62),
        "report": (0.87, 0.62),
        "predict": (0.6525, 0.22),
        "export": (0.87, 0.22),
    }
    for name, (left, bottom) in at.items():
        box(axes, left, bottom, wide, high, name)
    ways = [
        ("ingest", "split, audit"),
        ("ingest", "fbank, compute,\nstore, norm"),
        ("split, audit", "train"),
        ("fbank, compute,\nstore, norm", "train"),
        ("fbank, compute,\nstore, norm", "pretrain"),
        ("pretrain", "train"),
        ("train", "evaluate"),
        ("evaluate", "report"),
        ("train", "predict"),
        ("train", "export"),
    ]
    for start, end in ways:
        x, y = at[start]
        to_x, to_y = at[end]
        if x == to_x:
            arrow(axes, (x + wide / 2, y + high), (to_x + wide / 2, to_y))
        else:
            arrow(axes, (x + wide, y + high / 2), (to_x, to_y + high / 2))
    axes.text(
        0.16, 0.885, "say what all the others do; read before anything runs", color=MUTED, fontsize=8.5, va="center"
    )
    axes.text(
        0.0,
        0.04,
        "recordings and labels enter at the left; each stage reads files of those before it",
        color=MUTED,
        fontsize=8.5,
    )


DRAWN: dict[str, Callable[[Figure], None]] = {"ssast": ssast, "sslam": sslam, "house": house}


def draw(out: Path) -> None:
    """Draw all into a folder."""
    for name, drawing in DRAWN.items():
        with style(fonts_for(["×"])):
            figure, data = Figure(), io.StringIO()
            drawing(figure)
            figure.savefig(data, format="svg", metadata={"Date": None})
        write_text(out / f"{name}.svg", data.getvalue())


if __name__ == "__main__":
    draw(Path(__file__).parent)
