"""Games on boards, drawn and written."""

from __future__ import annotations

import numpy as np

from jaxrl_up.analysis.drawing.canvas import (
    BLACK,
    BLUE,
    GREY,
    HEADER,
    HEIGHT,
    PALE,
    VERMILLION,
    WIDTH,
    Canvas,
)
from jaxrl_up.analysis.drawing.episode import Episode, action_at, state_at
from jaxrl_up.envs import Env, board_of, board_text, own_state

SIDE = {False: ("X", BLUE), True: ("O", VERMILLION)}


def move_text(env: Env, episode: Episode, t: int) -> str:
    """Action t as players call it, as `X plays d3`."""
    board, state = board_of(env), own_state(state_at(episode, t))
    return f"{SIDE[board.second(state)][0]} plays {board.move(state, int(action_at(episode, t)))}"


def board_scene(canvas: Canvas, env: Env, episode: Episode, t: int) -> None:
    """Stones as discs and pieces as letters, those of who began in blue; a ring where the next stone is to go."""
    board, state = board_of(env), own_state(state_at(episode, t))
    cells = board.symbols(state)
    rows, columns = cells.shape
    shift = 0.5 if board.slanted else 0.0
    size = min((HEIGHT - HEADER - 50) / rows, (WIDTH - 80) / (columns + shift * (rows - 1)))
    left, top = (WIDTH - size * (columns + shift * (rows - 1))) / 2, HEADER + 12

    def corner(row: float, column: float) -> tuple[float, float]:
        return left + size * (column + shift * row), top + size * row

    for row, column in np.ndindex(rows, columns):
        x, y = corner(row, column)
        canvas.rectangle(x, y, x + size, y + size, GREY)
        canvas.rectangle(x + 1, y + 1, x + size - 1, y + size - 1, "#FFFFFF")
        centre, symbol = (x + size / 2, y + size / 2), str(cells[row, column])
        colour = BLUE if symbol.isupper() else VERMILLION
        if symbol in ("X", "O"):
            canvas.circle(centre, 0.4 * size, BLUE if symbol == "X" else VERMILLION)
        elif symbol != ".":
            canvas.text(centre, symbol.upper(), round(0.7 * size), colour, anchor="mm")
    for row in range(rows) if board.rows else ():
        x, y = corner(row, 0)
        number = rows - row if board.rows == "up" else row + 1
        canvas.text((x - 8, y + size / 2), str(number), 16, "#555555", anchor="rm")
    for column, name in enumerate(board.columns):
        x, y = corner(rows - 1, column)
        canvas.text((x + size / 2, y + size + 4), name, 16, "#555555", anchor="ma")
    place = board.place(state, int(action_at(episode, t))) if t < episode.length else None
    if place is not None:
        x, y = corner(*place)
        canvas.circle((x + size / 2, y + size / 2), 0.4 * size, SIDE[board.second(state)][1])
        canvas.circle((x + size / 2, y + size / 2), 0.3 * size, PALE)
    canvas.text((16, HEIGHT - 26), "X", 18, BLUE)
    canvas.text((32, HEIGHT - 26), "began", 18, BLACK)
    canvas.text((WIDTH - 16, HEIGHT - 26), "O", 18, VERMILLION, anchor="ra")


def board_table(env: Env, episode: Episode) -> str:
    """Every board of an episode with the move made on it; the last says how it ended."""
    pieces = []
    for t in range(episode.length + 1):
        text = board_text(env, state_at(episode, t))
        if t < episode.length:
            reward = f", reward {episode.rewards[t] + 0.0:.4g}" if episode.rewards[t] else ""
            pieces.append(f"step {t}: {move_text(env, episode, t)}{reward}\n{text}\n")
        else:
            pieces.append(f"step {t}: {episode.ending}\n{text}")
    return "\n".join(pieces)
