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
# # Kinds of algorithms
#
# After this lesson you can place an algorithm by two questions, *does it have a model?* and *what does it learn?*, and say what the answer costs.
# Each branch has a cell that runs one of its algorithms; the name in the cell can be changed to any neighbour's.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import envs, evaluate, run, tabular, use_all_cores

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")

# %% [markdown]
# ## The tree
#
# A **model** of the environment is a function that says what comes next: $P(s' \mid s, a)$ and $r(s, a)$, or something that simulates them. With
# one, an agent can think ahead; without, it can only try. That is the first branch. The second is what is learned: a policy, values of actions, or
# the model itself.

# %%
FAMILIES = (  # branch, family, what is learned, algorithms that run here, others
    ("model-free", "policy optimisation", r"a policy $\pi_\theta$, with $V$ to help", ("VPG", "A2C", "TRPO", "PPO"), ()),
    ("model-free", "both", r"$Q$ and a policy that climbs it", ("DDPG", "TD3", "SAC"), ()),
    ("model-free", "Q-learning", r"$Q^*$; acts greedily in it", ("DQN", "C51", "QR-DQN"), ()),
    ("model-based", "the model is given", "nothing, or $V$; plans", ("value iteration", "MPC"), ("AlphaZero",)),
    ("model-based", "the model is learned", r"$P$ and $r$; plans or learns in them", ("Dyna-Q", "PETS", "MBPO"), ("Dreamer",)),
)
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#A8487E", "#8F6A00")


def box(ax, x, y, text, colour, width, fill=True, size=10):
    "A rounded box around (x, y)."
    style = {"boxstyle": "round,pad=0.02,rounding_size=0.16", "linewidth": 1.3, "edgecolor": colour}
    patch = plt.matplotlib.patches.FancyBboxPatch((x - width / 2, y - 0.2), width, 0.4, facecolor=colour if fill else "white", **style)
    ax.add_patch(patch).set_zorder(3)
    ax.text(x, y, text, ha="center", va="center", color="white" if fill else colour, size=size, zorder=4)


def join(ax, x, y, to_x, to_y, colour):
    "A smooth line from one box to another."
    t = np.linspace(0, 1, 50)
    ax.plot(x + (to_x - x) * t, y + (to_y - y) * (3 * t**2 - 2 * t**3), color=colour, linewidth=1.8, zorder=1)


fig, ax = plt.subplots(figsize=(12, 4.9))
heights, middle = (4, 3, 2, 1, 0), {"model-free": 3.0, "model-based": 0.5}
for y, (branch, family, learned, own, others), colour in zip(heights, FAMILIES, COLOURS):
    join(ax, 2.75, middle[branch], 4.1, y, colour)
    box(ax, 5.0, y, family, colour, 1.8)
    ax.text(5.0, y - 0.38, learned, ha="center", va="center", size=8.5, color="0.35")
    left = 6.5
    ax.plot((5.9, left), (y, y), color=colour, linewidth=1.8, zorder=1)
    for name in (*own, *others):
        width = 0.42 + 0.085 * len(name)
        box(ax, left + width / 2, y, name, colour if name in own else "0.55", width, fill=False)
        left += width + 0.18
for branch, y in middle.items():
    join(ax, 1.0, 1.75, 1.65, y, "0.3")
    box(ax, 2.2, y, branch, "0.3", 1.15)
box(ax, 0.45, 1.75, "reinforcement\nlearning", "0.15", 1.2)
ax.set(xlim=(-0.3, 11.6), ylim=(-0.6, 4.4))
ax.axis("off");

# %% [markdown]
# Coloured outlines run in this library; grey ones are named for orientation. A tree is a simplification: most good
# algorithms borrow from a neighbour.
#
# ## Policy optimisation
#
# The policy itself is $\pi_\theta(a \mid s)$, and $\theta$ goes uphill on the expected return. It learns **on-policy**: the gradient is an
# expectation over what the *present* policy does, so each batch is used and thrown away. A value function helps to judge actions, and is not
# needed to act: the network of the policy is called *actor*, that of the values *critic*. What differs is how far a step may go: VPG and A2C
# follow the gradient (A2C with many environments and short windows), TRPO keeps the policy within a measured divergence of the old one, PPO clips
# what can be gained by leaving it. Lesson 3 derives the gradient, lesson 6 the rest.


# %%
def train(name, env, steps):
    "Three seeds of an algorithm: what it has learned, from how much."
    result = run(name, env, {"total_steps": steps}, seeds=3, num_evals=2, num_episodes=8, progress=False)
    print(f"{name} on {env}: returns of three seeds after {result.env_steps[-1]:,} steps:", *(f"{x:.0f}" for x in result.returns[:, -1]))
    print(f"what is learned: {', '.join(result.state.learner.params)}; kept to learn from: {kept(result)}")
    return result


def kept(result):
    "How many transitions a seed keeps."
    if not jax.tree.leaves(result.state.experience):
        return "nothing, each batch is thrown away"
    return f"up to {min(result.config.buffer_size, result.config.total_steps):,} transitions, each used again and again"


ppo = train("ppo", "CartPole-v1", 30_000)  # or vpg, a2c, trpo

# %% [markdown]
# ## Q-learning
#
# What is learned is $Q_\theta(s, a) \approx Q^*(s, a)$, by the Bellman equation, and the action is $\mathrm{arg}\max_a Q_\theta(s, a)$. The
# equation holds for any transition, whoever made it, so it learns **off-policy**: old transitions $(s, a, r, s')$ are kept in a *replay* and used
# many times. That saves data. But nothing here goes uphill on the return; it is sought by way of an equation, and with function approximation that
# may fail. The maximum over actions also asks for few, discrete actions. C51 and QR-DQN learn the whole distribution of the return and not only
# its mean. Lesson 5.

# %%
dqn = train("dqn", "CartPole-v1", 15_000)  # or c51, qr_dqn

# %% [markdown]
# ## Both
#
# Where actions are continuous, the maximum can be learned as well: a policy that climbs $Q$. DDPG has a deterministic one, TD3 mends its
# overestimation with two critics, SAC's is stochastic and is paid for its entropy, which measures how random it is. They learn off-policy, as
# Q-learning does, and act by a policy. Lesson 6.

# %%
sac = train("sac", "Pendulum-v1", 5_000)  # or ddpg, td3

# %% [markdown]
# ## The model is given: planning
#
# With $P$ and $r$ in hand nothing need be tried. In a table, **value iteration** repeats the Bellman backup of lesson 1 until nothing changes; not
# one step is made in the environment.

# %%
maze = tabular.dyna_maze()
solved = tabular.value_iteration(maze)
print(tabular.grid_text(maze, policy=solved.policy))
print(f"{solved.iterations} sweeps; the start is worth {float(tabular.expected_return(maze, solved.policy)):.4f} = 0.95^13: 14 steps to the goal")

# %% [markdown]
# Where states are too many, one plans from the present one only: **model predictive control** (MPC). Draw action sequences, simulate each, draw
# others around the best, and so on; then make the first action of the best, and plan again at the next step. It learns nothing: the pendulum below
# swings up in its first episode (random torques earn about -1,250). The price is paid at each decision, here three times 64 x 20 simulated steps.

# %%
pendulum = envs.with_simulator("Pendulum-v1")  # shows its state, from which one can simulate
planned = evaluate("mpc", pendulum, {"samples": 64, "horizon": 20, "iterations": 3}, (), jax.random.key(0), 8)
print(f"MPC: mean return of 8 episodes {planned.mean():.0f}, nothing learned; SAC after 5,000 steps: {sac.returns[:, -1].mean():.0f}")

# %% [markdown]
# ## The model is learned: Dyna
#
# A model can be learned from what was seen. **Dyna-Q** makes one Q-learning update for each real step, and then some more for steps that its model
# remembers. With 0 of these it *is* Q-learning. In the maze, ten runs each:

# %%
STEPS = 4000
keys = jax.random.split(jax.random.key(0), 10)
fig, ax = plt.subplots()
for number, colour in ((5, "C0"), (0, "C1")):
    learned = jax.jit(jax.vmap(lambda key, n=number: tabular.dyna_q(maze, key, STEPS, planning_steps=n)))(keys)
    reached = jnp.cumsum(learned.ended, axis=1)
    name = f"Dyna-Q, {number} planned updates a step" if number else "Q-learning"
    ax.plot(reached.mean(0), color=colour, label=name)
    ax.fill_between(jnp.arange(STEPS), reached.min(0), reached.max(0), color=colour, alpha=0.15, linewidth=0)
    print(f"{name:33}: {reached[:, -1].mean():4.0f} times at the goal in {STEPS:,} steps, from {reached[:, -1].min()} to {reached[:, -1].max()}")
ax.plot(jnp.arange(STEPS) / 14, color="0.4", linestyle=":", label="value iteration: the model is known")
ax.set(xlabel="environment steps", ylabel="times at the goal", title="A model saves steps in the world (mean of ten runs; band: all of them)")
ax.legend();

# %% [markdown]
# The first goal is found by chance, by both alike, and that is most of what sets runs apart. After it, a few planned updates spread what was
# found over the maze. (`tabular.prioritized_sweeping` plans those first that change most.) Beyond tables, `pets` learns an ensemble of networks that
# say what comes next, and plans in it as MPC does: it swings the pendulum up after 400 steps in the world, where SAC wants thousands. Two more keep
# SAC's kind of learning and let a model help it: `mbpo` is Dyna with networks, SAC on a few imagined steps from states that were really seen, and
# `mbve` puts a few imagined rewards into the target of a critic.
#
# A learned model has a danger of its own: where it errs, planning finds the error and makes use of it. A policy that is excellent in a wrong model
# may be poor in the world. An ensemble whose members disagree says where it errs, and short imagination gives errors no room to grow; more in lesson 11, Chua
# et al. (2018), Janner et al. (2019), and Dreamer (Hafner et al. 2020).
#
# ## Trade-offs
#
# | family | learns | data | actions | an update goes | strong at | weak at |
# |---|---|---|---|---|---|---|
# | policy optimisation | $\pi$, with $V$ | on-policy, used once | any | uphill on the return itself | stability, simplicity, many parallel environments | steps in the world |
# | both | $Q$ and $\pi$ | off-policy, replayed | continuous (SAC also discrete) | towards a Bellman equation, and uphill on $Q$ | few steps, continuous control | time for each step; more to tune |
# | Q-learning | $Q^*$ | off-policy, replayed | discrete | towards a Bellman equation | few steps, discrete actions | may diverge; one number too high draws others up |
# | model given | nothing, or $V$ | none | any | by backups, or searches | exact in tables; no trial | needs the model; time at each decision |
# | model learned | $P$, $r$, and what plans | either | any | first the model, then a plan | fewest steps | errors of the model |
#
# Two of these one can read off the runs above: how many steps in the world each made, and how long a step took. (All three seeds of a run together,
# on the machine that ran this; without compiling.)

# %%
for result in (ppo, dqn, sac):
    print(f"{result.algo.name:4} {result.env_steps[-1]:6,} steps a seed, {1e6 / result.steps_per_second:7.1f} microseconds a step")

# %% [markdown]
# Where steps are cheap, as in a simulator that is compiled, on-policy methods are often the quickest by the clock. Where a step is a robot's, a
# replay or a model pays.
#
# ## Where to go
#
# | algorithm | learns | policy when it acts | lesson |
# |---|---|---|---|
# | VPG, A2C | $\pi$, $V$ | samples | 3 |
# | TRPO, PPO | $\pi$, $V$, within a trust region | samples | 6 |
# | value fitting | $V^\pi$ of a given policy | the given one | 4 |
# | DQN, C51, QR-DQN | $Q^*$, or the distribution of returns | $\epsilon$-greedy | 5 |
# | DDPG, TD3 | $Q$, deterministic $\mu$ | $\mu$ plus noise | 6 |
# | SAC | soft $Q$, stochastic $\pi$ | samples | 6 |
# | MPC, PETS | nothing; a model | the first action of a plan | 11 |
# | MBPO, MBVE | a model, and what SAC or DDPG learns | SAC's or DDPG's | [docs/algorithms/mbpo.md](../docs/algorithms/mbpo.md), [mbve.md](../docs/algorithms/mbve.md) |
# | value iteration, Dyna-Q | $V^*$; $Q^*$ and a model | greedy; $\epsilon$-greedy | [docs/theory.md](../docs/theory.md) |
#
# ## Exercises
#
# This chapter has no graded ones. To try: change `"ppo"` to `"trpo"`, `"dqn"` to `"c51"`, `"sac"` to `"td3"`; give MPC a `horizon` of 8 (does
# it still swing up?); and 50 planned updates a step in Dyna-Q: what do they gain, what do they cost?
#
# ## Further reading
#
# - R. Sutton and A. Barto (2018), *Reinforcement Learning: An Introduction*, chapter 8 (Dyna, planning).
# - V. Mnih et al. (2016), "Asynchronous methods for deep reinforcement learning", arXiv:1602.01783 (A2C).
# - J. Schulman et al. (2015), "Trust region policy optimization", arXiv:1502.05477; (2017), "Proximal policy optimization algorithms", arXiv:1707.06347.
# - V. Mnih et al. (2013), "Playing Atari with deep reinforcement learning", arXiv:1312.5602 (DQN).
# - M. Bellemare, W. Dabney and R. Munos (2017), "A distributional perspective on reinforcement learning", arXiv:1707.06887 (C51); W. Dabney et al. (2018), arXiv:1710.10044 (QR-DQN).
# - T. Lillicrap et al. (2016), "Continuous control with deep reinforcement learning", arXiv:1509.02971 (DDPG); S. Fujimoto, H. van Hoof and D. Meger (2018), arXiv:1802.09477 (TD3); T. Haarnoja et al. (2018), arXiv:1801.01290 (SAC).
# - K. Chua, R. Calandra, R. McAllister and S. Levine (2018), "Deep reinforcement learning in a handful of trials using probabilistic dynamics models", arXiv:1805.12114 (PETS).
# - M. Janner, J. Fu, M. Zhang and S. Levine (2019), "When to trust your model: model-based policy optimization", arXiv:1906.08253 (MBPO); V. Feinberg et al. (2018), arXiv:1803.00101 (MBVE).
# - D. Silver et al. (2017), "Mastering chess and shogi by self-play with a general reinforcement learning algorithm", arXiv:1712.01815 (AlphaZero); D. Hafner et al. (2020), "Dream to control", arXiv:1912.01603 (Dreamer).
# - J. Achiam (2018), *Spinning Up in Deep RL*, part 2.
