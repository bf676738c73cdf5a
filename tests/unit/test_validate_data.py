"""What is told of data sets: every problem once, nothing of sound data, and what later checks need to know."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from tymbal.config import Config, Evaluation, load
from tymbal.config.data import KFold
from tymbal.config.models import Model
from tymbal.diagnose import Diagnosis
from tymbal.fbank import fbank
from tymbal.plan import Plan
from tymbal.preflight import TRAINING
from tymbal.split import split_folds
from tymbal.validate import data
from tymbal.validate.check import check
from tymbal.validate.clips import feature_findings, label_findings, length_findings, split_findings, subset_findings
from tymbal.validate.data import DataSize, check_dataset
from tymbal.validate.findings import Finding
from tymbal.validate.model import Limits
from tymbal.validate.seeds import seed_findings

RATE = 16000
MODEL = {
    "frontend": "fbank128",
    "net": {"arch": "ssast", "size": "tiny", "patch": [128, 16], "stride": [128, 16], "n_frames": 96},
    "train": {
        "loss": "bce",
        "epochs": 1,
        "batch_size": 4,
        "optimizer": {"name": "adam", "lr": 0.001},
        "schedule": {"name": "cosine"},
    },
}
LIMITS = {rule: Limits(rule, (), gpus=0, cluster=False, threads=2) for rule in TRAINING}
HOLDOUT = {"scheme": "holdout", "train": 0.6, "val": 0.2, "test": 0.2}


def configured(root: Path, **datasets: dict) -> Config:
    """A configuration in which each data set is used by the one small model."""
    common = {"task": "multi-label", "classes": ["Frog", "Owl"], "split": HOLDOUT}
    return load(
        {
            "data_root": str(root),
            "datasets": {name: common | settings for name, settings in datasets.items()},
            "frontends": {"fbank128": {}},
            "models": {"small": MODEL},
            "experiments": [{"dataset": name, "model": "small"} for name in datasets],
        }
    )


def findings(config: Config, name: str = "night") -> list[Finding]:
    """Of a data set, those that are not facts."""
    found, _ = check_dataset(Plan(config), name, threads=2)
    return [finding for finding in found if finding.level != "info"]


@pytest.fixture
def root(tmp_path) -> Path:
    """Ten recordings of each of two classes, in a long table."""
    rng = np.random.default_rng(0)
    (tmp_path / "audio").mkdir()
    rows = []
    for label in ("Frog", "Owl"):
        for i in range(10):
            name = f"{label.lower()}{i}.wav"
            soundfile.write(tmp_path / "audio" / name, 0.1 * rng.standard_normal(RATE), RATE)
            rows.append({"file": name, "label": label})
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


LONG = {"source": {"format": "long", "table": "labels.csv", "audio": "audio"}}


def add_row(root: Path, file: str, label: str) -> None:
    with (root / "labels.csv").open("a") as table:
        table.write(f"{file},{label}\n")


def test_sound_data_are_facts_only_and_sizes_are_known(root):
    found, size = check_dataset(Plan(configured(root, night=LONG)), "night", threads=2)
    assert {finding.level for finding in found} == {"info"}
    assert "20 clips of 20 files" in " ".join(finding.title for finding in found)
    assert size == DataSize(classes=("Frog", "Owl"), n_clips=20, n_train=12, n_val=4, subsets=size.subsets)
    assert (size.subsets[25], size.subsets[100]) == (3, 12)


def test_problems_of_all_kinds_are_told_at_once(root):
    (root / "audio" / "frog1.wav").unlink()
    (root / "audio" / "owl1.wav").write_bytes(b"")
    (root / "audio" / "owl3.wav").write_bytes((root / "audio" / "owl4.wav").read_bytes())
    add_row(root, "frog2.wav", "Unicorn")  # the source cannot be read, and yet the rest is looked at
    told = {case for finding in findings(configured(root, night=LONG)) for case in finding.cases}
    for what in ("frog1.wav", "owl1.wav", "owl4.wav", "Unicorn"):
        assert sum(case.startswith((what, f"'{what}'")) for case in told) == 1, what
    assert len(told) == 4


def test_bad_files_for_the_quarantine_are_a_warning_up_to_their_share(root):
    (root / "audio" / "frog1.wav").unlink()
    allowed = LONG | {"on_bad_clip": "quarantine", "max_bad_share": 0.05}
    (finding,) = findings(configured(root, night=allowed))
    assert (finding.level, len(finding.cases)) == ("warning", 1)
    (root / "audio" / "frog2.wav").unlink()
    (finding,) = findings(configured(root, night=allowed))
    assert (finding.level, len(finding.cases)) == ("error", 2)


def test_a_data_set_that_cannot_be_read_does_not_hide_another(root):
    add_row(root, "gone.wav", "Owl")
    source = {"format": "long", "table": "nowhere.csv", "audio": "audio"}
    report = check(configured(root, absent={"source": source}, night=LONG), LIMITS)
    told = {finding.area for finding in report.of("error")}
    assert told == {"data set absent", "data set night"}


@pytest.mark.parametrize(("epoch_clips", "told"), [(11, []), (12, ["model small on night"])])
def test_an_epoch_of_fewer_clips_needs_more_to_draw_from(root, epoch_clips, told):
    raw = configured(root, night=LONG).model_dump(mode="json")
    raw["models"]["small"]["train"]["epoch_clips"] = epoch_clips
    report = check(load(raw), LIMITS)
    assert [finding.area for finding in report.of("error")] == told
    assert f"1 epoch of {epoch_clips} clips" in " ".join(finding.title for finding in report.of("info"))
    areas = {finding.area for finding in report.of("info")}
    assert "model small on night" in areas  # its length was checked, and the model tried
    assert "model small" in areas


def test_a_split_that_cannot_be_made_is_an_error(root):
    few = LONG | {"name_patterns": ["(?P<recording>frog|owl).*"]}
    found, size = check_dataset(Plan(configured(root, night=few)), "night", threads=2)
    (finding,) = [finding for finding in found if finding.level != "info"]
    assert finding.level == "error"
    assert "too few recordings" in finding.title
    assert size.n_train == 0


def test_a_class_that_the_front_end_cannot_hear_is_a_warning(root):
    config = configured(root, night=LONG | {"class_hz": {"Frog": [500, 8000], "Owl": [20000, 100000]}})
    (finding,) = findings(config)
    assert finding.level == "warning"
    (case,) = finding.cases
    assert case.startswith("Owl: 20 to 100 kHz") and "up to 8 kHz" in case and "nothing of it" in case


def test_very_many_files_are_sampled_and_said_to_be(root, monkeypatch):
    monkeypatch.setattr(data, "READ_ALL", 19)
    monkeypatch.setattr(data, "SAMPLE", 5)
    found, size = check_dataset(Plan(configured(root, night=LONG)), "night", threads=2)
    assert any("5 of 20 files were read" in finding.title for finding in found)
    assert {finding.level for finding in found} == {"info"}
    assert size.n_train == 12  # the split is of all clips


def test_a_sample_without_a_sound_file_is_told(root, monkeypatch):
    monkeypatch.setattr(data, "READ_ALL", 19)
    monkeypatch.setattr(data, "SAMPLE", 3)
    for path in (root / "audio").iterdir():
        path.write_bytes(b"")
    assert any(
        finding.level == "error" and len(finding.cases) == 3 for finding in findings(configured(root, night=LONG))
    )


def test_missing_files_are_found_among_very_many(root, monkeypatch):
    monkeypatch.setattr(data, "READ_ALL", 15)
    monkeypatch.setattr(data, "SAMPLE", 2)
    for i in range(3):
        (root / "audio" / f"owl{i}.wav").unlink()
    (finding,) = findings(configured(root, night=LONG))
    assert len(finding.cases) == 3


def test_a_data_set_that_will_be_synthesised_is_no_problem(root, monkeypatch):
    monkeypatch.chdir(root)
    source = {"format": "synth", "recordings": 10, "clips_per_recording": 5}
    split = {"scheme": "kfold", "n_folds": 5, "val": 0.25}
    found, size = check_dataset(Plan(configured(root, night={"source": source, "split": split})), "night", threads=2)
    assert [finding.level for finding in found] == ["info"]
    subsets = {1: 0, 5: 2, 10: 3, 25: 8, 50: 15, 100: 30}
    assert size == DataSize(classes=("Frog", "Owl"), n_clips=50, n_train=30, n_val=10, subsets=subsets)


def test_features_with_the_wrong_sign_of_the_mean_are_an_error_that_explains_it(root):
    (root / "pt").mkdir()
    raw = {
        path.stem: fbank(torch.from_numpy(soundfile.read(path, dtype="float32")[0]), RATE, 128)
        for path in sorted((root / "audio").iterdir())
    }
    frames = torch.cat(list(raw.values()))
    mean, std = frames.mean().item(), frames.std().item()
    for stem, x in raw.items():
        torch.save({"x": (x + mean) / (2 * std)}, root / "pt" / f"{stem}.pt")

    def declared(mean: float) -> Config:
        source = LONG["source"] | {"audio": "pt"}
        return configured(root, night={"source": source, "features": {"normalised": {"mean": mean, "std": std}}})

    (finding,) = findings(declared(mean))
    assert finding.level == "error"
    assert "wrong sign" in finding.title
    assert not findings(declared(-mean))


@pytest.mark.parametrize("metric", ["mAP", "AUC"])
def test_validation_clips_that_cannot_choose_an_epoch_are_an_error(root, metric, monkeypatch):
    """Every clip holds a frog, so that its average precision is 1 whatever the scores; owls are not in validation."""
    table = pd.read_csv(root / "labels.csv")
    parts = {"0": "train", "1": "test", "2": "val", "3": "val"}
    table["fold"] = table["file"].str.extract(r"(\d)", expand=False).map(parts).fillna("train")
    table = pd.concat(
        [table[~(table["file"].str.startswith("owl") & (table["fold"] == "val"))], table.assign(label="Frog")]
    )
    table.drop_duplicates().to_csv(root / "labels.csv", index=False)
    source = LONG["source"] | {"fold_column": "fold"}

    def errors(metric: str) -> list[Finding]:
        monkeypatch.setitem(MODEL["train"], "select_by", metric)
        config = configured(root, night={"source": source, "split": {"scheme": "given"}})
        return [finding for finding in findings(config) if finding.level == "error"]

    [error] = errors(metric)
    assert error.area == "model small on night"
    assert error.title == f"train.select_by {metric}: no class has positive and negative validation clips"
    assert error.cases == ("fold 1",)
    assert not errors("loss")


def parts(root: Path, val: str, **row: object) -> dict:
    """Files with number 1 test, those with `val` validate, all others train; `row` is set in those of validation."""
    table = pd.read_csv(root / "labels.csv")
    part = {"1": "test", val: "val"}
    table["fold"] = table["file"].str.extract(r"(\d)", expand=False).map(part).fillna("train")
    table.loc[table["fold"] == "val", list(row)] = list(row.values())
    table.to_csv(root / "labels.csv", index=False)
    source = LONG["source"] | {"fold_column": "fold", **({"weight_column": "weight"} if "weight" in row else {})}
    return {"source": source, "split": {"scheme": "given"}}


def evaluated(config: Config, **evaluation: object) -> Config:
    return config.model_copy(update={"evaluation": Evaluation.model_validate(evaluation)})


def test_held_out_clips_without_site_or_date_are_told_before_a_bootstrap_by_site_day(root):
    """Clips that only train need neither."""
    config = configured(root, night=parts(root, "2"))
    [error] = findings(evaluated(config, bootstrap={"group": "site-day"}))
    assert (error.level, error.area) == ("error", "data set night")
    assert "evaluation.bootstrap.group" in error.title + error.remedy
    named = " ".join(error.cases)
    assert len(error.cases) == 4 and all(name in named for name in ("frog1", "frog2", "owl1", "owl2"))
    assert not findings(config)


def test_a_validation_part_without_positives_is_told_before_training(root):
    table = pd.read_csv(root / "labels.csv").assign(weight=1.0)
    table.to_csv(root / "labels.csv", index=False)
    config = configured(root, night=parts(root, "2", weight=0.5))
    [error] = [finding for finding in findings(evaluated(config, target_rule="main")) if "threshold" in finding.title]
    assert (error.level, error.area, error.cases) == ("error", "data set night", ("fold 1",))
    assert "target_rule main" in error.title
    assert not findings(config)


def test_a_slice_that_a_data_set_does_not_tell_is_a_warning(root):
    table = pd.read_csv(root / "labels.csv")
    table.assign(habitat=["wet", "dry"] * 10, observer="").to_csv(root / "labels.csv", index=False)
    config = configured(root, night={"source": LONG["source"] | {"columns": ["habitat", "observer"]}})
    slices = ["site", "season", "habitat", "observer", "label:Owl", "label:Uwl"]
    [warning] = findings(evaluated(config, slices=slices))
    assert (warning.level, warning.area, warning.cases) == ("warning", "data set night", ("observer", "label:Uwl"))


def planned(percents: dict[str, int], seeds: dict[str, list[int]]) -> Plan:
    models = {name: MODEL | {"train": MODEL["train"] | {"label_percent": n}} for name, n in percents.items()}
    raw = configured(Path(), night=LONG).model_dump(mode="json")
    experiments = [{"dataset": "night", "model": name, "seeds": own} for name, own in seeds.items()]
    return Plan(load(raw | {"models": models, "experiments": experiments}))


def test_learning_curves_with_few_seeds_are_a_warning():
    few = planned({"tenth": 10, "whole": 100}, {"tenth": [0, 1], "whole": [0, 1, 2]})
    [warning] = seed_findings(few)
    assert (warning.level, warning.area, warning.cases) == ("warning", "data set night", ("model tenth (10 %): 2",))
    assert "whole" in warning.title
    assert not seed_findings(planned({"tenth": 10, "whole": 100}, {"tenth": [0, 1, 2], "whole": [3, 4, 5]}))
    assert not seed_findings(planned({"tenth": 10, "whole": 100}, {"whole": [0]}))  # no curve
    assert not seed_findings(planned({"same": 100, "whole": 100}, {"same": [0], "whole": [0]}))


def test_features_that_leave_doubts_are_a_warning():
    fact, warning = feature_findings("a", Diagnosis("unknown", ("seen",), (), ("all silent",)))
    assert (fact.level, warning.level, warning.cases) == ("info", "warning", ("all silent",))
    assert len(feature_findings("a", Diagnosis("raw", ("seen",), (), ()))) == 1


@pytest.mark.parametrize(
    ("text", "title", "cases"),
    [
        (
            "files shorter than a clip, which give none but with `windows.last` keep: 2: a, b",
            "files shorter than a clip, which give none but with `windows.last` keep: 2",
            ("a, b",),
        ),
        ("labels cut there: 1,200: a: 9 s of 2 s, b: 3 s", "labels cut there: 1,200", ("a: 9 s of 2 s, b: 3 s",)),
        ("t.csv: classes without labels: 'Owl'", "t.csv: classes without labels", ("'Owl'",)),
        ("with `last: keep` they give one", "with `last: keep` they give one", ()),
        ("t.csv: labels, dropped: 'a: b' (2)", "t.csv: labels, dropped: 'a: b' (2)", ()),
        ("nothing more", "nothing more", ()),
    ],
)
def test_lines_of_readers_are_split_only_before_their_cases(text, title, cases):
    assert data._warning("a", text) == Finding("warning", "a", title, cases)


# --- of a manifest alone -----------------------------------------------------------------------------------


def lengths(*seconds: float, **changes) -> list[Finding]:
    manifest = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(seconds))], "duration_s": seconds})
    return length_findings("a", manifest, Model.model_validate(MODEL | changes))


def test_clips_longer_than_the_model_sees():
    """96 frames are 0.975 s; a tenth more may be lost."""
    assert [finding.level for finding in lengths(0.975, 1.0, 1.07)] == ["info"]
    error, _ = lengths(1.0, 1.1)
    assert (error.level, error.cases) == ("error", ("c1: 108 frames",))
    assert lengths(1.0, 1.1, long_clips="cut")[0].level == "warning"


def test_clips_that_are_mostly_padding():
    assert lengths(0.3)[0].level == "warning"
    assert "71 % of what the model sees is padding" in lengths(0.3)[0].title
    assert lengths(0.3, 0.975, 0.975)[0].level == "info"


def labelled(frog: list[float]) -> pd.DataFrame:
    n = len(frog)
    return pd.DataFrame(
        {
            "clip_id": [f"c{i:02d}" for i in range(n)],
            "recording": [f"r{i // 2:02d}" for i in range(n)],
            "site": "",
            "recorded_at": "",
            "sha256": [str(i) for i in range(n)],
            "label:Frog": frog,
            "label:Owl": np.where(np.isnan(frog), np.nan, 1.0),
        }
    )


def test_unlabelled_clips_are_counted_and_named():
    assert not label_findings("a", labelled([1, 0]))
    (finding,) = label_findings("a", labelled([1, np.nan, 0, np.nan]))
    assert finding.cases == ("2 of 4 clips: c01, c03",)


def test_a_class_too_rare_is_named_with_the_parts_that_lack_it():
    manifest = labelled([1.0] * 4 + [0.0] * 36)  # Frog: 2 recordings
    _, balance = split_folds(manifest, KFold(scheme="kfold", n_folds=4, val=0.3))
    _, warning = split_findings("a", balance, "recording")
    (case,) = warning.cases
    assert case.startswith("Frog: in 2 recordings; none in ")
    absent = balance[(balance["class"] == "Frog") & (balance["n_clips"] == 0)]
    assert case.count("of fold") == len(absent)
    _, balance = split_folds(labelled([1.0, 0.0] * 20), KFold(scheme="kfold", n_folds=4, val=0.3))
    assert len(split_findings("a", balance, "recording")) == 1


def test_a_subset_that_whole_groups_make_larger_is_told():
    subset = [1] * 30 + [10] * 10 + [100] * 60
    folds = pd.DataFrame({"fold": 1, "part": "train", "subset": pd.array(subset, dtype="Int64")})
    [finding] = subset_findings("a", folds, 1)
    assert (finding.level, finding.cases) == ("warning", ("fold 1: 30 % of the clips, asked for 1 %",))
    assert subset_findings("a", folds, 50) == subset_findings("a", folds, 100) == []
