"""The exercises: solutions are right, typical mistakes are recognised, and bad-tempered files get one clear message."""

import importlib
import re
from pathlib import Path

import pytest

from jaxrl_up.cli import exercises

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"

WRONG = {
    number: wrong
    for lesson in sorted({exercise.lesson for exercise in exercises.BOOK})
    for number, wrong in importlib.import_module(f"wrong_answers_{lesson}").WRONG.items()
}
EVERYDAY = 4  # mistakes of each exercise; the rest are thorough
MISTAKES = [
    pytest.param(number, phrase, *change, id=f"{number}-{phrase[:30]}", marks=[pytest.mark.thorough] * (i >= EVERYDAY))
    for number, wrong in WRONG.items()
    for i, (phrase, change) in enumerate(wrong.items())
]


def marked(number, text, tmp_path):
    """The verdict on a file of this text."""
    file = tmp_path / "mine.py"
    file.write_text(text, encoding="utf-8")
    return exercises.mark(exercises.find(number), file)


@pytest.mark.parametrize("exercise", exercises.BOOK, ids=lambda exercise: exercise.number)
def test_the_solution_is_right_and_the_task_is_not(exercise, tmp_path):
    solved = marked(exercise.number, exercises.solution(exercise), tmp_path)
    assert solved.right, solved.text
    assert solved.text.startswith(f"{exercise.number} right: ")
    begun = marked(exercise.number, exercises.task(exercise), tmp_path)
    assert not begun.right
    assert "still is the gap" in begun.text or "your lines" not in exercises.task(exercise)
    assert len(exercises.check_of(exercise).HINTS) == 3
    assert exercises.check_of(exercise).READING in begun.text


@pytest.mark.parametrize(("number", "phrase", "old", "new"), MISTAKES)
def test_a_typical_mistake_is_recognised(number, phrase, old, new, tmp_path):
    text = exercises.solution(exercises.find(number))
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    verdict = marked(number, text.replace(old, new), tmp_path)
    assert not verdict.right
    assert phrase in verdict.text, verdict.text
    assert [other for other in WRONG[number] if other in verdict.text] == [phrase]


def test_every_exercise_has_three_wrong_answers_or_more():
    assert {exercise.number for exercise in exercises.BOOK} == set(WRONG)
    assert min(map(len, WRONG.values())) >= 3


@pytest.mark.parametrize("exercise", exercises.BOOK, ids=lambda exercise: exercise.number)
def test_what_to_read_names_sections_of_lessons(exercise):
    named = re.findall(r'lesson (\w+), "([^"]+)"', exercises.check_of(exercise).READING)
    assert exercises.LESSONS[exercise.lesson] in [lesson for lesson, _ in named]
    for lesson, section in named:
        script = re.sub(r"[`$\\]", "", (NOTEBOOKS / f"{lesson}.py").read_text(encoding="utf-8"))
        assert section in re.findall(r"^# ##+ (.+)$", script, re.MULTILINE)
