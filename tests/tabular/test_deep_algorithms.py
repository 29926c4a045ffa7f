"""Every algorithm of discrete actions on one small MDP, judged by the exact value of the policy that it ends with.

The 4 x 3 world of Russell & Norvig (Artificial Intelligence, chapter 17): a step costs 0.04, one of two ends pays 1,
the other -1. Moves slip to either side with probability 0.05 each, half as often as in the book.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ALGORITHMS, run, tabular

WORLD = tabular.from_grid(["...G", ".#.P", "S..."], discount=0.99, step_reward=-0.04, slip=0.1)
ALPHA = 0.05  # of discrete SAC, in reward per nat
FIELDS = {"gamma": 0.99}
# a replay that keeps all of the run: of fewer steps the frequencies of what slips are too rough to tell actions apart
REPLAY = {"num_envs": 4, "batch_size": 256, "hidden": (64,), "total_steps": 80_000, "buffer_size": 80_000}
Q_LEARNING = REPLAY | {"epsilon_end": 0.3, "target_every": 200, "learning_rate": 2e-4}
OWN = {
    "vpg": {"total_steps": 100_000, "num_envs": 16},
    "a2c": {"total_steps": 150_000, "num_envs": 16},
    "ppo": {"total_steps": 60_000, "num_envs": 16, "rollout_length": 64},
    "trpo": {"total_steps": 150_000, "num_envs": 16, "rollout_length": 128},
    "dqn": Q_LEARNING,
    "c51": Q_LEARNING | {"num_atoms": 21, "v_min": -2.0, "v_max": 1.0},
    "qr_dqn": Q_LEARNING | {"num_quantiles": 16},
    "sac_discrete": REPLAY | {"learn_alpha": False, "alpha": ALPHA},
}
PLANNERS = {"mpc", "pets", "alphazero"}  # whose plans are blind to where they slip; models of vectors; and, with nodes
# of chance beside V*, in tests/algorithms/test_alphazero.py
ACTING = {name for name, algo in ALGORITHMS.items() if "Discrete" in algo.action_spaces and algo.learns_to_act}
DISCRETE = [name for name in ALGORITHMS if name in ACTING - PLANNERS]


def test_the_world_has_the_values_of_the_book():
    """Undiscounted, figure 17.3; rows from above, without the wall and the two ends."""
    values = tabular.v_star(tabular.from_grid(WORLD.layout.text, discount=1.0, step_reward=-0.04, slip=0.2))
    book = [0.812, 0.868, 0.918, 0.0, 0.762, 0.660, 0.0, 0.705, 0.655, 0.611, 0.388]
    np.testing.assert_allclose(values, book, atol=6e-4)


@pytest.mark.learning
@pytest.mark.exhaustive("vpg", "a2c", "trpo")  # which learn two tasks in tests/algorithms/test_learning.py
@pytest.mark.parametrize("name", DISCRETE)
def test_the_policy_is_worth_the_optimum(name):
    """Within 2% of J*, or where entropy is paid for of its soft counterpart, for each of five seeds."""
    config = FIELDS | OWN[name]
    done = run(name, tabular.as_env(WORLD), config, seeds=5, num_evals=1, num_episodes=1, max_eval_steps=100,
               progress=False)  # fmt: skip
    assert done.failed == {}
    if name == "sac_discrete":
        best = jnp.sum(WORLD.start * tabular.soft_value_iteration(WORLD, ALPHA).values)
    else:
        best = tabular.expected_return(WORLD, tabular.value_iteration(WORLD).policy)
    for seed in done.seeds:
        if name == "sac_discrete":
            act = done.policy(seed, deterministic=False)
            policy = tabular.policy_table(WORLD, act, jax.random.key(0), samples=20_000)
            reached = jnp.sum(WORLD.start * tabular.soft_v_pi(WORLD, policy, ALPHA))
        else:
            reached = tabular.expected_return(WORLD, tabular.policy_table(WORLD, done.policy(seed)))
        assert reached >= 0.98 * best, f"seed {seed}: {reached:.4f} of {best:.4f}"
