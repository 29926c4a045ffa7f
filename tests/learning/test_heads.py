"""Policies from distrax distributions: Beta against scipy, others against a loop over rows, and what is refused."""

from functools import partial

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from test_networks import config, spaces

from jaxrl_up.envs import Box, Dict, Discrete, Mask, MultiDiscrete
from jaxrl_up.learning import BetaHead, DistraxPolicy, networks, policy_value_network
from jaxrl_up.ops import Categorical, DiagonalGaussian

UNIT = Box(-1, 1, (2,))
EPS = float(np.finfo(np.float32).eps)


class Made(nn.Module):
    """A head without parameters: its features say the distribution."""

    make: object

    def __call__(self, features):
        return self.make(features)


def beta(f):
    return distrax.Beta(f[:2], f[2:4])


def mixture(f):
    scale = jnp.broadcast_to(jnp.exp(f[6:8]), (2, 2))
    return distrax.MixtureSameFamily(
        distrax.Categorical(f[:2]), distrax.MultivariateNormalDiag(f[2:6].reshape(2, 2), scale)
    )


def of_betas(f):
    return distrax.MixtureSameFamily(
        distrax.Categorical(jnp.stack([f[:2], f[2:4]])), distrax.Beta(f[:4].reshape(2, 2), f[4:].reshape(2, 2))
    )


def full(f):
    return distrax.MultivariateNormalTri(f[:2], jnp.array([[1.0, 0.0], [0.5, 2.0]]) * jnp.exp(f[2]))


def squashed(f):
    base = distrax.MultivariateNormalDiag(f[:2], jnp.exp(f[2:4]))
    return distrax.Transformed(base, distrax.Block(distrax.Tanh(), 1))


KINDS = {"beta": beta, "mixture": mixture, "of_betas": of_betas, "full": full, "squashed": squashed}


def policy(make, features, space=UNIT):
    return DistraxPolicy(features, {}, Made(make), space)


def positive(*shape):
    return 0.5 + jax.random.uniform(jax.random.key(3), shape)


# -- Beta


def test_beta_is_that_of_scipy_on_minus_1_to_1():
    concentrations = np.float32([[2.0, 3.5, 1.5, 1.0], [8.0, 1.2, 1.0, 4.0], [0.7, 6.0, 3.0, 2.0]])
    a, b = concentrations[:, :2], concentrations[:, 2:]
    ours, theirs = policy(beta, jnp.asarray(concentrations)), scipy.stats.beta(a, b, -1, 2)
    action = np.float32([[-0.25, 0.5], [0.9, -0.9], [0.0, 0.125]])
    np.testing.assert_allclose(ours.log_prob(action), theirs.logpdf(action).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(ours.entropy(), theirs.entropy().sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours.mode()[0], 2 * (a[0] - 1) / (a[0] + b[0] - 2) - 1, rtol=1e-6)
    np.testing.assert_array_equal(ours.mode()[2, 0], -1)  # a < 1 < b: densest at the lower bound
    with pytest.raises(NotImplementedError, match="MixtureSameFamily"):
        policy(mixture, jnp.ones((1, 8))).kl(policy(mixture, jnp.ones((1, 8))))

    def divergence(i, j, d):
        p, q = scipy.stats.beta(a[i, d], b[i, d]), scipy.stats.beta(a[j, d], b[j, d])
        return scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), 0, 1)[0]

    other = policy(beta, jnp.asarray(concentrations[[1, 0, 2]]))
    expected = [divergence(0, 1, 0) + divergence(0, 1, 1), divergence(1, 0, 0) + divergence(1, 0, 1), 0.0]
    np.testing.assert_allclose(ours.kl(other), expected, rtol=1e-4, atol=1e-6)


def test_beta_at_a_bound_is_half_a_rounding_unit_inside():
    ours = policy(beta, jnp.array([[3.0, 3.0, 2.0, 2.0]]))
    inside = scipy.stats.beta(3, 2).logpdf([EPS / 2, 1 - EPS / 2]).sum() - 2 * np.log(2)
    at_bounds = ours.log_prob(jnp.array([[-1.0, 1.0]]))
    np.testing.assert_allclose(at_bounds, [inside], rtol=1e-5)
    np.testing.assert_allclose(ours.log_prob(jnp.array([[-1.5, 7.0]])), at_bounds)
    density = jax.grad(lambda f: jnp.sum(policy(beta, f).log_prob(jnp.array([[-1.0, 1.0]]))))
    gradient = jax.jit(density)(ours.features)
    assert np.all(np.isfinite(gradient))


def test_a_flat_beta_has_its_middle_for_a_mode():
    np.testing.assert_array_equal(policy(beta, jnp.ones((1, 4))).mode(), [[0.0, 0.0]])


def test_the_beta_head_has_concentrations_above_1():
    module, features = BetaHead(2), jax.random.normal(jax.random.key(0), (5,))
    made = module.apply(jax.jit(module.init)(jax.random.key(1), features), features)
    assert np.all(made.alpha > 1) and np.all(made.beta > 1)
    np.testing.assert_allclose(made.alpha, 1 + np.log(2), atol=0.1)  # 1 + softplus of nearly 0


# -- any distribution


@pytest.mark.thorough("beta", "of_betas")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_those_of_a_loop_over_distrax(kind):
    """In any number of leading axes, jitted, also where distrax's own objects do not pass through vmap."""
    make, features = KINDS[kind], positive(2, 2, 8)
    ours, keys = policy(make, features), jax.random.split(jax.random.key(0), (2, 2))
    action = jax.jit(lambda ours, keys: ours.sample_with(keys))(ours, keys)
    log_prob, entropy, mode = jax.jit(lambda x, a: (x.log_prob(a), x.entropy(), x.mode()))(ours, action)
    assert action.shape == mode.shape == (2, 2, 2) and log_prob.shape == entropy.shape == (2, 2)
    stretched = kind in ("beta", "of_betas")

    @jax.jit
    def alone_of(features, key):
        one = make(features)
        drawn = one.sample(seed=key)
        return drawn, one.log_prob(drawn)

    for i in np.ndindex(2, 2):
        drawn, density = alone_of(features[i], keys[i])
        np.testing.assert_allclose(action[i], 2 * drawn - 1 if stretched else drawn, rtol=1e-5, atol=1e-6)
        expected = np.sum(density) - (2 * np.log(2) if stretched else 0)
        np.testing.assert_allclose(log_prob[i], expected, rtol=1e-3, atol=1e-4)
    alone, drawn = jax.jit(lambda x, key: (x.mode(), x.sample(key)))(policy(make, features[0, 0]), jax.random.key(1))
    np.testing.assert_allclose(alone, mode[0, 0], rtol=1e-5, atol=1e-6)
    assert drawn.shape == (2,)


@pytest.mark.parametrize("kind", ["beta", "of_betas"])
def test_densities_on_minus_1_to_1_integrate_to_1(kind):
    middle = (np.arange(200, dtype=np.float32) + 0.5) / 100 - 1
    grid = jnp.stack(jnp.meshgrid(middle, middle), axis=-1).reshape(-1, 2)
    one = policy(KINDS[kind], jnp.broadcast_to(1.0 + positive(8), (40_000, 8)))
    np.testing.assert_allclose(jnp.mean(jnp.exp(jax.jit(DistraxPolicy.log_prob)(one, grid))) * 4, 1.0, rtol=1e-3)


@pytest.mark.thorough("of_betas")
@pytest.mark.parametrize("kind", ["mixture", "squashed", "of_betas"])
def test_an_entropy_that_distrax_lacks_is_minus_the_mean_log_density(kind):
    """Over many observations, each with a key of its own, against another sample."""
    features = 1.0 + positive(1, 8) + 1e-4 * jax.random.normal(jax.random.key(1), (2000, 8))
    ours = policy(KINDS[kind], features)
    entropy = jax.jit(DistraxPolicy.entropy)(ours)
    _, log_prob = jax.jit(DistraxPolicy.sample_and_log_prob)(ours, jax.random.key(2))
    np.testing.assert_allclose(np.mean(entropy), -np.mean(log_prob), atol=4 * np.std(log_prob) / 40)
    assert len(set(np.asarray(entropy).tolist())) > 1900
    np.testing.assert_array_equal(jax.jit(DistraxPolicy.entropy)(ours), entropy)


def test_modes():
    """Of a mixture its densest component's, in each dimension for itself; of a squashed Gaussian the squashed mean."""
    f = jnp.array([0.0, 3.0, 5.0, 5.0, -0.5, 0.25, -2.0, -2.0])  # the second component has most of the weight
    np.testing.assert_allclose(policy(mixture, f).mode(), [-0.5, 0.25])
    np.testing.assert_allclose(policy(squashed, f).mode(), np.tanh([0.0, 3.0]), rtol=1e-6)
    np.testing.assert_allclose(policy(full, f).mode(), [0.0, 3.0])

    def dimensions(f):  # the first dimension is the first component's, the second the second's
        weights = distrax.Categorical(jnp.array([[3.0, 0.0], [0.0, 3.0]]))
        return distrax.MixtureSameFamily(weights, distrax.Normal(f[:4].reshape(2, 2), 0.1 * jnp.ones((2, 2))))

    np.testing.assert_allclose(policy(dimensions, jnp.arange(4.0)).mode(), [0.0, 3.0])


def test_discrete_actions_may_have_a_head_of_ones_own():
    def chosen(f):
        return distrax.Categorical(f)

    features, keys = positive(4, 3), jax.random.split(jax.random.key(0), 4)
    ours = policy(chosen, features, Discrete(3))
    action = jax.jit(DistraxPolicy.sample_with)(ours, keys)
    assert action.dtype == jnp.int32 and action.shape == (4,)
    log_prob = jax.jit(DistraxPolicy.log_prob)(ours, action)
    np.testing.assert_allclose(log_prob, Categorical(features).log_prob(action), rtol=1e-5)
    several = policy(lambda f: distrax.Categorical(f.reshape(2, 3)), positive(4, 6), MultiDiscrete((3, 3)))
    drawn, log_prob = jax.eval_shape(lambda keys: (several.sample_with(keys), several.log_prob(several.mode())), keys)
    assert drawn.shape == (4, 2) and log_prob.shape == (4,)


@pytest.mark.parametrize(
    ("make", "space", "message"),
    [
        (lambda f: f, UNIT, r"gives \w+, where a distrax distribution belongs"),
        (beta, Box(-1, 1, (3,)), r"gives a Beta over \[2\] for features of one observation"),
        (beta, Box(-np.inf, np.inf, (2,)), r"gives a Beta on \[0, 1\]"),
    ],
)
def test_a_head_that_fits_no_action_is_refused(make, space, message):
    with pytest.raises(ValueError, match=message) as error:
        policy(make, jnp.ones((1, 4)), space).mode()
    assert "\n" not in str(error.value)


# -- as a part of the networks

SEEN = Box(-1, 1, (3,))
MASKED = Dict({"obs": SEEN, "mask": Mask(3)})
MASKED_PAIR = Dict({"obs": SEEN, "mask": Mask((2, 2))})
TREE = Dict({"a": UNIT, "b": Discrete(2)})


def environment(observation, action):
    env = spaces(observation, action)
    env.name = "mine"
    return env


class Wide(nn.Module):
    """A head with a parameter of its own beside its layers."""

    @nn.compact
    def __call__(self, features):
        log_std = self.param("log_std", nn.initializers.zeros, (2,))
        return distrax.MultivariateNormalDiag(nn.Dense(2)(features), jnp.exp(log_std))


def test_an_own_gaussian_head_is_the_gaussian():
    net = policy_value_network(config(head=Wide()), environment(SEEN, UNIT))
    params = jax.jit(net.init)(jax.random.key(0))
    head = params["actor"]["params"]["head"]["head"]
    head = {**head, "log_std": jnp.array([0.5, -1.0])}
    actor = {"params": {**params["actor"]["params"], "head": {"head": head}}}
    obs = jax.random.normal(jax.random.key(1), (2, 5, 3))

    @jax.jit
    def both(actor, other, obs):
        """Mode, log-density at 0, entropy and KL to the other one, by the head and by hand."""
        ours, ours_other = net.policy(actor, obs), net.policy(other, obs)
        features = jnp.tanh(obs @ actor["params"]["torso"]["MLP_0"]["Dense_0"]["Dense_0"]["kernel"])
        mean = features @ head["Dense_0"]["kernel"]
        theirs, theirs_other = (DiagonalGaussian(mean, jnp.array(x)) for x in ([0.5, -1.0], [0.0, 0.0]))
        pairs = (ours, ours_other), (theirs, theirs_other)
        return [(x.mode(), x.log_prob(jnp.zeros_like(mean)), x.entropy(), x.kl(y)) for x, y in pairs]

    for found, wanted, atol in zip(*both(actor, params["actor"], obs), (1e-6, 0, 0, 0), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=atol)
    assert net.noise(jax.random.key(0), (4, 5)).shape == (4, 5) and not net.divisible


def test_in_a_tree_of_actions_beta_is_for_its_boxes():
    net = policy_value_network(config(head="beta"), environment(SEEN, TREE))
    params = jax.jit(net.init)(jax.random.key(0))

    @jax.jit
    def everything(actor, noise):
        ours = net.policy(actor, jnp.ones((4, 3)))
        action = ours.sample_with(noise)
        return action, ours.log_prob(action), ours.entropy(), ours.kl(ours)

    noise = net.noise(jax.random.key(1), (4,))
    assert jnp.issubdtype(noise["a"].dtype, jax.dtypes.prng_key) and noise["b"].shape == (4, 2)
    action, log_prob, entropy, kl = everything(params["actor"], noise)
    assert np.all(np.abs(action["a"]) < 1) and log_prob.shape == (4,)
    assert np.all(np.isfinite(entropy)) and np.all(np.abs(kl) < 1e-6)


def test_the_log_std_of_a_network_starts_as_given_and_depends_on_the_state():
    chosen = {"log_std": "network", "initializer": "orthogonal", "initial_log_std": -0.5}
    net = policy_value_network(config(**chosen), environment(SEEN, UNIT))
    params = jax.jit(net.init)(jax.random.key(0))
    head = params["actor"]["params"]["head"]
    assert list(head["log_std_slope"]["Dense_0"]) == ["kernel"]
    obs = jax.random.normal(jax.random.key(1), (5, 3))
    first = net.policy(params["actor"], obs)
    np.testing.assert_allclose(first.log_std, -0.5, atol=0.05)
    assert np.std(first.log_std, axis=0).min() > 0

    def stretched(factor):
        slope = jax.tree.map(lambda x: factor * x, head["log_std_slope"])
        torso = params["actor"]["params"]["torso"]
        return net.policy({"params": {"torso": torso, "head": {**head, "log_std_slope": slope}}}, obs)

    features = jnp.tanh(obs @ params["actor"]["params"]["torso"]["MLP_0"]["Dense_0"]["Dense_0"]["kernel"])
    expected = -0.5 + 9 * features @ head["log_std_slope"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(stretched(9.0).log_std, expected, rtol=1e-4, atol=1e-6)
    assert (stretched(1e6).log_std.min(), stretched(1e6).log_std.max()) == networks.LOG_STD_RANGE
    np.testing.assert_array_equal(stretched(0.0).log_std, np.full((5, 2), -0.5, np.float32))


@pytest.mark.parametrize(
    ("fields", "observation", "action", "message"),
    [
        ({"head": "bta"}, SEEN, UNIT, r"gaussian, beta or pass a linen module.* Did you mean 'beta'"),
        ({"head": Wide}, SEEN, UNIT, "gaussian, beta or pass a linen module"),
        ({"head": "beta"}, SEEN, Discrete(2), "head='beta' draws actions within bounds"),
        ({"head": "beta"}, SEEN, Box(-1, [1, np.inf], (2,)), "head='beta' draws actions within bounds"),
        ({"head": Wide()}, SEEN, TREE, r"gives one distribution, but mine acts in Dict"),
        ({"head": Wide()}, MASKED_PAIR, MultiDiscrete((2, 2)), "knows masks of Discrete actions only"),
        ({"head": "beta", "log_std": "network"}, SEEN, UNIT, "log_std='network' is of a Gaussian"),
        ({"log_std": "network"}, SEEN, Discrete(2), "log_std='network' is of a Gaussian"),
        ({"shared": True}, Dict({"obs": SEEN, "critic_only": SEEN}), UNIT, "shared=True lets the critic see"),
    ],
)
def test_heads_that_do_not_fit_are_refused_in_one_line(fields, observation, action, message):
    with pytest.raises(ValueError, match=message) as error:
        policy_value_network(config(**fields), environment(observation, action))
    assert "\n" not in str(error.value)


class Tempered(nn.Module):
    """A categorical whose sharpness depends on the state."""

    @nn.compact
    def __call__(self, features):
        return distrax.Categorical(nn.Dense(3)(features) * jnp.exp(nn.Dense(1)(features)[0]))


def test_a_head_of_ones_own_obeys_masks():
    net = policy_value_network(config(head=Tempered()), environment(MASKED, Discrete(3)))
    params = jax.jit(net.init)(jax.random.key(0))
    obs = {
        "obs": jax.random.normal(jax.random.key(1), (40, 3)),
        "mask": jnp.asarray(np.arange(3) != np.arange(40)[:, None] % 3),
    }
    policy = net.policy(params["actor"], obs)
    free = net.policy(params["actor"], {**obs, "mask": jnp.ones((40, 3), bool)})
    expected = np.where(obs["mask"], np.exp(free.log_probs()), 0)
    np.testing.assert_allclose(np.exp(policy.log_probs()), expected / expected.sum(1, keepdims=True), rtol=1e-5)
    drawn = policy.sample_with(net.noise(jax.random.key(2), (40,)))
    assert np.all(np.take_along_axis(np.asarray(obs["mask"]), np.asarray(drawn)[:, None], 1)) and net.divisible


def test_cutting_a_policy_in_rows():
    """What PPO asks of those that are divisible: a tree of arrays by rows."""
    net = policy_value_network(config(), environment(SEEN, UNIT))
    whole = net.policy(jax.jit(net.init)(jax.random.key(0))["actor"], jnp.ones((6, 3)))
    assert net.divisible and jax.tree.map(partial(jnp.take, indices=jnp.arange(2), axis=0), whole).mean.shape == (2, 2)
