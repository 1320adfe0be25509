"""The ways of importing lazily that `bench_lazyload` measures beside perfkit's, each written as a user would."""

import importlib.util
import sys
from types import ModuleType

__all__ = ["PEERS", "by_importlib", "start_up"]

# What a program says to declare a module; {module} stands for its name, {name} for the name it gets.
PEERS = {
    "importlib.util.LazyLoader": ("from lazyload_peers import by_importlib", "{name} = by_importlib('{module}')"),
    "lazy_loader": ("import lazy_loader", "{name} = lazy_loader.load('{module}')"),
    "wrapt.lazy_import": ("import wrapt", "{name} = wrapt.lazy_import('{module}')"),
    "etils": ("from etils import epy", "with epy.lazy_imports():\n    import {module} as {name}"),
}

PACKAGES = ("numpy", "sqlalchemy", "httpx", "hypothesis", "redis", "PIL.Image", "cryptography.x509")


def by_importlib(name: str) -> ModuleType:
    """Do what the documentation of importlib suggests under "Implementing lazy imports"."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def start_up(how: str) -> str:
    """Return a program that begins with seven packages, which take long to import, and does nothing with them."""
    names = [(module, module.rpartition(".")[2]) for module in PACKAGES]
    if how == "nothing":
        return "pass"
    if how == "import":
        return "\n".join(f"import {module} as {name}" for module, name in names)
    if how == "perfkit.lazy_imports":
        lines = "\n".join(f"    import {module} as {name}" for module, name in names)
        return f"import perfkit\nwith perfkit.lazy_imports():\n{lines}"
    if how == "perfkit.lazy":
        return "import perfkit\n" + "\n".join(f"{name} = perfkit.lazy('{module}')" for module, name in names)
    before, declaration = PEERS[how]
    return "\n".join([before, *(declaration.format(module=module, name=name) for module, name in names)])
