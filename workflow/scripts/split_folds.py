"""Split the clips of a data set into grouped, stratified folds."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import read_split
        from tymbal.folds import write_folds
        from tymbal.ingest.manifest import read_manifest
        from tymbal.split import split_folds

        folds, balance = split_folds(read_manifest(Path(snakemake.input.manifest)), read_split(snakemake.params.split))
        write_folds(folds, Path(snakemake.output.folds), balance, Path(snakemake.output.balance))
