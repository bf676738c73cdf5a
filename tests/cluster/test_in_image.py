"""Rules run in the real image: their packages are the image's, their code the checkout's, folders anywhere are seen."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from helpers import Checkout
from tymbal.image import image_path

pytestmark = pytest.mark.cluster

# Root's capabilities are not always complete in a virtual machine.
SNAKEMAKE = ("snakemake", "--cores", "2", "--software-deployment-method", "apptainer", "--apptainer-args=--no-privs")
RUN = "results/field/ssast-test/fold1/seed0"
RULES = ("list_clips", "measure_clips", "prepare_manifest", "split_folds", "compute_fbank", "finetune")
TELL_IMPORTED = """
import json, sys
files = {name: module.__file__ for name, module in sys.modules.items() if getattr(module, "__file__", None)}
with open(f"imported-{snakemake.rule}.json", "w") as file:
    json.dump(files, file)
"""
CONFIG = """
data_root: {data}
datasets:
  field:
    source: {{format: folders, audio: field}}
    task: single-label
    classes: [Cicada, Frog]
    split: {{scheme: holdout, train: 0.5, val: 0.25, test: 0.25}}
experiments: [{{dataset: field, model: ssast-test, seeds: [0]}}]
"""


@pytest.fixture(scope="module")
def home(debian_root) -> Iterator[Path]:
    """A folder that no container sees unless told to: not in the temporary folder, and rules' home is elsewhere."""
    with tempfile.TemporaryDirectory(prefix="tymbal-", dir=Path.home()) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def checkout(image, clean_checkout, home) -> Checkout:
    """A committed checkout with the image, data and results elsewhere, where a model was trained."""
    checkout = Checkout.copied(clean_checkout, home / "tymbal")
    (checkout.folder / image_path(checkout.folder)).symlink_to(image)
    (checkout.folder / "results" / "README.md").unlink()
    (checkout.folder / "results").rmdir()
    (home / "结果 1").mkdir()
    (checkout.folder / "results").symlink_to(home / "结果 1")
    rng = np.random.default_rng(0)
    for i in range(24):
        path = home / "野外 录音" / "field" / ("Cicada", "Frog")[i % 2] / f"rec{i:02d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.1 * rng.standard_normal(16000), 16000)
    (checkout.folder / "config" / "field.yaml").write_text(CONFIG.format(data=home / "野外 录音"), encoding="utf-8")
    for script in (checkout.folder / "workflow" / "scripts").glob("*.py"):
        script.write_text(script.read_text(encoding="utf-8") + TELL_IMPORTED, encoding="utf-8")
    for words in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "--message=test")):
        author = ("-c", "user.name=test", "-c", "user.email=")
        subprocess.run(("git", *author, *words), cwd=checkout.folder, check=True)
    checkout.run(*SNAKEMAKE, "--configfile", "config/test.yaml", "config/field.yaml", "--", f"{RUN}/model.safetensors")
    return checkout


@pytest.mark.parametrize("rule", RULES)
def test_packages_are_the_images_and_code_is_the_checkouts(checkout, rule):
    imported = json.loads((checkout.folder / f"imported-{rule}.json").read_text(encoding="utf-8"))
    scripts = f"{checkout.folder}/workflow/"
    assert imported["pydantic"].startswith("/opt/tymbal-image/")
    assert imported["tymbal"].startswith(scripts)
    places = ("/usr/lib/python3", "/opt/tymbal-image/", scripts)
    others = {name: file for name, file in imported.items() if file.startswith("/") and not file.startswith(places)}
    # Snakemake's own, by which the script gets its inputs and outputs.
    assert all(name.split(".")[0].startswith("snakemake") for name in others), others


def test_the_record_of_a_run_names_image_and_commit(checkout, image):
    run = json.loads((checkout.folder / RUN / "run.json").read_text(encoding="utf-8"))
    head = subprocess.run(("git", "rev-parse", "HEAD"), cwd=checkout.folder, capture_output=True, text=True, check=True)
    assert run["environment"]["commit"] == head.stdout.strip()
    assert run["environment"]["container"] == image.name


def test_what_the_image_lacks_is_not_found_on_the_host(checkout):
    (checkout.folder / "leak.smk").write_text(
        f"container: {image_path(checkout.folder)!r}\n"
        "rule leak:\n    output: 'leak.txt'\n    script: 'workflow/scripts/leak.py'\n"
    )
    (checkout.folder / "workflow" / "scripts" / "leak.py").write_text(
        "import snakefmt\nprint('found before')\nimport tymbal\nimport pytest\n"
    )
    said = checkout.run(*SNAKEMAKE, "--snakefile", "leak.smk", "leak", ok=False)
    assert "found before" in said
    assert "ModuleNotFoundError: No module named 'pytest'" in said


def test_host_settings_of_python_do_not_reach_the_image(image, home, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(home))
    monkeypatch.setenv("PYTHONHOME", str(home))
    (home / "colour.py").touch()
    command = ["apptainer", "exec", "--no-privs", "--bind", home, image, "python", "-c", "import colour"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "ModuleNotFoundError: No module named 'colour'" in done.stderr
