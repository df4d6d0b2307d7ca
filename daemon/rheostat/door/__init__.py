"""Who may come in: certificates, tokens, and the names they prove.

Here the files behind TLS and bearer tokens are read, and read again when they change, and whoever
calls is given an identity. `api` and `telemetry` ask at each call and say no in their own protocol;
how gRPC or HTTP carry a token or a certificate is not known here. What a caller may do is not
decided here either: this room says who it is. May ask nothing but `rheostat.errors`.
"""
