"""Fuzzing: trees changed at random where it matters, and bytes changed by a fuzzer that watches which code they reach."""
