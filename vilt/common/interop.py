"""Answers for libraries that ask `isinstance(model, transformers.PreTrainedModel)` before they save or run a model.

`Trainer` writes `config.json` only for such models; without it nobody could load what it saved. So an instance says
that its `__class__` is one that also derives from transformers' base, once the program itself has imported that. The
methods are those of this package throughout: its classes come first. Nothing of transformers is imported here.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any


class SeenByTransformers:
    """Mixin for models and outputs: what `instance.__class__` is."""

    _base: tuple[str, str]  # module and name of the class of transformers that an instance passes for

    def __init_subclass__(cls) -> None:
        """Keep transformers' own hook, which reads type hints, from the classes that are derived here."""

    def _seen_class(self) -> type:
        module, name = type(self)._base
        theirs = getattr(sys.modules.get(module), name, None)
        return type(self) if theirs is None else _derived(type(self), theirs)  # type: ignore[arg-type]

    def _set_class(self, kind: type) -> None:
        vars(object)["__class__"].__set__(self, kind)

    __class__: Any = property(_seen_class, _set_class)


@cache
def _derived(ours: type, theirs: type) -> type:
    """Make the class that instances of `ours` say they are of."""
    names = {"__module__": ours.__module__, "__qualname__": ours.__qualname__, "__doc__": ours.__doc__}
    return type(ours)(ours.__name__, (ours, theirs), names)
