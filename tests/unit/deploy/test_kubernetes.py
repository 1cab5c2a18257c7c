"""The manifests of deploy/kubernetes: valid for Kubernetes, and consistent. No cluster runs here."""

import re

import kubernetes_validate
import pytest
import yaml

from braidmq.host.lifeline import ENDING_S_MAX
from braidmq.host.notify import ALIVE
from braidmq.settings import Settings
from tests.support.deployed import DEPLOY, check_command, documents, needs, said_by

FOLDER = DEPLOY / "kubernetes"
BASE = FOLDER / "base"
MANIFESTS = [
    document
    for path in sorted(FOLDER.glob("*/*.yaml"))
    if path.name != "kustomization.yaml"
    for document in documents(path)
]
WORKLOADS = [each for each in MANIFESTS if each["kind"] in {"StatefulSet", "Deployment"}]
README = (FOLDER / "README.md").read_text()

NEWEST = "1.34"
OLDEST = "1.29"
"""The first one whose ReadWriteOncePod is stable."""


def name_of(manifest):
    return f"{manifest['kind']}-{manifest['metadata']['name']}"


def found(kind, name):
    (manifest,) = [each for each in MANIFESTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return manifest


def containers(workload):
    pod = workload["spec"]["template"]["spec"]
    return [*pod.get("initContainers", ()), *pod["containers"]]


def matches(selector, labels):
    return all(labels.get(name) == value for name, value in selector.items())


def labels_of(workload):
    return workload["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("version", [pytest.param(OLDEST, marks=pytest.mark.nightly), NEWEST])
@pytest.mark.parametrize("manifest", MANIFESTS, ids=name_of)
def test_it_is_what_kubernetes_takes(manifest, version):
    kubernetes_validate.validate(manifest, version, strict=True)


def test_what_kubernetes_does_not_take_is_found():
    broken = yaml.safe_load(yaml.safe_dump(found("StatefulSet", "braidmq")).replace("podManagementPolicy", "podPolicy"))
    with pytest.raises(kubernetes_validate.ValidationError, match="podPolicy"):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def test_the_base_has_all_of_its_files():
    (kustomization,) = documents(BASE / "kustomization.yaml")
    assert set(kustomization["resources"]) == {path.name for path in BASE.glob("*.yaml")} - {"kustomization.yaml"}


@needs("kubectl")
def test_kustomize_lays_the_example_over_it():
    code, said = said_by("kubectl", "kustomize", FOLDER / "example")
    assert code == 0, said
    built = list(yaml.safe_load_all(said))
    assert {name_of(each) for each in built} == {name_of(each) for each in MANIFESTS}
    kubernetes_validate.validate(*(each for each in built if each["kind"] == "StatefulSet"), NEWEST, strict=True)
    for manifest in built:
        assert manifest["kind"] == "Namespace" or manifest["metadata"]["namespace"] == "braidmq"
        assert "image: braidmq\n" not in yaml.safe_dump(manifest)


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_what_it_runs_are_commands_with_options_that_exist(workload):
    for container in containers(workload):
        said = check_command(container["args"])
        assert said.get("log_format", "json") == "json"


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_it_is_restricted_as_the_pod_security_standard_has_it(workload):
    pod = workload["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in containers(workload):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        assert "cpu" not in container["resources"]["limits"], "whoever is kept from the processor is taken for dead"


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_it_may_drain_before_it_is_killed(workload):
    grace_s = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= Settings().drain_s + ENDING_S_MAX


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_all_that_selects_it_means_it(workload):
    labels = labels_of(workload)
    assert matches(workload["spec"]["selector"]["matchLabels"], labels)
    for constraint in workload["spec"]["template"]["spec"].get("topologySpreadConstraints", ()):
        assert matches(constraint["labelSelector"]["matchLabels"], labels)
    assert found("ServiceAccount", workload["spec"]["template"]["spec"]["serviceAccountName"])


@pytest.mark.parametrize(
    "manifest", [each for each in MANIFESTS if each["kind"] in {"PodDisruptionBudget", "NetworkPolicy"}], ids=name_of
)
def test_it_selects_a_workload_whose_ports_have_these_names(manifest):
    spec = manifest["spec"]
    selector = (spec.get("selector") or spec["podSelector"])["matchLabels"]
    meant = [each for each in WORKLOADS if matches(selector, labels_of(each))]
    assert meant
    names = {port["name"] for each in meant for box in containers(each) for port in box.get("ports", ())}
    for rule in spec.get("ingress", ()):
        assert {port["port"] for port in rule["ports"]} <= names


@pytest.mark.parametrize("service", [each for each in MANIFESTS if each["kind"] == "Service"], ids=name_of)
def test_a_service_leads_to_a_port_that_is_there(service):
    selector = service["spec"]["selector"]
    pod = selector.get("statefulset.kubernetes.io/pod-name")
    if pod is None:
        (workload,) = [each for each in WORKLOADS if matches(selector, labels_of(each))]
    else:
        workload = found("StatefulSet", pod.rpartition("-")[0])
        assert service["metadata"]["name"] == pod
    ports = {port["name"]: port["containerPort"] for box in containers(workload) for port in box["ports"]}
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]


def test_every_broker_is_found_by_its_own_records_before_it_is_ready():
    brokers = found("StatefulSet", "braidmq")
    assert brokers["spec"]["serviceName"] == "braidmq"
    for name in ("braidmq", *(f"braidmq-{number}" for number in range(brokers["spec"]["replicas"]))):
        spec = found("Service", name)["spec"]
        assert spec["clusterIP"] == "None"
        assert spec["publishNotReadyAddresses"] is True
        assert [port["name"] for port in spec["ports"]] == ["braid"]


def test_a_broker_listens_where_its_port_is_and_writes_where_it_may():
    (broker,) = containers(found("StatefulSet", "braidmq"))
    said = check_command(broker["args"])
    assert said["binds"] == (f"tcp://*:{broker['ports'][0]['containerPort']}",)
    mounts = {mount["mountPath"]: mount for mount in broker["volumeMounts"]}
    assert mounts[str(said["join"])]["subPathExpr"] == "$(POD_NAME).braid"
    assert str(said["state"].parent) in mounts
    assert not mounts[str(said["state"].parent)].get("readOnly")


@pytest.mark.parametrize("name", ["braidmq", "shout"])
def test_a_process_that_hangs_is_started_again(name):
    (workload,) = [each for each in WORKLOADS if each["metadata"]["name"] == name]
    container = workload["spec"]["template"]["spec"]["containers"][0]
    (path,) = [each["value"] for each in container["env"] if each["name"] == ALIVE]
    command = container["livenessProbe"]["exec"]["command"]
    assert command[:2] == ["sh", "-c"]
    assert f"${ALIVE}" in command[2]
    folder = path.rpartition("/")[0]
    (mount,) = [each for each in container["volumeMounts"] if each["mountPath"] == folder]
    volumes = {each["name"]: each for each in workload["spec"]["template"]["spec"]["volumes"]}
    assert volumes[mount["name"]]["emptyDir"]["medium"] == "Memory", "no disk may hold up the loop"


def test_a_replica_joins_by_a_token_that_its_worker_does_not_see():
    join, worker = containers(found("Deployment", "shout"))
    assert [each["name"] for each in join["env"]] == ["BRAIDMQ_CODE"]
    assert [each["name"] for each in worker["env"]] == [ALIVE]
    assert check_command(join["args"])["path"] == check_command(worker["args"])["join"]
    (volume,) = found("Deployment", "shout")["spec"]["template"]["spec"]["volumes"]
    assert volume["emptyDir"]["medium"] == "Memory"


def test_the_readme_makes_each_secret_that_is_wanted():
    text = yaml.safe_dump_all(MANIFESTS)
    wanted = set(re.findall(r"secretName: (\S+)", text)) | {"shout-token"}
    assert wanted == set(re.findall(r"create secret generic (\S+)", README))


def test_pods_of_the_example_may_run_in_its_namespace():
    labels = found("Namespace", "braidmq")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
