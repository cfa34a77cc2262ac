"""The part of a policy's document on the fallback chain of a model."""

from collections.abc import Iterator

from sidecar.policy.fallback import Chain, Rule, RulesStep, SecondaryStep


def section(chain: Chain) -> Iterator[str]:
    """The lines on what is tried, in order, when an answer does not clear the bands that act."""
    yield "### Fallback"
    yield ""
    for number, step in enumerate(chain, 1):
        if isinstance(step, RulesStep):
            yield f"{number}. Rules{_bands(step)}; the first that matches answers:"
            yield from (f"    * {_rule(rule)}" for rule in step.rules)
        elif isinstance(step, SecondaryStep):
            share = f"{step.deadline_share:.0%} of the caller's time"
            yield (
                f"{number}. Secondary model `{step.model}` at `{step.address}`{_bands(step)}; at most "
                f"{step.timeout:g} s and {share}; {_calibrator(step)}."
            )
        elif step.step == "review":
            yield f"{number}. A person, through the review queue."
        else:
            yield f"{number}. UNCERTAIN, with what was tried."
    yield ""
    yield (
        "A step of a machine acts only where its own calibrated confidence falls into a band that acts, and "
        "never in a mandatory cell."
    )


def _rule(rule: Rule) -> str:
    return (
        f"`{rule.name}`: where `{rule.when}`, answers `{rule.answer}`, at mildest {rule.action}; "
        f"{_calibrator(rule)}"
    )


def _bands(step: RulesStep | SecondaryStep) -> str:
    return "" if step.bands is None else f" in band {', '.join(step.bands)}"


def _calibrator(given: Rule | SecondaryStep) -> str:
    if given.calibrator is None:
        return "no calibrator, so that it clears nothing"
    return f"calibrator `{given.calibrator}`"
