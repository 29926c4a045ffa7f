"""Exercises of the lesson on debugging."""
