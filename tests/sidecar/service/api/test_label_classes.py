"""A true class that no model has is refused: it would count as a wrong answer."""

import pytest

from sidecar import errors
from sidecar.policy import loading
from sidecar.policy.tables import compile_policy
from sidecar.service.api.labels import check_class

LISTED = "a: {calibrator: models:/c@champion, evidence: score, classes: [cat, dog]}"
OTHER = "b: {calibrator: models:/c@champion, evidence: score, classes: ['0', '1']}"
FREE = "c: {calibrator: models:/c@champion, evidence: score}"


def tables(*models):
    return compile_policy(loading.parse(f"version: 1\nmodels: {{{', '.join(models)}}}").policy)


@pytest.mark.parametrize("true_class", ["cat", "dog", None])
def test_a_class_of_the_policy_is_taken(true_class):
    check_class(true_class, tables(LISTED))


@pytest.mark.parametrize("true_class", ["tree", "Cat", "0.0", " dog"])
@pytest.mark.parametrize("models", [(LISTED,), (LISTED, OTHER)])
def test_any_other_one_is_refused_by_name(true_class, models):
    with pytest.raises(errors.InvalidRequest, match=r"label\.true_class: is none of .*cat, dog"):
        check_class(true_class, tables(*models))


def test_where_a_model_lists_no_classes_any_class_may_be_its_own():
    check_class("tree", tables(LISTED, FREE))
    check_class("1", tables(LISTED, OTHER))
