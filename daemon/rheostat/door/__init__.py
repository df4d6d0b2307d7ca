"""Who may come in, and what they may do: certificates, tokens, the names they prove, and roles.

Here the files behind TLS, bearer tokens and roles are read, and read again when they change, and
whoever calls is given an identity and judged by its rights, of which each call takes some. `api`,
`telemetry` and `page` ask at each call and say no in their own protocol; how gRPC or HTTP carry a
token or a certificate is not known here. May ask `rheostat.errors`, and `rheostat.spec` for how a
document is read.
"""
