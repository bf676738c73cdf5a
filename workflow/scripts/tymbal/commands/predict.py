"""Predict a few audio files with a trained model. For seasons there is the target `predict` of the workflow."""

import argparse
from pathlib import Path

from tymbal.errors import InputError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="audio files of any length")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of the run that trained it")
    parser.add_argument("--out", type=Path, default=Path("predictions"), metavar="DIR", help="default: predictions/")


def run(options: argparse.Namespace) -> None:
    """Write `scores.csv`, `files.csv`, `detections.csv` and folders with tables for Raven and Audacity.

    Raises:
        InputError: the folder to write holds something, files of the model are missing, or no file can be read.
    """
    import logging
    import os
    import tempfile

    from tymbal.config.predict import Predict
    from tymbal.devices import choose_device
    from tymbal.predict import collect, detections, recordings
    from tymbal.predict.kept import read_files
    from tymbal.predict.model import Predictor
    from tymbal.predict.shard import predict_part
    from tymbal.runs import CALIBRATION, CARD, THRESHOLDS, WEIGHTS
    from tymbal.seasons import require

    out, model, here, settings = options.out, options.model, Path.cwd(), Predict(job_hours=float("inf"))
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} holds something already. Name another folder with --out, or delete it.")
    require([model / name for name in (WEIGHTS, CARD, THRESHOLDS, CALIBRATION)])
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        listed = recordings.Outputs(work / "recordings.csv", work / "shards")
        files = list(dict.fromkeys(recordings.from_root(here, options.files)))
        recordings.list_recordings(files, here, settings, listed, threads=os.cpu_count() or 1)
        predictor = Predictor.load(model, choose_device(0))
        [shard] = listed.shards.iterdir()
        predict_part(recordings.read_shard(shard), here, predictor, settings, work / shard.stem)
        scores, told = work / "scores.parquet", out / "files.csv"
        collect.collect(
            [work / shard.stem],
            listed.recordings,
            collect.Outputs(scores, work / "embeddings.npy", work / "index.csv", told, out / "scores.csv"),
        )
        detections.find_detections(
            scores,
            told,
            model / THRESHOLDS,
            model / CALIBRATION,
            model / CARD,
            settings.channel,
            detections.Outputs(out / "detections.csv", out / "raven", out / "audacity", work / "activity.csv"),
        )
    table = read_files(told)
    for row in table[table["problem"] != ""].itertuples():
        logging.warning("%s: %s", row.file, row.problem)
    logging.info("%d windows of %d files: %s", table["n_windows"].sum(), (table["n_windows"] > 0).sum(), out)
