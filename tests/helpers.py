"""What several test modules need: the shared reference material, if it is there."""

import ast
import importlib
import importlib.util
import itertools
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from snakemake.utils import update_config

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="the shared reference material is not beside the project")


def golden_inputs() -> ModuleType:
    """The module that regenerates the inputs and weights of the reference vectors."""
    spec = importlib.util.spec_from_file_location("golden_params", SHARED / "golden" / "params.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def golden_file(method: str, name: str) -> "np.lib.npyio.NpzFile":
    """A file of reference vectors, such as `golden_file("ssast", "fbank.npz")`."""
    return np.load(SHARED / "golden" / method / name)


def merged_config(*paths: Path) -> dict[str, Any]:
    """Files of settings, each over those before, as Snakemake merges them."""
    raw: dict[str, Any] = {}
    for path in paths:
        update_config(raw, yaml.safe_load(path.read_text(encoding="utf-8")))
    return raw


@dataclass(frozen=True)
class Checkout:
    """A copy of the project in which commands are typed."""

    folder: Path

    @classmethod
    def copied(cls, source: Path, folder: Path) -> "Checkout":
        """A copy of a checkout, symbolic links kept as links."""
        shutil.copytree(source, folder, symlinks=True)
        return cls(folder)

    def run(self, *command: str, ok: bool = True) -> str:
        """Run a command and return what it printed; `ok` says whether it must succeed or must fail."""
        programs = str(Path(sys.executable).parent)  # this interpreter's snakemake, as in an activated environment
        environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(command, cwd=self.folder, env=environment, text=True, capture_output=True)
        output = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, output[-6000:]
        return output

    def plan(self, *arguments: str) -> dict[str, int]:
        """Rule -> number of jobs, of a dry-run."""
        output = self.run("snakemake", "-n", *arguments)
        table = output.split("Job stats:")[1].split("total")[0]
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, flags=re.M)}


def kill(work: Callable[..., Any], *arguments: Any, at: str, call: int) -> None:
    """Run `work(*arguments)` in a process of its own that is killed, as a lost node is, at a function's n-th call.

    Args:
        work: a function of a module.
        arguments: of `work`.
        at: the function, such as `tymbal.train.loop.set_rate`.
        call: n, from 1.
    """
    process = multiprocessing.get_context("spawn").Process(target=_until_killed, args=(work, arguments, at, call))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def _until_killed(work: Callable[..., Any], arguments: tuple[Any, ...], at: str, call: int) -> None:
    module, _, name = at.rpartition(".")
    owner, calls = importlib.import_module(module), itertools.count(1)
    function = getattr(owner, name)

    def counted(*args: Any, **options: Any) -> Any:
        if next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)

    setattr(owner, name, counted)
    work(*arguments)


def texts(source: Path) -> list[str]:
    """String literals of a module as they are at run time; a dot-dot-dot where a value is filled in."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def write_store(folder: Path, clips: dict[str, np.ndarray], sample_rate: int = 16000, shard_clips: int = 1000) -> Path:
    """A feature store of given features, clip id -> [T, F]; `shard_clips` of them in a shard."""
    import pandas as pd

    from tymbal.config.models import Frontend
    from tymbal.files import write_json
    from tymbal.spectrogram import FeatureState

    ids, index = list(clips), []
    for i in range(0, len(ids), shard_clips):
        chosen = ids[i : i + shard_clips]
        lengths = [len(clips[clip_id]) for clip_id in chosen]
        name = f"1-of-1/shard-{i // shard_clips:05d}.npy"
        starts = np.cumsum([0, *lengths])[:-1]
        index.append(pd.DataFrame({"clip_id": chosen, "shard": name, "start": starts, "n_frames": lengths}))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / name, np.concatenate([clips[clip_id] for clip_id in chosen]).astype(np.float16))
    pd.concat(index).to_csv(folder / "index.csv", index=False)
    n_mels = next(iter(clips.values())).shape[1]
    write_json(folder / "state.json", FeatureState.of(Frontend(sample_rate=sample_rate, n_mels=n_mels)).to_json())
    return folder
