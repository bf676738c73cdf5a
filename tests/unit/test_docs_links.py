"""Links of the pages for readers lead to files that are there, and to headings in them."""

import re

import pytest

from helpers import REPO

PAGES = dict.fromkeys([REPO / "README.md", REPO / "containers" / "README.md", *(REPO / "docs").glob("*.md")], 1)
PAGES[REPO / "docs" / "evaluation.md"] = 16  # links that must at least be found


@pytest.mark.parametrize("page", sorted(PAGES), ids=lambda page: str(page.relative_to(REPO)))
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\(([^)\s]*)\)", page.read_text(encoding="utf-8"))
    assert len(links) >= PAGES[page]
    for link in links:
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), flags=re.M)
            anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors, link
