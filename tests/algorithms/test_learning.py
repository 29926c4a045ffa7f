"""Every algorithm learns a task: six seeds each, with defaults but for what is listed, or by its recipes."""

import pytest
from tiny import seen_by

from jaxrl_up import ALGORITHMS, envs, make_config, run
from jaxrl_up.experiments import read_recipe, recipe_names

PENDULUM = {"num_envs": 16, "gamma": 0.95}
BATCH = {**PENDULUM, "rollout_length": 128}
MPPI = {"method": "mppi", "samples": 128, "horizon": 40, "iterations": 1, "act_on": "mean"}

# (algorithm, environment): fields, and the interquartile mean of returns that is asked for. A random policy earns 22
# on CartPole (at most 500) and -1220 on Pendulum (about -150 at best).
TASKS = {
    ("vpg", "CartPole-v1"): ({"total_steps": 100_000}, 400),
    ("a2c", "CartPole-v1"): ({"total_steps": 200_000, "rollout_length": 32}, 400),
    ("ppo", "CartPole-v1"): ({"total_steps": 100_000}, 450),
    ("trpo", "CartPole-v1"): ({"total_steps": 60_000}, 400),
    ("dqn", "CartPole-v1"): ({"total_steps": 200_000}, 350),
    ("c51", "CartPole-v1"): ({"total_steps": 100_000, "num_atoms": 21}, 250),
    ("qr_dqn", "CartPole-v1"): ({"total_steps": 100_000, "num_quantiles": 16}, 200),
    ("sac_discrete", "CartPole-v1"): ({"total_steps": 100_000}, 200),
    ("ddpg", "Pendulum-v1"): ({"total_steps": 12_000}, -250),
    ("td3", "Pendulum-v1"): ({"total_steps": 12_000}, -250),
    ("sac", "Pendulum-v1"): ({"total_steps": 10_000}, -250),
    ("vpg", "Pendulum-v1"): ({"total_steps": 300_000, **PENDULUM}, -600),
    ("a2c", "Pendulum-v1"): ({"total_steps": 300_000, "gamma": 0.95}, -700),
    ("ppo", "Pendulum-v1"): ({"total_steps": 100_000, **BATCH, "num_epochs": 10, "num_minibatches": 16}, -250),
    ("trpo", "Pendulum-v1"): ({"total_steps": 100_000, **BATCH, "value_steps": 40}, -400),
    ("mbpo", "Pendulum-v1"): ({"total_steps": 1_500, "gradient_steps": 10}, -250),
    ("mbve", "Pendulum-v1"): ({"total_steps": 8_000}, -250),
    ("alphazero", "Catch-bsuite"): ({"total_steps": 10_000, "num_simulations": 16}, 1.0),  # the best there is
    ("mpc", "CartPole-v1"): ({"total_steps": 50, **MPPI}, 450),
    ("mpc", "Pendulum-v1"): ({"total_steps": 50}, -250),
}
LISTED = {name for name, _ in TASKS}
for recipe in map(read_recipe, recipe_names()):  # of algorithms that are not listed
    plain = not {"preset", "parameters", "wrappers"} & recipe.keys()
    if recipe["algorithm"] not in LISTED and "bar" in recipe and plain:
        TASKS[recipe["algorithm"], recipe["environment"]] = (recipe.get("config", {}), recipe["bar"])


@pytest.mark.learning
@pytest.mark.parametrize(("name", "env"), TASKS, ids=lambda x: x)
def test_learns(name, env):
    fields, bar = TASKS[name, env]
    config = make_config(ALGORITHMS[name], **fields)
    world = seen_by(ALGORITHMS[name], envs.make(env))
    evaluations = (
        1 if hasattr(config, "samples") or hasattr(config, "num_simulations") else 2
    )  # where acting is a search they take longer than learning
    result = run(ALGORITHMS[name], world, config, seeds=6, num_evals=evaluations, num_episodes=16, progress=False)
    assert result.failed == {}
    assert result.score.iqm >= bar, result.returns


def test_every_algorithm_has_learning_tests():
    learned = {name for name, _ in TASKS}
    assert learned == set(ALGORITHMS)
