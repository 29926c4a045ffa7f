"""Leaves named `critic_only`: what the critic learns from and nobody who acts has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import space_for, tiny

from jaxrl_up import ALGORITHMS, PPO, run
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Dict, from_functions
from jaxrl_up.learning import actor_critic_network, on_policy, q_network
from jaxrl_up.training import begin

HIDDEN, SHOWN = 7, 2  # sizes that nothing else has
SPACE = Dict({"obs": Box(-1, 1, (SHOWN,)), "critic_only": Dict(truth=Box(-1, 1, (HIDDEN,)))})
ASYMMETRIC = [
    *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("vpg", "a2c", "ddpg")),  # as PPO, and as TD3
    *(pytest.param(name, marks=pytest.mark.thorough) for name in ("trpo", "td3", "sac_discrete")),
    *("ppo", "sac"),
]


def _reset(key):
    obs = SPACE.sample(key)
    return obs["critic_only"]["truth"], obs


def _step(key, truth, action):
    """Pays what only the critic sees."""
    obs = SPACE.sample(key)
    return obs["critic_only"]["truth"], obs, jnp.sum(truth), jnp.bool_(False), jnp.bool_(False)


def hidden_truth(algo):
    return from_functions(_reset, _step, SPACE, space_for(algo), 4, name="hidden_truth")


@pytest.fixture(params=ASYMMETRIC, scope="module")
def learned(request):
    """An algorithm, its config, and a state before and after an update in which it learned."""
    algo = ALGORITHMS[request.param]
    env, config = hidden_truth(algo), canonical(tiny(algo, normalize_observations=True, learning_starts=1))

    @jax.jit
    def program(key):
        state = begin(algo, env, config, key).state
        return state, algo.update(config, env, state)[0]

    return algo, env, config, *program(jax.random.key(0))


def values(algo, env, config, params, obs):
    """What the critic says of observations `[N]`, with an action of 0 where it takes one."""
    count = obs["obs"].shape[0]
    if hasattr(config, "gae_lambda"):
        return on_policy.network(config, env).value(params, obs)
    if algo.name == "sac_discrete":
        return q_network(config, env, part="critic", number=2).apply(params["critic"], obs)
    net = actor_critic_network(config, env, ("action",), 1)
    return net.critics(params["critic"], obs, jnp.zeros((count, 1)))


@pytest.mark.thorough("sac")
def test_the_critic_learns_from_them(learned):
    algo, env, config, before, after = learned
    obs = jax.jit(jax.vmap(SPACE.sample))(jax.random.split(jax.random.key(1), 3))

    def total(obs):
        return jnp.sum(values(algo, env, config, after.learner.params, obs))

    slope = jax.jit(jax.grad(total))(obs)["critic_only"]["truth"]
    assert np.all(np.any(slope != 0, axis=0))
    kernels = [[x for x in jax.tree.leaves(s.learner.params["critic"]) if HIDDEN in x.shape or HIDDEN + SHOWN in x.shape
                or HIDDEN + SHOWN + 1 in x.shape] for s in (before, after)]  # fmt: skip
    assert kernels[0] and all(np.any(x != y) for x, y in zip(*kernels, strict=True))


def test_the_actor_has_no_place_for_them(learned):
    _, _, _, _, after = learned
    first = [x for x in jax.tree.leaves(after.policy) if np.ndim(x) and x.shape[0] in (SHOWN, HIDDEN, SHOWN + HIDDEN)]
    assert first and all(x.shape[0] == SHOWN for x in first)


def test_acting_does_without_them(learned):
    algo, env, config, _, after = learned
    obs = jax.jit(jax.vmap(SPACE.sample))(jax.random.split(jax.random.key(1), 3))
    actions, _ = jax.jit(lambda *x: algo.act(config, env, *x))(after.policy, {"obs": obs["obs"]})
    assert all(env.action_space.contains(action) for action in actions) and len(actions) == 3


def test_they_are_kept_to_learn_from(learned):
    algo, _, _, _, after = learned
    shapes = [x.shape for x in jax.tree.leaves(after.experience)]
    assert hasattr(after.learner, "return_statistics") or any(shape[-1:] == (HIDDEN,) for shape in shapes), algo.name


def test_statistics_have_them_and_those_of_a_policy_do_not():
    env, config = hidden_truth(PPO), canonical(tiny(PPO, normalize_observations=True))

    @jax.jit
    def program(key):
        return PPO.update(config, env, PPO.init(config, env, key))[0]

    state = program(jax.random.key(0))
    seen = state.learner.statistics
    assert sorted(seen) == ["critic_only/truth", "obs"] and list(state.policy.statistics) == ["obs"]
    assert seen["critic_only/truth"].mean.shape == (HIDDEN,)
    assert float(seen["critic_only/truth"].count) == config.num_envs * config.rollout_length


@pytest.mark.thorough
def test_a_policy_in_a_users_hand_takes_what_it_sees():
    env = hidden_truth(PPO)
    result = run(PPO, env, tiny(PPO, normalize_observations=True), 1, num_evals=1, num_episodes=2, progress=False)
    policy, obs = result.policy(), SPACE.sample(jax.random.key(0))
    np.testing.assert_array_equal(policy({"obs": obs["obs"]}), policy(obs))


def test_a_critic_on_the_actors_features_is_refused():
    env, config = hidden_truth(PPO), canonical(tiny(PPO, shared=True))
    with pytest.raises(ValueError, match="shared=True lets the critic see what the actor sees") as error:
        jax.eval_shape(lambda key: PPO.init(config, env, key), jax.random.key(0))
    assert "\n" not in str(error.value)
