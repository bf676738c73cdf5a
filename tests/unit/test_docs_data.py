"""The examples of docs/data.md are valid, and their files are read as the text says."""

import copy
import re
from pathlib import Path

import pytest
import yaml

from helpers import REPO
from tymbal.config import load
from tymbal.ingest.match import match

TEXT = (REPO / "docs" / "data.md").read_text(encoding="utf-8")
EXAMPLES = {
    title: body
    for section in TEXT.split("## Formats")[1].split("\n## ")[0].split("\n### ")[1:]
    for title, body in [section.split("\n", 1)]
}
DEFAULT = yaml.safe_load((REPO / "config" / "config.yaml").read_text(encoding="utf-8"))


def block(body: str, language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", body, flags=re.S)[1]


def written(body: str, folder: Path) -> None:
    """The files that the example shows, each after a line with its name."""
    for name, text in re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)```", body, flags=re.M | re.S):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


@pytest.mark.parametrize("title", EXAMPLES)
def test_example(title, tmp_path):
    body = EXAMPLES[title]
    written(body, tmp_path)
    raw = copy.deepcopy(DEFAULT) | {"data_root": str(tmp_path)}
    raw["datasets"]["mine"] = yaml.safe_load(block(body, "yaml"))
    config = load(raw)
    dataset = config.datasets["mine"]
    files = sorted(block(body, "files").split("\n")[:-1])
    inside = [file.removeprefix(f"{dataset.source.audio}/") for file in files]
    matched = match(dataset, "mine", config.folders, config.path_map, inside)
    assert not matched.problems and not matched.missing
    assert sorted(matched.records) == sorted(inside)


def test_every_format_has_an_example():
    shown = {yaml.safe_load(block(body, "yaml"))["source"]["format"] for body in EXAMPLES.values()}
    schema = load(DEFAULT).model_json_schema()["$defs"]
    formats = {block["properties"]["format"]["const"] for block in schema.values() if "format" in block["properties"]}
    assert shown == formats - {"synth", "mixtures", "published"}  # which are made here, or have pages of their own
