"""One data set from its files to its split, tried in memory: all problems, and how large its parts will be."""

import dataclasses
import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from tymbal.audit import audit
from tymbal.config.data import SUBSETS, Dataset, Holdout, KFold, MadeSource, MixtureSource, SynthSource
from tymbal.diagnose import diagnose
from tymbal.errors import InputError
from tymbal.ingest.match import Matched, list_clips, match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import Prepared, assemble
from tymbal.ingest.problems import TOO_MANY, BadFile
from tymbal.plan import Plan
from tymbal.pretrain.corpus import clip_traits
from tymbal.roots import locate
from tymbal.seeds import derive
from tymbal.split import split_folds
from tymbal.validate.clips import (
    evaluation_findings,
    feature_findings,
    hearing_findings,
    label_findings,
    leak_finding,
    length_findings,
    selection_findings,
    sound_findings,
    split_findings,
    subset_findings,
)
from tymbal.validate.findings import Finding

log = logging.getLogger(__name__)

READ_ALL = 50_000  # files; of larger data sets a sample is read
SAMPLE = 2_000
HEADLESS = 2  # classes to try a model with when the data set's cannot be known


@dataclass(frozen=True)
class DataSize:
    """What the checks of models and of corpora need to know of a data set.

    Attributes:
        classes: of the labels, in their order; None where a file tells them that was not read.
        n_clips: all of them; 0 if they could not be listed.
        n_train: clips of the largest training part among the planned folds; 0 if the split could not be made.
        n_val: clips of the largest validation part.
        subsets: percent -> clips in that subset of the largest training part.
        traits: `clip_traits` of the clips; None if they could not be listed.
        folds: from `split_folds`; None if there are none.
    """

    classes: tuple[str, ...] | None
    n_clips: int = 0
    n_train: int = 0
    n_val: int = 0
    subsets: Mapping[int, int] = field(default_factory=dict)
    traits: pd.DataFrame | None = field(default=None, compare=False)
    folds: pd.DataFrame | None = field(default=None, compare=False)

    @property
    def n_classes(self) -> int:
        """How many there are, or with how many a model is tried."""
        return len(self.classes) if self.classes is not None else HEADLESS


def check_dataset(plan: Plan, name: str, threads: int) -> tuple[list[Finding], DataSize]:
    """Check a data set: its source, every file and, if models are tested on it, labels, groups and split.

    Args:
        plan: the configuration and its runs.
        name: of the data set.
        threads: files read at a time.
    """
    area = f"data set {name}"
    dataset = plan.config.datasets[name]
    classes = dataset.classes if isinstance(dataset.classes, tuple) else None
    if isinstance(dataset.source, MadeSource) and not all(Path(path).exists() for path in plan.source_files(name)):
        size = _planned_size(dataset, classes)
        made = "mixed" if isinstance(dataset.source, MixtureSource) else "synthesised"
        return [Finding("info", area, f"{size.n_clips:,} clips will be {made}")], size
    log.info("checking %s", area)
    try:
        files = list_clips(dataset, name, plan.config.folders)
        findings, matched = _match(plan, name, files)
    except InputError as error:
        return [Finding.of(error, area)], DataSize(classes)
    found, prepared = _prepare(plan, name, matched, threads)
    findings += found
    if dataset.features is not None:
        folder = locate(matched.audio, plan.config.folders)
        paths = [folder / file for file in sorted(matched.records)]
        findings += feature_findings(area, diagnose(paths, dataset.features))
    if prepared.manifest.empty:
        return findings, DataSize(matched.classes)
    size = DataSize(matched.classes, len(prepared.manifest), traits=_traits(prepared.manifest))
    findings += sound_findings(area, prepared.manifest)
    if name not in plan.datasets:
        if any(source.dataset == name for source in plan.mixtures.values()):
            found, size = _split_sources(plan, name, prepared.manifest, size)
            findings += found
        return findings, size
    findings += label_findings(area, prepared.manifest)
    models = {model: plan.config.models[model] for dataset_, model in plan.pairs if dataset_ == name}
    frontends = {model: plan.config.frontends[settings.frontend] for model, settings in models.items()}
    findings += hearing_findings(area, dataset, frontends)
    for model, settings in models.items():
        findings += length_findings(f"model {model} on {name}", prepared.manifest, settings)
    found, size = _try_split(plan, name, prepared.manifest, size)
    return findings + found, size


def _traits(manifest: pd.DataFrame) -> pd.DataFrame:
    """As of a real manifest; files that were not read have no digest."""
    traits = clip_traits(manifest)
    return traits.assign(sha256=traits["sha256"].where(traits["sha256"].str.fullmatch("[0-9a-f]{64}"), ""))


def _match(plan: Plan, name: str, files: Sequence[str]) -> tuple[list[Finding], Matched]:
    """Read the source. Labels of no class are dropped for the rest of the checks, so that these still tell more."""
    dataset, roots, path_map = plan.config.datasets[name], plan.config.folders, plan.config.path_map
    try:
        return [], match(dataset, name, roots, path_map, files)
    except InputError as error:
        if getattr(dataset.source, "unknown_labels", "drop") == "drop":
            raise
        tolerant = dataset.source.model_copy(update={"unknown_labels": "drop"})
        matched = match(dataset.model_copy(update={"source": tolerant}), name, roots, path_map, files)
        # The warning of what was dropped says again what the error does.
        return [Finding.of(error, f"data set {name}")], dataclasses.replace(matched, warnings=[])


def _prepare(plan: Plan, name: str, matched: Matched, threads: int) -> tuple[list[Finding], Prepared]:
    """Read the files, or a sample of very many, and make the manifest."""
    area, dataset = f"data set {name}", plan.config.datasets[name]
    files = sorted(matched.records)
    read = files
    if len(files) > READ_ALL:
        chosen = np.random.default_rng(derive(0, "validate", name)).choice(len(files), SAMPLE, replace=False)
        read = [files[i] for i in sorted(chosen)]
    measured = measure(locate(matched.audio, plan.config.folders), read, dataset.features, threads)
    prepared = assemble(dataset, matched, _extended(measured, files))
    findings = [Finding("error", area, kind, tuple(cases), remedy) for kind, cases, remedy in prepared.problems]
    findings += [_warning(area, text) for text in prepared.warnings]
    if dataset.on_bad_clip == "quarantine" and not any(kind.startswith(TOO_MANY) for kind, _, _ in prepared.problems):
        findings += _quarantined(area, prepared)
    if len(read) < len(files):
        title = f"{len(read):,} of {len(files):,} files were read, chosen at random; measure_clips reads all"
        findings.append(Finding("info", area, title, ("the other files are taken to be like these",)))
    return [*findings, _facts(area, prepared)], prepared


def _quarantined(area: str, prepared: Prepared) -> list[Finding]:
    bad = [BadFile(*row) for row in prepared.quarantine.itertuples(index=False)]
    cases = tuple(f"{file} ({where}): {kind}" + (f", {reason}" if reason else "") for file, where, kind, reason in bad)
    if not cases:
        return []
    title = f"bad files that go to the quarantine, {100 * prepared.summary['share_quarantined']:.2g} % of all"
    return [Finding("warning", area, title, cases, "put them right, or accept that scores are without them")]


def _extended(measured: pd.DataFrame, files: Sequence[str]) -> pd.DataFrame:
    """What was measured, and for the files that were not read, what those read typically are."""
    if len(measured) == len(files):
        return measured
    good = measured[measured["problem"] == ""]
    typical = good.median(numeric_only=True).fillna(0).to_dict()  # 0 if none is good
    table = measured.set_index("file").reindex(list(files)).fillna(typical | {"problem": ""})
    table["sha256"] = table["sha256"].where(table["sha256"].notna(), table.index)  # no two alike
    return table.reset_index().astype(measured.dtypes)


def _warning(area: str, text: str) -> Finding:
    """A line of a reader: what, then which, after their number or else after the last colon."""
    numbered = re.fullmatch(r"(.+?: [\d,]+): (.+)", text)
    title, case = numbered.groups() if numbered else text.rpartition(": ")[::2]
    if not title or any(title.count(quote) % 2 for quote in "'`\""):  # the colon is part of a name
        return Finding("warning", area, text)
    return Finding("warning", area, title, (case,))


def _facts(area: str, prepared: Prepared) -> Finding:
    told = prepared.summary
    title = (
        f"{told['n_clips']:,} clips of {told['n_files']:,} files, {told['hours']:.4g} h, "
        f"{told['recordings']:,} recordings, {told['sites']} sites"
    )
    return Finding("info", area, title, tuple(f"{fact}: {value}" for fact, value in told["facts"].items()))


def _split_sources(plan: Plan, name: str, manifest: pd.DataFrame, size: DataSize) -> tuple[list[Finding], DataSize]:
    """The parts that are mixed: where mixtures are tested, a corpus must not hold their sources."""
    split = plan.config.datasets[name].split
    assert split is not None
    try:
        return [], dataclasses.replace(size, folds=split_folds(manifest, split)[0])
    except InputError as error:
        return [Finding.of(error, f"data set {name}")], size


def _try_split(plan: Plan, name: str, manifest: pd.DataFrame, size: DataSize) -> tuple[list[Finding], DataSize]:
    area, split = f"data set {name}", plan.config.datasets[name].split
    assert split is not None
    try:
        folds, balance = split_folds(manifest, split)
    except InputError as error:
        return [Finding.of(error, area)], size
    size = dataclasses.replace(size, folds=folds)
    audited, _ = audit(manifest, folds, balance, split.group, frames=None)
    planned: defaultdict[str, set[int]] = defaultdict(set)  # model -> folds
    for run in plan.runs:
        if run.dataset == name:
            planned[run.model].add(run.fold)
    everything = set().union(*planned.values())
    folds, balance, audited = (table[table["fold"].isin(everything)] for table in (folds, balance, audited))
    sizes = folds.groupby(["fold", "part"]).size().groupby("part").max()
    subset = folds[folds["part"] == "train"]
    subsets = {percent: int((subset["subset"] <= percent).groupby(subset["fold"]).sum().max()) for percent in SUBSETS}
    size = dataclasses.replace(size, n_train=int(sizes["train"]), n_val=int(sizes["val"]), subsets=subsets)
    findings = [*split_findings(area, balance, split.group), leak_finding(area, audited)]
    findings += evaluation_findings(area, manifest, folds, plan.config.evaluation)
    for model, numbers in planned.items():
        settings, own = plan.config.models[model], folds[folds["fold"].isin(numbers)]
        rule = plan.config.evaluation.target_rule
        on = f"model {model} on {name}"
        findings += selection_findings(on, manifest, own, settings, rule)
        findings += subset_findings(on, own, settings.train.label_percent)
    return findings, size


def _planned_size(dataset: Dataset, classes: tuple[str, ...] | None) -> DataSize:
    """Of a data set that is not there yet, by its settings."""
    source, split = dataset.source, dataset.split
    if isinstance(source, MixtureSource):
        n_train, n_val = (source.parts[part].clips if part in source.parts else 0 for part in ("train", "val"))
        return _sized(classes, source.n_clips, n_train, n_val)
    assert isinstance(source, SynthSource) and isinstance(split, Holdout | KFold)
    n_clips = source.n_clips
    rest = n_clips * (split.train + split.val if isinstance(split, Holdout) else 1 - 1 / split.n_folds)
    n_val = round(split.val * (n_clips if isinstance(split, Holdout) else rest))
    return _sized(classes, n_clips, round(rest) - n_val, n_val)


def _sized(classes: tuple[str, ...] | None, n_clips: int, n_train: int, n_val: int) -> DataSize:
    subsets = {percent: round(percent / 100 * n_train) for percent in SUBSETS}
    return DataSize(classes, n_clips, n_train, n_val, subsets)
