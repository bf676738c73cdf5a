"""Numbers as pages show them: estimates with their intervals, and one form for each kind of amount."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import pandas as pd
from markupsafe import Markup, escape

from tymbal.evaluate.tables import rows_of

DASH = "–"  # what is not known or not defined
ENOUGH_SEEDS = 3  # for a point of a label curve


@dataclass(frozen=True)
class Estimate:
    """A mean over runs with its 95 % interval.

    Args:
        value: None where undefined.
        low: end of the interval, None where there are no draws.
        high: likewise.
        n_runs: in which it is defined.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n_runs: int = 0

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """The estimate in a row of a table with `value, low, high, n_runs`."""
        value, low, high = (None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high"))
        return cls(value, low, high, int(row["n_runs"]))


UNDEFINED = Estimate()


class Estimates:
    """What `intervals.csv` says of one model on one data set."""

    def __init__(self, intervals: pd.DataFrame) -> None:
        self._found = {
            (row["metric"], row["class"], row["thresholds"], row["unit"]): Estimate.of(row)
            for row in intervals.to_dict("records")
        }
        headline = rows_of(intervals, {"metric": "mAP_macro", "class": "", "unit": "clip"})
        self.n_groups, self.draws = (int(headline[name].max()) for name in ("n_groups", "draws"))

    def get(self, metric: str, name: str = "", thresholds: str = "", unit: str = "clip") -> Estimate:
        """The estimate of a metric, undefined where there is none; of a class, or of all."""
        return self._found.get((metric, name, thresholds, unit), UNDEFINED)

    def has(self, metric: str, thresholds: str = "", unit: str = "clip") -> bool:
        """Whether the metric is told of all classes together."""
        return (metric, "", thresholds, unit) in self._found


def decimals(value: float | None, digits: int = 3) -> str:
    """A number with a true minus, a dash where undefined."""
    return DASH if value is None or pd.isna(value) else f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """A difference with its sign."""
    return DASH if value is None or pd.isna(value) else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def probability(value: float) -> str:
    """Two digits, of which none says that something is impossible or certain."""
    return "< 0.01" if value < 0.01 else "> 0.99" if value > 0.99 else f"{value:.2f}"


def thousands(value: float) -> str:
    """A whole number with separators."""
    return DASH if pd.isna(value) else f"{value:,.0f}"


def duration(minutes: float) -> str:
    """A time in the unit that suits it."""
    if pd.isna(minutes):
        return DASH
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    hours, rest = divmod(round(minutes), 60)
    return f"{hours} h {rest:02d} min" if hours else f"{rest} min"


def at_time(seconds: float) -> str:
    """A place in a recording: `0:06.0`, `1:02:30.0`."""
    tenths = round(10 * seconds)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}" if hours else f"{minutes}"
    return f"{clock}:{rest // 10:02d}.{rest % 10}"


def span(values: "pd.Series", form: str = "{:,.0f}") -> str:
    """All values the same: that one; otherwise the smallest and the largest."""
    low, high = form.format(values.min()), form.format(values.max())
    return low if low == high else f"{low}–{high}"


def code(text: str) -> Markup:
    """A text in which names of code stand between backticks."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


FILTERS = {
    "code": code,
    "decimals": decimals,
    "signed": signed,
    "probability": probability,
    "thousands": thousands,
    "duration": duration,
    "at_time": at_time,
}
