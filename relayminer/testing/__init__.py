"""What this project tests itself with, for authors of plugins too."""
