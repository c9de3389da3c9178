"""The page in which people label: a server on this machine, and what it shows."""
