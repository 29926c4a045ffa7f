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
# # Value fitting
#
# After this lesson you can learn the value of a policy from what it did, say what a $k$-step target trades, and end an episode without
# teaching the critic something false. Policies do not improve here: they are given, and judged.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import VALUE_FITTING, Evaluation, envs, ops, run, sweep, tabular, use_all_cores
from jaxrl_up.algorithms import value_fitting

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")


def show(x, digits=2):
    return (np.round(np.asarray(x, float), digits) + 0.0).tolist()


# %% [markdown]
# ## Wait for the return, or believe the next state
#
# A value is an expected return, $V^\pi(s) = E[G_t \mid s_t = s]$. To learn it, move $V(s_t)$ towards a **target** that can be computed from
# what happened:
#
# $$V(s_t) \leftarrow V(s_t) + \alpha \, (y_t - V(s_t))$$
#
# **Monte Carlo** waits for the end of the episode and takes the return itself. **Temporal difference** learning (TD) takes one reward, and
# for the rest its own estimate: it **bootstraps**.
#
# $$y_t^{\mathrm{MC}} = r_t + \gamma r_{t+1} + \gamma^2 r_{t+2} + \dots \qquad\qquad y_t^{\mathrm{TD}} = r_t + \gamma V(s_{t+1})$$
#
# A drive to San Diego. From San Francisco it is one hour to San José, and from there 8 hours; but one day in four there is a jam in Los
# Angeles, and the same way takes 12. Rewards are minus hours, and there are no decisions.

# %%
route, days = tabular.route(), tabular.route_days()
names = ["San Francisco", "San José", "Los Angeles", "San Diego"]
true = tabular.v_pi(route, tabular.uniform_policy(route))
for name, value in zip(names, show(true)):
    print(f"{name:14}{value:6.1f}")

# %% [markdown]
# You have driven on four days: once from San Francisco, into the jam; three times you started in San José, and the road was clear. What is
# San Francisco worth? Here is what every visit of those days would be moved towards.

# %%
returns = ops.discounted_returns(days.rewards, days.discount, days.going)  # [T, N]
bootstrapped = ops.td_target(days.rewards, days.discount, true[days.states[1:]])
print(f"{'day':4}{'from':14}{'Monte Carlo':>12}{'TD':>8}")
for day in range(4):
    for t in range(int(days.taken[:, day].sum())):
        print(f"{day:<4}{names[days.states[t, day]]:14}{returns[t, day]:12.0f}{bootstrapped[t, day]:8.0f}")

# %% [markdown]
# (The TD column uses the true $V$; a learner has to use its own.) Now go through the four days again and again until nothing changes:

# %%
print("Monte Carlo", show(tabular.batch_monte_carlo(route, days).values))
print("TD         ", show(tabular.batch_td(route, days).values))

# %% [markdown]
# Monte Carlo knows San Francisco by the one day it began there: $-13$. TD says $-10$: it lies an hour before San José, and of San José all
# four days speak. Monte Carlo finds the values with the least squared error on the days that were seen. TD finds the values of the most
# likely model of those days, and uses that the future depends on the state alone, however one came there (Sutton & Barto 2018, section
# 6.3).
#
# Is that better? Take 8 days, many times over, and ask both:

# %%
def eight_days(key):
    seen = tabular.sample_trajectories(route, tabular.uniform_policy(route), key, number=8, steps=3)
    return tabular.batch_monte_carlo(route, seen).values[0], tabular.batch_td(route, seen).values[0], (seen.states[0] == 0).any()


monte_carlo, td, visited = jax.jit(jax.vmap(eight_days))(jax.random.split(jax.random.key(0), 2000))
for name, values in (("Monte Carlo", monte_carlo), ("TD", td)):
    error = values[visited] - true[0]
    print(f"{name:12}San Francisco: mean error {error.mean():5.2f}, standard deviation {error.std():.2f} hours, of {len(error)} repetitions")

# %% [markdown]
# Neither errs on average, and TD errs less, since it has about twice the data for what lies beyond San José. Its weakness comes next: a
# batch that is seen again and again lets the estimates settle; a learner that is under way believes estimates that are still wrong.
#
# ## k steps
#
# Between the two lies the $k$-step target. $k = 1$ is TD, and from the episode's length on it is Monte Carlo:
#
# $$y_t^{(k)} = r_t + \gamma r_{t+1} + \dots + \gamma^{k-1} r_{t+k-1} + \gamma^k V(s_{t+k})$$

# %%
again = jax.tree.map(lambda x: jnp.tile(x, (1, 500)), days)  # the four days, 500 times
for k in (1, 2, 3):
    learned = tabular.td(route, again, n=k, step_size=tabular.robbins_monro(0.8))
    print(f"k = {k}: {show(learned.values, 1)}")

# %% [markdown]
# From San Francisco two steps reach the jam in Los Angeles, past San José: $-1 - 6 - 6 = -13$ already.
#
# ## Bias and variance
#
# A target is a random number, and there are two ways in which it can be wrong. With $V^\pi$ known, both can be measured:
#
# $$E\left[(y_t - V^\pi(s))^2\right] = \underbrace{\left(E[y_t] - V^\pi(s)\right)^2}_{\text{bias}^2} + \underbrace{\mathrm{Var}[y_t]}_{\text{variance}}$$
#
# Bias comes from a wrong $V$ at the end of the $k$ steps, and further away it is reached less often and counts less. Variance comes from
# the $k$ random rewards before it. The walk of Sutton & Barto's example 7.1 has 19 states in a row; each step goes left or right by a coin,
# and only the right end pays 1. Its values rise evenly from 0.05 to 0.95.

# %%
walk = tabular.random_walk(19)
blind = tabular.uniform_policy(walk)
true = tabular.v_pi(walk, blind)
inside = slice(1, 20)
K = [1, 2, 4, 8, 16, 32, 64, 128]

tau = tabular.sample_trajectories(walk, blind, jax.random.key(0), number=3000, steps=300)  # all from the middle
for name, critic in (("V = 0", jnp.zeros(21)), ("V exact", true)):
    print(name)
    for k in (1, 8, 32, 128):
        y = ops.n_step_returns(tau.rewards, tau.discount, tau.going, critic[tau.states[1:]], k)[0]
        print(f"  k = {k:3d}: bias {y.mean() - true[10]:6.3f}, variance {y.var():.3f}")

# %% [markdown]
# With the exact critic no $k$ is biased, and the smallest has the least variance. A critic that knows nothing makes short targets
# worthless: what they believe is wrong. While one learns, the critic is somewhere between, and so is the best $k$. Below, TD with $k$ steps
# learns from 10 episodes, beginning with $V = 0$. By `vmap` 200 independent learners run side by side: their mean tells the bias, their
# spread the variance, both averaged over the 19 states.

# %%
keys = jax.random.split(jax.random.key(1), 200)
episodes = jax.vmap(lambda key: tabular.sample_trajectories(walk, blind, key, number=10, steps=300))(keys)


def learn(k, step_size=0.2):
    "Values [learners, S] after the ten episodes."
    return jax.jit(jax.vmap(lambda seen: tabular.td(walk, seen, n=k, step_size=step_size).values))(episodes)


def bias_and_variance(values):
    "Means over states of bias^2 and variance, of values [learners, S]."
    return float(((values.mean(0) - true)[inside] ** 2).mean()), float(values.var(0)[inside].mean())


learned = [bias_and_variance(learn(k)) for k in K]
targets = [ops.n_step_returns(tau.rewards, tau.discount, tau.going, jnp.zeros_like(tau.rewards), k)[0] for k in K]
targets = [(float(y.mean() - true[10]) ** 2, float(y.var())) for y in targets]

fig, axes = plt.subplots(1, 2, figsize=(8.4, 3.4))
for ax, pairs, title in ((axes[0], targets, "one target, of V = 0"), (axes[1], learned, "V after 10 episodes")):
    bias, variance = np.array(pairs).T
    ax.plot(K, bias, "o-", label="bias²")
    ax.plot(K, variance, "s-", label="variance")
    ax.plot(K, bias + variance, color="black", linewidth=3, alpha=0.3, label="mean squared error")
    ax.set_xscale("log", base=2)
    ax.set_xticks(K, K)
    ax.set(xlabel="k, steps before the bootstrap", title=title, ylim=(0, None))
axes[0].legend();

# %%
for k, (bias, variance) in zip(K, learned):
    print(f"k = {k:3d}: root mean squared error {np.sqrt(bias + variance):.3f}")

# %% [markdown]
# This is a figure to remember. On the left, a single target for the middle state: short ones are surely wrong, long ones are right on
# average and tell little each. (Their squared error is 1/4 for every $k$: a target here is 0 or 1, or nearly, and the truth is 1/2.) On the
# right, what ten episodes teach: the best $k$ is neither TD nor Monte Carlo. Where it lies depends on the step size, on how many episodes
# there are, and on the critic to begin with. Try `step_size=0.05`, or 100 episodes.
#
# ## All k at once: TD(lambda)
#
# Rather than choose one $k$, average them all with weights that decay by $\lambda$ (Sutton 1988):
#
# $$y_t^{\lambda} = (1 - \lambda) \sum_{k=1}^{\infty} \lambda^{k-1} y_t^{(k)} \qquad\text{or, backwards,}\qquad y_t^{\lambda} = r_t + \gamma \left((1 - \lambda) V(s_{t+1}) + \lambda y_{t+1}^{\lambda}\right)$$
#
# $\lambda = 0$ is TD, $\lambda = 1$ Monte Carlo. A learner need not wait for the future: each state keeps a **trace** of how lately it was
# visited, and every TD error moves all states by their traces. That is `tabular.td_lambda` (with `replacing` a visit sets the trace to 1;
# else traces add up, and in long walks make steps too large). The targets of the formula are `ops.lambda_returns`. Minus $V(s_t)$, they are
# the advantage estimate GAE of lesson 3.

# %%
ahead = jax.tree.map(lambda x: x[:8, :1], tau)  # eight steps of one episode, and a critic that is half wrong
given = ahead.rewards, ahead.discount, ahead.going, 0.5 * true[tau.states[1:9, :1]]
y_k = jnp.stack([ops.n_step_returns(*given, k)[0, 0] for k in range(1, 9)])  # longer ones end with the eight steps
weights = jnp.append(0.1 * 0.9 ** jnp.arange(7), 0.9**7)
y_lambda = ops.lambda_returns(ahead.rewards, ahead.discount, 0.9 * ahead.going, given[3])[0, 0]
print(f"weighted sum of k-step targets {weights @ y_k:.5f}, ops.lambda_returns {y_lambda:.5f}\n")

lambdas = jnp.array([0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0])
over_seeds = jax.vmap(lambda seen, decay: tabular.td_lambda(walk, seen, decay, step_size=0.2, replacing=True).values, (0, None))
over_lambda = jax.vmap(over_seeds, (None, 0))
for decay, values in zip(lambdas, jax.jit(over_lambda)(episodes, lambdas)):
    bias, variance = bias_and_variance(values)
    print(f"lambda = {decay:.2f}: bias² {bias:.3f}, variance {variance:.3f}, root mean squared error {np.sqrt(bias + variance):.3f}")

# %% [markdown]
# As with $k$, bias goes and variance comes. The best $\lambda$ does about as well here as the best $k$, and with a discount or longer
# episodes it lies below 1: 0.9 to 0.97 is usual.
#
# ## Where the bootstrap ends
#
# Every target above says what follows the last reward of an episode, and there are two cases:
#
# * it **terminated**: nothing follows, so the value after it is 0, whatever the network says;
# * a time limit **truncated** it: the world goes on, only we stopped looking, so the target bootstraps from $V$ of the state that was
#   really reached (not of the first state of the next episode).
#
# In `ops` these are two arrays: `discount` is $\gamma (1 - \mathrm{terminated})$ and ends the value, `trace` is $1 - \mathrm{done}$ and
# ends the sum. Three steps that pay 1 each, with $\gamma = 0.9$ and a critic that says 10, which is right if it goes on like that for ever:

# %%
reward, gamma, critic = jnp.ones(3), 0.9, jnp.full(3, 10.0)
going = jnp.array([1.0, 1.0, 0.0])  # the episode is over after the third
for how, discount in (("truncated", gamma * jnp.ones(3)), ("terminated", gamma * going)):
    for k in (1, 2, 3):
        print(f"{how:11}k = {k}: {show(ops.n_step_returns(reward, discount, going, critic, k))}")

# %% [markdown]
# What if a time limit is taken for an end? A machine pays 1 a step for ever, so with $\gamma = 0.95$ it is worth $1 / (1 - \gamma) = 20$;
# we watch it 20 steps at a time. TD, once right and once with the last discount of each episode set to 0:

# %%
machine = tabular.mdp([[[1.0]]], reward=[1.0], discount=0.95, horizon=20)
seen = tabular.sample_trajectories(machine, [0], jax.random.key(0), number=500)
cut = jnp.arange(20)[:, None] == 19
wrong = seen._replace(discount=jnp.where(cut, 0.0, seen.discount))
for how, episodes_seen in (("bootstrapped", seen), ("taken for an end", wrong)):
    values = tabular.td(machine, episodes_seen, step_size=0.02).history[-100:, 0]
    print(f"time limit {how:17} V = {values.mean():5.1f}")

# %% [markdown]
# The state does not show the time, so the same state has two kinds of target, and V settles between: too low everywhere, not only at the
# end.
#
# ## A network in place of the table
#
# CartPole has a continuum of states, and a table would need a row for each. So $V_\phi$ is a network, fitted by regression on the same
# targets, which are held while it steps towards them:
#
# $$L(\phi) = \frac{1}{2N} \sum_t \left(y_t - V_\phi(s_t)\right)^2$$
#
# `value_fitting` does that for a policy that is given; here the uniform one. Its targets are what you have seen: `td`, `k_step`, `lambda`,
# `monte_carlo`. What $V^\pi$ really is nobody wrote down for CartPole, but a step is a pure function of the state, so any state can be
# played on from, many times. That mean of returns is our judge.

# %%
env, gamma = envs.make("CartPole-v1"), 0.99


def push_at_random(key, state, obs):
    "The discounted return of random pushes from a state, and what was passed on the way: states, observations, whether still in the episode."

    def step(carry, key):
        state, obs, going, weight, total = carry
        action_key, env_key = jax.random.split(key)
        after, step = env.step(env_key, state, jax.random.randint(action_key, (), 0, 2))
        carry = after, step.obs, going & ~step.terminated, gamma * weight, total + going * weight * step.reward
        return carry, (state, obs, going)

    start = state, obs, jnp.array(True), 1.0, 0.0
    carry, passed = jax.lax.scan(step, start, jax.random.split(key, 120))
    return carry[-1], passed


def keys_for(seed, *shape):
    return jax.random.split(jax.random.key(seed), shape)


play = jax.jit(jax.vmap(push_at_random))
_, (states, obs, going) = play(keys_for(0, 16), *jax.vmap(env.reset)(keys_for(1, 16)))
chosen = tuple(np.argwhere(np.asarray(going))[::8].T)  # every eighth state that random pushes come through
states, obs = jax.tree.map(lambda x: x[chosen], (states, obs))
returns = jax.jit(jax.vmap(lambda key: jax.vmap(push_at_random)(jax.random.split(key, len(obs)), states, obs)[0]))(keys_for(2, 200))
judge = returns.mean(0)  # V^pi of each of those states
print(f"{len(obs)} states, V from {judge.min():.1f} to {judge.max():.1f}, each known to about {(returns.std(0) / 200**0.5).mean():.2f}")

# %%
def error_of(learners, config):
    "Root mean squared error of V over the judged states, for each learner of a batch [seeds]."
    values = jax.vmap(lambda learner: value_fitting.values(config, env, learner, obs))(learners)
    return np.sqrt(((values - judge) ** 2).mean(1))


budget = {"gamma": gamma, "total_steps": 20_000}
seeds = jax.vmap(jax.random.key)(jnp.arange(3))
config = VALUE_FITTING.Config(target="lambda", **budget)
lambdas = jnp.array([0.0, 0.5, 0.9, 1.0])  # from TD to Monte Carlo, in one program
state, _ = sweep(VALUE_FITTING, env, config, {"td_lambda": lambdas}, seeds, num_evals=1, evaluation=Evaluation(1))
rows = [(f"lambda = {decay:.1f}", error_of(jax.tree.map(lambda x: x[i], state.learner), config)) for i, decay in enumerate(lambdas)]
fitted = run("value_fitting", env, budget | {"target": "k_step", "k": 5}, seeds=3, num_evals=1, num_episodes=1, progress=False)
for name, error in [*rows, ("k = 5", error_of(fitted.state.learner, fitted.config))]:
    print(f"{name:13}root mean squared error {error.mean():5.2f}, standard deviation over 3 seeds {error.std():.2f}")

# %% [markdown]
# After 20,000 steps, with the default step size. Here TD is the slowest: a reward of 1 a step with values near 15 has to travel back
# through the network, one step a time, while long targets bring it at once, and episodes of 22 steps are too short for variance to hurt. In
# the walk above very large $k$ lost. There is no best $k$, only a trade.
#
# ## Exercises
#
# * **4.1** the $k$-step target at the end of an episode: `jaxrl-up exercise start 4.1`
# * **4.2** $\lambda$-targets that are off by one: `jaxrl-up exercise start 4.2`
#
# ## Further reading
#
# * R. S. Sutton, 1988, *Learning to predict by the methods of temporal differences*, Machine Learning 3.
# * R. S. Sutton, A. G. Barto, 2018, *Reinforcement Learning: An Introduction*, chapters 5 to 7, 9 and 12.
# * J. N. Tsitsiklis, B. Van Roy, 1997, *An analysis of temporal-difference learning with function approximation*, IEEE Transactions on
#   Automatic Control 42.
# * M. Kearns, S. Singh, 2000, *Bias-variance error bounds for temporal difference updates*, COLT.
# * J. Schulman, P. Moritz, S. Levine, M. Jordan, P. Abbeel, 2016, *High-dimensional continuous control using generalized advantage
#   estimation*, arXiv:1506.02438.
# * F. Pardo, A. Tavakoli, V. Levdik, P. Kormushev, 2018, *Time limits in reinforcement learning*, arXiv:1712.00378.
