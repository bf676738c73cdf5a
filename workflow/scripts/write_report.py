"""Write the page over all experiments."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.report.document import PageFigure
        from tymbal.report.index_page import write_index
        from tymbal.report.recorded import recorded_config

        summary = Path(snakemake.input.config).parent
        write_index(
            recorded_config(summary),
            summary,
            [
                PageFigure(*figure, Path(path))
                for figure, path in zip(snakemake.params.figures, snakemake.input.figures, strict=True)
            ],
            Path(snakemake.output.page),
        )
