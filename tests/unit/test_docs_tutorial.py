"""What docs/tutorial.md shows of recordings and settings is what its script makes, and fits the default models."""

import copy
import re
import sys
from importlib import import_module

import pytest
import soundfile
from snakemake.utils import update_config

from docs_pages import blocks, settings
from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.ingest.match import match
from tymbal.plan import Plan

PAGE = REPO / "docs" / "tutorial.md"
TEXT = PAGE.read_text(encoding="utf-8")
PICTURES = REPO / "docs" / "pictures"


@pytest.fixture(scope="module")
def script():
    """The module docs/pictures/tutorial.py."""
    sys.path.insert(0, str(PICTURES))
    try:
        yield import_module("tutorial")
    finally:
        sys.path.remove(str(PICTURES))


@pytest.fixture(scope="module")
def recordings(script):
    """Clips of all recordings, without a sound."""
    return script.by_recording(script.SETTINGS)


def test_settings_are_short_valid_and_plan_two_models():
    (block,) = blocks(PAGE, "yaml")
    assert len(block.splitlines()) <= 15
    raw = merged_config(REPO / "config" / "config.yaml")
    update_config(raw, copy.deepcopy(settings(PAGE)[0]))
    plan = Plan(load(raw))
    assert set(plan.pairs) == {("mine", "ssast-tiny-scratch"), ("mine", "ssast-tiny")}
    assert load(raw).datasets["mine"].split.group == "recording"


def test_labels_are_read_with_these_settings(script, recordings, tmp_path):
    labelled = dict(list(recordings.items())[: script.LABELLED])
    (tmp_path / "mine").mkdir()
    table = script.labels(labelled)
    table.to_csv(tmp_path / "mine" / "labels.csv", index=False)
    raw = merged_config(REPO / "config" / "config.yaml") | {"data_root": str(tmp_path)}
    update_config(raw, copy.deepcopy(settings(PAGE)[0]))
    config = load(raw)
    matched = match(config.datasets["mine"], "mine", config.folders, {}, [f"{name}.flac" for name in labelled])
    assert not matched.problems and len(matched.records) == script.LABELLED
    (shown,) = blocks(PAGE, "csv")
    assert table.to_csv(index=False).startswith(shown)


def test_recordings_are_as_told(script, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "sound", lambda clips, settings: [0.0] * 160)
    script.record(tmp_path / "mine")
    audio, night = (sorted((tmp_path / "mine" / name).iterdir()) for name in ("audio", "night"))
    assert f"{len(audio)} recordings of half a minute from six recorders; `night/`, {len(night)} more" in TEXT
    assert script.SETTINGS.clips_per_recording * script.SETTINGS.clip_s == 30
    assert len({path.name.split("_")[0] for path in audio}) == len({path.name.split("_")[0] for path in night}) == 6
    assert re.search(r"\(`(SITE\d+_\d+_\d+\.flac)`\)", TEXT)[1] in {path.name for path in audio}
    assert soundfile.info(audio[0]).samplerate == script.SETTINGS.sample_rate


def test_pictures_are_those_the_script_draws(script):
    shown = set(re.findall(r"\(pictures/([\w-]+)\.svg\)", TEXT))
    assert shown == {*script.FIGURES.values(), *script.OF_NIGHT.values()}
    assert all((PICTURES / f"{name}.svg").is_file() for name in shown)
