"""Draw one figure from the summary tables."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.report.figures import draw

        draw(
            snakemake.wildcards.figure,
            Path(snakemake.input.metrics).parent,
            snakemake.wildcards.dataset,
            snakemake.wildcards.get("model"),
            Path(snakemake.output.figure),
        )
