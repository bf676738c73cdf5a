"""Write a pre-trained encoder as a checkpoint of the original code."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.pretrain.export import export_ssast

        export_ssast(Path(snakemake.input.encoder), Path(snakemake.output[0]))
