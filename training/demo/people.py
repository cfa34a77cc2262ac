"""The chapters of the demo in which people work the review queue."""

from trueband.v1 import review_pb2

from training.demo.client import Client
from training.demo.digits import Answers
from training.demo.narration import Narrator


def review(narrator: Narrator, caller: Client, person: Client, traffic: Answers) -> None:
    """One held answer is reviewed, and its outcome streamed back to the caller.

    Args:
        narrator: who tells.
        caller: waits for the outcome.
        person: leases and completes the task.
        traffic: what was routed, with the truth.
    """
    narrator.title("A person reviews one held answer, while the caller waits for the outcome")
    narrator.wait("letting the ledger catch up", caller.wait_for_ledger)
    task = person.lease_one()
    truth = str(traffic.truth[int(task.subject_ref.partition("-")[2])])
    narrator.say(
        f"Leased: {task.context['image']} in category {task.category}, the model says {task.predicted_class}."
    )
    for outcome in caller.watch(task.decision_id):
        kind = review_pb2.OutcomeKind.Name(outcome.kind).removeprefix("OUTCOME_KIND_")
        if outcome.kind == review_pb2.OUTCOME_KIND_PENDING:
            narrator.say(f"The caller's stream says {kind}. The reviewer looks: it is a {truth}.")
            person.complete(task, truth)
        else:
            who = "a person" if outcome.by_person else "a service"
            narrator.say(
                f"The caller's stream says {kind}: act on {outcome.final_class}, released by "
                f"{outcome.decided_by}, {who}."
            )


def label(narrator: Narrator, caller: Client, labeller: Client, traffic: Answers, *, first: int) -> None:
    """The held and the audited decisions are labelled.

    Args:
        narrator: who tells.
        caller: knows when the ledger has everything.
        labeller: works the queue.
        traffic: what was routed, with the truth.
        first: how many of it were routed before there was a calibrator.
    """
    narrator.title("A labeller works the queue")
    narrator.wait("letting the ledger catch up", caller.wait_for_ledger)
    truth = {f"live-{index}": int(digit) for index, digit in enumerate(traffic.truth)}
    truth |= {f"first-{index}": int(traffic.truth[index]) for index in range(first)}
    best = next(task.context["image"] for task in labeller.tasks() if task.subject_ref == "mandatory")
    images = {
        f"digit image {image}": int(digit) for image, digit in zip(traffic.images, traffic.truth, strict=True)
    }
    truth["mandatory"] = images[best]
    total = sum(1 for _ in labeller.tasks())
    with narrator.progress(total, "labelling") as advance:
        labelled = labeller.label(truth, advance)
    narrator.say(
        f"ListTasks gave {labelled.held:,} held and {labelled.audited:,} audited decisions; {total:,} answers went "
        f"back over RPC, of {first + len(traffic) + 1:,} decisions. The audits are the 5 % that were drawn, "
        "with a known probability, from what had acted or was rejected: without them nobody would know."
    )
    narrator.wait("letting the ledger catch up", caller.wait_for_ledger)
