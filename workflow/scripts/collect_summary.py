"""Gather all runs, data sets and pre-trainings into the summary tables."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate import summary
        from tymbal.evaluate.tables import write_table
        from tymbal.pretrain import summary as pretrain_summary
        from tymbal.runs import PretrainRun, Run

        params = snakemake.params
        runs = [Run(*run) for run in params.runs]
        pretrains = [PretrainRun(*run) for run in params.pretrains]
        tables = summary.collect(
            [(run, Path(run.folder)) for run in runs],
            {dataset: Path("results", dataset) for dataset in params.datasets},
            params.families,
        ) | pretrain_summary.collect(
            [(run, Path(run.folder)) for run in pretrains],
            {corpus: Path("results/pretrain", corpus) for corpus in params.corpora},
        )
        for name, table in tables.items():
            write_table(table, Path(snakemake.output[name]))
