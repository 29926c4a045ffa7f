"""Whole episodes of a policy, played to see what it earns."""

from __future__ import annotations

from typing import NamedTuple

from jaxrl_up.algorithms import check_policy, check_same_policies, check_steps, take
from jaxrl_up.config import flag, shown, whole, whole_or_none
from jaxrl_up.envs import GUARD, Env, find, nominal
from jaxrl_up.learning import Episodes, memory_of, play
from jaxrl_up.types import Algorithm, Array, Key, PyTree


class Evaluation(NamedTuple):
    """How to evaluate: static, hashable."""

    num_episodes: int = 16
    deterministic: bool = True
    max_steps: int | None = None


def as_evaluation(evaluation: Evaluation) -> Evaluation:
    """An Evaluation with plain values. Raises `TypeError` for something else and `ValueError` for counts below 1."""
    if not isinstance(evaluation, tuple) or len(evaluation) > len(Evaluation._fields):
        raise TypeError(f"evaluation={shown(evaluation)} must be an Evaluation, as in Evaluation(num_episodes=16)")
    num_episodes, deterministic, max_steps = Evaluation(*evaluation)
    return Evaluation(
        whole("num_episodes", num_episodes),
        flag("deterministic", deterministic),
        whole_or_none("max_steps", max_steps),
    )


def take_evaluation_env(algo: Algorithm, env: Env, config: PyTree, evaluation_env: Env | str | None) -> Env | None:
    """The environment to evaluate in, checked against `env`, which is trained on; None is `nominal(env)`.

    It may be a name. Raises `TypeError` for what is no environment, and `ValueError` for one whose observations or
    actions are not those of `env`, in which the policies of `env` do not fit, or that cannot take a step; and for None,
    where `env` cannot be built with its nominal parameters.
    """
    if evaluation_env is None:
        nominal(env)
        return None
    try:
        other = find(evaluation_env)
    except (TypeError, ValueError) as error:
        raise type(error)(f"evaluation_env: {error}") from None
    for what, trained, evaluated in (
        ("observation", env.observation_space, other.observation_space),
        ("action", env.action_space, other.action_space),
    ):
        if trained != evaluated:
            raise ValueError(
                f"evaluation_env has the {what} space {evaluated}, but {env.full_name}, which is trained on, has "
                f"{trained}: give an environment of the same spaces, wrapped alike"
            )
    check_steps(other)
    check_same_policies(algo, env, other, config)
    return other


def played_in(env: Env, evaluation_env: Env | None) -> Env:
    """Where policies of `env` are evaluated: there, or where nothing else is given in `nominal(env)`."""
    return nominal(env) if evaluation_env is None else evaluation_env


def on_host(*envs: Env | None) -> bool:
    """Whether one of the environments is stepped on the host, which may fail there."""
    return any(env is not None and env.spec.host for env in envs)


def evaluate(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Array:
    """Undiscounted returns `[num_episodes]` of whole episodes of a policy (`state.policy`).

    Each episode has a fresh start. `max_steps` caps its length; None is the environment's own time limit, or
    10,000 steps where it has none. An episode that meets the cap reports what it earned until then; use
    `evaluate_episodes` to see which did. `algo` and `env` may be names. Raises `ValueError` or `TypeError` for
    arguments that are wrong or do not belong together, such as the policy of another algorithm.
    """
    return evaluate_episodes(algo, env, config, policy, key, num_episodes, deterministic, max_steps).returns


def evaluate_episodes(
    algo: Algorithm | str,
    env: Env | str,
    config: PyTree,
    policy: PyTree,
    key: Key,
    num_episodes: int = 16,
    deterministic: bool = True,
    max_steps: int | None = None,
) -> Episodes:
    """As `evaluate`, with the lengths of the episodes and whether they finished."""
    algo, env, config = take(algo, env, config)
    evaluation = as_evaluation(Evaluation(num_episodes, deterministic, max_steps))
    check_policy(algo, env, config, policy)

    def program() -> Episodes:
        return play_policy(algo, env, config, policy, key, evaluation)

    return GUARD.watch(program) if env.spec.host else program()


def play_policy(
    algo: Algorithm, env: Env, config: PyTree, policy: PyTree, key: Key, evaluation: Evaluation
) -> Episodes:
    """The episodes of `evaluate_episodes`, its arguments checked: what programs call."""
    num_episodes, deterministic, max_steps = evaluation

    def act(obs: PyTree, memory: PyTree, key: Key) -> tuple[PyTree, PyTree]:
        return algo.act(config, env, policy, obs, memory, None if deterministic else key)

    return play(env, act, key, num_episodes, max_steps, memory_of(algo, env, config, deterministic))
