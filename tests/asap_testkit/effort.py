"""How much a property is tried that is tried for each of many things."""

from hypothesis import settings

__all__ = ["EACH", "FEW"]

#: A quarter of the profile's examples: for what is tried for each noun, and there are thirty of them.
EACH = settings(max_examples=max(5, settings.default.max_examples // 4))

#: For what is tried on a few hundred documents for each example.
FEW = settings(max_examples=max(2, settings.default.max_examples // 10))
