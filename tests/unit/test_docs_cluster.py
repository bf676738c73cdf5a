"""The keys and figures of docs/cluster.md are those of the profile and the code."""

import re
from pathlib import Path

import snakemake_executor_plugin_slurm
import yaml
from snakemake.cli import get_argument_parser

from docs_pages import settings
from helpers import REPO
from tymbal import amounts, needs
from tymbal.launch import Layout, layout
from tymbal.spectrogram import FRAME_SHIFT_MS

PAGE = REPO / "docs" / "cluster.md"
TEXT = PAGE.read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
PROFILE = yaml.safe_load((REPO / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8"))
PLUGIN = Path(snakemake_executor_plugin_slurm.__file__).parent
IN_CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.S))
EXAMPLES = settings(PAGE)


def test_keys_named_exist():
    """Those with an underscore, a hyphen or a value: other words in code are commands and folders."""
    files = [*(REPO / "profiles").rglob("*.yaml"), REPO / "config" / "README.md", PLUGIN / "submit_string.py"]
    files += [REPO / "workflow" / "scripts" / "tymbal" / name for name in ("needs.py", "launch.py", "preflight.py")]
    known = set(re.findall(r"[\w-]+", "\n".join(file.read_text(encoding="utf-8") for file in files)))
    options = get_argument_parser()._option_string_actions
    known |= {option.removeprefix("--") for option in options}
    named = {found[1] for word in IN_CODE if (found := re.fullmatch(r"([a-z]+(?:[_-][a-z]+)*)(?:: .+)?", word))}
    named = {word for word in named if re.search("[_-]", word) or any(each.startswith(f"{word}: ") for each in IN_CODE)}
    assert {"slurm_partition", "gpu", "slurm-requeue", "latency-wait"} <= named
    assert named <= known
    keys = {key for example in EXAMPLES for key in (*example, *example["set-resources"]["finetune"])}
    assert keys <= known
    for word in IN_CODE:
        if option := re.match(r"(--[a-z-]+) \S", word):
            assert option[1] in options


def test_examples_of_the_profile_make_sense():
    first, second = EXAMPLES
    attempts = [eval(first["set-resources"]["finetune"]["runtime"], {"attempt": n}) for n in (1, 2, 9)]
    assert attempts == [240, 480, 1440]
    asked, threads = second["set-resources"]["finetune"], second["set-threads"]["finetune"]
    assert layout(asked) == Layout(nodes=2, per_node=4)
    assert asked["tasks"] == asked["nodes"] and asked["tasks_per_gpu"] == 0
    assert f"--cpus-per-task={threads} " in asked["mpi"]


def test_figures_told_are_those_of_the_code():
    for rule, minutes in (("finetune", 120), ("pretrain", 720)):
        assert PROFILE["set-resources"][rule]["runtime"] == f"{minutes} * attempt"
    assert "120 and 720 minutes in the first attempt, four CPUs, one GPU" in WORDS
    assert PROFILE["retries"] == 2 and "twice, then three times as much" in WORDS
    first, *later = (needs.memory_mb(needs.Need(1000), amounts.Amount(), attempt) for attempt in (1, 2, 3))
    assert later == [2 * first, 3 * first]
    mb_per_hour = 3600 * 1000 / FRAME_SHIFT_MS * 128 * 2 / 1e6  # float16, mel bins of the default front end
    assert f"{mb_per_hour:.0f} MB for each hour of sound" in WORDS
    gb = 4 * amounts.SIZES["base"].parameters / 1e9
    assert f"{gb:.2f} GB for a base model, six files" in WORDS
    assert f"{4 * gb:.1f} GB for a base model, until" in WORDS  # the last with two moments, and the best
