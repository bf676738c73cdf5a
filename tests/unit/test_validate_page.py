"""The page holds every finding, the file beside it every case."""

import json

from tymbal.validate.findings import Finding, Report
from tymbal.validate.page import CASES_SHOWN, write_report


def test_page_and_json(tmp_path):
    cases = tuple(f"clip-{i}.wav" for i in range(CASES_SHOWN + 7))
    report = Report(
        (
            Finding("info", "data set 蛙", "a fact of 蛙", ("detail",)),
            Finding("warning", "data set a", "a doubt", ("<b>&",), "look"),
            Finding("error", "data set a", "missing files", cases, "copy them"),
        )
    )
    page = write_report(report, tmp_path / "validate").read_text(encoding="utf-8")
    assert page.index("missing files") < page.index("a doubt") < page.index("a fact of 蛙")
    assert "copy them" in page
    assert "&lt;b&gt;&amp;" in page and "<b>&" not in page
    assert f"clip-{CASES_SHOWN - 1}.wav" in page and f"clip-{CASES_SHOWN}.wav" not in page
    assert "and 7 more" in page
    assert "http" not in page  # needs nothing else to be shown
    stored = json.loads((tmp_path / "validate" / "report.json").read_text(encoding="utf-8"))
    assert stored["ok"] is False
    assert stored["counts"] == {"error": 1, "warning": 1, "info": 1}
    assert len(stored["findings"][2]["cases"]) == len(cases)


def test_a_page_without_problems_says_so(tmp_path):
    page = write_report(Report((Finding("info", "a", "fact"),)), tmp_path).read_text(encoding="utf-8")
    assert "The workflow can run" in page
    assert "Errors" not in page
