"""Soundscapes mixed from clips of one class each: what is heard in them, and how loud, is known exactly.

The clips' parts are kept apart, so no source is heard in two parts. Within a part their recordings are divided into
pools, and a soundscape is mixed from one pool. It bears the pool's name as its recording: soundscapes of two
recordings share no source, which is what grouped intervals take for granted. Pools do not depend on the seed: in two
data sets mixed from the same parts, pools of one name and size are the same.

Every draw has its own seed, derived by name: a soundscape is the same whichever are made before it.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import NDArray

from tymbal.audio import decode
from tymbal.config.data import MixtureSource
from tymbal.errors import InputError
from tymbal.files import atomic
from tymbal.folds import clip_ids
from tymbal.groups import recording_names
from tymbal.ingest.manifest import LABEL, class_names
from tymbal.progress import track
from tymbal.seeds import derive
from tymbal.tables import write_csv

LEVEL_DB = -20.0  # of the loudest source, re full scale
PEAK = 0.9  # no sample goes beyond; full scale is 1
HEARD_S = 0.5  # the loudest so many seconds of a source are always heard, and say how loud it is
FADE_S = 0.01  # at both ends of a source
SHORTEST_S = 0.02  # of a source: a shorter one would be all fade
KEPT = 64  # sources held in memory: those of a pool or two, which are soon heard again
MOST = 999  # soundscapes of a pool: the number in a file's name has up to three digits

Signal = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Mixture:
    """What is heard in one soundscape.

    Attributes:
        recording: `<part>-<number of the pool>`.
        k: its number in the pool, from 1.
        part: train, val or test.
        clips: ids of the sources, the loudest first.
        classes: of the sources, each another one.
        levels_db: of the sources, relative to the loudest.
    """

    recording: str
    k: int
    part: str
    clips: tuple[str, ...]
    classes: tuple[str, ...]
    levels_db: tuple[float, ...]

    @property
    def name(self) -> str:
        """Stem of the audio file."""
        return f"{self.recording}_{self.k:03d}"


def mix_soundscapes(
    source: MixtureSource,
    manifest: pd.DataFrame,
    folds: pd.DataFrame,
    roots: Mapping[str, Path],
    channel: Literal["mix"] | int,
    table: Path,
    audio: Path,
) -> None:
    """Write the data set: 16-bit FLAC files and their tag table.

    Args:
        source: sizes, levels, rate and seed; the same settings and clips give the same bytes on one machine.
        manifest: of the clips.
        folds: their `fold, clip_id, part`.
        roots: name of a root -> folder.
        channel: of the clips, as `decode` takes it.
        table: CSV to write: `FileName, part, n_sources, levels_db, source_clips`, then `MainTag_<class>` and
            `SubTag_<class>` of 1 and 0.
        audio: folder to write the soundscapes into; one already there is replaced.

    Raises:
        InputError: pools with too few classes or too many soundscapes, or clips that cannot be read, are silent or too
            short.
    """
    mixtures = plan(source, manifest, folds)
    clips = manifest.set_index("clip_id").to_dict("index")
    problems: set[str] = set()

    @lru_cache(maxsize=KEPT)
    def sound(clip: str) -> Signal:
        return _sound(clip, clips[clip], roots, channel, source.sample_rate, problems)

    with atomic(audio) as folder:
        folder.mkdir()
        for mixture in track(mixtures, "mix", "soundscapes"):
            sounds = {clip: sound(clip) for clip in mixture.clips}
            if not problems:
                path = folder / f"{mixture.name}.flac"
                soundfile.write(path, waveform(mixture, sounds, source), source.sample_rate, subtype="PCM_16")
        if problems:
            raise InputError.listing(
                f"clips of {source.dataset} that cannot be mixed", sorted(problems), "correct or remove these files"
            )
    write_csv(tag_table(mixtures, class_names(manifest), source.main_within_db), table)


def plan(source: MixtureSource, manifest: pd.DataFrame, folds: pd.DataFrame) -> list[Mixture]:
    """Decide what is heard in every soundscape, before any sound is read; those of a pool follow each other.

    Args:
        source: the settings.
        manifest: of the clips.
        folds: their `fold, clip_id, part`.

    Raises:
        InputError: pools with too few classes or too many soundscapes.
    """
    names = np.array(class_names(manifest))
    weights = manifest[[LABEL + name for name in names]].fillna(0).to_numpy()
    clips = pd.DataFrame(
        {
            "clip_id": manifest["clip_id"],
            "class": names[weights.argmax(axis=1)],
            "recording": recording_names(manifest),
        }
    )
    mixtures: list[Mixture] = []
    problems = [
        f"clip {clip!r}: a semicolon in its name, which separates sources" for clip in clips["clip_id"] if ";" in clip
    ]
    for part, settings in source.parts.items():
        mine = clips[clips["clip_id"].isin(clip_ids(folds, source.fold, part))]
        pools = _pools(mine, settings.pool, part)
        fewest, most = min(pool["class"].nunique() for pool in pools), -(-settings.clips // len(pools))
        if fewest < len(source.shares):
            problems.append(
                f"{part}: {len(mine)} clips in {len(pools)} pools, one of which has {fewest} classes, fewer than the "
                f"{len(source.shares)} of the largest mixtures"
            )
        elif most > MOST:
            problems.append(f"{part}: {most} soundscapes of each of {len(pools)} pools, more than {MOST}")
        else:
            mixtures += _mixtures(source, part, settings.clips, pools)
    if problems:
        remedy = "correct `source.parts` (recordings in a `pool`, number of `clips`) or `source.shares`"
        raise InputError.listing(f"mixtures of {source.dataset}", problems, remedy)
    return mixtures


def tag_table(mixtures: Sequence[Mixture], classes: Sequence[str], main_within_db: float) -> pd.DataFrame:
    """The soundscapes' tags, one row each: main for sources at most so far below the loudest, else background."""
    rows = []
    for mixture in mixtures:
        level = dict(zip(mixture.classes, mixture.levels_db, strict=True))
        row: dict[str, str | int] = {
            "FileName": f"{mixture.name}.flac",
            "part": mixture.part,
            "n_sources": len(mixture.clips),
            "levels_db": ";".join(f"{each:g}" for each in mixture.levels_db),
            "source_clips": ";".join(mixture.clips),
        }
        row |= {f"MainTag_{name}": int(name in level and level[name] >= -main_within_db) for name in classes}
        row |= {f"SubTag_{name}": int(name in level and level[name] < -main_within_db) for name in classes}
        rows.append(row)
    return pd.DataFrame(rows)


def waveform(mixture: Mixture, sounds: Mapping[str, Signal], source: MixtureSource) -> Signal:
    """The soundscape, [samples] within +-PEAK.

    Args:
        mixture: its sources and their levels.
        sounds: clip id -> samples [n] at the rate of `source`.
        source: the settings.
    """
    n = round(source.clip_s * source.sample_rate)
    mixed = np.zeros(n)
    for clip, level_db in zip(mixture.clips, mixture.levels_db, strict=True):
        rng = np.random.default_rng(derive(source.seed, "mixture", mixture.name, clip))
        at, heard = _placed(sounds[clip], n, source.sample_rate, rng)
        _, rms = loudest(heard, source.sample_rate)
        mixed[at : at + len(heard)] += 10 ** ((LEVEL_DB + level_db) / 20) / rms * heard
    return mixed * min(1.0, PEAK / np.abs(mixed).max())


def loudest(sound: Signal, sample_rate: int) -> tuple[int, float]:
    """The first sample of the loudest half second of a sound, and its RMS; brief calls are not averaged away."""
    window = min(len(sound), round(HEARD_S * sample_rate))
    energy = np.concatenate([[0.0], np.cumsum(np.square(sound, dtype=np.float64))])
    within = energy[window:] - energy[:-window]
    begin = int(within.argmax())
    return begin, float(np.sqrt(max(within[begin], 0.0) / window))


# --- what is heard ----------------------------------------------------------------------------------------


def _pools(clips: pd.DataFrame, size: int, part: str) -> list[pd.DataFrame]:
    """Divide the clips of a part into pools of `size` recordings or a few more, of as many classes as possible."""
    rng = np.random.default_rng(derive(0, "mixtures", "pools", part))
    classes = clips.groupby("recording")["class"].agg(lambda several: several.mode()[0])
    left = {name: list(rng.permutation(sorted(own.index))) for name, own in classes.groupby(classes)}
    n_pools = max(1, len(classes) // size)
    pools = []
    for i in range(n_pools):
        wanted = len(classes) // n_pools + (i < len(classes) % n_pools)
        pool: list[str] = []
        while len(pool) < wanted:  # one of each class, those with most recordings left first
            names = sorted(rng.permutation([name for name in left if left[name]]), key=lambda name: -len(left[name]))
            pool += [left[name].pop() for name in names[: wanted - len(pool)]]
        pools.append(clips[clips["recording"].isin(pool)].sort_values("clip_id"))
    return pools


def _mixtures(source: MixtureSource, part: str, n: int, pools: Sequence[pd.DataFrame]) -> Iterator[Mixture]:
    counts = _dealt(source.shares, n, np.random.default_rng(derive(source.seed, "mixtures", "sources", part)))
    for p, pool in enumerate(pools):
        own = {str(name): clips.to_numpy() for name, clips in pool.groupby("class")["clip_id"]}
        recording = f"{part}-{p + 1:03d}"
        for k, count in enumerate(counts[p :: len(pools)], start=1):
            rng = np.random.default_rng(derive(source.seed, "mixtures", recording, k))
            classes = rng.choice(sorted(own), count, replace=False)
            below = np.sort(rng.uniform(0, source.level_range_db, count - 1)).round(1)
            yield Mixture(
                recording=recording,
                k=k,
                part=part,
                clips=tuple(str(rng.choice(own[name])) for name in classes),
                classes=tuple(map(str, classes)),
                levels_db=(0.0, *(0.0 - below).tolist()),
            )


def _dealt(shares: Sequence[float], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many sources each of `n` soundscapes has, in random order; the shares are met exactly, but for rounding."""
    steps = (np.arange(n) + 0.5) / n
    return rng.permutation(1 + np.searchsorted(np.cumsum(shares) / sum(shares), steps))


# --- how it sounds ----------------------------------------------------------------------------------------


def _sound(
    clip: str,
    row: Mapping[Hashable, Any],
    roots: Mapping[str, Path],
    channel: Literal["mix"] | int,
    sample_rate: int,
    problems: set[str],
) -> Signal:
    """The samples of a clip, by its row of the manifest; what is wrong with it is added to `problems`."""
    try:
        sound = decode(roots[row["root"]] / row["path"], sample_rate, row["start_s"], row["duration_s"], channel)
    except InputError as error:
        problems.add(f"{clip}: {error}")
        return np.zeros(1)
    if not sound.any():
        problems.add(f"{clip}: silent")
    if len(sound) < SHORTEST_S * sample_rate:
        problems.add(f"{clip}: {1000 * len(sound) / sample_rate:.1f} ms long, less than {1000 * SHORTEST_S:g} ms")
    return sound


def _placed(sound: Signal, n: int, sample_rate: int, rng: np.random.Generator) -> tuple[int, Signal]:
    """A random place among `n` samples, and what is heard from it on, with the loudest half second of a sound whole."""
    begin, _ = loudest(sound, sample_rate)
    window = min(len(sound), round(HEARD_S * sample_rate))
    at = int(rng.integers(-begin, n - window - begin + 1))  # where its first sample comes
    heard = sound[max(0, -at) : max(0, n - at)]
    ends = np.arange(len(heard)) + 0.5
    fade = np.minimum(1, np.minimum(ends, ends[::-1]) / (FADE_S * sample_rate))
    return max(0, at), fade * heard
