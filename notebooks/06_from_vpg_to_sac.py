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
# # From VPG to TRPO to PPO; from DDPG to TD3 to SAC
#
# After this lesson you can say what each of these algorithms adds to the one before, and why: how far a policy may step, and how far a
# critic may be trusted.

# %%
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import envs, ops, run, tabular, use_all_cores

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")

# %% [markdown]
# ## How long is a step?
#
# Lesson 3 ended with a gradient, $g = E[\nabla_\theta \log \pi_\theta(a|s) \, A(s, a)]$, and a step $\theta + \alpha g$. But distance
# between parameters is not distance between policies. What a policy does is a distribution, and the usual measure of how far two are apart
# is the Kullback-Leibler divergence (in nats)
#
# $$KL(\pi_{\text{old}} \,\|\, \pi) = E_{a \sim \pi_{\text{old}}}\left[\log \pi_{\text{old}}(a) - \log \pi(a)\right]$$
#
# Each of these steps has the length 0.1:

# %%
move = 0.1
for probability in (0.5, 0.99, 0.9999):
    logits = jnp.array([jnp.log(probability / (1 - probability)), 0.0])
    old, new = ops.Categorical(logits), ops.Categorical(logits + jnp.array([move, 0.0]))
    print(f"two actions, one with p = {probability:<7}KL {old.kl(new):12.9f}")
for std in (1.0, 0.1, 0.01):
    log_std = jnp.log(jnp.array([std]))
    old, new = ops.DiagonalGaussian(jnp.zeros(1), log_std), ops.DiagonalGaussian(jnp.array([move]), log_std)
    print(f"a Gaussian of deviation {std:<10}KL {old.kl(new):12.3f}")

# %% [markdown]
# A step size that is timid for one policy breaks another, and during training the policy changes from the first kind to the second.
#
# ## What a large step costs
#
# In supervised learning a bad step is mended by the next, as the data stay. Here the policy collects the data. A step that goes too far on
# the word of one noisy batch may leave a policy that no longer tries the good action, and then nothing tells. Three arms pay 1, 0.5 and 0
# on average, with a noise of 1. Each update sees 10 pulls; after 60 updates, 300 independent learners:

# %%
means = jnp.array([1.0, 0.5, 0.0])


def gradient_of(key, logits):
    "The policy gradient from ten pulls, with their mean as baseline."
    action_key, noise_key = jax.random.split(key)
    actions = jax.vmap(ops.Categorical(logits).sample)(jax.random.split(action_key, 10))
    rewards = means[actions] + jax.random.normal(noise_key, (10,))
    loss = lambda x: ops.score_function_loss(jax.vmap(ops.Categorical(x).log_prob)(actions), rewards - rewards.mean())
    return -jax.grad(loss)(logits)


def natural_step(logits, gradient, delta):
    "The step along the natural gradient whose quadratic KL is delta."
    kl = lambda x: ops.Categorical(logits).kl(ops.Categorical(x))
    fisher = ops.fisher_operator(kl, logits, damping=1e-3)
    x = ops.conjugate_gradient(fisher, gradient, iterations=5)
    return jnp.sqrt(2 * delta / jnp.maximum(x @ fisher(x), 1e-8)) * x


def play(key, step, size):
    def update(logits, key):
        return logits + step(logits, gradient_of(key, logits), size), None

    return jax.nn.softmax(jax.lax.scan(update, jnp.zeros(3), jax.random.split(key, 60))[0])


def plain_step(logits, gradient, size):
    return size * gradient


keys = jax.random.split(jax.random.key(0), 300)
for name, step, sizes in (("step size", plain_step, (0.1, 1.0, 10.0, 100.0)), ("KL of", natural_step, (0.001, 0.01, 1.0))):
    many = jax.jit(jax.vmap(lambda key, size: play(key, step, size), (0, None)))
    for size in sizes:
        p = many(keys, size)
        print(f"{name:9} {size:7.3f}: mean reward {(p @ means).mean():.2f}; certain of a worse arm {100 * (p[:, 1:].max(axis=1) > 0.95).mean():3.0f}%")

# %% [markdown]
# Small steps are safe and slow; large ones settle on whatever looked good first. The rows that fix the KL behave the same way, and their
# number means the same for every policy.
#
# ## The natural gradient, and TRPO
#
# So fix the distance in KL, and take the best step within it (Schulman et al. 2015):
#
# $$\max_\theta \; E\left[\frac{\pi_\theta(a|s)}{\pi_{\text{old}}(a|s)} A(s, a)\right] \qquad \text{subject to} \qquad E\left[KL(\pi_{\text{old}}(\cdot|s) \,\|\, \pi_\theta(\cdot|s))\right] \leq \delta$$
#
# Near the old parameters the first is linear in the step $d$, and the KL quadratic: $g^T d$ and $\frac12 d^T F d$, with the Fisher matrix
# $F = E[\nabla_\theta \log \pi_\theta (\nabla_\theta \log \pi_\theta)^T]$. The best step is along the **natural gradient** $F^{-1} g$ (Kakade 2001), and its length follows from $\delta$:
#
# $$d = \sqrt{\frac{2 \delta}{x^T F x}} \; x, \qquad x = F^{-1} g$$
#
# $F$ is as large as the number of parameters squared, and is never written down: products $F v$ are enough for the method of conjugate
# gradients. With three logits we can look:

# %%
logits = jnp.array([2.0, 0.0, -1.0])
p = jax.nn.softmax(logits)
kl = lambda x: ops.Categorical(logits).kl(ops.Categorical(x))
vector = jnp.array([1.0, 2.0, 3.0])
print("F v by differentiation   ", ops.fisher_vector_product(kl, logits, vector))
print("(diag p - p p^T) v       ", (jnp.diag(p) - jnp.outer(p, p)) @ vector)

g = p * (means - p @ means)  # the exact gradient of E[reward]
x = ops.conjugate_gradient(lambda v: ops.fisher_vector_product(kl, logits, v), g)
print("gradient                 ", g)
print("natural gradient         ", x.round(4), "= advantages, up to a constant:", (means - p @ means).round(4))

# %% [markdown]
# The gradient weighs each advantage by the probability of its action, so the third, which is the worst, moves less than the second; the
# natural one does not care how rare they are. And the policy that it leads to does not depend, to first order, on how the policy is
# parametrised.
#
# The two approximations hold near the old policy only. So TRPO takes the longest fraction of the step for which the true KL is within
# $\delta$ and the true surrogate improves, a **line search**:

# %%
advantages = means[::-1] - p @ means[::-1]  # now the rarest action is the best
g = p * advantages
surrogate = lambda new: jax.nn.softmax(new) @ advantages  # E_old[ratio * A], here exactly
for delta in (0.001, 0.01, 0.1, 1.0):
    full = natural_step(logits, g, delta)
    found = ops.backtracking_line_search(lambda new: (surrogate(new) > 0) & (kl(new) <= delta), logits, full)
    print(f"delta {delta:<6} KL of the full step {kl(logits + full):.4f}, taken {found.fraction:.2f} of it, KL {kl(found.params):.4f}, surrogate {surrogate(found.params):.3f}")

# %% [markdown]
# The larger $\delta$ is, the worse the quadratic approximation. A full step whose KL is over $\delta$ by a hair, as in the first rows, is
# shortened too.
#
# ## PPO: the same wish, by clipping
#
# TRPO needs second derivatives and takes one step for each batch. PPO (Schulman et al. 2017) takes many ordinary gradient steps on the same
# batch, and lets the loss say when it is enough. With the ratio $\rho = \pi_\theta(a|s) / \pi_{\text{old}}(a|s)$ it maximises
#
# $$E\left[\min\left(\rho A, \; \mathrm{clip}(\rho, 1 - \epsilon, 1 + \epsilon) \, A\right)\right]$$

# %%
ratios = jnp.linspace(0.0, 2.0, 201)
fig, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True)
for ax, advantage in zip(axes, (1.0, -1.0)):
    one = lambda ratio, loss, *rest: -loss(jnp.log(ratio)[None], jnp.zeros(1), jnp.array([advantage]), *rest)
    ax.plot(ratios, jax.vmap(lambda r: one(r, ops.surrogate_loss))(ratios), color="0.7", label="ratio × advantage")
    ax.plot(ratios, jax.vmap(lambda r: one(r, ops.clipped_surrogate_loss, 0.2))(ratios), linewidth=2.8, label="clipped, ε = 0.2")
    ax.axvspan(0.8, 1.2, color="black", alpha=0.05, linewidth=0)
    ax.plot(1, advantage, "o", color="C1")
    ax.set(xlabel="probability ratio ρ", title="better than expected: A = 1" if advantage > 0 else "worse than expected: A = -1")
axes[0].set_ylabel("objective")
axes[0].legend();

# %% [markdown]
# Where the line is flat there is no gradient: nothing is gained by making a good action more than 20% likelier, or a bad one more than 20%
# rarer. The other two sides are **not** clipped: if a ratio went the wrong way, the gradient brings it back. It is a wish, no bound: one
# sample's step moves the others' ratios, so the KL is to be watched (`target_kl`). It can be estimated from the actions that were taken:
# exercise 6.4.
#
# ## A2C between them
#
# A3C (Mnih et al. 2016) let many workers, each with its own environment, send gradients to one network whenever they were ready. **A2C** is
# its synchronous heir: all environments step together, one batch, one gradient for policy, critic and entropy, and the data are thrown
# away. Against VPG as of lesson 3: short windows (`rollout_length`) instead of long ones, so the critic's bootstrap matters more; and one
# step of all parts for each of many small batches. Against PPO: no ratio and no clip, and it needs none, as each batch is used once, where
# the ratio is 1. But for the optimiser and what PPO adds beside the clip (normalised advantages above all), A2C is PPO with one epoch and
# one minibatch (Huang et al. 2022).

# %%
ratio_one = jnp.log(jnp.array([0.2, 0.7]))
grad = lambda loss, *rest: jax.grad(lambda x: loss(x, *rest))(ratio_one)
print("A2C's gradient  ", grad(ops.score_function_loss, jnp.array([1.0, -2.0])))
print("PPO's, at ρ = 1 ", grad(ops.clipped_surrogate_loss, ratio_one, jnp.array([1.0, -2.0]), 0.2))

# %% [markdown]
# All four on CartPole, 30,000 steps, three seeds:

# %%
env = envs.make("CartPole-v1")
for name in ("vpg", "a2c", "trpo", "ppo"):
    result = run(name, env, {"total_steps": 30_000}, seeds=3, num_evals=2, progress=False)
    losses = {key: float(value.value[:, -1].mean()) for key, value in result.log.learned.items() if key == "kl"}
    print(f"{name:5}", *(f"{value:4.0f}" for value in result.returns[:, -1]), losses or "")

# %% [markdown]
# (`kl` is the mean KL between old and new policy in the second half of training, which only these two log: TRPO's stays below its $\delta$
# of 0.01; PPO's is taken before each gradient step, also before the first one, where it is 0.)
#
# A sketch, with three seeds: A2C, whose batches are small and used once, is the slowest. Ten seeds and longer runs come at the end.
#
# ## Continuous actions: climb the critic
#
# The other family starts from Q-learning. With actions that are numbers $\max_a Q(s, a)$ is a search of its own, in every target. DDPG
# (Lillicrap et al. 2016) learns an actor $\mu_\theta(s)$ to be that maximiser, by the **deterministic policy gradient** (Silver et al.
# 2014), the chain rule:
#
# $$\nabla_\theta J \approx E_{s \sim \text{replay}}\left[\nabla_a Q(s, a) \big|_{a = \mu_\theta(s)} \nabla_\theta \mu_\theta(s)\right], \qquad y = r + \gamma \, Q'(s', \mu'(s'))$$
#
# (After a terminal step $y = r$, here and below.) Replay and target networks are DQN's; to explore, noise is added to the action. It inherits DQN's fault as well: the actor climbs to where
# the critic is *too high*. TD3 (Fujimoto et al. 2018) learns two critics and believes the lower one, $y = r + \gamma \min(Q_1', Q_2')$.
# Critics of a value 0 everywhere, with independent errors of 1 at 20 actions:

# %%
errors = jax.random.normal(jax.random.key(0), (2, 10_000, 20))
chosen = errors[0].argmax(axis=1)
first, second = (jnp.take_along_axis(e, chosen[:, None], axis=1)[:, 0] for e in errors)
zero, one = jnp.zeros_like(first), jnp.ones_like(first)
print(f"DDPG, the critic at the action it likes best {ops.td_target(zero, one, first).mean():5.2f}")
print(f"another critic at that action                {second.mean():5.2f}")
print(f"TD3, the smaller of both                     {ops.clipped_double_q_target(zero, one, first, second).mean():5.2f}")

# %% [markdown]
# Where one critic is much too high the other one is not, so the minimum is near the truth; over all actions it is rather too low. That is
# the better side to err on: an action that is thought too bad is not sought out, and the error does not feed itself through the bootstrap.
# TD3's other two changes: the actor and the targets move every second step only (**delay**), and noise is added to the target's action, so
# that the critic is averaged over neighbours and a narrow peak cannot be exploited (**smoothing**):

# %%
peak = lambda a: jnp.exp(-0.5 * (a / 0.5) ** 2) + 1.5 * jnp.exp(-0.5 * ((a - 0.7) / 0.02) ** 2)  # a hill, and an artefact
actions = jnp.linspace(-1, 1, 401)
noise = jnp.clip(0.2 * jax.random.normal(jax.random.key(0), (2000,)), -0.5, 0.5)
smooth = jax.vmap(lambda a: peak(a + noise).mean())(actions)
print(f"best action of the critic {actions[peak(actions).argmax()]:.2f}, of the smoothed one {actions[smooth.argmax()]:.2f}")

# %% [markdown]
# Does it happen with networks? On Pendulum, ten seeds of each: what the critic says of the first action of an episode, and what came
# (`python bench/lesson_06.py`; 12,000 steps, $\gamma = 0.95$):

# %%
rows = np.genfromtxt(Path("data/06_critics.csv"), delimiter=",", names=True, dtype=None, encoding="utf-8")
for name in ("ddpg", "td3"):
    own = rows[rows["algorithm"] == name]
    error, interval = own["critic"] - own["discounted_return"], ops.score(own["critic"] - own["discounted_return"])
    print(f"{name:5} critic minus return {interval}, of single seeds {error.min():.1f} to {error.max():.1f}; the return itself {own['discounted_return'].mean():.0f}")

# %% [markdown]
# DDPG's critic is too high in each of the ten seeds, and each of TD3's is too low, as the argument says. Here it does no harm: the policies
# are equally good. What the actor needs is the order of actions, not their values, and on Pendulum it survives.
#
# ## SAC: pay for entropy
#
# A deterministic actor needs noise to explore, and how much is for the user to say. SAC (Haarnoja et al. 2018) makes randomness part of the
# aim: each step pays $\alpha$ for each nat of entropy $H(\pi) = -E_{a \sim \pi}[\log \pi(a|s)]$,
#
# $$J(\pi) = E\left[\sum_t \gamma^t \left(r_t + \alpha H(\pi(\cdot|s_t))\right)\right], \qquad V(s) = E_{a \sim \pi}\left[Q(s, a) - \alpha \log \pi(a|s)\right]$$
#
# The best policy for such a **soft value** is a softmax of $Q / \alpha$, and the maximum becomes
# $\alpha \log \sum_a \exp(Q(s, a) / \alpha)$. In a table it can be solved exactly: a machine is worked (pays 1, wears) or mended.

# %%
transition = [[[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]] * 2]
machine = tabular.mdp(transition, [[1.0, 0.0]] * 3, discount=0.9, start=0, terminal=[2])
for alpha in (0.01, 0.3, 1.0, 10.0):
    soft = tabular.soft_value_iteration(machine, alpha=alpha)
    entropy = -(soft.policy[:2] * jnp.log(soft.policy[:2] + 1e-30)).sum(axis=1)
    print(f"alpha {alpha:<5} works when new {soft.policy[0, 0]:.2f}, when worn {soft.policy[1, 0]:.2f}; entropies {entropy[0]:.2f} and {abs(entropy[1]):.2f} nats; return {tabular.expected_return(machine, soft.policy):.2f}")

# %% [markdown]
# (Even at $\alpha = 10$ a worn machine is mended: a broken one would earn no more entropy. What is paid for is wanted for ever.)
#
# The **temperature** $\alpha$ is in units of reward per nat, so a good number depends on the task. It can be learned: raise $\alpha$ while
# the entropy is below a target, lower it above (`learn_alpha`, `target_entropy`). SAC's target has TD3's minimum in it, and the policy's
# own randomness does the smoothing:
#
# $$y = r + \gamma \left(\min(Q_1', Q_2')(s', a') - \alpha \log \pi(a'|s')\right), \quad a' \sim \pi(\cdot|s')$$

# %%
args = jnp.array(1.0), jnp.array(0.9), jnp.array(5.0), jnp.array(6.0)
print(f"TD3 {ops.clipped_double_q_target(*args):.2f}, SAC {ops.soft_target(*args, jnp.array(-2.0), 0.2):.2f}")

# %% [markdown]
# Actions are bounded and a Gaussian is not, so SAC acts $a = \tanh(u)$ with $u$ from a Gaussian whose mean and deviation are functions of the
# state. That is differentiable in both, so the actor climbs the critic as DDPG's does, through the action; and the density is corrected
# for what tanh stretches (`ops.TanhGaussian`, exercise 6.2):
#
# $$\log \pi(a|s) = \log N(u; s) - \sum_i \log\left(1 - \tanh^2 u_i\right)$$
#
# ## Ten seeds
#
# Curves of the recipes in `configs/`, made by `python bench/scores.py`; lines are interquartile means of ten seeds, bands their 95%
# intervals.

# %%
colours = {name: f"C{i}" for i, name in enumerate(("vpg", "a2c", "trpo", "ppo", "ddpg", "td3", "sac"))}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for ax, task, names in ((axes[0], "cartpole", ("vpg", "a2c", "trpo", "ppo")), (axes[1], "pendulum", ("ddpg", "td3", "sac", "trpo", "ppo"))):
    for name in names:
        report = json.loads(Path(f"../bench/results/{name}-{task}.json").read_text())
        middle, low, high = ops.bootstrap(report["curves"], resamples=500)
        steps = np.array(report["curve_steps"]) / 1000
        ax.plot(steps, middle, "o-", color=colours[name], markersize=3, label=name)
        ax.fill_between(steps, low, high, color=colours[name], alpha=0.12, linewidth=0)
        print(f"{task:9} {name:5} {steps[-1]:4.0f}k steps: {middle[-1]:6.1f} [{low[-1]:.1f}, {high[-1]:.1f}]")
    ax.set(xlabel="environment steps [thousands]")
    ax.legend(loc="lower right")
axes[0].set(title="CartPole (the first 150,000 of 500,000)", ylabel="return", xlim=(0, 150), ylim=(0, 520))
axes[1].set(title="Pendulum (logarithmic)", xscale="log", ylim=(-1700, 0))
axes[1].set_xticks([1, 10, 100, 1000], ["1", "10", "100", "1,000"]);

# %% [markdown]
# Read it with care. On CartPole all four end at the maximum of 500, and on Pendulum the five end alike: ten seeds do not tell them apart.
# What differs is how soon: on Pendulum the off-policy three are there within 10,000 steps, since replay uses each step many times; that is
# three batches of PPO and TRPO, which are first evaluated after 50,000. On harder tasks DDPG falls behind (Fujimoto et al. 2018); these two
# do not show it.
#
# | | learns from | step or target | explores by |
# |---|---|---|---|
# | VPG | its own last batch | gradient of fixed step size | its own distribution |
# | A2C | short windows of many environments | the same, with critic and entropy in one loss | its own distribution |
# | TRPO | its own last batch | natural gradient, KL within $\delta$ | its own distribution |
# | PPO | the same batch, several times | clipped ratio | its own distribution |
# | DDPG | replay | one critic, deterministic actor | added noise |
# | TD3 | replay | smaller of two critics, delay, smoothing | added noise |
# | SAC | replay | smaller of two critics, entropy | its own distribution |
#
# ## Exercises
#
# * **6.1** the losses of TD3: `jaxrl-up exercise start 6.1`
# * **6.2** the log-probability of a squashed Gaussian: `jaxrl-up exercise start 6.2`
# * **6.3** TRPO and PPO with and without value fitting: `jaxrl-up exercise start 6.3`
# * **6.4** KL the wrong way round: `jaxrl-up exercise start 6.4`
#
# ## Further reading
#
# * S. Kakade, 2001, *A natural policy gradient*, NeurIPS.
# * J. Schulman, S. Levine, P. Moritz, M. I. Jordan, P. Abbeel, 2015, *Trust region policy optimization*, arXiv:1502.05477.
# * V. Mnih et al., 2016, *Asynchronous methods for deep reinforcement learning*, arXiv:1602.01783.
# * J. Schulman, F. Wolski, P. Dhariwal, A. Radford, O. Klimov, 2017, *Proximal policy optimization algorithms*, arXiv:1707.06347.
# * S. Huang et al., 2022, *A2C is a special case of PPO*, arXiv:2205.09123.
# * L. Engstrom et al., 2020, *Implementation matters in deep policy gradients*, arXiv:2005.12729.
# * D. Silver et al., 2014, *Deterministic policy gradient algorithms*, ICML.
# * T. P. Lillicrap et al., 2016, *Continuous control with deep reinforcement learning*, arXiv:1509.02971.
# * S. Fujimoto, H. van Hoof, D. Meger, 2018, *Addressing function approximation error in actor-critic methods*, arXiv:1802.09477.
# * T. Haarnoja et al., 2018, *Soft actor-critic algorithms and applications*, arXiv:1812.05905.
