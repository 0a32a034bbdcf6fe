"""Chaos for as long as one likes: rounds of faults drawn from a seed, on each store and front in turn.

python tests/chaos                              ten rounds
python tests/chaos --rounds 500 --seed 7        more of them, that can be had again
python tests/chaos --store redis --front trio   with these alone

It ends with 0 if every count is 0, 1 if not, 130 after Ctrl-C and 143 after SIGTERM: then whatever it has started is
gone, and it says how many rounds are done.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.rounds import main

sys.exit(main(sys.argv[1:]))
