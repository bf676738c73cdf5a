"""What is told of pre-trainings before they run: their corpora, and whether their settings suit these."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tymbal.config import load
from tymbal.models import sslam
from tymbal.models.ssast import SIZES, Size
from tymbal.preflight import TRAINING
from tymbal.validate import trial
from tymbal.validate.check import check
from tymbal.validate.findings import Finding
from tymbal.validate.model import Limits

RATE = 16000
NET = {"arch": "ssast", "size": "tiny", "patch": [128, 8], "n_frames": 96}
LABELLED = {"task": "multi-label", "classes": ["Frog", "Owl"], "split": {"scheme": "kfold", "n_folds": 2, "val": 0.2}}
SETTINGS = {
    "datasets": {
        "night": {"source": {"format": "long", "table": "labels.csv", "audio": "night"}} | LABELLED,
        "pool": {"source": {"format": "list", "audio": "pool"}},
    },
    "frontends": {"fbank128": {}},
    "corpora": {"all": {"parts": [{"dataset": "pool"}], "val": 0.2}},
    "pretraining": {
        "all-tiny": {
            "frontend": "fbank128",
            "corpus": "all",
            "net": NET,
            "train": {"epochs": 10, "batch_size": 4, "schedule": {"warmup_steps": 3}},
        }
    },
    "models": {
        "small": {
            "frontend": "fbank128",
            "net": NET,
            "init": {"ssl": "all-tiny"},
            "train": {
                "loss": "bce",
                "epochs": 1,
                "batch_size": 4,
                "optimizer": {"lr": 0.001},
                "schedule": {"name": "cosine"},
            },
        }
    },
    "experiments": [{"dataset": "night", "model": "small"}],
}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(16, 2, 2, 2))
    monkeypatch.setitem(sslam.SIZES, "tiny", sslam.Size(16, 2, 2, 2, 3))
    monkeypatch.setattr(trial, "TRIED_S", 0.0)


@pytest.fixture
def root(tmp_path) -> Path:
    """Twenty labelled recordings, half of either class, and ten without labels; all of a second."""
    rng = np.random.default_rng(0)
    names = [f"{label}{i}.wav" for label in ("frog", "owl") for i in range(10)]
    for folder, files in (("night", names), ("pool", [f"pool{i}.wav" for i in range(10)])):
        (tmp_path / folder).mkdir()
        for name in files:
            soundfile.write(tmp_path / folder / name, 0.1 * rng.standard_normal(RATE), RATE)
    labels = pd.DataFrame({"file": names, "label": np.repeat(["Frog", "Owl"], 10)})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def settings(root: Path, **blocks) -> dict:
    """The settings with whole blocks of the corpus `all` and of the pre-training replaced."""
    raw = copy.deepcopy(SETTINGS) | {"data_root": str(root)}
    raw["corpora"]["all"] |= blocks.pop("corpus", {})
    raw["pretraining"]["all-tiny"]["train"] |= blocks.pop("train", {})
    raw["pretraining"]["all-tiny"] |= blocks
    return raw


def told(raw: dict, **limits) -> list[Finding]:
    """Findings about corpora and pre-trainings."""
    known = {"minutes": (), "gpus": 0, "cluster": False, "threads": 2} | limits
    report = check(load(raw), {rule: Limits(rule, **known) for rule in TRAINING})
    return [each for each in report.findings if each.area.startswith(("corpus", "pre-training", "data set pool"))]


def urgent(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.level != "info"]


def text(findings: list[Finding]) -> str:
    return "\n".join(f"{each.area}: {each.title} | {' | '.join(each.cases)}" for each in findings)


def test_a_sound_pretraining_is_facts_only(root):
    found = told(settings(root))
    assert not urgent(found)
    assert "data set pool: 10 clips of 10 files" in text(found)
    assert "corpus all: 8 clips to train on and 2 to validate on" in text(found)
    assert "pre-training all-tiny: 10 epochs of 8 clips" in text(found)
    assert "one step at the real shape works" in text(found)


def test_nothing_is_told_of_what_no_model_asks_for(root):
    raw = settings(root)
    raw["models"]["small"]["init"] = "scratch"
    assert not told(raw)


def test_broken_files_of_a_corpus_are_found_early(root):
    (root / "pool" / "pool3.wav").write_bytes(b"")
    (error,) = [each for each in told(settings(root)) if each.level == "error"]
    assert error.area == "data set pool"
    assert "pool3.wav" in text([error])


def test_a_corpus_that_is_not_there_is_told_and_the_rest_is_looked_at(root):
    raw = settings(root)
    raw["datasets"]["pool"]["source"]["audio"] = "nowhere"
    found = told(raw)
    assert [each.area for each in found if each.level == "error"] == ["data set pool"]
    assert "one step at the real shape works" in text(found)


def test_test_clips_under_another_name_are_counted(root):
    for i in range(3):
        (root / "pool" / f"copy{i}.wav").write_bytes((root / "night" / f"owl{i}.wav").read_bytes())
    found = told(settings(root))
    assert not urgent(found)
    assert "8 clips to train on and 2 to validate on" in text(found)
    assert "left out: 3 (pool, same file)" in text(found)


def test_a_corpus_with_the_tested_data_set_is_made_for_each_fold(root):
    found = told(settings(root, corpus={"parts": [{"dataset": "pool"}, {"dataset": "night", "weight": 2}]}))
    assert not urgent(found)
    (corpus,) = [each for each in found if each.area == "corpus all"]
    assert corpus.title.startswith("made 2 times")
    assert [case.partition(":")[0] for case in corpus.cases] == [f"all-without-night-fold{k}" for k in (1, 2)]
    assert all("16 clips to train on and 4 to validate on" in case for case in corpus.cases)
    assert "10 epochs of 24 clips" in text(found)  # 8 of night count twice


def test_sources_of_tested_mixtures_are_counted_as_left_out_before_anything_is_mixed(root, monkeypatch):
    monkeypatch.chdir(root)
    raw = settings(root, corpus={"parts": [{"dataset": "night"}]})
    holdout = {"scheme": "holdout", "train": 0.6, "val": 0.2, "test": 0.2}
    raw["datasets"]["night"] |= {"task": "single-label", "split": holdout}
    parts = {part: {"clips": 20, "pool": 4} for part in ("train", "val", "test")}
    source = {"format": "mixtures", "dataset": "night", "parts": parts, "shares": [1, 1], "clip_s": 1}
    raw["datasets"]["many"] = LABELLED | {"source": source, "split": {"scheme": "given"}}
    raw["experiments"] = [{"dataset": "many", "model": "small"}]
    found = told(raw)
    assert not urgent(found)
    assert "13 clips to train on and 3 to validate on" in text(found)
    assert "left out: 4 (night, test part)" in text(found)


def test_a_corpus_of_nothing_but_test_clips_is_an_error(root):
    raw = settings(root)
    raw["datasets"]["pool"]["source"]["audio"] = "night"
    (error,) = urgent(told(raw))
    assert (error.level, error.area) == ("error", "corpus all")
    assert "no clips left to pre-train on" in error.title


def test_a_transductive_corpus_is_a_warning(root):
    own = {"parts": [{"dataset": "night"}], "transductive": True}
    (warning,) = urgent(told(settings(root, corpus=own)))
    assert (warning.level, warning.area) == ("warning", "corpus all")
    assert "test clips of night" in warning.title
    other = {"parts": [{"dataset": "pool"}], "transductive": True}  # holds no tested data set
    assert not urgent(told(settings(root, corpus=other)))


def test_data_still_to_be_synthesised_are_counted_as_planned(root, monkeypatch):
    monkeypatch.chdir(root)
    raw = settings(root)
    synth = {"format": "synth", "recordings": 30, "clips_per_recording": 5}
    raw["datasets"]["pool"] = {"source": synth, **LABELLED}
    found = told(raw)
    assert not urgent(found)
    assert "10 epochs of 120 clips" in text(found)


def test_settings_that_do_not_suit_the_corpus_are_warnings(root):
    (slow,) = urgent(told(settings(root, train={"schedule": {"warmup_steps": 1000}})))
    assert "still rises after half of the 20 steps (warmup_steps 1,000)" in slow.title
    (long,) = urgent(told(settings(root, net=NET | {"n_frames": 400})))
    assert "76 % padding" in long.title


@pytest.mark.parametrize("share, late", [(0.5, False), (0.6, True)])
def test_a_warm_up_may_be_told_as_a_share_of_the_steps(root, share, late):
    found = urgent(told(settings(root, train={"schedule": {"name": "cosine", "warmup_steps": share}})))
    assert [each.title for each in found] == late * [
        f"the learning rate still rises after half of the 20 steps (warmup_steps {share})"
    ]


def latent(root: Path, **pretext) -> dict:
    """Settings of a network with a teacher, which follows fast enough for 20 steps."""
    raw = settings(root, net=NET | {"arch": "sslam", "patch": [32, 16]})
    raw["models"]["small"]["net"] = raw["pretraining"]["all-tiny"]["net"]
    teacher = {"start": 0.7, "end": 0.9, "steps": 10}
    raw["pretraining"]["all-tiny"]["pretext"] = {"clones": 2, "teacher": teacher} | pretext
    return raw


def test_a_teacher_too_slow_to_learn_is_a_warning(root):
    found = told(latent(root))
    assert not urgent(found)
    assert "one step at the real shape works" in text(found)
    (slow,) = urgent(told(latent(root, teacher={"start": 0.9})))
    assert slow.title == "in 20 steps, a teacher that keeps 0.9 of itself at each hardly learns"
    (never,) = urgent(told(latent(root, teacher={"start": 1.0, "end": 1.0})))
    assert "that keeps 1 of itself" in never.title


def test_mixtures_before_single_clips_are_a_warning(root):
    (early,) = urgent(told(latent(root, stage=2)))
    assert early.level == "warning"
    assert "pretext.stage 2 with init scratch" in early.title
    raw = latent(root, stage=2)
    first = latent(root)["pretraining"]["all-tiny"]
    raw["pretraining"] = {"all-tiny": raw["pretraining"]["all-tiny"] | {"init": {"ssl": "first"}}, "first": first}
    assert not urgent(told(raw))


@pytest.mark.parametrize("train", [{"batch_size": 9}, {"batch_size": 3, "accumulate": 3}])
def test_an_epoch_smaller_than_one_step_is_an_error(root, train):
    (error,) = urgent(told(settings(root, train=train)))
    assert (error.level, error.area) == ("error", "pre-training all-tiny")
    assert error.title == "an epoch takes fewer clips than the 9 of one optimiser step"
    assert error.cases == ("all: 8 clips",)


def test_steps_are_counted_as_the_training_counts_them(root):
    """Of 8 clips an epoch, steps of 3 x 2 clips leave two out."""
    raw = settings(root, train={"batch_size": 3, "accumulate": 2, "schedule": {"warmup_steps": 1000}})
    found = told(raw)
    assert "10 epochs of 6 clips" in text(found)
    assert "half of the 10 steps" in text(found)


def test_a_data_set_of_too_small_a_weight_is_an_error(root):
    parts = [{"dataset": "pool"}, {"dataset": "night", "weight": 0.01}]
    (error,) = urgent(told(settings(root, corpus={"parts": parts})))
    assert (error.level, error.title) == ("error", "data sets that give no clip to an epoch")
    assert error.cases[0] == "all-without-night-fold1: night, 8 clips of weight 0.01"


def test_a_round_longer_than_the_time_limit_is_an_error(root):
    def found(**train) -> list[Finding]:
        raw = settings(root, corpus={"parts": [{"dataset": "pool", "weight": 1e7}]}, train={"epochs": 1} | train)
        return urgent(told(raw, minutes=(10.0, 1e7), cluster=True, gpus=1))

    (error,) = found(check_every=10**7)
    assert error.level == "error" and "again and again" in error.title
    assert "lower train.check_every" in error.remedy
    (slow,) = found()  # 1000 steps
    assert "attempts are needed" in slow.title


def test_clips_too_short_to_mask_anything_are_told(root):
    soundfile.write(root / "pool" / "pool1.wav", np.full(RATE // 5, 0.1), RATE)  # 18 frames; four patches have 32
    soundfile.write(root / "pool" / "pool2.wav", np.full(RATE // 5, 0.2), RATE)
    found = told(settings(root, corpus={"val": 0.05}))
    (short,) = urgent(found)
    assert "shorter than 32 frames" in short.title
    assert short.title.endswith("left out: 2")
    assert "10 epochs of 4 clips" in text(found)  # of the 7 that are left, one step of 4


@pytest.mark.parametrize("planned", [False, True])
def test_a_corpus_of_nothing_but_short_clips_is_an_error(root, monkeypatch, planned):
    monkeypatch.chdir(root)
    net = NET | {"patch": [128, 16]}
    raw = settings(root, net=net)
    raw["models"]["small"]["net"] = net
    if planned:
        synth = {"format": "synth", "recordings": 30, "clips_per_recording": 5, "clip_s": 0.5}
        raw["datasets"]["pool"] = {"source": synth, **LABELLED}
    else:
        for i in range(10):
            soundfile.write(root / "pool" / f"pool{i}.wav", np.full(RATE // 5, 0.01 * (i + 1)), RATE)
    (error,) = [each for each in told(raw) if each.level == "error"]
    assert error.title.startswith("all clips of a part are shorter than 64 frames")
    assert error.cases == ("all: all training clips", "all: all validation clips")
    assert "make net.patch smaller" in error.remedy


def test_time_is_held_against_the_limits_of_the_pretraining_job(root):
    raw = settings(root, train={"epochs": 10_000_000})
    limited = told(raw, minutes=(30.0, 30.0), cluster=True, gpus=1)
    (error,) = [each for each in limited if each.level == "error"]
    assert error.area == "pre-training all-tiny"
    assert "runtime of rule pretrain is 30 min" in error.title


def test_more_checks_take_more_time(root):
    def minutes(**train) -> str:
        facts = [each for each in told(settings(root, train=train)) if "epochs of" in each.title]
        return facts[0].title

    assert minutes(epochs=100_000) != minutes(epochs=100_000, check_every=1)


def test_starting_weights_that_are_missing_are_an_error(root):
    (error,) = urgent(told(settings(root, init="nowhere.pth")))
    assert (error.level, error.area) == ("error", "pre-training all-tiny")
    assert "nowhere.pth" in error.title
