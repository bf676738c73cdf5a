"""Which pre-trainings a configuration asks for, and what each of them must not see."""

import json
import re
from pathlib import Path

import pytest
import yaml

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.errors import InputError
from tymbal.finished import FILES, digests
from tymbal.plan import Plan
from tymbal.runs import HeldOut, PretrainRun, Run

OF_DATASET = ["manifest.csv", "folds.csv", "folds_balance.csv", "ingest.json", "quarantine.csv"]
OF_DATASET += ["fbank/fbank128/index.csv"]
OF_PRETRAINING = ["encoder.safetensors", "encoder.json", "history.csv", "run.json"]
NET = {"arch": "ssast", "size": "tiny", "patch": [128, 8], "n_frames": 496}
TRAIN = {"epochs": 1, "batch_size": 8}


def pretraining(corpus, init="scratch"):
    return {"frontend": "fbank128", "corpus": corpus, "net": NET, "init": init, "train": TRAIN}


def plan(corpora, pretrainings, init) -> Plan:
    """A tiny model on ESC-10 that starts from `init`."""
    raw, esc10 = (yaml.safe_load((REPO / "config" / f"{name}.yaml").read_text()) for name in ("config", "esc10"))
    raw = {**raw, **{key: raw[key] | esc10[key] for key in ("datasets", "models")}}
    raw["corpora"], raw["pretraining"] = corpora, pretrainings
    raw["models"]["ssast-tiny-esc10"]["init"] = init
    raw["experiments"] = [{"dataset": "esc10", "model": "ssast-tiny-esc10"}]
    return Plan(load(raw))


def run(fold: int) -> Run:
    return Run("esc10", "ssast-tiny-esc10", fold, 0)


def corpus(*datasets, **more):
    return {"parts": [{"dataset": dataset} for dataset in datasets], **more}


def test_none_unless_a_model_asks_for_it():
    planned = plan({"lab": corpus("soundscapes")}, {"a": pretraining("lab")}, "scratch")
    assert planned.pretrains == []
    assert planned.init(run(1)) == []


def test_a_corpus_with_the_tested_data_set_is_made_for_each_fold():
    planned = plan({"lab": corpus("soundscapes", "esc10")}, {"a": pretraining("lab")}, {"ssl": "a", "seed": 7})
    expected = [PretrainRun(f"lab-without-esc10-fold{fold}", "a", 7) for fold in range(1, 6)]
    assert planned.pretrains == expected
    assert planned.pretrain_of(run(3)) == expected[2]
    assert planned.init(run(3)) == ["results/pretrain/lab-without-esc10-fold3/a/seed7/encoder.safetensors"]
    assert planned.held_out("lab-without-esc10-fold3") == [HeldOut("esc10", 3)]
    assert planned.corpus_settings("lab-without-esc10-fold3")["parts"][1]["dataset"] == "esc10"


def test_a_corpus_without_it_is_made_once_and_looked_through_for_all_folds():
    planned = plan({"lab": corpus("soundscapes")}, {"a": pretraining("lab")}, {"ssl": "a"})
    assert planned.pretrains == [PretrainRun("lab", "a", 0)]
    assert planned.held_out("lab") == [HeldOut("esc10", fold) for fold in range(1, 6)]


def test_a_transductive_corpus_holds_nothing_out():
    planned = plan({"lab": corpus("esc10", transductive=True)}, {"a": pretraining("lab")}, {"ssl": "a"})
    assert planned.pretrains == [PretrainRun("lab", "a", 0)]
    assert planned.held_out("lab") == []


def test_one_that_starts_from_another_comes_after_it():
    corpora = {"wide": corpus("soundscapes"), "own": corpus("esc10")}
    planned = plan(corpora, {"a": pretraining("wide"), "b": pretraining("own", {"ssl": "a"})}, {"ssl": "b"})
    first = PretrainRun("wide", "a", 0)
    assert planned.pretrains == [first, *(PretrainRun(f"own-without-esc10-fold{k}", "b", 0) for k in range(1, 6))]
    assert planned.init(planned.pretrains[2]) == [f"{first.folder}/encoder.safetensors"]
    assert planned.held_out("wide") == [HeldOut("esc10", fold) for fold in range(1, 6)]


def test_one_that_starts_from_a_fold_is_made_for_that_fold_too():
    """Though the second corpus does not hold the tested data set, the weights it starts from have seen other folds."""
    corpora = {"own": corpus("esc10"), "wide": corpus("soundscapes")}
    planned = plan(corpora, {"a": pretraining("own"), "b": pretraining("wide", {"ssl": "a"})}, {"ssl": "b"})
    for fold in range(1, 6):
        last = planned.pretrain_of(run(fold))
        assert last == PretrainRun(f"wide-without-esc10-fold{fold}", "b", 0)
        assert planned.init(last) == [f"results/pretrain/own-without-esc10-fold{fold}/a/seed0/encoder.safetensors"]
        assert planned.held_out(last.corpus) == [HeldOut("esc10", fold)]


def polyphony(parts, tests="polyphony") -> Plan:
    """The benchmark with other parts of the corpus, and tests of one model alone, perhaps on another data set."""
    raw = merged_config(REPO / "config/config.yaml", REPO / "config/polyphony.yaml")
    raw["corpora"]["polyphony-corpus"] = corpus(*parts)
    raw["experiments"], raw["evaluation"] = [{"dataset": tests, "model": "sslam-1"}], {}
    return Plan(load(raw))


MIXED_TESTS = [HeldOut("polyphony", 1), HeldOut("esc10-sources", 1)]


@pytest.mark.parametrize(
    ("parts", "sources"),
    [
        (["polyphony-corpus"], {"polyphony-corpus": "esc10-sources"}),
        (["esc10-sources"], {}),
        (["polyphony"], {"polyphony": "esc10-sources"}),
    ],
    ids=["other mixtures", "the sources", "itself"],
)
def test_the_sources_of_tested_mixtures_are_held_out_too(parts, sources):
    planned = polyphony(parts)
    (start,) = planned.pretrains
    assert start.corpus == "polyphony-corpus" + ("-without-polyphony-fold1" if parts == ["polyphony"] else "")
    assert planned.held_out(start.corpus) == MIXED_TESTS
    assert planned.corpus_sources(start.corpus) == sources


def test_a_transductive_corpus_holds_no_sources_out():
    planned = polyphony(["esc10-sources"])
    raw = planned.config.model_dump(mode="json")
    raw["corpora"]["polyphony-corpus"]["transductive"] = True
    assert Plan(load(raw)).held_out("polyphony-corpus") == []


def test_a_corpus_of_mixtures_of_the_tested_data_set_is_made_for_each_fold():
    planned = polyphony(["polyphony-corpus"], tests="esc10-sources")
    (start,) = planned.pretrains
    assert start.corpus == "polyphony-corpus-without-esc10-sources-fold1"
    assert planned.held_out(start.corpus) == [HeldOut("esc10-sources", 1)]
    assert planned.corpus_sources(start.corpus) == {"polyphony-corpus": "esc10-sources"}


def test_features_of_the_corpus_are_planned_too():
    planned = plan({"lab": corpus("soundscapes", "esc10")}, {"a": pretraining("lab")}, {"ssl": "a"})
    assert planned.stores == [f"results/{dataset}/fbank/fbank128/index.csv" for dataset in ("esc10", "soundscapes")]


@pytest.mark.parametrize("init, expected", [("weights.pth", ["weights.pth"]), ("scratch", [])])
def test_a_file_as_starting_weights(init, expected):
    planned = plan({"lab": corpus("soundscapes")}, {"a": pretraining("lab", init)}, {"ssl": "a"})
    assert planned.init(planned.pretrains[0]) == expected


def test_a_data_set_that_is_tested_stays_whole_in_the_corpus_for_tests_on_another():
    """Soundscapes are tested, and pre-trained on for the tests on ESC-10."""
    raw = plan({"lab": corpus("soundscapes")}, {"a": pretraining("lab")}, {"ssl": "a"}).config.model_dump(mode="json")
    raw["models"]["ssast-tiny"] = raw["models"]["ssast-tiny-esc10"] | {"train": raw["models"]["ssast-tiny"]["train"]}
    raw["experiments"] += [
        {"dataset": "soundscapes", "model": "ssast-tiny"},
        {"dataset": "esc10", "model": "ssast-tiny"},
    ]
    planned = Plan(load(raw))
    assert [each.corpus for each in planned.pretrains] == ["lab", "lab-without-soundscapes-fold1"]
    assert planned.held_out("lab") == [HeldOut("esc10", fold) for fold in range(1, 6)]
    assert planned.held_out("lab-without-soundscapes-fold1") == [HeldOut("soundscapes", 1)]


ESC10_FOLDS = [HeldOut("esc10", fold) for fold in range(1, 6)]


def esc10_ssl() -> Plan:
    names = ("config", "esc10", "esc10_ssl")
    return Plan(load(merged_config(*(REPO / "config" / f"{name}.yaml" for name in names))))


def test_a_corpus_that_is_planned_fold_by_fold_alone_lacks_all_test_clips_when_it_is_asked_for_whole():
    planned = esc10_ssl()
    assert "esc10-soundscapes" not in {each.corpus for each in planned.pretrains}
    assert planned.held_out("esc10-soundscapes") == ESC10_FOLDS


def test_a_corpus_that_no_planned_model_uses_lacks_test_clips_of_its_own_data_sets():
    planned = plan({"lab": corpus("soundscapes", "esc10")}, {"a": pretraining("lab")}, "scratch")
    assert planned.held_out("lab") == ESC10_FOLDS
    assert planned.held_out("lab-without-esc10-fold2") == [HeldOut("esc10", 2)]


def test_a_corpus_behind_a_planned_chain_lacks_what_its_models_are_tested_on_when_it_is_asked_for_whole():
    corpora = {"own": corpus("esc10"), "wide": corpus("soundscapes")}
    planned = plan(corpora, {"a": pretraining("own"), "b": pretraining("wide", {"ssl": "a"})}, {"ssl": "b"})
    assert planned.held_out("wide") == ESC10_FOLDS


@pytest.mark.parametrize(
    ("ssl_corpus", "start_corpus"),
    [("wide", "own"), ("wide-without-esc10-fold4", "own-without-esc10-fold4")],
)
def test_a_seed_that_is_not_planned_starts_as_the_others_do(ssl_corpus, start_corpus):
    corpora = {"own": corpus("esc10"), "wide": corpus("soundscapes")}
    pretrainings = {"a": pretraining("own"), "b": pretraining("wide", {"ssl": "a", "seed": 3})}
    planned = plan(corpora, pretrainings, {"ssl": "b"})
    expected = [f"results/pretrain/{start_corpus}/a/seed3/encoder.safetensors"]
    assert planned.init(PretrainRun(ssl_corpus, "b", 5)) == expected
    other = planned.init(run(4)._replace(seed=9))
    assert other == ["results/pretrain/wide-without-esc10-fold4/b/seed0/encoder.safetensors"]


# --- partial results --------------------------------------------------------------------------------------


def finished(planned: Plan, *runs: Run) -> None:
    """Leave what a report reads of runs, of their data set and of their pre-trainings."""
    results = {"made_from": {}, "evaluation": planned.config.evaluation.model_dump(mode="json")}
    for run in runs:
        folders = {run.folder: FILES, f"results/{run.dataset}": OF_DATASET}
        records = {run.folder: {"model": planned.model_settings(run.model)}}
        start = planned.pretrain_of(run)
        while start:
            folders |= {start.folder: OF_PRETRAINING, f"results/pretrain/{start.corpus}": ["clips.csv", "corpus.json"]}
            folders |= {f"results/{name}": OF_DATASET for name in planned.corpus_datasets(start.corpus)}
            records[start.folder] = {"pretraining": planned.config.pretraining[start.ssl].model_dump(mode="json")}
            start = planned.starts.get(start)
        for folder, names in folders.items():
            for name in names:
                Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
                Path(folder, name).touch()
        for folder, record in records.items():
            Path(folder, "run.json").write_text(json.dumps(record))
        Path(run.folder, "metrics.json").write_text(json.dumps(results))


def partial() -> Plan:
    """Five folds from scratch on ESC-10, and as many from a pre-training for each fold."""
    names = ("config", "esc10", "esc10_ssl")
    raw = merged_config(*(REPO / "config" / f"{name}.yaml" for name in names))
    return Plan(load({**raw, "partial": True}))


def test_a_partial_report_is_of_the_runs_with_results(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = esc10_ssl()
    chosen = [everything.runs[1], next(run for run in everything.runs if everything.pretrain_of(run))]
    finished(everything, *chosen)
    planned = partial()
    assert planned.runs == chosen
    assert planned.planned == everything.runs
    assert planned.pairs == sorted({(run.dataset, run.model) for run in chosen})
    assert planned.pretrains[-1] == everything.pretrain_of(chosen[1])
    assert len(planned.pretrains) < len(everything.pretrains)
    assert f"2 of {len(everything.runs)} runs" in planned.sentence()
    assert esc10_ssl().runs == everything.runs  # without `partial`, what is there does not matter


def test_a_run_is_done_only_with_all_that_is_read_of_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = esc10_ssl()
    scratch, started = everything.runs[1], next(run for run in everything.runs if everything.pretrain_of(run))
    finished(everything, scratch, started)
    start = everything.pretrain_of(started)
    needed = [f"{started.folder}/{name}" for name in FILES] + [f"results/pretrain/{start.corpus}/corpus.json"]
    for path in map(Path, [*needed, f"{start.folder}/run.json", f"{start.folder}/encoder.safetensors"]):
        content = path.read_bytes()
        path.unlink()
        planned = partial()
        assert planned.runs == [scratch]
        assert f"{started.folder}: {path} is not there" in planned.left_out[started]
        path.write_bytes(content)
    assert partial().runs == [scratch, started]
    told = partial().sentence()
    assert "left out, 30:" in told
    assert told.count("is not there") == 10  # the others are counted


@pytest.mark.parametrize("changed", ["thresholds.json", "calibration.json", "run.json", "../../../folds.csv"])
def test_a_run_that_is_not_scored_anew_is_left_out(tmp_path, monkeypatch, changed):
    """It was trained or calibrated again, or split otherwise, after what is in metrics.json."""
    monkeypatch.chdir(tmp_path)
    everything = esc10_ssl()
    finished(everything, *everything.runs[:2])
    folder = Path(everything.runs[0].folder)
    path = folder / changed
    results = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(results | {"made_from": digests([path])}))
    assert partial().runs == everything.runs[:2]
    path.write_text(path.read_text() + " ")
    planned = partial()
    assert planned.runs == [everything.runs[1]]
    assert planned.left_out[everything.runs[0]] == f"{folder}: scored before {path.name} changed"


def test_runs_of_other_evaluation_settings_are_left_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    everything = esc10_ssl()
    finished(everything, *everything.runs[:2])
    path = Path(everything.runs[0].folder, "metrics.json")
    results = json.loads(path.read_text())
    results["evaluation"]["slices"] = ["site"]  # the same figures but for slices
    path.write_text(json.dumps(results))
    assert partial().runs == everything.runs[:2]
    results["evaluation"]["target_rule"] = "main"
    path.write_text(json.dumps(results))
    assert partial().runs == [everything.runs[1]]
    assert "evaluation.target_rule main, not any" in partial().sentence()


def test_runs_that_were_trained_with_other_settings_are_left_out(tmp_path, monkeypatch):
    """Themselves, or what they started from."""
    monkeypatch.chdir(tmp_path)
    everything = esc10_ssl()
    started = next(run for run in everything.runs if everything.pretrain_of(run))
    finished(everything, *everything.runs[:2], started)
    folders = (everything.runs[0].folder, everything.pretrain_of(started).folder)
    for folder, kind in zip(folders, ("model", "pretraining"), strict=True):
        path = Path(folder, "run.json")
        record = json.loads(path.read_text())
        record[kind]["train"]["epochs"] = 777
        path.write_text(json.dumps(record))
    planned = partial()
    assert planned.runs == [everything.runs[1]]
    assert re.fullmatch(rf"{folders[0]}: train.epochs 777, not \d+", planned.left_out[everything.runs[0]])
    assert re.fullmatch(rf"{folders[1]}: train.epochs 777, not \d+", planned.left_out[started])


def test_a_partial_report_of_nothing_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="none of the 32 runs planned has results yet"):
        partial()
