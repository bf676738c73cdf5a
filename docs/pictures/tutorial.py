"""The recordings of docs/tutorial.md, and its pictures: what the tool makes of them.

`make tutorial` writes into resources/mine/ what a lab would bring: recordings of half a minute from six recorders, a
table of what was heard when in them, and a night that nobody has listened to. When the commands of the page have been
given, `make tutorial-pictures` takes its pictures from the results.
"""

import shutil
import sys
from pathlib import Path

import pandas as pd
import soundfile
from recordings import by_recording, command, draw_from_page, sound

from tymbal import synth
from tymbal.config.data import SynthSource
from tymbal.files import atomic
from tymbal.progress import track
from tymbal.tables import write_csv

SETTINGS = SynthSource(
    format="synth", sites=6, recordings=120, clips_per_recording=5, clip_s=6.0, sample_rate=16000, seed=5
)
LABELLED = 96  # recordings; the others are those of the night
NIGHT = ("20240401_200000", "20240401_230000", "20240402_020000", "20240402_050000")  # at each site
MAIN, BACKGROUND = 1.0, 0.6
FIGURES = {"mine/class-shares": "tutorial-parts", "mine/ssast-tiny/per-class-ap": "tutorial-classes"}  # -> file
OF_NIGHT = {"strip": "tutorial-strip"}


def record(folder: Path) -> None:
    """Write `audio/`, `labels.csv` and `night/`; a folder that is there may be somebody's work, and stays."""
    if folder.exists():
        sys.exit(f"{folder} is there already. To have the tutorial's recordings in it, move it away first.")
    recordings = list(by_recording(SETTINGS).items())
    with atomic(folder) as partial:
        for name in ("audio", "night"):
            (partial / name).mkdir(parents=True)
        for i, (recording, clips) in enumerate(track(recordings, "synthesise", "recordings")):
            site, night = clips[0].site, (i - LABELLED) // SETTINGS.sites
            name = f"audio/{recording}.flac" if i < LABELLED else f"night/{site}_{NIGHT[night]}.flac"
            soundfile.write(partial / name, sound(clips, SETTINGS), SETTINGS.sample_rate, subtype="PCM_16")
        write_csv(labels(dict(recordings[:LABELLED])), partial / "labels.csv")


def labels(recordings: dict[str, list[synth.Clip]]) -> pd.DataFrame:
    """What is heard when: a row a sound and stretch; nothing is said of a stretch in which none of the classes is."""
    rows = [
        (f"{recording}.flac", tag, BACKGROUND if i else MAIN, k * SETTINGS.clip_s, (k + 1) * SETTINGS.clip_s)
        for recording, clips in recordings.items()
        for k, clip in enumerate(clips)
        if clip.tags != synth.SILENCE
        for i, tag in enumerate(clip.tags)
    ]
    return pd.DataFrame(rows, columns=["file", "label", "weight", "start_s", "end_s"])


def draw(results: Path, out: Path) -> None:
    """Take the pictures from the report's figures and from the page of the night."""
    for figure, name in FIGURES.items():
        shutil.copyfile(results / "figures" / f"{figure}.svg", out / f"{name}.svg")
    draw_from_page(results / "predictions" / "night" / "mine-ssast-tiny-fold1-seed0", out, OF_NIGHT)


if __name__ == "__main__":
    command(__doc__, record, draw)
