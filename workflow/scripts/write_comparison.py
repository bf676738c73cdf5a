"""Write the comparison of models as a table to read."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.evaluate.tables import read_table
        from tymbal.files import write_text
        from tymbal.report.comparison_table import comparison

        tables = {name: read_table(Path(path)) for name, path in snakemake.input.items()}
        write_text(Path(snakemake.output.comparison), comparison(tables))
