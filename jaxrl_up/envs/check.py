"""A public conformance test: `check(env)` passes, or raises a ValueError that says what to mend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.config import as_key
from jaxrl_up.envs.core import Env, require_same_structure
from jaxrl_up.envs.host import GUARD
from jaxrl_up.envs.programs import as_numpy, digest_of
from jaxrl_up.envs.spaces import (
    SPACES,
    Box,
    Discrete,
    Leaf,
    Mask,
    MultiDiscrete,
    Simulator,
    Space,
    leaves,
    map_leaves,
    mask_of,
    mask_space,
    parts,
    require_mask_fits,
    sample_allowed,
    stored,
)
from jaxrl_up.envs.waiting import counting
from jaxrl_up.types import Array, Key, PyTree

LANES, RESETS = 4, 16
MOST_STEPS = 5_000
LEVEL = "xla_backend_optimization_level"  # what runs once is soonest done unoptimised: compiling is most of it
UNTRACEABLE = (TypeError, IndexError, AttributeError, KeyError, jax.errors.UnexpectedTracerError)


def check(env: Env, key: Key | None = None, num_steps: int | None = None) -> None:
    """Raise ValueError, saying what is wrong and what to mend, unless `env` keeps the contract of an Env.

    Looks at the Spec, traces reset and step (also twice, also vmapped over the parameters), then plays 4
    lanes of random actions, extremes included, for `num_steps` steps (default: past the time limit, at most
    5000; 300 where there is none). Checked: one structure and strong dtypes from reset and step;
    observations inside their space, part by part; a mask that fits the actions and allows one at least wherever the
    episode has not terminated; float32 rewards, boolean flags, nothing non-finite; truncation exactly at `max_steps`;
    resets that depend on the key unless the Spec says `deterministic_reset`. What takes long counts its seconds on
    standard error.
    """
    key = jax.random.key(0) if key is None else as_key(key)
    trace_key, play_key = jax.random.split(key)
    if not isinstance(env, Env):
        raise ValueError(
            f"check needs an Env, got {type(env).__name__}: build one with envs.make, "
            "envs.from_functions or envs.from_gymnax."
        )
    _check_spec(env)
    with counting(f"checking {env.name}"):
        _check_traces(env, trace_key)
        GUARD.watch(lambda: _check_play(env, play_key, num_steps))


def _check_spec(env: Env) -> None:
    for what, space in (("observation_space", env.observation_space), ("action_space", env.action_space)):
        if not isinstance(space, SPACES):
            raise ValueError(f"{env.name}: {what} must be a space such as envs.Discrete or envs.Box, got {space!r}.")
    for path, leaf in leaves(env.action_space).items():
        if isinstance(leaf, Mask | Simulator):
            raise ValueError(f"{env.name}: the action space {env.action_space} holds {leaf}{_at(path)}: drop it.")
    require_mask_fits(env.name, env.observation_space, env.action_space)
    try:
        hash(env.spec)
    except TypeError as error:
        raise ValueError(f"{env.name}: its spec must be hashable ({error}); keep arrays in params.") from error
    limit = env.max_steps
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError(f"{env.name}: max_steps must be None or an int >= 1, got {limit!r}.")
    for name, value in env.params.items():
        if getattr(value, "dtype", None) != jnp.float32:
            raise ValueError(
                f"{env.name}: the parameter {name!r} must be a float32 array, got {value!r}: "
                "set it with env.with_params."
            )


def _check_traces(env: Env, key: Key) -> None:
    """Trace without running: shapes, dtypes, structure, no dependence on the host, parameters that vmap."""
    name, raw = env.name, env.spec
    action = jax.eval_shape(env.action_space.sample, key)
    state, obs = _trace_twice(name, "reset", raw.reset, env.params, key)
    outputs = _trace_twice(name, "step", raw.step, env.params, key, state, action)
    reached, next_obs, reward, terminated, truncated, info = outputs
    require_same_structure(state, reached, f"the state of {name}")
    for when, tree in (("reset", (state, obs)), ("step", (reached, next_obs, reward, info))):
        for path, leaf in jax.tree.leaves_with_path(tree):
            if getattr(leaf, "weak_type", False):
                raise ValueError(
                    f"{name}: {when} returns a weakly typed {leaf.dtype} at "
                    f"{jax.tree_util.keystr(path)}, which changes type "
                    "under lax.scan: return jnp.asarray(x, dtype), not a Python number."
                )
    for when, x in (("reset", obs), ("step", next_obs)):
        _check_observation(name, when, env.observation_space, x)
    for what, x, dtype in (
        ("reward", reward, jnp.float32),
        ("terminated", terminated, jnp.bool_),
        ("truncated", truncated, jnp.bool_),
    ):
        if x.shape != () or x.dtype != dtype:
            raise ValueError(f"{name}: {what} must be a scalar {jnp.dtype(dtype)}, got {x.dtype}{list(x.shape)}.")
    if not isinstance(info, dict):
        raise ValueError(f"{name}: info must be a dict of arrays, got {type(info).__name__}.")
    if env.params:
        batch = jax.tree.map(lambda value: jnp.stack([value, value]), env.params)

        def one(params: dict[str, Array]) -> PyTree:
            return raw.step(params, key, raw.reset(params, key)[0], env.action_space.sample(key))

        _traced(name, "step, vmapped over params,", lambda: jax.eval_shape(jax.vmap(one), batch))


def _check_observation(name: str, when: str, space: Space, obs: PyTree) -> None:
    try:
        found = parts(space, obs)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{name}: the observation after {when} has not the parts of its space {space}: {str(error).splitlines()[0]}"
        ) from None
    for path, leaf in leaves(space).items():
        x = found[path]
        if isinstance(leaf, Simulator):
            continue
        if not hasattr(x, "shape") or x.shape != leaf.shape or x.dtype != leaf.dtype:
            shown = f"{x.dtype}{list(x.shape)}" if hasattr(x, "shape") else f"a {type(x).__name__}"
            raise ValueError(
                f"{name}: the observation after {when} is {shown}{_at(path)}, its space {leaf} is "
                f"{leaf.dtype}{list(leaf.shape)}: change one of them."
            )


def _at(path: str) -> str:
    return f" at {path!r}" if path else ""


def _traced(name: str, what: str, run: Callable[[], Any]) -> Any:
    try:
        return run()
    except UNTRACEABLE as error:
        first_line = str(error).split("\n")[0]
        raise ValueError(
            f"{name}: {what} cannot be traced by jax ({type(error).__name__}: {first_line}). "
            "Inside it use jnp instead of np, jnp.where instead of `if` on values, and return arrays only."
        ) from error


def _trace_twice(name: str, what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Give the shapes of the outputs; two traces of one function must give one program."""

    def trace() -> Any:
        # a new function each time, or jax would hand out the first trace again
        return jax.make_jaxpr(lambda *given: function(*given), return_shape=True)(*arguments)

    (first, outputs), (second, _) = _traced(name, what, trace), _traced(name, what, trace)
    if digest_of(first) != digest_of(second):
        raise ValueError(
            f"{name}: two traces of {what} differ, so it reads something on the host that changes "
            "(NumPy random numbers, the clock, a counter on self): keep it in the state, draw from the key."
        )
    return outputs


def _check_resets(env: Env, first: PyTree) -> None:
    constant = all((leaf == leaf[:1]).all() for leaf in map(as_numpy, jax.tree.leaves(first)))
    if constant and not env.spec.deterministic_reset:
        raise ValueError(
            f"{env.name}: reset gives one and the same state for {RESETS} keys. Draw it from the "
            "key, or, if all episodes are meant to start alike, say deterministic_reset=True."
        )
    if env.spec.deterministic_reset and not constant:
        raise ValueError(f"{env.name}: it says deterministic_reset=True, but reset depends on the key: drop it.")


def _extreme(space: Leaf, high: Array, sample: Array) -> Array:
    if isinstance(space, Discrete):
        return jnp.where(high, space.start + space.n - 1, space.start).astype(space.dtype)
    if isinstance(space, MultiDiscrete):
        return jnp.where(high, np.asarray(space.sizes, np.int32) - 1, 0).astype(space.dtype)
    assert isinstance(space, Box)
    low_bound, high_bound = space.bounds()
    finite = np.isfinite(np.where(high_bound < np.inf, low_bound, -np.inf))
    return jnp.where(finite, jnp.where(high, high_bound, low_bound), sample)


def _same(space: Space, a: PyTree, b: PyTree) -> Array:
    pairs = zip(parts(space, a).items(), parts(space, b).values(), strict=True)
    kept = leaves(space)
    return jnp.all(jnp.stack([_close(x, y).all() for (path, x), y in pairs if stored(path, kept[path])]))


def _close(x: Array, y: Array) -> Array:
    """Equal, floats up to rounding: XLA may compute one number twice, and round it in two ways."""
    return jnp.isclose(x, y, rtol=1e-5, atol=1e-6) if jnp.issubdtype(x.dtype, jnp.floating) else x == y


def _finite(space: Space, obs: PyTree) -> Array:
    return jnp.all(
        jnp.stack([jnp.isfinite(x).all() for path, x in parts(space, obs).items() if path in _numbers(space)])
    )


def _numbers(space: Space) -> dict[str, Leaf]:
    return {path: leaf for path, leaf in leaves(space).items() if stored(path, leaf)}


def _check_play(env: Env, key: Key, num_steps: int | None) -> None:
    limit, space, name = env.max_steps, env.observation_space, env.name
    if num_steps is None:
        num_steps = 300 if limit is None else min(limit + 2, MOST_STEPS)
    mask = mask_space(space)

    def possible(obs: PyTree) -> Array:
        return jnp.bool_(True) if mask is None else mask.possible(cast(Array, mask_of(space, obs)))

    def one(carry: tuple[Env, PyTree, PyTree], given: tuple[Array, Key]) -> Any:
        (env, state, obs), (time, key) = carry, given
        action_key, step_key = jax.random.split(key)
        action = sample_allowed(env.action_space, mask_of(space, obs), action_key)
        if mask is None:
            extreme = map_leaves(lambda leaf, x: _extreme(leaf, time % 8 == 0, x), env.action_space, action)
            action = jax.tree.map(lambda x, y: jnp.where(time % 8 < 2, x, y), extreme, action)
        state, step = env.step(step_key, state, action)
        floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
        here, there = parts(space, step.obs), parts(space, step.next_obs)
        good = {
            "inside": {
                path: leaf.contains(here[path]) & leaf.contains(there[path]) for path, leaf in leaves(space).items()
            },
            "goes_on": _same(space, step.obs, step.next_obs),
            "finite": jnp.isfinite(step.reward) & _finite(space, step.next_obs),
            "numbers": ~jnp.any(jnp.array([jnp.isnan(x).any() for x in floats], bool)),
            "possible": possible(step.obs) & (possible(step.next_obs) | step.terminated),
        }
        reached = {path: (there[path].min(), there[path].max()) for path in _numbers(space)}
        return (env, state, step.obs), (good, step.terminated, step.truncated, reached)

    def play(env: Env, key: Key) -> Any:
        reset_key, scan_key = jax.random.split(key)
        first = jax.vmap(env.reset)(jax.random.split(reset_key, RESETS))
        start = jax.tree.map(lambda x: x[:LANES], first)
        keys = jax.random.split(scan_key, (LANES, num_steps))

        def lane(start: tuple[PyTree, PyTree], keys: Key) -> Any:
            return jax.lax.scan(one, (env, *start), (jnp.arange(num_steps), keys))[1]

        starts = {path: jax.vmap(leaf.contains)(parts(space, first[1])[path]) for path, leaf in leaves(space).items()}
        return first, (starts, jax.vmap(possible)(first[1])), jax.vmap(lane)(start, keys)

    quick = {LEVEL: 0} if jax.default_backend() == "cpu" else {}
    program = jax.jit(play, compiler_options=quick)
    first, starts, played = _traced(name, "a vmapped scan of step", lambda: program(env, key))
    _check_resets(env, first)
    (good, terminated, truncated, reached), (starts_inside, starts_possible) = jax.tree.map(
        np.asarray, (played, starts)
    )
    done = terminated | truncated
    finite = good["finite"] & good["numbers"]
    if not finite.all():
        raise ValueError(f"{name}: a NaN or infinity in the reward, observation or state {_where(~finite)}.")
    for path, leaf in leaves(space).items():
        if not (good["inside"][path].all() and starts_inside[path].all()):
            least, most = (np.asarray(end) for end in reached[path])
            if isinstance(leaf, Box) and leaf.binary:
                raise ValueError(f"{name}: observations{_at(path)} hold other numbers than 0 and 1: drop binary=True.")
            raise ValueError(
                f"{name}: observations leave {leaf}{_at(path)}: they reach from {least.min():g} to {most.max():g}. "
                "Widen the space (infinite bounds are allowed) or clip the observation."
            )
    if not (good["possible"].all() and starts_possible.all()):
        where = "after reset" if not starts_possible.all() else _where(~good["possible"])
        raise ValueError(
            f"{name}: the mask allows no action {where}, where the episode has not terminated: allow one at least."
        )
    if not (good["goes_on"] | done).all():
        raise ValueError(f"{name}: obs differs from next_obs {_where(~(good['goes_on'] | done))}, within an episode.")
    if limit is not None:
        _check_limit(name, limit, done, truncated)


def _check_limit(name: str, limit: int, done: np.ndarray, truncated: np.ndarray) -> None:
    time = np.zeros(len(done), int)
    for t in range(done.shape[1]):
        time += 1
        late, untruncated = time > limit, (time == limit) & ~truncated[:, t]
        if late.any() or untruncated.any():
            raise ValueError(
                f"{name}: an episode {'runs past' if late.any() else 'is not truncated at'} "
                f"max_steps={limit}: return truncated (not only terminated) as true at that step, "
                "or let envs.time_limit do it."
            )
        time = np.where(done[:, t], 0, time)


def _where(bad: np.ndarray) -> str:
    return f"at step {int(np.argwhere(bad.any(axis=0))[0, 0])} of a random run"
