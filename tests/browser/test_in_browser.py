"""The report's pages in a real browser, opened as files: nothing is fetched, all of it works, everyone can use it."""

import re
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from playwright.sync_api import Page, expect

from fake_report import NASTY

DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
PAPER = {"width": 957, "height": 1300}  # as Chromium lays out A4 before it makes it smaller
LEAST_CONTRAST = 4.5  # of text that is not large (WCAG 2.2, criterion 1.4.3)

# Ratio of the luminances of each text and of what is behind it; of text that is shown.
CONTRASTS = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const [r, g, b, a = 1] = channels(getComputedStyle(at).backgroundColor);
      if (a > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style")) continue;
    const [a, b] = [channels(getComputedStyle(element).color), behind(element)].map(luminance).sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), element.outerHTML.slice(0, 120)]);
  }
  return found;
}"""

# A column of a table, as it stands.
COLUMN = """(table, column) => [...table.tBodies[0].rows].map((row) =>
  row.cells[column]?.dataset.v ?? row.cells[column]?.textContent.trim() ?? "")"""

# Of each head that sorts: whether it is one of texts, the column, and twice what a click on it makes of both.
SORTED = f"""() => {{
  const column = {COLUMN};
  return [...document.querySelectorAll("table[data-sort] thead button")].map((button) => {{
    const head = button.parentElement, table = head.closest("table");
    const told = () => column(table, head.cellIndex);
    const click = () => {{
      button.click();
      return [head.getAttribute("aria-sort"), table.querySelectorAll("[aria-sort]").length, told()];
    }};
    return [head.classList.contains("text"), told(), click(), click()];
  }});
}}"""


# A sound's length, once it plays.
MOVING = """(sound) => new Promise((done) =>
  sound.addEventListener("timeupdate", () => sound.currentTime > 0.1 && done(sound.duration)))"""


@dataclass
class Opened:
    """A page in the browser, and what it did beside being shown."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def show(browser, project):
    """Opens a page of the report: `index`, or that of a model on a data set."""
    contexts = []

    def opened(name: str = "index", **options) -> Opened:
        context = browser.new_context(**{"viewport": DESKTOP, "offline": True, **options})
        contexts.append(context)
        seen = Opened(context.new_page())
        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("console", lambda told: seen.complaints.append(f"{told.type}: {told.text}"))
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on("dialog", lambda dialog: seen.complaints.append(f"dialog: {dialog.message}"))
        seen.page.goto(address(name))
        return seen

    def address(name: str) -> str:
        return (project.index if name == "index" else project.page(*name.split("--"))).as_uri()

    yield opened
    for context in contexts:
        context.close()


PAGES = ["index", "field--m1", "esc--ours"]
every_page = pytest.mark.parametrize("name", PAGES)


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_without_network_and_without_complaints(show, name, scheme):
    seen = show(name, color_scheme=scheme)
    seen.page.wait_for_load_state("networkidle")
    assert seen.requests[0].startswith("file://")
    assert [url for url in seen.requests[1:] if not url.startswith("data:")] == []
    assert seen.complaints == []
    expect(seen.page.locator("h1")).to_be_visible()
    broken = seen.page.evaluate("[...document.images].filter((image) => image.complete && !image.naturalWidth).length")
    assert broken == 0


@every_page
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_does_not_scroll_sideways(show, name, size):
    page = show(name, viewport=size).page
    unfold(page)
    if name == "field--m1":  # with figures as they are drawn, wider than the window
        widths = page.locator("figure img").evaluate_all("(all) => all.map((image) => image.naturalWidth)")
        assert max(widths) > 600 and len(set(widths)) > 3
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


@every_page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(show, name, scheme):
    page = show(name, color_scheme=scheme).page
    unfold(page)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 3 * 128) is (scheme == "dark")
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [told for told in contrasts if told[0] < LEAST_CONTRAST] == []


@every_page
def test_every_column_sorts_both_ways(show, name):
    heads = show(name).page.evaluate(SORTED)
    assert len(heads) > 20
    for text, before, *clicks in heads:
        assert {direction for direction, _, _ in clicks} == {"ascending", "descending"}
        for direction, n_sorted, after in clicks:
            assert n_sorted == 1
            assert sorted(after) == sorted(before)
            assert in_order(after, text, direction), (direction, after)


def in_order(told: list[str], text: bool, direction: str) -> bool:
    """Whether values rise or fall, undefined ones last; of texts, plain words only, as languages order others."""
    values = [value if text else number(value) for value in told]
    known = [value for value in values if value not in (None, "", "–")]
    if values[: len(known)] != known:
        return False
    words = all(re.fullmatch("[a-z]+", value) for value in known) if text else True
    return not words or known == sorted(known, reverse=direction == "descending")


def number(told: str) -> float | None:
    found = re.match(r"[+−-]?\d[\d,]*(\.\d+)?", told)
    return float(found[0].replace(",", "").replace("−", "-")) if found else None


def test_numbers_are_shown_from_the_largest_first_and_texts_from_a(show):
    page = show("field--m1").page
    table = page.locator("table", has=page.locator("caption", has_text="Ranking, by class"))
    table.get_by_role("button", name="AP", exact=True).click()
    assert table.locator("[aria-sort]").get_attribute("aria-sort") == "descending"
    values = [number(value) for value in table.evaluate(COLUMN, 4)]
    assert values[0] is not None and values[0] > values[1]
    assert "0 positives" in table.evaluate(COLUMN, 4)[-1]
    table.get_by_role("button", name="Class").click()
    assert table.evaluate(COLUMN, 0)[1] == "Owl"


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_tables_sort_by_keyboard(show, key):
    page = show("field--m1").page
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('th button')"):
            break
    else:
        pytest.fail("no head of a table can be reached by keyboard")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    for direction in ("ascending", "descending"):
        page.keyboard.press(key)
        assert page.evaluate("document.activeElement.parentElement.getAttribute('aria-sort')") == direction


def test_folded_parts_open_by_keyboard(show):
    page = show("field--m1").page
    first = page.locator("details").first
    first.locator("summary").focus()
    page.keyboard.press("Enter")
    assert first.evaluate("(part) => part.open")


def test_sounds_play_one_at_a_time(show):
    seen = show("field--m1")
    first, second = seen.page.locator("audio").all()[:2]
    for sound in (first, second):
        sound.focus()
        seen.page.keyboard.press("Space")  # as a user does: scripts may not start a sound
        assert sound.evaluate(MOVING) == pytest.approx(2, abs=0.2)
    assert first.evaluate("(sound) => sound.paused")
    assert not second.evaluate("(sound) => sound.paused")
    assert seen.complaints == []


def test_a_missing_recording_is_told_in_the_place_of_its_sound(show):
    page = show("esc--m2").page
    assert page.locator("audio").count() == 0
    expect(page.get_by_text("No audio: file not found").first).to_be_visible()


@every_page
def test_everyone_can_use_it(show, name):
    page = show(name).page
    unfold(page)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.title()
    levels = page.locator("h1, h2, h3, h4").evaluate_all("(all) => all.map((heading) => Number(heading.tagName[1]))")
    assert levels.count(1) == 1 and levels[0] == 1
    assert [pair for pair in pairwise(levels) if pair[1] > pair[0] + 1] == []
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("svg:not([aria-hidden='true']):not([aria-label])").count() == 0
    assert page.locator("audio:not([aria-label])").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    captions = page.locator("table").evaluate_all(
        "(all) => all.map((table) => table.caption?.textContent.trim() ?? '')"
    )
    assert all(captions)
    names = page.locator("button, a, summary").evaluate_all("(all) => all.map((element) => element.textContent.trim())")
    assert all(names)
    assert page.locator("main").count() == page.locator("header").count() == page.locator("footer").count() == 1
    ids = page.locator("[id]").evaluate_all("(all) => all.map((element) => element.id)")
    assert len(ids) == len(set(ids))


@every_page
def test_boxes_that_scroll_can_be_scrolled_by_keyboard(show, name):
    page = show(name, viewport=PHONE).page
    unfold(page)
    boxes = page.locator(".scroll").evaluate_all(
        "(all) => all.map((box) => [box.scrollWidth > box.clientWidth, box.tabIndex === 0 && !!box.ariaLabel])"
    )
    assert any(scrolls for scrolls, _ in boxes)
    assert all(scrolls == reachable for scrolls, reachable in boxes)


def test_skipping_to_the_content_is_the_first_thing_offered(show):
    page = show().page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#content"


def test_pages_lead_to_each_other(show):
    seen = show()
    seen.page.get_by_role("link", name="m1", exact=True).first.click()
    expect(seen.page.locator("h1")).to_contain_text("m1")
    seen.page.get_by_role("link", name="All models").click()
    expect(seen.page.locator("h1")).to_have_text("Tymbal report")
    assert seen.complaints == []


@every_page
def test_links_within_the_page_have_a_target(show, name):
    page = show(name).page
    assert (
        page.evaluate("""[...document.querySelectorAll("a[href^='#']")]
        .filter((link) => !document.getElementById(decodeURIComponent(link.hash.slice(1)))).map((link) => link.hash)""")
        == []
    )


@every_page
def test_without_scripts_the_page_is_complete(show, name):
    with_them, without = show(name).page, show(name, java_script_enabled=False).page
    assert without.locator("th button").count() == 0
    cells = "(all) => all.map((cell) => cell.textContent.trim())"
    for page in (with_them, without):
        assert page.locator("td").count() > 20
    assert with_them.locator("td").evaluate_all(cells) == without.locator("td").evaluate_all(cells)


@every_page
def test_prints_with_all_that_was_folded(show, name):
    page = show(name, viewport=PAPER).page
    page.emulate_media(media="print")
    shown = "(all) => all.filter((part) => part.checkVisibility()).length"
    folded = page.locator("details:not([open]) td")
    assert folded.evaluate_all(shown) == folded.count()
    assert page.locator("nav, audio").evaluate_all(shown) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_a_dark_screen_prints_on_white_paper(show):
    page = show("field--m1", color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_class_names_of_any_script_are_drawn_and_none_is_run(show):
    seen = show("field--m1")
    seen.page.wait_for_function("document.fonts.status === 'loaded'")
    assert seen.page.evaluate("document.fonts.check('16px \"Class names\"', '鳥')")
    loaded = seen.page.evaluate("[...document.fonts].filter((font) => font.status === 'loaded').length")
    assert loaded == 1
    expect(seen.page.get_by_text(NASTY).first).to_be_visible()
    assert seen.complaints == []


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
