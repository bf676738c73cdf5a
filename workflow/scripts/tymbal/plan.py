"""What the rules look up in the configuration; every collecting rule filters the list of runs planned here."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tymbal.config import Config
from tymbal.config.base import Settings
from tymbal.config.data import Clips, FolderSource, ListSource, MadeSource, MixtureSource, PublishedSource
from tymbal.config.models import EncoderSettings, Released, Ssl, start_file
from tymbal.config.pretrain import WITHOUT_EFFECT
from tymbal.config.released import local_path
from tymbal.errors import InputError, some
from tymbal.files import fingerprint
from tymbal.finished import SHARED, with_results
from tymbal.roots import SYNTH, locate
from tymbal.runs import (
    HeldOut,
    PlannedFigure,
    PretrainRun,
    Run,
    plan_pretraining,
    plan_runs,
    start_before,
)
from tymbal.seasons import Season


class Plan:
    """What the rules look up: the runs, and the settings each rule depends on as plain builtins.

    A rule gets only what its computation reads, so that changing something else re-runs nothing.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.planned = plan_runs(config)
        self.runs = self.planned
        self.starts = plan_pretraining(config, self.runs)
        self.season = Season.of(config)
        self.left_out: dict[Run, str] = {}  # of a partial report: run -> why it is not told of
        if config.partial:
            self.runs, self.left_out = with_results(
                {run: self._read_of(run) for run in self.runs},
                config.evaluation,
                {run: self._trained_with(run) for run in self.runs},
            )
            self.starts = plan_pretraining(config, self.runs)

    def _read_of(self, run: Run) -> list[str]:
        """Files of its data set and of its pre-trainings that the report reads beside a run's own."""
        of_data = [*SHARED, "folds_balance.csv", "ingest.json", "quarantine.csv"]
        files = [*(f"results/{run.dataset}/{name}" for name in of_data), self.store(run.dataset, run.model)]
        for start in self._behind(run):
            of_run = ["encoder.safetensors", "encoder.json", "history.csv", "run.json"]
            files += [f"{start.folder}/{name}" for name in of_run]
            files += [f"results/pretrain/{start.corpus}/{name}" for name in ("corpus.json", "clips.csv")]
            files += self.corpus_stores(start.corpus, self.config.pretraining[start.ssl].frontend)
        return files

    def _trained_with(self, run: Run) -> dict[str, Settings]:
        """Folder -> settings: its training, and each pre-training behind it."""
        found: dict[str, Settings] = {start.folder: self.config.pretraining[start.ssl] for start in self._behind(run)}
        return {run.folder: self.config.models[run.model], **found}

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
        """Feature stores that the runs and their pre-trainings read, sorted."""
        stores = {self.store(dataset, model) for dataset, model in self.pairs}
        for run in self.pretrains:
            stores |= set(self.corpus_stores(run.corpus, self.config.pretraining[run.ssl].frontend))
        return sorted(stores)

    @property
    def synthetic(self) -> list[str]:
        """Data sets that are synthesised."""
        return sorted(name for name, dataset in self.config.datasets.items() if dataset.source.format == "synth")

    @property
    def mixtures(self) -> dict[str, MixtureSource]:
        """Data sets that are mixed from others."""
        sources = {name: dataset.source for name, dataset in self.config.datasets.items()}
        return {name: source for name, source in sources.items() if isinstance(source, MixtureSource)}

    def source_files(self, dataset: str) -> list[str]:
        """The files or folders that tell which clips a data set has."""
        settings = self.config.datasets[dataset]
        source = settings.source
        if isinstance(source, MadeSource):
            return [f"resources/{dataset}/tags.csv", f"resources/{dataset}/audio"]
        audio, *others = [locate(path, self.config.folders) for path in settings.data_paths]
        # Where no table lists the files, the folder does; its time tells of new files in it, not in its sub-folders.
        listed = (
            isinstance(source, FolderSource)
            or (isinstance(source, ListSource) and source.table is None)
            or (isinstance(source, PublishedSource) and not source.known.tables)
        )
        return [str(path) for path in ([audio, *sorted(audio.glob("*/"))] if listed else []) + others]

    @property
    def datasets_read(self) -> list[str]:
        """Data sets that the runs and their pre-trainings are made from, sorted."""
        corpora = {dataset for run in self.pretrains for dataset in self.corpus_datasets(run.corpus)}
        made = {*self.datasets, *corpora}
        return sorted(made | {source.dataset for name, source in self.mixtures.items() if name in made})

    @property
    def released(self) -> list[str]:
        """Released checkpoints that the runs and their pre-trainings start from, sorted."""
        models = [self.config.models[model].init for _, model in self.pairs]
        inits = [*models, *(self.config.pretraining[run.ssl].init for run in self.pretrains)]
        return sorted({init.released for init in inits if isinstance(init, Released)})

    @property
    def absent(self) -> list[str]:
        """Of those data sets and checkpoints the ones that are not there, but could be downloaded."""
        offered = [name for name in self.datasets_read if self.config.datasets[name].download]
        datasets = [name for name in offered if not all(Path(path).exists() for path in self.source_files(name))]
        return datasets + [name for name in self.released if not Path(local_path(name)).exists()]

    def manifest_settings(self, dataset: str) -> dict[str, Any]:
        """What decides a manifest: everything but the split and what only later steps read."""
        return self.config.datasets[dataset].model_dump(mode="json", include=set(Clips.model_fields))

    def measure_settings(self, dataset: str) -> dict[str, Any]:
        """What reading the files depends on: where they are, and what their form is."""
        settings = self.config.datasets[dataset]
        audio = f"{SYNTH}:{dataset}/audio" if isinstance(settings.source, MadeSource) else settings.source.audio
        features = settings.features and settings.features.model_dump(mode="json", exclude={"normalised"})
        return {"audio": audio, "features": features}

    def fbank_settings(self, dataset: str, frontend: str) -> dict[str, Any]:
        """What `compute_fbank` reads: the front end, or what is known of features that are given."""
        settings = self.config.datasets[dataset].model_dump(mode="json", include={"channel", "features"})
        return {**settings, "frontend": self.config.frontends[frontend].model_dump(mode="json")}

    def channel(self, dataset: str) -> str | int | None:
        """Which channel of a data set's audio is heard; None if it has no audio, only features."""
        settings = self.config.datasets[dataset]
        return None if settings.features else settings.channel

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

    @property
    def to_audit(self) -> list[str]:
        """Data sets whose split may be audited: for a partial report those that have not been."""
        audit = ("audit.csv", "near_copies.csv")
        return [
            dataset
            for dataset in self.config.datasets
            if not (self.config.partial and all(Path("results", dataset, name).exists() for name in audit))
        ]

    def norm(self, dataset: str, model: str, fold: int | str) -> str:
        """The normalisation statistics a model uses on one fold."""
        return f"results/{dataset}/norm/{self.config.models[model].frontend}/fold{fold}.json"

    def init(self, run: Run | PretrainRun) -> list[str]:
        """The starting weights of a run, planned or not, as an input: one file, or none."""
        init = (self.config.models[run.model] if isinstance(run, Run) else self.config.pretraining[run.ssl]).init
        if isinstance(init, Ssl):
            test = HeldOut(run.dataset, run.fold) if isinstance(run, Run) else self._left_out(run.corpus)
            return [f"{start_before(self.config, init, test).folder}/encoder.safetensors"]
        path = start_file(init)
        return [] if path is None else [path]

    # --- pre-training -------------------------------------------------------------------------------------

    @property
    def pretrains(self) -> list[PretrainRun]:
        """All pre-trainings that a run needs, each after the one it starts from."""
        ordered: dict[PretrainRun, None] = {}

        def add(run: PretrainRun) -> None:
            if run in self.starts:
                add(self.starts[run])
            ordered[run] = None

        for run in sorted({start for run, start in self.starts.items() if isinstance(run, Run)}):
            add(run)
        return list(ordered)

    def pretrain_of(self, run: Run) -> PretrainRun | None:
        """The pre-training a run starts from, if it starts from one."""
        return self.starts.get(run)

    def corpus_name(self, corpus: str) -> str:
        """The name in the configuration of a corpus in a path."""
        return next(name for name in self.config.corpora if corpus == name or corpus.startswith(f"{name}-without-"))

    def corpus_settings(self, corpus: str) -> dict[str, Any]:
        """A corpus whole."""
        return self.config.corpora[self.corpus_name(corpus)].model_dump(mode="json")

    def held_out(self, corpus: str) -> list[HeldOut]:
        """Test parts whose clips are left out of a corpus: one, or all that models made from it are scored on.

        If no planned model is made from it as it is (only, say, from what is left without a fold), these are all test
        parts that it may hold, or that models made from what is left are scored on. Where mixtures are tested, the test
        part that they are mixed from is left out too.
        """
        name = self.corpus_name(corpus)
        settings = self.config.corpora[name]
        if settings.transductive:
            return []
        if (one := self._left_out(corpus)) is not None:
            return self._with_sources([one])
        tested = {run.dataset for run in self.runs if corpus in self._corpora_of(run)} or {
            run.dataset
            for run in self.runs
            if run.dataset in settings.datasets or name in map(self.corpus_name, self._corpora_of(run))
        }
        splits = {dataset: self.config.datasets[dataset].split for dataset in sorted(tested)}
        tests = [
            HeldOut(dataset, fold) for dataset, split in splits.items() if split for fold in range(1, split.n_folds + 1)
        ]
        return self._with_sources(tests)

    def _with_sources(self, tests: list[HeldOut]) -> list[HeldOut]:
        """Test parts, and those that the mixtures among them are mixed from, each once."""
        sources = [self.mixtures[test.dataset] for test in tests if test.dataset in self.mixtures]
        return list(dict.fromkeys([*tests, *(HeldOut(source.dataset, source.fold) for source in sources)]))

    def _left_out(self, corpus: str) -> HeldOut | None:
        """The test part that a corpus's name in a path says it is without."""
        for dataset, settings in self.config.datasets.items():
            prefix = f"{self.corpus_name(corpus)}-without-{dataset}-fold"
            if settings.split and corpus.startswith(prefix) and corpus.removeprefix(prefix).isdigit():
                return HeldOut(dataset, int(corpus.removeprefix(prefix)))
        return None

    def _corpora_of(self, run: Run | PretrainRun) -> list[str]:
        """The corpora of all pre-trainings behind a run."""
        return [start.corpus for start in self._behind(run)]

    def _behind(self, run: Run | PretrainRun) -> Iterator[PretrainRun]:
        """The pre-trainings that a run goes back to, the last first."""
        start = self.starts.get(run)
        while start is not None:
            yield start
            start = self.starts.get(start)

    def corpus_datasets(self, corpus: str) -> list[str]:
        """The data sets of a corpus, in the order of its parts."""
        return list(self.config.corpora[self.corpus_name(corpus)].datasets)

    def corpus_sources(self, corpus: str) -> dict[str, str]:
        """Mixtures among a corpus's data sets -> the data set that each is mixed from."""
        mixtures = self.mixtures
        return {name: mixtures[name].dataset for name in self.corpus_datasets(corpus) if name in mixtures}

    def corpus_stores(self, corpus: str, frontend: str) -> list[str]:
        """Feature stores of a corpus's data sets, by their indices, in the order of its parts."""
        return [f"results/{dataset}/fbank/{frontend}/index.csv" for dataset in self.corpus_datasets(corpus)]

    def published_norms(self, dataset: str, frontend: str) -> dict[str, dict[str, float]]:
        """Model -> mean and std that it is to be normalised by, of those trained on a data set's features."""
        models = {name: self.config.models[name] for of, name in self.pairs if of == dataset}
        return {
            name: model.norm.model_dump(mode="json")
            for name, model in models.items()
            if model.frontend == frontend and model.norm != "fitted"
        }

    def corpus_norm(self, corpus: str, ssl: str) -> str:
        """The normalisation statistics of a pre-training."""
        return f"results/pretrain/{corpus}/norm/{self.config.pretraining[ssl].frontend}.json"

    def pretraining_settings(self, ssl: str) -> dict[str, Any]:
        """A pre-training, but for what does not change its result."""
        return self.config.pretraining[ssl].model_dump(mode="json", exclude={"train": WITHOUT_EFFECT})

    def exportable(self, run: PretrainRun) -> str:
        """The encoder of a pre-training, if SSAST's code knows its network.

        Raises:
            InputError: it does not.
        """
        if (arch := self.config.pretraining[run.ssl].net.arch) != "ssast":
            raise InputError(
                f"{run.folder}/ssast.pth: pre-training {run.ssl!r} is of net.arch {arch!r}, which SSAST's code does "
                f"not know. Ask for one of net.arch 'ssast', or use {run.folder}/encoder.safetensors."
            )
        return f"{run.folder}/encoder.safetensors"

    @property
    def probed(self) -> list[Run]:
        """Runs of models with an encoder, which can be judged before it is fine-tuned."""
        return [run for run in self.runs if isinstance(self.config.models[run.model].net, EncoderSettings)]

    def probe_settings(self, dataset: str, model: str) -> dict[str, Any]:
        """What a probe of a model's starting weights shares with its fine-tuning."""
        settings = self.config.models[model]
        return {
            **settings.model_dump(mode="json", include={"net", "norm", "padding", "long_clips"}),
            "label_percent": settings.train.label_percent,
            "target_rule": self.config.evaluation.target_rule,
            "single_label": self.single_label(dataset),
        }

    # --- prediction ---------------------------------------------------------------------------------------

    def predict_settings(self, *keys: str) -> dict[str, Any]:
        """Of the settings of prediction those that a rule reads."""
        return self.config.predict.model_dump(mode="json", include=set(keys))

    # --- reports ------------------------------------------------------------------------------------------

    def single_label(self, dataset: str) -> bool:
        """Whether each clip has exactly one class."""
        return self.config.datasets[dataset].task == "single-label"

    def runs_of(self, dataset: str, model: str) -> list[Run]:
        """All runs planned of a model on a data set."""
        return [run for run in self.runs if (run.dataset, run.model) == (dataset, model)]

    @property
    def published(self) -> dict[str, list[dict[str, Any]]]:
        """Figures that others have published on the data sets."""
        datasets = {name: self.config.datasets[name] for name in self.datasets}
        return {name: [row.model_dump() for row in settings.published] for name, settings in datasets.items()}

    def first_run(self, dataset: str, model: str) -> Run:
        """The first run planned of a model on a data set."""
        return self.runs_of(dataset, model)[0]

    def first_pretraining(self, ssl: str) -> PretrainRun:
        """The first run planned of a pre-training."""
        return next(run for run in self.pretrains if run.ssl == ssl)

    @property
    def families(self) -> dict[str, str]:
        """Model -> the one with most labels among those that differ from it in nothing but `label_percent`."""
        percent = {model: self.config.models[model].train.label_percent for _, model in self.pairs}
        first: dict[str, str] = {}
        families = {}
        for model in sorted(percent, key=lambda name: (-percent[name], name)):
            settings = self.model_settings(model)
            del settings["train"]["label_percent"]
            families[model] = first.setdefault(fingerprint(settings), model)
        return families

    def figures(self, catalog: Mapping[str, Any]) -> list[PlannedFigure]:
        """Each kind of figure in the catalogue, for everything it can be about."""
        sizes = Counter((dataset, self.families[model]) for dataset, model in self.pairs)
        subjects: dict[str, list[dict[str, str]]] = {
            "dataset": [{"dataset": dataset} for dataset in self.datasets],
            "labels": [{"dataset": dataset} for dataset in sorted({name for (name, _), n in sizes.items() if n > 1})],
            "model": [{"dataset": dataset, "model": model} for dataset, model in self.pairs],
            "pretraining": [{"ssl": ssl} for ssl in dict.fromkeys(run.ssl for run in self.pretrains)],
        }
        return [PlannedFigure(key, subject) for key, kind in catalog.items() for subject in subjects[kind.scope]]

    def sentence(self) -> str:
        """How many runs of which kind there are."""
        lines = []
        if self.config.partial:
            lines = [f"{len(self.runs)} of {len(self.planned)} runs, those that have results"]
        if self.left_out:
            lines.append(f"left out, {len(self.left_out)}:\n  " + some(list(self.left_out.values()), between="\n  "))
        for dataset, model in self.pairs:
            runs = self.runs_of(dataset, model)
            folds, seeds = {run.fold for run in runs}, {run.seed for run in runs}
            lines.append(f"{dataset} x {model}: {len(runs)} runs ({len(folds)} folds, {len(seeds)} seeds)")
        for ssl in sorted({run.ssl for run in self.pretrains}):
            lines.append(f"pre-training {ssl}: {sum(run.ssl == ssl for run in self.pretrains)} runs")
        if self.season:
            lines.append(f"prediction of {self.season.recordings} by {self.season.model}: {self.season.folder}")
        return "\n".join(lines)
