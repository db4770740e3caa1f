import numpy as np
import pytest
import torch
from scipy import stats

from emulator.ops import random
from emulator.philox import words

COUNT = 20_000
UNIFORM, NORMAL = stats.uniform().cdf, stats.norm().cdf


def fits(sample, cdf):
    """Whether the sample is of this distribution, by Kolmogorov and Smirnov; seeds are fixed, so that the answer is."""
    return stats.kstest(sample.cpu().double().numpy(), cdf).pvalue > 0.01


@pytest.fixture(autouse=True)
def seed():
    torch.npu.manual_seed(11)


@pytest.mark.parametrize(
    ("draw", "cdf"),
    [
        (lambda: torch.rand(COUNT, device="npu"), UNIFORM),
        (lambda: torch.empty(COUNT, device="npu").uniform_(-2, 3), stats.uniform(-2, 5).cdf),
        (lambda: torch.randn(COUNT, device="npu"), NORMAL),
        (lambda: torch.empty(COUNT, device="npu").normal_(1, 2), stats.norm(1, 2).cdf),
        (lambda: torch.normal(1.0, 2.0, (COUNT,), device="npu"), stats.norm(1, 2).cdf),
        (lambda: torch.normal(torch.ones(COUNT, device="npu"), 2.0), stats.norm(1, 2).cdf),
        (lambda: torch.normal(1.0, torch.full((COUNT,), 2.0, device="npu")), stats.norm(1, 2).cdf),
        (lambda: torch.normal(torch.ones(COUNT, device="npu"), torch.full((COUNT,), 2.0, device="npu")), stats.norm(1, 2).cdf),
        (lambda: torch.empty(COUNT, device="npu").exponential_(0.5), stats.expon(scale=2).cdf),
        (lambda: torch.ops.npu.npu_sim_exponential_(torch.empty(COUNT, device="npu"), 0.5), stats.expon(scale=2).cdf),
    ],
)
def test_distribution(draw, cdf):
    assert fits(draw(), cdf)


def test_neighbours_are_not_correlated():
    sample = torch.randn(COUNT, device="npu").cpu()
    assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_reduced_precision_keeps_below_the_upper_end(dtype):
    sample = torch.empty(COUNT, device="npu", dtype=dtype).uniform_(0.5, 1).cpu()
    assert sample.min() >= 0.5
    assert sample.max() < 1
    assert abs(sample.double().mean() - 0.75) < 0.01


@pytest.mark.parametrize(("low", "high"), [(0, 7), (-3, 4), (-(2**62), 2**62)])
def test_integers_of_a_range(low, high):
    sample = torch.randint(low, high, (COUNT,), device="npu").cpu()
    assert low <= sample.min()
    assert sample.max() < high
    assert fits((sample.double() - low + torch.rand(COUNT, dtype=torch.float64)) / (high - low), UNIFORM)


def test_random_of_a_type_leaves_out_its_largest_and_so_bool_is_false():
    assert set(torch.empty(COUNT, device="npu", dtype=torch.uint8).random_().tolist()) == set(range(255))
    assert not torch.empty(COUNT, device="npu", dtype=torch.bool).random_().any()


def test_random_of_later_devices_has_the_largest_too():
    assert random.InplaceRandomWithoutFromTo(torch.empty(COUNT, dtype=torch.uint8), 1, 0).unique().tolist() == list(range(256))
    assert random.InplaceRandomWithoutFromTo(torch.empty(COUNT, dtype=torch.bool), 1, 0).unique().tolist() == [0, 1]
    assert int(random.InplaceRandomWithoutFromTo(torch.empty(COUNT, dtype=torch.int64), 1, 0).min()) >= 0


def test_bernoulli_of_a_number_and_of_a_tensor():
    sample = torch.empty(COUNT, device="npu").bernoulli_(0.3).cpu()
    assert sample.unique().tolist() == [0, 1]
    assert abs(sample.mean() - 0.3) < 0.02
    odds = torch.tensor([0.0, 0.25, 1.0], device="npu").expand(COUNT, 3)
    torch.testing.assert_close(torch.bernoulli(odds).cpu().mean(0), torch.tensor([0.0, 0.25, 1.0]), rtol=0, atol=0.02)


def test_uniform_from_more_to_less_is_refused():
    with pytest.raises(RuntimeError, match="greater than"):
        torch.ones(3).npu().uniform_(3, -1).cpu()


def test_multinomial_of_whole_weights_is_refused():
    with pytest.raises(RuntimeError, match="self not implemented for DT_INT64"):
        torch.multinomial(torch.tensor([1, 2]).npu(), 1).cpu()


def test_multinomial_with_replacement_has_the_weights():
    weights = torch.tensor([[1.0, 0.0, 3.0], [2.0, 2.0, 0.0]], device="npu")
    drawn = torch.multinomial(weights, COUNT, replacement=True).cpu()
    found = torch.stack([row.bincount(minlength=3) for row in drawn]) / COUNT
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.0, 0.75], [0.5, 0.5, 0.0]]), rtol=0, atol=0.02)


def test_multinomial_without_replacement_draws_each_once_and_the_heavy_first():
    weights = torch.tensor([1.0, 2.0, 1.0], device="npu").expand(COUNT, 3)
    drawn = torch.multinomial(weights, 3).cpu()
    assert drawn.sort(1).values.equal(torch.arange(3).expand(COUNT, 3))
    assert abs((drawn[:, 0] == 1).double().mean() - 0.5) < 0.02


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_multinomial_of_no_weights_fails(weights):
    with pytest.raises(ValueError, match="multinomial needs finite weights"):
        random.Multinomial(torch.tensor(weights), 1, True, 1, 0, torch.empty(1))


def test_randperm_is_a_permutation_and_every_place_is_likely():
    assert torch.randperm(1000, device="npu").sort().values.cpu().equal(torch.arange(1000))
    first = torch.stack([torch.randperm(4, device="npu") for _ in range(400)]).cpu()[:, 0]
    assert first.bincount(minlength=4).min() > 60


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: torch.rand(9, device="npu", generator=generator),
        lambda generator: torch.randn(9, device="npu", generator=generator),
        lambda generator: torch.randint(1 << 40, (9,), device="npu", generator=generator),
        lambda generator: torch.randperm(9, device="npu", generator=generator),
        lambda generator: torch.empty(9, device="npu").bernoulli_(0.5, generator=generator),
        lambda generator: torch.multinomial(torch.ones(9, device="npu"), 9, generator=generator),
        lambda generator: torch.empty(9, device="npu").exponential_(generator=generator),
    ],
)
def test_a_seed_gives_the_same_again_a_second_draw_another_a_generator_its_own(draw):
    first, second = draw(None), draw(None)
    torch.npu.manual_seed(11)
    assert draw(None).equal(first)
    assert draw(None).equal(second)
    assert not first.equal(second)
    assert draw(torch.Generator("npu").manual_seed(11)).equal(first)


def test_the_state_of_the_generator_can_be_kept():
    torch.rand(3, device="npu")
    state = torch.npu.get_rng_state()
    first = torch.rand(3, device="npu")
    torch.npu.set_rng_state(state)
    assert torch.rand(3, device="npu").equal(first)


def test_the_device_draws_otherwise_than_the_cpu():
    assert not torch.rand(9, device="npu").cpu().equal(torch.rand(9, generator=torch.Generator().manual_seed(11)))


def test_a_larger_tensor_begins_with_the_numbers_of_a_smaller_one():
    small = torch.rand(1000, device="npu")
    torch.npu.manual_seed(11)
    assert torch.rand(2000, device="npu")[:1000].equal(small)


def test_what_a_graph_replays_draws_from_the_sum_of_offsets():
    seed, offset, out = torch.tensor([5]), torch.tensor([8]), torch.empty(9)
    assert random.InplaceUniformTensor(out, 0.0, 1.0, seed, offset, 4).equal(random.InplaceUniform(out, 0.0, 1.0, 5, 12))
    assert random.InplaceNormalTensor(out, 0.0, 1.0, seed, offset, 4).equal(random.InplaceNormal(out, 0.0, 1.0, 5, 12))
    assert random.InplaceRandomTensor(out, 0, 9, seed, offset, 4).equal(random.InplaceRandom(out, 0, 9, 5, 12))
    assert random.InplaceRandomWithoutFromToTensor(out, seed, offset, 4).equal(random.InplaceRandomWithoutFromTo(out, 5, 12))
    assert random.StatelessExponentialTensor(out, seed, offset, 4, 2.0).equal(random.SimThreadExponential(out, 9, 2.0, 5, 12))
    drawn = random.MultinomialTensor(torch.ones(9), 9, False, seed, offset, 4, out)
    assert drawn.equal(random.Multinomial(torch.ones(9), 9, False, 5, 12, out))


def test_integers_are_words_modulo_the_span():
    found = random.InplaceRandom(torch.empty(8), -3, 4, 1, 0)
    assert found.tolist() == [int(word) % 7 - 3 for word in words(8, 1, 0)]


@pytest.mark.filterwarnings("ignore:to - 1 is out of bounds")
def test_integers_of_16_bits_are_not_rounded_up_to_the_end():
    x = torch.empty(20_000, dtype=torch.float16).npu().random_(-42, 32752).cpu().double()
    assert x.min() >= -42
    assert 32_000 < x.max() < 32752
