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
# # Key concepts
#
# After this lesson you can say what a state, a policy, a return and a value are, write each as an equation, and compute it: exactly where the world
# is small, from samples where it is not. Nothing is trained to act here; that is what the other lessons are about.

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import PPO, envs, ops, tabular, use_all_cores
from jaxrl_up.analysis import plot_grid
from jaxrl_up.learning import on_policy
from jaxrl_up.tabular import policy_gradients

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")
np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## Agent and environment
#
# An **agent** acts in an **environment**. At each step it sees an observation, chooses an action, and the environment answers with a reward and the
# next observation. The agent wants much reward over time, and nobody tells it which action would have been right.
#
# In this library an environment is two pure functions. `reset(key)` begins an episode; `step(key, state, action)` makes one step. Chance comes in
# through the key alone, so the same arguments give the same result. Here a pole on a cart is pushed left (0) or right (1), and each step that it
# stays up pays 1.

# %%
env = envs.make("CartPole-v1")
step_env = jax.jit(env.step)


def play(policy, key):
    "One episode of `policy(obs, key) -> action`: what was seen, done and earned, and how it ended."
    state, obs = env.reset(key)
    rows = []
    for time in range(env.max_steps):
        act_key, env_key = jax.random.split(jax.random.fold_in(key, time))
        action = policy(obs, act_key)
        state, step = step_env(env_key, state, action)
        rows.append((obs, int(action), float(step.reward)))
        obs = step.obs
        if step.terminated or step.truncated:
            return rows, "it fell" if step.terminated else "the time limit cut it"


rows, ending = play(lambda obs, key: jax.random.randint(key, (), 0, 2), jax.random.key(0))
for time, (obs, action, reward) in enumerate(rows[:3]):
    print(f"step {time}: sees {obs}, does {action}, earns {reward:.0f}")
print(f"... {len(rows)} steps, then {ending}; earned {sum(row[2] for row in rows):.0f}")

# %% [markdown]
# ## State and observation
#
# The **state** $s$ is all that decides, together with the action, what comes next. The **observation** $o$ is what the agent is shown. Where they
# carry the same information the environment is *fully observed*, else *partially observed*. A pendulum's state is an angle and a velocity; it is
# shown as cosine, sine and velocity, so that nothing jumps where the angle wraps. Without the velocity, two different futures look the same.

# %%
pendulum = envs.make("Pendulum-v1")
state, obs = pendulum.reset(jax.random.key(0))
print(f"state        angle {state.theta:.3f}, velocity {state.theta_dot:.3f}")
print(f"observation  {obs}")

blind = envs.mask_observation(pendulum, keep=(0, 1))
print(f"masked       {blind.reset(jax.random.key(0))[1]}, which could be swinging either way")

# %% [markdown]
# Most texts write $s$ where the agent sees $o$, and so do we: it is harmless where the observation is as good as the state.
#
# ## Action spaces
#
# The **action space** holds what may be done. It is *discrete*, one of $n$, or *continuous*, a vector of numbers within bounds. It decides which
# policies, and so which algorithms, can be used.

# %%
for example in (env, pendulum):
    print(f"{example.name:13} observations {example.observation_space}, actions {example.action_space}")

# %% [markdown]
# ## Policies
#
# A **policy** is the rule by which the agent acts. A deterministic one is a function, $a = \mu_\theta(s)$; a stochastic one is a distribution over
# actions, $a \sim \pi_\theta(\cdot \mid s)$. The parameters $\theta$ are what learning changes. A deterministic policy of one parameter vector
# already balances the pole:

# %%
theta = jnp.array([0.1, 0.5, 1.0, 1.5])  # push towards where the pole leans and falls
rows, ending = play(lambda obs, key: (theta @ obs > 0).astype(int), jax.random.key(0))
print(f"deterministic: {len(rows)} steps, then {ending}")

# %% [markdown]
# A stochastic policy has to do two things: **sample** an action, and say its **log-likelihood** $\log \pi_\theta(a \mid s)$, whose gradient is what
# policy optimisation needs.
#
# ### Categorical: discrete actions
#
# A network, or any function, gives a number for each action, the logits $z_\theta(s)$. Their softmax is the policy, so the log-likelihood is an
# entry of the log-softmax:
#
# $$\pi_\theta(a \mid s) = \frac{e^{z_a}}{\sum_b e^{z_b}}, \qquad \log \pi_\theta(a \mid s) = z_a - \log \sum_b e^{z_b}$$

# %%
categorical = ops.Categorical(logits=jnp.array([1.0, 2.0, -1.0]))
action = categorical.sample(jax.random.key(0))
drawn = jax.vmap(categorical.sample)(jax.random.split(jax.random.key(1), 10_000))
print("probabilities", jnp.exp(categorical.log_probs()), "frequencies", jnp.bincount(drawn, length=3) / 10_000)
print(f"action {action}: log-likelihood {categorical.log_prob(action):.4f}, by hand", end=" ")
print(f"{categorical.logits[action] - jnp.log(jnp.exp(categorical.logits).sum()):.4f}")

# %% [markdown]
# ### Diagonal Gaussian: continuous actions
#
# The policy gives a mean $\mu_\theta(s)$ and a standard deviation $\sigma$ for each of the $D$ dimensions. A sample is $a = \mu + \sigma \odot z$
# with $z \sim \mathcal{N}(0, I)$. The dimensions are independent, so the density is a product of $D$ normal densities, and its logarithm a sum:
#
# $$\pi_\theta(a \mid s) = \prod_{i=1}^{D} \frac{1}{\sqrt{2\pi}\,\sigma_i} \exp\left(-\frac{(a_i - \mu_i)^2}{2\sigma_i^2}\right)$$
#
# $$\log \pi_\theta(a \mid s) = -\frac{1}{2} \sum_{i=1}^{D} \left[\frac{(a_i - \mu_i)^2}{\sigma_i^2} + 2 \log \sigma_i + \log 2\pi\right]$$

# %%
gaussian = ops.DiagonalGaussian(mean=jnp.array([0.5, -1.0]), log_std=jnp.array([-0.5, 0.3]))
action = gaussian.sample(jax.random.key(0))
mean, std = gaussian.mean, jnp.exp(gaussian.log_std)
by_hand = -0.5 * jnp.sum(((action - mean) / std) ** 2 + 2 * jnp.log(std) + jnp.log(2 * jnp.pi))
print(f"action {action}: log-likelihood {gaussian.log_prob(action):.4f}, by hand {by_hand:.4f}")

# %% [markdown]
# Networks give $\log \sigma$ and not $\sigma$, because it may be any real number. It comes in two kinds:
#
# - **a parameter**: $D$ numbers that do not depend on the state (VPG, TRPO and PPO, by default);
# - **a network output**: a function of the state, as the mean is (SAC always; `log_std="network"` for the others).
#
# Both as PPO has them, on two observations of the pendulum. To see the difference, the untrained slope is made a hundred times steeper:

# %%
two = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 8.0]])
for kind in ("parameter", "network"):
    network = on_policy.network(PPO.Config(log_std=kind), pendulum)
    actor = network.init(jax.random.key(0))["actor"]
    head = actor["params"]["head"]
    if kind == "network":
        head["log_std_slope"] = jax.tree.map(lambda w: 100 * w, head["log_std_slope"])
    policy = network.policy(actor, two)
    print(f"{kind:9}: std {jnp.exp(policy.log_std).ravel()} in the two states; parts of the head: {', '.join(head)}")

# %% [markdown]
# ### Likelihood and probability
#
# The number $\pi_\theta(a \mid s)$ of a continuous action is a density and no probability. A single action has probability 0; probabilities are
# areas, as that of an interval of actions. A density may exceed 1, so a log-likelihood may be positive. What has to be 1 is its integral over
# *actions*.
#
# Read as a function of the *parameters*, for an action that was taken, the same formula is called the **likelihood**. That need not sum to 1 over
# anything. Learning climbs it: "make what was done more likely".

# %%
narrow = ops.DiagonalGaussian(mean=jnp.zeros(1), log_std=jnp.log(jnp.array([0.1])))
a = jnp.linspace(-1, 1, 20_001)[:, None]
density = jnp.exp(jax.vmap(narrow.log_prob)(a))
inside = jnp.abs(a[:, 0]) <= 0.1
print(f"density at the mean {density.max():.2f}, log-likelihood {jnp.log(density.max()):.2f}")
print(f"integral over actions {density.sum() * 1e-4:.4f}, P(-0.1 < a < 0.1) = {density[inside].sum() * 1e-4:.2f}")
stds = jnp.linspace(0.01, 3, 30_000)
likelihood = jnp.exp(jax.vmap(lambda std: ops.DiagonalGaussian(jnp.zeros(1), jnp.log(std)[None]).log_prob(jnp.ones(1)))(stds))
print(f"likelihood of std, for the action 1: highest at {stds[likelihood.argmax()]:.2f}, integral from 0 to 3 {likelihood.sum() * 1e-4:.2f}")

# %% [markdown]
# ## A world to compute in
#
# A **Markov decision process** (MDP) is states, actions, $P(s' \mid s, a)$, rewards $r(s, a)$, where episodes begin, and a discount $\gamma$.
# *Markov* says that what comes next depends on the present state and action only. Where states are few, all that follows can be computed exactly:
# that is `jaxrl_up.tabular`.
#
# A machine is new (0), worn (1) or broken (2). To work (action 0) pays 1 and wears it, half of the time. To mend it (action 1) pays nothing, and it
# is new again. Broken is the end.

# %%
transition = [
    [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]],  # new: work, mend
    [[0.0, 0.5, 0.5], [1.0, 0.0, 0.0]],  # worn
    [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0]],  # broken: not read
]
machine = tabular.mdp(transition, reward=[[1.0, 0.0]] * 3, discount=0.9, start=0, terminal=[2])
uniform = tabular.uniform_policy(machine)
machine

# %% [markdown]
# ## Trajectories
#
# A **trajectory** $\tau = (s_0, a_0, r_0, s_1, a_1, r_1, \ldots)$ is what happens; episode and rollout are other names. Its probability is the
# product of all chances on the way:
#
# $$P(\tau \mid \pi) = P(s_0) \prod_{t=0}^{T-1} \pi(a_t \mid s_t)\, P(s_{t+1} \mid s_t, a_t)$$
#
# Of two steps of the machine there are nine, and their probabilities sum to 1.

# %%
short = machine.replace(horizon=2)
tau = tabular.all_trajectories(short)  # time leads: states [3, 9], actions [2, 9]
probability = jnp.exp(tabular.trajectory_log_prob(short, uniform, tau))
drawn = tabular.sample_trajectories(short, uniform, jax.random.key(0), number=10_000)
for n in range(9):
    same = (drawn.states == tau.states[:, n, None]).all(0) & (drawn.actions == tau.actions[:, n, None]).all(0)
    print(f"states {tau.states[:, n]} actions {tau.actions[:, n]}: P {probability[n]:.4f}, in 10,000 draws {same.mean():.4f}")
print(f"sum {probability.sum():.4f}")

# %% [markdown]
# ## Return
#
# The **return** of a trajectory is the sum of its rewards. There are two kinds:
#
# $$R(\tau) = \sum_{t=0}^{T-1} r_t \quad \text{(finite horizon, undiscounted)} \qquad R(\tau) = \sum_{t=0}^{\infty} \gamma^t r_t \quad \text{(infinite horizon, discounted)}$$
#
# With $\gamma < 1$ the infinite sum is finite: at most $r_{\max} / (1 - \gamma)$. Reward now is worth more than reward later, and about
# $1 / (1 - \gamma)$ steps ahead count. Deep RL mixes the two: it learns with a discount and reports the undiscounted sum.
#
# The discounted sum from step $t$ on is the **reward-to-go** $G_t = r_t + \gamma G_{t+1}$. In code an end is a discount of 0: `discount`
# $= \gamma (1 - \text{terminated})$.

# %%
rewards = jnp.array([1.0, 0.0, 0.0, 5.0])
going = jnp.array([1.0, 1.0, 1.0, 0.0])  # the fourth step terminates
for gamma in (1.0, 0.9):
    print(f"gamma {gamma}: reward-to-go", ops.discounted_returns(rewards, gamma * going, going), end="; ")
    print("return", ops.trajectory_returns(rewards, gamma * going, going))
print("a reward of 1 for ever:", {gamma: round(1 / (1 - gamma)) for gamma in (0.9, 0.99, 0.999)})

# %% [markdown]
# ## The problem
#
# What is to be made large is the **expected return**. That is all of reinforcement learning in one line:
#
# $$J(\pi) = \mathbb{E}_{\tau \sim \pi}[R(\tau)] = \sum_\tau P(\tau \mid \pi)\, R(\tau), \qquad \pi^* = \mathrm{arg}\max_\pi J(\pi)$$
#
# The sum can be made over all trajectories, by solving linear equations without listing any, or from samples, with an error that falls as
# $1/\sqrt{N}$.

# %%
sample = drawn.returns
print(f"all trajectories  J = {probability @ tau.returns:.4f}")
print(f"linear equations  J = {tabular.expected_return(short, uniform):.4f}")
print(f"10,000 samples    J = {sample.mean():.4f} +- {sample.std() / 100:.4f} (standard error)")

# %% [markdown]
# ## Value functions
#
# A **value** is an expected return from somewhere on. Four of them, for a policy and for the best there is:
#
# $$V^\pi(s) = \mathbb{E}_\pi[G_t \mid s_t = s] \qquad Q^\pi(s, a) = \mathbb{E}_\pi[G_t \mid s_t = s, a_t = a]$$
#
# $$V^*(s) = \max_\pi V^\pi(s) \qquad Q^*(s, a) = \max_\pi Q^\pi(s, a)$$
#
# $Q$ takes the action $a$ first, whatever $\pi$ would do, and follows $\pi$ after that. So $V^\pi(s) = \mathbb{E}_{a \sim \pi}[Q^\pi(s, a)]$ and
# $V^*(s) = \max_a Q^*(s, a)$.

# %%
v, q = tabular.v_pi(machine, uniform), tabular.q_pi(machine, uniform)
v_star, q_star = tabular.v_star(machine), tabular.q_star(machine)
for name, values in (("V^pi", v), ("sum_a pi Q^pi", ops.v_from_q(q, uniform)), ("V*", v_star), ("max_a Q*", q_star.max(1))):
    print(f"{name:14} new {values[0]:.3f}, worn {values[1]:.3f}, broken {values[2]:.0f}")
print(f"Q* of a worn machine: work {q_star[1, 0]:.3f}, mend {q_star[1, 1]:.3f}")

# %% [markdown]
# ## Bellman equations
#
# All four obey one idea: *what a state is worth is what the next step pays, plus what the place you reach is worth.*
#
# $$V^\pi(s) = \mathbb{E}_{a \sim \pi,\, s' \sim P}[r(s, a) + \gamma V^\pi(s')] \qquad Q^\pi(s, a) = \mathbb{E}_{s' \sim P}\left[r(s, a) + \gamma\, \mathbb{E}_{a' \sim \pi}[Q^\pi(s', a')]\right]$$
#
# $$V^*(s) = \max_a \mathbb{E}_{s' \sim P}[r(s, a) + \gamma V^*(s')] \qquad Q^*(s, a) = \mathbb{E}_{s' \sim P}\left[r(s, a) + \gamma \max_{a'} Q^*(s', a')\right]$$
#
# The right-hand side, as a function of any values, is a **Bellman backup**. The true values are its fixed point, and every backup brings any others
# nearer by the factor $\gamma$ at least. So one may begin with nothing and repeat; that is value iteration.

# %%
print(f"residuals: V^pi {tabular.residual(machine, v, uniform):.1e}, V* {tabular.residual(machine, v_star):.1e}")
values = jnp.zeros(3)
for sweep in range(1, 101):
    values = tabular.optimality_backup_v(machine, values)
    if sweep in (1, 2, 10, 50, 100):
        error, bound = jnp.abs(values - v_star).max(), 0.9**sweep * v_star.max()
        print(f"after {sweep:3d} backups: new {values[0]:.3f}, worn {values[1]:.3f}; error {error:.4f}, at most {bound:.4f}")

# %% [markdown]
# ## Advantage
#
# Often it matters only how much better an action is than what the policy does on average:
#
# $$A^\pi(s, a) = Q^\pi(s, a) - V^\pi(s), \qquad \mathbb{E}_{a \sim \pi}[A^\pi(s, a)] = 0$$
#
# (Both values are those of $\pi$. Some texts print $Q^* - V^*$ here, which is the advantage of the *optimal* policy alone, and at most 0
# everywhere.)

# %%
for name, table in (("A^pi", tabular.a_pi(machine, uniform)), ("Q* - V*", q_star - v_star[:, None])):
    print(f"{name:8} new: work {table[0, 0]:+.3f}, mend {table[0, 1]:+.3f};  worn: work {table[1, 0]:+.3f}, mend {table[1, 1]:+.3f}")
print("mean over the policy", ops.v_from_q(tabular.a_pi(machine, uniform), uniform))

# %% [markdown]
# ## The optimal policy
#
# From $Q^*$ the best action can be read off, $a^*(s) = \mathrm{arg}\max_a Q^*(s, a)$: an optimal policy, deterministic, and of the state alone.
# There may be others as good. From $V^*$ it takes the model too, to look one step ahead. And from $Q^\pi$ of *any* policy the greedy action gives a
# policy at least as good, which is why values help to act.

# %%
policy = uniform
for step in range(3):
    print(f"J = {tabular.expected_return(machine, policy):.3f}: works when new with {policy[0, 0]:.1f}, when worn with {policy[1, 0]:.1f}")
    policy = tabular.greedy(tabular.q_pi(machine, policy))
print(f"V* of a new machine is {v_star[0]:.3f}")

# %% [markdown]
# The same definitions on a grid where one can see them (the start is in the middle of the left column): a step costs 0.04, one in five slips to a
# side, G pays 1 and P takes 1. From values comes a better policy, the better policy has other values, and so on to the optimum: that is policy
# iteration. The first improvement only learns to keep away from the pits, the second finds the way between them.

# %%
world = tabular.from_grid(["..P...", "S....G", "..P..."], discount=0.95, step_reward=-0.04, slip=0.2)
random, best = tabular.uniform_policy(world), tabular.value_iteration(world)
once = tabular.greedy(tabular.q_pi(world, random))
twice = tabular.greedy(tabular.q_pi(world, once))
titles = ("walking at random", "greedy in the values of that", "greedy in those again", "optimal")
fig, axes = plt.subplots(2, 2, figsize=(10.5, 6))
with tempfile.TemporaryDirectory() as directory:
    for ax, title, policy in zip(axes.flat, titles, (random, once, twice, best.policy)):
        values = tabular.v_pi(world, policy)
        ax.imshow(plt.imread(plot_grid(world, Path(directory) / "grid.png", values, policy, label="V of this policy")))
        ax.set_title(f"{title}: J = {tabular.expected_return(world, policy):.2f}", fontsize=12)
        ax.axis("off")

# %% [markdown]
# ## Beside supervised learning
#
# Two parts of RL *are* supervised learning.
#
# **Fitting a value is regression.** Inputs are states that were visited, targets the reward-to-go that came. The least mean squared error is
# reached by the conditional mean, and $\mathbb{E}[G_t \mid s_t]$ is $V^\pi$ by definition. Below, from 1,000 random walks, once with a column for
# each state (the fit is then the mean of what was seen), and once with three features.

# %%
walks = tabular.sample_trajectories(world, random, jax.random.key(0), number=1000, steps=200)
to_go = ops.discounted_returns(walks.rewards, walks.discount, walks.going)
taken = walks.taken > 0
seen, targets = walks.states[:-1][taken], to_go[taken]
where = jnp.array(world.layout.cells, jnp.float32)  # row and column of each state
features = {"a column each": jnp.eye(world.states), "1, row, column": jnp.c_[jnp.ones(world.states), where]}
truth, visits = tabular.v_pi(world, random), jnp.bincount(seen, length=world.states)
for name, x in features.items():
    weights = jnp.linalg.lstsq(x[seen], targets)[0]
    error = jnp.sqrt(visits @ (x @ weights - truth) ** 2 / visits.sum())
    left = jnp.sqrt(jnp.mean((x[seen] @ weights - targets) ** 2))
    print(f"{name:15}: {x.shape[1]:2d} weights, error of V {error:.3f}; the loss stays at {left:.3f}, the spread of returns")

# %% [markdown]
# **Imitating an expert is classification.** Inputs are its states, labels its actions, and the cross-entropy is the log-likelihood from above. But
# supervised learning assumes that tests look like the training data, and here they do not: *the learner's own mistakes choose the states it sees
# next*. On a cliff (the bottom row is a fall of -100 and back to the start) the best way is 13 steps along the edge. A softmax with logits for each
# state learns from 20 episodes of it.

# %%
cliff = tabular.cliff_walking()
expert = tabular.value_iteration(cliff).policy
shown = tabular.sample_trajectories(cliff, expert, jax.random.key(0), number=20, steps=30)
states, labels = shown.states[:-1][shown.taken > 0], shown.actions[shown.taken > 0]


def cross_entropy(logits):
    return -ops.Categorical(logits[states]).log_prob(labels).mean()


logits = jnp.zeros((cliff.states, cliff.actions))
for _ in range(200):
    logits -= jax.grad(cross_entropy)(logits)
imitator = policy_gradients.softmax_policy(logits)

agree = ops.v_from_q(expert, imitator)  # how often it does what the expert would do, in each state
where_they_are = {"the expert's": tabular.occupancy(cliff, expert), "its own": tabular.occupancy(cliff, imitator)}
for whose, occupancy in where_they_are.items():
    share = occupancy[~cliff.terminal] / occupancy[~cliff.terminal].sum()
    print(f"in {whose:12} states it does what the expert does {share @ agree[~cliff.terminal]:.0%} of the time")
print(f"return: expert {tabular.expected_return(cliff, expert):.0f}, imitator {tabular.expected_return(cliff, imitator):.0f}")

# %%
fig, axes = plt.subplots(2, 1, figsize=(6.4, 4.8))
titles = ("the expert's states: what the imitator was taught on", "the imitator's states: where it has to act")
for ax, title, occupancy in zip(axes, titles, where_they_are.values()):
    grid = np.where(occupancy > 1e-3, occupancy, np.nan).reshape(4, 12)
    image = ax.pcolormesh(grid, norm="log", vmin=0.03, vmax=3, cmap="Blues", edgecolor="0.85", linewidth=1)
    ax.add_patch(plt.Rectangle((1, 3), 10, 1, color="C1", alpha=0.35, linewidth=0))
    for column, text in ((0.5, "start"), (6, "cliff"), (11.5, "end")):
        ax.text(column, 3.5, text, ha="center", va="center", fontsize=9)
    ax.set_title(title, loc="left")
    ax.invert_yaxis()
    ax.axis("off")
fig.colorbar(image, ax=axes, label="visits in an episode");

# %% [markdown]
# On the edge it errs a little, and a fall costs 100; above the edge nobody showed it anything, and it acts at random. With an error of $\epsilon$
# at each step the loss of return can grow as $\epsilon T^2$ and not as $\epsilon T$ (Ross and Bagnell 2010). The cure is data from the learner's
# own states. DAgger asks the expert there; reinforcement learning has no expert, only the reward. In RL a moving distribution is the normal case:
# the data are the policy's own, so every update changes where the next batch comes from.
#
# ## Exercises
#
# `jaxrl-up exercise start 1.1` writes a file with a gap, `jaxrl-up exercise check 1.1` marks it.
#
# - 1.1 the log-likelihood of a diagonal Gaussian
# - 1.2 a policy network: mean, sample, log-likelihood
# - 1.3 the discounted return
# - 1.4 a Bellman backup
# - 1.5 a step of value iteration
#
# ## Further reading
#
# - R. Sutton and A. Barto (2018), *Reinforcement Learning: An Introduction*, chapters 3 and 4.
# - S. Russell and P. Norvig (2010), *Artificial Intelligence: A Modern Approach*, third edition, chapter 17.
# - S. Ross and J. A. Bagnell (2010), "Efficient reductions for imitation learning", AISTATS.
# - S. Ross, G. Gordon and J. A. Bagnell (2011), "A reduction of imitation learning and structured prediction to no-regret online learning", arXiv:1011.0686.
# - J. Achiam (2018), *Spinning Up in Deep RL*, part 1.
