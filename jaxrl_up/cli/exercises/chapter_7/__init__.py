"""Exercises of the lesson on many seeds."""
