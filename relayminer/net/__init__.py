"""HTTP/1.1 on Trio streams: the parser, the pooled client."""
