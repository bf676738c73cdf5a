"""Benchmarks: what is kept and told of them, and that they compare what they say. Speeds are not tested."""

import random
import sys

import pytest
import torch

from helpers import REPO
from tymbal.models.vit import Attention

sys.path.append(str(REPO / "tests" / "bench"))

import bench_finetune
import bench_gpu
import bench_pretrain
import table
from harness import REGISTRY, Goal, Measurement, NotHere, change, entries, interleaved_medians, keep, kept
from run import line

CPU = torch.device("cpu")
FASTER = Measurement("step", 3.0, "clips/s", 1.5, Goal(1.8, ratio=True), repeats=7)
LARGER = Measurement("step_memory", 900.0, "MB", goal=Goal(800, less=True))


@pytest.fixture
def short(monkeypatch):
    """Clips of 64 frames, 32 patches, for benchmarks of networks; one repetition on what is a GPU elsewhere."""
    for module in (bench_finetune, bench_pretrain, bench_gpu):
        monkeypatch.setattr(module, "N_FRAMES", 64)
    monkeypatch.setattr(bench_pretrain, "N_MASKED", 25)
    monkeypatch.setattr(bench_gpu, "REPEATS", 1)


def test_goals_are_of_the_figure_or_of_its_ratio_and_may_be_missed():
    assert [m.goal.reached(m) for m in (FASTER, LARGER)] == [True, False]
    faster, larger = entries([FASTER, LARGER], threads=2)
    assert (faster["ratio"], faster["goal"], faster["reached"]) == (2.0, "ratio ≥ 1.8", True)
    assert (larger["ratio"], larger["goal"], larger["reached"]) == (None, "≤ 800", False)
    assert (faster["threads"], faster["repeats"], larger["repeats"]) == (2, 7, 1)
    assert "ratio ≥ 1.8 reached" in line(faster, None)
    assert "≤ 800 missed" in line(larger, None)


def test_a_figure_is_told_with_its_change_since_the_last_run_on_the_same_machine(tmp_path):
    path = tmp_path / "bench.json"
    assert kept(path) == {}
    keep(path, entries([FASTER, LARGER], threads=2))
    before = kept(path)
    (now,) = entries([Measurement("step", 6.0, "clips/s")], threads=2)
    keep(path, [now])
    assert kept(path) == before | {"step": now}
    assert change(now, before["step"]) == "× 2"
    assert change(now, before["step"] | {"machine": "another"}) == "other machine"
    assert change(now, None) == ""


def test_medians_leave_out_the_first_call():
    calls = []
    seconds = interleaved_medians([lambda: calls.append("a"), lambda: calls.append("b")], 3, clock=lambda: len(calls))
    assert calls == list("ab" * 4)
    assert seconds == [1, 1]


def test_the_page_gets_a_table_for_each_machine_and_keeps_its_text(tmp_path, monkeypatch):
    made = entries([FASTER, LARGER], threads=2)
    page = tmp_path / "docs" / "performance.md"
    page.parent.mkdir()
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n", encoding="utf-8")
    keep(tmp_path / "results" / "bench" / "bench.json", [made[0], made[1] | {"machine": "another"}])
    monkeypatch.setattr(table, "REPO", tmp_path)
    monkeypatch.setattr(table, "PAGE", page)
    table.main()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    assert "| `step` | 3 | clips/s | 1.5 | 2 | ratio ≥ 1.8: reached | 2 | 7 |" in text
    assert text.count(table.HEAD) == 2
    table.main()
    assert page.read_text(encoding="utf-8") == text


def test_plain_attention_gives_what_the_fused_kernel_gives():
    torch.manual_seed(0)
    attention, x = Attention(dim=24, n_heads=3), torch.randn(2, 7, 24)
    torch.testing.assert_close(bench_finetune.plain_attention(attention, x), attention(x))


def test_the_released_way_of_pre_training_masks_as_many_patches_and_gives_the_same_loss(short):
    model = bench_pretrain.build_model("tiny")
    x = torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0))
    bench_pretrain.check_restatement(model, x)
    assert bench_pretrain.plain_masks(random.Random(0), model, x).shape == (2, 25)


def test_without_a_gpu_its_benchmarks_say_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    names = [name for name in REGISTRY if name.startswith("gpu_")]
    assert len(names) == 4
    for name in names:
        with pytest.raises(NotHere, match="no GPU here"):
            REGISTRY[name]()


def test_a_gpu_with_too_little_memory_stops_nothing(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    @bench_gpu.on_gpu
    def measure(device):
        raise torch.OutOfMemoryError("2 GB")

    with pytest.raises(NotHere, match="too little memory"):
        measure()


def test_what_is_measured_on_a_gpu_can_be_measured(short):
    made = bench_gpu.finetune_step(CPU, "tiny", batch_size=2, matrix=64)
    made += bench_gpu.pretrain_step(CPU, "tiny", batch_size=2, matrix=64)
    made += bench_gpu.features(CPU, n_clips=2)
    assert all(m.value > 0 for m in made)
    assert {m.name for m in made if m.goal} == {
        "gpu_finetune_step_tiny_tflops",
        "gpu_pretrain_step_tiny_tflops",
        "gpu_pretrain_step_tiny_against_amp",
        "gpu_pretrain_step_tiny_against_fp32",
        "gpu_fbank",
    }


@pytest.mark.parametrize(
    ("size", "stride", "gflop"), [("tiny", 16, 23.8), ("tiny", 10, 79.8), ("base", 16, 292), ("base", 10, 783)]
)
def test_operations_of_a_step_are_those_of_the_documentation(size, stride, gflop):
    assert bench_finetune.step_flops(size, stride, 1) / 1e9 == pytest.approx(gflop, rel=2e-3)
    assert f"{gflop:g} GFLOP" in (REPO / "docs" / "performance.md").read_text(encoding="utf-8")
