"""asyncio without OpenSSL, until something imports `ssl`: 4 MiB, a tenth of what a run without TLS needs.

asyncio imports `ssl` for streams with TLS, and does without it on a Python that was built without. So it is imported
as if there were none. Whoever then wants TLS has to make an `ssl.SSLContext`, and so has to import `ssl`; at this
moment asyncio gets it, too.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import cast


def import_asyncio_without_ssl() -> None:
    """To be called before anything imports asyncio or `ssl`; afterwards it does nothing."""
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    modules = cast("dict[str, ModuleType | None]", sys.modules)
    modules["ssl"] = None  # so the import system is told that there is no such module
    try:
        importlib.import_module("asyncio")
    finally:
        del modules["ssl"]
    sys.meta_path.insert(0, _FirstImportOfSsl())


class _FirstImportOfSsl(MetaPathFinder):
    """Finds `ssl` where the others do; to be removed once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "ssl":
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _LoaderForAsyncio(spec.loader, self)
        return spec


class _LoaderForAsyncio(Loader):
    """Loads `ssl` as `loader` does, and gives it to the modules of asyncio that have none."""

    def __init__(self, loader: Loader, finder: MetaPathFinder):
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        for name in list(sys.modules):  # of items(), pairs are made: a collection of garbage lets other threads import
            user = sys.modules.get(name)
            if name.startswith("asyncio.") and getattr(user, "ssl", module) is None:
                user.ssl = module  # type: ignore[union-attr]
        importlib.reload(sys.modules["asyncio.sslproto"])  # it makes constants of `ssl`
        sys.meta_path.remove(self._finder)
