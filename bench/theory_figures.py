"""The two pictures of docs/theory.md: FrozenLake solved, and the variances of policy-gradient estimates.

    python bench/theory_figures.py [--out docs/images]

Both are exact: nothing is drawn at random.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax.numpy as jnp
from PIL import Image

from jaxrl_up import tabular
from jaxrl_up.analysis import plot_grid
from jaxrl_up.tabular import policy_gradients as pg

HORIZONS = range(2, 8)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"  # even for all common colour blindness
LINES = {  # colour and dashes: dashed what reads rewards, solid what has the exact value in their place
    "trajectory_return": (GREY, (4, 2)),
    "reward_to_go": (ORANGE, (4, 2)),
    "reward_to_go_baseline": (BLUE, (4, 2)),
    "gae": (GREEN, (4, 2)),
    "q": (ORANGE, ()),
    "n_step_advantage": (GREEN, ()),
    "advantage": (BLUE, ()),
}


def machine(horizon: int) -> tabular.MDP:
    """The machine of docs/theory.md: new, worn or broken; to work pays 1 and wears it, to mend makes it new."""
    transition = [[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]] * 2]
    return tabular.mdp(transition, [[1.0, 0.0]] * 3, discount=0.9, start=0, terminal=[2], horizon=horizon)


def variances(horizon: int) -> dict[str, float]:
    """E |g - E g|^2 by weight, for the uniform policy."""
    mdp, logits = machine(horizon), jnp.zeros((3, 2))
    tau, policy = tabular.all_trajectories(mdp), pg.softmax_policy(logits)
    found = {}
    for phi in pg.WEIGHTS:
        weights = pg.weights(mdp, policy, tau, phi)
        found[phi] = float(pg.gradient_moments(mdp, pg.softmax_policy, logits, tau, weights).variance)
    return found


def plot_variances(path: Path) -> None:
    """One line a weight over the horizon, on a logarithmic scale."""
    from matplotlib.figure import Figure

    found = {horizon: variances(horizon) for horizon in HORIZONS}
    figure = Figure(figsize=(7.0, 4.0), dpi=100)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    for phi, (colour, dashes) in LINES.items():
        axes.plot(HORIZONS, [found[h][phi] for h in HORIZONS], color=colour, dashes=dashes, lw=1.8, label=phi)
    axes.set_yscale("log")
    axes.set_xlabel("horizon, steps")
    axes.set_ylabel("variance of the gradient estimate")
    axes.spines[["top", "right"]].set_visible(False)
    last = {phi: found[HORIZONS[-1]][phi] for phi in LINES}
    handles = dict(zip(LINES, axes.lines, strict=True))
    order = sorted(LINES, key=lambda phi: -last[phi])  # as the lines end
    axes.legend([handles[phi] for phi in order], order, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    figure.savefig(path, dpi=100)


def shrink(path: Path) -> None:
    """The same picture in 128 colours and fewer bytes."""
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)


def main() -> None:
    """Draw both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent.parent / "docs" / "images")
    options = parser.parse_args()
    lake = tabular.frozen_lake("8x8")
    solved = tabular.value_iteration(lake)
    pictures = [options.out / f"theory-{name}.png" for name in ("lake", "variances")]
    plot_grid(lake, pictures[0], solved.values, solved.policy, title="V* and a greedy policy")
    plot_variances(pictures[1])
    for path in pictures:
        shrink(path)


if __name__ == "__main__":
    main()
