"""AlphaZero judged by exact answers, and how fast it plays.

    python bench/alphazero.py tic_tac_toe|narrowing|single|cartpole|connect_four [--seeds 5] [--out FILE]

`tic_tac_toe`: over all replies, does a move ever lose what was not lost, by the search and by the network alone; in how
many of the 4,520 positions does the network move as well as can be. `narrowing`: the same after five times as long,
with and without random openings. `single`: Catch and FrozenLake beside V*. `cartpole`: returns by the recipe.
`connect_four`: moves a second, and what they take without the network and without the tree. With --out the figures are
put beside those of other subcommands in a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ALPHAZERO, envs, evaluate, load_recipe, ops, run, tabular, use_all_cores
from jaxrl_up.algorithms import alphazero
from jaxrl_up.config import canonical
from jaxrl_up.learning import planning


class Solved(NamedTuple):
    """The 4,520 positions in which somebody is to move, the empty board first; everything is the mover's view."""

    obs: Any  # [N, ...], with simulators
    q: np.ndarray  # float32 [N, 9], what each move is worth, -2 where it is not legal
    after: np.ndarray  # int32 [N, 9], the position that a move leads to; -1 where the game ends, or the move is none

    @property
    def value(self) -> np.ndarray:
        """What each position is worth `[N]`: 1, 0 or -1."""
        return self.q.max(axis=1)


CHUNK = 512  # moves that are stepped together: one program


def solve() -> Solved:
    """All positions of tic-tac-toe by minimax, in NumPy; the library's own environment makes the moves."""
    env = envs.with_simulator("pgx/tic_tac_toe")
    _, first = env.reset(jax.random.key(0))

    @jax.jit
    def step(obs: Any, row: Any, action: Any) -> Any:
        state = jax.tree.map(lambda x: x[row], obs["simulator"])
        return jax.vmap(lambda state, action: envs.simulate(env, jax.random.key(0), state, action))(state, action)[1:]

    found = {np.asarray(first["board"]).tobytes(): 0}
    moves: list[tuple[int, int, bytes | None, float]] = []  # position, move, the board after it, reward
    kept = [jax.tree.map(lambda x: np.asarray(x)[None], first)]
    begin, end = 0, 1
    while begin < end:  # one stone more each time
        level = jax.tree.map(lambda *xs: np.concatenate(xs), *kept)
        new, (row, action) = [], np.nonzero(level["mask"][begin:end])
        for start in range(0, len(row), CHUNK):
            rows, actions = (np.resize(x[start : start + CHUNK], CHUNK).astype(np.int32) for x in (row, action))
            rows = begin + rows
            some = jax.tree.map(lambda x, rows=rows: x[rows], level)
            reached, reward, discount = jax.tree.map(np.asarray, step(some, np.arange(CHUNK), actions))
            for i in range(min(CHUNK, len(row) - start)):
                key = reached["board"][i].tobytes() if discount[i] > 0 else None
                moves.append((int(rows[i]), int(actions[i]), key, float(reward[i])))
                if key is not None and key not in found:
                    found[key] = len(found)
                    new.append(jax.tree.map(lambda x, i=i: x[i : i + 1], reached))
        kept += new
        begin, end = end, len(found)
    q, after = np.full((len(found), 9), -2.0, np.float32), np.full((len(found), 9), -1, np.int32)
    for position, action, key, reward in reversed(moves):  # later ones first
        after[position, action] = -1 if key is None else found[key]
        q[position, action] = reward if key is None else -q[found[key]].max()
    return Solved(jax.tree.map(lambda *xs: jnp.asarray(np.concatenate(xs)), *kept), q, after)


def optimal_share(solved: Solved, action: np.ndarray) -> float:
    """In how many of all positions a move keeps what the position is worth."""
    return float(np.mean(solved.q[np.arange(len(action)), action] == solved.value))


def blunders(solved: Solved, action: np.ndarray) -> int:
    """Positions in which `action [N]` loses what was not lost, of those that it can meet, whatever the other replies.

    Games in which it moves first and in which it moves second.
    """
    met, stack, bad = set(), [0, *(x for x in solved.after[0] if x >= 0)], 0
    while stack:
        position = int(stack.pop())
        if position in met:
            continue
        met.add(position)
        move = int(action[position])
        bad += solved.value[position] > -1 and solved.q[position, move] == -1
        reply = solved.after[position, move]
        if reply >= 0:
            stack += [x for x in solved.after[reply] if x >= 0]
    return bad


def judge(solved: Solved, config: Any, policy: Any) -> dict[str, Any]:
    """How the search with a policy, and the network alone, play tic-tac-toe: see `optimal_share` and `blunders`."""
    env = envs.with_simulator("pgx/tic_tac_toe")
    found = {}
    for name, simulations in (("", config.num_simulations), ("network_", 0)):
        moves = np.asarray(_moves(canonical(config.replace(num_simulations=simulations)), env, policy, solved.obs))
        found |= {f"{name}optimal": optimal_share(solved, moves), f"{name}blunders": int(blunders(solved, moves))}
    return found


@jax.jit
def _moves(config: Any, env: Any, policy: Any, obs: Any) -> Any:
    return ALPHAZERO.act(config, env, policy, obs)[0]


def tic_tac_toe(seeds: int, **fields: Any) -> dict[str, Any]:
    """The recipe's seeds together, judged by all replies, before and after."""
    recipe, solved = load_recipe("alphazero/tic-tac-toe"), solve()
    config = recipe.config.replace(**fields)
    start = time.perf_counter()
    done = run(recipe.algo, recipe.env, config, seeds=seeds, num_evals=1, num_episodes=1, progress=False)
    seconds = time.perf_counter() - start
    fresh = jax.vmap(alphazero.network(config, recipe.env).init)(jax.vmap(jax.random.key)(jnp.arange(seeds)))
    before, after = (
        [judge(solved, config, jax.tree.map(lambda x, i=i: x[i], policies)) for i in range(seeds)]
        for policies in (fresh, done.state.learner.acting)
    )
    return {"env_steps": config.total_steps, "seconds": round(seconds, 1), "before": before, "after": after}


def narrowing(seeds: int) -> dict[str, Any]:
    """Five times as long at a constant step size, with the recipe's random openings and without any."""
    steps = 5 * load_recipe("alphazero/tic-tac-toe").config.total_steps
    fields = {"total_steps": steps, "anneal_learning_rate": False, "learning_rate": 1e-3}
    return {
        "with openings": tic_tac_toe(seeds, **fields),
        "without openings": tic_tac_toe(seeds, **fields, random_openings=0.0),
    }


def single(seeds: int) -> dict[str, Any]:
    """Catch and FrozenLake by their recipes, and the lake that slips, with nodes of chance and without, beside V*."""
    found: dict[str, Any] = {}
    for name in ("catch", "frozen-lake"):
        recipe = load_recipe(f"alphazero/{name}")
        done = run(recipe.algo, recipe.env, recipe.config, seeds=seeds, num_evals=1, num_episodes=100, progress=False)
        found[name] = {"V*": 1.0, "returns": done.returns[:, -1].tolist(), "length": done.log.lengths[:, -1].tolist()}
    return {**found, "frozen-lake-slippery": slippery_lake(seeds)}


SEARCHES = 8  # that act in each state of the lake: what they draw differs


def slippery_lake(seeds: int, outcomes: Sequence[int] = (32, 4, 0), **fields: Any) -> dict[str, Any]:
    """What is done in each state of the lake is worth, from the start: its exact value, the mean of eight searches."""
    recipe = load_recipe("alphazero/frozen-lake-slippery")
    lake = tabular.frozen_lake(discount=recipe.config.gamma)
    found: dict[str, Any] = {"V*": round(float(tabular.v_star(lake)[0]), 4)}
    keys = jax.vmap(jax.random.key)(jnp.arange(SEARCHES))
    for number in outcomes:
        config = recipe.config.replace(chance_outcomes=number, **fields)
        done = run(recipe.algo, recipe.env, config, seeds=seeds, num_evals=1, num_episodes=1, progress=False)
        for name, simulations in (("search", config.num_simulations), ("network", 0)):
            acting = canonical(config.replace(num_simulations=simulations))
            moves = _searches(acting, recipe.env, done.state.learner.acting, lake_positions(recipe.env), keys)
            worth = jax.vmap(jax.vmap(lambda actions: tabular.v_pi(lake, jax.nn.one_hot(actions, 4))[0]))(moves)
            found[f"V of the {name}, chance_outcomes={number}"] = np.round(worth.mean(axis=1), 4).tolist()
    return found


@jax.jit
def _searches(config: Any, env: Any, policies: Any, obs: Any, keys: Any) -> Any:
    """What is done in each of `obs [N, *shape]` by each seed's search with each key, `[seeds, keys, N]`."""

    def one(policy: Any, key: Any) -> Any:
        return alphazero.searched(config, env, policy, obs, key, train=False).action

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(policies, keys)


def lake_positions(env: Any) -> Any:
    """What FrozenLake shows in each of its 16 states at the beginning of an episode, simulator included."""
    _, obs = env.reset(jax.random.key(0))
    obs = jax.tree.map(lambda x: jnp.broadcast_to(x, (16, *jnp.shape(x))), obs)
    places = jnp.arange(16, dtype=jnp.int32)
    state = obs["simulator"].state.replace(position=places)
    return {**obs, "obs": places, "simulator": obs["simulator"]._replace(state=state)}


def cartpole(seeds: int) -> dict[str, Any]:
    """The recipe's returns, by the search and by the network alone."""
    recipe = load_recipe("alphazero/cartpole")
    start = time.perf_counter()
    done = run(recipe.algo, recipe.env, recipe.config, seeds=seeds, num_evals=1, num_episodes=10, progress=False)
    seconds, alone = time.perf_counter() - start, recipe.config.replace(num_simulations=0)
    policies = [jax.tree.map(lambda x, i=i: x[i], done.state.learner.acting) for i in range(seeds)]
    network = [evaluate(ALPHAZERO, recipe.env, alone, policy, jax.random.key(1), 10).mean() for policy in policies]
    return {
        "env_steps": recipe.config.total_steps,
        "seconds": round(seconds, 1),
        "returns": done.returns[:, -1].tolist(),
        "returns of the network": np.round(network, 1).tolist(),
    }


def connect_four(seeds: int) -> dict[str, Any]:
    """Moves a second of self-play of the recipe by an untrained network, and without network, or without tree."""
    recipe = load_recipe("alphazero/connect-four")
    env, found = recipe.env, {}
    residual = {"network": "residual", "hidden": (128,)}
    for name, fields in (
        ("as the recipe", {}),
        ("without the tree", {"num_simulations": 0}),
        ("residual CNN", residual),
    ):
        config = canonical(recipe.config.replace(rollout_length=4, buffer_size=2**16, **fields))
        state = jax.jit(partial(ALPHAZERO.init, config, env))(jax.random.key(0))
        play = jax.jit(partial(alphazero.play, config, env))
        found[name] = _moves_a_second(lambda key, play=play, state=state: play(state, key), config)
    config = canonical(recipe.config)
    _, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), config.num_envs))

    def even(obs: Any) -> tuple[Any, Any]:
        policy = ops.Categorical(jnp.zeros_like(obs["mask"], jnp.float32), obs["mask"])
        return policy.log_probs(), jnp.zeros(obs["mask"].shape[0])

    search = jax.jit(partial(planning.tree_search, config, env, even, obs))
    found["tree and game without the network"] = _moves_a_second(search, config.replace(rollout_length=1))
    step = jax.jit(partial(ALPHAZERO.update, config, env))
    state = jax.jit(partial(ALPHAZERO.init, config, env))(jax.random.key(0))
    found["with learning, as the recipe"] = _moves_a_second(lambda key: step(state), config)
    return found


def _moves_a_second(function: Any, config: Any) -> int:
    """Of the quickest of three calls, compiled before."""
    jax.block_until_ready(function(jax.random.key(0)))
    seconds = []
    for i in range(3):
        start = time.perf_counter()
        jax.block_until_ready(function(jax.random.key(i)))
        seconds.append(time.perf_counter() - start)
    return round(config.num_envs * config.rollout_length / min(seconds))


SUBCOMMANDS = {f.__name__: f for f in (tic_tac_toe, narrowing, single, cartpole, connect_four)}


def main() -> None:
    """Print a subcommand's figures, and keep them beside those of others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=SUBCOMMANDS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    use_all_cores()
    found = SUBCOMMANDS[arguments.what](arguments.seeds)
    print(json.dumps(found, indent=1))
    if arguments.out:
        known = json.loads(arguments.out.read_text(encoding="utf-8")) if arguments.out.exists() else {}
        arguments.out.write_text(json.dumps({**known, arguments.what: found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
