"""What can be wrong with a tree: one rule for each hazard, with its sources, a bad and a good tree, and the check."""
