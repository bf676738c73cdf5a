"""The figures about a season of recordings: effort, activity, one recording closely, and how far it is from training.

Each function draws into the figure it is given. Labels hold the printed form of classes and sites, see
`tymbal.report.style.printable`; a class that lacks a cell of activity was not listened for, which is not 0.
"""

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tymbal.predict.sounds import Kept
from tymbal.report.examples import shrink
from tymbal.report.figures import DATES, lay_out
from tymbal.report.numbers import at_time
from tymbal.report.style import BLUE, FAINT, HEAT, INK, MUTED, ORANGE, SPECTROGRAM, WIDTH, fonts_for, printable, style
from tymbal.spectrogram import LOW_HZ

MOST_ROWS = 40  # classes, or sites, of a map
MOST_COLUMNS = 62  # days of a map; beyond, weeks, then months
STRIP_COLUMNS = 1200
PERIODS = {"D": "day", "W-SUN": "week", "M": "month"}  # weeks begin on Mondays
KILOHERTZ = (0.5, 1, 2, 4, 8, 16, 32, 64, 128)
NOT_RECORDED = HEAT.with_extremes(bad=FAINT)


def svg(draw: Callable[[Figure, Mapping[str, str]], None], names: Sequence[str]) -> bytes:
    """A figure as SVG; equal figures give equal bytes.

    Args:
        draw: what draws it, of the figure and the labels.
        names: of classes and sites, which get labels.
    """
    families = fonts_for(names)
    with style(families):
        figure = Figure()
        draw(figure, printable(names, families))
        lay_out(figure)
        file = io.BytesIO()
        figure.savefig(file, format="svg", metadata=DATES[".svg"])
    return file.getvalue()


def by_hour(activity: pd.DataFrame, classes: Sequence[str], figure: Figure, labels: Mapping[str, str]) -> None:
    """Detections per recorded hour, a row a class and a column an hour of the day, below the effort.

    Args:
        activity: rows of one or more sites, hours known.
        classes: the rows, from the top.
        figure: to draw into.
        labels: of the classes.
    """
    effort = _effort(activity, "hour").reindex(range(24), fill_value=0)
    rates = _rates(activity, "hour", classes, effort)
    bars, cells = _with_effort(figure, len(classes))
    _bars(bars, effort)
    _map(figure, cells, rates, [labels[name] for name in classes])
    cells.set_xticks(np.arange(0, 24, 3) - 0.5, [f"{hour:02d}:00" for hour in range(0, 24, 3)])
    cells.set_xlabel("hour of the day")


def by_date(activity: pd.DataFrame, classes: Sequence[str], figure: Figure, labels: Mapping[str, str]) -> None:
    """The same, a column a day; of long seasons a week or a month.

    Args:
        activity: rows with dates.
        classes: the rows, from the top.
        figure: to draw into.
        labels: of the classes.
    """
    periods, name = _periods(activity["date"])
    dated = activity.assign(period=_period_of(activity["date"], periods))
    effort = _effort(dated, "period").reindex(periods, fill_value=0)
    bars, cells = _with_effort(figure, len(classes))
    _bars(bars, effort)
    _map(figure, cells, _rates(dated, "period", classes, effort), [labels[each] for each in classes])
    _date_ticks(cells, periods, name)


def effort_by_site(activity: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> None:
    """Hours recorded, a row a site and a column a day, a week or a month."""
    periods, name = _periods(activity["date"])
    once = activity.drop_duplicates(["site", "date", "hour"])
    once = once.assign(period=_period_of(once["date"], periods))
    hours = once.pivot_table(index="site", columns="period", values="minutes_recorded", aggfunc="sum") / 60
    hours = hours.reindex(columns=periods).iloc[:MOST_ROWS]
    figure.set_size_inches(WIDTH, 1.1 + 0.26 * len(hours))
    axes = figure.subplots()
    _map(figure, axes, hours.to_numpy(), [labels[site] for site in hours.index], "hours recorded", gamma=1)
    _date_ticks(axes, periods, name)


def class_shares(shares: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> None:
    """How often each class is detected in the season and in validation clips, and how frequent it was in training.

    Args:
        shares: `class, share, validation_share, training_share`, a row a class, the first at the top.
        figure: to draw into.
        labels: of the classes.
    """
    figure.set_size_inches(WIDTH, 1.0 + 0.27 * len(shares))
    axes = figure.subplots()
    y = np.arange(len(shares))
    axes.hlines(y, 100 * shares["validation_share"], 100 * shares["share"], color=FAINT, linewidth=4)
    tick: dict[str, Any] = {"marker": "|", "markersize": 9, "markeredgewidth": 1.6, "linewidth": 0, "color": ORANGE}
    dot: dict[str, Any] = {"marker": "o", "markersize": 7, "linewidth": 0, "color": BLUE}
    ring: dict[str, Any] = {**dot, "markerfacecolor": "white", "markeredgewidth": 1.4}
    for column, what, look in (
        ("training_share", "training clips, as labelled", tick),
        ("validation_share", "validation clips, as detected", ring),
        ("share", "this season, as detected", dot),
    ):
        if shares[column].notna().any():
            axes.plot(100 * shares[column], y, label=what, **look)
    axes.set_yticks(y, [labels[name] for name in shares["class"]])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set(ylim=(len(shares) - 0.4, -0.6), xlim=(-0.5, None), xlabel="per cent of the windows, or of the clips")
    axes.grid(visible=False, axis="y")
    figure.legend(loc="outside upper left", ncols=3)


def site_distances(distances: pd.DataFrame, figure: Figure, labels: Mapping[str, str]) -> None:
    """How many times the usual distance each site is away from the validation clips.

    Args:
        distances: `site, value, usual, usual_high, far`, a row a site, the first at the top; values are known.
        figure: to draw into.
        labels: of the sites.
    """
    figure.set_size_inches(WIDTH, 1.15 + 0.27 * len(distances))
    axes = figure.subplots()
    y = np.arange(len(distances))
    times = distances["value"] / distances["usual"]
    far = float((distances["far"] / distances["usual"]).iloc[0])
    axes.axvspan(0.5, float((distances["usual_high"] / distances["usual"]).max()), color=FAINT, alpha=0.7, linewidth=0)
    axes.axvline(far, color=ORANGE, linestyle=(0, (4, 3)), linewidth=1.2)
    unlike = (times > far).to_numpy()
    for mine, colour in ((~unlike, BLUE), (unlike, ORANGE)):
        axes.plot(times[mine], y[mine], "o", color=colour, markersize=7)
    axes.set_xscale("log")
    end = max(2 * far, 1.3 * times.max())
    ticks = [each for each in (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if each <= end]
    axes.set_xticks(ticks, [f"{each:g}×" for each in ticks], minor=False)
    axes.minorticks_off()
    axes.set_yticks(y, [labels[site] for site in distances["site"]])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set(
        ylim=(len(distances) - 0.4, -0.6), xlim=(0.5, end), xlabel="distance, times that of two halves of validation"
    )
    axes.grid(visible=False, axis="y")
    above: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "va": "bottom", "fontsize": 8.5}
    axes.text(1, 1.01, "as usual", color=MUTED, ha="center", **above)
    axes.text(far, 1.01, "does not look like it →", color=ORANGE, ha="left", **above)


def strip(kept: Kept, figure: Figure, labels: Mapping[str, str]) -> None:
    """A stretch of a recording: its spectrogram, and below it a row a class with scores and threshold."""
    n = len(kept.strip_classes)
    height = 0.42
    figure.set_size_inches(WIDTH, 2.4 + height * n)
    grid = figure.subplots(n + 1, sharex=True, gridspec_kw={"height_ratios": [1.5 / height, *[1.0] * n]})
    begin, end = kept.strip_span.tolist()
    _spectrogram(grid[0], kept, begin, end)
    # Of windows that overlap, a score holds from the middle between two to the next middle.
    middle = (kept.strip_start_s + kept.strip_end_s) / 2
    edges = np.array([begin, *((middle[1:] + middle[:-1]) / 2), end])
    for c, axes in enumerate(grid[1:]):
        score, threshold = kept.strip_scores[:, c].astype(np.float64), float(kept.strip_thresholds[c])
        axes.stairs(np.where(score >= threshold, score, 0), edges, fill=True, color=BLUE, alpha=0.28, linewidth=0)
        axes.stairs(score, edges, color=BLUE, linewidth=1.2, baseline=None)
        axes.axhline(threshold, color=ORANGE, linewidth=1.1, linestyle=(0, (4, 3)))
        axes.set(ylim=(-0.03, 1.03), yticks=[0, 1])
        axes.set_ylabel(labels[str(kept.strip_classes[c])], rotation=0, ha="right", va="center", color=INK, labelpad=14)
        axes.yaxis.set_label_coords(-0.025, 0.5)
        axes.tick_params(axis="y", labelsize=7)
        axes.grid(visible=False)
        axes.spines["bottom"].set_visible(axes is grid[-1])
    grid[-1].xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 3, 5, 6, 10]))
    grid[-1].xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: at_time(seconds).removesuffix(".0")))
    grid[-1].set_xlabel("time from the beginning of the recording (min:s)")


def _spectrogram(axes: Axes, kept: Kept, begin: float, end: float) -> None:
    frames = shrink(kept.strip_fbank.astype(np.float32), STRIP_COLUMNS)
    floor, top = np.percentile(frames, [2, 99.7])
    extent = (begin, end, 0, 1)
    axes.imshow(
        frames.T, SPECTROGRAM, aspect="auto", interpolation="none", vmin=floor, vmax=top, origin="lower", extent=extent
    )
    mel_low, mel_high = np.log1p(np.array([LOW_HZ, kept.sample_rate / 2]) / 700)
    shown = [each for each in KILOHERTZ if each <= kept.sample_rate / 2000]
    places = (np.log1p(np.array(shown) * 1000 / 700) - mel_low) / (mel_high - mel_low)
    axes.set_yticks(places, [f"{each:g}" for each in shown])
    axes.set_ylabel("kHz")
    axes.grid(visible=False)


def _effort(activity: pd.DataFrame, by: str) -> pd.Series:
    """Minutes recorded, which activity tells again for each class."""
    return activity.drop_duplicates(["site", "date", "hour"]).groupby(by)["minutes_recorded"].sum()


def _rates(activity: pd.DataFrame, by: str, classes: Sequence[str], effort: pd.Series) -> np.ndarray:
    """Detections per recorded hour, [classes, columns of `effort`]; NaN where nothing was recorded."""
    found = activity.pivot_table(index="class", columns=by, values="detections", aggfunc="sum", observed=True)
    n = found.reindex(index=list(classes), columns=effort.index).fillna(0).to_numpy(dtype=np.float64)
    hours = effort.to_numpy(dtype=np.float64) / 60
    return np.divide(n, hours, out=np.full(n.shape, np.nan), where=hours > 0)


def _with_effort(figure: Figure, n_rows: int) -> tuple[Axes, Axes]:
    """A band for the effort above a map."""
    cell, band = 0.26, 0.42
    figure.set_size_inches(WIDTH, 1.35 + band + cell * n_rows)
    grid = {"height_ratios": [band, cell * n_rows], "hspace": 0.04}
    bars, cells = figure.subplots(2, sharex=True, gridspec_kw=grid)
    bars.set_ylabel("hours\nrecorded", rotation=0, ha="right", va="center", fontsize=8)
    return bars, cells


def _bars(axes: Axes, effort: pd.Series) -> None:
    hours = effort.to_numpy(dtype=np.float64) / 60
    axes.bar(range(len(hours)), hours, width=0.85, color=MUTED, linewidth=0)
    most = hours.max(initial=0) or 1.0
    axes.set(ylim=(0, most))
    axes.set_yticks([most], [f"{most:.3g}"])
    axes.tick_params(axis="y", labelsize=7.5)
    axes.tick_params(axis="x", labelbottom=False)
    axes.spines[["bottom", "left"]].set_visible(False)
    axes.grid(visible=False, axis="x")


def _map(
    figure: Figure,
    axes: Axes,
    values: np.ndarray,
    rows: Sequence[str],
    what: str = "detections per\nrecorded hour",
    gamma: float = 0.5,
) -> None:
    """Colour [rows, columns]; NaN is grey. Steps of small values are stretched by gamma below 1."""
    top = np.nanmax(values, initial=0) or 1.0
    image = axes.imshow(values, NOT_RECORDED, PowerNorm(gamma, 0, top), aspect="auto", interpolation="nearest")
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    for y in range(1, len(rows)):
        axes.axhline(y - 0.5, color="white", linewidth=0.8)
    bar = figure.colorbar(image, ax=axes, location="right", pad=0.015, fraction=0.03, aspect=12, shrink=0.95)
    bar.locator = MaxNLocator(3)
    bar.update_ticks()
    bar.ax.tick_params(labelsize=7.5)
    bar.set_label(what, fontsize=8)
    bar.outline.set_visible(False)


def _periods(dates: "pd.Series[str]") -> tuple[pd.PeriodIndex, str]:
    """All days from the first to the last; weeks or months where days are too many."""
    for freq, name in PERIODS.items():
        periods = pd.period_range(dates.min(), dates.max(), freq=freq)
        if len(periods) <= MOST_COLUMNS:
            return periods, name
    return periods, name


def _period_of(dates: "pd.Series[str]", periods: pd.PeriodIndex) -> pd.PeriodIndex:
    """The period of each date. Dates are few, rows may be millions, and reading a date is slow."""
    row, unique = pd.factorize(dates)
    return pd.PeriodIndex(unique, freq=periods.freq)[row]


def _date_ticks(axes: Axes, periods: pd.PeriodIndex, name: str) -> None:
    step = math.ceil(len(periods) / 10)
    shown = periods[::step]
    axes.set_xticks(range(0, len(periods), step), [each.start_time.strftime("%Y-%m-%d") for each in shown])
    axes.tick_params(axis="x", labelsize=8)
    axes.set_xlabel("day" if name == "day" else f"{name} from")
