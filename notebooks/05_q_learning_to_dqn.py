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
# # From Q-learning to DQN
#
# After this lesson you can write Q-learning in a table, name what breaks when the table becomes a network, and say what replay and the
# target network of DQN mend, with each of them switched off to see.

# %%
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import DQN, Evaluation, iqm, ops, run, sweep, tabular, use_all_cores
from jaxrl_up.algorithms import c51

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## The table
#
# If $Q^*(s, a)$ is known, acting well is easy: take the action with the largest. It is the solution of Bellman's optimality equation
#
# $$Q^*(s, a) = E\left[r + \gamma \max_b Q^*(s', b)\right]$$
#
# and Q-learning (Watkins 1989) moves an entry towards a sample of the right-hand side:
#
# $$Q(s, a) \leftarrow Q(s, a) + \alpha \left(r + \gamma \max_b Q(s', b) - Q(s, a)\right)$$
#
# The target asks what the *best* action would bring, not what is done next. So the data may come from any policy that tries everything
# often enough: Q-learning is **off-policy**. SARSA puts what is really done next into the target, $r + \gamma Q(s', a')$, and learns the
# values of the policy that explores: it is **on-policy**.
#
# To explore, act **epsilon-greedily**: with probability $\varepsilon$ any action, else a best one. Between equal ones chance decides, which
# matters at first, when all are equal.

# %%
print(ops.EpsilonGreedy(jnp.array([1.0, 3.0, 3.0, 0.0]), epsilon=0.2).probs())
print(ops.q_learning_target(jnp.array(-1.0), jnp.array(1.0), next_q_values=jnp.array([-5.0, -3.0])))
print(ops.td_target(jnp.array(-1.0), jnp.array(1.0), next_value=jnp.array(-5.0)))  # SARSA, if the worse action comes next

# %% [markdown]
# ## The cliff
#
# Four rows of twelve cells (Sutton & Barto 2018, example 6.6). From the bottom left to the bottom right every step costs 1. Between the two
# lies the cliff: stepping off costs 100 and leads back to the start. Ten runs of each, with $\varepsilon = 0.1$ for ever:

# %%
cliff = tabular.cliff_walking()
keys = jax.random.split(jax.random.key(0), 10)


def learn(learner, mdp, steps, **options):
    return jax.jit(jax.vmap(lambda key: learner(mdp, key, steps, **options)))(keys)


runs = {"Q-learning": learn(tabular.q_learning, cliff, 8000, step_size=0.5), "SARSA": learn(tabular.sarsa, cliff, 8000, step_size=0.5)}
for name, learned in runs.items():
    returns = tabular.episode_returns(learned)[:, 100:200].mean(axis=1)
    print(f"{name:11}while learning {returns.mean():6.1f} (± {returns.std():.1f} over runs) an episode")
    best = np.asarray(learned.q_values[0].argmax(axis=1)).reshape(4, 12)
    print("\n".join("  " + " ".join("S" if (y, x) == (3, 0) else "G" if (y, x) == (3, 11) else "#" if y == 3 else "←↓→↑"[best[y, x]] for x in range(12)) for y in range(4)))

# %% [markdown]
# Q-learning finds the optimal way along the edge and, as it goes on exploring, falls off it. SARSA knows that it explores, keeps away, and
# loses less while it learns. Neither is wrong: they estimate different things.
#
# ## The maximum of estimates is too large
#
# $\max_b Q(s', b)$ picks what *looks* best, and of ten noisy estimates the largest is probably one that noise lifted:
# $E[\max_b \hat Q(b)] \geq \max_b E[\hat Q(b)]$. In **double Q-learning** one table chooses and another one, learned from other data, says what the choice is
# worth. In example 6.7 the first choice is between right, which ends with 0, and left, to a state of ten actions that all lose 0.1 on
# average, with a spread of 1:

# %%
noisy = jax.random.normal(jax.random.key(0), (2, 10_000, 10))  # two estimates of ten actions that are all worth 0
print(f"max of one estimate {noisy[0].max(axis=1).mean():.2f}, chosen by one and valued by the other ", end="")
print(f"{ops.double_q_target(jnp.zeros(10_000), jnp.ones(10_000), noisy[1], noisy[0]).mean():.2f}")

bias = tabular.maximization_bias()
for name, learner in (("Q-learning", tabular.q_learning), ("double", tabular.double_q_learning)):
    learned = learn(learner, bias, 600)
    at_first = learned.states == 0  # where the first five of ten actions lead left
    share = ((learned.actions < 5) & at_first).sum(axis=1) / at_first.sum(axis=1)
    print(f"{name:11}goes left {100 * share.mean():.0f}% of the time (± {100 * share.std():.0f} over runs); 5% is what exploring costs")

# %% [markdown]
# ## From the table to a network: three things that do not go together
#
# With many states $Q$ becomes a network with parameters $\theta$, and the update a step down the squared error, the target held:
#
# $$\theta \leftarrow \theta + \alpha \left(r + \gamma \max_b Q_\theta(s', b) - Q_\theta(s, a)\right) \nabla_\theta Q_\theta(s, a)$$
#
# In a table this converges, if step sizes fall. With a function it need not, and the smallest example has two states and one parameter
# (Tsitsiklis & Van Roy 1996; Sutton & Barto 2018, section 11.2): the first state has the value $w$, the second $2w$; one leads to the other, the other ends, and no reward is
# ever paid, so $w = 0$ is right. Three ingredients, the **deadly triad**: function approximation, bootstrapping, and off-policy data (here:
# only the first step is learned from). Leave out one, and it converges.

# %%
features = jnp.array([1.0, 2.0])  # V(s) = w * feature


def w_after(steps=60, gamma=0.95, step_size=0.1, bootstrap=True, on_policy=False, table=False):
    w = jnp.array([1.0, 1.0])  # one w, twice; a table has two of its own
    x = jnp.eye(2) if table else jnp.stack([features, jnp.zeros(2)], axis=1)
    for _ in range(steps):
        value = x @ w
        target = gamma * value[1] if bootstrap else jnp.array(0.0)  # nothing is paid, so the return is 0
        update = ops.td_error(value[0], jnp.array(0.0), jnp.array(1.0), target) * x[0]
        if on_policy:
            update += ops.td_error(value[1], jnp.array(0.0), jnp.array(0.0), value[0]) * x[1]
        w = w + step_size * update
    return float((x @ w)[0])


print(f"all three         V = {w_after():8.2f}")
print(f"no bootstrapping  V = {w_after(bootstrap=False):8.2f}")
print(f"on-policy         V = {w_after(on_policy=True):8.2f}")
print(f"a table           V = {w_after(table=True):8.2f}")

# %% [markdown]
# (The table comes to rest at $\gamma$ times its second entry, which is never updated and stays at 1.) With all three, one step raises the
# value of the state it is about, and with it, by the shared $w$, the value it is compared with, and that by more. The target runs away from
# the estimate.
#
# ## DQN: replay and a target network
#
# DQN (Mnih et al. 2015) uses all three ingredients, and two remedies that make it work in practice (there is no proof):
#
# * **Replay.** Transitions are kept, and each step learns from a random batch of them. Neighbours in time are alike, and a network that is
#   fed one corner of the world forgets the others; a random batch is nearly independent, and each transition is used many times.
# * **A target network.** The target comes from older parameters $\theta^-$ that move slowly,
#   $\theta^- \leftarrow \tau \theta + (1 - \tau) \theta^-$, or are copied now and then. A target that stands still cannot run away.
#
# $$L(\theta) = \frac12 \, E_{\text{replay}}\left[\left(r + \gamma \max_b Q_{\theta^-}(s', b) - Q_\theta(s, a)\right)^2\right]$$
#
# Both are fields of the config. `buffer_size` as small as the batch switches replay off; `target_every=1` with `tau=1` makes the target
# network the online one. `tau` is a number that the compiled program is given, so both settings of it are one program. The task is the cliff
# again, as an environment, now with a network in place of the table. Its best return is exactly $-13$; who does not find the way within 100
# steps gets $-100$ or less.

# %%
env = tabular.as_env(tabular.cliff_walking(horizon=100))
common = {"num_envs": 1, "batch_size": 32, "learning_rate": 1e-3, "target_every": 1, "gamma": 0.95}
config = DQN.Config(**common, total_steps=12_000, buffer_size=10_000, learning_starts=500)
seeds = jax.vmap(jax.random.key)(jnp.arange(3))
_, log = sweep(DQN, env, config, {"tau": jnp.array([0.01, 1.0])}, seeds, num_evals=4, evaluation=Evaluation(1))
for name, returns, errors in zip(("target network", "none"), log.returns, log.learned["td_error"].value):
    print(f"{name:15} returns of 3 seeds {np.round(returns[:, -1])}, TD errors over time {np.round(errors[:, 1:].mean(axis=0), 2)}")

# %% [markdown]
# (An average error says how far targets and estimates are apart, while training.) Three seeds are too few to compare. Here are ten seeds of
# 20,000 steps, each remedy switched off in turn (IQM, the interquartile mean, is that of the middle half of the seeds); `python
# bench/lesson_05.py` made the numbers.

# %%
rows = np.genfromtxt(Path("data/05_switched_off.csv"), delimiter=",", names=True)
variants = {"DQN": (1, 1), "no target network": (1, 0), "no replay": (0, 1), "neither": (0, 0)}
fig, ax = plt.subplots()
for name, (replay, target) in variants.items():
    own = rows[(rows["replay"] == replay) & (rows["target_network"] == target)]
    steps = np.unique(own["env_steps"])
    reached = np.array([(own["score"][own["env_steps"] == step] == -13).sum() for step in steps])
    final = own["score"][own["env_steps"] == steps[-1]]
    print(f"{name:18}final returns: IQM {iqm(final):6.1f}, optimal {int((final == -13).sum())} of {len(final)} seeds, worst {final.min():.0f}")
    ax.plot(steps / 1000, reached, label=name)
ax.set(xlabel="environment steps [thousands]", ylabel="seeds (of 10) that act optimally", ylim=(-0.3, 10.3))
ax.legend();

# %% [markdown]
# With both, nine of ten seeds find the optimal way. With replay alone three do, and with the target network alone none acts optimally at
# the end (some find a way of 15 or 17 steps); the others go in circles or against the edge until the time is up. That is one task and one
# setting: how much each remedy matters differs between tasks, and parallel environments, whose transitions are less alike, take over part
# of what replay does (Mnih et al. 2016).
#
# ## What came after
#
# Each is a switch of `DQN.Config`, or an algorithm of its own.
#
# * **Double** (`double=True`; van Hasselt et al. 2016): the online network chooses, the target network values.
# * **Dueling** (`dueling=True`; Wang et al. 2016): two streams, $Q(s, a) = V(s) + A(s, a) - \frac1{|\mathcal A|} \sum_b A(s, b)$, so that
#   what all actions share is learned once.
# * **n-step** (`n_step=3`): several rewards before the bootstrap, as in lesson 4; that an older policy earned them is ignored.
# * **Prioritised replay** (`prioritized=True`; Schaul et al. 2016): draw in proportion to a power of the TD error, and weight to make up
#   for it.
# * **Distributional** (`c51`, `qr_dqn`; Bellemare et al. 2017, Dabney et al. 2018): learn the distribution of the return and not only its
#   mean.

# %%
print("double  ", ops.double_q_target(jnp.array(0.0), jnp.array(1.0), jnp.array([1.0, 5.0]), selector_q_values=jnp.array([3.0, 2.0])), "and not", 5.0)
print("dueling ", ops.dueling_q_values(jnp.array(10.0), jnp.array([1.0, 3.0])))
print("C51     ", ops.categorical_target(jnp.array(0.5), jnp.array(1.0), jnp.array([0.0, 1.0, 0.0]), jnp.array([0.0, 1.0, 2.0])))

# %% [markdown]
# ### The distribution that C51 learns
#
# On the route of lesson 4 the return from San José is $-8$ three times of four, else $-12$: its mean $-9$ never happens. C51 keeps
# probabilities on fixed places; a target $r + \gamma z$ falls between two of them, which share its mass (`ops.categorical_projection`).

# %%
config = {"total_steps": 6_000, "gamma": 1.0, "v_min": -16.0, "v_max": 0.0, "num_atoms": 17, "target_every": 20, "learning_rate": 2e-3, "num_envs": 8}
learned = run("c51", tabular.as_env(tabular.route()), config, seeds=1, num_evals=1, num_episodes=1, progress=False)
params = jax.tree.map(lambda x: x[0], learned.state.policy)
logits = c51.network(learned.config, learned.env).apply(params, jnp.arange(3))
probabilities = jax.nn.softmax(logits[:, 0], axis=-1)  # [state, atom]; there is one action
atoms = c51.support(learned.config)

fig, axes = plt.subplots(1, 3, figsize=(8, 2.8), sharey=True)
exact = ({-9: 0.75, -13: 0.25}, {-8: 0.75, -12: 0.25}, {-6: 1.0})
for ax, name, p, truth in zip(axes, ("San Francisco", "San José", "Los Angeles"), probabilities, exact):
    ax.bar(atoms, p, width=0.7, label="C51")
    ax.plot(list(truth), list(truth.values()), "o", color="C1", label="exact")
    ax.set(title=f"{name}, mean {p @ atoms:.1f}", xlabel="return [- hours]")
    print(f"{name:14}", {int(z): round(float(q), 2) for z, q in zip(atoms, p) if q > 0.02})
axes[0].set_ylabel("probability")
axes[2].legend(loc="upper left");

# %% [markdown]
# How far the bars miss the points is noise of the last batches: the step size does not fall.
#
# ## Exercises
#
# * **5.1** epsilon-greedy with ties: `jaxrl-up exercise start 5.1`
# * **5.2** the projection of C51: `jaxrl-up exercise start 5.2`
# * **5.3** replay across the end of an episode: `jaxrl-up exercise start 5.3`
#
# ## Further reading
#
# * C. J. C. H. Watkins, P. Dayan, 1992, *Q-learning*, Machine Learning 8.
# * J. N. Tsitsiklis, B. Van Roy, 1996, *Feature-based methods for large scale dynamic programming*, Machine Learning 22.
# * J. N. Tsitsiklis, B. Van Roy, 1997, *An analysis of temporal-difference learning with function approximation*, IEEE Transactions on
#   Automatic Control 42.
# * H. van Hasselt, 2010, *Double Q-learning*, NeurIPS.
# * V. Mnih et al., 2015, *Human-level control through deep reinforcement learning*, Nature 518; 2013: arXiv:1312.5602.
# * V. Mnih et al., 2016, *Asynchronous methods for deep reinforcement learning*, arXiv:1602.01783.
# * H. van Hasselt, A. Guez, D. Silver, 2016, *Deep reinforcement learning with double Q-learning*, arXiv:1509.06461.
# * Z. Wang et al., 2016, *Dueling network architectures for deep reinforcement learning*, arXiv:1511.06581.
# * T. Schaul, J. Quan, I. Antonoglou, D. Silver, 2016, *Prioritized experience replay*, arXiv:1511.05952.
# * M. G. Bellemare, W. Dabney, R. Munos, 2017, *A distributional perspective on reinforcement learning*, arXiv:1707.06887.
# * M. Hessel et al., 2018, *Rainbow: combining improvements in deep reinforcement learning*, arXiv:1710.02298.
# * H. van Hasselt, Y. Doron, F. Strub, M. Hessel, N. Sonnerat, J. Modayil, 2018, *Deep reinforcement learning and the deadly triad*,
#   arXiv:1812.02648.
