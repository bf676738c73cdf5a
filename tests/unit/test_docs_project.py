"""Files that tell other programs and sites of the project agree with it."""

import pytest
import yaml
from snakemake.cli import get_argument_parser

import tymbal
from helpers import REPO

FORMS = sorted((REPO / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def test_the_citation_is_of_this_version():
    told = yaml.safe_load((REPO / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["version"] == tymbal.__version__
    assert f"\n## {tymbal.__version__}" in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_forms_are_what_code_hosts_read(form):
    told = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= told.keys()
    asked = [item for item in told["body"] if item["type"] != "markdown"]
    names = [item["id"] for item in asked]
    assert asked and len(set(names)) == len(names)
    assert all(item["attributes"]["label"] for item in asked)
    assert any(item.get("validations", {}).get("required") for item in asked)


def test_the_catalog_names_flags_that_work():
    told = yaml.safe_load((REPO / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    words = told["mandatory-flags"]["flags"].split()
    get_argument_parser().parse_args(words)
    assert (REPO / "profiles" / words[words.index("--profile") + 1]).is_dir()
