"""Search in a tree, against plain Python on a tiny game, and what it must never do."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ALPHAZERO, envs, make_config, ops
from jaxrl_up.config import canonical
from jaxrl_up.envs import Box, Dict, Discrete, Mask, from_functions
from jaxrl_up.learning import planning

ACTIONS, DEPTH = 3, 3
STATES = sum(ACTIONS**d for d in range(DEPTH + 1))  # of a tree: the children of s are 3 s + 1, 3 s + 2, 3 s + 3
LEAF = STATES - ACTIONS**DEPTH  # the first state in which the game is over
RNG = np.random.default_rng(3)
REWARD = RNG.uniform(-0.5, 0.5, (STATES, ACTIONS)).astype(np.float32)
VALUE = RNG.uniform(-0.5, 0.5, STATES).astype(np.float32)
PRIOR = RNG.dirichlet(np.ones(ACTIONS), STATES).astype(np.float32)
MASK = RNG.random((STATES, ACTIONS)) < 0.7
MASK[~MASK.any(axis=1)] = True


def _shown(state):
    return {"obs": state, "mask": jnp.asarray(MASK)[jnp.minimum(state, STATES - 1)]}


def _reset(key):
    return jnp.int32(0), _shown(jnp.int32(0))


def _step(key, state, action):
    reached = ACTIONS * state + 1 + action
    return reached, _shown(reached), jnp.asarray(REWARD)[state, action], reached >= LEAF, jnp.bool_(False)


SPACE = Dict({"obs": Discrete(STATES), "mask": Mask((ACTIONS,))})


def tree_game(players=1):
    env = from_functions(_reset, _step, SPACE, Discrete(ACTIONS), name="tree")
    env = env.replace(spec=env.spec._replace(players=players))
    return envs.with_simulator(env)


def tables(obs):
    """Prior and value of a state; NaN for one in which the game is over, which nobody may read."""
    over = obs["obs"] >= LEAF
    logits = ops.Categorical(jnp.log(jnp.asarray(PRIOR))[obs["obs"]], obs["mask"]).log_probs()
    return jnp.where(over[:, None], jnp.nan, logits), jnp.where(over, jnp.nan, jnp.asarray(VALUE)[obs["obs"]])


def settings(**fields):
    return canonical(make_config("alphazero", **{"search": "muzero", "gamma": 0.9, "value_bound": 1.0, **fields}))


def started(env, number=1):
    obs = env.reset(jax.random.key(0))[1]
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (number, *x.shape)), obs)


def look(config, env, predict, seed=0, number=1, **noise):
    @jax.jit
    def find(config, key):
        return planning.tree_search(config, env, predict, started(env, number), key, planning.Noise(**noise))

    return find(config, jax.random.key(seed))


class Puct:
    """Silver et al. 2017 with the formula of Schrittwieser et al. 2020, appendix B, by recursion."""

    def __init__(self, simulations, gamma, players, bound):
        self.gamma, self.turn, self.bound = gamma, -1.0 if players == 2 else 1.0, bound
        self.visits, self.total, self.children = {0: 1}, {0: float(VALUE[0])}, {0: set()}
        for _ in range(simulations):
            self.simulate(0)

    def prior(self, state):
        allowed = PRIOR[state] * MASK[state]
        return allowed / allowed.sum()

    def q(self, state, action):
        child = ACTIONS * state + 1 + action
        over = child >= LEAF
        ahead = 0.0 if over else self.total[child] / self.visits[child]
        return REWARD[state, action] + self.turn * self.gamma * ahead

    def scaled(self, state):
        tried = {a: self.q(state, a) for a in self.children[state]}
        if self.bound is not None:
            return {a: (tried.get(a, 0.0) + self.bound) / (2 * self.bound) for a in range(ACTIONS)}
        node = self.total[state] / self.visits[state]
        low, high = min([node, *tried.values()]), max([node, *tried.values()])
        return {a: (tried.get(a, low) - low) / max(high - low, 1e-8) for a in range(ACTIONS)}

    def simulate(self, state):
        """One simulation from a state: what it found there, in the view of who is to move."""
        if state >= LEAF:
            found = 0.0
        else:
            scaled, prior, n = self.scaled(state), self.prior(state), self.visits[state]
            c = 1.25 + np.log((n + 19652 + 1) / 19652)

            def score(a):
                child = ACTIONS * state + 1 + a
                tries = self.visits.get(child, 0)
                return scaled[a] + np.sqrt(n) * c * prior[a] / (1 + tries)

            action = max((a for a in range(ACTIONS) if MASK[state, a]), key=score)
            child = ACTIONS * state + 1 + action
            if action not in self.children[state]:
                self.children[state].add(action)
                value = 0.0 if child >= LEAF else float(VALUE[child])
                self.visits[child], self.total[child], self.children[child] = 1, value, set()
                ahead = value
            else:
                ahead = self.simulate(child)
            found = REWARD[state, action] + self.turn * self.gamma * (0.0 if child >= LEAF else ahead)
        self.visits[state] += 1
        self.total[state] += found
        return found


@pytest.mark.thorough("1-1.0", "2-None")
@pytest.mark.parametrize(("players", "bound"), [(1, None), (2, 1.0), (1, 1.0), (2, None)])
def test_visits_and_values_are_those_of_a_search_in_plain_python(players, bound):
    simulations = 40
    config = settings(num_simulations=simulations, value_bound=bound)
    found = look(config, tree_game(players), tables)
    plain = Puct(simulations, 0.9, players, bound)
    visits = np.array([plain.visits.get(1 + a, 0) for a in range(ACTIONS)])
    np.testing.assert_allclose(found.weights[0] * simulations, visits, atol=1e-4)
    np.testing.assert_allclose(found.value[0], plain.total[0] / plain.visits[0], rtol=1e-4)
    assert int(found.action[0]) == int(visits.argmax())


def exact(state, players, gamma):
    """The value of a state by minimax, or as a maximum."""
    if state >= LEAF:
        return 0.0
    turn = -1.0 if players == 2 else 1.0
    return max(
        REWARD[state, a] + turn * gamma * exact(ACTIONS * state + 1 + a, players, gamma)
        for a in range(ACTIONS)
        if MASK[state, a]
    )


@pytest.mark.parametrize(
    ("players", "search"),
    [(2, "gumbel"), *[pytest.param(1, x, marks=pytest.mark.thorough) for x in ("gumbel", "muzero")]],
)
def test_a_search_that_sees_all_of_a_game_plays_it_exactly(players, search):
    turn = -1.0 if players == 2 else 1.0
    worth = [REWARD[0, a] + turn * 0.9 * exact(1 + a, players, 0.9) if MASK[0, a] else -9 for a in range(ACTIONS)]
    found = look(settings(search=search, num_simulations=400, exploration=0.5), tree_game(players), tables)
    assert int(found.action[0]) == int(np.argmax(worth))


@pytest.mark.thorough("gumbel")
@pytest.mark.parametrize("search", ["muzero", "gumbel"])
def test_what_is_forbidden_has_no_weight_and_is_not_tried(search):
    """Where it pays: a forbidden action earns 100 in every state, at the root and below, and all others cost 1."""

    def step(key, state, action):
        reached, shown, _, over, cut = _step(key, state, action)
        return reached, shown, jnp.where(jnp.asarray(MASK)[state, action], -1.0, 100.0), over, cut

    env = envs.with_simulator(from_functions(_reset, step, SPACE, Discrete(ACTIONS), name="tempting"))

    def predict(obs):
        policy = ops.Categorical(jnp.zeros_like(obs["mask"], jnp.float32), obs["mask"])
        return policy.log_probs(), jnp.zeros(obs["obs"].shape)

    found = look(
        settings(search=search, num_simulations=60), env, predict, 0, 6, gumbel_scale=1.0, dirichlet_fraction=0.5
    )
    assert np.all(np.asarray(found.value) < -0.5)
    assert np.all(np.asarray(found.weights)[:, ~MASK[0]] == 0)
    assert np.all(MASK[0][np.asarray(found.action)])


def test_simulations_can_be_fewer_without_another_program():
    env, traces = tree_game(), []

    @jax.jit
    def find(config, key):
        traces.append(0)
        return planning.tree_search(config, env, tables, started(env), key)

    plain = {made: Puct(made, 0.9, 1, 1.0) for made in (5, 17)}
    for made, whole in plain.items():
        few = find(settings(num_simulations=30, simulations=made), jax.random.key(0))
        visits = [whole.visits.get(1 + a, 0) / made for a in range(ACTIONS)]
        np.testing.assert_allclose(few.weights[0], visits, atol=1e-5)
    assert len(traces) == 1


def test_without_simulations_the_network_acts():
    found = look(settings(num_simulations=0), tree_game(), tables)
    allowed = PRIOR[0] * MASK[0]
    np.testing.assert_allclose(found.weights[0], allowed / allowed.sum(), rtol=1e-5)
    np.testing.assert_allclose(found.value[0], VALUE[0])


class Clock(NamedTuple):
    time: jax.Array


def _clock_reset(key):
    return Clock(jnp.int32(0)), jnp.zeros(1)


def _clock_step(key, state, action):
    time = state.time + 1
    return Clock(time), jnp.full(1, time, jnp.float32), jnp.float32(1.0), jnp.bool_(False), jnp.bool_(False)


@pytest.mark.thorough("gumbel")
@pytest.mark.parametrize("search", ["muzero", "gumbel"])
def test_a_time_limit_ends_in_the_value_there(search):
    """One action, a reward of 1 a step, cut after 2 steps where the network says 10: 1 + 0.5 + 0.25 * 10 = 4."""
    env = from_functions(_clock_reset, _clock_step, Box(-9, 99, (1,)), Discrete(1), 2, name="clock")
    values = jnp.asarray([4.0, 6.0, 10.0, 99.0])

    def predict(obs):
        return jnp.zeros((len(obs["obs"]), 1)), values[obs["obs"][:, 0].astype(jnp.int32)]

    config = settings(search=search, num_simulations=12, gamma=0.5, value_bound=None)
    found = look(config, envs.with_simulator(env), predict)
    np.testing.assert_allclose(found.value[0], 4.0, rtol=1e-5)  # at each depth the same, so any mean of them too


def _gamble_reset(key):
    return jnp.int32(0), jnp.zeros(1)


def _gamble_step(key, state, action):
    """A sure 0.4, or 1 with probability 0.3."""
    won = jax.random.bernoulli(key, 0.3).astype(jnp.float32)
    return state, jnp.ones(1), jnp.where(action == 0, 0.4, won), jnp.bool_(True), jnp.bool_(False)


def test_nodes_of_chance_are_worth_their_mean_and_one_successor_is_not():
    """With one successor an action is worth what happened to happen: of 64 roots a third take the gamble."""
    env = from_functions(_gamble_reset, _gamble_step, Box(0, 1, (1,)), Discrete(2), name="gamble")
    env = envs.with_simulator(env)

    def even(obs):
        return jnp.full((len(obs["obs"]), 2), np.log(0.5)), jnp.zeros(len(obs["obs"]))

    fields = {"num_simulations": 48, "exploration": 0.3}
    one = look(settings(**fields), env, even, number=64)
    many = look(settings(**fields, chance_outcomes=24), env, even, number=64)
    assert 0.15 < np.mean(np.asarray(one.action) == 1) < 0.5
    assert np.mean(np.asarray(many.action) == 1) < 0.2
    assert np.std(many.value) < np.std(one.value)


@pytest.mark.parametrize(
    ("fields", "env", "message"),
    [
        ({"search": "gumbel", "chance_outcomes": 3}, tree_game, "chance_outcomes is of search='muzero'"),
        ({"chance_outcomes": 1}, tree_game, "chance_outcomes=1 is no chance"),
        ({}, lambda: envs.make("CartPole-v1"), "wrap it in envs.with_simulator"),
        ({}, lambda: envs.previous_action(envs.with_simulator("CartPole-v1")), "shows more than its simulator"),
    ],
)
def test_what_cannot_be_searched_is_refused(fields, env, message):
    config = settings(**fields)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(functools.partial(ALPHAZERO.init, config, env()), jax.random.key(0))
    assert dataclasses.is_dataclass(config)
