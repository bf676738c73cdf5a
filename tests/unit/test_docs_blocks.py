"""Settings, commands and programs that any page shows are read as they stand, and messages that it quotes are said."""

import ast
import copy
import importlib.util
import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import snakemake
import snakemake_executor_plugin_slurm
from snakemake.cli import get_argument_parser
from snakemake.utils import update_config

from docs_pages import PAGES, blocks, name_of, settings
from helpers import REPO, merged_config, texts
from tymbal.__main__ import parser
from tymbal.config import Config, load
from tymbal.config.data import Dataset

DEFAULT = REPO / "config" / "config.yaml"
RULES = "".join(path.read_text(encoding="utf-8") for path in [REPO / "Snakefile", *(REPO / "workflow/rules").glob("*")])
OPTIONS = get_argument_parser()._option_string_actions
MAKE = set(re.findall(r"^([a-z-]+):.*?##", (REPO / "Makefile").read_text(encoding="utf-8"), flags=re.M))
SNAKEMAKE = Path(snakemake.__file__).parent
SPEAKING = [  # the project, Slurm's plugin and some of Snakemake
    *(REPO / "workflow" / "scripts" / "tymbal").rglob("*.py"),
    *Path(snakemake_executor_plugin_slurm.__file__).parent.glob("*.py"),
    *(SNAKEMAKE / name for name in ("exceptions.py", "logging.py", "io/__init__.py")),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


# --- settings ---------------------------------------------------------------------------------------------


@each_page
def test_settings_are_valid(page):
    """Those of a page one after the other, over the default ones; those of a data set alone as one of its own."""
    raw = merged_config(DEFAULT)
    for block in settings(page):
        if set(block) <= set(Config.model_fields):
            update_config(raw, copy.deepcopy(block))
            load(raw)
        elif any(key.startswith("set-") for key in block):
            assert all(f"--{key}" in OPTIONS for key in block)
            assert all(f"\nrule {rule}:" in RULES for key in block if key.startswith("set-") for rule in block[key])
        else:
            load({**raw, "datasets": {**raw["datasets"], "mine": data_set(block)}})


def data_set(block: dict[str, Any]) -> dict[str, Any]:
    """The settings of a data set of which a block shows a part, or a part of the source."""
    whole = {
        "source": {"format": "tags", "table": "tags.csv", "audio": "audio"},
        "task": "multi-label",
        "classes": ["Bird", "Cicada"],
        "split": {"scheme": "holdout"},
    }
    of_source = {key: block[key] for key in block if key not in Dataset.model_fields}
    of_dataset = {key: block[key] for key in block if key in Dataset.model_fields}
    return block if "source" in block else whole | of_dataset | {"source": {**whole["source"], **of_source}}


@each_page
def test_json_is_json(page):
    for block in blocks(page, "json"):
        json.loads(block)


# --- commands ---------------------------------------------------------------------------------------------


def commands(page: Path) -> list[str]:
    """What is to be typed: lines of blocks, those that go on in the next as one, and commands in the text."""
    lines = "\n".join(blocks(page, "", "bash", "sh")).replace("\\\n", " ").splitlines()
    in_text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    typed = re.findall(r"`((?:snakemake|make) [^`]+)`", " ".join(in_text.split()))
    return [re.sub(r"<[^>]*>", "PLACE", line) for line in dict.fromkeys([*lines, *typed])]


COMMANDS = [(page, command) for page in PAGES for command in commands(page)]
each_command = pytest.mark.parametrize("command", sorted({command for _, command in COMMANDS}))


def words_of(command: str) -> list[str]:
    """The words of a command, without variables set for it and without a comment."""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:  # of a script of several lines, which is not typed
        return []
    return [
        word for i, word in enumerate(words) if not all(re.fullmatch(r"[A-Z_]+=.*", each) for each in words[: i + 1])
    ]


@each_command
def test_commands_are_read_as_they_are_meant(command):
    words = words_of(command)
    match words[:3]:
        case ["snakemake", *_]:
            snakemake_reads(words[1:])
        case ["make", *_]:
            assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= MAKE
        case ["python" | "python3", "-m", "tymbal"]:
            options = parser().parse_args(words[3:])
            assert options.run.__module__ == f"tymbal.commands.{words[3]}"
        case ["python" | "python3", "-m", module] if module.startswith("tymbal"):
            assert importlib.util.find_spec(module)
        case ["python" | "python3", script, *_] if script.endswith(".py"):
            assert (REPO / script).exists()
        case ["pip", *_] if "-r" in words:
            assert (REPO / words[words.index("-r") + 1]).exists()
        case [script, *_] if script.startswith(("containers/", "tests/")):
            assert os.access(REPO / script, os.X_OK)


def snakemake_reads(words: list[str]) -> None:
    """`--configfile` and others take all words that follow, a rule's name too."""
    known = get_argument_parser().parse_args(words)
    assert all(path.suffix == ".yaml" for path in known.configfile or [])
    assert all("=" in setting for setting in known.config or [])
    assert {word for word in known.targets if not word.isupper()} == {word for word in words if is_made(word)}


def is_made(word: str) -> bool:
    """Whether a word of a command is a rule, or a file that one makes."""
    return f"\nrule {word}:" in RULES or (word.startswith("results/") and f'/{word.split("/")[-1]}"' in RULES)


def test_commands_are_found():
    """Where nothing is found, nothing is looked at."""
    found = {command for _, command in COMMANDS}
    targets = {word for command in found for word in words_of(command) if is_made(word)}
    assert targets >= {"validate", "encoders", "probe", "results/pretrain/lab/lab-base/seed0/ssast.pth"}
    assert {words_of(command)[3] for command in found if command.startswith("python -m tymbal ")} >= {
        "predict",
        "export",
    }


@each_page
def test_programs_are_python_and_find_what_they_import(page):
    """Programs that run are run in the tests of their pages."""
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            assert all(importlib.util.find_spec(name) for name in names)


# --- messages ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said() -> list[str]:
    """All that the project, the plugin and some of Snakemake may say."""
    rules = [(REPO / "Snakefile"), *(REPO / "workflow" / "rules").glob("*.smk")]
    found = [text for source in SPEAKING for text in texts(source)]
    return [*found, *(path.read_text(encoding="utf-8") for path in rules)]


QUOTED = {page: re.findall("“([^“”]+)”", " ".join(page.read_text(encoding="utf-8").split())) for page in PAGES}


@pytest.mark.parametrize("sentence", sorted({sentence for found in QUOTED.values() for sentence in found}))
def test_quoted_sentences_are_said_by_the_code(sentence, said):
    pattern = re.compile(".*".join(map(re.escape, sentence.split("…"))))
    assert any(pattern.search(text) for text in said)


def test_every_quotation_is_looked_at():
    assert len(QUOTED[REPO / "docs" / "cluster.md"]) > 15
    for page, found in QUOTED.items():
        text = page.read_text(encoding="utf-8")
        assert text.count("“") == text.count("”") == len(found), name_of(page)
