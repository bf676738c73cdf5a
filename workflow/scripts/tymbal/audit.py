"""Leak audit: what held-out clips share with training clips, and so which question a score answers.

A split keeps what it was told to keep apart; this looks at the clips themselves, whatever the split was told.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tymbal.copies import Copies, Frames
from tymbal.folds import ALL, UNLABELLED
from tymbal.groups import check_split, day, group_names, recording_names, text
from tymbal.questions import NEW_PLACES, NIGHTS_UNKNOWN, OTHER_NIGHTS, PLACES_UNKNOWN, SAME_NIGHTS

log = logging.getLogger(__name__)

HELD_OUT = ("val", "test")
NIGHT_H = 12.0  # a clip nearer than this is of the same night, also past midnight
FEW = 5  # positive groups of a class in a part; with fewer, one group decides the class's score
NEAR_COPIES = ["fold", "part", "clip_id", "train_clip_id", "cosine", "correlation"]


@dataclass(frozen=True)
class Fact:
    """One measure of a held-out part; `value` is None where it is not known, which is not 0."""

    measure: str
    value: float | None
    note: str = ""


def audit(
    manifest: pd.DataFrame, folds: pd.DataFrame, balance: pd.DataFrame, group: str, frames: Frames | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare the validation and the test clips of every fold with its training clips.

    Args:
        manifest: the clips.
        folds: their parts, as `split_folds` gives them.
        balance: likewise.
        group: what the split keeps together.
        frames: features of a clip, [T, F] log-mel, such as `FeatureStore.frames`; None before there are any, when
            near copies are not known.

    Returns:
        audit: `fold, part, measure, value, note`; the measures are those of `_facts`.
        near copies: `fold, part, clip_id, train_clip_id, cosine, correlation`; most alike first in each part.

    Raises:
        InputError: a group or a file is in two parts, or the folds are not of this manifest.
    """
    check_split(folds, manifest, group)
    labelled = folds.loc[(folds["fold"] == 1) & (folds["part"] != UNLABELLED), "clip_id"]
    clips = _clips(manifest[manifest["clip_id"].isin(labelled)].sort_values("clip_id", ignore_index=True), group)
    copies = None if frames is None else Copies(clips["clip_id"].tolist(), frames)
    rows, near = [], []
    for fold, mine in folds.groupby("fold"):
        part = clips["clip_id"].map(mine.set_index("clip_id")["part"])
        train = np.flatnonzero(part == "train")
        for name in HELD_OUT:
            held_out = np.flatnonzero(part == name)
            found = [] if copies is None else copies.find(held_out, train)
            n_copies = None if copies is None else len(found)
            classes = balance[(balance["fold"] == fold) & (balance["part"] == name) & (balance["class"] != ALL)]
            facts = list(_facts(clips.iloc[held_out], clips.iloc[train], n_copies, classes))
            rows += [(fold, name, fact.measure, fact.value, fact.note) for fact in facts]
            answer = next(fact.note for fact in facts if fact.measure == "question")
            log.info("fold %s, %s: %s; near copies of training clips: %s", fold, name, answer, n_copies)
            near += [(fold, name, *pair) for pair in found]
    columns = ["fold", "part", "measure", "value", "note"]
    return pd.DataFrame(rows, columns=columns), pd.DataFrame(near, columns=NEAR_COPIES)


def _clips(manifest: pd.DataFrame, group: str) -> pd.DataFrame:
    """What the audit asks of each clip; text is empty and time NaT where it is not known."""
    site, date = text(manifest["site"]), day(manifest)
    started = text(manifest["recorded_at"])
    clock = pd.to_datetime(started.where(started.str.len() > len("2024-01-05")), format="ISO8601")
    time = clock + pd.to_timedelta(manifest["start_s"], unit="s")
    date = time.dt.strftime("%Y-%m-%d").fillna(date)  # a window may be of the day after its recording began
    return pd.DataFrame(
        {
            "clip_id": manifest["clip_id"],
            "group": group_names(manifest, group),
            "recording": recording_names(manifest),
            "content": manifest["sha256"],
            "site": site,
            "site_day": (site + " " + date).where((site != "") & (date != ""), ""),
            "time": time.where(site != ""),
        }
    )


def _facts(held: pd.DataFrame, train: pd.DataFrame, n_copies: int | None, classes: pd.DataFrame) -> Iterator[Fact]:
    """All measures of one part of one fold against its training part, both as `_clips` gives them."""
    for what in ("group", "recording", "content"):
        yield Fact(f"{what}s_shared", len(set(held[what]) & set(train[what])))
    yield Fact("near_copies", n_copies, "not known: no features" if n_copies is None else "")

    site_days = _seen(held, train, "site_day", "site and date")
    sites = _seen(held, train, "site", "site")
    yield from (Fact("sites_seen", *sites), Fact("site_days_seen", *site_days))
    hours = _hours(held, train)
    yield from _gaps(held, hours)
    same_night = hours is not None and bool((hours < NIGHT_H).any())
    yield Fact("question", None, _question(held, train, sites[0], site_days[0], same_night))

    n_groups = classes.set_index("class")["n_groups"]
    for measure, few in (
        ("classes_absent", n_groups[n_groups == 0]),
        ("classes_few", n_groups[(n_groups > 0) & (n_groups < FEW)]),
    ):
        yield Fact(measure, len(few), ", ".join(f"{name} ({n})" if n else str(name) for name, n in few.items()))
    furthest = classes.iloc[classes["residual"].abs().argmax()]
    note = f"{furthest['class']}: {100 * furthest['share']:.1f} % for {100 * furthest['target_share']:.1f} %"
    yield Fact("class_furthest", float(abs(furthest["residual"])), note)


def _seen(held: pd.DataFrame, train: pd.DataFrame, column: str, what: str) -> tuple[float | None, str]:
    """The share of the held-out values of a column that are also in training."""
    values = held.loc[held[column] != "", column]
    if values.empty or (train[column] == "").all():
        return None, f"not known: no {what}"
    return len(set(values) & set(train[column])) / values.nunique(), _of(len(values), len(held))


def _hours(held: pd.DataFrame, train: pd.DataFrame) -> np.ndarray | None:
    """Hours from each held-out clip of known site and time to the nearest training clip of its site, infinite without
    one; None if nothing is known.
    """
    timed, times = held.dropna(subset="time"), train.dropna(subset="time")
    if timed.empty or times.empty:
        return None
    known = dict(iter(times.groupby("site")["time"]))
    return np.concatenate(
        [
            _nearest(mine["time"].to_numpy(), known[site].to_numpy()) if site in known else np.full(len(mine), np.inf)
            for site, mine in timed.groupby("site")
        ]
    )


def _gaps(held: pd.DataFrame, hours: np.ndarray | None) -> Iterator[Fact]:
    """How far in time the nearest training clip of the same site is."""
    if hours is None:
        measures = ("gap_h_median", "under_1h", "under_12h")
        yield from (Fact(measure, None, "not known: no site and time") for measure in measures)
        return
    near, note = hours[np.isfinite(hours)], _of(len(hours), len(held))
    n_new = len(hours) - len(near)
    elsewhere = f"{n_new} of {len(hours)} clips: site not in training" if n_new else ""
    median = float(np.median(near)) if len(near) else None
    yield Fact("gap_h_median", median, "; ".join(filter(None, (note, elsewhere))))
    yield Fact("under_1h", float((hours < 1).mean()), note)
    yield Fact("under_12h", float((hours < NIGHT_H).mean()), note)


def _nearest(times: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Hours from each time to the nearest of the others."""
    others = np.sort(others)
    after = np.searchsorted(others, times).clip(0, len(others) - 1)
    distance = np.minimum(np.abs(others[after] - times), np.abs(others[np.maximum(after - 1, 0)] - times))
    return distance / np.timedelta64(1, "h")


def _question(
    held: pd.DataFrame, train: pd.DataFrame, sites: float | None, site_days: float | None, same_night: bool
) -> str:
    """What a score answers. What some clips do not tell is not claimed."""
    unplaced, undated = ((held[column] == "").any() or (train[column] == "").any() for column in ("site", "site_day"))
    if sites is None or (sites == 0 and unplaced):
        return PLACES_UNKNOWN
    if sites == 0:
        return NEW_PLACES
    if site_days or same_night:
        return SAME_NIGHTS
    return NIGHTS_UNKNOWN if undated else OTHER_NIGHTS


def _of(n: int, total: int) -> str:
    return "" if n == total else f"of {n:,} of {total:,} clips, the others not known"
