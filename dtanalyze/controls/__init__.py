"""What a user decides about findings: which count, which are known, what changed. Pure; files are the command line's."""
