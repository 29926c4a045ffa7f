"""The late positions of connect four that are kept, and the solver that says what their moves are worth."""

import importlib.util
import json
import random
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_minimax import has_won, observed, plain_score, stacked

from jaxrl_up import envs

BENCH = Path(__file__).resolve().parents[2] / "bench"
POSITIONS = json.loads((BENCH / "results" / "connect_four_positions.json").read_text())["positions"]


@pytest.fixture(scope="module")
def solver():
    spec = importlib.util.spec_from_file_location("connect_four", BENCH / "connect_four.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def columns_of(position):
    return stacked([int(move) - 1 for move in position["moves"]])


def test_they_are_late_open_and_of_both_sides():
    assert len(POSITIONS) == 300
    assert sum(len(position["moves"]) % 2 for position in POSITIONS) == 150
    assert len({json.dumps(columns_of(position)) for position in POSITIONS}) == 300
    for position in POSITIONS:
        columns, mover = [[] for _ in range(7)], len(position["moves"]) % 2
        for ply, move in enumerate(position["moves"]):
            columns[int(move) - 1].append(ply % 2)
            assert len(columns[int(move) - 1]) <= 6 and not has_won(columns, int(move) - 1)
        assert 22 <= sum(map(len, columns)) < 42
        assert [value is None for value in position["values"]] == [len(stones) == 6 for stones in columns]
        assert len({value for value in position["values"] if value is not None}) >= 2
        assert all(plain_score(columns, column, mover, 1) in (None, 0) for column in range(7)), "won in one move"


def test_values_are_those_of_a_plain_minimax_where_few_cells_are_empty():
    late = [position for position in POSITIONS if len(position["moves"]) >= 34]
    assert len(late) >= 30
    for position in late:
        empty, mover = 42 - len(position["moves"]), len(position["moves"]) % 2
        scores = [plain_score(columns_of(position), column, mover, empty) for column in range(7)]
        assert [score if score is None else int(np.sign(score)) for score in scores] == position["values"]


def test_what_a_search_to_a_depth_chooses_is_mostly_right_and_always_where_it_sees_the_end():
    boards = jnp.stack([observed(columns_of(p), len(p["moves"]) % 2)["board"] for p in POSITIONS])
    masks = jnp.asarray([[value is not None for value in p["values"]] for p in POSITIONS])
    act = envs.make("pgx/connect_four").spec.board.minimax(6)
    found = jax.jit(
        lambda: jax.lax.map(lambda x: act({"board": x[0], "mask": x[1]}, jax.random.key(0)), (boards, masks))
    )()
    worth = np.array([[-2 if value is None else value for value in p["values"]] for p in POSITIONS])
    right = worth[np.arange(300), np.asarray(found)] == worth.max(1)
    assert 0.75 < right.mean() < 1.0
    at_the_end = np.array([len(p["moves"]) == 36 for p in POSITIONS])
    assert at_the_end.sum() >= 10 and right[at_the_end].all()


@pytest.mark.parametrize("empty", [5, 7, 8])
def test_the_solver_agrees_with_a_plain_minimax(solver, empty):
    chance, tried = random.Random(empty), 0
    while tried < 12:
        moves, columns = "", [[] for _ in range(7)]
        while len(moves) < 42 - empty:
            move = chance.choice([column for column in range(7) if len(columns[column]) < 6])
            columns[move].append(len(moves) % 2)
            moves += str(move + 1)
            if has_won(columns, move):
                break
        else:
            tried += 1
            scores = [plain_score(columns, column, len(moves) % 2, empty) for column in range(7)]
            wanted = [score if score is None else (score > 0) - (score < 0) for score in scores]
            assert solver.move_values(*solver.after(moves)) == wanted, moves


def test_the_file_is_what_the_script_makes(solver):
    """Of the seed that the first were made with: fewer are a beginning of more."""
    some = solver.make(6, 0, say=partial(str))
    kept = {position["moves"]: position["values"] for position in POSITIONS}
    assert all(kept[position["moves"]] == position["values"] for position in some)
