"""The document says who judges, and what ends by itself."""

from sidecar.decision import spec
from sidecar.policy import loading

POLICY = "version: 1\nmodels: {m: {calibrator: 'file:x', evidence: score}}\n"


def test_the_review_settings_are_told():
    text = spec.render(
        loading.parse(
            POLICY
            + "review: {blind_share: 0.1, overlap: {HOLD: 2, AUDIT: 1}, skills: {Legal-Language: legal}, "
            "expire_after: {HOLD: 3d}}"
        )
    )
    assert "* 10 % of the tasks are blind" in text
    assert "* 2 different reviewers judge each task of kind HOLD; where they disagree" in text
    assert "kind AUDIT" not in text
    assert "* Category `legal_language` is for reviewers with the skill `legal`." in text
    assert "* A task of kind HOLD that nobody has ends undecided 3 days after its due time" in text
    assert "No task ends undecided" not in text


def test_without_settings_nothing_ends_by_itself():
    text = spec.render(loading.parse(POLICY))
    assert "* No task ends undecided: it waits until somebody decides." in text
    assert "blind" not in text
