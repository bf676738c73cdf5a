"""The clips of a corpus: none that a model is tested on, under whatever name, and some recordings for validation."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tymbal.config.pretrain import Corpus
from tymbal.errors import InputError
from tymbal.folds import clip_ids, read_folds
from tymbal.groups import group_names, text
from tymbal.ingest.manifest import read_manifest
from tymbal.seeds import derive
from tymbal.tables import read_csv

log = logging.getLogger(__name__)

# Why a clip is left out; the first that holds counts. The last: mixed from one that is left out for another reason.
REASONS = ("test part", "same file", "same recording", "same source")


@dataclass(frozen=True)
class HeldOut:
    """A fold of which a corpus must not hold the test part."""

    dataset: str
    fold: int
    manifest: Path
    folds: Path


def list_corpus(
    settings: Corpus, manifests: Mapping[str, Path], held_out: Sequence[HeldOut], sources: Mapping[str, str]
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """List the clips to pre-train on.

    Args:
        settings: the data sets, and the share of their recordings that is kept for validation.
        manifests: data set -> manifest, of all parts of the corpus and of what is in `sources`.
        held_out: folds whose test clips are left out; none if the corpus is transductive.
        sources: parts that are mixtures -> the data set that each is mixed from.

    Returns:
        clips: `dataset, clip_id, part`, with part train or val; sorted.
        facts: `transductive`, `held_out` and `parts`; of each part `dataset, weight, n_clips` (in its manifest),
            `n_train, n_val, hours` (of both) and `excluded`: clips left out, by reason.

    Raises:
        InputError: no clip is left, or no recording that could be kept for validation.
    """
    assert not (settings.transductive and held_out), "a transductive corpus holds no test part out"
    traits = {dataset: clip_traits(read_manifest(path)) for dataset, path in manifests.items()}
    clips, parts = choose_clips(settings, traits, _test_clips(held_out), sources)
    for part in parts:
        n = part["n_train"] + part["n_val"]
        log.info("%s: %d clips, %.2f h; left out: %s", part["dataset"], n, part["hours"], _told(part["excluded"]))
    pairs = [[each.dataset, each.fold] for each in held_out]
    return clips, {"transductive": settings.transductive, "held_out": pairs, "parts": parts}


def choose_clips(
    settings: Corpus, traits: Mapping[str, pd.DataFrame], tests: pd.DataFrame, sources: Mapping[str, str]
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """As `list_corpus`, of tables.

    Args:
        settings: as there.
        traits: data set -> `clip_traits`, of all parts of the corpus and of what is in `sources`.
        tests: `clip_traits` of the clips to leave out, with their `dataset`.
        sources: as there.

    Returns:
        clips and the facts of the parts, as there.

    Raises:
        InputError: as there.
    """
    kept: dict[str, pd.DataFrame] = {}
    facts: list[dict[str, Any]] = []
    for part in settings.parts:
        clips = traits[part.dataset]
        reason = _reasons(clips, part.dataset, tests)
        if (source := sources.get(part.dataset)) is not None:
            heard = _of_sources(clips, traits[source], _reasons(traits[source], source, tests))
            reason = reason.mask((reason == "") & heard, "same source")
        kept[part.dataset] = clips[reason == ""]
        excluded = {name: int((reason == name).sum()) for name in REASONS}
        facts.append({"dataset": part.dataset, "weight": part.weight, "n_clips": len(clips), "excluded": excluded})
    _require_clips(kept, facts)
    val = _val_recordings({dataset: clips["name"] for dataset, clips in kept.items()}, settings)
    tables = []
    for fact, (dataset, clips) in zip(facts, kept.items(), strict=True):
        is_val = clips["name"].isin(val[dataset])
        table = pd.DataFrame(
            {"dataset": dataset, "clip_id": clips["clip_id"], "part": np.where(is_val, "val", "train")}
        )
        tables.append(table)
        hours = round(float(clips["duration_s"].sum()) / 3600, 4)
        fact |= {"n_train": int((~is_val).sum()), "n_val": int(is_val.sum()), "hours": hours}
    clips = pd.concat(tables).sort_values(["dataset", "clip_id"], ignore_index=True)
    return clips, facts


def read_corpus(path: Path) -> pd.DataFrame:
    """Read `dataset, clip_id, part`. Clip ids stay text, whatever they look like."""
    return read_csv(path, text=("dataset", "clip_id", "part"))


def joined_ids(clips: pd.DataFrame, part: str) -> list[str]:
    """The clips of one part, `dataset:clip_id`, as in `FeatureStore.joined`; in the order of the table."""
    mine = clips[clips["part"] == part]
    return (mine["dataset"] + ":" + mine["clip_id"]).tolist()


def clip_traits(rows: pd.DataFrame) -> pd.DataFrame:
    """What tells of a manifest's clips whether two are of one recording; text is empty where it is not known."""
    return pd.DataFrame(
        {
            "clip_id": rows["clip_id"],
            "duration_s": rows["duration_s"],
            "file": rows["root"] + ":" + rows["path"],
            "name": group_names(rows, "recording"),  # tells recordings of one data set apart
            **{column: text(rows[column]) for column in ("sha256", "recording", "recorded_at", "site")},
            "source_clips": text(rows["source_clips"]) if "source_clips" in rows else "",  # of mixtures
        }
    )


def _test_clips(held_out: Sequence[HeldOut]) -> pd.DataFrame:
    """The test clips of all these folds, with their data sets."""
    clips = {each.dataset: clip_traits(read_manifest(each.manifest)) for each in held_out}
    folds = {each.dataset: read_folds(each.folds) for each in held_out}
    tables = [
        pd.DataFrame(columns=["dataset", "clip_id", "file", "name", "sha256", "recording", "recorded_at", "site"])
    ]
    for each in held_out:
        ids = clip_ids(folds[each.dataset], each.fold, "test")
        mine = clips[each.dataset][clips[each.dataset]["clip_id"].isin(ids)]
        assert 0 < len(mine) == len(ids), f"folds and manifest of {each.dataset} are of different clips"
        tables.append(mine.assign(dataset=each.dataset))
    return pd.concat(tables, ignore_index=True)


def _reasons(clips: pd.DataFrame, dataset: str, tests: pd.DataFrame) -> pd.Series:
    """Why each clip of a data set is left out itself, of REASONS; empty if it is not."""
    own, others = tests[tests["dataset"] == dataset], tests[tests["dataset"] != dataset]
    same_content = (clips["sha256"] != "") & clips["sha256"].isin(tests["sha256"])
    holds = {
        "test part": clips["clip_id"].isin(own["clip_id"]),
        "same file": clips["file"].isin(tests["file"]) | same_content,
        "same recording": clips["name"].isin(own["name"]) | _same_recording(clips, others, dataset),
    }
    reasons = pd.Series("", index=clips.index, dtype=object)
    for name, which in holds.items():
        reasons[which & (reasons == "")] = name
    return reasons


def _of_sources(mixtures: pd.DataFrame, sources: pd.DataFrame, reasons: pd.Series) -> pd.Series:
    """Whether each mixture has a source that is left out, or that is not known any more and so may be."""
    kept = sources.loc[reasons == "", "clip_id"]
    return ~mixtures["source_clips"].str.split(";").explode().isin(kept).groupby(level=0).all()


def _same_recording(clips: pd.DataFrame, tests: pd.DataFrame, dataset: str) -> pd.Series:
    """Whether clips have name and time of a test recording of another data set, and not another site.

    Recorders name files by the time alone, so that recordings at several sites have the same names.
    """
    of_clips, of_tests = (rows["recording"] + "\n" + rows["recorded_at"] for rows in (clips, tests))
    same = (clips["recorded_at"] != "") & of_clips.isin(of_tests)
    no_site = (clips["site"] == "") | of_clips.isin(of_tests[tests["site"] == ""])
    same_site = (of_clips + "\n" + clips["site"]).isin(of_tests + "\n" + tests["site"])
    if n := int((same & ~no_site & ~same_site).sum()):
        log.warning(
            "%s: %d clips have name and time of test recordings of other data sets, but other sites: taken as other "
            "recordings. If these are other names of the same sites, give the sites the same names",
            *(dataset, n),
        )
    return same & (no_site | same_site)


def _require_clips(kept: Mapping[str, pd.DataFrame], facts: Sequence[Mapping[str, Any]]) -> None:
    if any(len(clips) for clips in kept.values()):
        return
    cases = [f"{fact['dataset']}: {fact['n_clips']} clips, left out: {_told(fact['excluded'])}" for fact in facts]
    raise InputError.listing(
        "no clips left to pre-train on, without those that models made from them are tested on",
        cases,
        "add recordings that no model is tested on to the corpus (`parts`); or set its `transductive: true`, to train "
        "on test clips without their labels, which the report then says",
    )


def _told(excluded: Mapping[str, int]) -> str:
    return ", ".join(f"{n} ({reason})" for reason, n in excluded.items() if n) or "none"


def _val_recordings(names: Mapping[str, pd.Series], settings: Corpus) -> dict[str, pd.Index]:
    """The recordings of each data set to validate on; at least one in all, and never all of a data set.

    Args:
        names: data set -> recording of each clip.
        settings: their share and the seed.
    """
    # By name, so that a recording in two data sets, or in the corpora of all folds, is mostly in the same part.
    order = {
        dataset: pd.Index(sorted(each.unique(), key=lambda name: derive(settings.seed, "corpus", "val", name)))
        for dataset, each in names.items()
    }
    n_val = {dataset: max(min(round(settings.val * len(each)), len(each) - 1), 0) for dataset, each in order.items()}
    if not any(n_val.values()):
        largest = max(order, key=lambda dataset: len(order[dataset]))
        if len(order[largest]) < 2:
            raise InputError(
                "no data set of the corpus has two recordings, so that none can be kept to validate on. "
                "What to do: add recordings, or let `name_patterns` tell recordings apart."
            )
        n_val[largest] = 1
    return {dataset: each[: n_val[dataset]] for dataset, each in order.items()}
