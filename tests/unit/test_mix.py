"""Mixed soundscapes: parts and pools that share no source, levels and labels that are true, bytes that repeat."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers import REPO, merged_config
from tymbal import mix
from tymbal.config import load
from tymbal.config.data import Clips, MixtureSource
from tymbal.errors import InputError
from tymbal.ingest.match import list_clips, match
from tymbal.ingest.measure import measure
from tymbal.ingest.prepare import assemble
from tymbal.mix import Mixture
from tymbal.plan import Plan
from tymbal.validate.data import check_dataset

RATE = 8000
CLASSES = ("dog", "rain", "sea", "wind")
SOURCE = MixtureSource.model_validate(
    {
        "format": "mixtures",
        "dataset": "single",
        "parts": {"train": {"clips": 20, "pool": 8}, "val": {"clips": 5, "pool": 4}, "test": {"clips": 30, "pool": 4}},
        "shares": [2, 1, 1, 1],
        "clip_s": 1,
        "sample_rate": RATE,
    }
)


def single(n_a_class: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Manifest and folds of clips of one class each; half of them train. Every second recording has two clips."""
    rows, parts = [], []
    for c, name in enumerate(CLASSES):
        for i in range(n_a_class):
            takes = 1 + i % 2
            for take in range(takes):
                clip = f"{name}{i}{'ab'[take]}"
                rows.append(
                    {"clip_id": clip, "root": "data", "path": f"{clip}.wav", "start_s": 0.0, "duration_s": 0.75}
                    | {"recording": f"{name}{i}", "site": ""}
                    | {f"label:{each}": float(k == c) for k, each in enumerate(CLASSES)}
                )
                parts.append("train" if i < n_a_class // 2 else "val" if i < n_a_class * 3 // 4 else "test")
    manifest = pd.DataFrame(rows)
    folds = pd.DataFrame({"fold": 1, "clip_id": manifest["clip_id"], "part": parts, "subset": 100})
    return manifest, folds


def write_clips(folder: Path, manifest: pd.DataFrame) -> None:
    rng = np.random.default_rng(0)
    for path in manifest["path"]:
        soundfile.write(folder / path, rng.uniform(0.05, 0.5) * rng.uniform(-1, 1, 6000), RATE, subtype="PCM_16")


def mixed(folder: Path, source: MixtureSource = SOURCE, manifest: pd.DataFrame | None = None) -> pd.DataFrame:
    """The data set, written into the folder as the workflow does; its table."""
    clips, folds = single()
    manifest = clips if manifest is None else manifest
    mix.mix_soundscapes(
        source, manifest, folds, {"data": folder}, "mix", folder / "many/tags.csv", folder / "many/audio"
    )
    return pd.read_csv(folder / "many/tags.csv", dtype={"levels_db": str})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mix")
    write_clips(folder, single()[0])
    mixed(folder)
    return folder


# --- what is heard ----------------------------------------------------------------------------------------


def test_parts_and_pools_share_no_recording():
    manifest, folds = single()
    recording = manifest.set_index("clip_id")["recording"]
    part = folds.set_index("clip_id")["part"]
    sources: dict[str, set[str]] = {}
    for mixture in mix.plan(SOURCE, manifest, folds):
        assert {part[clip] for clip in mixture.clips} == {mixture.part}
        sources.setdefault(mixture.recording, set()).update(recording[list(mixture.clips)])
    assert set(sources) == {"train-001", "train-002", "val-001", "val-002", "test-001", "test-002"}
    assert all(not a & b for a, b in combinations(sources.values(), 2))
    assert {len(own) for name, own in sources.items() if name.startswith("test")} == {4}


def test_only_clips_of_the_named_fold_s_parts_are_mixed():
    manifest, folds = single()
    other = folds.assign(fold=2, part="unlabelled")
    both = pd.concat([folds, other])
    assert mix.plan(SOURCE, manifest, both) == mix.plan(SOURCE, manifest, folds)
    second = pd.concat([other.assign(fold=1), folds.assign(fold=2)])
    assert mix.plan(SOURCE.model_copy(update={"fold": 2}), manifest, second) == mix.plan(SOURCE, manifest, folds)


def test_sources_are_of_different_classes_in_the_wanted_shares():
    manifest, folds = single()
    truth = dict(zip(manifest["clip_id"], manifest["clip_id"].str.extract(r"([a-z]+)\d")[0], strict=True))
    mixtures = mix.plan(SOURCE, manifest, folds)
    for mixture in mixtures:
        assert len(set(mixture.classes)) == len(mixture.classes)
        assert [truth[clip] for clip in mixture.clips] == list(mixture.classes)
    for part, total in (("train", 20), ("val", 5), ("test", 30)):
        counts = [len(mixture.clips) for mixture in mixtures if mixture.part == part]
        assert [counts.count(n) for n in (1, 2, 3, 4)] == [2 * total // 5, *([total // 5] * 3)]


def test_levels_fall_from_the_loudest_within_the_range():
    levels = [mixture.levels_db for mixture in mix.plan(SOURCE, *single())]
    below = np.array([level for own in levels for level in own[1:]])
    assert all(own[0] == 0 and list(own) == sorted(own, reverse=True) for own in levels)
    assert -10 <= below.min() < -8 and -2 < below.max() <= 0
    equal = SOURCE.model_copy(update={"level_range_db": 0.0})
    assert {level for mixture in mix.plan(equal, *single()) for level in mixture.levels_db} == {0.0}


def test_another_seed_gives_other_mixtures_of_the_same_pools():
    manifest, folds = single()
    recording = manifest.set_index("clip_id")["recording"]

    def pools(mixtures: list[Mixture]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for mixture in mixtures:
            found.setdefault(mixture.recording, set()).update(recording[list(mixture.clips)])
        return found

    first, second = (mix.plan(SOURCE.model_copy(update={"seed": seed}), manifest, folds) for seed in (0, 1))
    assert first != second
    assert pools(first)["test-001"] == pools(second)["test-001"]


def test_what_is_heard_does_not_depend_on_the_order_of_the_manifest():
    manifest, folds = single()
    assert mix.plan(SOURCE, manifest[::-1], folds[::-1]) == mix.plan(SOURCE, manifest, folds)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"test": {"clips": 9, "pool": 2}}, "test: 12 clips in 4 pools, one of which has 2 classes, fewer than the 4"),
        ({"val": {"clips": 2000, "pool": 4}}, "val: 1000 soundscapes of each of 2 pools, more than 999"),
    ],
)
def test_pools_that_cannot_give_the_mixtures_are_refused(parts: dict[str, Any], told: str):
    manifest, folds = single()
    source = MixtureSource.model_validate(SOURCE.model_dump() | {"parts": parts})
    with pytest.raises(InputError, match=told):
        mix.plan(source, manifest, folds)


def test_names_that_cannot_be_told_apart_in_the_table_are_refused():
    manifest, folds = (table.replace({"clip_id": {"dog0a": "dog;0a"}}) for table in single())
    with pytest.raises(InputError, match="clip 'dog;0a': a semicolon in its name"):
        mix.plan(SOURCE, manifest, folds)


def test_a_part_without_clips_is_refused():
    manifest, folds = single()
    with pytest.raises(InputError, match="val: 0 clips"):
        mix.plan(SOURCE, manifest, folds[folds["part"] != "val"])


# --- how it sounds ----------------------------------------------------------------------------------------


def tone(hertz: float, seconds: float, gain: float = 0.3) -> np.ndarray:
    return gain * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def test_sources_have_the_told_levels_whatever_theirs_were():
    """Each a tone that fills the soundscape wherever it is placed, so that its level is that of its frequency."""
    source = SOURCE.model_copy(update={"clip_s": 0.5})
    sounds = {"quiet": tone(500, 0.5, gain=0.01), "loud": tone(1500, 0.5, gain=0.9)}
    mixture = Mixture("test-001", 1, "test", ("quiet", "loud"), ("dog", "rain"), (0.0, -6.0))
    power = np.abs(np.fft.rfft(mix.waveform(mixture, sounds, source))) ** 2
    measured_db = 10 * np.log10(power[750] / power[250])
    assert abs(measured_db + 6) < 0.1


@pytest.mark.parametrize("seconds", [mix.SHORTEST_S, 0.05, 0.5])
def test_short_sources_have_the_told_level_though_they_are_mostly_fade(seconds: float):
    mixture = Mixture("test-001", 1, "test", ("call",), ("dog",), (0.0,))
    sound = mix.waveform(mixture, {"call": tone(1000, seconds)}, SOURCE)
    level_db = 10 * np.log10(np.square(sound).sum() / round(seconds * RATE))
    assert level_db == pytest.approx(mix.LEVEL_DB, abs=0.01)


def test_a_clip_is_mixed_the_same_whether_kept_in_memory_or_read_again(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(mix, "KEPT", 1)
    write_clips(tmp_path, single()[0])
    mixed(tmp_path)
    for path in (written / "many/audio").iterdir():
        assert (tmp_path / "many/audio" / path.name).read_bytes() == path.read_bytes()


def test_the_loudest_half_second_is_always_heard_and_its_place_varies():
    call = np.concatenate([np.zeros(RATE), tone(700, 0.5), np.zeros(2 * RATE)])  # longer than the soundscape
    begin, rms = mix.loudest(call, RATE)
    assert (begin, round(rms, 3)) == (RATE, round(0.3 / np.sqrt(2), 3))
    starts = []
    for k in range(40):
        mixture = Mixture("test-001", k, "test", ("call",), ("dog",), (0.0,))
        sound = mix.waveform(mixture, {"call": call}, SOURCE)
        assert len(sound) == RATE
        heard = np.flatnonzero(np.abs(sound) > 1e-3)
        assert heard[-1] - heard[0] > 0.5 * RATE - 200
        starts.append(heard[0] / RATE)
    assert min(starts) < 0.1 and 0.4 < max(starts) <= 0.51


def test_a_sound_shorter_than_half_a_second_is_heard_whole():
    mixture = Mixture("test-001", 1, "test", ("call",), ("dog",), (0.0,))
    heard = np.flatnonzero(mix.waveform(mixture, {"call": np.full(400, 0.1)}, SOURCE))
    assert (len(heard), heard[-1] - heard[0]) == (400, 399)


def test_no_sample_goes_beyond_full_scale():
    sounds = {name: np.eye(1, RATE, 4000)[0] for name in "abcd"}  # a click's RMS is low, its peak is not
    mixture = Mixture("test-001", 1, "test", tuple("abcd"), CLASSES, (0.0,) * 4)
    assert np.abs(mix.waveform(mixture, sounds, SOURCE)).max() == pytest.approx(mix.PEAK)


# --- files and table --------------------------------------------------------------------------------------


def test_table_and_files_agree(written: Path):
    table = pd.read_csv(written / "many/tags.csv")
    assert sorted(table["FileName"]) == sorted(path.name for path in (written / "many/audio").iterdir())
    assert (len(table), table["FileName"].is_unique) == (55, True)
    info = soundfile.info(written / "many/audio" / table["FileName"][0])
    assert (info.format, info.subtype, info.samplerate, info.frames) == ("FLAC", "PCM_16", RATE, RATE)
    for row in table.to_dict("records"):
        clips, levels = str(row["source_clips"]).split(";"), [float(x) for x in str(row["levels_db"]).split(";")]
        assert len(clips) == len(levels) == row["n_sources"]
        for name in CLASSES:
            mine = [level for clip, level in zip(clips, levels, strict=True) if clip.startswith(name)]
            assert row[f"MainTag_{name}"] == int(any(level >= -3 for level in mine))
            assert row[f"SubTag_{name}"] == int(any(level < -3 for level in mine))


def test_same_seed_gives_the_same_bytes_and_replaces_what_was_there(written: Path, tmp_path: Path):
    write_clips(tmp_path, single()[0])
    stale = tmp_path / "many/audio/test-001_999.flac"
    stale.parent.mkdir(parents=True)
    stale.touch()
    mixed(tmp_path)
    expected = {path.name: path.read_bytes() for path in (written / "many/audio").iterdir()}
    assert {path.name: path.read_bytes() for path in stale.parent.iterdir()} == expected
    assert (tmp_path / "many/tags.csv").read_bytes() == (written / "many/tags.csv").read_bytes()


def test_all_bad_clips_are_named_and_nothing_is_written(tmp_path: Path):
    manifest, folds = single()
    write_clips(tmp_path, manifest)
    lost, silent, short = (mix.plan(SOURCE, manifest, folds)[i].clips[0] for i in (-1, 0, 30))
    assert len({lost, silent, short}) == 3
    manifest.loc[manifest["clip_id"] == short, "duration_s"] = 0.019
    (tmp_path / f"{lost}.wav").unlink()
    soundfile.write(tmp_path / f"{silent}.wav", np.zeros(6000), RATE)
    with pytest.raises(InputError) as error:
        mixed(tmp_path, manifest=manifest)
    for told in (f"{lost}: is not there", f"{silent}: silent", f"{short}: 19.0 ms long, less than 20 ms"):
        assert str(error.value).count(told) == 1
    assert "3 problems" in str(error.value)
    assert not list((tmp_path / "many").iterdir())


def test_the_manifest_has_pools_as_recordings_parts_as_folds_and_soft_labels(written: Path):
    settings = {"source": SOURCE.model_dump(), "task": "multi-label", "classes": CLASSES}
    dataset = Clips.model_validate(settings)
    roots = {"synth": written}
    files = list_clips(dataset, "many", roots)
    matched = match(dataset, "many", roots, {}, files)
    prepared = assemble(dataset, matched, measure(written / "many/audio", sorted(matched.records), None, threads=1))
    assert not prepared.problems and not prepared.warnings
    manifest = prepared.manifest
    assert (manifest["recording"].str.rpartition("-")[0] == manifest["fold"]).all()
    assert set(manifest["recording"]) == {f"{part}-00{i}" for part in ("train", "val", "test") for i in (1, 2)}
    assert set(np.unique(manifest[[f"label:{name}" for name in CLASSES]])) == {0.0, 0.6, 1.0}
    assert ((manifest.filter(like="label:") > 0).sum(axis=1) == manifest["n_sources"].astype(int)).all()
    assert manifest["source_clips"].str.count(";").add(1).eq(manifest["n_sources"].astype(int)).all()


# --- settings ---------------------------------------------------------------------------------------------


def configured(**changes: Any) -> dict[str, Any]:
    """The shipped benchmark, with another mixture data set `mine` of these settings."""
    raw = merged_config(REPO / "config/config.yaml", REPO / "config/polyphony.yaml")
    base = raw["datasets"]["polyphony"]
    source = base["source"] | changes.pop("source", {})
    raw["datasets"]["mine"] = base | changes | {"source": source}
    return raw


def problems(raw: dict[str, Any]) -> str:
    with pytest.raises(InputError) as error:
        load(raw)
    return str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"source": {"dataset": "nothing"}}, "datasets.mine.source.dataset: no data set 'nothing'"),
        ({"source": {"dataset": "soundscapes"}}, "'soundscapes' cannot be mixed"),
        ({"source": {"dataset": "polyphony"}}, "'polyphony' cannot be mixed"),
        ({"source": {"dataset": "mine"}}, "'mine' cannot be mixed"),
        ({"source": {"fold": 2}}, "datasets.mine.source.fold: 2 does not exist; esc10-sources has folds 1 to 1"),
        ({"source": {"shares": [1] * 11}}, "11 sources, each of another class, cannot be had of the 10 classes"),
        ({"source": {"shares": [1, 0]}}, "shares: the last is 0"),
        ({"source": {"shares": [1, -1]}}, "datasets.mine.source.shares.1"),
        ({"source": {"parts": {}}}, "datasets.mine.source.parts"),
        ({"classes": ["dog_bark", "owl"]}, "datasets.mine.classes: ['owl'] are no classes of 'esc10-sources'"),
        ({"classes": ["dog_bark", "rain"]}, "datasets.mine.classes: lacks ['baby_cry', 'chainsaw', 'clock_tick'"),
        ({"classes": "map.csv"}, "datasets.mine.classes: found 'map.csv'; expected those of 'esc10-sources'"),
        ({"task": "single-label"}, "datasets.mine.task: found 'single-label'"),
        ({"split": {"scheme": "holdout"}}, "expected split scheme 'given', found 'holdout'"),
    ],
)
def test_settings_that_cannot_be_mixed_are_refused(changes: dict[str, Any], told: str):
    assert told in problems(configured(**changes))


def test_a_data_set_without_a_part_cannot_be_learnt_from():
    raw = configured(source={"parts": {"train": {"clips": 10}}})
    load(raw)
    raw["experiments"] = [{"dataset": "mine", "model": raw["experiments"][0]["model"]}]
    assert "source.parts of 'mine' lacks val and test" in problems(raw)


def test_features_cannot_be_mixed():
    raw = configured()
    raw["datasets"]["esc10-sources"] |= {"features": {}}
    assert "has features; only audio can be mixed" in problems(raw)


def test_what_is_mixed_is_planned_as_a_data_set_of_the_workflow_s_own():
    plan = Plan(load(configured()))
    assert plan.source_files("mine") == ["resources/mine/tags.csv", "resources/mine/audio"]
    assert set(plan.mixtures) == {"mine", "polyphony", "polyphony-corpus"}
    assert "mine" not in plan.synthetic


def test_what_will_be_mixed_is_no_problem_and_counted_as_planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    raw = configured(source={"parts": {"train": {"clips": 300}, "val": {"clips": 20}, "test": {"clips": 10}}})
    found, size = check_dataset(Plan(load(raw)), "mine", threads=1)
    assert [(finding.level, finding.title) for finding in found] == [("info", "330 clips will be mixed")]
    assert (size.n_clips, size.n_train, size.n_val, size.subsets[10]) == (330, 300, 20, 30)
