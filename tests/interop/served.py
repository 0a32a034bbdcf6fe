"""The agent that `asap serve` serves in the live tests, set up as the environment says."""

import json
import os

from interop import ours

_wanted = json.loads(os.environ["INTEROP_AGENT"])
agent = ours.agent(_wanted["front"], _wanted["options"])
