"""What Snakemake and this project's own code cost before anything is computed: plans, and imports of scripts."""

import ast
import copy
import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from harness import Goal, Measurement, benchmark, median

from helpers import REPO

MODELS, FOLDS, SEEDS = 10, 5, 20
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(REPO / "Snakefile")]
PROFILES = ["--profile", str(REPO / "profiles/local"), "--workflow-profile", str(REPO / "profiles/default")]
SCRIPTS = REPO / "workflow/scripts"
# Started by a small process: what a large one starts counts its starter's memory as its own.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3)
"""
TIMED = """
import json, sys, time
sys.path.insert(0, {folder!r})
{first}
start = time.perf_counter()
{imports}
seconds = time.perf_counter() - start
print(json.dumps([seconds, "torch" in sys.modules]))
"""


@benchmark("workflow_1k")
def plan_of_1000_runs() -> list[Measurement]:
    """A dry-run of 1,000 trainings with all that follows of them, in a folder without results, a process each time.

    Beside it what of this is there without any run: Snakemake's start, and rules and configuration read; its peak
    memory; and Snakemake's start alone.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config").mkdir()
        (folder / "config/config.yaml").write_text(yaml.safe_dump(_of_1000_runs()), encoding="utf-8")

        def run(*command: str) -> str:
            return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout

        start = median(partial(run, sys.executable, "-c", "import snakemake.cli"), 3)
        parse = median(partial(run, *SNAKEMAKE, "--list-rules"), 3)
        dry_run = [*SNAKEMAKE, *PROFILES, "--dry-run", "--quiet"]
        plan = median(partial(run, *dry_run), 3)
        memory = float(run(sys.executable, "-c", PEAK, *dry_run))
    return [
        Measurement("workflow_1k_plan", plan, "s", goal=Goal(10, less=True), repeats=3),
        Measurement("workflow_1k_parse", parse, "s", baseline=start, repeats=3),
        Measurement("workflow_1k_memory", memory, "MB"),
    ]


def _of_1000_runs() -> dict[str, Any]:
    """The configuration of the demo, with more models, folds and seeds."""
    raw = yaml.safe_load((REPO / "config/config.yaml").read_text(encoding="utf-8"))
    split = {"scheme": "kfold", "n_folds": FOLDS, "val": 0.15, "group": "recording"}
    raw["datasets"]["soundscapes"]["split"] = split
    models = {f"scratch-{i}": copy.deepcopy(raw["models"]["ssast-tiny-scratch"]) for i in range(1, MODELS + 1)}
    for i, model in enumerate(models.values(), start=1):
        model["train"]["epochs"] = i
    raw["models"] = models
    raw["experiments"] = [{"dataset": "soundscapes", "model": name, "seeds": list(range(SEEDS))} for name in models]
    return raw


@benchmark("import_scripts")
def imports_of_scripts() -> list[Measurement]:
    """What the slowest script needs to import its modules, a fresh process each; where these load torch, without it."""
    seconds = {script.stem: _import_seconds(script) for script in sorted(SCRIPTS.glob("*.py"))}
    slowest = max(seconds, key=lambda name: seconds[name])
    return [Measurement("import_scripts", seconds[slowest], f"s, {slowest}", goal=Goal(2, less=True))]


def _import_seconds(script: Path) -> float:
    nodes = ast.walk(ast.parse(script.read_text(encoding="utf-8")))
    imports = "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))

    def timed(first: str) -> tuple[float, bool]:
        code = TIMED.format(folder=str(SCRIPTS), first=first, imports=imports)
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds, torch = json.loads(done.stdout)
        return seconds, torch

    seconds, torch = timed("")
    return timed("import torch")[0] if torch else seconds
