"""Late positions of connect four with the exact value of every move, to judge players by.

    python bench/connect_four.py --out bench/results/connect_four_positions.json

makes the file again, in some seconds. Its solver is plain Python: alpha-beta on bitboards with a table of positions, to
the end of the game. A position is a text of the columns played, from 1, and has at least 22 stones;
nobody has won, who is to move cannot win at once, and not all of its moves are worth the same. `values` are by column:
1 a win by best play, 0 a draw, -1 a loss, null a column that is full.
"""

import argparse
import json
import random
from pathlib import Path

ROWS, COLUMNS = 6, 7
BOTTOM = sum(1 << 7 * column for column in range(COLUMNS))  # a column has seven bits, of which the highest is empty
CELLS = BOTTOM * (2**ROWS - 1)
COLUMN = [(2**ROWS - 1) << 7 * column for column in range(COLUMNS)]
ORDER = (3, 2, 4, 1, 5, 0, 6)  # those in the middle first
FEWEST, MOST = 22, 36  # stones


def has_four(stones):
    """Whether stones hold four in a row."""
    for step in (1, 6, 7, 8):
        pairs = stones & (stones >> step)
        if pairs & (pairs >> 2 * step):
            return True
    return False


def completing(stones, taken):
    """The empty cells that make four in a row with stones."""
    found = (stones << 1) & (stones << 2) & (stones << 3)
    for step in (6, 7, 8):
        below, above = (stones << step) & (stones << 2 * step), (stones >> step) & (stones >> 2 * step)
        found |= below & ((stones << 3 * step) | (stones >> step))
        found |= above & ((stones >> 3 * step) | (stones << step))
    return found & CELLS & ~taken


def value(mine, taken, low=-1, high=1, table=None):
    """The value of a position to who is to move, whose stones are `mine`: 1, 0 or -1, within `low` and `high`.

    What is below `low` is at most that, what is above `high` at least.
    """
    table = {} if table is None else table
    playable = (taken + BOTTOM) & CELLS
    if completing(mine, taken) & playable:
        return 1
    if not playable:
        return 0
    threats = completing(mine ^ taken, taken)
    forced = threats & playable
    if forced:
        if forced & (forced - 1):
            return -1  # two at once
        playable = forced
    playable &= ~(threats >> 1)  # below a cell that the other would win in
    if not playable:
        return -1
    known = table.get((mine, taken))
    if known is not None:
        least, most = known
        low, high = max(low, least), min(high, most)
        if low >= high:
            return low
    else:
        least, most = -1, 1
    best, bound = -1, low
    moves = [playable & COLUMN[column] for column in ORDER if playable & COLUMN[column]]
    moves.sort(key=lambda move: -completing(mine | move, taken).bit_count())
    for move in moves:
        best = max(best, -value(mine ^ taken, taken | move, -high, -bound, table))
        bound = max(bound, best)
        if bound >= high:
            break
    table[mine, taken] = (max(least, best), most) if best >= high else (least, best) if best <= low else (best, best)
    return best


def move_values(mine, taken):
    """The value of each column to who is to move; None for a full one."""
    values, table = [], {}
    for column in range(COLUMNS):
        move = (taken + BOTTOM) & COLUMN[column]
        if not move:
            values.append(None)
        elif has_four(mine | move):
            values.append(1)
        else:
            values.append(-value(mine ^ taken, taken | move, table=table))
    return values


def after(moves):
    """(Stones of who is to move, all stones) of a game as columns from 1, which nobody may have won."""
    mine = taken = 0
    for move in moves:
        stone = (taken + BOTTOM) & COLUMN[int(move) - 1]
        assert stone and not has_four(mine ^ taken), moves
        mine, taken = mine ^ taken, taken | stone
    return mine, taken


def some_position(chance):
    """A game of so many stones, more or less careful not to lose at once and blind to wins; None if it is over."""
    length, moves, careful = chance.randint(FEWEST, MOST), "", chance.random()
    mine = taken = 0
    while len(moves) < length:
        playable = (taken + BOTTOM) & CELLS
        wins, threats = completing(mine, taken) & playable, completing(mine ^ taken, taken)
        safe = (threats & playable) or (playable & ~(threats >> 1))
        choice = (safe or playable) if chance.random() < careful else playable
        choice &= ~wins
        columns = [column for column in range(COLUMNS) if choice & COLUMN[column]]
        if not columns:
            return None
        column = chance.choice(columns)
        moves += str(column + 1)
        mine, taken = mine ^ taken, taken | (playable & COLUMN[column])
    if completing(mine, taken) & (taken + BOTTOM) & CELLS:
        return None
    return moves


def make(number, seed, say=print):
    """`number` positions, half of them with each side to move."""
    chance, found, sides = random.Random(seed), {}, [0, 0]
    while len(found) < number:
        moves = some_position(chance)
        if moves is None or sides[len(moves) % 2] >= number // 2:
            continue
        mine, taken = after(moves)
        if (mine, taken) in found:
            continue
        values = move_values(mine, taken)
        if len(set(values) - {None}) < 2:
            continue
        found[mine, taken] = {"moves": moves, "values": values}
        sides[len(moves) % 2] += 1
        if len(found) % 25 == 0:
            say(f"{len(found)} positions")
    return sorted(found.values(), key=lambda position: (len(position["moves"]), position["moves"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--number", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = [json.dumps(position) for position in make(options.number, options.seed)]
    options.out.write_text('{"positions": [\n' + ",\n".join(rows) + "\n]}\n")


if __name__ == "__main__":
    main()
