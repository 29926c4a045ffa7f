"""A run at some moment, and `advance`: some updates and one evaluation, in one piece of a compiled program."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxrl_up.config import as_key
from jaxrl_up.envs import Env
from jaxrl_up.learning import distinct
from jaxrl_up.ops import centred
from jaxrl_up.training.evaluation import Evaluation, play_policy, played_in
from jaxrl_up.types import Algorithm, Array, Key, Mean, Metrics, PyTree


class Progress(NamedTuple):
    """A run at some moment: all that is needed to go on."""

    state: PyTree  # the algorithm's State
    failed_at: Array  # int32, the update whose loss or learner was not finite; -1 for none
    evaluation_key: Key  # root of the evaluations' keys, which share nothing with training


class Log(NamedTuple):
    """One evaluation `[]`, or those of a run `[E + 1]`, `[S, E + 1]`, `[C, S, E + 1]`, from the untrained policy on.

    `train_returns`, `train_episodes` and `losses` are divided where they are read: a program that put out the NaN of a
    mean over nothing would be stopped by `jax_debug_nans`.
    """

    env_steps: Array  # done so far
    returns: Array  # mean undiscounted return of the evaluation's episodes
    returns_std: Array  # over the episodes
    lengths: Array  # mean episode length, environment steps
    unfinished: Array  # episodes that met the step cap, counted with what they had earned
    distinct: Array  # episodes that differ from one another in an action or a reward
    trained: Mean  # returns of the training episodes that ended since the last one
    learned: dict[str, Mean]  # losses over the gradient steps since the last one
    failed_at: Array  # see `Progress`

    @property
    def train_returns(self) -> Any:
        """Mean return of the training episodes that ended since the last evaluation; NaN if none did."""
        return self.trained.value

    @property
    def train_episodes(self) -> Array:
        """How many did."""
        return self.trained.count

    @property
    def losses(self) -> dict[str, Any]:
        """Means over the gradient steps since the last evaluation, by name; NaN if none was made."""
        return {name: mean.value for name, mean in self.learned.items()}


# Programs within programs, so that one trace serves all who look at them; XLA makes them part of what calls them.


@partial(jax.jit, static_argnames=("algo",))
def update(algo: Algorithm, env: Env, config: PyTree, state: PyTree) -> tuple[PyTree, Metrics]:
    """One update of an algorithm."""
    return algo.update(config, env, state)


@partial(jax.jit, static_argnames=("algo",))
def begin(algo: Algorithm, env: Env, config: PyTree, key: Key) -> Progress:
    """The state before the first update."""
    init_key, evaluation_key = jax.random.split(as_key(key))
    return Progress(algo.init(config, env, init_key), jnp.int32(-1), evaluation_key)


def advance(
    algo: Algorithm,
    env: Env,
    config: PyTree,
    progress: Progress,
    num_updates: int | Array,
    evaluation: Evaluation = Evaluation(),
    evaluation_env: Env | None = None,
) -> tuple[Progress, Log]:
    """Make `num_updates` updates, then evaluate once, in `evaluation_env`; None is `nominal(env)`.

    `num_updates` may be traced. Metrics are reduced inside the loop, so memory does not grow with it. A seed
    whose loss or learner is not finite keeps the learner it had before that update, for good.
    """

    def body(_: Any, carry: tuple[Progress, Metrics]) -> tuple[Progress, Metrics]:
        progress, total = carry
        progress, metrics = guarded_update(algo, env, config, progress)
        return progress, jax.tree.map(jnp.add, total, metrics)

    _, shapes = jax.eval_shape(partial(update, algo), env, config, progress.state)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    progress, total = jax.lax.fori_loop(0, num_updates, body, (progress, zeros))

    counters = progress.state.counters
    key = jax.random.fold_in(progress.evaluation_key, counters.updates)
    episodes = play_policy(algo, played_in(env, evaluation_env), config, progress.state.policy, key, evaluation)
    log = Log(
        env_steps=counters.env_steps,
        returns=jnp.mean(episodes.returns),
        returns_std=jnp.sqrt(jnp.mean(jnp.square(centred(episodes.returns)[1]))),
        lengths=jnp.mean(episodes.lengths, dtype=jnp.float32),
        unfinished=jnp.sum(~episodes.finished, dtype=jnp.int32),
        distinct=distinct(episodes),
        trained=Mean(total.episode_return, total.episode_count),
        learned=total.losses,
        failed_at=progress.failed_at,
    )
    return progress, log


def guarded_update(algo: Algorithm, env: Env, config: PyTree, progress: Progress) -> tuple[Progress, Metrics]:
    """One update, or the old learner where the new one is not finite. The environments go on either way.

    The losses of the update that failed still count, those of later ones do not: nothing is learned by them. Of an
    algorithm that learns nothing no seed fails.
    """
    state, metrics = update(algo, env, config, progress.state)
    if not algo.learns:
        return progress._replace(state=state), metrics
    leaves = [x.ravel() for x in jax.tree.leaves(state.learner) if jnp.issubdtype(x.dtype, jnp.inexact)]
    # in one piece: a kernel for each leaf takes a fifth of the time of compiling
    numbers = jax.lax.optimization_barrier(jnp.concatenate(leaves))
    finite = jnp.isfinite(metrics.losses["loss"].total) & jnp.all(jnp.isfinite(numbers))
    fine = (progress.failed_at < 0) & finite
    learner = jax.tree.map(lambda new, old: jnp.where(fine, new, old), state.learner, progress.state.learner)
    first_failure = (progress.failed_at < 0) & ~finite
    failed_at = jnp.where(first_failure, state.counters.updates, progress.failed_at)
    losses = jax.tree.map(lambda x: jnp.where(progress.failed_at < 0, x, 0), metrics.losses)
    progress = Progress(state._replace(learner=learner), failed_at, progress.evaluation_key)
    return progress, metrics._replace(losses=losses)
