"""What the loops of families say otherwise where they stand in the script of one algorithm.

Texts of a module and those in their place, each of which has to be there once: a change of the module that they miss is
an error, and `tests/deploy` ejects every algorithm.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

DESCEND = {  # without the choice of an optimiser
    """    part: str,
    loss: Callable[..., Loss],
    rate: Array | float,
    config: Any,
    env: Env,
    learner: Learner,
    batch: Transitions,
    noise: PyTree,
    optimizer: Callable[[Any], optax.GradientTransformation] = adam,
) -> tuple[Any, Any]:
""": (
        "    part: str, loss: Callable[..., Loss], rate: Any, config: Any, env: Env, learner: Any, batch: Transitions, "
        "noise: Any\n) -> tuple[Any, Any]:\n"
    ),
    "    step = optimizer(config)\n    return optimisation.descend(learner, {part: gradient}, {part: rate}, step,": (
        "    return optimisation.descend(learner, {part: gradient}, {part: rate}, adam(config),"
    ),
}


def planner_changes(brought: Mapping[str, ast.expr]) -> dict[str, str]:
    """What the loop of planners says otherwise for one of them, from what that brings to it by name."""
    memory = ast.unparse(brought["initial_memory"])
    return {
        ", key: Key, brought: Planner) -> State:": ", key: Key) -> State:",
        ", state: State, brought: Planner)": ", state: State)",
        "policy_key, env_key, memory_key, state_key = ": "_, env_key, memory_key, state_key = ",
        "The policy, which nothing changes, and fresh environments.": "Fresh environments.",
        "    policy = brought.policy(config, env, policy_key)\n": "",
        "State(Learner(policy), ": "State(Learner(), ",
        "env_key, partial(brought.initial_memory, ": f"env_key, partial({memory}, ",
        "remembered = partial(brought.initial_memory, ": f"remembered = partial({memory}, ",
        "brought.act(": "act(",
    }


def changes_of(brought: Mapping[str, ast.expr]) -> dict[str, str]:
    """What the off-policy loop says otherwise for one algorithm, from what that brings to it by name."""
    said = {name: ast.unparse(value) for name, value in brought.items()}
    networks = [ast.unparse(x) for x in getattr(brought["networks"], "elts", [])]
    targets = [x.value for x in getattr(brought["targets"], "elts", []) if isinstance(x, ast.Constant)]
    parts = [name.rpartition(".")[2].removesuffix("_network") for name in networks]
    keys = [f"{part}_key" for part in parts] if len(parts) > 1 else ["network_key"]
    memory = f"partial({said['initial_memory']}, config, env)" if "initial_memory" in said else None
    made = [f"{name}(config, env).init({key})" for name, key in zip(networks, keys, strict=True)]
    params = made[0] if len(made) == 1 else "{" + ", ".join(f"**{x}" for x in made) + "}"
    learner = said.get("learner", "Learner")
    learner = f"brought.{learner}" if "learner" in said and "." not in learner else learner
    split = [*keys, *(["memory_key"] if memory else []), "rest"]
    first = "memory, memory_key" if memory else ""
    changes = {
        ", key: Key, brought: OffPolicy) -> State:": ", key: Key) -> State:",
        ", state: State, brought: OffPolicy)": ", state: State)",
        "    The key is split into one for each network, one for memories where `explore` may have them, and one for "
        "the rest.\n": "",
        """them.

    The losses that come back are over the gradient steps that were made, of which there are none before
    `learning_starts`.
    \"\"\"
    key, env_key""": """them.\"\"\"
    key, env_key""",
        "    networks, may_remember = [network(config, env) for network in brought.networks], brought.initial_memory "
        """is not None
    *keys, rest = jax.random.split(as_key(key), len(networks) + may_remember + 1)
    params = {part: x for network, key in zip(networks, keys, strict=False) for part, x in network.init(key).items()}
    targets = {part: params[part] for part in brought.targets}
    opt_state = {part: brought.optimizer(config).init(params[part]) for part in params}
""": f"""    {", ".join(split)} = jax.random.split(as_key(key), {len(split)})
    params = {params}
    targets = {{{", ".join(f'"{x}": params["{x}"]' for x in targets)}}}
    opt_state = {{part: {said.get("optimizer", "adam")}(config).init(params[part]) for part in params}}
""",
        "        brought.learner(params,": f"        {learner}(params,",
        "start(env, config.num_envs, env_key, _memory(config, env, brought), keys[-1]),": (
            f"start(env, config.num_envs, env_key{', ' * bool(memory)}{first.replace('memory,', f'{memory},', 1)}),"
        ),
        "        brought.init_priorities(config),": f"        {said.get('init_priorities', '()')}"
        + ("(config)," if "init_priorities" in said else ","),
        "    initial_memory = _memory(config, env, brought)\n": f"    initial_memory = {memory}\n" if memory else "",
        "brought.acting_noise(": f"{said['acting_noise']}(",
        "brought.explore(": "explore(",
        "learner, new, error = brought.learn(": "learner, new, error = learn(",
        "return brought.learn(": "return learn(",
    }
    if "optimizer" not in said:
        changes |= DESCEND
    if not memory:
        changes["(phases, steps, config.num_envs), initial_memory)"] = "(phases, steps, config.num_envs))"
        changes["action, ahead, sums, initial_memory)"] = "action, ahead, sums)"
    if "learning_noise" in said:
        changes["brought.learning_noise("] = f"{said['learning_noise']}("
    else:
        changes["index_key, learn_key = jax"] = "index_key, _ = jax"
        line = "brought.learning_noise(config, env, learn_key, (phases, learns, config.batch_size))"
        changes[f"    learning_noises = {line}\n"] = ""
        changes["batch, _row(learning_noises, (p, i)), step)"] = "batch, (), step)"
        changes["batch, _row(learning_noises, (0, 0)), time)"] = "batch, (), time)"
    return changes
