"""Exercise 3.1: the reward-to-go.

What an action is weighed by in the policy gradient need not hold the rewards that came before it, which it could not
change. What is left is the reward-to-go, from each step to the end of its episode:

    G_t = r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ...  =  r_t + gamma G_{t+1}.

A window of T steps holds several episodes one after the other. Where done_t is 1, step t is the last of its episode,
and nothing that comes later belongs to it. What lies beyond the window is left out.
"""

import jax
import jax.numpy as jnp


def reward_to_go(rewards, done, gamma):
    """G_t `[T, ...]` of rewards `[T, ...]` and done `[T, ...]`, 0 or 1, with one discount gamma. It runs under jit."""
    ### BEGIN SOLUTION

    def earlier(following, step):
        reward, last = step
        following = reward + gamma * (1.0 - last) * following
        return following, following

    return jax.lax.scan(earlier, jnp.zeros_like(rewards[0]), (rewards, done), reverse=True)[1]
    ### END SOLUTION
