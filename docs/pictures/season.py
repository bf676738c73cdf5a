"""The pictures of docs/predict.md: synthesised recordings of four sites, and what the demo's model makes of them.

`make pictures` runs both commands, with a prediction between them. The fourth site's microphone is wet, so that there
is one site that does not look like the training data.
"""

from datetime import datetime
from pathlib import Path

import numpy as np
import soundfile
from recordings import by_recording, command, draw_from_page, sound
from scipy.signal import butter, sosfilt

from tymbal import synth
from tymbal.config.data import SynthSource
from tymbal.files import atomic
from tymbal.progress import track

SETTINGS = SynthSource(format="synth", sites=4, recordings=120, clips_per_recording=10, clip_s=6.0, seed=2024)
AT_NIGHT = {"Owl", "Frog", "Insect", "Mammal"}
WET_SITE, WET_HZ = "SITE04", 900
PICTURES = {"strip": "strip", "hours": "hours", "sites": "sites", "shares": "shares"}  # figure of the page -> file


def record(folder: Path) -> None:
    """Write the recordings, a minute each, named by site, date and time."""
    dull = butter(4, WET_HZ, output="sos", fs=SETTINGS.sample_rate)
    with atomic(folder) as partial:
        partial.mkdir()
        for clips in track(list(by_recording(SETTINGS).values()), "synthesise", "recordings"):
            heard = sound(clips, SETTINGS)
            if clips[0].site == WET_SITE:
                heard = sosfilt(dull, heard)
            soundfile.write(partial / f"{_name(clips)}.flac", heard, SETTINGS.sample_rate, subtype="PCM_16")


def draw(season: Path, out: Path) -> None:
    """Draw the pictures as the season's page has them."""
    draw_from_page(season, out, PICTURES)


def _name(clips: list[synth.Clip]) -> str:
    """Site, date and time; where most is heard that calls at night, a time between 19:00 and 05:00."""
    site, date, time = clips[0].recording.split("_")
    share = np.mean([tag in AT_NIGHT for clip in clips for tag in clip.tags])
    begins = datetime.strptime(time, "%H%M%S")
    hour = (19 + begins.hour % 10) % 24 if share > 0.4 else 5 + begins.hour % 14
    return f"{site}_{date}_{begins.replace(hour=hour):%H%M%S}"


if __name__ == "__main__":
    command(__doc__, record, draw)
