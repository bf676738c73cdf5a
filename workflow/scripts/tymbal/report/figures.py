"""The figures of the catalogue: summary tables in, a picture and the table of what it shows out.

A function a figure draws the rows about its subject into the figure it is given, and returns the table it has drawn.
Labels hold the printed form of each class in class order, see `tymbal.report.style.printable`; about a pre-training
they are empty.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from tymbal.evaluate.tables import read_table, rows_of, write_table
from tymbal.files import atomic
from tymbal.folds import ALL
from tymbal.report.catalog import FIGURES
from tymbal.report.curves import label_share, pr_curves, pretext_curves, reliability, training_curves
from tymbal.report.examples import Examples, Reconstructions, examples, reconstructions
from tymbal.report.heatmaps import confusion, dependence
from tymbal.report.rows import class_shares, per_class_ap, slices, thresholds
from tymbal.report.style import MUTED, WIDTH, fonts_for, printable, style

# Key in the catalogue -> how it is drawn, from its tables in the order given there, or from clips.
PLOTS: dict[str, Callable[..., pd.DataFrame]] = {
    "training-curves": training_curves,
    "per-class-ap": per_class_ap,
    "slices": slices,
    "pr-curves": pr_curves,
    "thresholds": thresholds,
    "reliability": reliability,
    "confusion": confusion,
    "dependence": dependence,
    "examples": examples,
    "class-shares": class_shares,
    "label-share": label_share,
    "pretext-curves": pretext_curves,
    "reconstructions": reconstructions,
}
CLIPS: dict[str, type[Examples] | type[Reconstructions]] = {"examples": Examples, "reconstructions": Reconstructions}
WRITTEN = ("slice", "level", "family")  # columns whose text is drawn, besides classes
DATES = {".svg": {"Date": None, "Creator": None}, ".pdf": {"CreationDate": None, "Creator": None, "Producer": None}}


def draw(key: str, summary: Path, subject: Mapping[str, str], arrays: Path | None, out: Path) -> None:
    """Draw one figure of the catalogue; the same tables give the same bytes.

    Args:
        key: in `tymbal.report.catalog.FIGURES`.
        summary: folder of the summary tables.
        subject: whose rows are drawn, by column: `dataset`, `dataset` and `model`, or `ssl`.
        arrays: clips with features, of a figure that shows them (NPZ).
        out: the SVG. Beside it go the PDF and, as CSV, the numbers that are drawn.
    """
    classes: list[str] = []
    if "dataset" in subject:
        classes = class_order(rows_of(read_table(summary / "balance.csv"), {"dataset": subject["dataset"]}))
    kind = FIGURES[key]
    data: list[Any]
    if kind.tables:
        data = [rows_of(read_table(summary / f"{table}.csv"), subject) for table in kind.tables]
        texts = {text for table in data for column in WRITTEN if column in table for text in table[column]}
        absent = data[0].empty
    else:
        assert arrays is not None
        with np.load(arrays) as file:
            clips = CLIPS[key](**file)
        data, texts, absent = [clips], set(clips.clip_id), False
    families = fonts_for([*classes, *texts])
    with style(families):
        figure = Figure()
        drawn = data[0] if absent else PLOTS[key](*data, figure, printable(classes, families))
        if absent:
            _say(figure, kind.absent)
        write_table(drawn, out.with_suffix(".csv"))
        lay_out(figure)
        for suffix, metadata in DATES.items():
            with atomic(out.with_suffix(suffix)) as partial:
                figure.savefig(partial, metadata=metadata)


def class_order(balance: pd.DataFrame) -> list[str]:
    """The classes of a data set, in class order."""
    return [name for name in balance["class"].unique() if name != ALL]


def lay_out(figure: Figure) -> None:
    """Fix where the axes are, the same in all files and whenever the figure is drawn.

    The solver behind the layout is right to the last bit but one, and an SVG names its clip paths by a digest of where
    they are: without rounding, equal figures would now and then be unequal files.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6), which="original")


def _say(figure: Figure, text: str) -> None:
    """Why there is nothing to draw."""
    figure.set_size_inches(WIDTH, 0.6)
    figure.text(0.01, 0.5, text, va="center", color=MUTED)
