"""Synthesise the embedded soundscapes."""

from pathlib import Path

from tymbal.smk import step

if __name__ == "__main__":
    with step(snakemake):
        from tymbal.config.data import SynthSource
        from tymbal.synth import synthesise

        source = SynthSource(**snakemake.params.source)
        synthesise(source, Path(snakemake.output.table), Path(snakemake.output.audio))
