"""Every algorithm with every kind of observation, action and network; the bodies of presets, shortened."""

import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import (
    EVALUATION,
    TINY,
    assert_close,
    cartpole,
    chain,
    field_names,
    image,
    plans,
    predictable,
    remembered,
    seen_by,
    tiny,
)

from jaxrl_up import ALGORITHMS, C51, envs, make_config, run, train
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, from_functions
from jaxrl_up.learning import on_policy


class Sum(nn.Module):
    """Someone's own torso."""

    @nn.compact
    def __call__(self, obs):
        return nn.relu(nn.Dense(4, name="mine")(obs))


def two_actions():
    """Two action dimensions with bounds of their own, observation of shape [3]."""
    space = Box([0.0, -20.0], [1.0, 10.0], (2,))
    return from_functions(_two_reset, _two_step, Box(-1, 1, (3,)), space, 5, name="two_actions")


def _two_reset(key):
    place = jax.random.uniform(key, (3,))
    return place, place


def _two_step(key, place, action):
    return place, place, action[0], jnp.bool_(False), jnp.bool_(False)


def pixels_box():
    return image(Box([0.0, -20.0], [1.0, 10.0], (2,)))


WHITE = {
    "initializer": "orthogonal",
    "activation": "relu",
    "normalize_observations": True,
    "exploration_noise": "pink",
}
RAINBOW = {"prioritized": True, "n_step": 2, "double": True, "dueling": True, "epsilon_end": 0.9}
VARIANTS = {
    "pixels": (image, {"shared": True, "epsilon_end": 0.9}),
    "pixels_box": (pixels_box, WHITE),
    "discrete_own_torso": (chain, {"network": Sum(), "initializer": "torch", "shared": True, **RAINBOW}),
}
# What builds its networks, acts and keeps what it learns from as another one does; that one meets pixels for both.
SAME_BUT_FOR_THE_LOSS = {"vpg": "ppo", "a2c": "ppo", "c51": "dqn", "qr_dqn": "dqn"}


@pytest.fixture(params=ALGORITHMS.values(), ids=ALGORITHMS.keys(), scope="module")
def algo(request):
    return request.param


@pytest.mark.parametrize("name", SAME_BUT_FOR_THE_LOSS)
def test_what_is_the_same_but_for_the_loss(name):
    mine, theirs = (sys.modules[ALGORITHMS[x].Config.__module__] for x in (name, SAME_BUT_FOR_THE_LOSS[name]))
    if hasattr(theirs, "BROUGHT"):
        assert [getattr(mine, x).func for x in ("learn", "explore", "act")] == [
            theirs.learn,
            theirs.explore,
            theirs.act,
        ]
        assert all("q_network" in module.network.__code__.co_names for module in (mine, theirs))
    else:
        assert mine.act is theirs.act is on_policy.act
        assert mine.on_policy is theirs.on_policy is on_policy and not hasattr(mine, "network")
        assert {"collect", "finish"} <= set(mine.update.__code__.co_names) & set(theirs.update.__code__.co_names)


@pytest.mark.thorough(
    "dqn-discrete_own_torso", "ppo-pixels", "dqn-pixels", "sac-pixels_box", "mpc", "ppo-discrete_own_torso"
)
@pytest.mark.exhaustive("ddpg", *(f"{name}-discrete_own_torso" for name in SAME_BUT_FOR_THE_LOSS))
@pytest.mark.parametrize("name", VARIANTS)
def test_spaces_and_networks(algo, name):
    make, fields = VARIANTS[name]
    env = seen_by(algo, make())
    if algo.name in SAME_BUT_FOR_THE_LOSS and name.startswith("pixels"):
        pytest.skip(f"as {SAME_BUT_FOR_THE_LOSS[algo.name]}")
    if type(env.action_space).__name__ not in algo.action_spaces:
        with pytest.raises(ValueError, match=algo.name):
            train(algo, env, tiny(algo), jax.random.key(0))
        return
    config = tiny(algo, initial_log_std=-0.5, **fields)
    if "members" in field_names(algo) and not predictable(env.observation_space):
        with pytest.raises(ValueError, match=r"network=|a model predicts vectors of floats"):
            train(algo, env, config, jax.random.key(0))
        return

    @jax.jit
    def train_and_act(train_key, key):
        state, log = train(algo, env, config, train_key, 1, EVALUATION)
        obs = jax.vmap(env.reset)(jax.random.split(key, 7))[1]
        memory = remembered(algo, config, env, 7)
        calm = memory if algo.greedy_memory else ()
        given = (*jax.tree.map(lambda x: x[0], (obs, calm)), None), (obs, calm, None), (obs, memory, key)
        return log, [algo.act(config, env, state.policy, *x)[0] for x in given]

    log, (one, greedy, drawn) = train_and_act(jax.random.key(1), jax.random.key(2))
    assert int(log.failed_at[-1]) == -1
    assert np.all(np.isfinite(log.returns))
    assert all(np.all(np.isfinite(x[1:])) for x in jax.tree.leaves(log.losses))
    for actions in (greedy, drawn):
        assert actions.shape == (7, *env.action_space.shape)
        assert np.all(jax.vmap(env.action_space.contains)(actions))
    assert_close(one, greedy[0])
    assert np.array_equal(drawn, greedy) == plans(algo)  # which draws from the keys of its memories


@pytest.mark.parametrize("name", ["initial_log_std"])
def test_fields_of_continuous_policies_are_traced(algo, name):
    if name not in field_names(algo):
        pytest.skip("not a field")
    config, env = tiny(algo), two_actions()

    def policy(value):
        return algo.init(config.replace(**{name: value}), env, jax.random.key(0)).policy

    values = jax.tree.leaves(jax.jit(jax.vmap(policy))(jnp.asarray([-1.0, 0.5])))
    assert any(np.any(x[0] != x[1]) for x in values)


@pytest.mark.thorough("ppo-one", "sac", "mpc")
@pytest.mark.exhaustive("vpg", "a2c", "ddpg", "trpo-one", "td3-one", "pets-one")
@pytest.mark.parametrize("shape", [(), (2, 2)], ids=["one", "several"])
def test_actions_of_every_shape(algo, shape):
    if "Box" not in algo.action_spaces:
        pytest.skip("discrete actions only")

    def step(key, time, action):
        return time, jax.random.uniform(key, (3,)), jnp.sum(action), jnp.bool_(True), jnp.bool_(False)

    env = seen_by(algo, from_functions(_two_reset, step, Box(-1, 1, (3,)), Box(4, 7, shape), name="matrix"))
    state, log = jax.jit(lambda key: train(algo, env, tiny(algo), key, 1, EVALUATION))(jax.random.key(0))
    calm = remembered(algo, tiny(algo), env, 5) if algo.greedy_memory else ()
    obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(1), 5))[1]
    actions, _ = algo.act(canonical(tiny(algo)), env, state.policy, obs, calm)
    assert actions.shape == (5, *shape) and np.all((actions >= 4) & (actions <= 7)) and np.all(np.isfinite(log.returns))


def test_dimensions_without_bounds_keep_their_units(algo):
    if "Box" not in algo.action_spaces:
        pytest.skip("discrete actions only")
    space = Box([0.0, -np.inf, 0.0], [10.0, np.inf, np.inf], (3,))
    env = seen_by(algo, from_functions(_two_reset, _two_step, Box(-1, 1, (3,)), space, 5, name="unbounded"))
    config = canonical(tiny(algo))
    if "tau" in field_names(algo) or plans(
        algo
    ):  # a deterministic or squashed policy, or a plan, has to know its bounds
        with pytest.raises(ValueError, match="finite bounds"):
            train(algo, env, tiny(algo), jax.random.key(0))
        return

    @jax.jit
    def act(key):
        memory = remembered(algo, config, env, 99)
        return algo.act(config, env, algo.init(config, env, key).policy, jnp.zeros((99, 3)), memory, key)[0]

    actions = act(jax.random.key(0))
    assert np.all(jax.vmap(space.contains)(actions))
    assert np.min(actions[:, 1]) < -1.0
    assert np.max(actions[:, 0]) > 5.0


def _presets():
    return [(algo, preset) for algo in ALGORITHMS.values() for preset in algo.presets]


@pytest.mark.thorough("sac-spinup", "dqn-fitted_q", "mpc-mppi", "mpc-random_shooting")
@pytest.mark.parametrize(("algo", "preset"), _presets(), ids=lambda x: x if isinstance(x, str) else x.name)
def test_presets_run(algo, preset):
    short = ("rollout_length", "train_every", "batch_size", "hidden", "total_steps", "buffer_size", "learning_starts")
    kept = {name: TINY[name] for name in short if name in field_names(algo)}
    kept |= {
        name: 3
        for name in ("num_epochs", "value_steps", "cg_iterations", "gradient_steps")
        if name in field_names(algo)
    }
    config = make_config(algo, preset, **kept)
    for name, value in algo.presets[preset].items():
        assert name in kept or getattr(config, name) == value
    env = seen_by(algo, envs.make("Pendulum-v1", max_steps=5) if "Box" in algo.action_spaces else cartpole())
    state, log = train(algo, env, config, jax.random.key(0), 1, EVALUATION)
    assert int(log.failed_at[-1]) == -1
    per_update = algo.steps_per_update(config)
    assert int(state.counters.env_steps) == max(config.total_steps // per_update, 1) * per_update


SPINNING_UP = {
    "learning_rate": 1e-3,
    "critic_learning_rate": None,  # that of the actor
    "num_envs": 1,
    "hidden": (256, 256),
    "activation": "relu",
    "buffer_size": 1_000_000,
    "batch_size": 100,
    "tau": 0.005,
    "gamma": 0.99,
    "random_steps": 10_000,
    "learning_starts": 1_000,
    "train_every": 50,
    "gradient_steps": 50,
    "n_step": 1,
    "max_grad_norm": None,
}
SPINNING_UP_OF = {
    "ddpg": {"noise_scale": 0.1, "exploration_noise": "white"},
    "td3": {
        "noise_scale": 0.1,
        "exploration_noise": "white",
        "target_noise": 0.2,
        "target_noise_clip": 0.5,
        "policy_delay": 2,
    },
    "sac": {"alpha": 0.2, "learn_alpha": False, "exploration_noise": "white"},
}


@pytest.mark.parametrize("name", SPINNING_UP_OF)
def test_the_preset_has_the_defaults_of_spinning_up(name):
    config = make_config(ALGORITHMS[name], "spinup")
    wanted = SPINNING_UP | SPINNING_UP_OF[name]
    assert {field: getattr(config, field) for field in wanted} == wanted


def test_unknown_presets_and_fields_are_refused(algo):
    with pytest.raises(ValueError, match="default"):
        make_config(algo, "no such preset")
    with pytest.raises(ValueError, match="gamma"):
        make_config(algo, gama=0.9)


def test_a_support_without_width_is_refused():
    with pytest.raises(ValueError, match="v_max=0 must be above v_min=0"):
        run(C51, cartpole(), make_config(C51, v_max=0), seeds=1, progress=False)


def test_normalised_observations_need_numbers(algo):
    if "normalize_observations" not in field_names(algo):
        pytest.skip("not a field")
    with pytest.raises(ValueError, match="normalize_observations"):
        train(algo, chain(), tiny(algo, normalize_observations=True), jax.random.key(0))
