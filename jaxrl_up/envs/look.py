"""What a state of a simulator looks like, on the host: for drawings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Shapes(NamedTuple):
    """Bodies as G capsules, in metres, z up: all that is within `radius` of the line from `start` to `end`."""

    start: np.ndarray  # [G, 3]
    end: np.ndarray  # [G, 3]; where it equals `start`, a ball
    radius: np.ndarray  # [G]
    body: np.ndarray  # int [G], which body of the model it is part of; those of one body have a colour


class Look(NamedTuple):
    """How the states of an environment are drawn. Functions of `(params, state)`, a state of its own on the host."""

    shapes: Callable[[Any, Any], Shapes]
    step_seconds: float  # what one step is in the simulated world
    frame: Callable[[Any, Any], np.ndarray] | None = None  # the simulator's own picture, uint8 [H, W, 3]; may raise


def capsules(
    kind: np.ndarray, size: np.ndarray, position: np.ndarray, rotation: np.ndarray, body: np.ndarray
) -> Shapes:
    """The shapes of G geoms of a MuJoCo model: spheres, capsules, cylinders, ellipsoids, boxes; planes are left out.

    `kind [G]`, `size [G, 3]` and `body [G]` are the model's; `position [G, 3]` and `rotation [G, 3, 3]` of now. A box
    or an ellipsoid becomes the capsule along its longest axis.
    """
    drawn = np.isin(kind, (SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX))
    kind, size, position, rotation = kind[drawn], size[drawn], position[drawn], rotation[drawn]
    axis, half, radius = np.full(len(kind), 2), np.zeros(len(kind)), size[:, 0].astype(float)
    long = np.isin(kind, (CAPSULE, CYLINDER))
    half[long] = size[long, 1]
    solid = np.isin(kind, (BOX, ELLIPSOID))
    axis[solid] = size[solid].argmax(1)
    radius[solid] = np.sort(size[solid], axis=1)[:, 1]
    half[solid] = np.maximum(size[solid].max(1) - radius[solid], 0)
    along = half[:, None] * np.take_along_axis(rotation, axis[:, None, None], 2)[:, :, 0]
    return Shapes(position - along, position + along, radius, body[drawn])


SPHERE, CAPSULE, ELLIPSOID, CYLINDER, BOX = range(2, 7)  # mjtGeom
