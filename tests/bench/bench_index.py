"""What millions of clips cost before anything is learnt: manifest, split, index."""

import datetime
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bench_features import features_1m8
from bench_split import split_1m8
from harness import Measurement, benchmark

from tymbal.config.data import Clips
from tymbal.devices import peak_memory_mb
from tymbal.ingest.lookup import read_names
from tymbal.ingest.manifest import read_manifest, write_manifest
from tymbal.ingest.match import match
from tymbal.ingest.measure import read_measured
from tymbal.ingest.prepare import assemble

N_RECORDINGS, N_SEGMENTS, N_SITES = 182_000, 10, 20
CLASSES = [
    "Cicada",
    "Insect",
    "Bird",
    "Owl",
    "Frog",
    "Mammal",
    "Speech",
    "Wind",
    "Rain",
    "Stream",
    "Silence",
    "Aircraft",
]
SHARDS = 8


@benchmark("index_1m8")
def index_1m8() -> list[Measurement]:
    """1.82 million feature files in a JSON manifest with foreign paths and labels: only names and tables are read."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_sources(folder)
        start = time.perf_counter()
        _manifest_1m8(folder)
        manifest = read_manifest(folder / "manifest.csv")
        measurements = [Measurement("index_1m8_manifest", time.perf_counter() - start, "s")]
        measurements += split_1m8(manifest)
        measurements += features_1m8(manifest)
    return [*measurements, Measurement("index_1m8_memory", peak_memory_mb(torch.device("cpu")), "MB")]


def _manifest_1m8(folder: Path) -> None:
    """What list_clips and prepare_manifest do, apart from walking over the files."""
    source = {"format": "json", "manifests": "all.json", "audio": "specs"}
    dataset = Clips.model_validate({"source": source, "task": "multi-label", "classes": CLASSES, "features": {}})
    path_map = {"D:/field/specs": "specs"}
    matched = match(dataset, "lab", {"data": folder}, path_map, read_names(folder / "files.txt"))
    measured = read_measured(sorted(folder.glob("measured-*.csv")))
    prepared = assemble(dataset, matched, measured)
    assert not prepared.problems
    write_manifest(prepared.manifest, folder / "manifest.csv")


def _write_sources(folder: Path) -> None:
    """The manifest, the listing and what was measured; in pieces, so that they do not count as memory."""
    rng = np.random.default_rng(0)
    n_files = N_RECORDINGS * N_SEGMENTS
    labels = rng.integers(0, len(CLASSES), (n_files, 2)) * rng.integers(0, 2, (n_files, 1))
    with (folder / "all.json").open("w") as manifest, (folder / "files.txt").open("w") as listing:
        manifest.write('{"data": [')
        for i, file in enumerate(names()):
            own = sorted({CLASSES[label] for label in labels[i]})
            entry = {"wav": f"D:\\field\\specs\\{file}", "labels": own, "weights": [1.0, 0.6][: len(own)]}
            manifest.write((", " if i else "") + json.dumps(entry))
            listing.write(f"{file}\n")
        manifest.write("]}")
    tables = [(folder / f"measured-{i}.csv").open("w") for i in range(SHARDS)]
    for table in tables:
        table.write("file,sample_rate,channels,duration_s,n_samples,sha256,problem\n")
    for i, file in enumerate(names()):
        tables[i * SHARDS // n_files].write(f"{file},16000,1,5.995,598,{i:064x},\n")
    for table in tables:
        table.close()


def names(n_recordings: int = N_RECORDINGS) -> Iterator[str]:
    """Files of recordings at several sites, a segment each."""
    for i in range(n_recordings):
        begin = datetime.datetime(2024, 1, 1) + datetime.timedelta(minutes=10 * (i // N_SITES))
        for k in range(1, N_SEGMENTS + 1):
            yield f"SITE{i % N_SITES:02}_{begin:%Y%m%d_%H%M%S}_{k}.pt"
