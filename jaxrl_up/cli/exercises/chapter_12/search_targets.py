"""Exercise 12.3: the targets of expert iteration.

A network learns from what a search found and from how games ended. The search at a root tried action a N(a) times: the
more often, the better it looked. So the policy's target is

    pi(a) = N(a)^(1/tau) / sum_b N(b)^(1/tau)

with a temperature tau. tau = 1 gives the shares of visits; tau = 0 is the limit, in which only the actions that were
tried most often count, alike where several tie. Counts go into the hundreds and 1/tau may be 20 or more: float32 ends
at 3e38, so powers of the counts themselves overflow, and powers of N(a) / max N do not.

The value's target is what came of the game, seen by whoever moves in each position. Time runs over T steps of play, in
which games end and the next ones begin:

    z_t = r_t + d_t z_{t+1},    z_T = v
    d_t = 0 where step t ended its game, else -gamma with two players, gamma with one

r_t is the reward of the one who moved at t, so that a win is +1 for the last move and -1 for the one before. The last
game may be unfinished: v is the network's value of the position that the last step led to, seen by whoever moves there.

Write `policy_target` and `value_target`. Read: lesson 12, "Expert iteration"; Silver et al. 2017, Nature 550, methods;
Anthony et al. 2017, arXiv:1705.08439.
"""

import jax
import jax.numpy as jnp


def policy_target(visits: jax.Array, temperature: float) -> jax.Array:
    """pi of each position.

    Args:
      visits: int `[B, A]`, N(a) at B roots; some is above 0 in each row.
      temperature: tau >= 0; a Python number.

    Returns:
      `[B, A]`, each row adds up to 1.
    """
    ### BEGIN SOLUTION
    share = visits / jnp.max(visits, axis=-1, keepdims=True)  # 1 at the most visited
    weight = share ** (1.0 / temperature) if temperature > 0 else jnp.where(share == 1.0, 1.0, 0.0)
    return weight / jnp.sum(weight, axis=-1, keepdims=True)
    ### END SOLUTION


def value_target(rewards: jax.Array, ended: jax.Array, last_value: jax.Array, gamma: float, players: int) -> jax.Array:
    """z of each position.

    Args:
      rewards: `[T, B]`, r_t, of B boards side by side.
      ended: bool `[T, B]`, step t ended its game.
      last_value: `[B]`, v; where the last step ended its game it means nothing and may be nan.
      gamma: the discount, in [0, 1].
      players: 1 or 2; a Python number.

    Returns:
      `[T, B]`.
    """
    ### BEGIN SOLUTION
    discount = -gamma if players == 2 else gamma

    def step(after, row):
        reward, over = row
        z = reward + jnp.where(over, 0.0, discount * after)
        return z, z

    return jax.lax.scan(step, last_value, (rewards, ended), reverse=True)[1]
    ### END SOLUTION
