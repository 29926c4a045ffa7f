"""The shared vocabulary: array aliases, the two records, and the field kinds of a Config."""

from __future__ import annotations

import dataclasses
import importlib
import math
import sys
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax.core import Tracer

Array = jax.Array
"""A JAX array."""
Key = jax.Array
"""One random key, as of `jax.random.key`; keys are a batch of them."""
PyTree = Any
"""Arrays in nested tuples, lists, dicts and dataclasses."""


class TimeStep(NamedTuple):
    """What one environment step returns.

    `terminated` and `truncated` may both be true. Where either is, `obs` is already the first
    observation of the next episode, while `next_obs` is the state this transition really reached.
    """

    obs: PyTree  # to act on next
    next_obs: PyTree  # to bootstrap from
    reward: Array  # float32 []
    terminated: Array  # bool [], the task ended: the value after it is zero
    truncated: Array  # bool [], a time limit cut the episode: the value after it is not zero
    info: dict[str, Array]


class Counters(NamedTuple):
    """Progress of a run. Depends on no key, so `lax.cond` on it stays a branch under vmap."""

    updates: Array  # int32
    env_steps: Array  # int32


class Learner(Protocol):
    """All that is learned: a pytree of arrays, restored to its last finite value when a seed fails."""

    @property
    def acting(self) -> PyTree:
        """The policy: what `Algorithm.act` needs of it."""
        ...


class State(Protocol):
    """A run at some moment: a named tuple whose leaves are arrays, without axes for seeds."""

    @property
    def learner(self) -> Any:
        """See `Learner`."""
        ...

    @property
    def counters(self) -> Counters:
        """How far it is. Depends on no key, so it is never batched over seeds."""
        ...

    @property
    def policy(self) -> PyTree:
        """`learner.acting`."""
        ...

    @property
    def experience(self) -> PyTree:
        """What is kept to learn from, as a replay; `()` where each batch is thrown away."""
        ...


class _Help:
    """The docstring of a class, and of an instance of it what its `_help` says: `help(PPO)` is about PPO."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __get__(self, algo: Algorithm | None, owner: type) -> str | None:
        return self.text if algo is None else algo._help()


@dataclasses.dataclass(frozen=True, eq=False)
class Algorithm:
    """A learning algorithm as a record of pure functions; nothing in it holds state.

    What a family asks for beside these is a record of its own, as `learning.off_policy.OffPolicy`.
    """

    __doc__ = cast("str | None", _Help(__doc__))

    name: str
    """by which command lines, recipes and config.toml know it"""
    Config: type
    """a frozen dataclass of `traced(...)` fields, which are leaves, and `static(...)` ones, which are not"""
    init: Callable[..., Any]
    """(config, env, key) -> `State`"""
    update: Callable[..., Any]
    """(config, env, state) -> (`State`, `Metrics`): interact for `steps_per_update` steps, then or meanwhile learn"""
    act: Callable[..., tuple[PyTree, PyTree]]
    """(config, env, policy, obs `[..., *shape]`, memory `[..., *]`, key) -> actions of the environment, and the memory
    after them; with a key of None it does not explore, as the mode of a distribution"""
    steps_per_update: Callable[[Any], int]
    """config -> environment steps of one update, of all environments together"""
    presets: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """name -> fields that differ from the defaults"""
    action_spaces: tuple[str, ...] = ("Discrete", "Box")
    """the spaces that it acts in, by the names of their classes; a Dict stands for a Tuple too"""
    anneals: Callable[[Any], bool] = lambda config: False
    """config -> whether anything is annealed over its `schedule_steps`"""
    initial_memory: Callable[..., PyTree] = lambda config, env, key: ()
    """(config, env, key) -> what `act` remembers at the beginning of an episode, unbatched; `()` where nothing. What
    needs chance even without exploring keeps a typed key in it, and splits it"""
    greedy_memory: bool = True
    """whether `act` without a key reads the memory; where not, as that of exploration noise, `()` may stand for it"""
    judge: Callable[..., Mapping[str, Array]] | None = None
    """(config, env, policy, obs `[..., *shape]`, memory) -> what a policy over `Discrete` actions holds of them, for
    people to see: `probabilities [..., A]`, `values [..., A]` or the `value [...]` of what is shown"""
    learns: bool = True
    """whether `update` learns; where not, as of a planner, it acts and counts steps, its loss is 0, and the learner,
    which may be empty, stays as it is: no seed can fail"""
    learns_to_act: bool = True
    """whether what is learned acts; where not, as where values of a given policy are, returns stay what they are, and
    progress shows the loss beside them"""
    players: tuple[int, ...] = (1,)
    """of how many players the games may be that it learns; (1, 2) for one that moves for both in turn"""

    def __repr__(self) -> str:
        about = textwrap.shorten(self._about().partition("\n")[0].rstrip("."), 90, placeholder=" ...")
        return f"<Algorithm {self.name}{about and ': '}{about}>"

    def _about(self) -> str:
        """The docstring of the module that the algorithm is, or of its Config's."""
        return (getattr(sys.modules.get(self.Config.__module__), "__doc__", None) or "").strip()

    def _help(self) -> str:
        """What it is, and the fields of its Config with their defaults."""
        fields = ", ".join(f"{field.name}={field.default!r}" for field in dataclasses.fields(self.Config))
        config = textwrap.fill(f"Config({fields})", 100, subsequent_indent=" " * 7, break_long_words=False)
        presets = ", ".join(["default", *self.presets])
        return (
            f"{self._about()}\n\n{config}\n\nPresets: {presets}. It acts in {', '.join(self.action_spaces)} spaces. "
            f"What each field is:\n`jaxrl-up train {self.name} --help`, or jaxrl_up.config.field_help(Config)."
        )

    def __reduce__(self) -> Any:
        """Pickled by name: as the variable of a module that it is."""
        own = sys.modules.get(self.Config.__module__)
        for module in (own, *list(sys.modules.values())):
            for name, value in list(getattr(module, "__dict__", {}).items()):
                if value is self:
                    return _variable, (getattr(module, "__name__", ""), name)
        raise TypeError(
            f"{self.name} cannot be pickled: it is no variable of a module, by whose name it could be found"
        )

    def __deepcopy__(self, memo: Any) -> Algorithm:
        return self  # nothing in it changes


def face(name: str) -> Callable[[], list[str]]:
    """The `__dir__` of a module: what it defines and what it passes on under its own name, `from x import y as y`."""

    def names() -> list[str]:
        import ast
        import inspect

        there = vars(sys.modules[name])
        try:
            body = ast.parse(inspect.getsource(sys.modules[name])).body
        except (OSError, TypeError):  # without its source: all that is no module
            return sorted(key for key, value in there.items() if not inspect.ismodule(value))
        offered = {key for key in there if key.startswith("__")}
        for node in body:
            if isinstance(node, ast.ImportFrom):
                offered |= {alias.asname for alias in node.names if alias.asname == alias.name}
            elif isinstance(node, ast.FunctionDef | ast.ClassDef):
                offered.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                offered |= {target.id for target in targets if isinstance(target, ast.Name)}
        return sorted(key for key in offered if key in there and (key[0] != "_" or key.startswith("__")))

    return names


def _variable(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


class Mean(NamedTuple):
    """A mean that is not divided yet: totals and counts add up, and where nothing was counted nothing is NaN."""

    total: Array
    count: Array  # int32, of what the total is the sum

    @property
    def value(self) -> Any:
        """total / count, NaN where the count is 0: by NumPy, or within a trace by JAX."""
        xp = jnp if isinstance(self.total, Tracer) or isinstance(self.count, Tracer) else np
        total, count = xp.asarray(self.total), xp.asarray(self.count)
        return xp.where(count > 0, total / xp.maximum(count, 1).astype(total.dtype), xp.nan)


def means(totals: Mapping[str, Array | Mean], count: Array | int = 1) -> dict[str, Mean]:
    """Losses by name as means of `count` numbers each; one that is a `Mean` already was counted otherwise."""
    return {k: x if isinstance(x, Mean) else Mean(x, jnp.asarray(count, jnp.int32)) for k, x in totals.items()}


class Metrics(NamedTuple):
    """What one update reports: means of the learner, sums over the episodes that ended."""

    losses: dict[str, Mean]  # scalars, over the gradient steps that were made; `loss` must be among them
    episode_count: Array
    episode_return: Array  # sum over ended episodes
    episode_length: Array  # sum over ended episodes, in environment steps


def traced(default: float | None, low: float = -math.inf, high: float = math.inf, above: str | None = None) -> Any:
    """A Config field that enters arithmetic only: a pytree leaf, so it can be swept by vmap.

    `low` and `high` are the closed range checked while the value is still a Python number. A default
    of None marks a switch that is off; None is structure, so it may be tested with `is None`. The value must be above
    that of the field named by `above`.
    """
    return struct.field(default=default, metadata={"range": (low, high), "above": above})


def static(default: Any, low: float | None = None, choices: tuple[Any, ...] | None = None) -> Any:
    """A Config field that fixes a shape, a loop length or a Python branch: a change recompiles."""
    metadata = {"range": None if low is None else (low, math.inf), "choices": choices}
    return struct.field(default=default, pytree_node=False, metadata=metadata)


__dir__ = face(__name__)
