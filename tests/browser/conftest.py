"""The machine's own Chromium, driven by Playwright; without one these tests are skipped."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from fake_report import Project, write_project

DRAWN = (
    "per-class-ap",
    "slices",
    "thresholds",
    "reliability",
    "confusion",
    "dependence",
    "class-shares",
    "label-share",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A headless browser; ended with the module, as its event loop would be in the way of others."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser on this machine: none of {', '.join(NAMES)} is on the path")
    arguments = ["--mute-audio", *(["--no-sandbox"] if os.geteuid() == 0 else [])]  # root has no sandbox
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture(scope="module")
def project(browser, tmp_path_factory) -> Project:
    """Made-up results with some of their pages, and wide, high and small figures in them."""
    made = write_project(tmp_path_factory.mktemp("pages"), drawn=DRAWN)
    made.write_index()
    for dataset, model in (("field", "m1"), ("esc", "ours"), ("esc", "m2")):
        made.write_page(dataset, model)
    return made
