"""Write the report page."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config import read_split
        from tymbal.report.page import PageFigure, write_page

        write_page(
            Path(snakemake.input.metrics).parent,
            [
                PageFigure(*figure, Path(path))
                for figure, path in zip(snakemake.params.figures, snakemake.input.figures, strict=True)
            ],
            {dataset: read_split(split) for dataset, split in snakemake.params.splits.items()},
            Path(snakemake.output.page),
        )
