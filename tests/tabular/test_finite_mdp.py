"""What a finite MDP is, and the line that each bad one gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import tabular

CHAIN = [[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]] * 2]
UNIFORM = np.full((3, 2), 0.5)


def chain(**changes):
    """0 -> 1 -> 2, which ends, or back to 0; 1 for each step."""
    return tabular.mdp(**{"transition": CHAIN, "reward": [1.0, 1.0, 7.0], "discount": 0.5, "terminal": [2]} | changes)


def test_the_three_conventions_of_reward_are_one():
    by_state = chain()
    by_action = chain(reward=np.array([[1.0, 1.0], [1.0, 1.0], [7.0, 7.0]]))
    by_successor = chain(reward=np.broadcast_to(np.array([1.0, 1.0, 7.0])[:, None, None], (3, 2, 3)))
    for mdp in (by_state, by_action, by_successor):
        np.testing.assert_allclose(mdp.expected_reward, [[1, 1], [1, 1], [0, 0]])
        np.testing.assert_allclose(mdp.reward_table[:2], np.ones((2, 2, 3)))
        np.testing.assert_allclose(tabular.v_pi(mdp, [0, 0, 0]), [1.5, 1.0, 0.0])


def test_reward_of_a_successor_is_paid_on_the_way_there():
    reward = np.zeros((3, 2, 3))
    reward[1, 0, 2] = 10.0
    np.testing.assert_allclose(tabular.v_pi(chain(reward=reward), [0, 0, 0]), [5.0, 10.0, 0.0])


def test_terminal_states_are_not_read():
    """Neither their rows, nor their rewards, nor what values say of them."""
    transition, reward = np.array(CHAIN), np.array([1.0, 1.0, np.nan])
    transition[2] = np.nan
    mdp = chain(transition=transition, reward=reward)
    values = jnp.array([0.0, 0.0, 100.0])
    np.testing.assert_allclose(tabular.v_pi(mdp, UNIFORM), tabular.v_pi(chain(), UNIFORM))
    np.testing.assert_allclose(tabular.expectation_backup_v(mdp, UNIFORM, values), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(tabular.optimality_backup_v(mdp, values), [1.0, 1.0, 0.0])
    np.testing.assert_allclose(tabular.occupancy(mdp, [0, 0, 0]), tabular.occupancy(chain(), [0, 0, 0]))


def test_impossible_steps_may_be_paid_infinitely():
    reward = np.where(np.array(CHAIN) > 0, 1.0, np.inf)
    np.testing.assert_allclose(tabular.v_pi(chain(reward=reward), [0, 0, 0]), [1.5, 1.0, 0.0])
    gradient = jax.grad(lambda r: tabular.v_pi(chain(reward=r), [0, 0, 0])[0])(jnp.asarray(reward))
    assert np.isfinite(gradient).all()


def test_episodes_begin_where_start_says():
    np.testing.assert_allclose(chain().start, [0.5, 0.5, 0.0])
    np.testing.assert_allclose(chain(start=1).start, [0.0, 1.0, 0.0])
    np.testing.assert_allclose(tabular.expected_return(chain(start=[0.25, 0.75, 0.0]), [0, 0, 0]), 0.25 * 1.5 + 0.75)


def test_dtype_is_what_the_arrays_have():
    assert chain().transition.dtype == jnp.float32
    with jax.enable_x64(True):
        mdp = chain()
        assert {x.dtype for x in (mdp.transition, mdp.reward, mdp.start, mdp.discount)} == {jnp.dtype("float64")}
        assert tabular.v_star(mdp).dtype == jnp.float64
        narrow = chain(transition=jnp.float32(CHAIN), reward=jnp.ones(3, jnp.float32), discount=jnp.float32(0.5),
                       start=jnp.float32([1, 0, 0]))  # fmt: skip
        assert tabular.v_star(narrow).dtype == jnp.float32


def test_it_prints_itself():
    assert repr(chain()) == "MDP(3 states, 1 terminal, 2 actions, r(s), discount 0.5)"
    assert repr(chain(horizon=4)).endswith("discount 0.5, horizon 4)")
    assert repr(tabular.from_grid("S#\n.G", discount=1.0)).endswith("discount 1)\nS#\n.G")
    many = jax.vmap(lambda key: tabular.garnet(key, 3, 2, 2, discount=0.9))(jax.random.split(jax.random.key(0), 4))
    assert repr(many) == "MDP(transition=float32[4, 3, 2, 3], reward=float32[4, 3, 2])"
    jax.jit(lambda mdp: str(mdp) and mdp.discount)(chain())  # traced


def changed(array, index, value):
    array = np.array(array, float)
    array[index] = value
    return array


BAD = {
    "row": ({"transition": changed(CHAIN, (1, 0), [0.0, 0.5, 0.25])}, r"transition\[1, 0\] sums to 0.75: a row of"),
    "negative": ({"transition": changed(CHAIN, (0, 1), [1.5, -0.5, 0])}, r"transition\[0, 1\] holds -0.5, which is no"),
    "nan": ({"transition": changed(CHAIN, (0, 1, 0), np.nan)}, r"transition\[0, 1\] holds nan"),
    "not square": ({"transition": np.ones((3, 2, 2)) / 2}, r"of shape \[S, A, S\], got \[3, 2, 2\]"),
    "ragged": ({"transition": [[[1.0], [0.5, 0.5]]]}, "all rows of one length"),
    "words": ({"reward": ["a", "b", "c"]}, "reward is an array of numbers"),
    "reward": (
        {"reward": np.ones((2, 3))},
        r"r\(s\) \[3\], r\(s, a\) \[3, 2\] or r\(s, a, s'\) \[3, 2, 3\], got \[2, 3\]",
    ),
    "infinite reward": ({"reward": [1.0, np.inf, 0.0]}, r"reward\[1\] is inf: rewards are finite"),
    "discount": ({"discount": 1.1}, r"discount=1.1 is not in \[0, 1\]"),
    "discounts": ({"discount": [0.5, 0.5]}, r"discount is one number, got shape \[2\]"),
    "no end": ({"terminal": [], "discount": 1.0}, "discount=1 without an end: no way leads from state 0 to a terminal"),
    "a state without an end": (
        {"transition": changed(CHAIN, 0, [1.0, 0.0, 0.0]), "discount": 1},
        "discount=1 without an end: no way leads from state 0 to a terminal one; give a discount below 1 or a horizon",
    ),
    "terminal": ({"terminal": [3]}, "numbers of states from 0 to 2"),
    "mask of numbers": ({"terminal": [0, 0, 1]}, r"terminal names state 0 more than once: a mask of states is bool"),
    "ragged jax": ({"reward": [jnp.ones(1), jnp.ones(2)]}, "all rows of one length"),
    "terminal mask": ({"terminal": np.array([True])}, r"terminal is bool \[3\] or numbers of states, got bool \[1\]"),
    "all terminal": ({"terminal": [0, 1, 2]}, "all states are terminal"),
    "start": ({"start": [0.5, 0.0, 0.0]}, "start sums to 0.5"),
    "start in the end": ({"start": 2}, "start: state 2 is terminal, no episode begins there"),
    "start shape": ({"start": [1.0, 0.0]}, r"start is P\(s_0\), of shape \[3\], or one state, got shape \[2\]"),
    "start number": ({"start": 3}, "start=3 is no state: they go from 0 to 2"),
    "horizon": ({"horizon": 0}, "horizon is a whole number of steps, at least 1, or None, got 0"),
    "half a horizon": ({"horizon": 2.5}, "horizon is a whole number of steps"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_is_refused_in_one_line(name):
    changes, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        chain(**changes)
    assert "\n" not in str(caught.value)


def test_a_horizon_ends_what_has_discount_1():
    mdp = chain(terminal=[], discount=1.0, horizon=3, reward=[1.0, 1.0, 1.0])
    np.testing.assert_allclose(tabular.v_pi(mdp, UNIFORM)[:, 0], [3.0, 2.0, 1.0, 0.0])


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.full((3, 2), 0.4), r"policy\[0\] is \[0.4, 0.4\]: a row of probabilities sums to 1"),
        (np.full((2, 3), 1 / 3), r"a policy is pi\(a \| s\) \[3, 2\], or one action a state \[3\], got"),
        (np.full((5, 3, 2), 0.5), r"a policy is pi\(a \| s\) \[3, 2\], or"),
        ([0, 2, 0], "holds action 2 in state 1: they go from 0 to 1"),
    ],
)
def test_what_is_no_policy_is_refused(policy, message):
    with pytest.raises(ValueError, match=message):
        tabular.v_pi(chain(), policy)


def test_a_policy_that_never_ends_has_no_undiscounted_value():
    mdp = chain(discount=1.0)
    np.testing.assert_allclose(tabular.v_pi(mdp, [0, 0, 0]), [2.0, 1.0, 0.0])
    for function in (tabular.v_pi, tabular.iterative_evaluation, tabular.occupancy):
        with pytest.raises(ValueError, match="by this policy no way leads from state 0 to a terminal one"):
            function(mdp, [0, 1, 0])


def test_what_is_traced_is_what_it_would_be():
    """Numbers of states, and lists of numbers."""
    ends = jax.jit(lambda numbers: chain(terminal=numbers).terminal)(jnp.array([2]))
    np.testing.assert_array_equal(ends, [False, False, True])
    for start in (1, np.array(1), jnp.int32(1)):
        np.testing.assert_array_equal(chain(start=start).start, [0, 1, 0])
    np.testing.assert_array_equal(jax.jit(lambda start: chain(start=start).start)(1), [0, 1, 0])
    listed = jax.jit(lambda p: tabular.v_pi(chain(), [[p, 1 - p]] * 3))(0.25)
    np.testing.assert_allclose(listed, tabular.v_pi(chain(), [[0.25, 0.75]] * 3))


def test_half_floats_are_computed_with_as_floats():
    mdp = tabular.mdp(np.ones((1, 1, 1), np.float16), np.ones(1, np.float16), discount=np.float16(0.5),
                      start=np.ones(1, np.float16))  # fmt: skip
    assert tabular.v_star(mdp).dtype == jnp.float32


def test_float32_rows_are_rows_in_float64_too():
    with jax.enable_x64(True):
        thirds = np.full((3, 1, 3), 1 / 3, np.float32)
        assert tabular.mdp(thirds, np.zeros(3), discount=0.9).transition.dtype == jnp.float64
        with pytest.raises(ValueError, match="sums to 1: a row"):  # float64 that is not rounded so
            tabular.mdp(np.full((3, 1, 3), 1 / 3 + 1e-7), np.zeros(3), discount=0.9)
