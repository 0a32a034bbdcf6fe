"""Chaos for as long as one likes: rounds of faults drawn from a seed; ends with 1 where a count is not 0.

python tests/chaos                              ten rounds
python tests/chaos --rounds 500 --seed 7        more of them, that can be had again
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.rounds import main

sys.exit(main(sys.argv[1:]))
