"""From a configured data set to its manifest; everything wrong with it is told in one message."""

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from tymbal.audio import AudioInfo, probe
from tymbal.config import Clips, EscSource, FolderSource, SynthSource, TagSource
from tymbal.errors import InputError
from tymbal.files import sha256
from tymbal.ingest import esc, folders, tags
from tymbal.ingest.lookup import AudioFiles, key, list_audio
from tymbal.ingest.manifest import LABEL
from tymbal.ingest.records import Record, clean
from tymbal.progress import track

log = logging.getLogger(__name__)

# A reader takes (source, classes, root of the source's paths, audio files found) and gives the records.
READERS: dict[str, Callable[[Any, Sequence[str], Path, Sequence[str]], list[Record]]] = {
    "tags": tags.read,
    "folders": folders.read,
    "esc": esc.read,
}

MIN_CLIP_S = 0.025  # one frame of the front end

# Kinds of problems with clips, in the order in which they are told, with what to do about each.
REMEDIES = {
    "missing audio files": "copy them into the audio folder, or take their rows out of the table",
    "ambiguous audio files": (
        "give the folder in the table as well, or keep one file a stem in the audio folder; extensions do not count"
    ),
    "audio files described more than once": "keep one row a file",
    "file names that `name_pattern` does not match": (
        "correct `name_pattern` (named groups recording and, if wanted, site; it is matched against the whole name "
        "without its extension), or rename the files"
    ),
    "labelled clips without exactly one class of weight 1.0": (
        "correct their labels, or set `task: multi-label` for this data set"
    ),
    "empty, too short or unreadable audio files": "copy them again from the recorder, or remove them and their rows",
    "audio files with the same content": (
        "keep one of each; a clip with several labels is one row (or one file in a folder named 'A,B')"
    ),
}
Problems = defaultdict[str, list[str]]


@dataclass(frozen=True)
class Clip:
    """A record with its audio file and what was measured on it."""

    record: Record
    file: str  # relative to the source's audio folder
    recording: str
    site: str
    audio: AudioInfo
    sha256: str


def prepare_manifest(dataset: Clips, name: str, roots: Mapping[str, Path], threads: int = 4) -> pd.DataFrame:
    """Read labels, find and measure the audio, and check all of it.

    Args:
        dataset: the data set's settings.
        name: its name in the configuration; a synthesised one lies in the folder of this name.
        roots: `data` and `synth` -> folder. Only the root's name enters the manifest.
        threads: files measured at a time.

    Returns:
        The manifest, as `tymbal.ingest.manifest` describes it.

    Raises:
        InputError: a setting or the table is wrong; or else every problem with the clips, by kind.
    """
    pattern = re.compile(dataset.name_pattern)
    _check_classes(dataset, name)
    root, source = _located(dataset.source, name)
    folder = roots[root] / source.audio
    files = list_audio(folder)
    records = READERS[source.format](source, dataset.classes, roots[root], files)

    problems: Problems = defaultdict(list)
    found = _match(records, AudioFiles(files), problems)
    groups = {file: _recording_and_site(record, file, pattern, problems) for file, record in found.items()}
    if dataset.task == "single-label":
        _check_one_class(found, problems)
    measured = _measure(folder, sorted(found), threads, problems)
    if problems:
        raise _error(f"data set {name} (audio in {folder})", problems)

    log.info("%s: audio files that the source does not mention, not used: %d", name, len(files) - len(found))
    clips = [Clip(record, file, *groups[file], *measured[file]) for file, record in found.items()]
    rows = [_row(clip, dataset.classes, root, source.audio) for clip in clips]
    manifest = pd.DataFrame(rows).sort_values("clip_id", ignore_index=True)
    assert manifest["clip_id"].is_unique
    log.info(
        "%s: %d clips, %.2f h, of %d recordings at %d sites; unlabelled: %d",
        name,
        len(clips),
        manifest["duration_s"].sum() / 3600,
        manifest["recording"].nunique(),
        len(set(manifest["site"]) - {""}),
        sum(clip.record.labels is None for clip in clips),
    )
    return manifest


def _check_classes(dataset: Clips, name: str) -> None:
    cleaned = [clean(label) for label in dataset.classes]
    same = sorted({label for label in cleaned if cleaned.count(label) > 1})
    if same:
        raise InputError(
            f"datasets.{name}.classes: {same} occur twice, apart from blanks and Unicode forms. Keep one of each."
        )


def _located(
    source: SynthSource | TagSource | FolderSource | EscSource, name: str
) -> tuple[str, TagSource | FolderSource | EscSource]:
    """The root that the source's paths are relative to, and the source to read."""
    if isinstance(source, SynthSource):
        return "synth", TagSource(format="tags", table=f"{name}/tags.csv", audio=f"{name}/audio")
    return "data", source


def _match(records: Sequence[Record], audio: AudioFiles, problems: Problems) -> dict[str, Record]:
    """The record of each file that one is found for."""
    found: dict[str, Record] = {}
    repeated = []
    for record in records:
        files = audio.find(record.file)
        if not files:
            problems["missing audio files"].append(f"{record.where}: {record.file!r}")
        elif len(files) > 1:
            problems["ambiguous audio files"].append(f"{record.where}: {record.file!r} may be {' or '.join(files)}")
        elif (first := found.setdefault(files[0], record)) is not record:
            if _comparable(first) == _comparable(record):
                repeated.append(f"{record.where} (as {first.where})")
            else:
                problems["audio files described more than once"].append(
                    f"{files[0]}: {first.where} and {record.where} differ"
                )
    if repeated:
        log.warning("rows that repeat another row, read once: %d: %s", len(repeated), ", ".join(repeated))
    return found


def _comparable(record: Record) -> Record:
    return replace(record, file="/".join(key(record.file)), where="")


def _recording_and_site(record: Record, file: str, pattern: re.Pattern[str], problems: Problems) -> tuple[str, str]:
    """What the source says comes first, then what the file's name says."""
    match = pattern.fullmatch(key(file)[-1])
    named = match.groupdict(default="") if match else {}
    recording = record.recording or named.get("recording", "")
    if not recording:
        problems["file names that `name_pattern` does not match"].append(file)
    return recording, record.site or named.get("site", "")


def _check_one_class(found: Mapping[str, Record], problems: Problems) -> None:
    for file, record in found.items():
        if record.labels is not None and list(record.labels.values()) != [1.0]:
            told = ", ".join(f"{label} {weight:g}" for label, weight in record.labels.items())
            problems["labelled clips without exactly one class of weight 1.0"].append(f"{record.where}: {file}: {told}")


def _measure(folder: Path, files: Sequence[str], threads: int, problems: Problems) -> dict[str, tuple[AudioInfo, str]]:
    """Length, rate, channels and hash of each file; reading is what takes the time, so in threads."""
    measured, same = {}, defaultdict(list)
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda file: _measure_one(folder / file), files)
        for file, result in zip(files, track(results, "audio", "files", len(files)), strict=True):
            if isinstance(result, str):
                problems["empty, too short or unreadable audio files"].append(f"{file}: {result}")
            else:
                measured[file] = result
                same[result[1]].append(file)
    for several in same.values():
        if len(several) > 1:
            problems["audio files with the same content"].append(" = ".join(several))
    return measured


def _measure_one(path: Path) -> tuple[AudioInfo, str] | str:
    """What was measured and the hash, or why it could not be."""
    try:
        if path.stat().st_size == 0:
            return "0 bytes"
        info = probe(path)
        if info.duration_s < MIN_CLIP_S:
            return f"{1000 * info.duration_s:.1f} ms, shorter than one frame of {1000 * MIN_CLIP_S:g} ms"
        return info, sha256(path)
    except (InputError, OSError) as error:
        return str(error)


def _error(where: str, problems: Problems) -> InputError:
    """Every kind with its count, its cases and its remedy."""
    assert problems.keys() <= REMEDIES.keys()
    told = [
        str(InputError.listing(f"{where}: {kind}", problems[kind], remedy))
        for kind, remedy in REMEDIES.items()
        if kind in problems
    ]
    return InputError("\n".join(told))


def _row(clip: Clip, classes: Sequence[str], root: str, audio: str) -> dict[str, Any]:
    weights = clip.record.labels
    return {
        "clip_id": "/".join(key(clip.file)),
        "root": root,
        "path": (PurePosixPath(audio) / clip.file).as_posix(),
        "recording": clip.recording,
        "site": clip.site,
        "fold": clip.record.fold,
        "duration_s": clip.audio.duration_s,
        "sample_rate": clip.audio.sample_rate,
        "channels": clip.audio.channels,
        "sha256": clip.sha256,
    } | {LABEL + label: float("nan") if weights is None else weights.get(label, 0.0) for label in classes}
