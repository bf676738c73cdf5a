"""The commands, settings and programs of docs/predict.md work, and its figures are those of the code."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from docs_pages import blocks, columns_told
from helpers import REPO, merged_config
from small_prediction import CLASSES, SSAST, recording, small_model
from tymbal.__main__ import parser
from tymbal.config import load
from tymbal.config.data import TagSource
from tymbal.config.predict import Predict
from tymbal.devices import choose_device
from tymbal.evaluate.thresholds import read_thresholds
from tymbal.predict import collect, detections, label_next, recordings
from tymbal.predict.drift import DISTANCE, FAR, LEVEL, SCORE
from tymbal.predict.model import Predictor
from tymbal.predict.shard import predict_part
from tymbal.report.season_drift import WORDS
from tymbal.seasons import Season
from tymbal.spectrogram import FRAME_LENGTH_MS

PAGE = REPO / "docs" / "predict.md"
TEXT = PAGE.read_text(encoding="utf-8")
WORDS_OF_PAGE = " ".join(TEXT.split())
COMMANDS = re.findall(r"^python -m tymbal (.+)$", TEXT, flags=re.M)
PROGRAMS = blocks(PAGE, "python")
SEASON = Path("results/predictions/night-2024/soundscapes-ssast-tiny-fold1-seed0")
LIBRARY = REPO / "workflow" / "scripts" / "tymbal"
DEFAULT = REPO / "config" / "config.yaml"


# --- commands and settings --------------------------------------------------------------------------------


def test_every_command_is_shown():
    assert {command.split()[0] for command in COMMANDS} == {"predict", "export", "classes"}
    by_snakemake = re.findall(r"^snakemake --profile \w+ (\S+)", TEXT, flags=re.M)
    assert set(by_snakemake) == {"predict", "label_next", f"results/{label_next.NAME}/manifest.csv"}


def test_the_folder_of_results_is_where_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small_model(tmp_path / "results" / "soundscapes" / "ssast-tiny" / "fold1" / "seed0")
    (tmp_path / "night-2024").mkdir()
    raw = merged_config(DEFAULT) | {"recordings": "night-2024", "model": "results/soundscapes/ssast-tiny/fold1/seed0"}
    season = Season.of(load(raw))
    assert season.folder == SEASON
    assert f"{SEASON}/index.html" in TEXT and str(SEASON / "label_next" / "dataset.yaml") in TEXT


def test_thresholds_are_written_as_shown(tmp_path):
    (block,) = blocks(PAGE, "json")
    (tmp_path / "thresholds.json").write_text(block)
    found = read_thresholds(tmp_path / "thresholds.json", ("Owl", "Bird"))
    assert found["Owl"].threshold == 0.2


# --- programs ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Path:
    """A season as the page has it, of a small model and short recordings; and both exports."""
    here = tmp_path_factory.mktemp("docs")
    model = small_model(here / "results" / "soundscapes" / "ssast-tiny" / "fold1" / "seed0")
    root, folder = here / "night-2024", here / SEASON
    for i in range(3):
        recording(root / f"SITE0{i % 2 + 1}_20240105_2{i}5930.wav", 65.0, seed=i)
    settings = Predict()
    listed = recordings.Outputs(folder / "recordings.csv", folder / "shards")
    recordings.list_recordings(sorted(path.name for path in root.iterdir()), root, settings, listed, threads=1)
    (shard,) = listed.shards.iterdir()
    part = folder / "parts" / shard.stem
    predict_part(recordings.read_shard(shard), root, Predictor.load(model, choose_device(0)), settings, part)
    tables = ("scores.parquet", "embeddings.npy", "embeddings_index.csv", "files.csv")
    made = collect.Outputs(*(folder / name for name in tables))
    collect.collect([part], listed.recordings, made)
    decisions = model / "thresholds.json", model / "calibration.json"
    found = detections.Outputs(*(folder / name for name in ("detections.csv", "raven", "audacity", "activity.csv")))
    detections.find_detections(made.scores, made.files, *decisions, model / "model.json", "mix", found)
    label_next.pick_label_next(
        label_next.Inputs(made.scores, made.embeddings, made.files, *decisions),
        root,
        settings,
        label_next.Outputs(folder / "label_next.csv", folder / "label_next"),
    )
    source = TagSource(format="tags", table="t", audio="a")
    (here / "lab").mkdir()
    own = {source.file_column: ["x.wav"], source.site_column: ["S"], f"{source.main_prefix}Owl": ["1"]}
    pd.DataFrame(own).to_csv(here / "lab" / "tags.csv", index=False)
    return here


def test_programs_of_tables_run_as_they_stand(workdir, monkeypatch, capsys):
    monkeypatch.chdir(workdir)
    names: dict = {}
    run = [program for program in PROGRAMS if "exported" not in program]
    assert len(run) == 4 == len(PROGRAMS) - 2
    for program in run:
        exec(program, names)
    told = capsys.readouterr().out
    assert "score:Owl" in told and "likeness" in told
    assert names["by_hour"]["minutes_recorded"].sum() == pytest.approx(3 * 65 / 60, abs=0.02)
    assert names["likeness"][0] == pytest.approx(1, abs=1e-5)
    assert len(names["windows"]) == len(names["embeddings"]) == len(pd.read_parquet(SEASON / "scores.parquet"))
    joined = pd.read_csv("lab/tags.csv", dtype=str, keep_default_na=False)
    assert len(joined) == 1 + len(pd.read_csv(SEASON / "label_next.csv"))
    assert joined.loc[0, "MainTag_Owl"] == "1" and set(joined.loc[1:, "MainTag_Owl"]) == {""}


def test_programs_of_exported_models_run_as_they_stand(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    net = {**SSAST, "patch": (16, 16), "stride": (16, 16), "pooling": "cls"}
    provenance = {"dataset": "lab", "model": "ssast-cls", "fold": 1, "seed": 0}
    small_model(tmp_path / "results" / "lab" / "ssast-cls" / "fold1" / "seed0", net, provenance=provenance)
    shutil.copytree(tmp_path / "results" / "lab" / "ssast-cls", tmp_path / "results" / "soundscapes" / "ssast-tiny")
    for run in (tmp_path / "results").rglob("run.json"):
        run.unlink()
    for command in (command for command in COMMANDS if command.startswith("export")):
        options = parser().parse_args(shlex.split(command))
        options.run(options)
    soundfile.write("clip.wav", recording(tmp_path / "r.wav", 0.5), 16000)
    capsys.readouterr()
    for program in (program for program in PROGRAMS if "exported" in program):
        exec(program, {})
    hugging_face, onnx = (eval(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{"))
    assert tuple(onnx) == tuple(hugging_face) == CLASSES
    assert np.allclose(list(onnx.values()), list(hugging_face.values()), atol=2e-3)


# --- what is told -----------------------------------------------------------------------------------------


def test_columns_told_are_those_of_the_files(workdir):
    section = TEXT.split("## What comes out")[1].split("\n## ")[0]
    for name in ("detections.csv", "activity.csv", "files.csv"):
        columns = pd.read_csv(workdir / SEASON / name).columns
        (row,) = re.findall(rf"^\| `{re.escape(name)}` .*$", section, flags=re.M)
        assert set(columns) <= set(re.findall("`([^`]+)`", row)), name
    explained = columns_told()
    for table in {*(workdir / SEASON).rglob("*.csv")} - {workdir / SEASON / "label_next" / "tags.csv"}:
        columns = pd.read_csv(table, nrows=0).columns
        assert {name for name in columns if ":" not in name} <= explained, table.name
    written = {path.name for path in (workdir / SEASON).iterdir()}
    assert written - {"shards", "parts", "recordings.csv", "label_next", "label_next.csv"} <= set(
        re.findall(r"`([\w.]+)/?`", section)
    )


def test_figures_told_are_those_of_the_code():
    defaults = Predict()
    assert f"`predict.job_hours` ({defaults.job_hours:g} hours of sound)" in WORDS_OF_PAGE
    shards = recordings.into_shards({f"{i}.wav": 60.0 for i in range(100_000)}, {}, 3600 * defaults.job_hours)
    assert f"100,000 files of a minute are {len(shards)} jobs" in WORDS_OF_PAGE
    n_frames = load(merged_config(DEFAULT)).models["ssast-tiny"].net.n_frames
    assert f"{(n_frames + 2) / 100:.2f} s for the demo's model" in WORDS_OF_PAGE
    assert f"shorter than a frame ({FRAME_LENGTH_MS} ms)" in WORDS_OF_PAGE
    assert f"`predict.label_next.clips` ({defaults.label_next.clips})" in WORDS_OF_PAGE
    assert f"`predict.batch_size` ({defaults.batch_size})" in WORDS_OF_PAGE
    assert FAR == 3 and "beyond three times the usual" in WORDS_OF_PAGE
    assert all(f"`{measure}`" in TEXT for measure in (DISTANCE, LEVEL, SCORE))
    assert f"“{WORDS['unlike']}”" in WORDS_OF_PAGE


def test_pictures_are_figures_of_the_page():
    shown = set(re.findall(r"\(pictures/(\w+)\.svg\)", TEXT))
    script = (REPO / "docs" / "pictures" / "season.py").read_text(encoding="utf-8")
    drawn = dict(re.findall(r'"([a-z:]+)": "(\w+)"', script))
    assert set(drawn.values()) == shown
    page = (LIBRARY / "report" / "season_page.py").read_text(encoding="utf-8")
    assert all(f'"{key}' in page for key in drawn)


def test_benchmarks_named_are_there():
    named = set(re.findall(r"make bench ONLY=(\w+)", TEXT))
    assert named == {"predict_tiny", "predict_base", "predict_memory"}
    written = "".join(path.read_text(encoding="utf-8") for path in (REPO / "tests" / "bench").glob("bench_*.py"))
    assert named <= set(re.findall(r"\w+", written))
