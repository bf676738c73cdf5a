"""Gather all runs, data sets and pre-trainings into the summary tables."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        import pandas as pd

        from tymbal.config import Evaluation
        from tymbal.evaluate import summary
        from tymbal.evaluate.tables import read_table, write_table
        from tymbal.pretrain import summary as pretrain_summary
        from tymbal.runs import PretrainRun, Run

        params = snakemake.params
        runs = [Run(*run) for run in params.runs]
        pretrains = [PretrainRun(*run) for run in params.pretrains]
        tables = summary.collect(
            [(run, Path(run.folder)) for run in runs],
            {dataset: Path("results", dataset) for dataset in params.datasets},
            params.families,
            Evaluation(**params.evaluation),
        ) | pretrain_summary.collect(
            [(run, Path(run.folder)) for run in pretrains],
            {corpus: Path("results/pretrain", corpus) for corpus in params.corpora},
        )
        tables |= {
            "planned": summary.planned_runs([Run(*run) for run in params.planned], runs),
            "published": summary.published(params.published),
            "disagreements": pd.concat([read_table(Path(path)) for path in snakemake.input.errors]),
        }
        for name, table in tables.items():
            write_table(table, Path(snakemake.output[name]))
