"""What a configuration may say of prediction."""

import pytest

from helpers import REPO, merged_config
from tymbal.config import load
from tymbal.errors import InputError

RAW = merged_config(REPO / "config" / "config.yaml")


def test_recordings_and_model_belong_together():
    assert load(RAW).predict.batch_size == 16
    assert load({**RAW, "recordings": "/season", "model": "results/a/b/fold1/seed0"}).recordings == "/season"
    with pytest.raises(InputError, match="model: missing, but 'recordings' is '/season'; prediction needs both"):
        load({**RAW, "recordings": "/season"})
    with pytest.raises(InputError, match="recordings: missing, but 'model' is 'results/a'"):
        load({**RAW, "model": "results/a"})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "Sommer 2024"),
        ("length_s", 0),
        ("overlap", 1),
        ("channel", 0),
        ("name_patterns", ["(?P<site>.+)"]),
        ("job_hours", 0),
        ("label_next", {"clips": 0}),
        ("hop", 1),
    ],
)
def test_wrong_settings_are_named(key, value):
    with pytest.raises(InputError, match=rf"predict\.{key}"):
        load({**RAW, "predict": {key: value}})
