"""For those who test agents: `strategies` makes every noun of the protocol for Hypothesis."""
