"""Write the validated configuration, defaults filled in."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        import yaml

        from tymbal.files import write_text

        text = yaml.safe_dump(snakemake.params.config, sort_keys=False, allow_unicode=True)
        write_text(Path(snakemake.output.config), text)
