"""Tymbal: field recordings in, evaluated sound classifiers out."""

import sys

__version__ = "0.1.0"

# In a container Snakemake offers a script the packages of the environment it was started from, for its own sake. From
# here on what the image lacks must be missing, not be found there.
sys.path[:] = [folder for folder in sys.path if not folder.startswith("/mnt/snakemake")]
