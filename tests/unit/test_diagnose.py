"""Features of made-up recordings, saved in every state that collections come in: each must be told, none invented."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tymbal.config.data import Features, Normalised
from tymbal.diagnose import diagnose
from tymbal.fbank import fbank
from tymbal.profile import BEATS, PUBLISHED

STATS = Normalised(mean=-7.4482, std=2.4689)
AUDIOSET = Normalised(mean=-4.2677393, std=4.5689974)


def recordings(rate: int, n: int = 12, seconds: float = 1.5, seed: int = 0) -> list[Tensor]:
    """Raw log-mel of tones that come and go in noise, from quiet to loud; lengths differ."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(n):
        t = np.arange(int(rate * (seconds + 0.1 * (i % 3)))) / rate
        tone = np.sin(2 * np.pi * rng.uniform(300, 0.45 * rate) * t) * (1 + np.sin(2 * np.pi * rng.uniform(1, 9) * t))
        gain = 10 ** rng.uniform(-3, -1)
        samples = gain * (0.5 * tone + 0.3 * rng.standard_normal(len(t)))
        made.append(fbank(torch.from_numpy(samples).float(), rate, 128))
    return made


@pytest.fixture(scope="module")
def raw() -> dict[int, list[Tensor]]:
    return {rate: recordings(rate) for rate in (8000, 16000, 32000, 48000)}


def normalise(x: Tensor, stats: Normalised, sign: int = 1) -> Tensor:
    return (x - sign * stats.mean) / (stats.factor * stats.std)


def pad(x: Tensor, value: float, to: int = 200) -> Tensor:
    return torch.cat([x, torch.full((to - len(x), x.shape[1]), value)])


def write(folder: Path, clips: list[Tensor], make: Callable[[Tensor], Tensor] = lambda x: x) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i:02d}.pt" for i in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        torch.save({"x": make(clip).half()}, path)
    return paths


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 48000])
@pytest.mark.parametrize("stats", [None, STATS, *PUBLISHED.values()], ids=str)
@pytest.mark.parametrize("padding", [None, 0.0])
def test_what_is_declared_rightly_is_no_problem(raw, tmp_path, rate, stats, padding):
    def make(x: Tensor) -> Tensor:
        x = x if stats is None else normalise(x, stats)
        return x if padding is None else pad(x, padding)

    features = Features(sample_rate=rate, normalised=stats, padding=padding)
    found = diagnose(write(tmp_path, raw[rate], make), features)
    assert (found.problems, found.warnings) == ((), ())  # the quiet ones show the floor at every rate
    assert found.verdict == ("normalised with the declared statistics" if stats else "raw")


def test_the_lines_tell_what_was_seen(raw, tmp_path):
    paths = write(tmp_path, raw[16000], lambda x: pad(normalise(x, STATS), 0.0))
    (tmp_path / "bad.pt").write_bytes(b"")
    text = "\n".join(diagnose([*paths, tmp_path / "bad.pt"], Features(normalised=STATS, padding=0.0)).lines)
    assert "files looked at: 12 of 13" in text
    assert "1 more cannot be read, such as bad.pt is empty" in text
    assert "float16 [200, 128] in 12 files" in text
    assert "bins that always hold one value: [3]" in text
    assert "log floor: -1.7" in text and "undone -15.94" in text
    assert "files that end in padding: 12" in text


def test_few_of_many_files_are_read_from_beginning_to_end(raw, tmp_path):
    paths = write(tmp_path, raw[16000])
    paths[5].write_bytes(b"")  # not one of the four
    found = diagnose(paths, Features(), n=4)
    assert found.lines[0] == "files looked at: 4 of 12"
    torch.save({"x": torch.zeros(128, 99)}, paths[-1])  # the last always is
    assert diagnose(paths, Features(), n=4).verdict == "transposed"


@pytest.mark.parametrize("rate", [8000, 16000, 32000])
@pytest.mark.parametrize("declared", [STATS, AUDIOSET], ids=str)
def test_raw_features_declared_as_normalised(raw, tmp_path, rate, declared):
    found = diagnose(write(tmp_path, raw[rate]), Features(sample_rate=rate, normalised=declared))
    assert found.verdict == "raw"
    assert len(found.problems) == 1
    assert "normalised: null (no normalisation)" in found.problems[0]


@pytest.mark.parametrize("rate", [8000, 16000, 32000])
@pytest.mark.parametrize("applied", list(PUBLISHED.values()), ids=str)
@pytest.mark.parametrize("declared", [None, Normalised(mean=-9.1, std=3.3)], ids=str)
def test_published_statistics_are_recognised(raw, tmp_path, rate, applied, declared):
    paths = write(tmp_path, raw[rate], lambda x: normalise(x, applied))
    found = diagnose(paths, Features(sample_rate=rate, normalised=declared))
    assert found.verdict == "normalised with other statistics"
    assert f"mean: {applied.mean:g}, std: {applied.std:g}, factor: 2" in found.problems[0]


@pytest.mark.parametrize("rate", [8000, 16000])
def test_one_pair_of_statistics_explains_where_the_floor_is_seen(raw, tmp_path, rate):
    paths = write(tmp_path, raw[rate], lambda x: normalise(x, AUDIOSET))
    (problem,) = diagnose(paths, Features(sample_rate=rate)).problems
    assert len(re.findall(r"\{mean: [^}]*\}", problem)) == 1


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 48000])
@pytest.mark.parametrize("stats", [STATS, *PUBLISHED.values()], ids=str)
@pytest.mark.parametrize("declared", [True, False])
def test_the_wrong_sign_of_the_mean(raw, tmp_path, rate, stats, declared):
    paths = write(tmp_path, raw[rate], lambda x: normalise(x, stats, sign=-1))
    found = diagnose(paths, Features(sample_rate=rate, normalised=stats if declared else None))
    assert found.verdict == "normalised with the wrong sign of the mean"
    assert f"mean: {-stats.mean:g}, std: {stats.std:g}, factor: 2" in found.problems[0]
    # Declared with the numbers that were really applied, they can be undone.
    found = diagnose(paths, Features(sample_rate=rate, normalised=Normalised(mean=-stats.mean, std=stats.std)))
    assert found.problems == ()
    assert "with the wrong sign; declared as it is" in "\n".join(found.lines)


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_unknown_statistics_with_the_wrong_sign_are_solved_for(raw, tmp_path, rate, factor):
    values = torch.cat(raw[rate])
    own = Normalised(mean=values.mean().item(), std=values.std().item(), factor=factor)
    paths = write(tmp_path, raw[rate], lambda x: normalise(x, own, sign=-1))
    declared = Normalised(mean=-3.0, std=3.0, factor=factor)
    found = diagnose(paths, Features(sample_rate=rate, normalised=declared))
    assert found.verdict == "normalised with the wrong sign of the mean"
    told = re.search(r"mean: ([-.\d]+), std: ([-.\d]+), factor: \d\} \(the files' own", found.problems[0])
    assert float(told[1]) == pytest.approx(-own.mean, rel=0.01)
    assert float(told[2]) == pytest.approx(own.std, rel=0.01)


def test_unknown_statistics_with_the_right_sign_are_not_taken_for_the_wrong_sign(raw, tmp_path):
    values = torch.cat(raw[16000])
    own = Normalised(mean=values.mean().item(), std=values.std().item())
    paths = write(tmp_path, raw[16000], lambda x: normalise(x, own))
    found = diagnose(paths, Features())
    assert found.verdict == "normalised with other statistics"
    (line,) = re.findall(r"mean \+ \(([-.\d]+) x factor x std\) is -15.94", found.problems[0])
    assert own.mean + float(line) * 2 * own.std == pytest.approx(-15.9424, abs=0.02)


def test_a_forgotten_factor_is_seen(raw, tmp_path):
    paths = write(tmp_path, raw[16000], lambda x: normalise(x, AUDIOSET.model_copy(update={"factor": 1.0})))
    assert diagnose(paths, Features(normalised=AUDIOSET)).problems
    assert not diagnose(paths, Features(normalised=AUDIOSET.model_copy(update={"factor": 1.0}))).problems


def test_the_side_file_is_asked(raw, tmp_path):
    stats = Normalised(mean=-5.5, std=3.1)
    paths = write(tmp_path, raw[16000], lambda x: normalise(x, stats))
    conf = {"mean": -5.5, "std": 3.1, "target_length": 1024}
    torch.save({"audio_conf": conf, "total_samples": 12, "success_count": 12}, tmp_path / "dataset_config.pt")
    found = diagnose(paths, Features(normalised=AUDIOSET))
    assert found.verdict == "normalised with other statistics"
    assert f"mean: -5.5, std: 3.1, factor: 2}} (those in {tmp_path.name}/dataset_config.pt)" in found.problems[0]
    assert "target_length 1024" in "\n".join(found.lines)


@pytest.mark.parametrize(("rate", "declared"), [(8000, 16000), (16000, 8000), (32000, 16000), (16000, 32000)])
@pytest.mark.parametrize("stats", [None, STATS], ids=str)
def test_features_of_another_rate(raw, tmp_path, rate, declared, stats):
    paths = write(tmp_path, raw[rate], lambda x: normalise(x, stats) if stats else x)
    found = diagnose(paths, Features(sample_rate=declared, normalised=stats))
    assert found.verdict == "other sample rate"
    assert len(found.problems) == 1  # the normalisation is as declared
    explained = found.problems[0].split("explain it: ")[1].split(", ")
    assert str(rate) in explained and str(declared) not in explained


@pytest.mark.parametrize("stats", [None, STATS], ids=str)
def test_transposed_features(raw, tmp_path, stats):
    paths = write(tmp_path, raw[16000], lambda x: (normalise(x, stats) if stats else x).T.contiguous())
    found = diagnose(paths, Features(normalised=stats))
    assert found.verdict == "transposed"
    assert len(found.problems) == 1  # once turned, all is as declared
    assert "12 of 12 files, such as 00.pt [128, 1" in found.problems[0]


def test_another_number_of_mel_bins(raw, tmp_path):
    found = diagnose(write(tmp_path, raw[16000]), Features(n_mels=64))
    assert found.verdict == "other number of mel bins"
    assert "expected [frames, 64 mel bins]" in found.problems[0]


def test_padding_that_is_not_declared(raw, tmp_path):
    paths = write(tmp_path, raw[16000], lambda x: pad(normalise(x, STATS), 0.0))
    found = diagnose(paths, Features(normalised=STATS))
    assert found.verdict == "other padding"
    assert "declared is padding: null, but rows of 0 are at the end of 12 of 12 files" in found.problems[0]


def test_padding_before_normalising_has_another_value(raw, tmp_path):
    paths = write(tmp_path, raw[16000], lambda x: normalise(pad(x, 0.0), STATS))
    found = diagnose(paths, Features(normalised=STATS, padding=0.0))
    assert found.verdict == "other padding"
    (problem,) = found.problems
    assert "rows of 1.50" in problem and "what normalising makes of padding with 0" in problem
    value = float(re.search(r"rows of ([\d.]+)", problem)[1])
    assert diagnose(paths, Features(normalised=STATS, padding=value)).problems == ()


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("stats", [None, STATS], ids=str)
def test_digital_silence_at_the_end_is_not_padding(tmp_path, rate, stats):
    rng = np.random.default_rng(0)
    clips = []
    for _ in range(4):
        samples = 0.01 * rng.standard_normal(rate)
        samples[rate // 2 :] = 0
        clips.append(fbank(torch.from_numpy(samples).float(), rate, 128))
    paths = write(tmp_path, clips, lambda x: normalise(x, stats) if stats else x)
    assert diagnose(paths, Features(sample_rate=rate, normalised=stats)).problems == ()
    assert diagnose(paths, Features(sample_rate=rate, normalised=stats, padding=0.0)).problems == ()
    # Where no filter is empty, this silence shows the floor.
    wrong = Normalised(mean=-4.0, std=4.0)
    assert diagnose(paths, Features(sample_rate=rate, normalised=wrong)).problems


def test_quiet_recordings_without_sound_in_the_highest_bins(tmp_path):
    t = torch.arange(16000) / 16000
    clips = [3e-4 * torch.sin(2 * torch.pi * hertz * t) for hertz in (500, 700, 900)]
    found = diagnose(write(tmp_path, [fbank(clip, 16000, 128) for clip in clips]), Features())
    assert found.problems == ()


def test_files_of_several_kinds(raw, tmp_path):
    paths = write(tmp_path, raw[16000], lambda x: normalise(x, STATS))
    write(tmp_path, raw[16000][:3])
    found = diagnose(paths, Features(normalised=STATS))
    assert found.verdict == "files of several kinds"
    assert "-15.9453 in 3 files, such as 00.pt; -1.7" in found.problems[0]

    write(tmp_path, raw[8000][:3], lambda x: normalise(x, STATS))
    found = diagnose(paths, Features(normalised=STATS))
    assert found.verdict == "files of several kinds"
    assert "3 of 12 files, such as 00.pt; rates that would explain it: 8000" in found.problems[0]


def test_statistics_of_each_file_are_not_one_kind(raw, tmp_path):
    # Neighbours differ by less than float16 shows, the first and the last by far more.
    stats = [Normalised(mean=mean, std=2.4689) for mean in np.linspace(-7.4, -7.6, 12)]
    paths = write(tmp_path, [normalise(x, s) for x, s in zip(raw[16000], stats, strict=True)])
    found = diagnose(paths, Features(normalised=STATS))
    assert found.verdict == "files of several kinds"
    assert "as if each file were normalised with statistics of its own" in found.problems[0]


@pytest.fixture(scope="module")
def loud() -> list[Tensor]:
    """At 48 kHz, where no filter is empty, and without silence, so that the floor is never seen."""
    generator = torch.Generator().manual_seed(0)
    noises = [gain * torch.randn(48000, generator=generator) for gain in np.geomspace(0.006, 0.03, 12)]
    return [fbank(noise, 48000, 128) for noise in noises]


def test_without_the_floor_what_would_fit_as_well_is_told(loud, tmp_path):
    other = AUDIOSET.model_copy(update={"mean": -AUDIOSET.mean})
    paths = write(tmp_path, loud, lambda x: normalise(x, AUDIOSET))
    for declared in (AUDIOSET, other):
        found = diagnose(paths, Features(sample_rate=48000, normalised=declared))
        assert (found.verdict, found.problems) == ("unknown", ())
        warning = found.warnings[-1]
        assert f"mean: {declared.mean:g}" in warning
        assert "cannot be told from these numbers" in warning
        assert "the other sign of the mean" in warning and "would fit as well" in warning
        assert "with the wrong sign" not in "\n".join(found.lines)


def test_raw_features_are_told_without_the_floor(loud, tmp_path):
    found = diagnose(write(tmp_path, loud), Features(sample_rate=48000))
    assert (found.verdict, found.problems, found.warnings) == ("raw", (), ())


def test_without_the_floor_every_file_is_judged(loud, tmp_path):
    paths = write(tmp_path, loud)
    write(tmp_path, loud[:2], lambda x: normalise(x, STATS))
    found = diagnose(paths, Features(sample_rate=48000))
    assert (found.verdict, found.problems) == ("unknown", ())
    assert "2 of 12 files, such as 00.pt do not look like log-mel with normalised: null undone" in found.warnings[0]

    write(tmp_path, loud, lambda x: normalise(x, STATS))
    write(tmp_path, loud[:2])
    found = diagnose(paths, Features(sample_rate=48000, normalised=STATS))
    assert found.verdict == "files of several kinds"
    assert "2 of 12 files, such as 00.pt do not look like log-mel" in found.problems[0]


def test_without_the_floor_statistics_of_each_file_are_told(loud, tmp_path):
    def own(x: Tensor) -> Tensor:
        return normalise(x, Normalised(mean=x.mean().item(), std=x.std().item()))

    found = diagnose(write(tmp_path, loud, own), Features(sample_rate=48000, normalised=Normalised(mean=-7.4, std=2)))
    assert "statistics of each file's own would fit as well" in found.warnings[-1]


@pytest.mark.parametrize("stats", [None, STATS], ids=str)
@pytest.mark.parametrize("place", ["front", "both ends", "within"])
@pytest.mark.parametrize("rate", [16000, 48000])
def test_padding_that_is_not_at_the_end_is_told_as_such(raw, tmp_path, stats, place, rate):
    def make(x: Tensor) -> Tensor:
        x = normalise(x, stats) if stats else x
        rows = torch.zeros(30, x.shape[1])
        parts = {"front": [rows, x], "both ends": [rows, x, rows], "within": [x[:50], rows, x[50:]]}
        return torch.cat(parts[place])

    paths = write(tmp_path, raw[rate], make)
    found = diagnose(paths, Features(sample_rate=rate, normalised=stats, padding=0.0))
    assert found.verdict == "other padding"
    (problem,) = found.problems
    assert "padding not at the end: rows of 0 are at the beginning of or within 12 of 12 files" in problem


@pytest.mark.parametrize("padding", [0, 30])
@pytest.mark.parametrize("stats", [None, STATS], ids=str)
def test_square_features_that_are_transposed(raw, tmp_path, stats, padding):
    def make(x: Tensor) -> Tensor:
        x = pad(x[: 128 - padding], 0.0, 128)
        return (normalise(x, stats) if stats else x).T.contiguous()

    value = 0.0 if stats is None else -STATS.mean / (2 * STATS.std)
    found = diagnose(write(tmp_path, raw[16000], make), Features(normalised=stats, padding=value))
    assert found.verdict == "transposed"
    assert len(found.problems) == 1
    found = diagnose(write(tmp_path, raw[16000], lambda x: make(x).T), Features(normalised=stats, padding=value))
    assert found.problems == ()


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("stats", [None, BEATS], ids=str)
def test_features_of_samples_scaled_to_int16(tmp_path, rate, stats):
    generator = torch.Generator().manual_seed(0)
    noises = [2**15 * gain * torch.randn(rate, generator=generator) for gain in np.geomspace(0.003, 0.1, 8)]
    clips = [fbank(noise, rate, 128) for noise in noises]
    paths = write(tmp_path, clips, lambda x: normalise(x, stats) if stats else x)
    for declared in (None, stats) if rate == 16000 else (None,) * (stats is None):
        found = diagnose(paths, Features(sample_rate=rate, normalised=declared))
        assert found.verdict == "computed from samples scaled to int16"
        assert "as BEATs does" in found.problems[0] and "cannot be imported as Kaldi log-mel" in found.problems[0]


@pytest.mark.parametrize(
    "conf", [{"mean": -5.5, "std": float("nan")}, {"target_length": float("inf")}, {"mean": 10**400}]
)
def test_a_bad_side_file_does_not_stop_the_diagnosis(raw, tmp_path, conf):
    paths = write(tmp_path, raw[16000])
    torch.save({"audio_conf": conf}, tmp_path / "dataset_config.pt")
    assert diagnose(paths, Features()).verdict == "raw"


def test_nothing_to_judge_by_is_a_warning(tmp_path):
    silence = fbank(torch.zeros(16000), 16000, 128)
    paths = write(tmp_path, [silence] * 3)
    for make in (lambda: None, lambda: write(tmp_path, [torch.zeros(99, 128)] * 3), lambda: paths[0].write_bytes(b"")):
        make()
        found = diagnose(paths, Features(padding=0.0))
        assert (found.verdict, found.problems) == ("unknown", ())
        assert found.warnings == ("none of the files looked at can be read and has more than silence or padding",)
