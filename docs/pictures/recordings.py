"""What the scripts of season and tutorial share: synthesised clips put together again as the recordings that a recorder
would have written, pictures from the page of a season, and the command line.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from tymbal import synth
from tymbal.config.data import SynthSource
from tymbal.files import write_text
from tymbal.report.season_page import Season, draw_season


def by_recording(settings: SynthSource) -> dict[str, list[synth.Clip]]:
    """Recording, named by site, date and time -> its clips in their order."""
    found: dict[str, list[synth.Clip]] = {}
    for clip in synth.plan(settings):
        found.setdefault(clip.recording, []).append(clip)
    return found


def sound(clips: list[synth.Clip], settings: SynthSource) -> synth.Signal:
    """The clips end to end, [samples]."""
    return np.concatenate([synth.waveform(clip, settings) for clip in clips])


def draw_from_page(season: Path, out: Path, names: Mapping[str, str]) -> None:
    """Write figures of a season's page to `out`; `names` has figure -> file, without `.svg`."""
    drawn = {figure.key: figure.svg for figure in draw_season(Season.read(season))}
    for key, name in names.items():
        write_text(out / f"{name}.svg", drawn[key].decode())


def command(description: str | None, record: Callable[[Path], None], draw: Callable[[Path, Path], None]) -> None:
    """`record FOLDER` or `draw RESULTS`, as the command line says; pictures come beside the scripts."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("what", choices=["record", "draw"])
    parser.add_argument("folder", type=Path, help="where recordings go, or where the results are")
    options = parser.parse_args()
    if options.what == "record":
        record(options.folder)
    else:
        draw(options.folder, Path(__file__).parent)
