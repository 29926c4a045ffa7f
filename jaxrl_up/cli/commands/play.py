"""`jaxrl-up play`: play a board game in the terminal, against the policy of a run or an opponent."""

from __future__ import annotations

import argparse
import secrets
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxrl_up import envs
from jaxrl_up.cli.board_games import Game, Rival, coloured, converse
from jaxrl_up.cli.commands.evaluate import choose_policy
from jaxrl_up.cli.options import Parser, UsageError, whole
from jaxrl_up.cli.own import add_own, given_own
from jaxrl_up.config import canonical
from jaxrl_up.envs import acting, pick
from jaxrl_up.learning import memory_of
from jaxrl_up.records import load_run
from jaxrl_up.training import with_fields, with_swept
from jaxrl_up.types import Array, Key, PyTree


def main(arguments: list[str]) -> int:
    """`jaxrl-up play`: a conversation on standard input and output."""
    options = _parser(arguments).parse(arguments)
    if options is None:
        return 0
    if options.first and options.second:
        raise UsageError("--first and --second: you have one side")
    try:
        rival, first = _against_opponent(options) if _is_game(options.rival) else _against_policy(options)
        envs.board_of(rival.env)
        if options.first or options.second:
            first = options.first
        number = secrets.randbits(32) if options.episode_seed is None else options.episode_seed
        if not 0 <= number < 2**32:
            raise ValueError(f"--episode-seed={number} must be a whole number from 0 to 2^32 - 1")
        game = Game(rival, first is not False, jax.random.key(number), coloured())
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    converse(game, iter(sys.stdin.readline, ""), partial(print, flush=True), partial(print, "> ", end="", flush=True))
    return 0


def _is_game(text: str) -> bool:
    """Whether a text names an environment and not a run."""
    return not Path(text).expanduser().exists() and ("?" in text or envs.is_name(text))


def _against_opponent(options: argparse.Namespace) -> tuple[Rival, bool | None]:
    """The opponent of an environment, and which side its name gives to who plays against it."""
    if options.seed is not None or options.best or options.stochastic or options.point:
        raise ValueError(f"{options.rival} is no run: leave --seed, --best, --stochastic and --point out")
    if given_own(options):
        raise ValueError(f"{options.rival} is no run: leave out what names something of one")
    env = envs.make(options.rival)
    opponent, first = envs.opponent_of(env)

    @jax.jit
    def act(obs: PyTree, memory: PyTree, key: Key) -> tuple[Array, PyTree]:
        return jnp.asarray(opponent(obs, key)), memory

    return Rival(f"{env.name}", envs.game_of(env), lambda key: (), act), first


def _against_policy(options: argparse.Namespace) -> tuple[Rival, None]:
    """The policy of a run of a board game."""
    run = load_run(options.rival, **given_own(options))
    game = envs.game_of(run.env)
    seed, policy, steps, swept = choose_policy(run, options.seed, options.point, options.best)
    env, config, algo = with_swept(game, swept), with_fields(canonical(run.config), swept), run.algo

    def one(obs: PyTree, memory: PyTree) -> PyTree:
        """As policies are shown it, a batch of one."""
        return jax.tree.map(lambda x: x[None], (pick(env.observation_space, acting, obs), memory))

    @jax.jit
    def act(obs: PyTree, memory: PyTree, key: Key) -> tuple[Array, PyTree]:
        acted = algo.act(config, env, policy, *one(obs, memory), key if options.stochastic else None)
        action, memory = jax.tree.map(lambda x: x[0], acted)
        return action, memory

    @jax.jit
    def judge(obs: PyTree, memory: PyTree) -> dict[str, Array]:
        assert algo.judge is not None
        return jax.tree.map(lambda x: x[0], dict(algo.judge(config, env, policy, *one(obs, memory))))

    name = f"{env.name}: {algo.name}, seed {seed}, {steps:,} steps"
    begin = memory_of(algo, env, config, not options.stochastic)
    return Rival(name, env, begin, act, None if algo.judge is None else judge), None


def _parser(arguments: list[str]) -> Parser:
    parser = Parser(
        compiles=True,
        prog="jaxrl-up play",
        usage="jaxrl-up play RUN|ENV [--first | --second] [--seed N] [--best] [--stochastic]",
        description="Play a board game in the terminal: against the policy of a run, of a board or of one side of it, "
        "or against an opponent, as 'pgx/connect_four?opponent=minimax&depth=4'. A line is a move by its usual name, "
        "or hint, undo, moves, quit.",
    )
    parser.add_argument("rival", metavar="RUN|ENV", help="the directory of a run, or a game with its opponent")
    parser.add(parser, "--first", action="store_true", help="you move first (default)")
    parser.add(parser, "--second", action="store_true", help="the other moves first")
    parser.add(parser, "--seed", type=whole, metavar="N", help="which of the run's seeds (default: its first)")
    parser.add(parser, "--best", action="store_true",
               help="the seed's best policy, by its evaluations, instead of the last")  # fmt: skip
    parser.add(parser, "--stochastic", action="store_true", help="sampled actions instead of the policy's mode")
    parser.add(parser, "--point", type=whole, default=0, metavar="N", help="which grid point of a sweep (default 0)")
    parser.add(parser, "--episode-seed", type=whole, metavar="N",
               help="what is drawn at random, by a number (default: other draws each time)")  # fmt: skip
    add_own(parser, arguments)
    return parser
