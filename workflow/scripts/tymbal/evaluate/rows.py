"""Rows of results: a figure with its interval, and the rule for what cannot be evaluated.

A value that is undefined is None with a note, never 0, and is left out of means; the number of classes behind a mean
stands beside it. The same holds in each draw of a bootstrap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tymbal.evaluate.bootstrap import interval
from tymbal.evaluate.weighted import ratio

NO_CLIPS = "no clips"
NO_POSITIVES = "not evaluable (0 positives)"


@dataclass(frozen=True)
class MetricRow:
    """One figure.

    Args:
        metric: its name.
        class_name: the class, or "" for a figure over classes.
        value: None where it is undefined; `note` says why.
        n_pos: positive clips behind it, summed over classes.
        n_classes: classes behind it.
        n_clips: clips behind it, or recordings where these are the unit.
        n_groups: groups that samples are drawn of; None if nothing is drawn.
        note: "" if there is nothing to say.
        thresholds: `fixed` or `chosen`; "" for a metric that needs none.
        unit: what is scored: `clip`, or recordings by the `recording-max` or `recording-mean` of their clips.
        slice: what the clips were divided by, "" for all clips.
        level: which of the slice's parts.
        low: lower end of the 95 % interval; None without draws, or if it is infinite, as `note` then says.
        high: upper end.
        draws: draws in which the figure is defined.
        drawn: the value and then its draws, [1 + D], NaN where undefined; may be infinite.
    """

    metric: str
    class_name: str
    value: float | None
    n_pos: int
    n_classes: int
    n_clips: int
    n_groups: int | None = None
    note: str = ""
    thresholds: str = ""
    unit: str = "clip"
    slice: str = ""
    level: str = ""
    low: float | None = None
    high: float | None = None
    draws: int = 0
    drawn: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        names = ["thresholds", "unit", "slice", "level", "value", "low", "high", "draws"]
        names += ["n_pos", "n_clips", "n_groups", "n_classes", "note"]
        return {"metric": self.metric, "class": self.class_name, **{name: getattr(self, name) for name in names}}


@dataclass(frozen=True)
class Rows:
    """Makes the rows of one set of clips.

    Args:
        classes: C names.
        n_pos: positive clips of each, [C].
        n_kept: clips of each that count, [C].
        n_clips: of all classes.
        n_groups: as in `MetricRow`.
    """

    classes: Sequence[str]
    n_pos: np.ndarray
    n_kept: np.ndarray
    n_clips: int
    n_groups: int | None

    def by_class(
        self, metric: str, values: np.ndarray, why_not: Sequence[str] = (), thresholds: str = ""
    ) -> list[MetricRow]:
        """A row a class.

        Args:
            metric: its name.
            values: [1 + D, C].
            why_not: what makes the value of each class undefined if that is not a lack of clips or of positives.
            thresholds: their name.
        """
        rows = []
        for c, (name, drawn) in enumerate(zip(self.classes, values.T, strict=True)):
            n_pos, n_clips, defined = int(self.n_pos[c]), int(self.n_kept[c]), bool(np.isfinite(drawn[0]))
            figure = measured(drawn, self.n_groups)
            note = "" if defined else why_not[c] if n_pos else NO_POSITIVES if n_clips else NO_CLIPS
            row = MetricRow(
                metric=metric,
                class_name=name,
                n_pos=n_pos,
                n_classes=int(defined),
                n_clips=n_clips,
                n_groups=self.n_groups,
                note=note or unbounded(figure),
                thresholds=thresholds,
                **figure,
            )
            rows.append(row)
        return rows

    def mean(self, metric: str, values: np.ndarray, thresholds: str = "") -> MetricRow:
        """Mean over the classes in which a metric is defined, in each draw those of the draw.

        Args:
            metric: its name.
            values: [1 + D, C].
            thresholds: their name.
        """
        defined = np.isfinite(values)
        drawn = ratio(np.where(defined, values, 0).sum(axis=1), defined.sum(axis=1))
        without = [name for name, known in zip(self.classes, defined[0], strict=True) if not known]
        notes = [f"without {', '.join(without)}"] if without else []
        if n_fewer := int((defined[1:].sum(axis=1) < defined[0].sum()).sum()):
            notes.append(f"{n_fewer} of {len(values) - 1} draws are of fewer classes")
        return self.overall(metric, drawn, "; ".join(notes), thresholds, defined[0])

    def overall(
        self, metric: str, drawn: np.ndarray, note: str, thresholds: str = "", of: np.ndarray | None = None
    ) -> MetricRow:
        """A row over classes.

        Args:
            metric: its name.
            drawn: [1 + D].
            note: what is to say.
            thresholds: their name.
            of: classes behind it, [C] bool; None for all.
        """
        of = np.full(len(self.classes), np.isfinite(drawn[0])) if of is None else of
        return MetricRow(
            metric=metric,
            class_name="",
            n_pos=int(self.n_pos[of].sum()),
            n_classes=int(of.sum()),
            n_clips=self.n_clips,
            n_groups=self.n_groups,
            note=note,
            thresholds=thresholds,
            **measured(drawn, self.n_groups),
        )


def measured(drawn: np.ndarray, n_groups: int | None) -> dict[str, Any]:
    """What a row holds of a figure: value, interval and draws.

    Args:
        drawn: [1 + D], NaN where undefined; d' may be infinite.
        n_groups: as in `MetricRow`.
    """
    low, high, draws = interval(drawn, n_groups or 0)
    value = float(drawn[0]) if np.isfinite(drawn[0]) else None
    return {"value": value, "low": low, "high": high, "draws": draws, "drawn": drawn}


def unbounded(figure: Mapping[str, Any]) -> str:
    """Which ends of the interval of a figure, as `measured` tells it, are infinite; "" if none is."""
    ends = [end for end in ("low", "high") if figure["draws"] and figure[end] is None]
    return f"{' and '.join(ends)} infinite" if ends else ""
