"""From a configured data set to the files that its source tells of; nothing but names is looked at."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tymbal.config.data import Clips, LabSource, MadeSource, MixtureSource, TagSource
from tymbal.errors import InputError, some
from tymbal.ingest import audacity, esc, file_list, folders, json_manifest, long, multihot, published, raven, tags
from tymbal.ingest.lookup import ELSEWHERE, FEATURE_SUFFIXES, FOLDERS, NAME, PATH_MAP, SUFFIXES, AudioFiles, list_files
from tymbal.ingest.paths import PathMap
from tymbal.ingest.problems import MISSING, BadFile, Problem
from tymbal.ingest.records import Reading, Record
from tymbal.ingest.text import UNSURE
from tymbal.ingest.vocabulary import Vocabulary, read_vocabulary
from tymbal.roots import SYNTH, locate

# A reader takes (source, vocabulary, root -> folder, files of the audio folder).
Reader = Callable[[Any, Vocabulary, Mapping[str, Path], Sequence[str]], Reading]
READERS: dict[str, Reader] = {
    "tags": tags.read,
    "long": long.read,
    "multihot": multihot.read,
    "esc": esc.read,
    "folders": folders.read,
    "json": json_manifest.read,
    "list": file_list.read,
    "raven": raven.read,
    "audacity": audacity.read,
    "published": published.read,
}


@dataclass(frozen=True)
class Matched:
    """What a source tells, file by file.

    Attributes:
        audio: the folder, as the settings have it: `path` or `ROOT:path`.
        classes: in their order; none for a data set without labels.
        records: file, relative to the folder -> what the source tells of it.
        n_records: how many files the source tells of.
        missing: those that are not in the folder.
        problems: names that may mean several files, and files of which different things are told.
        facts: as of a `Reading`, and how files were found.
        warnings: as of a `Reading`.
    """

    audio: str
    classes: tuple[str, ...]
    records: dict[str, Record]
    n_records: int
    missing: list[BadFile] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    facts: dict[str, int | str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def list_clips(dataset: Clips, name: str, roots: Mapping[str, Path]) -> list[str]:
    """All audio or feature files of a data set's folder, as `list_files` gives them.

    Args:
        dataset: the data set's settings.
        name: its name in the configuration.
        roots: name of a root -> folder.

    Raises:
        InputError: the folder cannot be listed, or holds none.
    """
    folder = locate(_located(dataset, name).audio, roots)
    files = list_files(folder, SUFFIXES if dataset.features is None else FEATURE_SUFFIXES)
    if not files:
        kind = "audio" if dataset.features is None else ".pt"
        raise InputError(
            f"data set {name}: no {kind} file in {folder}. Correct `source.audio`, `data_root` or `roots`; "
            "`features` tells whether the files are .pt features or audio."
        )
    return files


def match(
    dataset: Clips, name: str, roots: Mapping[str, Path], path_map: Mapping[str, str], files: Sequence[str]
) -> Matched:
    """Read a source and find the file of each of its records.

    Args:
        dataset: the data set's settings.
        name: its name in the configuration; one that the workflow writes lies in the folder of this name.
        roots: name of a root -> folder.
        path_map: beginning of a path on another machine -> `ROOT:path`.
        files: what `list_clips` gave.

    Raises:
        InputError: the source cannot be read, or settings do not fit it.
    """
    source = _located(dataset, name)
    vocabulary = read_vocabulary(dataset.classes, roots)
    reading = READERS[source.format](source, vocabulary, roots, files)
    facts = vocabulary.facts | reading.facts
    if not reading.records:
        raise InputError(f"data set {name}: its source tells of no file. Correct the settings of `source`.")
    audio = AudioFiles(files, PathMap(path_map, source.audio))
    # The records of a folder are its files themselves, and readers of layouts give whole paths.
    itself = source.format in ("folders", "published") or (source.format == "list" and source.table is None)

    found: dict[str, Record] = {}
    rules: Counter[str] = Counter()
    missing, ambiguous, repeated, different, elsewhere = [], [], [], [], []
    for record in reading.records:
        candidates, rule, near = audio.find(record.file, whole=itself)
        if not candidates:
            reason = f"there is {near}, in another folder" if near else ""
            missing.append(BadFile(record.file, record.where, MISSING, reason))
        elif len(candidates) > 1:
            several = " or ".join(candidates[:5]) + (" or ..." if len(candidates) > 5 else "")
            ambiguous.append(f"{record.where}: {record.file!r} may be {several}")
        elif (first := found.setdefault(candidates[0], record)) is record:
            rules[rule] += 1
            if rule == ELSEWHERE:
                elsewhere.append(f"{record.file} ({record.where}) is {candidates[0]}")
        elif _comparable(first) == _comparable(record):
            repeated.append(f"{record.where} (as {first.where})")
        else:
            different.append(f"{candidates[0]}: {first.where} and {record.where} differ")

    warnings = list(reading.warnings)
    warnings += [f"{what}: {told}" for what, told in facts.items() if UNSURE in str(told)]
    if elsewhere:
        warnings.append(
            f"files found by name in another folder than the source names, which `path_map` would settle: "
            f"{len(elsewhere)}: {some(elsewhere, between='; ')}"
        )
    if repeated:
        warnings.append(f"rows that repeat another row, read once: {len(repeated)}: {some(repeated)}")
    return Matched(
        audio=source.audio,
        classes=vocabulary.names,
        records=found,
        n_records=len(reading.records) - len(repeated),
        missing=missing,
        problems=_problems(ambiguous, different),
        facts=facts
        | {f"files found by {rule}": rules[rule] for rule in (PATH_MAP, FOLDERS, NAME, ELSEWHERE)}
        | {
            "files missing": len(missing),
            "rows that repeat another row": len(repeated),
            "files in the folder that the source does not mention, not used": len(files) - len(found),
        },
        warnings=warnings,
    )


def _located(dataset: Clips, name: str) -> Any:
    """The source to read: of what the workflow writes itself, a tag table."""
    source = dataset.source
    if not isinstance(source, MadeSource):
        assert isinstance(source, LabSource)
        return source
    table = TagSource(format="tags", table=f"{SYNTH}:{name}/tags.csv", audio=f"{SYNTH}:{name}/audio")
    if isinstance(source, MixtureSource):
        own = {"site_column": None, "fold_column": source.fold_column, "columns": source.columns}
        return table.model_copy(update=own)
    return table


def _comparable(record: Record) -> Record:
    return replace(record, file="", where="")


def _problems(ambiguous: Sequence[str], different: Sequence[str]) -> list[Problem]:
    problems = [
        Problem(
            "ambiguous file names",
            ambiguous,
            "give the folder in the source as well, tell in `path_map` where the source's paths are, or keep one file "
            "a stem in the audio folder; extensions do not count",
        ),
        Problem("files described more than once", different, "keep one row a file"),
    ]
    return [problem for problem in problems if problem.cases]
