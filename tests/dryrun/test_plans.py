"""Every profile with every shipped configuration, as typed in a clean checkout; nothing is run."""

import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from helpers import REPO, merged_config
from tymbal.amounts import nothing
from tymbal.config import load
from tymbal.finished import FILES
from tymbal.needs import NEEDS
from tymbal.report.catalog import FIGURES

OF_SCOPE = Counter(figure.scope for figure in FIGURES.values())
MODEL_FIGURES, DATASET_FIGURES = OF_SCOPE["model"], OF_SCOPE["dataset"]
ONCE = {
    "all": 1,
    "audit_split": 1,
    "collect_summary": 1,
    "compare_models": 1,
    "pick_examples": 1,
    "plot_dataset_figure": DATASET_FIGURES,
    "index_fbank": 1,
    "list_clips": 1,
    "measure_clips": 1,
    "plot_model_figure": MODEL_FIGURES,
    "prepare_manifest": 1,
    "record_config": 1,
    "split_folds": 1,
    "compute_fbank": 1,
    "write_comparison": 1,
    "write_report": 1,
}
FOLDS = {"config": 1, "esc10": 5, "soundscape12": 1, "test": 2}  # of the one data set in it
MODELS = {"config": 2}  # in others, one
OVER = {"esc10_ssl": "esc10", "esc10_labels": "esc10", "patchout": "esc10"}  # files that are merged over another
SYNTHETIC = {"config", "test"}


def arguments(checkout, config: str) -> list[str]:
    """What selects a configuration; the files of a lab's own data are made up, a dry-run only looks for them."""
    if config == "config":
        return []
    for name in ("data/esc10/meta.csv", "data/soundscape12/tags.csv", "pretrained/SSAST-Base-Patch-400.pth"):
        path = checkout.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    below = [f"config/{OVER[config]}.yaml"] if config in OVER else []
    return ["--configfile", *below, f"config/{config}.yaml", "--config", "data_root=data"]


def test_every_shipped_configuration_is_planned_here():
    assert {path.stem for path in (REPO / "config").glob("*.yaml")} == {*FOLDS, *OVER, "polyphony"}


def test_each_job_is_told_in_two_lines(checkout):
    """What it does and why it runs; its files and limits are told by its log."""
    output = checkout.run("snakemake", "-n", "all", "models", "features", *arguments(checkout, "esc10"))
    told = re.findall(r"^Job \d+: (.+)\nReason: .", output, flags=re.M)
    assert len(told) == sum(checkout.plan("all", "models", "features", *arguments(checkout, "esc10")).values())
    assert "Fine-tune ssast-tiny-esc10 on esc10, fold 3, seed 0" in told
    assert "    output: " not in output


@pytest.mark.parametrize("config", FOLDS)
@pytest.mark.parametrize("profile", [None, "local", "slurm"])
def test_plan(checkout, profile, config):
    chosen = ["--profile", profile] if profile else []
    folds, models = FOLDS[config], MODELS.get(config, 1)
    expected = ONCE | {"fit_norm_stats": folds}
    expected |= dict.fromkeys(("finetune", "calibrate", "evaluate"), models * folds)
    expected |= dict.fromkeys(("pick_examples", "pick_errors", "write_model_report"), models)
    expected["plot_model_figure"] = models * MODEL_FIGURES
    if config in SYNTHETIC:
        expected["synthesise_soundscapes"] = 1
    assert checkout.plan(*chosen, *arguments(checkout, config)) == expected


def test_plan_of_the_comparison_with_pretraining(checkout):
    """One encoder for all folds, one continued for each fold without its test clips, six models and the demo's."""
    plan = checkout.plan("--profile", "slurm", *arguments(checkout, "esc10_ssl"))
    assert (plan["pretrain"], plan["list_corpus"], plan["fit_corpus_norm"]) == (6, 6, 6)
    assert plan["finetune"] == plan["calibrate"] == plan["evaluate"] == 6 * 5 + 2
    assert plan["plot_pretraining_figure"] == 2 * OF_SCOPE["pretraining"]
    assert plan["pick_reconstructions"] == 2
    assert plan["plot_dataset_figure"] == 2 * DATASET_FIGURES + OF_SCOPE["labels"]
    assert "probe" not in plan


def test_plan_of_the_learning_curve(checkout):
    """Two models, six shares of the labels, three seeds and five folds; one figure of all."""
    plan = checkout.plan(*arguments(checkout, "esc10_labels"))
    assert plan["finetune"] == plan["evaluate"] == 2 * 6 * 3 * 5
    assert plan["plot_dataset_figure"] == DATASET_FIGURES + OF_SCOPE["labels"]
    assert not {"pretrain", "list_corpus"} & set(plan)


def test_plan_of_the_polyphonic_benchmark(checkout):
    """Sources split before two data sets are mixed of them; four pre-trainings, eight models, three seeds."""
    plan = checkout.plan("--profile", "local", *arguments(checkout, "polyphony"))
    assert plan["mix_soundscapes"] == 2
    assert plan["prepare_manifest"] == 3  # of the sources too
    assert plan["split_folds"] == 2  # of the sources and of what is tested on
    assert plan["compute_fbank"] == 2  # not of the sources
    assert (plan["pretrain"], plan["list_corpus"], plan["fit_corpus_norm"]) == (4, 1, 1)
    assert plan["finetune"] == plan["calibrate"] == plan["evaluate"] == 8 * 3
    assert "synthesise_soundscapes" not in plan


OF_TINY = [
    "manifest.csv",
    "folds.csv",
    "folds_balance.csv",
    "ingest.json",
    "quarantine.csv",
    "fbank/fbank128/index.csv",
]


def finish(checkout, fold: int) -> None:
    """Leave what a report reads of a run of the test configuration; the manifest changed after the split."""
    folder = checkout.folder / "results/tiny"
    run = folder / f"ssast-test/fold{fold}/seed0"
    for path in (*(run / name for name in (*FILES, "model.safetensors")), *(folder / name for name in OF_TINY)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    os.utime(folder / "folds.csv", (10**9, 10**9))
    config = load(merged_config(REPO / "config/config.yaml", REPO / "config/test.yaml"))
    results = {"made_from": {}, "evaluation": config.evaluation.model_dump(mode="json")}
    (run / "metrics.json").write_text(json.dumps(results))
    (run / "run.json").write_text(json.dumps({"model": config.models["ssast-test"].model_dump(mode="json")}))


REPORTS = {"collect_summary", "compare_models", "pick_examples", "pick_errors", "write_comparison", "write_report"}
REPORTS |= {"write_model_report", "plot_model_figure", "plot_dataset_figure", "record_config", "all"}


def test_a_partial_report_makes_nothing_but_the_report(checkout):
    """Whatever Snakemake knows of the files, and whatever the settings are by now."""
    partial = (*arguments(checkout, "test"), "partial=true")
    output = checkout.run("snakemake", "-n", *partial, ok=False)
    assert "none of the 2 runs planned has results yet" in output
    finish(checkout, 2)
    assert set(checkout.plan(*partial)) == REPORTS | {"audit_split"}  # which training does not wait for
    for name in ("audit.csv", "near_copies.csv"):
        (checkout.folder / "results/tiny" / name).touch()
    plan = checkout.plan(*partial)
    assert set(plan) == REPORTS
    assert plan["collect_summary"] == plan["pick_examples"] == plan["write_comparison"] == plan["write_report"] == 1
    assert {"finetune", "split_folds"} <= set(checkout.plan(*arguments(checkout, "test")))
    output = checkout.run("snakemake", "-n", *partial, "evaluation={threshold: 0.4}", ok=False)
    assert "evaluation.threshold 0.5, not 0.4" in output


def jobs(checkout, *arguments: str) -> list[tuple[str, dict[str, str]]]:
    """Rule and resources of each job of a dry-run, which are shown of rules without a message."""
    wordy = checkout.folder / "wordy.smk"
    text = (checkout.folder / "Snakefile").read_text(encoding="utf-8")
    wordy.write_text(f"{text}\n\nfor each in workflow.rules:\n    each.message = None\n", encoding="utf-8")
    output = checkout.run("snakemake", "-n", "--snakefile", wordy.name, *arguments)
    found = re.findall(r"^ *(?:local)?rule (\w+):\n((?:    .*\n)+)", output, flags=re.M)
    told = [(rule, re.search(r"resources: (.*)", text)) for rule, text in found]
    return [(rule, dict(pair.split("=") for pair in line[1].split(", "))) for rule, line in told if line]


def test_only_training_asks_for_a_gpu_and_every_job_has_limits(checkout):
    """Limits that depend on what is made on the way are told as <TBD>."""
    planned = jobs(checkout, "--profile", "slurm", *arguments(checkout, "esc10_ssl"))
    submitted = [(rule, asked) for rule, asked in planned if rule in NEEDS]
    assert len(submitted) > 100
    training = {"pretrain", "finetune"}
    assert {rule for rule, asked in submitted if "gpu" in asked or "grace" in asked} == training
    for rule, asked in submitted:
        assert {"runtime", "mem_mb", "slurm_partition"} <= set(asked), rule
        assert asked["slurm_partition"] == ("gpu" if rule in training else "cpu")
        assert (asked["mem_mb"] == "<TBD>") == (NEEDS[rule].of is not nothing)
        assert (asked["runtime"] == "<TBD>") == (NEEDS[rule].of is not nothing and rule not in training)
        # What Slurm does not know would be without effect.
        sizes = {f"{what}{unit}" for what in ("mem", "disk") for unit in ("", "_mb", "_mib")}
        known = {"tmpdir", "runtime", "slurm_partition", "gpu", "training", "grace", "figures"}
        assert set(asked) - sizes - known == set()
        assert ("figures" in asked) == rule.startswith("plot_")
    for rule, first in (("finetune", "120"), ("pretrain", "720")):
        asked = next(asked for name, asked in submitted if name == rule)
        assert (asked["gpu"], asked["grace"], asked["runtime"]) == ("1", "10", first)


def test_a_training_may_ask_for_more_gpus_than_are_used_at_once(checkout):
    """Snakemake cuts what a job asks for to what there is of it over all jobs."""
    more = ("--set-resources", "finetune:gpu=16", "finetune:training=16")
    planned = jobs(checkout, "models", "--profile", "slurm", *more)
    assert {asked["gpu"] for rule, asked in planned if rule == "finetune"} == {"16"}


def test_settings_for_a_rule_that_does_not_exist_are_refused(checkout):
    output = checkout.run("snakemake", "-n", "--set-resources", "finetun:gpu=2", ok=False)
    assert "name finetun: there is no such rule" in output


def test_a_job_that_is_tried_again_asks_for_more(checkout):
    first, second = (
        dict(jobs(checkout, "--profile", "slurm", "--attempt", attempt, "--until", "list_clips", "models"))
        for attempt in ("1", "2")
    )
    assert int(second["list_clips"]["mem_mb"]) == 2 * int(first["list_clips"]["mem_mb"])
    assert int(second["list_clips"]["runtime"]) == 2 * int(first["list_clips"]["runtime"])


def test_limits_follow_the_size_of_what_was_made_before(checkout):
    """A manifest that is there tells how many clips there are."""
    folder = checkout.folder / "results" / "soundscapes"
    folder.mkdir(parents=True)
    (folder / "manifest.csv").touch()
    asked = []
    for n_clips in (800, 1_800_000):
        (folder / "ingest.json").write_text(json.dumps({"n_clips": n_clips, "hours": n_clips / 360}))
        asked.append(dict(jobs(checkout, "--profile", "slurm", "results/soundscapes/folds.csv"))["split_folds"])
    small, large = ({name: int(each[name]) for name in ("mem_mb", "runtime")} for each in asked)
    assert small["mem_mb"] < 5000 < 9000 < large["mem_mb"]
    assert small["runtime"] < 35 < large["runtime"]


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_a_lost_file_of_facts_does_not_stop_a_run(checkout, profile):
    """It is made again with the manifest, but what comes after is asked for before."""
    folder = checkout.folder / "results" / "soundscapes"
    folder.mkdir(parents=True)
    (folder / "manifest.csv").write_text("clip_id\n" * 100)
    planned = jobs(checkout, "--profile", profile)
    assert {"prepare_manifest", "split_folds", "write_report"} <= {rule for rule, _ in planned}


def test_figures_share_jobs_on_a_cluster(checkout):
    output = checkout.run("snakemake", "-n", "--profile", "slurm", *arguments(checkout, "esc10_ssl"))
    n_figures = len(re.findall(r"^ *Job \d+: Draw ", output, flags=re.M))
    assert len(re.findall(r"Group job figures", output)) == -(-n_figures // 16)
    assert "Group job" not in checkout.run("snakemake", "-n", "--profile", "local")


@pytest.mark.parametrize(
    ("target", "absent"),
    [
        ("features", {"finetune", "evaluate", "collect_summary"}),
        ("models", {"calibrate", "evaluate", "collect_summary", "plot_model_figure"}),
        ("metrics", {"plot_model_figure", "write_report"}),
        ("compare", {"plot_model_figure", "write_report"}),
        ("figures", {"write_report", "write_model_report"}),
        ("pages", set()),
    ],
)
def test_named_targets_stop_where_they_say(checkout, target, absent):
    plan = checkout.plan(target)
    assert plan[target] == 1
    assert not absent & set(plan)


def test_a_mistake_in_the_configuration_stops_the_parser_with_its_key(checkout):
    path = checkout.folder / "config" / "typo.yaml"
    path.write_text("models: {ssast-tiny: {train: {epoch: 3}}}\nevaluation: {treshold: 0.4}\n")
    output = checkout.run("snakemake", "-n", "--configfile", "config/typo.yaml", ok=False)
    assert "2 problems" in output
    assert "models.ssast-tiny.train.epoch: unknown key" in output
    assert "evaluation.treshold: unknown key" in output
    assert "Traceback" not in output


def test_missing_data_are_named_before_anything_runs(checkout):
    output = checkout.run("snakemake", "-n", "--configfile", "config/esc10.yaml", ok=False)
    assert "resources/esc10/meta.csv" in output


def test_a_labs_folder_is_never_an_output(checkout):
    """A tag table under resources/ that is not there must be missing, not synthesised over."""
    output = checkout.run(
        "snakemake", "-n", "resources/soundscape12/tags.csv", "--configfile", "config/soundscape12.yaml", ok=False
    )
    assert "MissingRuleException" in output


def test_the_workflow_passes_its_own_linter(checkout):
    checkout.run("snakemake", "--lint")


def test_the_rule_graph_can_be_drawn(checkout):
    assert "finetune" in checkout.run("snakemake", "--rulegraph")


def test_large_data_sets_are_read_in_parallel_jobs(checkout):
    plan = checkout.plan(*arguments(checkout, "esc10"), "datasets={esc10: {shards: 3}}")
    assert (plan["list_clips"], plan["measure_clips"], plan["prepare_manifest"]) == (1, 3, 1)
    assert (plan["compute_fbank"], plan["index_fbank"]) == (3, 1)


def test_a_collection_without_labels_gets_features_by_name(checkout):
    path = checkout.folder / "config" / "corpus.yaml"
    path.write_text("datasets: {corpus: {source: {format: list, audio: corpus}}}\n")
    (checkout.folder / "resources" / "corpus").mkdir(parents=True)
    plan = checkout.plan("results/corpus/fbank/fbank128/index.csv", "--configfile", "config/corpus.yaml")
    assert plan["compute_fbank"] == 1
    assert "split_folds" not in plan


MODEL = "results/field/cnn-small/fold1/seed0"
SEASON = Path("results/predictions/season/field-cnn-small-fold1-seed0")
ASKED = ("--config", "recordings=season", f"model={MODEL}")
AFTER = {"collect_predictions", "find_detections", "predict_reference", "compare_with_training", "pick_season_sounds"}
AFTER |= {"write_season_page", "predict"}


def season(checkout) -> None:
    """A folder of recordings, and files that are taken for a model."""
    (checkout.folder / MODEL).mkdir(parents=True)
    for name in ("model.safetensors", "model.json", "thresholds.json", "calibration.json"):
        (checkout.folder / MODEL / name).touch()
    (checkout.folder / "season").mkdir()
    (checkout.folder / "season" / "a.wav").touch()


def test_a_prediction_needs_recordings_and_a_model(checkout):
    said = checkout.run("snakemake", "-n", "predict", ok=False)
    assert "Nothing to predict is given: --config recordings=FOLDER model=results/" in said
    assert "Traceback" not in said
    said = checkout.run("snakemake", "-n", "predict", "--config", "recordings=season", ok=False)
    assert "model: missing, but 'recordings' is 'season'" in said
    said = checkout.run("snakemake", "-n", "predict", *ASKED, ok=False)
    assert "recordings: season is not there; expected a folder, a list (.txt) or a manifest (.csv)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_a_season_is_hundreds_of_jobs_and_trains_nothing(checkout, profile):
    season(checkout)
    once = {"record_season": 1, **dict.fromkeys(AFTER, 1)}
    assert checkout.plan("predict", "--profile", profile, *ASKED) == {"list_recordings": 1, **once}
    shards = checkout.folder / SEASON / "shards"
    shards.mkdir(parents=True)
    for i in range(1, 210):
        (shards / f"{i:04d}.csv").write_text("file,duration_s\na.wav,60.0\n")
    (shards.parent / "recordings.csv").write_text("file,shard,duration_s\na.wav,0001,60.0\n")
    assert checkout.plan("predict", "--profile", profile, *ASKED) == {"predict_part": 209, **once}
    (checkout.folder / "season" / "b.wav").touch()
    assert checkout.plan("predict", "--profile", profile, *ASKED) == {"list_recordings": 1, **once}


def test_clips_to_label_next_are_asked_for_by_name(checkout):
    season(checkout)
    plan = checkout.plan("label_next", *ASKED)
    assert set(plan) == {"record_season", "list_recordings", "collect_predictions", "pick_label_next", "label_next"}


def test_recordings_change_nothing_of_trainings(checkout):
    season(checkout)
    before = checkout.plan()
    assert checkout.plan(*ASKED) == before
