"""States that are tokens: each is stepped once, simulators come back, spaces and actions are gymnasium's."""

import pickle

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

from jaxrl_up import envs
from jaxrl_up.envs import GUARD, HostError
from jaxrl_up.learning import play


class Counter(gymnasium.Env):
    """Shows how many steps were made since the seed's first number, and ends after `length`; keeps all that it gets."""

    def __init__(self, length=5, observations=None, actions=None, ends="terminated"):
        self.length, self.ends = length, ends
        self.observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float64) if observations is None else observations
        self.action_space = spaces.Discrete(3) if actions is None else actions
        self.seeds, self.actions, self.time = [], [], None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.first, self.time = self.np_random.random(), 0
        self.end = self.length or int(self.np_random.integers(2, 9))
        return self._seen(), {}

    def step(self, action):
        assert self.time is not None and self.time < self.end, "stepped beyond the end"
        self.actions.append(action)
        self.time += 1
        over = self.time == self.end
        return self._seen(), 1.0, over and self.ends == "terminated", over and self.ends == "truncated", {"time": 1}

    def _seen(self):
        if isinstance(self.observation_space, spaces.Box) and self.observation_space.shape == (2,):
            return np.array([self.first, self.time])
        self.observation_space.seed(self.time)
        return self.observation_space.sample()


class Made:
    """A function that makes counters and keeps them."""

    def __init__(self, **options):
        self.options, self.made = options, []

    def __call__(self):
        self.made.append(Counter(**self.options))
        return self.made[-1]


def host_of(env):
    return next(
        host for host in envs.suites.slots.HOSTS.values() if host.name == env.name and host.limit == env.max_steps
    )


def key(i=0):
    return jax.random.key(i)


def message(call):
    with pytest.raises(HostError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_episode_ends_and_the_same_simulator_goes_on():
    made = Made()
    env = envs.from_gymnasium(made, name="goes on")
    assert (env.spec.tokens, env.spec.host, env.max_steps) == (True, True, None)
    state, obs = env.reset(key())
    seen = [float(obs[1])]
    for i in range(12):
        state, step = env.step(key(i), state, 1)
        seen.append(float(step.obs[1]))
        assert bool(step.terminated) == (i % 5 == 4) and not step.truncated
        assert float(step.next_obs[1]) == i % 5 + 1
        assert step.info == {} and step.reward == 1
    assert seen == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2]
    assert int(state.time) == 2
    assert [len(counter.seeds) for counter in made.made] == [0, 3]  # the first showed its spaces
    words = np.asarray(jax.random.key_data(key(4)))
    assert made.made[1].seeds[1] == (int(words[0]) << 32) + int(words[1])


@pytest.mark.parametrize("limit", [3, 5, 7])
@pytest.mark.parametrize("ends", ["terminated", "truncated"])
def test_limits(limit, ends):
    env = envs.from_gymnasium(Made(ends=ends), name="limits", max_steps=limit)
    state, _ = env.reset(key())
    for i in range(14):
        state, step = env.step(key(i), state, 1)
        time = i % min(limit, 5) + 1
        assert bool(step.terminated) == (time == 5 and ends == "terminated")
        assert bool(step.truncated) == (time == limit or (time == 5 and ends == "truncated"))
        assert int(state.time) == (0 if step.terminated or step.truncated else time)
        assert float(step.obs[1]) == int(state.time)


def test_a_lane_alone_is_the_lane_among_others():
    env = envs.from_gymnasium(Made(), name="lanes")

    def roll(key):
        def step(carry, key):
            state, step = env.step(key, carry, 1)
            return state, (step.obs, step.next_obs, step.reward, step.terminated)

        return jax.lax.scan(step, env.reset(key)[0], jax.random.split(key, 13))[1]

    keys = jax.random.split(key(1), 3)
    together, alone = jax.jit(jax.vmap(roll))(keys), jax.jit(roll)(keys[2])
    jax.tree.map(lambda all_, one: np.testing.assert_array_equal(all_[2], one), together, alone)


def test_a_state_is_stepped_once():
    env = envs.from_gymnasium(Made(), name="once")
    first, _ = env.reset(key())
    second, _ = env.step(key(1), first, 1)
    assert "once: a state was stepped twice" in message(lambda: env.step(key(2), first, 1))
    assert "stepped twice" in message(lambda: jax.vmap(env.step)(jnp.stack([key(2), key(3)]), *_twice(second)))
    env.step(key(4), env.reset(key(5))[0], 1)  # the next is not hit


def _twice(state):
    return jax.tree.map(lambda x: jnp.stack([x, x]), state), jnp.array([1, 1])


def test_an_error_in_a_compiled_step_is_kept_for_who_waits():
    env = envs.from_gymnasium(Made(), name="kept")
    step, (state, _) = jax.jit(env.step), env.reset(key())
    step(key(), state, 1)
    jax.block_until_ready(step(key(), state, 1))
    assert GUARD.failed
    with pytest.raises(HostError, match="stepped twice"):
        GUARD.check()


def test_evaluation_steps_no_simulator_beyond_the_end_and_frees_all():
    made = Made(length=0)  # of its own for each episode
    env = envs.from_gymnasium(made, name="evaluation")

    def act(obs, memory, key):
        return jnp.zeros(obs.shape[0], jnp.int32), memory

    @jax.jit
    @jax.vmap
    def lanes(key, cap):
        del cap
        return play(env, act, key, 4, 9)

    for _ in range(3):
        episodes = GUARD.watch(lambda: lanes(jax.random.split(key(), 2), jnp.arange(2)))
        assert episodes.finished.all() and (episodes.returns == episodes.lengths).all()
        assert len(set(episodes.lengths.ravel().tolist())) > 1
    capped = jax.jit(lambda key: play(env, act, key, 4, 1))
    episodes = GUARD.watch(lambda: capped(key()))
    assert (episodes.lengths == 1).all() and not episodes.finished.any()
    host = host_of(env)
    assert (len(host.live), len(host.over), host.made) == (0, 0, 8)
    assert len(made.made) == 9


def test_unfinished_ones_are_recycled_least_recently_used_first(monkeypatch):
    monkeypatch.setattr("jaxrl_up.envs.suites.slots.LEAST_KEPT", 3)  # but 8 as many as are reset at once
    env = envs.from_gymnasium(Made(), name="recycled")
    states = [env.reset(key(i))[0] for i in range(8)]
    states[0], _ = env.step(key(), states[0], 1)
    env.reset(key(8))
    assert host_of(env).made == len(host_of(env).live) == 8
    assert "whose simulator has gone to another episode" in message(lambda: env.step(key(), states[1], 1))
    for state in (states[0], *states[2:]):
        env.step(key(), state, 1)


def test_tokens_of_another_process_begin_a_new_episode():
    env = envs.from_gymnasium(Made(), name="orphans")
    states, _ = jax.vmap(env.reset)(jax.random.split(key(), 2))
    states, step = jax.vmap(env.step)(jax.random.split(key(1), 2), states, jnp.ones(2, int))
    keys = jax.random.split(key(2), 2)
    orphans = envs.orphaned({"within": states, "other": jnp.ones(3)})["within"]
    states, step = jax.vmap(env.step)(keys, orphans, jnp.ones(2, int))
    assert step.truncated.all() and not step.terminated.any() and (step.reward == 0).all()
    np.testing.assert_array_equal(step.obs[:, 1], [0, 0])
    np.testing.assert_array_equal(step.obs, jax.vmap(env.reset)(keys)[1])  # seeded by the key of the step
    assert states.time.tolist() == [0, 0]
    _, step = jax.vmap(env.step)(keys, states, jnp.ones(2, int))
    np.testing.assert_array_equal(step.obs[:, 1], [1, 1])
    _, step = jax.vmap(env.step)(keys, orphans, jnp.ones(2, int))  # and once more, as a run that is resumed twice
    assert step.truncated.all()
    assert "a state of another process" in message(
        lambda: env.spec.step({}, key(), jax.tree.map(lambda x: x[0], orphans), jnp.int32(1))
    )


SPACES = {
    "discrete": spaces.Discrete(4, start=-2),
    "pixels": spaces.Box(0, 255, (5, 4, 3), np.uint8),
    "floats": spaces.Box(-1, np.array([1.0, np.inf, 2.0]), (3,), np.float64),
    "whole": spaces.Box(0, 2**62, (3,), np.int64),
    "several": spaces.MultiDiscrete([3, 2]),
    "bits": spaces.MultiBinary((2, 2)),
    "dict": spaces.Dict({"b": spaces.Discrete(3), "a": spaces.Tuple((spaces.Box(0, 1, (2,)), spaces.MultiBinary(3)))}),
}


@pytest.mark.thorough("discrete", "bits")
@pytest.mark.parametrize("name", [name for name in SPACES if name != "whole"])
def test_observations_are_those_of_their_space(name):
    env = envs.from_gymnasium(Made(observations=SPACES[name]), name=name)
    state, first = env.reset(key())
    _, step = env.step(key(), state, 1)
    for time, obs in ((0, first), (1, step.next_obs)):
        assert env.observation_space.contains(obs)
        SPACES[name].seed(time)
        expected = SPACES[name].sample()
        assert jax.tree.structure(obs) == jax.tree.structure(expected)
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, np.asarray(y, x.dtype)), obs, expected)
    envs.check(env, num_steps=8)


def test_whole_numbers_of_64_bits_have_32():
    env = envs.from_gymnasium(Made(observations=SPACES["whole"]), name="whole")
    assert env.observation_space.dtype == np.int32 and env.reset(key())[1].dtype == np.int32


@pytest.mark.parametrize("name", ["discrete", "floats", "several", "bits", "dict"])
def test_actions_are_those_of_their_space(name):
    made = Made(actions=SPACES[name])
    env = envs.from_gymnasium(made, name=f"acts {name}")
    state, _ = env.reset(key())
    actions = [env.action_space.sample(key(i)) for i in range(4)]
    for i, action in enumerate(actions):
        state, _ = env.step(key(i), state, action)
    taken = made.made[1].actions
    assert all(SPACES[name].contains(action) for action in taken)
    assert name != "discrete" or all(type(action) is int for action in taken)
    for ours, theirs in zip(actions, taken, strict=True):
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, np.asarray(y, x.dtype)), ours, theirs)


def test_a_bound_of_64_bits_is_not_overstepped():
    space = spaces.Box(-0.1, 0.1, (2,), np.float64)  # float32(0.1) is above 0.1
    made = Made(actions=space)
    env = envs.from_gymnasium(made, name="bounds")
    env.step(key(), env.reset(key())[0], jnp.float32([-0.1, 0.1]))
    assert made.made[1].actions[0].tolist() == [-0.1, 0.1]


@pytest.mark.parametrize("space", [spaces.Text(4), spaces.Sequence(spaces.Discrete(2)), spaces.MultiDiscrete([[2, 3]])])
def test_spaces_that_there_are_none_of(space):
    with pytest.raises(ValueError, match=f"unlike has a {type(space).__name__} space; Box, Discrete"):
        envs.from_gymnasium(Made(observations=space), name="unlike")


# what from_gymnasium takes


def test_objects_are_copied_as_their_spec_says():
    theirs = gymnasium.make("CartPole-v1")
    env = envs.from_gymnasium(theirs)
    assert (env.name, env.max_steps, env == envs.from_gymnasium(theirs)) == ("CartPoleEnv", 500, True)
    named = envs.make("gymnasium/CartPole-v1")
    for ours, other in zip(env.reset(key()), named.reset(key()), strict=True):
        if not isinstance(ours, tuple):
            np.testing.assert_array_equal(ours, other)
    wrapped = gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), lambda reward: 5 * reward)
    env = envs.from_gymnasium(wrapped, max_steps=7)
    assert env.step(key(), env.reset(key())[0], 0)[1].reward == 5
    assert env.max_steps == 7


class Louder(gymnasium.Wrapper):
    def step(self, action):
        obs, reward, *rest = self.env.step(action)
        return obs, 3 * reward, *rest


def test_objects_that_gymnasium_cannot_make_are_copied_deeply():
    env = envs.from_gymnasium(Louder(gymnasium.make("CartPole-v1")))
    assert env.step(key(), env.reset(key())[0], 0)[1].reward == 3
    env = envs.from_gymnasium(Counter(length=2), name="deep")
    assert env.step(key(), env.reset(key())[0], 0)[1].reward == 1


class Locked(Counter):
    def __deepcopy__(self, memo):
        raise TypeError("a handle cannot be copied")


def walker():
    return gymnasium.make("Walker2d-v5", max_episode_steps=30)


def test_mujoco_objects_are_pure_and_wrapped_ones_tokens():
    env = envs.from_gymnasium(walker())
    assert (env.spec.tokens, env.max_steps, env.name) == (False, 30, "Walker2dEnv")
    named = envs.make("gymnasium/Walker2d-v5", max_steps=30)
    for other in (env, envs.from_gymnasium(walker)):
        assert not other.spec.tokens
        for ours, theirs in zip(jax.tree.leaves(other.reset(key())), jax.tree.leaves(named.reset(key())), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert envs.from_gymnasium(Louder(walker())).spec.tokens


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        (Locked(), ValueError, "Locked cannot be copied (TypeError: a handle cannot be copied), and one simulator is"),
        (lambda: 5, ValueError, "does not make one: got 5"),
        (lambda: 1 / 0, ValueError, "does not make one: division by zero"),
        (5, TypeError, "needs an environment of gymnasium, or a function that makes one, got 5"),
        ("CartPole-v1", TypeError, "envs.make takes names"),
    ],
)
def test_what_it_cannot_take_is_one_line(given, kind, text):
    with pytest.raises(kind) as error:
        envs.from_gymnasium(given)
    assert text in str(error.value) and "\n" not in str(error.value)


def counter():
    return Counter()


def test_it_is_pickled_as_the_call_that_made_it():
    env = envs.from_gymnasium(counter, name="pickled", max_steps=4)
    assert pickle.loads(pickle.dumps(env)) == env
    with pytest.raises(TypeError, match="which Python finds by no name"):
        pickle.dumps(envs.from_gymnasium(lambda: Counter()))


def test_planning_and_time_limits_are_one_line_each():
    env = envs.from_gymnasium(counter, name="limited")
    with pytest.raises(ValueError, match="with_simulator cannot show the state of limited"):
        envs.with_simulator(env)
    with pytest.raises(ValueError, match=r"time_limit\S* cannot begin episodes of limited anew"):
        envs.time_limit(env, 3)


# processes of their own


def test_workers_step_as_this_process_does():
    alone, shared = (envs.make("gymnasium/CartPole-v1", max_steps=20, workers=n) for n in (None, 2))

    def roll(env, key):
        def step(carry, key):
            state, step = env.step(key, carry, jnp.int32(1))
            return state, (step.obs, step.next_obs, step.terminated)

        return jax.lax.scan(step, env.reset(key)[0], jax.random.split(key, 30))[1]

    keys = jax.random.split(key(), 5)
    one, other = (
        GUARD.watch(lambda env=env: jax.jit(jax.vmap(lambda k: roll(env, k)))(keys)) for env in (alone, shared)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert one[2].sum() > 5


def test_workers_take_functions_without_a_name_and_say_what_they_raise():
    class Fails(gymnasium.Env):  # known in no module that a worker could import
        observation_space = action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            print("what is printed is no answer")
            return 1, {}

        def step(self, action):
            raise ZeroDivisionError("in\na worker")

    env = envs.from_gymnasium(lambda: Fails(), name="failing", workers=1)
    state, _ = env.reset(key())
    assert "failing: its simulator raised ZeroDivisionError: in" in message(lambda: env.step(key(), state, 1))
    assert env.reset(key(1))[1] == 1  # another one in its place


def test_a_worker_that_is_gone_is_one_line_and_another_comes():
    class Steady(gymnasium.Env):  # known in no module, so none is imported there
        observation_space = action_space = spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def step(self, action):
            return action, 1.0, False, False, {}

    env = envs.from_gymnasium(lambda: Steady(), name="gone", workers=1)
    state, _ = env.reset(key())
    workers = host_of(env).steps
    workers.processes[0].kill()
    workers.processes[0].wait()
    assert "gone: its simulator raised EOFError: its process ended with exit code -9" in message(
        lambda: env.step(key(), state, 1)
    )
    state, _ = env.reset(key())
    assert env.step(key(), state, 1)[1].reward == 1


def test_what_cannot_be_sent_to_workers_is_one_line():
    import threading

    lock = threading.Lock()
    with pytest.raises(ValueError, match="locked cannot be sent to workers=2 processes"):
        envs.from_gymnasium(lambda: lock and Counter(), name="locked", workers=2)
