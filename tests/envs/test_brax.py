"""The suite of brax: its own stepping to the last bit, with limits, fresh resets and physics as parameters."""

import os
import subprocess
import sys
import warnings
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs, run

thorough = pytest.mark.thorough
CHEAP = ("brax/inverted_pendulum", "generalized")
USUAL = [
    (name, "generalized" if name == "brax/swimmer" else "spring") for name in envs.names() if name.startswith("brax/")
]
STAND_FOR_OTHERS = ("brax/hopper", "brax/inverted_pendulum", "brax/swimmer")  # legs, a pole, no ground
BACKENDS = [  # each backend, and the ways in which models differ; compiling takes the time
    ("brax/walker2d", "spring"),
    ("brax/ant", "positional"),
    ("brax/inverted_pendulum", "positional"),
    ("brax/reacher", "generalized"),
    ("brax/swimmer", "generalized"),
    ("brax/inverted_pendulum", "mjx"),
]
OTHER_WORLD = {"gravity": -3.0, "mass": 1.5, "gear": 0.5, "friction": 0.2}
WITHOUT = {  # parameters that change nothing there, as there is nothing that they act on
    "brax/inverted_pendulum": {"friction"},
    "brax/inverted_double_pendulum": {"friction"},
    "brax/reacher": {"friction"},
    "brax/swimmer": {"friction", "gravity"},
    "brax/pusher": {"friction"},
}


@cache
def theirs(name, backend):
    """The environment of brax itself, which the suite has imported without a word."""
    envs.make(name, backend=backend)
    import brax.envs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return brax.envs.get_environment(name.partition("/")[2], backend=backend)


def resetting_always(env):
    """With resets that are compiled as those of `followed` are, so that numbers are equal to the last bit."""
    return env.replace(spec=env.spec._replace(restart=None))


def actions_of(env, length):
    return jax.vmap(env.action_space.sample)(jax.random.split(jax.random.key(1), length))


@jax.jit
def played(env, key, actions):
    """The first observation and all time steps; a key of its own for each."""
    reset_key, step_key = jax.random.split(key)

    def step(state, given):
        key, action = given
        return env.step(key, state, action)

    state, first = env.reset(reset_key)
    return first, jax.lax.scan(step, state, (jax.random.split(step_key, len(actions)), actions))[1]


def followed(name, backend, limit, key, actions):
    """(Observations, rewards, terminated, truncated) of brax's own reset and step, begun anew where an episode ends."""
    raw = theirs(name, backend)

    def typed(state):
        state = state.replace(metrics={}, info={"time_out": jnp.float32(0)})
        return jax.tree.map(lambda x: jnp.asarray(x, jnp.asarray(x).dtype) + 0, state)

    @jax.jit
    def all_steps(key, actions):
        reset_key, step_key = jax.random.split(key)

        def begin(key):
            return typed(raw.reset(jax.random.key_data(key)))

        def step(carry, given):
            (state, time), (key, action) = carry, given
            reached = raw.step(state.replace(metrics={}), action)
            time, shown = time + 1, (reached.obs, jnp.float32(reached.reward), reached.done > 0, time + 1 >= limit)
            over, fresh = shown[2] | shown[3], begin(jax.random.split(key)[1])
            reached = jax.tree.map(lambda new, old: jnp.where(over, old, new), typed(reached), fresh)
            return (reached, jnp.where(over, 0, time)), shown

        keys = jax.random.split(step_key, len(actions))
        return jax.lax.scan(step, (begin(reset_key), 0), (keys, actions))[1]

    with warnings.catch_warnings(), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        return all_steps(key, actions)


def same_as_brax(name, backend, limit, length, tolerance=0.0):
    env, key = envs.make(name, backend=backend, max_steps=limit), jax.random.key(3)
    actions = actions_of(env, length)
    _, step = played(resetting_always(env), key, actions)
    expected = followed(name, backend, limit, key, actions)
    for ours, brax in zip((step.next_obs, step.reward, step.terminated, step.truncated), expected, strict=True):
        np.testing.assert_allclose(ours, brax, rtol=tolerance, atol=tolerance)
    return step


def test_steps_are_those_of_brax_over_ends_and_limits_and_every_episode_begins_elsewhere():
    step = same_as_brax(*CHEAP, limit=6, length=60)
    assert step.terminated.sum() >= 3 and (step.truncated & ~step.terminated).sum() >= 3
    begins = np.asarray(step.obs)[np.asarray(step.terminated | step.truncated)]
    assert len(np.unique(begins, axis=0)) == len(begins) and np.abs(begins).max() < 0.02


def test_parameters_are_traced_and_move_what_they_should():
    env = resetting_always(envs.make(CHEAP[0], backend=CHEAP[1], max_steps=6))
    key, actions = jax.random.key(3), actions_of(env, 60)
    _, usual = played(env, key, actions)
    for parameter in ("gravity", "mass", "gear"):
        _, step = played(env.with_params(**{parameter: OTHER_WORLD[parameter]}), key, actions)
        assert not np.array_equal(step.next_obs[0], usual.next_obs[0]), parameter
    assert played._cache_size() <= 2  # values compile nothing


@thorough
@pytest.mark.exhaustive(*(name for name, _ in USUAL if name not in STAND_FOR_OTHERS))
@pytest.mark.parametrize(("name", "backend"), USUAL)
def test_every_environment_passes_the_conformance_check(name, backend):
    envs.check(envs.make(name, backend=backend))


@thorough
@pytest.mark.parametrize(("name", "backend"), USUAL)
def test_every_environment_is_listed_as_it_is(name, backend):
    env = envs.make(name, backend=backend)
    assert (str(env.observation_space.shape), str(env.action_space.shape), env.max_steps) == tuple(
        _shape(text) if isinstance(text, str) else text for text in envs.listing()[name]
    )


def _shape(text):
    return f"({text.removeprefix('Box [').removesuffix(']')},)"


@thorough
@pytest.mark.exhaustive("brax/reacher")
@pytest.mark.parametrize(("name", "backend"), [("brax/walker2d", "spring"), ("brax/reacher", "mjx")])
def test_a_thousand_steps_are_those_of_brax(name, backend):
    step = same_as_brax(name, backend, 1000, 1002, tolerance=5e-3)
    assert step.terminated.any() or step.truncated[999]
    env = envs.make(name, backend=backend)
    _, sparse = played(env, jax.random.key(3), actions_of(env, 1002))
    np.testing.assert_array_equal(sparse.terminated | sparse.truncated, step.terminated | step.truncated)
    np.testing.assert_allclose(sparse.next_obs, step.next_obs, rtol=5e-3, atol=5e-3)


@pytest.mark.exhaustive("brax/ant", "brax/swimmer")
@thorough
@pytest.mark.parametrize(("name", "backend"), BACKENDS)
def test_parameters_matter_on_every_backend(name, backend):
    env = envs.make(name, backend=backend)
    key, actions = jax.random.key(3), actions_of(env, 40)
    _, usual = played(env, key, actions)
    for parameter, value in OTHER_WORLD.items():
        _, step = played(env.with_params(**{parameter: value}), key, actions)
        same = np.array_equal(step.next_obs, usual.next_obs)
        flat = name == "brax/reacher" and parameter == "gravity" and backend in ("generalized", "mjx")  # it lies
        assert same == (flat or parameter in WITHOUT.get(name, ())), parameter


@thorough
def test_one_link_alone_may_be_heavier():
    env = envs.make("brax/hopper")
    key, actions = jax.random.key(3), actions_of(env, 20)
    usual, heavy = (played(env.with_params(mass=mass), key, actions)[1] for mass in ([1.0] * 4, [1.0, 1.0, 1.0, 3.0]))
    np.testing.assert_allclose(usual.next_obs[:3], played(env, key, actions)[1].next_obs[:3], atol=1e-4)
    assert np.abs(usual.next_obs[:3] - heavy.next_obs[:3]).max() > 1e-2


@thorough
def test_ppo_starts(tmp_path):
    result = run(
        "ppo",
        "brax/inverted_pendulum",
        {"total_steps": 2048},
        seeds=2,
        directory=tmp_path / "run",
        num_evals=1,
        progress=False,
    )
    assert np.isfinite(result.log.returns).all()


@pytest.mark.thorough
def test_options_of_brax_are_static_and_equal_makes_share_a_spec():
    env = envs.make("brax/hopper", ctrl_cost_weight=0.5, healthy_z_range=[0.5, 2.0], mass=2.0)
    assert dict(env.spec.fixed) == {"backend": "spring", "ctrl_cost_weight": 0.5, "healthy_z_range": (0.5, 2.0)}
    assert env.spec is envs.make("brax/hopper", ctrl_cost_weight=0.5, healthy_z_range=(0.5, 2.0)).spec
    assert env.params["mass"] == 2.0 and env.params["gravity"] == np.float32(-9.81)
    assert env.max_steps == 1000 and envs.make("brax/hopper", max_steps=7).max_steps == 7


def test_make_inside_jit_takes_traced_parameters_and_leaks_nothing():
    made = jax.jit(lambda mass: envs.make("brax/reacher", backend="generalized", n_frames=3, mass=mass))(2.0)
    env = envs.make("brax/reacher", backend="generalized", n_frames=3)
    assert made.params["mass"] == 2.0 and made.spec is env.spec
    jax.eval_shape(env.reset, jax.random.key(0))


def test_everything_has_32_bits_under_x64_too():
    env = envs.make(CHEAP[0], backend=CHEAP[1])
    with jax.enable_x64(True):
        key = jax.random.key(0)
        state, obs = jax.eval_shape(env.reset, key)
        outputs = jax.eval_shape(env.step, key, state, jax.ShapeDtypeStruct((1,), jnp.float32))
    for leaf in jax.tree.leaves((state, obs, outputs)):
        assert leaf.dtype in (jnp.float32, jnp.int32, jnp.bool_) and not leaf.weak_type


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: envs.make("brax/walker"), "Did you mean 'walker2d'"),
        (lambda: envs.make("brax/swimmer", backend="spring"), "runs on backend='generalized', got 'spring'"),
        (lambda: envs.make("brax/hopper", backend="bullet"), "runs on backend='spring' or"),
        (lambda: envs.make("brax/hopper", ctrl_cost=1.0), "Did you mean 'ctrl_cost_weight'"),
        (lambda: envs.make("brax/ant", use_contact_forces=True), "use_contact_forces not implemented"),
        (lambda: envs.make("brax/hopper", ctrl_cost_weight=None), "must be a number"),
        (lambda: envs.make("brax/hopper", max_steps=0), "integer >= 1"),
        (lambda: envs.make("brax/hopper", mass=[1.0, 2.0]), "one number or 4 numbers, one for each link"),
        (
            lambda: envs.make("brax/hopper", gravity=[0.0, 0.0, -9.81]),
            "'gravity' of brax/hopper must be one number, got",
        ),
        (lambda: envs.make("brax/hopper").with_params(ctrl_cost_weight=1.0), "no parameter 'ctrl_cost_weight'"),
        (lambda: jax.jit(lambda x: envs.make("brax/hopper", ctrl_cost_weight=x).params)(1.0), "is static"),
    ],
)
def test_what_brax_does_not_have_is_said_in_one_line(build, message):
    with pytest.raises(ValueError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "brax.envs", None)
    with pytest.raises(ValueError, match=r"pip install 'jaxrl-up\[brax\]'"):
        envs.make("brax/hopper", reset_noise_scale=0.25)


@pytest.mark.thorough
def test_listing_imports_nothing_and_making_says_and_writes_nothing(tmp_path):
    code = (
        "import sys, jaxrl_up.envs as e; e.names(); e.listing(); assert not {'brax', 'mujoco'} & set(sys.modules);"
        "e.make('brax/halfcheetah')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env={**os.environ}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and not list(tmp_path.iterdir())
