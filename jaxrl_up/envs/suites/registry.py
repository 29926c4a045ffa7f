"""The environments that are built by name, of every suite."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxrl_up.config import is_missing, is_own_name, shown
from jaxrl_up.envs.boards.against import OPTIONS, facing, parsed
from jaxrl_up.envs.core import Env
from jaxrl_up.envs.suites import brax, gymnasium, gymnax, own, pgx

ENVIRONMENTS = {  # name -> observations, actions, time limit; a list needs no gymnax
    "CartPole-v1": ("Box [4]", "Discrete(2)", 500),
    "Pendulum-v1": ("Box [3]", "Box [1]", 200),
    "Acrobot-v1": ("Box [6]", "Discrete(3)", 500),
    "MountainCar-v0": ("Box [2]", "Discrete(3)", 200),
    "MountainCarContinuous-v0": ("Box [2]", "Box [1]", 999),
    "Asterix-MinAtar": ("Box [10, 10, 4]", "Discrete(5)", 1000),
    "Breakout-MinAtar": ("Box [10, 10, 4]", "Discrete(3)", 1000),
    "Freeway-MinAtar": ("Box [10, 10, 7]", "Discrete(3)", 2500),
    "Seaquest-MinAtar": ("Box [10, 10, 10]", "Discrete(6)", 1000),
    "SpaceInvaders-MinAtar": ("Box [10, 10, 6]", "Discrete(4)", 1000),
    "Catch-bsuite": ("Box [10, 5]", "Discrete(3)", 1000),
    "DeepSea-bsuite": ("Box [8, 8]", "Discrete(2)", 8),
    "MemoryChain-bsuite": ("Box [3]", "Discrete(2)", 1000),
    "UmbrellaChain-bsuite": ("Box [3]", "Discrete(2)", 100),
    "DiscountingChain-bsuite": ("Box [2]", "Discrete(5)", 100),
    "SimpleBandit-bsuite": ("Box [1, 1]", "Discrete(11)", 100),
    "FourRooms-misc": ("Box [4]", "Discrete(4)", 500),
    "MetaMaze-misc": ("Box [15]", "Discrete(4)", 200),
    "PointRobot-misc": ("Box [6]", "Box [2]", 100),
    "BernoulliBandit-misc": ("Box [4]", "Discrete(2)", 100),
    "GaussianBandit-misc": ("Box [4]", "Discrete(2)", 100),
    "Reacher-misc": ("Box [8]", "Box [2]", 100),
    "Swimmer-misc": ("Box [16]", "Box [2]", 500),
    "Pong-misc": ("Box [30, 40, 3]", "Discrete(3)", 1000),
    "FrozenLake-misc": ("Discrete []", "Discrete(4)", 100),
}


class Suite(NamedTuple):
    """A suite whose environments are named `suite/name`."""

    make: Callable[[str, int | None, dict[str, Any]], Env]  # of the whole name, the time limit and the options
    listing: Mapping[str, tuple[str, str, int | None]]  # whole name -> observations, actions, time limit
    libraries: tuple[str, ...]  # what the numbers of its environments depend on, as pip names it


SUITES = {
    "brax": Suite(brax.make, brax.LISTING, ("brax", "mujoco", "mujoco-mjx")),
    "gymnasium": Suite(gymnasium.make, gymnasium.LISTING, ("gymnasium", "mujoco", "ale-py")),
    "pgx": Suite(pgx.make, pgx.LISTING, ("pgx",)),
}


def make(name: str, *, max_steps: int | None = None, **options: Any) -> Env:
    """Build a registered environment, e.g. `make("CartPole-v1", gravity=12.0, max_steps=200)`.

    `options` are physics parameters and constructor options of the environment. Real-valued parameters that
    only enter arithmetic become traced leaves of `env.params` and may be arrays or tracers. Those that enter
    a space, all integers and booleans, constructor options and the time limit (`max_steps`, in steps) are
    static: another value is another compile. A parameter computed from others (CartPole's `total_mass`)
    follows them unless given here.

    `SUITE/NAME` is of another suite than gymnax, whose library is an extra. `FILE.py:NAME` and `MODULE:NAME` are an
    Env of your own, or a function that returns one, which `max_steps` and `options` are handed to. A game of two
    players takes an `opponent` with its options, see `against`. Options may stand behind a `?`, as in
    `make("pgx/connect_four?opponent=minimax&depth=4")`. Raises ValueError for an unknown name or option, naming the
    closest, and for a library that is not installed, naming the extra.
    """
    if not isinstance(name, str):
        raise TypeError(f"make needs the name of an environment, as 'CartPole-v1', got {shown(name)}")
    _named.update(own_parts(name))
    name, said = parsed(name)
    options = {**said, **options}
    if "opponent" in options:
        chosen = {option: options.pop(option) for option in OPTIONS if option in options}
        return facing(make(name, **options), **chosen, max_steps=max_steps)
    suite = SUITES.get(name.partition("/")[0]) if "/" in name else None
    if suite is not None:
        return suite.make(name, max_steps, options)
    if ":" in name:
        return own.make(name, max_steps, options)
    return gymnax.make(name, max_steps, options)


_named: set[str] = set()  # what of the user's own `make` was asked for


def own_parts(name: str) -> tuple[str, ...]:
    """What of a name says a file that is run, or a module that is imported, to make an environment of it.

    That is an environment of the user's own, an opponent, or a module that gymnasium looks in.
    """
    try:
        base, said = parsed(name)
    except ValueError:
        base, said = name, {}
    return tuple(text for text in (base, *said.values()) if isinstance(text, str) and ":" in text)


def was_named(name: str) -> bool:
    """Whether `make` was asked for all of a name that is the user's own: it is then known, and may be made again."""
    return _named.issuperset(own_parts(name))


def is_gone(name: str) -> bool:
    """Whether a file that a name says is not there."""
    return any(map(is_missing, own_parts(name)))


def names() -> tuple[str, ...]:
    """List the environments of all suites, as `listing` does."""
    return tuple(listing())


def is_name(name: Any) -> bool:
    """Whether `make` takes a text for the name of an environment: one of `names`, or of a suite, or FILE.py:NAME."""
    try:
        base = parsed(name)[0] if isinstance(name, str) else ""
    except ValueError:
        return False
    return base in names() or (base.partition("/")[0] in SUITES and "/" in base) or is_own_name(base)


def listing() -> dict[str, tuple[str, str, int | None]]:
    """Observations, actions and time limit of each of `names`, for people; nothing is built or imported.

    Suites may have more: any id that gymnasium knows can be made.
    """
    return ENVIRONMENTS | {name: row for suite in SUITES.values() for name, row in suite.listing.items()}


def libraries(env: Env) -> tuple[str, ...]:
    """The libraries that the numbers of an environment depend on beside those of all, as pip names them."""
    suite = env.name.partition("/")[0] if "/" in env.name else "gymnasium" if env.spec.host else ""
    return SUITES[suite].libraries if suite in SUITES else ()


def find(env: Env | str) -> Env:
    """An environment, or what `make` builds of a name; raises TypeError for anything else, saying what to do."""
    if isinstance(env, Env):
        return env
    if isinstance(env, str):
        return make(env)
    raise TypeError(gymnax.what_to_do(env))
