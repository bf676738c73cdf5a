"""Measure one part of the files of a data set."""

from pathlib import Path

from tymbal.smk import roots, step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.data import Features
        from tymbal.ingest.lookup import read_names
        from tymbal.ingest.measure import measure, part_of, write_measured
        from tymbal.roots import locate

        settings = snakemake.params.settings
        measured = measure(
            locate(settings["audio"], roots(snakemake)),
            part_of(read_names(Path(snakemake.input.used)), snakemake.wildcards.shard),
            Features(**settings["features"]) if settings["features"] else None,
            threads=snakemake.threads,
        )
        write_measured(measured, Path(snakemake.output.measured))
