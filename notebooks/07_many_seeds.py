# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: -all
#     notebook_metadata_filter: kernelspec
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # One program, many seeds
#
# After this lesson you can train many seeds, hyperparameters and worlds as one compiled program, say what compiling
# costs and when it happens again, and say how many seeds a claim needs.

# %%
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import PPO, envs, ops, sweep, train, use_all_cores

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")
env = envs.make("CartPole-v1")
config = PPO.Config(total_steps=8_192)

# %% [markdown]
# ## A seed is a key
#
# A program in JAX has no hidden random numbers. What is random is a function of a **key**, and the same key gives the
# same numbers. A key is used once: to draw twice, split it.

# %%
key = jax.random.key(7)
print("the same key twice:", jax.random.normal(key, (2,)), jax.random.normal(key, (2,)))
first, second = jax.random.split(key)
print("split             :", jax.random.normal(first, (2,)), jax.random.normal(second, (2,)))

# %% [markdown]
# A training run is a function of its key too: networks, environments and exploration all come from it. So many seeds
# are that function under `jax.vmap`, which adds an axis to every array of the program. Nothing is trained one after the
# other, and nothing is shared between seeds.

# %%
keys = jax.vmap(jax.random.key)(jnp.arange(4))


@jax.jit
def curves(env, config, keys):
    "Returns [seeds, evaluations] of PPO."
    return jax.vmap(lambda key: train(PPO, env, config, key, num_evals=4)[1].returns)(keys)


# %% [markdown]
# ## What compiling costs
#
# The first call traces the Python code and hands the program to XLA, which compiles it. Later calls run what is there
# already, as long as **shapes and static fields** are the same. Numbers that only enter arithmetic (a learning rate, a
# discount, the gravity) are arguments of the program, so a new value compiles nothing. We count what XLA compiles
# beside the clock: seconds depend on what else the machine does, the count does not.

# %%
programs = []
jax.monitoring.register_event_duration_secs_listener(
    lambda event, seconds, **_: programs.append(seconds) if event.endswith("backend_compile_duration") else None
)


def timed(what, env, config, keys):
    "Run `curves`, and print how long it took and how many programs were compiled for it."
    jax.block_until_ready((env, config, keys))
    before, start = len(programs), time.perf_counter()
    returns = curves(env, config, keys).block_until_ready()
    seconds = time.perf_counter() - start
    print(f"{what:34} {seconds:6.2f} s   programs compiled: {len(programs) - before}")
    return returns


heavier, eager = env.with_params(gravity=20.0), config.replace(learning_rate=3e-3, gamma=0.9)
new_keys, other_shape = jax.vmap(jax.random.key)(jnp.arange(4, 8)), config.replace(hidden=(32, 32))
returns = timed("first call", env, config, keys)
for _ in range(3):
    again = timed("the same again", env, config, keys)
timed("other seeds", env, config, new_keys)
timed("other learning rate and discount", env, eager, keys)
timed("other gravity", heavier, config, keys)
timed("other size of the network", env, other_shape, keys)
print("the same again gave the same bits:", bool((returns == again).all()))

# %% [markdown]
# The three equal calls differ by the noise of this machine: take no difference of that size for an effect. What
# compiling costs is the first call minus those. It is paid once for each shape, so a program that trains 64 seeds pays it once and a loop over 64 processes 64 times. A field is **traced** if
# a new value is free and **static** if it compiles again; `PPO.Config` says which is which, and a sweep groups by it.
#
# Seed 2 does not care who trains beside it. In a batch of another size it is the same up to rounding, since XLA may add
# numbers in another order where arrays have another shape.

# %%
company = curves(env, config, jnp.concatenate([keys[2:3], new_keys[:3]]))
print("seed 2 among 0, 1, 3:", returns[2], "\nseed 2 among 4, 5, 6:", company[0])

# %% [markdown]
# ## Everything that is a number is an axis
#
# `sweep` trains every point of a grid on every seed, spread over the devices. Points vary together, so a box of them is
# a meshgrid, ravelled: here 3 learning rates x 2 discounts x 2 gravities, with 3 seeds each, 36 runs.

# %%
rates, discounts, gravities = jnp.array([3e-4, 1e-3, 1e-2]), jnp.array([0.9, 0.99]), jnp.array([9.8, 30.0])
grid = dict(
    zip(("learning_rate", "gamma", "gravity"), map(jnp.ravel, jnp.meshgrid(rates, discounts, gravities, indexing="ij")))
)
before, start = len(programs), time.perf_counter()
_, log = sweep(PPO, env, config, grid, keys[:3], num_evals=2)
final = np.asarray(log.returns)[:, :, -1]
print(
    f"{final.size} runs in {time.perf_counter() - start:.1f} s, of which XLA compiled {sum(programs[before:]):.1f} s\n"
)
print("learning rate  discount  gravity  returns of three seeds")
for rate, gamma, gravity, scores in zip(*grid.values(), final):
    print(f"{rate:13.0e} {gamma:9.2f} {gravity:8.1f}  {scores.round()}")

# %% [markdown]
# Look along the rows before you look down the columns. The three seeds of one row, which differ in nothing but chance,
# are often further apart than rows that differ in a setting.
#
# ## How many seeds does a claim need?
#
# Two settings of PPO on CartPole after 15,000 steps: A with $\lambda = 0.95$, B with $\lambda = 0.9$, 256 seeds each.
# All 512 runs are one program (`python bench/lesson_07.py`, 25 s of processor time); their final scores are in a table.
# With so many seeds we know the truth rather well, and can ask what one would have said with few.

# %%
table = np.loadtxt("data/07_scores.csv", delimiter=",", skiprows=1)
a, b = (table[table[:, 0] == value, 2] for value in (0.95, 0.9))
for name, scores in (("A", a), ("B", b)):
    print(
        f"{name}: mean {scores.mean():.0f}, IQM {ops.score(scores)}, deviation {scores.std():.0f}, from {scores.min():.0f} to {scores.max():.0f}"
    )
print("P(A > B) = {:.2f} [{:.2f}, {:.2f}]".format(*ops.probability_of_improvement(a, b)))

# %% [markdown]
# A is better: a run of A scores above a run of B with a probability of about 0.73. So in about one pair of four it is
# the other way round, and now and then in three pairs at once:

# %%
rng = np.random.default_rng(0)
draws = rng.integers(256, size=(2, 2_000, 3))
lucky = b[draws[1]].min(axis=1) > a[draws[0]].max(axis=1)  # every seed of B above every seed of A
wrong = int(np.argmax(lucky))
three_a, three_b = a[draws[0, wrong]], b[draws[1, wrong]]
print("A:", three_a.round(), "seeds", draws[0, wrong], "\nB:", three_b.round(), "seeds", draws[1, wrong])
print(
    f"B scores {three_b.mean() / three_a.mean() - 1:.0%} above A; "
    + "P(B > A) = {:.2f} [{:.2f}, {:.2f}]".format(*ops.probability_of_improvement(three_b, three_a))
)
print("intervals of 3 seeds: A", ops.score(three_a), " B", ops.score(three_b))
print(
    f"\nB's three all above A's: {lucky.mean():.1%} of draws; B's mean above A's: {(b[draws[1]].mean(1) > a[draws[0]].mean(1)).mean():.0%}"
)

# %% [markdown]
# Every number of the third line is computed correctly, and the claim is false. The bootstrap of $P(X > Y)$ draws from
# the three seeds that it has and cannot see what none of them shows. The interval of `ops.score` is wide enough to say:
# with three seeds, I do not know.
#
# ### Mean, interquartile mean, maximum
#
# The **interquartile mean** (IQM) is the mean of the middle half: floor(n / 4) scores are cut off at each end. One run
# that failed does not move it much, as it does the mean; yet it uses more of the data than the median. The maximum is
# no estimate of anything: it grows with the number of seeds.

# %%
sizes = (3, 5, 10, 20, 50)
print("seeds   mean of n       IQM of n        best of n")
for n in sizes:
    sample = a[rng.integers(256, size=(4_000, n))]
    cells = [f"{x.mean():5.0f} +- {x.std():<4.0f}" for x in (sample.mean(1), ops.iqm(sample, axis=1), sample.max(1))]
    print(f"{n:5d}  ", "   ".join(cells))

# %% [markdown]
# With three seeds nothing is cut and the IQM is the mean. Which of them one reports is a choice of what to call
# typical; that the best of fifty beats the best of three is no finding.
#
# ### Does a 95% interval hold the truth in 95% of cases?
#
# Draw n seeds of A, compute the interval, look whether the value of all 256 lies in it; repeat. `ops.bootstrap` is
# Student's t with a bootstrapped standard error. Beside it, what is often drawn: the mean with one standard error, and
# with 1.96 of them.

# %%
trials = 400
print("seeds  ops.bootstrap  mean +- SE  mean +- 1.96 SE")
for n in (3, 5, 10, 20):
    sample = a[rng.integers(256, size=(n, trials))]
    _, low, high = ops.bootstrap(sample, resamples=500)
    mean, error = sample.mean(0), sample.std(0, ddof=1) / np.sqrt(n)
    held = [
        (low <= ops.iqm(a)) & (ops.iqm(a) <= high),
        abs(mean - a.mean()) <= error,
        abs(mean - a.mean()) <= 1.96 * error,
    ]
    print(f"{n:5d} ", "".join(f"{x.mean():13.0%}" for x in held))
print(f"(a share p of {trials} trials is known to +- {1.96 * np.sqrt(0.95 * 0.05 / trials):.0%} at p = 95%)")

# %% [markdown]
# The first keeps its word within the error of this measurement, the others do not: one standard error is a 68% interval
# at best, and 1.96 of them are too few where the deviation is itself estimated from three numbers. No interval can see
# what no seed shows: three seeds that all reach 500 give one without width (docs/plots.md has the cases).
#
# ### How often is a claim false?
#
# Four rules by which one says "one beats the other":
#
# - its mean is 10% higher;
# - the error bars, one standard error each, do not meet;
# - the 95% interval of $P(X > Y)$ leaves out 1/2;
# - the 95% intervals of `ops.bootstrap` do not meet.
#
# On the left **both groups are drawn from A**, so every claim is false. On the right A is compared with B: claims that
# A is better are right, and the dashed lines are claims that B is.

# %%
RULES = ("mean 10% higher", "error bars apart", "P(X > Y) interval leaves out 1/2", "95% intervals apart")


def claims(x, y):
    "Whether each rule says that x [n, trials] beats y: [rules, trials]."
    (mean_x, error_x), (mean_y, error_y) = ((z.mean(0), z.std(0, ddof=1) / np.sqrt(len(z))) for z in (x, y))
    probability = np.array([ops.probability_of_improvement(u, v, resamples=300)[1] for u, v in zip(x.T, y.T)])
    low, high = ops.bootstrap(x, resamples=300)[1], ops.bootstrap(y, resamples=300)[2]
    return np.array([mean_x > 1.1 * mean_y, mean_x - error_x > mean_y + error_y, probability > 0.5, low > high])


numbers, trials = (2, 3, 5, 8, 12, 20, 32), 300
shares = {}
for name, other in (("A, A", a), ("A, B", b)):
    for n in numbers:
        x, y = a[rng.integers(256, size=(n, trials))], other[rng.integers(256, size=(n, trials))]
        shares[name, n] = claims(x, y).mean(1), claims(y, x).mean(1)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True)
for rule, name in enumerate(RULES):
    either = [sum(shares["A, A", n])[rule] for n in numbers]
    found, reverse = ([shares["A, B", n][way][rule] for n in numbers] for way in (0, 1))
    left.plot(numbers, either, marker="o", color=f"C{rule}", label=name)
    right.plot(numbers, found, marker="o", color=f"C{rule}")
    right.plot(numbers, reverse, "--", color=f"C{rule}", linewidth=1.2)
left.axhline(0.05, color="0.6", linewidth=1, linestyle=":")
left.set(title="No difference: every claim is false", ylabel="share of studies that make a claim")
right.set(title="A is better, P(A > B) = 0.73 (dashed: claims that B is)")
for ax in (left, right):
    ax.set(xlabel="seeds of each", xscale="log", xticks=numbers, xticklabels=numbers, ylim=(0, 1), box_aspect=0.62)
    ax.minorticks_off()
fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=4)
for n in (3, 20):
    print(f"{n:2d} seeds: false claims", *(f"{name}: {x:.0%};" for name, x in zip(RULES, sum(shares["A, A", n]))))

# %% [markdown]
# With three seeds the first three rules find a winner between A and itself in 70%, 27% and 16% of the studies. More
# seeds help the third most: from a dozen on its false claims are near the 5% that it promises, and it finds the real
# difference in half of the studies, with twenty seeds in three of four. Intervals that do not meet make hardly a false
# claim, at a price: with a dozen seeds they miss the real difference in four studies of five. No rule makes three seeds
# enough. (Shares of 300 simulated studies, each known to about 5 points.)
#
# ### All scores at once
#
# A **performance profile** is the share of runs above each score. It hides nothing: a curve that lies above the other
# everywhere is better at every quantile. And $P(X > Y)$ says how often, not by how much.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.4), sharey=True)
thresholds = np.linspace(100, 500, 81)
for ax, n in zip(axes, (10, 256)):
    for name, scores, colour in (("A", a, "C0"), ("B", b, "C1")):
        share, low, high = ops.performance_profile(scores[:n], thresholds, resamples=1000)
        ax.fill_between(thresholds, low, high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(thresholds, share, color=colour, label=name)
    probability, low, high = ops.probability_of_improvement(a[:n], b[:n])
    ax.set(title=f"{n} seeds: P(A > B) = {probability:.2f} [{low:.2f}, {high:.2f}]", xlabel="score")
axes[0].set_ylabel("share of runs above the score")
axes[0].legend();

# %% [markdown]
# ## In practice
#
# - Fix the number of seeds and the rule before you look. Adding seeds until a difference shows makes any rule false.
# - Five seeds show whether it works at all. To compare, ten are few and twenty a beginning; the smaller the difference,
#   the more.
# - Every seed counts, failed ones too. Report the IQM with its interval, the number of seeds, and the worst one.
# - Use other seeds to choose hyperparameters than to report: the best of many is flattered by the choice.
# - Where two "seeds" agree in every digit, they are one: a key was rebound.
#
# `jaxrl-up train --seeds 20` and `jaxrl-up sweep` do all this from the command line, with records on disk; `jaxrl-up
# plot runs --kind all` draws these pictures of them.
#
# ## Exercises
#
# `jaxrl-up exercise start 7.1`: the key that was rebound.
#
# To try: replace A by half of B in the left panel; how many seeds does your favourite rule need for a difference that
# is half as large? And in the timing cell: which of `num_envs`, `gae_lambda`, `activation` compiles again?
#
# ## Further reading
#
# - Henderson, Islam, Bachman, Pineau, Precup, Meger (2018): Deep Reinforcement Learning that Matters. arXiv:1709.06560
# - Colas, Sigaud, Oudeyer (2018): How Many Random Seeds? Statistical Power Analysis in Deep Reinforcement Learning
#   Experiments. arXiv:1806.08295
# - Agarwal, Schwarzer, Castro, Courville, Bellemare (2021): Deep Reinforcement Learning at the Edge of the Statistical
#   Precipice. arXiv:2108.13264
# - Patterson, Neumann, White, White (2023): Empirical Design in Reinforcement Learning. arXiv:2304.01315
# - Lu, Kuba, Letcher, Metz, Schroeder de Witt, Foerster (2022): Discovered Policy Optimisation. arXiv:2210.05639 (whole
#   training runs as one JAX program)
