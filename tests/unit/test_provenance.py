"""A digest of the code changes with logic, also that of imported modules, and with nothing else."""

import pytest

from tymbal import provenance
from tymbal.provenance import code_digest


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two modules, the first importing the second inside a function."""
    (tmp_path / "train.py").write_text(
        '"""Train."""\n\ndef fit(x):\n    """Fit."""\n    from tymbal.loss import mse\n\n    return mse(x)  # why\n'
    )
    (tmp_path / "loss.py").write_text("def mse(x):\n    return x * x\n")
    (tmp_path / "errors.py").write_text("TEXT = 'a'\n")
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)

    def digest() -> str:
        provenance._source.cache_clear()
        return code_digest("train")

    yield tmp_path, digest
    monkeypatch.undo()
    provenance._source.cache_clear()


def test_comments_docstrings_and_format_do_not_count(package):
    folder, digest = package
    before = digest()
    (folder / "train.py").write_text(
        '"""Train a model."""\n\n\ndef fit(x):\n    """Fit."""\n    from tymbal.loss import mse\n    return mse( x )\n'
    )
    assert digest() == before


def test_logic_of_an_imported_module_counts(package):
    folder, digest = package
    before = digest()
    (folder / "loss.py").write_text("def mse(x):\n    return x * x / 2\n")
    assert digest() != before


def test_the_training_digest_reaches_the_model_and_leaves_out_plumbing():
    closure = provenance._closure(("train.finetune",))
    assert {"models.ssast", "models.vit", "train.loop", "store", "spectrogram"} <= closure
    assert not closure & provenance.PLUMBING
    assert not any(name.startswith("report") for name in closure)


def test_where_and_how_long_a_training_may_run_is_in_no_digest():
    """A better message about locks, staging, devices or limits must not retrain anything; the precision must."""
    closure = provenance._closure(("train.finetune", "pretrain.pretrain"))
    assert not closure & {"lock", "staging", "devices", "errors", "smk"}
    assert "train.precision" in closure


def test_how_starting_weights_are_read_is_in_the_digest_of_training_alone():
    loading = {"models.sources", "models.checkpoints", "models.ssast_start", "models.sslam_start"}
    assert loading <= provenance._closure(("train.finetune",))
    scoring = provenance._closure(("evaluate.validation", "evaluate.scoring"))
    assert "models.sslam" in scoring
    assert not scoring & loading


def test_an_unknown_module_is_our_mistake():
    with pytest.raises(AssertionError, match="no module 'nothing'"):
        code_digest("nothing")
