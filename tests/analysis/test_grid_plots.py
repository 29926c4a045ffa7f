"""Grid worlds drawn: where colours, arrows and characters are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxrl_up import tabular
from jaxrl_up.analysis import plot_grid

WORLD = tabular.from_grid(["..G", ".#P", "S.."], discount=0.9)


def drawn(tmp_path, **given):
    """The picture as an array of pixels `[H, W, 3]`."""
    return np.asarray(Image.open(plot_grid(WORLD, tmp_path / "grid.png", **given)).convert("RGB"))


def test_values_are_colours_and_the_policy_adds_arrows(tmp_path):
    plain = drawn(tmp_path, values=tabular.v_star(WORLD))
    arrows = drawn(tmp_path, values=tabular.v_star(WORLD), policy=tabular.value_iteration(WORLD).policy)
    assert plain.shape == arrows.shape and (plain != arrows).any()
    assert len(np.unique(plain.reshape(-1, 3), axis=0)) > 50  # a bar of colours
    titled = drawn(tmp_path, policy=tabular.uniform_policy(WORLD), title="uniform")
    assert (titled == 0x44).all(axis=-1).any()  # the wall


def test_what_cannot_be_drawn_says_so(tmp_path):
    with pytest.raises(ValueError, match="was not built from a grid"):
        plot_grid(tabular.garnet(jax.random.key(0), 3, 2, 2, discount=0.9), tmp_path / "grid.png", jnp.zeros(3))
    with pytest.raises(ValueError, match=r"values of shape \[8\], got \[3\]"):
        drawn(tmp_path, values=jnp.zeros(3))
    with pytest.raises(ValueError, match=r"a policy is pi\(a \| s\) \[8, 4\]"):
        drawn(tmp_path, policy=jnp.ones((2, 8, 4)) / 4)
    assert not list(tmp_path.iterdir())
