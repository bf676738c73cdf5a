"""What a training started from, as its `run.json` tells: which weights, and which clips these had seen."""

from collections.abc import Iterator, Mapping
from typing import Any


def start_columns(init: str | Mapping[str, Any]) -> dict[str, str]:
    """Columns of a summary table: `init` is scratch, file or ssl; `start` the file's path or the pre-training's name.

    Args:
        init: as configured.
    """
    if isinstance(init, str):
        return {"init": "scratch", "start": ""} if init == "scratch" else {"init": "file", "start": init}
    return {"init": "ssl", "start": init["ssl"]}


def transductive(corpora: Iterator[Mapping[str, Any]], dataset: str, fold: int) -> bool:
    """Whether weights may have been made from the test clips of a fold.

    Args:
        corpora: what the weights were pre-trained on, as `corpora_of` gives them.
        dataset: evaluated.
        fold: evaluated.
    """
    return any(
        corpus["transductive"]
        or (dataset in (part["dataset"] for part in corpus["parts"]) and [dataset, fold] not in corpus["held_out"])
        for corpus in corpora
    )


def corpora_of(corpus: Mapping[str, Any] | None) -> Iterator[Mapping[str, Any]]:
    """A corpus and those of the pre-trainings before it, the last first.

    Args:
        corpus: facts of it, with those of the corpus before it as `before`; None for weights that tell of none.
    """
    while corpus is not None:
        yield corpus
        corpus = corpus.get("before")
