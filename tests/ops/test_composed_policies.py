"""Policies over several actions at once: against their parts one by one, by hand and by counting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxrl_up import ops

ROWS = 20
RNG = np.random.default_rng(0)
SIZES = {"unequal": (2, 3, 1, 4), "equal": (3, 3), "single": (4,)}


def key(seed=0):
    return jax.random.key(seed)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def case(name, masked, seed=0):
    """Sizes, logits and mask; some components allow nothing, some one action."""
    sizes = SIZES[name]
    mask = np.random.default_rng(seed).random((ROWS, sum(sizes))) < 0.5
    mask[0], mask[1] = False, True
    return sizes, normal(ROWS, sum(sizes), seed=seed), mask if masked else None


def split(x, sizes):
    """Arrays `[..., size]` of the components; of None, as many."""
    ends = np.cumsum(sizes)
    return [None if x is None else x[..., end - size : end] for end, size in zip(ends, sizes, strict=True)]


def components(logits, sizes, mask):
    """One categorical after the other."""
    pairs = zip(split(logits, sizes), split(mask, sizes), strict=True)
    return [ops.Categorical(x, None if m is None else jnp.asarray(m)) for x, m in pairs]


every = pytest.mark.parametrize(("name", "masked"), [(name, masked) for name in SIZES for masked in (False, True)])


# -- MultiCategorical ------------------------------------------------------------------------------


def test_two_categoricals_by_hand():
    logits = jnp.log(jnp.array([1.0, 3.0, 1.0, 5.0, 4.0]))
    plain = ops.MultiCategorical(logits, (2, 3))
    masked = ops.MultiCategorical(logits, (2, 3), jnp.array([True, True, True, False, True]))
    certain = ops.MultiCategorical(logits, (2, 3), jnp.array([True, False, False, False, True]))
    action = jnp.array([1, 2])
    np.testing.assert_allclose(plain.log_prob(action), np.log(0.75 * 0.4), rtol=1e-6)
    np.testing.assert_allclose(masked.log_prob(action), np.log(0.75 * 0.8), rtol=1e-6)
    np.testing.assert_array_equal(certain.log_prob(jnp.array([0, 2])), 0)
    assert (plain.mode().tolist(), masked.mode().tolist(), certain.mode().tolist()) == ([1, 1], [1, 2], [0, 2])
    first, second = scipy.stats.entropy([0.25, 0.75]), scipy.stats.entropy([0.2, 0.8])
    np.testing.assert_allclose(plain.entropy(), first + scipy.stats.entropy([0.1, 0.5, 0.4]), rtol=1e-6)
    np.testing.assert_allclose(masked.entropy(), first + second, rtol=1e-6)
    assert certain.entropy() == 0
    uniform = ops.MultiCategorical(jnp.zeros(5), (2, 3), masked.mask)
    np.testing.assert_allclose(masked.kl(uniform), 2 * np.log(2) - first - second, rtol=1e-5)


@pytest.mark.thorough("equal-False", "single-True")
@every
def test_it_is_one_categorical_after_the_other(name, masked):
    sizes, logits, mask = case(name, masked)

    @jax.jit
    def everything(logits, noise):
        """Integers and numbers of the policy, those of its components, and the padded logits."""
        policy, other = ops.MultiCategorical(logits, sizes, mask), ops.MultiCategorical(-logits, sizes, mask)
        parts, others = components(logits, sizes, mask), components(-logits, sizes, mask)
        each = [part.sample_with(n) for part, n in zip(parts, split(noise, sizes), strict=True)]
        action = policy.sample_with(noise)
        alone = sum(part.entropy() for part in parts), sum(a.kl(b) for a, b in zip(parts, others, strict=True))
        alone += (sum(part.log_prob(a) for part, a in zip(parts, each, strict=True)),)
        together = policy.entropy(), policy.kl(other), policy.log_prob(action)
        drawn = jnp.stack([part.mode() for part in parts], -1), jnp.stack(each, -1)
        return (policy.mode(), action), drawn, together, alone, policy.components().logits

    chosen, drawn, together, alone, padded = everything(logits, jax.random.gumbel(key(), logits.shape))
    for ours, theirs in zip(chosen, drawn, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.shape == (ROWS, len(sizes)) and ours.dtype == jnp.int32
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert padded.shape == (ROWS, len(sizes), max(sizes))


@pytest.mark.thorough("single-False")
@pytest.mark.exhaustive("equal-False", "single-True")
@every
def test_gradients_are_those_of_the_components(name, masked):
    sizes, logits, mask = case(name, masked)
    others, action = normal(*logits.shape, seed=5), ops.MultiCategorical(logits, sizes, mask).mode()

    def total(x, y):
        policy, other = (ops.MultiCategorical(z, sizes, mask) for z in (x, y))
        return jnp.sum(policy.log_prob(action) + policy.entropy() + policy.kl(other))

    def one_by_one(x, y):
        pairs = zip(components(x, sizes, mask), components(y, sizes, mask), action.T, strict=True)
        return sum(jnp.sum(p.log_prob(a) + p.entropy() + p.kl(q)) for p, q, a in pairs)

    both = jax.jit(lambda x, y: [jax.grad(f, (0, 1))(x, y) for f in (total, one_by_one)])
    for scale in (1.0, 0.0, 1e4, -1e4):
        for found, expected in zip(*both(scale * logits, others), strict=True):
            assert np.isfinite(found).all()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
            if masked:
                allowed = np.concatenate([ops.allowed_actions(jnp.asarray(m)) for m in split(mask, sizes)], -1)
                np.testing.assert_array_equal(np.asarray(found)[~allowed], 0.0)
                assert (~allowed).any() or name == "single"


@pytest.mark.thorough("equal", "single")
@every
def test_samples_are_distributed_as_the_probabilities(name, masked):
    sizes, logits, mask = case(name, masked)
    policy, number = ops.MultiCategorical(logits[:4], sizes, None if mask is None else mask[:4]), 4000

    @jax.jit
    def draw(keys):
        by_pair, log_probs = jax.vmap(policy.sample_and_log_prob)(keys)
        parts = policy.components().log_probs()
        return jax.vmap(policy.sample)(keys), by_pair, log_probs, jax.vmap(policy.log_prob)(by_pair), parts

    by_key, by_pair, log_probs, again, parts = map(np.asarray, draw(jax.random.split(key(), number)))
    np.testing.assert_array_equal(by_key, by_pair)
    np.testing.assert_allclose(log_probs, again, rtol=1e-5, atol=1e-6)
    probs = np.exp(parts)
    for row in range(4):
        for k in range(len(sizes)):
            shares = np.bincount(by_key[:, row, k], minlength=max(sizes)) / number
            np.testing.assert_allclose(shares, probs[row, k], atol=0.04)
            assert not shares[probs[row, k] == 0].any()
    if len(sizes) > 1:  # independent: the first two actions of the first row
        together = np.zeros((max(sizes), max(sizes)))
        np.add.at(together, (by_key[:, 0, 0], by_key[:, 0, 1]), 1 / number)
        np.testing.assert_allclose(together, np.outer(probs[0, 0], probs[0, 1]), atol=0.04)


@pytest.mark.parametrize("nothing", [np.inf, -np.inf, np.nan, 1e4])
def test_logits_of_forbidden_actions_are_not_read(nothing):
    sizes, logits, mask = case("unequal", True)
    allowed = np.concatenate([ops.allowed_actions(jnp.asarray(m)) for m in split(mask, sizes)], -1)
    strange, noise = jnp.where(allowed, logits, nothing), jax.random.gumbel(key(), logits.shape)
    policy, plain = ops.MultiCategorical(strange, sizes, mask), ops.MultiCategorical(logits, sizes, mask)
    np.testing.assert_array_equal(policy.entropy(), plain.entropy())
    np.testing.assert_array_equal(policy.sample_with(noise), plain.sample_with(noise))
    np.testing.assert_array_equal(policy.kl(policy), np.zeros(ROWS))


def test_a_component_that_allows_nothing_allows_its_own_actions_and_no_others():
    policy = ops.MultiCategorical(jnp.zeros(5), (2, 3), jnp.array([False, False, True, False, True]))
    np.testing.assert_allclose(policy.entropy(), 2 * np.log(2), rtol=1e-6)
    samples = np.asarray(jax.vmap(policy.sample)(jax.random.split(key(), 500)))
    assert set(samples[:, 0]) == {0, 1} and set(samples[:, 1]) == {0, 2}
    whole = ops.MultiCategorical(jnp.zeros(5), (2, 3), jnp.zeros(5, bool))
    np.testing.assert_array_equal(whole.entropy(), ops.MultiCategorical(jnp.zeros(5), (2, 3)).entropy())


def test_forbidden_and_impossible_actions():
    policy = ops.MultiCategorical(jnp.zeros((4, 5)), (2, 3), jnp.array([True, False, True, True, False]))
    found = policy.log_prob(jnp.array([[0, 1], [1, 2], [2, 0], [0, -1]]))
    np.testing.assert_allclose(found, [-np.log(2), -2e30, np.nan, np.nan], rtol=1e-6)
    for row, action in enumerate(([0, 2], [1, 2])):
        log_prob = lambda x, a=action: ops.MultiCategorical(x, (2, 3), policy.mask[None][0]).log_prob(jnp.array(a))  # noqa: E731
        gradient = jax.grad(log_prob)(jnp.zeros(5))
        np.testing.assert_array_equal(gradient, np.zeros(5), err_msg=str(row))
    old = new = found[:2]
    np.testing.assert_array_equal(jnp.exp(new - old), [1, 1])


def test_sizes_are_structure_and_all_else_is_leaves():
    sizes, logits, mask = case("unequal", True)
    policy = ops.MultiCategorical(logits, list(sizes), jnp.asarray(mask))
    assert policy.sizes == sizes == ops.MultiCategorical(logits, np.array(sizes)).sizes
    assert len(jax.tree.leaves(policy)) == 2 and len(jax.tree.leaves(ops.MultiCategorical(logits, sizes))) == 1
    same, plain = ops.MultiCategorical(logits, sizes, jnp.asarray(mask)), policy.entropy()
    assert jax.tree.structure(policy) == jax.tree.structure(same)
    np.testing.assert_allclose(jax.jit(lambda p: p.entropy())(policy), plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(lambda p: p.entropy())(policy), plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(jax.lax.map(lambda p: p.entropy(), policy), plain, rtol=1e-5, atol=1e-6)
    carried, _ = jax.lax.scan(lambda p, _: (p, None), jax.lax.stop_gradient(policy), None, 2)
    np.testing.assert_array_equal(carried.mode(), policy.mode())
    made = jax.jit(jax.vmap(lambda x, m: ops.MultiCategorical(x, sizes, m)))(logits, jnp.asarray(mask))
    np.testing.assert_array_equal(made.mode(), policy.mode())


def test_programs_hold_no_constant_as_large_as_a_batch():
    def everything(logits, mask, action):
        policy, plain = ops.MultiCategorical(logits, (2, 3), mask), ops.MultiCategorical(logits, (2, 3))
        return policy.log_prob(action) + plain.log_prob(action) + plain.entropy() + policy.kl(plain)

    program = jax.make_jaxpr(everything)(jnp.zeros((1000, 5)), jnp.ones((1000, 5), bool), jnp.zeros((1000, 2), int))
    assert all(np.size(constant) <= 6 for constant in program.consts)


@pytest.mark.parametrize("sizes", [(), (2,), (2, 4), (5, 0), (6, -1)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="add up to the last axis"):
        ops.MultiCategorical(jnp.zeros(5), sizes).entropy()


def test_actions_and_others_that_do_not_fit_are_refused():
    policy = ops.MultiCategorical(jnp.zeros((3, 5)), (2, 3))
    for action in (jnp.zeros(3, jnp.int32), jnp.zeros((3, 3), jnp.int32), jnp.zeros((3, 2))):
        with pytest.raises(AssertionError):
            policy.log_prob(action)
    with pytest.raises(ValueError, match="differ"):
        policy.kl(ops.MultiCategorical(jnp.zeros((3, 5)), (3, 2)))
    with pytest.raises(AssertionError):
        policy.kl(ops.MultiCategorical(jnp.zeros((1, 5)), (2, 3)))


def test_fisher_products_are_block_by_block():
    sizes, mask = (2, 3), jnp.array([True, True, True, False, True])
    logits, vector = normal(5), jnp.arange(1.0, 6.0)
    old = ops.MultiCategorical(logits, sizes, mask)
    found = ops.fisher_vector_product(lambda x: old.kl(ops.MultiCategorical(x, sizes, mask)), logits, vector)
    expected = np.zeros(5)
    for index in ([0, 1], [2, 4]):
        p = scipy.special.softmax(np.float64(logits[np.array(index)]))
        expected[index] = (np.diag(p) - np.outer(p, p)) @ np.array(vector)[index]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert found[3] == 0


# -- Joint -----------------------------------------------------------------------------------------


def parts(seed=0):
    """A dict with a masked, a continuous and a nested part, of batch shape [ROWS]."""
    sizes, logits, mask = case("unequal", True, seed)
    return {
        "gear": ops.Categorical(normal(ROWS, 3, seed=seed), jnp.array([[True, False, True]] * ROWS)),
        "wheel": ops.DiagonalGaussian(normal(ROWS, 2, seed=seed + 1), normal(2, seed=seed + 2)),
        "rest": (ops.MultiCategorical(logits, sizes, jnp.asarray(mask)), ops.EpsilonGreedy(normal(ROWS, 4), 0.3)),
    }


def flat(tree):
    """The parts, or what stands at their places, one after the other."""
    return [tree["gear"], *tree["rest"], tree["wheel"]]


def noise():
    return {
        "gear": jax.random.gumbel(key(0), (ROWS, 3)),
        "wheel": jax.random.normal(key(1), (ROWS, 2)),
        "rest": (jax.random.gumbel(key(2), (ROWS, 10)), jax.random.gumbel(key(3), (ROWS, 4))),
    }


def test_a_joint_policy_by_hand():
    policy = ops.Joint((ops.Categorical(jnp.log(jnp.array([1.0, 3.0]))), ops.Deterministic(jnp.array([2.0]))))
    other = ops.Joint((ops.Categorical(jnp.zeros(2)), ops.Deterministic(jnp.array([2.0]))))
    mode = policy.mode()
    assert isinstance(mode, tuple) and (int(mode[0]), mode[1].tolist()) == (1, [2.0])
    np.testing.assert_allclose(policy.log_prob(mode), np.log(0.75), rtol=1e-6)
    assert policy.log_prob((mode[0], jnp.array([1.0]))) == -jnp.inf
    np.testing.assert_allclose(policy.entropy(), scipy.stats.entropy([0.25, 0.75]), rtol=1e-6)
    np.testing.assert_allclose(policy.kl(other), np.log(2) - policy.entropy(), rtol=1e-5)


def test_a_joint_policy_maps_and_adds_up():
    policy, other, own = ops.Joint(parts()), ops.Joint(parts(7)), flat(parts())
    drawn = noise()
    action = policy.sample_with(drawn)
    for part, given, mode, n in zip(own, flat(action), flat(policy.mode()), flat(drawn), strict=True):
        np.testing.assert_array_equal(given, part.sample_with(n))
        np.testing.assert_array_equal(mode, part.mode())
    sums = [sum(f(*x) for x in zip(own, *more, strict=True)) for f, more in (
        (lambda part, a: part.log_prob(a), (flat(action),)),
        (lambda part: part.entropy(), ()),
        (lambda part, q: part.kl(q), (flat(parts(7)),)),
    )]  # fmt: skip
    found = [policy.log_prob(action), policy.entropy(), policy.kl(other)]
    for ours, expected in zip(found, sums, strict=True):
        assert ours.shape == (ROWS,)
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(policy.kl(policy), np.zeros(ROWS), atol=1e-5)


def test_parts_are_sampled_with_keys_of_their_own():
    twins = ops.Joint({name: ops.DiagonalGaussian(jnp.zeros((ROWS, 2)), jnp.zeros(2)) for name in "ab"})
    action = twins.sample(key())
    assert not np.any(action["a"] == action["b"])
    policy = ops.Joint(parts())
    action, log_prob = policy.sample_and_log_prob(key())
    for ours, same in zip(flat(action), flat(policy.sample(key())), strict=True):
        np.testing.assert_array_equal(ours, same)
    np.testing.assert_allclose(log_prob, policy.log_prob(action), rtol=1e-5, atol=1e-5)
    other = flat(policy.sample(key(1)))
    assert all(np.any(a != b) for a, b in zip(flat(action), other, strict=True))
    squashed = ops.Joint((ops.TanhGaussian(jnp.full((1, 1), 50.0), jnp.zeros(1)), ops.Categorical(jnp.zeros((1, 2)))))
    assert np.isfinite(squashed.sample_and_log_prob(key())[1]).all()


def test_joint_policies_nest():
    inner = ops.Joint(parts()["rest"])
    nested, plain = ops.Joint({**parts(), "rest": inner}), ops.Joint(parts())
    action = plain.sample_with(noise())
    for ours, same in zip(flat(nested.sample_with(noise())), flat(action), strict=True):
        np.testing.assert_array_equal(ours, same)
    np.testing.assert_allclose(nested.log_prob(action), plain.log_prob(action), rtol=1e-5)
    np.testing.assert_allclose(nested.entropy(), plain.entropy(), rtol=1e-5)


def test_joint_policies_pass_through_jit_vmap_and_scan():
    policy, action = ops.Joint(parts()), ops.Joint(parts()).sample_with(noise())
    policy.parts["wheel"] = policy.parts["wheel"]._replace(log_std=normal(ROWS, 2))
    policy.parts["rest"] = (policy.parts["rest"][0], ops.EpsilonGreedy(normal(ROWS, 4), jnp.full(ROWS, 0.3)))
    log_prob = lambda p, a: p.log_prob(a)  # noqa: E731
    plain = policy.log_prob(action)
    np.testing.assert_allclose(jax.jit(log_prob)(policy, action), plain, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(jax.vmap(log_prob)(policy, action), plain, rtol=1e-4, atol=1e-4)
    _, scanned = jax.lax.scan(lambda carry, x: (carry, log_prob(*x)), None, (policy, action))
    np.testing.assert_allclose(scanned, plain, rtol=1e-4, atol=1e-4)


def test_gradients_of_a_joint_policy_are_those_of_its_parts():
    action, old = ops.Joint(parts()).sample_with(noise()), jax.lax.stop_gradient(ops.Joint(parts(7)))

    def total(logits, mean):
        made = parts()
        made["gear"], made["wheel"] = made["gear"]._replace(logits=logits), made["wheel"]._replace(mean=mean)
        policy = ops.Joint(made)
        return jnp.sum(policy.log_prob(action) + policy.entropy() + old.kl(policy))

    def alone(logits, mean):
        gear, wheel = parts()["gear"]._replace(logits=logits), parts()["wheel"]._replace(mean=mean)
        terms = (gear, "gear"), (wheel, "wheel")
        return sum(jnp.sum(p.log_prob(action[n]) + p.entropy() + old.parts[n].kl(p)) for p, n in terms)

    given = parts()["gear"].logits, parts()["wheel"].mean
    for found, expected in zip(*(jax.grad(f, (0, 1))(*given) for f in (total, alone)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
        assert np.any(found)
    np.testing.assert_array_equal(jax.grad(total)(*given)[:, 1], 0.0)


def test_what_is_no_joint_policy_is_refused():
    policy = ops.Joint({"a": ops.Categorical(jnp.zeros((3, 2))), "b": ops.Categorical(jnp.zeros((3, 2)))})
    for action in ({"a": jnp.zeros(3, jnp.int32)}, (jnp.zeros(3, jnp.int32),) * 2):
        with pytest.raises(ValueError, match=r"[Kk]ey|structure|type|Expected dict"):
            policy.log_prob(action)
    with pytest.raises(ValueError, match="no parts"):
        ops.Joint({}).entropy()
    for wrong in (jnp.zeros((1, 2)), jnp.zeros(2)):
        with pytest.raises(AssertionError):
            ops.Joint((ops.Categorical(jnp.zeros((3, 2))), ops.Categorical(wrong))).entropy()
