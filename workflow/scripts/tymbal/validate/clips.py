"""What a manifest and its split say that may be a mistake: labels, lengths, rates, bands, classes too rare."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from tymbal.config import Evaluation, TargetRule
from tymbal.config.data import SLICES, Dataset
from tymbal.config.models import Frontend, Model
from tymbal.diagnose import Diagnosis
from tymbal.errors import InputError, some
from tymbal.evaluate.targets import RANKING, binarise, ranked
from tymbal.folds import ALL, clip_ids
from tymbal.groups import group_names, text
from tymbal.ingest.manifest import labels
from tymbal.questions import least
from tymbal.train.data import LOSS_ALLOWED
from tymbal.validate.findings import Finding

LEAKS = {
    "sites_seen": "{:.0%} of its sites are in training too",
    "site_days_seen": "{:.0%} of its days at a site are in training too",
    "gap_h_median": "{:.3g} h to the nearest training clip of the same site, in the median",
    "under_1h": "{:.0%} of its clips are within an hour of one",
}
FEW_GROUPS = 3  # fewer cannot be in training, validation and test
FAR = 1.5  # times the share asked for, or less by as much, from which on a subset is told
MOSTLY_PADDING = 0.5


def label_findings(area: str, manifest: pd.DataFrame) -> list[Finding]:
    """Clips that nobody labelled."""
    unlabelled = manifest.loc[np.isnan(labels(manifest)).all(axis=1), "clip_id"].tolist()
    if not unlabelled:
        return []
    case = f"{len(unlabelled):,} of {len(manifest):,} clips: {some(unlabelled, 3)}"
    remedy = "they neither train nor test; label them, or mark them as holding none of the classes, if they should"
    return [Finding("warning", area, "unlabelled clips", (case,), remedy)]


def sound_findings(area: str, manifest: pd.DataFrame) -> list[Finding]:
    """How long the clips are and at which rates they were recorded."""
    seconds = manifest["duration_s"]
    low, middle, high = (f"{seconds.quantile(q):.4g}" for q in (0, 0.5, 1))
    length = f"{low} s" if low == high else f"{low} to {high} s, half of them up to {middle} s"
    rates = manifest["sample_rate"].value_counts().sort_index()
    counts = {f"{rate / 1000:g} kHz": n for rate, n in zip(rates.index.tolist(), rates, strict=True)}
    cases = tuple(f"{rate}: {n:,} clips" for rate, n in counts.items()) if len(counts) > 1 else ()
    return [Finding("info", area, f"clips of {length}, recorded at {', '.join(counts)}", cases)]


def feature_findings(area: str, diagnosis: Diagnosis) -> list[Finding]:
    """What imported features are, and where that contradicts what is declared of them."""
    findings = [Finding("info", area, f"features look {diagnosis.verdict}", diagnosis.lines)]
    if diagnosis.problems:
        remedy = "declare in `features` what the files are, or make them again; what is declared is undone on import"
        title = f"features are not as declared: {diagnosis.verdict}"
        findings.append(Finding("error", area, title, diagnosis.problems, remedy))
    if diagnosis.warnings:
        remedy = "make sure that `features` is right: what is declared is taken at its word, and undone on import"
        title = "features do not tell whether they are as declared"
        findings.append(Finding("warning", area, title, diagnosis.warnings, remedy))
    return findings


def hearing_findings(area: str, dataset: Dataset, frontends: Mapping[str, Frontend]) -> list[Finding]:
    """Classes with a declared band that a front end cuts off.

    Args:
        area: what to say it about.
        dataset: its settings.
        frontends: model -> its front end.
    """
    cases = tuple(
        f"{label}: {low / 1000:g} to {high / 1000:g} kHz, but model {model} hears up to "
        f"{frontend.sample_rate / 2000:g} kHz" + (", so nothing of it" if low >= frontend.sample_rate / 2 else "")
        for model, frontend in frontends.items()
        for label, (low, high) in dataset.class_hz.items()
        if high > frontend.sample_rate / 2
    )
    if not cases:
        return []
    remedy = (
        "a front end with a higher sample_rate hears them; pre-trained weights are for the rate they were made with"
    )
    return [Finding("warning", area, "classes that the front end cannot hear whole", cases, remedy)]


def frames_of(duration_s: pd.Series) -> np.ndarray:
    """Frames of 25 ms every 10 ms that fit into so many seconds."""
    # Rounded, as 0.98 s are not quite that in binary.
    return np.maximum(0, 1 + np.floor((duration_s.to_numpy() * 1000 - 25).round(6) / 10))


def length_findings(area: str, manifest: pd.DataFrame, settings: Model) -> list[Finding]:
    """How clips fit the length that a model sees.

    Args:
        area: what to say it about.
        manifest: the clips.
        settings: of the model variant.
    """
    seen = settings.net.n_frames
    frames = frames_of(manifest["duration_s"])
    padding = float(np.mean(np.maximum(0, seen - frames) / seen))
    lost = np.maximum(0, 1 - seen / np.maximum(frames, 1))
    findings = []
    if (too_long := lost > LOSS_ALLOWED).any():
        ids = manifest.loc[too_long, "clip_id"]
        cases = tuple(f"{clip}: {frames:.0f} frames" for clip, frames in zip(ids, frames[too_long], strict=True))
        title = f"clips longer than the {seen} frames that the model sees"
        if settings.long_clips == "error":
            remedy = "cut them with `windows`, give net.n_frames more, or set long_clips: cut to use their beginning"
            findings.append(Finding("error", area, title, cases, remedy))
        else:
            findings.append(Finding("warning", area, f"{title}, which are cut (long_clips: cut)", cases))
    if padding > MOSTLY_PADDING and settings.padding != "ignored":
        title = f"{100 * padding:.0f} % of what the model sees is padding"
        longest = max(1, int(frames.max()))
        remedy = f"the longest clip has {longest} frames; net.n_frames {seen} can be lowered, which also saves time"
        findings.append(Finding("warning", area, title, (), remedy))
    else:
        title = (
            f"{100 * padding:.0f} % padding, {100 * lost.mean():.2g} % of a clip's frames beyond net.n_frames {seen}"
        )
        findings.append(Finding("info", area, title))
    return findings


def split_findings(area: str, balance: pd.DataFrame, kind: str) -> list[Finding]:
    """Sizes of the parts, and classes that a part goes without or that few groups hold.

    Args:
        area: what to say it about.
        balance: from `split_folds`, of the planned folds.
        kind: what the groups are.
    """
    sizes = balance[balance["class"] == ALL]
    ranges = sizes.groupby("part", sort=False)["n_clips"].agg(["min", "max"])
    told = ", ".join(
        f"{part} {low:,}" if low == high else f"{part} {low:,} to {high:,}"
        for part, (low, high) in zip(ranges.index, ranges.to_numpy(), strict=True)
    )
    findings = [Finding("info", area, f"split by {kind}, clips: {told}")]
    classes = balance[balance["class"] != ALL]
    cases = []
    for label, rows in classes.groupby("class", sort=False):
        n_groups = int(rows.groupby("fold")["n_groups"].sum().max())
        without = [f"{row.part} of fold {row.fold}" for row in rows[rows["n_clips"] == 0].itertuples()]
        if without or n_groups < FEW_GROUPS:
            where = f"; none in {', '.join(without)}" if without else ""
            cases.append(f"{label}: in {n_groups} {kind}{'s' * (n_groups != 1)}{where}")
    if cases:
        remedy = "label more recordings of these classes, merge classes, or read their scores as undefined"
        findings.append(Finding("warning", area, "classes too rare, not evaluable in every part", tuple(cases), remedy))
    return findings


def selection_findings(
    area: str, manifest: pd.DataFrame, folds: pd.DataFrame, settings: Model, rule: TargetRule
) -> list[Finding]:
    """Folds whose validation clips cannot choose an epoch.

    Args:
        area: what to say it about.
        manifest: the clips.
        folds: from `split_folds`, those planned with this model.
        settings: of the model variant.
        rule: which soft labels count as positive.
    """
    if settings.train.select_by not in RANKING:
        return []
    table = manifest.set_index("clip_id")
    cases = tuple(
        f"fold {fold}"
        for fold in sorted(set(folds["fold"]))
        if not ranked(labels(table.loc[clip_ids(folds, fold, "val")]), rule).any()
    )
    if not cases:
        return []
    title = f"train.select_by {settings.train.select_by}: no class has positive and negative validation clips"
    return [Finding("error", area, title, cases, "give validation a larger share, or select by loss")]


def evaluation_findings(
    area: str, manifest: pd.DataFrame, folds: pd.DataFrame, evaluation: Evaluation
) -> list[Finding]:
    """What evaluation would stop at or leave out after training: groups, thresholds and slices.

    Args:
        area: what to say it about.
        manifest: the clips.
        folds: from `split_folds`, of the planned folds.
        evaluation: its settings.
    """
    findings = []
    held_out = set(folds.loc[folds["part"].isin(["val", "test"]), "clip_id"])
    try:
        group_names(
            manifest[manifest["clip_id"].isin(held_out)], evaluation.bootstrap.group, "evaluation.bootstrap.group"
        )
    except InputError as error:
        findings.append(Finding.of(error, area))
    table, rule = manifest.set_index("clip_id"), evaluation.target_rule
    without = tuple(
        f"fold {fold}"
        for fold in sorted(set(folds["fold"]))
        if not binarise(labels(table.loc[clip_ids(folds, fold, "val")]), rule)[0].any()
    )
    if without:
        title = f"no validation clip is positive for any class (target_rule {rule}), so that no threshold can be chosen"
        remedy = "give validation a larger share, or set another evaluation.target_rule"
        findings.append(Finding("error", area, title, without, remedy))
    columns = [name for name in evaluation.slices if name not in (*SLICES, "site")]
    if empty := tuple(name for name in columns if name not in manifest or (text(manifest[name]) == "").all()):
        title = "evaluation.slices that the data set does not tell, which are left out"
        remedy = "if it should, give it the column by `source.columns` or a group of `name_patterns`"
        findings.append(Finding("warning", area, title, empty, remedy))
    return findings


def subset_findings(area: str, folds: pd.DataFrame, percent: int) -> list[Finding]:
    """Subsets of the training part that are far larger or smaller than asked, as groups are whole.

    Args:
        area: what to say it about.
        folds: from `split_folds`, of the planned folds.
        percent: the setting `label_percent`.
    """
    cases = []
    for fold, rows in folds[folds["part"] == "train"].groupby("fold"):
        held = 100 * float((rows["subset"] <= percent).mean())
        if not percent / FAR < held < FAR * percent:
            cases.append(f"fold {fold}: {held:.0f} % of the clips, asked for {percent} %")
    if not cases:
        return []
    remedy = "with more groups, or smaller ones (`split.group`), subsets come nearer; or take a larger `label_percent`"
    return [Finding("warning", area, "subsets of the training part not of the size asked for", tuple(cases), remedy)]


def leak_finding(area: str, audited: pd.DataFrame) -> Finding:
    """What held-out clips share with training clips, and so which question a score will answer.

    Args:
        area: what to say it about.
        audited: from `audit`, of the planned folds.
    """
    questions = audited.loc[(audited["measure"] == "question") & (audited["part"] == "test"), "note"]
    known = audited[audited["measure"].isin(list(LEAKS)) & audited["value"].notna()]
    cases = tuple(
        f"{row.part} of fold {row.fold}: {LEAKS[str(row.measure)].format(row.value)}" for row in known.itertuples()
    )
    return Finding("info", area, f"test clips are of: {least(questions.tolist())}", cases)
