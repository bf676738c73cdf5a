"""Which figures are planned: those that something can be shown in."""

from tymbal.config import load
from tymbal.plan import Plan
from tymbal.report.catalog import FIGURES

KINDS = {key: FIGURES[key] for key in ("class-shares", "label-share", "pretext-curves")}
TRAIN = {"loss": "bce", "epochs": 1, "batch_size": 2, "optimizer": {"lr": 1e-3}, "schedule": {"name": "cosine"}}
NET = {"arch": "ssast", "size": "tiny"}


def plan(experiments: dict[str, list[str]], **models) -> Plan:
    """Models that learn from shares of labels (or have whole settings), on the data sets a and b."""
    source = {"format": "synth"}
    split = {"scheme": "kfold", "n_folds": 2}
    dataset = {"source": source, "task": "multi-label", "classes": ["Bird", "Frog"], "split": split}
    pretraining = {"frontend": "f", "corpus": "c", "net": NET, "train": {"epochs": 1, "batch_size": 2}}
    return Plan(
        load(
            {
                "datasets": {"a": dataset, "b": dataset},
                "frontends": {"f": {}},
                "corpora": {"c": {"parts": [{"dataset": "a"}]}},
                "pretraining": {"p": pretraining, "unused": pretraining},
                "models": {
                    name: {
                        "frontend": "f",
                        "net": NET,
                        "train": {**TRAIN, "label_percent": settings.pop("percent", 100)},
                        **settings,
                    }
                    for name, settings in models.items()
                },
                "experiments": [
                    {"dataset": dataset, "model": name} for dataset, names in experiments.items() for name in names
                ],
            }
        )
    )


def test_families_are_models_that_differ_in_labels_alone():
    ssl = {"ssl": "p"}
    models = {"s-5": {"percent": 5}, "s": {}, "t-10": {"percent": 10, "init": ssl}, "t-5": {"percent": 5, "init": ssl}}
    families = plan({"a": list(models)}, **models, unused={"percent": 1}).families
    assert families == {"s": "s", "s-5": "s", "t-10": "t-10", "t-5": "t-10"}


def test_label_curves_only_where_two_shares_were_used_on_one_data_set():
    models = {"s": {}, "s-5": {"percent": 5}, "padded": {"percent": 5, "padding": "original"}}
    paths = [figure.path for figure in plan({"a": ["s", "s-5"], "b": ["s", "padded"]}, **models).figures(KINDS)]
    assert "results/figures/a/label-share.svg" in paths
    assert "results/figures/b/label-share.svg" not in paths
    apart = plan({"a": ["s"], "b": ["s-5"]}, **{name: dict(models[name]) for name in ("s", "s-5")})
    assert not [figure for figure in apart.figures(KINDS) if figure.key == "label-share"]


def test_pre_trainings_have_figures_once_for_all_their_folds():
    planned = plan({"a": ["s", "t"]}, s={}, t={"init": {"ssl": "p"}})
    assert len(planned.pretrains) == 2
    paths = [figure.path for figure in planned.figures(KINDS) if "ssl" in figure.subject]
    assert paths == ["results/figures/pretraining/p/pretext-curves.svg"]
    assert planned.first_pretraining("p").arrays == "results/summary/pretraining/c-without-a-fold1/p/seed0.npz"
