"""Exercise 12.1: one backup of a tree search.

A simulation walks down a tree, from the root n_0 over L edges to a new leaf n_L, and asks for a value v of the leaf.
Then what it found goes up again. Edge l, from n_l to n_{l+1}, paid r_l and has the discount d_l:

    G_L = v,    G_l = r_l + d_l G_{l+1}                    what this one simulation is worth, seen from n_l
    V(n_l) <- V(n_l) + (G_l - V(n_l)) / (N(n_l) + 1),      then N(n_l) <- N(n_l) + 1        for l = 0 ... L

so V(n) is the mean of all G that came through n, and N(n) their number. Of two players each sees values from its own
side, and an edge hands the move over: d = -gamma, and r is the reward of the one who moved. Where an edge ends the
game d = 0, and what is behind it counts for nothing above it.

Write `backup`. Read: lesson 12, "A search in four moves"; Browne et al. 2012, section 3.1; Silver et al. 2017,
Nature 550, methods.
"""

import jax
import jax.numpy as jnp


def backup(
    values: jax.Array, visits: jax.Array, path: jax.Array, rewards: jax.Array, discounts: jax.Array, leaf: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Means and counts of all nodes after one more simulation.

    Args:
      values: `[K]`, V of the K nodes of the tree; 0 at the new leaf.
      visits: int `[K]`, N of each; 0 at the new leaf.
      path: int `[L + 1]`, the nodes n_0 ... n_L that the simulation went through, each once.
      rewards: `[L]`, r_l.
      discounts: `[L]`, d_l.
      leaf: `[]`, v.

    Returns:
      values and visits, `[K]` each. Nodes that are not on the path keep theirs.
    """
    ### BEGIN SOLUTION
    worth = [leaf]
    for reward, discount in zip(rewards[::-1], discounts[::-1], strict=True):
        worth.append(reward + discount * worth[-1])
    found = jnp.stack(worth[::-1])
    count = visits[path] + 1
    mean = values[path] + (found - values[path]) / count
    return values.at[path].set(mean), visits.at[path].set(count)
    ### END SOLUTION
