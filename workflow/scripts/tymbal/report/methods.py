"""How the results of one model on one data set were made, in sentences for a paper.

Every fact is read from the recorded configuration or from a summary table, so that no sentence outlives a change of
what it tells.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from tymbal.config import Config, Evaluation
from tymbal.config.data import (
    Dataset,
    GivenParts,
    Holdout,
    KFold,
    MixtureSource,
    OfficialFolds,
    Split,
    TagSource,
    Windows,
)
from tymbal.config.models import Frontend, Norm
from tymbal.evaluate.tables import rows_of
from tymbal.evaluate.targets import MEANING
from tymbal.evaluate.weighted import N_BINS
from tymbal.folds import ALL
from tymbal.questions import least
from tymbal.report.citations import OURSELVES, Citations
from tymbal.report.methods_model import network, training
from tymbal.report.methods_start import start
from tymbal.report.numbers import duration, span
from tymbal.report.words import count, listed, number, share
from tymbal.spectrogram import ENERGY_FLOOR, PREEMPHASIS, FeatureState, n_frames

TABLES = ("runs", "planned", "metrics", "intervals", "balance", "audit", "ingest")

# Told to be reported where there is a row of it over all classes.
REPORTED = {
    "mAP_macro": "the mean of the classes' average precision (mAP)",
    "mAP_micro": "average precision of all pairs of clip and class together (micro mAP)",
    "lwlrap": "label-weighted label-ranking average precision (lwlrap)",
    "AUC_macro": "the mean of the classes' areas under the ROC curve",
    "dprime_of_mean_AUC": "d′ of this mean",
    "F1_macro": "the mean of the classes' F1 at the chosen thresholds",
    "F1_micro": "F1 of all pairs at these",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
}
OF_PROBABILITIES = {
    "Brier": "the Brier score",
    "ECE": f"the expected calibration error ({N_BINS} bins of equally many pairs of clip and class)",
    "soft_Brier": "the mean squared distance from the labels' weights",
    "soft_BCE": "cross-entropy with these",
}


@dataclass(frozen=True)
class Methods:
    """One paragraph of plain text, and the BibTeX entries of the works it names."""

    paragraph: str
    bibtex: str


def write_methods(config: Config, tables: Mapping[str, pd.DataFrame], dataset: str, model: str) -> Methods:
    """Tell how one experiment was done.

    Args:
        config: as `results/summary/config.yaml` has recorded it.
        tables: summary tables by name: runs, planned, metrics, intervals, paired, balance, audit, ingest, pretraining,
            corpora.
        dataset: evaluated.
        model: evaluated on it.
    """
    subject = {"dataset": dataset, "model": model}
    own = {
        name: rows_of(tables[name], {column: told for column, told in subject.items() if column in tables[name]})
        for name in TABLES
    }
    settings, how = config.datasets[dataset], config.models[model]
    runs, citations = own["runs"], Citations()
    n_classes = own["balance"].loc[own["balance"]["class"] != ALL, "class"].nunique()
    assert settings.split is not None, f"{dataset} has no labels"
    sentences = [
        *_data(dataset, settings, own["ingest"], n_classes, citations),
        *_parts(settings.split, own["balance"], own["audit"], runs),
        *_features(settings, config.frontends[how.frontend], how.norm),
        *network(how, _clip_frames(settings, config.frontends[how.frontend]), runs, citations),
        *start(config, how, runs, tables["pretraining"], tables["corpora"], citations),
        *training(how, runs, citations),
        *_choices(config.evaluation, citations),
        *_reported(config.evaluation, settings, own["metrics"], n_classes),
        *_certainty(config.evaluation, own["intervals"], runs, own["planned"].iloc[0], citations),
        *_comparison(rows_of(tables["paired"], {"dataset": dataset}), model),
        *_computing(runs, citations),
    ]
    return Methods(" ".join(sentences), citations.bibtex())


def _data(dataset: str, settings: Dataset, ingest: pd.DataFrame, n_classes: int, citations: Citations) -> Iterator[str]:
    told = rows_of(ingest, {"kind": "count"}).set_index("what")["told"].astype(float)
    match settings.source.format:
        case "esc":
            kind = f" (in the form of ESC, {citations.cite('ESC')})"
        case "synth":
            kind = " (synthetic)"
        case "mixtures":
            kind = f" (soundscapes mixed from clips of {settings.source.dataset})"
        case _:
            kind = ""
    places = f" at {count(told['sites'], 'site')}" if told["sites"] else ""
    several = "exactly one" if settings.task == "single-label" else "any number of them"
    yield (
        f"The data set {dataset}{kind} has {count(told['n_clips'], 'clip')} ({told['hours']:,.2f} h) of "
        f"{count(told['recordings'], 'recording')}{places}, labelled with {_classes(n_classes)}, {several} in a clip."
    )
    if isinstance(settings.source, MixtureSource):
        yield _mixed(settings.source)
    if isinstance(settings.source, TagSource):
        main, sub = settings.source.main_weight, settings.source.sub_weight
        yield f"A main tag is a label of weight {number(main)}, a sub tag one of {number(sub)}."
    if settings.windows is not None:
        yield _cut(settings.windows)
    if told["unlabelled"]:
        yield f"{count(told['unlabelled'], 'clip').capitalize()} without labels took no part."
    if told["n_quarantined"]:
        reasons = rows_of(ingest, {"kind": "quarantined"})["what"]
        yield f"Beforehand {count(told['n_quarantined'], 'file')} had been left out ({listed(reasons)})."


def _mixed(source: MixtureSource) -> str:
    fewest, most = next(n for n, share in enumerate(source.shares, start=1) if share), len(source.shares)
    clips = count(most, "clip") if fewest == most else f"{fewest} to {most} clips"
    names = {"train": "training", "val": "validation", "test": "test"}
    pools = listed(f"{source.parts[part].pool} ({name})" for part, name in names.items() if part in source.parts)
    main, sub = (number(TagSource.model_fields[key].default) for key in ("main_weight", "sub_weight"))
    return (
        f"Each was mixed from {clips} of different classes, all from one of the pools of about {pools} recordings into "
        "which the parts had been divided, so that recordings of the data set, which are these pools, share no source; "
        f"by its loudest half second, a source was up to {number(source.level_range_db)} dB (uniformly) below the "
        f"loudest, and labelled with weight {main} down to {number(source.main_within_db)} dB below it, else {sub}."
    )


def _cut(windows: Windows) -> str:
    hop = windows.length_s if windows.hop_s is None else windows.hop_s
    labels = {
        "events": f"with the labels of the sounds of which they have {number(windows.min_overlap_s)} s or all",
        "recording": "with all labels of their recording",
    }[windows.labels]
    return f"The clips are {number(windows.length_s)} s long, one every {number(hop)} s of a recording, {labels}."


def _parts(split: Split, balance: pd.DataFrame, audit: pd.DataFrame, runs: pd.DataFrame) -> Iterator[str]:
    val = f"; {share(balance, 'val', ('train', 'val'))} of the other clips were for validation"
    match split:
        case Holdout():
            yield "The clips were divided into a training, a validation and a test part, balanced by class."
        case KFold():
            yield f"Each of {split.n_folds} folds, balanced by class, was the test part once{val}."
        case OfficialFolds():
            yield f"Each of the data set's own {split.n_folds} folds was the test part once{val}."
        case GivenParts():
            own = "Training, validation and test part are" if split.val is None else "The test part is"
            yield f"{own} the data set's own{'' if split.val is None else val}."
    folds = sorted(runs["fold"].unique())
    if len(folds) < split.n_folds:
        yield f"Results are of fold{'s' if len(folds) > 1 else ''} {listed(map(str, folds))}."
    sizes = balance[balance["class"] == ALL]
    n = {part: span(rows["n_clips"]) for part, rows in sizes.groupby("part")}
    yield (
        f"The training, validation and test parts had {n['train']}, {n['val']} and {n['test']} clips, and all clips of "
        f"one {split.group} were in the same part."
    )
    found = least(audit.loc[(audit["measure"] == "question") & (audit["part"] == "test"), "note"].tolist())
    yield f"Test clips against training clips: {found}."


def _features(settings: Dataset, frontend: Frontend, norm: Norm) -> Iterator[str]:
    if settings.features is None:
        state = FeatureState.of(frontend)
        channels = "mixed to mono" if settings.channel == "mix" else f"reduced to channel {settings.channel}"
        yield (
            f"Audio was {channels}, resampled to {number(state.sample_rate / 1000)} kHz and turned into natural "
            f"logarithms (of 2^{math.log2(ENERGY_FLOOR):.0f} at least) of {state.n_mels} triangular mel bands from "
            f"{number(state.low_hz)} Hz to {number(state.high_hz / 1000)} kHz, as Kaldi computes them: power spectra "
            f"of frames of {state.frame_length_ms} ms every {state.frame_shift_ms} ms, without their mean, with a "
            f"pre-emphasis of {number(PREEMPHASIS)} and a {state.window.capitalize()} window."
        )
    else:
        yield (
            f"The data set's own log-mel features were used ({settings.features.n_mels} bands, from audio at "
            f"{number(settings.features.sample_rate / 1000)} kHz)."
        )
    yield (
        "The mean over all features of the training clips was subtracted from the input, and the difference divided by "
        "twice their standard deviation."
        if norm == "fitted"
        else f"A published mean, {number(norm.mean)}, was subtracted from the input, and the difference divided by "
        f"twice a published standard deviation, {number(norm.std)}."
    )


def _clip_frames(settings: Dataset, frontend: Frontend) -> int | None:
    """Frames of every clip, or None where clips may differ in length."""
    windows = settings.windows
    if windows is None or windows.last == "keep" or settings.features is not None:
        return None
    return n_frames(round(windows.length_s * frontend.sample_rate), frontend.sample_rate)


def _choices(evaluation: Evaluation, citations: Citations) -> Iterator[str]:
    choose = evaluation.choose
    by = {
        "f1": "with the highest F1",
        "precision": f"that is the lowest to reach a precision of {number(choose.precision)} (or the highest there is)",
    }[choose.by]
    shrunk = (
        f", drawn towards that of all classes together (its own log-odds weigh n / (n + {number(choose.shrink)}), n "
        "being the number of its positive clips)"
        if choose.shrink
        else ""
    )
    method = {"temperature": "temperature scaling", "platt": "Platt scaling"}[evaluation.calibration]
    yield (
        f"On the validation clips, too, each class was given the threshold {by}{shrunk}, and {method} "
        f"({citations.cite(evaluation.calibration)}) was fitted."
    )


def _reported(evaluation: Evaluation, settings: Dataset, metrics: pd.DataFrame, n_classes: int) -> Iterator[str]:
    known = set(metrics.loc[metrics["class"] == "", "metric"])
    evaluable = rows_of(metrics, {"metric": "mAP_macro", "class": "", "unit": "clip"})["n_classes"]
    rule = f" A class counts as {MEANING[evaluation.target_rule]}." if settings.task == "multi-label" else ""
    yield f"The test clips were scored once.{rule}"
    yield (
        f"We report {listed(words for metric, words in REPORTED.items() if metric in known)}; means are over the "
        f"classes that have positive test clips ({span(evaluable)} of {n_classes}). Of each of these there are average "
        "precision, area under the ROC curve, d′ and Brier score, and F1, precision and recall at its own threshold "
        f"and at {number(evaluation.threshold)}."
    )
    if told := [words for metric, words in OF_PROBABILITIES.items() if metric in known]:
        yield f"Of the scores as probabilities we report {listed(told)}, before and after calibration."
    if (metrics["unit"] != "clip").any():
        yield "Recordings were scored by the maximum and by the mean of their clips' scores."


def _certainty(
    evaluation: Evaluation, intervals: pd.DataFrame, runs: pd.DataFrame, planned: pd.Series, citations: Citations
) -> Iterator[str]:
    told = rows_of(intervals, {"metric": "mAP_macro", "class": "", "unit": "clip"}).iloc[0]
    if len(runs) == 1:
        made = f"of a single run (fold {runs['fold'].iloc[0]}, seed {runs['seed'].iloc[0]})"
    else:
        made = f"means over {len(runs)} runs ({count(told['n_folds'], 'fold')}, {count(told['n_seeds'], 'seed')})"
    if planned["n_done"] < planned["n_planned"]:
        made += f"; {planned['n_done']} of {planned['n_planned']} planned runs were complete"
    groups = evaluation.bootstrap.group
    yield (
        f"Scores are {made}. Their 95 % intervals are percentiles of "
        f"{count(evaluation.bootstrap.draws, 'bootstrap draw')} ({citations.cite('bootstrap')}) of the "
        f"{count(told['n_groups'], groups)} of the test clips, the same draws for all models and seeds."
    )


def _comparison(paired: pd.DataFrame, model: str) -> Iterator[str]:
    compared = paired[(paired["model_a"] == model) | (paired["model_b"] == model)]
    if (compared["n_folds"] > 0).any():
        yield (
            "Models were compared by the differences of their means over the folds in which both have runs, with "
            "intervals from these draws; nothing was corrected for the number of comparisons."
        )


def _classes(n: int) -> str:
    return "1 class" if n == 1 else f"{n} classes"


def _computing(runs: pd.DataFrame, citations: Citations) -> Iterator[str]:
    citations.cite(OURSELVES)
    commits = [
        f"commit {commit[:10]}{', changed' if dirty == 1 else ''}"
        for commit, dirty in runs[["commit", "dirty"]].drop_duplicates().itertuples(index=False)
        if commit
    ]
    where = listed(f"{device} ({machine})" for device, machine in _different(runs, "device", "machine"))
    images = [f"the container {name}" for (name,) in _different(runs, "container") if name]
    yield (
        f"All was computed with Tymbal {_versions(runs, 'tymbal')}{f' ({listed(commits)})' if commits else ''}, "
        f"Snakemake ({citations.cite('Snakemake')}), PyTorch {_versions(runs, 'torch')} ({citations.cite('PyTorch')}) "
        f"and Python {_versions(runs, 'python')}{f' in {listed(images)}' if images else ''}."
    )
    yield (
        f"Training ran on {where} in {_versions(runs, 'precision')} and took {duration(runs['minutes'].sum())} in "
        f"{count(len(runs), 'run')}."
    )


def _versions(runs: pd.DataFrame, column: str) -> str:
    return listed(str(value) for (value,) in _different(runs, column))


def _different(runs: pd.DataFrame, *columns: str) -> list[tuple[str, ...]]:
    """The different values of the columns, in the order of the runs."""
    return list(runs[list(columns)].drop_duplicates().itertuples(index=False, name=None))
