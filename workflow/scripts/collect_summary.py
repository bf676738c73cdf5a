"""Gather all runs and data sets into the summary tables."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate.summary import collect
        from tymbal.evaluate.tables import write_table
        from tymbal.runs import Run

        runs = [Run(*run) for run in snakemake.params.runs]
        tables = collect(
            [(run, Path(run.folder)) for run in runs],
            {dataset: Path("results", dataset) for dataset in snakemake.params.datasets},
        )
        for name, table in tables.items():
            write_table(table, Path(snakemake.output[name]))
