"""The smallest SSLAM from sound to metrics: stage 1, stage 2, fine-tuned, evaluated, probed."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

from helpers import Checkout

CONFIG = "config/sslam.yaml"
TINY = ("--profile", "local", "--cores", "2", "--configfile", "config/test.yaml", CONFIG)
CORPUS = Path("results/pretrain/tiny-without-tiny-fold1")
RUN = Path("results/tiny/from-sslam/fold1/seed0")
RESULTS = (str(RUN / "metrics.json"), "probe", "results/figures/pretraining/sslam/reconstructions.svg")
NET = {"arch": "sslam", "size": "tiny", "patch": [32, 16], "n_frames": 96}


def settings() -> dict:
    train = {"epochs": 2, "batch_size": 4, "schedule": {"warmup_steps": 1}}
    common = {"frontend": "fbank128", "corpus": "tiny", "net": NET, "train": train}
    finetuning = {"preset": "sslam-spass", "epochs": 1, "batch_size": 8}
    return {
        "corpora": {"tiny": {"parts": [{"dataset": "tiny"}], "val": 0.2}},
        "pretraining": {
            "eat": {**common, "pretext": {"clones": 4, "teacher": {"start": 0.9, "end": 0.99, "steps": 10}}},
            "sslam": {**common, "pretext": {"stage": 2, "clones": 2}, "init": {"ssl": "eat"}},
        },
        "models": {
            "from-sslam": {"frontend": "fbank128", "net": NET, "init": {"ssl": "sslam"}, "train": finetuning},
        },
        "experiments": [{"dataset": "tiny", "model": "from-sslam", "folds": [1]}],
    }


@pytest.fixture(scope="module")
def finished(with_features, tmp_path_factory) -> Checkout:
    """A checkout in which all of it has run, but for the report: a page of both methods is a unit test's."""
    checkout = Checkout.copied(with_features, tmp_path_factory.mktemp("sslam") / "tymbal")
    (checkout.folder / CONFIG).write_text(yaml.safe_dump(settings()))
    checkout.run("snakemake", *TINY, "--", *RESULTS)
    return checkout


def test_each_stage_starts_from_the_one_before(finished):
    record = json.loads((finished.folder / RUN / "run.json").read_text())
    assert record["init"]["path"] == str(CORPUS / "sslam/seed0/encoder.safetensors")
    weights = load_file(finished.folder / RUN / "model.safetensors")
    assert not any(name.startswith(("decoder", "teacher")) for name in weights)
    second = json.loads((finished.folder / CORPUS / "sslam/seed0/run.json").read_text())
    assert second["init"]["path"] == str(CORPUS / "eat/seed0/encoder.safetensors")
    assert second["init"]["fresh"] == second["init"]["left_out"] == []
    assert second["kept_by"] == "round"


def test_the_encoder_is_probed(finished):
    probe = pd.read_csv(finished.folder / "results/summary/probe.csv", dtype={"layer": str})
    assert set(probe["layer"]) == {str(i) for i in range(13)}  # there is no final norm


def test_what_the_code_of_ssast_cannot_read_is_not_exported(finished):
    output = finished.run("snakemake", *TINY, "--", str(CORPUS / "sslam/seed0/ssast.pth"), ok=False)
    assert "pre-training 'sslam' is of net.arch 'sslam', which SSAST's code does not know" in output


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run("snakemake", *TINY, "--", *RESULTS)
