"""What connections pass before they are served: PROXY headers and TLS."""
