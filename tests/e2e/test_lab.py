"""A collection as it comes: `validate` names every fault and no other; with the settings corrected, all runs."""

import csv
import json

import pytest
import yaml

import lab as labs
from helpers import Checkout

NOT_OF_FILES = ("ambiguous", "no class", "wrong sign")
# Of the data sets' models the page of one: features of another tool, without sound.
PAGES = ("results/report/index.html", "results/report/specs--lab-test.html")
VALIDATE = ("validate", "--profile", "local", "--cores", "2", "--configfile", "config/lab.yaml")


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> labs.Lab:
    lab = labs.Lab(tmp_path_factory.mktemp("lab"))
    labs.make_field(lab)
    labs.make_specs(lab)
    return lab


@pytest.fixture(scope="module")
def checkout(clean_checkout, lab, tmp_path_factory) -> Checkout:
    return Checkout.copied(clean_checkout, tmp_path_factory.mktemp("lab-checkout") / "tymbal")


def configure(checkout: Checkout, lab: labs.Lab, settings: dict) -> None:
    text = yaml.safe_dump(settings | {"data_root": str(lab.folder)}, allow_unicode=True)
    (checkout.folder / "config" / "lab.yaml").write_text(text, encoding="utf-8")


def findings(checkout: Checkout) -> list[dict]:
    report = json.loads((checkout.folder / "results/validate/report.json").read_text(encoding="utf-8"))
    return [finding for finding in report["findings"] if finding["level"] != "info"]


def test_every_fault_is_named_and_none_invented(checkout, lab):
    configure(checkout, lab, labs.settings(lab))
    output = checkout.run("snakemake", *VALIDATE, ok=False)
    assert "Traceback" not in output
    told = [(found["level"], found["title"], case) for found in findings(checkout) for case in found["cases"]]
    for fault in lab.faults:
        matching = [
            entry for entry in told if entry[0] == fault.level and fault.kind in entry[1] and fault.case in entry[2]
        ]
        assert len(matching) == 1, (fault, told)
        told.remove(matching[0])
    assert not told
    page = (checkout.folder / "results/validate/report.html").read_text(encoding="utf-8")
    assert all(fault.case in page for fault in lab.faults)
    assert not list((checkout.folder / "results").glob("*/manifest.csv"))  # nothing ran


def test_with_settings_corrected_the_chain_runs_to_the_report(checkout, lab):
    configure(checkout, lab, labs.corrected(labs.settings(lab)))
    checkout.run("snakemake", *VALIDATE)
    assert {found["level"] for found in findings(checkout)} <= {"warning"}
    checkout.run("snakemake", *VALIDATE[1:], "--", *PAGES)
    results = checkout.folder / "results"
    page = (results / "report/index.html").read_text(encoding="utf-8")
    bad = [fault for fault in lab.faults if fault.level == "error" and fault.kind not in NOT_OF_FILES]
    quarantined = []
    for dataset in ("field", "specs"):
        with (results / dataset / "quarantine.csv").open(encoding="utf-8") as file:
            quarantined += [row["file"] for row in csv.DictReader(file)]
    assert len(quarantined) == len(bad)
    for fault in bad:
        assert any(fault.case in file for file in quarantined), fault
        assert fault.case in page
    assert "lab-test" in page


def test_data_that_moved_re_run_nothing(checkout, lab, tmp_path):
    """The last test's results, with the same data mounted elsewhere."""
    (tmp_path / "mounted").symlink_to(lab.folder)
    moved = labs.corrected(labs.settings(lab)) | {"data_root": str(tmp_path / "mounted")}
    (checkout.folder / "config" / "lab.yaml").write_text(yaml.safe_dump(moved, allow_unicode=True), encoding="utf-8")
    plan = checkout.plan(*PAGES, *VALIDATE[1:])
    assert set(plan) <= {"record_config"}
