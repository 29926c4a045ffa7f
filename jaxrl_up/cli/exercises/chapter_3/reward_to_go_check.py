"""The check of exercise 3.1, by `ops.discounted_returns`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.exercise import Student, shown
from jaxrl_up.ops import discounted_returns

READING = (
    'lesson 03_policy_optimisation, "Don\'t let the past distract you"; '
    "Schulman et al. 2016 (arXiv 1506.02438), eq. 1, item 2"
)
HINTS = (
    "Begin at the end of the window, where G is the last reward, and go backwards. What does an episode's last step "
    "know of the step behind it?",
    "G_t = r_t + gamma (1 - done_t) G_{t+1}. A Python loop over t from T - 1 down to 0 is right; jax.lax.scan with "
    "reverse=True is the same as one compiled loop.",
    "def earlier(following, step): reward, last = step; following = reward + gamma * (1 - last) * following; return "
    "following, following. The second result of jax.lax.scan(earlier, zeros, (rewards, done), reverse=True) is G.",
)
REWARDS = [1.0, 3.0, 2.0, 5.0, 4.0]
CASES = (
    (REWARDS, [0.0, 0.0, 0.0, 0.0, 1.0], 0.5),
    ([1.0], [1.0], 0.5),
    (REWARDS, [0.0, 1.0, 0.0, 0.0, 0.0], 0.5),
    (REWARDS, [1.0, 0.0, 1.0, 0.0, 1.0], 1.0),
    ([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]], 0.9),
)


def check(student: Student) -> None:
    """One episode, two in a window, every step the last, side by side, and jit. Raises `Wrong`."""
    for rewards, done, gamma in CASES:
        rewards, done = jnp.array(rewards), jnp.array(done)
        case = f"rewards {shown(rewards)}, done {shown(done)}, gamma {gamma:g}"
        expected = discounted_returns(rewards, gamma * (1 - done), 1 - done)
        student.expect(case, student.reward_to_go(rewards, done, gamma), expected, mistakes(rewards, done, gamma))
    student.expect("the last case, by jit", jax.jit(student.reward_to_go)(rewards, done, gamma), expected)


def mistakes(rewards: jax.Array, done: jax.Array, gamma: float) -> dict[str, np.ndarray]:
    """What typical mistakes give, by what is said then."""
    r, d = np.asarray(rewards, float), np.asarray(done, float)
    first = np.concatenate([np.zeros_like(d[:1]), d[:-1]])
    late = np.concatenate([d[1:], np.zeros_like(d[:1])])
    right = backwards(r, d, gamma)
    power = gamma ** steps_within(d)
    return {
        "Rewards leak over the end of an episode: step t of done 1 knows nothing of step t + 1.": (
            backwards(r, 0 * d, gamma)
        ),
        "done is read one step late: it is done_t that cuts r_t from G_{t+1}, not done_{t-1}.": backwards(
            r, first, gamma
        ),
        "done is read one step early: it is done_t that cuts r_t from G_{t+1}, not done_{t+1}.": backwards(
            r, late, gamma
        ),
        "The last step of an episode loses its own reward: done cuts what follows, not r_t.": (
            backwards(r * (1 - d), d, gamma)
        ),
        "done is turned round: 1 is the end of an episode.": backwards(r, 1 - d, gamma),
        "There is no discount in this.": backwards(r, d, 1.0),
        "The reward of the step itself is left out: G_t begins with r_t.": right - r,
        "This adds up what came before: the reward-to-go adds up what follows.": forwards(r, first, gamma),
        "This adds up what came before, and done cuts there: the reward-to-go adds up what follows.": (
            forwards(r, d, gamma)
        ),
        "Every step has the return of its whole episode: leave out what came before.": whole(right, d),
        "The discount counts from the beginning of the episode: it counts from step t, and G_t begins with r_t.": (
            power * right
        ),
        "The step's own reward is discounted: G_t begins with r_t, not gamma r_t.": gamma * right,
    }


def backwards(rewards: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
    """r_t + gamma (1 - done_t) G_{t+1}, by a plain loop."""
    result, following = np.zeros_like(rewards), np.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        result[t] = following = rewards[t] + gamma * (1 - done[t]) * following
    return result


def forwards(rewards: np.ndarray, done: np.ndarray, gamma: float) -> np.ndarray:
    """r_t + gamma (1 - done_t) G_{t-1}."""
    result, before = np.zeros_like(rewards), np.zeros_like(rewards[0])
    for t in range(len(rewards)):
        result[t] = before = rewards[t] + gamma * (1 - done[t]) * before
    return result


def whole(returns: np.ndarray, done: np.ndarray) -> np.ndarray:
    """For every step the reward-to-go of its episode's first."""
    result, current = np.zeros_like(returns), returns[0]
    for t in range(len(returns)):
        current = np.where(done[t - 1] == 1, returns[t], current) if t else returns[0]
        result[t] = current
    return result


def steps_within(done: np.ndarray) -> np.ndarray:
    """Which step of its episode each is, from 0."""
    result, count = np.zeros_like(done), np.zeros_like(done[0])
    for t in range(len(done)):
        result[t] = count
        count = (count + 1) * (1 - done[t])
    return result
