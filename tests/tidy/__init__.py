"""The style is kept by tests that read the tree."""
