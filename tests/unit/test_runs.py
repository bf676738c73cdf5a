"""Which pre-trainings a configuration asks for, and what each of them must not see."""

import pytest
import yaml

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.plan import Plan
from tymbal.runs import HeldOut, PretrainRun, Run

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
