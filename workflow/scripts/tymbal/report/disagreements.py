"""Labels that a model doubts most, as a page shows them: a picture, the sound, and where to find both."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.image import imsave

from tymbal.report.document import Page
from tymbal.report.examples import MAX_COLUMNS, shrink
from tymbal.report.style import SPECTROGRAM

LISTED = 100  # rows of the table; the others are counted


def disagreements(page: Page, table: pd.DataFrame, arrays: Path) -> dict[str, Any]:
    """The section of one model: the clips whose features and sound were kept, and a list of further ones.

    Args:
        page: which the pictures and sounds go into, as long as there is room.
        table: the model's rows of `disagreements.csv`.
        arrays: the clips that were kept (NPZ, see `tymbal.evaluate.disagreements`).
    """
    by_rank = {int(row["rank"]): row for row in table.to_dict("records")}
    with np.load(arrays) as file:
        kept = {name: file[name] for name in file.files}
    spectrograms = [x[:n].astype(np.float32) for x, n in zip(kept["fbank"], kept["n_frames"], strict=True)]
    floor, top = np.percentile(np.concatenate(spectrograms), [1, 99.7]) if spectrograms else (0, 1)
    clips = []
    for k, rank in enumerate(kept["rank"].tolist()):
        start, end = kept["audio_offsets"][k : k + 2]
        sound = kept["audio"][start:end].tobytes()
        image = page.address(picture(spectrograms[k], floor, top), "image/png")
        audio = page.address(sound, "audio/mpeg") if sound else None
        note = str(kept["audio_note"][k])
        if sound and audio is None:
            note = "no audio: this page is full"
        seconds = len(spectrograms[k]) * float(kept["frame_shift_s"])
        clips.append({**by_rank[rank], "picture": image, "audio": audio, "note": note, "seconds": seconds})
    return {
        "clips": clips,
        "rows": table.head(LISTED).to_dict("records"),
        "more": max(len(table) - LISTED, 0),
        "n_runs": int(table["n_runs"].max()) if len(table) else 0,
    }


def picture(frames: np.ndarray, floor: float, top: float) -> bytes:
    """A spectrogram [T, F] as PNG, a pixel a value, time to the right."""
    file = io.BytesIO()
    image = shrink(frames, MAX_COLUMNS).T
    imsave(file, image, cmap=SPECTROGRAM, vmin=floor, vmax=top, origin="lower", format="png")
    return file.getvalue()
