"""Figures and pictures of docs/explanation/transformers.md are those of the code."""

import re

import torch

from helpers import REPO
from tymbal.config.models import Ssast, Sslam
from tymbal.config.pretrain import CLONES, BlockMasking, Masking
from tymbal.models.ssast import SIZES
from tymbal.pretrain import block_masks, masks

TEXT = (REPO / "docs" / "explanation" / "transformers.md").read_text(encoding="utf-8")
WORDS = " ".join(TEXT.split())
GRID = 8, 64


def test_numbers_of_patches_are_those_that_are_drawn():
    height, width = Ssast(arch="ssast").patch
    assert (128 // height, 1024 // width) == GRID and "128 *mel bins*" in TEXT
    assert f"patches*, of {height} bins and {width} frames (0.{width} s)" in WORDS
    hidden = masks.n_masked(Masking(), GRID)
    assert f"Of 512 patches {hidden} are hidden" in WORDS and f"the {512 - hidden} that are left" in WORDS
    visible = int(block_masks.n_visible(BlockMasking(), 512))
    assert f"| {512 - hidden} of 512 | {visible} of 512, with several masks" in WORDS and min(CLONES.values()) > 1
    drawn = block_masks.draw(BlockMasking(), GRID, 1, 1, None, torch.Generator())
    assert drawn.visible.shape[2] == visible


def test_networks_are_as_told():
    assert f"{SIZES['tiny'].dim} of them in the tiny model, {SIZES['base'].dim} in the base model" in WORDS
    assert Ssast(arch="ssast").pooling == "mean" and Sslam(arch="sslam").pooling == "cls"
    assert "| mean of all tokens | the class token |" in TEXT
    assert "| tiny, small, base | tiny, small, base, large |" in TEXT


def test_pictures_are_drawn_by_the_script():
    script = (REPO / "docs" / "pictures" / "drawings.py").read_text(encoding="utf-8")
    shown = re.findall(r"\(\.\./pictures/(\w+)\.svg\)", TEXT)
    assert shown == ["ssast", "sslam"]
    assert all(f'"{name}": {name}' in script and (REPO / f"docs/pictures/{name}.svg").is_file() for name in shown)
