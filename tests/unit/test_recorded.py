"""Pages tell the settings that results were made with, and refuse to tell others."""

import pytest
import yaml

from fake_report import write_project
from fake_runs import model_settings
from tymbal.config.models import Model
from tymbal.config.pretrain import Pretraining
from tymbal.config.recorded import changed
from tymbal.errors import InputError
from tymbal.evaluate.tables import read_table, write_table
from tymbal.report.recorded import recorded_config

PRETRAINING = {"frontend": "f", "corpus": "c", "net": {"arch": "ssast"}, "train": {"epochs": 1, "batch_size": 2}}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return write_project(tmp_path_factory.mktemp("recorded"))


def record(project, change=lambda raw: None):
    raw = project.config.model_dump(mode="json")
    change(raw)
    (project.summary / "config.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")


def test_the_recorded_configuration_is_read(project):
    record(project)
    assert recorded_config(project.summary) == project.config


def test_runs_that_were_trained_otherwise_are_refused(project):
    def edit(raw):
        raw["models"]["ours"]["train"] |= {"epochs": 50, "batch_size": 8}
        raw["models"]["m1"]["train"]["optimizer"]["lr"] = 0.5

    record(project, edit)
    with pytest.raises(
        InputError, match=r"results do not fit the configuration in .*config.yaml: 5 problems"
    ) as caught:
        recorded_config(project.summary)
    told = str(caught.value)
    assert "esc x ours x fold 1 x seed 0: trained with train.epochs 3, not 50; train.batch_size 2, not 8" in told
    assert "field x m1 x fold 2 x seed 1: trained with train.optimizer.lr 0.001, not 0.5" in told
    assert "m2" not in told
    assert "run `snakemake` to train and score with the settings of now, or restore those" in told


def test_runs_of_a_model_that_is_gone_are_refused(project, tmp_path):
    copied = project.copy(tmp_path)
    record(copied)
    runs = read_table(project.summary / "runs.csv")
    write_table(runs.replace({"model": {"m2": "former"}}), copied.summary / "runs.csv")
    with pytest.raises(InputError, match=r"1 problem\n.*esc x former x fold 1 x seed 0: no such model"):
        recorded_config(copied.summary)


def test_what_an_earlier_version_did_not_have_counts_as_its_default():
    wanted = Model.model_validate(model_settings())
    older = {key: value for key, value in model_settings().items() if key != "long_clips"}
    assert changed(older, wanted) == ""
    assert changed(older, wanted.model_copy(update={"long_clips": "cut"})) == "long_clips error, not cut"
    assert changed({**older, "speed": 3}, wanted) == "settings of another version"


def test_another_kind_of_block_is_told_whole():
    wanted = Model.model_validate({**model_settings(), "init": {"ssl": "tiny"}})
    assert changed(model_settings(), wanted) == "init scratch, not {'ssl': 'tiny', 'seed': 0}"


def test_what_changes_no_result_is_no_difference():
    def made(**train):
        return Pretraining.model_validate({**PRETRAINING, "train": {**PRETRAINING["train"], **train}})

    recorded = made().model_dump(mode="json")
    assert changed(recorded, made(tensorboard=True, activation_checkpointing=True)) == ""
    assert changed(recorded, made(tensorboard=True, epochs=2)) == "train.epochs 1, not 2"
