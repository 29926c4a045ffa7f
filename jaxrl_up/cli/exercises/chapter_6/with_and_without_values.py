"""Exercise 6.3: TRPO and PPO with and without value fitting.

Both climb the same surrogate, the mean over steps of

    TRPO: rho_t A_t        PPO: min(rho_t A_t, clip(rho_t, 1 - epsilon, 1 + epsilon) A_t)
    rho_t = pi(a_t | s_t) / pi_old(a_t | s_t)

What stands for A_t is a choice. Without a fitted value function it is the reward-to-go; with one it is GAE:

    without: A_t = sum_{l >= 0} gamma^l r_{t+l}
    with:    A_t = sum_{l >= 0} (gamma lambda)^l (r_{t+l} + gamma V(s_{t+l+1}) - V(s_{t+l}))

What does V buy? The game below is so small that nothing need be sampled: an episode has STEPS steps, every step pays 1,
and 1 more for action 1. So `episodes` lists all of them, `values` gives the exact V, and the variance of the gradient
estimate is a sum over episodes with their probabilities P:

    variance = sum_i P_i |g_i - sum_j P_j g_j|^2

Write the three gaps. Before you run this file: how many times larger is the variance without V? Guess, write your guess
down, then look, and change the reward that every step pays.

Read: lessons 3 and 6; Schulman et al. 2016, arXiv:1506.02438, eq. 1 and 16; docs/theory.md, policy gradients.
"""

import itertools

import jax
import jax.numpy as jnp

STEPS = 4


def episodes(logits: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """All 2^STEPS episodes: their probability `[N]`, actions `[N, STEPS]` and rewards `[N, STEPS]`.

    The state is the time, and the policy a softmax of `logits [STEPS, 2]`.
    """
    actions = jnp.array(list(itertools.product((0, 1), repeat=STEPS)))
    probability = jnp.exp(jnp.sum(log_probs(logits, actions), axis=-1))
    return probability, actions, 1.0 + actions


def log_probs(logits: jax.Array, actions: jax.Array) -> jax.Array:
    """log pi(a_t | s_t) `[..., STEPS]` of actions `[..., STEPS]`."""
    both = jax.nn.log_softmax(logits)
    return jnp.where(actions == 1, both[:, 1], both[:, 0])


def values(logits: jax.Array, gamma: float) -> jax.Array:
    """V(s_t) `[STEPS]`, exactly."""
    expected = 1.0 + jax.nn.softmax(logits)[:, 1]
    return jnp.stack([sum(gamma ** (i - t) * expected[i] for i in range(t, STEPS)) for t in range(STEPS)])


def advantages(rewards: jax.Array, values: jax.Array, gamma: float, lam: float, fit: bool) -> jax.Array:
    """What stands for A_t `[T]`, of one episode that terminates with its last row: V is 0 after it.

    Args:
      rewards: `[T]`.
      values: `[T]`, V(s_t); read only if `fit`.
      gamma: the discount.
      lam: lambda of GAE; read only if `fit`.
      fit: with value fitting or without; a Python bool.
    """
    ### BEGIN SOLUTION
    if not fit:
        values, lam = jnp.zeros_like(rewards), 1.0  # then the sum is the reward-to-go
    errors = rewards + gamma * jnp.append(values[1:], 0.0) - values
    total, found = jnp.zeros(()), []
    for error in errors[::-1]:
        total = error + gamma * lam * total
        found.append(total)
    return jnp.stack(found[::-1])
    ### END SOLUTION


def surrogate(
    log_prob: jax.Array, old_log_prob: jax.Array, advantages: jax.Array, epsilon: float | None = None
) -> jax.Array:
    """The surrogate `[]` to be maximised, all arguments `[T]`: TRPO's if `epsilon` is None, else PPO's."""
    ### BEGIN SOLUTION
    ratio = jnp.exp(log_prob - old_log_prob)
    if epsilon is None:
        return jnp.mean(ratio * advantages)
    clipped = jnp.clip(ratio, 1.0 - epsilon, 1.0 + epsilon)
    return jnp.mean(jnp.minimum(ratio * advantages, clipped * advantages))
    ### END SOLUTION


def gradients(logits: jax.Array, gamma: float, lam: float, fit: bool) -> jax.Array:
    """The gradient of the surrogate at the old policy, `[N, 2 STEPS]`, one estimate for each episode."""
    _, actions, rewards = episodes(logits)
    known = values(logits, gamma)

    def of_episode(new_logits: jax.Array, actions: jax.Array, rewards: jax.Array) -> jax.Array:
        weights = advantages(rewards, known, gamma, lam, fit)
        return surrogate(log_probs(new_logits, actions), log_probs(logits, actions), weights)

    return jax.vmap(jax.grad(of_episode), in_axes=(None, 0, 0))(logits, actions, rewards).reshape(len(rewards), -1)


def variance_ratio(logits: jax.Array, gamma: float, lam: float) -> jax.Array:
    """The variance of the gradient estimate without value fitting, divided by that with it, `[]`."""
    ### BEGIN SOLUTION
    probability, _, _ = episodes(logits)

    def variance(fit: bool) -> jax.Array:
        estimates = gradients(logits, gamma, lam, fit)
        return probability @ jnp.sum((estimates - probability @ estimates) ** 2, axis=-1)

    return variance(False) / variance(True)
    ### END SOLUTION


if __name__ == "__main__":
    logits = jnp.array([[0.0, 1.0]] * STEPS)
    for lam in (1.0, 0.95, 0.5, 0.0):
        print(f"lambda {lam}: without V the variance is {variance_ratio(logits, 1.0, lam):.1f} times as large")
