"""What several chains begin with."""

from pathlib import Path

import pytest

from helpers import Checkout


@pytest.fixture(scope="session")
def with_features(clean_checkout, tmp_path_factory) -> Path:
    """A checkout in which the test configuration's clips are made and their features computed; to be copied."""
    checkout = Checkout.copied(clean_checkout, tmp_path_factory.mktemp("features") / "tymbal")
    checkout.run("snakemake", "features", "--profile", "local", "--cores", "2", "--configfile", "config/test.yaml")
    return checkout.folder
