"""One screen of text: what is told first, and that it never grows beyond the screen."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tymbal.errors import InputError
from tymbal.validate.findings import COLUMNS, LEVELS, LINES, Finding, Report, wrap

TEXT = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=300)


def columns(line: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in line)


def error(title: str, **rest) -> Finding:
    return Finding("error", "data set a", title, **rest)


FINDING = st.builds(Finding, st.sampled_from(LEVELS), TEXT, TEXT, st.lists(TEXT, max_size=5).map(tuple), TEXT)


@given(st.lists(FINDING, max_size=40))
@settings(deadline=None, max_examples=100)
def test_the_summary_is_one_screen(findings):
    lines = Report(tuple(findings)).summary("results/validate/report.html").split("\n")
    assert len(lines) <= LINES
    assert all(columns(line) <= COLUMNS for line in lines)


def test_errors_come_before_warnings_before_facts():
    report = Report((Finding("info", "a", "fact"), Finding("warning", "a", "doubt"), error("wrong")))
    first, *rest = report.summary("page.html").split("\n")
    assert first == "Validation: 1 error, 1 warning"
    assert [line.split()[0] for line in rest[:2]] == ["ERROR", "WARNING"]
    assert rest[2].strip() == "a: fact"
    assert "page.html" in rest[3]


def test_what_there_is_room_for_is_told_whole():
    report = Report((error("missing files", cases=("a.wav", "b.wav", "c.wav", "d.wav"), remedy="copy them"),))
    assert "missing files (a.wav; b.wav; c.wav; ...) -> copy them" in report.summary("page")


def test_findings_beyond_the_screen_are_counted():
    report = Report(tuple(error(f"problem {i}") for i in range(100)))
    lines = report.summary("page").split("\n")
    assert lines[0] == "Validation: 100 errors, 0 warnings"
    told = sum("ERROR" in line for line in lines)
    assert f"and {100 - told} more" in lines[-2]


def test_only_errors_must_be_fixed():
    assert Report((Finding("warning", "a", "doubt"), Finding("info", "a", "fact"))).ok
    assert not Report((error("wrong"),)).ok


def test_a_listing_keeps_all_its_cases():
    listing = InputError.listing("tags.csv: cells", [f"row {i}" for i in range(200)], "correct them")
    finding = Finding.of(listing, "data set a")
    assert (finding.level, finding.title, len(finding.cases)) == ("error", "tags.csv: cells", 200)
    assert finding.remedy == "correct them"
    assert Finding.of(InputError("no such file"), "a").title == "no such file"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("two words", ["two", "words"]),
        ("蛙蛙蛙蛙", ["蛙蛙蛙", "蛙"]),
        ("one two three four", ["one two", "three…"]),
        ("", []),
    ],
)
def test_lines_are_broken_between_words_and_cut(text, lines):
    assert wrap(text, 7, 2) == lines
