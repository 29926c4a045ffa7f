"""Games of two players on boards: opponents, what is symmetric in them, and drawings.

What a game is called, drawn as and played by comes in in `games`, an opponent in `against`.
"""
