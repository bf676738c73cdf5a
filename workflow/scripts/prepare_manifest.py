"""Make the manifest of a data set."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import Clips
        from tymbal.ingest.manifest import write_manifest
        from tymbal.ingest.prepare import prepare_manifest

        manifest = prepare_manifest(
            Clips(**snakemake.params.dataset),
            snakemake.wildcards.dataset,
            {name: Path(folder) for name, folder in snakemake.params.roots.items()},
            threads=snakemake.threads,
        )
        write_manifest(manifest, Path(snakemake.output.manifest))
