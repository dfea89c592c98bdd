"""Licence terms in ODRL and the catalogue in DCAT are RDF to rdflib, use words of the vocabularies that it knows, and have
what the specifications ask for, to pyshacl."""

import json
import pathlib

import pyshacl
from rdflib import RDF, Graph, Namespace, URIRef
from rdflib.namespace import DCAT, DCTERMS, FOAF, ODRL2, PROV, SKOS

import evidence

shapes = Graph().parse(pathlib.Path(__file__).parent / "shapes.ttl")
texts = {path.stem: path.read_text() for path in (evidence.folder / "exports").iterdir()}
graphs = {name: Graph().parse(data=text, format="json-ld") for name, text in texts.items()}
ODRL = Namespace(str(ODRL2))
# rdflib knows DCAT 2; these are of version 3 (W3C Recommendation, 2024-08-22).
DCAT_3 = {"hasVersion", "isVersionOf", "hasCurrentVersion", "previousVersion", "version"}


def words(graph, namespace):
    """The words of a namespace that a graph uses."""
    terms = {term for triple in graph for term in triple if isinstance(term, URIRef)}
    return {str(term).removeprefix(str(namespace)) for term in terms if str(term).startswith(str(namespace))}


def conforms(graph):
    good, _, report = pyshacl.validate(graph, shacl_graph=shapes, inference="none", advanced=False)
    if not good:
        raise ValueError(report)


for name, graph in graphs.items():
    for namespace, more in [(ODRL2, set()), (DCTERMS, set()), (FOAF, set()), (PROV, set()), (SKOS, set()), (DCAT, DCAT_3)]:
        used = words(graph, namespace)
        unknown = {word for word in used - more if word not in namespace}
        assert not unknown, f"{name}: {unknown} are no words of {namespace}"
    print(f"ok   {name}: {len(graph)} triples in words of the vocabularies they name")

profile = graphs["profile"]
own = str(next(profile.subjects(RDF.type, URIRef("http://www.w3.org/2002/07/owl#Ontology")))) + "#"
defined = {str(word).removeprefix(own) for word in profile.subjects(SKOS.definition)}
for name in ("terms", "offer", "catalog", "croissant"):
    used = words(graphs[name], own)
    assert used and used <= defined, f"{name}: {used - defined} are not in the profile"
for action in profile.subjects(RDF.type, ODRL.Action):
    assert profile.value(action, ODRL.includedIn) in (ODRL.use, ODRL.compensate), f"{action} is included in nothing"
print(f"ok   the profile at {own} defines every word of its own that is used")

for name in ("terms", "offer", "catalog"):
    conforms(graphs[name])
print("ok   terms, offer and catalogue have what ODRL's Information Model and DCAT-AP ask for")

[offered] = graphs["offer"].subjects(RDF.type, ODRL.Offer)
for name in ("catalog", "croissant"):
    assert (offered, RDF.type, ODRL.Offer) in graphs[name], f"{name} does not hold {offered}"
    rules = {str(action) for rule in graphs[name].objects(offered, ODRL.permission) for action in graphs[name].objects(rule, ODRL.action)}
    assert rules == {str(action) for rule in graphs["offer"].objects(offered, ODRL.permission) for action in graphs["offer"].objects(rule, ODRL.action)}
print(f"ok   catalogue and Croissant hold {offered}")


def without(name, member):
    """A document in which a member is missing wherever it stood."""
    strip = lambda value: {key: strip(inner) for key, inner in value.items() if key != member} if isinstance(value, dict) else [strip(item) for item in value] if isinstance(value, list) else value
    return Graph().parse(data=json.dumps(strip(json.loads(texts[name]))), format="json-ld")


for name, member in [("offer", "odrl:target"), ("offer", "odrl:operator"), ("catalog", "dct:title"), ("catalog", "dcat:accessURL")]:
    evidence.refused(f"{name} without {member}", ValueError, lambda: conforms(without(name, member)))
