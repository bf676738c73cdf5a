"""One page as one file: templates filled in, figures and sounds put inside as far as the page may grow."""

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import tymbal
from tymbal.files import write_text
from tymbal.report.catalog import FIGURES, FigureKind
from tymbal.report.numbers import FILTERS
from tymbal.report.style import web_font

MEDIA_LIMIT = 13_000_000  # bytes of figures and sounds in a page, which with its tables stays below 15 MB


@dataclass(frozen=True)
class PageFigure:
    """A figure to put into a page, and what it is about (see `tymbal.runs.PlannedFigure`)."""

    key: str
    subject: Mapping[str, str]
    path: Path


@dataclass(frozen=True)
class Shown:
    """A figure as a template shows it: `data` is its address, or None where only a link to `link` fits."""

    key: str
    kind: FigureKind
    alt: str
    data: str | None
    link: str


class Page:
    """A page that is being made. What is put inside counts in the order in which it is put.

    Args:
        out: the file to be written.
        limit: bytes of figures and sounds; what would go beyond is not put inside.
    """

    def __init__(self, out: Path, limit: int = MEDIA_LIMIT) -> None:
        self.out, self.limit, self.used = out, limit, 0

    def address(self, data: bytes, mime: str) -> str | None:
        """Bytes as a data address, None if the page has no room left for them."""
        text = f"data:{mime};base64,{base64.b64encode(data).decode()}"
        if self.used + len(text) > self.limit:
            return None
        self.used += len(text)
        return text

    def figures(self, figures: Iterable[PageFigure], subject: Mapping[str, str]) -> list[Shown]:
        """The figures about a subject. As images, since names inside one SVG recur in the next."""
        about = " on ".join(reversed([*subject.values()]))
        return [
            Shown(
                figure.key,
                FIGURES[figure.key],
                f"{FIGURES[figure.key].title}: {about}",
                self.address(figure.path.read_bytes(), "image/svg+xml"),
                Path(os.path.relpath(figure.path, self.out.parent)).as_posix(),
            )
            for figure in figures
            if figure.subject == subject
        ]

    def write(self, template: str, texts: Iterable[str], **context: Any) -> None:
        """Fill in a template and write the page; equal inputs give equal bytes.

        Args:
            template: its file.
            texts: users' own words on the page, for which it brings the font.
            context: what the template names.
        """
        environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= FILTERS
        environment.globals |= {"version": tymbal.__version__, "font": web_font(texts)}
        write_text(self.out, environment.get_template(template).render(context))
