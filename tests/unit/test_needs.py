"""What jobs ask for: enough for what was measured, more for more, and nothing while the amount is not known."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.iocontainers import Namedlist

from helpers import REPO, merged_config
from small_prediction import LENGTH_S, small_model
from small_pretraining import pretraining
from tymbal import amounts, mix
from tymbal.amounts import Amount
from tymbal.config import load
from tymbal.config.models import Cnn, Frontend, Ssast, Sslam, SslamEncoder
from tymbal.inference import mean_loss
from tymbal.models import sslam
from tymbal.models.build import build
from tymbal.needs import MOST_MINUTES, NEEDS, SNAKEMAKE_MB, asked, memory_mb, minutes
from tymbal.plan import Plan
from tymbal.pretrain.build import build_pretext
from tymbal.validate.trial import kept_bytes

OF_WINDOWS = ("clips", "cells", "hours", "gflop")
LARGE = st.builds(
    Amount,
    clips=st.floats(0, 1e7),
    cells=st.floats(0, 1e9),
    hours=st.floats(0, 1e5),
    mb=st.floats(0, 1e5),
    gflop=st.floats(0, 1e7),
)


RULES = {
    name: body
    for path in sorted((REPO / "workflow/rules").glob("*.smk"))
    for name, body in re.findall(
        r"^(?:rule|checkpoint) (\w+):\n((?:(?:    .*)?\n)*)", path.read_text(encoding="utf-8"), flags=re.M
    )
}

# Step, clips, classes, hours of sound; maximum resident set (MB) and processor time (s).
MEASURED = [
    ("list_clips", 200_000, 12, 0, 145, 3),
    ("measure_clips", 20_000, 12, 0.6, 542, 4),
    ("measure_clips", 200_000, 12, 6, 640, 56),
    ("measure_clips", 3_000, 12, 5, 550, 13),
    ("prepare_manifest", 200_000, 12, 6, 816, 9),
    ("prepare_manifest", 1_820_000, 12, 3000, 3402, 84),
    ("split_folds", 200_000, 12, 6, 316, 7),
    ("split_folds", 20_000, 200, 6, 235, 11),
    ("split_folds", 400_000, 2, 0, 476, 10),
    ("split_folds", 20_000, 527, 0, 711, 19),
    ("split_folds", 50_000, 527, 0, 1663, 0),
    ("split_folds", 100_000, 527, 0, 3192, 0),
    ("audit_split", 20_000, 12, 1, 952, 6),
    ("audit_split", 20_000, 200, 1, 1021, 7),
    ("compute_fbank", 20_000, 12, 0.6, 696, 12),
    ("compute_fbank", 400, 10, 0.56, 676, 7),
    ("compute_fbank", 3_000, 12, 5, 1154, 16),
    ("compute_fbank", 300, 12, 5, 813, 5),
    ("index_fbank", 200_000, 12, 6, 596, 2),
    ("fit_norm_stats", 200_000, 12, 6, 1190, 3),
    ("list_corpus", 400_000, 12, 6, 476, 3),
    ("list_corpus", 40_000, 200, 6, 232, 1),
    ("fit_corpus_norm", 400, 10, 0.5, 963, 2),
    ("calibrate", 200_000, 12, 0, 1081, 26),
    ("calibrate", 20_000, 200, 0, 896, 26),
    ("evaluate", 200_000, 12, 0, 946, 4),
    ("evaluate", 20_000, 200, 0, 787, 6),
    ("pick_errors", 200_000, 12, 0, 952, 4),
    ("pick_errors", 20_000, 200, 0, 917, 4),
    ("collect_predictions", 600_000, 12, 0, 270, 9),
    ("find_detections", 600_000, 12, 0, 802, 25),
    ("compare_with_training", 600_000, 12, 0, 1024, 6),
    ("pick_season_sounds", 600_000, 12, 0, 765, 4),
    ("pick_label_next", 600_000, 12, 0, 856, 4),
]


@pytest.mark.parametrize(("rule", "n_clips", "n_classes", "hours", "mb", "seconds"), MEASURED)
def test_what_was_measured_has_room_to_spare(rule, n_clips, n_classes, hours, mb, seconds):
    """Twice as much where no further attempt asks for more."""
    amount = Amount(n_clips, n_clips * n_classes, hours)
    spare = 2 if "    retries: 0\n" in RULES[rule] else 1.2
    assert memory_mb(NEEDS[rule], amount, 1) >= spare * (mb + SNAKEMAKE_MB)
    assert minutes(NEEDS[rule], amount, 1) >= 5 + 2 * seconds / 60


@pytest.mark.parametrize("rule", NEEDS)
@settings(deadline=None, max_examples=20)
@given(amount=LARGE, more=LARGE, attempt=st.integers(1, 4))
def test_more_work_and_later_attempts_get_more(rule, amount, more, attempt):
    larger = Amount(*map(sum, zip(amount, more, strict=True)))
    for ask, most in ((memory_mb, math.inf), (minutes, MOST_MINUTES)):
        first = ask(NEEDS[rule], amount, 1)
        assert first > 0
        assert ask(NEEDS[rule], amount, attempt) == min(attempt * first, most)
        assert ask(NEEDS[rule], larger, attempt) >= ask(NEEDS[rule], amount, attempt)


def test_every_rule_that_is_submitted_is_in_the_table():
    submitted = {rule for rule, body in RULES.items() if "    script:" in body and "localrule: True" not in body}
    assert submitted == set(NEEDS)


# --- amounts ------------------------------------------------------------------------------------------------


@pytest.fixture
def plan(tmp_path, monkeypatch) -> Plan:
    """Of the shipped configuration, in a folder where its data set has been prepared: 1,000 clips, 2 hours."""
    monkeypatch.chdir(tmp_path)
    facts = Path("results/soundscapes/ingest.json")
    facts.parent.mkdir(parents=True)
    facts.write_text(json.dumps({"n_clips": 1000, "hours": 2.0}))
    return Plan(load(merged_config(REPO / "config/config.yaml")))


def changed(plan: Plan, **dataset) -> Plan:
    raw = plan.config.model_dump(mode="json")
    raw["datasets"]["soundscapes"] |= dataset
    return Plan(load(raw))


def of(rule: str, plan: Plan, **files) -> Amount:
    wildcards = SimpleNamespace(dataset="soundscapes", model="ssast-tiny", fold="1", seed="0")
    return NEEDS[rule].of(plan, wildcards, SimpleNamespace(**files))


def test_amounts_are_of_the_clips_that_were_found(plan):
    n_classes = len(plan.config.datasets["soundscapes"].classes)
    assert of("split_folds", plan) == Amount(1000, 1000 * n_classes, 2.0)
    one, four = (of("compute_fbank", changed(plan, shards=n)) for n in (1, 4))
    assert (one.hours, four.hours) == (2.0, 0.5)
    assert (one.clips, one.cells) == (four.clips, four.cells)  # each part reads the whole manifest
    half = json.dumps({"n_clips": 500, "hours": 2.0})
    Path("results/soundscapes/ingest.json").write_text(half)
    assert of("split_folds", plan) == Amount(500, 500 * n_classes, 2.0)
    assert of("audit_split", plan).gflop > 0
    assert of("compute_fbank", plan).mb == 2 * one.mb  # clips twice as long


def test_files_are_counted_and_cut_into_windows(plan):
    table = Path("measured.csv")
    table.write_text("file,duration_s\n" + "".join(f'"a,{i}.wav",60.0\n' for i in range(10)))
    n_classes = len(plan.config.datasets["soundscapes"].classes)
    assert of("prepare_manifest", plan, measured=["measured.csv"]) == Amount(11, 11 * n_classes)
    windows = {"length_s": 10, "hop_s": 5, "labels": "recording"}
    assert of("prepare_manifest", changed(plan, windows=windows), measured=["measured.csv"]).clips == 120
    used = Path("used.txt")
    used.write_text("a\nb\n")
    assert of("measure_clips", plan, used="used.txt").clips == 2
    used.write_text("a\nb\nc\nd\n")
    assert of("measure_clips", plan, used="used.txt").clips == 4
    assert of("measure_clips", changed(plan, shards=2), used="used.txt").clips == 2


@pytest.mark.parametrize(
    ("name", "text", "n_classes"),
    [
        ("map.csv", "index,mid,display_name\n0,/m/1,A\n1,/m/2,B\n", 3),  # its header is no matter
        ("vocabulary.json", json.dumps({"all_classes": list("abcd"), "more": "x" * 99}), 4),
        ("broken.json", "{", amounts.CLASSES),
        ("other.json", "[1, 2]", amounts.CLASSES),
        ("missing.csv", None, amounts.CLASSES),
    ],
)
def test_classes_are_counted_in_the_file_that_names_them(plan, name, text, n_classes):
    path = Path(plan.config.data_root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        path.write_text(text)
    assert of("split_folds", changed(plan, classes=name)).cells == 1000 * n_classes


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"n_clips": null, "hours": 1}'])
def test_clips_are_counted_where_their_number_is_not_told(plan, text):
    facts, manifest = Path("results/soundscapes/ingest.json"), Path("results/soundscapes/manifest.csv")
    facts.unlink() if text is None else facts.write_text(text)
    manifest.write_text("clip_id\n" + "a\n" * 500)
    assert of("split_folds", plan) == Amount(501, 501 * len(plan.config.datasets["soundscapes"].classes))


def test_larger_models_get_more_memory_and_time(plan):
    raw = plan.config.model_dump(mode="json")
    mb, gflop = {}, {}
    for size in ("tiny", "small", "base"):
        raw["models"]["ssast-tiny"] |= {"net": {"arch": "ssast", "size": size}, "init": "scratch"}
        mb[size] = of("finetune", Plan(load(raw))).mb
        gflop[size] = of("evaluate", Plan(load(raw))).gflop
    assert mb["tiny"] < mb["small"] < mb["base"]
    assert gflop["tiny"] < gflop["small"] < gflop["base"]
    raw["models"]["ssast-tiny"]["train"]["batch_size"] *= 2
    assert of("finetune", Plan(load(raw))).mb > mb["base"]


NETS = [Ssast(arch="ssast", size=size, n_frames=512) for size in ("tiny", "small", "base", "base-nokd")]
NETS += [Sslam(arch="sslam", size=size, n_frames=512) for size in ("tiny", "small", "base", "large")]
NETS += [Cnn(arch="cnn", n_frames=512)]


@pytest.mark.parametrize("net", NETS, ids=lambda net: f"{net.arch} {getattr(net, 'size', '')}")
def test_sizes_are_those_of_the_models(net):
    """Parameters and what a clip keeps for the backward pass, as they are found when the model is built."""
    model = build(net, 128, 12, torch.Generator().manual_seed(0))
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert 1 <= amounts._parameters(net) / n_parameters < (5 if net.arch == "cnn" else 1.1)
    if n_parameters < 3e7:
        y = torch.eye(12)[:1]
        x = torch.zeros(2, *model.input_shape)
        kept = kept_bytes(model, lambda batch: mean_loss(model(batch), y.expand(len(batch), -1), "bce"), x, None)
        assert 1 <= amounts._kept_bytes(net, Frontend()) / kept.per_clip < 1.1


def test_decoders_are_as_deep_as_those_of_the_models():
    for name, size in sslam.SIZES.items():
        assert amounts.SIZES[name].decoder_depth == size.decoder_depth


@pytest.mark.parametrize("pretext", [{"stage": 1, "clones": 4}, {"stage": 2, "clones": 2}], ids=str)
def test_a_clip_keeps_so_much_in_a_pretext_task(pretext):
    chosen = pretraining(SslamEncoder(arch="sslam", size="tiny", n_frames=512), **pretext)
    model = build_pretext(chosen, 128, torch.Generator().manual_seed(0))
    x = torch.zeros(2, *model.input_shape)
    kept = kept_bytes(model, lambda batch: model.losses(batch, None, torch.Generator().manual_seed(0)), x, None)
    assert 1 <= amounts._pretext_bytes(chosen, Frontend()) / kept.per_clip < 1.2


def test_mixing_gets_room_for_the_sources_that_are_kept(plan):
    """Measured on 600 soundscapes of 120 clips, 60 s in two channels at 48 kHz: 880 MB and 161 s."""
    raw = plan.config.model_dump(mode="json")
    source = {"format": "mixtures", "dataset": "soundscapes", "parts": {"train": {"clips": 600}}, "sample_rate": 48_000}
    raw["datasets"]["soundscapes"] |= {"task": "single-label"}
    mixed = raw["datasets"]["soundscapes"] | {"task": "multi-label", "source": source, "split": {"scheme": "given"}}
    raw["datasets"]["mixed"] = mixed
    Path("results/soundscapes/ingest.json").write_text(json.dumps({"n_clips": 120, "hours": 2.0}))
    Path("manifest.csv").write_text("clip_id,duration_s\na,1.0\nb,60.0\n")
    wildcards = SimpleNamespace(dataset="mixed")
    need, files = NEEDS["mix_soundscapes"], SimpleNamespace(manifest="manifest.csv")
    amount = need.of(Plan(load(raw)), wildcards, files)
    assert amount.hours == pytest.approx(30)  # three sources each
    assert memory_mb(need, amount, 1) >= 2 * (880 + SNAKEMAKE_MB)
    assert minutes(need, amount, 1) >= 5 + 2 * 161 / 60
    assert amounts.KEPT_SOURCES == mix.KEPT


@pytest.fixture
def predicting(tmp_path, monkeypatch) -> Callable[..., Plan]:
    """Plans of predictions by one small model, of recordings listed already: two hours in two parts."""
    monkeypatch.chdir(tmp_path)
    small_model(Path("results/field/cnn-test/fold1/seed0"))
    Path("season").mkdir()

    def planned(**settings) -> Plan:
        raw = merged_config(REPO / "config/config.yaml")
        asked = {"recordings": "season", "model": "results/field/cnn-test/fold1/seed0", "predict": settings}
        found = Plan(load({**raw, **asked}))
        assert found.season is not None
        found.season.folder.mkdir(parents=True, exist_ok=True)
        rows = ["a.wav,3600.0", '"b, c.wav",1800.0', "d.wav,1800.0"]
        for name, listed in (("recordings.csv", rows), ("1.csv", rows[:1])):
            (found.season.folder / name).write_text("\n".join(["file,duration_s", *listed, ""]))
        return found

    return planned


def test_a_part_is_as_much_as_its_windows(predicting):
    plan = predicting()
    part = of("predict_part", plan, files=str(plan.season.folder / "1.csv"))
    assert (part.clips, part.cells) == (pytest.approx(3600 / LENGTH_S), pytest.approx(3 * 3600 / LENGTH_S))
    assert part.hours == pytest.approx(1)
    assert part.mb > 0
    whole = of("find_detections", plan)
    assert (whole.clips, whole.hours, whole.gflop) == (pytest.approx(2 * part.clips), 0, 0)
    half = of("predict_part", predicting(overlap=0.5), files=str(plan.season.folder / "1.csv"))
    assert half == part._replace(**{name: pytest.approx(2 * getattr(part, name)) for name in OF_WINDOWS})
    larger = of("predict_part", predicting(batch_size=32), files=str(plan.season.folder / "1.csv"))
    assert larger.mb > part.mb


def test_a_reference_is_as_much_as_the_model_was_trained_on(predicting):
    plan = predicting()
    Path("results/field/manifest.csv").write_text("clip_id\n" + "a\n" * 99)
    assert of("predict_reference", plan).clips == 100
    assert of("predict_reference", plan).gflop > 0


# --- in Snakemake -------------------------------------------------------------------------------------------


def test_an_amount_that_is_not_known_yet_is_told_in_the_way_that_snakemake_understands(plan):
    """Only of a missing file that is an input by that very name it makes <TBD>; else it stops."""
    wildcards, files = SimpleNamespace(dataset="soundscapes"), ["results/soundscapes/manifest.csv"]
    for function in asked(plan, "split_folds").values():
        with pytest.raises(FileNotFoundError) as error:
            function(wildcards, files, 1)
        assert error.value.filename in files
    Path(files[0]).touch()
    functions = asked(plan, "split_folds")
    assert functions["mem_mb"](wildcards, files, 2) == 2 * functions["mem_mb"](wildcards, files, 1)
    assert functions["runtime"](wildcards, files, 1) >= 15


@pytest.mark.parametrize("rule", ["split_folds", "prepare_manifest", "fit_norm_stats"])
def test_damaged_files_never_stop_a_run(plan, rule):
    Path("results/soundscapes/ingest.json").unlink()
    Path("table.csv").write_text("file,duration_s\na,ten\nb\n")
    windows = {"length_s": 10, "hop_s": 5, "labels": "recording"}
    functions = asked(changed(plan, windows=windows), rule)
    files = Namedlist(["table.csv"])
    files.measured = ["table.csv"]
    for what, ask in {"mem_mb": memory_mb, "runtime": minutes}.items():
        asked_for = functions[what](SimpleNamespace(dataset="soundscapes"), files, 1)
        assert asked_for == ask(NEEDS[rule], Amount(), 1)


def test_what_depends_on_nothing_is_known_at_once(plan):
    functions = asked(plan, "plot_model_figure")
    assert functions["mem_mb"](SimpleNamespace(), [os.fspath("nowhere.csv")], 1) > 0
