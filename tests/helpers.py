"""What several test modules need: the shared reference material, if it is there."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

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
