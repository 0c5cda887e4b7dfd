"""HTTP/2 on one connection: gRPC, gRPC-Web, and relays as over HTTP/1.1."""
