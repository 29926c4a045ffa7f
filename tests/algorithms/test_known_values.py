"""Environments whose values and best actions are known exactly, learned by every algorithm."""

import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import EVALUATION, clock, field_names, plans, searches, seen_by, space_for, targets, tiny, values

from jaxrl_up import ALGORITHMS, train
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, from_functions, probes

GAMMA = 0.9
LAMBDAS = (0.95, 1.0)
LIMIT = 6
SHORT, LONG = 4, 8  # rollouts, around the time limit

# Set where an algorithm has the field: quick, annealed learning.
LEARN = {
    "num_envs": 4,
    "num_epochs": 8,
    "num_minibatches": 1,
    "value_steps": 8,
    "optimizer": "adam",
    "gamma": GAMMA,
    "learning_rate": 0.03,
    "anneal_learning_rate": True,
    "adam_epsilon": 1e-2,  # without annealing, a smaller one shakes values that are right already
    "max_grad_norm": None,
    "hidden": (16,),
}
# Off-policy there is no annealing, and targets follow slowly.
LEARN_OFF_POLICY = {
    "num_envs": 4,
    "gamma": GAMMA,
    "learning_rate": 6e-3,
    "batch_size": 64,
    "buffer_size": 4000,
    "learning_starts": 64,
    "tau": 0.1,
    "target_every": 1,
    "exploration_fraction": 0.1,
    "epsilon_end": 0.3,
    "noise_scale": 0.5,
    "learn_alpha": False,
    "alpha": 0.0,
    "loss": "squared",
    "v_max": 20.0,
    "num_atoms": 21,
    "num_quantiles": 8,
    "max_grad_norm": None,
    "initializer": "torch",  # with no biases, ReLU units that see 0 are dead
    "hidden": (32, 32),
    "horizon": 0,  # of a model that is learned beside a policy: what really happened is looked at here
    "real_fraction": 1.0,
    "gradient_steps": 1,
}


@pytest.fixture(params=ALGORITHMS.values(), ids=ALGORITHMS.keys(), scope="module")
def algo(request):
    return request.param


def trace_decay(algo):
    """The field that is lambda, which on-policy algorithms have."""
    return next((name for name in ("gae_lambda", "td_lambda") if name in field_names(algo)), None)


def on_policy(algo):
    return trace_decay(algo) is not None


def learning(algo, updates, **fields):
    fields = {"buffer_size": 256, **fields} if searches(algo) else fields  # targets are kept as they were when played
    config = tiny(algo, **{**(LEARN if on_policy(algo) else LEARN_OFF_POLICY), **fields})
    return config.replace(total_steps=updates * algo.steps_per_update(config))


def learned_values(algo, env, config, obs, params=None):
    """`[2, N]`: two values of lambda, or two seeds where there is none. `[P, 2, N]` for `params` `[P, ...]`."""

    def run(params, decay, seed):
        changed = config.replace(**{trace_decay(algo): decay}) if on_policy(algo) else config
        state, _ = train(algo, env.with_params(**params), changed, jax.random.key(seed), 1, EVALUATION)
        return values(algo, canonical(config), env, state, jnp.asarray(obs))

    program = jax.vmap(run, (None, 0, 0))
    program = program if params is None else jax.vmap(program, (0, None, None))
    return jax.jit(program)(params or {}, jnp.asarray(LAMBDAS), jnp.arange(2) * (not on_policy(algo)))


class Script(NamedTuple):
    """An episode that no action changes: what is shown and paid at each time, and the step in which it ends."""

    shown: list[int]  # one-hot; the last one is reached by the step that meets the time limit
    reward: list[float]
    terminated: float = np.inf
    truncated: float = np.inf


SCRIPTS = {  # trained in one program; where one terminates it shows what has a value, which must not be read
    "limit only": Script([0, 0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]),
    "cycle": Script([0, 1, 2, 3, 0, 1, 2], [1, 0, 0, 0, 1, 0]),
    "delayed reward": Script([0, 1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], terminated=2),
    "both flags": Script([0, 1, 2, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0], terminated=3, truncated=3),
}


def _script_reset(key, params):
    return jnp.int32(0), _shown(jnp.int32(0), params)


def _script_step(key, time, action, params):
    after = time + 1
    ends = after == params["terminated"], after == params["truncated"]
    return after, _shown(after, params), params["reward"][time], *ends


def _shown(time, params):
    return jax.nn.one_hot(params["shown"][time].astype(jnp.int32), 4)


def _rollouts():
    """Of those that learn values. PPO stands for all on-policy ones, which gather rollouts alike, DQN for replay."""
    marks = {("ppo", SHORT): [pytest.mark.thorough], ("sac", LONG): [pytest.mark.thorough]}
    marks |= {(name, LONG): [pytest.mark.exhaustive] for name in ("vpg", "a2c", "trpo")}
    learners = [algo for algo in ALGORITHMS.values() if not plans(algo)]
    rollouts = [(algo, n) for algo in learners for n in ((SHORT, LONG) if on_policy(algo) else (LONG,))]
    return [pytest.param((algo, n), marks=marks.get((algo.name, n), ())) for algo, n in rollouts]


@pytest.fixture(params=_rollouts(), ids=lambda given: f"{given[0].name}-{given[1]}", scope="module")
def learned(request):
    """(algorithm, values `[2, 4]` by script); where the rollout matters, with a short and with a long one."""
    algo, rollout = request.param
    env = from_functions(
        *(_script_reset, _script_step, Box(0.0, 1.0, (4,)), space_for(algo), LIMIT),
        params=SCRIPTS["cycle"]._asdict(),
        name="script",
    )
    env = seen_by(algo, env)
    params = {name: jnp.asarray([getattr(x, name) for x in SCRIPTS.values()], jnp.float32) for name in Script._fields}
    config = learning(algo, 500, rollout_length=rollout)
    return algo, dict(zip(SCRIPTS, learned_values(algo, env, config, np.eye(4), params), strict=True))


def test_a_time_limit_is_not_an_end(learned):
    """V = r / (1 - gamma) where only a time limit ends episodes."""
    algo, of = learned
    np.testing.assert_allclose(of["limit only"][:, 0], 1 / (1 - GAMMA), rtol=0.02 if on_policy(algo) else 0.03)


def test_a_time_limit_bootstraps_from_the_state_reached(learned):
    """Not from the observation after the reset, which has another value."""
    known = GAMMA ** ((4 - np.arange(4)) % 4) / (1 - GAMMA**4)
    np.testing.assert_allclose(learned[1]["cycle"], [known] * 2, rtol=0.02)


@pytest.mark.parametrize(("name", "known"), [("delayed reward", [GAMMA, 1.0]), ("both flags", [2.71, 1.9, 1.0])])
def test_values_where_an_episode_terminates(learned, name, known):
    """Also where the step that terminates is truncated as well."""
    np.testing.assert_allclose(learned[1][name][:, : len(known)], [known] * 2, atol=0.05)


@pytest.mark.parametrize("name", ["dqn", "td3"])
def test_windows_of_three_steps_end_at_a_time_limit(name):
    """Of 6 steps: windows of 1, 2 and 3 rewards bootstrap from the state reached. Rewards depend on no action."""
    algo = ALGORITHMS[name]
    learned = learned_values(algo, seen_by(algo, clock(algo, max_steps=6)), learning(algo, 250, n_step=3), np.eye(4))
    known = GAMMA ** ((4 - np.arange(4)) % 4) / (1 - GAMMA**4)
    np.testing.assert_allclose(learned, np.stack([known] * 2), rtol=0.02)


@pytest.mark.thorough("ppo-box")
@pytest.mark.exhaustive("vpg", "a2c", "c51", "qr_dqn", "ddpg")  # which learn two tasks in test_learning.py
@pytest.mark.parametrize(
    ("make", "best", "worst_return"),
    [(probes.matched_action_reward, [0, 1], 0.99), (targets, [[1.0, -20.0], [3.0, 0.0]], -0.02)],
    ids=["discrete", "box"],
)
def test_best_actions(algo, make, best, worst_return):
    env = make()
    if type(env.action_space).__name__ not in algo.action_spaces:
        pytest.skip("not an action space of this algorithm")
    if not algo.learns_to_act:
        pytest.skip("acts as it was told")
    if plans(algo):
        pytest.skip("has no policy: see test_mpc.py and test_pets.py")
    if searches(algo):
        pytest.skip("acts on simulators: see test_alphazero.py")
    # a tanh that is driven to a bound stays there; and a policy that PPO's many steps make narrow too early runs away
    rate = 0.01 if on_policy(algo) and "num_epochs" not in field_names(algo) else 0.003
    config = learning(algo, 300, num_envs=16, learning_rate=rate, initial_log_std=-1.0)
    state, log = train(algo, env, config, jax.random.key(0), 2, EVALUATION)
    act = jax.jit(lambda policy, obs: algo.act(canonical(config), env, policy, obs)[0])
    actions = act(state.policy, jnp.asarray([[-1.0], [1.0]]))
    tolerance = 0.1 * np.subtract(*reversed(env.action_space.bounds())) if make is targets else 0
    assert np.all(np.abs(actions - np.asarray(best)) <= tolerance)
    assert float(log.returns[-1]) > worst_return


@pytest.mark.parametrize("n_step", [pytest.param(1, marks=pytest.mark.thorough), 3])
@pytest.mark.parametrize("name", ["sac", "sac_discrete"])
def test_soft_value_of_a_policy_that_stands_still(name, n_step):
    """Q = (r + gamma alpha H) / (1 - gamma), whatever the action, with the entropy H of the first policy."""
    algo, alpha = ALGORITHMS[name], 0.5
    env = probes.constant_reward(1.0, max_steps=20, action_space=space_for(algo))
    config = learning(algo, 500, alpha=alpha, learning_rate=0.0, critic_learning_rate=6e-3, n_step=n_step)
    module = sys.modules[algo.Config.__module__]

    @jax.jit
    def run(key):
        state, _ = train(algo, env, config, key, 1, EVALUATION)
        policy = module.policy(canonical(config), env, state.learner.params["actor"], jnp.zeros((1, 1)))
        entropy = policy.entropy(jax.random.key(1), 10_000) if name == "sac" else policy.entropy()
        return entropy, values(algo, canonical(config), env, state, jnp.zeros((1, 1)))

    entropy, learned = run(jax.random.key(0))
    np.testing.assert_allclose(learned, (1 + GAMMA * alpha * entropy) / (1 - GAMMA), rtol=0.03)
