"""The on-policy algorithms with policies from distrax distributions: ratios, KL, keys, and what is refused."""

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close, targets, tiny

from jaxrl_up import A2C, PPO, TRPO, VPG
from jaxrl_up.algorithms import ppo
from jaxrl_up.config import canonical
from jaxrl_up.deploy import load_policy, numpy_policy, save_policy
from jaxrl_up.learning import on_policy

ENTROPIC = {"entropy_cost": 0.01, "head": "beta"}


class Mixture(nn.Module):
    """Two Gaussians, of which distrax knows neither entropy nor KL."""

    @nn.compact
    def __call__(self, features):
        mean = nn.Dense(4)(features).reshape(2, 2)
        parts = distrax.MultivariateNormalDiag(mean, jnp.full((2, 2), 0.3))
        return distrax.MixtureSameFamily(distrax.Categorical(nn.Dense(2)(features)), parts)


def updated(algo, config, seed=0):
    """The state before and after an update, and its losses."""
    env, config = targets(), canonical(config)

    @jax.jit
    def program(key):
        state = algo.init(config, env, key)
        after, metrics = algo.update(config, env, state)
        return state, after, metrics.losses

    before, after, losses = program(jax.random.key(seed))
    return before, after, {name: float(x.value) for name, x in losses.items()}


@pytest.mark.thorough("vpg-mixture", "a2c-beta", "ppo")
@pytest.mark.parametrize(
    ("algo", "fields"),
    [
        (VPG, {"head": Mixture()}),
        (A2C, {"head": "beta"}),
        (A2C, {"log_std": "network"}),
        (PPO, {"head": "beta"}),
        (PPO, {"head": Mixture()}),
    ],
    ids=["vpg-mixture", "a2c-beta", "a2c-log_std", "ppo-beta", "ppo-mixture"],
)
def test_they_learn_from_any_distribution(algo, fields):
    config = tiny(algo, entropy_cost=0.01, num_epochs=1, num_minibatches=1, **fields)
    before, after, losses = updated(algo, config)
    assert np.all(np.isfinite(list(losses.values())))
    moved = jax.tree.map(lambda x, y: np.any(x != y), before.learner.params["actor"], after.learner.params["actor"])
    assert all(jax.tree.leaves(moved))
    if algo is PPO:
        assert abs(losses["kl"]) < 1e-6 and losses["clip_fraction"] == 0


@pytest.mark.thorough
def test_ppo_finds_the_exact_kl_of_each_minibatch():
    """Of distributions that cannot be cut in parts, from the parameters that acted."""
    env, config = targets(), canonical(tiny(PPO, kl_estimate="exact", num_epochs=1, num_minibatches=2, **ENTROPIC))
    before, after, losses = updated(PPO, config)
    assert losses["kl"] > 0  # 0 in the first minibatch, more in the second
    net, obs = on_policy.network(config, env), jnp.ones((3, 1))

    @jax.jit
    def both(before, after):
        old, new = (net.policy(x["actor"], obs) for x in (before, after))
        batch = on_policy.Batch(obs, old.mode(), *jnp.zeros((4, 3)))
        _, found = ppo.loss(config, env, after, batch, 0.2, old)
        return found["kl"], jnp.mean(old.kl(new))

    np.testing.assert_allclose(*both(before.learner.params, after.learner.params), rtol=1e-6)


@pytest.mark.thorough
def test_trpo_stays_within_the_kl_of_beta_policies():
    _, _, losses = updated(TRPO, tiny(TRPO, head="beta"))
    assert 0 < losses["kl"] <= 0.01 and losses["step_fraction"] > 0


@pytest.mark.parametrize(
    ("algo", "fields", "message"),
    [
        (TRPO, {}, r"trpo needs a KL divergence, but head=Mixture\(...\) gives a MixtureSameFamily.*or ppo"),
        (PPO, {"kl_estimate": "exact"}, r"kl_estimate='exact' needs a KL divergence.*choose kl_estimate='k1'"),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_a_head_without_a_kl_is_refused_where_one_is_needed(algo, fields, message, normalize):
    config = canonical(tiny(algo, head=Mixture(), normalize_observations=normalize, **fields))
    with pytest.raises(ValueError, match=message) as error:
        jax.eval_shape(lambda key: algo.init(config, targets(), key), jax.random.key(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("head", ["beta", Mixture()], ids=["beta", "mixture"])
def test_no_key_is_used_twice(head):
    config = canonical(tiny(PPO, head=head, entropy_cost=0.01))

    def everything(key):
        begin_key, act_key = jax.random.split(key)
        state = PPO.init(config, targets(), begin_key)
        state, _ = PPO.update(config, targets(), state)
        return state, PPO.act(config, targets(), state.policy, jnp.ones((5, 1)), (), act_key)

    with jax.debug_key_reuse(True):
        jax.eval_shape(jax.jit(everything), jax.random.key(0))


@pytest.mark.thorough
def test_an_estimated_entropy_is_that_of_the_seed_alone():
    env, config = targets(), canonical(tiny(PPO, head=Mixture(), entropy_cost=0.01))

    def program(key):
        return PPO.update(config, env, PPO.init(config, env, key))[0].learner.params

    alone, together = jax.jit(program), jax.jit(jax.vmap(program))
    keys = jax.random.split(jax.random.key(0), 2)
    assert_close(alone(keys[1]), jax.tree.map(lambda x: x[1], together(keys)), 1e-4, 1e-5)


@pytest.mark.thorough("mixture")
@pytest.mark.parametrize("head", ["beta", Mixture()], ids=["beta", "mixture"])
def test_exported_policies_act_as_the_live_one(head, tmp_path):
    env, config = targets(), tiny(PPO, head=head, normalize_observations=True)
    policy = jax.jit(lambda key: PPO.init(canonical(config), env, key))(jax.random.key(0)).policy
    path = save_policy(tmp_path / "policy.bin", PPO, env, config, policy)
    obs = np.float32([[-1.0], [1.0], [0.3]])
    expected = jax.jit(lambda policy: PPO.act(canonical(config), env, policy, obs)[0])(policy)
    np.testing.assert_allclose(load_policy(path)(obs), expected, rtol=1e-5)
    if head == "beta":
        np.testing.assert_allclose(numpy_policy.load_policy(path)(obs), expected, rtol=1e-4)
