"""How figures look: one style, colours that colour-blind readers can tell apart, fonts that hold the class names."""

import base64
import importlib.util
import io
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from fontTools import subset
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap

log = logging.getLogger(__name__)

INK = "#1d2733"  # text and axes
MUTED = "#64707d"  # secondary text
FAINT = "#dfe4e9"  # grid
BLUE = "#0072b2"  # the two colours of data, from Okabe and Ito's palette
ORANGE = "#d55e00"
SERIES = (BLUE, ORANGE, "#009e73", "#cc79a7", "#56b4e9", MUTED)  # of lines of several models, likewise
HEAT = LinearSegmentedColormap.from_list("heat", ["#ffffff", "#cfe3f1", "#6aaed6", "#0072b2", "#053a5c"])
_FROM_ORANGE_TO_BLUE = [ORANGE, "#f3c6a5", "#f4f5f6", "#a6cde6", BLUE]
DIVERGING = LinearSegmentedColormap.from_list("diverging", _FROM_ORANGE_TO_BLUE).with_extremes(bad="white")
# Few levels: the pictures in a page stay small. NaN is what is hidden.
SPECTROGRAM = mpl.colormaps["magma"].resampled(64).with_extremes(bad=FAINT)

WIDTH = 9.6  # inches; the page shows figures at their own size or smaller

_STYLE: dict[Any, Any] = {
    "figure.constrained_layout.use": True,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": MUTED,
    "axes.labelsize": 9,
    "axes.linewidth": 0.8,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": False,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#9aa5b1",
    "ytick.color": "#9aa5b1",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "text.parse_math": False,  # a class may be called A$B$
    # Text as paths looks the same everywhere; a fixed salt makes equal figures equal files. In a PDF text stays text,
    # as Type 3: the shipped font has outlines that PDF readers do not take as Type 42.
    "pdf.fonttype": 3,
    "svg.fonttype": "path",
    "svg.hashsalt": "tymbal",
}

_LATIN = range(0x250)  # what every browser has a font for
_LAST_RESORT = "Last Resort High-Efficiency"  # Matplotlib's own; has a box for every character there is


@contextmanager
def style(families: Sequence[str]) -> Iterator[None]:
    """Matplotlib's settings while a figure is drawn and saved; families as `fonts_for` gives them."""
    with mpl.rc_context({**_STYLE, "font.family": list(families)}):
        yield


def fonts_for(texts: Iterable[str]) -> list[str]:
    """Font families that together have the characters of some texts, as far as fonts can be found.

    The shipped font comes first: it has Latin, Greek, Cyrillic, Chinese, Japanese and Korean, so most figures look the
    same on every machine. For other scripts, one installed font is added that has all characters still missing.
    """
    families = [*_shipped(), "DejaVu Sans"]
    missing = _characters(texts).difference(*map(_repertoire, families))
    if missing:
        installed = sorted({font.name for font in font_manager.fontManager.ttflist} - {_LAST_RESORT})
        families += [name for name in installed if missing <= _repertoire(name)][:1]
    return families


def printable(classes: Sequence[str], families: Sequence[str]) -> dict[str, str]:
    """What to print for each class: its name, or `class 3` (counted from 0) if no font has its characters."""
    known: set[str] = set().union(*map(_repertoire, families))
    labels = {}
    for index, name in enumerate(classes):
        lacking = _characters([name]) - known
        labels[name] = f"class {index}" if lacking else name
        if lacking:
            log.warning("no font has %s of class %r: printed as %r", sorted(lacking), name, labels[name])
    return labels


def web_font(texts: Iterable[str]) -> str | None:
    """The characters beyond Latin of some texts as a font for a page, a few kilobytes; None if there are none.

    A reader's computer may lack the font of a class name, and a page that stands alone cannot fetch one.
    """
    beyond = {character for character in _characters(texts) if ord(character) not in _LATIN}
    family = next((name for name in fonts_for(beyond) if beyond <= _repertoire(name)), None)
    if not beyond or family is None:
        return None
    options = subset.Options(flavor="woff", layout_features=[])
    font = subset.load_font(_file(family), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=map(ord, beyond))
    subsetter.subset(font)
    data = io.BytesIO()
    subset.save_font(font, data, options)
    return "data:font/woff;base64," + base64.b64encode(data.getvalue()).decode()


def _characters(texts: Iterable[str]) -> set[str]:
    return {character for text in texts for character in text if not character.isspace()}


@cache
def _shipped() -> tuple[str, ...]:
    """The family of the font that comes with the package mplfonts, if that is installed.

    The file is used without importing the package, which would register all its fonts and read its own settings.
    """
    package = importlib.util.find_spec("mplfonts")
    if package is None or not package.submodule_search_locations:
        return ()
    path = Path(package.submodule_search_locations[0]) / "fonts" / "NotoSansCJKsc-Regular.otf"
    if not path.is_file():
        return ()
    font_manager.fontManager.addfont(path)
    return (font_manager.get_font(path).family_name,)


@cache
def _repertoire(family: str) -> frozenset[str]:
    """All characters a family has."""
    return frozenset(map(chr, font_manager.get_font(_file(family)).get_charmap()))


def _file(family: str) -> str:
    properties = font_manager.FontProperties(family=[family])  # in a list it is a name, bare it is a pattern
    return font_manager.findfont(properties)
