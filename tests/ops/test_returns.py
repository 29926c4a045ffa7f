"""Returns and advantages: golden numbers, naive sums over all pairs of steps, and relations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import ops

GAMMA, LAMBDA = 0.99, 0.97
REWARDS = jnp.array([1.0, 0.0, 2.0])
VALUES = jnp.array([0.5, 0.2, 0.1])
NEXT_VALUES = jnp.array([0.2, 0.1, 0.7])
ONES = jnp.ones(3)

# name -> a function of the window that every test below calls alike
FUNCTIONS = {
    "gae": lambda w: ops.gae(w["rewards"], w["discount"], w["trace"], w["values"], w["next_values"]),
    "discounted_returns": lambda w: ops.discounted_returns(w["rewards"], w["discount"], w["alive"], w["next_values"]),
    "trajectory_returns": lambda w: ops.trajectory_returns(w["rewards"], w["discount"], w["alive"], w["next_values"]),
    "n_step_returns": lambda w: ops.n_step_returns(w["rewards"], w["discount"], w["alive"], w["next_values"], n=3),
    "lambda_returns": lambda w: ops.lambda_returns(w["rewards"], w["discount"], w["trace"], w["next_values"]),
    "vtrace": lambda w: jnp.stack(
        ops.vtrace(w["rewards"], w["discount"], w["trace"], w["values"], w["next_values"], w["log_ratio"]),
        axis=1,
    ),
}


def window(seed=0, length=12, batch=(3,), gamma=GAMMA, trace=LAMBDA):
    """A random window with terminations, truncations, both at once, and ends on adjacent rows."""
    rng = np.random.default_rng(seed)
    shape = (length, *batch)
    terminated = rng.random(shape) < 0.2
    truncated = rng.random(shape) < 0.2
    values = rng.normal(size=shape)
    ended = terminated | truncated
    true_successor = rng.normal(size=shape)
    next_values = np.where(ended, true_successor, np.concatenate([values[1:], true_successor[-1:]]))
    rows = {
        "rewards": rng.normal(size=shape),
        "discount": gamma * (1.0 - terminated),
        "trace": trace * (1.0 - ended),
        "alive": 1.0 - ended,
        "values": values,
        "next_values": next_values,
        "log_ratio": 0.7 * rng.normal(size=shape),
    }
    return {name: np.asarray(row, np.float32) for name, row in rows.items()}


def n_step_by_hand(w, t, n, alive=None):
    """r_t + gamma r_{t+1} + ... and the bootstrap, walking forward from row t for at most n steps."""
    alive = w["alive"] if alive is None else alive
    total, weight = 0.0, 1.0
    for k in range(t, len(w["rewards"])):
        total += weight * w["rewards"][k]
        weight *= w["discount"][k]
        if k == t + n - 1 or not alive[k] or k == len(w["rewards"]) - 1:
            return total + weight * w["next_values"][k]


def lambda_by_hand(w, t):
    """(1 - lambda) sum_n lambda^{n-1} G^n_t, with what is left on the last possible n."""
    steps = 1
    while w["alive"][t + steps - 1] and t + steps < len(w["rewards"]):
        steps += 1
    weights = [(1 - LAMBDA) * LAMBDA ** (n - 1) for n in range(1, steps)] + [LAMBDA ** (steps - 1)]
    return sum(weight * n_step_by_hand(w, t, n) for n, weight in enumerate(weights, start=1))


def per_column(function, w):
    """Apply `function(column, t)` to every row of every column of the window."""
    length, width = w["rewards"].shape
    columns = [{name: row[:, b] for name, row in w.items()} for b in range(width)]
    return np.array([[function(columns[b], t) for b in range(width)] for t in range(length)])


def test_gae_golden():
    advantages = ops.gae(REWARDS, GAMMA * ONES, LAMBDA * ONES, VALUES, NEXT_VALUES)
    np.testing.assert_allclose(advantages, [2.992212, 2.389058, 2.593], rtol=1e-6)


def test_discounted_returns_golden():
    returns = ops.discounted_returns(REWARDS, GAMMA * ONES, ONES, NEXT_VALUES)
    np.testing.assert_allclose(returns, [3.639409, 2.66607, 2.693], rtol=1e-6)
    without = ops.discounted_returns(REWARDS, GAMMA * ONES, ONES)
    np.testing.assert_allclose(without, [1 + 0.99**2 * 2, 0.99 * 2, 2], rtol=1e-6)


def test_discounted_returns_bootstrap_at_a_truncation_and_not_at_a_termination():
    rewards, next_values = jnp.ones(4), jnp.array([5.0, 10.0, 7.0, 3.0])
    alive = jnp.array([1.0, 0.0, 0.0, 1.0])  # row 1 truncated, row 2 terminated
    discount = jnp.array([0.5, 0.5, 0.0, 0.5])
    returns = ops.discounted_returns(rewards, discount, alive, next_values)
    np.testing.assert_allclose(returns, [1 + 0.5 * 6, 1 + 0.5 * 10, 1, 1 + 0.5 * 3])


def test_n_step_golden():
    # row 0: 1 + .5 * 0 + .25 * V(s_2); row 1: 0 + .5 * 2 + .25 * .7; row 2 meets the edge: 2 + .5 * .7
    returns = ops.n_step_returns(REWARDS, 0.5 * ONES, ONES, jnp.array([0.2, 0.4, 0.7]), n=2)
    np.testing.assert_allclose(returns, [1.1, 1.175, 2.35], rtol=1e-6)


def test_trajectory_returns_golden():
    alive = jnp.array([1.0, 0.0, 1.0])
    undiscounted = ops.trajectory_returns(REWARDS + 1, alive, alive)
    np.testing.assert_allclose(undiscounted, [3, 3, 3])
    discounted = ops.trajectory_returns(jnp.array([1.0, 4.0, 5.0]), 0.5 * ONES, alive)
    np.testing.assert_allclose(discounted, [3, 3, 5])


def test_vtrace_golden():
    # ratios 2, 1/2, 1 clipped at 1; gamma 1/2; deltas 1 + .1 - .5, 0 + .05 - .2, 2 + .35 - .1
    targets, advantages = ops.vtrace(
        REWARDS, 0.5 * ONES, ONES, VALUES, NEXT_VALUES, jnp.log(jnp.array([2.0, 0.5, 1.0]))
    )
    last = 0.1 + 2.25
    middle = 0.2 + 0.5 * -0.15 + 0.5 * 0.5 * (last - 0.1)
    first = 0.5 + 0.6 + 0.5 * (middle - 0.2)
    np.testing.assert_allclose(targets, [first, middle, last], rtol=1e-6)
    expected = [1 + 0.5 * middle - 0.5, 0.5 * (0 + 0.5 * last - 0.2), 2 + 0.35 - 0.1]
    np.testing.assert_allclose(advantages, expected, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 12, 40])
def test_n_step_equals_forward_walk(n):
    w = window()
    returns = ops.n_step_returns(w["rewards"], w["discount"], w["alive"], w["next_values"], n)
    expected = per_column(lambda column, t: n_step_by_hand(column, t, n), w)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=1e-5)


def test_lambda_returns_equal_mixture_of_n_step_returns():
    w = window()
    expected = per_column(lambda_by_hand, w)
    np.testing.assert_allclose(FUNCTIONS["lambda_returns"](w), expected, rtol=1e-5, atol=1e-5)
    advantages = FUNCTIONS["gae"](w)
    np.testing.assert_allclose(advantages, expected - w["values"], rtol=1e-5, atol=1e-5)


def test_gae_equals_double_sum():
    w = window()

    def by_hand(column, t):
        total, weight = 0.0, 1.0
        for k in range(t, len(column["rewards"])):
            error = column["rewards"][k] + column["discount"][k] * column["next_values"][k]
            total += weight * (error - column["values"][k])
            weight *= column["discount"][k] * column["trace"][k]
        return total

    np.testing.assert_allclose(FUNCTIONS["gae"](w), per_column(by_hand, w), rtol=1e-5, atol=1e-5)


def test_trajectory_returns_equal_sum_over_each_segment():
    w = window()

    def by_hand(column, t):
        while t > 0 and column["alive"][t - 1]:
            t -= 1
        return n_step_by_hand(column, t, n=100)

    expected = per_column(by_hand, w)
    np.testing.assert_allclose(FUNCTIONS["trajectory_returns"](w), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rho_bar", "c_bar"), [(1.0, 1.0), (2.0, 0.7), (np.inf, np.inf)])
def test_vtrace_equals_double_sum(rho_bar, c_bar):
    w = window()

    def by_hand(column, s):
        total, weight = column["values"][s], 1.0
        for t in range(s, len(column["rewards"])):
            ratio = np.exp(column["log_ratio"][t])
            error = column["rewards"][t] + column["discount"][t] * column["next_values"][t]
            total += weight * min(rho_bar, ratio) * (error - column["values"][t])
            weight *= column["discount"][t] * column["trace"][t] * min(c_bar, ratio)
        return total

    result = ops.vtrace(
        w["rewards"],
        w["discount"],
        w["trace"],
        w["values"],
        w["next_values"],
        w["log_ratio"],
        rho_bar,
        c_bar,
    )
    np.testing.assert_allclose(result.targets, per_column(by_hand, w), rtol=1e-5, atol=1e-5)


def test_vtrace_advantages_use_the_next_target():
    w = window(trace=1.0)
    targets, advantages = ops.vtrace(
        w["rewards"], w["discount"], w["trace"], w["values"], w["next_values"], w["log_ratio"]
    )
    next_targets = np.concatenate([targets[1:], w["next_values"][-1:]])
    next_targets = np.where(w["alive"] > 0, next_targets, w["next_values"])
    rho = np.minimum(1.0, np.exp(w["log_ratio"]))
    expected = rho * (w["rewards"] + w["discount"] * next_targets - w["values"])
    np.testing.assert_allclose(advantages, expected, rtol=1e-5, atol=1e-5)


def test_vtrace_on_policy_is_gae():
    w = window()
    arrays = [w[name] for name in ("rewards", "discount", "trace", "values", "next_values")]
    targets, _ = ops.vtrace(*arrays, np.zeros_like(w["log_ratio"]))
    np.testing.assert_allclose(targets, ops.gae(*arrays) + w["values"], rtol=1e-5, atol=1e-5)


def test_lambda_zero_is_the_one_step_td_error():
    w = window(trace=0.0)
    error = w["rewards"] + w["discount"] * w["next_values"] - w["values"]
    np.testing.assert_allclose(FUNCTIONS["gae"](w), error, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(FUNCTIONS["lambda_returns"](w), error + w["values"], rtol=1e-5, atol=1e-6)


def test_lambda_one_is_monte_carlo():
    w = window(trace=1.0)
    monte_carlo = FUNCTIONS["discounted_returns"](w)
    np.testing.assert_allclose(FUNCTIONS["lambda_returns"](w), monte_carlo, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(FUNCTIONS["gae"](w) + w["values"], monte_carlo, rtol=1e-5, atol=1e-5)


def test_n_equal_to_the_window_is_monte_carlo_and_n_one_the_td_target():
    w = window()
    arrays = [w[name] for name in ("rewards", "discount", "alive", "next_values")]
    monte_carlo = ops.discounted_returns(*arrays)
    np.testing.assert_allclose(ops.n_step_returns(*arrays, 12), monte_carlo, rtol=1e-5, atol=1e-5)
    target = w["rewards"] + w["discount"] * w["next_values"]
    np.testing.assert_array_equal(ops.n_step_returns(*arrays, 1), target)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_leaks_over_the_end_of_an_episode(name):
    w = window()
    w["discount"][5], w["trace"][5], w["alive"][5] = GAMMA, 0.0, 0.0  # a time limit in every column
    changed = {key: row.copy() for key, row in w.items()}
    for key in ("rewards", "values", "next_values", "log_ratio"):
        changed[key][6:] += 100.0
    before, after = FUNCTIONS[name](w), FUNCTIONS[name](changed)
    np.testing.assert_array_equal(before[:6], after[:6])
    assert np.abs(before[6:] - after[6:]).max() > 1.0


@pytest.mark.parametrize("name", ["gae", "lambda_returns", "n_step_returns", "discounted_returns", "vtrace"])
def test_constant_reward_with_time_limits_has_value_r_over_one_minus_gamma(name):
    w = window(gamma=0.9)
    shape = w["rewards"].shape
    fixed_point = np.full(shape, 10.0, np.float32)
    w.update(rewards=np.ones(shape), discount=np.full(shape, 0.9), values=fixed_point, next_values=fixed_point)
    result = FUNCTIONS[name](w)
    if name == "vtrace":
        expected = np.stack([fixed_point, np.zeros(shape)], axis=1)
    else:
        expected = np.zeros(shape) if name == "gae" else fixed_point
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jit_vmap_and_trailing_axes_agree(name):
    function, w = FUNCTIONS[name], window(batch=(2, 3))
    plain = function(w)
    assert plain.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(function)(w), plain, rtol=1e-5, atol=1e-6)
    by_vmap = jax.vmap(jax.vmap(function, in_axes=1, out_axes=-1), in_axes=1, out_axes=-2)
    np.testing.assert_allclose(jax.jit(by_vmap)(w), plain, rtol=1e-5, atol=1e-6)
    alone = function({key: row[:, 1, 2] for key, row in w.items()})
    np.testing.assert_allclose(alone, plain[..., 1, 2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_finite(name):
    gradients = jax.jit(jax.grad(lambda w: jnp.sum(FUNCTIONS[name](w) ** 2)))(window())
    assert all(np.isfinite(gradient).all() for gradient in gradients.values())


def test_vtrace_survives_ratios_that_overflow():
    w = window()
    w["log_ratio"] = np.full_like(w["log_ratio"], 200.0)
    assert np.isfinite(FUNCTIONS["vtrace"](w)).all()
    gradient = jax.grad(lambda w: jnp.sum(FUNCTIONS["vtrace"](w)))(w)
    assert np.isfinite(gradient["log_ratio"]).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_window_of_one_step(name):
    w = window(length=1)
    target = w["rewards"] + w["discount"] * w["next_values"]
    result = FUNCTIONS[name](w)
    if name == "vtrace":
        result, target = result[:, 1], np.minimum(1.0, np.exp(w["log_ratio"])) * (target - w["values"])
    elif name == "gae":
        target = target - w["values"]
    np.testing.assert_allclose(result, target, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_shape_that_would_broadcast_is_refused(name):
    w = window()
    w["next_values"] = w["next_values"][..., None]
    with pytest.raises(AssertionError):
        FUNCTIONS[name](w)


@functools.cache
def squares(name):
    """Value and gradient of the sum of squares of what a function gives, and that."""
    call = FUNCTIONS[name]
    return jax.jit(jax.value_and_grad(lambda w: (jnp.sum(call(w) ** 2), call(w)), has_aux=True))


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_value_after_a_termination_is_not_read(name, nothing):
    w = window()
    w["discount"][-1] = [0, GAMMA, GAMMA]  # the last row is a terminal one in a column
    w["trace"][-1], w["alive"][-1] = w["trace"][-1] * (w["discount"][-1] > 0), w["alive"][-1] * (w["discount"][-1] > 0)
    terminal = w["discount"] == 0
    hidden = {**w, "next_values": np.where(terminal, np.float32(nothing), w["next_values"])}
    total = squares(name)
    (_, shown), gradient = total(w)
    (_, found), hidden_gradient = total(hidden)
    np.testing.assert_array_equal(found, shown)
    for key in gradient:
        if key != "discount":  # whose derivative at a terminal row is the value that is not read
            np.testing.assert_array_equal(hidden_gradient[key], gradient[key], err_msg=key)
    np.testing.assert_array_equal(hidden_gradient["next_values"][terminal], 0)
    assert np.isfinite(hidden_gradient["discount"]).all()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_follows_the_end_of_an_episode_is_not_read(name):
    w = window()
    w["discount"][5], w["trace"][5], w["alive"][5] = GAMMA, 0.0, 0.0  # a time limit in every column
    broken = {key: row.copy() for key, row in w.items()}
    for key in ("rewards", "values", "next_values"):
        broken[key][6:] = np.nan
    before = lambda w: FUNCTIONS[name](w)[:6]  # noqa: E731
    np.testing.assert_array_equal(before(broken), before(w))
    gradient = jax.grad(lambda w: jnp.sum(before(w)))(broken)
    assert all(np.isfinite(x[:6]).all() for x in gradient.values())
    assert not np.any(gradient["next_values"][6:])


def test_values_inside_an_episode_are_not_read_by_what_sums_to_its_end():
    w = window()
    inside = w["alive"] > 0
    inside[-1] = False
    w["next_values"][inside] = np.nan
    for name in ("discounted_returns", "trajectory_returns"):
        assert np.isfinite(FUNCTIONS[name](w)).all()
    long = ops.n_step_returns(w["rewards"], w["discount"], w["alive"], w["next_values"], 12)
    np.testing.assert_allclose(long, FUNCTIONS["discounted_returns"](w), rtol=1e-5, atol=1e-5)


def test_an_action_that_the_policy_never_takes_does_not_count():
    """A ratio of 0 times a value that is not finite."""
    w = window(length=4)
    w["log_ratio"][1], w["next_values"][1] = -np.inf, np.nan
    result = FUNCTIONS["vtrace"](w)
    np.testing.assert_array_equal(result[1, 0], w["values"][1])
    np.testing.assert_array_equal(result[1, 1], 0)
    assert np.isfinite(result).all()


def test_vtrace_without_clipping_survives_ratios_that_overflow():
    w = window(length=3)
    w["log_ratio"][1] = 1e30
    arrays = [w[name] for name in ("rewards", "discount", "trace", "values", "next_values", "log_ratio")]
    w["next_values"][1] = (w["values"][1] - w["rewards"][1]) / np.where(w["discount"][1] > 0, w["discount"][1], 1)
    assert np.isfinite(ops.vtrace(*arrays, np.inf, 1.0).targets).all()


def test_n_below_one_is_refused():
    with pytest.raises(ValueError, match="n=0"):
        ops.n_step_returns(REWARDS, ONES, ONES, VALUES, n=0)


def test_integer_rewards_are_accepted():
    returns = ops.discounted_returns(jnp.array([1, 0, 2]), GAMMA * ONES, ONES)
    np.testing.assert_allclose(returns, ops.discounted_returns(REWARDS, GAMMA * ONES, ONES))


def test_agreement_with_rlax():
    rlax = pytest.importorskip("rlax")
    w = {name: row[:, 0] for name, row in window().items()}
    w["discount"] = np.where(w["alive"] > 0, w["discount"], 0.0)  # rlax knows no time limits
    values = np.concatenate([w["values"], w["next_values"][-1:]])
    advantages = rlax.truncated_generalized_advantage_estimation(w["rewards"], w["discount"], LAMBDA, values)
    np.testing.assert_allclose(FUNCTIONS["gae"](w), advantages, rtol=1e-5, atol=1e-5)
    returns = rlax.lambda_returns(w["rewards"], w["discount"], values[1:], LAMBDA)
    np.testing.assert_allclose(FUNCTIONS["lambda_returns"](w), returns, rtol=1e-5, atol=1e-5)
    n_step = rlax.n_step_bootstrapped_returns(w["rewards"], w["discount"], values[1:], 3)
    np.testing.assert_allclose(FUNCTIONS["n_step_returns"](w), n_step, rtol=1e-5, atol=1e-5)
    rho = np.exp(w["log_ratio"])
    other = rlax.vtrace_td_error_and_advantage(w["values"], values[1:], w["rewards"], w["discount"], rho, LAMBDA)
    ours = FUNCTIONS["vtrace"](w)
    np.testing.assert_allclose(ours[:, 0] - w["values"], other.errors, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours[:, 1], other.pg_advantage, rtol=1e-5, atol=1e-5)


def test_value_expansion_golden():
    """2 + 0.5 * 8 = 6, then 1 + 0.5 * 6 = 4, with an end before it 3, behind which nothing is read."""
    rewards, discount = jnp.array([3.0, 1.0, 2.0]), jnp.array([0.0, 0.5, 0.5])
    np.testing.assert_array_equal(ops.value_expansion(rewards, discount, jnp.array(8.0)), [3.0, 4.0, 6.0])
    unread = ops.value_expansion(rewards, jnp.array([0.5, 0.5, 0.0]), jnp.array(jnp.nan))
    np.testing.assert_array_equal(unread, [4.0, 2.0, 2.0])


def test_value_expansion_is_a_sum_over_the_steps_that_follow():
    w = window()
    last = w["next_values"][-1]

    def by_hand(column, t):
        total, weight = 0.0, 1.0
        for k in range(t, len(column["rewards"])):
            total, weight = total + weight * column["rewards"][k], weight * column["discount"][k]
        return total + weight * column["next_values"][-1]

    np.testing.assert_allclose(
        ops.value_expansion(w["rewards"], w["discount"], last), per_column(by_hand, w), rtol=1e-5, atol=1e-6
    )


def test_value_expansion_of_one_step_is_the_td_target_bit_for_bit():
    w = window(length=1)
    one = ops.value_expansion(w["rewards"], w["discount"], w["next_values"][0])[0]
    np.testing.assert_array_equal(one, ops.td_target(w["rewards"][0], w["discount"][0], w["next_values"][0]))


def test_a_second_call_outside_of_jit_compiles_nothing():
    """What is scanned is the same function each time: defined within, it would be compiled anew, 0.1 s a call."""
    w = jnp.ones((7, 11))
    times = []
    listen = lambda name, *_, **__: times.append(name) if "backend_compile" in name else None  # noqa: E731
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for calls in range(2):
            times.clear()
            ops.gae(w, w, 0.5 * w, w, w)
            ops.trajectory_returns(w, 0.5 * w, w, w)
            ops.n_step_returns(w, 0.5 * w, w, w, 3)
            assert (len(times) > 0) == (calls == 0)
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
