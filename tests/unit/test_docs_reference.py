"""The tables of the pages of reference are those of the code, and nothing is left out of them."""

import importlib.util
import re
from typing import Literal

import pandas as pd
import pytest

from docs_pages import columns_told, name_of
from fake_report import write_project
from helpers import REPO
from tymbal import layout
from tymbal.__main__ import COMMANDS
from tymbal.config.base import Settings
from tymbal.config.data import MANIFEST, MixtureSource
from tymbal.pretrain import probe_table

spec = importlib.util.spec_from_file_location("tables", REPO / "docs" / "reference" / "tables.py")
assert spec is not None and spec.loader is not None
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)


@pytest.mark.parametrize("page", tables.PAGES, ids=name_of)
def test_tables_are_as_they_would_be_written_now(page):
    text = page.read_text(encoding="utf-8")
    assert tables.filled(text) == text, "run `make docs`"


def test_every_key_is_in_the_tables():
    told = set(re.findall(r"^\| `([^`]+)` \|", (REPO / "config" / "README.md").read_text(encoding="utf-8"), flags=re.M))
    schema = tables.config.Config.model_json_schema()
    keys = set(schema["properties"]).union(*(block.get("properties", {}) for block in schema["$defs"].values()))
    kinds = {"format", "scheme", "arch", "evaluation", "label_next"}
    assert len(keys) > 150
    assert keys - kinds <= {part for key in told for part in re.split(r"\[\]\.|\.", key)}


class Told(Settings):
    """A block with a text under one key, which another key lacks."""

    first: int = 1
    """what it does"""
    second: int = 2


class Whole(Told):
    """A block of which all keys have a text, one of them from the class it is made from."""

    second: int = 2
    """of the second
    as well"""


def test_a_key_without_a_text_is_told():
    with pytest.raises(LookupError, match=r"Told\.second has no text"):
        list(tables.keys_of(Told, set()))
    assert list(tables.keys_of(Whole, set())) == [
        ("first", "what it does", "whole number", "`1`"),
        ("second", "of the second as well", "whole number", "`2`"),
    ]


class One(Settings):
    """One of two kinds."""

    kind: Literal["one"]


class Other(Settings):
    """The other kind."""

    kind: Literal["other"]


class Choice(Settings):
    """A block that holds one of two."""

    which: One | Other
    """one of two"""


def test_a_choice_without_a_table_is_told():
    with pytest.raises(LookupError, match=r"Choice\.which is a choice of blocks; Other needs a table"):
        list(tables.keys_of(Choice, {One}))
    assert list(tables.keys_of(Choice, {One, Other})) == [("which", "one of two", "block", "required")]


def test_every_command_has_a_table():
    text = (REPO / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^<!-- commands: (\w+) -->$", text, flags=re.M)) == set(COMMANDS)


# --- outputs ----------------------------------------------------------------------------------------------

OUTPUTS = (REPO / "results" / "README.md").read_text(encoding="utf-8")


def test_files_that_rules_make_are_all_told():
    rules = "".join(path.read_text(encoding="utf-8") for path in (REPO / "workflow" / "rules").glob("*.smk"))
    made = set(re.findall(r'"(?:results/|\{RUN\}|\{PRETRAIN_RUN\}|\{SEASON\})[^"\n]*?([\w.-]+\.\w+)"', rules))
    assert made >= {"manifest.csv", "model.safetensors", "encoder.json", "detections.csv", "index.html"}
    assert not sorted(name for name in made if f"{name}`" not in OUTPUTS)


def test_columns_of_summaries_are_all_told(tmp_path):
    told = columns_told()
    write_project(tmp_path)
    tables = [*(tmp_path / "summary").glob("*.csv"), *tmp_path.glob("*/results/pretrain/*/*/*/history.csv")]
    assert len(tables) > 25
    for table in tables:
        columns = list(pd.read_csv(table, nrows=0).columns)
        assert set(columns) <= told, table.name
        row = re.search(rf"^\| `{table.name}` \| (.*) \|$", OUTPUTS.split("## results/summary/")[1], flags=re.M)
        if row and not row[1].startswith("all "):  # of tables that are told elsewhere
            shown = [name for part in re.findall("`([^`]+)`", row[1]) for name in part.split(", ")]
            spelt = [name for name in columns if not name.startswith(("excluded_", "val_"))]
            assert [name for name in shown if name in columns] == spelt, table.name


def test_columns_of_data_sets_and_features_are_all_told():
    told = columns_told()
    assert {*MANIFEST, "recording", "site", "segment", *MixtureSource.columns, *layout.COLUMNS} <= told
    assert {*probe_table.COLUMNS} <= told
