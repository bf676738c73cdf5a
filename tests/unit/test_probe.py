"""Encoders judged without fine-tuning: pooled tokens, the two classifiers, and the table of all runs."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import write_store
from tymbal.config.models import Ssast, Sslam
from tymbal.errors import InputError
from tymbal.evaluate.tables import write_table
from tymbal.fit_norm import fit_norm
from tymbal.folds import clip_ids, read_folds
from tymbal.ingest.manifest import LABEL, read_manifest, write_manifest
from tymbal.models import sslam
from tymbal.models.build import build
from tymbal.models.checkpoints import LoadReport
from tymbal.models.ssast import SIZES, SSAST, Size
from tymbal.norm import Scale
from tymbal.pretrain.probe import Inputs, Task, knn, linear, pooled_layers, probe
from tymbal.pretrain.probe_table import COLUMNS, collect, readable
from tymbal.runs import Run
from tymbal.store import FeatureStore
from tymbal.train.data import ClipSet

CPU = torch.device("cpu")
RUN = Run("field", "m", 1, 0)
CLASSES = ["Owl", "Frog", "蟬"]
N_MELS = 16


@pytest.fixture(autouse=True)
def _small_size(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(16, 2, 2, 2))


def task(**changes) -> Task:
    net = Ssast(arch="ssast", patch=(8, 8), stride=(8, 4), n_frames=32)
    settings = {
        "net": net,
        "norm": "fitted",
        "padding": "mean",
        "long_clips": "error",
        "label_percent": 100,
        "target_rule": "any",
        "single_label": True,
    }
    return Task(**{**settings, **changes})


# --- pooled tokens ----------------------------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path):
    """Clips of 32, 17, 8 and 3 frames for a model of 32, padded with a value."""
    rng = np.random.default_rng(0)
    frames = {f"c{n:02d}": rng.normal(-8, 2, (n, N_MELS)) for n in (32, 17, 8, 3)}
    store = FeatureStore(write_store(tmp_path / "fbank", frames))
    labels = np.zeros((4, 1), np.float32)
    return lambda pad: ClipSet(store, tuple(frames), labels, 32, Scale(-8.0, 2.0, pad), CPU)


@pytest.fixture
def model() -> SSAST:
    return SSAST(task().net, N_MELS, 3, torch.Generator().manual_seed(0)).eval()


def test_every_layer_is_told_from_the_embedding_to_the_final_norm(clips, model):
    pooled = pooled_layers(model, clips(0.0), "all")
    assert list(pooled) == ["0", "1", "2", "norm"]
    whole = next(clips(0.0).in_order(1)).x  # the first clip has no padding
    with torch.inference_mode():
        embedded = model.patch_embed(whole)
        x = torch.cat([model.cls_token, model.dist_token, embedded], dim=1) + model.pos_embed
        layers = [x]
        for block in model.blocks:
            layers.append(block(layers[-1]))
        layers.append(model.norm(layers[-1]))
    for found, expected in zip(pooled.values(), layers, strict=True):
        assert found.shape == (4, 16)
        torch.testing.assert_close(torch.from_numpy(found[0]), expected[0, 2:].mean(dim=0))


def test_patches_with_padding_do_not_count(clips, model):
    zero, other = (pooled_layers(model, clips(pad), "all") for pad in (0.0, 5.0))
    assert all(np.allclose(zero[layer][0], other[layer][0]) for layer in zero)
    assert np.allclose(zero["0"][:3], other["0"][:3])  # embedded alone: all that counts is free of padding
    assert not np.allclose(zero["1"][1], other["1"][1])  # but the encoder sees the padding, as in fine-tuning
    batch = next(clips(0.0).in_order(4))
    with torch.inference_mode():
        grid = (model.patch_embed(batch.x) + model.pos_embed[:, 2:]).unflatten(1, model.grid)  # [4, 2, 7, 16]
    for row, n_columns in ((1, 3), (2, 1), (3, 1)):  # patches of 8 frames every 4, within 17, 8 and 3 frames
        expected = grid[row, :, :n_columns].mean(dim=(0, 1)).numpy()
        assert np.allclose(zero["0"][row], expected, atol=1e-6), row


def test_the_layers_of_an_encoder_without_a_final_norm_and_in_time_order(clips, monkeypatch):
    monkeypatch.setitem(sslam.SIZES, "tiny", sslam.Size(16, 2, 2, 2, 3))
    net = Sslam(arch="sslam", size="tiny", patch=(8, 8), n_frames=32)
    model = build(net, N_MELS, 3, torch.Generator().manual_seed(0)).eval()
    pooled = pooled_layers(model, clips(0.0), "all")
    assert list(pooled) == ["0", "1", "2"]
    with torch.inference_mode():
        embedded = model.embed_patches(next(clips(0.0).in_order(4)).x)  # [4, 4 columns x 2 rows, 16]
    for row, n_columns in ((0, 4), (1, 2), (2, 1), (3, 1)):
        assert np.allclose(pooled["0"][row], embedded[row, : 2 * n_columns].mean(dim=0), atol=1e-6), row


# --- classifiers ------------------------------------------------------------------------------------------


def separable(n: int, seed: int):
    """Features in which each class has a direction of its own, and one class a clip."""
    labels = np.eye(3, dtype=np.float32)[np.arange(n) % 3]
    return labels @ np.eye(3, 5) * 4 + np.random.default_rng(seed).normal(0, 0.5, (n, 5)), labels


@pytest.mark.parametrize("classify", [linear, knn])
@pytest.mark.parametrize("single_label", [True, False])
def test_what_can_be_told_apart_is(classify, single_label):
    (x, y), (x_new, truth) = separable(90, 0), separable(30, 1)
    y_soft = np.where(y == 1, np.float32(0.6), y) if not single_label else y
    scores = classify(x, y_soft, x_new, task(single_label=single_label))
    assert scores.shape == truth.shape
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores.argmax(axis=1) == truth.argmax(axis=1)).all()
    turned = classify(x, np.roll(y_soft, 1, axis=1), x_new, task(single_label=single_label))
    assert (turned.argmax(axis=1) == (truth.argmax(axis=1) + 1) % 3).all()


@pytest.mark.parametrize("classify", [linear, knn])
@pytest.mark.parametrize("single_label", [True, False])
def test_a_class_that_no_training_clip_has_gets_no_score(classify, single_label):
    (x, y), (x_new, truth) = separable(90, 0), separable(30, 1)
    with_it = y[:, 1] == 1
    scores = classify(x[~with_it], y[~with_it], x_new, task(single_label=single_label))
    assert (scores[:, 1] == 0).all()
    known = truth[:, 1] == 0
    assert (scores.argmax(axis=1) == truth.argmax(axis=1))[known].all()


@pytest.mark.parametrize("classify", [linear, knn])
def test_target_rule_decides_what_is_learned(classify):
    (x, y), (x_new, truth) = separable(90, 0), separable(30, 1)
    y[(y[:, 0] == 1)] = [0.5, 0, 0]  # the first class has sub tags alone
    first = truth[:, 0] == 1
    for rule, known in (("any", True), ("main", False), ("main-ignore-sub", False)):
        scores = classify(x, y, x_new, task(target_rule=rule, single_label=False))[:, 0]
        assert (scores[first] > 0.5).all() == known, rule
    y[:] = [0.5, 0, 0]
    scores = classify(x, y, x_new, task(target_rule="main-ignore-sub", single_label=False))
    assert (scores == 0).all()  # no clip counts for the first class, none has another


# --- files in, table out ----------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path) -> Inputs:
    """36 clips of three classes whose level tells the class, twelve a part."""
    rng = np.random.default_rng(0)
    names = [f"clip{i:02d}" for i in range(36)]
    features = {
        name: rng.normal(-8 + 4 * (i % 3), 0.5, (int(rng.integers(12, 33)), N_MELS)) for i, name in enumerate(names)
    }
    manifest = pd.DataFrame({"clip_id": names, "root": "data", "recording": names, "site": "S1", "duration_s": 1.0})
    manifest[[LABEL + name for name in CLASSES]] = np.eye(3)[np.arange(36) % 3]
    write_manifest(manifest, tmp_path / "manifest.csv")
    subset = [10] * 3 + [50] * 3 + [100] * 6 + [pd.NA] * 24
    parts = np.repeat(["train", "val", "test"], 12)
    pd.DataFrame({"fold": 1, "clip_id": names, "part": parts, "subset": subset}).to_csv(
        tmp_path / "folds.csv", index=False
    )
    store = write_store(tmp_path / "fbank", features)
    fit_norm(FeatureStore(store), names[:12]).write(tmp_path / "norm.json")
    return Inputs(tmp_path / "manifest.csv", tmp_path / "folds.csv", store, tmp_path / "norm.json", None)


def test_a_probe_tells_both_metrics_of_both_classifiers_for_every_layer(data):
    table = probe(data, RUN, task(), CPU)
    assert list(table) == COLUMNS
    assert table["layer"].drop_duplicates().tolist() == ["0", "1", "2", "norm"]
    assert set(zip(table["kind"], table["metric"], strict=True)) == {
        (kind, metric) for kind in ("linear", "knn") for metric in ("accuracy", "mAP")
    }
    assert len(table) == 4 * 4
    assert set(table["n_train"]) == set(table["n_val"]) == {12}
    assert (table.query("kind == 'linear' and metric == 'accuracy'")["value"] == 1).all()
    assert probe(data, RUN, task(single_label=False), CPU)["metric"].unique().tolist() == ["mAP"]
    pd.testing.assert_frame_equal(table, probe(data, RUN, task(), CPU))


def test_test_clips_are_never_read(data):
    """Without their features, and with other labels, everything is the same."""
    before = probe(data, RUN, task(single_label=False), CPU)
    test = clip_ids(read_folds(data.folds), 1, "test")
    index = pd.read_csv(data.store / "index.csv")
    index[~index["clip_id"].isin(test)].to_csv(data.store / "index.csv", index=False)
    manifest = read_manifest(data.manifest)
    manifest.loc[manifest["clip_id"].isin(test), [LABEL + name for name in CLASSES]] = 1.0
    write_manifest(manifest, data.manifest)
    pd.testing.assert_frame_equal(before, probe(data, RUN, task(single_label=False), CPU))


def test_only_the_labels_that_fine_tuning_gets_are_used(data):
    assert set(probe(data, RUN, task(label_percent=50), CPU)["n_train"]) == {6}


def test_the_encoder_judged_is_that_which_fine_tuning_starts_from(data, tmp_path):
    """Random weights are those of the run's seed; a checkpoint's take their place."""
    noise = {f"clip{i:02d}": np.random.default_rng(i).normal(-8, 2, (32, N_MELS)) for i in range(36)}
    write_store(data.store, noise)
    fit_norm(FeatureStore(data.store), sorted(noise)[:12]).write(data.norm)

    def values(inputs, run):
        return probe(inputs, run, task(), CPU)["value"].tolist()

    state = {f"v.{name}": value for name, value in _foreign(seed=1).items()}
    torch.save(state | {"mlp_head.1.weight": torch.ones(5, 16)}, tmp_path / "start.pth")
    started = Inputs(data.manifest, data.folds, data.store, data.norm, tmp_path / "start.pth")
    assert values(started, RUN) == values(started, RUN._replace(seed=1)) != values(data, RUN)
    assert values(data, RUN) != values(data, RUN._replace(seed=1))


def _foreign(seed: int) -> dict[str, torch.Tensor]:
    model = SSAST(task().net, N_MELS, 3, torch.Generator().manual_seed(seed))
    return {name: value for name, value in model.state_dict().items() if not name.startswith("head.")}


@pytest.mark.parametrize(
    ("corpus", "expected"),
    [
        (None, ("unknown", 0)),
        ({"transductive": False, "held_out": [["field", 1]], "parts": [{"dataset": "other"}]}, ("clean", 0)),
        ({"transductive": False, "held_out": [["field", 1]], "parts": [{"dataset": "field"}]}, ("clean", 1)),
        ({"transductive": True, "held_out": [], "parts": [{"dataset": "field"}]}, ("transductive", 1)),
        (
            {
                "transductive": False,
                "held_out": [["field", 1]],
                "parts": [{"dataset": "other"}],
                "before": {"transductive": True, "held_out": [], "parts": [{"dataset": "field"}]},
            },
            ("transductive", 1),
        ),
    ],
)
def test_what_the_starting_weights_had_heard_is_told(data, monkeypatch, corpus, expected):
    report = LoadReport("", "", "", 128, 32, "", "", "", (), (), corpus)
    monkeypatch.setattr("tymbal.pretrain.probe.load_start", lambda *_: report)
    table = probe(dataclasses.replace(data, init=Path("encoder.safetensors")), RUN, task(), CPU)
    assert set(zip(table["test_clips"], table["val_heard"], strict=True)) == {expected}


def test_from_scratch_nothing_was_heard(data):
    assert set(zip(*(probe(data, RUN, task(), CPU)[name] for name in ("test_clips", "val_heard")), strict=True)) == {
        ("clean", 0)
    }


def test_an_empty_part_is_told(data):
    folds = read_folds(data.folds)
    folds[folds["part"] != "val"].to_csv(data.folds, index=False)
    with pytest.raises(InputError, match="fold 1 has no clips in part val"):
        probe(data, RUN, task(), CPU)


def test_a_class_without_validation_clips_leaves_the_others_defined(data):
    manifest = read_manifest(data.manifest)
    manifest.loc[12:23, [LABEL + name for name in CLASSES]] = 0.0
    write_manifest(manifest, data.manifest)
    table = probe(data, RUN, task(single_label=False), CPU)
    assert table["value"].isna().all()
    manifest.loc[12, f"{LABEL}Owl"] = 1.0
    write_manifest(manifest, data.manifest)
    assert probe(data, RUN, task(single_label=False), CPU)["value"].notna().all()


# --- all runs ---------------------------------------------------------------------------------------------


def test_probes_are_gathered_and_read_as_means(tmp_path):
    runs = []
    for fold, value in ((1, 0.5), (2, 0.75)):
        run = Run("2024", "m", fold, 0)
        rows = [
            (layer, kind, metric, np.nan if (layer, metric) == ("0", "mAP") else value, 80 + fold, 20, "clean", 0)
            for layer in ("0", "10", "norm")
            for kind in ("linear", "knn")
            for metric in ("accuracy", "mAP")
        ]
        (tmp_path / run.folder).mkdir(parents=True)
        write_table(pd.DataFrame(rows, columns=COLUMNS), tmp_path / run.folder / "probe.csv")
        runs.append((run, tmp_path / run.folder))
    table = collect(runs)
    assert list(table) == ["dataset", "model", "fold", "seed", *COLUMNS]
    assert table["fold"].tolist() == 12 * [1] + 12 * [2]
    head, columns, *lines = readable(table).splitlines()
    assert head == "2024 x m: mean of 2 runs, 82 training clips, scored on 20 validation clips"
    assert columns.split() == ["layer", "linear", "accuracy", "linear", "mAP", "knn", "accuracy", "knn", "mAP"]
    assert [line.split() for line in lines] == [
        ["0", "0.625", "-", "0.625", "-"],
        ["10", "0.625", "0.625", "0.625", "0.625"],
        ["norm", "0.625", "0.625", "0.625", "0.625"],
    ]


def test_weights_that_had_heard_the_clips_are_marked():
    rows = [
        ("esc", "m", fold, 0, "norm", "knn", "mAP", 0.5, 80, 20, known, 1)
        for fold, known in ((1, "transductive"), (2, "clean"))
    ]
    table = pd.DataFrame(rows, columns=[*RUN._fields, *COLUMNS])
    head, sentence, *_ = readable(table).splitlines()
    assert head.endswith("validation clips; transductive (1 of 2 runs): the starting weights had heard test clips")
    assert sentence.endswith("so they had heard its validation clips.")
    head, second, *_ = readable(table.assign(test_clips="clean")).splitlines()
    assert head.endswith("20 validation clips")
    assert second == sentence


def test_nothing_to_probe_is_told():
    with pytest.raises(InputError, match="none of the planned models has an encoder"):
        collect([])
