"""References of what an experiment used: short ones for its text, and all of them as BibTeX."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

CITATION = Path(__file__).resolve().parents[4] / "CITATION.cff"
OURSELVES = "Tymbal"

_KINDS = {"conference-paper": "inproceedings", "article": "article", "book": "book", "software": "misc"}
_FIELDS = {
    "collection-title": "booktitle",
    "journal": "journal",
    "publisher": "publisher",
    "note": "note",
    "year": "year",
    "volume": "volume",
    "issue": "number",
    "pages": "pages",
    "doi": "doi",
    "url": "url",
}
_SMALL = {"a", "an", "on", "the"}  # words that a key does not take from a title


class Citations:
    """The references of one text, in the order in which it first names them."""

    def __init__(self) -> None:
        self._known = _known()
        self._cited: dict[str, Mapping[str, Any]] = {}

    def cite(self, *names: str) -> str:
        """Name works in the text.

        Args:
            names: abbreviations in CITATION.cff, or `Tymbal` for the software itself.

        Returns:
            Such as `Gong et al. 2022; Piczak 2015`.
        """
        self._cited |= {name: self._known[name] for name in names}
        return "; ".join(_short(self._known[name]) for name in names)

    def bibtex(self) -> str:
        """An entry for each work that was cited."""
        return "\n\n".join(_entry(reference) for reference in self._cited.values())


@cache
def _known() -> Mapping[str, Mapping[str, Any]]:
    facts = yaml.safe_load(CITATION.read_text(encoding="utf-8"))
    references = facts.pop("references")
    released = {"year": str(facts["date-released"])[:4]} if "date-released" in facts else {}
    address = {"url": facts["repository-code"]} if "repository-code" in facts else {}
    ourselves = {**facts, **released, **address, "abbreviation": OURSELVES, "note": f"Version {facts['version']}"}
    return {each["abbreviation"]: each for each in [*references, ourselves]}


def _short(reference: Mapping[str, Any]) -> str:
    names = [author.get("family-names") or author["name"] for author in reference["authors"]]
    authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{authors} {reference.get('year', '')}".strip()


def _key(reference: Mapping[str, Any]) -> str:
    """Author, year and a word of the title, such as `kingma2015adam`: abbreviations would meet others' keys."""
    author = reference["authors"][0].get("family-names", "")
    word = next(word for word in re.findall(r"\w+", reference["title"].lower()) if word not in _SMALL)
    plain = unicodedata.normalize("NFKD", f"{author}{reference.get('year', '')}{word}".lower())
    return re.sub(r"[^a-z0-9]", "", plain)


def _entry(reference: Mapping[str, Any]) -> str:
    authors = [
        # A group's name in braces, or BibTeX takes its last word for a family name.
        f"{author['family-names']}, {author['given-names']}" if "family-names" in author else f"{{{author['name']}}}"
        for author in reference["authors"]
    ]
    facts = {**reference, "publisher": reference.get("publisher", {}).get("name")}
    facts["pages"] = "--".join(str(reference[key]) for key in ("start", "end") if key in reference) or None
    fields = {"title": f"{{{reference['title']}}}", "author": " and ".join(authors)}  # braces keep capitals
    fields |= {name: facts[key] for key, name in _FIELDS.items() if facts.get(key) is not None}
    body = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{_KINDS[reference['type']]}{{{_key(reference)},\n{body}\n}}"
