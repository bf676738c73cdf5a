"""What is loaded where: nothing heavy when the Snakefile is parsed, and for a script what it needs."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable

from helpers import REPO

SCRIPTS = REPO / "workflow" / "scripts"
HEAVY = {"torch", "torchaudio", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "soundfile", "pyarrow"}
# Of those that neither read features nor compute them, and use no network: all.
WITHOUT_TORCH = [
    "collect_predictions",
    "collect_summary",
    "compare_models",
    "compare_with_training",
    "download",
    "find_detections",
    "index_fbank",
    "list_clips",
    "list_corpus",
    "list_recordings",
    "measure_clips",
    "mix_soundscapes",
    "pick_label_next",
    "plot_figure",
    "prepare_manifest",
    "probe",
    "record_config",
    "record_season",
    "split_folds",
    "synthesise_soundscapes",
    "write_comparison",
    "write_model_report",
    "write_report",
    "write_season_page",
]
DRAW = {"plot_figure", "validate", "write_model_report", "write_report", "write_season_page"}


def imports(text: str) -> str:
    """All import statements of a script, those inside functions and blocks too."""
    nodes = ast.walk(ast.parse(text))
    return "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def loaded(statements: str) -> set[str]:
    """Heavy libraries that are loaded after these imports, in a process of their own."""
    code = f"import json, sys\nsys.path.insert(0, {str(SCRIPTS)!r})\n{statements}\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return HEAVY & set(json.loads(done.stdout))


def of_scripts(names: Iterable[str]) -> set[str]:
    """The same of scripts together."""
    return loaded("\n".join(imports((SCRIPTS / f"{name}.py").read_text(encoding="utf-8")) for name in names))


def test_the_workflow_is_parsed_without_anything_heavy():
    """Of this package: Snakemake's own plugins load pandas where it is installed."""
    files = [REPO / "Snakefile", *sorted((REPO / "workflow/rules").glob("*.smk"))]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    used = re.findall(r"^from tymbal\S* import (?:\([^)]*\)|[^(\n]*)", text, flags=re.M)
    assert len(used) > 5
    assert loaded("\n".join(used)) == set()


def test_what_happens_around_every_script_loads_nothing_heavy():
    assert loaded("from tymbal.smk import deadline, device, step") == set()


def test_scripts_without_features_and_networks_do_not_load_torch():
    assert not of_scripts(WITHOUT_TORCH) & {"torch", "torchaudio"}


def test_scripts_that_do_not_draw_load_neither_matplotlib_nor_what_only_some_settings_need():
    others = {path.stem for path in SCRIPTS.glob("*.py")} - DRAW
    assert not of_scripts(sorted(others)) & {"matplotlib", "torchaudio"}
