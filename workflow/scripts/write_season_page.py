"""Write the page about a season."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.report.season_page import write_season_page

        page = Path(snakemake.output.page)
        write_season_page(page.parent, page)
