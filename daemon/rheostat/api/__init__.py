"""The control plane: the gRPC services of `proto/rheostat/v1`, as thin as they can be.

Each handler checks the request, asks `runs.service`, and translates; errors become statuses in one
place. Here and in `client` alone are gRPC and protobuf known; the generated code both share is
`rheostat.v1`. What a change means and when it applies is not decided here.
"""
