"""Names that only others call: frameworks, protocols, operators.

Each line names something that looks unused to a reader of this tree, and who uses it.
"""
