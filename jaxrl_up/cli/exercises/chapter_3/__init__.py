"""Exercises of the lesson on policy optimisation."""
