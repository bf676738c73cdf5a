"""The list of training runs, planned once from the configuration; every collecting rule filters this list."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tymbal.config import Config
from tymbal.config.data import Clips, FolderSource, ListSource, SynthSource
from tymbal.roots import SYNTH, locate


class Run(NamedTuple):
    """One training: a model on one fold of a data set with one seed."""

    dataset: str
    model: str
    fold: int
    seed: int

    @property
    def folder(self) -> str:
        """Where everything of this run is, relative to the working directory."""
        return f"results/{self.dataset}/{self.model}/fold{self.fold}/seed{self.seed}"


class PlannedFigure(NamedTuple):
    """A figure of one kind; `model` is None for one about a data set."""

    dataset: str
    model: str | None
    key: str

    @property
    def path(self) -> str:
        """Where it is drawn, relative to the working directory."""
        return "/".join(["results/figures", self.dataset, *([self.model] if self.model else []), f"{self.key}.svg"])


def plan_runs(config: Config) -> list[Run]:
    """All runs that the experiments ask for, in the order given there."""
    runs = []
    for experiment in config.experiments:
        split = config.datasets[experiment.dataset].split
        assert split is not None, f"{experiment.dataset} has no labels"
        folds = range(1, split.n_folds + 1) if experiment.folds == "all" else experiment.folds
        runs += [Run(experiment.dataset, experiment.model, fold, seed) for seed in experiment.seeds for fold in folds]
    return runs


class Plan:
    """What the rules look up: the runs, and the settings each rule depends on as plain builtins.

    A rule gets only what its computation reads, so that changing something else re-runs nothing.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.runs = plan_runs(config)

    @property
    def datasets(self) -> list[str]:
        """Data sets with at least one run, sorted."""
        return sorted({run.dataset for run in self.runs})

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(data set, model) with at least one run, sorted."""
        return sorted({(run.dataset, run.model) for run in self.runs})

    @property
    def stores(self) -> list[str]:
        """Feature stores that the runs read, sorted."""
        return sorted({self.store(dataset, model) for dataset, model in self.pairs})

    @property
    def synthetic(self) -> list[str]:
        """Data sets that are synthesised."""
        return sorted(name for name, dataset in self.config.datasets.items() if dataset.source.format == "synth")

    def source_files(self, dataset: str) -> list[str]:
        """The files or folders that tell which clips a data set has."""
        settings = self.config.datasets[dataset]
        source = settings.source
        if isinstance(source, SynthSource):
            return [f"resources/{dataset}/tags.csv", f"resources/{dataset}/audio"]
        audio, *others = [locate(path, self.config.folders) for path in settings.data_paths]
        # Where no table lists the files, the folder does; its time tells of new files in it, not in its sub-folders.
        listed = isinstance(source, FolderSource) or (isinstance(source, ListSource) and source.table is None)
        return [str(path) for path in ([audio, *sorted(audio.glob("*/"))] if listed else []) + others]

    def manifest_settings(self, dataset: str) -> dict[str, Any]:
        """What decides a manifest: everything but the split and what only later steps read."""
        return self.config.datasets[dataset].model_dump(mode="json", include=set(Clips.model_fields))

    def measure_settings(self, dataset: str) -> dict[str, Any]:
        """What reading the files depends on: where they are, and what their form is."""
        settings = self.config.datasets[dataset]
        audio = f"{SYNTH}:{dataset}/audio" if isinstance(settings.source, SynthSource) else settings.source.audio
        features = settings.features and settings.features.model_dump(mode="json", exclude={"normalised"})
        return {"audio": audio, "features": features}

    def fbank_settings(self, dataset: str, frontend: str) -> dict[str, Any]:
        """What `compute_fbank` reads: the front end, or what is known of features that are given."""
        settings = self.config.datasets[dataset].model_dump(mode="json", include={"channel", "features"})
        return {**settings, "frontend": self.config.frontends[frontend].model_dump(mode="json")}

    def shards(self, dataset: str) -> list[str]:
        """The parallel parts in which a data set is read: `1-of-4` to `4-of-4`."""
        n = self.config.datasets[dataset].shards
        return [f"{i}-of-{n}" for i in range(1, n + 1)]

    def split_settings(self, dataset: str) -> dict[str, Any]:
        """What `split_folds` reads."""
        split = self.config.datasets[dataset].split
        assert split is not None, f"{dataset} has no labels"
        return split.model_dump(mode="json")

    def model_settings(self, model: str) -> dict[str, Any]:
        """A model variant whole."""
        return self.config.models[model].model_dump(mode="json")

    def store(self, dataset: str, model: str) -> str:
        """The feature store a model reads, by its index."""
        return f"results/{dataset}/fbank/{self.config.models[model].frontend}/index.csv"

    def audited_store(self, dataset: str) -> str:
        """The feature store in which near copies are looked for: any one that is planned."""
        return next(self.store(name, model) for name, model in self.pairs if name == dataset)

    def norm(self, dataset: str, model: str, fold: int | str) -> str:
        """The normalisation statistics a model uses on one fold."""
        return f"results/{dataset}/norm/{self.config.models[model].frontend}/fold{fold}.json"

    def init(self, model: str) -> list[str]:
        """The starting weights as an input: one file, or none."""
        init = self.config.models[model].init
        return [] if init == "scratch" else [init]

    def single_label(self, dataset: str) -> bool:
        """Whether each clip has exactly one class."""
        return self.config.datasets[dataset].task == "single-label"

    def first_run(self, dataset: str, model: str) -> Run:
        """The first run planned of a model on a data set."""
        return next(run for run in self.runs if (run.dataset, run.model) == (dataset, model))

    def figures(self, catalog: Mapping[str, Any]) -> list[PlannedFigure]:
        """Each kind of figure in the catalogue, for every data set or for every (data set, model)."""
        places: dict[str, list[tuple[str, str | None]]] = {
            "dataset": [(dataset, None) for dataset in self.datasets],
            "model": [*self.pairs],
        }
        return [
            PlannedFigure(dataset, model, key) for key, kind in catalog.items() for dataset, model in places[kind.scope]
        ]

    def sentence(self) -> str:
        """How many runs of which kind there are."""
        lines = []
        for dataset, model in self.pairs:
            runs = [run for run in self.runs if (run.dataset, run.model) == (dataset, model)]
            folds, seeds = {run.fold for run in runs}, {run.seed for run in runs}
            lines.append(f"{dataset} x {model}: {len(runs)} runs ({len(folds)} folds, {len(seeds)} seeds)")
        return "\n".join(lines)
