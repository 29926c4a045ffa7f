"""The check of exercise 1.2: properties of the functions, whatever the dict of parameters looks like."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl_up.cli.exercises.chapter_1.gaussian_log_likelihood_check import mistakes
from jaxrl_up.cli.exercises.exercise import Student, Wrong, close, shown
from jaxrl_up.ops import DiagonalGaussian
from jaxrl_up.types import Array

READING = 'lesson 01_key_concepts, "Policies"; docs/networks.md'
HINTS = (
    "Begin with init: jax.random.split gives a key to each layer. A layer is weights [inputs, outputs] and a bias "
    "[outputs]; observation @ weights + bias takes one observation and batches alike.",
    "distribution is three such layers, jnp.tanh behind the first two; log_std comes straight out of params. sample "
    "and log_prob both begin with mean, log_std = distribution(params, observation).",
    "sample: mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape). log_prob: exercise 1.1 with this mean and "
    "log_std.",
)
OBSERVATIONS, DRAWS = np.array([[0.5, -1.0, 2.0], [1.0, 0.3, -0.7]], np.float32), 500
LOG_STD = np.array([0.3, -1.0], np.float32)


def check(student: Student) -> None:
    """Parameters, the mean, samples, and log-probabilities. Raises `Wrong`."""
    params = _check_init(student)
    _check_mean(student, params)
    params = {**params, "log_std": jnp.asarray(LOG_STD)}
    _check_samples(student, params)
    mean, action = _pair(student, params, OBSERVATIONS)[0], jnp.array([[0.1, 0.2], [-0.4, 0.3]])
    for case, rows in {"log_prob of one action": 0, "log_prob of a batch": slice(None)}.items():
        got = jax.jit(student.log_prob)(params, OBSERVATIONS[rows], action[rows])
        expected = DiagonalGaussian(mean[rows], params["log_std"]).log_prob(action[rows])
        student.expect(case, got, expected, mistakes(action[rows], mean[rows], params["log_std"]))
    gradient = jax.grad(lambda p: jnp.sum(student.log_prob(p, OBSERVATIONS, action)))(params)
    still = [jax.tree_util.keystr(path) for path, x in jax.tree_util.tree_leaves_with_path(gradient) if not jnp.any(x)]
    if still:
        raise Wrong(f"The gradient of log_prob with respect to params{still[0]} is 0: this parameter is never used.")
    student.cases += 1


def _check_init(student: Student) -> dict[str, Any]:
    params, other = (student.init(jax.random.key(seed), 3, 2) for seed in (0, 1))
    if not isinstance(params, dict) or "log_std" not in params:
        kind = f"a dict of {', '.join(map(str, params))}" if isinstance(params, dict) else f"a {type(params).__name__}"
        raise Wrong(f'init returned {kind}: it should be a dict with an entry "log_std".')
    for place, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not isinstance(leaf, jax.Array) or not jnp.issubdtype(leaf.dtype, jnp.floating):
            name = jax.tree_util.keystr(place)
            raise Wrong(
                f"init: params{name} is {leaf!r:.60}: parameters are arrays of floats, with nothing else beside."
            )
    student.expect('params["log_std"] of two numbers of action', params["log_std"], [-0.5, -0.5], {
        "That is the standard deviation; log_std begins at -0.5.": np.exp([-0.5, -0.5]),
        "One number for all: each number of the action has a log_std of its own.": -0.5,
    })  # fmt: skip
    if all(close(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True)):
        raise Wrong("init gives the same parameters for keys 0 and 1: draw the weights with the key.")
    hidden = [np.asarray(x) for x in jax.tree.leaves(student.init(jax.random.key(0), 32, 32)) if np.ndim(x) == 2]
    for i, weights in enumerate(hidden):
        if any(weights.shape == other.shape and close(weights, other) for other in hidden[:i]):
            raise Wrong("Two layers begin with the same weights: the same key was used twice. Split it first.")
    scales = sorted(float(np.std(weights) * np.sqrt(32)) for weights in hidden)
    if scales and not 0.8 < scales[0] <= scales[-1] < 1.2:
        worst = max(scales, key=lambda scale: abs(np.log(scale + 1e-9)))
        raise Wrong(f"With 32 inputs the weights have standard deviation {worst:.2g} / sqrt(32), not 1 / sqrt(32).")
    student.cases += 1
    return params


def _check_mean(student: Student, params: dict[str, Any]) -> None:
    means, log_std = _pair(student, params, OBSERVATIONS)
    for case, got, shape in (
        ("a batch of two observations", means, (2, 2)),
        ("one observation", _pair(student, params, OBSERVATIONS[0])[0], (2,)),
    ):
        if np.shape(got) != shape:
            raise Wrong(f"distribution of {case}: the mean has shape {list(np.shape(got))}, expected {list(shape)}.")
    student.expect("the mean of one observation beside that in a batch", _pair(student, params, OBSERVATIONS[0])[0],
                   means[0])  # fmt: skip
    if close(means[0], means[1]):
        raise Wrong(f"The means of two observations are the same, {shown(means[0])}: the observation is not read.")
    wide = {**params, "log_std": jnp.asarray(LOG_STD)}
    student.expect('log_std by distribution, with params["log_std"] set to [0.3, -1]',
                   np.broadcast_to(np.asarray(_pair(student, wide, OBSERVATIONS)[1]), (2, 2)), [LOG_STD, LOG_STD], {
        "This is the standard deviation: return its logarithm.": np.exp([LOG_STD, LOG_STD]),
        'This does not follow params["log_std"]: return that parameter.': np.broadcast_to(log_std, (2, 2)),
    })  # fmt: skip
    zero, once, twice = (_pair(student, params, factor * OBSERVATIONS)[0] for factor in (0.0, 1.0, 2.0))
    if close(twice - zero, 2 * (once - zero), 1e-3):
        raise Wrong("The mean is a linear function of the observation: put tanh behind the hidden layers.")
    large = {**jax.tree.map(lambda x: 30.0 * x, params), "log_std": params["log_std"]}
    if np.abs(_pair(student, large, OBSERVATIONS)[0]).max() <= 1.0:
        raise Wrong(
            "The mean stays within -1 and 1 however large the weights are: there is no tanh behind the last layer."
        )
    if np.asarray(_pair(student, large, OBSERVATIONS)[0]).min() >= 0.0:
        raise Wrong("The mean is never negative: there is no activation behind the last layer.")
    student.cases += 1


def _check_samples(student: Student, params: dict[str, Any]) -> None:
    mean, std = _pair(student, params, OBSERVATIONS)[0], np.exp(LOG_STD)
    first, again = (student.sample(params, OBSERVATIONS, jax.random.key(0)) for _ in range(2))
    if np.shape(first) != (2, 2):
        raise Wrong(f"sample of a batch of two observations has shape {list(np.shape(first))}, expected [2, 2].")
    if not close(first, again):
        raise Wrong("sample gives two actions for one key: draw by the key only.")
    draw = jax.jit(jax.vmap(student.sample, in_axes=(None, None, 0)))
    actions = np.asarray(draw(params, OBSERVATIONS, jax.random.split(jax.random.key(1), DRAWS)))
    if np.ptp(actions, axis=0).min() == 0.0:
        raise Wrong("sample gives the same action for every key: add noise, drawn with the key.")
    deviations = actions - np.asarray(mean)
    for case, got, other in (
        ("The two numbers of an action", deviations[:, 0, 0], deviations[:, 0, 1]),
        ("The two rows of a batch", deviations[:, 0, 0], deviations[:, 1, 0]),
    ):
        if np.corrcoef(got, other)[0, 1] > 0.9:
            raise Wrong(f"{case} have the same noise: draw noise of the shape of the mean.")
    spread = deviations.std(0)
    near = 5 / np.sqrt(2 * DRAWS)  # five standard errors of a standard deviation
    student.expect(f"standard deviation of {DRAWS} samples, with log_std [0.3, -1] (a rough comparison)",
                   spread, [std, std], {
        "Samples are not scaled by the standard deviation exp(log_std).": np.ones((2, 2)),
        "Noise is multiplied with log_std: its exponential is the standard deviation.": np.abs([LOG_STD, LOG_STD]),
        "Noise is multiplied with the variance exp(2 log_std).": [std**2, std**2],
        'Samples follow the first log_std, not params["log_std"].': np.full((2, 2), np.exp(-0.5)),
        "The noise is uniform, not normal: use jax.random.normal.": np.array([std, std]) / np.sqrt(12),
    }, tolerance=near)  # fmt: skip
    student.expect(f"mean of {DRAWS} samples beside the mean of the policy (a rough comparison)",
                   actions.mean(0), mean, {"These are centred on 0: add the mean.": np.zeros((2, 2))},
                   tolerance=6 * std.max() / np.sqrt(DRAWS))  # fmt: skip
    if np.abs(deviations / std).max() < 2.0:
        raise Wrong("No sample is further than two standard deviations from the mean: the noise is not normal.")
    student.cases += 1


def _pair(student: Student, params: dict[str, Any], observation: Any) -> tuple[Array, Array]:
    """Mean and log_std of the student's distribution."""
    pair = student.distribution(params, jnp.asarray(observation))
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise Wrong(f"distribution returned a {type(pair).__name__}, expected the pair (mean, log_std).")
    return jnp.asarray(pair[0]), jnp.asarray(pair[1])
