"""The tier that needs a real vLLM: it fails, and does not skip, where there is none."""

from __future__ import annotations

import pytest

from tests.engines_real import rig


@pytest.fixture(autouse=True, scope="session")
def _vllm() -> None:
    """Require the environment that scripts/engines/install_vllm.sh makes."""
    assert rig.PYTHON.exists(), f"no vLLM in {rig.ENGINES}: run 'make test-vllm', which installs it"
