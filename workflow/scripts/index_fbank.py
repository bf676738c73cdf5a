"""Make one feature store of the parts of a data set."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.layout import write_index

        write_index([Path(part) for part in snakemake.input.parts], Path(snakemake.output.index).parent)
