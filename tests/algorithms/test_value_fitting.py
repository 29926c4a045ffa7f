"""Value fitting: its targets by hand, its step by loops, and what it converges to where that is known exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, cartpole, chain, clock, tiny

from jaxrl_up import PPO, VALUE_FITTING, Evaluation, evaluate, load_run, make_config, resume, run, train
from jaxrl_up.algorithms import value_fitting
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Dict, Discrete, from_functions, probes
from jaxrl_up.learning import given_policy

KINDS = ("monte_carlo", "td", "k_step", "lambda")
GAMMA = 0.8


def targets(kind, reward, discount, going, next_value, **fields):
    config = canonical(make_config(VALUE_FITTING, target=kind, **fields))
    return np.asarray(value_fitting.targets(config, *map(jnp.asarray, (reward, discount, going, next_value))))


# -- targets


# gamma = 1/2, rewards 1, 2, 4, 8 and values of successors 2, 6, 10, 4; the third row is truncated in the first column
# and terminates in the second, where the successor is not to be read; the fourth is the edge of the rollout.
BY_HAND = {
    "monte_carlo": [[4.25, 3.0], [6.5, 4.0], [9.0, 4.0], [10.0, 10.0]],
    "td": [[2.0, 2.0], [5.0, 5.0], [9.0, 4.0], [10.0, 10.0]],
    "k_step": [[3.5, 3.5], [6.5, 4.0], [9.0, 4.0], [10.0, 10.0]],
    "lambda": [[2.9375, 2.625], [5.75, 4.5], [9.0, 4.0], [10.0, 10.0]],
}


@pytest.mark.parametrize("kind", KINDS)
def test_targets_by_hand(kind):
    reward = np.float32([[1, 1], [2, 2], [4, 4], [8, 8]])
    discount, going = np.full((4, 2), 0.5, np.float32), np.float32([[1, 1], [1, 1], [0, 0], [1, 1]])
    discount[2, 1] = 0.0
    next_value = np.float32([[2, 2], [6, 6], [10, np.nan], [4, 4]])
    found = targets(kind, reward, discount, going, next_value, k=2, td_lambda=0.5)
    np.testing.assert_allclose(found, BY_HAND[kind], rtol=1e-6)


def test_targets_that_are_one_another():
    rng = np.random.default_rng(0)
    over, cut = rng.random((2, 9, 5)) < 0.2
    reward, next_value = rng.normal(size=(2, 9, 5)).astype(np.float32)
    rows = reward, np.float32(0.9 * ~over), np.float32(~(over | cut)), next_value
    whole, one = targets("monte_carlo", *rows), targets("td", *rows)
    for same, fields in ((whole, {"k": 9}), (whole, {"k": 100}), (one, {"k": 1})):
        np.testing.assert_allclose(targets("k_step", *rows, **fields), same, rtol=1e-5, atol=1e-5)
    for same, decay in ((whole, 1.0), (one, 0.0)):
        np.testing.assert_allclose(targets("lambda", *rows, td_lambda=decay), same, rtol=1e-5, atol=1e-5)
    assert np.abs(whole - one).max() > 0.1


# -- a step


def weights(learner):
    """w `[D + 1]` of a linear V, the bias last, in reward units."""
    head = learner.params["value"]["params"]["head"]
    dense = head["value"]["Dense_0"]
    return np.float64(head["scale"]) * np.concatenate([np.float64(dense["kernel"])[:, 0], np.float64(dense["bias"])])


@pytest.mark.parametrize("normalize", [False, True])
def test_a_step_of_a_linear_value_is_that_of_the_book(normalize):
    """w <- w + alpha / N sum (G - w x) x, with two-step returns; the units that V learns in change nothing."""
    fields = {"preset": "linear", "target": "k_step", "k": 2, "gamma": GAMMA, "num_envs": 3, "rollout_length": 7}
    config = canonical(make_config(VALUE_FITTING, **fields, anneal_learning_rate=False, normalize_returns=normalize))
    env = clock(VALUE_FITTING, max_steps=5)

    @jax.jit
    def step(key):
        before = VALUE_FITTING.init(config, env, key)
        before, _ = VALUE_FITTING.update(config, env, before)  # so that the second one begins within an episode
        _, rows, _ = given_policy.follow(config, env, before, jax.random.split(before.key)[1])
        return before, rows, VALUE_FITTING.update(config, env, before)

    before, rows, (after, metrics) = step(jax.random.key(0))
    old = weights(before.learner)
    assert np.any(np.asarray(rows.truncated))

    def value(obs):
        return float(old @ np.append(obs, 1.0))

    total, errors = np.zeros_like(old), []
    reward, cut, obs, next_obs = map(np.asarray, (rows.reward, rows.truncated, rows.obs, rows.next_obs))
    for t in range(7):
        for b in range(3):
            target = reward[t, b]
            if cut[t, b] or t == 6:
                target += GAMMA * value(next_obs[t, b])
            else:
                target += GAMMA * (reward[t + 1, b] + GAMMA * value(next_obs[t + 1, b]))
            errors.append(target - value(obs[t, b]))
            total += errors[-1] * np.append(obs[t, b], 1.0)
    np.testing.assert_allclose(weights(after.learner), old + config.learning_rate / 21 * total, rtol=1e-4, atol=1e-6)
    scale = float(after.learner.params["value"]["params"]["head"]["scale"])
    assert (scale == 1.0) != normalize
    wanted = np.mean(np.square(errors)) / 2 / scale**2
    np.testing.assert_allclose(metrics.losses["value_loss"].value, wanted, rtol=1e-4)
    assert (int(metrics.losses["value_loss"].count), int(after.counters.env_steps)) == (1, 42)


# -- what is known exactly

STATES, LIMIT = 5, 6
MOVES = np.array([[1, 2, 3, 4, 0], [0, 3, 1, 2, 1]])  # [action, state]: the next state
PAID = np.float32([1.0, -1.0, 0.5, 2.0, -0.5])  # on leaving a state
CHOICE = np.float32([0.3, 0.6, 0.2, 0.5, 0.7])  # how often action 1 is chosen, by state


def _reset(key, params):
    state = jax.random.randint(key, (), 0, STATES - 1)
    return state, state


def _step(key, state, action, params):
    after = jnp.asarray(MOVES)[action, state]
    over = (after == STATES - 1) & (params["ends"] > 0)
    return after, after, jnp.asarray(PAID)[state], over, jnp.bool_(False)


def finite(ends=1.0):
    """Five states, shown as they are; with `ends`, traced, the last one terminates. Always a time limit of 6 steps."""
    space = Discrete(STATES), Discrete(2)
    return from_functions(_reset, _step, *space, LIMIT, {"ends": ends}, "finite")


def chooses(obs, key):
    """A policy of one's own, by the state."""
    return jax.random.bernoulli(key, jnp.asarray(CHOICE)[obs]).astype(jnp.int32)


def exact(ends):
    """V of that policy: (I - gamma P) V = r, where what terminates goes nowhere."""
    moves = np.einsum("as,ast->st", np.stack([1 - CHOICE, CHOICE]), np.eye(STATES)[MOVES])
    moves[:, -1] *= 1 - ends
    return np.linalg.solve(np.eye(STATES) - GAMMA * moves, PAID)


@pytest.mark.thorough("k_step", "lambda")
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_a_finite_problem(kind):
    """Tabular, since the observation is one-hot; five seeds, with and without terminations, in one program.

    They are right on average, and what is left is the noise of the targets, which steps that fall to nothing average
    over many updates of 512 rows: over 20 seeds a deviation of 0.02 at most, a fourth of what is allowed. Values are 1
    to 4; where a time limit of 6 steps counted as an end, which is nearly an end in a sixth of all steps, they would be
    0.6 lower at least.
    """
    fields = {"policy": chooses, "target": kind, "k": 3, "td_lambda": 0.8, "gamma": GAMMA, "learning_rate": 0.5}
    fields |= {"num_envs": 32, "rollout_length": 16, "total_steps": 200 * 512}
    config = make_config(VALUE_FITTING, "linear", **fields)

    def learned(ends, seed):
        env = finite().with_params(ends=ends)
        state, _ = train(VALUE_FITTING, env, config, jax.random.key(seed), 1, EVALUATION)
        return value_fitting.values(canonical(config), env, state.learner, jnp.arange(STATES))

    found = jax.jit(jax.vmap(jax.vmap(learned, (None, 0)), (0, None)))(jnp.array([0.0, 1.0]), jnp.arange(5))
    for ends in (0, 1):  # the last state is never acted in where it terminates
        shown = slice(STATES - ends)
        np.testing.assert_allclose(found[ends, :, shown], np.stack([exact(ends)[shown]] * 5), atol=0.08)


# Three steps in layers, s0, then s1 or s2, then s3 or s4, then the end; one number is shown of each state, too few.
SHOWN = np.float32([0.0, 1.0, -1.0, 2.0, 0.5])
NEXT = np.array([[1, 3, 4, 0, 0], [2, 4, 4, 0, 0]])  # [action, state]; uniform
LAYERED = np.float32([1.0, 0.0, 4.0, 2.0, -3.0])


def _layered_reset(key):
    return jnp.int32(0), jnp.asarray(SHOWN)[:1]


def _layered_step(key, state, action):
    after = jnp.asarray(NEXT)[action, state]
    return after, jnp.asarray(SHOWN)[after][None], jnp.asarray(LAYERED)[state], state >= 3, jnp.bool_(False)


def layered():
    return from_functions(_layered_reset, _layered_step, Box(-9, 9, (1,)), Discrete(2), name="layered")


def fixed_points():
    """w of the best fit to V^pi and of the TD fixed point, by Sutton & Barto 2018, section 9.4."""
    moves = np.zeros((STATES, STATES))
    for action, state in np.ndindex(2, 3):
        moves[state, NEXT[action, state]] += 0.5
    visits = np.linalg.solve(np.eye(STATES) - moves.T, np.eye(STATES)[0]) / 3  # three steps to an episode
    value = np.linalg.solve(np.eye(STATES) - GAMMA * moves, LAYERED)
    x, weight = np.stack([SHOWN, np.ones(STATES)], axis=1), np.diag(visits)
    best = np.linalg.solve(x.T @ weight @ x, x.T @ weight @ value)
    a, b = x.T @ weight @ (np.eye(STATES) - GAMMA * moves) @ x, x.T @ weight @ LAYERED
    return {"monte_carlo": best, "td": np.linalg.solve(a, b)}


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["monte_carlo", "td"])
def test_with_too_few_features_each_target_has_its_own_fixed_point(kind):
    """Least squares for returns, eq. 9.12 for one-step targets. Rollouts are whole episodes, so no return is cut."""
    fields = {"target": kind, "gamma": GAMMA, "num_envs": 128, "rollout_length": 12, "total_steps": 300 * 1536}
    config = make_config(VALUE_FITTING, "linear", learning_rate=0.5, **fields)

    def learned(seed):
        return train(VALUE_FITTING, layered(), config, jax.random.key(seed), 1, EVALUATION)[0].learner

    learner = jax.tree.map(np.asarray, jax.jit(jax.vmap(learned))(jnp.arange(3)))
    found = np.stack([weights(jax.tree.map(lambda x, i=i: x[i], learner)) for i in range(3)])
    known = fixed_points()
    assert np.abs(known["td"] - known["monte_carlo"]).max() > 0.4
    np.testing.assert_allclose(found, np.stack([known[kind]] * 3), atol=0.05)


# -- whose values


def _right(obs, key):
    """What `probes.matched_action_reward` pays for."""
    return (obs[0] > 0).astype(jnp.int32)


def _wrong(obs, key):
    return 1 - _right(obs, key)


def test_it_acts_by_the_policy_that_is_given():
    """So its scores are that policy's, before and after."""
    env, results = probes.matched_action_reward(), {}
    for policy in (_right, _wrong, "uniform"):
        config = tiny(VALUE_FITTING, policy=policy, num_envs=16, total_steps=512)
        _, log = train(VALUE_FITTING, env, config, jax.random.key(0), 1, Evaluation(256))
        results[policy] = float(log.train_returns[-1]), float(log.returns[-1])
    assert results[_right] == (1.0, 1.0)
    best, worst = results[_right][1], results[_wrong][1]
    assert results[_wrong] == (worst, worst) and worst < best
    for found in results["uniform"]:  # of 512 and 256 episodes
        assert abs(found - (best + worst) / 2) < 0.15 * (best - worst)


@pytest.mark.parametrize("deterministic", [True, False])
def test_a_uniform_policy_draws_anew_at_every_step(deterministic):
    """Also where evaluation is deterministic, and in one and the same state."""
    env = from_functions(_coin_reset, _coin_step, Box(-1, 1, (1,)), Discrete(2), 64, name="coins")
    returns = evaluate(VALUE_FITTING, env, tiny(VALUE_FITTING), (), jax.random.key(0), 64, deterministic)
    assert len(np.unique(returns)) > 10
    assert abs(returns.mean() - 32) < 2.5  # five deviations of a mean of 64 sums of 64 coins


def _coin_reset(key):
    return jnp.int32(0), jnp.zeros(1)


def _coin_step(key, state, action):
    return state, jnp.zeros(1), action.astype(jnp.float32), jnp.bool_(False), jnp.bool_(False)


@pytest.fixture(scope="module")
def agent(cpus):
    return run(PPO, cartpole(), tiny(PPO), (4,), num_evals=1, num_episodes=4, progress=False)


@pytest.mark.thorough("True")
@pytest.mark.parametrize("deterministic", [True, False])
def test_the_policy_of_a_trained_agent(agent, deterministic):
    """Two seeds on two devices; the actions are those that the agent takes."""
    policy = agent.policy(deterministic=deterministic)
    config = tiny(VALUE_FITTING, policy=policy)
    result = run(VALUE_FITTING, cartpole(), config, 2, num_evals=1, num_episodes=8, progress=False)
    assert result.failed == {} and result.state.policy == ()
    obs = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)

    @jax.jit
    def act(keys):
        memory = jax.vmap(lambda key: VALUE_FITTING.initial_memory(config, cartpole(), key))(keys)
        return VALUE_FITTING.act(canonical(config), cartpole(), (), obs, memory)[0]

    actions = act(jax.random.split(jax.random.key(0), 9))
    if deterministic:
        np.testing.assert_array_equal(actions, policy(obs))
    learner = jax.tree.map(lambda x: np.asarray(x)[0], result.state.learner)
    assert value_fitting.values(config, cartpole(), learner, obs).shape == (9,)


@pytest.mark.thorough
def test_a_policy_of_ones_own_is_kept_by_its_name(tmp_path):
    """As a network of one's own is; and one that has no name needs its config."""
    env, settings = finite(), {"num_evals": 1, "num_episodes": 2, "progress": False}
    first = run(VALUE_FITTING, env, tiny(VALUE_FITTING, policy=chooses), 1, tmp_path / "named", **settings)
    assert load_run(tmp_path / "named", env=env).config == first.config
    again = resume(tmp_path / "named", 128, 64, env=env, progress=False)
    assert int(again.state.counters.env_steps) == 128
    config = tiny(VALUE_FITTING, policy=lambda obs, key: jnp.int32(0))
    run(VALUE_FITTING, env, config, 1, tmp_path / "nameless", **settings)
    with pytest.raises(
        ValueError, match=r"the policy .*<lambda> is not found by name.*FILE.py:NAME.*, or give the config"
    ):
        load_run(tmp_path / "nameless", env=env)
    assert load_run(tmp_path / "nameless", env=env, config=config).config == config


def test_v_sees_what_a_policy_does_not():
    """What is `critic_only`."""
    shown = {"seen": jnp.zeros(2), "critic_only": jnp.ones(1)}
    space = Dict({"seen": Box(-1, 1, (2,)), "critic_only": Box(-1, 1, (1,))})

    def policy(obs, key):
        assert obs.keys() == {"seen"}
        return jnp.int32(0)

    def step(key, state, action):
        return state, shown, 1.0, jnp.bool_(False), jnp.bool_(False)

    env = from_functions(lambda key: (jnp.int32(0), shown), step, space, Discrete(2), 5, name="asymmetric")
    config = canonical(tiny(VALUE_FITTING, policy=policy))
    state, _ = train(VALUE_FITTING, env, config, jax.random.key(0), 1, EVALUATION)
    other = {**shown, "critic_only": -jnp.ones(1)}
    assert value_fitting.values(config, env, state.learner, shown) != value_fitting.values(
        config, env, state.learner, other
    )


def test_progress_shows_the_loss_and_records_say_whose_values(agent, tmp_path, capsys):
    config = tiny(VALUE_FITTING, policy=agent.policy(deterministic=False))
    run(VALUE_FITTING, cartpole(), config, 2, tmp_path / "run", num_evals=2, num_episodes=8)
    lines = [line for line in capsys.readouterr().err.splitlines() if " steps/s " in line]
    assert len(lines) == 2 and all("   loss " in line for line in lines)
    rows = (tmp_path / "run" / "progress.csv").read_text().splitlines()
    assert rows[0].endswith(",loss,value_loss,value_target")
    assert "<stochastic policy of seed 4 of ppo on CartPole-v1>" in (tmp_path / "run" / "config.toml").read_text()


# -- what is refused


class Remembering:
    """As a policy of `RunResult.policy` that remembers."""

    remembers = True

    def __call__(self, obs, memory, key=None):
        return 0, memory


WRONG = {
    "unifrom": "policy='unifrom' is not known: choose 'uniform', or give a function",
    3: "policy=3 is not known",
    Remembering(): "has a memory: give one that acts on the observation and a key alone",
    (lambda obs: 0): r"<lambda> does not act in chain: .*takes 1 positional argument but 2 were given",
    (lambda obs, key: 0.5): r"<lambda> does not act in chain: An action for Discrete\(2\) is an integer, got float32",
    (lambda obs, key: jnp.zeros(2, int)): r"<lambda> does not act in chain: An action for Discrete\(2\) has shape",
    (lambda obs, key: 1 if obs > 2 else 0): "<lambda> does not act in chain: Attempted boolean conversion",
}


@pytest.mark.parametrize("policy", WRONG, ids=range(len(WRONG)))
def test_a_policy_that_is_none_is_one_line(policy):
    with pytest.raises(ValueError, match=WRONG[policy]) as error:
        train(VALUE_FITTING, chain(), tiny(VALUE_FITTING, policy=policy), jax.random.key(0))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"target": "td_lambda"}, "target='td_lambda': choose from monte_carlo, td, k_step, lambda"),
        ({"k": 0}, "k=0 is out of range: it must be at least 1"),
        ({"td_lambda": 1.5}, "td_lambda=1.5 is out of range"),
        ({"optimizer": "rmsprop"}, "optimizer='rmsprop': choose from adam, sgd"),
        ({"policy": [1]}, r"policy=\[1\] is static, so it must be hashable"),
        ({"value_steps": 0}, "value_steps=0 is out of range"),
    ],
)
def test_bad_configs_are_one_line(fields, message):
    with pytest.raises(ValueError, match=message):
        make_config(VALUE_FITTING, **fields)


def test_without_a_memory_there_is_no_chance():
    with pytest.raises(ValueError, match="begin with initial_memory"):
        VALUE_FITTING.act(canonical(tiny(VALUE_FITTING)), chain(), (), jnp.int32(0))
