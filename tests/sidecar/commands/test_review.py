"""What the terminal reviewer sees of a confidence."""

from trueband.v1 import review_pb2

from sidecar.commands import review


def answer_line(**fields):
    task = review_pb2.Task(predicted_class="interested", **fields)
    return next(line for line in review.lines(task, now=0.0) if line.startswith("answer"))


def test_the_lower_bound_stands_beside_the_confidence_where_there_is_one():
    assert answer_line(calibrated_confidence=0.94) == "answer   interested   94.0% confident"
    both = answer_line(calibrated_confidence=0.94, lower_confidence=0.875)
    assert both == "answer   interested   94.0% confident, at least 87.5% by the labels so far"


def test_a_blind_task_shows_neither():
    said = answer_line(blind=True, calibrated_confidence=0.94, lower_confidence=0.875)
    assert "%" not in said
