"""`jaxrl-up envs`: list the environments."""

from __future__ import annotations

from jaxrl_up.cli_options import Parser, table


def main(arguments: list[str]) -> int:
    """`jaxrl-up envs`."""
    parser = Parser(prog="jaxrl-up envs", description="List the environments.")
    if parser.parse(arguments) is None:
        return 0
    from jaxrl_up import envs

    rows = [("name", "observations", "actions", "time limit")]
    for name in envs.names():
        env = envs.make(name)
        observations = f"{type(env.observation_space).__name__} {list(env.observation_space.shape)}"
        actions = env.action_space
        actions = repr(actions) if type(actions).__name__ == "Discrete" else f"Box {list(actions.shape)}"
        rows.append((name, observations, actions, str(env.max_steps or "none")))
    print("\n".join(table(rows)))
    return 0
