"""How far a season is from what the model was trained and chosen on: how it sounds to the model, and what is found.

What is usual is measured, not assumed: validation recordings are halved many times, and how far the halves are from
each other is set beside how far the windows of a site are from one of them. All samples are of the same size, on which
both distances depend.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from tymbal.evaluate.thresholds import read_thresholds
from tymbal.predict.kept import Scores, read_embeddings, read_files
from tymbal.predict.reference import Reference
from tymbal.seeds import derive
from tymbal.tables import read_csv, write_csv

HALVINGS = 20
SAMPLE = 200  # windows, or clips, that are compared at a time
POOL = 1500  # windows of a site that samples are drawn from
FEWEST = 10  # windows, or clips of a half, to compare
FEWEST_RECORDINGS = 4  # of validation, to be halved
FAR = 3.0  # times the usual distance, beyond which a site is unlike; more where sites of validation differ by more
DB = 10 / np.log(10)  # of one unit of log-mel, a natural logarithm of energy

DISTANCE, SCORE, LEVEL = "feature_distance", "score_distance", "level_db"  # measures
LIKE, SOMEWHAT, UNLIKE, UNKNOWN = "like", "somewhat", "unlike", "not known"  # verdicts
DRIFT_TEXT = ("site", "measure", "class", "verdict")
SHARES_TEXT = ("site", "class")


class Heard(NamedTuple):
    """Windows of a season, or clips of a reference, N, as the model hears them."""

    embeddings: np.ndarray  # [N, D]
    scores: np.ndarray  # [N, C]

    def some(self, rows: np.ndarray) -> "Heard":
        """Those at some positions."""
        return Heard(self.embeddings[rows], self.scores[rows])


class Distances(NamedTuple):
    """Of two samples."""

    features: float  # squared Fréchet distance of the embeddings
    scores: np.ndarray  # [C], two-sample Kolmogorov-Smirnov distance of each class's scores


class Drift(NamedTuple):
    """How far something is from the reference, and how far halves of the reference are from each other."""

    found: list[Distances]  # of each halving
    usual: list[Distances]


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of normal distributions fitted to two samples, [N, D] and [M, D].

    Its last term is the trace of (A B)^(1/2) of the covariances A and B: the sum of the singular values of the product
    of the centred samples, which is [N, M] and so small for few samples of many dimensions.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    means = a.mean(axis=0), b.mean(axis=0)
    a, b = ((x - mean) / np.sqrt(len(x)) for x, mean in zip((a, b), means, strict=True))
    small = [np.linalg.qr(x).R for x in (a, b)]  # that product of fewer rows has the same singular values
    root = np.linalg.svd(small[0] @ small[1].T, compute_uv=False).sum()
    distance = ((means[0] - means[1]) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * root
    return max(float(distance), 0.0)


def kolmogorov_smirnov(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Largest difference between the distribution functions of two samples, [N, C] and [M, C], in each column."""
    both = np.concatenate([a, b])
    order = np.argsort(both, axis=0, kind="stable")
    gap = np.abs(np.cumsum(np.where(order < len(a), 1 / len(a), -1 / len(b)), axis=0))
    values = np.take_along_axis(both, order, axis=0)
    last = np.vstack([values[1:] > values[:-1], np.ones_like(values[:1], dtype=bool)])  # of those that are equal
    return np.where(last, gap, 0).max(axis=0)


class Yardstick:
    """Holds samples against validation clips, of which two halves tell what is usual.

    Args:
        clips: N of validation.
        recording: of each clip, [N]; a recording is in one half.
    """

    def __init__(self, clips: Heard, recording: np.ndarray) -> None:
        self._clips = clips
        self._halves = list(_halvings(recording))
        self.smallest = min((len(half) for halves in self._halves for half in halves), default=0)
        self._between = cache(self._between_halves)

    @property
    def usable(self) -> bool:
        """Whether there are enough clips and recordings."""
        return self.smallest >= FEWEST

    def drift(self, windows: Heard, name: str) -> Drift | None:
        """Hold windows against the clips; None if either are too few.

        Args:
            windows: of a site.
            name: of it, from which the draws follow.
        """
        n = min(len(windows.scores), self.smallest, SAMPLE)
        if n < FEWEST:
            return None
        rng = np.random.default_rng(derive(0, "drift", name))
        draws = [rng.choice(len(windows.scores), n, replace=False) for _ in self._halves]
        found = [_distances(self._sample(i, 0, n), windows.some(rows)) for i, rows in enumerate(draws)]
        return Drift(found, self._between(n))

    def _between_halves(self, n: int) -> list[Distances]:
        return [_distances(self._sample(i, 0, n), self._sample(i, 1, n)) for i in range(len(self._halves))]

    def _sample(self, halving: int, half: int, n: int) -> Heard:
        return self._clips.some(self._halves[halving][half][:n])


@dataclass(frozen=True)
class Outputs:
    """Files that a comparison writes."""

    drift: Path  # CSV, a row for each site and measure
    shares: Path  # CSV, a row for each site and class


def compare_with_training(
    scores: Path, embeddings: Path, files: Path, thresholds: Path, reference: Path, outputs: Outputs
) -> None:
    """Hold each site of a season against the validation clips of the model.

    Args:
        scores: of all windows.
        embeddings: likewise.
        files: table of recordings with their sites, in the order of the scores.
        thresholds: JSON, at which a class is detected.
        reference: NPZ, see `Reference`.
        outputs: `drift` has `site, measure, class, value, usual, usual_low, usual_high, far, n, n_reference, verdict`:
            `feature_distance` (squared Fréchet distance of embeddings; means over halvings, `usual_high` the 95th
            percentile between halves), `score_distance` of each class (Kolmogorov-Smirnov, likewise) and `level_db`
            (mean log-mel less that of validation clips, in dB; the usual range holds the middle 95 % of clips).
            `shares` has `site, class, n_windows, n_detected, share, validation_share, training_share, threshold`.
    """
    known = Reference.read(reference)
    table = read_files(files)
    table["site"] = table["site"].str.strip()
    told = Scores(scores)
    limits = np.array([each.threshold for each in read_thresholds(thresholds, told.classes).values()])
    sites = sorted(set(table.loc[table["n_windows"] > 0, "site"]))
    place = {site: i for i, site in enumerate(sites)}
    site_of = dict(zip(table["file"], table["site"], strict=True))
    rows = _rows_of_sites(table, place)

    n_windows, n_detected = np.zeros(len(sites), np.int64), np.zeros((len(sites), len(limits)), np.int64)
    sampled: list[list[np.ndarray]] = [[] for _ in sites]
    begin = 0
    for recording in told.by_file():
        i, n = place[site_of[recording.file]], len(recording.scores)
        n_windows[i] += n
        n_detected[i] += (recording.scores.astype(np.float64) >= limits).sum(axis=0)
        mine = rows[i][slice(*np.searchsorted(rows[i], (begin, begin + n)))] - begin
        sampled[i].append(recording.scores[mine])
        begin += n

    all_embeddings = read_embeddings(embeddings)
    windows = {site: Heard(all_embeddings[rows[i]], np.concatenate(sampled[i])) for site, i in place.items()}
    drift = pd.concat([_drift(known, windows, told.classes), _levels(known, table, sites)])
    write_csv(drift, outputs.drift, float_format="%.6g")
    shares = pd.DataFrame(
        {
            "site": np.repeat(np.array(sites, dtype=object), len(limits)),
            "class": list(told.classes) * len(sites),
            "n_windows": np.repeat(n_windows, len(limits)),
            "n_detected": n_detected.ravel(),
            "share": (n_detected / n_windows[:, None]).ravel(),
            "validation_share": np.tile(_mean(known.scores.astype(np.float64) >= limits), len(sites)),
            "training_share": np.tile(known.prevalence, len(sites)),
            "threshold": np.tile(limits, len(sites)),
        }
    )
    write_csv(shares, outputs.shares, float_format="%.6g")


def read_drift(path: Path) -> pd.DataFrame:
    """Read the table of drift."""
    return read_csv(path, DRIFT_TEXT)


def read_shares(path: Path) -> pd.DataFrame:
    """Read the table of class shares."""
    return read_csv(path, SHARES_TEXT)


def _rows_of_sites(files: pd.DataFrame, place: dict[str, int]) -> list[np.ndarray]:
    """Positions of the windows of each site that are sampled, sorted."""
    n_windows = files["n_windows"].fillna(0).to_numpy(np.int64)
    starts = np.cumsum(n_windows) - n_windows
    chosen = []
    for site in place:
        mine = (files["site"] == site).to_numpy()
        ends = np.cumsum(n_windows[mine])
        rng = np.random.default_rng(derive(0, "pool", site))
        within = np.sort(rng.choice(ends[-1], min(ends[-1], POOL), replace=False))
        file = np.searchsorted(ends, within, side="right")
        chosen.append(starts[mine][file] + within - (ends - n_windows[mine])[file])
    return chosen


def _halvings(recording: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positions of the clips in two halves, each in random order; none if recordings are few."""
    names, of_clip = np.unique(recording, return_inverse=True)
    if len(names) < FEWEST_RECORDINGS:
        return
    rng = np.random.default_rng(derive(0, "halves"))
    for _ in range(HALVINGS):
        first = np.isin(of_clip, rng.permutation(len(names))[: len(names) // 2])
        yield rng.permutation(np.flatnonzero(first)), rng.permutation(np.flatnonzero(~first))


def _distances(a: Heard, b: Heard) -> Distances:
    return Distances(frechet(a.embeddings, b.embeddings), kolmogorov_smirnov(a.scores, b.scores))


def _drift(reference: Reference, windows: dict[str, Heard], classes: tuple[str, ...]) -> pd.DataFrame:
    """Rows of the distances of embeddings and of scores."""
    clips = Heard(reference.embeddings, reference.scores)
    yardstick = Yardstick(clips, reference.recording)
    far = max([FAR, *_between_sites(clips, reference)])
    rows = []
    for site, heard in windows.items():
        told = {"site": site, "n": len(heard.scores), "n_reference": len(clips.scores)}
        drift = yardstick.drift(heard, site)
        if drift is None:
            rows.append({**told, "measure": DISTANCE, "class": "", "verdict": UNKNOWN})
            continue
        found, usual = ([each.features for each in side] for side in drift)
        rows.append({**told, "measure": DISTANCE, "class": "", **_judged(found, usual, far)})
        by_class = [np.array([each.scores for each in side]).T for side in drift]
        rows += [
            {**told, "measure": SCORE, "class": name, **_judged(found, usual, far)}
            for name, found, usual in zip(classes, *by_class, strict=True)
        ]
    columns = ["site", "measure", "class", "value", "usual", "usual_low", "usual_high", "far"]
    return pd.DataFrame(rows, columns=[*columns, "n", "n_reference", "verdict"])


def _between_sites(clips: Heard, reference: Reference) -> Iterator[float]:
    """How many times the usual distance each site of the validation clips is away from the others."""
    for site in sorted(set(reference.site.tolist()) - {""}):
        own = reference.site == site
        rest = Yardstick(clips.some(np.flatnonzero(~own)), reference.recording[~own])
        if drift := rest.drift(clips.some(np.flatnonzero(own)), site):
            found, usual = (float(np.mean([each.features for each in side])) for side in drift)
            if usual > 0:
                yield found / usual


def _judged(found: "list[float] | np.ndarray", usual: "list[float] | np.ndarray", far: float) -> dict[str, object]:
    """What a row says of distances, one of each halving."""
    value, middle, high = float(np.mean(found)), float(np.mean(usual)), float(np.percentile(usual, 95))
    verdict = LIKE if value <= high else SOMEWHAT if value <= far * middle else UNLIKE
    return {"value": value, "usual": middle, "usual_high": high, "far": far * middle, "verdict": verdict}


def _levels(reference: Reference, files: pd.DataFrame, sites: list[str]) -> pd.DataFrame:
    """Rows of the levels: mean log-mel against that of validation clips."""
    levels = reference.log_mel_mean.astype(np.float64) * DB
    rows = []
    for site in sites:
        mine = files[(files["site"] == site) & (files["n_windows"] > 0)]
        row = {"site": site, "measure": LEVEL, "class": "", "n": mine["n_windows"].sum(), "n_reference": len(levels)}
        if len(levels) < 2 * FEWEST:
            rows.append({**row, "verdict": UNKNOWN})
            continue
        value = np.average(mine["log_mel_mean"], weights=mine["n_windows"]) * DB - levels.mean()
        low, high = np.percentile(levels, [2.5, 97.5]) - levels.mean()
        verdict = LIKE if low <= value <= high else SOMEWHAT
        rows.append({**row, "value": value, "usual": 0.0, "usual_low": low, "usual_high": high, "verdict": verdict})
    return pd.DataFrame(rows)


def _mean(detected: np.ndarray) -> np.ndarray:
    """Share of the rows in each column; NaN without rows."""
    return detected.mean(axis=0) if len(detected) else np.full(detected.shape[1], np.nan)
