"""A head is kept only for the same task; whoever asks for another hears so before anything runs."""

import pytest

from small_prediction import CLASSES, SSAST, small_model
from tymbal.config import load
from tymbal.config.models import Model
from tymbal.errors import InputError
from tymbal.models.heads import check_head
from tymbal.validate.check import check
from tymbal.validate.model import Limits
from tymbal.validate.starts import head_findings

TRAIN = {"loss": "bce", "epochs": 1, "batch_size": 2, "optimizer": {"lr": 0.001}, "schedule": {"name": "cosine"}}


def model(init, loss="bce", keep_head=True, **net) -> Model:
    train = TRAIN | {"loss": loss}
    return Model(frontend="fbank32", net=SSAST | net, init=str(init), keep_head=keep_head, train=train)


def test_classes_pooling_and_loss_must_be_those_of_the_head(tmp_path):
    path = small_model(tmp_path) / "model.safetensors"
    check_head(path, model(path), CLASSES)
    check_head(path, model(path, n_frames=96), CLASSES)  # positions are fitted
    with pytest.raises(InputError, match="python -m tymbal classes") as caught:
        check_head(path, model(path, loss="ce", pooling="cls"), [*CLASSES[::-1], "Frog"])
    assert caught.value.cases == (
        f"class 0: the model has 'Owl', the data {CLASSES[2]!r}",
        f"class 2: the model has {CLASSES[2]!r}, the data 'Owl'",
        "class 3: the model has None, the data 'Frog'",
        "net.pooling: the head was trained with 'mean', now it is 'cls'",
        "train.loss: the head was trained with 'bce', now it is 'ce'",
    )
    assert str(list(CLASSES)) in caught.value.remedy


def test_weights_without_a_head_of_ours_are_refused(tmp_path):
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(InputError, match=r"no fine-tuned model of ours.*no such file"):
        check_head(path, model(path), CLASSES)
    path.with_suffix(".json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"no fine-tuned model of ours.*no ModelCard"):
        check_head(path, model(path), CLASSES)


def test_only_who_keeps_a_head_is_checked(tmp_path):
    path = small_model(tmp_path) / "model.safetensors"
    assert head_findings("model a", model(path), CLASSES) == []
    assert head_findings("model a", model(path), None) == []  # told only when the data set is made
    assert head_findings("model a", model(path, keep_head=False), ["Frog", "Owl"]) == []
    (finding,) = head_findings("model a", model(path), ["Frog", "Owl"])
    assert finding.level == "error" and finding.area == "model a" and len(finding.cases) == 3


def raw(init, classes) -> dict:
    split = {"scheme": "kfold", "n_folds": 2}
    source = {"format": "synth"}
    return {
        "datasets": {"night": {"source": source, "task": "multi-label", "classes": classes, "split": split}},
        "frontends": {"fbank32": {"n_mels": 32}},
        "models": {
            "small": {"frontend": "fbank32", "net": SSAST, "init": str(init), "keep_head": True, "train": TRAIN}
        },
        "experiments": [{"dataset": "night", "model": "small"}],
    }


def test_validate_tells_before_any_job_is_queued(tmp_path):
    corpus = {"transductive": False, "held_out": [], "parts": []}
    path = small_model(tmp_path, corpus=corpus) / "model.safetensors"

    def errors(classes):
        limits = {rule: Limits(rule, (), 0, False, 1) for rule in ("finetune", "pretrain")}
        report = check(load(raw(path, classes)), limits)
        return [finding.title for finding in report.of("error") if "keep_head" in finding.title]

    assert errors(list(CLASSES)) == []
    assert errors(["Owl", "蟬", "Frog"]) == [f"keep_head: the head of {path} is of another task"]


@pytest.mark.parametrize("init", ["scratch", "ssast.pth"])
def test_starting_weights_that_have_no_head_are_an_error_of_the_configuration(init):
    with pytest.raises(InputError, match=rf"models\.small\.keep_head: init is '{init}'"):
        load(raw(init, ["Owl", "Frog"]))
