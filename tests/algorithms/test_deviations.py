"""Where defaults are not the paper's, the docstring of the algorithm says so, and it says what is so."""

import ast
import inspect
import sys

import jax
import optax
import pytest
from tiny import task, tiny

from jaxrl_up import ALGORITHMS, make_config

DQN_REPLAY = {
    "batch_size": (32, 128, "batches of 128 and not 32"),
    "learning_starts": (50_000, 1_000, "learned from after 1,000 steps and not 50,000"),
    "hidden": ((512,), (64, 64), "two layers of 64 units"),
    "n_step > 1": "Targets of `n_step` > 1 are not corrected for rewards of older policies",
}
DISTRIBUTIONAL = {
    **DQN_REPLAY,
    "buffer_size": (1_000_000, 50_000, "a replay of 50,000 and not 1,000,000"),
    "num_envs": (1, 4, "4 environments and not one"),
    "max_grad_norm": (None, 10.0, "the norm of the gradient is clipped to 10"),
}
ON_POLICY = {
    "max_grad_norm": (None, 0.5, "each network's gradient is clipped on its own"),
    "normalize_returns": (False, True, "the critic learns in units of its targets"),
}
CONTINUOUS = {
    "buffer_size": (1_000_000, 100_000, "a replay of 100,000 and not"),
}

SEARCH = {
    "samples": (400, 64, "64 candidates and not 400"),
    "elites": (40, 6, "6 elites and not 40"),
    "iterations": (5, 3, "3 rounds and not 5"),
    "horizon": (25, 20, "plans of 20 steps and not 25"),
    "spread": (0.5, 1.0, "a first standard deviation of half the range and not a quarter"),
    "plan_noise": ("white", "ou", "vary smoothly over time (`plan_noise`)"),
    "mode": "the mean of the plan so far is one of them",
    "what is smoothed": "`smoothing` is of the standard deviation and not of the variance",
}

# Field: (the paper's value, the default here, what the docstring says). What is no field: what the docstring says.
DEVIATIONS = {
    "vpg": {
        **ON_POLICY,
        "anneal_learning_rate": (False, True, "the step sizes are annealed to zero"),
        "normalize_advantages": (False, True, "Phi is normalised over the batch"),
        "optimiser": "both networks step by Adam",
        "trajectories cut short": "ends in the value of its true successor",
    },
    "a2c": {
        **ON_POLICY,
        "rollout_length": (5, 8, "`rollout_length`, is 8 and not 5"),
        "shared": (True, False, "actor and critic are two networks"),
        "hidden": ((256,), (64, 64), "two layers of 64 units"),
        "asynchronous workers": "synchronous",
    },
    "ppo": {
        **ON_POLICY,
        "num_envs": (1, 8, "of 8 environments"),
        "rollout_length": (2048, 128, "over 128 steps"),
        "num_epochs": (10, 4, "4 epochs"),
        "num_minibatches": (32, 4, "4 minibatches"),
        "learning_rate": (3e-4, 1e-3, "a step size of 1e-3"),
        "anneal_learning_rate": (False, True, "annealed to zero"),
        "normalize_advantages": ("no", "minibatch", "advantages are normalised per minibatch"),
        "early stop": "the estimate k1 of the KL",
    },
    "trpo": {
        "normalize_advantages": (False, True, "they are normalised over the batch"),
        "normalize_returns": (False, True, "in units of its targets"),
        "damping": (0.0, 0.1, "H has `damping` on its diagonal, in the length of the step as well"),
        "critic": "advantages are GAE with a critic",
        "optimiser": "`value_steps` steps of Adam",
    },
    "dqn": {
        **DQN_REPLAY,
        "learning_rate": (2.5e-4, 5e-4, "Adam with a step size of 5e-4, where the paper has RMSProp with 2.5e-4"),
        "loss": ("huber", "squared", "a squared loss, where the paper clips the error"),
        "buffer_size": (1_000_000, 10_000, "a replay of 10,000 transitions and not 1,000,000"),
        "num_envs": (1, 8, "one of each of 8 environments"),
        "train_every": (4, 1, "a gradient step for every 8 environment steps"),
        "target_every": (10_000, 50, "every 50 gradient steps and not 10,000"),
        "epsilon_end": (0.1, 0.05, "epsilon falls to 0.05 and not 0.1"),
        "exploration_fraction": (0.02, 0.5, "over half of the steps and not a fiftieth"),
    },
    "c51": {
        **DISTRIBUTIONAL,
        "v_min": (-10.0, 0.0, "a support of [0, 100], where the paper has [-10, 10]"),
        "v_max": (10.0, 100.0, "a support of [0, 100], where the paper has [-10, 10]"),
        "learning_rate": (2.5e-4, 5e-4, "a step size of 5e-4"),
        "adam_epsilon": (0.01 / 32, 1e-4, "1e-4 in its denominator"),
        "epsilon_end": (0.01, 0.05, "epsilon falls to 0.05 and not 0.01"),
        "target_every": (10_000, 100, "every 100 gradient steps and not 10,000"),
    },
    "qr_dqn": {
        **DISTRIBUTIONAL,
        "num_quantiles": (200, 32, "32 quantiles, where the paper has 200"),
        "learning_rate": (5e-5, 1e-3, "a step size of 1e-3"),
        "adam_epsilon": (0.01 / 32, 1e-8, "1e-8 in its denominator"),
        "target_every": (10_000, 250, "every 250 gradient steps and not 10,000"),
    },
    "ddpg": {
        **CONTINUOUS,
        "exploration_noise": ("ou", "white", "white noise, where the paper has an Ornstein-Uhlenbeck process"),
        "random_steps": (0, 1_000, "the first 1,000 actions are random"),
        "tau": (0.001, 0.005, "tau is 0.005 and not 0.001"),
        "learning_rate": (1e-4, 1e-3, "the actor's step size is 1e-3 and not 1e-4"),
        "batch_size": (64, 256, "batches of 256 and not 64"),
        "hidden": ((400, 300), (64, 64), "hidden layers of 64 and 64 units and not 400 and 300"),
        "actions": "meets the action in the critic's first layer and not in its second",
        "weight decay": "no weight decay on the critic",
        "batch normalisation": "no batch normalisation",
        "last layers": "and not near zero",
        "n_step > 1": "Targets of `n_step` > 1 are not corrected for rewards of older policies",
    },
    "td3": {
        **CONTINUOUS,
        "batch_size": (100, 256, "batches of 256 and not 100"),
        "hidden": ((400, 300), (64, 64), "hidden layers of 64 and 64 units and not 400 and 300"),
        "n_step > 1": "Targets of `n_step` > 1 are not corrected for rewards of older policies",
    },
    "sac": {
        **CONTINUOUS,
        "learning_rate": (3e-4, 1e-3, "step sizes of 1e-3 and not 3e-4"),
        "hidden": ((256, 256), (64, 64), "hidden layers of 64 units and not 256"),
        "random_steps": (0, 1_000, "the first 1,000 actions are uniformly random"),
        "temperature": "by the gradient of its logarithm",
        "factor of the loss": "lacks the factor 1/2",
        "n_step > 1": "Rewards in a target of `n_step` > 1 are of older policies, uncorrected",
    },
    "sac_discrete": {
        "target_entropy": ("0.98 log A", None, "half of log A, where the paper aims at 0.98 log A"),
        "learning_rate": (3e-4, 1e-3, "step sizes of 1e-3 and not 3e-4"),
        "batch_size": (64, 128, "batches of 128 and not 64"),
        "buffer_size": (1_000_000, 100_000, "a replay of 100,000 and not 1,000,000"),
        "random_steps": (20_000, 1_000, "the first 1,000 actions are uniformly random and not 20,000"),
        "networks": "where the paper sees pixels",
        "temperature": "by the gradient of its logarithm",
        "n_step > 1": "Rewards in a target of `n_step` > 1 are of older policies, uncorrected",
    },
    "value_fitting": {
        "optimizer": ("sgd", "adam", "by Adam, where the books have plain gradient descent"),
        "value_steps": (1, 10, "`value_steps` of them on the same targets"),
        "anneal_learning_rate": (False, True, "the step size is annealed to zero"),
        "normalize_returns": (False, True, "V learns in units of its targets"),
        "batches": "a step for a batch of all environments and not for each state",
        "ends of rollouts": "sums of rewards end with the rollout, also those of `monte_carlo`, in the value",
    },
    "mpc": {
        **SEARCH,
        "bounds": "candidates are clipped to the bounds",
        "control": "weighs by what plans earn alone, without a cost of control",
        "mean of mppi": "0.1 of the old mean stays",
    },
    "pets": {
        **SEARCH,
        "reward": ("given", "learned", "reward and termination are learned, where theirs are given"),
        "hidden": ((500, 500, 500), (64, 64), "two hidden layers of 64 units and not three of 500"),
        "weight decay": "no weight decay",
        "batch_size": (32, 64, "batches of 64 and not 32"),
        "particles": (20, 5, "5 particles and not 20"),
        "bootstraps": "counts Poisson(1) times for each member, in place of copies of the data",
        "trials": "does not wait for the end of a trial",
        "bounds": "candidates are clipped to the bounds",
    },
    "mbpo": {
        "model_every": ("epochs", 2, "the model takes a gradient step every `model_every` of SAC's"),
        "model_first": ("fitted first", 1_000, "SAC learns from it from its `model_first`-th on"),
        "members": (7, 5, "5 members, all of them used, and not the best 5 of 7"),
        "model_hidden": ((200, 200, 200, 200), (64, 64), "two hidden layers of 64 units and not four of 200"),
        "imagined_size": ("400,000 k", 50_000, "the last 50,000 imagined steps are kept, and not 400,000 k"),
        "branch_length": ("by task", 3, "k is 3 throughout, where theirs is set by task, from 1 to 25"),
        "termination": ("given", "learned", "endings are learned, where the authors give them"),
        "random_steps": (5_000, 200, "the first 200 actions are random and not 5,000"),
        "target_entropy": ("by task", None, "the entropy aimed at is SAC's, and not set by task"),
        "weight decay": "no weight decay",
        "number of branches": "256 an environment step and not 400",
        "bootstraps": "each member counts transitions Poisson(1) times",
        "likelihood": "the likelihood's gradient is followed times sigma",
        "members of branches": "branches are dealt out to the members, and not one drawn for each",
        "ends of branches": "a branch that ends begins anew where it began",
        "temperature": "What SAC here differs in from its paper holds: see there",
    },
    "mbve": {
        "td_k": (True, False, "imagined states have targets of their own only with `td_k`"),
        "model_first": ("fitted first", 1_000, "expanded targets from the `model_first`-th on"),
        "members": (1, 5, "an ensemble with members dealt out to the branches, where the paper has one network"),
        "reward": ("given", "learned", "rewards and endings are learned too, where the paper's tasks give theirs"),
        "model_every": ("fitted first", 1, "one gradient step of the model for each of the critic"),
        "td3": "with TD3 as base the noise that smooths its target is on the last action alone",
        "bases": "What DDPG and TD3 differ in from their papers holds: see there",
    },
    "alphazero": {
        "search": ("muzero", "gumbel", "the search of Danihelka et al. by default"),
        "num_simulations": (800, 32, "32 simulations and not 800"),
        "learning_rate": (0.2, 1e-3, "Adam with a step size of 1e-3, where the paper has SGD with momentum and 0.2"),
        "batch_size": (4_096, 256, "batches of 256 and not 4,096"),
        "buffer_size": ("500,000 games", 20_000, "the last 20,000 positions, where the paper has those of 500,000"),
        "hidden": ("20 blocks", (64, 64), "two layers of 64 units, where the paper has 20 residual blocks"),
        "symmetries": (False, True, "positions are learned turned and mirrored, as AlphaGo Zero did"),
        "weight decay": "weights decay beside the step and not in the loss",
        "tree": "from a new tree at each move",
        "tanh": "the value is linear, without a tanh",
        "cut games": "a game that a rollout cuts comes out as the network says",
        "resignation": "nobody resigns",
    },
}
ROWS = [(name, what, said) for name, row in DEVIATIONS.items() for what, said in row.items()]


def module(name):
    """The file of an algorithm."""
    return sys.modules[ALGORITHMS[name].Config.__module__]


def deviations(name):
    """The paragraph of its docstring that begins "Deviations:", on one line."""
    paragraphs = [" ".join(x.split()) for x in (module(name).__doc__ or "").split("\n\n")]
    (found,) = [x for x in paragraphs if x.startswith("Deviations:")]
    return found


def test_every_algorithm_has_a_row():
    assert set(DEVIATIONS) == set(ALGORITHMS)
    assert all(DEVIATIONS.values())


@pytest.mark.parametrize(("name", "what", "said"), ROWS, ids=lambda x: x if isinstance(x, str) else "")
def test_defaults_that_are_not_the_papers_are_named(name, what, said):
    config = make_config(name)
    if isinstance(said, str):
        assert not hasattr(config, what), f"{what} is a field: give its value in the paper and here"
        assert said in deviations(name)
        return
    papers, here, phrase = said
    assert getattr(config, what) == here
    assert here != papers
    assert phrase in deviations(name)


@pytest.mark.parametrize("name", [name for name, algo in ALGORITHMS.items() if algo.learns])
def test_optimisers_and_temperatures_are_what_the_words_say(name):
    """Adam in all of them but A2C, and a temperature by its logarithm."""
    algo = ALGORITHMS[name]
    learner = jax.eval_shape(lambda key: algo.init(tiny(algo), task(algo), key), jax.random.key(0)).learner
    kinds = (optax.ScaleByAdamState, optax.ScaleByRmsState)
    states = jax.tree.leaves(learner.opt_state, is_leaf=lambda x: isinstance(x, kinds))
    assert {type(state) for state in states} == {optax.ScaleByRmsState if name == "a2c" else optax.ScaleByAdamState}
    assert ("log_alpha" in learner.params) == ("temperature" in DEVIATIONS[name])


@pytest.mark.parametrize("name", ["ddpg", "td3"])
def test_presets_say_in_which_units_their_noise_is(name):
    source = inspect.getsource(module(name))
    (spinup,) = [
        x for x in ast.parse(source).body if isinstance(x, ast.Assign) and getattr(x.targets[0], "id", "") == "SPINUP"
    ]
    lines = source.splitlines()[spinup.lineno - 1 : spinup.end_lineno]
    (noise,) = [line for line in lines if "noise_scale" in line]
    assert "half width of the action's range" in noise
    assert all("#" in line for line in lines if "noise" in line)


def test_one_gradient_step_of_dqn_is_for_as_many_steps_as_it_says():
    config = make_config("dqn")
    assert (config.num_envs * config.train_every, config.gradient_steps) == (8, 1)


def test_branches_of_mbpo_are_as_many_as_it_says():
    config = make_config("mbpo")
    times = config.gradient_steps / (config.train_every * config.num_envs * config.branch_every)
    assert times * config.batch_size == 256
