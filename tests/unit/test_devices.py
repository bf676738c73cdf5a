"""A GPU that was asked for and is not there stops a job, unless the CPU is allowed."""

import logging

import pytest
import torch

from tymbal.devices import choose_device
from tymbal.errors import InputError
from tymbal.train.precision import autocast_dtype

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu_there(monkeypatch):
    return lambda there: monkeypatch.setattr(torch.cuda, "is_available", lambda: there)


def test_a_gpu_is_used_where_there_is_one(gpu_there):
    gpu_there(True)
    assert choose_device(0) == choose_device(1) == choose_device(1, allow_cpu=True) == GPU


def test_a_gpu_asked_for_and_not_visible_is_told(gpu_there, monkeypatch):
    gpu_there(False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(
        InputError, match=r"asked for 1 GPU, .* \(CUDA_VISIBLE_DEVICES='0'\).* --nv .*`allow_cpu: true`"
    ):
        choose_device(1)


def test_the_cpu_is_taken_where_nothing_else_is_wanted_or_where_it_is_allowed(gpu_there, caplog):
    gpu_there(False)
    with caplog.at_level(logging.WARNING):
        assert choose_device(0) == CPU
        assert not caplog.records
        assert choose_device(2, allow_cpu=True) == CPU
    assert "the job asked for 2: computing on the CPU, as allow_cpu says" in caplog.text


def test_the_precision_of_a_cpu_is_full_unless_said_otherwise():
    assert [autocast_dtype(name, CPU) for name in ("auto", "fp32", "bf16")] == [None, None, torch.bfloat16]


@pytest.mark.parametrize(
    ("precision", "units", "said"),
    [
        ("auto", {"avx512_bf16": True}, "faster with train.precision bf16"),
        ("auto", {}, ""),
        ("bf16", {"amx_bf16": True}, ""),
        ("bf16", {"avx512_bf16": False}, "no units"),
        ("fp32", {"avx512_bf16": True}, ""),
    ],
)
def test_the_log_says_where_another_precision_is_faster_on_a_processor(precision, units, said, monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: units)
    with caplog.at_level(logging.INFO):
        autocast_dtype(precision, CPU)
    assert said in caplog.text and bool(said) == bool(caplog.text)
