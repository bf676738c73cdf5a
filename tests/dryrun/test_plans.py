"""Every profile with every shipped configuration, as typed in a clean checkout; nothing is run."""

import re
from collections import Counter

import pytest

from helpers import REPO
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
    "write_report": 1,
}
FOLDS = {"config": 1, "esc10": 5, "soundscape12": 1, "test": 2}  # of the one data set in it
MODELS = {"config": 2}  # in others, one
OVER = {"esc10_ssl": "esc10"}  # files that are merged over another
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
    assert {path.stem for path in (REPO / "config").glob("*.yaml")} == {*FOLDS, *OVER}


@pytest.mark.parametrize("config", FOLDS)
@pytest.mark.parametrize("profile", [None, "local", "slurm"])
def test_plan(checkout, profile, config):
    chosen = ["--profile", profile] if profile else []
    folds, models = FOLDS[config], MODELS.get(config, 1)
    expected = ONCE | {"fit_norm_stats": folds, "finetune": models * folds, "evaluate": models * folds}
    expected |= {"pick_examples": models, "plot_model_figure": models * MODEL_FIGURES}
    if config in SYNTHETIC:
        expected["synthesise_soundscapes"] = 1
    assert checkout.plan(*chosen, *arguments(checkout, config)) == expected


def test_plan_of_the_comparison_with_pretraining(checkout):
    """One encoder for all folds, one continued for each fold without its test clips, six models and the demo's."""
    plan = checkout.plan("--profile", "slurm", *arguments(checkout, "esc10_ssl"))
    assert (plan["pretrain"], plan["list_corpus"], plan["fit_corpus_norm"]) == (6, 6, 6)
    assert plan["finetune"] == plan["evaluate"] == 6 * 5 + 2
    assert plan["plot_pretraining_figure"] == 2 * OF_SCOPE["pretraining"]
    assert plan["pick_reconstructions"] == 2
    assert plan["plot_dataset_figure"] == 2 * DATASET_FIGURES + OF_SCOPE["labels"]
    assert "probe" not in plan


def test_only_training_asks_for_a_gpu_and_every_job_has_limits(checkout):
    output = checkout.run("snakemake", "-n", "--profile", "slurm", *arguments(checkout, "esc10_ssl"))
    jobs = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", output, flags=re.M)
    assert {rule for rule, text in jobs if "gpu=1" in text} == {"pretrain", "finetune"}
    remote = [(rule, text) for rule, text in jobs if rule not in {"all", "record_config"}]
    assert len(remote) > 20
    for rule, text in remote:
        assert re.search(r"runtime=\d+", text), rule
        assert re.search(r"mem_mb=\d+", text), rule
    assert all("slurm_partition=gpu" in text for rule, text in jobs if rule in {"pretrain", "finetune"})
    assert all("runtime=120" in text for rule, text in jobs if rule == "finetune")


@pytest.mark.parametrize(
    ("target", "absent"),
    [
        ("features", {"finetune", "evaluate", "collect_summary"}),
        ("models", {"evaluate", "collect_summary", "plot_model_figure"}),
        ("metrics", {"plot_model_figure", "write_report"}),
        ("figures", {"write_report"}),
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
