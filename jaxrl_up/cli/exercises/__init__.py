"""The exercises of the lessons, and what marks them: `jaxrl-up exercise`.

An exercise is two files of `chapter_N`: the worked file, from which the student's file is made by leaving the solution
out, and its check, which compares what the student's functions return with the library's own. The student's file runs
in a process of its own.
"""

from jaxrl_up.cli.exercises.book import BOOK as BOOK
from jaxrl_up.cli.exercises.book import LESSONS as LESSONS
from jaxrl_up.cli.exercises.book import find as find
from jaxrl_up.cli.exercises.exercise import Exercise as Exercise
from jaxrl_up.cli.exercises.exercise import Student as Student
from jaxrl_up.cli.exercises.exercise import Wrong as Wrong
from jaxrl_up.cli.exercises.grading import Verdict as Verdict
from jaxrl_up.cli.exercises.grading import mark as mark
from jaxrl_up.cli.exercises.grading import mark_apart as mark_apart
from jaxrl_up.cli.exercises.worked import check_of as check_of
from jaxrl_up.cli.exercises.worked import solution as solution
from jaxrl_up.cli.exercises.worked import task as task
from jaxrl_up.cli.exercises.worked import without_solution as without_solution
