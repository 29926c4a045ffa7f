"""`jaxrl-up evaluate`: play fresh episodes of the policies of a saved run."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.algorithms import check_steps
from jaxrl_up.cli.layout import table
from jaxrl_up.cli.options import Parser, UsageError, seeds, take_env_options, whole
from jaxrl_up.cli.own import add_own, given_own
from jaxrl_up.config import canonical
from jaxrl_up.envs import (
    Discrete,
    Env,
    Leaf,
    Mask,
    MultiDiscrete,
    Simulator,
    Space,
    is_named,
    leaves,
    nominal,
    tree,
    was_named,
)
from jaxrl_up.learning import Episodes, acting_space
from jaxrl_up.records import EVALUATED, RunSpec, build_environment, load_policies, load_run, short
from jaxrl_up.training import Evaluation, evaluate_episodes, resolve, with_fields, with_swept
from jaxrl_up.types import Algorithm, Array, Key, PyTree

APART = 0x65766C  # keys below it come from no seed's training, which folds and splits by small numbers


def main(arguments: list[str]) -> int:
    """`jaxrl-up evaluate`: a table of the seeds, and the score in the last line of standard output."""
    arguments, env_options = take_env_options(arguments)
    options = _parser(arguments).parse(arguments)
    if options is None:
        return 0
    if options.episodes < 1:
        raise UsageError(f"--episodes={options.episodes} must be at least 1")
    try:
        run = load_run(options.run, **given_own(options))
        env = other_physics(run, env_options)
        check_steps(env)
        chosen = choose_seeds(run, options.seeds)
        policies = load_policies(run)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    policy = policies.best if options.best else policies.last
    points = num_points(run)
    lanes = np.array([p * len(run.seeds) + run.seeds.index(seed) for p in range(points) for seed in chosen])
    lane_seeds = [run.seeds[lane % len(run.seeds)] for lane in lanes]
    given = {f"env.{name}" for name in env_options}
    swept = {
        name: jnp.asarray(x[lanes // len(run.seeds)]) for name, x in swept_values(run).items() if name not in given
    }
    keys = jnp.stack([episode_key(options.episode_seed, seed) for seed in lane_seeds])
    how = Evaluation(options.episodes, not options.stochastic, run.settings.max_eval_steps)
    some = jax.tree.map(lambda x: x[lanes], policy)
    episodes = _evaluate(run.algo, env, canonical(run.config), some, keys, swept, how)
    episodes = jax.tree.map(np.asarray, episodes)
    steps = policies.best_steps[lanes] if options.best else np.full(len(lanes), policies.env_steps)
    for point in range(points):
        here = slice(point * len(chosen), (point + 1) * len(chosen))
        if run.grid:
            values = ", ".join(f"{name}={short(float(given[point]))}" for name, given in run.grid.items())
            print(f"point {point}: {values}")
        _report(chosen, Episodes(*(x[here] for x in episodes)), steps[here], options.best, bool(env.spec.opponent))
    return 0


def _parser(arguments: list[str]) -> Parser:
    parser = Parser(
        compiles=True,
        prog="jaxrl-up evaluate",
        usage="jaxrl-up evaluate RUN [--episodes N] [--best] [--stochastic] [--seeds N] [--env.NAME VALUE ...]",
        description="Play fresh episodes of every seed's policy. They share no random key with training or its "
        "evaluations, so the score of the best policies is not flattered by their choice. Played is what its "
        "evaluations played: --eval-env, or what was trained on, with nominal parameters. The last line is the score: "
        "the interquartile mean over the seeds of their mean returns, with a 95% interval.",
    )
    parser.add_argument("run", metavar="RUN", help="the directory of a run")
    parser.add(parser, "--episodes", type=whole, default=32, metavar="N", help="episodes of each seed (default 32)")
    parser.add(parser, "--best", action="store_true",
               help="each seed's best policy, by its evaluations, instead of the last")  # fmt: skip
    parser.add(parser, "--stochastic", action="store_true", help="sampled actions instead of the policy's mode")
    parser.add(parser, "--seeds", type=seeds, metavar="N",
               help="which of the run's seeds: 0,3 (3 is 0, 1 and 2; --seed 3: 3 alone; default all)")  # fmt: skip
    parser.add(parser, "--episode-seed", type=whole, default=0, metavar="N",
               help="another number draws other episodes (default 0)")  # fmt: skip
    parser.add_argument("--env.NAME", dest="_", metavar="VALUE", default=argparse.SUPPRESS,
                        help="a parameter of the environment, in place of what it was evaluated with")  # fmt: skip
    add_own(parser, arguments)
    return parser


def episode_key(episode_seed: int, seed: int) -> Key:
    """The key of one seed's episodes: `fold_in(fold_in(key(episode_seed), APART), seed)`.

    Raises `UsageError` for an `episode_seed` that is no seed.
    """
    if not 0 <= episode_seed < 2**32:
        raise UsageError(f"--episode-seed={episode_seed} must be a whole number from 0 to 2^32 - 1")
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(episode_seed), APART), seed)


def choose_seeds(run: RunSpec, chosen: int | tuple[int, ...] | None) -> tuple[int, ...]:
    """Which of a run's seeds are meant: so many from 0, some, or all. Raises `ValueError` for one it has not."""
    wanted = run.seeds if chosen is None else tuple(range(chosen)) if isinstance(chosen, int) else chosen
    for seed in wanted:
        if seed not in run.seeds:
            raise ValueError(f"{run.directory} has no seed {seed}; its seeds are {', '.join(map(str, run.seeds))}")
    if not wanted or len(set(wanted)) < len(wanted):
        raise ValueError(f"seeds={chosen}: give at least one, and none twice")
    return wanted


class Choice(NamedTuple):
    """The policy of one seed at one grid point of a run."""

    seed: int
    policy: PyTree
    env_steps: int
    """after how many of its steps it is"""
    swept: dict[str, Array]
    """the values of the point, by name; none of a plain run"""


def choose_policy(run: RunSpec, seed: int | None, point: int, best: bool) -> Choice:
    """The last policy of a seed (default: the first), or its best by its evaluations.

    Raises `ValueError` for a seed or a point that the run has not.
    """
    (seed,) = choose_seeds(run, run.seeds[:1] if seed is None else (seed,))
    if not 0 <= point < num_points(run):
        raise ValueError(f"--point={point}: {run.directory} has points 0 to {num_points(run) - 1}")
    policies = load_policies(run)
    lane = point * len(run.seeds) + run.seeds.index(seed)
    policy = jax.tree.map(lambda x: x[lane], policies.best if best else policies.last)
    swept = {name: jnp.asarray(value[point]) for name, value in swept_values(run).items()}
    return Choice(seed, policy, int(policies.best_steps[lane] if best else policies.env_steps), swept)


def other_physics(run: RunSpec, options: dict[str, Any]) -> Env:
    """What the run's evaluations play, with some parameters changed, static ones too.

    Raises `ValueError` for one that it has not, or that gives observations or actions of another shape.
    """
    if not options:
        return run.played_env
    table = run.tables.get(EVALUATED, run.tables["environment"])
    try:
        env = build_environment(run.played_env.name, table, **options)
    except ValueError:
        if is_named(run.played_env.name, run.played_env.spec.wrappers) and was_named(run.played_env.name):
            raise
        env = run.played_env.with_params(**options)  # one that was given: its traced parameters
    env = env if EVALUATED in run.tables else nominal(env)
    for what, old, new in (
        ("observation", acting_space(run.env), acting_space(env)),
        ("action", run.env.action_space, env.action_space),
    ):
        if not _same_shapes(old, new):
            raise ValueError(f"the policies are for the {what} space {old}, but that environment has {new}")
    return env


def _same_shapes(old: Space, new: Space) -> bool:
    """Whether two spaces have the same parts, of the same kinds and shapes; bounds may differ."""
    if jax.tree.structure(tree(old)) != jax.tree.structure(tree(new)):
        return False
    return all(
        _shape(one) == _shape(other) for one, other in zip(*(leaves(x).values() for x in (old, new)), strict=True)
    )


def _shape(leaf: Leaf) -> tuple[Any, ...]:
    """What a network and an action are made for."""
    if isinstance(leaf, Simulator):
        return (Simulator,)
    if isinstance(leaf, Discrete):
        return Discrete, leaf.n, leaf.start
    return type(leaf), leaf.sizes if isinstance(leaf, MultiDiscrete | Mask) else leaf.shape


def swept_values(run: RunSpec) -> dict[str, np.ndarray]:
    """The grid of a run with its names spelt out, value `[C]`; empty for a plain run."""
    return resolve(run.env, run.config, run.grid)


def num_points(run: RunSpec) -> int:
    """How many grid points a run has; a plain run is one."""
    return len(next(iter(run.grid.values()))) if run.grid else 1


@partial(jax.jit, static_argnames=("algo", "how"))
def _evaluate(
    algo: Algorithm, env: Env, config: PyTree, policy: PyTree, keys: Key, swept: dict[str, Any], how: Evaluation
) -> Episodes:
    """Episodes `[lanes, num_episodes]`."""

    def lane(policy: PyTree, key: Key, swept: dict[str, Any]) -> Episodes:
        return evaluate_episodes(algo, with_swept(env, swept), with_fields(config, swept), policy, key, *how)

    return jax.vmap(lane)(policy, keys, swept)


def _report(chosen: tuple[int, ...], episodes: Episodes, steps: np.ndarray, best: bool, games: bool) -> None:
    """Print the table and the score of episodes `[S, N]` of policies from `steps` `[S]`."""
    from jaxrl_up.ops import score, win_draw_loss
    from jaxrl_up.records import count, of_games, score_line, value

    returns = np.asarray(episodes.returns, np.float64)
    means, largest = returns.mean(axis=1), float(np.max(np.abs(returns)))
    rows: list[tuple[str, ...]] = [
        ("seed", "mean", "sd", "min", "max", "length", "unfinished", "distinct", "policy at step")
    ]
    for i, seed in enumerate(chosen):
        numbers = (means[i], returns[i].std(), returns[i].min(), returns[i].max())
        length, unfinished = np.mean(episodes.lengths[i]), int(np.sum(~np.asarray(episodes.finished[i])))
        cells = [value(x, largest) for x in numbers]
        marks = len(np.unique(episodes.mark[i]))
        rows.append((str(seed), *cells, f"{length:.1f}", str(unfinished), str(marks), f"{int(steps[i]):,}"))
    print("\n".join(table(rows)))
    if games:
        print(of_games(win_draw_loss(means, returns.std(axis=1))))
    which = "best policies" if best else "last policies"
    print(score_line(score(means), len(chosen), f"{count(returns.shape[1], 'episode')} each, {which}"), flush=True)
