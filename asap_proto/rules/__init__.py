"""What is legal: tables and pure functions that are told the time."""
