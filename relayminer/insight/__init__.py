"""What a running process tells of its inside: profiles, tasks, memory, state, loop delay."""
