"""The algorithms by name, and what public entries take: an algorithm and an environment, also by name, a config, and a
policy that fits them, all checked against each other."""

from __future__ import annotations

import dataclasses
import functools
import sys
from functools import partial
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up import envs
from jaxrl_up.algorithms.a2c import A2C
from jaxrl_up.algorithms.alphazero import ALPHAZERO
from jaxrl_up.algorithms.c51 import C51
from jaxrl_up.algorithms.ddpg import DDPG
from jaxrl_up.algorithms.dqn import DQN
from jaxrl_up.algorithms.mbpo import MBPO
from jaxrl_up.algorithms.mbve import MBVE
from jaxrl_up.algorithms.mpc import MPC
from jaxrl_up.algorithms.pets import PETS
from jaxrl_up.algorithms.ppo import PPO
from jaxrl_up.algorithms.qr_dqn import QR_DQN
from jaxrl_up.algorithms.sac import SAC
from jaxrl_up.algorithms.sac_discrete import SAC_DISCRETE
from jaxrl_up.algorithms.td3 import TD3
from jaxrl_up.algorithms.trpo import TRPO
from jaxrl_up.algorithms.value_fitting import VALUE_FITTING
from jaxrl_up.algorithms.vpg import VPG
from jaxrl_up.config import (
    check,
    did_you_mean,
    is_own_file,
    is_own_name,
    own_module,
    own_variable,
    place_of,
    shown,
    traced_fields,
    where,
)
from jaxrl_up.envs import Box, Env, Tuple, leaves, require_mask_fits, sample
from jaxrl_up.learning import named_module
from jaxrl_up.types import Algorithm, Key, PyTree


def name_unknown_fields(algo: Algorithm) -> Algorithm:
    """The algorithm itself; its Config, and `config.replace`, now say which field a wrong name meant."""
    config: Any = algo.Config
    init, known = config.__init__, [field.name for field in dataclasses.fields(config)]

    @functools.wraps(init)
    def checked_init(self: Any, *args: Any, **fields: Any) -> None:
        for name in fields:
            if name not in known:
                raise TypeError(f"{algo.name} has no field {name!r}.{did_you_mean(name, known)}")
        init(self, *args, **fields)

    config.__init__ = checked_init
    return algo


ALGORITHMS = {
    algo.name: name_unknown_fields(algo)
    for algo in (
        VPG,
        A2C,
        PPO,
        TRPO,
        DQN,
        C51,
        QR_DQN,
        DDPG,
        TD3,
        SAC,
        SAC_DISCRETE,
        VALUE_FITTING,
        MPC,
        PETS,
        MBPO,
        MBVE,
        ALPHAZERO,
    )
}
"""Every algorithm by its name."""


def find_algorithm(algo: Algorithm | str) -> Algorithm:
    """An algorithm, or that of a name, in any case; one of your own by `FILE.py`, `FILE.py:NAME` or `MODULE:NAME`.

    Raises `ValueError` for another name and for a file that holds none, `TypeError` for the rest.
    """
    if isinstance(algo, Algorithm):
        return algo
    if not isinstance(algo, str):
        raise TypeError(f"algo={shown(algo)} must be an Algorithm, as jaxrl_up.PPO, or the name of one, as 'ppo'")
    if is_own_file(algo) or is_own_name(algo):
        return _own_algorithm(algo)
    name = algo.lower().replace("-", "_")
    if name not in ALGORITHMS:
        raise ValueError(
            f"there is no algorithm {algo!r}.{did_you_mean(algo, ALGORITHMS)} Choose from {', '.join(ALGORITHMS)}, or "
            "give an Algorithm of your own, also by name, as my_algo.py"
        )
    return ALGORITHMS[name]


def _own_algorithm(name: str) -> Algorithm:
    """The Algorithm that a file holds, or that goes by a name there."""
    if is_own_file(name):
        found = _held(own_module(name))
        if not found:
            raise ValueError(f"{name!r}: there is no Algorithm in it, a variable that is one of your own")
        if len(found) > 1:
            places = [where(f"{name}:{variable}") for variable in found]
            lines = [f"{variable}{place[place.rfind(',') :]}" for variable, place in zip(found, places, strict=True)]
            raise ValueError(
                f"{name!r} holds {len(found)} algorithms ({'; '.join(lines)}): say which, as {name}:{next(iter(found))}"
            )
        name, algo = f"{name}:{next(iter(found))}", next(iter(found.values()))
    else:
        algo = own_variable(name)
        if not isinstance(algo, Algorithm):
            raise ValueError(f"{where(name)}: {name} must be an Algorithm, got {shown(algo)}")
    try:
        dataclasses.fields(algo.Config())
    except (TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{where(name)}: its Config has to be a dataclass with a default in each field: {reason}"
        ) from None
    return algo


def _held(module: ModuleType) -> dict[str, Algorithm]:
    """The algorithms of a module by their variables, without the package's own."""
    own = {name: x for name, x in vars(module).items() if isinstance(x, Algorithm) and ALGORITHMS.get(x.name) is not x}
    return {name: x for i, (name, x) in enumerate(own.items()) if x not in list(own.values())[:i]}


def own_name(algo: Algorithm) -> str | None:
    """What names an algorithm of your own, as `find_algorithm` takes it; None for the package's, and for one that is no
    variable of a file or module."""
    if ALGORITHMS.get(algo.name) is algo:
        return None
    for module in dict.fromkeys((sys.modules.get(algo.Config.__module__), *list(sys.modules.values()))):
        if not isinstance(module, ModuleType) or not any(value is algo for value in list(vars(module).values())):
            continue
        place, held = place_of(module.__name__), _held(module)
        if place is not None:
            variable = next(name for name, value in held.items() if value is algo)
            return place if is_own_file(place) and len(held) == 1 else f"{place}:{variable}"
    return None


def own_kinds(algo: Algorithm | PyTree) -> tuple[str, ...]:
    """The fields of an algorithm's config that take things of your own: those of the type Any, as network and head.

    The config may stand for its algorithm.
    """
    types = {field.name: str(field.type) for field in dataclasses.fields(getattr(algo, "Config", algo))}
    return tuple(name for name, kind in types.items() if kind.rpartition(".")[2] == "Any")


def own_value(field: str, name: str) -> Any:
    """What a name in the grammar of `config.own_variable` is as the value of a field of your own.

    A network, a head or any class of flax is a module, as of `learning.named_module`; else it is the variable itself.
    Raises `ValueError` as these do, and for a policy that is no function.
    """
    found = own_variable(name)
    kinds = found.__mro__ if isinstance(found, type) else ()
    if field in ("network", "head") or any(kind.__module__.startswith("flax.") for kind in kinds):
        return named_module(field, name)
    if field == "policy" and not callable(found):
        raise ValueError(f"{where(name)}: {field}={name} must be a function (obs, key) -> action, got {shown(found)}")
    return found


def make_config(algo: Algorithm | str, preset: str | None = None, **fields: Any) -> PyTree:
    """A config of `algo`, or of that of a name, from its defaults, a preset, and fields that override both.

    Raises `ValueError` for an unknown algorithm, preset or field and for a value out of range.
    """
    algo = find_algorithm(algo)
    known = [f.name for f in dataclasses.fields(algo.Config)]
    for name in fields:
        if name not in known:
            raise ValueError(f"{algo.name} has no field {name!r}.{did_you_mean(name, known)}")
    return check(algo.Config(**{**preset_fields(algo, preset), **fields}))


def preset_fields(algo: Algorithm, preset: str | None) -> dict[str, Any]:
    """The fields of a preset that differ from the defaults. Raises `ValueError` for a name that is none."""
    if preset is None or preset == "default":
        return {}
    if not isinstance(preset, str) or preset not in algo.presets:
        names = ", ".join(["default", *algo.presets])
        raise ValueError(f"{algo.name} has no preset {shown(preset)}; it has {names}")
    return dict(algo.presets[preset])


def check_support(algo: Algorithm, env: Any) -> None:
    """Raise `ValueError` if the algorithm cannot act in the environment's action space, naming those that can.

    So too for a game of more players than it moves for.
    """
    _check_players(algo, env)
    space = env.action_space
    kind = "Dict" if isinstance(space, Tuple) else type(space).__name__
    for leaf in leaves(space).values():
        if isinstance(leaf, Box) and not np.issubdtype(leaf.dtype, np.floating):
            raise ValueError(
                f"{env.name} has the action space {space} of {leaf.dtype.name}, in which no "
                "algorithm acts: let it take floats and round them, or number its actions as Discrete(n)"
            )
    if kind not in algo.action_spaces:
        able = [name for name, other in ALGORITHMS.items() if kind in other.action_spaces]
        spaces = [*algo.action_spaces]
        raise ValueError(
            f"{algo.name} acts in {', '.join(spaces[:-1])}{' and ' if spaces[1:] else ''}{spaces[-1]} spaces, but "
            f"{env.name} has the action space {space}; algorithms for {kind}: {', '.join(able) or 'none'}"
        )
    require_mask_fits(env.name, env.observation_space, space)


def _check_players(algo: Algorithm, env: Any) -> None:
    if env.spec.players not in algo.players:
        raise ValueError(
            f"{algo.name} moves for one player, but {env.full_name} is a game of two: give it one side, as "
            f"{env.name}?opponent=random does, or envs.against"
        )
    within = env.spec.simulated
    if not algo.learns and within is not None and within.players not in algo.players:
        raise ValueError(
            f"{algo.name} plans for one player, but what {env.full_name} simulates is a game of two, without its "
            "opponent"
        )


ORDER = ("algo", "env", "config")


def take(
    algo: Algorithm | str, env: Env | str, config: PyTree = None, preset: str | None = None
) -> tuple[Algorithm, Env, PyTree]:
    """The algorithm, environment and config that are meant, checked against each other.

    The first two may be names. The config may be a dict of the fields that differ from those of the preset, or None
    for the preset itself; it is returned with plain values (see `config.check`). Raises `TypeError` for something
    else, or in another order, and `ValueError` for unknown names, values out of range, an algorithm that cannot act in
    the environment, and an environment that cannot take a step.
    """
    algo, env = take_names(algo, env, config)
    check_support(algo, env)
    check_steps(env)
    return algo, env, take_config(algo, config, preset)


def take_names(algo: Algorithm | str, env: Env | str, config: PyTree = None) -> tuple[Algorithm, Env]:
    """The algorithm and environment that are meant; raises as `take` does for what is none or in another order."""
    check_order(algo, env, config)
    return find_algorithm(algo), envs.find(env)


def check_order(algo: Any, env: Any, config: Any) -> None:
    """Raise `TypeError` where one of the three stands in the place of another."""
    kinds = [_kind(value) for value in (algo, env, config)]
    wrong = [
        f"{name} is {kind}" for name, kind, own in zip(ORDER, kinds, KINDS, strict=True) if kind not in (None, own)
    ]
    if wrong:
        raise TypeError(f"{' and '.join(wrong)}: give them in the order {', '.join(ORDER)}")


KINDS = ("an algorithm", "an environment", "a config")


def _kind(value: Any) -> str | None:
    """Which of the three a value is; None where it is none of them, or a name of nothing."""
    if isinstance(value, Algorithm) or (isinstance(value, str) and value.lower() in ALGORITHMS):
        return KINDS[0]
    if is_own_name(value):  # of any of them
        return None
    if isinstance(value, Env) or envs.is_name(value):
        return KINDS[1]
    return KINDS[2] if _algorithm_of(value) or (isinstance(value, dict) and value) else None


def _algorithm_of(config: Any) -> str | None:
    """Whose Config an object, or a class, is."""
    kind = config if isinstance(config, type) else type(config)
    return next((name for name, algo in ALGORITHMS.items() if algo.Config is kind), None)


def take_config(algo: Algorithm, config: PyTree, preset: str | None = None) -> PyTree:
    """The config that is meant, with plain values; raises as `take` does."""
    if config is None or isinstance(config, dict):
        return make_config(algo, preset, **(config or {}))
    preset_fields(algo, preset)
    if isinstance(config, type) and issubclass(config, algo.Config):
        raise TypeError(f"config is the class of {algo.name}'s configs: call it, as in Config(), or leave config out")
    if not isinstance(config, algo.Config):
        owner = _algorithm_of(config)
        what = f"a config of {owner}" if owner else shown(config)
        raise TypeError(
            f"config is {what}, which {algo.name} does not take: give one by make_config({algo.name!r}, ...), or a "
            "dict of the fields that differ from the defaults"
        )
    config = check(config)
    for name in traced_fields(config):
        value = getattr(config, name)
        if np.ndim(value):
            raise ValueError(
                f"{name} has shape {np.shape(value)}: give one number here, and many to sweep or run_sweep"
            )
    return config


def check_steps(env: Env) -> None:
    """Raise `ValueError` for an environment that cannot take a step, as with a parameter of the wrong shape."""
    try:
        _step.eval_shape(_shapes(env), _key())
    except (TypeError, ValueError) as error:
        raise ValueError(f"{env.name} cannot take a step: {str(error).splitlines()[0]}") from error


@jax.jit
def _step(env: Env, key: Key) -> Any:
    """Only traced, and that once for an environment."""
    state, _ = env.reset(key)
    return env.step(key, state, sample(env.action_space, key))


@partial(jax.jit, static_argnames=("algo",))
def _policy(algo: Algorithm, env: Env, config: PyTree, key: Key) -> PyTree:
    """Only traced, and that once for a program."""
    return algo.init(config, env, key).policy


def check_policy(algo: Algorithm, env: Env, config: PyTree, policy: PyTree) -> None:
    """Raise `TypeError` for what is no policy, and `ValueError` for one that this algorithm and config do not have."""
    if hasattr(policy, "policy") and hasattr(policy, "learner"):
        raise TypeError(f"policy is a state of {algo.name}: give its policy, as in state.policy")
    wanted = _leaves(_policy.eval_shape(algo, _shapes(env), _shapes(config, np.float32), _key()))
    found = _leaves(policy)
    lead = {shape[:1] for shape in found.values()}
    if found.keys() == wanted.keys() and len(lead) == 1 and all(shape[1:] == wanted[k] for k, shape in found.items()):
        raise ValueError(f"policy is of {lead.pop()[0]} seeds: choose one, as in jax.tree.map(lambda x: x[0], policy)")
    for name in {**wanted, **found}:
        if wanted.get(name) != found.get(name):
            there, here = (str(list(x[name])) if name in x else "nothing" for x in (found, wanted))
            raise ValueError(
                f"policy is not one of {algo.name} on {env.name} with this config: it has {there} at policy{name}, "
                f"where {here} belongs"
            )


def check_same_policies(algo: Algorithm, env: Env, other: Env, config: PyTree) -> None:
    """Raise `ValueError` where the policies of an algorithm are not of the same arrays in both environments."""
    policy = _policy.eval_shape(algo, _shapes(env), _shapes(config, np.float32), _key())
    check_policy(algo, other, config, policy)


def _leaves(tree: PyTree) -> dict[str, tuple[int, ...]]:
    return {jax.tree_util.keystr(path): np.shape(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}


def _shapes(tree: PyTree, dtype: Any = None) -> PyTree:
    """What is traced in place of a tree, so that traces are found again whatever its values."""
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(jnp.shape(x), dtype or jnp.result_type(x)), tree)


def _key() -> Any:
    return jax.eval_shape(jax.random.key, 0)
