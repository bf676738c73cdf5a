"""Draw one figure from the summary tables."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.report.figures import draw

        arrays = snakemake.input.get("arrays")
        draw(
            snakemake.wildcards.figure,
            Path(snakemake.params.summary),
            {name: value for name, value in snakemake.wildcards.items() if name != "figure"},
            Path(arrays) if arrays else None,
            Path(snakemake.output.figure),
        )
