"""The examples of docs/sslam.md are valid, and its figures those of the code."""

import copy
import re
from typing import get_args

import numpy as np
import soundfile
import torch
from snakemake.utils import update_config

from docs_pages import blocks, settings
from helpers import REPO, merged_config
from sslam_golden import original_name
from tymbal.config import load
from tymbal.config.models import Sslam
from tymbal.config.presets import FINETUNING, Preset
from tymbal.config.pretrain import CLONES, PRESETS, UNMIXED, BlockMasking, LatentPretext, Weights
from tymbal.models.build import build
from tymbal.models.sources import ALLOWED
from tymbal.models.sslam_start import RELEASED_MELS, RELEASED_RATE
from tymbal.plan import Plan
from tymbal.pretrain.check import COLLAPSED, NEARLY
from tymbal.pretrain.latents import UTTERANCE_ROWS
from tymbal.pretrain.sslam import MaskedLatentModel

PAGE = REPO / "docs" / "sslam.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_examples_are_valid_and_planned():
    first, second = settings(PAGE)
    raw = merged_config(REPO / "config" / "config.yaml")
    update_config(raw, copy.deepcopy(first))
    config = load(raw)
    assert {"lab-stage-1", "lab-stage-2"} <= {run.ssl for run in Plan(config).pretrains}
    assert [config.pretraining[name].train.preset for name in ("lab-stage-1", "lab-stage-2")] == ["eat", "sslam"]
    assert config.models["stage-2"].train.preset == "sslam-spass"
    update_config(raw, copy.deepcopy(second))
    assert load(raw).models["released"].padding == "original"


def test_the_network_is_used_elsewhere_as_told(tmp_path, monkeypatch):
    """The block as it stands, but for the size."""
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(PAGE, "python")
    model = build(Sslam(arch="sslam", size="tiny"), 128, 1, torch.Generator())
    state = {original_name(name): value for name, value in model.state_dict().items() if not name.startswith("head.")}
    (tmp_path / "checkpoints").mkdir()
    torch.save({"model": state}, tmp_path / "checkpoints" / "sslam.pt")
    soundfile.write("clip.wav", np.random.default_rng(0).normal(0, 0.1, 80000), 16000)
    names: dict = {}
    exec(block.replace('"base"', '"tiny"'), names)
    assert names["tokens"].shape == (1, 512, 192)
    assert "[1, 512, 768]" in block
    assert torch.equal(names["model"].cls_token, model.cls_token)


def test_weights_told_are_the_default_ones():
    told = dict(re.findall(r"^\| `(\w+_\w+)` \|.*\| (\d) \|$", TEXT, flags=re.M))
    assert {name: float(weight) for name, weight in told.items()} == Weights().model_dump()


def test_presets_named_are_there():
    named = set(re.findall(r"sslam-[a-z]+[a-z0-9-]*", TEXT)) - {"sslam-spass-linear"}
    assert named <= set(get_args(Preset))
    assert set(get_args(Preset)) == set(FINETUNING)
    common = FINETUNING["sslam-spass"]
    assert common["optimizer"]["layer_decay"] == 0.65 and "decay of 0.65" in TEXT
    assert common["schedule"]["min_lr"] == 1e-6 and "floor of 1e-6" in TEXT
    assert common["schedule"]["warmup_steps"] == 0.1 and "a tenth of warm-up" in TEXT
    assert Sslam(arch="sslam").drop_path == 0.1 and "stochastic depth up to 0.1" in TEXT


def test_figures_told_are_those_of_the_code():
    assert CLONES == {1: 16, 2: 8} and "masked 16 times" in TEXT and "(8 masks for\nboth)" in TEXT
    assert f"{UTTERANCE_ROWS} times the mean" in TEXT
    assert UNMIXED == {"released": 15 / 64, "paper": 1 / 4} and "15/64 of the length" in TEXT and 1024 - 2 * 240 == 544
    assert LatentPretext().share_unmixed == UNMIXED["released"]
    assert BlockMasking().visible == 0.2 and "a fifth of a clip's patches" in TEXT
    assert PRESETS["eat"]["clip_norm"] == PRESETS["sslam"]["clip_norm"] == 4.0
    assert (COLLAPSED, NEARLY) == (0.01, 0.1) and "by less than 1 %" in TEXT and "below 10 % the log warns" in TEXT
    assert (RELEASED_MELS, RELEASED_RATE) == (128, 16000) and "mel bins (128) and sample rate (16 kHz)" in TEXT
    assert all("numpy" in name for name in ALLOWED) and "numbers of numpy" in TEXT
    assert MaskedLatentModel.select[0] == "round" and "*last* check is kept" in TEXT
