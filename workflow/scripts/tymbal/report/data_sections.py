"""The data sheet of a data set: what came in, how it was split, and what its parts share."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from tymbal.config.data import GivenParts, Holdout, KFold, OfficialFolds, Split
from tymbal.folds import ALL
from tymbal.questions import FOUND, kept_apart, least
from tymbal.report.numbers import span
from tymbal.report.words import share

SHOWN = 20  # rows of a list; the others are counted
NOTES = 3  # different notes on a measure; likewise


def split_section(split: Split, balance: pd.DataFrame) -> dict[str, Any]:
    """How a data set was divided, and which question scores on it answer.

    Args:
        split: its settings.
        balance: its rows of the summary table.
    """
    return {
        "question": kept_apart(split.group),
        "scheme": _scheme(split, balance),
        "parts": _parts(balance),
        "group": split.group,
    }


def audit_section(audit: pd.DataFrame, near_copies: pd.DataFrame, group: str) -> dict[str, Any]:
    """The leak audit of one data set.

    Args:
        audit: its rows of the summary table.
        near_copies: likewise.
        group: what the split keeps together.
    """
    found = least(audit.loc[(audit["measure"] == "question") & (audit["part"] == "test"), "note"].tolist())
    rows = []
    for measure, (title, form) in _measures(group).items():
        mine = audit[audit["measure"] == measure]
        cells = {part: _range(mine.loc[mine["part"] == part, "value"], form) for part in ("val", "test")}
        alarm = measure.endswith(("_shared", "_copies")) and bool((mine["value"] > 0).any())
        rows.append({"title": title, **cells, "note": _notes(mine), "alarm": alarm})
    n_folds = audit["fold"].nunique()
    worst = near_copies.sort_values(["correlation", "clip_id"], ascending=[False, True])
    return {
        "found": found,
        "meaning": FOUND[found],
        "rows": rows,
        "n_folds": n_folds,
        "near_copies": worst.head(SHOWN).to_dict("records"),
        "more_near_copies": max(len(worst) - SHOWN, 0),
    }


def ingest_section(ingest: pd.DataFrame, quarantine: pd.DataFrame) -> dict[str, Any]:
    """How one data set was taken in, from its rows of the summary tables."""
    told = {str(kind): dict(zip(rows["what"], rows["told"], strict=True)) for kind, rows in ingest.groupby("kind")}
    counts = told["count"]
    return {
        "counts": [(title, form(float(counts[key]))) for key, (title, form) in _COUNTS.items()],
        "facts": [fact for fact in told.get("fact", {}).items() if fact[1] != "0"],
        "warnings": ingest.loc[ingest["kind"] == "warning", "told"].tolist(),
        "n_quarantined": int(counts["n_quarantined"]),
        "share_quarantined": float(counts["share_quarantined"]),
        "by_kind": list(told.get("quarantined", {}).items()),
        "quarantine": quarantine.head(SHOWN).to_dict("records"),
        "more_quarantine": max(len(quarantine) - SHOWN, 0),
    }


def _scheme(split: Split, balance: pd.DataFrame) -> str:
    match split:
        case Holdout():
            return (
                f"One split: {share(balance, 'train')} of the labelled clips train, {share(balance, 'val')} choose "
                f"epoch, thresholds and calibration, {share(balance, 'test')} test."
            )
        case GivenParts(val=None):
            return "The data set's own parts: it says of each clip whether it trains, validates or tests."
        case GivenParts():
            folds = "The data set's own parts: it says of each clip whether it trains or tests."
        case KFold():
            folds = f"{split.n_folds} folds: every labelled clip is in the test part of exactly one."
        case OfficialFolds():
            folds = f"The data set's own {split.n_folds} folds, each the test part once."
    chosen = "choose epoch, thresholds and calibration"
    return f"{folds} Of the clips not tested, {share(balance, 'val', ('train', 'val'))} {chosen}, and the rest train."


def _parts(balance: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Title, clips and groups of each part, as a range over folds."""
    sizes = balance[balance["class"] == ALL]
    titles = {"train": "Training", "val": "Validation", "test": "Test"}
    parts = ((title, sizes[sizes["part"] == part]) for part, title in titles.items())
    return [(title, span(rows["n_clips"]), span(rows["n_groups"])) for title, rows in parts]


def _measures(group: str) -> dict[str, tuple[str, Callable[[float], str]]]:
    """Title and form of each measure that is shown, in this order."""
    told_below = group in ("recording", "site", "site-day")
    own = {} if told_below else {"groups_shared": (f"{group.capitalize()}s also in training", _count)}
    return {
        **own,
        "recordings_shared": ("Recordings also in training", _count),
        "contents_shared": ("Files with the content of a training file", _count),
        "near_copies": ("Near copies of training clips", _count),
        "sites_seen": ("Sites also in training", _percent),
        "site_days_seen": ("Days at a site also in training", _percent),
        "under_1h": ("Clips within 1 h of a training clip, same site", _percent),
        "under_12h": ("Clips within half a day of a training clip, same site", _percent),
        "gap_h_median": ("Time to the nearest of these, median", _span),
        "classes_absent": ("Classes without a positive clip", _count),
        "classes_few": ("Classes with 1 to 4 positive groups", _count),
        "class_furthest": ("Class furthest from its share, distance", _percent),
    }


def _range(values: "pd.Series[float]", form: Callable[[float], str]) -> str:
    """The smallest and the largest over folds, or the one they all are; empty where nothing is known."""
    known = values.dropna()
    if known.empty:
        return ""
    low, high = form(known.min()), form(known.max())
    if low == high:
        return low
    (low, *unit), (_, *other) = low.split(), high.split()
    return f"{low}–{high}" if unit == other else " ".join([low, *unit, "–", high])


def _notes(rows: pd.DataFrame) -> str:
    """The notes on a measure, each with its part and fold unless it holds for all."""
    notes = rows[rows["note"] != ""]
    different = notes["note"].unique()
    if len(different) == 1 and len(notes) == len(rows):
        return str(different[0])
    several = len(rows["fold"].unique()) > 1
    told = [
        f"{'fold ' + str(fold) + ', ' if several else ''}{part}: {note}"
        for fold, part, note in zip(notes["fold"], notes["part"], notes["note"], strict=True)
    ]
    return "; ".join(told[:NOTES]) + (f"; {len(told) - NOTES} more in audit.csv" if len(told) > NOTES else "")


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _percent(value: float) -> str:
    if 0 < value < 0.0005:
        return "< 0.1 %"
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:,.1f} h" if hours < 100 else f"{hours:,.0f} h"


def _span(hours: float) -> str:
    return _hours(hours) if hours < 48 else f"{hours / 24:,.0f} days"


_COUNTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "n_clips": ("Clips", _count),
    "n_files": ("Files", _count),
    "hours": ("Audio", _hours),
    "recordings": ("Recordings", _count),
    "sites": ("Sites", _count),
    "unlabelled": ("Unlabelled clips", _count),
}


def texts(sections: Sequence[dict[str, Any]]) -> list[str]:
    """Every text of users' own in some sections, for which the page may have to bring the font."""
    found: list[str] = []
    for section in sections:
        for key in ("near_copies", "quarantine"):
            found += [str(cell) for row in section.get(key, ()) for cell in row.values()]
        found += [text for fact in section.get("facts", ()) for text in fact] + section.get("warnings", [])
        found += [row["note"] for row in section.get("rows", ())]
    return found
