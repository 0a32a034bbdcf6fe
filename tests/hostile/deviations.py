"""What a server does that we can't change, each with the reason."""

from collections.abc import Mapping

#: By runtime, the group and the name of an input, and why it is answered otherwise.
DEVIATIONS: Mapping[str, Mapping[tuple[str, str], str]] = {
    "trio": {
        ("chunks", "an extension with a bare return"): "h11 passes extensions over, and knows where the line ends",
    },
}
