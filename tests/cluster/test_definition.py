def test_smoke(cluster):
    from kubernetes import client
    import time
    time.sleep(1)
    got = client.ApiextensionsV1Api(cluster.client()).read_custom_resource_definition("trainingruns.rheostat.dev")
    print(got.status.conditions)
    assert 0
