"""Write a pre-trained encoder as a checkpoint of the original code."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.pretrain import Pretraining
        from tymbal.pretrain.export import export_ssast

        settings = Pretraining(**snakemake.params.settings)
        export_ssast(Path(snakemake.input.encoder), settings, Path(snakemake.output[0]))
