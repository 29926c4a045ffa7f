"""Opponents that look ahead: tic-tac-toe to the end, connect four to a depth, against plain Python."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrl_up import envs

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


@cache
def outcome(cells):
    """(Who wins by best play: 1 who moves, -1 the other, 0 nobody; moves until then). `cells` is `x`, `o` and `.`.

    Who wins hurries, who loses delays, and of draws nothing is asked.
    """
    mover = "x" if cells.count("x") == cells.count("o") else "o"
    if any(len({cells[i] for i in line}) == 1 and cells[line[0]] != "." for line in LINES):
        return -1, 0
    if "." not in cells:
        return 0, 0
    return max((worth(after(cells, move, mover)) for move in range(9) if cells[move] == "."), key=preferred)


def after(cells, move, mover):
    return cells[:move] + mover + cells[move + 1 :]


def worth(reached):
    """What a move that leads to a position is worth to who makes it."""
    value, moves = outcome(reached)
    return -value, moves + 1


def preferred(result):
    value, moves = result
    return value, -value * moves


def reachable():
    found, new = set(), {"." * 9}
    while new:
        found |= new
        new = {
            after(cells, move, "x" if cells.count("x") == cells.count("o") else "o")
            for cells in new
            if outcome(cells)[1] > 0
            for move in range(9)
            if cells[move] == "."
        } - found
    return sorted(found)


def seen_by_mover(cells):
    """The board of tic-tac-toe as it is observed."""
    mover, other = ("x", "o") if cells.count("x") == cells.count("o") else ("o", "x")
    return np.array([[cell == mover, cell == other] for cell in cells]).reshape(3, 3, 2)


def test_tic_tac_toe_is_played_without_fault_in_every_position():
    positions = reachable()
    open_ones = [cells for cells in positions if outcome(cells)[1] > 0]
    assert (len(positions), len(open_ones), outcome("." * 9)[0]) == (5478, 4520, 0)
    act = envs.make("pgx/tic_tac_toe").spec.board.minimax(None)
    boards = np.stack([seen_by_mover(cells) for cells in open_ones])
    obs = {"board": jnp.asarray(boards), "mask": jnp.asarray(~boards.any(-1).reshape(-1, 9))}

    @jax.jit
    def moves(keys):
        return jax.vmap(lambda key: jax.vmap(act)(obs, jax.random.split(key, len(boards))))(keys)

    chosen = np.asarray(moves(jax.random.split(jax.random.key(0), 64)))
    for i, cells in enumerate(open_ones):
        mover = "x" if cells.count("x") == cells.count("o") else "o"
        options = {move: worth(after(cells, move, mover)) for move in range(9) if cells[move] == "."}
        best = outcome(cells)
        good = {move for move, one in options.items() if preferred(one) == preferred(best)}
        assert set(chosen[:, i].tolist()) <= good, (cells, options)
        if len(good) <= 3:
            assert set(chosen[:, i].tolist()) == good, f"each of the best is chosen at times: {cells}"


def test_the_first_player_draws_against_itself():
    board = envs.make("pgx/tic_tac_toe")
    perfect, play = board.spec.board.minimax(None), jax.jit(board.step)
    for seed in range(5):
        state, obs = board.reset(jax.random.key(0))
        rewards = []
        for key in jax.random.split(jax.random.key(seed), 9):
            state, step = play(key, state, perfect(obs, key))
            obs = step.obs
            rewards.append(float(step.reward))
        assert bool(step.terminated) and rewards == [0.0] * 9


# -- connect four


def stacked(moves):
    """Columns of stones, the lowest first, of a game as a text of columns from 0; players are 0 and 1."""
    columns = [[] for _ in range(7)]
    for ply, move in enumerate(moves):
        columns[int(move)].append(ply % 2)
    return columns


def at(columns, column, row):
    return columns[column][row] if 0 <= column < 7 and 0 <= row < len(columns[column]) else None


def has_won(columns, column):
    """Whether the highest stone of a column stands in a line of four."""
    row, who = len(columns[column]) - 1, columns[column][-1]
    for right, up in ((1, 0), (0, 1), (1, 1), (1, -1)):
        line = [at(columns, column + right * i, row + up * i) == who for i in range(-3, 4)]
        if any(all(line[i : i + 4]) for i in range(4)):
            return True
    return False


def plain_score(columns, column, mover, depth):
    """A plain negamax of one move: `depth` for a win at once, less what the other's best is worth, None if full."""
    if len(columns[column]) == 6:
        return None
    columns[column].append(mover)
    try:
        if has_won(columns, column):
            return depth
        if depth == 1:
            return 0
        replies = [plain_score(columns, reply, 1 - mover, depth - 1) for reply in range(7)]
        known = [reply for reply in replies if reply is not None]
        return -max(known) if known else 0
    finally:
        columns[column].pop()


def observed(columns, mover):
    board = np.zeros((6, 7, 2), bool)
    for column, stones in enumerate(columns):
        for row, who in enumerate(stones):
            board[5 - row, column, int(who != mover)] = True
    return {"board": jnp.asarray(board), "mask": jnp.asarray([len(stones) < 6 for stones in columns])}


@partial(jax.jit, static_argnames="depth")
def choices(obs, depth):
    act = envs.make("pgx/connect_four").spec.board.minimax(depth)
    return jax.vmap(lambda key: act(obs, key))(jax.random.split(jax.random.key(1), 100))


def chosen(moves, depth):
    """The columns that are chosen at times after a game that is a text of columns."""
    return set(np.asarray(choices(observed(stacked(moves), len(moves) % 2), depth)).tolist())


def random_position(rng, length):
    """A game of so many moves that nobody has won."""
    while True:
        columns, moves = [[] for _ in range(7)], ""
        while len(moves) < length:
            move = int(rng.choice([column for column in range(7) if len(columns[column]) < 6]))
            columns[move].append(len(moves) % 2)
            moves += str(move)
            if has_won(columns, move):
                break
        else:
            return moves


@pytest.mark.thorough("1", "4")
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_it_chooses_as_a_plain_negamax_does(depth):
    rng, decided = np.random.default_rng(depth), 0
    for length in [*range(4, 38, 2 if depth < 4 else 3), 39, 40, 41]:
        moves = random_position(rng, length)
        columns, mover = stacked(moves), length % 2
        scores = [plain_score(columns, column, mover, depth) for column in range(7)]
        best = max(score for score in scores if score is not None)
        assert chosen(moves, depth) == {column for column in range(7) if scores[column] == best}, (moves, scores)
        decided += best != 0
    assert decided >= 2


GOLDEN = [  # a game, the moves until it is decided, the columns that do it; odd: who moves wins, even: must lose
    ("060606", 1, {0}),
    ("3626", 3, {1, 4}),
    ("04264526", 5, None),
    ("263146414", 2, {0, 1, 2, 3, 4, 5, 6}),
    ("02114232", 4, None),
    pytest.param("345222441", 6, None, marks=pytest.mark.thorough),
]


@pytest.mark.parametrize(("moves", "plies", "columns"), GOLDEN)
def test_it_finds_what_is_forced_in_so_many_moves_and_no_sooner(moves, plies, columns):
    stones, mover = stacked(moves), len(moves) % 2
    for depth in {max(plies - 1, 1), plies}:
        scores = [plain_score(stones, column, mover, depth) for column in range(7)]
        best = max(score for score in scores if score is not None)
        assert (best != 0) == (depth == plies) and (best == 0 or (best > 0) == (plies % 2 == 1))
        assert chosen(moves, depth) == {column for column in range(7) if scores[column] == best}
    if columns is not None:
        assert chosen(moves, plies) == columns


def test_depth_one_takes_a_win_and_depth_two_blocks():
    for depth in (1, 2, 5):
        assert chosen("060606", depth) == {0}  # three of its own and three of the other's: it wins
    assert chosen("06060", 1) == set(range(7))
    assert chosen("06060", 2) == chosen("06060", 6) == {0}  # three of the other's: it blocks


def test_what_is_lost_is_lost_as_late_as_can_be():
    """So that it blocks also where it sees that something else will beat it later."""
    stones, mover = stacked("02114232"), 0
    scores = [plain_score(stones, column, mover, 4) for column in range(7)]
    assert max(scores) < 0 and min(scores) < max(scores)
    assert chosen("02114232", 4) == {column for column in range(7) if scores[column] == max(scores)}


@pytest.mark.parametrize("depth", [0, 9, None, 2.5, "deep", True])
def test_a_depth_that_cannot_be_searched_is_refused(depth):
    with pytest.raises(ValueError, match=r"needs depth, the moves that it looks ahead, from 1 to 8, got"):
        envs.make("pgx/connect_four", opponent="minimax", depth=depth)
