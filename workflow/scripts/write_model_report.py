"""Write the page about one model on one data set."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.report.document import PageFigure
        from tymbal.report.model_page import write_model_page
        from tymbal.report.recorded import recorded_config

        summary = Path(snakemake.input.config).parent
        write_model_page(
            recorded_config(summary),
            summary,
            snakemake.wildcards.dataset,
            snakemake.wildcards.model,
            [
                PageFigure(*figure, Path(path))
                for figure, path in zip(snakemake.params.figures, snakemake.input.figures, strict=True)
            ],
            Path(snakemake.input.errors),
            Path(snakemake.output.page),
        )
