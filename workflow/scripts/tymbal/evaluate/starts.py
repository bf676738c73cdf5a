"""What a training started from, as its `run.json` tells: which weights, and which clips these had seen."""

from collections.abc import Iterator, Mapping
from typing import Any

from tymbal.config.released import local_path


def start_columns(init: str | Mapping[str, Any]) -> dict[str, str]:
    """Columns of a summary table: `init` is scratch, file or ssl; `start` the file's path or the pre-training's name.

    Args:
        init: as configured.
    """
    if isinstance(init, str):
        return {"init": "scratch", "start": ""} if init == "scratch" else {"init": "file", "start": init}
    if "released" in init:
        return {"init": "file", "start": local_path(init["released"])}
    return {"init": "ssl", "start": init["ssl"]}


def known_of_test_clips(init: str | Mapping[str, Any], dataset: str, fold: int) -> str:
    """What is known of whether a training's starting weights had heard the test clips of its fold.

    Args:
        init: as `run.json` tells it: scratch, or what was loaded, with its `corpus`.
        dataset: evaluated.
        fold: evaluated.

    Returns:
        `clean`: the test part was held out of all that they were made from. `transductive`: it was not. `unknown`: a
        file does not tell, or tells of other data sets, which may hold the same clips under other names.
    """
    if isinstance(init, str):
        return "clean"
    corpora = list(corpora_of(init["corpus"]))
    may_have = [corpus for corpus in corpora if [dataset, fold] not in corpus["held_out"]]
    if any(each["transductive"] or dataset in (part["dataset"] for part in each["parts"]) for each in may_have):
        return "transductive"
    from_scratch = bool(corpora) and "before" not in corpora[-1]
    return "clean" if from_scratch and not may_have else "unknown"


def corpora_of(corpus: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A corpus and those of the trainings before it, the last first.

    Args:
        corpus: facts of it, with those of the corpus before it as `before`, which is None if the weights before it do
            not tell, and missing if there were none; or None for weights that do not tell.
    """
    while corpus is not None:
        yield corpus
        corpus = corpus.get("before")
