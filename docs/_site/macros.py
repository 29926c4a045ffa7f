"""Macros of the pages."""


def define_env(env):
    """Called by mkdocs-macros-plugin."""
