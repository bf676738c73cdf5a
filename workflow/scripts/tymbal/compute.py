"""From files to a feature store: parallel parts, each resumable, and the index over them.

A part is a folder with `shard-00000.npy` ..., `index.csv` and `state.json`, as in `layout.py`. Features are computed
from audio, or imported from `.pt` files with their normalisation undone, so that all that comes after is the same.
"""

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch

from tymbal.audio import decode
from tymbal.config.data import Features
from tymbal.config.models import Frontend
from tymbal.diagnose import diagnose
from tymbal.errors import InputError
from tymbal.fbank import BACKENDS
from tymbal.files import atomic, fingerprint, sha256, write_json, write_text
from tymbal.imported import read_features, undo
from tymbal.layout import COLUMNS, INDEX, SHARD_FRAMES, STATE, read_index
from tymbal.progress import Progress
from tymbal.spectrogram import FeatureState
from tymbal.tables import write_csv

log = logging.getLogger(__name__)

PLAN = "plan.txt"  # in the unfinished part: fingerprint of what it is to hold
WINDOWS = 64  # of one file computed at a time, so that a recording of a day does not fill the memory

Compute = Callable[[Path, Any], np.ndarray]  # file and row of the manifest -> [T, F] float16


class Task(NamedTuple):
    """Clips of one file; the first of a file's tasks checks that the file is what the manifest says."""

    clips: list[Any]
    verify: bool


def part_of(manifest: pd.DataFrame, part: str) -> pd.DataFrame:
    """The clips of one of n parts of about equal duration, file by file, so that a file's windows stay together.

    Args:
        manifest: the clips; see `tymbal.ingest.manifest`.
        part: such as `3-of-64`.
    """
    number, n = map(int, part.split("-of-"))
    file = manifest.groupby(["root", "path"], sort=False).ngroup().to_numpy()
    seconds = np.bincount(file, weights=manifest["duration_s"])
    middle = np.cumsum(seconds) - seconds / 2
    chosen = np.minimum(middle / seconds.sum() * n, n - 1).astype(int) == number - 1
    order = np.lexsort((manifest["start_s"], file))
    return manifest.iloc[order[chosen[file[order]]]]


def compute_part(
    manifest: pd.DataFrame,
    roots: Mapping[str, Path],
    frontend: Frontend,
    features: Features | None,
    channel: Literal["mix"] | int,
    out: Path,
    work: Path,
    threads: int,
    code: str = "",
    device: str = "cpu",
) -> None:
    """Compute or import the features of the clips of one part.

    Args:
        manifest: the clips of the part, a file's windows together.
        roots: name of a root -> folder that the clips' paths are relative to.
        frontend: which features to compute from audio.
        features: what is known of the files if they are features already; None for audio.
        channel: of the audio.
        out: the part, written whole or not at all.
        work: folder on the same file system where finished shards wait. A stopped job goes on from them, if clips
            and settings are still the same.
        threads: files computed at a time.
        code: digest of the code that computes; shards of other code are not continued.
        device: where the filterbank is computed.

    Raises:
        InputError: the clips that are missing, changed since the manifest, unreadable or too short, all of them; or
            features that are not as declared.
    """
    compute: Compute
    if features is None:
        state = FeatureState.of(frontend)
        compute = partial(_from_audio, frontend=frontend, channel=channel, device=device)
    else:
        files = dict.fromkeys(zip(manifest["root"], manifest["path"], strict=True))
        _check_declaration([roots[root] / path for root, path in files], features)
        state = FeatureState.imported(features)
        compute = partial(_from_features, features=features)

    clips = manifest[["clip_id", "root", "path", "start_s", "duration_s", "sha256"]]
    settings = [code, state.to_json(), channel, features and features.model_dump(mode="json")]
    finished = _resume(work, fingerprint([settings, clips.to_numpy().tolist()]))
    remaining = list(clips.iloc[sum(map(len, finished)) :].itertuples(index=False))

    problems: list[str] = []
    shard: list[tuple[str, np.ndarray]] = []
    size = 0  # of the shard, in frames
    for task, frames, wrong in _computed(list(_tasks(remaining)), compute, roots, threads):
        problems += wrong
        if problems:  # the part is not written, and the rest only checked
            continue
        for clip, rows in zip(task.clips, frames, strict=True):
            if shard and size + len(rows) > SHARD_FRAMES:
                finished.append(_write_shard(work, len(finished), shard))
                shard, size = [], 0
            shard.append((clip.clip_id, rows))
            size += len(rows)
    if problems:
        raise InputError.listing(
            "clips without features",
            problems,
            "put the original files back, or put them right and read them again: --forcerun prepare_manifest",
        )
    if shard:
        finished.append(_write_shard(work, len(finished), shard))
    _finish(work, out, finished, state)


def _check_declaration(files: Sequence[Path], features: Features) -> None:
    diagnosis = diagnose(files, features)
    for line in diagnosis.lines:
        log.info("%s", line)
    for warning in diagnosis.warnings:
        log.warning("%s", warning)
    if diagnosis.problems:
        raise InputError.listing(
            "the features are not what the data set's `features` says of them",
            diagnosis.problems,
            "correct `features` if the files are right, or make the files again",
        )


def _tasks(clips: Sequence[Any]) -> Iterator[Task]:
    for _, group in groupby(clips, key=lambda clip: (clip.root, clip.path)):
        of_file = list(group)
        for i in range(0, len(of_file), WINDOWS):
            yield Task(of_file[i : i + WINDOWS], verify=i == 0)


def _computed(
    tasks: Sequence[Task], compute: Compute, roots: Mapping[str, Path], threads: int
) -> Iterator[tuple[Task, list[np.ndarray], list[str]]]:
    """Each task in order, with the features of its clips, or with what is wrong."""

    def run(task: Task) -> tuple[list[np.ndarray], list[str]]:
        first = task.clips[0]
        name, path = f"{first.root}: {first.path}", roots[first.root] / first.path
        frames, problems = [], []
        try:
            if task.verify:
                _verify(path, first.sha256)
        except InputError as error:
            return [], [f"{name}: {error}"]
        for clip in task.clips:
            try:
                frames.append(compute(path, clip))
            except InputError as error:
                problems.append(f"{clip.clip_id} ({name}): {error}")
        return frames, problems

    progress = Progress("fbank", sum(len(task.clips) for task in tasks), "clips")
    # Files are the unit of parallel work; torch's own threads would only compete for the same cores.
    torch_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for task, (frames, problems) in zip(tasks, pool.map(run, tasks), strict=True):
            yield task, frames, problems
            progress.add(len(task.clips))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)  # what a thread sets is also the default of later ones


def _verify(path: Path, expected: str) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    if found != expected:
        raise InputError(f"changed since the manifest was made: found sha256 {found[:12]}…, expected {expected[:12]}…")


def _from_audio(path: Path, clip: Any, frontend: Frontend, channel: Literal["mix"] | int, device: str) -> np.ndarray:
    samples = decode(path, frontend.sample_rate, clip.start_s, clip.duration_s, channel)
    waveform = torch.from_numpy(samples).to(device)
    frames = BACKENDS[frontend.backend](waveform, frontend.sample_rate, frontend.n_mels)
    if not frames.isfinite().all():  # before they are float16, which processors are slow to look at
        raise InputError("samples are so large that energy overflows; full scale is expected to be 1")
    return frames.half().cpu().numpy()


def _from_features(path: Path, clip: Any, features: Features) -> np.ndarray:
    return undo(read_features(path, features), features).half().numpy()


def _resume(work: Path, plan: str) -> list[pd.DataFrame]:
    """The index of each shard that is finished; none if the unfinished part was to hold something else."""
    marker = work / PLAN
    if work.exists() and not (marker.exists() and marker.read_text(encoding="utf-8") == plan):
        log.info("starting afresh: the clips or the front end have changed since %s was begun", work)
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    for remains in work.glob(".*.partial.*"):
        remains.unlink()
    write_text(marker, plan)
    finished = [read_index(path) for path in sorted(work.glob("shard-*.csv"))]
    if finished:
        log.info("going on after %d clips; finished shards: %d", sum(map(len, finished)), len(finished))
    return finished


def _write_shard(work: Path, number: int, clips: Sequence[tuple[str, np.ndarray]]) -> pd.DataFrame:
    """Write a shard, then its part of the index, whose presence says that the shard is finished."""
    lengths = [len(frames) for _, frames in clips]
    starts = np.cumsum([0, *lengths])
    name = f"shard-{number:05d}"
    with atomic(work / f"{name}.npy") as partial_file, partial_file.open("wb") as file:
        shape = (int(starts[-1]), clips[0][1].shape[1])
        np.lib.format.write_array_header_1_0(file, {"descr": "<f2", "fortran_order": False, "shape": shape})
        for _, frames in clips:
            file.write(np.ascontiguousarray(frames, dtype="<f2").data)
    ids = [clip_id for clip_id, _ in clips]
    index = pd.DataFrame({"clip_id": ids, "shard": f"{name}.npy", "start": starts[:-1], "n_frames": lengths})
    write_csv(index, work / f"{name}.csv")
    return index


def _finish(work: Path, out: Path, finished: Sequence[pd.DataFrame], state: FeatureState) -> None:
    empty = pd.DataFrame(columns=COLUMNS)  # more parts than files
    index = pd.concat(finished, ignore_index=True) if finished else empty
    write_csv(index, work / INDEX)
    write_json(work / STATE, state.to_json())
    for path in [work / PLAN, *work.glob("shard-*.csv")]:
        path.unlink()
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work.replace(out)
    log.info("%d clips, %d frames, %d shards, state %s", len(index), index["n_frames"].sum(), len(finished), state)
