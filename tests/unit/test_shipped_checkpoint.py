"""The encoder that the demo starts from: it fits the demo's model, tells what it heard, and is the one described."""

import dataclasses
import re

import torch

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.config.models import Ssast
from tymbal.evaluate.starts import known_of_test_clips
from tymbal.files import sha256
from tymbal.models.build import build
from tymbal.models.classifier import is_head
from tymbal.models.sources import load_start
from tymbal.spectrogram import FeatureState

FOLDER = REPO / "resources" / "checkpoints"
DEMO = load(merged_config(REPO / "config" / "config.yaml"))


def test_the_demo_starts_from_it_without_having_heard_its_test_clips():
    settings, (run, *_) = DEMO.models["ssast-tiny"], DEMO.experiments
    net = settings.net
    assert isinstance(net, Ssast)
    model = build(net, 128, 12, torch.Generator().manual_seed(0))
    start = load_start(REPO / settings.init, model, net, FeatureState.of(DEMO.frontends[settings.frontend]))
    assert all(is_head(name) for name in start.fresh)
    assert known_of_test_clips(dataclasses.asdict(start), run.dataset, 1) == "clean"


def test_every_file_is_small_and_described():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    files = sorted(FOLDER.glob("*.safetensors"))
    assert files
    assert re.findall(r"\b[0-9a-f]{64}\b", text) == [sha256(path) for path in files]
    assert all(path.stat().st_size < 25e6 for path in files)
