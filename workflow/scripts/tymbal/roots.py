"""Named roots: settings and manifests hold `ROOT:path`, only the configuration of a machine says where a root is."""

from collections.abc import Mapping
from pathlib import Path

DATA = "data"  # the root of paths that name none
SYNTH = "synth"  # of synthesised data sets


def split_root(path: str) -> tuple[str, str]:
    """`field:2024/tags.csv` gives ("field", "2024/tags.csv"), `tags.csv` gives ("data", "tags.csv")."""
    root, colon, inner = path.rpartition(":")
    return (root, inner) if colon else (DATA, path)


def locate(path: str, roots: Mapping[str, Path]) -> Path:
    """Where a path of the settings is on this machine."""
    root, inner = split_root(path)
    return roots[root] / inner
