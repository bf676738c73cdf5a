"""The pages of the documentation, and the blocks of code and settings in them."""

import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from helpers import REPO

NAMES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    *(f"{part}/README.md" for part in ("config", "results", "containers")),
)
PAGES = [*(REPO / name for name in NAMES), *sorted((REPO / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """Where a page is, such as `docs/data.md`."""
    return page.relative_to(REPO).as_posix()


def blocks(page: Path, *languages: str) -> list[str]:
    """The texts of a page's blocks of these languages, in order; without a language, of blocks that name none."""
    found = re.findall(r"^( *)```([\w-]*)\n(.*?)^\1```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [textwrap.dedent(text) for _, language, text in found if language in (languages or ("",))]


def settings(page: Path) -> list[dict[str, Any]]:
    """A page's blocks of YAML."""
    return [yaml.safe_load(text) for text in blocks(page, "yaml")]


def columns_told() -> set[str]:
    """Columns that results/README.md explains, each once."""
    section = (REPO / "results" / "README.md").read_text(encoding="utf-8").split("\n## Columns\n")[1]
    told = [
        name for first in re.findall(r"^\| (`.+?) \|", section, flags=re.M) for name in re.findall("`([^`]+)`", first)
    ]
    assert len(told) == len(set(told)), sorted({name for name in told if told.count(name) > 1})
    return set(told)
