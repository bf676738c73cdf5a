"""The smallest real run from sound to report, as a user types it, then what must and must not run again."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from helpers import Checkout
from tymbal.config.models import Ssast
from tymbal.models.ssast import SSAST

TINY = ("--profile", "local", "--cores", "2", "--configfile", "config/test.yaml")
RUN = Path("results/tiny/ssast-test/fold1/seed0")


@pytest.fixture(scope="module")
def finished(clean_checkout, tmp_path_factory) -> Checkout:
    """A checkout in which the tiny configuration has run once; tests only add to it."""
    checkout = Checkout.copied(clean_checkout, tmp_path_factory.mktemp("chain") / "tymbal")
    output = checkout.run("snakemake", *TINY)
    assert "tiny x ssast-test: 2 runs (2 folds, 1 seeds)" in output
    assert re.search(r"training \d+/\d+ batches, .*epoch 1/1", output)  # progress reaches the terminal
    return checkout


def test_everything_promised_is_there(finished):
    for fold in (1, 2):
        folder = finished.folder / f"results/tiny/ssast-test/fold{fold}/seed0"
        names = {path.name for path in folder.iterdir()}
        assert names == {
            "model.safetensors",
            "model.json",
            "history.csv",
            "run.json",
            "predictions_val.csv",
            "thresholds.json",
            "calibration.json",
            "predictions.csv",
            "metrics.json",
            "draws.npz",
        }
    results = finished.folder / "results"
    assert (results / "summary" / "config.yaml").exists()
    page = (results / "report" / "index.html").read_text(encoding="utf-8")
    assert "ssast-test" in page
    assert not list(results.rglob("*.partial*"))


def test_every_clip_is_tested_once_and_metrics_come_from_the_predictions(finished):
    tested = []
    for fold in (1, 2):
        folder = finished.folder / f"results/tiny/ssast-test/fold{fold}/seed0"
        with (folder / "predictions.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics["n_clips"] == len(rows)
        scores = [float(v) for row in rows for k, v in row.items() if k.startswith("score:")]
        assert all(0 <= score <= 1 for score in scores)
        for row in metrics["rows"]:
            if row["metric"] == "AP" and row["unit"] == "clip":
                positives = sum(float(clip[f"label:{row['class']}"]) > 0 for clip in rows)
                assert row["n_pos"] == positives
                assert (row["value"] is None) == (positives == 0)
        tested += [row["clip_id"] for row in rows]
    assert len(tested) == len(set(tested)) == 48


def test_run_record_names_what_made_the_model(finished):
    record = json.loads((finished.folder / RUN / "run.json").read_text())
    assert record["init"] == "scratch"
    assert record["precision"] == "float32"
    assert record["n_train"] + record["n_val"] == 24
    assert record["peak_memory_mb"] > 0
    assert record["environment"]["packages"]["torch"].startswith("2.11.0")


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("snakemake", *TINY)


def test_snakemakes_own_report(finished):
    finished.run("snakemake", *TINY[:4], "--configfile", "config/test.yaml", "--report", "report.zip")
    assert (finished.folder / "report.zip").stat().st_size > 10_000


def test_figures_are_redrawn_the_same_without_training_in_reach(finished):
    figures = sorted(path for path in (finished.folder / "results/figures").rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in figures}
    assert {path.suffix for path in figures} == {".svg", ".pdf", ".csv"}
    figures[0].unlink()
    for path in (finished.folder / "workflow/scripts/tymbal/train").glob("*.py"):
        path.write_text(path.read_text() + "\nCHANGED = True\n")  # a changed digest wants all models again
    try:
        output = finished.run("make", "figures", "CONFIG=config/test.yaml", "VENV=" + sys.prefix)
    finally:
        for path in (finished.folder / "workflow/scripts/tymbal/train").glob("*.py"):
            path.write_text(path.read_text().removesuffix("\nCHANGED = True\n"))
    assert "finetune" not in output
    assert {path: path.read_bytes() for path in figures} == before


def test_what_runs_again_after_a_change(finished):
    script = finished.folder / "workflow/scripts/tymbal/train/loop.py"
    script.write_text("# A comment.\n" + script.read_text())
    assert "Nothing to be done" in finished.run("snakemake", "-n", *TINY)
    plan = finished.plan(*TINY, "--config", "evaluation={threshold: 0.4}")
    assert plan["evaluate"] == 2
    assert not {"finetune", "calibrate"} & set(plan)
    plan = finished.plan(*TINY, "--config", "evaluation={choose: {shrink: 5}}")
    assert plan["calibrate"] == plan["evaluate"] == 2
    assert "finetune" not in plan
    split = ("--config", "datasets={tiny: {split: {seed: 7}}}")
    plan = finished.plan(*TINY, *split)
    assert plan["split_folds"] == plan["audit_split"] == 1
    plan = finished.plan(*TINY, *split, "partial=true")
    assert not {"split_folds", "audit_split", "compute_fbank", "finetune", "calibrate", "evaluate"} & set(plan)
    plan = finished.plan(*TINY, "--config", "models={ssast-test: {train: {epochs: 2}}}")
    assert plan["finetune"] == plan["evaluate"] == 2
    assert "compute_fbank" not in plan


def test_a_published_mean_of_the_wrong_sign_stops_before_any_training(finished):
    mean = json.loads((finished.folder / "results/tiny/norm/fbank128/fold1.json").read_text())["mean"]
    given = f"models={{ssast-test: {{norm: {{mean: {-mean}, std: 4}}}}}}"
    said = finished.run("snakemake", "models", *TINY, "--config", given, ok=False)
    assert "models.ssast-test.norm" in said and "wrong sign" in said
    assert "Fine-tune" not in said
    assert (finished.folder / RUN / "model.safetensors").exists()
    finished.run("snakemake", "features", *TINY)  # what was removed is made again for the tests after this


def test_a_checkpoint_as_starting_weights(finished):
    """The way of a lab with public weights: a path in the configuration, told in the run's record."""
    net = Ssast(arch="ssast", size="tiny", patch=(128, 16), stride=(128, 16), n_frames=1024)
    weights = SSAST(net, 128, 2, torch.Generator().manual_seed(0)).state_dict()
    state = {f"module.v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state |= {"module.p_input_fdim": torch.tensor(128), "module.p_input_tdim": torch.tensor(1024)}
    torch.save(state, finished.folder / "pretrained.pth")
    model = finished.folder / RUN / "model.safetensors"
    before = model.read_bytes()
    finished.run(
        "snakemake", str(RUN / "model.safetensors"), *TINY, "--config", "models={ssast-test: {init: pretrained.pth}}"
    )
    record = json.loads((finished.folder / RUN / "run.json").read_text())
    assert record["init"]["kind"] == "SSAST pre-training checkpoint"
    assert record["init"]["positions_time"] == "cropped 64 -> 6 (columns 29..34)"
    assert model.read_bytes() != before
