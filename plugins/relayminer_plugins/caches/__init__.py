"""The first-party cache types, in the Go implementation's encodings (state.md 4)."""
