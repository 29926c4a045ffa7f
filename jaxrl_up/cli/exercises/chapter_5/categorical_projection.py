"""Exercise 5.2: C51's projection, mass that moves to the nearest atoms.

C51 predicts the distribution of the return: a probability for each of Z fixed atoms z_0 < z_1 < ... < z_{Z-1}, evenly
spaced, a step of dz apart. The Bellman target r + gamma z_j is another distribution, at places y_j that are no atoms.
Each mass p_j is therefore split between the two atoms beside y_j, in proportion to how near they are:

    b_j = (clip(y_j, z_0, z_{Z-1}) - z_0) / dz          the place, counted in atoms
    share of the atom below: 1 - (b_j - floor(b_j))     share of the atom above: b_j - floor(b_j)

So a place that is an atom keeps all of its mass there, a place beyond an end gives it to that end, the mass adds up
to 1 as before, and the mean is kept as long as nothing was clipped.

Write `project` for one distribution; a batch is `jax.vmap(project, in_axes=(0, 0, None))`, so no Python `if` on values.

Read: lesson 5; Bellemare, Dabney & Munos 2017, arXiv:1707.06887, eq. 7 and algorithm 1.
"""

import jax
import jax.numpy as jnp


def project(places: jax.Array, probs: jax.Array, atoms: jax.Array) -> jax.Array:
    """The masses `probs` at `places`, moved to the atoms.

    Args:
      places: `[N]`, y_j in any order, also equal ones.
      probs: `[N]`, p_j.
      atoms: `[Z]`, evenly spaced and increasing, Z >= 2.

    Returns:
      `[Z]`, the mass of each atom.
    """
    ### BEGIN SOLUTION
    last = atoms.shape[0] - 1
    place = jnp.clip((places - atoms[0]) / (atoms[1] - atoms[0]), 0.0, last)
    below = jnp.floor(place)
    share = place - below
    below = below.astype(jnp.int32)
    above = jnp.minimum(below + 1, last)
    return jnp.zeros_like(atoms).at[below].add((1.0 - share) * probs).at[above].add(share * probs)
    ### END SOLUTION
