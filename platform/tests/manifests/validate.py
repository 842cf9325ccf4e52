"""Holds the manifests in the arguments to the schemas that their engines publish, and knows no key beside those.

Kubernetes: the JSON schemas of its API, in the package kubernetes-validate. Cloud Run: Google's own description of the API, in
google-api-python-client. Knative: what its service has of a pod, by Kubernetes' schemas; knative.mjs looks at the whole.
"""

import importlib.util
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# The oldest that has all keys of ours, and the newest that the package knows.
KUBERNETES = ("1.30.0", kubernetes_validate.latest_version())


def of_kubernetes(document):
    for version in KUBERNETES:
        kubernetes_validate.validate(document, version, strict=True)


def of_knative(document):
    template = document["spec"]["template"]
    pod = dict(template["spec"])
    for own in ("containerConcurrency", "timeoutSeconds"):
        pod.pop(own)
    of_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": template.get("metadata", {}), "spec": pod})


def strict(schema):
    """A schema of the API's description as a JSON schema without other keys."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: strict(part) for key, part in schema.items() if key not in ("id", "format", "description")}
    if "$ref" in kept:
        kept["$ref"] = "#/schemas/" + kept["$ref"]
    if isinstance(schema.get("properties"), dict):
        # Not a filter: a property may have one of the names above.
        kept["properties"] = {name: strict(part) for name, part in schema["properties"].items()}
        kept.setdefault("additionalProperties", False)
    return kept


def of_cloud_run(document):
    package = importlib.util.find_spec("googleapiclient").submodule_search_locations[0]
    described = pathlib.Path(package, "discovery_cache/documents/run.v1.json")
    schemas = json.loads(described.read_text())["schemas"]
    schemas = {name: strict(schema) for name, schema in schemas.items()}
    jsonschema.validate(document, {"$ref": "#/schemas/Service", "schemas": schemas})


ENGINES = {"kubernetes": of_kubernetes, "knative": of_knative, "cloud-run": of_cloud_run}

wrong = 0
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    for document in yaml.safe_load_all(path.read_text()):
        try:
            ENGINES[path.stem](document)
        except Exception as error:
            wrong += 1
            print(f"{path}: {type(error).__name__}: {str(error)[:2000]}")
print(f"{wrong} wrong")
