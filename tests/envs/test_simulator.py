"""Simulators: the state that is shown, steps without auto-reset, ends, what sees them, and what does not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import assert_close, assert_equal, cartpole, tiny, to_host

from jaxrl_up import DQN, PPO, Evaluation, envs, ops, train
from jaxrl_up.envs import Box, Dict, Discrete, Mask, Simulated, Simulator, from_functions, probes, simulate
from jaxrl_up.experiments import memory
from jaxrl_up.learning import normalisation, stored_space

OPEN = np.bool_(False)


def counted(terminate_at=None, max_steps=None):
    return envs.with_simulator(probes.count_steps(terminate_at, max_steps))


# -- what is shown


def test_the_state_is_shown_beside_the_observation():
    env = envs.with_simulator("Pendulum-v1")
    plain = envs.make("Pendulum-v1")
    assert env.observation_space == Dict(obs=plain.observation_space, simulator=Simulator())
    assert (env.action_space, env.max_steps, env.name) == (plain.action_space, plain.max_steps, plain.name)
    state, obs = env.reset(jax.random.key(1))
    assert_equal((state, obs["obs"]), plain.reset(jax.random.key(1)))
    assert_equal(obs["simulator"], Simulated(state, OPEN, OPEN))
    after, step = env.step(jax.random.key(2), state, jnp.ones(1))
    plain_after, plain_step = plain.step(jax.random.key(2), state, jnp.ones(1))
    assert_equal((after, step.obs["obs"], step.reward), (plain_after, plain_step.obs, plain_step.reward))
    assert_equal(step.obs["simulator"], Simulated(after, OPEN, OPEN))


def test_a_dict_gets_one_part_more():
    env = envs.with_simulator(envs.time_left("Pendulum-v1"))
    assert set(env.observation_space.spaces) == {"obs", "time_left", "simulator"}
    with pytest.raises(ValueError, match="with_simulator adds 'simulator', which observations of Pendulum-v1 have"):
        envs.with_simulator(env)


def test_the_end_is_shown_where_it_was_reached_and_not_after_the_reset():
    env = counted(terminate_at=2)
    state, _ = env.reset(0)
    for last in (False, True):
        state, step = env.step(1, state, 0)
        assert bool(step.next_obs["simulator"].terminated) == last
    assert not step.obs["simulator"].terminated
    assert_equal(step.obs["simulator"].state, state)


def test_equal_wraps_compile_once_and_are_pickled():
    import pickle

    one, two = (envs.with_simulator(envs.make("CartPole-v1", gravity=g)) for g in (9.8, 12.0))
    assert one.spec == two.spec
    assert pickle.loads(pickle.dumps(one)).spec == one.spec
    assert repr(one).startswith("Env(CartPole-v1 + with_simulator")


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar"])
def test_it_passes_the_check(name):
    envs.check(envs.with_simulator(name), num_steps=60)


@pytest.mark.thorough("previous_action", "episode_statistics")
@pytest.mark.parametrize(
    "wrap",
    [lambda env: envs.frame_stack(env, 3), envs.time_left, envs.previous_action, envs.episode_statistics],
    ids=["frame_stack", "time_left", "previous_action", "episode_statistics"],
)
def test_wrappers_that_show_more_may_follow(wrap):
    env = wrap(envs.with_simulator(cartpole()))
    envs.check(env)
    _, obs = env.reset(0)
    shown = envs.simulator_of(env, obs)
    after, seen, reward, discount = simulate(env, 1, shown, 1)
    within, _, inner_reward, _, _, _ = cartpole().spec.step(env.params, jax.random.key(1), shown.state, jnp.int32(1))
    assert_equal((after.state, reward, discount), (within, inner_reward, np.float32(1)))
    assert set(seen) == {"obs", "simulator"}


@pytest.mark.parametrize(
    ("wrap", "name"),
    [
        (envs.rescale_action, "rescale_action"),
        (envs.unit_action, "rescale_action"),
        (envs.clip_action, "clip_action"),
        (lambda env: envs.sticky_actions(env, 0.5), r"sticky_actions\(0.5\)"),
        (lambda env: envs.scale_reward(env, 2.0), r"scale_reward\(2\)"),
        (lambda env: envs.time_limit(env, 7), r"time_limit\(7\)"),
    ],
    ids=["rescale_action", "unit_action", "clip_action", "sticky_actions", "scale_reward", "time_limit"],
)
def test_wrappers_that_change_what_is_simulated_come_before(wrap, name):
    env = wrap(envs.with_simulator("Pendulum-v1"))
    state, obs = env.reset(0)
    with pytest.raises(ValueError, match=f"{name} comes after with_simulator"):
        simulate(env, 1, obs["simulator"], jnp.zeros(1))
    before = envs.with_simulator(wrap(envs.make("Pendulum-v1")))
    state, obs = before.reset(0)
    after, seen, reward, _ = simulate(before, 1, obs["simulator"], jnp.ones(1))
    stepped, step = before.step_or_restart(1, state, jnp.ones(1), before.reset(2))
    assert_equal((after.state, seen, reward), (stepped, step.next_obs, step.reward))


def test_a_state_with_a_random_key_is_refused():
    def reset(key):
        return {"place": jnp.zeros(1), "key": key}, jnp.zeros(1)

    def step(key, state, action):
        return state, state["place"], 0.0, OPEN, OPEN

    env = from_functions(reset, step, Box(-1, 1, (1,)), Discrete(2), name="keeps_its_key")
    with pytest.raises(ValueError, match=r"random key at '\['key'\]': a planner would foresee"):
        envs.with_simulator(env)


# -- steps


@pytest.mark.thorough("Acrobot-v1", "Pendulum-v1")
@pytest.mark.parametrize("name", ["CartPole-v1", "Acrobot-v1", "Pendulum-v1", "Breakout-MinAtar"])
def test_simulating_is_the_step_without_a_reset(name):
    """With the key that the environment steps with, the way there is the same until the episode ends."""
    env = envs.with_simulator(envs.make(name, max_steps=40))
    state, obs = jax.jit(env.reset)(0)
    simulated, step, imagine = obs["simulator"], jax.jit(env.step), jax.jit(simulate)
    for t in range(60):
        key, action = jax.random.key(t), env.action_space.sample(jax.random.key(100 + t))
        state, real = step(key, state, action)
        simulated, seen, reward, discount = imagine(env, jax.random.split(key)[0], simulated, action)
        np.testing.assert_allclose(reward, real.reward, rtol=1e-6)
        for x, y in zip(to_host(seen), to_host(real.next_obs), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)
        assert float(discount) == (0.0 if real.terminated else 1.0)
        assert reward.dtype == discount.dtype == jnp.float32
        if real.terminated | real.truncated:
            break
    assert simulated.terminated | simulated.truncated


def rewards_and_discounts(env, steps):
    def step(state, key):
        state, _, reward, discount = simulate(env, key, state, 0)
        return state, (state, reward, discount)

    _, obs = env.reset(0)
    return jax.lax.scan(step, obs["simulator"], jax.random.split(jax.random.key(0), steps))[1]


@pytest.mark.parametrize(
    ("terminate_at", "max_steps", "discounts"),
    [(3, None, [1, 1, 0, 0, 0, 0]), (None, 3, [1, 1, 1, 1, 1, 1]), (3, 3, [1, 1, 0, 0, 0, 0]), (5, 3, [1] * 6)],
    ids=["terminated", "truncated", "both", "truncated before the termination"],
)
def test_after_the_end_nothing_is_earned_and_the_state_stays(terminate_at, max_steps, discounts):
    states, rewards, found = rewards_and_discounts(counted(terminate_at, max_steps), 6)
    np.testing.assert_array_equal(rewards, [1, 1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found, discounts)
    counts = to_host(states.state)[0]
    np.testing.assert_array_equal(counts, [1, 2, 3, 3, 3, 3])
    np.testing.assert_array_equal(states.terminated | states.truncated, [False, False, True, True, True, True])


def test_what_is_not_finite_after_the_end_does_not_come_back():
    def step(key, state, action):
        return state / 0.0 - state / 0.0, jnp.full(1, jnp.nan), jnp.sum(state / 0.0), state[0] >= 0, OPEN

    env = envs.with_simulator(
        from_functions(lambda key: (jnp.ones(1), jnp.ones(1)), step, Box(-1, 1, (1,)), Discrete(2), name="breaks")
    )
    over = Simulated(jnp.ones(1), jnp.bool_(True), jnp.bool_(False))
    after, _, reward, discount = simulate(env, 0, over, 0)
    assert_equal((after, reward, discount), (over, np.float32(0), np.float32(0)))


def test_states_of_the_environment_within_are_taken():
    plain = cartpole()
    env = envs.with_simulator(plain)
    state, obs = env.reset(0)
    wanted = simulate(env, 1, obs["simulator"], 1)
    for made, given in ((env, state), (plain, state), (plain, obs["simulator"])):
        after, seen, reward, discount = simulate(made, 1, given, 1)
        assert_equal((after, reward, discount), (wanted[0], *wanted[2:]))
        assert_equal(seen["obs"] if made is env else seen, wanted[1]["obs"])


def test_actions_and_masks_are_those_of_the_environment():
    actions = Dict(move=Discrete(3, start=1), force=Box(0.0, 2.0, (2,)))

    def step(key, state, action):
        reward = action["move"] + 10.0 * action["force"][1]
        return state, state, reward, OPEN, OPEN

    env = envs.with_simulator(
        from_functions(lambda key: (jnp.ones(1), jnp.ones(1)), step, Box(-1, 1, (1,)), actions, 5, name="arm")
    )
    _, obs = env.reset(0)
    action = {"move": 3, "force": jnp.array([0.0, 2.0])}
    assert float(simulate(env, 0, obs["simulator"], action)[2]) == 23.0
    with pytest.raises(ValueError, match="has its parts by name"):
        simulate(env, 0, obs["simulator"], 1)
    with pytest.raises(ValueError, match=r"takes one action of one environment"):
        simulate(env, 0, obs["simulator"], {"move": jnp.array([1, 2]), "force": jnp.zeros(2)})

    def masked_step(key, state, action):
        obs = {"place": jnp.zeros(1), "mask": jnp.arange(2) != action}
        return action, obs, 1.0 * action, OPEN, OPEN

    def masked_reset(key):
        return jnp.int32(0), {"place": jnp.zeros(1), "mask": jnp.ones(2, bool)}

    space = Dict(place=Box(-1, 1, (1,)), mask=Mask(2))
    masked = envs.with_simulator(from_functions(masked_reset, masked_step, space, Discrete(2), 5, name="masked"))
    _, obs = masked.reset(0)
    _, seen, reward, _ = simulate(masked, 0, envs.simulator_of(masked, obs), 1)
    assert set(seen) == {"place", "mask", "simulator"}
    assert float(reward) == 1.0 and seen["mask"].tolist() == [True, False]


def test_simulating_is_vmapped_over_parameters_states_and_actions():
    env = envs.with_simulator("Pendulum-v1")
    _, obs = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(0), 3))
    actions = jnp.linspace(-2, 2, 4)[:, None]

    def over(g, state, action):
        return simulate(env.with_params(g=g), 0, state, action)[0].state

    each = jax.vmap(jax.vmap(jax.vmap(over, (None, None, 0)), (None, 0, None)), (0, None, None))
    found = jax.jit(each)(jnp.array([5.0, 10.0]), envs.simulator_of(env, obs), actions)
    assert jax.tree.leaves(found)[0].shape == (2, 3, 4)
    assert len(np.unique(to_host(found)[0])) > 1 or len(np.unique(to_host(found)[1])) > 1


def test_an_environment_without_a_simulator_is_told():
    env = cartpole()
    with pytest.raises(ValueError, match=r"CartPole-v1, which shows no simulator: wrap it in envs\.with_simulator"):
        envs.simulator_of(env, env.reset(0)[1])


def test_the_exact_model_of_an_environment():
    env = envs.with_simulator(envs.make("CartPole-v1", max_steps=40))
    model = envs.model_of(env)
    assert envs.model_of(env) is model
    state = model.reset(env.params, 0)
    assert_equal(state, env.reset(0)[1]["simulator"])
    for made, same in ((env, True), (env.with_params(gravity=3.0), False)):
        after, seen, reward, terminated = model.step(made.params, 1, state, 1)
        assert_equal((after, seen, reward), simulate(made, 1, state, 1)[:3])
        wanted = simulate(env, 1, state, 1)[0]
        assert all(np.array_equal(x, y) for x, y in zip(to_host(after), to_host(wanted), strict=True)) == same
        assert (terminated.shape, terminated.dtype, bool(terminated)) == ((), jnp.bool_, False)


# -- who does not see it


def dict_shaped(env):
    """The environment with its observation as the `obs` of a Dict: what `with_simulator` shows without the state."""

    def reset(params, key):
        state, obs = env.spec.reset(params, key)
        return state, {"obs": obs}

    def step(params, key, state, action):
        state, obs, *rest = env.spec.step(params, key, state, action)
        return state, {"obs": obs}, *rest

    return env.replace(
        spec=env.spec._replace(reset=reset, step=step, observation_space=Dict(obs=env.observation_space))
    )


def exact():
    """A random walk in quarters, so that no program rounds it, and none otherwise than another."""

    def reset(key):
        place = jax.random.randint(key, (2,), -3, 4)
        return place, place / 4.0

    def step(key, place, action):
        place = jnp.clip(place + 2 * action - 1 + jax.random.randint(key, (2,), -1, 2), -8, 8)
        return place, place / 4.0, place[0] / 4.0, place[1] == 8, jnp.bool_(False)

    return from_functions(reset, step, Box(-2, 2, (2,)), Discrete(2), 8, name="exact")


def trained(algo, env, **fields):
    state, log = train(algo, env, tiny(algo, **fields), jax.random.key(0), 2, Evaluation(2, max_steps=12))
    return state._replace(interaction=state.interaction._replace(obs=state.interaction.obs["obs"])), log


@pytest.mark.thorough
@pytest.mark.parametrize("whiten", [False, True])
def test_what_learns_learns_the_same_with_it(whiten):
    shown, plain = (
        trained(PPO, env, normalize_observations=whiten) for env in (envs.with_simulator(exact()), dict_shaped(exact()))
    )
    assert_equal(shown, plain)


@pytest.mark.thorough
def test_stacked_before_or_after_networks_see_the_same():
    env = exact()
    found = [envs.frame_stack(envs.with_simulator(env), 3), envs.with_simulator(envs.frame_stack(env, 3))]
    assert found[0].observation_space == found[1].observation_space
    (before, _), (after, _) = (trained(PPO, env) for env in found)
    assert_close(before.learner, after.learner)  # of two programs too, as the one below


@pytest.mark.thorough
def test_a_replay_holds_the_same_with_it():
    (shown, _), (plain, _) = (trained(DQN, env) for env in (envs.with_simulator(exact()), dict_shaped(exact())))
    assert_equal(shown.replay, plain.replay)
    assert_close(shown.learner, plain.learner)  # two programs, in which XLA may order sums differently


def test_a_replay_does_not_store_it():
    shown, plain = (
        memory.need(DQN, env, tiny(DQN)) for env in (envs.with_simulator(cartpole()), dict_shaped(cartpole()))
    )
    assert (shown.replay, shown.per_transition) == (plain.replay, plain.per_transition)
    _, obs = envs.with_simulator(cartpole()).reset(0)
    held = tiny(DQN).num_envs * sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(obs["simulator"]))
    assert shown.per_seed - plain.per_seed == held  # what is acted on next, and only that


def test_statistics_have_none_of_it():
    env = envs.with_simulator("Pendulum-v1")
    assert stored_space(env) == Dict(obs=envs.make("Pendulum-v1").observation_space)
    found = normalisation.init(env.name, stored_space(env))
    assert list(found) == ["obs"] and isinstance(found["obs"], ops.RunningStatistics)
