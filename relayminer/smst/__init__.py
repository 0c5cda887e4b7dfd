"""The sparse merkle sum trie, pure: update, commit, root, closest proof, gob."""
