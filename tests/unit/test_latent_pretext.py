"""Prediction of a teacher's view: what is hidden is not seen, padding has no influence, losses and targets by hand."""

import math

import pytest
import torch
from torch import Tensor

from tymbal.config.pretrain import Pretraining
from tymbal.models.sslam import SIZES, Size
from tymbal.pretrain.block_masks import BlockMask, draw
from tymbal.pretrain.latents import UTTERANCE_ROWS, frame_loss, mean_token, prediction_std, targets, utterance_loss
from tymbal.pretrain.mixtures import Mixing, mix
from tymbal.pretrain.sslam import MaskedLatentModel
from tymbal.train.distributed import Share

N_FRAMES, N_MELS, SIDE = 48, 16, 4  # 12 columns of 4 patches
B, F_DIM, T_DIM, DIM = 3, 4, 12, 32
STAGES = pytest.mark.parametrize("stage", [1, 2])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "tiny", Size(DIM, 2, 2, 2, 3))


def fresh(stage: int = 1, n_frames: int = N_FRAMES, n_mels: int = N_MELS, **pretext) -> MaskedLatentModel:
    settings = Pretraining.model_validate(
        {
            "frontend": "fbank",
            "corpus": "noise",
            "net": {"arch": "sslam", "size": "tiny", "patch": (SIDE, SIDE), "n_frames": n_frames},
            "pretext": {"stage": stage, "clones": 2, **pretext},
            "train": {"epochs": 1, "batch_size": B},
        }
    )
    return MaskedLatentModel(settings, n_mels, torch.Generator().manual_seed(0))


def network(stage: int = 1, n_frames: int = N_FRAMES, n_mels: int = N_MELS, **pretext) -> MaskedLatentModel:
    """A small model whose weights are all large enough to have an influence, and whose teacher differs from it."""
    model = fresh(stage, n_frames, n_mels, **pretext)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model


def sound(seed: int = 0, n_frames: int = N_FRAMES, n_mels: int = N_MELS, batch: int = B) -> Tensor:
    return torch.randn(batch, n_frames, n_mels, generator=torch.Generator().manual_seed(seed))


def losses(model: MaskedLatentModel, x: Tensor, n_frames: Tensor | None = None, **given) -> dict[str, Tensor]:
    model.zero_grad()
    found = model.losses(x, n_frames, torch.Generator().manual_seed(7), **given)
    if found["loss"].requires_grad:
        found["loss"].backward()
    return {name: value.detach() for name, value in found.items()}


def gradients(model: MaskedLatentModel) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def masked(model: MaskedLatentModel, batch: int = B, t_dim: int = T_DIM, seed: int = 0) -> BlockMask:
    return draw(model.pretext.masking, (F_DIM, t_dim), batch, 2, None, torch.Generator().manual_seed(seed))


def noise(rows: int = B, t_dim: int = T_DIM) -> Tensor:
    return 0.01 * torch.randn(rows, 2, t_dim * F_DIM, DIM, generator=torch.Generator().manual_seed(2))


# --- the model ---------------------------------------------------------------------------------------------


def test_the_teacher_begins_as_the_student_and_is_saved_with_it():
    model = fresh()
    state = model.state_dict()
    of_teacher = {name.removeprefix("teacher."): value for name, value in state.items() if name.startswith("teacher.")}
    assert all(torch.equal(value, state[name]) for name, value in of_teacher.items())
    assert set(state) - {f"teacher.{name}" for name in of_teacher} - set(of_teacher) == {
        *(f"decoder.blocks.{i}.{kind}" for i in (0, 1) for kind in ("weight", "bias")),
        *("decoder.proj.weight", "decoder.proj.bias"),
    }
    other = network()
    other.load_state_dict(state)
    with torch.no_grad():
        other.cls_token.add_(1)
    other.reset_teacher()
    assert torch.equal(other.teacher.cls_token, other.cls_token)


def test_the_teacher_follows_the_student_slowly():
    model = network(teacher={"start": 0.9, "end": 0.99, "steps": 10})
    before = model.teacher.cls_token.clone()
    model.before_step(0)
    assert torch.equal(model.teacher.cls_token, before)
    for step, decay in ((1, 0.909), (10, 0.99), (11, 0.99)):
        expected = {
            name: decay * weight + (1 - decay) * dict(model.named_parameters())[name]
            for name, weight in model.teacher.named_parameters()
        }
        model.before_step(step)
        for name, weight in model.teacher.named_parameters():
            torch.testing.assert_close(weight, expected[name], msg=name)


@STAGES
def test_gradients_reach_the_student_and_not_the_teacher(stage):
    model = network(stage, weights={"global_retention": 1.0} if stage == 2 else {})
    losses(model, sound())
    found = gradients(model)
    assert {name for name, value in found.items() if value.any()} == {
        name for name, _ in model.named_parameters() if not name.startswith("teacher.")
    }


def test_what_nobody_trains_has_no_gradient():
    for stage, weights in (
        (1, {"local_unmixed": 0}),
        (2, {"local_unmixed": 0, "local_mixed": 0, "local_retention": 0}),
    ):
        model = network(stage, weights=weights)
        losses(model, sound())
        trained = {name for name, value in gradients(model).items() if value.any()}
        idle = {name for name, _ in model.named_parameters() if name.startswith(("teacher.", "decoder."))}
        assert trained == {name for name, _ in model.named_parameters()} - idle
        assert not any(p.requires_grad for p in model.decoder.parameters())
        halves = model.predict(sound(), masked(model), noise())
        assert [made.requires_grad for made in halves] == [True, False]  # so nothing is kept of the decoder


def test_what_is_hidden_is_not_seen():
    model, x = network(), sound()
    mask = masked(model)
    with torch.no_grad():
        first = model.predict(x, mask, noise())

        def changed(patch: int) -> Tensor:
            t, f = divmod(patch, F_DIM)
            other = x.clone()
            other[0, t * SIDE : (t + 1) * SIDE, f * SIDE : (f + 1) * SIDE] += 3
            found = model.predict(other, mask, noise())
            return torch.stack(
                [(a - b).unflatten(1, (2, -1)).abs().amax(dim=(2, 3)) for a, b in zip(found, first, strict=True)]
            )

        for clone in range(2):
            hidden, seen = mask.hidden[0, clone, 3].item(), mask.visible[0, clone, 0].item()
            assert not changed(hidden)[:, 0, clone].any()
            difference = changed(seen)
            assert (difference[:, 0, clone] > 1e-3).all()
            assert not difference[:, 1:].any()  # other clips'


def test_tokens_are_put_back_in_their_places():
    """A decoder that does nothing shows what it is given: noise, in hidden places."""
    model, x = network(), sound()
    mask, drawn = masked(model), noise()
    model.decoder.forward = lambda grid, hidden, sounding: grid.flatten(1, 2)
    with torch.no_grad():
        _, given = model.predict(x, mask, drawn)
        patches = model.embed_patches(x)
        given = given.view(B, 2, -1, DIM)
        for clip, clone in ((0, 0), (2, 1)):
            hidden, visible = mask.hidden[clip, clone], mask.visible[clip, clone]
            assert torch.equal(given[clip, clone, hidden], drawn[clip, clone, hidden])
            tokens, _ = model.encode(patches[clip : clip + 1, visible])
            torch.testing.assert_close(given[clip, clone, visible], tokens[0, 1:], rtol=1e-4, atol=1e-5)


def test_activation_checkpointing_changes_memory_alone():
    model, x = network().train(), sound()
    plain = losses(model, x), gradients(model)
    model.activation_checkpointing = True
    again = losses(model, x), gradients(model)
    torch.testing.assert_close(again, plain)


# --- padding -----------------------------------------------------------------------------------------------

TRUE_FRAMES = torch.tensor([N_FRAMES, 30, 17])  # 12, 7 and 4 columns


def padded(x: Tensor, seed: int) -> Tensor:
    """Other values after the last whole patch of each clip."""
    beyond = torch.arange(x.shape[1]) >= (TRUE_FRAMES // SIDE * SIDE)[:, None]
    return torch.where(beyond[:, :, None], 10 * sound(seed), x)


CASES = [(1, {}), (2, {}), (2, {"weights": {"global_retention": 1.0}})]


@pytest.mark.parametrize("stage, pretext", CASES, ids=str)
def test_padding_has_no_influence(stage, pretext):
    model, x = network(stage, **pretext), sound()
    first = losses(model, padded(x, 1), TRUE_FRAMES), gradients(model)
    second = losses(model, padded(x, 2), TRUE_FRAMES), gradients(model)
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-6)
    assert all(value.isfinite().all() for found in first for value in found.values())
    third = losses(model, padded(x + 0.1, 1), TRUE_FRAMES)
    assert third["loss"] != first[0]["loss"]  # what is no padding has one
    assert losses(model, padded(x, 1))["loss"] != first[0]["loss"]  # and padding that is not told too


@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("columns", [5, 11])
def test_a_padded_clip_gives_what_it_gives_alone(stage, columns):
    """The same masks, mixtures and noise, once in a batch of full length."""
    model, x = network(stage), sound()
    n = columns * F_DIM
    short = masked(model, t_dim=columns)
    sounding = torch.zeros(B, T_DIM * F_DIM, dtype=torch.bool)
    sounding[:, :n] = True
    visible = torch.zeros(B, 2, T_DIM * F_DIM, dtype=torch.bool).scatter(2, short.visible, True)
    whole = BlockMask.at(visible, masked(model).visible.shape[2], sounding)
    drawn = noise(stage * B)
    mixings = [None, None]
    if stage == 2:
        outside, beyond = torch.tensor([0, 2, 4]), torch.tensor([0, 2, 4, 11])
        heard = (beyond < columns).expand(B, -1)
        mixings = [Mixing(x.roll(1, 0)[:, : columns * SIDE], outside, None), Mixing(x.roll(1, 0), beyond, heard)]
    alone = model.losses_at(x[:, : columns * SIDE], short, drawn[:, :, :n], None, mixings[0])
    together = model.losses_at(x, whole, drawn, sounding, mixings[1])
    torch.testing.assert_close(together, alone)


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


@STAGES
@pytest.mark.parametrize("columns", [1, 2, 3])
def test_batches_of_very_short_clips(stage, columns):
    """Where there is no room for regions, all is mixed."""
    model = network(stage)
    found = losses(model, sound(n_frames=columns * SIDE), torch.tensor([SIDE, columns * SIDE, SIDE]))
    assert all(value.isfinite() for value in found.values())


# --- losses ------------------------------------------------------------------------------------------------


@STAGES
def test_the_loss_is_the_weighted_sum_of_its_parts(stage):
    names = ["global_unmixed", "local_unmixed"]
    names += ["global_mixed", "local_mixed", "local_retention", "global_retention"] if stage == 2 else []
    weights = {name: float(i + 1) for i, name in enumerate(names)}
    found = losses(network(stage, weights=weights), sound())
    columns = [name.removesuffix("_unmixed") for name in names] if stage == 1 else names
    assert set(found) == {"loss", "prediction_std", *columns}
    expected = sum(weight * found[name] for weight, name in zip(weights.values(), columns, strict=True))
    torch.testing.assert_close(found["loss"], expected)


def test_objectives_without_weight_are_told_where_they_cost_nothing():
    found = losses(network(2), sound())
    assert "global_retention" not in found
    found = losses(network(2, weights={"local_retention": 0}), sound())
    assert "local_retention" not in found
    assert {"global_mixed", "local_mixed"} <= set(found)


def mask_by_hand() -> BlockMask:
    """A clip of 3 patches with two masks."""
    return BlockMask.at(torch.tensor([[[True, False, False], [False, False, True]]]), 1)


def test_losses_by_hand():
    mask, dim = mask_by_hand(), 4
    target = torch.arange(3.0)[None, :, None].expand(1, 3, dim)
    predicted = torch.tensor([1.0, 4, 1, 1])[None, :, None].expand(1, 4, dim)  # of 1 and 2, and of 0 and 1
    assert frame_loss(predicted, target, mask).item() == pytest.approx((0 + 4 + 1 + 0) * dim / math.sqrt(dim) / 4)
    cls = torch.tensor([1.0, 3])[None, :, None].expand(1, 2, dim)
    found = utterance_loss(cls, torch.zeros(1, 1, dim), mask)
    assert found.item() == pytest.approx(UTTERANCE_ROWS * (1 + 9) * dim / math.sqrt(dim) / 2)


def test_what_is_not_scored_costs_nothing():
    visible = torch.tensor([[[True, False, False]]])
    mask = BlockMask.at(visible, 1, torch.tensor([[True, True, False]]))
    target, predicted = torch.zeros(1, 3, 4), torch.ones(1, 2, 4)
    assert frame_loss(predicted, target, mask).item() == pytest.approx(2)


def test_targets_by_hand():
    """Normalised over the patches of the clip, then averaged over the blocks, then normalised over components."""
    made = [torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(seed)) * 3 + 1 for seed in (0, 1)]
    sounding = torch.tensor([[True] * 5, [True, True, True, False, False]])
    average, last = targets(made, sounding)
    for clip, n in ((0, 5), (1, 3)):
        own = [each[clip, :n] for each in made]
        normal = [(each - each.mean(dim=0)) / (each.var(dim=0, correction=0) + 1e-5).sqrt() for each in own]
        for found, expected in ((average, (normal[0] + normal[1]) / 2), (last, normal[1])):
            expected = (expected - expected.mean(dim=1, keepdim=True)) / (
                expected.var(dim=1, correction=0, keepdim=True) + 1e-5
            ).sqrt()
            torch.testing.assert_close(found[clip, :n], expected)
    torch.testing.assert_close(targets([each[:1] for each in made], None)[0], average[:1])


def test_spread_of_predictions_by_hand():
    mask = mask_by_hand()
    predicted = torch.tensor([5.0, 7, 100, -100])[None, :, None].expand(1, 4, 4)
    assert prediction_std(predicted, mask).item() == pytest.approx(1)  # of the first mask
    assert prediction_std(0 * predicted + 3, mask) == 0


@STAGES
def test_the_loss_is_the_same_of_a_batch_twice_as_large(stage):
    model, x = network(stage), sound()
    mask, drawn, columns = masked(model), noise(B), torch.tensor([0, 5, 7])
    for mixing in (None, Mixing(sound(4), columns, None)) if stage == 2 else (None,):
        halves = 1 if mixing is None else 2
        once = model.losses_at(x, mask, torch.cat([drawn] * halves), None, mixing)
        if mixing is not None:
            mixing = Mixing(torch.cat([mixing.partner] * 2), columns, None)
        again = model.losses_at(torch.cat([x, x]), mask.twice(), torch.cat([drawn] * 2 * halves), None, mixing)
        torch.testing.assert_close(once, again)


@pytest.mark.parametrize("n_frames", [None, TRUE_FRAMES], ids=["full", "padded"])
@pytest.mark.parametrize("stage, pretext", CASES, ids=str)
@pytest.mark.parametrize("processes", [2, 3])
def test_parts_of_shares_add_up(stage, pretext, n_frames, processes):
    model, x = network(stage, **pretext), sound()
    whole = losses(model, x, n_frames), gradients(model)
    parts = []
    for rank in range(processes):
        share = Share(B, slice(rank, None, processes))
        mine = x if model.whole else x[share.rows]
        parts.append((losses(model, mine, n_frames, share=share), gradients(model)))
    for i in range(2):
        added = {name: sum(part[i][name] for part in parts) for name in whole[i]}
        torch.testing.assert_close(added, whole[i], rtol=1e-4, atol=1e-4)


@STAGES
def test_a_process_without_clips_adds_nothing(stage):
    model, x = network(stage), sound(batch=1)
    found = losses(model, x, share=Share(1, slice(0, 1), counts=False))
    assert not any(value.any() for value in found.values())
    assert not any(value.any() for value in gradients(model).values())


@STAGES
def test_losses_depend_on_the_generator_alone(stage):
    model, x = network(stage), sound()
    torch.manual_seed(1)
    first = losses(model, x)
    before = torch.random.get_rng_state()
    second = losses(model, x)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    other = model.losses(x, None, torch.Generator().manual_seed(8))
    assert other["loss"] != first["loss"]


@STAGES
def test_hidden_places_hold_noise(stage, monkeypatch):
    model, x = network(stage), sound()
    first = losses(model, x)
    monkeypatch.setattr("tymbal.pretrain.sslam.NOISE", 0.0)
    assert losses(model, x)["loss"] != first["loss"]


@STAGES
def test_losses_are_computed_in_single_precision(stage):
    """Squares of what is far away overflow in half precision, and targets are lost in it."""
    model, x = network(stage), sound()
    plain = losses(model, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses(model, x)
        target, last = model.targets(model.teacher.embed_patches(x), None)
    assert {value.dtype for value in (*found.values(), target, last)} == {torch.float32}
    for name, value in found.items():
        torch.testing.assert_close(value, plain[name], rtol=0.1, atol=0.01)
    assert (target.mean(dim=2).abs() < 1e-5).all()


# --- mixtures ----------------------------------------------------------------------------------------------


def with_partner(model: MaskedLatentModel, partner: Tensor, columns: list[int]) -> dict[str, Tensor]:
    mixing = Mixing(partner, torch.tensor(columns), None)
    with torch.no_grad():
        return model.losses_at(sound(), masked(model), noise(2 * B), None, mixing)


def test_of_the_partner_only_the_mixed_columns_count():
    model, partner = network(2, weights={"global_retention": 1.0}), sound(5)
    columns = [0, 3, 4, 7, 8, 9]
    first = with_partner(model, partner, columns)
    within = torch.zeros(N_FRAMES, dtype=torch.bool)
    for column in columns:
        within[column * SIDE : (column + 1) * SIDE] = True
    silent = torch.where(within[None, :, None], partner, 7.0)
    torch.testing.assert_close(with_partner(model, silent, columns), first, rtol=0, atol=0)
    louder = with_partner(model, partner + 1, columns)
    for name, value in louder.items():
        assert (value != first[name]) == (name not in ("global_unmixed", "local_unmixed")), name


def test_where_nothing_is_mixed_the_mixture_is_the_clip():
    """Silence as partner: predictions and targets of mixtures are those of clips."""
    model = network(2)
    x, drawn = sound(), noise()
    silence = torch.full_like(x, -100)
    with torch.no_grad():
        found = model.losses_at(
            x, masked(model), torch.cat([drawn, drawn]), None, Mixing(silence, torch.arange(3), None)
        )
    torch.testing.assert_close(found["global_mixed"], found["global_unmixed"])
    torch.testing.assert_close(found["local_mixed"], found["local_unmixed"])
    assert (found["local_retention"] - 2 * found["local_mixed"]).abs() > 1e-3  # silence is a sound to be retained


def test_the_retained_partner_is_what_is_left_of_it_at_its_positions():
    """The teacher is given the patches in the mixed columns alone, as if it heard a clip with nothing else."""
    model, x, partner = network(2), sound(), sound(5)
    mask, drawn, columns = masked(model), noise(2 * B), torch.tensor([1, 6, 7, 10])
    mixing = Mixing(partner, columns, None)
    with torch.no_grad():
        found = model.losses_at(x, mask, drawn, None, mixing)
        own, _ = model.targets(model.teacher.embed_patches(x), None)
        patches = [column * F_DIM + f for column in columns.tolist() for f in range(F_DIM)]
        _, made = model.teacher.encode(model.teacher.embed_patches(partner)[:, patches], want_mlp=True)
        its, _ = targets([each[:, 1:] for each in made], None)
        expected = own.clone()
        for i, patch in enumerate(patches):
            expected[:, patch] = (own[:, patch] + its[:, i]) / 2
        _, predicted = model.predict(mix(x, mixing, SIDE), mask, drawn[B:])
    torch.testing.assert_close(found["local_retention"], frame_loss(predicted, expected, mask))


def test_partners_are_the_clips_before(monkeypatch):
    """In a batch of one, a clip is its own, and its mixture is the clip."""
    seen = []
    monkeypatch.setattr(
        "tymbal.pretrain.sslam.mix", lambda x, mixing, columns: seen.append((x, mixing)) or mix(x, mixing, columns)
    )
    model, x = network(2), sound()
    losses(model, x, TRUE_FRAMES)
    assert torch.equal(seen[0][0], x) and torch.equal(seen[0][1].partner, x[[2, 0, 1]])
    columns = torch.tensor([4, 12, 7])  # of the partners
    assert torch.equal(seen[0][1].heard, seen[0][1].columns[None] < columns[:, None])
    losses(model, x, share=Share(B, slice(1, None, 2)))
    assert torch.equal(seen[1][0], x[1:2]) and torch.equal(seen[1][1].partner, x[:1])
    found = losses(model, x[:1])
    assert torch.equal(mix(*seen[2], SIDE), x[:1])
    assert all(value.isfinite() for value in found.values())


# --- what people look at -----------------------------------------------------------------------------------


def patches_of(x: Tensor) -> Tensor:
    """Values of the patches, time-major, [B, n, SIDE, SIDE]."""
    x = x[:, :N_FRAMES, :N_MELS].unflatten(2, (F_DIM, SIDE)).unflatten(1, (T_DIM, SIDE))
    return x.transpose(2, 3).flatten(1, 2)


def test_hidden_patches_are_filled_in_with_hidden_patches_of_the_clip():
    model, x = network(n_frames=50, n_mels=18), sound(n_frames=50, n_mels=18)
    with torch.no_grad():
        filled, hidden = model.fill_in(x, TRUE_FRAMES, torch.Generator().manual_seed(0))
    assert torch.equal(filled[~hidden], x[~hidden])
    blocks, replaced, hidden = map(patches_of, (x, filled, hidden))
    for clip, columns in enumerate((12, 7, 4)):
        places = hidden[clip].flatten(1).all(dim=1)
        assert torch.equal(places, hidden[clip].flatten(1).any(dim=1))
        assert places.sum() == columns * F_DIM - int(columns * F_DIM * 0.2)
        assert not places[columns * F_DIM :].any()
        choices = {tuple(patch.flatten().tolist()) for patch in blocks[clip, places]}
        assert {tuple(patch.flatten().tolist()) for patch in replaced[clip, places]} <= choices
    assert not torch.equal(blocks, replaced)


def test_what_knows_the_targets_fills_in_what_was_there(monkeypatch):
    model, x = network(), sound()
    target, _ = model.targets(model.teacher.embed_patches(x), model.sounding(TRUE_FRAMES))

    def told(x: Tensor, mask: BlockMask, noise: Tensor, sounding: Tensor) -> tuple[None, Tensor]:
        return None, target.gather(1, mask.hidden.flatten(1)[:, :, None].expand(-1, -1, DIM)) + 0.001

    monkeypatch.setattr(model, "predict", told)
    filled, hidden = model.fill_in(x, TRUE_FRAMES, torch.Generator().manual_seed(0))
    assert torch.equal(filled, x) and hidden.any()


def test_how_many_patches_are_hidden():
    assert network().n_masked == 48 - 9
    assert network(masking={"visible": 0.5}).n_masked == 24


# --- training ----------------------------------------------------------------------------------------------


@STAGES
def test_the_task_can_be_learnt(stage):
    """Clips of a tone that goes on: what the teacher makes of what is hidden can be told from what is seen."""
    settings = {"start": 0.99, "end": 0.999}
    model = network(
        stage, teacher=settings, weights={"global_unmixed": 0.01, **({"global_mixed": 0.01} if stage == 2 else {})}
    )
    x = torch.sin(torch.arange(N_MELS) / 3 + 6 * torch.rand(8, 1, 1, generator=torch.Generator().manual_seed(0)))
    x = x.expand(-1, N_FRAMES, -1).contiguous()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.003)
    masks, found = torch.Generator().manual_seed(0), []
    for step in range(80):
        model.before_step(step)
        found.append(model.losses(x, None, masks))
        optimizer.zero_grad()
        found[-1]["loss"].backward()
        optimizer.step()
    for name in set(found[0]) - {"prediction_std"}:
        assert found[-1][name] < 0.7 * found[0][name], name
    assert found[-1]["prediction_std"] > 0.1
