"""The embedded soundscapes: labels that are true, clips of a recording that belong together, bytes that repeat."""

import re
from collections import Counter
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tymbal import synth
from tymbal.config.data import SynthSource
from tymbal.synth_sources import RATE, RECIPES, shaped_noise

TINY = SynthSource(format="synth", sites=3, recordings=12, clips_per_recording=2, clip_s=1.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth")
    synth.synthesise(TINY, folder / "tags.csv", folder / "audio")
    return folder


def octave_levels_db(x: np.ndarray) -> np.ndarray:
    """Mean power in 30 bands from 100 Hz to 15 kHz, dB."""
    power = np.abs(np.fft.rfft(x)) ** 2
    f = np.fft.rfftfreq(len(x), 1 / RATE)
    edges = np.geomspace(100, 15000, 31)
    return np.array([10 * np.log10(power[(f >= a) & (f < b)].mean()) for a, b in pairwise(edges)])


# --- files and table --------------------------------------------------------------------------------------


def test_same_seed_gives_the_same_bytes_and_replaces_what_was_there(tiny: Path, tmp_path: Path) -> None:
    stale = tmp_path / "audio" / "SITE99_20200101_000000_1.flac"
    stale.parent.mkdir()
    stale.touch()
    synth.synthesise(TINY, tmp_path / "tags.csv", tmp_path / "audio")
    expected = {path.name: path.read_bytes() for path in (tiny / "audio").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "audio").iterdir()} == expected
    assert (tmp_path / "tags.csv").read_bytes() == (tiny / "tags.csv").read_bytes()


def test_another_seed_gives_other_tags_and_sounds() -> None:
    other = TINY.model_copy(update={"seed": 1})
    assert [clip.tags for clip in synth.plan(TINY)] != [clip.tags for clip in synth.plan(other)]
    clip = synth.plan(TINY)[0]
    assert not np.allclose(synth.waveform(clip, TINY), synth.waveform(clip, other))


def test_a_clip_does_not_depend_on_those_made_before_it(tiny: Path) -> None:
    clip = synth.plan(TINY)[-1]
    written, _ = soundfile.read(tiny / "audio" / clip.file_name)
    np.testing.assert_allclose(written, synth.waveform(clip, TINY), atol=1 / 32768)


def test_table_and_files_agree(tiny: Path) -> None:
    table = pd.read_csv(tiny / "tags.csv")
    kinds = [f"{kind}Tag_{name}" for kind in ("Main", "Sub") for name in synth.CLASSES]
    assert list(table.columns) == ["FileName", "Site", *kinds]
    assert sorted(table["FileName"]) == sorted(path.name for path in (tiny / "audio").iterdir())
    assert len(table) == 24 and table["FileName"].is_unique
    for name, site in zip(table["FileName"], table["Site"], strict=True):
        parts = re.fullmatch(r"(SITE0[1-3])_\d{8}_\d{6}_([12])\.flac", name)
        assert parts and parts[1] == site
    info = soundfile.info(tiny / "audio" / table["FileName"][0])
    assert (info.format, info.subtype, info.samplerate, info.frames) == ("FLAC", "PCM_16", 32000, 32000)
    main, sub = (table.filter(regex=f"^{kind}Tag_").to_numpy() for kind in ("Main", "Sub"))
    tags = {clip.file_name: clip.tags for clip in synth.plan(TINY)}
    for name, main_row, sub_row in zip(table["FileName"], main, sub, strict=True):
        on = [(synth.CLASSES[i], "main") for i in np.flatnonzero(main_row == 1)]
        on += [(synth.CLASSES[i], "sub") for i in np.flatnonzero(sub_row == 1)]
        assert sorted(on) == sorted([(tags[name][0], "main"), *((tag, "sub") for tag in tags[name][1:])])
    assert set(np.unique([main, sub])) == {0, 1}


def test_other_rates_and_lengths() -> None:
    settings = SynthSource(format="synth", sites=1, recordings=1, clips_per_recording=3, clip_s=0.75, sample_rate=22050)
    for clip in synth.plan(settings):
        x = synth.waveform(clip, settings)
        assert abs(len(x) - 0.75 * 22050) <= 1 and np.isfinite(x).all()


# --- tags -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tags_of_the_default_size(seed: int) -> None:
    clips = synth.plan(SynthSource(format="synth", seed=seed))
    assert len(clips) == 600 and len({clip.file_name for clip in clips}) == 600
    assert {len(clip.tags) for clip in clips} == {1, 2, 3, 4}
    assert all(len(set(clip.tags)) == len(clip.tags) for clip in clips)
    assert all(clip.tags == ("Silence",) for clip in clips if "Silence" in clip.tags)
    n_clips = Counter(tag for clip in clips for tag in clip.tags)
    assert 5 <= max(n_clips.values()) / min(n_clips.values()) <= 10
    for name in synth.CLASSES:
        assert len({clip.recording for clip in clips if name in clip.tags}) >= 12, name


def test_a_recording_keeps_a_few_residents() -> None:
    clips = synth.plan(SynthSource(format="synth"))
    heard = {clip.recording: Counter[str]() for clip in clips}
    for clip in clips:
        heard[clip.recording].update(clip.tags)
    assert len(heard) == 120
    # Were tags drawn clip by clip, five clips would show about 7 of the 12 classes.
    assert np.mean([len(tags) for tags in heard.values()]) < 5
    assert np.mean([max(tags.values()) for tags in heard.values()]) > 3


# --- levels -----------------------------------------------------------------------------------------------


def test_main_tag_is_the_loudest_and_the_mix_is_its_stems() -> None:
    mixed = [clip for clip in synth.plan(TINY) if len(clip.tags) > 1]
    assert len(mixed) >= 6
    for clip in mixed:
        stems, background = synth.layers(clip, TINY)
        levels_db = [20 * np.log10(synth.loudness(stem)) for stem in stems]
        np.testing.assert_allclose(levels_db, clip.levels_db, atol=0.01)
        below = levels_db[0] - np.array(levels_db[1:])
        assert (below > 5.9).all() and (below < 20.1).all()
        assert np.corrcoef(synth.waveform(clip, TINY), sum(stems) + background)[0, 1] > 0.99999


def test_nothing_clips_and_levels_vary(tiny: Path) -> None:
    peaks = [np.abs(soundfile.read(path)[0]).max() for path in (tiny / "audio").iterdir()]
    assert min(peaks) > 0 and max(peaks) < 1
    assert max(peaks) > 10 * min(peaks)
    plain = synth.plan(TINY)[0]
    loud = synth.Clip(plain.site, plain.recording, 1, ("Rain", "Wind"), (80.0, 70.0))
    assert np.abs(synth.waveform(loud, TINY)).max() == pytest.approx(synth.PEAK)


def test_silence_is_the_recorder_alone() -> None:
    clips = synth.plan(TINY)
    silent = [clip for clip in clips if clip.tags == ("Silence",)]
    assert silent
    for clip in silent:
        assert synth.layers(clip, TINY)[0] == []
        others = [other for other in clips if other.recording == clip.recording and other.tags != clip.tags]
        level = synth.loudness(synth.waveform(clip, TINY))
        assert all(synth.loudness(synth.waveform(other, TINY)) > 2 * level for other in others)


def test_loudness_is_that_of_the_loudest_half_second_and_discounts_rumble() -> None:
    t = np.arange(2 * RATE) / RATE
    whistle = np.sin(2 * np.pi * 2000 * t)
    brief = np.where(t > 1.5, whistle, 0)
    assert synth.loudness(brief) == pytest.approx(synth.loudness(whistle), rel=0.02)
    assert synth.loudness(np.sin(2 * np.pi * 40 * t)) < 0.3 * synth.loudness(whistle)


# --- what a recording shares ------------------------------------------------------------------------------


@pytest.mark.parametrize("tags", [("Cicada",), ("Insect",), ("Owl",), ("Stream",), ("Silence",)])
def test_clips_of_a_recording_resemble_each_other(tags: tuple[str, ...]) -> None:
    recordings = sorted({(clip.site, clip.recording) for clip in synth.plan(TINY)})[:6]
    levels = () if tags == ("Silence",) else (20.0,)
    spectra = {
        (recording, k): octave_levels_db(synth.waveform(synth.Clip(site, recording, k, tags, levels), TINY))
        for (site, recording), k in product(recordings, (1, 2))
    }
    distance: dict[bool, list[float]] = {True: [], False: []}
    for a, b in combinations(spectra, 2):
        distance[a[0] == b[0]].append(float(np.abs(spectra[a] - spectra[b]).mean()))
    assert np.median(distance[True]) < 0.5 * np.median(distance[False])


def test_clips_of_a_recording_are_not_copies() -> None:
    plain = synth.plan(TINY)[0]
    clips = [synth.Clip(plain.site, plain.recording, k, ("Bird",), (20.0,)) for k in (1, 2)]
    first, second = (np.concatenate([*stems, noise]) for stems, noise in (synth.layers(clip, TINY) for clip in clips))
    assert abs(np.corrcoef(first[:RATE], second[:RATE])[0, 1]) < 0.5
    assert abs(np.corrcoef(first[RATE:], second[RATE:])[0, 1]) < 0.5


@pytest.mark.parametrize("name", RECIPES)
def test_the_individual_is_settled_before_the_clip(name: str) -> None:
    """The draws from `who` must not depend on `when`, or the voice would change from clip to clip."""
    for seed in range(5):
        states = []
        for clip in range(3):
            who = np.random.default_rng(seed)
            RECIPES[name](who, np.random.default_rng(100 + clip), RATE)
            states.append(who.bit_generator.state)
        assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("name", RECIPES)
def test_every_source_is_heard_even_in_the_shortest_clip(name: str) -> None:
    for seed in range(20):
        x = RECIPES[name](np.random.default_rng(seed), np.random.default_rng(seed + 1), RATE // 2)
        assert x.shape == (RATE // 2,) and np.isfinite(x).all() and synth.loudness(x) > 0


def test_shaped_noise_has_unit_rms_and_its_spectrum() -> None:
    for n in (RATE, RATE - 1):
        x = shaped_noise(np.random.default_rng(0), n, lambda f: np.where(f < 4000, 3.0, 1.0))
        power = np.abs(np.fft.rfft(x)) ** 2
        f = np.fft.rfftfreq(n, 1 / RATE)
        assert x.std() == pytest.approx(1, rel=0.02)
        assert power[f < 4000].mean() / power[f > 4000].mean() == pytest.approx(9, rel=0.1)
