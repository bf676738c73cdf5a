"""A trained model put to work on a season of recordings, as a user types it: killed, resumed, and gone on with."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from helpers import Checkout
from tymbal.predict.kept import Scores, read_embeddings, read_files

TINY = ("--profile", "local", "--cores", "2", "--configfile", "config/test.yaml")
RUN = "results/tiny/ssast-test/fold1/seed0"
SEASON = Path("results/predictions/2024-春/tiny-ssast-test-fold1-seed0")
ASKED = ("--config", "recordings=野外\u3000一/2024 春.txt", f"model={RUN}")
# Clips are predicted as wholes, so that the scores can be held against those of the validation part.
PREDICT = "predict={length_s: 1.0, job_hours: 0.006, label_next: {clips: 5}}"
PREDICTED = ("snakemake", "predict", "label_next", *TINY, *ASKED, PREDICT)
BAD = {
    "empty.wav": "is empty: 0 bytes",
    "page.wav": "not readable as audio",
    "phone.m4a": "not readable as audio",
    "gone.wav": "cannot be opened: No such file or directory",
    "cut.flac": "decoding stops at",
}


@pytest.fixture(scope="module")
def finished(with_features, tmp_path_factory) -> Checkout:
    """A checkout with a model, and a season that was predicted by it after a kill; tests only add to it."""
    checkout = Checkout.copied(with_features, tmp_path_factory.mktemp("predict") / "tymbal")
    checkout.run("snakemake", f"{RUN}/calibration.json", *TINY, "--no-hooks")
    write_season(checkout.folder)
    done = kill_after_two_parts(checkout)
    checkout.run("snakemake", "--unlock", *TINY)
    said = checkout.run(*PREDICTED)
    assert "Predicted. Page: " in said
    assert "Validating" not in said  # what is checked is for trainings
    untouched = [part for part, stamp in done.items() if part.stat().st_mtime_ns == stamp]
    assert untouched  # but for the one that was being written down
    return checkout


def write_season(folder: Path) -> None:
    """A list of the clips that the model knows, of recordings with sites and times, and of what is none."""
    season = folder / "野外\u3000一"
    season.mkdir()
    noise = np.random.default_rng(0).normal(0, 0.05, 5 * 48_000)
    sites = [f"{site}_20240105_{hour:02d}5959.wav" for site in ("SITE01", "溪\u00a0邊") for hour in (5, 19)]
    for name in sites:
        soundfile.write(season / name, noise, 48_000)
    (season / "empty.wav").touch()
    (season / "page.wav").write_text("<html>404</html>")
    (season / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    soundfile.write(season / "cut.flac", noise, 48_000)
    (season / "cut.flac").write_bytes((season / "cut.flac").read_bytes()[:100_000])
    clips = sorted((folder / "resources/tiny/audio").rglob("[!.]*.*"))
    lines = [*sites, *BAD, *map(str, clips)]
    (season / "2024 春.txt").write_text("\n".join(lines), encoding="utf-8")


def kill_after_two_parts(checkout: Checkout) -> dict[Path, int]:
    """Type the command and lose the machine; returns the parts there, with the times of their files."""
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        PREDICTED,
        cwd=checkout.folder,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    parts, deadline = checkout.folder / SEASON / "parts", time.monotonic() + 300
    while len(list(parts.glob("*/files.csv"))) < 2:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return {path: path.stat().st_mtime_ns for path in parts.glob("*/files.csv")}


def test_everything_promised_is_there(finished):
    folder = finished.folder / SEASON
    assert {path.name for path in folder.iterdir()} == {
        "season.json",
        "recordings.csv",
        "shards",
        "parts",
        "reference.npz",
        "sounds.npz",
        "top_clips.csv",
        "scores.parquet",
        "embeddings.npy",
        "embeddings_index.csv",
        "files.csv",
        "detections.csv",
        "raven",
        "audacity",
        "activity.csv",
        "drift.csv",
        "class_shares.csv",
        "index.html",
        "label_next.csv",
        "label_next",
    }
    assert not list(folder.rglob("*.partial*"))
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "phone.m4a" in page
    assert len(read_embeddings(folder / "embeddings.npy")) == Scores(folder / "scores.parquet").n_windows


def test_bad_files_are_a_line_each(finished):
    table = read_files(finished.folder / SEASON / "files.csv").set_index("file")
    told = table.loc[table["problem"] != "", "problem"].to_dict()
    assert told.keys() == BAD.keys()
    assert all(why in told[file] for file, why in BAD.items())
    assert (
        table.loc["溪\u00a0邊_20240105_055959.wav", ["site", "n_windows", "seconds"]] == ["溪\u00a0邊", 5, 5.0]
    ).all()


def test_a_clip_has_the_score_that_evaluation_gave_it(finished):
    known = pd.read_csv(finished.folder / RUN / "predictions_val.csv").set_index("clip_id")
    compared = 0
    for file, _, _, scores in Scores(finished.folder / SEASON / "scores.parquet").by_file():
        if (clip := Path(file).stem) in known.index:
            columns = [name for name in known.columns if name.startswith("score:")]
            np.testing.assert_allclose(scores[0], known.loc[clip, columns].to_numpy(float), atol=1e-5)
            compared += 1
    assert compared == len(known)


def test_a_second_run_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.run(*PREDICTED)


def test_single_files_are_predicted_by_the_same_code(finished):
    name = "野外\u3000一/SITE01_20240105_055959.wav"
    command = (sys.executable, "-m", "tymbal", "predict", name, "--model", RUN, "--out", "single")
    finished.run("env", "PYTHONPATH=workflow/scripts", *command)
    single = pd.read_csv(finished.folder / "single" / "scores.csv")
    assert single["file"].unique().tolist() == [name]
    assert len(single) == 6  # of the length that the model sees, 0.98 s


def test_what_runs_again_after_a_change(finished):
    def plan(settings: str) -> set[str]:
        return set(finished.plan("predict", "label_next", *TINY, *ASKED, settings))

    for path in (finished.folder / RUN).iterdir():
        path.touch()
    assert "Nothing to be done" in finished.run("snakemake", "-n", "predict", "label_next", *TINY, *ASKED, PREDICT)
    assert plan(PREDICT.replace("clips: 5", "clips: 6")) >= {"pick_label_next"}
    assert not plan(PREDICT.replace("clips: 5", "clips: 6")) & {"predict_part", "find_detections"}
    assert plan(PREDICT.replace("length_s: 1.0", "overlap: 0.5")) >= {"predict_part", "write_season_page"}
    own = finished.folder / "own.json"
    own.write_text((finished.folder / RUN / "thresholds.json").read_text().replace("0.2", "0.3"))
    again = plan(PREDICT.replace("{length_s", "{thresholds: own.json, length_s"))
    assert {"find_detections", "compare_with_training"} <= again
    assert not {"predict_part", "collect_predictions", "predict_reference", "finetune"} & again


def test_recordings_that_are_added_are_predicted_alone(finished):
    season = finished.folder / "野外\u3000一"
    soundfile.write(season / "new.wav", np.zeros(8000), 8000)
    with (season / "2024 春.txt").open("a", encoding="utf-8") as file:
        file.write("\nnew.wav\n")
    before = {path: path.stat().st_mtime_ns for path in (finished.folder / SEASON / "parts").glob("*/files.csv")}
    finished.run("snakemake", str(SEASON / "detections.csv"), *TINY, *ASKED, PREDICT)
    after = {path: path.stat().st_mtime_ns for path in (finished.folder / SEASON / "parts").glob("*/files.csv")}
    assert {path: after[path] for path in before} == before
    assert len(after) == len(before) + 1
    assert "new.wav" in set(read_files(finished.folder / SEASON / "files.csv")["file"])
