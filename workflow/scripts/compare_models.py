"""Compare the models of each data set pair by pair."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate.paired import compare
        from tymbal.evaluate.tables import write_table
        from tymbal.runs import Run

        runs = [Run(*run) for run in snakemake.params.runs]
        write_table(compare([(run, Path(run.folder)) for run in runs]), Path(snakemake.output.paired))
