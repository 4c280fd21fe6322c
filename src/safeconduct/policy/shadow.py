"""Shadow mode: other rules answer the same questions beside those that decide, and decide nothing.

What they would have said otherwise is told, so that it is known before they are activated whose
calls they would flip. A shadow that fails, is slow or contradicts itself changes no decision.
"""

from __future__ import annotations

from safeconduct.core.binding import Binding
from safeconduct.core.decision import Decision
from safeconduct.core.model import AccessRequest
from safeconduct.policy.bundle import Bundle
from safeconduct.policy.data import known_data
from safeconduct.policy.pdp import Told
from safeconduct.policy.replay import Rules


class Shadow:
    """The rules of one bundle, asked beside others.

    Attributes:
        bundle: Its digest.
        questions: What its rules want to know of the relations; asked as well while it is there.
    """

    def __init__(self, bundle: Bundle) -> None:
        """Compile the rules.

        Raises:
            BundleError: If they do not compile.
        """
        self.bundle = bundle.digest
        self.questions: tuple[tuple[str, Binding], ...] = tuple(
            known_data(bundle.data).questions.items()
        )
        self._rules = Rules(bundle)

    def beside(
        self, request: AccessRequest, decision: Decision, document: bytes, told: Told
    ) -> None:
        """Answer a call's question once more; tell of it where the answer is another."""
        if request.phase != "call" or not document:
            return
        again = self._rules.answer(document)
        if again.allow != decision.allow:
            told(request, decision, self.bundle, again.reason)
