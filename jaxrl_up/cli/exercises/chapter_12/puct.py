"""Exercise 12.2: PUCT, the action to go down by.

In a node that was visited before, a search goes on by the action of the greatest score:

    score(a) = Q(a) + c P(a) sqrt(N) / (1 + N(a)),        N = 1 + sum_b N(b)

Q(a) is the mean of what came of a so far, seen by whoever moves in this node, and N(a) how often it was tried. The 1
in N is the visit at which the node itself was made. Of an action that was never tried there is no mean: its Q is V, the
mean of all that came through the node. The prior is what a policy network says. It does not know the rules, so what it
gives to illegal actions is taken away and the rest divided by its sum, P(a) = p(a) / sum_{legal b} p(b). An illegal
action has the score -inf.

Write `scores` and `choose`, for one node. Read: lesson 12, "A search in four moves"; Rosin 2011; Silver et al. 2017,
Nature 550, methods (where an untried action has Q = 0).
"""

import jax
import jax.numpy as jnp


def scores(
    prior: jax.Array, visits: jax.Array, q: jax.Array, value: jax.Array, legal: jax.Array, c: float
) -> jax.Array:
    """The score of each action.

    Args:
      prior: `[A]`, p, the probabilities that a network gives, of illegal actions too.
      visits: int `[A]`, N(a); 0 at illegal ones.
      q: `[A]`, Q(a); nan where N(a) = 0.
      value: `[]`, V.
      legal: bool `[A]`; at least one is.
      c: how much exploring, > 0.

    Returns:
      `[A]`, -inf where not legal.
    """
    ### BEGIN SOLUTION
    allowed = jnp.where(legal, prior, 0.0)
    share = allowed / jnp.sum(allowed)
    mean = jnp.where(visits > 0, q, value)
    bonus = c * share * jnp.sqrt(1.0 + jnp.sum(visits)) / (1.0 + visits)
    return jnp.where(legal, mean + bonus, -jnp.inf)
    ### END SOLUTION


def choose(
    prior: jax.Array, visits: jax.Array, q: jax.Array, value: jax.Array, legal: jax.Array, c: float
) -> jax.Array:
    """The action to go down by, int `[]`: the first of greatest score. Arguments are those of `scores`."""
    ### BEGIN SOLUTION
    return jnp.argmax(scores(prior, visits, q, value, legal, c))
    ### END SOLUTION
