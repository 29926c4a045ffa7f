"""The check of exercise 6.1, by `ops.clipped_double_q_target`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import ops
from jaxrl_up.cli.exercises.exercise import Student

READING = (
    'lesson 06_from_vpg_to_sac, "Continuous actions: climb the critic"; docs/algorithms/td3.md; Fujimoto et al. 2018, '
    "arXiv:1802.09477, eq. 10 and 14"
)
HINTS = (
    "Write it in four lines, one for each symbol: the clipped noise, the next action a', the smaller of two target "
    "values, y. Whatever has a prime comes from `targets`. Two of them are clipped.",
    "The noise is scaled first and clipped then; their sum with mu' is clipped to [-1, 1]. Behind a terminated "
    "transition y is the reward alone. jax.lax.stop_gradient(y) says that y is data.",
    "critic: sum over both critics of jnp.mean((q(params, obs, action) - y) ** 2). Actor: -jnp.mean(q(critics[0], obs, "
    "mu(actor, obs))), with nothing stopped: the gradient reaches the actor through the action.",
)
OBS, NEXT_OBS = ((0.2,), (0.5,), (-0.3,), (0.8,)), ((0.4,), (-0.6,), (0.1,), (-0.2,))
ACTION, REWARD = ((0.1,), (-0.4,), (0.6,), (0.3,)), (1.0, 0.5, -1.0, 2.0)
NOISE = ((0.5,), (-4.0,), (1.0,), (3.0,))
CRITICS, TARGET_CRITICS = ((1.0, 0.5, 0.2), (-0.5, 1.5, 0.4)), ((2.0, 1.0, 1.0), (-1.0, 3.0, 1.2))
ACTOR, TARGET_ACTOR = 1.5, 2.5
GAMMA, SCALE, CLIP = 0.9, 0.2, 0.5
BATCHES = {
    "nothing terminated, no noise": ((0.0,) * 4, (False,) * 4),
    "nothing terminated": (NOISE, (False,) * 4),
    "rows 1 and 3 terminated": (NOISE, (False, True, False, True)),
}


def check(student: Student) -> None:
    """Both losses with and without ends and noise, and where their gradients go. Raises `Wrong`."""
    critics, targets = jnp.array(CRITICS), student.Targets(jnp.array(TARGET_CRITICS), jnp.array(TARGET_ACTOR))
    for case, (noise, terminated) in BATCHES.items():
        batch = batch_of(student, terminated)
        given = (q, mu, batch, jnp.array(noise).reshape(4, 1), GAMMA, SCALE, CLIP)
        came = student.critic_loss(critics, targets, *given)
        student.expect(f"critic_loss of 4 transitions, {case}", came, *critic_answers(noise, terminated))

    came = jax.grad(lambda critics: student.critic_loss(critics, student.Targets(critics, ACTOR), *given))(critics)
    expected = jax.grad(functools.partial(right, terminated, noise))(critics, critics, ACTOR)
    leaks = {"A gradient flows through y, the target: it is data, so stop it with jax.lax.stop_gradient.": came}
    student.expect("gradient of critic_loss, with the critics as their own targets", came, expected, leaks)

    batch, actor = batch_of(student, (False,) * 4), jnp.array(ACTOR)
    came = student.actor_loss(actor, critics, q, mu, batch)
    student.expect("actor_loss of 4 transitions", came, *actor_answers())
    came = jax.grad(student.actor_loss)(actor, critics, q, mu, batch)
    expected = jax.grad(lambda actor: -jnp.mean(q(critics[0], batch.obs, mu(actor, batch.obs))))(actor)
    still = {"The actor has no gradient: nothing is to be stopped in its loss.": 0.0}
    student.expect("gradient of actor_loss with respect to the actor", came, expected, still)


def batch_of(student: Student, terminated: tuple[bool, ...]):
    """The four transitions."""
    obs, action, reward, next_obs = (jnp.array(x) for x in (OBS, ACTION, REWARD, NEXT_OBS))
    return student.Batch(obs, action, reward, next_obs, jnp.array(terminated))


def q(params: Any, obs: Any, action: Any) -> Any:
    """Q(s, a) = w_0 s + w_1 a + w_2."""
    return params[0] * obs[..., 0] + params[1] * action[..., 0] + params[2]


def mu(params: Any, obs: Any) -> jax.Array:
    """mu(s) = tanh(theta s)."""
    return jnp.tanh(params * obs)


def right(terminated, noise, critics, target_critics, target_actor) -> jax.Array:
    """What the library says."""
    obs, action, reward, next_obs = (jnp.array(x) for x in (OBS, ACTION, REWARD, NEXT_OBS))
    smoothing = jnp.clip(SCALE * jnp.array(noise).reshape(4, 1), -CLIP, CLIP)
    next_action = jnp.clip(mu(target_actor, next_obs) + smoothing, -1.0, 1.0)
    next_q1, next_q2 = (q(params, next_obs, next_action) for params in target_critics)
    y = ops.clipped_double_q_target(reward, GAMMA * (1.0 - jnp.array(terminated)), next_q1, next_q2)
    y = jax.lax.stop_gradient(y)
    return sum((jnp.mean(jnp.square(q(params, obs, action) - y)) for params in critics), jnp.zeros(()))


def critic_answers(noise, terminated) -> tuple[Any, dict[str, Any]]:
    """The right loss, and what typical mistakes give, by what is said then."""
    obs, action, reward, next_obs = (np.array(x, float) for x in (OBS, ACTION, REWARD, NEXT_OBS))
    drawn, going = np.array(noise, float).reshape(4, 1), 1.0 - np.array(terminated)
    usual = np.clip(SCALE * drawn, -CLIP, CLIP)

    def loss(
        smoothing: Any = usual,
        of=np.minimum,
        bound=1.0,
        after=next_obs,
        actor=TARGET_ACTOR,
        targets=TARGET_CRITICS,
        gamma: Any = GAMMA * going,
        taken=action,
        errors=None,
    ):
        next_action = np.clip(np.tanh(actor * after) + smoothing, -bound, bound)
        values = [np.asarray(q(params, after, next_action)) for params in targets]
        ys = [reward + gamma * value for value in of(*values) * np.ones((2, 1))]
        found = [np.asarray(q(params, obs, taken)) - y for params, y in zip(CRITICS, ys, strict=True)]
        return errors(found) if errors else sum(np.mean(x**2) for x in found)

    policy = np.tanh(ACTOR * obs)
    said = {
        "Behind a transition that terminated there is no value: y is the reward alone.": loss(gamma=GAMMA),
        "y has values only behind transitions that terminated: `terminated` is the wrong way round.": loss(
            gamma=GAMMA * (1 - going)
        ),
        "gamma is missing in y.": loss(gamma=going),
        "The target takes the larger of the two values; it is the smaller one that keeps it from growing.": loss(
            of=np.maximum
        ),
        "Each critic is fitted to its own target: both are fitted to the minimum of the two.": loss(
            of=lambda a, b: np.stack([a, b])
        ),
        "The target takes the mean of the two values, where it should take the minimum.": loss(
            of=lambda a, b: (a + b) / 2
        ),
        "The target takes the first critic alone, where it should take the minimum of both.": loss(of=lambda a, b: a),
        "The minimum is over the batch as well: it is over the two critics, row by row (jnp.minimum).": loss(
            of=lambda a, b: np.min([a, b]) * np.ones(4)
        ),
        "The target policy's action has no noise.": loss(0.0),
        "The noise is not clipped to noise_clip.": loss(SCALE * drawn),
        "The noise is clipped before it is scaled: scale first, then clip to noise_clip.": loss(
            SCALE * np.clip(drawn, -CLIP, CLIP)
        ),
        "The noise is not scaled by noise_scale.": loss(np.clip(drawn, -CLIP, CLIP)),
        "The action with its noise is not clipped to [-1, 1].": loss(bound=np.inf),
        "The next action is of obs where it should be of next_obs.": loss(after=obs),
        "The next action is the online actor's: y is made by target networks.": loss(actor=ACTOR),
        "y is made by the online critics where it should be by targets.critics.": loss(targets=CRITICS),
        "The critics are asked for the policy's actions: they are fitted at those of the batch.": loss(taken=policy),
        "This is the mean over the two critics: their losses add up.": loss() / 2,
        "Only the first critic's loss is there: both are fitted.": loss(errors=lambda x: np.mean(x[0] ** 2)),
        "This is the sum over the batch: it should be the mean.": 4 * loss(),
        "The errors are not squared.": loss(errors=lambda x: sum(np.mean(np.abs(each)) for each in x)),
    }
    return np.asarray(right(terminated, noise, CRITICS, TARGET_CRITICS, TARGET_ACTOR)), said


def actor_answers() -> tuple[Any, dict[str, Any]]:
    """As `critic_answers`, of the actor."""
    obs, action = np.array(OBS, float), np.array(ACTION, float)
    policy = np.tanh(ACTOR * obs)
    first, second = (np.asarray(q(params, obs, policy)) for params in CRITICS)
    expected = -np.mean(first)
    return expected, {
        "The sign is turned: the actor climbs Q, so its loss is -Q.": -expected,
        "This is the smaller of both critics: the actor follows the first one.": -np.mean(np.minimum(first, second)),
        "This is the second critic: the actor follows the first one.": -np.mean(second),
        "This is the mean of both critics: the actor follows the first one.": -np.mean((first + second) / 2),
        "These are the actions of the batch: the actor's loss asks for mu(s).": -np.mean(
            np.asarray(q(CRITICS[0], obs, action))
        ),
        "The actions come from next_obs: the actor's loss is at obs.": -np.mean(
            np.asarray(q(CRITICS[0], obs, np.tanh(ACTOR * np.array(NEXT_OBS))))
        ),
        "This is the sum over the batch: it should be the mean.": 4 * expected,
    }
