"""Gather the probes of all runs and show their means."""

import logging
from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal import progress
        from tymbal.evaluate.tables import write_table
        from tymbal.pretrain.probe_table import collect, readable
        from tymbal.runs import Run

        runs = [Run(*run) for run in snakemake.params.runs]
        table = collect([(run, Path(run.folder)) for run in runs])
        write_table(table, Path(snakemake.output.probe))
        logging.getLogger(__name__).info("probes:\n%s", readable(table))
        print(readable(table), file=progress.terminal, flush=True)
