"""What `relayminer check` looks at, one module per subject."""
