"""The examples of docs/pretraining.md are valid, and its figures those of the code."""

import copy
import math

from snakemake.utils import update_config

from docs_pages import settings
from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.config.pretrain import PRESETS
from tymbal.plan import Plan
from tymbal.pretrain.check import COLLAPSED, MOST_CLIPS
from tymbal.pretrain.pretrain import MOST_STEPS

PAGE = REPO / "docs" / "pretraining.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_examples_are_valid_and_planned():
    first, second = settings(PAGE)
    raw = merged_config(REPO / "config" / "config.yaml")
    update_config(raw, copy.deepcopy(first))
    plan = Plan(load(raw))
    assert [run.ssl for run in plan.pretrains] == ["lab-tiny"]
    assert plan.pretrains[0].corpus == "lab-without-soundscapes-fold1"
    update_config(raw, copy.deepcopy(second))
    load(raw)


def test_figures_told_are_those_of_the_settings():
    assert f"ln 400 = {math.log(400):.1f}" in TEXT
    assert PRESETS["ssast"]["optimizer"]["lr"] == 1e-4 and "rate 1e-4" in TEXT
    assert {PRESETS[name]["schedule"]["warmup_steps"] for name in ("ssast", "modern")} == {1000}
    assert "The first two warm up over 1000 steps" in TEXT
    assert MOST_STEPS == 1000 and "an epoch, but 1000 steps at most" in TEXT
    assert f"A check looks at {MOST_CLIPS} of these clips" in TEXT
    assert f"below {COLLAPSED:.0%}".replace("%", " %") in TEXT
