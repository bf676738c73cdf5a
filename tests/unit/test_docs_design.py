"""docs/explanation/design.md is a map of the library as it is: what it names exists, and every package is on it."""

import re

import pytest

from helpers import REPO

TEXT = (REPO / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
LIBRARY = REPO / "workflow" / "scripts" / "tymbal"
QUOTED = set(re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.S)))
MODULES = {name for name in QUOTED if re.fullmatch(r"[a-z_/]+\.py", name)}


def test_modules_are_found():
    """Where nothing is found, nothing is looked at."""
    assert len(MODULES) > 50


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_exist(module):
    assert (LIBRARY / module).is_file()


def test_every_package_is_on_the_map():
    packages = {path.parent.relative_to(LIBRARY).as_posix() for path in LIBRARY.rglob("*/__init__.py")} - {"."}
    assert packages <= QUOTED


def test_other_names_are_packages_modules_or_files():
    """Of words that could be one: those in lower case without a blank."""
    other = {name for name in QUOTED - MODULES if re.fullmatch(r"[a-z_/]+", name)}
    known = {path.relative_to(LIBRARY).with_suffix("").as_posix() for path in LIBRARY.rglob("*")}
    known |= {path.name for path in (REPO / "tests").iterdir()}
    assert {name for name in other if name not in known and not (REPO / name).exists()} == set()


def test_the_drawing_shows_packages_and_modules():
    script = (REPO / "docs" / "pictures" / "drawings.py").read_text(encoding="utf-8")
    drawn = script.split("def house")[1].split("ways = ")[0]
    names = re.findall(r"\w+", " ".join(re.findall(r'"([^"]+)": \(', drawn)).replace("\\n", " "))
    assert len(names) > 10
    assert all((LIBRARY / name).is_dir() or (LIBRARY / f"{name}.py").is_file() for name in names)
