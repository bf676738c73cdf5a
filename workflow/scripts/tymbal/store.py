"""The feature store: log-mel features of a data set, packed end to end in a few large files.

A folder with `state.json` (what the numbers mean), `index.csv` (clip_id, shard, start, n_frames, sha256: where the rows
of a clip are, and the hash of its audio) and `shard-00000.npy` ...: float16 [frames, mels], neither padded nor
normalised. float16 holds log-mel values, -16 to 16, in steps below 0.01. Reading maps the files into memory, so clips
in random order cost a copy each and no opening of files.
"""

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tymbal.audio import decode
from tymbal.config import Frontend
from tymbal.errors import InputError
from tymbal.fbank import BACKENDS, FeatureState
from tymbal.files import atomic, fingerprint, read_json, write_json, write_text
from tymbal.progress import Progress
from tymbal.tables import read_csv, write_csv

log = logging.getLogger(__name__)

SHARD_FRAMES = 2**20  # in a shard, unless a single clip is longer: 256 MB of 128 mels
PLAN = "plan.txt"  # in the unfinished store: fingerprint of what it is to hold


def compute_store(
    manifest: pd.DataFrame,
    roots: Mapping[str, Path],
    frontend: Frontend,
    out: Path,
    work: Path,
    threads: int,
    code: str = "",
    device: str = "cpu",
) -> None:
    """Compute the features of all clips of a manifest.

    Args:
        manifest: the clips; see `tymbal.ingest.manifest`.
        roots: name of a root -> folder that the clips' paths are relative to.
        frontend: which features.
        out: the store, written whole or not at all.
        work: folder on the same file system where finished shards wait. A stopped job goes on from them, if clips
            and front end are still the same.
        threads: clips computed at a time.
        code: digest of the code that computes; shards of other code are not continued.
        device: where the filterbank is computed.

    Raises:
        InputError: the clips that are missing, changed since the manifest, unreadable or too short; all of them.
    """
    state = FeatureState.of(frontend)
    clips = manifest[["clip_id", "root", "path", "sha256"]]
    parts = _resume(work, fingerprint([code, state.to_json(), clips[["clip_id", "sha256"]].to_numpy().tolist()]))
    remaining = list(clips.iloc[sum(map(len, parts)) :].itertuples(index=False))

    def features(clip: Any) -> np.ndarray | InputError:
        try:
            return _features(roots[clip.root] / clip.path, clip.sha256, frontend, device)
        except InputError as error:
            return error

    problems: list[str] = []
    shard: list[tuple[Any, np.ndarray]] = []
    size = 0  # of the shard, in frames
    progress = Progress("fbank", len(remaining), "clips")
    # Clips are the unit of parallel work; torch's own threads would only compete for the same cores.
    torch_threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for clip, frames in zip(remaining, pool.map(features, remaining), strict=True):
            if isinstance(frames, InputError):
                problems.append(f"{clip.clip_id} ({clip.root}: {clip.path}): {frames}")
            elif not problems:  # with problems the store is not written, and the rest only checked
                if shard and size + len(frames) > SHARD_FRAMES:
                    parts.append(_write_shard(work, len(parts), shard))
                    shard, size = [], 0
                shard.append((clip, frames))
                size += len(frames)
            progress.add()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch_threads)  # what a thread sets is also the default of later ones
    if problems:
        raise InputError.listing(
            "clips without features",
            problems,
            "put the original files back, or make the manifest again with prepare_manifest",
        )
    if shard:
        parts.append(_write_shard(work, len(parts), shard))
    _finish(work, out, parts, state)


class FeatureStore:
    """A feature store, mapped into memory.

    Args:
        path: the folder.
        expected: what the features must be, as `FeatureState.to_json` gives it (say, from a model's card).

    Raises:
        InputError: the features are others; each differing field is told.
    """

    def __init__(self, path: Path, expected: Mapping[str, Any] | None = None) -> None:
        found = read_json(path / "state.json")
        if expected is not None:
            _check(found, expected, path)
        self.state = FeatureState.from_json(found)
        self.index = _read_index(path / "index.csv")
        where = zip(self.index["shard"], self.index["start"], self.index["n_frames"], strict=True)
        self._where = dict(zip(self.index["clip_id"], where, strict=True))
        # Mapped copy-on-write and never written to, because torch wants writable memory.
        files = sorted(path.glob("shard-*.npy"))
        self._shards = [torch.from_numpy(np.load(file, mmap_mode="c")) for file in files]

    def frames(self, clip_id: str) -> np.ndarray:
        """The features of one clip, [T, F] float16; a view of the file."""
        shard, start, length = self._where[clip_id]
        return self._shards[shard][start : start + length].numpy()

    def batch(
        self, clip_ids: Sequence[str], n_frames: int, mean: float, std: float, pad_value: float
    ) -> tuple[Tensor, Tensor]:
        """Normalised features of some clips, cut or padded at the end to one length.

        Args:
            clip_ids: B clips.
            n_frames: the length.
            mean: of the training frames, natural log.
            std: of the training frames; features are (x - mean) / (2 std), as AST and SSAST have it.
            pad_value: what padding holds, in normalised units.

        Returns:
            [B, n_frames, F] float32, and the number of frames that are not padding, [B] int64.
        """
        x = torch.empty(len(clip_ids), n_frames, self.state.n_mels)
        kept = torch.empty(len(clip_ids), dtype=torch.int64)
        scale = 1 / (2 * std)
        offset = torch.tensor(-mean * scale)
        for i, clip_id in enumerate(clip_ids):
            shard, start, length = self._where[clip_id]
            kept[i] = n = min(length, n_frames)
            # Clip by clip, so that what was just widened is normalised, in one pass, while it is in the cache.
            clip = x[i, :n].copy_(self._shards[shard][start : start + n])
            torch.add(offset, clip, alpha=scale, out=clip)
            x[i, n:] = pad_value
        return x, kept


def _features(path: Path, sha256: str, frontend: Frontend, device: str) -> np.ndarray:
    """[T, F] float16 of one file, whose content must be what the manifest says."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from error
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise InputError(f"changed since the manifest was made: found sha256 {found[:12]}…, expected {sha256[:12]}…")
    waveform = torch.from_numpy(decode(data, frontend.sample_rate)).to(device)
    frames = BACKENDS[frontend.backend](waveform, frontend.sample_rate, frontend.n_mels).half().cpu().numpy()
    if not np.isfinite(frames).all():
        raise InputError("samples are so large that energy overflows; full scale is expected to be 1")
    return frames


def _resume(work: Path, plan: str) -> list[pd.DataFrame]:
    """The index of each shard that is finished; none if the unfinished store was to hold something else."""
    marker = work / PLAN
    if work.exists() and not (marker.exists() and marker.read_text(encoding="utf-8") == plan):
        log.info("starting afresh: the clips or the front end have changed since %s was begun", work)
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    for remains in work.glob(".*.partial.*"):
        remains.unlink()
    write_text(marker, plan)
    parts = [_read_index(path) for path in sorted(work.glob("shard-*.csv"))]
    if parts:
        log.info("going on after %d clips; finished shards: %d", sum(map(len, parts)), len(parts))
    return parts


def _write_shard(work: Path, number: int, clips: Sequence[tuple[Any, np.ndarray]]) -> pd.DataFrame:
    """Write a shard, then its part of the index, whose presence says that the shard is finished."""
    lengths = [len(frames) for _, frames in clips]
    starts = np.cumsum([0, *lengths])
    with atomic(work / f"shard-{number:05d}.npy") as partial:
        shape = (int(starts[-1]), clips[0][1].shape[1])
        packed = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        np.concatenate([frames for _, frames in clips], out=packed)
        packed.flush()
    index = pd.DataFrame(
        {
            "clip_id": [clip.clip_id for clip, _ in clips],
            "shard": number,
            "start": starts[:-1],
            "n_frames": lengths,
            "sha256": [clip.sha256 for clip, _ in clips],
        }
    )
    write_csv(index, work / f"shard-{number:05d}.csv")
    return index


def _finish(work: Path, out: Path, parts: Sequence[pd.DataFrame], state: FeatureState) -> None:
    index = pd.concat(parts, ignore_index=True)
    write_csv(index, work / "index.csv")
    write_json(work / "state.json", state.to_json())
    for path in [work / PLAN, *work.glob("shard-*.csv")]:
        path.unlink()
    if out.exists():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work.replace(out)
    log.info("%d clips, %d frames, %d shards, state %s", len(index), index["n_frames"].sum(), len(parts), state)


def _read_index(path: Path) -> pd.DataFrame:
    return read_csv(path, text=("clip_id", "sha256"))


def _check(found: Mapping[str, Any], expected: Mapping[str, Any], path: Path) -> None:
    different = [
        f"{field}: found {found.get(field)!r}, expected {expected.get(field)!r}"
        for field in {**expected, **found}
        if found.get(field) != expected.get(field)
    ]
    if different:
        remedy = "use features of the front end that the model was trained with"
        raise InputError.listing(f"the features in {path} are not those expected", different, remedy)
