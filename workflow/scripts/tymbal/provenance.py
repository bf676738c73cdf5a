"""What ran: a digest of the code behind a result, and the facts of a run. Read at parse time; no heavy imports."""

import ast
import hashlib
import os
import platform
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import tymbal

PACKAGE = Path(__file__).parent

# Modules that carry settings, messages, files and places but never a number. Left out of every digest, so that a new
# key or a better message does not retrain anything; a setting's value reaches the rules through `params`.
PLUMBING = frozenset(
    {
        "",
        "config",
        "devices",
        "diagnose",
        "energy",
        "errors",
        "files",
        "plan",
        "progress",
        "provenance",
        "runs",
        "seasons",
        "smk",
    }
)


def code_digest(*modules: str) -> str:
    """Twelve hexadecimal digits that change when the logic of these modules, or of any they import, changes.

    Comments, docstrings and formatting do not count: the syntax tree without docstrings is hashed. A rule takes
    the digest as a parameter, so that editing the training loop retrains and a formatter does not.

    Args:
        modules: names below the package, such as `train.finetune`.
    """
    digest = hashlib.sha256()
    for name in sorted(_closure(modules)):
        digest.update(name.encode())
        digest.update(_source(name).logic.encode())
    return digest.hexdigest()[:12]


def _closure(modules: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name.split(".")[0] not in PLUMBING:
            found.add(name)
            waiting += _source(name).imports
    return found


def _file(module: str) -> Path | None:
    """The source of a module of the package, or None if there is no such module."""
    path = PACKAGE.joinpath(*module.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


class Source(NamedTuple):
    """What a digest takes of a module's source.

    Attributes:
        imports: modules of the package that it imports, at the top or inside a function.
        logic: its code without docstrings, comments and formatting.
    """

    imports: tuple[str, ...]
    logic: str


@cache
def _source(module: str) -> Source:
    path = _file(module)
    assert path is not None, f"no module {module!r} in {PACKAGE.name}"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from tymbal import x` names a module, `from tymbal.x import f` may name a function.
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    inside = [name.removeprefix("tymbal.") for name in names if name.startswith("tymbal.")]
    return Source(tuple(name for name in inside if _file(name) is not None), ast.unparse(tree))


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions, machine, commit and container of this process, for `run.json`."""
    packages = ("torch", "numpy", "pandas", "scikit-learn", "soundfile", "soxr", "safetensors")
    return {
        "tymbal": tymbal.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in packages},
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
        "container": os.environ.get("APPTAINER_NAME"),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
        **_commit(),
    }


def _commit() -> dict[str, Any]:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(PACKAGE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):  # no git here, or not a checkout
        return {"commit": None, "dirty": None}
