"""Which clips train, choose the epoch and test: folds that are grouped, stratified and the same everywhere.

Clips of one group (a recording, or a site) always share a part. Clips without labels are in no part of any fold.
`stratify.py` holds the method; here are the schemes, the checks and the tables.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tymbal.config import Holdout, KFold, OfficialFolds
from tymbal.errors import InputError
from tymbal.folds import ALL, PARTS, UNLABELLED
from tymbal.ingest.manifest import LABEL, class_names
from tymbal.seeds import derive
from tymbal.stratify import divide

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Groups:
    """The groups of labelled clips, sorted by name, so that the order of the manifest's rows does not matter.

    Attributes:
        kind: "recording" or "site".
        clips: N labelled rows of the manifest, sorted by clip_id.
        of_clip: [N] group of each clip.
        classes: C class names.
        weights: [G, C + 1] sum of label weights; the last column is the number of clips.
        positives: [G, C + 1] clips with a weight above 0; the last column is the number of clips.
    """

    kind: str
    clips: pd.DataFrame
    of_clip: np.ndarray
    classes: list[str]
    weights: np.ndarray
    positives: np.ndarray


def split_folds(manifest: pd.DataFrame, split: Holdout | KFold | OfficialFolds) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the clips of a manifest into folds of train, val and test.

    Args:
        manifest: one row a clip, in any order.
        split: the scheme, its shares, the grouping and the seed.

    Returns:
        folds: `fold, clip_id, part`; every clip once a fold, part train, val, test or unlabelled; folds from 1.
        balance: `fold, part, class, n_clips, n_groups, weight, share, target_share, residual`; of a class the
            positive clips, their groups, and the part's share of the class's weight; class "(all)" for sizes.

    Raises:
        InputError: a clip without group, copies of a clip in two groups, a class without positive clip, too few
            groups, or official folds that are incomplete or cut a group.
    """
    groups = _groups(manifest, split.group)
    parts = _holdout(groups, split) if isinstance(split, Holdout) else _folds(groups, split)
    labelled = [
        pd.DataFrame({"fold": fold, "clip_id": groups.clips["clip_id"], "part": np.array(PARTS)[of_group]})
        for fold, of_group in enumerate(parts[:, groups.of_clip], start=1)
    ]
    others = manifest.loc[~manifest["clip_id"].isin(groups.clips["clip_id"]), ["clip_id"]]
    unlabelled = [others.assign(fold=fold, part=UNLABELLED) for fold in range(1, split.n_folds + 1)]
    folds = pd.concat(labelled + unlabelled).sort_values(["fold", "clip_id"], ignore_index=True)
    check_split(folds, manifest, split.group)
    balance = _balance(groups, parts, split)
    _report(groups, balance, n_unlabelled=len(others))
    return folds, balance


def check_split(folds: pd.DataFrame, manifest: pd.DataFrame, group: str) -> None:
    """Verify what every split must keep, whoever made it.

    Args:
        folds: `fold, clip_id, part`.
        manifest: the clips.
        group: column of the manifest that must not be cut.

    Raises:
        InputError: a clip not exactly once in a fold, or a group or a file's content in two parts of a fold.
    """
    problems = []
    for fold, rows in folds.groupby("fold"):
        times = rows["clip_id"].value_counts().reindex(manifest["clip_id"].unique(), fill_value=0)
        problems += [
            f"fold {fold}: clip {clip} is there {n} times, expected once" for clip, n in times.items() if n != 1
        ]
        strangers = rows.loc[~rows["clip_id"].isin(manifest["clip_id"]), "clip_id"]
        problems += [f"fold {fold}: clip {clip} is not in the manifest" for clip in strangers]
        used = rows[rows["part"] != UNLABELLED].merge(manifest, on="clip_id")
        for what in (group, "sha256"):
            found = _crossing(used[what], used["part"])
            problems += [f"fold {fold}: {what} {name} is in {' and '.join(parts)}" for name, parts in found.items()]
    if problems:
        raise InputError.listing("folds that leak", problems, "delete folds.csv and run the split again")


def _groups(manifest: pd.DataFrame, kind: str) -> Groups:
    """Gather the labelled clips by group, after checking that they can be split at all."""
    manifest = manifest.sort_values("clip_id", ignore_index=True)
    classes = class_names(manifest)
    weights = manifest[[LABEL + name for name in classes]].to_numpy(dtype=np.float64)  # [N, C]
    labelled = ~np.isnan(weights).all(axis=1)
    assert not np.isnan(weights[labelled]).any(), "a clip is labelled for all classes or for none"

    names = manifest[kind].fillna("").astype(str)
    if nameless := manifest.loc[names.str.strip() == "", "clip_id"].tolist():
        remedy = f"let the table or `name_pattern` give every clip a {kind}" + (
            ", or set `split.group: recording`" if kind == "site" else ""
        )
        raise InputError.listing(f"clips without a {kind}, by which the split groups them", nameless, remedy)
    clips, names, weights = manifest[labelled], names[labelled], weights[labelled]
    if copies := _crossing(clips["sha256"], names):
        ids = clips.groupby("sha256")["clip_id"].agg(", ".join)
        problems = [f"{ids[content]}: same content, {kind}s {', '.join(found)}" for content, found in copies.items()]
        raise InputError.listing(
            f"files that are copies of each other, in more than one {kind}",
            problems,
            "keep one of the copies and remove the others from the data set; else a model could be tested on a clip "
            "it was trained on",
        )
    absent = [name for name, column in zip(classes, weights.T, strict=True) if not column.any()]
    if absent:
        raise InputError.listing(
            f"classes without a single positive clip among {len(clips)} labelled clips",
            absent,
            "remove them from `classes`, or label clips of them",
        )

    unique, of_clip = np.unique(names.to_numpy(dtype=object), return_inverse=True)
    columns = np.column_stack([weights, np.ones(len(clips))])  # [N, C + 1]
    by_group = np.zeros((len(unique), columns.shape[1]))
    positives = np.zeros_like(by_group, dtype=np.int64)
    np.add.at(by_group, of_clip, columns)
    np.add.at(positives, of_clip, columns > 0)
    return Groups(kind, clips, of_clip, classes, by_group, positives)


def _holdout(groups: Groups, split: Holdout) -> np.ndarray:
    """One division into three: [1, G] codes of PARTS."""
    everyone = np.arange(len(groups.weights))
    return _divide(groups, everyone, _shares(split), derive(split.seed, "split", "parts"), "train, val and test")[None]


def _folds(groups: Groups, split: KFold | OfficialFolds) -> np.ndarray:
    """Each group tests in one fold; of the others, some validate: [K, G] codes of PARTS."""
    everyone = np.arange(len(groups.weights))
    if isinstance(split, KFold):
        shares = [1 / split.n_folds] * split.n_folds
        seed = derive(split.seed, "split", "folds")
        tests_in = _divide(groups, everyone, shares, seed, f"{split.n_folds} test folds (`split.n_folds`)")
    else:
        tests_in = _official(groups, split.n_folds)
    parts = np.full((split.n_folds, len(everyone)), PARTS.index("test"))
    for k, part in enumerate(parts):
        rest = np.flatnonzero(tests_in != k)
        seed = derive(split.seed, "split", "val", k + 1)
        part[rest] = _divide(groups, rest, (1 - split.val, split.val), seed, f"train and val of fold {k + 1}")
    return parts


def _divide(groups: Groups, which: np.ndarray, shares: Sequence[float], seed: int, purpose: str) -> np.ndarray:
    """Divide the groups `which` [M]: [M] indices of `shares`."""
    if len(which) < len(shares):
        other = "group by recording (`split.group`), or " if groups.kind == "site" else ""
        raise InputError(
            f"too few {groups.kind}s with labelled clips: {purpose} need at least {len(shares)}, found {len(which)}. "
            f"What to do: {other}label clips of more {groups.kind}s."
        )
    return divide(groups.weights[which], shares, seed)


def _official(groups: Groups, n_folds: int) -> np.ndarray:
    """The data set's own fold of each group, from 0: [G]."""
    clips, names = groups.clips, groups.clips[groups.kind]
    given = pd.to_numeric(clips["fold"], errors="coerce")
    wrong = clips[~given.isin(range(1, n_folds + 1))]
    problems = [
        f"clip {clip}: fold {'is empty' if pd.isna(fold) or fold == '' else fold}, expected 1 to {n_folds}"
        for clip, fold in zip(wrong["clip_id"], wrong["fold"], strict=True)
    ]
    problems += [f"fold {fold} has no labelled clip" for fold in range(1, n_folds + 1) if not (given == fold).any()]
    problems += [
        f"{groups.kind} {name} is in folds {' and '.join(folds)}"
        for name, folds in _crossing(names, clips["fold"].astype(str)).items()
    ]
    if problems:
        raise InputError.listing(
            "official folds",
            problems,
            "correct the table's fold column and `split.n_folds`, or use `split.scheme: kfold`",
        )
    folds = np.zeros(len(groups.weights), dtype=np.int64)
    folds[groups.of_clip] = given.to_numpy(dtype=np.int64) - 1
    return folds


def _shares(split: Holdout | KFold | OfficialFolds) -> tuple[float, float, float]:
    """The wanted shares of PARTS in all labelled clips."""
    if isinstance(split, Holdout):
        return split.train, split.val, split.test
    rest = 1 - 1 / split.n_folds
    return rest * (1 - split.val), rest * split.val, 1 / split.n_folds


def _balance(groups: Groups, parts: np.ndarray, split: Holdout | KFold | OfficialFolds) -> pd.DataFrame:
    """What each part of each fold holds, from the groups' `parts` [K, G]."""
    totals = groups.weights.sum(axis=0)
    tables = []
    for fold, part in enumerate(parts, start=1):
        for code, target in enumerate(_shares(split)):
            mine = part == code
            weight = groups.weights[mine].sum(axis=0)  # [C + 1]
            table = {
                "fold": fold,
                "part": PARTS[code],
                "class": [*groups.classes, ALL],
                "n_clips": groups.positives[mine].sum(axis=0),
                "n_groups": (groups.positives[mine] > 0).sum(axis=0),
                "weight": weight.round(6),
                "share": (weight / totals).round(6),
                "target_share": round(target, 6),
                "residual": (weight / totals - target).round(6),
            }
            tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def _report(groups: Groups, balance: pd.DataFrame, n_unlabelled: int) -> None:
    """Log sizes, the classes furthest from their shares, and what cannot be learnt or evaluated."""
    log.info("%d labelled clips of %d %ss", len(groups.clips), len(groups.weights), groups.kind)
    if n_unlabelled:
        log.info("%d unlabelled clips are in no part", n_unlabelled)
    in_all = dict(zip(groups.classes, (groups.positives > 0).sum(axis=0), strict=False))
    for fold, rows in balance.groupby("fold"):
        sizes = rows[rows["class"] == ALL]
        classes = rows[rows["class"] != ALL]
        worst = classes.iloc[classes["residual"].abs().argmax()]
        log.info(
            "fold %d: %s clips; class furthest from its share: %s, %.1f %% for %.1f %% in %s",
            fold,
            ", ".join(f"{part} {n}" for part, n in zip(sizes["part"], sizes["n_clips"], strict=True)),
            *(worst["class"], 100 * worst["share"], 100 * worst["target_share"], worst["part"]),
        )
        for part, missing in classes[classes["n_clips"] == 0].groupby("part", sort=False)["class"]:
            named = ", ".join(f"{name} ({in_all[name]} {groups.kind}s in all)" for name in missing)
            effect = "cannot be learnt" if part == "train" else "not evaluable"
            log.warning("fold %d: %s in %s, no positive clip: %s", fold, effect, part, named)


def _crossing(values: pd.Series, units: pd.Series) -> dict[str, list[str]]:
    """The values found in more than one unit, each with its units, all sorted."""
    pairs = pd.DataFrame({"value": values.to_numpy(), "unit": units.to_numpy()}).drop_duplicates()
    found = pairs.sort_values(["value", "unit"]).groupby("value")["unit"].agg(list)
    return {str(value): several for value, several in found.items() if len(several) > 1}
