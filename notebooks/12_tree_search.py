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
# # Tree search and expert iteration
#
# After this lesson you can write a tree search, say what it adds to a policy, train a network by what its own search finds, and check against the exact
# solution of a game how strong either is. The game is tic-tac-toe, small enough to be known; nothing here but the check needs that.

# %%
import dataclasses
import math
import random
from functools import cache, partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from jaxrl_up import ALPHAZERO, envs, tabular, use_all_cores
from jaxrl_up.algorithms import alphazero

use_all_cores()  # one CPU device per core, before any JAX computation
plt.style.use("lessons.mplstyle")
plt.rcParams["figure.figsize"] = 6.4, 3.4

# %% [markdown]
# ## A game, solved
#
# Two players move in turn, and one's gain is the other's loss. One value function is enough for both, if it is always that of **whoever is to move**: $+1$ for
# a win, $0$ for a draw, $-1$ for a loss. A move pays $r = 1$ if it wins at once, and what follows it is the other's:
#
# $$V(s) = \max_a Q(s, a), \qquad Q(s, a) = r + d \, V(s'), \qquad d = -\gamma, \text{ and } 0 \text{ where the game ends}$$
#
# It is the Bellman equation of lesson 1 with a negative discount, and in games it is called minimax. Here $\gamma = 1$. A board is nine numbers, 1 where the
# mover has a stone, -1 where the other has; a move turns the board round.

# %%
LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]
EMPTY = (0,) * 9


def legal(board):
    return [action for action in range(9) if board[action] == 0]


def move(board, action):
    "Reward, discount and the board after it, seen by the other side."
    after = [-stone for stone in board]
    after[action] = -1
    won = any(all(after[place] == -1 for place in line) for line in LINES)
    return float(won), 0.0 if won or 0 not in after else -1.0, tuple(after)


@cache
def exact(board):
    "Q of every legal move, by trying all that can follow."
    found = {}
    for action in legal(board):
        reward, discount, after = move(board, action)
        found[action] = reward + (discount * max(exact(after).values()) if discount else 0.0)
    return found


@cache
def games(board):
    "How many games can be played from here."
    after = [move(board, action) for action in legal(board)]
    return sum(games(board) if discount else 1 for _, discount, board in after)


print(f"V of the empty board {max(exact(EMPTY).values()):.0f}, from {exact.cache_info().currsize:,} positions and {games(EMPTY):,} games")

# %% [markdown]
# With perfect play nobody wins. The cache makes it quick, as games that reach the same board share what follows. Chess has some $10^{44}$ positions and go
# $10^{170}$: nobody tries all that can follow there. The solution serves to judge by. A move **keeps the value** if $Q(s, a) = V(s)$; how
# often does a random one?


# %%
def reachable():
    "All positions in which someone is to move, and moves that lead to each."
    led, todo = {EMPTY: ()}, [EMPTY]
    while todo:
        board = todo.pop()
        for action in legal(board):
            _, discount, after = move(board, action)
            if discount and after not in led:
                led[after] = (*led[board], action)
                todo.append(after)
    return led


LED = reachable()
POSITIONS = sorted(LED)
KEEPS = np.array([[exact(board).get(action) == max(exact(board).values()) for action in range(9)] for board in POSITIONS])
by_chance = np.mean([keeps[legal(board)].mean() for board, keeps in zip(POSITIONS, KEEPS)])
print(f"{len(POSITIONS):,} positions, in {(KEEPS.sum(1) < [len(legal(board)) for board in POSITIONS]).sum():,} of which some move gives something away")
print(f"a random legal move keeps the value in {by_chance:.1%}")

# %% [markdown]
# ## A search in four moves
#
# A search of the tree need not be complete. Monte-Carlo tree search (Coulom 2006; Kocsis & Szepesvári 2006) grows it leaf by leaf, first where that looks
# worthwhile. One **simulation** is four moves:
#
# 1. **select**: from the root go down by the action of the greatest score, as long as there are nodes;
# 2. **expand**: where there is none, make one;
# 3. **evaluate** it: ask somebody for a prior over actions, $P$, and a value, $v$;
# 4. **back up**: each node on the way gets $G_l = r_l + d_l G_{l+1}$, where $G_L = v$, into the mean $V$ of all that came through it (exercise 12.1).
#
# The score is PUCT (Rosin 2011; Silver et al. 2017, exercise 12.2). With $N(a)$ the number of times that $a$ was tried in this node and $N$ that of the node,
#
# $$\mathrm{score}(a) = Q(a) + c \, P(a) \frac{\sqrt{N}}{1 + N(a)}, \qquad Q(a) = r + d \, V(s')$$
#
# The first part goes where values are good, the second where the prior sees something and little was tried; as $N(a)$ grows the values decide. Of an action that was never
# tried $Q$ is the node's own $V$. (UCT has $\sqrt{\log N / N(a)}$ in the second part, the bonus of a bandit, and no prior.) The move that is played is the one tried most often.


# %%
class Node:
    "A state in the tree: what its evaluation said, and what simulations found."

    def __init__(self, state, prior, value):
        self.state, self.prior, self.own = state, prior, value
        self.visits, self.value = 0, 0.0  # N, V
        self.edges = {action: {} for action in prior}  # of each action: state after it -> reward, discount, node

    def count(self, action):
        return sum(child.visits for *_, child in self.edges[action].values())

    def q(self, action):
        found = [(child.visits, reward + discount * child.value) for reward, discount, child in self.edges[action].values()]
        return sum(n * q for n, q in found) / self.count(action) if found else self.value

    def add(self, worth):
        self.visits += 1
        self.value += (worth - self.value) / self.visits


def search(state, step, evaluate, simulations, c=1.25, keep_first=False):
    "The root of a tree of so many simulations. `keep_first` is for the last section."
    root = Node(state, *evaluate(state))
    root.add(root.own)
    for _ in range(simulations):
        node, path, new = root, [], False
        while node.prior and not new:  # select; where the game is over there is no prior
            score = lambda action: node.q(action) + c * node.prior[action] * math.sqrt(node.visits) / (1 + node.count(action))
            action = max(node.prior, key=score)
            after = node.edges[action]
            reward, discount, state = step(node.state, action)
            if keep_first and after:
                state = next(iter(after))
            new = state not in after
            if new:  # expand, evaluate
                after[state] = reward, discount, Node(state, *(evaluate(state) if discount else ({}, 0.0)))
            path.append((node, *after[state][:2]))
            node = after[state][2]
        worth = node.own
        node.add(worth)
        for parent, reward, discount in reversed(path):  # back up
            worth = reward + discount * worth
            parent.add(worth)
    return root


def played(root):
    "The action that was tried most often."
    return max(root.prior, key=root.count)


def nothing(board):
    "An evaluation that knows nothing: all legal moves alike, value 0."
    return {action: 1 / board.count(0) for action in legal(board)}, 0.0


# %% [markdown]
# Crosses are to move, and noughts threaten the upper row. The evaluation knows nothing but the rules, so all that the tree finds comes from games that end
# within it. The first two levels of the tree after forty simulations; $V$ is that of whoever moves in the node, and colours say whom it favours.


# %%
def draw_board(ax, board, x=0.0, y=0.0, size=1.0, crosses=1, width=1.5):
    "A board around (x, y); `crosses` is the stone that is drawn as a cross."
    cell = size / 3
    for line in (-cell / 2, cell / 2):
        ax.plot([x + line, x + line], [y - size / 2, y + size / 2], color="0.4", linewidth=0.8)
        ax.plot([x - size / 2, x + size / 2], [y + line, y + line], color="0.4", linewidth=0.8)
    for place, stone in enumerate(board):
        across, up, arm = x + (place % 3 - 1) * cell, y + (1 - place // 3) * cell, 0.27 * cell
        if stone == crosses:
            for turn in (-1, 1):
                ax.plot([across - arm, across + arm], [up - turn * arm, up + turn * arm], color="C0", linewidth=width)
        elif stone:
            ax.add_patch(plt.Circle((across, up), 1.1 * arm, fill=False, color="C1", linewidth=width))


def draw_tree(ax, node, depth, left=0.0, y=0.0, crosses=1):
    "A node and, from `left` on, those below it; returns the middle of the node and where it ends on the right."
    children = [child for after in node.edges.values() for *_, child in after.values()] if depth else []
    places, right = [], left
    for child in sorted(children, key=lambda child: -child.visits):
        place, right = draw_tree(ax, child, depth - 1, right, y - 2.1, -crosses)
        ax.plot([place, place], [y - 1.2, y - 1.28], color="0.6", linewidth=0.5 + child.visits / 4, solid_capstyle="butt")
        places.append((place, child.visits))
    middle = (places[0][0] + places[-1][0]) / 2 if places else left + 0.6
    for place, visits in places:
        ax.plot([middle, place], [y - 0.5, y - 1.2], color="0.6", linewidth=0.5 + visits / 4, zorder=0)
    favours = crosses * node.value  # whom, and how much
    ax.add_patch(plt.Rectangle((middle - 0.5, y - 0.5), 1, 1, color="C0" if favours > 0 else "C1", alpha=0.35 * abs(favours), linewidth=0))
    draw_board(ax, node.state, middle, y, 0.9, crosses)
    worth = f"V={node.value:+.2f}" if node.prior else "the end"
    ax.text(middle, y + 0.53, f"N={node.visits}\n{worth}", ha="center", va="bottom", size=7, linespacing=0.95)
    return middle, max(right, left + 1.2)


threatened = (-1, -1, 0, 0, 1, 0, 0, 0, 0)
root = search(threatened, move, nothing, 40)
fig, ax = plt.subplots(figsize=(11, 4.6))
draw_tree(ax, root, 2)
ax.set(aspect="equal")
ax.axis("off")
for action in root.prior:
    print(f"move {action}: visits {root.count(action):2}, Q {root.q(action):+.2f}, exact {exact(threatened)[action]:+.0f}")

# %% [markdown]
# The search spends most of its simulations on the one move that does not lose. $V$ is a mean, not a maximum: of the moves that lose it says -0.5 after two
# visits, since the first of them knew nothing yet. What was tried and found bad counts less and less: with enough simulations the best move gets nearly all of them,
# and the mean tends to the minimax value.
#
# Whom to ask at the leaves? Before networks it was a **rollout**: random moves to the end of the game, whose result is $v$. Judged over every fifth position:


# %%
def rollout(board):
    "Prior as of nothing; the value is the result of random moves to the end."
    prior, _ = nothing(board)
    sign = 1.0
    while True:
        reward, discount, board = move(board, random.choice(legal(board)))
        if not discount:
            return prior, sign * reward
        sign *= discount


def share_kept(evaluate, simulations, positions=range(0, len(POSITIONS), 5)):
    "In how many of the positions the search's move keeps the value."
    moves = {i: played(search(POSITIONS[i], move, evaluate, simulations)) for i in positions}
    return np.mean([KEEPS[i, action] for i, action in moves.items()])


random.seed(0)
BUDGETS = (2, 4, 8, 16, 32, 64)
bought = {"nothing": [share_kept(nothing, n) for n in BUDGETS], "a rollout": [share_kept(rollout, n) for n in BUDGETS]}
for name, shares in bought.items():
    print(f"{name:10}", *(f"{n:4}: {share:.3f}" for n, share in zip(BUDGETS, shares)))

# %% [markdown]
# So a search turns bad advice into good moves, at the price of simulations, and each doubling buys less. Better advice would buy the same with fewer.
#
# ## Expert iteration
#
# A search needs a prior and a value, and what it finds is better than what it was given. Then it can teach. **Expert iteration** (Anthony et al. 2017; the
# loop of AlphaGo Zero, Silver et al. 2017) is policy iteration with a search for the improvement and a network for what was learned:
#
# * **play** against oneself, searching at each move with the network $(p_\theta, v_\theta)$ as evaluation;
# * **learn** from each position two targets (exercise 12.3): what the search made of it, and how the game came out for whoever was to move,
#
# $$\pi(a) = \frac{N(a)^{1/\tau}}{\sum_b N(b)^{1/\tau}}, \qquad z_t = r_t + d_t z_{t+1}, \qquad L(\theta) = \big(z - v_\theta(s)\big)^2 - \sum_a \pi(a) \log p_\theta(a \mid s)$$
#
# A better network makes the next search better, whose moves are the next targets. Nobody shows it a game of a master, and no reward is shaped: it has the
# rules, and its own games.
#
# `alphazero` is this loop. The rules come from `pgx/tic_tac_toe` by `envs.with_simulator`, the search is `mctx`'s, in all games at once (both libraries are
# the extra `boards`), and the training of many seeds is one program, as for every algorithm here. By default it searches as Danihelka et al. (2022) do, `search="gumbel"`,
# which improves on the prior with few simulations too; `search="muzero"` is PUCT as above ([docs/algorithms/alphazero.md](../docs/algorithms/alphazero.md)). A game
# begins with up to five random moves, which are not learned from: two good players soon see few positions.

# %%
env = envs.with_simulator(envs.make("pgx/tic_tac_toe"))
SEEDS, STOPS = 3, (0, 5, 10, 20, 40, 80, 160, 320)
config = ALPHAZERO.Config(
    num_envs=32, rollout_length=8, num_simulations=16, value_bound=1.0, random_openings=5.0, hidden=(128, 128), learning_rate=3e-3
)


@jax.jit
def begin(keys):
    return jax.vmap(lambda key: ALPHAZERO.init(config, env, key))(keys)


@jax.jit
def learn(states, updates):
    "So many rounds of playing and learning, for all seeds."
    one = jax.vmap(lambda state: ALPHAZERO.update(config, env, state)[0])
    return jax.lax.fori_loop(0, updates, lambda _, states: one(states), states)


states = begin(jax.vmap(jax.random.key)(jnp.arange(SEEDS)))
policies = [states.policy]
for rounds in np.diff(STOPS):
    states = learn(states, rounds)
    policies.append(states.policy)
print(f"{SEEDS} seeds of {STOPS[-1] * 32 * 8:,} moves each")

# %% [markdown]
# ## How strong is it?
#
# A score against a random opponent saturates early (the untrained network wins most games already, by its search), and two players without chance play one and the same game over and over. Here both questions have exact
# answers. In how many of the 4,520 positions does a move keep the value? By the network alone, `num_simulations=0`, and with its search:


# %%
def shown(moves):
    "What is shown after these moves, -1 for none: an observation with its simulator."

    def one(obs, action):
        _, after, *_ = envs.simulate(env, jax.random.key(0), envs.simulator_of(env, obs), jnp.maximum(action, 0))
        return jax.tree.map(lambda old, new: jnp.where(action < 0, old, new), obs, after), None

    return jax.lax.scan(one, env.reset(jax.random.key(0))[1], moves)[0]


moves = np.array([(*LED[board], *[-1] * (8 - len(LED[board]))) for board in POSITIONS])
obs = jax.jit(jax.vmap(shown))(moves)
ALONE = dataclasses.replace(config, num_simulations=0)


@partial(jax.jit, static_argnums=0)
def answers(config, policies, obs):
    "The move of each policy in each position, without exploring: [S, P]."
    return jax.vmap(lambda policy: ALPHAZERO.act(config, env, policy, obs)[0])(policies)


made = {name: np.stack([answers(of, policy, obs) for policy in policies]) for name, of in (("network alone", ALONE), ("with search", config))}
right = {name: KEEPS[np.arange(len(POSITIONS)), moves].mean(-1) for name, moves in made.items()}  # [stops, S]

fig, ax = plt.subplots()
for i, (name, shares) in enumerate(right.items()):
    wrong = np.maximum(1 - shares, 1 / len(POSITIONS))  # that the axis can show
    ax.plot(range(len(STOPS)), wrong.mean(1), "o-", color=f"C{i}", label=name)
    ax.fill_between(range(len(STOPS)), wrong.min(1), wrong.max(1), color=f"C{i}", alpha=0.15, linewidth=0)
    print(f"{name:13}", *(f"{share:.3f}" for share in shares.mean(1)), " after", *STOPS, "rounds")
ax.axhline(1 - by_chance, color="0.4", linestyle=":", label="a random legal move")
ax.set_xticks(range(len(STOPS)), [f"{stop * 256:,}" for stop in STOPS])
ax.set(xlabel="moves of self-play", ylabel="share of positions misplayed", yscale="log", title="Strength over training (mean of three seeds; band: all of them)")
ax.legend(fontsize=8);

# %% [markdown]
# The search is ahead of the network that it asks, the network follows, and so the search gets better too. Can anybody beat it? A deterministic player is
# a table of moves. Let it be met by every reply that there is, moving first and moving second: all the games it can come into.


# %%
def met(moves):
    "Games won, drawn, lost by a player against all replies, moving first and moving second; and in how many it moved first."
    table = dict(zip(POSITIONS, moves.tolist()))

    @cache
    def mine(board):
        reward, discount, after = move(board, table[board])
        return theirs(after) if discount else np.array([reward == 1, reward == 0, 0], int)

    @cache
    def theirs(board):
        found = np.zeros(3, int)
        for reward, discount, after in (move(board, action) for action in legal(board)):
            found += mine(after) if discount else np.array([0, reward == 0, reward == 1])
        return found

    return mine(EMPTY) + theirs(EMPTY)


print("games lost of all that replies can lead to, seed by seed")
for name in made:
    for i in (0, 2, 4, 7):
        results = [met(moves) for moves in made[name][i]]
        print(f"{name:13} after {STOPS[i] * 256:6,} moves:", ", ".join(f"{lost:3} of {won + drawn + lost}" for won, drawn, lost in results))

# %% [markdown]
# At first a search of sixteen simulations saves many games that the network alone loses, and not all. Then it loses none, and in the end the network needs no search. About
# these tables of moves that is a proof, as no reply was left out. (That some positions are still misplayed is no contradiction: a good player never comes into most
# of the 4,520.) On boards that nobody can solve one has to be content with matches, against several opponents and from many openings.
#
# ## What the search makes of the network's advice
#
# The network can advise the plain search of above too: here is a table of what it says of each position. Three of those in which one move is right, the early network prefers
# another, and fifty simulations find it. Where the second column differs from the first is what the policy learns from.


# %%
@jax.jit
def asked(policies, obs):
    "What the networks say of every position: priors [S, P, 9] and values [S, P]."

    def one(params):
        policy, value = alphazero.network(config, env).both(params, obs)
        return jnp.exp(policy.log_probs()), value

    return jax.vmap(one)(policies)


def advice(stop, seed=0):
    "The evaluation by the network of one seed at one stop."
    prior, value = (np.asarray(x[seed]).tolist() for x in asked(policies[stop], obs))
    said = {board: ({action: p[action] for action in legal(board)}, v) for board, p, v in zip(POSITIONS, prior, value)}
    return said.__getitem__


early, late = advice(3), advice(len(STOPS) - 1)


def telling(board):
    "Is one move right, does the early network prefer another, and does its search find the one?"
    prior, _ = early(board)
    best = max(exact(board).values())
    kept = [action for action in prior if exact(board)[action] == best]
    guess = max(prior, key=prior.get)
    return len(kept) == 1 and guess not in kept and prior[guess] > 0.5 and played(search(board, move, early, 50)) in kept


examples = [board for board in POSITIONS if board.count(0) >= 5 and telling(board)]
fig, axes = plt.subplots(3, 4, figsize=(8.6, 6.4))
for number, board in enumerate(random.Random(3).sample(examples, 3)):
    root = search(board, move, early, 50)
    visits = {action: root.count(action) / 50 for action in root.prior}
    values = {action: (1 + q) / 2 for action, q in exact(board).items()}
    columns = (("early network", early(board)[0]), ("visits of its search", visits), ("network at the end", late(board)[0]), ("exact: win, draw, loss", values))
    for ax, (title, weights) in zip(axes[number], columns):
        draw_board(ax, board)
        for action, weight in weights.items():
            place = (action % 3 - 1.5) / 3, (0.5 - action // 3) / 3
            ax.add_patch(plt.Rectangle(place, 1 / 3, 1 / 3, color="C2", alpha=0.75 * weight, linewidth=0))
            text = {0.0: "-", 0.5: "0", 1.0: "+"}[weight] if weights is values else f"{weight:.0%}"
            ax.text(place[0] + 1 / 6, place[1] + 1 / 6, text, ha="center", va="center", size=8)
        ax.set(aspect="equal")
        ax.axis("off")
        ax.set_title(title if number == 0 else "", size=10)

# %% [markdown]
# And what do simulations buy now?

# %%
random.seed(0)
for stop in (2, 4):
    bought[f"a network after {STOPS[stop] * 256:,} moves"] = [share_kept(advice(stop), n) for n in BUDGETS]
fig, ax = plt.subplots()
for name, shares in bought.items():
    ax.plot(BUDGETS, np.maximum(1 - np.array(shares), 1e-3), "o-", label=name)
    print(f"{name:28}", *(f"{n:4}: {share:.3f}" for n, share in zip(BUDGETS, shares)))
ax.set(xscale="log", xlabel="simulations", ylabel="share of positions misplayed", yscale="log", title="Plain PUCT, by whom it asks at the leaves")
ax.set_xticks(BUDGETS, [str(n) for n in BUDGETS])
ax.minorticks_off()
ax.legend(fontsize=8);

# %% [markdown]
# Computing while learning and computing while acting can be had for one another: asking the network of 10,240 moves, two or four simulations are worth about as much as
# sixty-four that ask nobody. The larger the tree, the more good advice is worth: in go no search came far without.
#
# ## One player, and chance
#
# Nothing in the search is about two players but the sign of $d$. With $d = \gamma$ it plans for one, and `alphazero` does so wherever an environment has one player and
# discrete actions. But these games leave nothing to chance. On the frozen lake, 4 by 4 fields with four holes and a goal that pays 1, an action goes where it should in a third of
# cases and slips to either side in the others. A search has two ways to keep what an action led to:
#
# * **draw anew** whenever a simulation goes through the edge: below it there is a node for each place, and $Q(a)$ is the mean over what happened;
# * **keep the first**: one place an edge, the one that was drawn when it was opened. A search that was written for games does that without a word.
#
# Let the evaluation be perfect, $v = V^*$, so that nothing else is wrong. Ten searches from each state; `expected` is the exact value of the start under
# the policy that these searches make:

# %%
lake = tabular.frozen_lake()  # 4 x 4, slippery, gamma 0.99
transition, rewards, values = (np.asarray(x) for x in (lake.transition, lake.reward_table, tabular.v_star(lake)))
best = np.asarray(tabular.greedy(tabular.q_star(lake)))
live = np.flatnonzero(~np.asarray(lake.terminal)).tolist()
dice = random.Random(0)


def slip(state, action):
    "Reward, discount and a state drawn from what may follow."
    after = dice.choices(range(16), transition[state, action])[0]
    return float(rewards[state, action, after]), float(lake.discount) if after in live else 0.0, after


def knowing(state):
    return dict.fromkeys(range(4), 0.25), float(values[state])


print(f"V* of the start {values[0]:.2f}")
for keep_first in (False, True):
    for simulations in (8, 32, 128):
        policy, above, agree = np.full((16, 4), 0.25), [], []
        for state in live:
            roots = [search(state, slip, knowing, simulations, keep_first=keep_first) for _ in range(10)]
            above += [root.q(played(root)) - values[state] for root in roots]
            agree += [best[state, played(root)] > 0 for root in roots]
            policy[state] = np.mean([np.eye(4)[played(root)] for root in roots], axis=0)
        expected = tabular.v_pi(lake, policy)[0]
        print(f"{'keep the first' if keep_first else 'draw anew':14} {simulations:3} simulations: best action {np.mean(agree):4.0%}, Q above V* by {np.mean(above):+.2f}, expected {expected:.2f}")

# %% [markdown]
# Drawn anew, more simulations find more of the best actions. ($Q$ lies below $V^*$ since it is a mean over all that was tried behind it.) Where the first is kept, the tree
# is a lake without chance, one of many that might have been, and the search looks for the luckiest way through it: $E[\max_a \cdot] \ge \max_a E[\cdot]$, the maximum over noise of
# lessons 5 and 11 once more. More simulations find more luck, and no better actions.
#
# So where there is chance, give `alphazero` `search="muzero"` and `chance_outcomes=K`: an action leads to a node of chance, with $K$ successors that are drawn once. It is
# worth their mean, which is right as $K$ grows. `chance_outcomes=0`, one successor that is kept, is exact where nothing is random, and only there.
#
# ## Which of them when?
#
# | | needs | when acting | strength comes from |
# |---|---|---|---|
# | minimax | the rules, a small game | a look into a table | trying all |
# | UCT with rollouts | the rules | thousands of simulations | simulations |
# | policy of PPO or DQN | experience | one pass of a network | experience |
# | expert iteration | the rules, and computing for self-play | a pass, or some simulations | what its own search found |
# | MuZero | experience: it learns the rules too | simulations in a learned model | the same |
#
# Where the true model can be stepped, and each decision matters, a search is hard to beat. Where the model has to be learned, lesson 11 says what that costs.
#
# ## Exercises
#
# * **12.1** one backup of a tree search: `jaxrl-up exercise start 12.1`
# * **12.2** PUCT, with untried and illegal actions: `jaxrl-up exercise start 12.2`
# * **12.3** the targets of expert iteration: `jaxrl-up exercise start 12.3`
#
# To try: `c` of 0.3 and 5 in the tree; `search="muzero"`; `random_openings=0.0`, and what becomes of positions that self-play does not visit; `num_simulations=4`.
#
# ## Further reading
#
# * R. Coulom, 2006, *Efficient selectivity and backup operators in Monte-Carlo tree search*, Computers and Games.
# * L. Kocsis, C. Szepesvári, 2006, *Bandit based Monte-Carlo planning*, ECML.
# * C. D. Rosin, 2011, *Multi-armed bandits with episode context*, Annals of Mathematics and Artificial Intelligence 61.
# * C. Browne et al., 2012, *A survey of Monte Carlo tree search methods*, IEEE Transactions on Computational Intelligence and AI in Games 4.
# * T. Anthony, Z. Tian, D. Barber, 2017, *Thinking fast and slow with deep learning and tree search*, arXiv:1705.08439.
# * D. Silver et al., 2017, *Mastering the game of Go without human knowledge*, Nature 550.
# * D. Silver et al., 2018, *A general reinforcement learning algorithm that masters chess, shogi, and Go through self-play*, Science 362; arXiv:1712.01815.
# * J. Schrittwieser et al., 2020, *Mastering Atari, Go, chess and shogi by planning with a learned model*, arXiv:1911.08265.
# * I. Danihelka, A. Guez, J. Schrittwieser, D. Silver, 2022, *Policy improvement by planning with Gumbel*, ICLR.
