"""Does the installed jaxlib compile right? Random programs, compiled, against NumPy in float64 or the same op by op.

    python bench/fuzz_compiler.py [--cases 400] [--seed 0] [--out bench/results/compiler.json]

Products, what is computed from them elementwise, and reductions, at sizes around powers of two and around 2^15, under
vmap over seeds too; gradients; softmax; convolutions, gathers, scans, and this library's networks, losses, returns and
replay. A case is wrong if it differs by more than rounding from NumPy in float64, or, where it has no such form, from
its own operations one by one. Cases run in a process of their own, which is begun again behind a case that kills it or
hangs. Prints each wrong case; exit code 1 if there is one. A faulty jaxlib is mended by importing `jaxrl_up`; as it is
without that: `XLA_FLAGS=--xla_cpu_experimental_ynn_fusion_type=+reduce`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np

from jaxrl_up import envs, ops
from jaxrl_up.learning import networks, replay

TOLERANCE = 1e-4  # of the largest number that the same sum could have come to
HANGS = 120.0  # seconds
ELEMENTS = 1 << 21
SIZES = sorted({2**k + d for k in (3, 5, 6, 7, 8, 10, 12) for d in (-1, 0, 1)} | {3, 5, 17, 100})
ROWS = sorted({2**k + d for k in (12, 13, 14, 15, 16) for d in (-1, 0, 1, 31)} | {32_800, 36_000, 40_001, 98_305})

ELEMENTWISE: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda xp, x: x,
    "square": lambda xp, x: 0.1 * x * x,
    "tanh": lambda xp, x: xp.tanh(x),
    "relu": lambda xp, x: xp.maximum(x, 0.0),
    "exp": lambda xp, x: xp.exp(-xp.abs(x)),
    "huber": lambda xp, x: xp.where(xp.abs(x) < 1.0, 0.5 * x * x, xp.abs(x) - 0.5),
    "affine": lambda xp, x: 0.5 * x + 1.0,
}
REDUCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "none": lambda xp, x, axis: x,
    "sum": lambda xp, x, axis: xp.sum(x, axis=axis),
    "mean": lambda xp, x, axis: xp.mean(x, axis=axis),
    "max": lambda xp, x, axis: xp.max(x, axis=axis),
    "min": lambda xp, x, axis: xp.min(x, axis=axis),
    "softmax": lambda xp, x, axis: _softmax(xp, x, axis),
    "logsumexp": lambda xp, x, axis: _logsumexp(xp, x, axis),
    "moments": lambda xp, x, axis: xp.mean(x * x, axis=axis) - xp.mean(x, axis=axis) ** 2,
}
# x [N, A], w [A, B], per row or in one product, the first or the second matrix transposed, batched over C
PRODUCTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "elementwise": lambda xp, x, w: x * w[:, 0],
    "rows": lambda xp, x, w: xp.einsum("na,ab->nb", x, w) / w.shape[0],
    "units": lambda xp, x, w: xp.einsum("ab,na->bn", w, x) / w.shape[0],
    "transposed": lambda xp, x, w: xp.einsum("na,nb->ab", x, x[:, :8] * w[0, 0]) / x.shape[0],
    "vector": lambda xp, x, w: xp.einsum("na,a->n", x, w[:, 0])[:, None],
    "pairs": lambda xp, x, w: xp.sum(x[:, :, None] * w[None], axis=1),
}


def _logsumexp(xp: Any, x: Any, axis: Any) -> Any:
    top = xp.max(x, axis=axis, keepdims=True)
    return xp.log(xp.sum(xp.exp(x - top), axis=axis)) + xp.squeeze(top, axis=axis)


def _softmax(xp: Any, x: Any, axis: Any) -> Any:
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


class Case:
    """One program: `run(xp, *inputs)` for jnp and, where `exact`, for NumPy in float64; else it is run op by op."""

    def __init__(self, name: str, run: Callable[..., Any], inputs: list[np.ndarray], exact: bool = True) -> None:
        self.name, self.run, self.inputs, self.exact = name, run, inputs, exact

    def wrong(self) -> str | None:
        """How the compiled program differs, or None."""

        def program(*inputs: Any) -> Any:
            return self.run(jnp, *inputs)

        inputs = [jnp.asarray(x) for x in self.inputs]
        compiled = jax.tree.map(np.asarray, jax.jit(program)(*inputs))
        if self.exact:
            wide = [x.astype(np.float64) if x.dtype.kind == "f" else x for x in self.inputs]
            right = self.run(np, *wide)
            return _difference(compiled, right, self.run(np, *[np.abs(x) for x in wide]))
        with jax.disable_jit():
            right = jax.tree.map(np.asarray, program(*inputs))
        return _difference(compiled, right, right)


def _difference(found: Any, right: Any, bound: Any) -> str | None:
    """Where two trees of arrays differ by more than rounding; `bound` says how large sums can be."""
    leaves = zip(jax.tree.leaves(found), jax.tree.leaves(right), jax.tree.leaves(bound), strict=True)
    for leaf, (x, y, z) in enumerate(leaves):
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        scale = max(float(np.max(np.abs(y), initial=0)), float(np.max(np.abs(np.asarray(z, np.float64)), initial=0)))
        bad = ~(np.abs(x - y) <= TOLERANCE * scale + 1e-6)
        if bad.any():
            first = np.argwhere(bad)[0].tolist()
            return (
                f"{int(bad.sum())} of {x.size} numbers of leaf {leaf} {list(x.shape)}, first at {first}: "
                f"{x[tuple(first)]:.7g} instead of {y[tuple(first)]:.7g}"
            )
    return None


def _data(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Normal numbers, the last row the largest: one left out of a sum is then seen."""
    x = rng.normal(size=shape)
    x[-1] *= 4.0
    return x.astype(np.float32)


def _choice(rng: np.random.Generator, values: Any) -> Any:
    values = list(values)
    return values[int(rng.integers(len(values)))]


def product_case(rng: np.random.Generator) -> Case:
    """A product, something elementwise, a reduction; maybe the gradient of it, maybe many at once."""
    rows = _choice(rng, ROWS if rng.random() < 0.7 else SIZES)
    size = int(_choice(rng, (1, 2, 3, 4, 8, 17, 64)))
    units = int(_choice(rng, (1, 2, 3, 8, 64)))
    seeds = int(_choice(rng, (0, 0, 1, 2, 3)))
    form = _choice(rng, ("whole", "whole", "rows", "rows", "gradient"))
    if form == "rows":
        size, units = int(_choice(rng, (2, 3, 3, 4, 17))), int(_choice(rng, (2, 3, 3, 6)))
    while rows * max(size, units, size * units // 8) * max(seeds, 1) > ELEMENTS:
        rows = rows // 2 + 1
    names = [_choice(rng, table) for table in (PRODUCTS, ELEMENTWISE, ELEMENTWISE, REDUCTIONS)]
    axis = _choice(rng, (0, 1, -1, (0, 1)) if names[3] not in ("softmax", "logsumexp") else (0, 1))
    if form == "rows":
        names[0] = "rows"

    def whole(xp: Any, x: Any, w: Any) -> Any:
        y = PRODUCTS[names[0]](xp, x, w)
        y = ELEMENTWISE[names[2]](xp, ELEMENTWISE[names[1]](xp, y) + w[0, 0])
        return REDUCTIONS[names[3]](xp, y, axis)

    def by_rows(xp: Any, x: Any, w: Any) -> Any:
        if xp is np:
            y = ELEMENTWISE[names[2]](xp, ELEMENTWISE[names[1]](xp, x @ w) + w[0, 0])
            return REDUCTIONS[names[3]](xp, y, -1)

        def row(r: Any) -> Any:
            y = ELEMENTWISE[names[2]](xp, ELEMENTWISE[names[1]](xp, w.T @ r) + w[0, 0])
            return REDUCTIONS[names[3]](xp, y, -1)

        return jax.vmap(row)(x)

    def gradient(xp: Any, x: Any, w: Any) -> Any:
        return jax.grad(lambda x, w: jnp.mean(whole(jnp, x, w) * 1.5), argnums=(0, 1))(x, w)

    one = {"whole": whole, "rows": by_rows, "gradient": gradient}[form]

    def many(xp: Any, x: Any, w: Any) -> Any:
        if xp is np:
            return np.stack([one(np, x[i], w[i]) for i in range(seeds)])
        return jax.vmap(lambda x, w: one(jnp, x, w))(x, w)

    leading = (seeds,) if seeds else ()
    inputs = [_data(rng, *leading, rows, size), _data(rng, *leading, size, units)]
    name = f"{form} {' '.join(names)} axis {axis} rows {rows} size {size} units {units} seeds {seeds}"
    return Case(name, many if seeds else one, inputs, exact=form != "gradient")


def reduction_case(rng: np.random.Generator) -> Case:
    """Elementwise operations on one or two arrays of rank 1 to 8, the second broadcast, and a reduction of any axes."""
    rank = int(rng.integers(1, 9))
    shape = [int(_choice(rng, (1, 2, 3, 4, 8, 9))) for _ in range(rank)]
    if rank < 5:
        shape[int(rng.integers(rank))] = int(_choice(rng, ROWS if rng.random() < 0.5 else SIZES))
    while math.prod(shape) > ELEMENTS:
        shape[int(np.argmax(shape))] //= 2
    axes = tuple(sorted(rng.choice(rank, size=int(rng.integers(1, min(rank, 3) + 1)), replace=False).tolist()))
    thin = [1 if rng.random() < 0.4 else n for n in shape]
    names = [_choice(rng, ELEMENTWISE), _choice(rng, REDUCTIONS)]
    axis = axes[0] if names[1] in ("softmax", "logsumexp") or len(axes) == 1 else axes

    def run(xp: Any, x: Any, y: Any) -> Any:
        return REDUCTIONS[names[1]](xp, ELEMENTWISE[names[0]](xp, x * y) + 0.25, axis)

    name = f"reduction {' '.join(names)} axis {axis} of {shape} times {thin}"
    return Case(name, run, [_data(rng, *shape), _data(rng, *thin)])


def batched_case(rng: np.random.Generator) -> Case:
    """Batched products of every layout, and a reduction."""
    layout = _choice(
        rng, ("cna,cab->cnb", "cna,cab->cbn", "can,cab->cnb", "cna,cba->ncb", "cna,cnb->cab", "cna,ca->cn")
    )
    c, n = int(_choice(rng, (1, 2, 3, 16))), int(_choice(rng, ROWS if rng.random() < 0.4 else SIZES))
    a, b = int(_choice(rng, (1, 3, 4, 64))), int(_choice(rng, (1, 2, 3, 64)))
    while c * n * max(a, b) > ELEMENTS // 2:
        n = n // 2 + 1
    sizes = {"c": c, "n": n, "a": a, "b": b}
    left, right = layout.split("->")[0].split(",")
    names = [_choice(rng, ELEMENTWISE), _choice(rng, REDUCTIONS)]
    axis = int(rng.integers(2))

    def run(xp: Any, x: Any, y: Any) -> Any:
        return REDUCTIONS[names[1]](xp, ELEMENTWISE[names[0]](xp, xp.einsum(layout, x, y)), axis)

    inputs = [_data(rng, *[sizes[k] for k in left]), _data(rng, *[sizes[k] for k in right])]
    return Case(f"batched {layout} {' '.join(names)} axis {axis} {sizes}", run, inputs)


def gather_case(rng: np.random.Generator) -> Case:
    """Rows drawn from a table, and something computed of them; or a sum into rows."""
    rows, size, drawn = int(_choice(rng, ROWS)), int(_choice(rng, (1, 3, 4, 17))), int(_choice(rng, SIZES + ROWS[:8]))
    names = [_choice(rng, ELEMENTWISE), _choice(rng, REDUCTIONS)]
    scatter = rng.random() < 0.3
    index = rng.integers(rows, size=drawn).astype(np.int32)

    def run(xp: Any, x: Any, w: Any, index: Any) -> Any:
        if not scatter:
            return REDUCTIONS[names[1]](xp, ELEMENTWISE[names[0]](xp, x[index] @ w), 0)
        values = ELEMENTWISE[names[0]](xp, x[: len(index)] @ w)
        if xp is np:
            out = np.zeros((rows, w.shape[1]))
            np.add.at(out, index[: len(values)], values)
            return out
        return jnp.zeros((rows, w.shape[1])).at[index[: values.shape[0]]].add(values)

    inputs = [_data(rng, rows, size), _data(rng, size, 3), index]
    return Case(f"{'scatter' if scatter else 'gather'} {names} {drawn} of {rows} rows of {size}", run, inputs)


def scan_case(rng: np.random.Generator) -> Case:
    """A recurrence with a product in every step, over many rows."""
    steps, rows, size = int(_choice(rng, (3, 8, 17))), int(_choice(rng, SIZES + ROWS)), int(_choice(rng, (1, 3, 8)))
    names = [_choice(rng, [n for n in ELEMENTWISE if n != "square"]), _choice(rng, REDUCTIONS)]

    def step(xp: Any, h: Any, x: Any, w: Any) -> Any:
        h = xp.tanh(0.5 * h @ w + x[:, None])
        return h, REDUCTIONS[names[1]](xp, ELEMENTWISE[names[0]](xp, h), 0)

    def run(xp: Any, h: Any, xs: Any, w: Any) -> Any:
        if xp is np:
            ys = []
            for x in xs:
                h, y = step(np, h, x, w)
                ys.append(y)
            return h, np.stack(ys)
        return jax.lax.scan(lambda h, x: step(jnp, h, x, w), h, xs)

    h, xs, w = _data(rng, rows, size), _data(rng, steps, rows), _data(rng, size, size) / size
    w = (w / max(1.0, float(np.linalg.norm(w, 2)))).astype(w.dtype)  # else each step may enlarge a rounding error
    inputs = [h, xs, w]
    return Case(f"scan {names} {steps} steps of {rows} rows of {size}", run, inputs)


OWN = (
    *("dense", "network", "critics", "conv", "gae", "returns", "c51", "quantiles"),
    *("ppo", "gaussian", "tanh", "categorical", "statistics", "replay"),
)


def own_case(rng: np.random.Generator) -> Case:
    """What this library compiles: networks and their gradients, losses, returns, projections, replay."""
    kind = _choice(rng, OWN)
    n = int(_choice(rng, ROWS if rng.random() < 0.5 else SIZES))
    seeds = int(_choice(rng, (0, 0, 2, 3)))
    exact = False
    lead = (seeds,) if seeds else ()
    shapes: list[tuple[int, ...]]
    if kind == "dense":
        size, units = int(_choice(rng, (3, 4, 64))), int(_choice(rng, (1, 2, 3, 64)))
        shapes, exact = [(n, size), (size, units), (units,)], True

        def run(xp: Any, x: Any, w: Any, b: Any) -> Any:
            y = x @ w if xp is np else networks.product(x, w)
            return xp.sum(xp.maximum(y + b[None], 0.0) ** 2, axis=-1), xp.mean(xp.tanh(y), axis=0)

    elif kind in ("network", "critics"):
        hidden = int(_choice(rng, (16, 64)))
        n = min(n, 32_769)
        shapes = [(n, 4), (4, hidden), (hidden, hidden), (hidden, 2), (n,)]

        def run(xp: Any, x: Any, a: Any, b: Any, c: Any, target: Any) -> Any:
            def loss(layers: Any) -> Any:
                h = x / 4
                for w in layers[:-1]:
                    h = jnp.tanh(networks.product(h, w / math.sqrt(w.shape[0])))
                q = networks.product(h, layers[-1] / 8)
                if kind == "critics":
                    return jnp.mean(jnp.square(jnp.min(q, axis=-1) - target)), q
                logp = jax.nn.log_softmax(q)
                return -jnp.mean(logp[:, 0] * target) + 0.01 * jnp.mean(jnp.sum(jnp.exp(logp) * logp, -1)), q

            return jax.value_and_grad(loss, has_aux=True)([a, b, c])

    elif kind == "conv":
        size, stride, channels = int(_choice(rng, (2, 3, 4))), int(_choice(rng, (1, 2))), int(_choice(rng, (1, 4)))
        n = min(n, 4_097 if channels == 1 else 513)
        shapes = [(n, 10, 10, channels), (size, size, channels, 8), (8,)]

        def run(xp: Any, x: Any, w: Any, b: Any) -> Any:
            module = networks.Conv(8, size, stride, lowering=("slices", "conv")[n % 2])

            def loss(w: Any) -> Any:
                return jnp.mean(jnp.square(jax.nn.relu(module.apply({"params": {"kernel": w, "bias": b}}, x))))

            return jax.value_and_grad(loss)(w)

    elif kind in ("gae", "returns"):
        steps = int(_choice(rng, (3, 8, 17)))
        shapes, exact = [(steps, n)] * 5, kind == "gae"

        def run(xp: Any, rewards: Any, discount: Any, trace: Any, values: Any, following: Any) -> Any:
            discount, trace = 1 / (1 + xp.exp(-discount)), 1 / (1 + xp.exp(-trace))
            if xp is np:
                out, last = np.zeros_like(rewards), 0.0
                for t in reversed(range(steps)):
                    last = rewards[t] + discount[t] * following[t] - values[t] + discount[t] * trace[t] * last
                    out[t] = last
                return out
            if kind == "gae":
                return ops.gae(rewards, discount, trace, values, following)
            return (
                ops.lambda_returns(rewards, discount, trace, following),
                ops.n_step_returns(rewards, discount, trace, following, 3),
                ops.vtrace(rewards, discount, trace, values, following, jnp.exp(-jnp.abs(values))),
            )

    elif kind == "c51":
        n = min(n, 4_097)
        shapes = [(n, 51), (n, 51), (n, 51)]

        def run(xp: Any, atoms: Any, logits: Any, other: Any) -> Any:
            projected = ops.categorical_projection(4 * atoms, jax.nn.softmax(logits), jnp.linspace(-10.0, 10.0, 51))
            return projected, jax.value_and_grad(lambda x: jnp.mean(ops.categorical_cross_entropy(projected, x)))(other)

    elif kind == "quantiles":
        n = min(n, 1_025)
        shapes = [(n, 25), (n, 25)]

        def run(xp: Any, quantiles: Any, targets: Any) -> Any:
            return jax.value_and_grad(lambda q: jnp.mean(ops.quantile_huber_loss(q, targets)))(quantiles)

    elif kind == "ppo":
        shapes = [(n,)] * 3

        def run(xp: Any, log_prob: Any, old: Any, advantages: Any) -> Any:
            def loss(log_prob: Any) -> Any:
                a = ops.normalize_advantages(advantages)
                return ops.clipped_surrogate_loss(log_prob / 8, old / 8, a, 0.2), ops.kl_k3(old / 8, log_prob / 8)

            return jax.value_and_grad(lambda x: sum(jnp.mean(y) for y in loss(x)))(log_prob)

    elif kind in ("gaussian", "tanh"):
        size = int(_choice(rng, (1, 3, 6)))
        shapes = [(n, size), (n, size), (n, size)]
        policy = ops.DiagonalGaussian

        def run(xp: Any, mean: Any, log_std: Any, noise: Any) -> Any:
            def loss(mean: Any) -> Any:
                pi = policy(mean, jnp.clip(log_std, -1, 1))
                action = pi.sample_with(noise)
                squash = 2 * (math.log(2) - action - jax.nn.softplus(-2 * action)) if kind == "tanh" else 0 * action
                log_prob = pi.log_prob(action) - jnp.sum(squash, axis=-1)
                return jnp.mean(log_prob), (log_prob, pi.entropy(), pi.kl(policy(0.9 * mean, 0.1 * log_std)))

            return jax.value_and_grad(loss, has_aux=True)(mean)

    elif kind == "categorical":
        actions = int(_choice(rng, (2, 3, 6, 18)))
        shapes = [(n, actions), (n, actions)]

        def run(xp: Any, logits: Any, other: Any) -> Any:
            pi = ops.Categorical(logits)
            return pi.log_probs(), pi.entropy(), pi.kl(ops.Categorical(other)), jax.nn.softmax(other)

    elif kind == "statistics":
        shapes = [(n, 4)]

        def run(xp: Any, x: Any) -> Any:
            stats = ops.update_statistics(ops.init_statistics((4,)), x)
            return stats.mean, ops.normalize(stats, x)

    else:
        env, n = envs.make(_choice(rng, ("CartPole-v1", "Pendulum-v1"))), min(n, 513)
        store = replay.init(env, 128, 2)
        shapes = [store.obs.shape, (n,)]

        def run(xp: Any, obs: Any, draws: Any) -> Any:
            rewards = jnp.broadcast_to(obs[: store.outcome.shape[0], :, :1], store.outcome.shape)
            outcome = jax.lax.bitcast_convert_type(rewards, jnp.int32).at[..., 1].set(replay.GOING_ON)
            filled = store._replace(obs=obs, outcome=outcome)
            bits = jax.lax.bitcast_convert_type(draws, jnp.uint32) * jnp.uint32(2_654_435_761)
            batch = replay.sample(env, filled, jnp.int32(100), bits, 0.99, 3)
            return batch.obs, batch.next_obs, batch.reward, batch.discount, batch.weight

    def many(xp: Any, *inputs: Any) -> Any:
        if not seeds:
            return run(xp, *inputs)
        if xp is np:
            each = [run(np, *[x[i] for x in inputs]) for i in range(seeds)]
            return jax.tree.map(lambda *leaves: np.stack(leaves), *each)
        return jax.vmap(lambda *inputs: run(jnp, *inputs))(*inputs)

    while seeds * math.prod(shapes[0]) > ELEMENTS:
        seeds -= 1
        lead = (seeds,) if seeds else ()
    return Case(f"own {kind} {shapes} seeds {seeds}", many, [_data(rng, *lead, *shape) for shape in shapes], exact)


def known_cases() -> list[Case]:
    """Programs that a jaxlib was known to get wrong (jax issue 39103) or to die of (39257, 40412)."""
    rng = np.random.default_rng(0)

    def rows(xp: Any, x: Any) -> Any:
        return np.sum(x**2, -1) if xp is np else jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x)

    cases = [Case(f"known matrix times {n} rows", rows, [_data(rng, n, 3)]) for n in (16_385, 32_768, 32_769, 65_537)]
    shape = (3, 1, 2, 2, 8, 8, 8)
    two = [_data(rng, *shape), _data(rng, *shape)]
    cases.append(Case("known rank 7", lambda xp, x, y: xp.sum(x * y, axis=3), two))

    def likelihood(xp: Any, x: Any, y: Any) -> Any:
        return xp.log(xp.maximum(xp.sum(x[..., None, None, None, None, None] * y, axis=2), 2e-16))

    wide = [np.abs(_data(rng, 10, 4, 6)), np.abs(_data(rng, 10, 4, 6, 5, 5, 5, 5, 5))]
    return [*cases, Case("known rank 8", likelihood, wide)]


FAMILIES = (product_case, reduction_case, batched_case, product_case, gather_case, scan_case, product_case, own_case)


def case(number: int, seed: int) -> Case:
    """The case of that number: first the known ones, then random ones of the families in turn."""
    known = known_cases()
    if number < len(known):
        return known[number]
    rng = np.random.default_rng((seed, number))
    return FAMILIES[number % len(FAMILIES)](rng)


def work(start: int, stop: int, seed: int) -> None:
    """In the child: one line before each case, and one behind it."""
    for number in range(start, stop):
        this = case(number, seed)
        print(json.dumps({"begun": number, "name": this.name}), flush=True)
        try:
            found = this.wrong()
        except Exception as error:
            found = f"raised {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        print(json.dumps({"number": number, "name": this.name, "wrong": found}), flush=True)
        if number % 25 == 0:
            jax.clear_caches()


def fuzz(cases: int, seed: int) -> list[dict[str, Any]]:
    """The cases that are wrong, kill their process or hang."""
    wrong, start = [], 0
    while start < cases:
        command = [sys.executable, __file__, "--child", str(start), "--cases", str(cases), "--seed", str(seed)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        assert child.stdout is not None
        last: dict[str, Any] = {"begun": start, "name": "starting"}
        hung = False
        while True:
            if not select.select([child.stdout], [], [], HANGS)[0]:
                child.kill()
                hung = True
                break
            line = child.stdout.readline()
            if not line:
                break
            last = json.loads(line)
            if last.get("wrong"):
                wrong.append(last)
                print(f"WRONG {last['number']}: {last['name']}\n      {last['wrong']}", flush=True)
        code = child.wait()
        if "begun" in last:  # the child ended inside a case
            how = "hangs" if hung else f"ends the process with {code}"
            wrong.append({"number": last["begun"], "name": last["name"], "wrong": how})
            print(f"WRONG {last['begun']}: {last['name']}\n      {how}", flush=True)
        start = last.get("begun", last.get("number", start)) + 1
    return wrong


def main() -> None:
    """Fuzz the installed jaxlib under the flags that are set."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="a file for the report, to which this run is added")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        work(options.child, options.cases, options.seed)
        return
    start = time.perf_counter()
    wrong = fuzz(options.cases, options.seed)
    report = {
        "jaxlib": jaxlib.__version__,
        "python": platform.python_version(),
        "flags": os.environ.get("XLA_FLAGS", ""),
        "cases": options.cases,
        "seed": options.seed,
        "wrong": wrong,
    }
    print(
        f"jaxlib {report['jaxlib']}, Python {report['python']}, XLA_FLAGS={report['flags']!r}: {len(wrong)} of "
        f"{options.cases} cases wrong, {time.perf_counter() - start:.0f} s"
    )
    if options.out:
        earlier = json.loads(options.out.read_text()) if options.out.exists() else []
        options.out.write_text(json.dumps([*earlier, report], indent=1) + "\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
