"""Exercise 11.4: the target of model-based value expansion.

A TD target trusts the critic after one step. With a model it need not: from the state that a real transition led to,
the policy is followed for H more steps in the model, and the critic is asked only then.

    y = r + gamma c_0 ( sum_{t=0}^{H-1} gamma^t g_t r^_t  +  gamma^H g_H Q'(s^_H, mu'(s^_H)) )

    s^_0 = s'                                   where the real transition led to, with the reward r
    (r^_t, ended_t, s^_{t+1}) = model(s^_t, mu'(s^_t))
    c_0 = 0 if the real transition terminated, else 1
    g_t = 0 if one of the imagined steps before t ended the episode, else 1;    g_0 = 1

The reward of an imagined step that ends the episode counts; what comes after it does not, nor does Q'. H = 0 is the TD
target. A prime marks target networks; they come as functions, as does the model, and all take batches. y is data: no
gradient flows through it. What the model and the critic say after an end means nothing and may be nan, so select with
`jnp.where`: 0 * nan is nan.

Write `value_expansion`. Read: lesson 11, "A model in the target"; Feinberg et al. 2018, arXiv:1803.00101, section 3.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def value_expansion(
    reward: jax.Array,
    terminated: jax.Array,
    next_obs: jax.Array,
    model: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array, jax.Array]],
    q: Callable[[jax.Array, jax.Array], jax.Array],
    mu: Callable[[jax.Array], jax.Array],
    gamma: float,
    horizon: int,
) -> jax.Array:
    """The targets of B real transitions.

    Args:
      reward: `[B]`, r.
      terminated: bool `[B]`, the real transition ended the episode.
      next_obs: `[B, D]`, s'.
      model: (obs `[B, D]`, action `[B, A]`) -> reward `[B]`, ended bool `[B]`, next obs `[B, D]`.
      q: Q', (obs `[B, D]`, action `[B, A]`) -> `[B]`.
      mu: mu', obs `[B, D]` -> action `[B, A]`.
      gamma: the discount, in [0, 1].
      horizon: H, how many imagined steps, >= 0; a Python number.

    Returns:
      y `[B]`.
    """
    ### BEGIN SOLUTION
    total, obs = reward, next_obs
    weight = jnp.where(terminated, 0.0, gamma)
    for _ in range(horizon):
        imagined, ended, after = model(obs, mu(obs))
        total = total + jnp.where(weight > 0.0, weight * imagined, 0.0)
        weight = jnp.where(ended, 0.0, gamma * weight)
        obs = after
    last = q(obs, mu(obs))
    return jax.lax.stop_gradient(total + jnp.where(weight > 0.0, weight * last, 0.0))
    ### END SOLUTION
