"""The part of a policy's document on the review queue: who judges, and what ends by itself."""

from collections.abc import Callable, Iterator

from sidecar.policy import categories
from sidecar.policy.review import Review


def lines(review: Review, length: Callable[[float], str]) -> Iterator[str]:
    """A line for each setting that is not the default, and what holds without it.

    Args:
        review: what the policy says.
        length: writes a number of seconds for a person.
    """
    if review.blind_share > 0.0:
        yield (
            f"* {review.blind_share * 100:.4g} % of the tasks are blind: the reviewer sees neither prediction "
            "nor confidence."
        )
    for kind, count in sorted(review.overlap.items()):
        if count > 1:
            yield (
                f"* {count} different reviewers judge each task of kind {kind}; where they disagree, another "
                "one decides."
            )
    for name, skill in sorted(review.skills.items()):
        yield f"* Category `{categories.normalise(name)}` is for reviewers with the skill `{skill}`."
    for kind, seconds in sorted(review.expire_after.items()):
        yield (
            f"* A task of kind {kind} that nobody has ends undecided {length(seconds)} after its due time, as "
            "EXPIRED, which permits nothing; one of a mandatory category never does."
        )
    if not review.expire_after:
        yield "* No task ends undecided: it waits until somebody decides."
