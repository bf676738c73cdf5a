"""Memory and time of training, from one step; starting weights and broken models are told."""

import pytest
import torch

from tymbal.config import Model
from tymbal.errors import InputError
from tymbal.models.ssast import SSAST
from tymbal.validate.estimate import (
    COMMON_GB,
    PARAMETER,
    Kept,
    Workload,
    accumulation,
    attempts_needed,
    cards_that_hold,
    cpu_minutes,
    gpu_minutes,
    training_bytes,
)
from tymbal.validate.model import Limits, Trial, kept_bytes, time_findings, trial_findings, try_model

NET = {"arch": "ssast", "size": "tiny", "patch": [128, 16], "stride": [128, 16], "n_frames": 64}
TRAIN = {
    "loss": "bce",
    "epochs": 10,
    "batch_size": 16,
    "optimizer": {"name": "adam", "lr": 0.001},
    "schedule": {"name": "cosine"},
}


def model(**changes) -> Model:
    return Model.model_validate({"frontend": "fbank128", "net": NET, "train": TRAIN} | changes)


def trial(**changes) -> Trial:
    kept = {"mixed": Kept(0, 100_000_000), "fp32": Kept(0, 200_000_000)}
    known = {
        "problems": (),
        "n_parameters": 10_000_000,
        "loss": 0.7,
        "seconds_per_clip": 0.06,
        "kept": kept,
        "flops_per_clip": 10**9,
    }
    return Trial(**known | changes)


# --- the step ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tried() -> Trial:
    return try_model(model(), 128, 3)


def test_a_sound_model_has_no_problems_and_real_figures(tried):
    assert not tried.problems
    built = SSAST(model().net, 128, 3, torch.Generator().manual_seed(0))
    assert tried.n_parameters == sum(parameter.numel() for parameter in built.parameters())
    assert 0.3 < tried.loss < 1.5  # ln 2 for a head that knows nothing
    assert tried.seconds_per_clip > 0


def test_what_is_kept_grows_with_the_batch_alone(tried):
    """In float32 nothing but activations is kept; in mixed precision copies of the weights in 16 bits as well."""
    assert tried.kept["fp32"].fixed == 0
    linear = sum(p.numel() for p in SSAST(model().net, 128, 3, torch.Generator()).parameters() if p.ndim > 1)
    assert tried.kept["mixed"].fixed == pytest.approx(2 * linear, rel=0.02)
    assert 0.4 < tried.kept["mixed"].per_clip / tried.kept["fp32"].per_clip < 0.8


def test_what_is_kept_is_at_least_the_inputs_of_the_large_products():
    """Of each block: input of queries/keys/values, of the projection and of both layers of the MLP, in float32."""
    net = model().net
    kept = kept_bytes(SSAST(net, 128, 3, torch.Generator().manual_seed(0)), torch.zeros(3, 64, 128), None)
    tokens, dim, depth = 4 + 2, 192, 12
    assert kept.per_clip > depth * tokens * dim * (1 + 1 + 1 + 4) * 4


def test_starting_weights_that_do_not_fit_tell_all_misfits(tmp_path):
    other = model(net=NET | {"size": "small", "patch": [16, 16], "stride": [16, 16]}).net
    weights = SSAST(other, 128, 2, torch.Generator().manual_seed(0)).state_dict()
    state = {f"module.v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state |= {"module.p_input_fdim": torch.tensor(128), "module.p_input_tdim": torch.tensor(64)}
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(InputError) as raised:
        try_model(model(init=str(tmp_path / "small.pth")), 128, 3)
    assert len(raised.value.cases) == 2
    assert any("embedding size" in case for case in raised.value.cases)
    assert any("patch" in case for case in raised.value.cases)


def test_weights_that_are_not_finite_are_an_error(tmp_path):
    weights = SSAST(model().net, 128, 2, torch.Generator().manual_seed(0)).state_dict()
    state = {f"v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state["v.norm.bias"][0] = float("nan")
    state |= {"p_input_fdim": torch.tensor(128), "p_input_tdim": torch.tensor(64)}
    torch.save(state, tmp_path / "nan.pth")
    tried = try_model(model(init=str(tmp_path / "nan.pth")), 128, 3)
    (finding,) = trial_findings("model a", model(), tried)
    assert finding.level == "error"
    assert any("loss" in case for case in finding.cases)


# --- memory ------------------------------------------------------------------------------------------------


def test_memory_is_what_the_parts_sum_to():
    kept = Kept(fixed=1000, per_clip=100)
    step = training_bytes(10, kept, 2) - training_bytes(10, kept, 1)
    assert step == pytest.approx(110)  # a tenth more, for the backward pass
    assert training_bytes(11, kept, 1) - training_bytes(10, kept, 1) == PARAMETER


def test_cards_that_hold_a_training():
    assert cards_that_hold(7.9e9)[0] == 8
    assert cards_that_hold(8.1e9)[0] == 12
    assert cards_that_hold(81e9) == []


def test_a_batch_is_cut_until_a_common_card_holds_it():
    kept = Kept(fixed=0, per_clip=1_000_000_000)
    parts = accumulation(1_000_000, kept, 48)
    assert parts is not None
    assert training_bytes(1_000_000, kept, -(-48 // parts)) <= COMMON_GB * 1e9
    assert training_bytes(1_000_000, kept, -(-48 // (parts - 1))) > COMMON_GB * 1e9
    assert accumulation(1_000_000, Kept(0, 30_000_000_000), 48) is None


def test_a_training_too_large_is_a_warning_that_says_how_to_cut_it():
    fits = trial_findings("model a", model(), trial())
    assert {finding.level for finding in fits} == {"info"}
    large = trial(kept={"mixed": Kept(0, 2_500_000_000), "fp32": Kept(0, 5_000_000_000)})
    warning = trial_findings("model a", model(), large)[-1]
    assert warning.level == "warning"
    assert "train.batch_size 8 with train.accumulate 2" in warning.remedy
    fp32 = model(train=TRAIN | {"precision": "fp32"})
    assert "train.batch_size 4 with train.accumulate 4" in trial_findings("model a", fp32, large)[-1].remedy


# --- time --------------------------------------------------------------------------------------------------


def test_time_counts_training_three_times_as_much_as_validation():
    assert cpu_minutes(Workload(60, 0, 16, 10), 1.0, 1) == pytest.approx(10)
    assert cpu_minutes(Workload(60, 60, 16, 10), 1.0, 1) == pytest.approx(10 + 10 / 3)
    assert cpu_minutes(Workload(60, 0, 16, 10), 1.0, 4) == pytest.approx(10 / 3)
    training, both = (gpu_minutes(Workload(10**6, n, 10**6, 1), 10**9, "mixed") for n in (0, 3 * 10**6))
    assert both == pytest.approx(2 * training, rel=0.01)
    assert gpu_minutes(Workload(10**6, 0, 10**6, 1), 10**9, "fp32") > training


@pytest.mark.parametrize(
    ("minutes", "needed"), [(100, 1), (120, 1), (121, 2), (360, 2), (361, 3), (720, 3), (721, None)]
)
def test_attempts_go_on_where_the_last_was_stopped(minutes, needed):
    assert attempts_needed(minutes, [120, 240, 360]) == needed


def levels(minutes: tuple[float, ...], gpu: bool = False) -> list[str]:
    """10 epochs of 6,000 clips at 0.06 s are 60 minutes on a processor."""
    limits = Limits(minutes, gpu, threads=1)
    return [finding.level for finding in time_findings("model a on b", model(), trial(), 6000, 0, limits)]


def test_time_is_held_against_the_limits_of_all_attempts():
    assert levels(()) == ["info"]
    assert levels((60.5,)) == ["info"]
    assert levels((40, 40)) == ["info", "warning"]
    assert levels((40,)) == ["info", "error"]
    assert levels((5,), gpu=True) == ["info"]  # a GPU is asked for, and is faster


def test_a_limit_that_is_too_short_is_told_with_both_numbers():
    warning = time_findings("model a", model(), trial(), 6000, 0, Limits((40, 40), False, 1))[-1]
    assert "takes about 60 min" in warning.title
    assert "runtime of rule finetune is 40 min" in warning.title
    assert "goes on from the last epoch" in warning.remedy
