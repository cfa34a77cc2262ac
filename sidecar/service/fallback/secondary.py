"""The step `secondary`: a second model behind the Open Inference Protocol. It may be down, slow, or lie."""

import logging
from collections.abc import Callable, Sequence

import grpc
from open_inference import model_infer_pb2

from calibrators import evidence
from sidecar.policy import fallback
from sidecar.service.fallback import outputs, tensors
from sidecar.service.fallback.breaker import Breaker
from sidecar.service.fallback.channel import Channel
from sidecar.service.fallback.steps import Attempt, Question, StepCalibration, StepFailed

logger = logging.getLogger(__name__)

RESERVED_SECONDS = 0.01
"""What is left of the caller's time for the decision itself: it must still be journaled and sent."""

LEAST_CALL_SECONDS = 0.005
"""A call that had less than this would tell nothing."""

CALLERS_FAULT = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE})
"""Codes that one odd request can bring about: they do not open the breaker for all the others."""


class SecondaryModel:
    """The step `secondary`. One instance serves all threads, over one channel."""

    def __init__(
        self,
        policy: fallback.SecondaryStep,
        *,
        classes: Sequence[str],
        calibration: StepCalibration,
        clock: Callable[[], float],
    ) -> None:
        """Connects on the first call.

        Args:
            policy: the step as the policy describes it.
            classes: the model's classes, for a step that lists none of its own.
            calibration: how its answers are calibrated.
            clock: seconds that only go forward.

        Raises:
            errors.PolicyRefused: a TLS file cannot be read.
        """
        self._policy = policy
        self._classes = tuple(policy.classes or classes)
        self._calibration = calibration
        self._outputs = outputs.names(policy.output)
        self._channel = Channel(policy.address, policy.tls)
        self._breaker = Breaker(
            f"{policy.address}/{policy.model}",
            failures=policy.breaker.failures,
            open_seconds=policy.breaker.open_for,
            clock=clock,
        )

    @property
    def is_left_alone(self) -> bool:
        """Whether the breaker is open."""
        return self._breaker.is_open

    def refresh(self) -> None:
        """Takes over TLS files that changed. To be called now and then, off the request path."""
        if self._channel.refresh():
            logger.info("secondary_reconnected", extra={"fields": {"secondary": self._policy.address}})

    def close(self) -> None:
        """Takes no more calls; the connection ends when the open ones are through."""
        self._channel.close()

    def budget(self, remaining_seconds: float | None) -> float | None:
        """The policy's share of what remains, but never more than its `timeout`."""
        if remaining_seconds is None:
            return self._policy.timeout
        share = (remaining_seconds - RESERVED_SECONDS) * self._policy.deadline_share
        return None if share < LEAST_CALL_SECONDS else min(share, self._policy.timeout)

    def attempt(self, question: Question, budget_seconds: float) -> Attempt:
        """The secondary's answer.

        Everything that can go wrong is FAILED with a code: those of `tensors.request` and `outputs.read`,
        gRPC's own, and WRONG_VERSION. With the breaker open it is SKIPPED, BREAKER_OPEN.
        """
        try:
            request = tensors.request(
                self._policy.model, self._policy.version, self._policy.inputs, self._outputs, question
            )
        except StepFailed as error:
            return Attempt(outcome="FAILED", code=error.code)
        if not self._breaker.admits(budget_seconds):
            return Attempt(outcome="SKIPPED", code="BREAKER_OPEN")
        try:
            response = self._channel.infer(request, budget_seconds)
            answer_class, given = outputs.read(self._policy.output, response, self._classes)
            version = self._version(response)
        except StepFailed as error:
            self._breaker.failed()
            return Attempt(outcome="FAILED", code=error.code)
        except grpc.RpcError as error:
            return self._refused(error, budget_seconds)
        except BaseException:
            # Whatever it was: a probe must not stay out for ever.
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        in_force = question.calibrators.get("secondary")
        worth = self._calibration.worth(
            in_force, given, version=version, category=question.category, now=question.now
        )
        return Attempt(
            outcome="ANSWERED",
            code=worth.code,
            answer_class=answer_class,
            raw_confidence=evidence.raw_confidence(given),
            calibrated_confidence=worth.calibrated,
            lower_bound=worth.lower_bound,
            calibrator=None if in_force is None else in_force.reference,
        )

    def _refused(self, error: grpc.RpcError, budget_seconds: float) -> Attempt:
        code = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
        # A call that had but a sliver of the time says more about its caller than about the secondary.
        hurried = code is grpc.StatusCode.DEADLINE_EXCEEDED and budget_seconds < self._policy.timeout / 2
        if code in CALLERS_FAULT or hurried:
            self._breaker.abstained()
        else:
            self._breaker.failed()
        return Attempt(outcome="FAILED", code=code.name)

    def _version(self, response: model_infer_pb2.ModelInferResponse) -> str:
        wanted = self._policy.version
        if wanted and response.model_version not in ("", wanted):
            raise StepFailed(f"version {response.model_version} answered, not {wanted}", code="WRONG_VERSION")
        return response.model_version or wanted
