"""From matched and measured files to the manifest; everything wrong with them is told at once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from tymbal.config.data import Clips, Windows
from tymbal.errors import some
from tymbal.ingest.lookup import key
from tymbal.ingest.manifest import LABEL
from tymbal.ingest.match import Matched
from tymbal.ingest.names import Names
from tymbal.ingest.problems import COPIES, KINDS, BadFile, Problem, judge
from tymbal.ingest.records import Record
from tymbal.ingest.windows import Window, beyond_end, cut, in_no_clip, past_end
from tymbal.roots import split_root

Labels = Mapping[str, float] | None

# Kinds of problems that stop the workflow in any case, in the order in which they are told.
REMEDIES = {
    "files with the same content and different labels": "find out which labels are right, and keep one of the files",
    "file names that no pattern of `name_patterns` matches": (
        "add a pattern (a regular expression with the named group recording and, if wanted, site, date, time, segment; "
        "it is matched against the whole name without its extension), or rename the files"
    ),
    "file names whose recording, date or time cannot be": "correct `name_patterns`, or rename the files",
    "files without the channel that is wanted": "set `channel: mix`, or a channel that all files have",
    "labels after the end of their file": "check that the labels are those of this file, and their times",
    "no clip is left": "make `windows` shorter, or set `windows.last: keep`",
    "labelled clips without exactly one class of weight 1.0": (
        "correct their labels, or set `task: multi-label` for this data set"
    ),
}
Cases = defaultdict[str, list[str]]  # kind of problem -> where, what


@dataclass(frozen=True)
class Prepared:
    """A data set, ready or not.

    Attributes:
        manifest: all clips of files that are not bad; see `tymbal.ingest.manifest`.
        quarantine: `file, where, kind, reason`, one row a bad file.
        summary: the data set in a few figures, with all facts and warnings, as ingest.json holds it.
        warnings: what is allowed but may be a mistake, one line each.
        problems: what must be put right first; none if the manifest can be used.
    """

    manifest: pd.DataFrame
    quarantine: pd.DataFrame
    summary: dict[str, Any]
    warnings: list[str]
    problems: list[Problem]


def assemble(dataset: Clips, matched: Matched, measured: pd.DataFrame) -> Prepared:
    """Put together what the source tells and what was measured, and check all of it.

    Args:
        dataset: the data set's settings.
        matched: its records with their files.
        measured: one row a file of `matched.records`, as `measure` gives it.
    """
    files = sorted(matched.records)
    measured = measured.set_index("file").reindex(pd.Index(files, name="file"))
    assert measured["problem"].notna().all(), "files that were matched but not measured"
    records = [matched.records[file] for file in files]
    cases: Cases = defaultdict(list)
    facts, warnings = dict(matched.facts), list(matched.warnings)

    named = _named(dataset, files, records, cases, facts)
    bad = [*matched.missing, *_unusable(measured, records), *_copies(measured, records, cases)]
    unusable = {file.file for file in bad}
    good = np.array([file not in unusable for file in files], dtype=bool)
    kept = pd.concat([named, measured.reset_index()], axis=1)[good].reset_index(drop=True)
    records = [record for record, is_good in zip(records, good, strict=True) if is_good]
    if dataset.channel != "mix":
        for row in kept[kept["channels"] < dataset.channel].itertuples():
            cases["files without the channel that is wanted"].append(f"{row.file}: {row.channels} of {dataset.channel}")

    labels: Sequence[Labels]
    if dataset.windows is None:
        kept["start_s"] = 0.0
        labels = [record.labels for record in records]
    else:
        kept, labels = _windowed(dataset.windows, kept, records, cases, facts, warnings)
    if dataset.task == "single-label":
        _check_one_class(kept["clip_id"], labels, cases)
    order = np.argsort(kept["clip_id"].to_numpy(dtype=object), kind="stable").tolist()
    manifest = _columns(dataset, matched, kept.iloc[order].reset_index(drop=True), [labels[i] for i in order])
    assert manifest["clip_id"].is_unique
    if manifest.empty and not bad and not matched.problems:
        cases["no clip is left"].append(f"none of {len(files)} files gives a clip")

    assert cases.keys() <= REMEDIES.keys()
    problems = [
        *judge(bad, matched.n_records, dataset),
        *matched.problems,
        *(Problem(kind, cases[kind], remedy) for kind, remedy in REMEDIES.items() if kind in cases),
    ]
    quarantine = pd.DataFrame(bad, columns=list(BadFile._fields)).sort_values("file", ignore_index=True)
    summary = _summary(manifest, quarantine, matched) | {"facts": facts, "warnings": warnings}
    return Prepared(manifest, quarantine, summary, warnings, problems)


def _named(
    dataset: Clips, files: Sequence[str], records: Sequence[Record], cases: Cases, facts: dict[str, int | str]
) -> pd.DataFrame:
    """What names and source tell of each file beside its labels; what the source tells comes first."""
    names = Names(dataset.name_patterns)
    extra = dataset.extra_columns
    # For all files alike, so that one place never has two names: that of the table and that in files' names.
    told = {"site"} if getattr(dataset.source, "site_column", None) is not None else set()
    told |= set(getattr(dataset.source, "columns", ()))
    columns: dict[str, list[str]] = {
        column: [] for column in ("clip_id", "recording", "site", "recorded_at", "segment", "fold", *extra)
    }
    matches: Counter[int | None] = Counter()
    for file, record in zip(files, records, strict=True):
        parts = key(file)
        named = names.read(parts)
        matches[named.pattern if named else None] += 1
        if named and named.problem:
            cases["file names whose recording, date or time cannot be"].append(f"{file}: {named.problem}")
        elif not (named or record.recording):
            cases["file names that no pattern of `name_patterns` matches"].append(file)
        columns["clip_id"].append("/".join(parts))
        columns["recording"].append(record.recording or (named.recording if named else ""))
        columns["site"].append(record.site if "site" in told or not named else named.site)
        columns["recorded_at"].append(named.recorded_at if named else "")
        columns["segment"].append(named.segment if named else "")
        columns["fold"].append(record.fold)
        for column in extra:
            columns[column].append(
                record.columns[column] if column in told else named.columns.get(column, "") if named else ""
            )
    facts |= {
        f"file names of pattern {i + 1} in `name_patterns`": matches[i] for i in range(len(dataset.name_patterns))
    }
    if matches[None]:
        facts["file names of no pattern"] = matches[None]
    return pd.DataFrame(columns)


def _unusable(measured: pd.DataFrame, records: Sequence[Record]) -> Iterator[BadFile]:
    for i in np.flatnonzero(measured["problem"] != "").tolist():
        kind, _, reason = measured["problem"].iloc[i].partition(": ")
        yield BadFile(measured.index[i], records[i].where, kind, reason)


def _copies(measured: pd.DataFrame, records: Sequence[Record], cases: Cases) -> Iterator[BadFile]:
    """Files with the content and the labels of one whose name comes before theirs."""
    contents = measured.loc[measured["problem"] == "", "sha256"]
    twins = contents[contents.duplicated(keep=False)]
    place = dict(zip(measured.index, range(len(measured)), strict=True)) if len(twins) else {}
    for _, several in twins.groupby(twins, sort=False):
        first, *others = several.index
        told = [(records[place[file]].labels, records[place[file]].events) for file in several.index]
        if any(other != told[0] for other in told):
            cases["files with the same content and different labels"].append(" = ".join(several.index))
        else:
            for file in others:
                yield BadFile(file, records[place[file]].where, COPIES, f"as {first}")


def _windowed(
    windows: Windows,
    kept: pd.DataFrame,
    records: Sequence[Record],
    cases: Cases,
    facts: dict[str, int | str],
    warnings: list[str],
) -> tuple[pd.DataFrame, list[Labels]]:
    """One row a clip, and the labels of each."""
    clips: list[Window] = []
    counts = []
    lost = []
    late = []
    for file, duration, record in zip(kept["file"], kept["duration_s"], records, strict=True):
        own = cut(record, duration, windows)
        clips += own
        counts.append(len(own))
        lost += [f"{file} at {event.start_s:g} s" for event in in_no_clip(record, duration, windows)]
        cases_here = [f"{file} ({record.where}): {e.start_s:g} to {e.end_s:g} s" for e in beyond_end(record, duration)]
        if cases_here:
            cases["labels after the end of their file"] += [f"{case} of {duration:g} s" for case in cases_here]
        late += [f"{file}: {event.end_s:g} s of {duration:g} s" for event in past_end(record, duration)]
    short = [file for file, n in zip(kept["file"], counts, strict=True) if n == 0]
    facts |= {"files too short for a clip": len(short), "labels that no clip has": len(lost)}
    if short:
        warnings.append(
            f"files shorter than a clip, which give none but with `windows.last` keep: {len(short)}: {some(short)}"
        )
    if late:
        warnings.append(f"labels that go on after the end of their file, cut there: {len(late)}: {some(late)}")
    if lost:
        warnings.append(f"labels that no clip has, as they overlap none by enough: {len(lost)}: {some(lost)}")
    if windows.labels == "recording":
        shared = sum(n for n, record in zip(counts, records, strict=True) if n > 1 and record.labels is not None)
        if shared:
            warnings.append(f"clips with all labels of their recording, also of sounds that are not in them: {shared}")
    kept = kept.iloc[np.repeat(np.arange(len(kept)), counts)].reset_index(drop=True)
    kept["start_s"] = np.array([clip.start_s for clip in clips], dtype=float)
    kept["duration_s"] = np.array([clip.length_s for clip in clips], dtype=float)
    kept["clip_id"] = [f"{name}@{clip.start_s:.3f}" for name, clip in zip(kept["clip_id"], clips, strict=True)]
    return kept, [clip.labels for clip in clips]


def _check_one_class(clips: pd.Series, labels: Sequence[Labels], cases: Cases) -> None:
    for clip, weights in zip(clips, labels, strict=True):
        if weights is not None and list(weights.values()) != [1.0]:
            told = ", ".join(f"{label} {weight:g}" for label, weight in weights.items()) or "no class"
            cases["labelled clips without exactly one class of weight 1.0"].append(f"{clip}: {told}")


def _columns(dataset: Clips, matched: Matched, kept: pd.DataFrame, labels: Sequence[Labels]) -> pd.DataFrame:
    """The manifest's columns in their order."""
    root, folder = split_root(matched.audio)
    # Normalised once; a path object for each file would take minutes.
    above = PurePosixPath(folder).as_posix()
    columns = {
        "clip_id": kept["clip_id"],
        "root": root,
        "path": kept["file"] if above == "." else above + "/" + kept["file"],
    }
    for column in ("start_s", "duration_s", "recording", "site", "recorded_at", "segment", "fold"):
        columns[column] = kept[column]
    for column in ("sample_rate", "channels", "sha256", *dataset.extra_columns):
        columns[column] = kept[column]
    weights = np.full((len(matched.classes), len(labels)), np.nan)  # [C, N]
    number = {label: i for i, label in enumerate(matched.classes)}
    for i, own in enumerate(labels):
        if own is not None:
            weights[:, i] = 0
            for label, weight in own.items():
                weights[number[label], i] = weight
    return pd.DataFrame(columns | {LABEL + label: weights[i] for label, i in number.items()}, copy=False)


def _summary(manifest: pd.DataFrame, quarantine: pd.DataFrame, matched: Matched) -> dict[str, Any]:
    labels = manifest[[LABEL + label for label in matched.classes]]
    kinds = quarantine["kind"].value_counts()
    return {
        "n_clips": len(manifest),
        "n_files": int(manifest["path"].nunique()),
        "hours": round(float(manifest["duration_s"].sum()) / 3600, 4),
        "recordings": int(manifest["recording"].nunique()),
        "sites": len(set(manifest["site"]) - {""}),
        "unlabelled": int(labels.isna().all(axis=1).sum()),  # all clips of a data set without classes
        "n_quarantined": len(quarantine),
        "share_quarantined": round(len(quarantine) / matched.n_records, 6),
        "quarantined_by_kind": {kind: int(kinds[kind]) for kind in KINDS if kind in kinds},
    }
