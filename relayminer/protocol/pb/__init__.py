"""Protobuf messages of Pocket Network, generated from the .proto files beside them."""
