"""Exercises of the lesson on key concepts."""
