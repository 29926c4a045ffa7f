"""Every algorithm learns a task: six seeds each, with defaults but for what is listed, or by its recipes."""

import pytest
from tiny import seen_by

from jaxrl_up import ALGORITHMS, envs, make_config, run
from jaxrl_up.experiments import read_recipe, recipe_names

PENDULUM = {"num_envs": 16, "gamma": 0.95}
BATCH = {**PENDULUM, "rollout_length": 128}
SOON = {"learning_starts": 300, "random_steps": 300, "model_first": 200, "gradient_steps": 2, "batch_size": 128}
FAST = {"tau": 0.02, "learning_rate": 3e-4, "critic_learning_rate": 1e-3, "gamma": 0.95, "noise_scale": 0.3}
ON_TD3 = {"base": "td3", "hidden": (128, 128), **SOON, **FAST}
MPPI = {"method": "mppi", "samples": 128, "horizon": 40, "iterations": 1, "act_on": "mean"}

# (algorithm, environment): fields, and the interquartile mean of returns that is asked for. A random policy earns 22
# on CartPole (at most 500) and -1220 on Pendulum (about -150 at best), and no more on CartPole of 200 steps, pushed by
# any force in between.
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
    ("mbpo", "tiny:pushed_cartpole"): ({"total_steps": 600, "gradient_steps": 5}, 80),
    ("mbve", "Pendulum-v1"): ({"total_steps": 8_000}, -250),
    ("alphazero", "Catch-bsuite"): ({"total_steps": 10_000, "num_simulations": 16}, 1.0),  # the best there is
    ("mbve", "tiny:pushed_cartpole"): ({"total_steps": 1_200, **ON_TD3}, 80),
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
    searches = hasattr(config, "samples") or hasattr(config, "num_simulations")  # acting takes longer than learning
    often = {"num_evals": 1, "num_episodes": 4} if searches else {"num_evals": 2, "num_episodes": 16}
    result = run(ALGORITHMS[name], world, config, seeds=6, progress=False, **often)
    assert result.failed == {}
    assert result.score.iqm >= bar, result.returns


def test_every_algorithm_has_learning_tests():
    learned = {name for name, _ in TASKS}
    assert learned == set(ALGORITHMS)
