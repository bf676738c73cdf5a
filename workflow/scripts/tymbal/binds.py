"""What jobs in a container must see beside the working directory, told by the configuration and by symbolic links."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tymbal.config import Config
from tymbal.config.models import start_file
from tymbal.errors import InputError
from tymbal.roots import locate
from tymbal.seasons import data_beside, is_list

CHECKOUT = Path(__file__).parents[3]
MOUNTED = (Path("/tmp"), Path("/var/tmp"))  # by Apptainer itself, beside the working directory
# Apptainer reads the first, SingularityCE the second; Apptainer warns if they differ.
VARIABLES = ("APPTAINER_BIND", "SINGULARITY_BIND")
OURS = "TYMBAL_BIND"  # what of these is ours: a job on another machine has other folders


def bind_paths(config: Config, workdir: Path) -> list[Path]:
    """Files and folders outside the working directory that rules read or write.

    Data roots, starting checkpoints, recordings and the model that predicts them, the checkout, temporary and staging
    folders, Snakemake's cache between workflows, and whatever symbolic links in the working directory and in results/
    lead to. A path that goes through symbolic links is told as written and as each of them leads on, because all of
    them are followed in the container, too.

    Args:
        config: the checked configuration.
        workdir: working directory, without symbolic links.

    Returns:
        Existing absolute paths, sorted; none lies in another.
    """
    wanted = [CHECKOUT, Path(tempfile.gettempdir()), *config.folders.values()]
    wanted += [locate(path, config.folders) for dataset in config.datasets.values() for path in dataset.data_paths]
    starts = [*(model.init for model in config.models.values()), *(ssl.init for ssl in config.pretraining.values())]
    wanted += [Path(path) for init in starts if (path := start_file(init)) is not None]
    if config.recordings is not None and config.model is not None:
        recordings, model = Path(config.recordings), Path(config.model)
        wanted += [recordings.parent if is_list(recordings) else recordings, data_beside(model) or model]
    if config.predict.thresholds is not None:
        wanted.append(Path(config.predict.thresholds))
    places = (os.path.expandvars(config.stage or ""), os.environ.get("SNAKEMAKE_OUTPUT_CACHE", ""))
    wanted += [Path(place) for place in places if place]
    for folder in (workdir, workdir / "results"):
        wanted += [path for path in folder.glob("*") if path.is_symlink()]
    found = {hop for path in wanted for hop in _hops(Path(os.path.normpath(workdir / path)))}
    outside = {path for path in found if not any(path.is_relative_to(mounted) for mounted in (workdir, *MOUNTED))}
    return sorted(path for path in outside if not outside.intersection(path.parents))


def check_mountable(paths: Sequence[Path]) -> None:
    """Stop before anything runs where Apptainer's options could not hold a path.

    Raises:
        InputError: with all such paths.
    """
    problems = [f"{str(path)!r}: holds a comma, colon, backslash or line break" for path in paths if _odd(path)]
    problems += [f"{str(path)!r}: is the whole file system" for path in paths if path == Path("/")]
    if problems:
        remedy = "name another folder in the configuration, rename the folder or remove the symbolic link"
        raise InputError.listing("paths that cannot be mounted in the rules' container", problems, remedy)


def bind_variables(environment: Mapping[str, str], paths: Sequence[Path]) -> dict[str, str]:
    """Environment variables that make Apptainer mount these paths beside what the user asks it to.

    Args:
        environment: in which it will be started, as the user or an earlier call of this function left it.
        paths: absolute paths, checked.
    """
    given = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    given = given.removesuffix(environment.get(OURS, "")).rstrip(",")
    asked = {Path(entry.split(":")[1 if ":" in entry else 0]) for entry in given.split(",")}
    ours = ",".join(str(path) for path in paths if path not in asked)
    return {OURS: ours, **dict.fromkeys(VARIABLES, ",".join(filter(None, (given, ours))))}


def _odd(path: Path) -> bool:
    return any(sign in str(path) for sign in ",:\\\n")


def _hops(path: Path) -> Iterator[Path]:
    """The path, if it exists, and what it becomes as each symbolic link on the way is followed."""
    if not os.access(path, os.F_OK):
        return
    yield path
    for part in reversed((path, *path.parents)):
        if part.is_symlink():
            yield from _hops(Path(os.path.normpath(part.parent / part.readlink() / path.relative_to(part))))
            return
