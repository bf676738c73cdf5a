"""Compute the log-mel features of a data set."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import Frontend
        from tymbal.devices import choose_device
        from tymbal.ingest.manifest import read_manifest
        from tymbal.store import compute_store

        compute_store(
            read_manifest(Path(snakemake.input.manifest)),
            {name: Path(folder) for name, folder in snakemake.params.roots.items()},
            Frontend(**snakemake.params.frontend),
            out=Path(snakemake.output.store),
            work=Path(snakemake.params.work),
            threads=snakemake.threads,
            code=snakemake.params.code,
            device=str(choose_device(gpus)) if (gpus := snakemake.resources.get("gpu", 0)) else "cpu",
        )
