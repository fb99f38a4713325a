"""What would remove a finding: the smallest legal changes of the tree, a family of causes in each file.

A rule asks for cures where it has found something, with all that it knows. Whether a cure is offered is not decided here:
``fix`` makes the changes in a copy and asks the whole question again.
"""
