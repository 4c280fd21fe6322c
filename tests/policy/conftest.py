from __future__ import annotations

import pytest

from safeconduct.policy import Bundle, Embedded, HostPolicy, Pdp


@pytest.fixture(scope="session")
def pdp() -> Pdp:
    bundle = Bundle.shipped()
    policy = HostPolicy(engine=Embedded(bundle), bundle=bundle.digest)
    return Pdp({"acme": policy}.__getitem__)
