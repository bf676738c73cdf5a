"""Which clips train, choose the epoch and test: folds that are grouped, stratified and the same everywhere.

Clips of one group (a recording, a night at a site, a site) always share a part, and of the training part nested
subsets are drawn by group. Clips without labels are in no part of any fold. `groups.py` says what a group is and
`stratify.py` holds the method; here are the schemes, the checks and the tables.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tymbal.config.data import SUBSETS, GivenParts, Holdout, KFold, Split
from tymbal.errors import InputError
from tymbal.folds import ALL, PARTS, UNLABELLED
from tymbal.groups import check_groups, check_split, crossing, group_names, text
from tymbal.ingest.manifest import LABEL, class_names
from tymbal.seeds import derive
from tymbal.stratify import divide

log = logging.getLogger(__name__)

TRAIN = PARTS.index("train")


@dataclass(frozen=True)
class Groups:
    """The groups of labelled clips, sorted by name, so that the order of the manifest's rows does not matter.

    Attributes:
        kind: what the groups are, such as "recording" or "site-day".
        names: G names.
        clips: N labelled rows of the manifest, sorted by clip_id.
        of_clip: [N] group of each clip.
        classes: C class names.
        weights: [G, C + 1] sum of label weights; the last column is the number of clips.
        positives: [G, C + 1] clips with a weight above 0; the last column is the number of clips.
    """

    kind: str
    names: np.ndarray
    clips: pd.DataFrame
    of_clip: np.ndarray
    classes: list[str]
    weights: np.ndarray
    positives: np.ndarray


def split_folds(manifest: pd.DataFrame, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide the clips of a manifest into folds of train, val and test.

    Args:
        manifest: one row a clip, in any order.
        split: the scheme, its shares, the grouping and the seed.

    Returns:
        folds: `fold, clip_id, part, subset`; every clip once a fold, part train, val, test or unlabelled; folds from
            1; subset: of a training clip the smallest of the nested subsets that holds it, in percent of the part.
        balance: `fold, part, class, n_clips, n_groups, weight, share, target_share, residual`; of a class the
            positive clips, their groups, and the part's share of the class's weight; class "(all)" for sizes.

    Raises:
        InputError: a clip without group, copies of a clip or clips of a recording in two groups, a class without
            positive clip, too few groups, or folds or parts of the data set that are incomplete or cut a group.
    """
    manifest = manifest.sort_values("clip_id", ignore_index=True)
    groups = _groups(manifest, split.group)
    parts = _parts(groups, split)  # [K, G]
    subsets = np.stack([_subsets(groups, part, split.seed, fold) for fold, part in enumerate(parts, start=1)])
    folds = _table(manifest["clip_id"], groups, parts, subsets)
    check_split(folds, manifest, split.group)
    balance = _balance(groups, parts, split)
    _report(groups, balance, subsets, n_unlabelled=len(manifest) - len(groups.clips))
    return folds, balance


def _groups(manifest: pd.DataFrame, kind: str) -> Groups:
    """Gather the labelled clips by group, after checking that they can be split at all."""
    classes = class_names(manifest)
    weights = manifest[[LABEL + name for name in classes]].to_numpy(dtype=np.float64)  # [N, C]
    labelled = ~np.isnan(weights).all(axis=1)
    clips, weights = manifest[labelled], weights[labelled]
    assert not np.isnan(weights).any(), "a clip is labelled for all classes or for none"
    names = group_names(clips, kind)
    check_groups(clips, names, kind)
    absent = [name for name, column in zip(classes, weights.T, strict=True) if not column.any()]
    if absent:
        raise InputError.listing(
            f"classes without a single positive clip among {len(clips)} labelled clips",
            absent,
            "remove them from `classes`, or label clips of them",
        )

    of_clip, unique = pd.factorize(names, sort=True)
    columns = np.column_stack([weights, np.ones(len(clips))])  # [N, C + 1]
    by_group = np.zeros((len(unique), columns.shape[1]))
    positives = np.zeros_like(by_group, dtype=np.int64)
    np.add.at(by_group, of_clip, columns)
    np.add.at(positives, of_clip, columns > 0)
    return Groups(kind, np.asarray(unique), clips, of_clip, classes, by_group, positives)


def _parts(groups: Groups, split: Split) -> np.ndarray:
    """The part of each group in each fold: [K, G] codes of PARTS."""
    everyone = np.arange(len(groups.weights))
    if isinstance(split, Holdout):
        shares = (split.train, split.val, split.test)
        return _divide(groups, everyone, shares, derive(split.seed, "split", "parts"), "train, val and test")[None]
    if isinstance(split, GivenParts):
        return _given_parts(groups, split)[None]
    if isinstance(split, KFold):
        equal = [1 / split.n_folds] * split.n_folds
        seed = derive(split.seed, "split", "folds")
        tests_in = _divide(groups, everyone, equal, seed, f"{split.n_folds} test folds (`split.n_folds`)")
    else:
        numbers = range(1, split.n_folds + 1)
        codes = pd.Index(numbers).get_indexer(pd.Index(pd.to_numeric(groups.clips["fold"], errors="coerce")))
        expected = f"1 to {split.n_folds} (`split.n_folds`)"
        tests_in = _given(groups, codes, "fold", numbers, expected, "`split.scheme: kfold`")
    parts = np.full((split.n_folds, len(everyone)), PARTS.index("test"))
    for k, part in enumerate(parts):
        rest = np.flatnonzero(tests_in != k)
        seed = derive(split.seed, "split", "val", k + 1)
        part[rest] = _divide(groups, rest, (1 - split.val, split.val), seed, f"train and val of fold {k + 1}")
    return parts


def _divide(groups: Groups, which: np.ndarray, shares: Sequence[float], seed: int, purpose: str) -> np.ndarray:
    """Divide the groups `which` [M]: [M] indices of `shares`."""
    if len(which) < len(shares):
        other = "" if groups.kind == "recording" else "group by recording (`split.group`), or "
        raise InputError(
            f"too few {groups.kind}s with labelled clips: {purpose} need at least {len(shares)}, found {len(which)}. "
            f"What to do: {other}label clips of more {groups.kind}s"
            + ("." if groups.kind != "recording" else ", or let `name_patterns` tell recordings apart.")
        )
    return divide(groups.weights[which], shares, seed)


def _given_parts(groups: Groups, split: GivenParts) -> np.ndarray:
    """The part of each group as the data set has it: [G] codes of PARTS; val may be a share of its train."""
    found = pd.Index(text(groups.clips["fold"]).str.lower())
    if split.val is None:
        scheme = "`split.val` if the data set has no part val, `split.scheme: holdout` or `kfold`"
        return _given(groups, pd.Index(PARTS).get_indexer(found), "part", PARTS, "train, val or test", scheme)
    if n_val := int((found == "val").sum()):
        raise InputError(
            f"split.val is {split.val:g}, but the data set itself has a part val, of {n_val} labelled clips. Leave "
            "split.val out."
        )
    known = ("train", "test")
    codes = pd.Index(known).get_indexer(found)
    parts = np.array([PARTS.index(part) for part in known])[
        _given(groups, codes, "part", known, "train or test", "`split.scheme: holdout` or `kfold`")
    ]
    rest = np.flatnonzero(parts == TRAIN)
    seed = derive(split.seed, "split", "val", 1)
    parts[rest] = _divide(groups, rest, (1 - split.val, split.val), seed, "train and val")
    return parts


def _given(
    groups: Groups, codes: np.ndarray, what: str, known: Sequence[object], expected: str, scheme: str
) -> np.ndarray:
    """Where the data set itself has each group: [G], from where it has each clip [N]; -1 where that is not known."""
    given, wrong = text(groups.clips["fold"]), codes < 0
    problems = [
        f"clip {clip}: {what} {'is empty' if found == '' else found}, expected {expected}"
        for clip, found in zip(groups.clips["clip_id"][wrong], given[wrong], strict=True)
    ]
    problems += [f"{what} {name} has no labelled clip" for k, name in enumerate(known) if not (codes == k).any()]
    where = pd.Series(codes, index=given.index).map(dict(enumerate(map(str, known)))).fillna(given)  # 1.0 is fold 1
    problems += [
        f"{groups.kind} {name} is in {what}s {' and '.join(found)}"
        for name, found in crossing(pd.Series(groups.names[groups.of_clip]), where).items()
    ]
    if problems:
        raise InputError.listing(
            f"{what}s given by the data set",
            problems,
            f"correct them there, use {scheme}, or group by what they keep whole (`split.group`)",
        )
    of_group = np.zeros(len(groups.names), dtype=np.int64)
    of_group[groups.of_clip] = codes
    return of_group


def _subsets(groups: Groups, part: np.ndarray, seed: int, fold: int) -> np.ndarray:
    """The smallest nested subset of the training part that holds each group: [G] percent; 0 outside that part.

    Each is divided off the next larger one, so that all of them are stratified; none is without any group.
    """
    smallest = np.zeros(len(part), dtype=np.int64)
    inside = np.flatnonzero(part == TRAIN)
    n_clips = sizes = groups.weights[inside, -1].sum()
    for percent in sorted(SUBSETS, reverse=True):
        share = percent / 100 * n_clips / sizes
        if share < 1 and len(inside) > 1:
            kept = divide(groups.weights[inside], (share, 1 - share), derive(seed, "split", "subset", fold, percent))
            inside = inside[kept == 0]
            sizes = groups.weights[inside, -1].sum()
        smallest[inside] = percent
    return smallest


def _table(clip_ids: pd.Series, groups: Groups, parts: np.ndarray, subsets: np.ndarray) -> pd.DataFrame:
    """The table of folds, from the groups' `parts` [K, G] and `subsets` [K, G]; `clip_ids` are sorted."""
    tables = []
    for fold, (part, subset) in enumerate(zip(parts, subsets, strict=True), start=1):
        code = np.full(len(clip_ids), len(PARTS))
        percent = np.zeros(len(clip_ids), dtype=np.int64)
        code[groups.clips.index], percent[groups.clips.index] = part[groups.of_clip], subset[groups.of_clip]
        names = np.array([*PARTS, UNLABELLED], dtype=object)[code]
        table = pd.DataFrame({"fold": fold, "clip_id": clip_ids, "part": names})
        tables.append(table.assign(subset=pd.Series(percent, dtype="Int64").mask(percent == 0)))
    return pd.concat(tables, ignore_index=True)


def _shares(groups: Groups, parts: np.ndarray, split: Split) -> tuple[float, ...]:
    """The wanted shares of PARTS in all labelled clips; of parts that are given those they have."""
    if isinstance(split, Holdout):
        return split.train, split.val, split.test
    if isinstance(split, GivenParts):
        clips = groups.weights[:, -1]
        shares = [float(clips[parts[0] == code].sum() / clips.sum()) for code in range(len(PARTS))]
        if split.val is None:
            return tuple(shares)
        rest = shares[0] + shares[1]
        return rest * (1 - split.val), rest * split.val, shares[2]
    rest = 1 - 1 / split.n_folds
    return rest * (1 - split.val), rest * split.val, 1 / split.n_folds


def _balance(groups: Groups, parts: np.ndarray, split: Split) -> pd.DataFrame:
    """What each part of each fold holds, from the groups' `parts` [K, G]."""
    totals = groups.weights.sum(axis=0)
    tables = []
    for fold, part in enumerate(parts, start=1):
        for code, target in enumerate(_shares(groups, parts, split)):
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


def _report(groups: Groups, balance: pd.DataFrame, subsets: np.ndarray, n_unlabelled: int) -> None:
    """Log sizes, the classes furthest from their shares, and what cannot be learnt or evaluated."""
    log.info("%d labelled clips of %d %ss", len(groups.clips), len(groups.weights), groups.kind)
    if n_unlabelled:
        log.info("%d unlabelled clips are in no part", n_unlabelled)
    in_all = dict(zip(groups.classes, (groups.positives > 0).sum(axis=0), strict=False))
    for fold, subset in enumerate(subsets, start=1):
        rows = balance[balance["fold"] == fold]
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
        told = []
        for percent in SUBSETS:
            mine = groups.positives[(subset > 0) & (subset <= percent)]
            lost = [name for name, n in zip(groups.classes, mine.sum(axis=0), strict=False) if not n]
            without = f" without {', '.join(lost)}" if lost else ""
            told.append(f"{percent} %: {mine[:, -1].sum()} clips of {len(mine)} {groups.kind}s{without}")
        log.info("fold %d, subsets of train: %s", fold, "; ".join(told))
