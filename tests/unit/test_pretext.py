"""The pretext task: what is hidden is not seen, padding has no influence, losses are those of their equations."""

import math

import pytest
import torch
from torch import Tensor, nn

from small_pretraining import pretraining
from tymbal.config.models import SsastEncoder
from tymbal.config.pretrain import PatchPretext
from tymbal.models.ssast import SIZES, Size
from tymbal.pretrain.latents import mean_token
from tymbal.pretrain.masks import Mask
from tymbal.pretrain.ssast import MaskedPatchModel, info_nce, reconstruction

N_FRAMES, N_MELS = 48, 16
SQUARE, FRAME = (4, 4), (16, 2)
B, AREA = 3, 16


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(8, 2, 2, 2))
    monkeypatch.setitem(SIZES, "base-nokd", Size(8, 2, 2, 1))


def network(patch: tuple[int, int] = SQUARE, size: str = "tiny") -> MaskedPatchModel:
    """A small model whose weights are all large enough to have an influence."""
    net = SsastEncoder(arch="ssast", size=size, patch=patch, n_frames=N_FRAMES)
    model = MaskedPatchModel(pretraining(net), N_MELS, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def sound(seed: int = 0, n_frames: int = N_FRAMES, n_mels: int = N_MELS) -> Tensor:
    return torch.randn(B, n_frames, n_mels, generator=torch.Generator().manual_seed(seed))


def masked(model: MaskedPatchModel, k: int = 20, seed: int = 0) -> Mask:
    n, generator = model.grid[0] * model.grid[1], torch.Generator().manual_seed(seed)
    return Mask(torch.rand(B, n, generator=generator).argsort()[:, :k], None)


def losses(model: MaskedPatchModel, x: Tensor, n_frames: Tensor | None, settings: PatchPretext) -> dict[str, Tensor]:
    model.zero_grad()
    model.pretext = settings
    found = model.losses(x, n_frames, torch.Generator().manual_seed(7))
    found["loss"].backward()
    return found


def gradients(model: MaskedPatchModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


# --- the model ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [SQUARE, FRAME])
def test_patches_are_the_values_in_the_order_of_the_tokens(patch):
    x, model = sound(), network(patch)
    patches = model.patches(x)
    rows, columns = patch
    for f, t in ((0, 0), (0, 3), (model.grid[0] - 1, model.grid[1] - 1)):
        values = x[1, t * columns : (t + 1) * columns, f * rows : (f + 1) * rows].T  # mel bins first
        assert torch.equal(patches[1, f * model.grid[1] + t], values.flatten())
    # As the kernel of the patch embedding goes over them.
    tokens = patches @ model.patch_embed.proj.weight.flatten(1).T + model.patch_embed.proj.bias
    torch.testing.assert_close(tokens, model.patch_embed(x), rtol=1e-4, atol=1e-5)


def test_what_fills_no_patch_is_left_out():
    """Mel bins and frames beyond the last whole patch."""
    net = SsastEncoder(arch="ssast", patch=SQUARE, n_frames=50)
    model = MaskedPatchModel(pretraining(net), 18, torch.Generator().manual_seed(0))
    x = sound(n_frames=50, n_mels=18)
    assert torch.equal(model.patches(x), network().patches(x[:, :48, :16].contiguous()))
    assert model(x, masked(model)).shape == (B, 20, 8)


@pytest.mark.parametrize("size", ["tiny", "base-nokd"])
@pytest.mark.parametrize("patch", [SQUARE, FRAME])
def test_what_is_masked_is_not_seen(patch, size):
    model, x = network(patch, size), sound()
    mask = masked(model, k=10)
    z = model(x, mask)

    def changed(index: int) -> Tensor:
        f, t = divmod(index, model.grid[1])
        other = x.clone()
        other[0, t * patch[1] : (t + 1) * patch[1], f * patch[0] : (f + 1) * patch[0]] += 3
        return model(other, mask)

    hidden = mask.index[0].tolist()
    assert torch.equal(changed(hidden[0]), z)
    seen = next(i for i in range(model.grid[0] * model.grid[1]) if i not in hidden)
    difference = (changed(seen) - z).abs().amax(dim=(1, 2))
    assert difference[0] > 1e-3
    assert not difference[1:].any()  # another clip's


def test_tokens_come_in_the_order_of_the_mask():
    model, x, mask = network(), sound(), masked(network())
    turned = Mask(mask.index.flip(1), None)
    torch.testing.assert_close(model(x, turned), model(x, mask).flip(1))


def test_activation_checkpointing_changes_memory_alone():
    model, x = network(), sound()
    plain = losses(model, x, None, PatchPretext()), gradients(model)
    model.activation_checkpointing = True
    again = losses(model, x, None, PatchPretext()), gradients(model)
    torch.testing.assert_close(again, plain)


# --- padding -----------------------------------------------------------------------------------------------

TRUE_FRAMES = torch.tensor([N_FRAMES, 30, 17])  # 12, 7 and 4 patches of 4 frames
SETTINGS = [
    PatchPretext(),
    PatchPretext(contrast="predictions", passes=2),
    PatchPretext(masking={"sampling": "original"}),
    PatchPretext(objective="discriminative"),
    PatchPretext(objective="generative"),
]


def padded(x: Tensor, seed: int) -> Tensor:
    """Other values after the last whole patch of each clip."""
    beyond = torch.arange(x.shape[1]) >= (TRUE_FRAMES // 4 * 4)[:, None]
    return torch.where(beyond[:, :, None], 10 * sound(seed), x)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_padding_has_no_influence(settings):
    model, x = network(), sound()
    first = losses(model, padded(x, 1), TRUE_FRAMES, settings), gradients(model)
    second = losses(model, padded(x, 2), TRUE_FRAMES, settings), gradients(model)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert all(value.isfinite().all() for found in first for value in found.values())
    third = losses(model, padded(x + 0.1, 1), TRUE_FRAMES, settings)
    assert third["loss"] != first[0]["loss"]  # what is no padding has one
    without = losses(model, padded(x, 1), None, settings)
    assert without["loss"] != first[0]["loss"]  # and padding that is not told too


def test_padding_has_no_influence_on_what_is_made_of_a_whole_clip():
    model, x = network(), sound()

    def mean(x, n_frames):
        return mean_token(*model.tokens(x, n_frames))

    with torch.no_grad():
        first, second = (mean(padded(x, seed), TRUE_FRAMES) for seed in (1, 2))
        torch.testing.assert_close(first, second, rtol=0, atol=0)
        torch.testing.assert_close(first[:1], mean(x[:1], None))  # that one is full
        torch.testing.assert_close(first[2:], mean(x[2:, :16], None))  # alone
        assert (mean(padded(x, 1), None) - first)[1:].abs().amin(dim=(1, 2)).max() > 0


@pytest.mark.parametrize("settings", [each for each in SETTINGS if each.passes == 1], ids=str)
@pytest.mark.parametrize("t_valid", [5, 12])
def test_a_padded_clip_gives_what_it_gives_alone(settings, t_valid):
    """The same patches of the same clip hidden, once in a batch of full length."""
    model, x = network(), sound()
    t_dim, generator = model.grid[1], torch.Generator().manual_seed(0)
    alone = torch.stack([torch.randperm(4 * t_valid, generator=generator)[:9] for _ in range(B)])
    index = alone // t_valid * t_dim + alone % t_valid
    spare = torch.tensor([t_dim - 1, 2 * t_dim - 1]).expand(B, -1)  # not scored
    scored = torch.arange(11).expand(B, -1) < 9
    mask = Mask(torch.cat([index, spare], dim=1), scored) if t_valid < t_dim else Mask(index, None)
    valid = torch.full((B,), t_valid) if t_valid < t_dim else None

    model.pretext = settings
    together = model.losses_at(x, mask, mask, valid)
    short = Mask(alone, None)
    torch.testing.assert_close(together, model.losses_at(x[:, : 4 * t_valid], short, short, None))


# --- losses ------------------------------------------------------------------------------------------------


def contrast_by_hand(targets: Tensor, predictions: Tensor, contrast: str) -> tuple[float, float]:
    """Equation 1 of SSAST, patch by patch, and the accuracy."""
    terms, right = [], []
    for x, c in zip(targets.tolist(), predictions.tolist(), strict=True):
        score = [[sum(a * b for a, b in zip(xi, cj, strict=True)) for cj in c] for xi in x]
        k = range(len(x))
        for i in k:
            rivals = [score[j][i] if contrast == "targets" else score[i][j] for j in k]
            terms.append(-math.log(math.exp(score[i][i]) / sum(map(math.exp, rivals))))
            # Per prediction the best target: of the scores, or of what the released code makes of them.
            whole = [0.0 if contrast == "targets" else math.log(sum(map(math.exp, score[j]))) for j in k]
            right.append(max(k, key=lambda j: score[j][i] - whole[j]) == i)
    return sum(terms) / len(terms), sum(right) / len(right)


def examples(k: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    targets = torch.randn(2, k, 4, generator=generator)
    return targets, 0.6 * targets + 0.5 * torch.randn(2, k, 4, generator=generator)


@pytest.mark.parametrize("contrast", ["targets", "predictions"])
def test_contrastive_loss_by_hand(contrast):
    loss, accuracy = info_nce(*examples(), None, contrast)
    expected = contrast_by_hand(*examples(), contrast)
    assert loss.item() == pytest.approx(expected[0], rel=1e-5)
    assert accuracy.item() == pytest.approx(expected[1])
    assert 0 < accuracy < 1


def test_the_contrasts_are_two():
    (first, _), (second, _) = (info_nce(*examples(), None, contrast) for contrast in ("targets", "predictions"))
    assert abs(first - second) > 1e-3


@pytest.mark.parametrize("contrast", ["targets", "predictions"])
def test_patches_that_are_not_scored_are_neither_rivals_nor_counted(contrast):
    targets, predictions = examples(6)
    scored = torch.tensor([[True] * 6, [True, False, True, True, False, False]])
    kept = scored[1]
    found = info_nce(targets, predictions, scored, contrast)
    whole = info_nce(targets[:1], predictions[:1], None, contrast)
    part = info_nce(targets[1:, kept], predictions[1:, kept], None, contrast)
    for value, a, b in zip(found, whole, part, strict=True):
        assert value.item() == pytest.approx((6 * a.item() + 3 * b.item()) / 9, rel=1e-5)
    errors = [reconstruction(targets[i : i + 1, s], predictions[i : i + 1, s], None) for i, s in enumerate(scored)]
    expected = (6 * errors[0] + 3 * errors[1]) / 9
    torch.testing.assert_close(reconstruction(targets, predictions, scored), expected)


def test_a_bias_of_the_last_layer_is_trained_by_the_papers_contrast_alone():
    targets, predictions = examples()
    largest = {}
    for contrast in ("targets", "predictions"):
        bias = torch.zeros(4, requires_grad=True)
        info_nce(targets, predictions + bias, None, contrast)[0].backward()
        assert bias.grad is not None
        largest[contrast] = bias.grad.abs().max().item()
    assert largest["targets"] > 0.1
    assert largest["predictions"] < 1e-6


def test_a_prediction_that_knows_nothing_costs_the_logarithm_of_the_number():
    targets, predictions = examples()
    for contrast in ("targets", "predictions"):
        assert info_nce(targets, 0 * predictions, None, contrast)[0].item() == pytest.approx(math.log(6))


def test_reconstruction_is_the_mean_over_all_values():
    targets, predictions = examples()
    expected = ((targets - predictions) ** 2).mean()
    torch.testing.assert_close(reconstruction(targets, predictions, None), expected)


# --- settings ----------------------------------------------------------------------------------------------


def test_the_joint_loss_is_the_weighted_sum():
    found = losses(network(), sound(), None, PatchPretext(mse_weight=3))
    torch.testing.assert_close(found["loss"], found["nce"] + 3 * found["mse"])


@pytest.mark.parametrize(
    ("objective", "parts", "idle"),
    [
        ("joint", {"nce", "accuracy", "mse"}, ()),
        ("discriminative", {"nce", "accuracy"}, ("gpredlayer",)),
        ("generative", {"mse"}, ("cpredlayer",)),
    ],
)
def test_an_objective_trains_its_own_head_and_the_encoder(objective, parts, idle):
    model = network()
    found = losses(model, sound(), None, PatchPretext(objective=objective))
    assert found.keys() == {"loss"} | parts
    trained = {name for name, value in gradients(model).items() if value.any()}
    assert {name for name, _ in model.named_parameters()} - trained == {
        name for name, _ in model.named_parameters() if name.startswith(idle)
    }
    if objective != "joint":
        assert found["loss"].item() == found["nce" if objective == "discriminative" else "mse"].item()


@pytest.mark.parametrize("passes", [1, 2])
def test_one_pass_serves_both_objectives_and_two_have_masks_of_their_own(passes, monkeypatch):
    model, seen = network(), []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda *given: seen.append(given[0]) or encode(*given))
    losses(model, sound(), None, PatchPretext(passes=passes))
    assert len(seen) == passes
    assert passes == 1 or not torch.equal(*seen)


def test_one_pass_equals_two_with_the_same_mask():
    model, x, mask = network(), sound(), masked(network())
    once = model.losses_at(x, mask, mask, None)
    twice = model.losses_at(x, mask, Mask(mask.index.clone(), None), None)
    torch.testing.assert_close(once, twice)


def test_losses_depend_on_the_generator_alone():
    model, x = network(), sound()
    torch.manual_seed(1)
    first = losses(model, x, None, PatchPretext())
    before = torch.random.get_rng_state()
    second = losses(model, x, None, PatchPretext())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    other = model.losses(x, None, torch.Generator().manual_seed(8))
    assert other["loss"] != first["loss"]


def test_losses_are_computed_in_single_precision():
    """Scores of a large patch overflow in half precision."""
    model, x = network(), sound()
    with torch.no_grad():
        nn.init.constant_(model.cpredlayer[2].bias, 300)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses(model, 10 * x, None, PatchPretext())
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert found["loss"].isfinite()


def test_the_task_can_be_learnt():
    """Clips of a tone that goes on: what is hidden can be told from what is seen."""
    net = SsastEncoder(arch="ssast", patch=SQUARE, n_frames=N_FRAMES)
    model = MaskedPatchModel(pretraining(net), N_MELS, torch.Generator().manual_seed(0))
    x = torch.sin(torch.arange(N_MELS) / 3 + 6 * torch.rand(16, 1, 1, generator=torch.Generator().manual_seed(0)))
    x = x.expand(-1, N_FRAMES, -1).contiguous()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    masks, found = torch.Generator().manual_seed(0), []
    for _ in range(120):
        found.append(model.losses(x, None, masks))
        optimizer.zero_grad()
        found[-1]["loss"].backward()
        optimizer.step()
    assert found[-1]["mse"] < 0.3 * found[0]["mse"]
    assert found[-1]["nce"] < 0.8 * found[0]["nce"]
