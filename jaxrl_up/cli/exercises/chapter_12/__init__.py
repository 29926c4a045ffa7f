"""Exercises of the lesson on tree search and expert iteration."""
