"""Compute the log-mel features of one part of a data set, or import those that are given."""

from pathlib import Path

from tymbal.smk import device, roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.compute import compute_part, part_of
        from tymbal.config.data import Features
        from tymbal.config.models import Frontend
        from tymbal.ingest.manifest import read_manifest

        settings = snakemake.params.settings
        compute_part(
            part_of(read_manifest(Path(snakemake.input.manifest)), snakemake.wildcards.part),
            roots(snakemake),
            Frontend(**settings["frontend"]),
            Features(**settings["features"]) if settings["features"] else None,
            settings["channel"],
            out=Path(snakemake.output.part),
            work=Path(snakemake.params.work),
            threads=snakemake.threads,
            code=snakemake.params.code,
            device=str(device(snakemake)) if snakemake.resources.get("gpu", 0) else "cpu",
        )
