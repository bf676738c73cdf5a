"""Memory and time of training, from one step; starting weights and broken models are told."""

import weakref

import pytest
import torch

from tymbal.config.models import Frontend, Model
from tymbal.config.pretrain import Pretraining
from tymbal.errors import InputError
from tymbal.models.flops import forward_flops
from tymbal.models.ssast import SSAST
from tymbal.pretrain.build import build_pretext
from tymbal.validate.estimate import (
    COMMON_GB,
    CPU_FASTER,
    FAST,
    FROZEN,
    SLOW,
    TRAINED,
    TRAINING,
    WEIGHT,
    Kept,
    Workload,
    accumulation,
    attempts_needed,
    cpu_minutes,
    gpu_minutes,
    holds,
    parameter_bytes,
    training_bytes,
)
from tymbal.validate.findings import Finding
from tymbal.validate.model import Limits, job_findings, patch_findings, start_findings, time_findings, trial_findings
from tymbal.validate.trial import Trial, kept_bytes, try_model, try_pretraining

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
        "n_trained": 10_000_000,
        "loss": 0.7,
        "seconds_per_clip": 0.06,
        "kept": kept,
        "flops_per_clip": 10**9,
        "passes": 3,
    }
    return Trial(**known | changes)


# --- the step ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tried() -> Trial:
    return try_model(model(), Frontend(), 3)


def test_a_sound_model_has_no_problems_and_real_figures(tried):
    assert not tried.problems
    built = SSAST(model().net, 128, 3, torch.Generator().manual_seed(0))
    assert tried.n_parameters == sum(parameter.numel() for parameter in built.parameters())
    assert tried.n_trained == tried.n_parameters
    assert 0.3 < tried.loss < 1.5  # ln 2 for a head that knows nothing
    assert tried.seconds_per_clip > 0


def test_under_a_frozen_encoder_only_the_head_is_trained_and_kept(tried):
    frozen = model(train=TRAIN | {"freeze_encoder": True})
    again = try_model(frozen, Frontend(), 3)
    assert not again.problems
    assert again.n_parameters == tried.n_parameters
    assert again.n_trained == 2 * 192 + 3 * 192 + 3
    assert again.kept["fp32"].per_clip < 0.02 * tried.kept["fp32"].per_clip
    assert f"{again.n_trained:,} of them trained" in trial_findings("model a", frozen, again)[0].title


def test_dropped_patches_need_neither_time_nor_memory(tried):
    """Of four patches and two class tokens four are left."""
    dropped = try_model(model(train=TRAIN | {"patchout": 0.5}), Frontend(), 3)
    assert not dropped.problems
    assert dropped.flops_per_clip == tried.flops_per_clip  # of validation, which sees all
    assert tried.passes == TRAINING and 0.6 * TRAINING < dropped.passes < 0.75 * TRAINING
    assert 0.6 < dropped.kept["fp32"].per_clip / tried.kept["fp32"].per_clip < 0.75


def test_a_random_encoder_that_is_frozen_is_a_warning():
    (warning,) = start_findings("model a", model(train=TRAIN | {"freeze_encoder": True}))
    assert warning.level == "warning" and "on top of a random encoder" in warning.title
    assert not start_findings("model a", model(train=TRAIN | {"freeze_encoder": True}, init={"ssl": "b"}))
    assert not start_findings("model a", model())


def test_patches_that_leave_much_out_are_a_warning():
    """At stride 10, as published, 2 of 128 mel bins and 8 of 1024 frames are not seen: that is told to nobody."""
    published = NET | {"patch": [16, 16], "stride": [10, 10], "n_frames": 1024}
    assert not patch_findings("model a", model(net=published), Frontend())
    (warning,) = patch_findings("model a", model(net=NET | {"patch": [48, 32], "stride": [48, 32]}), Frontend())
    assert warning.level == "warning"
    assert warning.cases == ("32 of 128 mel bins (patches of 48, 48 apart)",)
    assert not patch_findings("model a", model(net={"arch": "cnn"}), Frontend())


def test_what_is_kept_grows_with_the_batch_alone(tried):
    """In float32 nothing but activations is kept; in mixed precision copies of the weights in 16 bits as well."""
    assert tried.kept["fp32"].fixed == 0
    linear = sum(p.numel() for p in SSAST(model().net, 128, 3, torch.Generator()).parameters() if p.ndim > 1)
    assert tried.kept["mixed"].fixed == pytest.approx(2 * linear, rel=0.02)
    assert 0.4 < tried.kept["mixed"].per_clip / tried.kept["fp32"].per_clip < 0.8


def test_what_is_kept_is_at_least_the_inputs_of_the_large_products():
    """Of each block: input of queries/keys/values, of the projection and of both layers of the MLP, in float32."""
    net = model().net
    network = SSAST(net, 128, 3, torch.Generator().manual_seed(0))
    kept = kept_bytes(network, network, torch.zeros(3, 64, 128), None)
    tokens, dim, depth = 4 + 2, 192, 12
    assert kept.per_clip > depth * tokens * dim * (1 + 1 + 1 + 4) * 4


def test_counting_what_is_kept_keeps_nothing():
    """It may be done on a login node, for batches that a cluster holds."""
    network = SSAST(model().net, 128, 3, torch.Generator().manual_seed(0))
    freed = []

    def watch(_module, _inputs, output):
        freed.append(weakref.ref(output))

    for block in network.blocks:
        block.mlp.fc1.register_forward_hook(watch)  # GELU keeps it
    network.blocks[-1].register_forward_hook(lambda *_: alive.append(sum(ref() is not None for ref in freed)))
    alive: list[int] = []
    assert kept_bytes(network, network, torch.zeros(2, 64, 128), None).per_clip > 0
    assert max(alive) <= 2  # of twelve blocks


def test_starting_weights_that_do_not_fit_tell_all_misfits(tmp_path):
    other = model(net=NET | {"size": "small", "patch": [16, 16], "stride": [16, 16]}).net
    weights = SSAST(other, 128, 2, torch.Generator().manual_seed(0)).state_dict()
    state = {f"module.v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state |= {"module.p_input_fdim": torch.tensor(128), "module.p_input_tdim": torch.tensor(64)}
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(InputError) as raised:
        try_model(model(init=str(tmp_path / "small.pth")), Frontend(), 3)
    assert len(raised.value.cases) == 2
    assert any("embedding size" in case for case in raised.value.cases)
    assert any("patch" in case for case in raised.value.cases)


def test_weights_that_overflow_are_an_error(tmp_path):
    weights = SSAST(model().net, 128, 2, torch.Generator().manual_seed(0)).state_dict()
    state = {f"v.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    state["v.norm.weight"][:] = 3e38
    state |= {"p_input_fdim": torch.tensor(128), "p_input_tdim": torch.tensor(64)}
    torch.save(state, tmp_path / "huge.pth")
    tried = try_model(model(init=str(tmp_path / "huge.pth")), Frontend(), 3)
    (finding,) = trial_findings("model a", model(), tried)
    assert finding.level == "error"
    assert any("loss" in case for case in finding.cases)


# --- the step of a pre-training ----------------------------------------------------------------------------


def pretraining(**changes) -> Pretraining:
    net = {key: value for key, value in NET.items() if key != "stride"}
    train = {"epochs": 10, "batch_size": 16} | changes.pop("train", {})
    return Pretraining.model_validate({"frontend": "fbank128", "corpus": "all", "net": net, "train": train} | changes)


@pytest.fixture(scope="module")
def pretried() -> Trial:
    return try_pretraining(pretraining(), Frontend())


def test_a_sound_pretraining_has_no_problems_and_real_figures(pretried):
    assert not pretried.problems
    assert 3 < pretried.loss < 7  # ln 3 of three masked patches, 10 times a variance of 1/4, and what is guessed
    assert pretried.seconds_per_clip > 0
    mixed, fp32 = pretried.kept["mixed"].per_clip, pretried.kept["fp32"].per_clip
    assert 0.4 < mixed / fp32 < 0.8


@pytest.mark.parametrize("objective", ["discriminative", "generative"])
def test_the_head_of_the_other_objective_is_no_problem(objective):
    assert not try_pretraining(pretraining(pretext={"objective": objective}), Frontend()).problems


def test_two_passes_do_and_keep_twice_as_much(pretried):
    twice = try_pretraining(pretraining(pretext={"passes": 2}), Frontend())
    assert 1.9 < twice.flops_per_clip / pretried.flops_per_clip < 2  # each head is used once
    assert 1.5 < twice.kept["fp32"].per_clip / pretried.kept["fp32"].per_clip < 2.1


def test_activation_checkpointing_keeps_less_and_does_more(pretried):
    again = try_pretraining(pretraining(train={"activation_checkpointing": True}), Frontend())
    assert not again.problems
    assert again.flops_per_clip == pytest.approx(pretried.flops_per_clip, rel=1e-3)
    assert (pretried.passes, again.passes) == (3, 4)
    for precision, kept in pretried.kept.items():
        assert kept.per_clip / 12 < again.kept[precision].per_clip < kept.per_clip / 2


@pytest.mark.parametrize("stage, teacher_passes", [(1, 1), (2, 2.44)])
def test_what_a_teacher_computes_costs_no_more_in_a_step(stage, teacher_passes):
    """It hears each clip once, and in stage 2 its mixture and, of the partner, what is in it."""
    net = {"arch": "sslam", "size": "tiny", "patch": [32, 16], "n_frames": 256}
    pretext = {"stage": stage, "clones": 2}
    chosen = pretraining(net=net, pretext=pretext)
    tried = try_pretraining(chosen, Frontend())
    teacher = build_pretext(chosen, 128, torch.Generator().manual_seed(0)).teacher
    once = forward_flops(lambda x: teacher.encode(teacher.embed_patches(x)), torch.zeros(1, 256, 128))
    untrained = (3 - tried.passes) / 2 * tried.flops_per_clip
    assert untrained / once == pytest.approx(teacher_passes, rel=0.02)
    again = try_pretraining(pretraining(net=net, pretext=pretext, train={"activation_checkpointing": True}), Frontend())
    assert again.passes - tried.passes == pytest.approx(1 - untrained / tried.flops_per_clip)


def test_starting_weights_of_a_pretraining_that_do_not_exist_are_told(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        try_pretraining(pretraining(init=str(tmp_path / "nowhere.pth")), Frontend())


# --- memory ------------------------------------------------------------------------------------------------


def test_memory_is_what_the_parts_sum_to():
    kept = Kept(fixed=1000, per_clip=100)
    step = training_bytes(10, kept, 2) - training_bytes(10, kept, 1)
    assert step == pytest.approx(110)  # a tenth more, for the backward pass
    assert training_bytes(11, kept, 1) - training_bytes(10, kept, 1) == 1
    assert parameter_bytes(10, 10) == 10 * (WEIGHT + TRAINED) == 160
    assert parameter_bytes(10, 3) == 10 * WEIGHT + 3 * TRAINED


def test_a_card_is_never_full():
    assert holds(32, 28.8e9)
    assert not holds(32, 31.3e9)


def test_the_smallest_card_with_room_to_spare_is_told():
    """31.3 GB as measured with a base model at stride 10; training it on a card of 32 GB ran out of memory."""
    needed = trial(kept={"mixed": Kept(0, 30_140_000_000 // 16 * 10 // 11), "fp32": Kept(0, 0)})
    assert "needs about 31.3 GB" in trial_findings("model a", model(), needed)[1].title
    assert trial_findings("model a", model(), needed)[1].title.endswith("40 GB cards hold it")


def test_a_batch_is_cut_until_a_common_card_holds_it():
    kept = Kept(fixed=0, per_clip=1_000_000_000)
    parts = accumulation(1_000_000, kept, 48)
    assert parts is not None
    assert holds(COMMON_GB, training_bytes(1_000_000, kept, -(-48 // parts)))
    assert not holds(COMMON_GB, training_bytes(1_000_000, kept, -(-48 // (parts - 1))))
    assert accumulation(1_000_000, kept, 25) == 5  # in equal parts, or the step would be another
    assert accumulation(1_000_000, Kept(0, 30_000_000_000), 48) is None


def test_a_training_too_large_is_a_warning_that_says_how_to_cut_it():
    fits = trial_findings("model a", model(), trial())
    assert {finding.level for finding in fits} == {"info"}
    large = trial(kept={"mixed": Kept(0, 2_200_000_000), "fp32": Kept(0, 4_400_000_000)})
    warning = trial_findings("model a", model(), large)[-1]
    assert warning.level == "warning"
    assert "train.batch_size 8 with train.accumulate 2" in warning.remedy
    fp32 = model(train=TRAIN | {"precision": "fp32"})
    assert "train.batch_size 4 with train.accumulate 4" in trial_findings("model a", fp32, large)[-1].remedy


# --- time --------------------------------------------------------------------------------------------------


def test_time_counts_training_three_times_as_much_as_validation():
    assert cpu_minutes(Workload(60, 0, 16, 10, 10), 1.0, 1) == pytest.approx(10)
    assert cpu_minutes(Workload(60, 60, 16, 10, 10), 1.0, 1) == pytest.approx(10 + 10 / 3)
    assert cpu_minutes(Workload(60, 60, 16, 10, 30), 1.0, 1) == pytest.approx(10 + 10)
    assert cpu_minutes(Workload(60, 0, 16, 10, 10), 1.0, 4) == pytest.approx(10 / 3)
    training, both = (gpu_minutes(Workload(10**6, n, 10**6, 1, 1), 10**9, "mixed", SLOW) for n in (0, 3 * 10**6))
    assert both == pytest.approx(2 * training, rel=0.01)
    assert gpu_minutes(Workload(10**6, 0, 10**6, 1, 1), 10**9, "fp32", SLOW) > training
    assert gpu_minutes(Workload(10**6, 0, 10**6, 1, 1), 10**9, "mixed", FAST) < training


def test_under_a_frozen_encoder_training_takes_no_longer_than_validation():
    assert cpu_minutes(Workload(60, 60, 16, 10, 10, FROZEN), 1.0, 1) == pytest.approx(20)
    training, both = (gpu_minutes(Workload(10**6, n, 10**6, 1, 1, FROZEN), 10**9, "mixed", SLOW) for n in (0, 10**6))
    assert both == pytest.approx(2 * training)
    assert training < gpu_minutes(Workload(10**6, 0, 10**6, 1, 1), 10**9, "mixed", SLOW) / 2


@pytest.mark.parametrize(
    ("minutes", "needed"), [(100, 1), (120, 1), (121, 2), (360, 2), (361, 3), (720, 3), (721, None)]
)
def test_attempts_go_on_where_the_last_was_stopped(minutes, needed):
    assert attempts_needed(minutes, [120, 240, 360]) == needed


def times(minutes: tuple[float, ...], gpus: int = 0, grace: float = 0, **changes) -> list[Finding]:
    """10 epochs of 6,000 clips at 0.06 s are 60 minutes on a processor."""
    limits = Limits("finetune", minutes, gpus, cluster=True, threads=1, grace=grace)
    work = Workload(6000, 0, 16, changes.pop("epochs", 10), changes.pop("rounds", 10))
    return time_findings("model a on b", model(), trial(**changes), work, limits)


def levels(*given, **changes) -> list[str]:
    return [finding.level for finding in times(*given, **changes)]


def test_time_is_held_against_the_limits_of_all_attempts():
    assert levels(()) == ["info"]
    assert levels((60.5,)) == ["info"]
    assert levels((40, 40)) == ["info", "warning"]
    assert levels((40,)) == ["info", "warning"]  # a processor elsewhere may be faster
    assert levels((60 / CPU_FASTER - 1,)) == ["info", "error"]
    assert levels((5,), gpus=1) == ["info"]  # a GPU is asked for, and is faster


def test_a_guess_of_the_card_stops_nothing_that_a_fast_card_can_do():
    """60,000 clips of 3 x 10^12 operations are 6.3 h at 8 TFLOP/s and 21 minutes at 150."""
    large = {"flops_per_clip": 10**12}
    assert levels((400,), gpus=1, **large) == ["info"]
    assert "10 epochs of 6,000 clips" in times((400,))[0].title
    assert "1 epoch of 6,000 clips" in times((400,), epochs=1)[0].title
    [fact, warning] = times((60, 60), gpus=1, **large)
    assert warning.level == "warning"
    assert "21 min (fast card) to 6 h 19 min (slow card)" in warning.title
    assert "it may not end" in warning.title and "all 2 attempts together have 2 h 00 min" in warning.title
    assert "21 min (fast card)" in fact.title and "150 TFLOP/s" in fact.cases[1]
    assert levels((10, 10), gpus=1, **large) == ["info", "error"]


def test_an_attempt_that_is_stopped_before_the_first_checkpoint_does_it_again_and_again():
    """Of 60 minutes in 2 rounds, each takes 30 here and 7.5 on a faster processor."""
    warning = times((29, 58), rounds=2)[-1]
    assert warning.level == "warning"
    assert "8 min to 30 min, but an attempt has 29 min" in warning.title
    assert levels((7, 58), rounds=2) == ["info", "error"]
    assert "nothing is lost" in times((31, 58), rounds=2)[-1].remedy


def test_a_limit_that_is_too_short_is_told_with_both_numbers():
    warning = times((40, 40))[-1]
    assert "15 min to 60 min" in warning.title
    assert "runtime of rule finetune is 40 min" in warning.title
    assert "goes on from the last checkpoint" in warning.remedy


def test_a_training_has_less_than_its_limit_where_it_stops_before_it():
    assert levels((65,)) == ["info"]
    assert levels((65,), grace=10) == ["info", "warning"]
    assert "runtime of rule finetune is 65 min, 10 min of it grace" in times((65,), grace=10)[-1].title


def test_several_gpus_share_the_work():
    large = {"flops_per_clip": 10**12}  # 379 minutes on one slow card
    assert levels((200,), gpus=1, **large) == ["info", "warning"]
    assert levels((200,), gpus=2, **large) == ["info"]
    assert "on 2 GPUs" in times((200,), gpus=2, **large)[0].title


def jobs(minutes: tuple[float, ...] = (), gpus: int = 1, **known) -> list[Finding]:
    return job_findings(Limits("finetune", minutes, gpus, **({"cluster": True, "threads": 1} | known)))


def test_what_a_job_may_use_is_told():
    [fact] = jobs((120, 240), gpus=4, grace=10, nodes=2, mpi=True)
    assert fact.level == "info"
    assert "4 GPUs on 2 nodes and 2 h 00 min, then 4 h 00 min; they stop 10 min before it" in fact.title
    assert not jobs(cluster=False)


def test_a_cluster_without_a_gpu_is_a_warning():
    [_, warning] = jobs(gpus=0)
    assert warning.level == "warning" and "no GPU" in warning.title


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ({"minutes": (10, 20), "grace": 10}, "stops 10 min before its limit, which is 10 min"),
        ({"gpus": 2, "nodes": 2}, "would use the first alone"),
        ({"gpus": 3, "nodes": 2, "mpi": True}, "3 GPUs on 2 nodes"),
    ],
)
def test_requests_that_make_no_sense_are_errors(known, told):
    [_, error] = jobs(**known)
    assert error.level == "error" and told in error.title
    assert not times((10, 20), grace=10)[1:]  # told once
