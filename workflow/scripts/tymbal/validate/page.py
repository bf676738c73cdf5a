"""The validation's page: errors, then warnings, then facts, in one self-contained file."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import tymbal
from tymbal.files import write_json, write_text
from tymbal.report.style import web_font
from tymbal.validate.findings import Report

CASES_SHOWN = 50  # of one finding; report.json has all
HERE = Path(__file__).parent
TEMPLATES = (HERE / "templates", HERE.parent / "report" / "templates")


def write_report(report: Report, folder: Path) -> Path:
    """Write `report.json` and `report.html`.

    Args:
        report: all findings.
        folder: where to.

    Returns:
        The page.
    """
    write_json(folder / "report.json", report.to_json())
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = folder / "report.html"
    told = [
        text for finding in report.findings for text in (finding.title, *finding.cases[:CASES_SHOWN], finding.remedy)
    ]
    text = environment.get_template("validation.html.j2").render(
        report=report,
        areas=dict.fromkeys(finding.area for finding in report.of("info")),
        shown=CASES_SHOWN,
        version=tymbal.__version__,
        font=web_font(told),
    )
    write_text(page, text)
    return page
