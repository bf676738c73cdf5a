"""The examples of docs/pretraining.md are valid, and its figures those of the code."""

import copy
import math
import re

import yaml

from helpers import REPO
from tymbal.config import load
from tymbal.config.pretrain import PRESETS
from tymbal.plan import Plan

TEXT = (REPO / "docs" / "pretraining.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.S)]


def over(base: dict, top: dict) -> dict:
    for key, value in top.items():
        base[key] = over(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
    return base


def test_examples_are_valid_and_planned():
    first, second = EXAMPLES
    raw = over(yaml.safe_load((REPO / "config" / "config.yaml").read_text(encoding="utf-8")), copy.deepcopy(first))
    plan = Plan(load(raw))
    assert [run.ssl for run in plan.pretrains] == ["lab-tiny"]
    assert plan.pretrains[0].corpus == "lab-without-soundscapes-fold1"
    load(over(raw, copy.deepcopy(second)))


def test_links_lead_to_headings():
    files = {"": TEXT} | {
        name: (REPO / "docs" / name).resolve().read_text(encoding="utf-8")
        for name in set(re.findall(r"\]\(([^)#]*\.md)", TEXT))
    }
    for name, anchor in re.findall(r"\]\(([^)#]*)#([^)]+)\)", TEXT):
        headings = re.findall(r"^#+ (.+)$", files[name], flags=re.M)
        anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
        assert anchor in anchors, (name, anchor)


def test_figures_told_are_those_of_the_settings():
    assert f"ln 400 = {math.log(400):.1f}" in TEXT
    assert PRESETS["ssast"]["optimizer"]["lr"] == 1e-4 and "rate 1e-4" in TEXT
    assert {preset["schedule"]["warmup_steps"] for preset in PRESETS.values()} == {1000}
    assert "Both warm up over 1000 steps" in TEXT
