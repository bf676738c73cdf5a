"""The examples of docs/pretraining.md are valid, and its figures those of the code."""

import copy
import math
import re
import shlex

import pytest
import yaml
from snakemake.cli import get_argument_parser
from snakemake.utils import update_config

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.config.pretrain import PRESETS
from tymbal.plan import Plan
from tymbal.pretrain.check import COLLAPSED, MOST_CLIPS
from tymbal.pretrain.pretrain import MOST_STEPS

TEXT = (REPO / "docs" / "pretraining.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.S)]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
COMMANDS = [
    line for page in PAGES for line in re.findall(r"^snakemake .+$", page.read_text(encoding="utf-8"), flags=re.M)
]
RULES = "".join(path.read_text(encoding="utf-8") for path in [REPO / "Snakefile", *(REPO / "workflow/rules").glob("*")])


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_read_by_snakemake_as_they_are_meant(command):
    """`--configfile` and others take all words that follow, a rule's name too."""
    words = shlex.split(re.sub(r"<[^>]*>", "FOLDER", command), comments=True)
    known = get_argument_parser().parse_args(words[1:])
    assert all(path.suffix == ".yaml" for path in known.configfile or [])
    assert all("=" in setting for setting in known.config or [])
    assert set(known.targets) == {word for word in words if is_made(word)}


def is_made(word: str) -> bool:
    """Whether a word of a command is a rule, or a file that one makes."""
    return f"\nrule {word}:" in RULES or (word.startswith("results/") and f'/{word.split("/")[-1]}"' in RULES)


def test_targets_are_looked_for():
    made = {word for command in COMMANDS for word in command.split() if is_made(word)}
    assert made >= {"validate", "encoders", "probe", "results/pretrain/lab/lab-base/seed0/ssast.pth"}


def test_examples_are_valid_and_planned():
    first, second = EXAMPLES
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
