"""What people type: spellings that are taken, and what is said of those that are not."""

import argparse
import dataclasses
import re

import pytest

from jaxrl_up import ALGORITHMS, envs, make_config
from jaxrl_up.cli import COMMANDS, main, options, spell_seeds
from jaxrl_up.config import SYNONYMS, did_you_mean

MEANT = {  # words of `train` -> the option that is named
    "--lr 1e-3": "--learning-rate",
    "--learning_rte 1": "--learning-rate",
    "--env_name CartPole-v1": "--env",
    "--env-id CartPole-v1": "--env",
    "--gym-id CartPole-v1": "--env",
    "--hid [64,64]": "--hidden",
    "--hidden_sizes 64": "--hidden",
    "--net-arch 64": "--hidden",
    "--epochs 50": "--num-epochs' or '--total-steps",
    "trpo --epochs 50": "--total-steps",
    "dqn --n_epochs 4": "--total-steps",
    "pets --iters 4": "--iterations' or '--total-steps",
    "--steps 1e5": "--total-steps",
    "--timesteps 1e5": "--total-steps",
    "--total-timesteps 1e5": "--total-steps",
    "--n-timesteps 1e5": "--total-steps",
    "--exp_name first": "--name",
    "--log-dir logs": "--directory",
    "--num-seeds 3": "--seeds",
    "--seed-list 3": "--seeds",
    "--steps_per_epoch 4000": "--rollout-length",
    "--n_steps 128": "--rollout-length",
    "--num-steps 128": "--rollout-length",
    "--n-envs 8": "--num-envs",
    "--n-epochs 4": "--num-epochs",
    "--update-epochs 4": "--num-epochs",
    "--batch_size 64": "--num-minibatches",
    "--pi_lr 1e-3": "--learning-rate",
    "--vf_lr 1e-3": "--value-learning-rate",
    "--lam 0.95": "--gae-lambda",
    "--discount 0.9": "--gamma",
    "--clip_ratio 0.2": "--clip-epsilon",
    "--clip-coef 0.2": "--clip-epsilon",
    "--clip_range 0.2": "--clip-epsilon",
    "--ent-coef 0.01": "--entropy-cost",
    "--vf-coef 0.5": "--value-cost",
    "--anneal-lr": "--anneal-learning-rate",
    "--eval-freq 1000": "--num-evals",
    "--n_eval_episodes 5": "--num-episodes",
    "--track": "--wandb",
    "--tensorboard-log logs": "--tensorboard",
    "--total 5": "--total-steps",
    "--hyperparams x": "--recipe",
    "dqn --target-network-frequency 5": "--target-every",
    "dqn --start-e 1": "--epsilon-start",
    "dqn --batch 64": "--batch-size",
    "dqn --replay_size 100": "--buffer-size",
    "sac --polyak 0.99": "--tau",
    "sac --ent_coef 0.1": "--alpha",
    "sac --q_lr 0.1": "--critic-learning-rate",
    "sac --autotune": "--learn-alpha",
    "td3 --policy-frequency 2": "--policy-delay",
    "td3 --act_noise 0.1": "--noise-scale",
}
ELSEWHERE = {
    "--max_ep_len 100": "--env.max_steps 200",
    "--device cuda": "JAX takes the accelerator that it finds",
    "--capture-video": "`jaxrl-up watch RUN`",
}


@pytest.mark.parametrize("line", MEANT)
def test_the_option_that_is_meant_is_named(line, capsys):
    assert main(["train", *line.split()]) == 2
    error = capsys.readouterr().err
    given = next(word for word in line.split() if word.startswith("--"))
    assert f"has no option {given!r}. Did you mean '{MEANT[line]}'?" in error


@pytest.mark.parametrize("line", ELSEWHERE)
def test_what_is_no_option_here_is_said_to_be_elsewhere(line, capsys):
    assert main(["train", *line.split()]) == 2
    assert ELSEWHERE[line] in capsys.readouterr().err


@pytest.mark.parametrize("word", ["--hep", "--elp", "--hilp", "--helpme", "--halp"])
@pytest.mark.parametrize("command", ["train", "watch", "algos"])
def test_no_typo_means_help(command, word, capsys):
    assert main([command, word]) == 2
    assert "'--help'" not in capsys.readouterr().err


def test_every_synonym_means_something_that_is_there():
    fields = {field.name for algo in ALGORITHMS.values() for field in dataclasses.fields(algo.Config)}
    run = {"env", "eval_env", "algo", "name", "directory", "out", "seed", "seeds", "recipe", "from", "force", "wrap"}
    told = {"progress", "no_progress", "wandb", "tensorboard", "checkpoint_seconds", "num_evals", "num_episodes"}
    look = {"episodes", "max_eval_steps", "max_steps", "stochastic", "random", "simulator_view", "x", "y", "smooth"}
    there = fields | run | told | look | set(COMMANDS)
    assert {word for text in SYNONYMS.values() for word in re.split(r"[ |]", text)} <= there
    for name, text in SYNONYMS.items():
        assert name == name.lower() and "-" not in name and name not in re.split(r"[ |]", text)


def test_words_of_other_libraries_are_known_in_python_and_in_sweeps_too(capsys):
    assert did_you_mean("LR", ["gamma", "learning_rate"]) == " Did you mean 'learning_rate'?"
    assert main(["sweep", "--grid", "lr=1e-3,1e-4"]) == 2
    assert "Did you mean 'learning_rate'?" in capsys.readouterr().err
    with pytest.raises(ValueError, match="Did you mean 'total_steps'"):
        make_config("ppo", total_timesteps=5)


@pytest.mark.parametrize(
    ("command", "meant"),
    [("run", "train"), ("eval", "evaluate"), ("test_policy", "watch"), ("enjoy", "watch"), ("tune", "sweep")],
)
def test_the_command_that_is_meant_is_named(command, meant, capsys):
    assert main([command]) == 2
    assert f"unknown command {command!r}. Did you mean {meant!r}?" in capsys.readouterr().err


def test_a_command_that_is_missing_is_put_before(capsys):
    envs.make("CartPole-v1")
    for words, meant in {
        ("ppo", "--gamma", "0.9"): "jaxrl-up train ppo --gamma 0.9",
        ("CartPole-v1",): "jaxrl-up train --env CartPole-v1",
        ("--name", "two words"): "jaxrl-up train --name 'two words'",
    }.items():
        assert main(list(words)) == 2
        assert f"`{meant}`" in capsys.readouterr().err
    assert main(["--halp"]) == 2
    assert "'--help'" not in capsys.readouterr().err


def test_an_environment_in_the_place_of_an_option_is_known(capsys):
    envs.make("CartPole-v1")
    for line, said in {
        "ppo gamma=0.9": "unrecognized arguments: gamma=0.9. Did you mean --gamma=0.9?",
        "--grid gamma=1": "Many settings at once are `jaxrl-up sweep --grid NAME=V1,V2`",
        "CartPole-v1": "It is an environment: --env CartPole-v1.",
        "ppo CartPole-v1": "Did you mean --env CartPole-v1?",
    }.items():
        assert main(["train", *line.split()]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "meant"),
    {
        "--seed 3": "--seeds 3,",
        "--seed=3": "--seeds 3,",
        "--seed 0 10 20 --gamma 1": "--seeds 0,10,20 --gamma 1",
        "--seeds 0 10 20": "--seeds 0,10,20",
        "--seeds 3": "--seeds 3",
        "--seeds 3 ppo": "--seeds 3 ppo",
        "--seeds=0,3": "--seeds 0,3",
        "--seed": "--seeds",
        "--seed --gamma 1": "--seeds --gamma 1",
    }.items(),
)
def test_seed_is_one_seed(line, meant):
    assert spell_seeds(line.split()) == meant.split()


def test_seed_3_is_seed_3(capsys):
    """Also where it would be the number of devices, in `sweep`, and where it was the list of `evaluate`."""
    assert main(["train", "--seed", "3", "--total-steps", "1024", "--dry-run"]) == 0
    assert "ppo on CartPole-v1: 1 seed x 1,024 steps" in capsys.readouterr().out
    assert main(["sweep", "--seed", "3", "--grid", "gamma=0.9", "--total-steps", "1024", "--dry-run"]) == 0
    assert "1 point x 1 seed" in capsys.readouterr().out
    assert main(["train", "--seed", "x"]) == 2
    assert "'x' is not a whole number" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["64,32", "64x32", "64X32", "64-32", "[64,32]", "[64, 32]", "(64, 32)", "64 32"])
def test_sizes_of_layers_as_people_write_them(text):
    assert options.layers(text) == (64, 32)


def test_whole_numbers_as_people_write_them():
    for text, number in {"1e6": 10**6, "1M": 10**6, "1.5m": 1_500_000, "100k": 10**5, "1_000": 1000, "-2": -2}.items():
        assert options.whole(text) == number
    for text in ("k", "1.5", "0.0001k", "1kk", "1e3k", "five", "1g", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number"):
            options.whole(text)


@pytest.mark.parametrize("line", ["--hidden 64 32", "--hidden=64 32", "--hidden 64 32 --shared", "--hidden [64,32]"])
def test_sizes_one_by_one(line):
    parser = options.Parser(prog="x")
    options.add_fields(parser, ALGORITHMS["ppo"], "fields")
    assert vars(parser.parse(line.split()))["config.hidden"] == (64, 32)


@pytest.mark.parametrize("text", ["64,x", "64--32", "-64", "64,-32", "x64"])
def test_what_is_no_size(text):
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        make_config("ppo", hidden=options.layers(text))


def test_a_switch_takes_true_and_false(capsys):
    for words, shared in (("--shared True", "true"), ("--shared=false", "false"), ("--shared FALSE", "false")):
        parser = options.Parser(prog="x")
        options.add_fields(parser, ALGORITHMS["ppo"], "fields")
        assert str(vars(parser.parse(words.split()))["config.shared"]).lower() == shared
