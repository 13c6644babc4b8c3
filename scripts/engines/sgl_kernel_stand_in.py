"""Stands in for SGLang's compiled kernels, whose builds are for CUDA only.

Installed as ``sgl_kernel`` beside SGLang, it lets every name of that package be imported; calling
one raises. With `--attention-backend torch_native` and a small dense model none is called: SGLang
computes with plain torch. Its server, tokenizer manager, scheduler, detokenizer and health code are
its own.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

__path__: list[str] = []
__version__ = "0.0.0"


class Missing:
    """A kernel, or a class of kernels, that is not there."""

    def __init__(self, name: str) -> None:
        self.__name__ = self.__qualname__ = name

    def __getattr__(self, name: str) -> Missing:
        return missing(f"{self.__name__}.{name}")

    def __call__(self, *_: object, **__: object) -> NoReturn:
        """Refuse: there is no code to call."""
        raise NotImplementedError(f"sgl_kernel.{self.__name__} has no build for CPUs")


def missing(name: str) -> Missing:
    """Stand in for one name; those of Python itself are truly absent."""
    if name.rpartition(".")[2].startswith("__"):
        raise AttributeError(name)
    return Missing(name)


__getattr__ = missing


class Submodules(MetaPathFinder, Loader):
    """Finds every module below sgl_kernel, and makes it as empty as this one."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Claim what is below sgl_kernel, and leave the rest to others."""
        if fullname.startswith("sgl_kernel."):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Make a module in which every name stands in for a kernel."""
        module: Any = ModuleType(spec.name)
        module.__getattr__ = missing
        module.__path__ = []
        return module  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        """Do nothing: there is no code."""


sys.meta_path.append(Submodules())
