"""How strong AlphaZero becomes at connect four: against opponents that search, against itself, and by solved positions.

    python bench/connect_four.py --out bench/results/connect_four.json --figure docs/images/connect-four.png

The recipe is trained in parts, seeds side by side. After each its policies, searching, play games against minimax of
depth 4, half of them begun by each side on average, and are kept; at the end the search and the network alone play more
games against depths 1 and 4, all kept policies play one another for Elo ratings, where that of the untrained network is
0, and the last ones move in positions of `bench/results/connect_four_positions.json`, whose every move is solved.
Shares are of games and 95% intervals are over them, as +- 1.96 s / sqrt(n).
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ALPHAZERO, Evaluation, envs, load_recipe, ops, use_all_cores
from jaxrl_up.analysis import plot_ratings
from jaxrl_up.config import canonical
from jaxrl_up.training import advance_lanes, begin_lanes, evaluate_episodes, lane_mesh, num_updates, round_robin

DEPTHS = (1, 4)
ONE, ALL = "network", "search"


def shares(returns: np.ndarray) -> dict[str, Any]:
    """Of games `[n]`: won, drawn, lost, the mean and its interval."""
    mean, reach = float(np.mean(returns)), 1.96 * float(np.std(returns)) / len(returns) ** 0.5
    found = {name: float(np.mean(returns == x)) for name, x in (("won", 1), ("drawn", 0), ("lost", -1))}
    return {**found, "mean": round(mean, 3), "interval": [round(mean - reach, 3), round(mean + reach, 3)]}


def train(config: Any, env: Any, seeds: int, parts: int, games: int) -> tuple[list[Any], list[dict[str, Any]]]:
    """Policies `[seeds, ...]` before training and after each part, and what was seen then."""
    mesh = lane_mesh(seeds)
    progress = begin_lanes(ALPHAZERO, env, config, {}, jax.vmap(jax.random.key)(jnp.arange(seeds)), mesh)
    opponent = envs.against(env, "minimax", depth=DEPTHS[-1])
    ends = np.linspace(0, num_updates(ALPHAZERO, config), parts + 1).round().astype(int)
    kept, rows, begun = [jax.device_get(progress.state.policy)], [], time.perf_counter()
    for before, after in itertools.pairwise(ends):
        progress, log = advance_lanes(
            ALPHAZERO, env, config, {}, progress, jnp.int32(after - before), Evaluation(games), mesh, opponent
        )
        kept.append(jax.device_get(progress.state.policy))
        won, drawn, lost = ops.win_draw_loss(log.returns, log.returns_std)
        rows.append(
            {
                "env_steps": int(np.ravel(log.env_steps)[0]),
                "seconds": round(time.perf_counter() - begun, 1),
                "won": won.tolist(),
                "drawn": drawn.tolist(),
                "lost": lost.tolist(),
                **{name: np.round(np.asarray(x), 4).tolist() for name, x in log.losses.items()},
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return kept, rows


def of_seed(policies: Any, seed: int) -> Any:
    """The policy of one seed."""
    return jax.tree.map(lambda x: x[seed], policies)


def against_depths(config: Any, env: Any, policies: Any, seeds: int, games: int) -> dict[str, Any]:
    """Games of each seed, searching and by the network alone, against each depth."""
    found: dict[str, Any] = {}
    for name, simulations in ((ALL, config.num_simulations), (ONE, 0)):
        for depth in DEPTHS:
            foe, acting = (
                envs.against(env, "minimax", depth=depth),
                canonical(config.replace(num_simulations=simulations)),
            )
            play = jax.jit(lambda policy, key, foe=foe, acting=acting: evaluate_episodes(
                ALPHAZERO, foe, acting, policy, key, games).returns)  # fmt: skip
            row = [shares(np.asarray(play(of_seed(policies, i), jax.random.key(1000 + i)))) for i in range(seeds)]
            found[f"{name} against depth {depth}"] = row
            print(name, depth, json.dumps(row), flush=True)
    return found


def ratings(config: Any, env: Any, kept: list[Any], seeds: int, games: int) -> dict[str, np.ndarray]:
    """Elo of the kept policies of each seed `[seeds, parts + 1]`, searching and by the network alone."""
    found = {}
    for name, simulations in ((ALL, config.num_simulations), (ONE, 0)):
        acting = canonical(config.replace(num_simulations=simulations))

        def mover(policy: Any, acting: Any = acting) -> Any:
            return lambda obs, key: ALPHAZERO.act(acting, env, policy, obs)[0]

        table = jax.jit(partial(round_robin, env, mover, num_games=games, opening=4))
        rated = []
        for seed in range(seeds):
            policies = jax.tree.map(lambda *x: jnp.stack(x), *[of_seed(policy, seed) for policy in kept])
            rated.append(ops.elo(np.asarray(table(policies, jax.random.key(2000 + seed)))))
        found[name] = np.stack(rated)
        print("Elo", name, found[name].round(0).tolist(), flush=True)
    return found


def solved() -> tuple[Any, np.ndarray]:
    """Late positions as observations `[N, ...]`, simulators included, and what each move is worth `[N, 7]`."""
    path = Path(__file__).parent / "results" / "connect_four_positions.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["positions"]
    longest = max(len(row["moves"]) for row in kept)
    moves = np.array([[int(move) - 1 for move in row["moves"].ljust(longest, "0")] for row in kept], np.int32)
    env = envs.with_simulator("pgx/connect_four")

    def reached(moves: Any) -> Any:
        def move(carry: Any, action: Any) -> Any:
            state, step = env.step_or_restart(jax.random.key(0), carry[0], jnp.maximum(action, 0), carry)
            return jax.tree.map(partial(jnp.where, action >= 0), (state, step.obs), carry), None

        return jax.lax.scan(move, env.reset(jax.random.key(0)), moves)[0][1]

    worth = [[-2 if value is None else value for value in row["values"]] for row in kept]
    return jax.jit(jax.vmap(reached))(moves), np.array(worth)


def by_solved_positions(config: Any, env: Any, policies: Any, seeds: int) -> dict[str, Any]:
    """The share of late positions in which a move keeps what the position is worth, of each seed; the interval is
    +- 1.96 sqrt(p (1 - p) / N). Beside it that of uniformly random moves, and of minimax of depth 4."""
    obs, worth = solved()
    best = worth == worth.max(axis=1, keepdims=True)
    found: dict[str, Any] = {"positions": len(worth)}
    for name, simulations in ((ALL, config.num_simulations), (ONE, 0)):
        acting = canonical(config.replace(num_simulations=simulations))
        act = jax.jit(lambda policy, acting=acting: ALPHAZERO.act(acting, env, policy, obs)[0])
        right = [best[np.arange(len(best)), np.asarray(act(of_seed(policies, i)))] for i in range(seeds)]
        found[name] = [share(x) for x in right]
    minimax = envs.make("pgx/connect_four").spec.board.minimax(DEPTHS[-1])  # pyright: ignore[reportOptionalMemberAccess]
    columns = jax.jit(jax.vmap(minimax))(obs, jax.random.split(jax.random.key(0), len(best)))
    found["minimax"] = share(best[np.arange(len(best)), np.asarray(columns)])
    found["at random"] = round(float(np.mean(best.sum(axis=1) / (worth >= -1).sum(axis=1))), 3)
    print("solved positions", json.dumps(found), flush=True)
    return found


def share(right: np.ndarray) -> dict[str, Any]:
    """Of yes and no `[N]`: the share of yes, and its interval."""
    mean = float(np.mean(right))
    reach = 1.96 * (mean * (1 - mean) / len(right)) ** 0.5
    return {"share": round(mean, 3), "interval": [round(mean - reach, 3), round(mean + reach, 3)]}


def main() -> None:
    """Train, judge, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--parts", type=int, default=10)
    parser.add_argument("--total-steps", type=float, help="not those of the recipe")
    parser.add_argument("--residual", action="store_true", help="a residual CNN and not the recipe's network")
    parser.add_argument("--training-only", action="store_true", help="no games at the end, and no ratings")
    parser.add_argument("--games", type=int, default=200, help="of each seed, at the end, against each depth")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    use_all_cores()
    recipe = load_recipe("alphazero/connect-four")
    config, env = recipe.config, recipe.env
    if options.total_steps:
        config = config.replace(total_steps=int(options.total_steps))
    if options.residual:
        config = config.replace(network="residual", hidden=(128,))
    config = canonical(config)
    kept, rows = train(config, env, options.seeds, options.parts, 32)
    found = {
        "device": jax.devices()[0].device_kind,
        "seeds": options.seeds,
        "training": rows,
    }
    if not options.training_only:
        found |= against_depths(config, env, kept[-1], options.seeds, options.games)
        found["solved"] = by_solved_positions(config, env, kept[-1], options.seeds)
        rated = ratings(config, env, kept, options.seeds, 20)
        found["elo"] = {name: x.round(1).tolist() for name, x in rated.items()}
        if options.figure:
            steps = [0, *(row["env_steps"] for row in rows)]
            plot_ratings(steps, rated, options.figure, "Connect four, checkpoints against one another")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
