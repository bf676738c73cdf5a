"""Fine-tuning and scoring as the rules call them: files in, files out."""

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

import small_training
from helpers import kill, write_store
from small_training import CLASSES, CNN, CPU, NET, RUN, calibrate, inputs, settings, train
from tymbal.config import Bootstrap, Evaluation
from tymbal.config.models import Statistics
from tymbal.errors import InputError, OutOfTime
from tymbal.evaluate import scoring
from tymbal.evaluate.metrics import headline
from tymbal.evaluate.starts import known_of_test_clips
from tymbal.files import sha256
from tymbal.fit_norm import fit_norm
from tymbal.ingest.manifest import read_manifest, write_manifest
from tymbal.models.build import build, load_model
from tymbal.models.ssast import SIZES, Size
from tymbal.norm import NormStats, Scale
from tymbal.seeds import derive
from tymbal.store import FeatureStore
from tymbal.train import finetune as finetuning
from tymbal.train import loop
from tymbal.train.finetune import Inputs
from tymbal.train.optim import set_rate


@pytest.fixture(autouse=True)
def _small_size(monkeypatch):
    """The published size is heavier than these tests need."""
    monkeypatch.setitem(SIZES, "tiny", Size(16, 2, 2, 2))


@pytest.fixture
def data(tmp_path) -> Inputs:
    """18 clips of two classes, six a part."""
    return inputs(tmp_path)


def score(data, made, folder, **evaluation) -> tuple[pd.DataFrame, dict]:
    scored = small_training.score(data, made, folder, Evaluation(bootstrap=Bootstrap(draws=5), **evaluation))
    return pd.read_csv(scored.predictions), json.loads(scored.metrics.read_text())


def test_training_writes_a_model_that_scores_the_test_clips(data, tmp_path):
    made = train(data, tmp_path / "run")
    predictions, metrics = score(data, made, tmp_path)
    assert predictions["clip_id"].tolist() == [f"clip{i}" for i in range(12, 18)]
    assert predictions["label:蟬"].tolist() == [0.6, 0, 0.6, 0, 0.6, 0]
    assert predictions[["score:Owl", "score:蟬"]].to_numpy().max() <= 1
    assert metrics["n_clips"] == 6
    assert metrics["n_groups"] == 3
    assert {row["class"] for row in metrics["rows"] if row["metric"] == "AP"} == set(CLASSES)

    history = pd.read_csv(made.history)
    assert history["epoch"].tolist() == [1, 2]
    assert history["best"].sum() == 1
    columns = {"lr", "head_lr", "train_loss", "val_loss", "val_mAP", "val_AUC", "val_dprime"}
    assert columns | {"val_precision", "val_recall", "threshold", "clips_per_s"} <= set(history.columns)

    record = json.loads(made.run.read_text())
    assert record["energy"].keys() == {"gpu_kwh", "cpu_kwh"} and record["energy"]["gpu_kwh"] is None  # without a GPU
    assert record["n_train"] == record["n_train_part"] == record["n_val"] == 6
    assert record["output_dtype"] == "float32"
    assert not made.checkpoints.exists()


@pytest.mark.parametrize("net", [NET, CNN], ids=["ssast", "cnn"])
def test_the_same_seed_gives_the_same_model(data, tmp_path, net):
    model = settings(net=net)
    first, second = train(data, tmp_path / "a", model), train(data, tmp_path / "b", model)
    assert first.model.read_bytes() == second.model.read_bytes()
    other = train(data, tmp_path / "c", model, run=RUN._replace(seed=1))
    assert other.model.read_bytes() != first.model.read_bytes()


def test_patches_are_dropped_as_the_seed_has_it(data, tmp_path, caplog):
    model = settings(patchout=0.5)
    with caplog.at_level("INFO"):
        first, second = train(data, tmp_path / "a", model), train(data, tmp_path / "b", model)
    assert "'patchout': 0.5" in caplog.text
    assert first.model.read_bytes() == second.model.read_bytes()
    assert first.model.read_bytes() != train(data, tmp_path / "c").model.read_bytes()


def test_dropout_resumes_too(data, tmp_path, monkeypatch):
    """It draws from torch's global generator, which a resumed process has in another state."""
    model = settings(net=CNN, epochs=3)
    whole = train(data, tmp_path / "whole", model)
    with monkeypatch.context() as patched:
        scored = iter((False, True))
        patched.setattr(finetuning, "headline", lambda rows: headline(rows) if not next(scored) else 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(data, tmp_path / "cut", model)
    torch.manual_seed(12345)
    assert train(data, tmp_path / "cut", model).model.read_bytes() == whole.model.read_bytes()


def test_killed_and_out_of_time_it_ends_in_the_same_model(data, tmp_path):
    model = settings(net=CNN, epochs=3, batch_size=2)  # three steps an epoch
    whole = train(data, tmp_path / "whole", model)
    kill(train, data, tmp_path / "cut", model, at="tymbal.train.loop.set_rate", call=5)  # in the second epoch
    with pytest.raises(OutOfTime, match="epoch 2 of 3"):
        train(data, tmp_path / "cut", model, deadline=-1e9)
    cut = train(data, tmp_path / "cut", model, deadline=-1e9)
    assert cut.model.read_bytes() == whole.model.read_bytes()
    histories = [pd.read_csv(made.history).drop(columns=["clips_per_s", "seconds"]) for made in (cut, whole)]
    pd.testing.assert_frame_equal(*histories)
    left = [sorted(path.name for path in (tmp_path / run).iterdir()) for run in ("cut", "whole")]
    assert left[0] == left[1]


def test_a_frozen_encoder_keeps_its_weights(data, tmp_path):
    made = train(data, tmp_path / "run", settings(freeze_encoder=True))
    generator = torch.Generator().manual_seed(derive(RUN.seed, "init"))
    start = build(settings().net, 32, len(CLASSES), generator).state_dict()
    model, _ = load_model(made.model, made.card)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, start[name])}
    assert moved == {"head.0.weight", "head.0.bias", "head.1.weight", "head.1.bias"}
    counts = json.loads(made.run.read_text())["parameters"]
    assert counts["trained"] == sum(p.numel() for p in model.head.parameters()) < counts["total"]


def test_starting_weights_are_loaded_and_recorded(data, tmp_path):
    net = settings().net
    weights = build(net, 32, 2, torch.Generator().manual_seed(7)).state_dict()
    state = {f"module.v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state |= {"module.p_input_fdim": torch.tensor(32), "module.p_input_tdim": torch.tensor(16)}
    torch.save(state, tmp_path / "start.pth")
    data = dataclasses.replace(data, init=tmp_path / "start.pth")
    made = train(data, tmp_path / "run", settings(freeze_encoder=True))
    model, _ = load_model(made.model, made.card)
    assert torch.equal(model.state_dict()["blocks.1.mlp.fc1.weight"], weights["blocks.1.mlp.fc1.weight"])
    record = json.loads(made.run.read_text())
    assert record["init"]["sha256"] == sha256(tmp_path / "start.pth")
    assert record["init"]["corpus"] is None
    assert json.loads(made.card.read_text())["corpus"]["before"] is None  # weights that do not tell


def test_a_model_made_from_a_model_tells_all_that_was_heard_before(data, tmp_path):
    first = train(data, tmp_path / "a", settings(epochs=1))
    second = train(dataclasses.replace(data, init=first.model), tmp_path / "b", settings(epochs=1))
    heard = json.loads(second.card.read_text())["corpus"]
    own = {"transductive": False, "labelled": True, "held_out": [["field", 1]], "parts": [{"dataset": "field"}]}
    assert heard == {**own, "before": own}
    start = json.loads(second.run.read_text())["init"]
    assert start["corpus"] == own
    assert known_of_test_clips(start, "field", 1) == "clean"
    assert known_of_test_clips(start, "field", 2) == "transductive"  # its clips were trained on, with their labels
    assert known_of_test_clips(start, "pond", 1) == "unknown"


def test_padding_is_recorded_and_reaches_the_scores(data, tmp_path):
    made = train(data, tmp_path / "run")
    before, _ = score(data, made, tmp_path)
    card = json.loads(made.card.read_text())
    assert card["padding"] == "mean"
    card["padding"] = "original"
    made.card.write_text(json.dumps(card))
    after, _ = score(data, made, tmp_path)
    assert not np.allclose(before["score:Owl"], after["score:Owl"])


def test_published_statistics_normalise_the_input(data, tmp_path):
    fitted = NormStats.read(data.norm)
    given = Statistics(mean=fitted.mean - 1, std=fitted.std * 1.1)
    model = settings().model_copy(update={"norm": given})
    cards = [
        json.loads(train(data, tmp_path / name, m).card.read_text()) for name, m in (("a", settings()), ("b", model))
    ]
    assert [(card["mean"], card["std"]) for card in cards] == [(fitted.mean, fitted.std), (given.mean, given.std)]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in "ab"]
    assert weights[0] != weights[1]
    wrong = settings().model_copy(update={"norm": Statistics(mean=-fitted.mean, std=fitted.std)})
    with pytest.raises(InputError, match="wrong sign"):
        train(data, tmp_path / "wrong", wrong)


def test_original_padding_is_a_zero_in_log_mel():
    assert Scale.of(-8.0, 2.0, "mean").pad == 0
    assert Scale.of(-8.0, 2.0, "original").pad * 2 * 2.0 - 8.0 == 0


def test_scores_that_are_not_finite_leave_no_predictions(data, tmp_path):
    """Calibration would have stopped first; its files may be of weights that were sound."""
    made = train(data, tmp_path / "run")
    evaluation = Evaluation(bootstrap=Bootstrap(draws=5))
    files, chosen = calibrate(data, made, tmp_path, evaluation)
    weights = {name: torch.full_like(value, torch.nan) for name, value in load_file(made.model).items()}
    save_file(weights, made.model)
    scored = scoring.Outputs(*(tmp_path / name for name in ("predictions.csv", "metrics.json", "draws.npz")))
    fitted = (chosen.thresholds, chosen.calibration, made.run)
    with pytest.raises(InputError, match="not finite"):
        scoring.score_test(files, *fitted, scored, RUN, evaluation, False, 100, CPU)
    assert not scored.predictions.exists()


def test_threshold_and_target_rule_are_those_named(data, tmp_path):
    made = train(data, tmp_path / "run")
    _, metrics = score(data, made, tmp_path, target_rule="main", threshold=0.01)
    assert tuple(metrics["evaluation"][key] for key in ("target_rule", "threshold")) == ("main", 0.01)
    by_class = {row["class"]: row for row in metrics["rows"] if row["metric"] == "AP"}
    assert by_class["Owl"]["n_pos"] == 3
    assert by_class["蟬"]["value"] is None  # its weights are 0.6: no main tag
    assert "not evaluable" in by_class["蟬"]["note"]


def test_scores_refuse_other_classes_and_other_features(data, tmp_path):
    made = train(data, tmp_path / "run")
    manifest = pd.read_csv(data.manifest)
    write_manifest(manifest[[*manifest.columns[:-2], "label:蟬", "label:Owl"]], data.manifest)
    with pytest.raises(InputError, match="Owl"):
        score(data, made, tmp_path)
    write_manifest(manifest, data.manifest)
    state = json.loads((data.store / "state.json").read_text())
    (data.store / "state.json").write_text(json.dumps(state | {"sample_rate": 48000}))
    with pytest.raises(InputError, match="sample_rate: found 48000, expected 16000"):
        score(data, made, tmp_path)


@pytest.mark.parametrize("metric", ["mAP", "AUC"])
def test_a_metric_that_cannot_choose_an_epoch_is_told(data, tmp_path, metric):
    """All validation clips are owls: the AUC is not defined, and average precision is 1 whatever the scores."""
    manifest = pd.read_csv(data.manifest)
    manifest.loc[6:11, ["label:Owl", "label:蟬"]] = [1.0, 0.0]
    write_manifest(manifest, data.manifest)
    with pytest.raises(InputError, match=rf"select_by is '{metric}', which cannot choose by the validation clips"):
        train(data, tmp_path / "run", settings(select_by=metric))
    train(data, tmp_path / "run", settings(select_by="loss", epochs=1))


def test_statistics_of_other_clips_are_refused(data, tmp_path):
    store = FeatureStore(data.store)
    fit_norm(store, store.clip_ids.tolist()).write(data.norm)  # as if test clips had a say
    with pytest.raises(InputError, match="fitted on other clips than the training part of fold 1"):
        train(data, tmp_path / "run")


def test_cross_entropy_refuses_soft_labels(data, tmp_path):
    with pytest.raises(
        InputError, match=r"3 of the 6 clips in part 'train' have others, such as clip00\. Use loss 'bce'"
    ):
        train(data, tmp_path / "run", settings(loss="ce"))


def test_precision_is_asked_of_an_output(data, tmp_path):
    made = train(data, tmp_path / "run", settings(precision="bf16", epochs=1))
    record = json.loads(made.run.read_text())
    assert record["precision"] == record["output_dtype"] == "bfloat16"


def test_a_share_of_the_labels_trains_with_the_statistics_of_all(data, tmp_path):
    made = train(data, tmp_path / "run", settings(label_percent=50))
    record = json.loads(made.run.read_text())
    assert (record["n_train"], record["n_train_part"], record["n_val"]) == (4, 6, 6)
    assert record["norm"]["n_clips"] == 6
    manifest = pd.read_csv(data.manifest)
    manifest.loc[4:5, "sha256"] = "changed"  # clips beyond the share do not matter
    write_manifest(manifest, data.manifest)
    again = json.loads(train(data, tmp_path / "again", settings(label_percent=50)).run.read_text())
    assert again["train"] == record["train"]
    with pytest.raises(InputError, match="fold 1 has no clips in 1 % of part 'train'"):
        train(data, tmp_path / "none", settings(label_percent=1))


def test_another_stretch_of_the_same_file_is_other_content(data, tmp_path):
    before = json.loads(train(data, tmp_path / "a").run.read_text())
    manifest = pd.read_csv(data.manifest)
    manifest.loc[0, "start_s"] = 0.5
    write_manifest(manifest, data.manifest)
    after = json.loads(train(data, tmp_path / "b").run.read_text())
    assert after["train"] != before["train"]
    assert after["val"] == before["val"]


@pytest.fixture
def long_clip(data):
    """A test clip and a validation clip become longer than the 16 frames of the model."""

    def lengthen(**lengths):
        store = FeatureStore(data.store)
        clips = {clip_id: np.array(store.frames(clip_id)[:8]) for clip_id in store.clip_ids}
        clips |= {clip_id: np.resize(clips[clip_id], (n, 32)) for clip_id, n in lengths.items()}
        shutil.rmtree(data.store)
        write_store(data.store, clips)
        fit_norm(FeatureStore(data.store), list(clips)[:6]).write(data.norm)

    return lengthen


def test_clips_that_would_lose_much_are_refused_unless_asked_for(data, tmp_path, long_clip):
    long_clip(clip07=17, clip13=17)  # a frame is less than a tenth
    made = train(data, tmp_path / "a", settings(long_clips="error"))
    score(data, made, tmp_path)
    long_clip(clip01=18, clip07=40)
    with pytest.raises(InputError) as raised:
        train(data, tmp_path / "b", settings(long_clips="error"))
    message = str(raised.value)
    assert "2 of 12 clips" in message and "clip01 with 18 frames; the longest has 40" in message
    assert "`windows`" in message and "`long_clips: cut`" in message
    train(data, tmp_path / "c", settings(long_clips="cut"))


def test_test_clips_are_cut_only_if_the_model_allows_it(data, tmp_path, long_clip):
    strict = train(data, tmp_path / "a", settings(long_clips="cut"))
    card = json.loads(strict.card.read_text())
    assert card["long_clips"] == "cut"
    long_clip(clip13=18)
    score(data, strict, tmp_path)
    strict.card.write_text(json.dumps(card | {"long_clips": "error"}))
    with pytest.raises(InputError, match=r"1 of 6 clips .* such as clip13 with 18 frames"):
        score(data, strict, tmp_path)


def test_an_empty_part_is_told(data, tmp_path):
    folds = pd.read_csv(data.folds)
    folds[folds["part"] != "val"].to_csv(data.folds, index=False)
    with pytest.raises(InputError, match="fold 1 has no clips in part 'val'"):
        train(data, tmp_path / "run")


def test_rates_and_steps_of_a_recipe(data, tmp_path):
    """Two steps of two clips are an epoch; the head's highest rate is below the lowest of the schedule."""
    made = train(
        data,
        tmp_path / "run",
        settings(
            batch_size=2,
            epoch_clips=4,
            optimizer={"lr": 0.001, "head_lr": 0.5},
            schedule={"name": "cosine", "min_lr": 0.0006},
        ),
    )
    history = pd.read_csv(made.history)
    way = 0.5 + 0.5 * np.cos(np.pi * np.array([1, 3]) / 4)  # of the last steps of the epochs, of four
    assert history["lr"].tolist() == pytest.approx((0.0006 + 0.0004 * way).tolist())
    assert history["head_lr"].tolist() == pytest.approx([0.0005] * 2)


def test_the_lowest_rate_of_the_schedule_is_that_of_the_layers(data, tmp_path, monkeypatch):
    """It is half the highest: the blocks' highest rates are not above it, and stay; head and last norm fall to it."""
    rates = []

    def recorded(optimizer, rate):
        set_rate(optimizer, rate)
        rates.append(sorted(group["lr"] for group in optimizer.param_groups))

    monkeypatch.setattr(loop, "set_rate", recorded)
    optimizer = {"lr": 0.001, "head_lr": 4, "layer_decay": 0.5}
    train(data, tmp_path / "run", settings(optimizer=optimizer, schedule={"name": "cosine", "min_lr": 0.0005}))
    still = [0.000125, 0.00025, 0.0005]  # patch embedding and two blocks
    assert rates == [pytest.approx([*still, 0.001, 0.004]), pytest.approx([*still, 0.00075, 0.00225])]


def test_labels_are_smoothed_in_training_alone(data, tmp_path):
    manifest = read_manifest(data.manifest)
    write_manifest(manifest.assign(**{"label:蟬": 1 - manifest["label:Owl"]}), data.manifest)
    still = {"loss": "ce", "optimizer": {"lr": 1e-12}, "augment": {}, "epochs": 1}
    plain, smooth = (
        pd.read_csv(train(data, tmp_path / str(share), settings(label_smoothing=share, **still)).history).iloc[0]
        for share in (0.0, 0.5)
    )
    assert smooth["val_loss"] == pytest.approx(plain["val_loss"], rel=1e-4)
    assert smooth["train_loss"] != pytest.approx(plain["train_loss"], rel=1e-3)
