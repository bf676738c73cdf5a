"""A page as tests read it: what it links to, and the cells of its tables."""

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Links, ids, images, text and tables of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.images: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.captions: list[str] = []
        self.inside = ""
        self.words: list[str] = []
        self.feed(self.source)
        self.text = " ".join(" ".join(self.words).split())

    def table(self, caption: str) -> list[list[str]]:
        """The rows of the first table with this caption, the head first."""
        return self.tables[self.captions.index(caption)]

    def run_together(self) -> list[str]:
        """Places in paragraphs where a sentence begins right at the end of the one before."""
        paragraphs = [re.sub("<[^>]*>", "", text) for text in re.findall(r"<p[ >].*?</p>", self.source, re.S)]
        return [found for text in paragraphs for found in re.findall(r"\w*[a-z\d)]\.[A-Z]\w*", text)]

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "srcset", "data", "action"):
                self.addresses.append(value)
            if name == "id":
                self.ids.append(value)
            if name == "alt":
                self.images.append(value)
        match tag:
            case "table":
                self.tables.append([])
                self.captions.append("")
            case "tr":
                self.tables[-1].append([])
            case "td" | "th":
                self.tables[-1][-1].append("")
        if tag in ("td", "th", "caption", "style", "script"):
            self.inside = tag

    def handle_endtag(self, tag):
        if tag == self.inside:
            self.inside = ""

    def handle_data(self, data):
        if self.inside in ("style", "script"):
            return
        self.words.append(data)
        if self.inside == "caption":
            self.captions[-1] += data
        elif self.inside:
            row = self.tables[-1][-1]
            row[-1] = " ".join(f"{row[-1]} {data}".split())
