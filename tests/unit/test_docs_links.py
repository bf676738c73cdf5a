"""Links of the pages lead to files that are there and to headings in them, on a code host and on the site."""

import re
import subprocess
import sys

import pytest

from docs_pages import PAGES, name_of
from helpers import REPO

FEWEST = {REPO / "docs" / "evaluation.md": 16}  # links that must at least be found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\(([^)\s]*)\)", page.read_text(encoding="utf-8"))
    assert len(links) >= FEWEST.get(page, 0)
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.M)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, link


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does: what is wrong with links or the list of pages stops it."""
    folder = tmp_path_factory.mktemp("site")
    command = ["-m", "mkdocs", "build", "--strict", "-f", "docs/mkdocs/mkdocs.yml", "-d", str(folder)]
    built = subprocess.run([sys.executable, *command], cwd=REPO, text=True, capture_output=True)
    assert built.returncode == 0, built.stderr
    return folder


def test_every_page_is_on_the_site(site):
    for page in PAGES:
        assert (site / name_of(page).removeprefix("docs/").replace(".md", ".html")).exists(), name_of(page)


def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]* (?:src|href)="(.*?)"', page.read_text(encoding="utf-8"))
        assert loaded
        assert not [address for address in loaded if address.startswith(("http", "//"))], page.name


def test_files_that_pages_link_to_are_on_the_site_as_they_are(site):
    name = "workflow/scripts/tymbal/evaluate/metrics.py"
    assert f'href="{name}"' in (site / "evaluation.html").read_text(encoding="utf-8")
    assert (site / name).read_bytes() == (REPO / name).read_bytes()
