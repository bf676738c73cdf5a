"""The smallest pre-training from sound to report: its corpus, the model made from it, the probe, the export."""

import json
from pathlib import Path

import pandas as pd
import pytest
import soundfile
import torch
import yaml

from helpers import REPO, Checkout

CONFIG = "config/ssl.yaml"
TINY = ("--profile", "local", "--cores", "2", "--configfile", "config/test.yaml", CONFIG)
REPORT = "results/report/index.html"  # without the model's own pages and figures, of which there is nothing new
ENCODER = Path("results/pretrain/both-without-tiny-fold1/last/seed0")
RUN = Path("results/tiny/from-ssl/fold1/seed0")
N_COPIES = 8


def settings() -> dict:
    """A corpus without labels first, then continued on it and on the labelled clips but for the tested fold."""
    train = {"epochs": 2, "batch_size": 8, "schedule": {"name": "cosine", "warmup_steps": 2}}
    common = {"frontend": "fbank128", "net": {"arch": "ssast", "patch": [128, 16], "n_frames": 96}, "train": train}
    model = yaml.safe_load((REPO / "config" / "test.yaml").read_text())["models"]["ssast-test"]
    return {
        "datasets": {"field": {"source": {"format": "list", "audio": "season"}}},
        "corpora": {
            "field": {"parts": [{"dataset": "field"}], "val": 0.2},
            "both": {"parts": [{"dataset": "field"}, {"dataset": "tiny", "weight": 2}], "val": 0.2},
        },
        "pretraining": {
            "first": {**common, "corpus": "field"},
            "last": {**common, "corpus": "both", "init": {"ssl": "first"}},
        },
        "models": {"from-ssl": {**model, "init": {"ssl": "last"}}},
        "experiments": [{"dataset": "tiny", "model": "from-ssl", "folds": [1]}],
    }


@pytest.fixture(scope="module")
def finished(with_features, tmp_path_factory) -> Checkout:
    """A checkout in which all of it has run; the season's folder also holds labelled clips, under other names."""
    checkout = Checkout.copied(with_features, tmp_path_factory.mktemp("ssl") / "tymbal")
    (checkout.folder / CONFIG).write_text(yaml.safe_dump(settings()))
    season = checkout.folder / "resources" / "season"
    season.mkdir()
    for i, file in enumerate(sorted((checkout.folder / "resources/tiny/audio").rglob("*.flac"))):
        if i < N_COPIES:
            (season / f"night{i:02d}.flac").write_bytes(file.read_bytes())
        else:
            sound, rate = soundfile.read(file)
            soundfile.write(season / f"night{i:02d}.flac", 0.5 * sound, rate)
    output = checkout.run("snakemake", *TINY, "--", REPORT)
    assert "pre-training first: 1 runs" in output
    return checkout


def test_test_clips_are_seen_by_no_pretraining(finished):
    folds = pd.read_csv(finished.folder / "results/tiny/folds.csv")
    manifests = {name: pd.read_csv(finished.folder / f"results/{name}/manifest.csv") for name in ("tiny", "field")}
    content = {name: table.set_index("clip_id")["sha256"] for name, table in manifests.items()}
    for corpus, tested in (("field", (1, 2)), ("both-without-tiny-fold1", (1,))):
        clips = pd.read_csv(finished.folder / f"results/pretrain/{corpus}/clips.csv")
        seen = {content[row.dataset][row.clip_id] for row in clips.itertuples()}
        test = folds.loc[(folds["part"] == "test") & folds["fold"].isin(tested), "clip_id"]
        assert seen and not seen & set(content["tiny"][test])
    facts = json.loads((finished.folder / "results/pretrain/field/corpus.json").read_text())
    assert facts["parts"][0]["excluded"]["same file"] == N_COPIES


def test_the_model_starts_from_the_encoder_and_says_so(finished):
    record = json.loads((finished.folder / RUN / "run.json").read_text())
    assert record["init"]["path"] == str(ENCODER / "encoder.safetensors")
    assert record["init"]["positions_time"] == "kept"
    assert record["init"]["corpus"]["held_out"] == [["tiny", 1]]
    assert [part["dataset"] for part in record["init"]["corpus"]["before"]["parts"]] == ["field"]
    before = json.loads((finished.folder / ENCODER / "run.json").read_text())
    assert before["init"]["kind"] == "own pre-trained encoder"
    assert not before["init"]["fresh"]
    page = (finished.folder / REPORT).read_text(encoding="utf-8")
    assert all(f'id="pretraining--{name}"' in page for name in ("first", "last"))
    assert "The test parts of tiny" in page
    assert "ransductive" not in page


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("snakemake", *TINY, "--", REPORT)


def test_other_labels_retrain_no_encoder(finished):
    plan = finished.plan(REPORT, *TINY, "--config", "models={from-ssl: {train: {epochs: 2}}}")
    assert plan["finetune"] == 1
    assert "pretrain" not in plan
    plan = finished.plan(REPORT, *TINY, "--config", "pretraining={last: {train: {epochs: 3}}}")
    assert (plan["pretrain"], plan["finetune"]) == (1, 1)


def test_probe_and_export(finished):
    finished.run("snakemake", *TINY, "--config", "pretraining={last: {net: {patch: [16, 16]}}}", "-n", ok=False)
    encoder = Path("results/pretrain/field/square/seed0")
    square = {**settings()["pretraining"]["first"], "net": {"arch": "ssast", "patch": [16, 16], "n_frames": 96}}
    experiments = [{"dataset": "tiny", "model": model, "folds": [1]} for model in ("from-ssl", "ssast-test")]
    path = finished.folder / "config" / "square.yaml"
    path.write_text(yaml.safe_dump({"pretraining": {"square": square}, "experiments": experiments}))
    finished.run("snakemake", *TINY, "config/square.yaml", "--", "probe", str(encoder / "ssast.pth"))
    probe = pd.read_csv(finished.folder / "results/summary/probe.csv")
    assert set(probe["model"]) == {"from-ssl", "ssast-test"}
    exported = torch.load(finished.folder / encoder / "ssast.pth", weights_only=True)
    assert exported["module.v.patch_embed.proj.weight"].shape == (192, 1, 16, 16)
