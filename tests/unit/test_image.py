"""The image's name stands for what the image is made from, and the definition tests all that is in it."""

import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest

from helpers import REPO
from tymbal import __version__, image
from tymbal.image import DEFINITION, PINS, image_path


@pytest.fixture
def repo(tmp_path):
    """A repository with the two files that count."""
    for name in (DEFINITION, PINS):
        (tmp_path / name).parent.mkdir()
        shutil.copy(REPO / name, tmp_path / name)
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_the_name_is_relative_and_tells_version_and_digest(repo):
    assert re.fullmatch(rf"containers/tymbal-{re.escape(__version__)}-[0-9a-f]{{8}}\.sif", image_path(repo))


def test_a_pin_or_the_definition_changes_the_name(repo):
    names = {image_path(repo)}
    edit(repo / PINS, "numpy==", "numpy==1")
    names.add(image_path(repo))
    edit(repo / DEFINITION, "LANG=C.UTF-8", "LANG=C")
    names.add(image_path(repo))
    assert len(names) == 3


def test_a_version_changes_the_name(repo, monkeypatch):
    before = image_path(repo)
    monkeypatch.setattr(image, "__version__", "99.0.0")
    assert image_path(repo) == before.replace(__version__, "99.0.0") != before


def test_nothing_else_changes_the_name(repo, tmp_path):
    before = image_path(repo)
    (repo / "containers" / "build.sh").write_text("exit 1")
    (repo / "envs" / "science.in").write_text("numpy")
    (repo / "Snakefile").write_text("")
    assert image_path(repo) == before
    shutil.copytree(repo, tmp_path / "elsewhere")
    assert image_path(tmp_path / "elsewhere") == before


def test_a_python_without_any_package_names_it():
    """As build.sh asks on a login node."""
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.append('workflow/scripts')\n"]
    command[-1] += "import runpy; runpy.run_module('tymbal.image', run_name='__main__')"
    said = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout
    assert said.strip() == image_path(REPO)


def test_the_definition_imports_every_package_asked_for():
    asked = set(re.findall(r"^[a-z0-9_.-]+", (REPO / "envs" / "science.in").read_text(), re.MULTILINE))
    (modules,) = re.findall(r'MODULES = """(.*?)"""', (REPO / DEFINITION).read_text(), re.DOTALL)
    belongs = packages_distributions()
    assert {name.lower() for module in modules.split() for name in belongs[module]} == asked
