"""A detection threshold for each class, chosen on validation clips, with the interval of the choice."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from scipy.special import expit, logit

from tymbal.config import Choose
from tymbal.errors import InputError, some
from tymbal.evaluate.bootstrap import Draws, interval
from tymbal.evaluate.weighted import cumulated, parts, ratio
from tymbal.files import read_json, write_json

log = logging.getLogger(__name__)

LEAST = 1e-45  # below every score above 0, so that a threshold of 0 has log-odds

Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Score = Annotated[float, Field(strict=True, ge=0, le=1)]


@dataclass(frozen=True)
class Threshold:
    """Where the score of a class becomes a detection; all beyond it is None where it is not known.

    Args:
        threshold: scores at it and above are detections. To be compared in float64: made float32, as scores are, a
            middle of two neighbouring scores would be one of them.
        f1: of the validation clips, at the threshold, as are precision and recall.
        precision: None also where nothing is detected.
        recall: share of the positive clips that are detected.
        low: 2.5th percentile of the thresholds chosen in bootstrap draws.
        high: 97.5th percentile.
        own: the choice by the class alone.
        overall: the choice for all classes together.
        n_pos: positive validation clips.
        reached: whether `precision` is as high as was wanted; None where a threshold is chosen by F1.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    threshold: Score
    f1: Number | None = None
    precision: Number | None = None
    recall: Number | None = None
    low: Number | None = None
    high: Number | None = None
    own: Number | None = None
    overall: Number | None = None
    n_pos: int | None = None
    reached: bool | None = None


def choose_thresholds(
    scores: np.ndarray,
    targets: np.ndarray,
    keep: np.ndarray,
    classes: Sequence[str],
    choose: Choose,
    draws: Draws,
) -> dict[str, Threshold]:
    """Choose the threshold of each class.

    By F1 it is the threshold with the highest F1, of equals the highest. By precision it is the lowest whose precision
    is as wanted; if none is, the lowest of those with the highest precision. Few positives do not tell a threshold,
    so the log-odds of a class's own choice are drawn towards those of the choice for all classes together (all pairs
    of clip and class as one class): n_pos / (n_pos + shrink) is the weight of its own. In each bootstrap draw all of
    this is done anew.

    Args:
        scores: [N, C] of validation clips.
        targets: [N, C] bool.
        keep: [N, C] bool, cells that count.
        classes: C names.
        choose: by what, and how strongly thresholds are drawn together.
        draws: of the N clips.

    Returns:
        A threshold a class. A class without positives has that of all classes together.

    Raises:
        InputError: no clip is positive for any class.
    """
    if not (targets & keep).any():
        raise InputError(
            f"none of the {len(scores)} validation clips is positive for any class, so that no threshold can be "
            "chosen. Give validation a larger share, or set another evaluation.target_rule."
        )
    clip, _ = np.nonzero(keep)
    overall, _ = _chosen(scores[keep], targets[keep], Draws(draws.group[clip], draws.counts), choose)
    log.info("threshold of all classes together: %.4f", overall[0])
    made = {}
    for c, name in enumerate(classes):
        kept = keep[:, c]
        score, target = scores[kept, c], targets[kept, c]
        own, n_pos = _chosen(score, target, Draws(draws.group[kept], draws.counts), choose)
        drawn = _drawn_together(own, overall, n_pos, choose.shrink)
        low, high, _ = interval(drawn, draws.counts.shape[1])
        made[name] = Threshold(
            threshold=float(drawn[0]),
            **_quality(score >= drawn[0], target, choose),
            low=low,
            high=high,
            own=float(own[0]) if n_pos[0] else None,
            overall=float(overall[0]),
            n_pos=int(n_pos[0]),
        )
    _tell(made, choose)
    return made


def write_thresholds(path: Path, thresholds: Mapping[str, Threshold]) -> None:
    """Write `thresholds.json`: class -> what is known of its threshold."""
    write_json(path, {name: asdict(threshold) for name, threshold in thresholds.items()})


def read_thresholds(path: Path, classes: Sequence[str]) -> dict[str, Threshold]:
    """Read thresholds, ours or anyone's.

    Args:
        path: JSON, class -> threshold, or class -> `{"threshold": 0.71}` with more that is known, by the names that
            `Threshold` has.
        classes: that must be there, and no others.

    Returns:
        A threshold a class, in the order of `classes`.

    Raises:
        InputError: all classes that are missing or not known, all keys that are there twice or not known, and all
            values that are no thresholds.
    """
    again: list[str] = []

    def collected(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        again.extend(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        return dict(pairs)

    content = read_json(path, collected)
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, class -> threshold, found {content!r:.50}.")
    problems = [f"key {key!r}: there more than once" for key in again]
    problems += [f"class {name!r}: missing" for name in classes if name not in content]
    problems += [f"class {name!r}: not one of the model's" for name in content if name not in classes]
    found: dict[str, Threshold] = {}
    for name in [name for name in classes if name in content]:
        told = content[name]
        try:
            found[name] = _ADAPTER.validate_python(told if isinstance(told, dict) else {"threshold": told})
        except ValidationError as error:
            problems += [_problem(name, details) for details in error.errors()]
    if problems:
        remedy = "give every class of the model, and no other, one threshold between 0 and 1"
        raise InputError.listing(str(path), problems, remedy)
    return found


_ADAPTER = TypeAdapter[Threshold](Threshold)


def _problem(name: str, details: Any) -> str:
    key = ".".join(map(str, details["loc"]))
    if details["type"] == "unexpected_keyword_argument":
        known = ", ".join(field.name for field in fields(Threshold)[1:])
        return f"class {name!r}, {key}: not known; beside a threshold there may be {known}"
    value = "" if details["type"] == "missing" else f"found {details['input']!r}; "
    return f"class {name!r}, {key}: {value}{details['msg']}"


def _chosen(scores: np.ndarray, targets: np.ndarray, draws: Draws, choose: Choose) -> tuple[np.ndarray, np.ndarray]:
    """The threshold in each draw, NaN without positives, and the number of positives; [1 + D] each.

    A threshold is the middle between two neighbours of the scores that a draw has, the last of them 0.
    """
    thresholds, n_positive = np.full(len(draws.counts), np.nan), np.zeros(len(draws.counts))
    if not targets.any():
        return thresholds, n_positive
    order = np.argsort(-scores, kind="stable")
    falling, group, positive = scores[order].astype(np.float64), draws.group[order], targets[order]
    end = np.flatnonzero(np.append(falling[1:] < falling[:-1], True)) + 1  # of clips with the same score
    levels = np.append(falling[end - 1], 0)
    for part in parts(len(draws.counts), len(scores)):
        weight = np.take(draws.counts[part], group, axis=1)
        found = cumulated(weight)[:, end]  # at a threshold just below each level
        hits = cumulated(weight * positive)[:, end]
        cut = _best(found, hits, choose)
        n_found = np.take_along_axis(found, cut[:, None], axis=1)
        above, below = levels[(found < n_found).sum(axis=1)], levels[(found <= n_found).sum(axis=1)]
        n_positive[part] = hits[:, -1]
        thresholds[part] = np.where(hits[:, -1] > 0, (above + below) / 2, np.nan)
    return thresholds, n_positive


def _best(found: np.ndarray, hits: np.ndarray, choose: Choose) -> np.ndarray:
    """The position in each row at which the numbers of detections and of hits are best."""
    if choose.by == "f1":
        return np.argmax(2 * hits / np.maximum(found + hits[:, -1:], 1), axis=1)
    precision = hits / np.maximum(found, 1)
    wanted = np.minimum(choose.precision, precision.max(axis=1, keepdims=True))
    return precision.shape[1] - 1 - np.argmax((precision >= wanted)[:, ::-1], axis=1)


def _drawn_together(own: np.ndarray, overall: np.ndarray, n_pos: np.ndarray, shrink: float) -> np.ndarray:
    """Thresholds between a class's own and that of all classes; exactly one of them where there is nothing between."""
    weight = np.nan_to_num(ratio(n_pos, n_pos + shrink))  # 0 without positives
    odds = [logit(np.maximum(each, LEAST)) for each in (overall, own)]
    between = expit((1 - weight) * odds[0] + weight * odds[1])
    return np.select([weight == 0, (weight == 1) | (own == overall)], [overall, own], between)


def _quality(detected: np.ndarray, target: np.ndarray, choose: Choose) -> dict[str, Any]:
    """F1, precision and recall, and whether precision is as wanted; empty without positives."""
    n_pos, n_found, hits = int(target.sum()), int(detected.sum()), int((detected & target).sum())
    if not n_pos:
        return {}
    precision = hits / n_found if n_found else None
    reached = precision is not None and precision >= choose.precision
    return {
        "f1": 2 * hits / (n_found + n_pos),
        "precision": precision,
        "recall": hits / n_pos,
        "reached": reached if choose.by == "precision" else None,
    }


def _tell(thresholds: Mapping[str, Threshold], choose: Choose) -> None:
    if without := [name for name, threshold in thresholds.items() if threshold.own is None]:
        log.warning("no positive validation clips, so that the threshold is that of all classes: %s", some(without))
    if below := [name for name, threshold in thresholds.items() if threshold.reached is False]:
        log.warning("on validation clips, precision %g is not reached: %s", choose.precision, some(below))
