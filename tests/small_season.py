"""A season as prediction leaves it, without a model: recordings of noise, and scores and embeddings drawn at random."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from tymbal.evaluate.calibration import Calibration, write_calibration
from tymbal.evaluate.thresholds import Threshold, write_thresholds
from tymbal.predict.kept import About, ScoresWriter
from tymbal.tables import write_csv

CLASSES = ("Owl", "蟬", 'Rain, "heavy"')
LENGTH_S, HOP_S, SECONDS = 1.0, 0.5, 6.25
FILES = {  # file -> rate, site, when
    "A/A_20240105_235957.wav": (8000, "A", "2024-01-05T23:59:57"),
    "B/B_20240106_053000_2.flac": (22050, "B", "2024-01-06T05:30:00"),
    "鳥 1.WAV": (11025, "", ""),
    "C/20240107.wav": (8000, "C", "2024-01-07"),
}


@dataclass(frozen=True)
class SmallSeason:
    """Folder of the results, and of the recordings."""

    folder: Path
    root: Path


def small_season(folder: Path, files=FILES, seed: int = 0, loss="bce") -> SmallSeason:
    """Write the season: windows of a second every half."""
    rng = np.random.default_rng(seed)
    root, made = folder / "recorded", folder / "season"
    made.mkdir(parents=True, exist_ok=True)
    starts = np.append(np.arange(0, SECONDS - LENGTH_S, HOP_S), SECONDS - LENGTH_S)
    rows, index = [], [pd.DataFrame({"file": [], "start_s": [], "end_s": []})]
    with ScoresWriter(made / "scores.parquet", About(CLASSES, "field-test-fold1-seed0", LENGTH_S, HOP_S)) as writer:
        for i, (file, (rate, site, at)) in enumerate(files.items()):
            if not (root / file).exists():
                (root / file).parent.mkdir(parents=True, exist_ok=True)
                noise = np.random.default_rng(i).integers(-9000, 9000, (round(SECONDS * rate), 1), np.int16)
                soundfile.write(root / file, noise, rate)
            writer.add(file, starts, starts + LENGTH_S, rng.beta(0.3, 0.6, (len(starts), 3)).astype(np.float32))
            index.append(pd.DataFrame({"file": file, "start_s": starts, "end_s": starts + LENGTH_S}))
            rows.append((file, site, at, SECONDS, rate, 1, "", len(starts), SECONDS, -7.5, 2.1))
    columns = [
        "file",
        "site",
        "recorded_at",
        "duration_s",
        "sample_rate",
        "channels",
        "problem",
        "n_windows",
        "seconds",
    ]
    rows.append(("lost.wav", "", "", 0.0, 0, 0, "not readable as audio", 0, 0.0, np.nan, np.nan))
    write_csv(pd.DataFrame(rows, columns=[*columns, "log_mel_mean", "log_mel_std"]), made / "files.csv")
    windows = pd.concat(index, ignore_index=True)
    windows.insert(0, "row", np.arange(len(windows)))
    write_csv(windows, made / "embeddings_index.csv")
    np.save(made / "embeddings.npy", rng.normal(size=(len(windows), 16)).astype(np.float16))
    write_thresholds(made / "thresholds.json", {name: Threshold(threshold=0.4) for name in CLASSES})
    calibration = Calibration("temperature", loss, 1.2, None, None, 50, 0.1, 0.1, 0.1, 0.1)
    write_calibration(made / "calibration.json", calibration)
    return SmallSeason(made, root)
