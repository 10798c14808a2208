"""The page ``/docs``: the interface by its OpenAPI description, without scripts."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment

EXAMPLES = {
    "/recommend": '{"history": ["318", "527"], "k": 5, "where": "year > 1990"}',
    "/similar": '{"item_id": "318", "k": 5}',
    "/score": '{"history": ["318"], "item_ids": ["527", "1"]}',
}
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}table{border-collapse:collapse}td,th{text-align:left;"
    "vertical-align:top;padding:.2rem .8rem .2rem 0}pre{overflow:auto;padding:.6rem;"
    "border:1px solid #8884}"
)
POLICY = (
    "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)
"""The Content-Security-Policy under which the page is shown."""


def format_docs(description: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    source = files("seqrec.serving").joinpath("templates", "docs.html").read_text("utf-8")
    page = Environment(autoescape=True).from_string(source)
    return page.render(
        style=STYLE, version=description["info"]["version"], routes=list(_list_routes(description))
    )


def _list_routes(description: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    schemas = description.get("components", {}).get("schemas", {})
    for path, methods in description["paths"].items():
        for method, route in methods.items():
            content = route.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {})
            yield {
                "method": method.upper(),
                "path": path,
                "description": route.get("description", ""),
                "fields": [*_list_fields(schema, schemas), *_list_parameters(route)],
                "example": _format_example(method, path),
            }


def _list_fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the fields of a body."""
    references = [schema, *schema.get("anyOf", ())]
    names = [one["$ref"].rpartition("/")[2] for one in references if "$ref" in one]
    body = schemas[names[0]] if names else {}
    for name, field in body.get("properties", {}).items():
        is_required = name in body.get("required", ())
        yield {"name": name, "is_required": is_required, "type": _name_type(field)} | {
            "description": field.get("description", "")
        }


def _list_parameters(route: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for parameter in route.get("parameters", ()):
        yield {
            "name": parameter["name"],
            "is_required": parameter.get("required", False),
            "type": _name_type(parameter["schema"]),
            "description": parameter.get("description", ""),
        }


def _name_type(field: Mapping[str, Any]) -> str:
    """Return the type of a field in words."""
    if "anyOf" in field:
        names = [_name_type(one) for one in field["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(names))
    if field.get("type") == "array":
        return f"list of {_name_type(field.get('items', {}))}"
    return str(field.get("type", "value"))


def _format_example(method: str, path: str) -> str:
    if path in EXAMPLES:
        return f"curl localhost:8000{path} --json '{EXAMPLES[path]}'"
    flag = "" if method == "get" else f"-X {method.upper()} "
    return f"curl {flag}localhost:8000{path}" + ("'?q=star+wars'" if path == "/items" else "")
